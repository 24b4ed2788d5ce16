#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/prep.h"

#include <stdlib.h>
#include <string.h>

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

/* First the examples of RFC 4013 section 3, then the rest. */
static const struct {
	const char *name;
	struct base_slice in;
	bool query, stored; /* expected to succeed as */
	struct base_slice out;
} rows[] = {
	{"soft hyphen vanishes", S("I\xc2\xadX"), true, true, S("IX")},
	{"no change", S("user"), true, true, S("user")},
	{"case stays", S("USER"), true, true, S("USER")},
	{"feminine ordinal", S("\xc2\xaa"), true, true, S("a")},
	{"roman numeral", S("\xe2\x85\xa8"), true, true, S("IX")},
	{"control", S("\x07"), false, false, S("")},
	{"right to left with a digit", S("\xd8\xa7\x31"), false, false, S("")},

	{"empty", S(""), true, true, S("")},
	{"space and all of ASCII's marks", S(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"), true, true,
		S(" !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")},
	{"NUL", S("a\0b"), false, false, S("")},
	{"NUL among UTF-8", S("\xc3\xa9\0b"), false, false, S("")},
	{"delete", S("a\x7f"), false, false, S("")},
	{"tab", S("a\tb"), false, false, S("")},
	{"line feed", S("a\nb"), false, false, S("")},
	{"only a soft hyphen", S("\xc2\xad"), true, true, S("")},
	{"no-break space becomes space",
		S("a\xc2\xa0"
		  "b"),
		true, true, S("a b")},
	{"ligature", S("\xef\xac\x81x"), true, true, S("fix")},
	{"composed", S("e\xcc\x81"), true, true, S("\xc3\xa9")},
	{"full width", S("\xef\xbc\xa1"), true, true, S("A")},
	{"right to left alone", S("\xd8\xa7\xd8\xa8"), true, true, S("\xd8\xa7\xd8\xa8")},
	{"left to right among right to left",
		S("\xd8\xa7"
		  "a\xd8\xa7"),
		false, false, S("")},
	{"unassigned in Unicode 3.2", S("\xf0\x9f\x98\x80"), true, false, S("\xf0\x9f\x98\x80")},
	{"non-character", S("\xef\xbf\xbe"), false, false, S("")},
	{"private use", S("\xee\x80\x80"), false, false, S("")},
	{"replacement character", S("\xef\xbf\xbd"), false, false, S("")},
	{"byte order mark vanishes", S("a\xef\xbb\xbf"), true, true, S("a")},
	{"language tag", S("\xf3\xa0\x80\x81"), false, false, S("")},
	{"four bytes", S("\xf0\x90\x8c\x80"), true, true, S("\xf0\x90\x8c\x80")},
	{"surrogate", S("\xed\xa0\x80"), false, false, S("")},
	{"overlong", S("\xc0\xaf"), false, false, S("")},
	{"above the last", S("\xf4\x90\x80\x80"), false, false, S("")},
	{"cut two", S("a\xc3"), false, false, S("")},
	{"cut three", S("a\xe2\x82"), false, false, S("")},
	{"cut four", S("a\xf0\x9f\x98"), false, false, S("")},
	{"lone continuation", S("\x80"), false, false, S("")},
	{"latin 1", S("caf\xe9"), false, false, S("")},
};

static void check(size_t i, bool stored, bool expected)
{
	struct base_slice in = rows[i].in;
	uint8_t *copy = malloc(in.len ? in.len : 1);
	struct base_secret out;
	bool good;

	memcpy(copy, in.ptr, in.len);
	base_secret_init(&out, 64);
	assert_true(base_secret_set(&out, BASE_SLICE("left over")));
	good = sasl_prep(base_slice_make(copy, in.len), stored, &out);
	if (good != expected)
		fail_msg("%s: %d as %s", rows[i].name, good, stored ? "stored" : "query");
	if (!base_slice_equal(base_secret_slice(&out), good ? rows[i].out : BASE_SLICE_EMPTY))
		fail_msg("%s: other text", rows[i].name);
	base_secret_release(&out);
	free(copy);
}

static void table(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		check(i, false, rows[i].query);
		check(i, true, rows[i].stored);
	}
}

static void what_does_not_fit_fails(void **state)
{
	struct base_secret out;
	uint8_t many[2 * (SASL_PREP_MAX_CHARS + 1)];

	(void)state;
	base_secret_init(&out, 4);
	assert_true(sasl_prep(BASE_SLICE("abcd"), true, &out));
	assert_false(sasl_prep(BASE_SLICE("abcde"), true, &out));
	assert_int_equal(out.len, 0);
	assert_true(sasl_prep(BASE_SLICE("\xc3\xa9\xc3\xa9"), true, &out));
	assert_false(sasl_prep(BASE_SLICE("\xc3\xa9\xc3\xa9x"), true, &out));
	/* One character that becomes eighteen. */
	assert_false(sasl_prep(BASE_SLICE("\xef\xb7\xba"), true, &out));
	assert_int_equal(out.len, 0);
	base_secret_release(&out);

	base_secret_init(&out, sizeof(many));
	for (size_t i = 0; i < sizeof(many); i += 2) {
		many[i] = 0xc3;
		many[i + 1] = 0xa9;
	}
	assert_true(sasl_prep(base_slice_make(many, sizeof(many) - 2), true, &out));
	assert_int_equal(out.len, sizeof(many) - 2);
	assert_false(sasl_prep(base_slice_make(many, sizeof(many)), true, &out));
	base_secret_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(what_does_not_fit_fails),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
