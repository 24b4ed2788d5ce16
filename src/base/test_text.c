/* xtext, escaping, UTF-8, ids, slices */
#include "base/test_support.h"

#include "base/escape.h"
#include "base/id.h"
#include "base/utf8.h"
#include "base/xtext.h"

static void xtext_both_ways(void **state)
{
	static const struct {
		const char *plain, *coded;
	} rows[] = {
		{"e=mc2@example.com", "e+3Dmc2@example.com"},
		{"a+b@x", "a+2Bb@x"},
		{"\x7f", "+7F"},
		{"<>", "<>"},
		{"a b\r\n", "a+20b+0D+0A"},
		{"", ""},
		{"\xc3\xa9", "+C3+A9"},
	};
	struct base_buf out;

	base_buf_init(&out, 100);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice coded = exact_copy(base_slice_text(rows[i].coded));

		base_buf_clear(&out);
		assert_true(base_xtext_encode(base_slice_text(rows[i].plain), &out));
		assert_true(base_slice_equal_text(base_buf_slice(&out), rows[i].coded));
		base_buf_clear(&out);
		assert_true(base_xtext_decode(coded, &out, NULL));
		assert_true(base_slice_equal_text(base_buf_slice(&out), rows[i].plain));
		free_copy(coded);
	}
	base_buf_clear(&out);
	assert_true(base_xtext_decode(BASE_SLICE("a+3db"), &out, NULL)); /* lower case is taken */
	assert_slice_equal(base_buf_slice(&out), "a=b");
	base_buf_release(&out);
}

static void xtext_refuses(void **state)
{
	static const struct {
		const char *text;
		size_t offset;
	} rows[] = {{"+3", 0}, {"+", 0}, {"+G0", 0}, {"a=b", 1}, {"a b", 1}, {"ab+4", 2},
		{"\x7f", 0}, {"a\tb", 1}, {"ok+41=", 5}};
	struct base_buf out;

	base_buf_init(&out, 100);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice in = exact_copy(base_slice_text(rows[i].text));
		size_t offset = 99;

		assert_false(base_xtext_decode(in, &out, &offset));
		assert_int_equal(offset, rows[i].offset);
		assert_int_equal(out.len, 0);
		base_buf_clear(&out);
		free_copy(in);
	}
	base_buf_release(&out);
}

static void escapes_for_the_log(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
		{"anna@example.org", "anna@example.org"},
		{"", "\"\""},
		{"a b", "\"a b\""},
		{"x\r\nerror: forged", "\"x\\x0d\\x0aerror: forged\""},
		{"\x1b[31m", "\"\\x1b[31m\""},
		{"say \"hi\" \\", "\"say \\\"hi\\\" \\\\\""},
		{"\xe2\x80\xae", "\"\\xe2\\x80\\xae\""},
		{"%n%s", "\"%n%s\""},
	};
	struct base_buf out;

	base_buf_init(&out, 200);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		base_buf_clear(&out);
		assert_true(base_escape_log_value(base_slice_text(rows[i].in), 100, &out));
		assert_true(base_slice_equal_text(base_buf_slice(&out), rows[i].out));
	}
	base_buf_clear(&out);
	assert_true(base_escape_log_value(BASE_SLICE("0123456789"), 4, &out));
	assert_slice_equal(base_buf_slice(&out), "\"0123...\"");
	base_buf_release(&out);
}

static void escapes_for_a_header(void **state)
{
	struct base_buf out;

	base_buf_init(&out, 100);
	assert_true(base_escape_header(BASE_SLICE("x) by evil (\r\nX: y"), false, 100, &out));
	assert_slice_equal(base_buf_slice(&out), "x??by?evil????X:?y");
	base_buf_clear(&out);
	assert_true(base_escape_header(BASE_SLICE("b\xc3\xbc"), true, 100, &out));
	assert_slice_equal(base_buf_slice(&out), "b\xc3\xbc");
	base_buf_clear(&out);
	assert_true(base_escape_header(BASE_SLICE("b\xc3"), true, 100, &out));
	assert_slice_equal(base_buf_slice(&out), "b?");
	base_buf_clear(&out);
	assert_true(base_escape_text(BASE_SLICE("a\0b\nc"), 100, &out));
	assert_slice_equal(base_buf_slice(&out), "a?b?c");
	base_buf_release(&out);
}

static void utf8_is_strict(void **state)
{
	static const struct {
		const char *text;
		bool valid;
	} rows[] = {
		{"", true},
		{"a", true},
		{"\xc3\xa9", true},
		{"\xe2\x82\xac", true},
		{"\xf0\x9f\x98\x80", true},
		{"\xc3", false},
		{"\xe2\x82", false},
		{"\xf0\x9f\x98", false},
		{"\x80", false},
		{"\xc0\x80", false},
		{"\xc1\xbf", false},
		{"\xe0\x80\x80", false},
		{"\xed\xa0\x80", false},
		{"\xf4\x90\x80\x80", false},
		{"\xf5\x80\x80\x80", false},
		{"\xff", false},
		{"a\xc3(", false},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice in = exact_copy(base_slice_text(rows[i].text));

		assert_int_equal(base_utf8_valid(in), rows[i].valid);
		free_copy(in);
	}
}

static void ids_sort_by_time(void **state)
{
	const uint8_t random[5] = {0xff, 0xff, 0xff, 0xff, 0xff}, zero[5] = {0};
	struct base_id a = base_id_make(1764000000000, random),
		       b = base_id_make(1764000000001, zero), back;

	assert_int_equal(strlen(a.text), BASE_ID_CHARS);
	assert_true(strcmp(a.text, b.text) < 0);
	assert_true(base_id_parse(base_id_slice(&a), &back));
	assert_string_equal(a.text, back.text);
	assert_false(base_id_parse(BASE_SLICE("short"), &back));
	assert_false(base_id_parse(BASE_SLICE("0123456789abcdei"), &back));
	assert_false(base_id_parse(BASE_SLICE("../../../../../."), &back));
}

static void numbers_do_not_overflow(void **state)
{
	uint64_t value = 7;

	assert_true(base_slice_to_u64(BASE_SLICE("18446744073709551615"), &value));
	assert_true(value == UINT64_MAX);
	assert_false(base_slice_to_u64(BASE_SLICE("18446744073709551616"), &value));
	assert_false(base_slice_to_u64(BASE_SLICE(""), &value));
	assert_false(base_slice_to_u64(BASE_SLICE("-1"), &value));
	assert_false(base_slice_to_u64(BASE_SLICE("+1"), &value));
	assert_false(base_slice_to_u64(BASE_SLICE(" 1"), &value));
	assert_false(base_slice_to_u64(BASE_SLICE("0x10"), &value));
}

static void lists_split(void **state)
{
	struct base_slice rest = BASE_SLICE("a,,b,"), part;
	const char *want[] = {"a", "", "b"};
	size_t count = 0;

	while (base_slice_split(&rest, ',', &part)) {
		assert_true(count < 3);
		assert_true(base_slice_equal_text(part, want[count++]));
	}
	assert_int_equal(count, 3);
	assert_true(base_slice_ends_with_nocase(BASE_SLICE("a.EXAMPLE"), BASE_SLICE(".example")));
	assert_false(base_slice_ends_with_nocase(BASE_SLICE("e"), BASE_SLICE(".example")));
	assert_slice_equal(base_slice_trim(BASE_SLICE(" \t x y\r\n")), "x y");
	rest = BASE_SLICE("  ::1\t localhost  ip6-localhost ");
	assert_slice_equal(base_slice_word(&rest), "::1");
	assert_slice_equal(base_slice_word(&rest), "localhost");
	assert_slice_equal(base_slice_word(&rest), "ip6-localhost");
	assert_int_equal(base_slice_word(&rest).len, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(xtext_both_ways),
		cmocka_unit_test(xtext_refuses),
		cmocka_unit_test(escapes_for_the_log),
		cmocka_unit_test(escapes_for_a_header),
		cmocka_unit_test(utf8_is_strict),
		cmocka_unit_test(ids_sort_by_time),
		cmocka_unit_test(numbers_do_not_overflow),
		cmocka_unit_test(lists_split),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
