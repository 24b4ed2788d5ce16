#include "loop/account.h"

#include "loop/ipc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_codec(void **state)
{
	struct account_info in = {.url = BASE_SLICE("smtps://smtp.example.org:465"),
		.credential = 1,
		.mechanisms = 0x1800,
		.ca = BASE_SLICE("PEM"),
		.pin = BASE_SLICE("sha256:00"),
		.certificate = true,
		.connections = 3,
		.rate_count = 100,
		.rate_s = 3600};
	struct account_info out;
	struct base_slice body;
	struct base_buf b;

	base_buf_init(&b, 65536);
	account_info_put(&b, &in);
	body = base_buf_slice(&b);
	assert_true(account_info_get(body, &out));
	assert_int_equal(out.class, 0);
	assert_true(base_slice_equal(in.url, out.url));
	assert_int_equal(out.credential, 1);
	assert_int_equal(out.mechanisms, 0x1800);
	assert_true(base_slice_equal(in.ca, out.ca));
	assert_true(base_slice_equal(in.pin, out.pin));
	assert_true(out.certificate);
	assert_int_equal(out.connections, 3);
	assert_int_equal(out.rate_count, 100);
	assert_int_equal(out.rate_s, 3600);
	for (size_t i = 0; i < body.len; i++)
		assert_false(account_info_get(base_slice_first(body, i), &out));
	base_buf_clear(&b);
	account_info_put(&b, &(struct account_info){.class = BASE_ERROR_NOT_FOUND});
	assert_true(account_info_get(base_buf_slice(&b), &out));
	assert_int_equal(out.class, BASE_ERROR_NOT_FOUND);
	base_buf_release(&b);
}

static void test_rate(void **state)
{
	static const struct {
		const char *text;
		uint32_t count, seconds;
	} rows[] = {
		{"100/hour", 100, 3600},
		{"1/second", 1, 1},
		{"30 / minute", 30, 60},
		{"5000/day", 5000, 86400},
		{"0/hour", 0, 0},
		{"100", 0, 0},
		{"100/", 0, 0},
		{"/hour", 0, 0},
		{"x/hour", 0, 0},
		{"100/fortnight", 0, 0},
		{"1000001/hour", 0, 0},
		{"", 0, 0},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		uint32_t count = 0, seconds = 0;
		bool good = account_rate_parse(base_slice_text(rows[i].text), &count, &seconds);

		assert_int_equal(good, rows[i].count != 0);
		assert_int_equal(count, rows[i].count);
		assert_int_equal(seconds, rows[i].seconds);
	}
}

#define DIGITS "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEF"

static void test_pin(void **state)
{
	uint8_t pin[ACCOUNT_PIN_BYTES];

	assert_true(account_pin_parse(BASE_SLICE("sha256:" DIGITS "F"), pin));
	assert_int_equal(pin[1], 0x11);
	assert_int_equal(pin[31], 0xff);
	assert_true(
		account_pin_parse(BASE_SLICE("SHA256:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:"
					     "ff:00:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee:ff"),
			pin));
	assert_int_equal(pin[16], 0);
	assert_false(account_pin_parse(BASE_SLICE("sha256:" DIGITS), pin));
	assert_false(account_pin_parse(BASE_SLICE("sha256:" DIGITS "F0"), pin));
	assert_false(account_pin_parse(BASE_SLICE("sha256:" DIGITS "g"), pin));
	assert_false(account_pin_parse(BASE_SLICE("sha256:" DIGITS "F:"), pin));
	assert_false(account_pin_parse(BASE_SLICE(DIGITS "F"), pin));
	assert_false(account_pin_parse(BASE_SLICE(""), pin));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_codec),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_pin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
