/* The turn, and what comes into it. The rules of the spool's failures are in spool/sqlite.c.
 *
 *	events: submit, result …    change memory; every message that changed is "touched"
 *	turn:   stage the touched, commit, answer          nothing was answered or delivered before
 *	        then send jobs, then read what is due
 *
 * A turn that cannot be committed refuses the messages that came in it (their clients were promised
 * nothing); what else changed stays touched and is staged again by a later turn. While the spool is
 * faulty no job is sent at all, and each turn first tries to repair it. */
#include "queue/core_internal.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGE_SLOTS = 8192 };

void queue_error(struct queue_core *c, const char *what, const struct base_error *err)
{
	c->ports->error(c->arg, what, err);
}

struct queue_core *queue_core_new(struct spool *spool, const struct queue_ports *ports, void *arg,
	const struct conf *conf, int64_t now_ms)
{
	struct queue_core *c = base_alloc_zero(1, sizeof(*c));

	c->spool = spool;
	c->ports = ports;
	c->arg = arg;
	c->now_ms = now_ms;
	c->messages = base_alloc_zero(MESSAGE_SLOTS, sizeof(*c->messages));
	c->message_mask = MESSAGE_SLOTS - 1;
	c->touched_last = &c->touched;
	c->job_free = UINT32_MAX;
	base_buf_init(&c->scratch, 64 * 1024 * 1024);
	base_buf_init(&c->detail, 64 * 1024 * 1024);
	queue_plan_set_conf(c, conf);
	queue_senders_load(c);
	queue_load_restart(c);
	return c;
}

void queue_core_free(struct queue_core **cp)
{
	struct queue_core *c = *cp;
	struct message *m;

	*cp = NULL;
	if (!c)
		return;
	for (uint32_t i = 0; i < c->job_cap; i++)
		if (c->jobs[i].unit)
			c->jobs[i].unit->state = UNIT_NEW;
	while ((m = c->touched)) {
		c->touched = m->touched_next;
		m->touched = false;
		if (!m->added)
			queue_message_free(c, m);
	}
	for (size_t i = 0; i <= c->message_mask; i++)
		while (c->messages[i])
			queue_message_free(c, c->messages[i]);
	queue_plan_release(c);
	route_sender_table_free(&c->senders);
	queue_accounts_forget(c);
	free(c->messages);
	free(c->dests);
	free(c->jobs);
	free(c->queries);
	base_buf_release(&c->scratch);
	base_buf_release(&c->detail);
	free(c);
}

void queue_core_set_conf(struct queue_core *c, const struct conf *conf)
{
	queue_plan_set_conf(c, conf);
}

/* ---- what comes in ---- */

static void answer(struct queue_core *c, struct message *m, enum base_error_class class)
{
	if (m->asked)
		c->ports->submitted(c->arg, &m->client, &m->id, class);
	m->asked = false;
}

/* The body's file takes the message's name. A name that is taken: the message is there already, if
 * the spool knows it. */
static enum base_error_class keep_file(
	struct queue_core *c, const struct base_id *id, struct spool_file *file, uint64_t size)
{
	struct base_error err;
	int64_t seq;
	int rc = spool_file_keep(c->spool, file, base_id_slice(id), size, &err);

	if (rc == BASE_ERROR_EXISTS && spool_find(c->spool, base_id_slice(id), &seq, &err) == 0)
		return BASE_ERROR_EXISTS;
	if (rc != 0)
		queue_error(c, "a message is refused", &err);
	return rc == BASE_ERROR_EXISTS ? BASE_ERROR_TEMPORARY : (enum base_error_class)rc;
}

void queue_core_submit(struct queue_core *c, const struct queue_client *client,
	const struct base_id *id, struct base_slice envelope, uint64_t size, struct base_slice body,
	struct spool_file *file, int64_t now_ms)
{
	enum base_error_class class = BASE_ERROR_NONE;
	struct envelope e;
	struct message *m;

	c->now_ms = now_ms;
	if (spool_is_faulty(c->spool))
		class = BASE_ERROR_TEMPORARY;
	else if (!queue_envelope_is_whole(envelope, &e) || (!file && body.len != size) ||
		(!file && size > SPOOL_INLINE_MAX_BYTES))
		class = BASE_ERROR_PEER;
	else if (file)
		class = keep_file(c, id, file, size);
	if (file)
		spool_file_drop(c->spool, file);
	if (class != BASE_ERROR_NONE) {
		c->ports->submitted(
			c->arg, client, id, class == BASE_ERROR_EXISTS ? BASE_ERROR_NONE : class);
		return;
	}
	m = queue_message_new(c, envelope, file ? BASE_SLICE_EMPTY : body);
	m->id = *id;
	m->arrived_ms = e.arrived_ms;
	m->size = size;
	m->file = file != NULL;
	m->refusable = true;
	m->asked = true;
	m->client = *client;
	c->new_count++;
	c->new_bytes += envelope.len + body.len;
	queue_message_touch(c, m);
	queue_plan_message(c, m);
}

void queue_core_query(
	struct queue_core *c, const struct queue_client *client, const struct base_id *id)
{
	if (c->query_count == c->query_cap) {
		c->query_cap = c->query_cap ? c->query_cap * 2 : 16;
		c->queries = base_realloc(c->queries, c->query_cap * sizeof(*c->queries));
	}
	c->queries[c->query_count++] = (struct query){*client, *id};
}

bool queue_core_wants_turn(const struct queue_core *c)
{
	return c->new_count >= TURN_MESSAGES || c->new_bytes >= TURN_BYTES;
}

/* ---- peers ---- */

void queue_core_peer_up(struct queue_core *c, enum ipc_role role, unsigned index)
{
	unsigned *count = role == IPC_DELIVER ? &c->deliver_count : &c->relay_count;
	struct peer *p;

	if (index >= PEERS_MAX)
		return;
	p = queue_peer(c, role, index);
	p->up = true;
	p->capacity = 0;
	if (index >= *count) {
		*count = index + 1;
		queue_dest_remap(c);
	}
}

void queue_core_capacity(struct queue_core *c, enum ipc_role role, unsigned index, uint32_t jobs)
{
	if (index < PEERS_MAX)
		queue_peer(c, role, index)->capacity = jobs < CAPACITY_MAX ? jobs : CAPACITY_MAX;
}

/* A unit came back without a result. */
static void back_again(struct queue_core *c, struct unit *u)
{
	struct message *m = u->m;

	if (m->held)
		u->state = UNIT_HOLD;
	if (!m->gone && !m->held) {
		queue_dest_ready(c, u, true);
		return;
	}
	if (m->gone)
		queue_unit_free(c, u);
	else
		queue_message_touch(c, m);
	if (m->gone && !m->units && !m->touched)
		queue_message_free(c, m);
}

void queue_core_peer_down(struct queue_core *c, enum ipc_role role, unsigned index)
{
	struct unit *u;

	if (index >= PEERS_MAX)
		return;
	queue_peer(c, role, index)->up = false;
	for (uint32_t i = 0; i < c->job_cap; i++) {
		struct job_slot *slot = &c->jobs[i];

		if (!slot->unit || slot->role != role || slot->peer != index)
			continue;
		u = queue_job_take(c, role, index, (uint32_t)slot->generation << 16 | i);
		back_again(c, u);
	}
}

/* ---- results ---- */

static int by_index(const void *a, const void *b)
{
	const struct verdict *x = a, *y = b;

	return x->index < y->index ? -1 : x->index > y->index;
}

/* Recipients are numbered by their place in the job; those that the result leaves out are put off. */
static bool read_verdicts(
	const struct unit *u, struct ipc_reader *rest, uint32_t count, struct verdict *out)
{
	struct job_rcpt_result r;

	for (uint32_t k = 0; k < u->rcpt_count; k++)
		out[k] = (struct verdict){.index = u->rcpts[k].index,
			.outcome = JOB_DEFERRED,
			.code = 451,
			.enhanced = BASE_SLICE("4.3.0"),
			.reason = BASE_SLICE("no result for this recipient")};
	for (uint32_t i = 0; i < count; i++) {
		if (!job_result_get_rcpt(rest, &r) || r.index >= u->rcpt_count)
			return false;
		out[r.index] = (struct verdict){.index = u->rcpts[r.index].index,
			.outcome = r.outcome,
			.code = r.code,
			.enhanced = r.enhanced,
			.reply = r.reply,
			.reason = r.reason,
			.dsn_relayed = r.dsn_relayed};
	}
	qsort(out, u->rcpt_count, sizeof(*out), by_index);
	return ipc_reader_done(rest);
}

bool queue_core_result(struct queue_core *c, enum ipc_role role, unsigned index, uint32_t job_id,
	struct base_slice body, int64_t now_ms)
{
	struct verdict few[4], *verdicts = few;
	struct ipc_reader rest;
	struct job_result r;
	struct unit *u;
	bool good;

	c->now_ms = now_ms;
	if (index >= PEERS_MAX || !job_result_get(body, &r, &rest))
		return false;
	u = queue_job_take(c, role, index, job_id);
	if (!u)
		return false;
	if (u->m->gone) {
		back_again(c, u);
		return true;
	}
	if (u->rcpt_count > BASE_COUNT(few))
		verdicts = base_alloc(u->rcpt_count * sizeof(*verdicts));
	good = read_verdicts(u, &rest, r.rcpt_count, verdicts);
	if (good)
		queue_settle(c, u, &r, verdicts, u->rcpt_count);
	else
		back_again(c, u);
	if (verdicts != few)
		free(verdicts);
	return good;
}

/* ---- the turn ---- */

static enum spool_sync sync_for(const struct queue_core *c)
{
	for (const struct message *m = c->touched; m; m = m->touched_next)
		if (!m->added || m->file)
			return SPOOL_SYNC;
	return SPOOL_WRITE;
}

static void tell_done(struct queue_core *c, const struct message *m)
{
	struct queue_event event = {
		.kind = QUEUE_EVENT_DONE,
		.message = base_id_slice(&m->id),
		.size = m->size,
		.duration_ms = c->now_ms - m->arrived_ms,
		.end = true,
	};
	struct rcpt_walk w;
	struct envelope e;

	queue_rcpt_walk_begin(&w, m, &e);
	event.session = e.session;
	event.user = e.user;
	event.sender = e.sender;
	c->ports->event(c->arg, &event);
}

/* The turn is committed: memory follows. */
static void after_commit(struct queue_core *c, struct message *m)
{
	struct unit *u, *next;
	bool rows = queue_message_needs_rows(m);

	answer(c, m, BASE_ERROR_NONE);
	if (m->gone ? !m->units : queue_message_is_finished(m)) {
		if (!m->gone && !m->quiet_end)
			tell_done(c, m);
		queue_message_free(c, m);
		return;
	}
	if (!m->added)
		queue_message_hash(c, m);
	m->added = true;
	m->refusable = false;
	for (u = m->units; u; u = next) {
		next = u->next;
		if (u->state == UNIT_DONE) {
			queue_unit_free(c, u);
			continue;
		}
		u->stored = rows;
		u->dirty = false;
		if (u->state == UNIT_NEW) {
			queue_dest_ready(c, u, false);
		} else if (u->state != UNIT_READY && u->state != UNIT_SENT) {
			m->disk_units++;
			if (u->state == UNIT_LATER && u->next_ms < c->due_at_ms)
				c->due_at_ms = u->next_ms;
			queue_unit_free(c, u);
		}
	}
	m->has_rows = rows;
	if (!m->units)
		queue_message_free(c, m);
	else if (c->bytes > WINDOW_BYTES)
		queue_message_forget_body(c, m);
}

static struct message *take_touched(struct queue_core *c)
{
	struct message *first = c->touched;

	c->touched = NULL;
	c->touched_last = &c->touched;
	c->new_count = c->result_count = 0;
	c->new_bytes = 0;
	return first;
}

/* The turn is undone: refuse what came in it, keep the rest touched. */
static void after_failure(struct queue_core *c, enum base_error_class class)
{
	struct message *m = take_touched(c), *next;

	for (; m; m = next) {
		next = m->touched_next;
		m->touched = false;
		if (!m->added)
			m->seq = 0;
		if (!m->refusable) {
			queue_message_touch(c, m);
			continue;
		}
		answer(c, m, class);
		queue_message_free(c, m);
	}
}

static void fail_turn(struct queue_core *c, const struct base_error *err)
{
	if (!c->told_fault)
		queue_error(c, "the queue cannot write; messages are refused until it can", err);
	c->told_fault = true;
	c->retry_at_ms = c->now_ms + (spool_is_faulty(c->spool) ? REPAIR_WAIT_MS : RETRY_WAIT_MS);
	after_failure(c, err->class);
}

static int stage_all(struct queue_core *c, struct base_error *err)
{
	int rc = spool_begin(c->spool, sync_for(c), err);

	for (struct message *m = c->touched; m && rc == 0; m = m->touched_next) {
		rc = queue_message_stage(c, m, err);
		if (rc != BASE_ERROR_EXISTS)
			continue;
		/* The very message is stored: that is what its client wants to hear. */
		rc = 0;
		m->gone = true;
		while (m->units)
			queue_unit_free(c, m->units);
	}
	return rc;
}

/* Commit what is touched. 0 or negative with the turn undone. */
static int commit(struct queue_core *c, struct base_error *err)
{
	struct message *m, *next;
	int rc;

	rc = stage_all(c, err);
	if (rc == 0)
		rc = spool_commit(c->spool, err);
	if (rc != 0) {
		spool_rollback(c->spool);
		fail_turn(c, err);
		return rc;
	}
	c->told_fault = false;
	c->retry_at_ms = 0;
	for (m = take_touched(c); m; m = next) {
		next = m->touched_next;
		m->touched = false;
		after_commit(c, m);
	}
	return 0;
}

/* False: still faulty; what came meanwhile is refused. */
static bool repair(struct queue_core *c)
{
	struct base_error err = {.class = BASE_ERROR_TEMPORARY};

	if (!spool_is_faulty(c->spool))
		return true;
	if (c->now_ms >= c->retry_at_ms && spool_repair(c->spool, &err) == 0) {
		queue_load_restart(c);
		return true;
	}
	if (c->now_ms >= c->retry_at_ms)
		c->retry_at_ms = c->now_ms + REPAIR_WAIT_MS;
	after_failure(c, BASE_ERROR_TEMPORARY);
	return false;
}

/* Results alone may wait a little for messages to share their transaction with. */
static bool may_wait(const struct queue_core *c)
{
	if (c->new_count)
		return false;
	if (c->now_ms < c->retry_at_ms)
		return true;
	return c->result_count && c->result_count < RESULT_WAIT_MAX && !c->draining &&
		c->now_ms - c->results_since_ms < RESULT_WAIT_MS &&
		c->now_ms >= c->results_since_ms;
}

static void answer_queries(struct queue_core *c)
{
	struct base_error err;
	int64_t seq;
	int rc;

	for (size_t i = 0; i < c->query_count; i++) {
		rc = spool_find(c->spool, base_id_slice(&c->queries[i].id), &seq, &err);
		if (rc != 0 && rc != BASE_ERROR_NOT_FOUND)
			queue_error(c, "the queue cannot be read", &err);
		c->ports->known(c->arg, &c->queries[i].client, &c->queries[i].id, rc == 0);
	}
	c->query_count = 0;
}

static int64_t wait_ms(const struct queue_core *c)
{
	int64_t wait = LOOK_AROUND_MS, until;
	bool room = queue_window_has_room(c);

	if (c->touched) {
		until = c->result_count ? c->results_since_ms + RESULT_WAIT_MS : c->now_ms;
		until = until > c->retry_at_ms ? until : c->retry_at_ms;
		wait = until - c->now_ms < wait ? until - c->now_ms : wait;
	}
	if (spool_is_faulty(c->spool))
		return c->retry_at_ms > c->now_ms ? c->retry_at_ms - c->now_ms : 0;
	if (room && !c->draining) {
		if (c->due_more || c->parked_any || !c->fresh.done)
			return 0;
		if (c->due_at_ms - c->now_ms < wait)
			wait = c->due_at_ms - c->now_ms;
	}
	return wait > 0 ? wait : 0;
}

int64_t queue_core_turn(struct queue_core *c, int64_t now_ms)
{
	struct base_error err;

	/* The clock was set back: what was due then may have been passed over. */
	if (now_ms < c->now_ms)
		queue_load_restart(c);
	c->now_ms = now_ms;
	if (repair(c)) {
		if (c->touched && !may_wait(c))
			(void)commit(c, &err);
		if (c->works_count && !c->touched)
			queue_accounts_wake(c);
		queue_pump(c);
		queue_load(c);
		queue_pump(c);
		if (spool_maintain(c->spool, &err) != 0)
			queue_error(c, "the queue's log cannot be written back", &err);
	}
	answer_queries(c);
	return wait_ms(c);
}

/* ---- administrators ---- */

static bool changes(enum spool_admin_verb verb)
{
	return verb == SPOOL_ADMIN_HOLD || verb == SPOOL_ADMIN_RELEASE ||
		verb == SPOOL_ADMIN_REMOVE || verb == SPOOL_ADMIN_RETRY;
}

static struct message *asked_for(struct queue_core *c, const struct spool_admin *a)
{
	struct base_error err;
	int64_t seq;

	if (spool_admin_id(a).len == 0 || spool_find(c->spool, spool_admin_id(a), &seq, &err) != 0)
		return NULL;
	return queue_message_find(c, seq);
}

/* The spool tells all that memory knows. */
static int write_down(struct queue_core *c, int64_t now_ms, struct base_error *err)
{
	c->now_ms = now_ms;
	if (!repair(c))
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "the queue cannot write now");
	return c->touched ? commit(c, err) : 0;
}

int queue_core_senders_before(struct queue_core *c, int64_t now_ms, struct base_error *err)
{
	return write_down(c, now_ms, err);
}

void queue_core_senders_after(struct queue_core *c)
{
	queue_senders_load(c);
	queue_senders_replan(c);
	queue_load_restart(c);
}

int queue_core_admin_before(
	struct queue_core *c, const struct spool_admin *a, int64_t now_ms, struct base_error *err)
{
	struct message *m;
	int rc;

	c->now_ms = now_ms;
	if (!changes(spool_admin_verb(a)))
		return 0;
	rc = write_down(c, now_ms, err);
	m = rc == 0 && spool_admin_verb(a) == SPOOL_ADMIN_HOLD ? asked_for(c, a) : NULL;
	if (!m)
		return rc;
	/* Rows for all that memory holds, so that there is something to hold. */
	m->held = true;
	for (struct unit *u = m->units; u; u = u->next)
		u->dirty = true;
	queue_message_touch(c, m);
	return commit(c, err);
}

void queue_core_admin_after(struct queue_core *c, const struct spool_admin *a)
{
	struct message *m = asked_for(c, a);
	struct unit *u, *next;
	enum spool_admin_verb verb = spool_admin_verb(a);

	if (!changes(verb))
		return;
	queue_load_restart(c);
	if (!m && verb == SPOOL_ADMIN_REMOVE) {
		/* Gone from the spool, so it has no number there any more. */
		for (size_t i = 0; i <= c->message_mask && !m; i++)
			for (m = c->messages[i];
				m && !base_slice_equal(base_id_slice(&m->id), spool_admin_id(a));
				m = m->hash_next)
				;
	}
	if (!m)
		return;
	if (verb == SPOOL_ADMIN_RELEASE)
		m->held = false;
	if (verb != SPOOL_ADMIN_HOLD && verb != SPOOL_ADMIN_REMOVE)
		return;
	m->gone = verb == SPOOL_ADMIN_REMOVE;
	for (u = m->units; u; u = next) {
		next = u->next;
		if (u->state == UNIT_SENT)
			continue;
		if (!m->gone)
			m->disk_units++;
		queue_unit_free(c, u);
	}
	if (!m->units)
		queue_message_free(c, m);
}

void queue_core_drain(struct queue_core *c)
{
	c->draining = true;
}

bool queue_core_is_idle(const struct queue_core *c)
{
	return c->job_count == 0 && !c->touched && c->query_count == 0;
}

void queue_core_stats(const struct queue_core *c, struct queue_core_stats *out)
{
	*out = (struct queue_core_stats){
		.messages = c->message_count,
		.jobs = c->job_count,
		.destinations = c->dest_count,
		.bytes = c->bytes,
		.faulty = spool_is_faulty(c->spool),
	};
}
