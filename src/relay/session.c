#include "relay/internal.h"

#include <stdlib.h>
#include <string.h>

/* A connection, driven by the events of smtp/client.h.
 *
 *	CONNECTING -connected-> [TLS (implicit)] -> OPEN: greeting … READY -> jobs, idle, … -> CLOSED
 *
 * Before its first READY a connection belongs to no job: if it fails, its target has failed and the
 * destination decides. After it, a failure concerns the job that it carries, and nobody when idle.
 * An idle connection that the server has closed meanwhile costs a job one more try, not a delay. */

static bool implicit_tls(const struct relay_dest *d)
{
	if (d->via == CONF_VIA_ACCOUNT)
		return d->account && d->account->implicit_tls;
	return d->via == CONF_VIA_SMTPS;
}

bool relay_conn_must_verify(const struct relay_conn *conn)
{
	return conn->dest->tls == CONF_POLICY_VERIFY;
}

struct relay_account *relay_conn_account(const struct relay_conn *conn)
{
	return conn->dest->account;
}

/* failing */

/* The connection is of no use any more; its job, if any, keeps what was decided. */
static void fail_conn(struct relay_conn *conn, struct relay_failure *f, bool reuse_lost,
	const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *job = conn->job;

	conn->job = NULL;
	if (job && reuse_lost && !job->retried && job->queue != RELAY_NO_QUEUE) {
		job->retried = true;
		relay_conn_close(conn);
		relay_dest_push(d, job, true);
		relay_dest_dispatch(d, now);
		return;
	}
	if (job) {
		relay_dest_trouble(d, f, now);
		if (!job->not_before_ms && f->outcome == JOB_DEFERRED)
			job->not_before_ms = now->wall_ms + d->backoff_until_ms - now->mono_ms;
		relay_job_finish(conn->core, job, &conn->peer, f);
	}
	relay_conn_close(conn);
	if (!conn->reached)
		relay_dest_target_failed(d, f, now);
	else
		relay_dest_dispatch(d, now);
}

static void fail_simple(struct relay_conn *conn, const char *what, const struct relay_now *now)
{
	struct relay_failure f;

	relay_conn_describe(&f, conn, what, NULL);
	memcpy(f.enhanced, "4.4.1", 6);
	fail_conn(conn, &f, false, now);
}

static bool tls_demanded(const struct relay_dest *d)
{
	return d->tls == CONF_POLICY_REQUIRE || d->tls == CONF_POLICY_VERIFY;
}

/* The account is at fault, or what it demands is not to be had here. */
static void on_login_failed(struct relay_conn *conn, const struct smtp_client_failure *failure,
	const struct relay_now *now)
{
	struct relay_account *a = conn->dest->account;
	struct relay_refusal refusal = {
		.words = conn->no_secret ? conn->no_secret : failure->reason,
		.mechanism = conn->no_secret ? NULL : conn->peer.mechanism,
		.reply = conn->no_secret ? NULL : smtp_client_reply(conn->smtp),
		.token_error = smtp_client_auth_error(conn->smtp),
		.peer = &conn->peer,
		.told = conn->no_secret && a->credential == SASL_CREDENTIAL_TOKEN,
	};

	/* A token may have ended before its time: another one, at once. */
	if (!failure->refused || !relay_account_renews(a, conn))
		relay_account_pause(conn->core, a, &refusal, now);
	relay_conn_close(conn);
	relay_account_dispatch(conn->core, a, now);
}

static void on_failed(struct relay_conn *conn, const struct relay_now *now)
{
	const struct smtp_client_failure *failure = smtp_client_failure(conn->smtp);
	const struct smtp_client_reply *reply = smtp_client_reply(conn->smtp);
	bool lost = conn->messages > 1 && !conn->heard && (!reply->code || reply->code == 421);
	struct relay_failure f;

	if (conn->reached && !conn->job) { /* idle, or after QUIT */
		relay_conn_end(conn, now);
		return;
	}
	relay_conn_note_mechanism(conn);
	/* Some servers close with the refusal, or behind it. */
	if (conn->no_login && conn->job && !failure->maybe_delivered) {
		relay_delivery_login_lost(conn, now);
		return;
	}
	if (failure->account && conn->dest->account) {
		on_login_failed(conn, failure, now);
		return;
	}
	relay_conn_describe(&f, conn, failure->reason,
		failure->maybe_delivered
			? " after the final dot; the message may have arrived all the same"
			: NULL);
	relay_conn_copy_reply(&f, reply);
	if (!f.enhanced[0] && !reply->code)
		memcpy(f.enhanced, failure->stage == SMTP_STAGE_AUTH ? "4.7.0" : "4.4.2", 6);
	if (failure->stage == SMTP_STAGE_STARTTLS && tls_demanded(conn->dest))
		f.outcome = JOB_HELD;
	fail_conn(conn, &f, lost, now);
}

/* the engine's events */

static int64_t stage_ms(enum smtp_client_stage stage)
{
	static const int64_t ms[SMTP_STAGE_COUNT] = {
		/* RFC 5321 section 4.5.3.2 */
		[SMTP_STAGE_GREETING] = 300000,
		[SMTP_STAGE_HELLO] = 300000,
		[SMTP_STAGE_STARTTLS] = 120000,
		[SMTP_STAGE_TLS] = RELAY_TLS_MS,
		[SMTP_STAGE_AUTH] = 120000,
		[SMTP_STAGE_MAIL] = 300000,
		[SMTP_STAGE_RCPT] = 300000,
		[SMTP_STAGE_DATA] = 120000,
		[SMTP_STAGE_BODY] = 180000,
		[SMTP_STAGE_FINAL] = 600000,
		[SMTP_STAGE_QUIT] = RELAY_QUIT_MS,
	};

	return ms[stage];
}

static void effect(struct relay_conn *conn, enum relay_effect_kind kind)
{
	relay_effect_add(conn->core, &(struct relay_effect){.kind = kind, .conn = conn});
}

static void ask_secret(struct relay_conn *conn, enum ipc_secret what)
{
	conn->asking = true;
	conn->asked = what;
	conn->asked_refused = what == IPC_SECRET_LOGIN && conn->dest->account->token_refused;
	relay_conn_want_secret(conn);
}

/* A client certificate is shown in the handshake: it must be there before. */
static void begin_tls(struct relay_conn *conn, const struct relay_now *now)
{
	conn->phase = RELAY_CONN_TLS;
	relay_conn_set_deadline(conn, RELAY_TLS_MS, now);
	if (conn->dest->account && conn->dest->account->certificate)
		ask_secret(conn, IPC_SECRET_CERTIFICATE);
	else
		effect(conn, RELAY_START_TLS);
}

/* One event; false: nothing more to push now. */
static bool handle(
	struct relay_conn *conn, enum smtp_client_event event, const struct relay_now *now)
{
	switch (event) {
	case SMTP_CLIENT_MORE:
		return false;
	case SMTP_CLIENT_STARTTLS:
		begin_tls(conn, now);
		return false;
	case SMTP_CLIENT_CREDENTIALS:
		ask_secret(conn, IPC_SECRET_LOGIN);
		return false;
	case SMTP_CLIENT_READY:
		relay_delivery_ready(conn, now);
		return true;
	case SMTP_CLIENT_MAIL_REPLY:
		relay_delivery_mail_reply(conn);
		return true;
	case SMTP_CLIENT_RCPT_REPLY:
		relay_delivery_rcpt_reply(conn);
		return true;
	case SMTP_CLIENT_BODY:
		return relay_delivery_body(conn);
	case SMTP_CLIENT_MESSAGE_REPLY:
		relay_delivery_message_reply(conn);
		return true;
	case SMTP_CLIENT_DONE:
		relay_delivery_done(conn, now);
		return true;
	case SMTP_CLIENT_FAILED:
		on_failed(conn, now);
		return false;
	case SMTP_CLIENT_CLOSED:
		relay_conn_end(conn, now);
		return false;
	}
	return false;
}

/* Half a reply is no progress: whoever lets it drip does not get more time for that. */
static void wait_on(struct relay_conn *conn, const struct relay_now *now)
{
	relay_conn_set_deadline(
		conn, conn->ready ? RELAY_IDLE_MS : stage_ms(smtp_client_stage(conn->smtp)), now);
}

void relay_conn_drive(struct relay_conn *conn, struct base_slice in, const struct relay_now *now)
{
	enum smtp_client_event event;
	size_t used;
	bool more = true, moved = false;

	if (conn->driving || conn->phase == RELAY_CONN_CLOSED)
		return;
	conn->driving = true;
	relay_conn_lend_out(conn);
	while (more && conn->phase == RELAY_CONN_OPEN) {
		event = smtp_client_push(conn->smtp, in, &used, &conn->out);
		moved |= event != SMTP_CLIENT_MORE || conn->out.len;
		in = base_slice_from(in, used);
		more = handle(conn, event, now);
	}
	conn->driving = false;
	if (conn->phase == RELAY_CONN_OPEN && in.len) {
		(void)smtp_client_eof(conn->smtp, "the server speaks out of turn");
		on_failed(conn, now);
	}
	if (conn->phase == RELAY_CONN_OPEN && !conn->quitting && moved)
		wait_on(conn, now);
	if (conn->out.len && conn->phase != RELAY_CONN_CLOSED && !conn->wants_write) {
		conn->wants_write = true;
		effect(conn, RELAY_WRITE);
	}
	relay_conn_return_out(conn);
}

/* events of the shell */

static enum smtp_client_tls client_tls(const struct relay_conn *conn)
{
	const struct relay_dest *d = conn->dest;

	if (implicit_tls(d))
		return SMTP_CLIENT_TLS_IMPLICIT;
	if (tls_demanded(d))
		return SMTP_CLIENT_TLS_REQUIRE;
	if (d->tls == CONF_POLICY_NONE || conn->in_clear || conn->peer.path[0])
		return SMTP_CLIENT_TLS_NONE;
	return SMTP_CLIENT_TLS_MAY;
}

static void begin_session(struct relay_conn *conn)
{
	const struct relay_account *a = conn->dest->account;
	struct smtp_client_options options = {
		.helo_name = base_slice_text(conn->core->own_name),
		.lmtp = conn->dest->via == CONF_VIA_LMTP,
		.tls = client_tls(conn),
		.auth = a != NULL,
		.host = base_slice_text(conn->peer.host),
		.port = conn->peer.addr.port,
		.foreign_new = conn->core->options.foreign_new,
		.foreign = conn->core->options.foreign,
	};

	if (a) {
		options.credential = a->credential;
		options.mechanisms = a->mechanisms;
	}
	conn->smtp = smtp_client_new(&options);
	conn->phase = RELAY_CONN_OPEN;
}

void relay_conn_connected(struct relay_conn *conn, const char *error, const struct relay_now *now)
{
	if (conn->phase != RELAY_CONN_CONNECTING)
		return;
	if (error) {
		fail_simple(conn, error, now);
		return;
	}
	begin_session(conn);
	if (implicit_tls(conn->dest)) {
		begin_tls(conn, now);
		return;
	}
	wait_on(conn, now);
	relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}

static void tls_failed(struct relay_conn *conn, const char *error, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_failure f;

	if (d->tls == CONF_POLICY_MAY && !d->account && !implicit_tls(d)) {
		d->clear_until_ms = now->mono_ms + RELAY_CLEAR_MS;
		relay_conn_close(conn);
		relay_dest_dispatch(d, now);
		return;
	}
	relay_conn_describe(&f, conn, error, NULL);
	memcpy(f.enhanced, "4.7.5", 6);
	if (tls_demanded(d))
		f.outcome = JOB_HELD;
	fail_conn(conn, &f, false, now);
}

void relay_conn_tls(struct relay_conn *conn, const struct relay_tls_done *done, const char *error,
	const struct relay_now *now)
{
	if (conn->phase != RELAY_CONN_TLS)
		return;
	if (!done) {
		tls_failed(conn, error, now);
		return;
	}
	conn->phase = RELAY_CONN_OPEN;
	conn->peer.tls_version = done->version;
	conn->peer.tls_cipher = done->cipher;
	conn->peer.verified = done->verified;
	conn->peer.pinned = done->pinned;
	relay_conn_lend_out(conn);
	smtp_client_tls_done(
		conn->smtp, done->binding, done->binding_data, done->verified, &conn->out);
	wait_on(conn, now);
	relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}

void relay_conn_input(struct relay_conn *conn, struct base_slice in, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_OPEN)
		relay_conn_drive(conn, in, now);
}

void relay_conn_ended(struct relay_conn *conn, const char *reason, const struct relay_now *now)
{
	switch (conn->phase) {
	case RELAY_CONN_CONNECTING:
		fail_simple(conn, reason, now);
		break;
	case RELAY_CONN_TLS:
		tls_failed(conn, reason, now);
		break;
	case RELAY_CONN_OPEN:
		if (smtp_client_eof(conn->smtp, reason) == SMTP_CLIENT_CLOSED)
			relay_conn_end(conn, now);
		else
			on_failed(conn, now);
		break;
	case RELAY_CONN_CLOSED:
		break;
	}
}

void relay_conn_written(struct relay_conn *conn, const struct relay_now *now)
{
	conn->wants_write = false;
	relay_conn_return_out(conn);
	if (conn->phase == RELAY_CONN_OPEN && conn->job)
		relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}

void relay_conn_certificate_taken(struct relay_conn *conn)
{
	base_buf_release(&conn->certificate);
	conn->chain = conn->key = BASE_SLICE_EMPTY;
}

void relay_conn_certificate(struct relay_conn *conn, struct base_slice certificate, const char *why,
	const struct relay_now *now)
{
	struct relay_account *a = conn->dest->account;
	struct relay_refusal refusal = {.words = why, .peer = &conn->peer};
	struct ipc_reader in;

	if (conn->phase != RELAY_CONN_TLS)
		return;
	if (!why) {
		(void)base_buf_append_slice(&conn->certificate, certificate);
		in = ipc_reader_make(base_buf_slice(&conn->certificate));
		conn->chain = ipc_get_bytes(&in);
		conn->key = ipc_get_bytes(&in);
		if (ipc_reader_done(&in) && conn->chain.len && conn->key.len) {
			effect(conn, RELAY_START_TLS);
			return;
		}
		refusal.words = "its client certificate cannot be read";
	}
	relay_account_pause(conn->core, a, &refusal, now);
	relay_conn_close(conn);
}

void relay_conn_secret(struct relay_conn *conn, struct base_slice user, struct base_slice secret,
	struct base_slice random, const char *why, const struct relay_now *now)
{
	if (conn->phase != RELAY_CONN_OPEN || smtp_client_stage(conn->smtp) != SMTP_STAGE_AUTH)
		return;
	if (why) {
		free(conn->no_secret);
		conn->no_secret = base_strdup(why);
		user = secret = (struct base_slice){.ptr = NULL};
	} else if (!user.ptr) {
		user = base_slice_make("", 0);
	}
	relay_conn_lend_out(conn);
	smtp_client_credentials(conn->smtp, user, secret, random, &conn->out);
	relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
}

/* Where others need the room, a server that says nothing gets less time; but never while it works on a
 * message, which would then be sent twice. */
static int64_t deadline(const struct relay_conn *conn)
{
	int64_t end = INT64_MAX;

	if (!conn->reached) {
		if (!conn->dest->first && relay_core_conns_are_crowded(conn->core))
			end = conn->opened_ms + RELAY_STALL_MS;
	} else if (conn->job && relay_core_is_crowded(conn->core)) {
		enum smtp_client_stage stage = smtp_client_stage(conn->smtp);

		if (stage == SMTP_STAGE_MAIL || stage == SMTP_STAGE_RCPT ||
			stage == SMTP_STAGE_DATA)
			end = conn->waits_ms + RELAY_CROWDED_WAIT_MS;
	}
	return end < conn->deadline_ms ? end : conn->deadline_ms;
}

void relay_conn_tick(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_CLOSED || now->mono_ms < deadline(conn))
		return;
	if (conn->ready)
		relay_conn_quit(conn, now);
	else
		relay_conn_ended(conn,
			conn->asking ? "auth did not answer in time"
				     : "the server did not answer in time",
			now);
}
