#include "mail/authres.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void claims_rows(void **state)
{
	static const struct {
		const char *body;
		bool ours;
	} rows[] = {
		{" mail.example.org; auth=pass", true},
		{"mail.example.org;auth=pass", true},
		{" MAIL.Example.ORG; auth=pass", true},
		{" mail.example.org 1; auth=pass", true},
		{" mail.example.org/1; auth=pass", true},
		{" mail.example.org (v) 1 ; auth=pass", true},
		{" mail.example.org.; auth=pass", true},
		{" mail.example.org..; auth=pass", true},
		{" mail.example.org:587; auth=pass", true},
		{"\r\n\tmail.example.org;\r\n\tauth=pass", true},
		{" (comment (nested)) mail.example.org (more); auth=pass", true},
		{" (with \\) in) mail.example.org; auth=pass", true},
		{" \"mail.example.org\"; auth=pass", true},
		{" \"mail.\\example.org\"; auth=pass", true},
		{" mail(x).(y)example.org; auth=pass", true},
		{" mail . example . org; auth=pass", true},
		{" mail.example.org", true},
		{" mail.example.org; none", true},
		{" (never closed mail.example.org; auth=pass", true},
		{" \"never closed mail.example.org; auth=pass", true},
		{" ; mail.example.org; auth=pass", true},
		{" other.example.org; auth=pass", false},
		{" mail.example.org.evil.example; auth=pass", false},
		{" notmail.example.org; auth=pass", false},
		{" mail.example.orgs; auth=pass", false},
		{" example.org; auth=pass", false},
		{" other.example.org; auth=pass (mail.example.org)", false},
		{" (mail.example.org) other.example.org; auth=pass", false},
		{" other.example.org mail.example.org; auth=pass", false},
		{"", false},
		{" ;", false},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++)
		if (mail_authres_claims(base_slice_text(rows[i].body),
			    BASE_SLICE("mail.example.org")) != rows[i].ours)
			fail_msg("%s", rows[i].body);
	assert_true(mail_authres_claims(
		BASE_SLICE(" mail.example.org; x"), BASE_SLICE("Mail.Example.Org.")));
	assert_false(mail_authres_claims(BASE_SLICE(" x; y"), BASE_SLICE_EMPTY));
}

static void international_names(void **state)
{
	struct base_slice own = BASE_SLICE("mail.xn--mnchen-3ya.example");

	assert_true(mail_authres_claims(BASE_SLICE(" mail.m\xc3\xbcnchen.example; x"), own));
	assert_true(mail_authres_claims(BASE_SLICE(" MAIL.XN--MNCHEN-3YA.example; x"), own));
	assert_false(mail_authres_claims(BASE_SLICE(" mail.xn--other-kva.example; x"), own));
	assert_false(mail_authres_claims(BASE_SLICE(" mx.m\xc3\xbcnchen.example; x"), own));
	assert_true(mail_authres_claims(BASE_SLICE(" mail.xn--mnchen-3ya.example; x"),
		BASE_SLICE("mail.m\xc3\xbcnchen.example")));
}

static void long_ids(void **state)
{
	struct base_buf body;

	base_buf_init(&body, 100000);
	for (size_t i = 0; i < 2000; i++)
		base_buf_append_byte(&body, 'a');
	assert_false(mail_authres_claims(base_buf_slice(&body), BASE_SLICE("mail.example.org")));
	base_buf_clear(&body);
	for (size_t i = 0; i < 20000; i++)
		base_buf_append_byte(&body, '(');
	base_buf_append_text(&body, "mail.example.org");
	assert_true(mail_authres_claims(base_buf_slice(&body), BASE_SLICE("mail.example.org")));
	base_buf_release(&body);
}

static void write_rows(void **state)
{
	static const struct {
		const char *user, *mail_from;
		bool utf8;
		const char *expected;
	} rows[] = {
		{"anna", "", false, "h;\r\n\tauth=pass smtp.auth=anna\r\n"},
		{"anna@example.org", "", false, "h;\r\n\tauth=pass smtp.auth=anna@example.org\r\n"},
		{"anna", "b@c", false,
			"h;\r\n\tauth=pass smtp.auth=anna\r\n\tsmtp.mailfrom=b@c\r\n"},
		{"a b", "", false, "h;\r\n\tauth=pass smtp.auth=\"a b\"\r\n"},
		{"", "", false, "h;\r\n\tauth=pass smtp.auth=\"\"\r\n"},
		{"a\"\\b", "", false, "h;\r\n\tauth=pass smtp.auth=\"a\\\"\\\\b\"\r\n"},
		{"a;b", "", false, "h;\r\n\tauth=pass smtp.auth=\"a;b\"\r\n"},
		{"a@b@c", "", false, "h;\r\n\tauth=pass smtp.auth=\"a@b@c\"\r\n"},
		{"@b", "", false, "h;\r\n\tauth=pass smtp.auth=\"@b\"\r\n"},
		{"x) by evil (", "", false, "h;\r\n\tauth=pass smtp.auth=\"x) by evil (\"\r\n"},
		{"x\r\nX: y", "", false, "h;\r\n\tauth=pass smtp.auth=\"x??X: y\"\r\n"},
		{"\xc3\xa9", "", false, "h;\r\n\tauth=pass smtp.auth=\"\?\?\"\r\n"},
		{"\xc3\xa9", "", true, "h;\r\n\tauth=pass smtp.auth=\"\xc3\xa9\"\r\n"},
		{"\xc3", "", true, "h;\r\n\tauth=pass smtp.auth=\"?\"\r\n"},
	};
	struct base_buf out;

	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		base_buf_clear(&out);
		assert_true(mail_authres_write(BASE_SLICE("h"), base_slice_text(rows[i].user),
			base_slice_text(rows[i].mail_from), rows[i].utf8, &out));
		assert_true(base_slice_starts_with(
			base_buf_slice(&out), BASE_SLICE("Authentication-Results: ")));
		assert_string_equal(base_buf_text(&out) + 24, rows[i].expected);
	}
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(claims_rows),
		cmocka_unit_test(international_names),
		cmocka_unit_test(long_ids),
		cmocka_unit_test(write_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
