#include "mail/received.h"
#include "mail/header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct mail_origin origin(void)
{
	struct mail_origin o = {
		.host_name = BASE_SLICE("mail.example.org"),
		.helo = BASE_SLICE("laptop"),
		.show_client = true,
		.esmtp = true,
		.tls = true,
		.authenticated = true,
		.tls_version = BASE_SLICE("TLSv1.3"),
		.tls_cipher = BASE_SLICE("TLS_AES_256_GCM_SHA384"),
		.user = BASE_SLICE("anna"),
		.message_id = {"0123456789abcdef"},
		.now_ms = INT64_C(1795531961000),
	};

	assert_true(base_addr_parse(BASE_SLICE("192.0.2.7"), &o.client));
	return o;
}

static void check(const struct mail_origin *o, const char *expected)
{
	struct base_buf out;
	struct mail_field field;

	base_buf_init(&out, 4096);
	assert_true(mail_received_write(o, &out));
	assert_string_equal(base_buf_text(&out), expected);
	assert_true(mail_field_parse(base_buf_slice(&out), &field));
	base_buf_release(&out);
}

static void with_clauses(void **state)
{
	static const char *const names[] = {"SMTP", "SMTP", "SMTP", "SMTP", "SMTP", "SMTP", "SMTP",
		"SMTP", "ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA", "UTF8SMTP", "UTF8SMTPS",
		"UTF8SMTPA", "UTF8SMTPSA"};

	for (unsigned i = 0; i < BASE_COUNT(names); i++) {
		struct mail_origin o = {
			.esmtp = i & 8, .smtputf8 = i & 4, .authenticated = i & 2, .tls = i & 1};

		assert_string_equal(mail_received_with(&o), names[i]);
	}
}

static void fields(void **state)
{
	struct mail_origin o = origin();

	check(&o,
		"Received: from laptop ([192.0.2.7])\r\n"
		"\tby mail.example.org with ESMTPSA id 0123456789abcdef\r\n"
		"\t(TLSv1.3 TLS_AES_256_GCM_SHA384);\r\n"
		"\tTue, 24 Nov 2026 14:52:41 +0000\r\n");
	o.tls = false;
	o.show_user = true;
	assert_true(base_addr_parse(BASE_SLICE("2001:db8::1"), &o.client));
	check(&o,
		"Received: from laptop ([IPv6:2001:db8::1])\r\n\t(authenticated as anna)\r\n"
		"\tby mail.example.org with ESMTPA id 0123456789abcdef;\r\n"
		"\tTue, 24 Nov 2026 14:52:41 +0000\r\n");
}

static void hidden_client(void **state)
{
	struct mail_origin o = origin();
	static const char end[] = "\tby mail.example.org with ESMTPA id 0123456789abcdef;\r\n"
				  "\tTue, 24 Nov 2026 14:52:41 +0000\r\n";
	char expected[512];

	o.tls = false;
	o.show_client = false;
	o.helo = BASE_SLICE("[192.0.2.7]");
	o.client_pseudonym = BASE_SLICE("k7f3a");
	o.user_pseudonym = BASE_SLICE("u9c");
	snprintf(expected, sizeof(expected),
		"Received: from unknown (k7f3a)\r\n\t(authenticated as u9c)\r\n%s", end);
	check(&o, expected);
	o.helo = BASE_SLICE("laptop");
	o.client_pseudonym = BASE_SLICE_EMPTY;
	o.user_pseudonym = BASE_SLICE_EMPTY;
	snprintf(expected, sizeof(expected), "Received: from laptop\r\n%s", end);
	check(&o, expected);
}

static void hostile_names(void **state)
{
	struct mail_origin o = origin();

	o.tls = false;
	o.show_user = true;
	o.helo = BASE_SLICE("x) by evil (\r\nX: y\\\xc3\xa9");
	o.user = BASE_SLICE("=?utf-8?q?x?=; id 1");
	check(&o,
		"Received: from x??by?evil????X:?y?\?\? ([192.0.2.7])\r\n"
		"\t(authenticated as =?utf-8?q?x?=??id?1)\r\n"
		"\tby mail.example.org with ESMTPA id 0123456789abcdef;\r\n"
		"\tTue, 24 Nov 2026 14:52:41 +0000\r\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_clauses),
		cmocka_unit_test(fields),
		cmocka_unit_test(hidden_client),
		cmocka_unit_test(hostile_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
