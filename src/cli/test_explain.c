#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/explain.h"

#include <string.h>

/* Lines, each with what must be said about it; null: nothing is said. */
static const struct row {
	const char *line, *says;
} rows[] = {
	{"S: 334 VXNlcm5hbWU6", NULL},
	{"C: EHLO x", NULL},
	{"C: AUTH PLAIN (initial response, 28 characters, not shown)", "between NUL bytes"},
	{"S: 535 5.7.8 authentication credentials invalid", "never says which"},
	{"C: auth login", "LOGIN: user and password"},
	{"S: 334 VXNlcm5hbWU6", "the server asks: Username:"},
	{"C: (response, 4 characters, not shown)", "the user, in base64"},
	{"S: 334 UGFzc3dvcmQ6", "the server asks: Password:"},
	{"C: (response, 4 characters, not shown)", "the password, in base64"},
	{"S: 235 2.7.0 authentication successful", "logged in by LOGIN"},
	{"C: MAIL FROM:<a@b.c>", NULL},
	{"C: AUTH CRAM-MD5", "must keep it readable"},
	{"S: 334 PDEuMkBhLmI+", "used once: <1.2@a.b>"},
	{"C: *", "gives up"},
	{"S: 501 5.7.0 cancelled", "cancelled"},
	{"C: AUTH SCRAM-SHA-256-PLUS (initial response, 64 characters, not shown)",
		"bound to this TLS"},
	{"S: 334 cj1hYixzPVFRPT0saT00MDk2", "4096 rounds of PBKDF2"},
	{"C: (response, 288 characters, not shown)", "client-final"},
	{"S: 334 dj1hYmM=", "no impostor"},
	{"C: (response, 0 characters, not shown)", "checked the server's proof"},
	{"S: 235 2.7.0 ok", "logged in by SCRAM-SHA-256-PLUS"},
	{"C: AUTH NTLM", "does not have"},
	{"S: 504 5.5.4 unknown", "does not offer"},
	{"C: AUTH SCRAM-SHA-1", "never sent"},
	{"S: 334 ", "waits for client-first"},
	{"S: 334 ***", "no base64"},
};

static void each_step_is_named(void **state)
{
	struct explain e = {0};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf out;

		base_buf_init(&out, 4096);
		explain_line(&e, base_slice_text(rows[i].line), &out);
		if (!rows[i].says && out.len)
			fail_msg("%s: %s", rows[i].line, base_buf_text(&out));
		if (rows[i].says && !strstr(base_buf_text(&out), rows[i].says))
			fail_msg("%s: \"%s\" without \"%s\"", rows[i].line, base_buf_text(&out),
				rows[i].says);
		base_buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(each_step_is_named)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
