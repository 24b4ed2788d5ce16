#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/mailbox.h"
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORWARD SMTP_PATH_FORWARD
#define REVERSE SMTP_PATH_REVERSE
#define BAD "!"
#define BAD_UTF8 "!8"

/* Expected: the mailbox, "|", the rest. */
static const struct {
	enum smtp_path_kind kind;
	const char *in;
	const char *want;
} rows[] = {
	{FORWARD, "<a@b.c>", "a@b.c|"},
	{FORWARD, "<a@b.c> X=1 ", "a@b.c|X=1"},
	{FORWARD, "<a.b+c=d/e%f!g#h@b-c.d>", "a.b+c=d/e%f!g#h@b-c.d|"},
	{FORWARD, "<\"a b\"@b.c>", "\"a b\"@b.c|"},
	{FORWARD, "<\"a>b@\\\"c\"@b.c>", "\"a>b@\\\"c\"@b.c|"},
	{FORWARD, "<\"u@L,u@T\"@L>", "\"u@L,u@T\"@L|"},
	{FORWARD, "<a@[192.0.2.1]>", "a@[192.0.2.1]|"},
	{FORWARD, "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]|"},
	{FORWARD, "<postmaster>", "postmaster|"},
	{FORWARD, "<PostMaster> NOTIFY=NEVER", "PostMaster|NOTIFY=NEVER"},
	{FORWARD, "<\xc3\xa9@\xc3\xa9.x>", "\xc3\xa9@\xc3\xa9.x|"},
	{REVERSE, "<>", "|"},
	{REVERSE, "<> SIZE=1", "|SIZE=1"},
	{REVERSE, "<a@b>", "a@b|"},
	{REVERSE, "<root+${x}@localhost>", "root+${x}@localhost|"},
	/* source routes are dropped */
	{FORWARD, "<@H:u@T>", "u@T|"},
	{FORWARD, "<@H,@T.x:u@T>", "u@T|"},
	{FORWARD, "<@[192.0.2.1]:u@T>", "u@T|"},
	{FORWARD, "<@H,T:u@T>", BAD},
	{FORWARD, "<@H>", BAD},
	{FORWARD, "<@H:>", BAD},
	{FORWARD, "<@:u@T>", BAD},
	{FORWARD, "<@H,:u@T>", BAD},
	{FORWARD, "<@d>", BAD},
	{FORWARD, "<@", BAD},
	{FORWARD, "<@H,", BAD},
	/* no path at all */
	{FORWARD, "", BAD},
	{FORWARD, "<", BAD},
	{FORWARD, "u@T", BAD},
	{FORWARD, "<>", BAD},
	{REVERSE, "<postmaster>", BAD},
	{FORWARD, "<postmaster", BAD},
	{FORWARD, "<<u@T>>", BAD},
	{FORWARD, "<u@T>junk", BAD},
	{REVERSE, "<>junk", BAD},
	{REVERSE, "<>\"", BAD},
	{FORWARD, "<u@L>@T", BAD},
	{FORWARD, "<u@T", BAD},
	/* domains */
	{FORWARD, "<a>", BAD},
	{FORWARD, "<a@>", BAD},
	{FORWARD, "<a@.>", BAD},
	{FORWARD, "<a@b.>", BAD},
	{FORWARD, "<a@.b>", BAD},
	{FORWARD, "<a@b..c>", BAD},
	{FORWARD, "<a@[>", BAD},
	{FORWARD, "<a@[]>", BAD},
	{FORWARD, "<a@[IPv6:]>", BAD},
	{FORWARD, "<a@[1.2.3.4.5]>", BAD},
	{FORWARD, "<a@[1.2.3.4>", BAD},
	{FORWARD, "<a@[1.2.3.4]x>", BAD},
	{FORWARD, "<u@#1234>", BAD},
	{FORWARD, "<u@T:25>", BAD},
	{FORWARD, "<u@T >", BAD},
	{FORWARD, "< u@T>", BAD},
	{FORWARD, "<u@T@H>", BAD},
	{FORWARD, "<u@T(comment)>", BAD},
	{FORWARD, "<u@L,u@T>", BAD},
	{FORWARD, "<u@L%00T>", BAD},
	{FORWARD, "<u%T@>", BAD},
	{FORWARD, "<\"u@T\">", BAD},
	{FORWARD, "<a@-b.c>", BAD},
	{FORWARD, "<;cmd;>", BAD},
	/* local parts */
	{FORWARD, "<@b.c>", BAD},
	{FORWARD, "<.a@b.c>", BAD},
	{FORWARD, "<a.@b.c>", BAD},
	{FORWARD, "<a..b@b.c>", BAD},
	{FORWARD, "<a b@b.c>", BAD},
	{FORWARD, "<:include:/x@L>", BAD},
	{FORWARD, "<a;b@L>", BAD},
	{FORWARD, "<a\\b@L>", BAD},
	{FORWARD, "<\"\"@d>", BAD},
	{FORWARD, "<\"\">", BAD},
	{FORWARD, "<\"\\\">", BAD},
	{FORWARD, "<\"\\", BAD},
	{FORWARD, "<\"", BAD},
	{FORWARD, "<\"a\"b@d>", BAD},
	{FORWARD, "<a\"b\"@d>", BAD},
	{FORWARD, "<\"a\tb\"@d>", BAD},
	{FORWARD, "<\"a\\\x01\"@d>", BAD},
	{FORWARD, "<\"a\x7f\"@d>", BAD},
	/* UTF-8 that is none */
	{FORWARD, "<\xc3@b.c>", BAD_UTF8},
	{FORWARD, "<\xe2\x82@b.c>", BAD_UTF8},
	{FORWARD, "<\xc0\xaf@b.c>", BAD_UTF8},
	{FORWARD, "<\xed\xa0\x80@b.c>", BAD_UTF8},
	{FORWARD, "<\xf4\x90\x80\x80@b.c>", BAD_UTF8},
	{FORWARD, "<\x80@b.c>", BAD_UTF8},
	{FORWARD, "<a@\xc3.c>", BAD_UTF8},
	{FORWARD, "<\"\xf0\x9f\x98\"@b.c>", BAD_UTF8},
};

static void paths(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		size_t len = strlen(rows[i].in);
		uint8_t *copy = malloc(len ? len : 1);
		char got[1024];
		struct smtp_mailbox m;
		struct base_slice rest;

		memcpy(copy, rows[i].in, len);
		switch (smtp_path_parse(base_slice_make(copy, len), rows[i].kind, &m, &rest)) {
		case SMTP_MAILBOX_OK:
			snprintf(got, sizeof(got), "%.*s|%.*s", BASE_SLICE_ARGS(m.whole),
				BASE_SLICE_ARGS(rest));
			break;
		case SMTP_MAILBOX_BAD:
			strcpy(got, BAD);
			break;
		case SMTP_MAILBOX_BAD_UTF8:
			strcpy(got, BAD_UTF8);
			break;
		}
		if (strcmp(got, rows[i].want) != 0)
			fprintf(stderr, "%s\n", rows[i].in);
		assert_string_equal(got, rows[i].want);
		free(copy);
	}
}

static void parts(void **state)
{
	struct smtp_mailbox m;

	(void)state;
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("\"a@b\"@c"), &m), SMTP_MAILBOX_OK);
	assert_true(base_slice_equal_text(m.local, "\"a@b\""));
	assert_true(base_slice_equal_text(m.domain, "c"));
	assert_false(m.qualified || m.eight_bit);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("a@c.d"), &m), SMTP_MAILBOX_OK);
	assert_true(m.qualified);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("a@[1.2.3.4]"), &m), SMTP_MAILBOX_OK);
	assert_true(m.qualified);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("\xc3\xa9@c"), &m), SMTP_MAILBOX_OK);
	assert_true(m.eight_bit);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("a@c>"), &m), SMTP_MAILBOX_BAD);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE(""), &m), SMTP_MAILBOX_BAD);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("a\0@c"), &m), SMTP_MAILBOX_BAD);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("<a@c>"), &m), SMTP_MAILBOX_BAD);
	assert_int_equal(smtp_mailbox_parse(BASE_SLICE("@h:a@c"), &m), SMTP_MAILBOX_BAD);
}

static enum smtp_mailbox_result of_lengths(size_t local, size_t domain)
{
	struct base_buf b;
	struct smtp_mailbox m;
	enum smtp_mailbox_result result;

	base_buf_init(&b, 1024);
	for (size_t i = 0; i < local; i++)
		base_buf_append_byte(&b, 'l');
	base_buf_append_byte(&b, '@');
	for (size_t i = 0; i < domain; i++)
		base_buf_append_byte(&b, i % 50 == 49 && i + 1 < domain ? '.' : 'd');
	result = smtp_mailbox_parse(base_buf_slice(&b), &m);
	base_buf_release(&b);
	return result;
}

static void lengths(void **state)
{
	(void)state;
	assert_int_equal(of_lengths(64, 10), SMTP_MAILBOX_OK);
	assert_int_equal(of_lengths(65, 10), SMTP_MAILBOX_BAD);
	assert_int_equal(of_lengths(1, 252), SMTP_MAILBOX_OK);
	assert_int_equal(of_lengths(1, 253), SMTP_MAILBOX_BAD);
	assert_int_equal(of_lengths(64, 189), SMTP_MAILBOX_OK);
	assert_int_equal(of_lengths(64, 190), SMTP_MAILBOX_BAD);
	assert_int_equal(of_lengths(1, 256), SMTP_MAILBOX_BAD);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(parts),
		cmocka_unit_test(lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
