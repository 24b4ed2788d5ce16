#include "base/test_support.h"

#include "base/base64.h"

struct row {
	const char *text;
	const char *bytes; /* null: must be refused */
	size_t len;
	size_t offset;
};

static const struct row rows[] = {
	{"", "", 0, 0},
	{"Zg==", "f", 1, 0},
	{"Zm8=", "fo", 2, 0},
	{"Zm9v", "foo", 3, 0},
	{"Zm9vYg==", "foob", 4, 0},
	{"Zm9vYmE=", "fooba", 5, 0},
	{"Zm9vYmFy", "foobar", 6, 0},
	{"AAAA", "\0\0\0", 3, 0},
	{"AHRpbQB0YW5zdGFhZnRhbnN0YWFm", "\0tim\0tanstaaftanstaaf", 21, 0},
	{"+/+/", "\xfb\xff\xbf", 3, 0},
	/* refused, with the offset of the first bad byte */
	{"=AAA", NULL, 0, 0},
	{"AAA=BBB", NULL, 0, 3},
	{"AA==AA==", NULL, 0, 2},
	{"A", NULL, 0, 0},
	{"AA", NULL, 0, 1},
	{"AAA", NULL, 0, 2},
	{"AAAAA", NULL, 0, 4},
	{" AAAA", NULL, 0, 0},
	{"AAAA\t", NULL, 0, 4},
	{"AAAA\r\n", NULL, 0, 4},
	{"AA-_", NULL, 0, 2},
	{"A=A=", NULL, 0, 1},
	{"=", NULL, 0, 0},
	{"==", NULL, 0, 0},
	{"====", NULL, 0, 0},
	{"A===", NULL, 0, 1},
	{"Zh==", NULL, 0, 1}, /* trailing bits set */
	{"Zm9=", NULL, 0, 2},
	{"\xc3\xa9"
	 "AA",
		NULL, 0, 0},
};

static void decodes_strictly(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice in = exact_copy(base_slice_text(rows[i].text));
		struct base_secret secret;
		struct base_buf out;
		size_t offset = 999;

		base_buf_init(&out, 100);
		base_secret_init(&secret, 100);
		if (rows[i].bytes) {
			assert_int_equal(base64_decode(in, &out, &offset), BASE64_OK);
			assert_int_equal(out.len, rows[i].len);
			assert_memory_equal(
				out.len ? out.ptr : (uint8_t *)"", rows[i].bytes, out.len);
			assert_int_equal(base64_decode_secret(in, &secret), BASE64_OK);
			assert_int_equal(secret.len, rows[i].len);
			assert_memory_equal(secret.ptr, rows[i].bytes, secret.len);
		} else {
			assert_int_equal(base64_decode(in, &out, &offset), BASE64_BAD);
			assert_int_equal(offset, rows[i].offset);
			assert_int_equal(out.len, 0);
			assert_int_equal(base64_decode_secret(in, &secret), BASE64_BAD);
		}
		base_buf_release(&out);
		base_secret_release(&secret);
		free_copy(in);
	}
}

static void every_length_survives(void **state)
{
	uint8_t bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 7 + 3);
	for (size_t len = 0; len <= sizeof(bytes); len++) {
		struct base_buf text, back;
		struct base_slice exact;

		/* exactly as much room as is needed, then one byte less */
		base_buf_init(&text, base64_encoded_len(len));
		assert_true(base64_encode(base_slice_make(bytes, len), &text));
		assert_int_equal(text.len, base64_encoded_len(len));
		exact = exact_copy(base_buf_slice(&text));
		base_buf_init(&back, len);
		assert_int_equal(base64_decode(exact, &back, NULL), BASE64_OK);
		assert_int_equal(back.len, len);
		assert_memory_equal(back.len ? back.ptr : bytes, bytes, len);
		base_buf_release(&back);
		if (len) {
			base_buf_init(&back, len - 1);
			assert_int_equal(base64_decode(exact, &back, NULL), BASE64_TOO_LONG);
			base_buf_release(&back);
			base_buf_release(&text);
			base_buf_init(&text, base64_encoded_len(len) - 1);
			assert_false(base64_encode(base_slice_make(bytes, len), &text));
			assert_int_equal(text.len, 0);
		}
		base_buf_release(&text);
		free_copy(exact);
	}
}

static void hex_both_ways(void **state)
{
	struct base_buf out;

	base_buf_init(&out, 16);
	assert_true(base_hex_encode(BASE_SLICE("\x00\xff\x1a"), &out));
	assert_slice_equal(base_buf_slice(&out), "00ff1a");
	base_buf_clear(&out);
	assert_true(base_hex_decode(BASE_SLICE("00fF1A"), &out));
	assert_slice_equal(base_buf_slice(&out), "\x00\xff\x1a");
	assert_false(base_hex_decode(BASE_SLICE("0"), &out));
	assert_false(base_hex_decode(BASE_SLICE("0g"), &out));
	assert_int_equal(out.len, 3);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(decodes_strictly),
		cmocka_unit_test(every_length_survives),
		cmocka_unit_test(hex_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
