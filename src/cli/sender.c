/* postern sender: which account a sender relays through. */
#include "cli/spool.h"
#include "cli/vault.h"

#include <string.h>

struct sender {
	struct cli *cli;
	struct conf *conf;
	const char *verb, *address;
	struct cli_request request;
	struct base_buf answer;
	struct base_error err;
};

/* ---- what is likely forgotten ---- */

static bool is_listed(const json_t *json, const char *name)
{
	const json_t *list = json_is_array(json) ? json : json_object_get(json, "accounts");

	for (size_t i = 0; i < json_array_size(list); i++) {
		const char *one = json_string_value(
			json_object_get(json_array_get(list, i), "name"));

		if (one && strcmp(one, name) == 0)
			return true;
	}
	return false;
}

/* The line may come before its account: a warning is enough. */
static void look_for_account(const struct sender *s, const char *name)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;

	if (conf_account_find(s->conf, name))
		return;
	cli_request_add(&r, "account");
	cli_request_add(&r, "list");
	base_buf_init(&answer, CLI_ANSWER_MAX_BYTES);
	if (cli_vault_ask(s->conf, &r, &answer, &err) == 0)
		json = cli_json(&answer, &err);
	if (!json)
		cli_fail(s->cli, 0, "cannot see whether there is an account \"%s\": %s", name,
			err.text);
	else if (!is_listed(json, name))
		cli_fail(s->cli, 0,
			"warning: there is no account \"%s\" yet, and mail waits until there is: "
			"postern account add %s --url URL --user USER",
			name, name);
	json_decref(json);
	base_buf_release(&answer);
	cli_request_release(&r);
}

static void look_for_route(const struct sender *s)
{
	for (size_t i = 0; i < s->conf->route_count; i++)
		if (s->conf->routes[i].via == CONF_VIA_SENDER)
			return;
	cli_fail(s->cli, 0,
		"warning: no route of \"%s\" goes by sender; one that does is: route \"*\" { via = "
		"\"sender\" }",
		s->cli->conf_path);
}

/* ---- answers ---- */

static const char *text_of(const json_t *json, const char *key)
{
	return json_string_value(json_object_get(json, key));
}

static void print_value(const json_t *value)
{
	struct base_buf text;

	base_buf_init(&text, 1 << 16);
	cli_value_text(value, &text);
	fwrite(text.ptr, 1, text.len, stdout);
	base_buf_release(&text);
}

static int show_test(const struct sender *s, const json_t *json)
{
	print_value(json_object_get(json, "sender"));
	if (!text_of(json, "address")) {
		printf(": no line, so its mail waits where the route goes by sender\n");
		return CLI_FAILED;
	}
	printf(": line ");
	print_value(json_object_get(json, "address"));
	printf(", account ");
	print_value(json_object_get(json, "account"));
	putchar('\n');
	return CLI_OK;
}

static int show_text(const struct sender *s, const json_t *json)
{
	static const struct cli_column columns[] = {
		{"ADDRESS", "address", false},
		{"ACCOUNT", "account", false},
		{"CREATED", "created", false},
	};

	if (strcmp(s->verb, "test") == 0)
		return show_test(s, json);
	if (strcmp(s->verb, "list") == 0) {
		cli_print_table(json_object_get(json, "senders"), columns, BASE_COUNT(columns),
			"no lines yet; postern sender add ADDRESS --account NAME");
		return CLI_OK;
	}
	print_value(json_object_get(json, "address"));
	printf(": %s, account ", text_of(json, "done") ? text_of(json, "done") : "done");
	print_value(json_object_get(json, "account"));
	putchar('\n');
	return CLI_OK;
}

static int show(struct sender *s)
{
	json_t *json = cli_json(&s->answer, &s->err);
	int status;

	if (!json)
		return cli_fail_error(s->cli, &s->err);
	if (cli_has(s->cli, "json")) {
		cli_print_json(&s->answer);
		status = strcmp(s->verb, "test") == 0 && !text_of(json, "address") ? CLI_FAILED
										   : CLI_OK;
	} else {
		status = show_text(s, json);
	}
	if (strcmp(s->verb, "add") == 0) {
		look_for_account(s, cli_value(s->cli, "account"));
		look_for_route(s);
	}
	json_decref(json);
	return status;
}

/* ---- the command line ---- */

static int check_words(const struct cli *cli, const char *verb)
{
	bool list = strcmp(verb, "list") == 0, add = strcmp(verb, "add") == 0;

	if (list != (cli->arg_count == 1))
		return cli_fail(cli, CLI_USAGE,
			list ? "list takes no address"
			     : "%s needs an ADDRESS: postern sender %s user@example.org%s",
			verb, verb, add ? " --account NAME" : "");
	if (add != cli_has(cli, "account"))
		return cli_fail(cli, CLI_USAGE,
			add ? "add needs --account NAME; postern account list shows them"
			    : "--account is for add only");
	if (!add && cli_has(cli, "replace"))
		return cli_fail(cli, CLI_USAGE, "--replace is for add only");
	if (cli_has(cli, "recipient") && strcmp(verb, "test") != 0)
		return cli_fail(cli, CLI_USAGE, "--recipient is for test only");
	return CLI_OK;
}

static int run(struct cli *cli)
{
	struct sender s = {.cli = cli, .verb = cli->args[0], .address = cli->args[1]};
	int status = check_words(cli, s.verb);

	if (status != CLI_OK)
		return status;
	s.conf = cli_conf(cli);
	if (!s.conf)
		return CLI_FAILED;
	cli_request_add(&s.request, "sender");
	cli_request_add(&s.request, "%s", s.verb);
	if (s.address)
		cli_request_add(&s.request, "%s", s.address);
	if (cli_has(cli, "account"))
		cli_request_add(&s.request, "account=%s", cli_value(cli, "account"));
	if (cli_has(cli, "replace"))
		cli_request_add(&s.request, "replace=1");
	if (cli_has(cli, "recipient"))
		cli_request_add(&s.request, "recipient=%s", cli_value(cli, "recipient"));
	base_buf_init(&s.answer, CLI_ANSWER_MAX_BYTES);
	status = cli_spool_ask(s.conf, &s.request, cli_sender_on_files, &s.answer, &s.err) == 0
		? show(&s)
		: cli_fail_error(cli, &s.err);
	base_buf_release(&s.answer);
	cli_request_release(&s.request);
	conf_free(&s.conf);
	return status;
}

static const char *const verbs[] = {"add", "list", "remove", "test", NULL};

static const struct cli_option options[] = {
	{"account", 0, CLI_VALUE, "NAME", "add: the account; postern account list shows them"},
	{"replace", 0, CLI_FLAG, NULL, "add: the line may be there already"},
	{"recipient", 0, CLI_VALUE, "ADDRESS", "test '<>': to whom the notice goes"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_sender = {
	.name = "sender",
	.summary = "which account a sender relays through",
	.synopsis = "sender add ADDRESS --account NAME [--replace]\nsender list [--json]\n"
		    "sender remove ADDRESS\nsender test ADDRESS [--recipient ADDRESS]",
	.details =
		"ADDRESS, the nearest wins:\n"
		"  user@example.org     this sender\n"
		"  user+*@example.org   his subaddresses; * ends the local part\n"
		"  @example.org         the domain\n"
		"  @.example.org        domains below it\n"
		"  *                    everybody else: the default account\n"
		"  <>                   notices; without it they go as their recipient's mail "
		"would\n"
		"Routes with via = \"sender\" use it. Who has no line waits in the queue. Quote * "
		"and <>\nfor the shell. test exits 1 if no line wins.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
