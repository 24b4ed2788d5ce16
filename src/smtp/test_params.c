#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/params.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BAD "!501"
#define UNKNOWN "!555"
#define Y10 "yyyyyyyyyy"
#define Y100 Y10 Y10 Y10 Y10 Y10 Y10 Y10 Y10 Y10 Y10
#define Y490 Y100 Y100 Y100 Y100 Y10 Y10 Y10 Y10 Y10 Y10 Y10 Y10 Y10

/* Expected: size body utf8 ret envid auth ("-": not given). */
static const struct {
	const char *in, *want;
} mail_rows[] = {
	{"", "0 0 0 0 [] -"},
	{"SIZE=0", "0 0 0 0 [] -"},
	{"size=123", "123 0 0 0 [] -"},
	{"SIZE=18446744073709551615", "18446744073709551615 0 0 0 [] -"},
	{"SIZE=18446744073709551616", "18446744073709551615 0 0 0 [] -"},
	{"SIZE=000000000000000000001", BAD},
	{"SIZE=-1", BAD},
	{"SIZE=0x1", BAD},
	{"SIZE=", BAD},
	{"SIZE", BAD},
	{"SIZE=1 SIZE=1", BAD},
	{"SIZE=1=1", BAD},
	{"BODY=7BIT", "0 0 0 0 [] -"},
	{"BODY=8bitmime SMTPUTF8", "0 1 1 0 [] -"},
	{"BODY=BINARYMIME", BAD},
	{"BODY", BAD},
	{"SMTPUTF8=1", BAD},
	{"SMTPUTF8 SMTPUTF8", BAD},
	{"RET=FULL", "0 0 0 1 [] -"},
	{"RET=hdrs", "0 0 0 2 [] -"},
	{"RET=x", BAD},
	{"RET=", BAD},
	{"ENVID=a+2Bb", "0 0 0 0 [a+2Bb] -"},
	{"ENVID=" Y100, "0 0 0 0 [" Y100 "] -"},
	{"ENVID=" Y100 "y", BAD},
	{"ENVID=+0D+0A", BAD},
	{"ENVID=+00", BAD},
	{"ENVID=+7F", BAD},
	{"ENVID=+", BAD},
	{"ENVID=+3", BAD},
	{"ENVID=+G0", BAD},
	{"AUTH=<>", "0 0 0 0 [] <>"},
	{"AUTH=+3C+3E", "0 0 0 0 [] <>"},
	{"AUTH=e+3Dmc2@example.com", "0 0 0 0 [] e=mc2@example.com"},
	{"AUTH=a+2bb@x", "0 0 0 0 [] a+b@x"},
	{"AUTH=+22a+20b+22@x", "0 0 0 0 [] \"a b\"@x"},
	{"AUTH=<a@x>", BAD},
	{"AUTH=a", BAD},
	{"AUTH=", BAD},
	{"AUTH", BAD},
	{"AUTH=a=b@x", BAD},
	{"AUTH=a+b@x", BAD},
	{"AUTH=a+0D+0Ab@x", BAD},
	{"AUTH=x+0Ay@z", BAD},
	{"AUTH=a+00@x", BAD},
	{"AUTH=a+09@x", BAD},
	{"AUTH=+22a+0Ab+22@x", BAD},
	{"AUTH=a@x+0D", BAD},
	{"AUTH=<>+00", BAD},
	{"AUTH=+C3+A9@x", BAD},
	{"AUTH=+C3+A9@x SMTPUTF8", "0 0 1 0 [] \xc3\xa9@x"},
	{"SMTPUTF8 AUTH=+C3@x", BAD},
	{"AUTH=a@x AUTH=a@x", BAD},
	{" \t SIZE=1 \t RET=FULL  ", "1 0 0 1 [] -"},
	{"FOO", UNKNOWN},
	{"FOO=1 BAR-2", UNKNOWN},
	{"NOTIFY=NEVER", UNKNOWN},
	{"FOO =", BAD},
	{"=", BAD},
	{"==x", BAD},
	{"=x", BAD},
	{"\"", BAD},
	{"-A=1", BAD},
	{"F_O=1", BAD},
	{"FOO=\x01", BAD},
	{"FOO=\x7f", BAD},
	{"FOO=\xff", BAD},
	{"SIZE=1,RET=FULL", BAD},
};

/* Expected: notify flags, orcpt. */
static const struct {
	const char *in;
	bool smtputf8;
	const char *want;
} rcpt_rows[] = {
	{"", false, "0 []"},
	{"NOTIFY=NEVER", false, "1 []"},
	{"notify=success,Failure,DELAY", false, "14 []"},
	{"NOTIFY=SUCCESS,SUCCESS", false, "2 []"},
	{"NOTIFY=NEVER,SUCCESS", false, BAD},
	{"NOTIFY=SUCCESS,", false, BAD},
	{"NOTIFY=,SUCCESS", false, BAD},
	{"NOTIFY=SUCCESS,,DELAY", false, BAD},
	{"NOTIFY=", false, BAD},
	{"NOTIFY", false, BAD},
	{"NOTIFY=x", false, BAD},
	{"NOTIFY=DELAY NOTIFY=DELAY", false, BAD},
	{"ORCPT=rfc822;a+2Bb@x", false, "0 [rfc822;a+2Bb@x]"},
	{"ORCPT=rfc822;" Y490 "yyy", false, "0 [rfc822;" Y490 "yyy]"},
	{"ORCPT=rfc822;" Y490 "yyyy", false, BAD},
	{"ORCPT=rfc822;", false, BAD},
	{"ORCPT=;a", false, BAD},
	{"ORCPT=rfc822", false, BAD},
	{"ORCPT=rfc822;a+0Ab", false, BAD},
	{"ORCPT=rfc822;a+0D", false, BAD},
	{"ORCPT=rfc822;a+00", false, BAD},
	{"ORCPT=rfc822;a+2", false, BAD},
	{"ORCPT=utf-8;\\x{E9}@x", false, "0 [utf-8;\\x{E9}@x]"},
	{"ORCPT=utf-8;\xc3\xa9@x", true, "0 [utf-8;\xc3\xa9@x]"},
	{"ORCPT=utf-8;\xc3\xa9@x", false, BAD},
	{"ORCPT=rfc822;\xc3\xa9@x", true, BAD},
	{"ORCPT=utf-8;\xc3@x", true, BAD},
	{"SIZE=1", false, UNKNOWN},
};

static void scratch_init(struct base_buf *scratch)
{
	base_buf_init_secret(scratch, 2 * SMTP_PARAMS_SCRATCH_BYTES);
	assert_non_null(base_buf_reserve(scratch, SMTP_PARAMS_SCRATCH_BYTES));
}

static void check(const char *in, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		fprintf(stderr, "%s\n", in);
	assert_string_equal(got, want);
}

static void mail_params(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(mail_rows); i++) {
		size_t len = strlen(mail_rows[i].in);
		uint8_t *copy = malloc(len ? len : 1);
		char got[1024];
		struct base_buf scratch;
		struct smtp_mail m = {0};

		scratch_init(&scratch);
		memcpy(copy, mail_rows[i].in, len);
		switch (smtp_params_mail(base_slice_make(copy, len), &scratch, &m)) {
		case SMTP_PARAMS_OK:
			snprintf(got, sizeof(got), "%" PRIu64 " %d %d %d [%.*s] %.*s", m.size_bytes,
				(int)m.body, m.smtputf8, (int)m.ret, BASE_SLICE_ARGS(m.envid),
				m.auth.len ? (int)m.auth.len : 3,
				m.auth.len             ? (const char *)m.auth.ptr
					: m.auth_given ? "<>"
						       : "-");
			break;
		case SMTP_PARAMS_BAD:
			strcpy(got, BAD);
			break;
		case SMTP_PARAMS_UNKNOWN:
			strcpy(got, UNKNOWN);
			break;
		}
		check(mail_rows[i].in, got, mail_rows[i].want);
		base_buf_release(&scratch);
		free(copy);
	}
}

static void rcpt_params(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rcpt_rows); i++) {
		size_t len = strlen(rcpt_rows[i].in);
		uint8_t *copy = malloc(len ? len : 1);
		char got[1024];
		struct base_buf scratch;
		struct smtp_rcpt r = {0};

		scratch_init(&scratch);
		memcpy(copy, rcpt_rows[i].in, len);
		switch (smtp_params_rcpt(
			base_slice_make(copy, len), rcpt_rows[i].smtputf8, &scratch, &r)) {
		case SMTP_PARAMS_OK:
			snprintf(got, sizeof(got), "%u [%.*s]", r.notify, BASE_SLICE_ARGS(r.orcpt));
			break;
		case SMTP_PARAMS_BAD:
			strcpy(got, BAD);
			break;
		case SMTP_PARAMS_UNKNOWN:
			strcpy(got, UNKNOWN);
			break;
		}
		check(rcpt_rows[i].in, got, rcpt_rows[i].want);
		base_buf_release(&scratch);
		free(copy);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_params),
		cmocka_unit_test(rcpt_params),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
