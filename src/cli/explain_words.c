/* Words of explain: rules, mistakes, quotes, and base64 judged sign by sign. */
#include "base/base64.h"
#include "cli/cli.h"
#include "cli/explain_internal.h"

#include <assert.h>
#include <string.h>

static const char *const words[] = {
#define X(name, document, text) [EXPLAIN_##name] = text,
	EXPLAIN_RULES(X)
#undef X
};

static const char *const documents[] = {
#define X(name, document, text) [EXPLAIN_##name] = document,
	EXPLAIN_RULES(X)
#undef X
};

static_assert(BASE_COUNT(words) == EXPLAIN_RULE_COUNT, "one text for each rule");

const char *explain_rule_words(enum explain_rule rule)
{
	return words[rule];
}

const char *explain_rule_document(enum explain_rule rule)
{
	return documents[rule];
}

void explain_line_init(struct explain_line *l)
{
	*l = (struct explain_line){0};
	/* An escaped byte takes four signs. */
	base_buf_init_secret(&l->text, 1u << 20);
	base_buf_init_secret(&l->meaning, 1u << 20);
}

void explain_line_clear(struct explain_line *l)
{
	base_buf_clear(&l->text);
	base_buf_clear(&l->meaning);
	l->who = EXPLAIN_NOBODY;
	l->auth = false;
	l->mistake_count = 0;
}

void explain_line_release(struct explain_line *l)
{
	base_buf_release(&l->text);
	base_buf_release(&l->meaning);
}

void explain_mistake(struct explain_line *l, enum explain_rule rule, const char *format, ...)
{
	va_list args;

	for (size_t i = 0; i < l->mistake_count; i++)
		if (l->mistakes[i].rule == rule)
			return;
	if (l->mistake_count == EXPLAIN_MISTAKES_MAX)
		return;
	l->mistakes[l->mistake_count].rule = rule;
	va_start(args, format);
	vsnprintf(
		l->mistakes[l->mistake_count].detail, sizeof(l->mistakes[0].detail), format, args);
	va_end(args);
	l->mistake_count++;
}

void explain_say(struct explain_line *l, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	base_buf_vprintf(&l->meaning, format, args);
	va_end(args);
}

void explain_quote(struct explain_line *l, struct base_slice s, size_t max)
{
	base_buf_append_byte(&l->meaning, '"');
	cli_text_safe(base_slice_first(s, max), &l->meaning);
	base_buf_append_text(&l->meaning, s.len > max ? "…\"" : "\"");
}

void explain_secret(struct explain *e, struct explain_line *l, struct base_slice s)
{
	if (e->show_secrets)
		explain_quote(l, s, s.len);
	else
		explain_say(l, "<%zu bytes>", s.len);
}

static bool in_alphabet(uint8_t byte)
{
	return base_ascii_is_alnum(byte) || byte == '+' || byte == '/';
}

/* Positions count from 1, as people do. */
static void judge(struct explain_line *l, struct base_slice text)
{
	size_t end = text.len;

	while (end && text.ptr[end - 1] == '=' && text.len - end < 2)
		end--;
	for (size_t i = 0; i < end; i++) {
		uint8_t byte = text.ptr[i];

		if (byte == '=') {
			explain_mistake(l, EXPLAIN_BASE64_PADDING,
				"the = at position %zu is not at the end", i + 1);
			return;
		}
		if (in_alphabet(byte))
			continue;
		explain_mistake(l, EXPLAIN_BASE64_CHARACTER,
			byte > ' ' && byte < 0x7f ? "position %zu is %c"
						  : "position %zu is byte 0x%02x",
			i + 1, byte);
		return;
	}
	if (text.len % 4 == 0)
		explain_mistake(
			l, EXPLAIN_BASE64_BITS, "in the group that ends at position %zu", text.len);
	else if (end % 4 == 1)
		explain_mistake(l, EXPLAIN_BASE64_PADDING,
			"%zu signs before the = or the end: no number of bytes gives that", end);
	else
		explain_mistake(l, EXPLAIN_BASE64_PADDING, "%zu = where %zu belong", text.len - end,
			(4 - end % 4) % 4);
}

bool explain_base64(struct explain_line *l, struct base_slice text, struct base_buf *out)
{
	switch (base64_decode(text, out, NULL)) {
	case BASE64_OK:
		return true;
	case BASE64_TOO_LONG:
		explain_mistake(l, EXPLAIN_LINE_LENGTH, "%zu characters", text.len);
		return false;
	case BASE64_BAD:
		judge(l, text);
		return false;
	}
	return false;
}
