/* Reading from the spool what memory has no longer, or never had.
 *
 *	fresh    messages that a former owner accepted and did not come to; once, after the start
 *	due      timed work whose time has come: into memory if there is room for its destination, else
 *	         parked, so that the next look at the time does not meet it again
 *	parked   work that waits for room: asked for by its destination while it has little else to do,
 *	         and found by a sweep over all destinations when none of memory's knows of it
 *
 * Each call does a bounded part. What is in memory already is met again and passed over. */
#include "queue/core_internal.h"

enum { SWEEP_DESTS = 8, SWEEP_UNITS = 8, PULL_UNITS = 32 };

void queue_load_restart(struct queue_core *c)
{
	c->due_cursor = (struct spool_key){.next_ms = INT64_MIN};
	c->due_at_ms = 0;
	c->parked_any = true;
	c->parked_sweep = INT64_MIN;
}

static int load_message(
	struct queue_core *c, int64_t seq, struct message **out, struct base_error *err)
{
	struct message *m = queue_message_find(c, seq);
	struct spool_message s;
	struct envelope e;
	struct base_id id;
	int64_t rows = 0;
	int rc;

	*out = m;
	if (m)
		return 0;
	rc = spool_work_count(c->spool, seq, &rows, err);
	if (rc == 0)
		rc = spool_load(c->spool, seq, false, &s, err);
	if (rc != 0)
		return rc;
	if (!base_id_parse(s.id, &id) || !queue_envelope_is_whole(s.envelope, &e))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"message %lld is damaged in the spool", (long long)seq);
	m = queue_message_new(c, s.envelope, BASE_SLICE_EMPTY);
	m->seq = seq;
	m->id = id;
	m->arrived_ms = s.arrived_ms;
	m->size = s.size;
	m->file = s.file;
	m->added = true;
	m->has_rows = rows > 0;
	m->disk_units = (uint32_t)rows;
	queue_message_hash(c, m);
	*out = m;
	return 0;
}

static void drop_if_empty(struct queue_core *c, struct message *m)
{
	if (!m->units && !m->touched)
		queue_message_free(c, m);
}

/* A row becomes a unit; its recipients' words come along. */
static struct unit *unit_of(struct message *m, const struct spool_work *w)
{
	struct spool_detail d;
	struct spool_rcpt r;
	struct unit *u;

	if (!spool_detail_get(w->detail, &d))
		return NULL;
	u = queue_unit_new(m, w->unit);
	u->attempts = w->attempts;
	u->flags = w->flags;
	u->stored = true;
	u->dirty = false;
	u->dest_hash = w->dest;
	u->account = d.account.len && !base_slice_has(d.account, '\0') ? base_slice_dup(d.account)
								       : NULL;
	while (spool_detail_get_rcpt(&d, &r))
		if (u->rcpt_count == 0 || u->rcpts[u->rcpt_count - 1].index < r.index)
			queue_unit_add_rcpt(u, r.index, r.state, r.reason);
	m->disk_units--;
	return u;
}

void queue_place(struct queue_core *c, struct message *m)
{
	bool room = queue_window_has_room(c);
	struct unit *u;

	for (u = m->units; u; u = u->next) {
		if (u->state != UNIT_NEW || !u->dest)
			continue;
		/* A unit without a row would be lost to the next process. */
		if (u->dirty || !u->stored)
			queue_message_touch(c, m);
		if (room && queue_dest_has_room(c, u->dest)) {
			if (!m->touched)
				queue_dest_ready(c, u, false);
			continue;
		}
		u->dest->parked = true;
		queue_dest_detach(c, u);
		u->state = UNIT_PARK;
		u->dirty = true;
		queue_message_touch(c, m);
	}
}

static bool in_memory(const struct message *m, uint32_t number)
{
	for (const struct unit *u = m->units; u; u = u->next)
		if (u->number == number && u->stored)
			return true;
	return false;
}

int queue_load_unit(struct queue_core *c, int64_t seq, uint32_t number, struct base_error *err)
{
	struct message *m;
	struct spool_work w;
	struct unit *u;
	int rc = load_message(c, seq, &m, err);

	if (rc != 0)
		return rc;
	if (m->gone || in_memory(m, number))
		return 0;
	rc = spool_work_load(c->spool, seq, number, &w, err);
	if (rc == 0) {
		u = unit_of(m, &w);
		if (!u) {
			rc = base_error_set(err, BASE_ERROR_PERMANENT, 0,
				"work of message \"%s\" is damaged in the spool", m->id.text);
		} else {
			u->state = UNIT_NEW;
			queue_plan_unit(c, u);
			queue_place(c, m);
		}
	}
	drop_if_empty(c, m);
	return rc == BASE_ERROR_NOT_FOUND ? 0 : rc;
}

static void load_keys(struct queue_core *c, const struct spool_key *keys, size_t count)
{
	struct base_error err;

	for (size_t i = 0; i < count; i++)
		if (queue_load_unit(c, keys[i].seq, keys[i].unit, &err) != 0)
			queue_error(c, "work cannot be read", &err);
}

static void load_due(struct queue_core *c)
{
	struct spool_key keys[LOAD_BATCH];
	struct base_error err;
	size_t count;

	c->due_more = false;
	if (c->due_at_ms > c->now_ms || !queue_window_has_room(c))
		return;
	if (spool_due(c->spool, &c->due_cursor, c->now_ms, keys, LOAD_BATCH, &count, &err) != 0) {
		queue_error(c, "the queue cannot be read", &err);
		c->due_at_ms = c->now_ms + RETRY_WAIT_MS;
		return;
	}
	load_keys(c, keys, count);
	c->due_more = count == LOAD_BATCH;
	if (c->due_more)
		return;
	if (spool_due_time(c->spool, &c->due_cursor, &c->due_at_ms, &err) != 0)
		c->due_at_ms = c->now_ms + RETRY_WAIT_MS;
}

/* Parked work of a destination in memory that could do more. */
static void pull(struct queue_core *c, struct dest *d)
{
	struct spool_key keys[PULL_UNITS];
	struct base_error err;
	size_t count;

	if (spool_parked(c->spool, d->hash, &d->cursor, keys, PULL_UNITS, &count, &err) != 0) {
		queue_error(c, "the queue cannot be read", &err);
		return;
	}
	if (count == 0) {
		d->parked = false;
		d->cursor = (struct spool_key){.next_ms = INT64_MIN};
		return;
	}
	load_keys(c, keys, count);
}

static void pull_all(struct queue_core *c)
{
	struct dest *d, *next;

	for (size_t i = 0; c->dests && i <= c->dest_mask; i++) {
		for (d = c->dests[i]; d; d = next) {
			next = d->hash_next;
			if (!queue_window_has_room(c))
				return;
			if (d->parked && d->ready < READY_LOW)
				pull(c, d);
		}
	}
}

/* Destinations that memory does not know. */
static void sweep(struct queue_core *c)
{
	struct spool_key cursor, keys[SWEEP_UNITS];
	struct base_error err;
	struct dest *d;
	size_t count;
	int rc = 0;

	for (int i = 0; i < SWEEP_DESTS && rc == 0 && queue_window_has_room(c); i++) {
		rc = spool_parked_dest(c->spool, &c->parked_sweep, &err);
		if (rc != 0)
			break;
		d = queue_dest_find(c, (uint64_t)c->parked_sweep);
		if (d) {
			d->parked = true;
			continue;
		}
		cursor = (struct spool_key){.next_ms = INT64_MIN};
		rc = spool_parked(c->spool, (uint64_t)c->parked_sweep, &cursor, keys, SWEEP_UNITS,
			&count, &err);
		if (rc == 0)
			load_keys(c, keys, count);
		d = queue_dest_find(c, (uint64_t)c->parked_sweep);
		if (d && count == SWEEP_UNITS)
			d->parked = true;
	}
	if (rc == BASE_ERROR_NOT_FOUND) {
		c->parked_any = false;
		c->parked_sweep = INT64_MIN;
	} else if (rc != 0) {
		queue_error(c, "the queue cannot be read", &err);
	}
}

static void load_fresh(struct queue_core *c)
{
	int64_t seqs[LOAD_BATCH];
	struct base_error err;
	struct message *m;
	size_t count;

	if (spool_fresh_next(c->spool, &c->fresh, seqs, LOAD_BATCH, &count, &err) != 0) {
		queue_error(c, "the queue cannot be read", &err);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		if (load_message(c, seqs[i], &m, &err) != 0) {
			queue_error(c, "a message cannot be read", &err);
			continue;
		}
		if (m->units || m->touched || m->has_rows) {
			drop_if_empty(c, m);
			continue;
		}
		queue_plan_message(c, m);
		for (struct unit *u = m->units; u; u = u->next)
			if (u->state == UNIT_PARK)
				queue_message_touch(c, m);
		/* One that a commit waits for is put in its list after it. */
		for (struct unit *u = m->units; u && !m->touched; u = u->next)
			queue_dest_ready(c, u, false);
	}
}

void queue_load(struct queue_core *c)
{
	if (c->draining || spool_is_faulty(c->spool))
		return;
	if (!c->fresh.done && queue_window_has_room(c))
		load_fresh(c);
	load_due(c);
	pull_all(c);
	if (c->parked_any && queue_window_has_room(c))
		sweep(c);
}
