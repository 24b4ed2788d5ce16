#include "relay/internal.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

/* A connection, driven by the events of smtp/client.h.
 *
 *	CONNECTING -connected-> [TLS (implicit)] -> OPEN: greeting … READY -> jobs, idle, … -> CLOSED
 *
 * Before its first READY a connection belongs to no job: if it fails, its target has failed and the
 * destination decides. After it, a failure concerns the job that it carries, and nobody when idle.
 * An idle connection that the server has closed meanwhile costs a job one more try, not a delay. */

enum { CERTIFICATE_MAX_BYTES = IPC_FRAME_MAX_BYTES };

static void drive(struct relay_conn *conn, struct base_slice in, const struct relay_now *now);

static bool implicit_tls(const struct relay_dest *d)
{
	return d->via == CONF_VIA_ACCOUNT ? d->account->implicit_tls : d->via == CONF_VIA_SMTPS;
}

bool relay_conn_must_verify(const struct relay_conn *conn)
{
	return conn->dest->tls == CONF_POLICY_VERIFY;
}

struct relay_account *relay_conn_account(const struct relay_conn *conn)
{
	return conn->dest->account;
}

/* buffers */

static void lend_out(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;

	if (!conn->out.ptr && core->spare_count)
		conn->out = core->spare[--core->spare_count];
}

static void return_out(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;

	if (!conn->out.ptr || conn->out.len)
		return;
	if (core->spare_count < BASE_COUNT(core->spare) && conn->out.cap <= 16384) {
		core->spare[core->spare_count++] = conn->out;
		base_buf_init_secret(&conn->out, RELAY_OUT_MAX_BYTES);
	} else {
		base_buf_release(&conn->out);
	}
}

/* opening and closing */

static void set_deadline(struct relay_conn *conn, int64_t ms, const struct relay_now *now)
{
	conn->deadline_ms = now->mono_ms + ms;
}

struct relay_conn *relay_conn_open(struct relay_dest *d, const struct base_addr *addr,
	const char *host, const struct relay_now *now)
{
	struct relay_core *core = d->core;
	struct relay_conn *conn = base_alloc_zero(1, sizeof(*conn));

	conn->core = core;
	conn->dest = d;
	conn->number = ++core->conn_numbers;
	conn->opened_ms = now->mono_ms;
	conn->in_clear = now->mono_ms < d->clear_until_ms;
	conn->generation = d->account ? d->account->generation : 0;
	conn->peer.connection = conn->number;
	base_buf_init_secret(&conn->out, RELAY_OUT_MAX_BYTES);
	base_buf_init_secret(&conn->certificate, CERTIFICATE_MAX_BYTES);
	if (addr) {
		conn->peer.addr = *addr;
		(void)snprintf(conn->peer.host, sizeof(conn->peer.host), "%s", host);
	} else {
		(void)snprintf(conn->peer.path, sizeof(conn->peer.path), "%s", d->path);
	}
	set_deadline(conn, RELAY_CONNECT_MS, now);
	conn->next = core->conns;
	core->conns = conn;
	core->conn_count++;
	d->conns++;
	d->connecting++;
	d->last_conn = conn->number;
	if (d->account)
		d->account->conns++;
	relay_effect_add(core, &(struct relay_effect){.kind = RELAY_CONNECT, .conn = conn});
	return conn;
}

static void leave_idle(struct relay_conn *conn)
{
	struct relay_conn **at;

	if (!conn->ready)
		return;
	conn->ready = false;
	for (at = &conn->dest->idle; *at; at = &(*at)->next_idle)
		if (*at == conn) {
			*at = conn->next_idle;
			return;
		}
}

static void close_conn(struct relay_conn *conn)
{
	if (conn->phase == RELAY_CONN_CLOSED)
		return;
	leave_idle(conn);
	conn->phase = RELAY_CONN_CLOSED;
	if (!conn->reached)
		conn->dest->connecting--;
	conn->dest->conns--;
	if (conn->dest->account)
		conn->dest->account->conns--;
	relay_conn_certificate_taken(conn);
	relay_effect_add(conn->core, &(struct relay_effect){.kind = RELAY_CLOSE, .conn = conn});
}

/* It has come to its end; whoever waited for its place may have it. */
static void end_conn(struct relay_conn *conn, const struct relay_now *now)
{
	close_conn(conn);
	if (conn->dest->account)
		relay_account_dispatch(conn->core, conn->dest->account, now);
}

void relay_conn_free(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;
	struct relay_conn **at;

	for (at = &core->conns; *at != conn; at = &(*at)->next)
		BASE_BUG_IF(!*at);
	*at = conn->next;
	core->conn_count--;
	smtp_client_free(&conn->smtp);
	base_buf_clear(&conn->out);
	return_out(conn);
	base_buf_release(&conn->certificate);
	free(conn->no_secret);
	free(conn);
}

void relay_conn_quit(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->quitting || conn->phase == RELAY_CONN_CLOSED)
		return;
	leave_idle(conn);
	conn->quitting = true;
	lend_out(conn);
	smtp_client_quit(conn->smtp, &conn->out);
	drive(conn, BASE_SLICE_EMPTY, now);
	set_deadline(conn, RELAY_QUIT_MS, now);
}

bool relay_conn_is_retired(const struct relay_conn *conn)
{
	return conn->dest->account && conn->generation != conn->dest->account->generation;
}

void relay_conn_retire(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_CLOSED || conn->quitting)
		return;
	if (conn->ready)
		relay_conn_quit(conn, now);
	else if (!conn->reached)
		close_conn(conn); /* nothing was sent on it, and its jobs still wait */
}

/* failing */

static void copy_reply(struct relay_failure *f, const struct smtp_client_reply *reply)
{
	size_t len = reply->text_len < sizeof(f->reply) - 1 ? reply->text_len
							    : sizeof(f->reply) - 1;
	size_t i;

	f->code = reply->code;
	memcpy(f->enhanced, reply->enhanced, sizeof(f->enhanced));
	for (i = 0; i < len; i++) /* a text with an end: no NUL inside */
		f->reply[i] = reply->text[i] ? reply->text[i] : '?';
	f->reply[len] = '\0';
}

/* @more: added to @what; null: nothing. */
static void describe(
	struct relay_failure *f, const struct relay_conn *conn, const char *what, const char *more)
{
	const struct relay_peer *peer = &conn->peer;
	struct base_buf text;

	base_buf_init(&text, sizeof(f->reason) - 1);
	(void)base_buf_append_text(&text, what);
	if (more)
		(void)base_buf_append_text(&text, more);
	if (peer->path[0] || peer->host[0]) {
		(void)base_buf_append_text(&text, " (");
		(void)base_escape_text(
			base_slice_text(peer->path[0] ? peer->path : peer->host), 80, &text);
		if (!peer->path[0]) {
			(void)base_buf_append_byte(&text, ' ');
			(void)base_addr_format_port(&peer->addr, &text);
		}
		(void)base_buf_append_byte(&text, ')');
	}
	relay_failure_set(f, JOB_DEFERRED, 0, "", base_buf_text(&text));
	f->peer = *peer;
	base_buf_release(&text);
}

/* The connection is of no use any more; its job, if any, keeps what was decided. */
static void fail_conn(struct relay_conn *conn, struct relay_failure *f, bool reuse_lost,
	const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *job = conn->job;

	conn->job = NULL;
	if (job && reuse_lost && !job->retried && job->queue != RELAY_NO_QUEUE) {
		job->retried = true;
		close_conn(conn);
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
	close_conn(conn);
	if (!conn->reached)
		relay_dest_target_failed(d, f, now);
	else
		relay_dest_dispatch(d, now);
}

static void fail_simple(struct relay_conn *conn, const char *what, const struct relay_now *now)
{
	struct relay_failure f;

	describe(&f, conn, what, NULL);
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

	if (failure->refused && a->credential == SASL_CREDENTIAL_TOKEN && !conn->asked_refused) {
		/* It may have ended before its time: another one, at once. */
		a->token_refused = true;
		close_conn(conn);
	} else {
		relay_account_pause(conn->core, a, &refusal, now);
		close_conn(conn);
	}
	relay_account_dispatch(conn->core, a, now);
}

static void note_mechanism(struct relay_conn *conn)
{
	enum sasl_mechanism m = smtp_client_mechanism(conn->smtp);

	conn->peer.mechanism = m ? sasl_mechanism_info(m)->name : NULL;
}

static void on_failed(struct relay_conn *conn, const struct relay_now *now)
{
	const struct smtp_client_failure *failure = smtp_client_failure(conn->smtp);
	const struct smtp_client_reply *reply = smtp_client_reply(conn->smtp);
	bool lost = conn->messages > 1 && !conn->heard && (!reply->code || reply->code == 421);
	struct relay_failure f;

	if (conn->reached && !conn->job) { /* idle, or after QUIT */
		end_conn(conn, now);
		return;
	}
	note_mechanism(conn);
	if (failure->account && conn->dest->account) {
		on_login_failed(conn, failure, now);
		return;
	}
	describe(&f, conn, failure->reason,
		failure->maybe_delivered
			? " after the final dot; the message may have arrived all the same"
			: NULL);
	copy_reply(&f, reply);
	if (!f.enhanced[0] && !reply->code)
		memcpy(f.enhanced, failure->stage == SMTP_STAGE_AUTH ? "4.7.0" : "4.4.2", 6);
	if (failure->stage == SMTP_STAGE_STARTTLS && tls_demanded(conn->dest))
		f.outcome = JOB_HELD;
	fail_conn(conn, &f, lost, now);
}

/* a job on a connection */

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
	lend_out(conn);
	smtp_client_send_mail(conn->smtp, &mail, job->batch, job->batch_count, &conn->out);
	return true;
}

void relay_conn_start(struct relay_conn *conn, struct relay_job *job, const struct relay_now *now)
{
	leave_idle(conn);
	conn->job = job;
	job->started_ms = now->mono_ms;
	conn->messages++;
	conn->peer.reused = conn->messages > 1;
	conn->unwelcome = false;
	if (send_batch(conn) && !conn->driving)
		drive(conn, BASE_SLICE_EMPTY, now);
}

static enum job_outcome outcome_of(uint16_t code)
{
	return code < 400 ? JOB_DELIVERED : code < 500 ? JOB_DEFERRED : JOB_FAILED;
}

static void note(struct relay_conn *conn, uint32_t batch_i, enum job_outcome outcome)
{
	struct relay_job *job = conn->job;
	uint32_t i = job->batch_index[batch_i];

	relay_job_note(job, i, outcome, smtp_client_reply(conn->smtp),
		smtp_client_reply_is_local(conn->smtp));
	if (outcome == JOB_DELIVERED)
		job->results[i].dsn_relayed = smtp_client_extensions(conn->smtp) & SMTP_EXT_DSN;
}

static void on_mail_reply(struct relay_conn *conn)
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

static void on_rcpt_reply(struct relay_conn *conn)
{
	const struct smtp_client_reply *reply = smtp_client_reply(conn->smtp);
	size_t i = smtp_client_rcpt_index(conn->smtp);

	if (reply->code < 400)
		conn->job->results[conn->job->batch_index[i]].accepted = true;
	else if (!is_surplus(conn->job, reply))
		note(conn, (uint32_t)i, outcome_of(reply->code));
}

static void on_message_reply(struct relay_conn *conn)
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
		lend_out(conn);
		smtp_client_quit(conn->smtp, &conn->out);
		set_deadline(conn, RELAY_QUIT_MS, now);
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

	describe(&f, conn, "the server takes no mail now", NULL);
	copy_reply(&f, smtp_client_reply(conn->smtp));
	relay_dest_trouble(d, &f, now);
	if (!job->not_before_ms)
		job->not_before_ms = now->wall_ms + d->backoff_until_ms - now->mono_ms;
}

static void on_done(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_job *job = conn->job;
	uint32_t delivered = 0, i;

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

static void on_ready(struct relay_conn *conn, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	bool first = !conn->reached;

	if (first) {
		conn->reached = true;
		d->connecting--;
		d->target = 0; /* the best first, next time too */
		d->backoff_until_ms = 0;
		d->progress_ms = now->mono_ms;
		note_mechanism(conn);
	}
	on_free(conn, now);
	if (first && d->account)
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

	lend_out(conn);
	smtp_client_body(conn->smtp, rest, true, &used, &conn->out);
	job->offset += used;
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
		drive(conn, BASE_SLICE_EMPTY, now);
		return;
	}
	lend_out(conn);
	smtp_client_body(
		conn->smtp, bytes, job->offset + bytes.len >= job->size, &used, &conn->out);
	job->offset += used;
	drive(conn, BASE_SLICE_EMPTY, now);
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
	effect(conn, RELAY_WANT_SECRET);
}

/* A client certificate is shown in the handshake: it must be there before. */
static void begin_tls(struct relay_conn *conn, const struct relay_now *now)
{
	conn->phase = RELAY_CONN_TLS;
	set_deadline(conn, RELAY_TLS_MS, now);
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
		on_ready(conn, now);
		return true;
	case SMTP_CLIENT_MAIL_REPLY:
		on_mail_reply(conn);
		return true;
	case SMTP_CLIENT_RCPT_REPLY:
		on_rcpt_reply(conn);
		return true;
	case SMTP_CLIENT_BODY:
		if (conn->job->fd < 0)
			give_inline(conn);
		else
			ask_body(conn);
		return conn->job->fd < 0;
	case SMTP_CLIENT_MESSAGE_REPLY:
		on_message_reply(conn);
		return true;
	case SMTP_CLIENT_DONE:
		on_done(conn, now);
		return true;
	case SMTP_CLIENT_FAILED:
		on_failed(conn, now);
		return false;
	case SMTP_CLIENT_CLOSED:
		end_conn(conn, now);
		return false;
	}
	return false;
}

static void drive(struct relay_conn *conn, struct base_slice in, const struct relay_now *now)
{
	enum smtp_client_event event;
	size_t used;
	bool more = true;

	if (conn->driving || conn->phase == RELAY_CONN_CLOSED)
		return;
	conn->driving = true;
	lend_out(conn);
	while (more && conn->phase == RELAY_CONN_OPEN) {
		event = smtp_client_push(conn->smtp, in, &used, &conn->out);
		in = base_slice_from(in, used);
		more = handle(conn, event, now);
	}
	conn->driving = false;
	if (conn->phase == RELAY_CONN_OPEN && in.len) {
		(void)smtp_client_eof(conn->smtp, "the server speaks out of turn");
		on_failed(conn, now);
	}
	if (conn->phase == RELAY_CONN_OPEN && !conn->quitting)
		set_deadline(conn,
			conn->ready ? RELAY_IDLE_MS : stage_ms(smtp_client_stage(conn->smtp)), now);
	if (conn->out.len && conn->phase != RELAY_CONN_CLOSED && !conn->wants_write) {
		conn->wants_write = true;
		effect(conn, RELAY_WRITE);
	}
	return_out(conn);
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
	drive(conn, BASE_SLICE_EMPTY, now);
}

static void tls_failed(struct relay_conn *conn, const char *error, const struct relay_now *now)
{
	struct relay_dest *d = conn->dest;
	struct relay_failure f;

	if (d->tls == CONF_POLICY_MAY && !d->account && !implicit_tls(d)) {
		d->clear_until_ms = now->mono_ms + RELAY_CLEAR_MS;
		close_conn(conn);
		relay_dest_dispatch(d, now);
		return;
	}
	describe(&f, conn, error, NULL);
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
	lend_out(conn);
	smtp_client_tls_done(
		conn->smtp, done->binding, done->binding_data, done->verified, &conn->out);
	drive(conn, BASE_SLICE_EMPTY, now);
}

void relay_conn_input(struct relay_conn *conn, struct base_slice in, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_OPEN)
		drive(conn, in, now);
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
			end_conn(conn, now);
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
	return_out(conn);
	if (conn->phase == RELAY_CONN_OPEN && conn->job)
		drive(conn, BASE_SLICE_EMPTY, now);
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
	close_conn(conn);
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
	lend_out(conn);
	smtp_client_credentials(conn->smtp, user, secret, random, &conn->out);
	drive(conn, BASE_SLICE_EMPTY, now);
}

void relay_conn_tick(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_CLOSED || now->mono_ms < conn->deadline_ms)
		return;
	if (conn->ready)
		relay_conn_quit(conn, now);
	else
		relay_conn_ended(conn,
			conn->asking ? "auth did not answer in time"
				     : "the server did not answer in time",
			now);
}
