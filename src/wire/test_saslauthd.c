/* saslauthd's counted strings: requests as bytes; replies whole, byte by byte, and too long. */
#include "base/test_support.h"
#include "wire/saslauthd.h"

static void puts_five_strings(void **state)
{
	static uint8_t many[257];
	struct wire_saslauthd_request r = {
		.login = BASE_SLICE("anna"),
		.password = BASE_SLICE("geheim"),
		.service = BASE_SLICE("smtp"),
		.realm = BASE_SLICE("example.org"),
		.client = BASE_SLICE("192.0.2.7;4711"),
	};
	struct base_buf out;

	memset(many, 'a', sizeof(many));
	base_buf_init_secret(&out, 2048);
	assert_true(wire_saslauthd_put(&r, &out));
	assert_slice_equal(base_buf_slice(&out),
		"\0\4anna\0\6geheim\0\4smtp\0\13example.org\0\016192.0.2.7;4711");
	base_buf_clear(&out);
	assert_true(wire_saslauthd_put(&(struct wire_saslauthd_request){0}, &out));
	assert_slice_equal(base_buf_slice(&out), "\0\0\0\0\0\0\0\0\0\0");
	base_buf_clear(&out);
	r.password = base_slice_make(many, 256);
	assert_true(wire_saslauthd_put(&r, &out));
	assert_memory_equal(out.ptr, "\0\4anna\1\0aaa", 11);
	base_buf_clear(&out);
	r.password = base_slice_make(many, 257);
	assert_false(wire_saslauthd_put(&r, &out));
	assert_int_equal(out.len, 0);
	base_buf_release(&out);
	/* No room: nothing at all. */
	r.password = BASE_SLICE("x");
	base_buf_init_secret(&out, 20);
	assert_false(wire_saslauthd_put(&r, &out));
	assert_int_equal(out.len, 0);
	base_buf_release(&out);
}

struct row {
	const char *name;
	struct base_slice in;
	enum wire_saslauthd_reply reply;
	const char *text;
};

static void gets_replies(void **state)
{
	static uint8_t longest[1024] = {1022 >> 8, 1022 & 255, 'O', 'K'},
		       over[2] = {1023 >> 8, 1023 & 255};
	const struct row rows[] = {
		{"nothing", BASE_SLICE(""), WIRE_SASLAUTHD_MORE},
		{"half a count", BASE_SLICE("\0"), WIRE_SASLAUTHD_MORE},
		{"yes", BASE_SLICE("\0\2OK"), WIRE_SASLAUTHD_OK},
		{"yes with words", BASE_SLICE("\0\5OK hm"), WIRE_SASLAUTHD_OK},
		{"no", BASE_SLICE("\0\2NO"), WIRE_SASLAUTHD_NO, ""},
		{"no and a blank", BASE_SLICE("\0\3NO "), WIRE_SASLAUTHD_NO, ""},
		{"no with words", BASE_SLICE("\0\031NO NULL password received"), WIRE_SASLAUTHD_NO,
			"NULL password received"},
		{"more than was said", BASE_SLICE("\0\2NOxyz"), WIRE_SASLAUTHD_NO, ""},
		{"empty", BASE_SLICE("\0\0"), WIRE_SASLAUTHD_BROKEN},
		{"one byte", BASE_SLICE("\0\1O"), WIRE_SASLAUTHD_BROKEN},
		{"neither", BASE_SLICE("\0\2OX"), WIRE_SASLAUTHD_BROKEN},
		{"small letters", BASE_SLICE("\0\2ok"), WIRE_SASLAUTHD_BROKEN},
		{"no count", BASE_SLICE("OK\n"), WIRE_SASLAUTHD_BROKEN},
		{"longest", base_slice_make(longest, sizeof(longest)), WIRE_SASLAUTHD_OK},
		{"too long", base_slice_make(over, sizeof(over)), WIRE_SASLAUTHD_BROKEN},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		enum wire_saslauthd_reply reply = WIRE_SASLAUTHD_MORE;
		struct base_slice text = BASE_SLICE_EMPTY;

		/* The first answer that is one stays the answer, however much came. */
		for (size_t n = 0; n <= r->in.len; n++) {
			struct base_slice in = exact_copy(base_slice_first(r->in, n)), t;
			enum wire_saslauthd_reply now = wire_saslauthd_get(in, &t);

			if (reply != WIRE_SASLAUTHD_MORE && now != reply)
				fail_msg("%s: changes at %zu", r->name, n);
			reply = now;
			if (now == WIRE_SASLAUTHD_NO)
				text = base_slice_first(base_slice_from(r->in, 5), t.len);
			free_copy(in);
		}
		if (reply != r->reply)
			fail_msg("%s: other reply", r->name);
		if (r->text && !base_slice_equal_text(text, r->text))
			fail_msg("%s: other words", r->name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(puts_five_strings),
		cmocka_unit_test(gets_replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
