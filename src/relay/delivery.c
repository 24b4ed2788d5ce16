#include "relay/internal.h"

#include <string.h>

/* Jobs on a connection that is READY.
 *
 *	start -> MAIL, RCPTs, text -> the replies are noted at the recipients -> DONE
 *	DONE  -> recipients are left: another transaction      else the result goes to queue, and
 *	      -> the next job that waits, or idle, or QUIT (lifetime, limits, MAIL put off)
 *
 * A server may forget a login, or never have meant it, and say so to any command. That is the account's
 * matter and not the message's: what it concerns is noted nowhere, and at the end of the transaction
 * goes to a new connection (used ones may just be too old) or, refused on that one too, is held. */

static bool send_batch(struct relay_conn *conn)
{
	struct relay_job *job = conn->job;
	const struct envelope *e = &job->envelope;
	struct smtp_client_mail mail = {
		.sender = e->sender,
		.size_bytes = job->size,
		.body_8bit = e->flags & ENVELOPE_8BIT,
		.smtputf8 = job->needs_utf8,
		.ret = (enum smtp_dsn_ret)e->ret,
		.envid = e->envid,
		.auth_identity = e->flags & ENVELOPE_AUTH_GIVEN,
		.auth = e->auth,
	};

	if (!relay_job_batch(job, conn->smtp))
		return false;
	conn->heard = false;
	relay_conn_lend_out(conn);
	smtp_client_send_mail(conn->smtp, &mail, job->batch, job->batch_count, &conn->out);
	return true;
}

void relay_conn_start(struct relay_conn *conn, struct relay_job *job, const struct relay_now *now)
{
	relay_conn_leave_idle(conn);
	conn->job = job;
	job->started_ms = now->mono_ms;
	conn->messages++;
	conn->peer.reused = conn->messages > 1;
	conn->unwelcome = false;
	if (send_batch(conn) && !conn->driving)
		relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}

static enum job_outcome outcome_of(uint16_t code)
{
	return code < 400 ? JOB_DELIVERED : code < 500 ? JOB_DEFERRED : JOB_FAILED;
}

/* RFC 4954 section 6, and 525 (the account is disabled). 550, 553 and 554 with 5.7.x may concern the
 * sender or the recipient as well. */
static bool wants_login(const struct relay_conn *conn)
{
	static const uint16_t codes[] = {525, 530, 534, 535, 538};
	uint16_t code = smtp_client_reply(conn->smtp)->code;
	size_t i;

	for (i = 0; conn->dest->account && i < BASE_COUNT(codes); i++)
		if (code == codes[i])
			return true;
	return false;
}

static void note(struct relay_conn *conn, uint32_t batch_i, enum job_outcome outcome)
{
	struct relay_job *job = conn->job;
	uint32_t i = job->batch_index[batch_i];

	if (!conn->no_login && wants_login(conn)) {
		conn->no_login = base_alloc(sizeof(*conn->no_login));
		*conn->no_login = *smtp_client_reply(conn->smtp);
	}
	/* What else it refuses may come of that. */
	if (conn->no_login && outcome != JOB_DELIVERED)
		return;
	relay_job_note(job, i, outcome, smtp_client_reply(conn->smtp),
		smtp_client_reply_is_local(conn->smtp));
	if (outcome == JOB_DELIVERED)
		job->results[i].dsn_relayed = smtp_client_extensions(conn->smtp) & SMTP_EXT_DSN;
}

void relay_delivery_mail_reply(struct relay_conn *conn)
{
	uint16_t code = smtp_client_reply(conn->smtp)->code;
	uint32_t i;

	conn->heard = true;
	conn->unwelcome = code >= 400 && code < 500;
	for (i = 0; code >= 400 && i < conn->job->batch_count; i++)
		note(conn, i, outcome_of(code));
}

/* 452 after others were accepted: the server takes the rest in another transaction. */
static bool is_surplus(const struct relay_job *job, const struct smtp_client_reply *reply)
{
	uint32_t i;

	if (reply->code != 452 || (reply->enhanced[0] && strcmp(reply->enhanced, "4.5.3") != 0))
		return false;
	for (i = 0; i < job->batch_count; i++)
		if (job->results[job->batch_index[i]].accepted)
			return true;
	return false;
}

void relay_delivery_rcpt_reply(struct relay_conn *conn)
{
	const struct smtp_client_reply *reply = smtp_client_reply(conn->smtp);
	size_t i = smtp_client_rcpt_index(conn->smtp);

	if (reply->code < 400)
		conn->job->results[conn->job->batch_index[i]].accepted = true;
	else if (!is_surplus(conn->job, reply))
		note(conn, (uint32_t)i, outcome_of(reply->code));
}

void relay_delivery_message_reply(struct relay_conn *conn)
{
	uint16_t code = smtp_client_reply(conn->smtp)->code;
	struct relay_job *job = conn->job;
	uint32_t i;

	if (conn->dest->via == CONF_VIA_LMTP) {
		note(conn, (uint32_t)smtp_client_rcpt_index(conn->smtp), outcome_of(code));
		return;
	}
	for (i = 0; i < job->batch_count; i++)
		if (job->results[job->batch_index[i]].accepted &&
			!job->results[job->batch_index[i]].done)
			note(conn, i, outcome_of(code));
}

static bool used_up(const struct relay_conn *conn, const struct relay_now *now)
{
	return conn->messages >= RELAY_CONN_MESSAGES_MAX ||
		now->mono_ms - conn->opened_ms >= RELAY_LIFETIME_MS ||
		smtp_client_is_spent(conn->smtp) || conn->core->draining || conn->unwelcome ||
		relay_conn_is_retired(conn) ||
		((conn->messages >= RELAY_GROWTH_MESSAGES || !conn->dest->first) &&
			relay_limit_is_wanted_elsewhere(conn->dest));
}

/* Take the next job, or rest. */
static void on_free(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *next;

	if (used_up(conn, now)) {
		conn->quitting = true;
		relay_conn_lend_out(conn);
		smtp_client_quit(conn->smtp, &conn->out);
		relay_conn_set_deadline(conn, RELAY_QUIT_MS, now);
		if (!conn->core->draining)
			relay_dest_dispatch(d, now);
		return;
	}
	next = relay_dest_pop(d);
	if (next) {
		relay_conn_start(conn, next, now);
		relay_dest_dispatch(d, now);
		return;
	}
	conn->ready = true;
	conn->idle_ms = now->mono_ms;
	conn->next_idle = d->idle;
	d->idle = conn;
}

/* MAIL itself was put off: that is the server's state, not a recipient's. */
static void on_unwelcome(
	struct relay_conn *conn, struct relay_job *job, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_failure f;

	relay_conn_describe(&f, conn, "the server takes no mail now", NULL);
	relay_conn_copy_reply(&f, smtp_client_reply(conn->smtp));
	relay_dest_trouble(d, &f, now);
	if (!job->not_before_ms)
		job->not_before_ms = now->wall_ms + d->backoff_until_ms - now->mono_ms;
}

static void pause_account(
	struct relay_conn *conn, struct relay_job *job, const struct relay_now *now)
{
	struct relay_account *a = conn->dest->account;
	struct relay_refusal refusal = {
		.words = "the server accepted the login, then refused mail for want of one",
		.mechanism = conn->peer.mechanism,
		.reply = conn->no_login,
		.peer = &conn->peer,
	};

	a->unproven = true;
	relay_dest_push(conn->dest, job, true); /* held with the others */
	relay_account_pause(conn->core, a, &refusal, now);
}

void relay_delivery_login_lost(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *job = conn->job;
	struct relay_failure f;

	conn->job = NULL;
	if (job->queue == RELAY_NO_QUEUE || conn->core->draining) {
		relay_conn_describe(&f, conn, "the server wants another login", NULL);
		relay_conn_copy_reply(&f, conn->no_login);
		relay_job_finish(conn->core, job, &conn->peer, &f);
	} else if (conn->messages > 1) {
		/* Idle ones may be as old. A new one begins with this job: no need to count. */
		while (d->idle)
			relay_conn_quit(d->idle, now);
		relay_dest_push(d, job, true);
	} else if (relay_account_renews(d->account, conn)) {
		relay_dest_push(d, job, true);
	} else {
		pause_account(conn, job, now);
	}
	relay_conn_close(conn);
	relay_account_dispatch(conn->core, d->account, now);
}

void relay_delivery_done(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *job = conn->job;
	uint32_t delivered = 0, i;

	if (conn->no_login) {
		relay_delivery_login_lost(conn, now);
		return;
	}
	if (d->account && d->account->unproven)
		relay_account_works(conn->core, d->account, now);
	if (conn->unwelcome)
		on_unwelcome(conn, job, now);
	if (!smtp_client_is_spent(conn->smtp) && send_batch(conn))
		return;
	conn->job = NULL;
	if (relay_job_is_open(job)) { /* MAILMAX came in between: the rest goes another way */
		relay_dest_push(d, job, true);
		on_free(conn, now);
		return;
	}
	for (i = 0; i < job->rcpt_count; i++)
		delivered += job->results[i].done && job->results[i].outcome == JOB_DELIVERED;
	d->progress_ms = now->mono_ms;
	if (delivered) {
		d->failures = 0;
		if (d->waiting)
			d->delivered++;
	}
	relay_job_finish(conn->core, job, &conn->peer, NULL);
	on_free(conn, now);
}

void relay_delivery_ready(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	bool first = !conn->reached;

	if (first) {
		conn->reached = true;
		d->connecting--;
		d->target = 0; /* the best first, next time too */
		d->backoff_until_ms = d->slow_until_ms = 0;
		d->progress_ms = now->mono_ms;
		relay_conn_note_mechanism(conn);
	}
	on_free(conn, now);
	if (first && d->account && !d->account->unproven)
		relay_account_works(conn->core, d->account, now);
}

static void ask_body(struct relay_conn *conn)
{
	if (conn->wants_body || conn->out.len)
		return;
	conn->wants_body = true;
	relay_effect_add(conn->core,
		&(struct relay_effect){.kind = RELAY_READ_BODY, .conn = conn, .job = conn->job});
}

static void give_inline(struct relay_conn *conn)
{
	struct relay_job *job = conn->job;
	struct base_slice rest = base_slice_from(job->message, (size_t)job->offset);
	size_t used;

	relay_conn_lend_out(conn);
	smtp_client_body(conn->smtp, rest, true, &used, &conn->out);
	job->offset += used;
}

bool relay_delivery_body(struct relay_conn *conn)
{
	if (conn->job->fd < 0) {
		give_inline(conn);
		return true;
	}
	ask_body(conn);
	return false;
}

void relay_conn_body(
	struct relay_conn *conn, struct base_slice bytes, bool failed, const struct relay_now *now)
{
	struct relay_job *job = conn->job;
	size_t used;

	conn->wants_body = false;
	if (conn->phase != RELAY_CONN_OPEN || !job)
		return;
	if (failed || (!bytes.len && job->offset < job->size)) {
		smtp_client_body_abort(conn->smtp);
		relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
		return;
	}
	relay_conn_lend_out(conn);
	smtp_client_body(
		conn->smtp, bytes, job->offset + bytes.len >= job->size, &used, &conn->out);
	job->offset += used;
	relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}
