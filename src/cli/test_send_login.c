#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/send.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIN "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

/* The line behind "send", and "status" or "0|mode host port|credential mechanisms". */
static const struct row {
	const char *line, *expected;
} rows[] = {
	{"--server a.example:26", "0|starttls a.example 26|no login"},
	{"--server a.example", "0|starttls a.example 587|no login"},
	{"--server a.example --tls implicit", "0|implicit a.example 465|no login"},
	{"--server a.example --tls none", "0|none a.example 25|no login"},
	{"--server [2001:db8::1]:26", "0|starttls 2001:db8::1 26|no login"},
	{"--server [2001:db8::1]", "0|starttls 2001:db8::1 587|no login"},
	{"--server [2001:db8::1", "2"},
	{"--server a.example:0", "2"},
	{"--server a.example:65536", "2"},
	{"--server :25", "2"},
	{"", "2"},
	{"--server a --tls star", "2"},
	{"--server a --user u", "0|starttls a 587|password all"},
	{"--server a --user u --auth auto", "0|starttls a 587|password all"},
	{"--server a --user u --auth none", "0|starttls a 587|no login"},
	{"--server a --user u --auth plain", "0|starttls a 587|password PLAIN"},
	{"--server a --auth PLAIN", "2"},
	{"--server a --auth auto", "2"},
	{"--server a --user u --auth FOO", "2"},
	{"--server a --password-stdin", "2"},
	{"--server a --user u --token-stdin", "0|starttls a 587|token all"},
	{"--server a --user u --token-stdin --auth XOAUTH2", "0|starttls a 587|token XOAUTH2"},
	{"--server a --user u --token-stdin --auth OAUTHBEARER",
		"0|starttls a 587|token OAUTHBEARER"},
	{"--server a --user u --auth XOAUTH2", "2"},
	{"--server a --token-stdin", "2"},
	{"--server a --user u --token-stdin --auth PLAIN", "2"},
	{"--server a --user u --token-stdin --password-stdin", "2"},
	{"--server a --cert c --key k", "0|starttls a 587|certificate all if offered"},
	{"--server a --cert c --key k --auth auto", "0|starttls a 587|certificate all if offered"},
	{"--server a --cert c --key k --auth none", "0|starttls a 587|no login"},
	{"--server a --cert c --key k --auth EXTERNAL", "0|starttls a 587|certificate EXTERNAL"},
	{"--server a --cert c --key k --user u", "0|starttls a 587|password all"},
	{"--server a --cert c --key k --user u --auth EXTERNAL",
		"0|starttls a 587|certificate EXTERNAL"},
	{"--server a --auth EXTERNAL", "2"},
	{"--server a --cert c", "2"},
	{"--server a --key k", "2"},
	{"--server a --cert c --key k --tls none", "2"},
	{"--server a --ca f --insecure", "2"},
	{"--server a --ca f --tls none", "2"},
	{"--server a --pin " PIN, "0|starttls a 587|no login pinned"},
	{"--server a --pin sha256:00", "2"},
	{"--server a --pin " PIN " --tls none", "2"},
};

static void describe(const struct cli_client_options *o, struct base_buf *out)
{
	static const char *const modes[] = {"none", "starttls", "implicit"};
	static const char *const credentials[] = {"password", "token", "certificate", "ticket"};

	base_buf_printf(out, "0|%s %s %u|", modes[o->tls], o->host, o->port);
	if (!o->auth) {
		base_buf_append_text(out, "no login");
	} else {
		base_buf_printf(out, "%s ", credentials[o->credential]);
		if (o->mechanisms)
			cli_mechanism_names(o->mechanisms, out);
		else
			base_buf_append_text(out, "all");
		base_buf_append_text(out, o->auth_if_offered ? " if offered" : "");
	}
	base_buf_append_text(out, o->pin ? " pinned" : "");
}

static void play(const struct row *row, struct base_buf *out)
{
	struct cli cli = {.command = &cli_command_send};
	char *copy = strdup(row->line), *rest = copy, *word, *argv[24];
	struct cli_client_options options = {.host = NULL};
	struct send_login login;
	bool done = false;
	int argc = 0, status;

	while ((word = strsep(&rest, " ")) != NULL)
		if (*word)
			argv[argc++] = word;
	assert_int_equal(cli_parse(&cli, argc, argv, &done), CLI_OK);
	send_login_init(&login);
	status = send_login_parse(&cli, &login, &options);
	if (status == CLI_OK)
		describe(&options, out);
	else
		base_buf_printf(out, "%d", status);
	send_login_release(&login);
	free(copy);
}

static void options_say_who_logs_in_where(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf out;

		base_buf_init(&out, 4096);
		play(&rows[i], &out);
		if (strcmp(base_buf_text(&out), rows[i].expected) != 0)
			fail_msg("%s: %s, not %s", rows[i].line, base_buf_text(&out),
				rows[i].expected);
		base_buf_release(&out);
	}
}

/* What a library speaks is served or refused as a whole build has it. */
static void foreign_mechanisms_are_as_built(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		struct row row;
	} foreign[] = {
		{SASL_MECHANISM_DIGEST_MD5,
			{"--server a --user u --auth DIGEST-MD5",
				"0|starttls a 587|password DIGEST-MD5"}},
		{SASL_MECHANISM_GSSAPI,
			{"--server a --auth GSSAPI", "0|starttls a 587|ticket GSSAPI"}},
	};

	for (size_t i = 0; i < BASE_COUNT(foreign); i++) {
		bool built = cli_client_foreign() & SASL_MASK(foreign[i].mechanism);
		struct base_buf out;

		base_buf_init(&out, 4096);
		play(&foreign[i].row, &out);
		assert_string_equal(base_buf_text(&out), built ? foreign[i].row.expected : "2");
		base_buf_release(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_say_who_logs_in_where),
		cmocka_unit_test(foreign_mechanisms_are_as_built),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
