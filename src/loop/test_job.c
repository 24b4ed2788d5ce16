#include "loop/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static struct job sample(bool file)
{
	return (struct job){
		.message_id = BASE_SLICE("0123456789abcdef"),
		.attempt = 3,
		.via = CONF_VIA_SMTPS,
		.tls = CONF_POLICY_VERIFY,
		.host = BASE_SLICE("mail.example.org"),
		.port = 465,
		.account = BASE_SLICE("google"),
		.route = BASE_SLICE("*"),
		.size = 5,
		.envelope = BASE_SLICE("env"),
		.file = file,
		.message = BASE_SLICE("hello"),
	};
}

static void put_whole(struct base_buf *b, const struct job *job)
{
	job_put(b, job);
	if (!job->file)
		base_buf_append_slice(b, job->message);
	assert_true(base_buf_ok(b));
}

static bool job_decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct job job;
	bool ok;

	memcpy(exact, bytes, len);
	ok = job_get(base_slice_make(exact, len), &job);
	free(exact);
	return ok;
}

static void job_round_trip(void **state)
{
	struct base_buf b;
	struct job in, out;
	size_t len;
	int file;

	(void)state;
	base_buf_init(&b, 4096);
	for (file = 0; file < 2; file++) {
		base_buf_clear(&b);
		in = sample(file);
		put_whole(&b, &in);
		assert_true(job_get(base_buf_slice(&b), &out));
		assert_true(base_slice_equal(in.message_id, out.message_id));
		assert_int_equal(out.attempt, 3);
		assert_int_equal(out.via, CONF_VIA_SMTPS);
		assert_int_equal(out.tls, CONF_POLICY_VERIFY);
		assert_true(base_slice_equal(in.host, out.host));
		assert_int_equal(out.port, 465);
		assert_true(base_slice_equal(in.account, out.account));
		assert_true(base_slice_equal(in.route, out.route));
		assert_int_equal(out.size, 5);
		assert_true(base_slice_equal(in.envelope, out.envelope));
		assert_int_equal(out.file, file);
		if (!file)
			assert_true(base_slice_equal(in.message, out.message));
		for (len = 0; len < b.len; len++)
			assert_false(job_decodes(b.ptr, len));
	}
	base_buf_release(&b);
}

static void job_bad_values_are_refused(void **state)
{
	struct base_buf b;
	struct job job;
	int row;

	(void)state;
	base_buf_init(&b, 4096);
	for (row = 0; row < 5; row++) {
		base_buf_clear(&b);
		job = sample(false);
		if (row == 0)
			job.via = (enum conf_via)(CONF_VIA_ERROR + 1);
		if (row == 1)
			job.tls = (enum conf_tls_policy)(CONF_POLICY_VERIFY + 1);
		if (row == 2)
			job.host = BASE_SLICE("a\nb");
		if (row == 3)
			job.size = 6;
		put_whole(&b, &job);
		if (row == 4)
			base_buf_append_byte(&b, 0);
		if (job_decodes(b.ptr, b.len))
			fail_msg("row %d was taken", row);
	}
	base_buf_release(&b);
}

static bool result_decodes(const uint8_t *bytes, size_t len)
{
	uint8_t *exact = malloc(len ? len : 1);
	struct job_result r;
	struct job_rcpt_result rcpt;
	struct ipc_reader rest;
	uint32_t i;
	bool ok;

	memcpy(exact, bytes, len);
	ok = job_result_get(base_slice_make(exact, len), &r, &rest);
	for (i = 0; ok && i < r.rcpt_count; i++)
		ok = job_result_get_rcpt(&rest, &rcpt);
	ok = ok && ipc_reader_done(&rest);
	free(exact);
	return ok;
}

static void result_round_trip(void **state)
{
	struct job_result in = {.host = BASE_SLICE("mx"),
		.address = BASE_SLICE("192.0.2.1:25"),
		.tls = BASE_SLICE("TLSv1.3 X"),
		.mechanism = BASE_SLICE("PLAIN"),
		.verified = true,
		.connection = 7,
		.duration_ms = 12,
		.has_not_before = true,
		.not_before_ms = 99,
		.rcpt_count = 1};
	struct job_rcpt_result rin = {.index = 4,
		.outcome = JOB_HELD,
		.code = 454,
		.enhanced = BASE_SLICE("4.7.0"),
		.reply = BASE_SLICE("454 no"),
		.reason = BASE_SLICE("account refused"),
		.dsn_relayed = true};
	struct job_result out;
	struct job_rcpt_result rout;
	struct ipc_reader rest;
	struct base_buf b;
	size_t len;

	(void)state;
	base_buf_init(&b, 4096);
	job_result_put(&b, &in);
	job_result_put_rcpt(&b, &rin);
	assert_true(job_result_get(base_buf_slice(&b), &out, &rest));
	assert_true(base_slice_equal(in.host, out.host));
	assert_true(base_slice_equal(in.address, out.address));
	assert_true(base_slice_equal(in.tls, out.tls));
	assert_true(base_slice_equal(in.mechanism, out.mechanism));
	assert_true(out.verified && !out.reused && out.has_not_before);
	assert_int_equal(out.connection, 7);
	assert_int_equal(out.duration_ms, 12);
	assert_int_equal(out.not_before_ms, 99);
	assert_int_equal(out.rcpt_count, 1);
	assert_true(job_result_get_rcpt(&rest, &rout));
	assert_int_equal(rout.index, 4);
	assert_int_equal(rout.outcome, JOB_HELD);
	assert_int_equal(rout.code, 454);
	assert_true(base_slice_equal(rin.enhanced, rout.enhanced));
	assert_true(base_slice_equal(rin.reply, rout.reply));
	assert_true(base_slice_equal(rin.reason, rout.reason));
	assert_true(rout.dsn_relayed);
	assert_true(ipc_reader_done(&rest));
	for (len = 0; len < b.len; len++)
		assert_false(result_decodes(b.ptr, len));
	base_buf_release(&b);
}

static void outcomes_have_names(void **state)
{
	(void)state;
	assert_string_equal(job_outcome_name(JOB_DELIVERED), "delivered");
	assert_string_equal(job_outcome_name(JOB_HELD), "held");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(job_round_trip),
		cmocka_unit_test(job_bad_values_are_refused),
		cmocka_unit_test(result_round_trip),
		cmocka_unit_test(outcomes_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
