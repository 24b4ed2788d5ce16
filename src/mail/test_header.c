#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define S(text) BASE_SLICE(text)

static void cut_rows(void **state)
{
	static const struct {
		const char *name;
		struct base_slice in;
		size_t max;
		enum mail_header_result result;
		size_t len;
	} rows[] = {
		{"nothing", {NULL, 0}, 100, MAIL_HEADER_MORE, 0},
		{"half a line", {(const uint8_t *)"A: b", 4}, 100, MAIL_HEADER_MORE, 0},
		{"next byte unknown", {(const uint8_t *)"A: b\r\n", 6}, 100, MAIL_HEADER_MORE, 0},
		{"a field", {(const uint8_t *)"A: b\r\nC", 7}, 100, MAIL_HEADER_FIELD, 6},
		{"a field, then the end", {(const uint8_t *)"A: b\r\n\r\n", 8}, 100,
			MAIL_HEADER_FIELD, 6},
		{"folded", {(const uint8_t *)"A: b\r\n c\r\n\td\r\nE", 15}, 100, MAIL_HEADER_FIELD,
			14},
		{"blank fold is no end", {(const uint8_t *)"A: b\r\n \r\nX", 10}, 100,
			MAIL_HEADER_FIELD, 9},
		{"the end", {(const uint8_t *)"\r\nbody", 6}, 100, MAIL_HEADER_END, 2},
		{"half the end", {(const uint8_t *)"\r", 1}, 100, MAIL_HEADER_MORE, 0},
		{"bare LF", {(const uint8_t *)"A: b\nC: d\r\nE", 12}, 100, MAIL_HEADER_BARE_LF, 0},
		{"bare LF first", {(const uint8_t *)"\nA", 2}, 100, MAIL_HEADER_BARE_LF, 0},
		{"CR CR LF is a line", {(const uint8_t *)"\r\r\nX", 4}, 100, MAIL_HEADER_FIELD, 3},
		{"just fits", {(const uint8_t *)"A: b\r\nC", 7}, 6, MAIL_HEADER_FIELD, 6},
		{"too long", {(const uint8_t *)"A: b\r\nC", 7}, 5, MAIL_HEADER_LONG, 0},
		{"too long, unfinished", {(const uint8_t *)"A: bcd", 6}, 5, MAIL_HEADER_LONG, 0},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		uint8_t *copy = malloc(rows[i].in.len + 1);
		size_t len = 0;

		if (rows[i].in.len)
			memcpy(copy, rows[i].in.ptr, rows[i].in.len);
		copy = realloc(copy, rows[i].in.len ? rows[i].in.len : 1);
		if (mail_header_cut(base_slice_make(copy, rows[i].in.len), rows[i].max, &len) !=
				rows[i].result ||
			len != rows[i].len)
			fail_msg("%s: len %zu", rows[i].name, len);
		free(copy);
	}
}

static void parse_rows(void **state)
{
	static const struct {
		const char *raw;
		size_t len;
		const char *name; /* null: refused */
		const char *body;
		bool has_8bit;
	} rows[] = {
		{"A: b\r\n", 6, "A", " b", false},
		{"A:\r\n", 4, "A", "", false},
		{"A \t: b\r\n", 8, "A", " b", false},
		{"A: b", 4, "A", " b", false},
		{"A: b\r\n c\r\n", 10, "A", " b\r\n c", false},
		{"A: \xc3\xa9\r\n", 7, "A", " \xc3\xa9", true},
		{" A: b\r\n", 7, NULL, NULL, false},
		{"\tA: b\r\n", 7, NULL, NULL, false},
		{"From a@b Tue 14:00\r\n", 20, NULL, NULL, false},
		{"no colon\r\n", 10, NULL, NULL, false},
		{": b\r\n", 5, NULL, NULL, false},
		{"\xc3\xa9: b\r\n", 7, NULL, NULL, false},
		{"A\xba b\r\n", 6, NULL, NULL, false},
		{"A: b\0c\r\n", 8, NULL, NULL, false},
		{"A: b\rc\r\n", 8, NULL, NULL, false},
		{"A: b\nc\r\n", 8, NULL, NULL, false},
		{"A: b\r\r\n", 7, NULL, NULL, false},
		{"A: b\r", 5, NULL, NULL, false},
		{"A\r\n : b\r\n", 9, NULL, NULL, false},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		uint8_t *copy = malloc(rows[i].len);
		struct mail_field field;
		bool good;

		memcpy(copy, rows[i].raw, rows[i].len);
		good = mail_field_parse(base_slice_make(copy, rows[i].len), &field);
		if (good != (rows[i].name != NULL))
			fail_msg("row %zu: %s", i, rows[i].raw);
		if (good) {
			assert_true(base_slice_equal_text(field.name, rows[i].name));
			assert_true(base_slice_equal_text(field.body, rows[i].body));
			assert_int_equal(field.has_8bit, rows[i].has_8bit);
		}
		free(copy);
	}
}

static void find_and_length(void **state)
{
	struct base_slice message = S("A: 1\r\nsubject: x\r\n y\r\nB: 2\r\n\r\nSubject: body\r\n");
	struct mail_field field;

	assert_true(mail_header_find(message, "Subject", &field));
	assert_true(base_slice_equal_text(field.body, " x\r\n y"));
	assert_false(mail_header_find(message, "C", &field));
	assert_int_equal(mail_header_length(message), 30);
	assert_int_equal(mail_header_length(S("A: 1\r\nB: 2")), 10);
	assert_int_equal(mail_header_length(S("\r\nbody")), 2);
	assert_int_equal(mail_header_length(BASE_SLICE_EMPTY), 0);
	assert_int_equal(mail_header_length(S("A: 1\r\nB\nC: 2\r\n\r\n")), 6);
}

static void cfws_rows(void **state)
{
	static const struct {
		const char *in, *rest;
		bool closed;
	} rows[] = {
		{"", "", true},
		{" \t\r\n x", "x", true},
		{"(a (b) c) x", "x", true},
		{"(a \\) b)x", "x", true},
		{"(a", "", false},
		{"((a)", "", false},
		{"(a\\", "", false},
		{"x (a)", "x (a)", true},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		bool closed;
		struct base_slice rest = mail_cfws_skip(base_slice_text(rows[i].in), &closed);

		assert_true(base_slice_equal_text(rest, rows[i].rest));
		assert_int_equal(closed, rows[i].closed);
	}
}

static void eight_bit_everywhere(void **state)
{
	uint8_t bytes[200];

	memset(bytes, 'a', sizeof(bytes));
	assert_false(mail_has_8bit(base_slice_make(bytes, sizeof(bytes))));
	for (size_t i = 0; i < sizeof(bytes); i++) {
		bytes[i] = 0x80;
		assert_true(mail_has_8bit(base_slice_make(bytes, sizeof(bytes))));
		bytes[i] = 'a';
	}
	assert_false(mail_has_8bit(BASE_SLICE_EMPTY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cut_rows),
		cmocka_unit_test(parse_rows),
		cmocka_unit_test(find_and_length),
		cmocka_unit_test(cfws_rows),
		cmocka_unit_test(eight_bit_everywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
