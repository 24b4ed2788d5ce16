/* What a result means for the recipients of a unit.
 *
 *	delivered        gone from the unit; a notice of success if the sender asked for one and the next
 *	                 hop does not take that over
 *	failed           gone; a notice of failure unless NOTIFY forbids it
 *	deferred, held   stays, with the reason; after the message's lifetime it fails instead; once in
 *	                 its life a notice of delay
 *
 * Everything is decided in memory and staged with the turn: the recipient and the notice about him
 * change places in one transaction. */
#include "queue/core_internal.h"

#include "base/escape.h"
#include "mail/dsn.h"

#include <stdlib.h>

struct settle {
	struct queue_core *c;
	struct unit *u;
	struct message *m;
	const struct job_result *r;
	struct envelope e;
	bool over, late, only; /* @only: the message has one recipient */
	int64_t next_ms;
	struct notice_rcpt *told, *delayed;
	size_t told_count, delayed_count;
};

static bool is_final(enum job_outcome outcome)
{
	return outcome == JOB_DELIVERED || outcome == JOB_FAILED;
}

static void tell(struct settle *s, const struct envelope_rcpt *rcpt, const struct verdict *v)
{
	const struct job_result *r = s->r;
	const struct dest *d = s->u->dest;
	/* What the route alone decides for good was told as such. */
	bool by_route = !r && !d && !v->plan;
	struct queue_event event = {
		.kind = v->plan ? QUEUE_EVENT_ROUTE : QUEUE_EVENT_DELIVERY,
		.message = base_id_slice(&s->m->id),
		.session = s->e.session,
		.user = s->e.user,
		.sender = s->e.sender,
		.recipient = rcpt->address,
		.code = v->code,
		.enhanced = v->enhanced,
		.reply = v->reply,
		.reason = v->reason,
		.result = job_outcome_name(v->outcome),
		.attempt = s->u->attempts + 1,
		.next_ms = is_final(v->outcome) ? 0 : s->next_ms,
		.size = s->m->size,
		.end = s->only && is_final(v->outcome),
	};

	if (by_route)
		return;
	if (v->plan) {
		event.route = base_slice_text(v->plan->title);
		event.via = base_slice_text(v->plan->via_text);
	} else if (d) {
		event.sender_line = base_slice_text(s->u->sender_line);
		event.route = d->route;
		event.via = d->via_text;
		event.account = d->account;
		event.host = d->host;
	}
	if (r) {
		event.host = r->host.len ? r->host : event.host;
		event.address = r->address;
		event.tls = r->tls;
		event.mechanism = r->mechanism;
		event.verified = r->verified;
		event.reused = r->reused;
		event.connection = r->connection;
		event.duration_ms = r->duration_ms;
	}
	s->c->ports->event(s->c->arg, &event);
}

static int success_action(const struct dest *d)
{
	bool at_home = !d || d->via == CONF_VIA_MAILDIR || d->via == CONF_VIA_LMTP;

	return at_home ? MAIL_DSN_DELIVERED : MAIL_DSN_RELAYED;
}

static void note(struct notice_rcpt *list, size_t *count, const struct envelope_rcpt *rcpt,
	const struct verdict *v, int action)
{
	list[(*count)++] = (struct notice_rcpt){.rcpt = *rcpt, .verdict = *v, .action = action};
}

static void take_notice(struct settle *s, const struct envelope_rcpt *rcpt, const struct verdict *v)
{
	unsigned notify = rcpt->notify;

	if (notify & NOTIFY_NEVER)
		return;
	switch (v->outcome) {
	case JOB_DELIVERED:
		if ((notify & NOTIFY_SUCCESS) && !v->dsn_relayed)
			note(s->told, &s->told_count, rcpt, v, success_action(s->u->dest));
		return;
	case JOB_FAILED:
		if (notify == 0 || (notify & NOTIFY_FAILURE))
			note(s->told, &s->told_count, rcpt, v, MAIL_DSN_FAILED);
		return;
	case JOB_DEFERRED:
	case JOB_HELD:
		if (s->late && (notify == 0 || (notify & NOTIFY_DELAY)))
			note(s->delayed, &s->delayed_count, rcpt, v, MAIL_DSN_DELAYED);
		return;
	case JOB_OUTCOME_COUNT:
		break;
	}
	BASE_BUG_IF(true);
}

/* Why he waits, for the administrator: what the server said; of one who is held what that means, too. */
static void put_reason(const struct verdict *v, struct base_buf *out)
{
	bool both = v->outcome == JOB_HELD && v->reason.len && v->reply.len;

	base_buf_clear(out);
	if (both) {
		base_escape_text(v->reason, SPOOL_DETAIL_REASON_MAX_BYTES / 2, out);
		base_buf_append_text(out, ": ");
	}
	if (v->reply.len && v->code)
		base_buf_printf(out, "%u ", v->code);
	base_escape_text(
		v->reply.len ? v->reply : v->reason, SPOOL_DETAIL_REASON_MAX_BYTES - out->len, out);
}

/* One recipient. True: he has left the unit. */
static bool settle_one(
	struct settle *s, uint32_t k, const struct envelope_rcpt *rcpt, struct verdict v)
{
	struct unit_rcpt *r = &s->u->rcpts[k];

	if (!is_final(v.outcome) && s->over) {
		v.outcome = JOB_FAILED;
		v.enhanced = BASE_SLICE("5.4.7");
		if (v.reason.len == 0)
			v.reason = BASE_SLICE("not delivered in time");
	}
	tell(s, rcpt, &v);
	take_notice(s, rcpt, &v);
	if (is_final(v.outcome)) {
		queue_unit_remove_rcpt(s->u, k);
		return true;
	}
	r->state = v.outcome == JOB_HELD ? SPOOL_RCPT_PAUSED : SPOOL_RCPT_DEFERRED;
	put_reason(&v, &s->c->scratch);
	queue_unit_set_reason(r, base_buf_slice(&s->c->scratch));
	return false;
}

static void set_times(struct settle *s)
{
	struct queue_core *c = s->c;
	bool warned = s->u->flags & SPOOL_WORK_WARNED;
	uint32_t spread = (uint32_t)route_hash(0, base_id_slice(&s->m->id));
	int64_t not_before = s->r && s->r->has_not_before ? s->r->not_before_ms : 0;

	s->over = spool_schedule_is_over(&c->schedule, s->m->arrived_ms, c->now_ms);
	s->late = !s->over && !warned &&
		spool_schedule_is_late(&c->schedule, s->m->arrived_ms, c->now_ms);
	s->next_ms = spool_schedule_next(&c->schedule, s->m->arrived_ms, c->now_ms,
		s->u->attempts + 1, not_before, warned || s->late, spread);
}

static void put_off(struct settle *s)
{
	struct unit *u = s->u;
	const struct dest *d = u->dest;

	u->attempts++;
	u->next_ms = s->next_ms;
	u->dirty = true;
	if (s->late)
		u->flags |= SPOOL_WORK_WARNED;
	u->flags &= ~(unsigned)(SPOOL_WORK_NO_LINE | SPOOL_WORK_PAUSED);
	/* Only a sender without a line waits without a destination. */
	if (!d)
		u->flags |= SPOOL_WORK_NO_LINE;
	for (uint32_t k = 0; d && d->account.len && k < u->rcpt_count; k++)
		if (u->rcpts[k].state == SPOOL_RCPT_PAUSED)
			u->flags |= SPOOL_WORK_PAUSED;
	free(u->account);
	u->account = d && d->account.len ? base_slice_dup(d->account) : NULL;
	u->state = s->m->held ? UNIT_HOLD : UNIT_LATER;
}

static void make_notices(struct settle *s)
{
	struct base_slice host = s->r ? s->r->host : BASE_SLICE_EMPTY;

	if (s->told_count)
		queue_bounce(s->c, s->m, s->u, host, s->r != NULL, s->told, s->told_count);
	if (s->delayed_count)
		queue_bounce(s->c, s->m, s->u, host, s->r != NULL, s->delayed, s->delayed_count);
}

void queue_settle(struct queue_core *c, struct unit *u, const struct job_result *r,
	const struct verdict *verdicts, size_t count)
{
	struct settle s = {.c = c, .u = u, .m = u->m, .r = r};
	struct envelope_rcpt rcpt;
	struct rcpt_walk w;
	uint32_t k = 0;

	queue_rcpt_walk_begin(&w, s.m, &s.e);
	s.only = s.e.rcpt_count == 1;
	set_times(&s);
	s.told = base_alloc(2 * count * sizeof(*s.told) + 1);
	s.delayed = s.told + count;
	for (size_t i = 0; i < count; i++) {
		while (k < u->rcpt_count && u->rcpts[k].index < verdicts[i].index)
			k++;
		if (k == u->rcpt_count || u->rcpts[k].index != verdicts[i].index)
			continue;
		if (!queue_rcpt_walk(&w, verdicts[i].index, &rcpt))
			break;
		if (!settle_one(&s, k, &rcpt, verdicts[i]))
			k++;
	}
	make_notices(&s);
	free(s.told);
	if (u->rcpt_count == 0)
		u->state = UNIT_DONE;
	else
		put_off(&s);
	s.m->quiet_end = s.only;
	if (c->result_count++ == 0)
		c->results_since_ms = c->now_ms;
	queue_message_touch(c, s.m);
}
