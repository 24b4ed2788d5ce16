#include "spool/detail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static void put_sample(struct base_buf *b)
{
	struct spool_rcpt r = {.index = 70000,
		.state = SPOOL_RCPT_PAUSED,
		.reason = BASE_SLICE("account refused")};

	spool_detail_put(b, BASE_SLICE("google"), 2);
	spool_detail_put_rcpt(b, &r);
	r = (struct spool_rcpt){.index = 3};
	spool_detail_put_rcpt(b, &r);
}

static bool decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct spool_detail d;
	struct spool_rcpt r;
	bool ok;

	memcpy(exact, bytes, len);
	ok = spool_detail_get(base_slice_make(exact, len), &d);
	for (uint32_t i = 0; ok && i < d.count; i++)
		ok = spool_detail_get_rcpt(&d, &r);
	ok = ok && d.rest.len == 0;
	free(exact);
	return ok;
}

static void round_trip(void **state)
{
	struct spool_detail d;
	struct spool_rcpt r;
	struct base_buf b;

	(void)state;
	base_buf_init(&b, 4096);
	put_sample(&b);
	assert_true(spool_detail_get(base_buf_slice(&b), &d));
	assert_true(base_slice_equal_text(d.account, "google"));
	assert_int_equal(d.count, 2);
	assert_true(spool_detail_get_rcpt(&d, &r));
	assert_int_equal(r.index, 70000);
	assert_int_equal(r.state, SPOOL_RCPT_PAUSED);
	assert_true(base_slice_equal_text(r.reason, "account refused"));
	assert_true(spool_detail_get_rcpt(&d, &r));
	assert_int_equal(r.index, 3);
	assert_int_equal(r.state, SPOOL_RCPT_WAITING);
	assert_int_equal(r.reason.len, 0);
	assert_false(spool_detail_get_rcpt(&d, &r));
	for (size_t len = 0; len < b.len; len++)
		assert_false(decodes(b.ptr, len));
	assert_true(decodes(b.ptr, b.len));
	base_buf_release(&b);
}

static void long_reasons_are_cut(void **state)
{
	static uint8_t text[4096];
	struct spool_rcpt r = {.reason = base_slice_make(text, sizeof(text))};
	struct spool_detail d;
	struct base_buf b;

	(void)state;
	base_buf_init(&b, 65536);
	spool_detail_put(&b, BASE_SLICE_EMPTY, 1);
	spool_detail_put_rcpt(&b, &r);
	assert_true(spool_detail_get(base_buf_slice(&b), &d));
	assert_true(spool_detail_get_rcpt(&d, &r));
	assert_int_equal(r.reason.len, SPOOL_DETAIL_REASON_MAX_BYTES);
	base_buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(long_reasons_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
