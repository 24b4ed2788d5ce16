#include "mail/scan.h"
#include "base/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void rows(void **state)
{
	static const struct {
		const char *message;
		bool header, body;
	} table[] = {
		{"", false, false},
		{"A: b\r\n\r\nbody\r\n", false, false},
		{"A: \xc3\xa9\r\n\r\nbody\r\n", true, false},
		{"A: b\r\n\r\n\xc3\xa9\r\n", false, true},
		{"A: \xc3\xa9\r\n\r\n\xc3\xa9\r\n", true, true},
		{"\r\n\xc3\xa9", false, true},
		{"A: b\r\n \r\n\xc3\xa9: x\r\n", true, false},
		{"A: b\r\n\r\r\n\xc3\xa9: x\r\n", true, false},
		{"A: b\n\n\xc3\xa9: x\r\n", true, false},
	};

	for (size_t i = 0; i < BASE_COUNT(table); i++) {
		struct base_slice in = base_slice_text(table[i].message);
		struct mail_scan whole, bytes;

		mail_scan_init(&whole);
		mail_scan_push(&whole, in);
		mail_scan_init(&bytes);
		for (size_t at = 0; at < in.len; at++)
			mail_scan_push(&bytes, base_slice_make(in.ptr + at, 1));
		if (whole.header_8bit != table[i].header || whole.body_8bit != table[i].body)
			fail_msg("row %zu", i);
		assert_int_equal(bytes.header_8bit, whole.header_8bit);
		assert_int_equal(bytes.body_8bit, whole.body_8bit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(rows)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
