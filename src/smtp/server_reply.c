/* What the session says. Replies are built by hand, not by printf: there are about six for each
 * message. A reply is one line but for EHLO's. Faulty commands are counted in two ways: what no
 * client sends by mistake has a short limit; RCPT, DATA and BDAT behind a refused MAIL or AUTH are
 * what an honest pipelining client sends, so they have a long one. */
#include "smtp/server_machine.h"

#include <string.h>

enum {
	REPLY_TEXT_MAX_BYTES = 400,
	LOST_COMMANDS_MIN = 1000,
	LIMIT_VALUE_MAX = 999999, /* RFC 9422 section 4: six digits */
};

static void append_text(const char *text, struct base_buf *out)
{
	size_t len = strnlen(text, REPLY_TEXT_MAX_BYTES);
	uint8_t *to = base_buf_reserve(out, len);

	if (!to)
		return;
	for (size_t i = 0; i < len; i++)
		to[i] = text[i] >= ' ' && text[i] <= '~' ? (uint8_t)text[i] : '?';
	base_buf_grew(out, len);
}

struct smtp_reply smtp_server_say(const struct smtp_server *s, enum smtp_saying what)
{
	return smtp_dialect_say(s->dialect, what);
}

bool smtp_server_is_lenient(const struct smtp_server *s)
{
	return s->dialect && (s->dialect->flags & SMTP_DIALECT_LENIENT);
}

void smtp_server_reply(struct smtp_reply reply, struct base_buf *out)
{
	const uint8_t code[4] = {
		(uint8_t)('0' + reply.code / 100 % 10),
		(uint8_t)('0' + reply.code / 10 % 10),
		(uint8_t)('0' + reply.code % 10),
		' ',
	};

	BASE_BUG_IF(reply.code < 200 || reply.code > 599);
	base_buf_append(out, code, sizeof(code));
	if (reply.enhanced && reply.enhanced[0]) {
		append_text(reply.enhanced, out);
		base_buf_append_byte(out, ' ');
	}
	append_text(reply.text ? reply.text : "", out);
	base_buf_append_text(out, "\r\n");
}

static uint32_t lost_commands_max(const struct smtp_server *s)
{
	return s->recipients_max > LOST_COMMANDS_MIN ? s->recipients_max * 2
						     : LOST_COMMANDS_MIN * 2;
}

/* Count a refused command; true when the session has had enough of them. */
static bool count_refusal(struct smtp_server *s)
{
	enum smtp_verb verb = (enum smtp_verb)s->verb;

	s->counts.bad_commands++;
	if (verb == SMTP_VERB_RCPT || verb == SMTP_VERB_DATA || verb == SMTP_VERB_BDAT ||
		(verb == SMTP_VERB_MAIL && s->authenticated))
		return ++s->lost_commands >= lost_commands_max(s);
	return ++s->bad_commands >= SMTP_BAD_COMMANDS_MAX;
}

void smtp_server_refuse(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	smtp_server_reply(reply, out);
	if (count_refusal(s))
		smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_ERRORS), out);
}

bool smtp_server_take_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	smtp_server_reply(reply, out);
	s->line_held = false;
	if (reply.code == 421)
		smtp_server_close(s);
	return reply.code < 400;
}

static void hello_line(bool last, const char *text, struct base_buf *out)
{
	base_buf_append_text(out, last ? "250 " : "250-");
	base_buf_append_text(out, text);
	base_buf_append_text(out, "\r\n");
}

static void hello_auth(const struct smtp_server *s, const char *start, struct base_buf *out)
{
	base_buf_append_text(out, start);
	base_buf_append_slice(out, s->announced);
	base_buf_append_text(out, "\r\n");
}

static void write_short_hello(const struct smtp_server *s, struct base_buf *out)
{
	bool tls = s->flags & SMTP_SERVER_TLS_ACTIVE;
	bool auth = s->announced.len > 0;

	base_buf_append_text(out, "250-");
	base_buf_append_slice(out, s->host_name);
	base_buf_append_text(out, "\r\n");
	if ((s->flags & SMTP_SERVER_TLS_OFFER) && !tls)
		hello_line(false, "STARTTLS", out);
	hello_line(false, "PIPELINING", out);
	hello_line(false, "8BITMIME", out);
	base_buf_printf(
		out, "250%cSIZE %llu\r\n", auth ? '-' : ' ', (unsigned long long)s->size_max_bytes);
	if (auth && (s->flags & SMTP_SERVER_AUTH_LEGACY))
		hello_auth(s, "250-AUTH=", out);
	if (auth)
		hello_auth(s, "250 AUTH ", out);
}

void smtp_server_write_hello(const struct smtp_server *s, struct base_buf *out)
{
	bool tls = s->flags & SMTP_SERVER_TLS_ACTIVE;
	unsigned dialect = s->dialect ? s->dialect->flags : 0;

	if (dialect & SMTP_DIALECT_SHORT_HELLO) {
		write_short_hello(s, out);
		return;
	}
	base_buf_append_text(out, "250-");
	base_buf_append_slice(out, s->host_name);
	base_buf_append_text(out, "\r\n250-PIPELINING\r\n250-SIZE");
	if (s->size_max_bytes)
		base_buf_printf(out, " %llu", (unsigned long long)s->size_max_bytes);
	base_buf_append_text(out, "\r\n");
	if ((s->flags & SMTP_SERVER_TLS_OFFER) && !tls)
		hello_line(false, "STARTTLS", out);
	if (!s->authenticated && s->announced.len) {
		hello_auth(s, "250-AUTH ", out);
		if (s->flags & SMTP_SERVER_AUTH_LEGACY)
			hello_auth(s, "250-AUTH=", out);
	}
	hello_line(false, "8BITMIME", out);
	if (!(dialect & SMTP_DIALECT_NO_SMTPUTF8))
		hello_line(false, "SMTPUTF8", out);
	if (!(dialect & SMTP_DIALECT_NO_DSN))
		hello_line(false, "DSN", out);
	hello_line(false, "CHUNKING", out);
	if (s->recipients_max && s->recipients_max <= LIMIT_VALUE_MAX)
		base_buf_printf(out, "250-LIMITS RCPTMAX=%u\r\n", (unsigned)s->recipients_max);
	hello_line(true, "ENHANCEDSTATUSCODES", out);
}
