#include "loop/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void put_sample(struct base_buf *b, const char *sender, const char *rcpt)
{
	struct envelope e = {
		.flags = ENVELOPE_8BIT | ENVELOPE_AUTH_GIVEN,
		.ret = 2,
		.arrived_ms = 1795528361123,
		.session = BASE_SLICE("0123456789abcdef"),
		.user = BASE_SLICE("anna"),
		.client = BASE_SLICE("192.0.2.7"),
		.sender = base_slice_text(sender),
		.envid = BASE_SLICE("QQ314159"),
		.auth = BASE_SLICE(""),
		.rcpt_count = 2,
	};
	struct envelope_rcpt r = {.address = base_slice_text(rcpt),
		.notify = 6,
		.orcpt = BASE_SLICE("rfc822;b@example.org")};

	envelope_put(b, &e);
	envelope_put_rcpt(b, &r);
	r = (struct envelope_rcpt){.address = BASE_SLICE("c@example.net")};
	envelope_put_rcpt(b, &r);
	assert_true(base_buf_ok(b));
}

static void round_trip(void **state)
{
	struct base_buf b;
	struct envelope e;
	struct envelope_rcpt r;
	struct ipc_reader rest;

	(void)state;
	base_buf_init(&b, 4096);
	put_sample(&b, "a@example.org", "b@example.org");
	assert_true(envelope_get(base_buf_slice(&b), &e, &rest));
	assert_int_equal(e.flags, ENVELOPE_8BIT | ENVELOPE_AUTH_GIVEN);
	assert_int_equal(e.ret, 2);
	assert_true(e.arrived_ms == 1795528361123);
	assert_true(base_slice_equal_text(e.session, "0123456789abcdef"));
	assert_true(base_slice_equal_text(e.user, "anna"));
	assert_true(base_slice_equal_text(e.client, "192.0.2.7"));
	assert_true(base_slice_equal_text(e.sender, "a@example.org"));
	assert_true(base_slice_equal_text(e.envid, "QQ314159"));
	assert_int_equal(e.rcpt_count, 2);
	assert_true(envelope_get_rcpt(&rest, &r));
	assert_true(base_slice_equal_text(r.address, "b@example.org"));
	assert_int_equal(r.notify, 6);
	assert_true(base_slice_equal_text(r.orcpt, "rfc822;b@example.org"));
	assert_true(envelope_get_rcpt(&rest, &r));
	assert_true(base_slice_equal_text(r.address, "c@example.net"));
	assert_true(ipc_reader_done(&rest));
	assert_false(envelope_get_rcpt(&rest, &r));
	base_buf_release(&b);
}

static bool decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct envelope e;
	struct envelope_rcpt r;
	struct ipc_reader rest;
	bool ok;
	uint32_t i;

	memcpy(exact, bytes, len);
	ok = envelope_get(base_slice_make(exact, len), &e, &rest);
	for (i = 0; ok && i < e.rcpt_count; i++)
		ok = envelope_get_rcpt(&rest, &r);
	ok = ok && ipc_reader_done(&rest);
	free(exact);
	return ok;
}

static void cut_anywhere_is_refused(void **state)
{
	struct base_buf b;
	size_t len;

	(void)state;
	base_buf_init(&b, 4096);
	put_sample(&b, "", "b@example.org");
	for (len = 0; len < b.len; len++)
		assert_false(decodes(b.ptr, len));
	assert_true(decodes(b.ptr, b.len));
	b.ptr[0] = 2;
	assert_false(decodes(b.ptr, b.len));
	base_buf_release(&b);
}

static void line_breakers_are_refused(void **state)
{
	static const struct {
		const char *sender, *rcpt;
	} rows[] = {
		{"a\n@example.org", "b@example.org"},
		{"a\r@example.org", "b@example.org"},
		{"a@example.org", "b@example.org\nRCPT"},
		{"a@example.org", "b@example.org\r"},
		{"a@example.org", ""},
	};
	struct base_buf b;
	size_t i;

	(void)state;
	base_buf_init(&b, 4096);
	for (i = 0; i < BASE_COUNT(rows); i++) {
		base_buf_clear(&b);
		put_sample(&b, rows[i].sender, rows[i].rcpt);
		if (decodes(b.ptr, b.len))
			fail_msg("row %zu was taken", i);
	}
	base_buf_release(&b);
}

static void count_beyond_the_bytes_is_refused(void **state)
{
	struct base_buf b;
	struct envelope e = {.rcpt_count = UINT32_MAX};

	(void)state;
	base_buf_init(&b, 4096);
	envelope_put(&b, &e);
	assert_false(decodes(b.ptr, b.len));
	base_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(cut_anywhere_is_refused),
		cmocka_unit_test(line_breakers_are_refused),
		cmocka_unit_test(count_beyond_the_bytes_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
