#include "smtp/command.h"
#include "smtp/server.h"

#include <assert.h>
#include <string.h>

enum {
	OTHER_LINE_MAX_BYTES = 2048,
	START_BYTES = 5,
};

void smtp_line_init(struct smtp_line *l)
{
	*l = (struct smtp_line){0};
}

size_t smtp_command_line_max(struct base_slice start)
{
	if (base_slice_starts_with_nocase(start, BASE_SLICE("AUTH ")))
		return SMTP_AUTH_LINE_MAX_BYTES;
	if (base_slice_starts_with_nocase(start, BASE_SLICE("MAIL ")) ||
		base_slice_starts_with_nocase(start, BASE_SLICE("RCPT ")))
		return SMTP_COMMAND_LINE_MAX_BYTES;
	return OTHER_LINE_MAX_BYTES;
}

/* The limit of the line whose front is in @line and goes on with @more. */
static size_t line_max(
	enum smtp_line_kind kind, const struct base_buf *line, struct base_slice more)
{
	uint8_t start[START_BYTES];
	size_t have = line->len < START_BYTES ? line->len : START_BYTES;
	size_t add = more.len < START_BYTES - have ? more.len : START_BYTES - have;

	if (kind == SMTP_LINE_RESPONSE)
		return SMTP_AUTH_LINE_MAX_BYTES;
	if (have)
		memcpy(start, line->ptr, have);
	if (add)
		memcpy(start + have, more.ptr, add);
	return smtp_command_line_max(base_slice_make(start, have + add));
}

/* Index of the LF that ends a line in @in, or in.len. @after_cr: the byte before @in was CR. */
static size_t find_end(const struct smtp_line *l, struct base_slice in, bool after_cr)
{
	size_t at = 0;

	if (l->lf)
		return base_slice_find(in, '\n');

	while (at < in.len) {
		at += base_slice_find(base_slice_from(in, at), '\n');
		if (at == in.len)
			break;
		if (at == 0 ? after_cr : in.ptr[at - 1] == '\r')
			return at;
		at++;
	}
	return in.len;
}

static bool ends_with_cr(struct base_slice s)
{
	return s.len && s.ptr[s.len - 1] == '\r';
}

/* @bytes belong to the line in @line, the CR of its end included. False: the limit is passed. */
static bool keep(enum smtp_line_kind kind, struct base_slice bytes, struct base_buf *line)
{
	bool cr = bytes.len ? ends_with_cr(bytes) : ends_with_cr(base_buf_slice(line));
	size_t len = line->len + bytes.len - (cr ? 1 : 0);

	if (len > OTHER_LINE_MAX_BYTES && len > line_max(kind, line, bytes))
		return false;
	if (!base_buf_append_slice(line, bytes))
		base_bug(__FILE__, __LINE__, "the line buffer is too small");
	return true;
}

static enum smtp_line_result judge(struct base_buf *line)
{
	struct base_slice s;

	if (ends_with_cr(base_buf_slice(line)))
		base_buf_truncate(line, line->len - 1);
	s = base_buf_slice(line);
	if (base_slice_has(s, 0))
		return SMTP_LINE_NUL;
	if (base_slice_has(s, '\r'))
		return SMTP_LINE_BARE_CR;
	if (base_slice_has(s, '\n'))
		return SMTP_LINE_BARE_LF;
	return SMTP_LINE_READY;
}

enum smtp_line_result smtp_line_push(struct smtp_line *l, enum smtp_line_kind kind,
	struct base_slice in, size_t *out_used, struct base_buf *line)
{
	bool after_cr = l->skipping ? l->skipped_cr : ends_with_cr(base_buf_slice(line));
	size_t lf = find_end(l, in, after_cr);
	bool ended = lf < in.len;
	struct base_slice bytes = base_slice_first(in, lf);

	*out_used = lf + (ended ? 1 : 0);
	if (!l->skipping && !keep(kind, bytes, line)) {
		l->skipping = true;
		l->auth = line_max(kind, line, bytes) == SMTP_AUTH_LINE_MAX_BYTES;
		base_buf_clear(line);
	}
	if (!ended) {
		l->skipped_cr = bytes.len ? ends_with_cr(bytes) : after_cr;
		return SMTP_LINE_MORE;
	}
	if (l->skipping) {
		l->skipping = false;
		return SMTP_LINE_LONG;
	}
	return judge(line);
}

static const char *const verb_names[] = {
	[SMTP_VERB_UNKNOWN] = "unknown",
	[SMTP_VERB_HELO] = "HELO",
	[SMTP_VERB_EHLO] = "EHLO",
	[SMTP_VERB_STARTTLS] = "STARTTLS",
	[SMTP_VERB_AUTH] = "AUTH",
	[SMTP_VERB_MAIL] = "MAIL",
	[SMTP_VERB_RCPT] = "RCPT",
	[SMTP_VERB_DATA] = "DATA",
	[SMTP_VERB_BDAT] = "BDAT",
	[SMTP_VERB_RSET] = "RSET",
	[SMTP_VERB_NOOP] = "NOOP",
	[SMTP_VERB_VRFY] = "VRFY",
	[SMTP_VERB_EXPN] = "EXPN",
	[SMTP_VERB_HELP] = "HELP",
	[SMTP_VERB_QUIT] = "QUIT",
	[SMTP_VERB_FOREIGN] = "foreign",
};
static_assert(BASE_COUNT(verb_names) == SMTP_VERB_COUNT, "one name for each verb");

const char *smtp_verb_name(enum smtp_verb verb)
{
	return verb_names[verb];
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t';
}

struct base_slice smtp_command_word(struct base_slice *s)
{
	struct base_slice word;
	size_t len = 0;

	while (s->len && is_blank(s->ptr[0]))
		*s = base_slice_from(*s, 1);
	while (len < s->len && !is_blank(s->ptr[len]))
		len++;
	word = base_slice_first(*s, len);
	*s = base_slice_from(*s, len);
	return word;
}

/* A web browser that was lured here, or the header of a message: "GET / HTTP/1.1", "Host: x". */
static bool is_foreign(struct base_slice word)
{
	static const char *const methods[] = {
		"GET",
		"POST",
		"PUT",
		"HEAD",
		"OPTIONS",
		"CONNECT",
		"DELETE",
		"TRACE",
		"PATCH",
		"PRI",
	};

	for (size_t i = 0; i < BASE_COUNT(methods); i++)
		if (base_slice_equal_text_nocase(word, methods[i]))
			return true;
	if (word.len < 2 || word.ptr[word.len - 1] != ':')
		return false;
	for (size_t i = 0; i + 1 < word.len; i++)
		if (!base_ascii_is_alnum(word.ptr[i]) && word.ptr[i] != '-' && word.ptr[i] != '_')
			return false;
	return true;
}

struct smtp_command smtp_command_parse(struct base_slice line)
{
	struct smtp_command command = {SMTP_VERB_UNKNOWN, BASE_SLICE_EMPTY};
	struct base_slice word;

	if (line.len && is_blank(line.ptr[0]))
		return command;
	word = smtp_command_word(&line);
	command.argument = base_slice_trim(line);
	for (int verb = SMTP_VERB_HELO; verb < SMTP_VERB_FOREIGN; verb++) {
		if (base_slice_equal_text_nocase(word, verb_names[verb])) {
			command.verb = (enum smtp_verb)verb;
			return command;
		}
	}
	if (is_foreign(word))
		command.verb = SMTP_VERB_FOREIGN;
	return command;
}
