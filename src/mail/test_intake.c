#include "mail/intake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define DATE "Date: Tue, 24 Nov 2026 14:52:41 +0000\r\n"
#define ID "Message-ID: <0123456789abcdef@mail.example.org>\r\n"

static const struct mail_origin plain_origin = {
	.host_name = {(const uint8_t *)"mail.example.org", 16},
	.helo = {(const uint8_t *)"laptop", 6},
	.esmtp = true,
	.message_id = {"0123456789abcdef"},
	.now_ms = INT64_C(1795531961000),
};

/* Push @in in pieces of @step (0: whole, from an exact-size copy); what comes behind the trace
 * fields is left in @out. */
static enum mail_intake_result run(unsigned flags, bool utf8, struct base_slice in, size_t step,
	struct base_buf *out, struct mail_intake *m)
{
	enum mail_intake_result result = MAIL_INTAKE_OK;
	struct mail_origin origin = plain_origin;
	uint8_t *copy = malloc(in.len ? in.len : 1);
	struct base_buf hold;

	if (in.len)
		memcpy(copy, in.ptr, in.len);
	in.ptr = copy;
	origin.smtputf8 = utf8;
	base_buf_clear(out);
	base_buf_init(&hold, MAIL_FIELD_MAX_BYTES + 1024);
	mail_intake_begin(m, flags, &origin, out);
	assert_true(
		base_slice_starts_with(base_buf_slice(out), BASE_SLICE("Received: from laptop")));
	base_buf_clear(out);
	while (in.len && result == MAIL_INTAKE_OK) {
		size_t len = step && step < in.len ? step : in.len;

		result = mail_intake_push(m, base_slice_first(in, len), &hold, out);
		in = base_slice_from(in, len);
	}
	if (result == MAIL_INTAKE_OK)
		result = mail_intake_end(m, &hold, out);
	base_buf_release(&hold);
	free(copy);
	return result;
}

struct row {
	const char *name;
	const char *in;
	unsigned flags;
	bool utf8;
	enum mail_intake_result result;
	const char *out; /* null: as @in */
};

#define FIX MAIL_INTAKE_FIXUP

static const struct row rows[] = {
	{"passes", "Date: x\r\nMessage-ID: <a@b>\r\nFrom: a@b\r\n\r\nbody\r\n", FIX, false, 0,
		NULL},
	{"adds both at the end", "From: a@b\r\n\r\nbody\r\n", FIX, false, 0,
		"From: a@b\r\n" DATE ID "\r\nbody\r\n"},
	{"adds none without fixup", "From: a@b\r\n\r\nbody\r\n", 0, false, 0, NULL},
	{"empty message", "", FIX, false, 0, DATE ID},
	{"empty message, no fixup", "", 0, false, 0, NULL},
	{"no header", "\r\nbody\r\n", FIX, false, 0, DATE ID "\r\nbody\r\n"},
	{"header alone", "From: a@b\r\n", FIX, false, 0, "From: a@b\r\n" DATE ID},
	{"header alone, no last CRLF", "From: a@b", FIX, false, 0, "From: a@b\r\n" DATE ID},
	{"zero body", "From: a@b\r\n\r\n", FIX, false, 0, "From: a@b\r\n" DATE ID "\r\n"},
	{"names in any case", "DATE: x\r\nmessage-id: <a@b>\r\n\r\n", FIX, false, 0, NULL},
	{"blank before colon", "Date : x\r\nMessage-Id\t: <a@b>\r\nbcc : c@d\r\n\r\n", FIX, false,
		0, "Date : x\r\nMessage-Id\t: <a@b>\r\n\r\n"},
	{"bad Message-ID replaced", "Date: x\r\nMessage-ID: none\r\nTo: a@b\r\n\r\n", FIX, false, 0,
		"Date: x\r\nTo: a@b\r\n" ID "\r\n"},
	{"empty Date replaced", "Date:\r\nMessage-ID: <a@b>\r\n\r\n", FIX, false, 0,
		"Message-ID: <a@b>\r\n" DATE "\r\n"},
	{"drops",
		"Date: x\r\nBcc: a@b,\r\n c@d\r\nMessage-ID: <a@b>\r\nResent-Bcc: a@b\r\n"
		"Return-Path: <x@y>\r\nContent-Length: 3\r\nBCC: again\r\nTo: b@c\r\n\r\nBcc: "
		"body\r\n",
		FIX, false, 0, "Date: x\r\nMessage-ID: <a@b>\r\nTo: b@c\r\n\r\nBcc: body\r\n"},
	{"drops none without fixup", "Bcc: a@b\r\nReturn-Path: <x@y>\r\n\r\n", 0, false, 0, NULL},
	{"drops the last field", "Date: x\r\nMessage-ID: <a@b>\r\nBcc: a@b", FIX, false, 0,
		"Date: x\r\nMessage-ID: <a@b>\r\n"},
	{"forged results",
		"A: 1\r\nAuthentication-Results: mail.example.org;\r\n auth=pass\r\n"
		"authentication-results: (c) MAIL.example.org. 1; auth=pass\r\n"
		"Authentication-Results: other.example; spf=pass\r\n\r\n",
		0, false, 0, "A: 1\r\nAuthentication-Results: other.example; spf=pass\r\n\r\n"},
	{"blank fold", "A: b\r\n \r\nDate: x\r\nMessage-ID: <a@b>\r\n\r\nX: y\r\n", FIX, false, 0,
		NULL},
	{"body passes whatever it is", "A: b\r\n\r\n no colon\r\nBcc: x\r\n\xff\r\n", 0, false, 0,
		NULL},
	{"first line blank", " A: b\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"first line blank only", " \r\nA: b\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"no colon", "A: b\r\nhello\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"From line", "From a@b Tue Nov 24 14:00:00\r\nA: b\r\n\r\n", FIX, false,
		MAIL_INTAKE_BAD_HEADER, NULL},
	{"CR CR LF", "A: b\r\n\r\r\nX: y\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"bare LF", "A: b\nBcc: y\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"bare LF LF", "A: b\n\nbody\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"bare CR", "A: b\rBcc: y\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"two From", "From: a@b\r\nFrom: c@d\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"two From, one with a blank", "From: a@b\r\nfrom : c@d\r\n\r\n", FIX, false,
		MAIL_INTAKE_BAD_HEADER, NULL},
	{"two Sender", "Sender: a@b\r\nSender: c@d\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER,
		NULL},
	{"two Date", "Date: a\r\nDate: b\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER, NULL},
	{"two Date, one empty", "Date:\r\nDate: b\r\n\r\n", FIX, false, MAIL_INTAKE_BAD_HEADER,
		NULL},
	{"two Subject without a line end", "Subject: a\r\nSubject: b", FIX, false,
		MAIL_INTAKE_BAD_HEADER, NULL},
	{"two Message-ID", "Message-ID: <a@b>\r\nMessage-ID: <c@d>\r\n\r\n", FIX, false,
		MAIL_INTAKE_BAD_HEADER, NULL},
	{"two From pass elsewhere", "From: a@b\r\nFrom: c@d\r\n\r\n", 0, false, 0, NULL},
	{"8-bit", "Subject: \xc3\xa9\r\n\r\n", 0, false, MAIL_INTAKE_8BIT_HEADER, NULL},
	{"8-bit with SMTPUTF8", "Subject: \xc3\xa9\r\n\r\n", 0, true, 0, NULL},
	{"8-bit name", "S\xc3\xa9: x\r\n\r\n", 0, true, MAIL_INTAKE_BAD_HEADER, NULL},
	{"bad UTF-8", "Subject: \xc3\r\n\r\n", 0, true, MAIL_INTAKE_BAD_HEADER, NULL},
	{"surrogate", "Subject: \xed\xa0\x80\r\n\r\n", 0, true, MAIL_INTAKE_BAD_HEADER, NULL},
	{"8-bit body", "Subject: x\r\n\r\n\xc3\r\n", 0, false, 0, NULL},
};

static void rows_any_cut(void **state)
{
	static const size_t steps[] = {0, 1, 2, 3, 7};
	struct mail_intake m;
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];

		for (size_t k = 0; k < BASE_COUNT(steps); k++) {
			enum mail_intake_result result = run(
				r->flags, r->utf8, base_slice_text(r->in), steps[k], &out, &m);

			if (result != r->result)
				fail_msg("%s, step %zu: result %d", r->name, steps[k], (int)result);
			if (result == MAIL_INTAKE_OK &&
				!base_slice_equal_text(
					base_buf_slice(&out), r->out ? r->out : r->in))
				fail_msg("%s, step %zu: \"%s\"", r->name, steps[k],
					base_buf_text(&out));
		}
	}
	base_buf_release(&out);
}

static void marks_8bit(void **state)
{
	struct mail_intake m;
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	assert_int_equal(run(0, true, BASE_SLICE("A: \xc3\xa9\r\n\r\nx"), 0, &out, &m), 0);
	assert_true(m.has_8bit && m.header_8bit);
	assert_int_equal(run(0, true, BASE_SLICE("A: b\r\n\r\n\xc3\xa9"), 0, &out, &m), 0);
	assert_true(m.has_8bit && !m.header_8bit);
	assert_int_equal(run(0, true, BASE_SLICE("A: b\r\n\r\nx"), 0, &out, &m), 0);
	assert_false(m.has_8bit || m.header_8bit);
	base_buf_release(&out);
}

static void nul_refused(void **state)
{
	struct mail_intake m;
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	assert_int_equal(
		run(0, false, BASE_SLICE("A: b\0c\r\n\r\n"), 0, &out, &m), MAIL_INTAKE_BAD_HEADER);
	assert_int_equal(
		run(0, false, BASE_SLICE("\0\r\n\r\n"), 1, &out, &m), MAIL_INTAKE_BAD_HEADER);
	base_buf_release(&out);
}

static void repeat(struct base_buf *b, const char *text, size_t times)
{
	for (size_t i = 0; i < times; i++)
		base_buf_append_text(b, text);
}

static void limits(void **state)
{
	static const size_t steps[] = {0, 1, 1000, 16384};
	struct base_buf in, out;
	struct mail_intake m;

	base_buf_init(&in, 1u << 20);
	base_buf_init(&out, 1u << 20);
	for (size_t k = 0; k < BASE_COUNT(steps); k++) {
		base_buf_clear(&in);
		repeat(&in, "Received: x\r\n", MAIL_HOPS_MAX);
		assert_int_equal(
			run(0, false, base_buf_slice(&in), steps[k], &out, &m), MAIL_INTAKE_OK);
		repeat(&in, "Received: x\r\n", 1);
		assert_int_equal(
			run(0, false, base_buf_slice(&in), steps[k], &out, &m), MAIL_INTAKE_LOOP);

		base_buf_clear(&in);
		base_buf_append_text(&in, "A:");
		repeat(&in, "x", MAIL_FIELD_MAX_BYTES - 4);
		base_buf_append_text(&in, "\r\n\r\n");
		assert_int_equal(
			run(0, false, base_buf_slice(&in), steps[k], &out, &m), MAIL_INTAKE_OK);
		assert_int_equal(out.len, in.len);
		base_buf_clear(&in);
		base_buf_append_text(&in, "A:");
		repeat(&in, "x", MAIL_FIELD_MAX_BYTES - 3);
		base_buf_append_text(&in, "\r\n\r\n");
		assert_int_equal(run(0, false, base_buf_slice(&in), steps[k], &out, &m),
			MAIL_INTAKE_FIELD_TOO_LONG);

		base_buf_clear(&in);
		repeat(&in, "Abcdef: 89012345678901234567890\r\n", MAIL_HEADER_MAX_BYTES / 33);
		assert_int_equal(
			run(0, false, base_buf_slice(&in), steps[k], &out, &m), MAIL_INTAKE_OK);
		repeat(&in, "Abcdef: 89012345678901234567890\r\n", 1);
		assert_int_equal(run(0, false, base_buf_slice(&in), steps[k], &out, &m),
			MAIL_INTAKE_HEADER_TOO_LONG);
		base_buf_clear(&in);
		base_buf_append_text(&in, "A: b\r\n\r\n");
		repeat(&in, "0123456789", 60000);
		assert_int_equal(
			run(0, false, base_buf_slice(&in), steps[k], &out, &m), MAIL_INTAKE_OK);
		assert_int_equal(out.len, in.len);
	}
	base_buf_release(&in);
	base_buf_release(&out);
}

static void results_on_top(void **state)
{
	struct mail_origin origin = plain_origin;
	struct mail_intake m;
	struct base_buf out;

	origin.authenticated = true;
	origin.user = BASE_SLICE("anna");
	origin.mail_auth = BASE_SLICE("bob@example.org");
	base_buf_init(&out, 4096);
	mail_intake_begin(&m, 0, &origin, &out);
	assert_non_null(strstr(base_buf_text(&out),
		"\r\nAuthentication-Results: mail.example.org;\r\n"
		"\tauth=pass smtp.auth=anna\r\n\tsmtp.mailfrom=bob@example.org\r\n"));
	assert_non_null(strstr(base_buf_text(&out), " with ESMTPA id "));
	base_buf_release(&out);
}

static void replies(void **state)
{
	for (int i = 0; i < MAIL_INTAKE_RESULT_COUNT; i++) {
		struct mail_intake_reply reply = mail_intake_reply((enum mail_intake_result)i);

		assert_non_null(reply.text);
		assert_int_equal(reply.enhanced[0], '0' + reply.code / 100);
	}
	assert_int_equal(mail_intake_reply(MAIL_INTAKE_OK).code, 250);
	assert_int_equal(mail_intake_reply(MAIL_INTAKE_LOOP).code, 554);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_any_cut),
		cmocka_unit_test(marks_8bit),
		cmocka_unit_test(nul_refused),
		cmocka_unit_test(limits),
		cmocka_unit_test(results_on_top),
		cmocka_unit_test(replies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
