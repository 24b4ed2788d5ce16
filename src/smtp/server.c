/* The session as phases. Each arrow is made by the handler or answer named beside it; bye(), a fault
 * that ends the session, and QUIT lead from everywhere to CLOSED.
 *
 *   NEW ──greet── START ──on_ehlo, on_helo── READY
 *
 *   READY ──on_starttls── ASK_TLS ──tls_done── START        (tls_unavailable: READY)
 *   READY ──on_auth── ASK_AUTH ──auth_challenge── AUTH_LINE ──step_auth── ASK_AUTH …
 *                     ASK_AUTH ──auth_done── READY          (AUTH_LINE, "*": READY)
 *   READY ──on_mail── ASK_MAIL ──mail_answer── MAIL         (refused: READY)
 *   MAIL, RCPT ──on_rcpt── ASK_RCPT ──rcpt_answer── RCPT    (refused: where it came from)
 *   RCPT ──on_data── ASK_DATA ──data_answer── TEXT ──step_text── ASK_MESSAGE
 *   RCPT ──on_bdat── ASK_DATA ──data_answer── CHUNK ──step_chunk── CHUNKS or ASK_MESSAGE
 *   CHUNKS ──on_bdat── CHUNK
 *   ASK_MESSAGE ──message_answer── READY
 *   everywhere ──end_transaction── READY (START before EHLO)
 *   a BDAT that may not run goes through CHUNK too, so that its octets never become commands
 *
 *   START    no HELO name, no login, no transaction
 *   READY    HELO name; no sender, no recipients, no body
 *   MAIL     sender accepted; no recipient
 *   RCPT     sender and at least one recipient accepted
 *   TEXT     the message comes; ends with CRLF.CRLF
 *   CHUNK    chunk_left octets of BDAT come
 *   CHUNKS   between two BDAT of one message
 *   ASK_…    the caller owes an answer; no byte is looked at
 *   CLOSED   CLOSE is due or was given */
#include "smtp/server.h"
#include "smtp/server_machine.h"

#include <string.h>

#define IN(phase) (1u << SMTP_PHASE_##phase)
#define IN_IDLE (IN(START) | IN(READY))
#define IN_ANY (IN_IDLE | IN(MAIL) | IN(RCPT) | IN(CHUNKS))
#define IN_QUESTION \
	(IN(ASK_TLS) | IN(ASK_AUTH) | IN(ASK_MAIL) | IN(ASK_RCPT) | IN(ASK_DATA) | IN(ASK_MESSAGE))
#define IN_TRANSACTION \
	(IN(MAIL) | IN(ASK_RCPT) | IN(RCPT) | IN(ASK_DATA) | IN(TEXT) | IN(CHUNKS) | \
		IN(ASK_MESSAGE))

enum { NEED_HELLO = 1, NEED_TLS = 2, NEED_AUTH = 4 };
#define NEED_ALL (NEED_HELLO | NEED_TLS | NEED_AUTH)

struct rule {
	uint32_t phases;
	unsigned needs;
	smtp_handler_fn handler; /* null: answered by dispatch() itself */
};

static const struct rule rules[] = {
	[SMTP_VERB_UNKNOWN] = {0, 0, NULL},
	[SMTP_VERB_HELO] = {IN_ANY, 0, smtp_server_on_helo},
	[SMTP_VERB_EHLO] = {IN_ANY, 0, smtp_server_on_ehlo},
	[SMTP_VERB_STARTTLS] = {IN(READY), NEED_HELLO, smtp_server_on_starttls},
	[SMTP_VERB_AUTH] = {IN(READY), NEED_HELLO, smtp_server_on_auth},
	[SMTP_VERB_MAIL] = {IN(READY), NEED_ALL, smtp_server_on_mail},
	[SMTP_VERB_RCPT] = {IN(MAIL) | IN(RCPT), NEED_ALL, smtp_server_on_rcpt},
	[SMTP_VERB_DATA] = {IN(RCPT), NEED_ALL, smtp_server_on_data},
	[SMTP_VERB_BDAT] = {IN(RCPT) | IN(CHUNKS), NEED_ALL, smtp_server_on_bdat},
	[SMTP_VERB_RSET] = {IN_ANY, 0, smtp_server_on_rset},
	[SMTP_VERB_NOOP] = {IN_ANY, 0, smtp_server_on_noop},
	[SMTP_VERB_VRFY] = {IN_ANY, NEED_ALL, smtp_server_on_vrfy},
	[SMTP_VERB_EXPN] = {0, 0, NULL},
	[SMTP_VERB_HELP] = {IN_ANY, 0, smtp_server_on_help},
	[SMTP_VERB_QUIT] = {IN_ANY, 0, smtp_server_on_quit},
	[SMTP_VERB_FOREIGN] = {0, 0, NULL},
};
static_assert(BASE_COUNT(rules) == SMTP_VERB_COUNT, "a rule for each verb");

/* Where each phase may lead. CLOSED may follow all, end_transaction() leads to READY and START. */
static const uint32_t next_phases[] = {
	[SMTP_PHASE_NEW] = IN(START),
	[SMTP_PHASE_START] = IN_IDLE | IN(CHUNK),
	[SMTP_PHASE_READY] = IN_IDLE | IN(ASK_TLS) | IN(ASK_AUTH) | IN(ASK_MAIL) | IN(CHUNK),
	[SMTP_PHASE_ASK_TLS] = IN_IDLE,
	[SMTP_PHASE_ASK_AUTH] = IN(AUTH_LINE) | IN(READY),
	[SMTP_PHASE_AUTH_LINE] = IN(ASK_AUTH) | IN(READY),
	[SMTP_PHASE_ASK_MAIL] = IN(MAIL) | IN(READY),
	[SMTP_PHASE_MAIL] = IN(ASK_RCPT) | IN(CHUNK) | IN(READY),
	[SMTP_PHASE_ASK_RCPT] = IN(MAIL) | IN(RCPT),
	[SMTP_PHASE_RCPT] = IN(ASK_RCPT) | IN(ASK_DATA) | IN(CHUNK) | IN(READY),
	[SMTP_PHASE_ASK_DATA] = IN(TEXT) | IN(CHUNK) | IN(READY),
	[SMTP_PHASE_TEXT] = IN(ASK_MESSAGE) | IN(READY),
	[SMTP_PHASE_CHUNK] = IN(CHUNKS) | IN(ASK_MESSAGE) | IN_IDLE,
	[SMTP_PHASE_CHUNKS] = IN(CHUNK) | IN(READY),
	[SMTP_PHASE_ASK_MESSAGE] = IN(READY),
	[SMTP_PHASE_CLOSED] = 0,
};
static_assert(BASE_COUNT(next_phases) == SMTP_PHASE_COUNT, "a row for each phase");

static const char *const phase_names[] = {
	[SMTP_PHASE_NEW] = "new",
	[SMTP_PHASE_START] = "start",
	[SMTP_PHASE_READY] = "ready",
	[SMTP_PHASE_ASK_TLS] = "starttls",
	[SMTP_PHASE_ASK_AUTH] = "auth",
	[SMTP_PHASE_AUTH_LINE] = "auth-response",
	[SMTP_PHASE_ASK_MAIL] = "mail",
	[SMTP_PHASE_MAIL] = "after-mail",
	[SMTP_PHASE_ASK_RCPT] = "rcpt",
	[SMTP_PHASE_RCPT] = "after-rcpt",
	[SMTP_PHASE_ASK_DATA] = "data",
	[SMTP_PHASE_TEXT] = "text",
	[SMTP_PHASE_CHUNK] = "chunk",
	[SMTP_PHASE_CHUNKS] = "after-chunk",
	[SMTP_PHASE_ASK_MESSAGE] = "message-end",
	[SMTP_PHASE_CLOSED] = "closed",
};
static_assert(BASE_COUNT(phase_names) == SMTP_PHASE_COUNT, "a name for each phase");

static const char *const event_names[] = {
	[SMTP_SERVER_MORE] = "more",
	[SMTP_SERVER_FULL] = "full",
	[SMTP_SERVER_HELLO] = "hello",
	[SMTP_SERVER_STARTTLS] = "starttls",
	[SMTP_SERVER_AUTH] = "auth",
	[SMTP_SERVER_AUTH_RESPONSE] = "auth-response",
	[SMTP_SERVER_AUTH_CANCEL] = "auth-cancel",
	[SMTP_SERVER_MAIL] = "mail",
	[SMTP_SERVER_RCPT] = "rcpt",
	[SMTP_SERVER_DATA] = "data",
	[SMTP_SERVER_BODY] = "body",
	[SMTP_SERVER_BODY_END] = "body-end",
	[SMTP_SERVER_RESET] = "reset",
	[SMTP_SERVER_CLOSE] = "close",
};
static_assert(BASE_COUNT(event_names) == SMTP_SERVER_CLOSE + 1, "a name for each event");

static bool is_in(const struct smtp_server *s, uint32_t phases)
{
	return (1u << s->phase & phases) != 0;
}

void smtp_server_set_phase(struct smtp_server *s, enum smtp_phase to)
{
	BASE_BUG_IF(to != SMTP_PHASE_CLOSED && !(next_phases[s->phase] & 1u << to));
	s->phase = (uint8_t)to;
}

void smtp_server_end_transaction(struct smtp_server *s)
{
	if (s->mail_open)
		s->due |= SMTP_DUE_RESET;
	s->mail_open = s->smtputf8 = s->chunked = s->chunk_last = s->refused = s->too_large = false;
	s->dropping = false;
	s->small_chunks = 0;
	s->rcpt_ok = 0;
	s->chunk_left = s->body_bytes = 0;
	smtp_text_init(&s->text, false);
	s->refusal = (struct smtp_reply){0};
	s->mail = (struct smtp_mail){0};
	s->rcpt = (struct smtp_rcpt){0};
	s->body = BASE_SLICE_EMPTY;
	smtp_server_set_phase(s, s->helo_len ? SMTP_PHASE_READY : SMTP_PHASE_START);
}

void smtp_server_close(struct smtp_server *s)
{
	smtp_server_set_phase(s, SMTP_PHASE_CLOSED);
	s->due = (s->due & SMTP_DUE_AUTH_CANCEL) | SMTP_DUE_CLOSE;
	s->mail_open = false;
	s->line_held = false;
}

bool smtp_server_is_asking(const struct smtp_server *s)
{
	return is_in(s, IN_QUESTION);
}

void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options)
{
	*s = (struct smtp_server){
		.host_name = options->host_name,
		.flags = options->flags,
		.size_max_bytes = options->size_max_bytes,
		.recipients_max = options->recipients_max,
		.auth_failures_max = options->auth_failures_max,
		.dialect = options->dialect,
		.phase = SMTP_PHASE_NEW,
	};
	smtp_line_init(&s->line);
	s->line.lf = smtp_server_is_lenient(s);
}

void smtp_server_greet(struct smtp_server *s, struct base_buf *out)
{
	base_buf_append_text(out, "220 ");
	base_buf_append_slice(out, s->host_name);
	base_buf_append_text(
		out, s->dialect && s->dialect->greeting ? s->dialect->greeting : " ESMTP Postern");
	base_buf_append_text(out, "\r\n");
	smtp_server_set_phase(s, SMTP_PHASE_START);
}

void smtp_server_bye(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	if (s->phase == SMTP_PHASE_CLOSED)
		return;
	smtp_server_reply(reply, out);
	smtp_server_close(s);
}

void smtp_server_set_mechanisms(
	struct smtp_server *s, struct base_slice announced, struct base_slice plaintext_needs_tls)
{
	s->announced = announced;
	s->plaintext_needs_tls = plaintext_needs_tls;
}

static struct smtp_reply misplaced(const struct smtp_server *s, enum smtp_verb verb)
{
	if (verb == SMTP_VERB_DATA && s->phase == SMTP_PHASE_MAIL)
		return smtp_server_say(s, SMTP_SAY_NO_RCPT);
	if (verb == SMTP_VERB_MAIL)
		return smtp_server_say(s, SMTP_SAY_MAIL_TWICE);
	if (verb == SMTP_VERB_AUTH)
		return smtp_server_say(s, SMTP_SAY_AUTH_INSIDE);
	if (verb == SMTP_VERB_STARTTLS)
		return smtp_server_say(s, SMTP_SAY_NOT_INSIDE);
	if (s->phase == SMTP_PHASE_CHUNKS)
		return smtp_server_say(s, SMTP_SAY_BDAT_NEXT);
	return smtp_server_say(
		s, verb == SMTP_VERB_RCPT ? SMTP_SAY_MAIL_FIRST : SMTP_SAY_MAIL_RCPT_FIRST);
}

/* A lenient session forgives what is missing or too much before a command that needs EHLO. */
static void forgive(struct smtp_server *s, enum smtp_verb verb)
{
	if (!smtp_server_is_lenient(s) || !(rules[verb].needs & NEED_HELLO) || s->helo_len)
		return;
	s->helo[0] = '?';
	s->helo_len = 1;
	s->helo_implied = true;
	smtp_server_end_transaction(s);
}

static bool may_begin_anew(const struct smtp_server *s, enum smtp_verb verb)
{
	return verb == SMTP_VERB_MAIL && smtp_server_is_lenient(s) && is_in(s, IN(MAIL) | IN(RCPT));
}

/* May the command run? @out_reply is set if not. */
static bool gate(const struct smtp_server *s, enum smtp_verb verb, struct smtp_reply *out_reply)
{
	const struct rule *rule = &rules[verb];
	bool tls = s->flags & SMTP_SERVER_TLS_ACTIVE;

	if ((rule->needs & NEED_HELLO) && s->helo_len == 0)
		*out_reply = smtp_server_say(s, SMTP_SAY_EHLO_FIRST);
	else if ((rule->needs & NEED_TLS) && (s->flags & SMTP_SERVER_TLS_REQUIRED) && !tls)
		*out_reply = smtp_server_say(s, SMTP_SAY_TLS_FIRST);
	else if ((rule->needs & NEED_AUTH) && (s->flags & SMTP_SERVER_AUTH_REQUIRED) &&
		!s->authenticated)
		*out_reply = smtp_server_say(s, SMTP_SAY_AUTH_FIRST);
	else if (!is_in(s, rule->phases) && !may_begin_anew(s, verb))
		*out_reply = misplaced(s, verb);
	else
		return true;
	return false;
}

static enum smtp_server_event dispatch(
	struct smtp_server *s, enum smtp_verb verb, struct smtp_step *step)
{
	struct smtp_reply reply;

	s->verb = (uint8_t)verb;
	forgive(s, verb);
	if (verb == SMTP_VERB_FOREIGN) {
		smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_FOREIGN), step->out);
	} else if (verb == SMTP_VERB_EXPN) {
		smtp_server_refuse(s, smtp_server_say(s, SMTP_SAY_NOT_IMPLEMENTED), step->out);
	} else if (verb == SMTP_VERB_UNKNOWN) {
		smtp_server_refuse(s, smtp_server_say(s, SMTP_SAY_UNKNOWN), step->out);
	} else if (gate(s, verb, &reply)) {
		return rules[verb].handler(s, step);
	} else if (verb == SMTP_VERB_BDAT) {
		return smtp_server_refuse_bdat(s, step, reply);
	} else {
		smtp_server_refuse(s, reply, step->out);
	}
	return SMTP_SERVER_MORE;
}

static void refuse_line(struct smtp_server *s, enum smtp_line_result result, struct base_buf *out)
{
	struct smtp_reply reply = SMTP_REPLY(500, "5.5.2", "line too long");

	s->verb = SMTP_VERB_UNKNOWN;
	switch (result) {
	case SMTP_LINE_MORE:
	case SMTP_LINE_READY:
		break;
	case SMTP_LINE_LONG:
		if (s->line.auth)
			reply.enhanced = "5.5.6";
		break;
	case SMTP_LINE_NUL:
		reply.text = "NUL in a command";
		break;
	case SMTP_LINE_BARE_CR:
		reply.text = "CR without LF in a command";
		break;
	case SMTP_LINE_BARE_LF:
		reply.text = "LF without CR in a command";
		break;
	}
	smtp_server_refuse(s, reply, out);
}

/* A TLS handshake where clear text is spoken would wait for a CRLF that never comes. */
static bool is_client_hello(
	const struct smtp_server *s, struct base_slice in, const struct base_buf *line)
{
	return s->phase == SMTP_PHASE_START && s->counts.commands == 0 && line->len == 0 &&
		!s->line.skipping && in.ptr[0] == 0x16;
}

static enum smtp_server_event step_command(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out)
{
	enum smtp_server_event event = SMTP_SERVER_MORE;
	struct smtp_step step = {.line = line, .out = out};
	struct smtp_command command;
	enum smtp_line_result result;

	if (is_client_hello(s, in, line)) {
		smtp_server_bye(s, SMTP_REPLY(500, "5.5.2", "no TLS here"), out);
		return SMTP_SERVER_MORE;
	}
	result = smtp_line_push(&s->line, SMTP_LINE_COMMAND, in, out_used, line);
	s->line_held = result == SMTP_LINE_MORE && line->len > 0;
	if (result == SMTP_LINE_MORE)
		return SMTP_SERVER_MORE;
	s->counts.commands++;
	step.more = *out_used < in.len;
	if (result == SMTP_LINE_READY) {
		command = smtp_command_parse(base_buf_slice(line));
		step.argument = command.argument;
		event = dispatch(s, command.verb, &step);
	} else {
		refuse_line(s, result, out);
	}
	if (smtp_server_is_asking(s))
		s->line_held = line->len > 0;
	else
		base_buf_clear(line);
	return event;
}

static enum smtp_server_event take_due(struct smtp_server *s)
{
	static const enum smtp_server_event events[] = {
		SMTP_SERVER_AUTH_CANCEL,
		SMTP_SERVER_RESET,
		SMTP_SERVER_HELLO,
		SMTP_SERVER_CLOSE,
	};

	for (unsigned i = 0; i < BASE_COUNT(events); i++) {
		if (s->due & 1u << i) {
			s->due &= (uint8_t) ~(1u << i);
			return events[i];
		}
	}
	return SMTP_SERVER_MORE;
}

static enum smtp_server_event step_phase(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out)
{
	if (s->phase == SMTP_PHASE_TEXT)
		return smtp_server_step_text(s, in, out_used, out);
	if (s->phase == SMTP_PHASE_CHUNK)
		return smtp_server_step_chunk(s, in, out_used, out);
	if (s->phase == SMTP_PHASE_AUTH_LINE)
		return smtp_server_step_auth(s, in, out_used, line, out);
	return step_command(s, in, out_used, line, out);
}

/* One turn after another until there is something to say. */
static enum smtp_server_event push(struct smtp_server *s, struct base_slice in, size_t *out_used,
	struct base_buf *line, struct base_buf *out)
{
	for (;;) {
		enum smtp_server_event event;
		size_t used = 0;

		if (s->due)
			return take_due(s);
		if (s->phase == SMTP_PHASE_CLOSED)
			return SMTP_SERVER_CLOSE;
		if (smtp_server_is_asking(s))
			return SMTP_SERVER_MORE;
		if (in.len == 0 && !(s->phase == SMTP_PHASE_CHUNK && s->chunk_left == 0))
			return SMTP_SERVER_MORE;
		if (base_buf_room(out) < SMTP_OUT_ROOM_BYTES)
			return SMTP_SERVER_FULL;
		event = step_phase(s, in, &used, line, out);
		*out_used += used;
		in = base_slice_from(in, used);
		if (event == SMTP_SERVER_STARTTLS)
			*out_used += in.len; /* clear text behind STARTTLS is never looked at */
		if (event != SMTP_SERVER_MORE)
			return event;
	}
}

enum smtp_server_event smtp_server_push(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out)
{
	enum smtp_server_event event;

	BASE_BUG_IF(s->phase == SMTP_PHASE_NEW);
	BASE_BUG_IF(line->max < SMTP_AUTH_LINE_MAX_BYTES + 2 || out->max < 2 * SMTP_OUT_ROOM_BYTES);
	BASE_BUG_IF(s->line_held && line->len == 0);
	*out_used = 0;
	s->body = BASE_SLICE_EMPTY;
	if (!s->line_held) {
		base_buf_clear(line);
		s->mail = (struct smtp_mail){0};
		s->rcpt = (struct smtp_rcpt){0};
	}
	event = push(s, in, out_used, line, out);
#ifdef BASE_CHECKS
	smtp_server_check(s);
#endif
	return event;
}

bool smtp_server_holds_bytes(const struct smtp_server *s, const struct base_buf *line)
{
	return s->line_held && line->len > 0;
}

void smtp_server_tls_done(struct smtp_server *s)
{
	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_TLS);
	s->flags |= SMTP_SERVER_TLS_ACTIVE;
	s->esmtp = s->authenticated = s->helo_implied = false;
	s->helo_len = s->mechanism_len = 0;
	s->due = 0;
	s->line_held = false;
	smtp_line_init(&s->line);
	s->line.lf = smtp_server_is_lenient(s);
	smtp_server_end_transaction(s);
}

const struct smtp_mail *smtp_server_mail(const struct smtp_server *s)
{
	return &s->mail;
}

const struct smtp_rcpt *smtp_server_rcpt(const struct smtp_server *s)
{
	return &s->rcpt;
}

struct base_slice smtp_server_body(const struct smtp_server *s)
{
	return s->body;
}

struct base_slice smtp_server_helo(const struct smtp_server *s)
{
	return base_slice_make(s->helo, s->helo_implied ? 0 : s->helo_len);
}

bool smtp_server_is_esmtp(const struct smtp_server *s)
{
	return s->esmtp;
}

bool smtp_server_is_smtputf8(const struct smtp_server *s)
{
	return s->smtputf8;
}

uint64_t smtp_server_body_bytes(const struct smtp_server *s)
{
	return s->body_bytes;
}

const struct smtp_server_counts *smtp_server_counts(const struct smtp_server *s)
{
	return &s->counts;
}

const char *smtp_server_phase_name(const struct smtp_server *s)
{
	return phase_names[s->phase];
}

const char *smtp_server_verb_name(const struct smtp_server *s)
{
	return smtp_verb_name((enum smtp_verb)s->verb);
}

const char *smtp_server_event_name(enum smtp_server_event event)
{
	return event_names[event];
}

void smtp_server_check(const struct smtp_server *s)
{
	BASE_BUG_IF(s->phase >= SMTP_PHASE_COUNT);
	BASE_BUG_IF((s->due & SMTP_DUE_CLOSE) && s->phase != SMTP_PHASE_CLOSED);
	BASE_BUG_IF(s->phase != SMTP_PHASE_CHUNK && s->mail_open != is_in(s, IN_TRANSACTION));
	BASE_BUG_IF(s->mail_open && s->helo_len == 0);
	BASE_BUG_IF(is_in(s, IN(RCPT) | IN(ASK_DATA) | IN(TEXT) | IN(CHUNKS) | IN(ASK_MESSAGE)) &&
		s->rcpt_ok == 0);
	BASE_BUG_IF(s->phase == SMTP_PHASE_MAIL && s->rcpt_ok != 0);
	BASE_BUG_IF(s->recipients_max && s->rcpt_ok > s->recipients_max);
	BASE_BUG_IF(is_in(s, IN_IDLE) &&
		(s->rcpt_ok || s->body_bytes || s->refused || s->dropping || s->too_large ||
			s->smtputf8 || s->chunk_left || s->small_chunks || s->text.faults));
	BASE_BUG_IF(
		(s->phase == SMTP_PHASE_START) && (s->helo_len || s->authenticated || s->esmtp));
	BASE_BUG_IF(
		is_in(s, IN(READY) | IN(ASK_TLS) | IN(ASK_AUTH) | IN(AUTH_LINE) | IN(ASK_MAIL)) &&
		s->helo_len == 0);
	BASE_BUG_IF(is_in(s, IN(ASK_AUTH) | IN(AUTH_LINE)) && s->authenticated);
	BASE_BUG_IF(s->size_max_bytes && s->body_bytes > s->size_max_bytes);
	BASE_BUG_IF(s->phase == SMTP_PHASE_ASK_MESSAGE &&
		(s->refused || s->dropping || s->too_large || s->text.faults || s->chunk_left));
	BASE_BUG_IF(
		s->counts.rcpt_ok > s->counts.rcpt || s->counts.messages_ok > s->counts.messages);
	BASE_BUG_IF(s->phase != SMTP_PHASE_CLOSED && s->bad_commands > SMTP_BAD_COMMANDS_MAX);
}
