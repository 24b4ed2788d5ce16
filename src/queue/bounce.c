/* Notices to senders: who gets one, and its way into the queue.
 *
 * A notice is a message like any other, from the null sender, planned and stored in the same turn that
 * forgets the recipients it speaks of. About a message from the null sender there is none.
 *
 * The sender of a message that came without a login may be forged, so its notice must not carry to a
 * third party what a stranger wrote: only failures are told, and nothing of the message is returned. */
#include "queue/core_internal.h"

#include "mail/dsn.h"
#include "mail/header.h"

#include <stdlib.h>

enum {
	ORIGINAL_MAX_BYTES = 48 * 1024, /* returned of a message; more: its header only */
	HEADER_MAX_BYTES = 32 * 1024,
};

static void tell(struct queue_core *c, const struct message *m, const struct envelope *e,
	const char *result, struct base_slice notice, struct base_slice reason)
{
	struct queue_event event = {
		.kind = QUEUE_EVENT_BOUNCE,
		.message = base_id_slice(&m->id),
		.session = e->session,
		.user = e->user,
		.sender = e->sender,
		.result = result,
		.notice = notice,
		.reason = reason,
	};

	c->ports->event(c->arg, &event);
}

/* The message's bytes, or its first ones, into c->scratch. */
static struct base_slice read_original(struct queue_core *c, struct message *m)
{
	struct spool_message s;
	struct base_error err;
	int rc = 0;

	base_buf_clear(&c->scratch);
	if (m->body)
		return base_slice_make(m->body, m->size);
	if (m->file)
		rc = spool_file_head(
			c->spool, base_id_slice(&m->id), ORIGINAL_MAX_BYTES, &c->scratch, &err);
	else if (m->size)
		rc = spool_load(c->spool, m->seq, true, &s, &err);
	if (rc != 0) {
		queue_error(c, "a message cannot be read for its notice", &err);
		return BASE_SLICE_EMPTY;
	}
	if (!m->file && m->size)
		base_buf_append_slice(&c->scratch, s.body);
	return base_buf_slice(&c->scratch);
}

static void describe(struct queue_core *c, struct mail_dsn_recipient *out,
	const struct notice_rcpt *n, struct base_slice host, bool attempted, bool stranger)
{
	bool remote = n->verdict.reply.len > 0;

	*out = (struct mail_dsn_recipient){
		.address = n->rcpt.address,
		.orcpt = stranger ? BASE_SLICE_EMPTY : n->rcpt.orcpt,
		.action = (enum mail_dsn_action)n->action,
		.status = n->verdict.enhanced,
		.diagnostic = remote ? n->verdict.reply : n->verdict.reason,
		.remote_said = remote,
		.code = n->verdict.code,
		.remote_host = host,
		.last_attempt_ms = attempted ? c->now_ms : 0,
	};
}

static bool build(const struct mail_dsn *dsn, struct base_buf *out)
{
	struct mail_dsn less = *dsn;

	if (mail_dsn_build(dsn, out))
		return true;
	/* Many recipients, or a long message: say what happened without returning anything. */
	base_buf_clear(out);
	less.return_full = false;
	less.original = BASE_SLICE_EMPTY;
	return mail_dsn_build(&less, out);
}

static void submit(struct queue_core *c, struct message *m, const struct envelope *about,
	const struct mail_dsn *dsn, struct base_slice body)
{
	struct envelope e = {.arrived_ms = c->now_ms, .session = about->session, .rcpt_count = 1};
	struct envelope_rcpt rcpt = {.address = about->sender, .notify = NOTIFY_NEVER};
	struct base_buf envelope;
	struct message *notice;

	if (mail_has_8bit(body))
		e.flags |= ENVELOPE_8BIT;
	if (mail_dsn_needs_smtputf8(dsn))
		e.flags |= ENVELOPE_SMTPUTF8 | ENVELOPE_HEADER_8BIT;
	base_buf_init(&envelope, 8192);
	envelope_put(&envelope, &e);
	envelope_put_rcpt(&envelope, &rcpt);
	BASE_BUG_IF(!base_buf_ok(&envelope));
	notice = queue_message_new(c, base_buf_slice(&envelope), body);
	base_buf_release(&envelope);
	notice->id = dsn->dsn_id;
	notice->arrived_ms = c->now_ms;
	/* A notice about a message that is refused in the end must not be sent. */
	notice->refusable = !m->added;
	c->new_bytes += body.len;
	c->new_count++;
	queue_message_touch(c, notice);
	queue_plan_message(c, notice);
}

void queue_bounce(struct queue_core *c, struct message *m, const struct unit *u,
	struct base_slice host, bool attempted, const struct notice_rcpt *rcpts, size_t count)
{
	struct mail_dsn_recipient *list;
	struct mail_dsn dsn = {.original_id = m->id,
		.arrived_ms = m->arrived_ms,
		.now_ms = c->now_ms,
		.host_name = base_slice_text(c->host_name)};
	struct envelope e;
	struct rcpt_walk w;
	struct base_buf body;
	uint8_t random[5];
	size_t told = 0;
	bool stranger;

	queue_rcpt_walk_begin(&w, m, &e);
	stranger = e.flags & ENVELOPE_STRANGER;
	if (e.sender.len == 0) {
		tell(c, m, &e, "not made", BASE_SLICE_EMPTY, BASE_SLICE("null sender"));
		return;
	}
	list = base_alloc(count * sizeof(*list));
	for (size_t i = 0; i < count; i++)
		if (!stranger || rcpts[i].action == MAIL_DSN_FAILED)
			describe(c, &list[told++], &rcpts[i], host, attempted, stranger);
	if (told == 0) {
		tell(c, m, &e, "not made", BASE_SLICE_EMPTY, BASE_SLICE("nobody logged in"));
		free(list);
		return;
	}
	c->ports->random(c->arg, random, sizeof(random));
	dsn.dsn_id = base_id_make(c->now_ms, random);
	dsn.sender = e.sender;
	dsn.envid = stranger ? BASE_SLICE_EMPTY : e.envid;
	dsn.recipients = list;
	dsn.recipient_count = told;
	dsn.smtputf8 = (e.flags & ENVELOPE_SMTPUTF8) != 0;
	if (list[0].action == MAIL_DSN_DELAYED)
		dsn.retry_until_ms = m->arrived_ms + c->schedule.lifetime_ms;
	dsn.original = stranger ? BASE_SLICE_EMPTY : read_original(c, m);
	dsn.return_full = e.ret == RET_FULL && !stranger && !m->file &&
		list[0].action == MAIL_DSN_FAILED && m->size <= ORIGINAL_MAX_BYTES;
	if (!dsn.return_full)
		dsn.original = base_slice_first(dsn.original,
			mail_header_length(dsn.original) < HEADER_MAX_BYTES
				? mail_header_length(dsn.original)
				: HEADER_MAX_BYTES);
	base_buf_init(&body, SPOOL_INLINE_MAX_BYTES);
	if (build(&dsn, &body)) {
		tell(c, m, &e, mail_dsn_action_name(list[0].action), base_id_slice(&dsn.dsn_id),
			BASE_SLICE_EMPTY);
		submit(c, m, &e, &dsn, base_buf_slice(&body));
	} else {
		tell(c, m, &e, "not made", BASE_SLICE_EMPTY, BASE_SLICE("too many recipients"));
	}
	base_buf_release(&body);
	free(list);
}
