/* postern status: what the roles of a running server say of themselves. */
#include "cli/cli.h"
#include "cli/rows.h"

#include <string.h>
#include <unistd.h>

enum { WATCH_SECONDS = 2, SILENCE_SECONDS = 3 };
enum { FURTHER = 4 }; /* column of the further lines of a reason, on a terminal */

static const char *const parts[] = {"auth", "queue", "journal"};

/* One part's answer as JSON; null when it does not run. An error becomes {"error": …}. */
static json_t *ask_part(const struct conf *conf, const char *part, const char *word)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;
	bool running;
	int rc;

	base_buf_init(&answer, 1 << 20);
	cli_request_add(&r, "%s", word);
	r.request.limit_s = SILENCE_SECONDS;
	rc = cli_ask(conf, part, &r, &answer, &running, &err);
	if (running && rc == 0)
		json = cli_json(&answer, &err);
	if (running && !json)
		json = json_pack("{s:s}", "error", err.text);
	cli_request_release(&r);
	base_buf_release(&answer);
	return json;
}

/* ---- accounts that something is wrong with: paused by a relay, or their token by auth ---- */

static void put_account(json_t *accounts, const json_t *one, const char *state, const char *next)
{
	json_t *o = json_object();

	json_object_set(o, "name", json_object_get(one, "name"));
	if (state)
		json_object_set_new(o, "state", json_string(state));
	else
		json_object_set(o, "state", json_object_get(one, "state"));
	json_object_set(o, "next", json_object_get(one, next));
	json_object_set(o, "reason", json_object_get(one, "reason"));
	json_array_append_new(accounts, o);
}

static bool is_among(const json_t *accounts, const json_t *one)
{
	for (size_t i = 0; i < json_array_size(accounts); i++)
		if (json_equal(json_object_get(json_array_get(accounts, i), "name"),
			    json_object_get(one, "name")))
			return true;
	return false;
}

/* auth tells of its with the rest of its status, queue when it is asked. An account whose token is refused
 * is paused for that: it is told once. */
static json_t *gather_accounts(const struct conf *conf, json_t *auth)
{
	json_t *accounts = json_array(), *queue = ask_part(conf, "queue", "accounts");
	const json_t *tokens = json_object_get(auth, "accounts");
	const json_t *paused = json_object_get(queue, "accounts");

	for (size_t i = 0; i < json_array_size(paused); i++)
		put_account(accounts, json_array_get(paused, i), "paused", "until");
	for (size_t i = 0; i < json_array_size(tokens); i++)
		if (!is_among(accounts, json_array_get(tokens, i)))
			put_account(accounts, json_array_get(tokens, i), NULL, "next");
	json_object_del(auth, "accounts");
	json_decref(queue);
	return accounts;
}

/* On a terminal: a sentence would break its row. */
static void print_reason(const json_t *account)
{
	struct base_buf line;

	base_buf_init(&line, 1 << 16);
	cli_value_text(json_object_get(account, "name"), &line);
	base_buf_append_text(&line, ": ");
	cli_value_text(json_object_get(account, "reason"), &line);
	cli_print_line(base_buf_slice(&line), FURTHER);
	base_buf_release(&line);
}

static void print_accounts(const json_t *accounts)
{
	static const struct cli_column columns[] = {
		{"ACCOUNT", "name", false},
		{"STATE", "state", false},
		{"NEXT", "next", false},
		{"REASON", "reason", false},
	};

	bool terminal = cli_terminal_columns() > 0;

	if (json_array_size(accounts) == 0)
		return;
	puts("accounts that mail waits for");
	cli_print_table(accounts, columns, BASE_COUNT(columns) - (terminal ? 1 : 0), "");
	for (size_t i = 0; terminal && i < json_array_size(accounts); i++)
		print_reason(json_array_get(accounts, i));
}

static void print(json_t *whole)
{
	json_t *accounts = json_incref(json_object_get(whole, "accounts"));

	json_object_del(whole, "accounts");
	cli_print_object(whole);
	print_accounts(accounts);
	json_decref(accounts);
}

static int show(const struct cli *cli, const struct conf *conf)
{
	json_t *whole = json_object();
	size_t running = 0;

	json_object_set_new(whole, "hostname", json_string(conf->hostname));
	json_object_set_new(whole, "server", json_string("stopped"));
	for (size_t i = 0; i < BASE_COUNT(parts); i++) {
		json_t *part = ask_part(conf, parts[i], "status");

		running += part != NULL;
		json_object_set_new(whole, parts[i], part ? part : json_null());
	}
	if (running)
		json_object_set_new(whole, "server",
			json_string(running == BASE_COUNT(parts) ? "running" : "partly running"));
	json_object_set_new(
		whole, "accounts", gather_accounts(conf, json_object_get(whole, "auth")));
	if (cli_has(cli, "json")) {
		json_dumpf(whole, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print(whole);
	}
	json_decref(whole);
	return running ? CLI_OK : CLI_FAILED;
}

static int run(struct cli *cli)
{
	struct conf *conf = cli_conf(cli);
	int status;

	if (!conf)
		return CLI_FAILED;
	do {
		if (cli_has(cli, "watch") && !cli_has(cli, "json"))
			fputs("\033[H\033[2J", stdout);
		status = show(cli, conf);
		fflush(stdout);
		if (cli_has(cli, "watch"))
			sleep(WATCH_SECONDS);
	} while (cli_has(cli, "watch"));
	conf_free(&conf);
	return status;
}

static const struct cli_option options[] = {
	{"watch", 0, CLI_FLAG, NULL, "again every two seconds, until interrupted"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_status = {
	.name = "status",
	.summary = "what a running server is doing",
	.synopsis = "status [--watch] [--json]",
	.details = "Exit 1 if no server runs.\n",
	.options = options,
	.run = run,
};
