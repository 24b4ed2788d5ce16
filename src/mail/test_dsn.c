#include "mail/dsn.h"
#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct mail_dsn_recipient failed = {
	.address = {(const uint8_t *)"bob@example.net", 15},
	.orcpt = {(const uint8_t *)"rfc822;bob+2Bx@example.net", 26},
	.action = MAIL_DSN_FAILED,
	.status = {(const uint8_t *)"5.1.1", 5},
	.diagnostic = {(const uint8_t *)"5.1.1 no such user", 18},
	.remote_said = true,
	.code = 550,
	.remote_host = {(const uint8_t *)"mx.example.net", 14},
	.last_attempt_ms = INT64_C(1795531961000),
};

static struct mail_dsn notice(const struct mail_dsn_recipient *r, size_t count)
{
	return (struct mail_dsn){
		.host_name = BASE_SLICE("mail.example.org"),
		.sender = BASE_SLICE("anna@example.org"),
		.envid = BASE_SLICE("QQ+2B314"),
		.original_id = {"0123456789abcdef"},
		.dsn_id = {"fedcba9876543210"},
		.arrived_ms = INT64_C(1795531961000),
		.now_ms = INT64_C(1795531970000),
		.recipients = r,
		.recipient_count = count,
		.original = BASE_SLICE(
			"From: anna@example.org\r\nMessage-ID: <m1@x>\r\n\r\nbody\r\n"),
	};
}

static void has(struct base_buf *out, const char *text)
{
	if (!strstr(base_buf_text(out), text))
		fail_msg("missing: %s\nin:\n%s", text, base_buf_text(out));
}

static void has_not(struct base_buf *out, const char *text)
{
	if (strstr(base_buf_text(out), text))
		fail_msg("should not be there: %s\nin:\n%s", text, base_buf_text(out));
}

static void failure(void **state)
{
	struct mail_dsn dsn = notice(&failed, 1);
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "\r\nTo: <anna@example.org>\r\n");
	has(&out, "\r\nAuto-Submitted: auto-replied\r\n");
	has(&out, "\r\nMessage-ID: <fedcba9876543210@mail.example.org>\r\n");
	has(&out, "\r\nIn-Reply-To: <m1@x>\r\nReferences: <m1@x>\r\n");
	has(&out,
		"multipart/report; report-type=delivery-status;\r\n"
		"\tboundary=\"postern_fedcba9876543210\"\r\n");
	has(&out,
		"Content-Type: message/delivery-status\r\n\r\n"
		"Original-Envelope-Id: QQ+314\r\n"
		"Reporting-MTA: dns; mail.example.org\r\n"
		"Arrival-Date: Tue, 24 Nov 2026 14:52:41 +0000\r\n\r\n"
		"Original-Recipient: rfc822; bob+x@example.net\r\n"
		"Final-Recipient: rfc822; bob@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n"
		"Remote-MTA: dns; mx.example.net\r\n"
		"Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n"
		"Last-Attempt-Date: Tue, 24 Nov 2026 14:52:41 +0000\r\n\r\n--postern_");
	has(&out,
		"Content-Type: text/rfc822-headers\r\n\r\nFrom: anna@example.org\r\n"
		"Message-ID: <m1@x>\r\n\r\n\r\n--postern_fedcba9876543210--\r\n");
	has_not(&out, "body");
	has_not(&out, "8bit");
	dsn.return_full = true;
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Content-Type: message/rfc822\r\n\r\nFrom: ");
	has(&out, "\r\n\r\nbody\r\n\r\n--postern_fedcba9876543210--\r\n");
	base_buf_release(&out);
}

static void other_actions(void **state)
{
	struct mail_dsn_recipient r[2] = {failed, failed};
	struct mail_dsn dsn = notice(r, 2);
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	r[0].action = MAIL_DSN_DELIVERED;
	r[0].diagnostic = BASE_SLICE_EMPTY;
	r[1].action = MAIL_DSN_DELAYED;
	dsn.retry_until_ms = INT64_C(1795963961000);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Subject: Delayed");
	has(&out, "Action: delivered\r\nStatus: 2.0.0\r\n");
	/* A status that does not fit the action is not repeated. */
	has(&out, "Action: delayed\r\nStatus: 4.0.0\r\n");
	has(&out, "Will-Retry-Until: Sun, 29 Nov 2026 14:52:41 +0000\r\n");
	r[1].action = MAIL_DSN_RELAYED;
	r[1].status = BASE_SLICE("2.1.5");
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Subject: Delivered");
	has(&out, "Action: relayed\r\nStatus: 2.1.5\r\n");
	has_not(&out, "Will-Retry-Until");
	base_buf_release(&out);
}

/* Nothing that a stranger wrote can begin a line of its own. */
static void hostile_facts(void **state)
{
	struct mail_dsn_recipient r = failed;
	struct mail_dsn dsn = notice(&r, 1);
	struct base_buf out;
	char big[5000];

	base_buf_init(&out, 1u << 20);
	memset(big, 'x', sizeof(big));
	r.address = BASE_SLICE("a\r\nEvil: 1@b");
	r.orcpt = BASE_SLICE("rfc822;a+0D+0AEvil:+201");
	r.status = BASE_SLICE("5.1\r\nEvil: 1");
	r.diagnostic = BASE_SLICE("one\r\n550 Evil: two\r\n\r\n--postern_x\x1b[0m\xff");
	r.remote_host = BASE_SLICE("mx\r\nEvil: 1");
	dsn.envid = BASE_SLICE("+0D+0AEvil:+201");
	assert_true(mail_dsn_build(&dsn, &out));
	has_not(&out, "\nEvil");
	has(&out, "Diagnostic-Code: smtp; 550 one 550 Evil: two --postern_x?[0m?\r\n");
	has(&out, "Status: 5.0.0\r\n");
	r.status = BASE_SLICE("5.1.x");
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Status: 5.0.0\r\n");
	r.diagnostic = base_slice_make(big, sizeof(big));
	r.orcpt = BASE_SLICE("rfc822");
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has_not(&out, "Original-Recipient");
	for (const char *line = base_buf_text(&out), *end; (end = strchr(line, '\n'));
		line = end + 1)
		assert_true(end - line < 998);
	base_buf_release(&out);
}

static void utf8_forms(void **state)
{
	struct mail_dsn_recipient r = failed;
	struct mail_dsn dsn = notice(&r, 1);
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	r.address = BASE_SLICE("b\xc3\xb6"
			       "b@example.net");
	assert_false(mail_dsn_needs_smtputf8(&dsn));
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Content-Type: message/delivery-status\r\n");
	has(&out, "Final-Recipient: utf-8; b\\x{F6}b@example.net\r\n");
	dsn.smtputf8 = true;
	assert_true(mail_dsn_needs_smtputf8(&dsn));
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "Content-Type: message/global-delivery-status\r\n");
	has(&out,
		"Final-Recipient: utf-8; b\xc3\xb6"
		"b@example.net\r\n");
	has(&out, "Content-Type: message/global-headers\r\n");
	has(&out, "Content-Transfer-Encoding: 8bit\r\n");
	base_buf_release(&out);
}

static void eight_bit_body_returned(void **state)
{
	struct mail_dsn dsn = notice(&failed, 1);
	struct base_buf out;

	base_buf_init(&out, 1u << 20);
	dsn.original = BASE_SLICE("A: b\r\n\r\n\xff\r\n");
	assert_true(mail_dsn_build(&dsn, &out));
	has_not(&out, "8bit");
	dsn.return_full = true;
	base_buf_clear(&out);
	assert_true(mail_dsn_build(&dsn, &out));
	has(&out, "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--");
	has(&out, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nA: b\r\n");
	base_buf_release(&out);
}

static void full_buffer(void **state)
{
	struct mail_dsn dsn = notice(&failed, 1);
	struct base_buf out;

	base_buf_init(&out, 500);
	assert_false(mail_dsn_build(&dsn, &out));
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failure),
		cmocka_unit_test(other_actions),
		cmocka_unit_test(hostile_facts),
		cmocka_unit_test(utf8_forms),
		cmocka_unit_test(eight_bit_body_returned),
		cmocka_unit_test(full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
