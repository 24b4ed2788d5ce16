#include "base/clock.h"
#include "base/utf8.h"
#include "loop/gsasl.h"
#include "qmail/remote.h"

#include <string.h>

/* One session; the engine decides, this file words the reports.
 *
 *	connect -> [TLS] -> greeting … READY -> MAIL RCPT … -> BODY … -> reply -> QUIT, no waiting
 *
 * No verdict, and the next target is tried: no connection, none or a 4xx greeting, no TLS where it
 * is demanded. Everything later is a verdict, as it was in qmail. Where TLS is only welcome and the
 * handshake fails, the same address is tried once more in clear; never with credentials. */

enum outcome {
	OUTCOME_GO_ON,
	OUTCOME_OVER, /* the report is complete */
	OUTCOME_NEXT, /* another target, please */
	OUTCOME_CLEAR /* the same again without TLS */
};

struct session {
	struct remote_job *job;
	const struct route_mx_target *target;
	struct remote_tls tls;
	struct remote_net net;
	struct smtp_client *client;
	struct base_buf in, out;
	struct base_buf said; /* the last reply, its lines as they came */
	bool said_whole;
	bool body_given;               /* the engine has the end of the message */
	enum sasl_mechanism mechanism; /* tried last */
	char ip[64];
};

static const char lost[] = "the connection was lost";

/* The server's lines, for "Remote host said". The trace shows them whole and one by one. */
static void on_line(void *arg, bool sent, struct base_slice line)
{
	struct session *s = arg;

	if (sent)
		return;
	if (s->said_whole)
		base_buf_clear(&s->said);
	s->said_whole = line.len < 4 || line.ptr[3] != '-';
	if (s->said.len < REMOTE_REPLY_MAX_BYTES) {
		(void)base_buf_append_slice(
			&s->said, base_slice_first(line, REMOTE_REPLY_MAX_BYTES));
		(void)base_buf_append_byte(&s->said, '\n');
	}
}

/* What the server said, or in our own words why nothing was sent. */
static void add_reply(struct session *s, struct base_buf *text)
{
	const struct smtp_client_reply *r = smtp_client_reply(s->client);

	if (smtp_client_reply_is_local(s->client)) {
		(void)base_buf_printf(text, "%.*s (#%s)\n", (int)r->text_len, r->text, r->enhanced);
	} else if (r->code) {
		(void)base_buf_append_text(text, "Remote host said: ");
		remote_report_said(base_buf_slice(&s->said), text);
	}
}

/* "<kind><before><ip><after>.\n" and the reply. */
static void word(struct session *s, char kind, const char *before, const char *after, bool reply,
	struct base_buf *text)
{
	base_buf_init(text, 4 * REMOTE_REPLY_MAX_BYTES);
	(void)base_buf_printf(text, "%c%s%s%s.\n", kind, before, s->ip, after);
	if (reply)
		add_reply(s, text);
}

static enum outcome verdict(
	struct session *s, char kind, const char *before, const char *after, bool reply)
{
	struct base_buf text;

	word(s, kind, before, after, reply, &text);
	remote_report_message(&s->job->report, base_buf_text(&text));
	base_buf_release(&text);
	return OUTCOME_OVER;
}

/* To be reported if no other target does better; takes @text. */
static enum outcome unsettled(struct session *s, struct base_buf *text)
{
	base_buf_clear(&s->job->unsettled);
	(void)base_buf_append_slice(&s->job->unsettled, base_buf_slice(text));
	base_buf_release(text);
	return OUTCOME_NEXT;
}

static enum outcome no_verdict(struct session *s, const char *what, bool reply)
{
	struct base_buf text, after;

	base_buf_init(&after, 2048);
	(void)base_buf_printf(&after, " but %s", what);
	word(s, 'Z', "Connected to ", base_buf_text(&after), reply, &text);
	base_buf_release(&after);
	return unsettled(s, &text);
}

static void word_died(struct session *s, bool duplicate, struct base_buf *text)
{
	base_buf_init(text, 256);
	(void)base_buf_printf(text, "ZConnected to %s but connection died. %s(#4.4.2)\n", s->ip,
		duplicate ? "Possible duplicate! " : "");
}

static enum outcome died(struct session *s, bool duplicate)
{
	struct base_buf text;

	word_died(s, duplicate, &text);
	remote_report_message(&s->job->report, base_buf_text(&text));
	base_buf_release(&text);
	return OUTCOME_OVER;
}

/* TLS */

static bool may_be_clear(const struct session *s)
{
	return s->tls.mode == SMTP_CLIENT_TLS_MAY && !s->job->plan->credentials;
}

/* Authorities: control/cafile alone where it is, else what OpenSSL has or $SSL_CERT_FILE names. One
 * context for all targets, made anew only where a later one is to be verified. */
static bool make_context(struct session *s, struct base_error *err)
{
	struct base_slice ca = s->job->control->file[REMOTE_FILE_CAFILE];
	bool verify = s->tls.verify;

	if (s->job->context && (s->job->context_verifies || !verify))
		return true;
	tls_context_free(&s->job->context);
	s->job->context_verifies = verify;
	if (!verify)
		ca = BASE_SLICE_EMPTY;
	if (!verify || ca.len)
		return tls_client_context_only_new(&s->job->context, ca, err) == 0;
	return tls_client_context_new(&s->job->context, ca, err) == 0;
}

static void tell_binding(struct session *s)
{
	static const enum sasl_binding order[] = {SASL_BINDING_TLS_EXPORTER,
		SASL_BINDING_TLS_UNIQUE, SASL_BINDING_TLS_SERVER_END_POINT};
	uint8_t data[TLS_BINDING_MAX_BYTES];
	enum sasl_binding binding = SASL_BINDING_NONE;
	size_t len = 0;

	for (size_t i = 0; i < BASE_COUNT(order) && binding == SASL_BINDING_NONE; i++) {
		/* The exporter binding is TLS 1.3's own; on 1.2 servers expect tls-unique. */
		if (order[i] == SASL_BINDING_TLS_EXPORTER &&
			strcmp(tls_version(s->net.tls), "TLSv1.3") != 0)
			continue;
		if (tls_binding(s->net.tls, sasl_binding_name(order[i]), data, &len))
			binding = order[i];
	}
	base_buf_clear(&s->in);
	smtp_client_tls_done(
		s->client, binding, base_slice_make(data, len), s->tls.verify, &s->out);
}

static enum outcome start_tls(struct session *s)
{
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	struct base_error err = {.text = ""};
	struct base_buf what;
	enum outcome outcome;

	remote_plan_tls_name(s->job->plan, s->target->host, host);
	if (make_context(s, &err) &&
		remote_net_handshake(&s->net, s->job->context, host, s->tls.verify, &err)) {
		tell_binding(s);
		return OUTCOME_GO_ON;
	}
	if (may_be_clear(s))
		return OUTCOME_CLEAR;
	base_buf_init(&what, 1024);
	(void)base_buf_append_text(&what, "TLS failed: ");
	remote_report_said(base_slice_text(err.text), &what);
	base_buf_truncate(&what, what.len - (err.text[0] != '\0'));
	outcome = no_verdict(s, base_buf_text(&what), false);
	base_buf_release(&what);
	return outcome;
}

/* failures */

static enum outcome refused_login(struct session *s, const struct smtp_client_failure *f)
{
	uint16_t code = smtp_client_reply(s->client)->code;
	struct base_buf after;
	enum outcome outcome;

	base_buf_init(&after, 1024);
	if (code == 432)
		(void)base_buf_append_text(&after, " but password expired");
	else if (code == 534 || code == 538)
		(void)base_buf_printf(&after, " but authentication mechanism too weak (AUTH %s)",
			sasl_mechanism_info(s->mechanism)->name);
	else if (code >= 400)
		(void)base_buf_printf(&after, " but authentication was rejected (AUTH %s)",
			sasl_mechanism_info(s->mechanism)->name);
	else
		(void)base_buf_printf(&after, " but authentication is not possible: %s", f->reason);
	outcome = verdict(s, 'Z', "Connected to ", base_buf_text(&after), true);
	base_buf_release(&after);
	return outcome;
}

/* 421 came in place of the reply to a recipient: for it, and for nobody behind it. */
static enum outcome closed_at_rcpt(struct session *s)
{
	struct remote_report *r = &s->job->report;
	struct base_buf text;

	word(s, 's', "", " does not like recipient", true, &text);
	if (r->told < r->rcpt_count)
		remote_report_rcpt(r, r->told, 's', base_buf_text(&text) + 1);
	base_buf_release(&text);
	return died(s, false);
}

static enum outcome other_failure(struct session *s, const struct smtp_client_failure *f)
{
	struct base_buf after;
	enum outcome outcome;

	base_buf_init(&after, 1024);
	(void)base_buf_printf(&after, " but %s%s", f->reason,
		f->maybe_delivered ? ". Possible duplicate! (#4.4.2)" : "");
	outcome = verdict(s, 'Z', "Connected to ", base_buf_text(&after), true);
	base_buf_release(&after);
	return outcome;
}

static enum outcome on_no_greeting(struct session *s, const struct smtp_client_failure *f)
{
	uint16_t code = smtp_client_reply(s->client)->code;
	struct base_buf text;

	if (code >= 500)
		return verdict(s, 'D', "Connected to ", " but greeting failed", true);
	if (code)
		return no_verdict(s, "greeting failed", true);
	if (f->reason != lost)
		return no_verdict(s, f->reason, false);
	word_died(s, false, &text);
	return unsettled(s, &text);
}

static enum outcome on_failed(struct session *s)
{
	const struct smtp_client_failure *f = smtp_client_failure(s->client);
	uint16_t code = smtp_client_reply(s->client)->code;
	/* Mail that must have TLS or a login waits for a server that is well again. */
	char kind = code >= 500 && may_be_clear(s) ? 'D' : 'Z';

	if (s->job->report.complete)
		return OUTCOME_OVER;
	switch (f->stage) {
	case SMTP_STAGE_GREETING:
		return on_no_greeting(s, f);
	case SMTP_STAGE_HELLO:
		if (code)
			return verdict(s, kind, "Connected to ", " but my name was rejected", true);
		break;
	case SMTP_STAGE_STARTTLS:
		if (f->reason != lost)
			return no_verdict(s, f->reason, true);
		break;
	case SMTP_STAGE_AUTH:
		if (f->reason != lost)
			return refused_login(s, f);
		break;
	case SMTP_STAGE_MAIL:
		if (code >= 400)
			return verdict(s, 'Z', "Connected to ", " but sender was rejected", true);
		break;
	case SMTP_STAGE_RCPT:
		if (code >= 400)
			return closed_at_rcpt(s);
		break;
	case SMTP_STAGE_DATA:
		if (code >= 400)
			return verdict(s, 'Z', "", " failed on DATA command", true);
		break;
	case SMTP_STAGE_BODY:
	case SMTP_STAGE_FINAL:
		if (code >= 400)
			return verdict(s, 'Z', "", " failed after I sent the message", true);
		break;
	case SMTP_STAGE_TLS:
	case SMTP_STAGE_QUIT:
	case SMTP_STAGE_COUNT:
		break;
	}
	return f->reason == lost ? died(s, f->maybe_delivered) : other_failure(s, f);
}

/* the transaction */

static void on_credentials(struct session *s)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES];

	base_random_fill(random, sizeof(random));
	smtp_client_credentials(s->client, s->job->plan->user, s->job->plan->password,
		base_slice_make(random, sizeof(random)), &s->out);
	s->mechanism = smtp_client_mechanism(s->client);
	base_wipe(random, sizeof(random));
}

/* MAIL says whose login it was, if that can be said. */
static bool can_be_told(struct base_slice user)
{
	for (size_t i = 0; i < user.len; i++)
		if (user.ptr[i] < ' ' || user.ptr[i] == 0x7f)
			return false;
	return user.len <= 320;
}

static void on_ready(struct session *s)
{
	const struct remote_job *job = s->job;
	unsigned offered = smtp_client_extensions(s->client);
	struct remote_message_facts facts = {.size_bytes = 0};
	struct smtp_client_mail mail = {.sender = job->sender};

	if (offered & (SMTP_EXT_SIZE | SMTP_EXT_8BITMIME))
		facts = remote_message_scan(&job->message);
	mail.size_bytes = facts.size_bytes;
	/* Where 8-bit text is not announced it is sent all the same, as qmail always did. */
	mail.body_8bit = facts.has_8bit && (offered & SMTP_EXT_8BITMIME);
	mail.auth_identity = job->plan->credentials && can_be_told(job->plan->user);
	if (mail.auth_identity)
		mail.auth = job->plan->user;
	if (offered & SMTP_EXT_SMTPUTF8)
		for (size_t i = 0; i < job->rcpt_count; i++)
			mail.smtputf8 |= !base_is_ascii(job->rcpts[i].address);
	smtp_client_send_mail(s->client, &mail, job->rcpts, job->rcpt_count, &s->out);
}

static void on_mail_reply(struct session *s)
{
	uint16_t code = smtp_client_reply(s->client)->code;

	if (code >= 400)
		(void)verdict(s, code >= 500 ? 'D' : 'Z', "Connected to ",
			" but sender was rejected", true);
}

static void on_rcpt_reply(struct session *s)
{
	const struct smtp_client_reply *r = smtp_client_reply(s->client);
	size_t i = smtp_client_rcpt_index(s->client);
	char kind = r->code >= 500 ? 'h' : 's';
	struct base_buf text;

	if (r->code < 400) {
		remote_report_rcpt(&s->job->report, i, 'r', NULL);
		return;
	}
	if (smtp_client_reply_is_local(s->client)) {
		base_buf_init(&text, 4 * REMOTE_REPLY_MAX_BYTES);
		(void)base_buf_append_byte(&text, (uint8_t)kind);
		add_reply(s, &text);
	} else {
		word(s, kind, "", " does not like recipient", true, &text);
	}
	remote_report_rcpt(&s->job->report, i, kind, base_buf_text(&text) + 1);
	base_buf_release(&text);
}

static void on_message_reply(struct session *s)
{
	uint16_t code = smtp_client_reply(s->client)->code;

	if (code < 400)
		(void)verdict(s, 'K', "", " accepted message", true);
	else
		(void)verdict(s, code >= 500 ? 'D' : 'Z', "",
			s->body_given ? " failed after I sent the message"
				      : " failed on DATA command",
			true);
}

/* A message that ends inside a line is never finished: the connection ends without the dot. */
static void give_body(struct session *s)
{
	struct remote_message *m = &s->job->message;
	struct base_slice bytes;
	size_t used = 0;
	bool partial;

	remote_message_fill(m);
	partial = m->ended && m->last_byte != '\n';
	if (m->failed || partial) {
		remote_report_message(&s->job->report,
			m->failed ? "ZUnable to read message. (#4.3.0)\n"
				  : "DSMTP cannot transfer messages with partial final lines. "
				    "(#5.6.2)\n");
		smtp_client_body_abort(s->client);
		return;
	}
	bytes = base_slice_make(m->bytes + m->at, m->len - m->at);
	smtp_client_body(s->client, bytes, m->ended, &used, &s->out);
	m->at += used;
	s->body_given = m->ended && m->at == m->len;
}

/* the shell */

static enum outcome need_input(struct session *s)
{
	(void)remote_net_write(&s->net, &s->out);
	/* A server that stops reading may have said why. */
	if (remote_net_read(&s->net, &s->in))
		return OUTCOME_GO_ON;
	return smtp_client_eof(s->client, lost) == SMTP_CLIENT_FAILED ? on_failed(s) : OUTCOME_OVER;
}

static enum outcome on_event(struct session *s, enum smtp_client_event event)
{
	switch (event) {
	case SMTP_CLIENT_MORE:
		return need_input(s);
	case SMTP_CLIENT_STARTTLS:
		return start_tls(s);
	case SMTP_CLIENT_CREDENTIALS:
		on_credentials(s);
		return OUTCOME_GO_ON;
	case SMTP_CLIENT_READY:
		on_ready(s);
		return OUTCOME_GO_ON;
	case SMTP_CLIENT_MAIL_REPLY:
		on_mail_reply(s);
		return OUTCOME_GO_ON;
	case SMTP_CLIENT_RCPT_REPLY:
		on_rcpt_reply(s);
		return OUTCOME_GO_ON;
	case SMTP_CLIENT_BODY:
		give_body(s);
		return remote_net_write(&s->net, &s->out) ? OUTCOME_GO_ON : need_input(s);
	case SMTP_CLIENT_MESSAGE_REPLY:
		on_message_reply(s);
		return OUTCOME_GO_ON;
	case SMTP_CLIENT_DONE:
		if (!s->job->report.complete)
			(void)verdict(s, 'D', "Giving up on ", "", false);
		smtp_client_quit(s->client, &s->out);
		(void)remote_net_write(&s->net, &s->out);
		return OUTCOME_OVER;
	case SMTP_CLIENT_FAILED:
		return on_failed(s);
	case SMTP_CLIENT_CLOSED:
		return OUTCOME_OVER;
	}
	return OUTCOME_OVER;
}

static enum outcome converse(struct session *s)
{
	enum outcome outcome = OUTCOME_GO_ON;

	if (s->tls.mode == SMTP_CLIENT_TLS_IMPLICIT)
		outcome = start_tls(s);
	while (outcome == OUTCOME_GO_ON) {
		size_t used = 0;
		enum smtp_client_event event = smtp_client_push(
			s->client, base_buf_slice(&s->in), &used, &s->out);

		base_buf_consume(&s->in, used);
		if (event == SMTP_CLIENT_MORE && used && s->in.len)
			continue;
		outcome = on_event(s, event);
	}
	return outcome;
}

static enum outcome run(struct session *s)
{
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	struct smtp_client_options options = {
		.helo_name = s->job->plan->helo,
		.foreign_new = gsasl_client_new,
		.foreign = GSASL_MECHANISMS_LOCAL,
		.tls = s->tls.mode,
		.auth = s->job->plan->credentials,
		.allow_plaintext_without_tls = s->tls.allow_plaintext,
	};
	enum outcome outcome;

	/* The name that the certificate carries is the one that DIGEST-MD5 is sworn on. */
	remote_plan_tls_name(s->job->plan, s->target->host, host);
	options.host = base_slice_text(host);
	if (remote_net_connect(&s->net, &s->target->addr, s->job->plan) != 0)
		return OUTCOME_NEXT;
	base_buf_init(&s->in, 1 << 20);
	base_buf_init_secret(&s->out, 1 << 18);
	base_buf_init(&s->said, 3 * REMOTE_REPLY_MAX_BYTES);
	s->said_whole = true;
	s->client = smtp_client_new(&options);
	smtp_client_set_trace(s->client, (struct smtp_client_trace){on_line, s});
	outcome = converse(s);
	smtp_client_free(&s->client);
	remote_net_close(&s->net);
	base_buf_release(&s->in);
	base_buf_release(&s->out);
	base_buf_release(&s->said);
	return outcome;
}

static void format_ip(const struct base_addr *addr, char *to, size_t size)
{
	struct base_buf text;
	struct base_slice shown;

	base_buf_init(&text, size - 1);
	(void)base_addr_format(addr, &text);
	shown = base_buf_slice(&text);
	memcpy(to, shown.ptr, shown.len);
	to[shown.len] = '\0';
	base_buf_release(&text);
}

bool remote_session_run(struct remote_job *job, const struct route_mx_target *target)
{
	struct session s = {.job = job, .target = target};
	struct base_buf why;
	enum outcome outcome;
	bool ok;

	base_buf_init(&why, 4096);
	ok = remote_plan_tls(job->control, job->plan, target->host, &s.tls, &why);
	if (!ok)
		remote_report_message(&job->report, base_buf_text(&why));
	base_buf_release(&why);
	if (!ok)
		return true;
	format_ip(&target->addr, s.ip, sizeof(s.ip));
	outcome = run(&s);
	if (outcome == OUTCOME_CLEAR) {
		s.tls.mode = SMTP_CLIENT_TLS_NONE;
		outcome = run(&s);
	}
	return outcome == OUTCOME_OVER;
}
