/* Destinations, peers and jobs.
 *
 * Room is shared by a rule that needs no tuning: a destination may take as much of the window, and of
 * a peer's capacity, as is still free. One alone takes half; the next finds half of the rest; none
 * ever takes all, so a slow one holds up nobody else.
 *
 * A destination belongs to one relay, by its hash, because only then are its connections and caps
 * counted in one place; all destinations of an account belong to one, because the account has caps too. When the number of relays changes it moves, but not before its last
 * outstanding job has come back. */
#include "queue/core_internal.h"

#include <stdlib.h>
#include <string.h>

enum { HASH_FIRST = 256, ROOM_LEAST = 16, SENT_LEAST = 2 };

struct peer *queue_peer(struct queue_core *c, enum ipc_role role, unsigned index)
{
	BASE_BUG_IF(index >= PEERS_MAX);
	return role == IPC_DELIVER ? &c->deliver[index] : &c->relays[index];
}

/* ---- finding and making ---- */

static uint64_t hash_plan(const struct route_plan *p, struct base_slice host)
{
	uint8_t small[4] = {
		(uint8_t)p->via, (uint8_t)p->tls, (uint8_t)(p->port >> 8), (uint8_t)p->port};
	uint64_t h = route_hash(0, base_slice_make(small, sizeof(small)));

	h = route_hash(h, host);
	h = route_hash(h, base_slice_text(p->text));
	return route_hash(h, base_slice_text(p->account));
}

static bool is_same(
	const struct dest *d, const struct route_plan *p, struct base_slice host, uint64_t hash)
{
	return d->hash == hash && d->via == p->via && d->tls == p->tls && d->port == p->port &&
		base_slice_equal_nocase(d->host, host) &&
		base_slice_equal(d->path, base_slice_text(p->text)) &&
		base_slice_equal(d->account, base_slice_text(p->account)) &&
		base_slice_equal(d->via_text, base_slice_text(p->via_text)) &&
		base_slice_equal(d->route, base_slice_text(p->title));
}

static struct base_slice put_text(char **at, struct base_slice s, bool lower)
{
	char *start = *at;

	for (size_t i = 0; i < s.len; i++)
		start[i] = (char)(lower ? base_ascii_lower(s.ptr[i]) : s.ptr[i]);
	*at = start + s.len;
	return base_slice_make(start, s.len);
}

static unsigned choose_peer(const struct queue_core *c, const struct dest *d)
{
	unsigned count = d->role == IPC_DELIVER ? c->deliver_count : c->relay_count;
	uint64_t hash = d->account.len ? route_hash(0, d->account) : d->hash;

	return count ? (unsigned)(hash % count) : 0;
}

static struct dest *make(
	struct queue_core *c, const struct route_plan *p, struct base_slice host, uint64_t hash)
{
	struct dest *d = base_alloc_zero(1, sizeof(*d));
	struct base_slice path = base_slice_text(p->text), account = base_slice_text(p->account);
	struct base_slice title = base_slice_text(p->title), via = base_slice_text(p->via_text);
	char *at;

	d->text = at = base_alloc(host.len + path.len + account.len + title.len + via.len + 1);
	d->host = put_text(&at, host, true);
	d->path = put_text(&at, path, false);
	d->account = put_text(&at, account, false);
	d->route = put_text(&at, title, false);
	d->via_text = put_text(&at, via, false);
	d->hash = hash;
	d->via = p->via;
	d->tls = p->tls;
	d->port = p->port;
	d->by_sender = p->by_sender;
	d->role = p->via == CONF_VIA_MAILDIR ? IPC_DELIVER : IPC_RELAY;
	d->peer = choose_peer(c, d);
	d->cursor.next_ms = INT64_MIN;
	return d;
}

static void grow(struct queue_core *c)
{
	size_t size = c->dests ? (c->dest_mask + 1) * 2 : HASH_FIRST;
	struct dest **fresh = base_alloc_zero(size, sizeof(*fresh)), *d;

	for (size_t i = 0; c->dests && i <= c->dest_mask; i++) {
		while ((d = c->dests[i])) {
			c->dests[i] = d->hash_next;
			d->hash_next = fresh[d->hash & (size - 1)];
			fresh[d->hash & (size - 1)] = d;
		}
	}
	free(c->dests);
	c->dests = fresh;
	c->dest_mask = size - 1;
}

struct dest *queue_dest_get(
	struct queue_core *c, const struct route_plan *p, struct base_slice domain)
{
	struct base_slice host = p->via == CONF_VIA_MX ? domain : base_slice_text(p->host);
	uint64_t hash = hash_plan(p, host);
	struct dest *d;

	if (!c->dests || c->dest_count > c->dest_mask)
		grow(c);
	for (d = c->dests[hash & c->dest_mask]; d; d = d->hash_next)
		if (is_same(d, p, host, hash))
			return d;
	d = make(c, p, host, hash);
	d->hash_next = c->dests[hash & c->dest_mask];
	c->dests[hash & c->dest_mask] = d;
	c->dest_count++;
	return d;
}

struct dest *queue_dest_find(struct queue_core *c, uint64_t hash)
{
	struct dest *d = c->dests ? c->dests[hash & c->dest_mask] : NULL;

	while (d && d->hash != hash)
		d = d->hash_next;
	return d;
}

/* ---- the run list ---- */

static void unrun(struct queue_core *c, struct dest *d)
{
	struct peer *p = queue_peer(c, d->role, d->peer);

	if (!d->running)
		return;
	d->running = false;
	*(d->prev_run ? &d->prev_run->next_run : &p->first) = d->next_run;
	*(d->next_run ? &d->next_run->prev_run : &p->last) = d->prev_run;
}

void queue_dest_run(struct queue_core *c, struct dest *d)
{
	struct peer *p;

	if (d->running || d->ready == 0)
		return;
	if (d->sent == 0)
		d->peer = choose_peer(c, d);
	p = queue_peer(c, d->role, d->peer);
	d->running = true;
	d->next_run = NULL;
	d->prev_run = p->last;
	*(p->last ? &p->last->next_run : &p->first) = d;
	p->last = d;
}

void queue_dest_remap(struct queue_core *c)
{
	for (size_t i = 0; c->dests && i <= c->dest_mask; i++)
		for (struct dest *d = c->dests[i]; d; d = d->hash_next) {
			if (d->sent || d->peer == choose_peer(c, d))
				continue;
			unrun(c, d);
			queue_dest_run(c, d);
		}
}

static void free_dest(struct queue_core *c, struct dest *d)
{
	struct dest **at = &c->dests[d->hash & c->dest_mask];

	unrun(c, d);
	while (*at != d)
		at = &(*at)->hash_next;
	*at = d->hash_next;
	c->dest_count--;
	/* Somebody must still find what it parked. */
	if (d->parked)
		c->parked_any = true;
	free(d->text);
	free(d);
}

/* ---- units of a destination ---- */

bool queue_dest_has_room(const struct queue_core *c, const struct dest *d)
{
	uint32_t free_places = c->message_count < WINDOW_MESSAGES
		? WINDOW_MESSAGES - c->message_count
		: 0;

	return d->units <= (free_places > ROOM_LEAST ? free_places : ROOM_LEAST);
}

void queue_dest_attach(struct dest *d, struct unit *u)
{
	u->dest = d;
	d->units++;
}

void queue_dest_detach(struct queue_core *c, struct unit *u)
{
	struct dest *d = u->dest;

	if (!d)
		return;
	if (u->state == UNIT_READY)
		queue_dest_unready(c, u);
	u->dest = NULL;
	u->dest_hash = d->hash;
	if (--d->units == 0)
		free_dest(c, d);
}

void queue_dest_ready(struct queue_core *c, struct unit *u, bool first)
{
	struct dest *d = u->dest;

	u->state = UNIT_READY;
	u->prev_ready = first ? NULL : d->last;
	u->next_ready = first ? d->first : NULL;
	*(u->prev_ready ? &u->prev_ready->next_ready : &d->first) = u;
	*(u->next_ready ? &u->next_ready->prev_ready : &d->last) = u;
	d->ready++;
	queue_dest_run(c, d);
}

void queue_dest_unready(struct queue_core *c, struct unit *u)
{
	struct dest *d = u->dest;

	*(u->prev_ready ? &u->prev_ready->next_ready : &d->first) = u->next_ready;
	*(u->next_ready ? &u->next_ready->prev_ready : &d->last) = u->prev_ready;
	if (--d->ready == 0)
		unrun(c, d);
}

/* ---- jobs ---- */

static uint32_t job_make(struct queue_core *c, struct unit *u)
{
	struct job_slot *slot;
	uint32_t i, old = c->job_cap;

	if (c->job_free == UINT32_MAX) {
		c->job_cap = old ? old * 2 : 64;
		BASE_BUG_IF(c->job_cap > 1u << 16);
		c->jobs = base_realloc(c->jobs, c->job_cap * sizeof(*c->jobs));
		for (i = c->job_cap; i-- > old;) {
			/* Not from 0: a late result of a job of the process before this one must
			 * not fit a job of this one. */
			c->jobs[i] = (struct job_slot){.next_free = c->job_free};
			c->ports->random(
				c->arg, &c->jobs[i].generation, sizeof(c->jobs[i].generation));
			c->job_free = i;
		}
	}
	i = c->job_free;
	slot = &c->jobs[i];
	c->job_free = slot->next_free;
	slot->unit = u;
	slot->generation++;
	slot->role = u->dest->role;
	slot->peer = u->dest->peer;
	c->job_count++;
	return (uint32_t)slot->generation << 16 | i;
}

/* The job is over: its unit, in nobody's hands; null if it is not this peer's job. */
struct unit *queue_job_take(
	struct queue_core *c, enum ipc_role role, unsigned peer, uint32_t job_id)
{
	uint32_t i = job_id & 0xffff;
	struct job_slot *slot;
	struct unit *u;

	if (i >= c->job_cap)
		return NULL;
	slot = &c->jobs[i];
	u = slot->unit;
	if (!u || slot->generation != job_id >> 16 || slot->role != role || slot->peer != peer)
		return NULL;
	slot->unit = NULL;
	slot->next_free = c->job_free;
	c->job_free = i;
	c->job_count--;
	queue_peer(c, role, peer)->sent--;
	u->dest->sent--;
	u->state = UNIT_NEW;
	queue_dest_run(c, u->dest);
	return u;
}

/* The envelope with this unit's recipients only. */
static struct base_slice unit_envelope(struct queue_core *c, const struct unit *u)
{
	const struct message *m = u->m;
	struct envelope e;
	struct envelope_rcpt rcpt;
	struct rcpt_walk w;

	queue_rcpt_walk_begin(&w, m, &e);
	if (u->rcpt_count == e.rcpt_count)
		return base_slice_make(m->envelope, m->envelope_len);
	base_buf_clear(&c->scratch);
	e.rcpt_count = u->rcpt_count;
	envelope_put(&c->scratch, &e);
	for (uint32_t k = 0; k < u->rcpt_count; k++)
		if (queue_rcpt_walk(&w, u->rcpts[k].index, &rcpt))
			envelope_put_rcpt(&c->scratch, &rcpt);
	BASE_BUG_IF(!base_buf_ok(&c->scratch));
	return base_buf_slice(&c->scratch);
}

/* Find the bytes of the message: in memory, in the spool, or as a file. */
static int get_body(struct queue_core *c, struct message *m, struct job *job, int *out_fd,
	struct base_error *err)
{
	struct spool_message s;
	int rc;

	*out_fd = -1;
	if (m->file) {
		job->file = true;
		return spool_file_open(c->spool, base_id_slice(&m->id), out_fd, err);
	}
	if (m->body || m->size == 0) {
		job->message = base_slice_make(m->body, m->size);
		return 0;
	}
	rc = spool_load(c->spool, m->seq, true, &s, err);
	if (rc == 0 && s.body.len != m->size)
		rc = base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"message \"%s\" is damaged in "
			"the spool",
			m->id.text);
	if (rc == 0)
		job->message = s.body;
	return rc;
}

/* The body cannot be read: try again later, like any delivery that failed. */
static void put_off(struct queue_core *c, struct unit *u, const struct base_error *err)
{
	struct verdict *v = base_alloc_zero(u->rcpt_count, sizeof(*v));
	uint32_t count = u->rcpt_count;

	queue_error(c, "a message cannot be read", err);
	for (uint32_t k = 0; k < count; k++)
		v[k] = (struct verdict){.index = u->rcpts[k].index,
			.outcome = JOB_DEFERRED,
			.code = 451,
			.enhanced = BASE_SLICE("4.3.0"),
			.reason = base_slice_text(err->text)};
	queue_settle(c, u, NULL, v, count);
	free(v);
}

static bool send_unit(struct queue_core *c, struct unit *u)
{
	struct dest *d = u->dest;
	struct message *m = u->m;
	struct base_error err;
	struct job job = {
		.message_id = base_id_slice(&m->id),
		.attempt = u->attempts + 1,
		.via = d->via,
		.tls = d->tls,
		.host = d->host,
		.port = d->port,
		.path = d->path,
		.account = d->account,
		.route = d->route,
		.size = m->size,
	};
	bool sent;
	int fd;

	if (get_body(c, m, &job, &fd, &err) != 0) {
		queue_dest_unready(c, u);
		u->state = UNIT_NEW;
		put_off(c, u, &err);
		return true;
	}
	job.envelope = unit_envelope(c, u);
	queue_dest_unready(c, u);
	u->state = UNIT_SENT;
	u->job_id = job_make(c, u);
	d->sent++;
	queue_peer(c, d->role, d->peer)->sent++;
	sent = c->ports->job(c->arg, d->role, d->peer, u->job_id, &job, fd);
	if (sent)
		return true;
	(void)queue_job_take(c, d->role, d->peer, u->job_id);
	queue_dest_ready(c, u, true);
	return false;
}

/* Once all units of a message are on their way, its body is not needed until one comes back. */
static void lighten(struct queue_core *c, struct message *m)
{
	for (const struct unit *u = m->units; u; u = u->next)
		if (u->state == UNIT_READY || u->state == UNIT_NEW)
			return;
	queue_message_forget_body(c, m);
}

/* One unit of each destination in turn. One that has its share leaves the run list and comes back with
 * the next of its own results. */
static void pump_peer(struct queue_core *c, struct peer *p)
{
	struct dest *d;
	struct message *m;
	bool more = true;

	while (more && p->up && p->first && p->sent < p->capacity) {
		d = p->first;
		unrun(c, d);
		if (d->sent >= SENT_LEAST && d->sent >= p->capacity - p->sent)
			continue;
		m = d->first->m;
		more = send_unit(c, d->first);
		if (more)
			lighten(c, m);
		/* It is still there: its unit is outstanding, or waits for the commit that puts it
		 * off. */
		queue_dest_run(c, d);
	}
}

void queue_pump(struct queue_core *c)
{
	if (c->draining || spool_is_faulty(c->spool))
		return;
	for (unsigned i = 0; i < c->relay_count; i++)
		pump_peer(c, &c->relays[i]);
	for (unsigned i = 0; i < c->deliver_count; i++)
		pump_peer(c, &c->deliver[i]);
}
