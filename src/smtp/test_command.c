#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/command.h"
#include "smtp/server.h"

#include <stdlib.h>
#include <string.h>

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

static const struct {
	struct base_slice in;
	enum smtp_line_result result;
	struct base_slice line;
	size_t left;
} lines[] = {
	{S("NOOP\r\nx"), SMTP_LINE_READY, S("NOOP"), 1},
	{S("\r\n"), SMTP_LINE_READY, S(""), 0},
	{S("NOOP"), SMTP_LINE_MORE, S(""), 0},
	{S("NOOP\r"), SMTP_LINE_MORE, S(""), 0},
	{S("NOOP\n"), SMTP_LINE_MORE, S(""), 0},
	{S("a\nb\r\nc"), SMTP_LINE_BARE_LF, S(""), 1},
	{S("\n\r\n"), SMTP_LINE_BARE_LF, S(""), 0},
	{S("a\rb\r\n"), SMTP_LINE_BARE_CR, S(""), 0},
	{S("a\r\r\n"), SMTP_LINE_BARE_CR, S(""), 0},
	{S("a\r\rb\n\r\nc"), SMTP_LINE_BARE_CR, S(""), 1},
	{S("a\0b\r\n"), SMTP_LINE_NUL, S(""), 0},
	{S("\0\r\n"), SMTP_LINE_NUL, S(""), 0},
};

static void line_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(lines); i++) {
		for (size_t size = 1; size <= lines[i].in.len; size++) {
			enum smtp_line_result result = SMTP_LINE_MORE;
			struct smtp_line l;
			struct base_buf line;
			size_t at = 0;

			smtp_line_init(&l);
			base_buf_init_secret(&line, SMTP_AUTH_LINE_MAX_BYTES + 2);
			while (at < lines[i].in.len && result == SMTP_LINE_MORE) {
				struct base_slice part = base_slice_first(
					base_slice_from(lines[i].in, at), size);
				uint8_t *copy = malloc(part.len);
				size_t used;

				memcpy(copy, part.ptr, part.len);
				result = smtp_line_push(&l, SMTP_LINE_COMMAND,
					base_slice_make(copy, part.len), &used, &line);
				free(copy);
				at += used;
			}
			assert_int_equal(result, lines[i].result);
			assert_int_equal(lines[i].in.len - at, lines[i].left);
			if (result == SMTP_LINE_READY)
				assert_true(base_slice_equal(base_buf_slice(&line), lines[i].line));
			base_buf_release(&line);
		}
	}
}

static const struct {
	const char *line;
	enum smtp_verb verb;
	const char *argument;
} commands[] = {
	{"EHLO mx", SMTP_VERB_EHLO, "mx"},
	{"ehlo\tmx \t", SMTP_VERB_EHLO, "mx"},
	{"MAIL FROM:<a b>  X=1", SMTP_VERB_MAIL, "FROM:<a b>  X=1"},
	{"QUIT", SMTP_VERB_QUIT, ""},
	{"QUIT ", SMTP_VERB_QUIT, ""},
	{"QUITx", SMTP_VERB_UNKNOWN, ""},
	{"QUI", SMTP_VERB_UNKNOWN, ""},
	{" QUIT", SMTP_VERB_UNKNOWN, ""},
	{"", SMTP_VERB_UNKNOWN, ""},
	{"\xff\xff", SMTP_VERB_UNKNOWN, ""},
	{"unknown", SMTP_VERB_UNKNOWN, ""},
	{"foreign", SMTP_VERB_UNKNOWN, ""},
	{"GET / HTTP/1.1", SMTP_VERB_FOREIGN, "/ HTTP/1.1"},
	{"post /", SMTP_VERB_FOREIGN, "/"},
	{"PRI * HTTP/2.0", SMTP_VERB_FOREIGN, "* HTTP/2.0"},
	{"Host: x", SMTP_VERB_FOREIGN, "x"},
	{"X-Mailer:", SMTP_VERB_FOREIGN, ""},
	{":", SMTP_VERB_UNKNOWN, ""},
	{"RCPT:<a@b>", SMTP_VERB_UNKNOWN, ""},
	{"SSH-2.0-x", SMTP_VERB_UNKNOWN, ""},
};

static void command_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(commands); i++) {
		struct base_slice line = base_slice_text(commands[i].line);
		uint8_t *copy = malloc(line.len ? line.len : 1);
		struct smtp_command c;

		memcpy(copy, line.ptr, line.len);
		c = smtp_command_parse(base_slice_make(copy, line.len));
		assert_int_equal(c.verb, commands[i].verb);
		assert_true(base_slice_equal_text(c.argument, commands[i].argument));
		free(copy);
	}
}

static void limits_by_verb(void **state)
{
	(void)state;
	assert_int_equal(smtp_command_line_max(BASE_SLICE("AUTH ")), 12288);
	assert_int_equal(smtp_command_line_max(BASE_SLICE("mail ")), 4096);
	assert_int_equal(smtp_command_line_max(BASE_SLICE("Rcpt ")), 4096);
	assert_int_equal(smtp_command_line_max(BASE_SLICE("AUTHx")), 2048);
	assert_int_equal(smtp_command_line_max(BASE_SLICE("")), 2048);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(line_rows),
		cmocka_unit_test(command_rows),
		cmocka_unit_test(limits_by_verb),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
