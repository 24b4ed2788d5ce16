/* Messages and units in memory, and how they are written into a turn.
 *
 * A message that came has no rows of work for as long as all of it is being tried for the first time:
 * after a crash it is fresh, and all of it is due again. The first thing that differs between its
 * recipients, or between this process and the next, makes rows for all units that remain. Staging is
 * repeatable: what is written follows from the state alone, and `stored` and `dirty` change only after
 * the commit (core.c), so a turn that failed is simply staged again. */
#include "queue/core_internal.h"

#include <stdlib.h>
#include <string.h>

struct message *queue_message_new(
	struct queue_core *c, struct base_slice envelope, struct base_slice body)
{
	struct message *m = base_alloc(sizeof(*m) + envelope.len);

	memset(m, 0, sizeof(*m));
	m->envelope_len = envelope.len;
	if (envelope.len)
		memcpy(m->envelope, envelope.ptr, envelope.len);
	c->bytes += envelope.len;
	if (body.len) {
		m->body = base_alloc(body.len);
		memcpy(m->body, body.ptr, body.len);
		m->size = body.len;
		c->bytes += body.len;
	}
	c->message_count++;
	return m;
}

void queue_message_forget_body(struct queue_core *c, struct message *m)
{
	if (!m->body)
		return;
	c->bytes -= m->size;
	free(m->body);
	m->body = NULL;
}

struct message *queue_message_find(struct queue_core *c, int64_t seq)
{
	struct message *m = c->messages[(size_t)seq & c->message_mask];

	while (m && m->seq != seq)
		m = m->hash_next;
	return m;
}

void queue_message_hash(struct queue_core *c, struct message *m)
{
	struct message **at = &c->messages[(size_t)m->seq & c->message_mask];

	m->hash_next = *at;
	*at = m;
}

static void unhash(struct queue_core *c, struct message *m)
{
	struct message **at = &c->messages[(size_t)m->seq & c->message_mask];

	while (*at && *at != m)
		at = &(*at)->hash_next;
	if (*at)
		*at = m->hash_next;
}

void queue_message_free(struct queue_core *c, struct message *m)
{
	BASE_BUG_IF(m->touched);
	for (struct unit *u = m->units, *next; u; u = next) {
		next = u->next;
		queue_unit_free(c, u);
	}
	unhash(c, m);
	queue_message_forget_body(c, m);
	c->bytes -= m->envelope_len;
	c->message_count--;
	free(m);
}

void queue_message_touch(struct queue_core *c, struct message *m)
{
	if (m->touched)
		return;
	m->touched = true;
	m->touched_next = NULL;
	*c->touched_last = m;
	c->touched_last = &m->touched_next;
}

bool queue_window_has_room(const struct queue_core *c)
{
	return c->message_count < WINDOW_MESSAGES && c->bytes < WINDOW_BYTES;
}

/* ---- units ---- */

struct unit *queue_unit_new(struct message *m, uint32_t number)
{
	struct unit *u = base_alloc_zero(1, sizeof(*u));

	u->m = m;
	u->number = number;
	u->rcpts = &u->only;
	u->rcpt_cap = 1;
	u->dirty = true;
	u->next = m->units;
	m->units = u;
	return u;
}

void queue_unit_free(struct queue_core *c, struct unit *u)
{
	struct unit **at = &u->m->units;

	BASE_BUG_IF(u->state == UNIT_SENT);
	queue_dest_detach(c, u);
	while (*at != u)
		at = &(*at)->next;
	*at = u->next;
	for (uint32_t k = 0; k < u->rcpt_count; k++)
		free(u->rcpts[k].reason);
	if (u->rcpts != &u->only)
		free(u->rcpts);
	free(u->account);
	free(u->sender_line);
	free(u);
}

void queue_unit_set_reason(struct unit_rcpt *r, struct base_slice reason)
{
	free(r->reason);
	r->reason = NULL;
	if (reason.len == 0)
		return;
	reason = base_slice_first(reason, SPOOL_DETAIL_REASON_MAX_BYTES);
	r->reason = base_alloc(reason.len + 1);
	memcpy(r->reason, reason.ptr, reason.len);
	r->reason[reason.len] = '\0';
}

void queue_unit_add_rcpt(
	struct unit *u, uint32_t index, enum spool_rcpt_state state, struct base_slice reason)
{
	struct unit_rcpt *grown;

	if (u->rcpt_count == u->rcpt_cap) {
		grown = base_alloc(u->rcpt_cap * 4 * sizeof(*grown));
		memcpy(grown, u->rcpts, u->rcpt_count * sizeof(*grown));
		if (u->rcpts != &u->only)
			free(u->rcpts);
		u->rcpts = grown;
		u->rcpt_cap *= 4;
	}
	BASE_BUG_IF(u->rcpt_count && u->rcpts[u->rcpt_count - 1].index >= index);
	u->rcpts[u->rcpt_count] = (struct unit_rcpt){.index = index, .state = state};
	queue_unit_set_reason(&u->rcpts[u->rcpt_count++], reason);
}

void queue_unit_remove_rcpt(struct unit *u, uint32_t k)
{
	free(u->rcpts[k].reason);
	u->rcpt_count--;
	memmove(&u->rcpts[k], &u->rcpts[k + 1], (u->rcpt_count - k) * sizeof(u->rcpts[0]));
	u->dirty = true;
}

/* ---- the envelope ---- */

void queue_rcpt_walk_begin(struct rcpt_walk *w, const struct message *m, struct envelope *out_head)
{
	bool good = envelope_get(base_slice_make(m->envelope, m->envelope_len), out_head, &w->rest);

	/* Checked when it came, and when it was read back. */
	BASE_BUG_IF(!good);
	w->next = 0;
	w->count = out_head->rcpt_count;
}

bool queue_rcpt_walk(struct rcpt_walk *w, uint32_t index, struct envelope_rcpt *out)
{
	BASE_BUG_IF(index < w->next);
	if (index >= w->count)
		return false;
	while (w->next <= index) {
		if (!envelope_get_rcpt(&w->rest, out))
			return false;
		w->next++;
	}
	return true;
}

/* Check every recipient once, so that nobody has to doubt the envelope afterwards. */
bool queue_envelope_is_whole(struct base_slice bytes, struct envelope *out)
{
	struct envelope_rcpt rcpt;
	struct ipc_reader rest;

	if (!envelope_get(bytes, out, &rest) || out->rcpt_count == 0)
		return false;
	for (uint32_t i = 0; i < out->rcpt_count; i++)
		if (!envelope_get_rcpt(&rest, &rcpt))
			return false;
	return ipc_reader_done(&rest);
}

/* ---- staging ---- */

static int stage_unit(struct queue_core *c, const struct unit *u, struct base_error *err)
{
	struct spool_work w = {
		.seq = u->m->seq,
		.unit = u->number,
		.ready = SPOOL_TIMED,
		.next_ms = c->now_ms,
		.dest = u->dest ? u->dest->hash : u->dest_hash,
		.attempts = u->attempts,
		.flags = u->flags,
	};
	struct spool_rcpt r;

	if (u->state == UNIT_LATER)
		w.next_ms = u->next_ms;
	else if (u->state == UNIT_PARK)
		w.ready = SPOOL_PARKED;
	else if (u->state == UNIT_HOLD || u->m->held)
		w.ready = SPOOL_HELD;
	base_buf_clear(&c->detail);
	spool_detail_put(&c->detail, base_slice_text(u->account), u->rcpt_count);
	for (uint32_t k = 0; k < u->rcpt_count; k++) {
		r = (struct spool_rcpt){
			u->rcpts[k].index, u->rcpts[k].state, base_slice_text(u->rcpts[k].reason)};
		spool_detail_put_rcpt(&c->detail, &r);
	}
	BASE_BUG_IF(!base_buf_ok(&c->detail));
	w.detail = base_buf_slice(&c->detail);
	return spool_work_put(c->spool, &w, err);
}

bool queue_message_needs_rows(const struct message *m)
{
	if (m->has_rows || m->held)
		return true;
	for (const struct unit *u = m->units; u; u = u->next)
		if (u->attempts ||
			(u->state != UNIT_NEW && u->state != UNIT_READY && u->state != UNIT_SENT))
			return true;
	return false;
}

bool queue_message_is_finished(const struct message *m)
{
	for (const struct unit *u = m->units; u; u = u->next)
		if (u->state != UNIT_DONE)
			return false;
	return m->disk_units == 0;
}

static int stage_add(struct queue_core *c, struct message *m, struct base_error *err)
{
	struct spool_message s = {
		.id = base_id_slice(&m->id),
		.arrived_ms = m->arrived_ms,
		.size = m->size,
		.file = m->file,
		.envelope = base_slice_make(m->envelope, m->envelope_len),
		.body = base_slice_make(m->body, m->body ? m->size : 0),
	};

	return spool_add(c->spool, &s, &m->seq, err);
}

int queue_message_stage(struct queue_core *c, struct message *m, struct base_error *err)
{
	bool finished = queue_message_is_finished(m);
	int rc = 0;

	if (m->gone)
		return 0;
	m->never_stored = !m->added && finished && !m->file;
	if (m->never_stored)
		return 0;
	if (!m->added)
		rc = stage_add(c, m, err);
	if (rc == 0 && finished)
		return spool_remove(
			c->spool, m->seq, base_id_slice(&m->id), m->file, m->has_rows, err);
	if (rc != 0 || !queue_message_needs_rows(m))
		return rc;
	for (struct unit *u = m->units; u && rc == 0; u = u->next) {
		if (u->state == UNIT_DONE && u->stored)
			rc = spool_work_drop(c->spool, m->seq, u->number, err);
		else if (u->state != UNIT_DONE && (u->dirty || !u->stored))
			rc = stage_unit(c, u, err);
	}
	return rc;
}
