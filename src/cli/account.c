/* postern account: credentials that Postern relays with. */
#include "cli/vault.h"

#include <string.h>

struct account {
	struct cli *cli;
	struct conf *conf;
	struct cli_request request;
	struct base_buf answer;
	struct base_error err;
};

static int add(struct account *a)
{
	const char *url = cli_value(a->cli, "url"), *user = cli_value(a->cli, "user");
	struct base_secret password = {0}, none = {0};
	char prompt[300];
	int status, rc;

	if (!url || !user)
		return cli_fail(a->cli, CLI_USAGE,
			"add needs --url and --user, as in --url "
			"smtps://smtp.example.org:465 --user robot@example.org");
	cli_request_add(&a->request, "url=%s", url);
	cli_request_add(&a->request, "user=%s", user);
	if (cli_has(a->cli, "replace"))
		cli_request_add(&a->request, "replace=1");
	snprintf(prompt, sizeof(prompt), "Password of %s at %s: ", user, url);
	status = cli_password(a->cli, cli_has(a->cli, "password-stdin"), true, prompt, &password);
	if (status != CLI_OK)
		return status;
	rc = cli_vault_change(
		a->conf, &a->request, 0, base_secret_slice(&password), &a->answer, &none, &a->err);
	base_secret_release(&password);
	return rc == 0 ? CLI_OK : cli_fail_error(a->cli, &a->err);
}

static int show(struct account *a, const char *verb, const char *name)
{
	static const struct cli_column columns[] = {
		{"NAME", "name", false},
		{"URL", "url", false},
		{"USER", "user", false},
		{"CREATED", "created", false},
	};
	json_t *json = cli_json(&a->answer, &a->err);

	if (!json)
		return cli_fail_error(a->cli, &a->err);
	if (cli_has(a->cli, "json")) {
		cli_print_json(&a->answer);
	} else if (strcmp(verb, "list") == 0) {
		cli_print_table(json_is_array(json) ? json : json_object_get(json, "accounts"),
			columns, BASE_COUNT(columns),
			"no accounts yet; postern account add NAME --url URL --user U");
	} else {
		const char *done = json_string_value(json_object_get(json, "done"));

		printf("%s: %s\n", name, done ? done : "done");
	}
	json_decref(json);
	return CLI_OK;
}

static int run_verb(struct account *a, const char *verb, const char *name)
{
	int status = CLI_OK;

	cli_request_add(&a->request, "account");
	cli_request_add(&a->request, "%s", verb);
	if (name)
		cli_request_add(&a->request, "%s", name);
	if (strcmp(verb, "add") == 0)
		status = add(a);
	else if (cli_vault_ask(a->conf, &a->request, &a->answer, &a->err) != 0)
		status = cli_fail_error(a->cli, &a->err);
	return status == CLI_OK ? show(a, verb, name) : status;
}

static int run(struct cli *cli)
{
	struct account a = {.cli = cli};
	const char *verb = cli->args[0], *name = cli->args[1];
	bool list = strcmp(verb, "list") == 0;
	int status;

	if (strcmp(verb, "test") == 0 || cli_has(cli, "oauth"))
		return cli_fail(cli, CLI_USAGE, "%s: not available in this build",
			cli_has(cli, "oauth") ? "--oauth" : "test");
	if (list != (cli->arg_count == 1))
		return cli_fail(cli, CLI_USAGE,
			list ? "list takes no name"
			     : "%s needs a NAME: postern "
			       "account %s NAME",
			verb, verb);
	a.conf = cli_conf(cli);
	if (!a.conf)
		return CLI_FAILED;
	base_buf_init_secret(&a.answer, CLI_ANSWER_MAX_BYTES);
	status = run_verb(&a, verb, name);
	base_buf_release(&a.answer);
	cli_request_release(&a.request);
	conf_free(&a.conf);
	return status;
}

static const char *const verbs[] = {"add", "list", "remove", "test", NULL};

static const struct cli_option options[] = {
	{"url", 0, CLI_VALUE, "URL", "smtps://host:465 or smtp://host:587 (STARTTLS)"},
	{"user", 0, CLI_VALUE, "USER", "the login name there"},
	{"password-stdin", 0, CLI_FLAG, NULL,
		"the password is the first line of standard input;\n"
		"else the terminal is asked, twice"},
	{"replace", 0, CLI_FLAG, NULL, "an account of this name may be there already"},
	{"oauth", 0, CLI_VALUE, "PROVIDER", "not available in this build"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_account = {
	.name = "account",
	.summary = "credentials for relaying through another server",
	.synopsis = "account add NAME --url URL --user USER [--password-stdin]\n"
		    "account list\naccount remove NAME",
	.details =
		"A route uses it by via = \"account:NAME\". The password is sealed in the vault.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
