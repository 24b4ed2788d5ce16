#include "wire/qmail_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static void test_replies(void **state)
{
	static const struct {
		int from, to;
		unsigned code;
		const char *original;
	} rows[] = {
		{0, 0, 250, "ok"},
		{1, 10, 451, "qq temporary problem (#4.3.0)"},
		{11, 11, 554, "envelope address too long for qq (#5.1.3)"},
		{12, 30, 554, "qq permanent problem (#5.3.0)"},
		{31, 31, 554, "mail server permanently rejected message (#5.3.0)"},
		{32, 40, 554, "qq permanent problem (#5.3.0)"},
		{41, 50, 451, "qq temporary problem (#4.3.0)"},
		{51, 51, 451, "qq out of memory (#4.3.0)"},
		{52, 52, 451, "qq timeout (#4.3.0)"},
		{53, 53, 451, "qq write error or disk full (#4.3.0)"},
		{54, 54, 451, "qq read error (#4.3.0)"},
		{55, 55, 451, "qq unable to read configuration (#4.3.0)"},
		{56, 56, 451, "qq trouble making network connection (#4.3.0)"},
		{57, 60, 451, "qq temporary problem (#4.3.0)"},
		{61, 61, 451, "qq trouble in home directory (#4.3.0)"},
		{62, 66, 451, "qq trouble creating files in queue (#4.3.0)"},
		{67, 70, 451, "qq temporary problem (#4.3.0)"},
		{71, 71, 451, "mail server temporarily rejected message (#4.3.0)"},
		{72, 72, 451, "connection to mail server timed out (#4.4.1)"},
		{73, 73, 451, "connection to mail server rejected (#4.4.1)"},
		{74, 74, 451, "communication with mail server failed (#4.4.2)"},
		{81, 81, 451, "qq internal bug (#4.3.0)"},
		{82, 90, 451, "qq temporary problem (#4.3.0)"},
		{91, 91, 451, "qq internal bug (#4.3.0)"},
		{111, 111, 451, "qq temporary problem (#4.3.0)"},
		{115, 115, 554, "envelope address too long for qq (#5.1.3)"},
		{120, 120, 451, "unable to exec qq (#4.3.0)"},
		{121, 255, 451, "qq temporary problem (#4.3.0)"},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		for (int status = rows[i].from; status <= rows[i].to; status++) {
			struct wire_qmail_queue_reply r = wire_qmail_queue_reply(status, false);

			assert_int_equal(r.code, rows[i].code);
			assert_string_equal(r.original, rows[i].original);
			/* The class of the enhanced code is that of the code. */
			assert_int_equal(r.enhanced[0], '0' + (int)r.code / 100);
			if (status)
				assert_non_null(strstr(r.original, r.enhanced));
			assert_non_null(r.text);
		}
	}
	assert_string_equal(wire_qmail_queue_reply(0, true).original, "qq crashed (#4.3.0)");
	assert_int_equal(wire_qmail_queue_reply(0, true).code, 451);
}

static void test_envelope(void **state)
{
	static const char expected[] = "Fa@b\0Tc@d\0Te\0";
	char longest[WIRE_QMAIL_ADDRESS_MAX_BYTES + 1];
	struct base_buf out;

	memset(longest, 'x', sizeof(longest));
	base_buf_init(&out, 4096);
	assert_true(wire_qmail_queue_sender(BASE_SLICE("a@b"), &out));
	assert_true(wire_qmail_queue_rcpt(BASE_SLICE("c@d"), &out));
	assert_false(wire_qmail_queue_rcpt(BASE_SLICE("x\0Ty"), &out));
	assert_false(wire_qmail_queue_rcpt(base_slice_make(longest, sizeof(longest)), &out));
	assert_true(wire_qmail_queue_rcpt(BASE_SLICE("e"), &out));
	wire_qmail_queue_end(&out);
	assert_true(base_slice_equal(
		base_buf_slice(&out), base_slice_make(expected, sizeof(expected))));
	base_buf_clear(&out);
	assert_true(wire_qmail_queue_sender(BASE_SLICE_EMPTY, &out));
	assert_true(wire_qmail_queue_rcpt(
		base_slice_make(longest, WIRE_QMAIL_ADDRESS_MAX_BYTES), &out));
	assert_int_equal(out.len, 2 + WIRE_QMAIL_ADDRESS_MAX_BYTES + 2);
	base_buf_release(&out);
}

static void test_full(void **state)
{
	struct base_buf out;

	base_buf_init(&out, 8);
	assert_true(wire_qmail_queue_sender(BASE_SLICE("a@b"), &out));
	assert_false(wire_qmail_queue_rcpt(BASE_SLICE("c@d"), &out));
	assert_int_equal(out.len, 5);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_envelope),
		cmocka_unit_test(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
