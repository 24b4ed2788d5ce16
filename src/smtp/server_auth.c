/* AUTH: the command, the lines of the exchange, and the answers of the caller.
 *
 * Bytes ahead of a challenge. A client may send on behind AUTH only if it can know what comes next.
 * Whether it did is seen at the line that asks: were there bytes behind it in the same push? If a
 * challenge follows that it could not know, it guessed (or somebody else wrote those bytes), and the
 * exchange ends with 503 and the session with it. Two cases stay: LOGIN, whose prompts are always
 * the same and which sloppy clients send in one go, and the empty challenge that only asks for the
 * initial response. In both the bytes are taken as the response, never as commands. */
#include "smtp/server_machine.h"
#include "base/base64.h"

#include <string.h>

/* Is @name one of the words of @list? */
static bool has_word(struct base_slice list, struct base_slice name)
{
	struct base_slice word;

	while ((word = smtp_command_word(&list)).len)
		if (base_slice_equal_nocase(word, name))
			return true;
	return false;
}

static bool is_server_first(struct base_slice name)
{
	return base_slice_equal_text_nocase(name, "CRAM-MD5") ||
		base_slice_equal_text_nocase(name, "DIGEST-MD5");
}

/* Judged by decoding into nothing: good text is then "too long", unless it is empty. */
static bool base64_valid(struct base_slice text)
{
	struct base_secret nothing = {0};

	return base64_decode_secret(text, &nothing) != BASE64_BAD;
}

static bool response_valid(struct base_slice text)
{
	return text.len == 0 || base64_valid(text);
}

static void set_response(struct smtp_server *s, const struct base_buf *line, struct base_slice text)
{
	s->response_given = true;
	s->response_len = (uint16_t)text.len;
	s->response_at = text.len ? (uint16_t)(text.ptr - line->ptr) : 0;
}

/* May the mechanism be used now? Code 0: yes. */
static struct smtp_reply judge_mechanism(const struct smtp_server *s, struct base_slice name)
{
	bool tls = s->flags & SMTP_SERVER_TLS_ACTIVE;

	if (!tls && has_word(s->plaintext_needs_tls, name))
		return smtp_server_say(s, SMTP_SAY_AUTH_NEEDS_TLS);
	if (!tls && (s->flags & SMTP_SERVER_TLS_REQUIRED))
		return smtp_server_say(s, SMTP_SAY_TLS_FIRST);
	if (s->announced.len == 0)
		return smtp_server_say(s, SMTP_SAY_AUTH_NONE);
	if (name.len > SMTP_MECHANISM_MAX_BYTES || !has_word(s->announced, name))
		return smtp_server_say(s, SMTP_SAY_AUTH_MECHANISM);
	return SMTP_REPLY(0, NULL, NULL);
}

static struct smtp_reply read_auth(struct smtp_server *s, struct smtp_step *step)
{
	struct base_slice rest = step->argument;
	struct base_slice name = smtp_command_word(&rest);
	struct base_slice response = smtp_command_word(&rest);
	struct smtp_reply reply;

	if (s->authenticated)
		return smtp_server_say(s, SMTP_SAY_AUTH_TWICE);
	if (!s->esmtp && !smtp_server_is_lenient(s))
		return smtp_server_say(s, SMTP_SAY_EHLO_FIRST);
	if (name.len == 0 || rest.len)
		return smtp_server_say(s, SMTP_SAY_AUTH_SYNTAX);
	reply = judge_mechanism(s, name);
	if (reply.code)
		return reply;
	if (response.len && is_server_first(name))
		return smtp_server_say(s, SMTP_SAY_AUTH_INITIAL);
	s->response_given = false;
	if (base_slice_equal_text(response, "="))
		set_response(s, step->line, BASE_SLICE_EMPTY);
	else if (response.len && !response_valid(response))
		return smtp_server_say(s, SMTP_SAY_AUTH_BASE64);
	else if (response.len)
		set_response(s, step->line, response);
	s->mechanism_len = (uint8_t)name.len;
	for (size_t i = 0; i < name.len; i++) {
		uint8_t c = name.ptr[i];

		s->mechanism[i] = c >= 'a' && c <= 'z' ? (uint8_t)(c - ('a' - 'A')) : c;
	}
	return SMTP_REPLY(0, NULL, NULL);
}

enum smtp_server_event smtp_server_on_auth(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_reply reply = read_auth(s, step);

	if (reply.code) {
		smtp_server_refuse(s, reply, step->out);
		return SMTP_SERVER_MORE;
	}
	s->auth_ahead = step->more;
	s->auth_given_up = false;
	smtp_server_set_phase(s, SMTP_PHASE_ASK_AUTH);
	return SMTP_SERVER_AUTH;
}

/* The exchange ends by the client's doing. It counts as a faulty command: no password was tried. */
static enum smtp_server_event cancel(
	struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	s->due |= SMTP_DUE_AUTH_CANCEL;
	smtp_server_set_phase(s, SMTP_PHASE_READY);
	smtp_server_refuse(s, reply, out);
	return SMTP_SERVER_MORE;
}

/* Clients that people type into end lines in blanks; they mean nothing. */
static struct base_slice without_end_blanks(struct base_slice s)
{
	while (s.len && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '\t'))
		s.len--;
	return s;
}

enum smtp_server_event smtp_server_step_auth(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out)
{
	enum smtp_line_result result = smtp_line_push(
		&s->line, SMTP_LINE_RESPONSE, in, out_used, line);
	struct base_slice text = smtp_server_is_lenient(s)
		? without_end_blanks(base_buf_slice(line))
		: base_buf_slice(line);
	struct smtp_reply reply = smtp_server_say(s, SMTP_SAY_AUTH_BASE64);

	s->line_held = line->len > 0;
	switch (result) {
	case SMTP_LINE_MORE:
		return SMTP_SERVER_MORE;
	case SMTP_LINE_READY:
		s->auth_given_up = base_slice_equal_text(text, "*");
		if (s->auth_given_up)
			reply = smtp_server_say(s, SMTP_SAY_AUTH_CANCELLED);
		else if (response_valid(text))
			reply.code = 0;
		break;
	case SMTP_LINE_LONG:
		reply = smtp_server_say(s, SMTP_SAY_AUTH_LONG);
		break;
	case SMTP_LINE_NUL:
	case SMTP_LINE_BARE_CR:
	case SMTP_LINE_BARE_LF:
		break;
	}
	if (reply.code) {
		base_buf_clear(line);
		s->line_held = false;
		return cancel(s, reply, out);
	}
	set_response(s, line, text);
	s->auth_ahead = *out_used < in.len;
	smtp_server_set_phase(s, SMTP_PHASE_ASK_AUTH);
	return SMTP_SERVER_AUTH_RESPONSE;
}

bool smtp_server_auth_given_up(const struct smtp_server *s)
{
	return s->auth_given_up;
}

struct base_slice smtp_server_auth_mechanism(
	const struct smtp_server *s, const struct base_buf *line)
{
	return base_slice_make(s->mechanism, s->mechanism_len);
}

bool smtp_server_auth_response(
	const struct smtp_server *s, const struct base_buf *line, struct base_secret *out)
{
	enum base64_result result;

	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_AUTH || out->cap < SMTP_AUTH_RESPONSE_MAX_BYTES);
	base_secret_clear(out);
	if (!s->response_given)
		return false;
	if (s->response_len == 0)
		return true;
	BASE_BUG_IF((size_t)s->response_at + s->response_len > line->len);
	result = base64_decode_secret(
		base_slice_make(line->ptr + s->response_at, s->response_len), out);
	BASE_BUG_IF(result != BASE64_OK);
	return true;
}

void smtp_server_auth_challenge(
	struct smtp_server *s, struct base_slice challenge, struct base_buf *out)
{
	struct base_slice name = smtp_server_auth_mechanism(s, NULL);

	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_AUTH);
	s->line_held = false;
	if (s->auth_ahead && challenge.len && !base_slice_equal_text(name, "LOGIN")) {
		s->due |= SMTP_DUE_AUTH_CANCEL;
		smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_AUTH_AHEAD), out);
	} else if (base64_encoded_len(challenge.len) + SMTP_OUT_ROOM_BYTES / 2 >
		base_buf_room(out)) {
		s->due |= SMTP_DUE_AUTH_CANCEL;
		smtp_server_set_phase(s, SMTP_PHASE_READY);
		smtp_server_reply(SMTP_REPLY(454, "4.7.0", "challenge too long"), out);
	} else {
		smtp_server_set_phase(s, SMTP_PHASE_AUTH_LINE);
		base_buf_append_text(out, "334 ");
		base64_encode(challenge, out);
		base_buf_append_text(out, "\r\n");
	}
}

static struct smtp_reply outcome_reply(const struct smtp_server *s, enum smtp_auth_outcome outcome)
{
	switch (outcome) {
	case SMTP_AUTH_OK:
		return smtp_server_say(s, SMTP_SAY_AUTH_OK);
	case SMTP_AUTH_REJECTED:
		break;
	case SMTP_AUTH_MALFORMED:
		return smtp_server_say(s, SMTP_SAY_AUTH_MALFORMED);
	case SMTP_AUTH_UNAVAILABLE:
		return smtp_server_say(s, SMTP_SAY_AUTH_DOWN);
	case SMTP_AUTH_TOO_WEAK:
		return smtp_server_say(s, SMTP_SAY_AUTH_WEAK);
	}
	return smtp_server_say(s, SMTP_SAY_AUTH_REJECTED);
}

bool smtp_server_auth_done(
	struct smtp_server *s, enum smtp_auth_outcome outcome, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_AUTH);
	s->line_held = false;
	smtp_server_set_phase(s, SMTP_PHASE_READY);
	smtp_server_reply(outcome_reply(s, outcome), out);
	s->authenticated = outcome == SMTP_AUTH_OK;
	if (outcome == SMTP_AUTH_OK || outcome == SMTP_AUTH_UNAVAILABLE)
		return false;
	s->counts.auth_failures++;
	if (s->auth_failures_max == 0 || s->counts.auth_failures < s->auth_failures_max)
		return false;
	smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_AUTH_ENOUGH), out);
	return true;
}

bool smtp_server_is_authenticated(const struct smtp_server *s)
{
	return s->authenticated;
}
