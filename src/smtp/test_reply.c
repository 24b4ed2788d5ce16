#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Rows of what a server may say. "expected" lists the replies: code, enhanced code, text; then how
 * reading ended. Each row runs whole, byte by byte, and from a heap block of exactly its size. */
static const struct row {
	const char *name;
	const char *input;
	size_t len;
	const char *expected;
} rows[] = {
#define ROW(n, i, e) \
	{ \
		n, i, sizeof(i) - 1, e \
	}
	ROW("one line", "250 ok\r\n", "250()[ok] more"),
	ROW("code alone", "250\r\n", "250()[] more"),
	ROW("code and blank", "250 \r\n", "250()[] more"),
	ROW("dash at the end", "250-\r\n", "more"),
	ROW("two lines", "250-a\r\n250 b\r\n", "250()[a|b] more"),
	ROW("last line without text", "250-a\r\n250\r\n", "250()[a|] more"),
	ROW("two replies", "250 a\r\n550 5.1.1 b\r\n", "250()[a] 550(5.1.1)[5.1.1 b] more"),
	ROW("bare LF ends a line", "250-a\n250 b\n", "250()[a|b] more"),
	ROW("code changes", "250-a\r\n550 b\r\n", "broken"),
	ROW("1xx", "150 a\r\n", "broken"),
	ROW("6xx", "650 a\r\n", "broken"),
	ROW("0xx", "050 a\r\n", "broken"),
	ROW("empty line", "\r\n", "broken"),
	ROW("one digit", "2\r\n", "broken"),
	ROW("two digits", "25\r\n", "broken"),
	ROW("four digits", "2500 ok\r\n", "broken"),
	ROW("letter", "25x ok\r\n", "broken"),
	ROW("blank first", " 250 ok\r\n", "broken"),
	ROW("NUL behind the code", "250\0ok\r\n", "broken"),
	ROW("NUL in the text", "250 o\0k\r\n", "250()[o?k] more"),
	ROW("CR in the text", "250 o\rk\r\n", "250()[o?k] more"),
	ROW("CR CR LF", "250 ok\r\r\n", "250()[ok] more"),
	ROW("no end", "250 ok", "more"),
	ROW("no end after LF of another", "250 ok\r\n25", "250()[ok] more"),
	ROW("enhanced of another class", "550 4.7.1 no\r\n", "550()[4.7.1 no] more"),
	ROW("enhanced too long", "550 5.1234.1 no\r\n", "550()[5.1234.1 no] more"),
	ROW("enhanced cut", "550 5.7.\r\n", "550()[5.7.] more"),
	ROW("enhanced alone", "550 5.7.1\r\n", "550(5.7.1)[5.7.1] more"),
	ROW("enhanced large", "550 5.999.999 x\r\n", "550(5.999.999)[5.999.999 x] more"),
	ROW("enhanced with more", "550 5.7.1.2 x\r\n", "550()[5.7.1.2 x] more"),
	ROW("enhanced of the first line that has one", "550-a\r\n550-5.7.8 b\r\n550 5.7.9 c\r\n",
		"550(5.7.8)[a|5.7.8 b|5.7.9 c] more"),
	ROW("not stale", "550 5.7.8 b\r\n551 c\r\n", "550(5.7.8)[5.7.8 b] 551()[c] more"),
	ROW("challenge", "334 \r\n", "334()[] more"),
#undef ROW
};

static void describe(const struct smtp_client_reply *reply, char *to, size_t size)
{
	size_t at = strlen(to), i;

	at += (size_t)snprintf(to + at, size - at, "%u(%s)[", reply->code, reply->enhanced);
	for (i = 0; i < reply->text_len && at + 4 < size; i++) {
		uint8_t b = (uint8_t)reply->text[i];

		to[at++] = b == '\n' ? '|' : b < ' ' ? '?' : (char)b;
	}
	to[at++] = ']';
	to[at++] = ' ';
	to[at] = '\0';
}

static void run(const uint8_t *input, size_t len, size_t step, char *got, size_t size)
{
	struct smtp_reply_reader reader;
	struct smtp_client_reply reply = {.code = 0};
	enum smtp_reply_result result = SMTP_REPLY_MORE;
	struct base_slice line;
	size_t at = 0, used, offer = step;

	got[0] = '\0';
	smtp_reply_reader_init(&reader);
	while (at < len) {
		if (offer > len - at)
			offer = len - at;
		result = smtp_reply_push(
			&reader, base_slice_make(input + at, offer), &used, &reply, &line);
		at += used;
		offer = offer - used ? offer - used : step;
		if (result == SMTP_REPLY_END)
			describe(&reply, got, size);
		if (result == SMTP_REPLY_BROKEN || result == SMTP_REPLY_ENDLESS)
			break;
	}
	strcat(got,
		result == SMTP_REPLY_BROKEN            ? "broken"
			: result == SMTP_REPLY_ENDLESS ? "endless"
						       : "more");
	smtp_reply_reader_release(&reader);
}

static void test_rows(void **state)
{
	static char got[8192];
	uint8_t *copy;
	size_t i;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		copy = malloc(rows[i].len);
		memcpy(copy, rows[i].input, rows[i].len);
		run(copy, rows[i].len, rows[i].len, got, sizeof(got));
		if (strcmp(got, rows[i].expected))
			fail_msg("%s: got \"%s\"", rows[i].name, got);
		run(copy, rows[i].len, 1, got, sizeof(got));
		if (strcmp(got, rows[i].expected))
			fail_msg("%s, byte by byte: got \"%s\"", rows[i].name, got);
		free(copy);
	}
}

static void test_long_line(void **state)
{
	static char got[8192];
	size_t len = 65536;
	uint8_t *input = malloc(len);

	memset(input, 'x', len);
	memcpy(input, "250 ", 4);
	memcpy(input + len - 2, "\r\n", 2);
	run(input, len, len, got, sizeof(got));
	assert_memory_equal(got, "250()[xxx", 9);
	assert_string_equal(got + strlen(got) - 6, "] more");
	run(input, len, 1000, got, sizeof(got));
	assert_string_equal(got + strlen(got) - 6, "] more");
	free(input);
}

static void test_endless(void **state)
{
	static char got[8192];
	size_t len = 1u << 20, i;
	uint8_t *input = malloc(len);

	memset(input, '2', len);
	run(input, len, 4096, got, sizeof(got));
	assert_string_equal(got, "endless");
	for (i = 0; i + 8 <= len; i += 8)
		memcpy(input + i, "250-ab\r\n", 8);
	run(input, len, 4096, got, sizeof(got));
	assert_string_equal(got, "endless");
	free(input);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_endless),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
