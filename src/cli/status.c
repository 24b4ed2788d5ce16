/* postern status: what the roles of a running server say of themselves. */
#include "cli/cli.h"

#include <string.h>
#include <unistd.h>

enum { WATCH_SECONDS = 2, SILENCE_SECONDS = 3 };

static const char *const parts[] = {"auth", "queue", "journal"};

/* One part's answer as JSON; null when it does not run. An error becomes {"error": …}. */
static json_t *ask_part(const struct conf *conf, const char *part)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;
	bool running;
	int rc;

	base_buf_init(&answer, 1 << 20);
	cli_request_add(&r, "status");
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

static int show(const struct cli *cli, const struct conf *conf)
{
	json_t *whole = json_object();
	size_t running = 0;

	json_object_set_new(whole, "hostname", json_string(conf->hostname));
	json_object_set_new(whole, "server", json_string("stopped"));
	for (size_t i = 0; i < BASE_COUNT(parts); i++) {
		json_t *part = ask_part(conf, parts[i]);

		running += part != NULL;
		json_object_set_new(whole, parts[i], part ? part : json_null());
	}
	if (running)
		json_object_set_new(whole, "server",
			json_string(running == BASE_COUNT(parts) ? "running" : "partly running"));
	if (cli_has(cli, "json")) {
		json_dumpf(whole, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		cli_print_object(whole);
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
