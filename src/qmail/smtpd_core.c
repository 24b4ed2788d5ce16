/* What is true while something is wanted:
 *
 *   READ           the engine has taken all bytes, or is between two commands
 *   CHECK, PAUSE, AUTH_BEGIN, AUTH_CONTINUE
 *                  the engine asks about a login
 *   ASK            the engine asks about a recipient, which recipients may name
 *   OPEN           the engine asks whether the message may come
 *   WRITE          @message holds a part of it; @last: all of the rest
 *   COMMIT         all of it is written; the engine asks what became of it
 *   TLS            220 is in @out
 *   CLOSE          the last reply is in @out
 *
 * ABORT, IDENTITY and AUTH_CANCEL are told between two of them and owed nothing. */
#include "qmail/smtpd_core.h"

#include "loop/envelope.h"
#include "qmail/smtpd_session.h"

#include <stdio.h>
#include <string.h>

static void set_want(struct smtpd *s, enum smtpd_want want)
{
	s->want = want;
}

void smtpd_init(struct smtpd *s, const struct smtpd_options *o)
{
	struct smtp_server_options smtp = {
		.host_name = o->greeting,
		.size_max_bytes = o->databytes,
		.recipients_max = o->recipients_max,
		.auth_failures_max = o->auth_failures_max,
	};

	*s = (struct smtpd){.options = o};
	base_buf_init_secret(&s->line, SMTP_AUTH_LINE_MAX_BYTES + 2);
	base_buf_init(&s->out, 65536);
	base_buf_init(&s->log, 65536);
	base_buf_init_secret(&s->question, WIRE_CHECKPASSWORD_MAX_BYTES);
	base_secret_init(&s->response, SMTP_AUTH_LINE_MAX_BYTES);
	base_buf_init(&s->user, SASL_NAME_MAX_BYTES);
	base_buf_init(&s->tried, SASL_NAME_MAX_BYTES);
	base_buf_init(&s->sender, SMTPD_ADDRESS_MAX_BYTES);
	base_buf_init(&s->rcpt, SMTPD_ADDRESS_MAX_BYTES);
	base_buf_init(&s->envid, SMTP_ENVID_MAX_BYTES * 3);
	base_buf_init(&s->orcpt, SMTP_ORCPT_MAX_BYTES);
	base_buf_init(&s->envelope, SMTPD_RCPTS_MAX_BYTES);
	base_buf_init(&s->message, MAIL_FIELD_MAX_BYTES + 4 * SMTPD_MESSAGE_CHUNK_BYTES);
	base_buf_init(&s->hold, MAIL_FIELD_MAX_BYTES + 1024);
	smtpd_recipients_init(&s->recipients);
	smtpd_words_fill(s);
	smtp.dialect = &s->dialect;
	if (o->tls_offer)
		smtp.flags |= SMTP_SERVER_TLS_OFFER;
	if (o->auth_required)
		smtp.flags |= SMTP_SERVER_AUTH_REQUIRED;
	if (o->legacy_announcement)
		smtp.flags |= SMTP_SERVER_AUTH_LEGACY;
	smtp_server_init(&s->smtp, &smtp);
	smtpd_apply_mechanisms(s);
	smtp_server_greet(&s->smtp, &s->out);
}

void smtpd_refuse(struct base_buf *out, bool compat, const char *text, const char *original)
{
	if (compat)
		base_buf_printf(out, "421 %s (#4.3.0)\r\n", original);
	else
		base_buf_printf(out, "421 4.3.0 %s\r\n", text);
}

void smtpd_release(struct smtpd *s)
{
	struct base_buf *const all[] = {&s->line, &s->out, &s->log, &s->question, &s->user,
		&s->tried, &s->sender, &s->rcpt, &s->envid, &s->orcpt, &s->envelope, &s->message,
		&s->hold};

	for (size_t i = 0; i < BASE_COUNT(all); i++)
		base_buf_release(all[i]);
	base_secret_release(&s->response);
	sasl_server_free(&s->sasl);
	smtpd_recipients_release(&s->recipients);
}

struct base_slice smtpd_user(const struct smtpd *s)
{
	return s->authenticated ? base_buf_slice(&s->user) : BASE_SLICE_EMPTY;
}

int smtpd_exit_code(const struct smtpd *s)
{
	return s->quit ? 0 : 1;
}

/* The only function that forgets sender, recipients and body. */
static void end_transaction(struct smtpd *s)
{
	if (s->open)
		s->abort_due = true;
	s->open = s->refused = s->last = s->bad_sender = s->in_body = false;
	base_buf_clear(&s->sender);
	base_buf_clear(&s->rcpt);
	base_buf_clear(&s->envid);
	base_buf_clear(&s->envelope);
	base_buf_clear(&s->message);
	base_buf_clear(&s->hold);
	s->rcpt_count = 0;
	s->envelope_flags = 0;
	s->ret = 0;
	s->message_bytes = 0;
}

static void close_session(struct smtpd *s, const char *why)
{
	if (!s->end)
		s->end = why;
	end_transaction(s);
	smtpd_drop_exchange(s);
	if (s->want != SMTPD_CLOSE)
		smtpd_log_event(s, SMTPD_EVENT_END, NULL);
	set_want(s, SMTPD_CLOSE);
}

/* ---- sender and recipients ---- */

static bool is_own_literal(const struct smtpd_options *o, struct base_slice domain)
{
	return o->local_ip.len && o->local_host.len && domain.len == o->local_ip.len + 2 &&
		domain.ptr[0] == '[' && domain.ptr[domain.len - 1] == ']' &&
		base_slice_equal(
			base_slice_first(base_slice_from(domain, 1), o->local_ip.len), o->local_ip);
}

/* As it goes into the envelope: our address literal becomes our name; for qmail-queue, which knows no
 * quoting, quotes and backslashes are dropped. */
static void put_address(
	const struct smtpd_options *o, struct base_slice address, struct base_buf *out)
{
	size_t at = base_slice_find_last(address, '@');
	struct base_slice domain = base_slice_from(address, at + 1);

	base_buf_clear(out);
	for (size_t i = 0; i < at; i++) {
		uint8_t c = address.ptr[i];

		if (!o->own_queue && c == '\\' && i + 1 < at)
			c = address.ptr[++i];
		else if (!o->own_queue && c == '"')
			continue;
		base_buf_append_byte(out, c);
	}
	if (at < address.len)
		base_buf_append_byte(out, '@');
	base_buf_append_slice(out, is_own_literal(o, domain) ? o->local_host : domain);
}

static void on_mail(struct smtpd *s)
{
	const struct smtpd_options *o = s->options;
	const struct smtp_mail *mail = smtp_server_mail(&s->smtp);
	struct smtp_reply reply = smtpd_say(s, SMTPD_SAY_MAIL_OK);

	end_transaction(s);
	put_address(o, mail->sender, &s->sender);
	base_buf_append_slice(&s->envid, mail->envid);
	if (mail->smtputf8 && o->own_queue)
		s->envelope_flags |= ENVELOPE_SMTPUTF8;
	s->ret = (uint8_t)mail->ret;
	s->bad_sender = smtpd_sender_is_bad(o->badmailfrom.bytes, base_buf_slice(&s->sender));
	if (!o->own_queue && !wire_qmail_queue_sender(base_buf_slice(&s->sender), &s->envelope))
		reply = smtpd_say(s, SMTPD_SAY_ADDRESS_LONG);
	smtp_server_mail_answer(&s->smtp, reply, &s->out);
}

static void answer_rcpt(struct smtpd *s, enum smtpd_saying what)
{
	struct smtp_reply reply = smtpd_say(s, what);
	const char *more = NULL;
	char text[300];

	if (what == SMTPD_SAY_NO_MAILBOX)
		more = s->options->reply_mailbox;
	else if (what == SMTPD_SAY_NO_GATEWAY)
		more = s->options->reply_nogateway;
	else if (what == SMTPD_SAY_BAD_SENDER)
		more = s->options->reply_badmailfrom;
	if (more) {
		snprintf(text, sizeof(text), "%.150s %.140s", reply.text, more);
		reply.text = text;
	}
	smtp_server_rcpt_answer(&s->smtp, reply, &s->out);
	set_want(s, SMTPD_READ);
	if (reply.code == 421)
		close_session(s, "recipients");
}

static void take_rcpt(struct smtpd *s, enum smtpd_event event)
{
	const struct smtpd_options *o = s->options;
	struct envelope_rcpt line = {.notify = s->notify, .orcpt = base_buf_slice(&s->orcpt)};
	size_t before = s->envelope.len;

	if (o->relay && !s->authenticated)
		base_buf_append_slice(&s->rcpt, o->suffix);
	line.address = base_buf_slice(&s->rcpt);
	if (o->own_queue)
		envelope_put_rcpt(&s->envelope, &line);
	else if (!wire_qmail_queue_rcpt(base_buf_slice(&s->rcpt), &s->envelope))
		s->envelope.overflow = true;
	if (!base_buf_ok(&s->envelope) || !base_buf_ok(&s->rcpt)) {
		base_buf_truncate(&s->envelope, before);
		s->envelope.overflow = false;
		answer_rcpt(s, SMTPD_SAY_ADDRESS_LONG);
		return;
	}
	s->rcpt_count++;
	smtpd_log_event(s, event, NULL);
	answer_rcpt(s, SMTPD_SAY_RCPT_OK);
}

static void refuse_rcpt(struct smtpd *s, enum smtpd_event event, enum smtpd_saying what)
{
	smtpd_log_event(s, event, NULL);
	answer_rcpt(s, what);
}

static void judge_recipients(struct smtpd *s, enum smtpd_recipients_result result)
{
	switch (result) {
	case SMTPD_RECIPIENTS_ASK:
		set_want(s, SMTPD_ASK);
		return;
	case SMTPD_RECIPIENTS_YES:
		take_rcpt(s,
			s->ask.kind == SMTPD_ASK_CDB ? SMTPD_EVENT_RCPT_CDB
						     : SMTPD_EVENT_RCPT_PROGRAM);
		return;
	case SMTPD_RECIPIENTS_WILD:
		take_rcpt(s, SMTPD_EVENT_RCPT_WILD);
		return;
	case SMTPD_RECIPIENTS_NO:
		refuse_rcpt(s, SMTPD_EVENT_NO_MAILBOX,
			s->options->recipients_450 ? SMTPD_SAY_NO_MAILBOX_450
						   : SMTPD_SAY_NO_MAILBOX);
		return;
	case SMTPD_RECIPIENTS_FAILED:
		answer_rcpt(s, SMTPD_SAY_NO_RECIPIENTS);
		return;
	}
}

static enum smtpd_answer hosts_allow(const struct smtpd_options *o, struct base_slice address)
{
	if (!o->rcpthosts.exists)
		return o->closed ? SMTPD_NO : SMTPD_YES;
	return smtpd_hosts_allow(o->rcpthosts.bytes, o->morercpthosts.bytes, address);
}

/* One whom nothing allows to relay. */
static void judge_stranger(struct smtpd *s)
{
	const struct smtpd_options *o = s->options;

	switch (hosts_allow(o, base_buf_slice(&s->rcpt))) {
	case SMTPD_CANNOT_TELL:
		answer_rcpt(s, SMTPD_SAY_NO_CONTROLS);
		return;
	case SMTPD_NO:
		refuse_rcpt(s, SMTPD_EVENT_NO_GATEWAY, SMTPD_SAY_NO_GATEWAY);
		return;
	case SMTPD_YES:
		break;
	}
	if (o->recipients.exists)
		judge_recipients(s,
			smtpd_recipients_begin(&s->recipients, o->recipients.bytes,
				base_buf_slice(&s->rcpt), &s->ask));
	else
		take_rcpt(s, SMTPD_EVENT_RCPT_HOSTS);
}

static void on_rcpt(struct smtpd *s)
{
	const struct smtpd_options *o = s->options;
	const struct smtp_rcpt *rcpt = smtp_server_rcpt(&s->smtp);

	put_address(o, rcpt->address, &s->rcpt);
	s->notify = (uint8_t)rcpt->notify;
	base_buf_clear(&s->orcpt);
	base_buf_append_slice(&s->orcpt, rcpt->orcpt);
	if (s->bad_sender)
		refuse_rcpt(s, SMTPD_EVENT_BAD_SENDER, SMTPD_SAY_BAD_SENDER);
	else if (s->authenticated)
		take_rcpt(s, SMTPD_EVENT_RCPT_AUTH);
	else if (o->relay)
		take_rcpt(s, SMTPD_EVENT_RCPT_RELAY);
	else
		judge_stranger(s);
}

void smtpd_asked(struct smtpd *s, enum smtpd_answer answer)
{
	BASE_BUG_IF(s->want != SMTPD_ASK);
	set_want(s, SMTPD_READ);
	judge_recipients(s, smtpd_recipients_answer(&s->recipients, answer, &s->ask));
}

/* ---- the message ---- */

/* Bytes of the field at the front of @text, its folds included. */
static size_t field_len(struct base_slice text)
{
	size_t at = 0;

	do
		at += base_slice_find(base_slice_from(text, at), '\n') + 1;
	while (at < text.len && (text.ptr[at] == ' ' || text.ptr[at] == '\t'));
	return at < text.len ? at : text.len;
}

/* The trace is the original's whatever queue it goes to; Authentication-Results is ours. */
static void begin_intake(struct smtpd *s, const struct smtpd_now *now)
{
	const struct smtpd_options *o = s->options;
	struct mail_origin origin = {
		.host_name = o->host_name,
		.helo = smtp_server_helo(&s->smtp),
		.esmtp = smtp_server_is_esmtp(&s->smtp) || s->authenticated,
		.tls = s->tls_version != NULL,
		.authenticated = s->authenticated,
		.smtputf8 = smtp_server_is_smtputf8(&s->smtp),
		.tls_version = base_slice_text(s->tls_version),
		.tls_cipher = base_slice_text(s->tls_cipher),
		.user = smtpd_user(s),
		.message_id = s->message_id,
		.now_ms = now->wall_ms,
	};

	base_buf_clear(&s->hold);
	mail_intake_begin(&s->intake, s->authenticated || o->relay ? MAIL_INTAKE_FIXUP : 0, &origin,
		&s->hold);
	smtpd_received_write(s, now->wall_ms, "\r\n", &s->message);
	base_buf_append_slice(&s->message,
		base_slice_from(base_buf_slice(&s->hold), field_len(base_buf_slice(&s->hold))));
	base_buf_clear(&s->hold);
}

void smtpd_opened(struct smtpd *s, bool ok, const struct smtpd_now *now)
{
	BASE_BUG_IF(s->want != SMTPD_OPEN);
	set_want(s, SMTPD_READ);
	if (!ok) {
		smtp_server_data_answer(&s->smtp, smtpd_say(s, SMTPD_SAY_NO_QUEUE), &s->out);
		return;
	}
	s->open = s->in_body = s->line_start = s->line_wanted = true;
	s->line_len = 0;
	s->hops = 0;
	s->message_id = base_id_make(now->wall_ms, now->random);
	if (s->options->own_queue)
		begin_intake(s, now);
	else
		smtpd_received_write(s, now->wall_ms, "\n", &s->message);
	s->message_bytes = s->message.len;
	smtp_server_data_answer(&s->smtp, smtpd_say(s, SMTPD_SAY_DATA_OK), &s->out);
}

static void refuse_body(struct smtpd *s, struct smtp_reply reply)
{
	s->refused = true;
	base_buf_clear(&s->message);
	base_buf_clear(&s->hold);
	smtp_server_body_refuse(&s->smtp, reply);
}

/* The front of each header line, to see whether it is a hop; the body has none. */
static void count_hop(struct smtpd *s)
{
	struct base_slice front = base_slice_make(s->line_front, s->line_len);

	if (base_slice_starts_with_nocase(front, BASE_SLICE("received:")) ||
		base_slice_starts_with_nocase(front, BASE_SLICE("delivered-to:")))
		s->hops++;
}

static void end_line(struct smtpd *s)
{
	if (s->line_wanted)
		count_hop(s);
	if (s->line_len == 0)
		s->line_wanted = false; /* the header ends here */
	s->line_len = 0;
}

/* CRLF lines become LF lines. The engine has seen to it that there is no other CR. */
static void put_lines(struct smtpd *s, struct base_slice bytes)
{
	for (size_t i = 0; i < bytes.len;) {
		size_t end = i;

		while (end < bytes.len && bytes.ptr[end] != '\r')
			end++;
		base_buf_append(&s->message, bytes.ptr + i, end - i);
		for (; s->line_wanted && i < end; i++) {
			if (bytes.ptr[i] == '\n')
				end_line(s);
			else if (s->line_len < sizeof(s->line_front))
				s->line_front[s->line_len++] = (char)bytes.ptr[i];
		}
		i = end + 1;
	}
}

static struct smtp_reply reply_of(enum mail_intake_result result)
{
	struct mail_intake_reply r = mail_intake_reply(result);

	return SMTP_REPLY(r.code, r.enhanced, r.text);
}

static void on_body(struct smtpd *s)
{
	size_t before = s->message.len;
	enum mail_intake_result result = MAIL_INTAKE_OK;

	if (s->refused)
		return;
	if (s->options->own_queue)
		result = mail_intake_push(
			&s->intake, smtp_server_body(&s->smtp), &s->hold, &s->message);
	else
		put_lines(s, smtp_server_body(&s->smtp));
	if (result != MAIL_INTAKE_OK) {
		refuse_body(s, reply_of(result));
		return;
	}
	if (s->hops >= SMTPD_HOPS_MAX) {
		refuse_body(s, smtpd_say(s, SMTPD_SAY_HOPS));
		return;
	}
	s->message_bytes += s->message.len - before;
	if (s->message.len >= SMTPD_MESSAGE_CHUNK_BYTES)
		set_want(s, SMTPD_WRITE);
}

static void on_body_end(struct smtpd *s)
{
	size_t before = s->message.len;
	enum mail_intake_result result = MAIL_INTAKE_OK;

	if (s->options->own_queue)
		result = mail_intake_end(&s->intake, &s->hold, &s->message);
	else
		wire_qmail_queue_end(&s->envelope);
	if (result != MAIL_INTAKE_OK) {
		smtp_server_message_answer(&s->smtp, reply_of(result), &s->out);
		end_transaction(s);
		return;
	}
	if (s->intake.has_8bit)
		s->envelope_flags |= ENVELOPE_8BIT;
	if (s->intake.header_8bit)
		s->envelope_flags |= ENVELOPE_HEADER_8BIT;
	s->message_bytes += s->message.len - before;
	s->in_body = false;
	s->last = true;
	set_want(s, s->message.len ? SMTPD_WRITE : SMTPD_COMMIT);
}

void smtpd_written(struct smtpd *s)
{
	BASE_BUG_IF(s->want != SMTPD_WRITE);
	base_buf_clear(&s->message);
	set_want(s, s->last ? SMTPD_COMMIT : SMTPD_READ);
}

static void answer_message(struct smtpd *s, struct smtp_reply reply)
{
	BASE_BUG_IF(s->want != SMTPD_COMMIT);
	set_want(s, SMTPD_READ);
	smtp_server_message_answer(&s->smtp, reply, &s->out);
	smtpd_log_event(s, reply.code < 400 ? SMTPD_EVENT_MESSAGE : SMTPD_EVENT_NO_MESSAGE,
		reply.code < 400 ? NULL : reply.text);
	s->open = false; /* it is the queue's now, or nobody's */
	end_transaction(s);
}

void smtpd_queued(struct smtpd *s, int status, bool crashed, bool broken, long pid, int64_t wall_ms)
{
	enum { READ_ERROR = 54 };
	struct wire_qmail_queue_reply r = wire_qmail_queue_reply(
		status == 0 && broken && !crashed ? READ_ERROR : status, crashed);
	struct smtp_reply reply = SMTP_REPLY(r.code, r.enhanced, r.text);
	char text[96];

	if (s->options->compat)
		reply = SMTP_REPLY(r.code, NULL, r.original);
	if (r.code < 400) {
		snprintf(text, sizeof(text), "ok %lld qp %ld", (long long)(wall_ms / 1000), pid);
		reply.text = text;
	}
	answer_message(s, reply);
}

void smtpd_stored(struct smtpd *s, int class)
{
	struct smtp_reply reply = SMTP_REPLY(
		451, "4.3.0", "the queue cannot store the message now");
	char text[64];

	if (class == 0) {
		snprintf(text, sizeof(text), "queued as %s", s->message_id.text);
		reply = SMTP_REPLY(250, "2.0.0", text);
	} else if (class == BASE_ERROR_NO_SPACE) {
		reply = SMTP_REPLY(452, "4.3.1", "no disk space for the message");
	}
	answer_message(s, reply);
}

void smtpd_envelope(const struct smtpd *s, int64_t arrived_ms, struct base_buf *out)
{
	const struct smtpd_options *o = s->options;
	struct base_addr addr;
	struct envelope e = {
		.flags = s->envelope_flags | (s->authenticated ? 0 : ENVELOPE_STRANGER),
		.ret = s->ret,
		.arrived_ms = arrived_ms,
		.session = base_slice_text(o->session.text),
		.user = smtpd_user(s),
		.client = base_addr_parse(o->remote_ip, &addr) ? o->remote_ip : BASE_SLICE_EMPTY,
		.sender = base_buf_slice(&s->sender),
		.envid = base_buf_slice(&s->envid),
		.rcpt_count = s->rcpt_count,
	};

	envelope_put(out, &e);
	base_buf_append_slice(out, base_buf_slice(&s->envelope));
}

/* ---- the loop over the engine's events ---- */

static bool is_quit(const struct smtpd *s)
{
	return strcmp(smtp_server_verb_name(&s->smtp), "QUIT") == 0;
}

/* The engine refused a message at its end; its reply is the last line of @out. */
static void log_refused_body(struct smtpd *s)
{
	struct base_slice line = base_slice_trim(base_buf_slice(&s->out));
	size_t before = base_slice_find_last(line, '\n');

	if (!s->in_body)
		return;
	if (before < line.len)
		line = base_slice_from(line, before + 1);
	smtpd_log_event(s,
		base_slice_starts_with(line, BASE_SLICE("552")) ? SMTPD_EVENT_TOO_LARGE
								: SMTPD_EVENT_NO_MESSAGE,
		NULL);
}

static void handle(struct smtpd *s, enum smtp_server_event event, const struct smtpd_now *now)
{
	switch (event) {
	case SMTP_SERVER_MORE:
		break;
	case SMTP_SERVER_FULL:
		break;
	case SMTP_SERVER_RESET:
		log_refused_body(s);
		end_transaction(s);
		break;
	case SMTP_SERVER_HELLO:
		end_transaction(s);
		break;
	case SMTP_SERVER_STARTTLS:
		end_transaction(s);
		set_want(s, SMTPD_TLS);
		break;
	case SMTP_SERVER_AUTH:
		smtpd_on_auth(s, now);
		break;
	case SMTP_SERVER_AUTH_RESPONSE:
		smtpd_on_auth_response(s);
		break;
	case SMTP_SERVER_AUTH_CANCEL:
		smtpd_drop_exchange(s);
		break;
	case SMTP_SERVER_MAIL:
		on_mail(s);
		break;
	case SMTP_SERVER_RCPT:
		on_rcpt(s);
		break;
	case SMTP_SERVER_DATA:
		set_want(s, SMTPD_OPEN);
		break;
	case SMTP_SERVER_BODY:
		on_body(s);
		break;
	case SMTP_SERVER_BODY_END:
		on_body_end(s);
		break;
	case SMTP_SERVER_CLOSE:
		s->quit = is_quit(s);
		close_session(s, s->quit ? "quit" : "errors");
		break;
	}
}

/* The engine refuses these by itself: a MAIL without a login, a message that is too large. */
static void see_refusals(struct smtpd *s)
{
	const struct smtp_server_counts *c = smtp_server_counts(&s->smtp);

	if (c->bad_commands == s->bad_before)
		return;
	s->bad_before = c->bad_commands;
	if (s->options->auth_required && !s->authenticated &&
		strcmp(smtp_server_verb_name(&s->smtp), "MAIL") == 0)
		smtpd_log_event(s, SMTPD_EVENT_AUTH_MISSING, NULL);
}

static bool told(bool *due)
{
	bool was = *due;

	*due = false;
	return was;
}

enum smtpd_want smtpd_next(
	struct smtpd *s, struct base_slice in, size_t *out_used, const struct smtpd_now *now)
{
	*out_used = 0;
	for (;;) {
		enum smtp_server_event event;
		size_t used;

		if (told(&s->cancel_due))
			return SMTPD_AUTH_CANCEL;
		if (told(&s->abort_due))
			return SMTPD_ABORT;
		if (told(&s->identity_due))
			return SMTPD_IDENTITY;
		if (s->want != SMTPD_READ)
			return s->want;
		event = smtp_server_push(
			&s->smtp, base_slice_from(in, *out_used), &used, &s->line, &s->out);
		*out_used += used;
		handle(s, event, now);
		see_refusals(s);
		if (event == SMTP_SERVER_FULL)
			return SMTPD_FLUSH;
		if (event == SMTP_SERVER_MORE)
			return SMTPD_READ;
	}
}

void smtpd_tls_done(struct smtpd *s, const char *version, const char *cipher, bool bindings)
{
	BASE_BUG_IF(s->want != SMTPD_TLS);
	s->tls_version = version;
	s->tls_cipher = cipher;
	s->tls_bindings = bindings;
	smtp_server_tls_done(&s->smtp);
	if (s->authenticated)
		s->identity_due = true;
	s->authenticated = false;
	base_buf_clear(&s->user);
	smtpd_apply_mechanisms(s);
	set_want(s, SMTPD_READ);
}

void smtpd_timeout(struct smtpd *s)
{
	smtp_server_bye(&s->smtp, smtpd_say(s, SMTPD_SAY_TIMEOUT), &s->out);
	close_session(s, "timeout");
}

void smtpd_lost(struct smtpd *s, const char *why)
{
	close_session(s, why);
}
