/* postern queue: what waits, and what to do with it. */
#include "cli/rows.h"
#include "cli/spool.h"

#include "base/clock.h"
#include "loop/envelope.h"
#include "spool/admin.h"

#include <stdlib.h>
#include <string.h>

enum { FURTHER = 4 }; /* column of the further lines of a reason, on a terminal */

struct queue {
	struct cli *cli;
	struct conf *conf;
	const char *verb;
	struct cli_request request;
	struct base_buf answer;
	struct base_error err;
};

static void take_part(void *arg, struct base_slice part)
{
	base_buf_append_slice(arg, part);
}

static int on_files(struct spool *s, const struct conf *conf, const struct control_request *request,
	struct base_buf *out, struct base_error *err)
{
	return spool_admin_run(s, envelope_visit, request->words, request->word_count,
		base_clock_wall_ms(), take_part, out, err);
}

/* ---- retry: tokens that could not be renewed are tried, too, before relays ask for them ---- */

/* The account that message @id waits for, heap; null: none, or nobody knows. */
static char *account_of(const struct conf *conf, const char *id)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;
	const char *name;
	char *account;
	bool running;

	base_buf_init(&answer, CLI_ANSWER_MAX_BYTES);
	cli_request_add(&r, "queue");
	cli_request_add(&r, "show");
	cli_request_add(&r, "%s", id);
	if (cli_ask(conf, "queue", &r, &answer, &running, &err) == 0 && running)
		json = cli_json(&answer, &err);
	name = json_string_value(json_object_get(json, "account"));
	account = name ? base_strdup(name) : NULL;
	json_decref(json);
	base_buf_release(&answer);
	cli_request_release(&r);
	return account;
}

/* auth refuses the name of an account that has no token: nothing is amiss. */
static void retry_tokens(const struct queue *q)
{
	bool all = cli_has(q->cli, "all");
	char *account = all ? NULL : account_of(q->conf, q->cli->args[1]);
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	bool running;

	if (!all && !account)
		return;
	base_buf_init(&answer, 1 << 20);
	cli_request_add(&r, "account");
	cli_request_add(&r, "retry");
	if (account)
		cli_request_add(&r, "%s", account);
	(void)cli_ask(q->conf, "auth", &r, &answer, &running, &err);
	base_buf_release(&answer);
	cli_request_release(&r);
	free(account);
}

/* One row per recipient: a person looks for an address, not for an array. What is the message's stands
 * in its first row. */
static json_t *recipient_rows(const json_t *messages)
{
	static const char *const keys[] = {"id", "sender", "size", "account", "next"};
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *m = json_array_get(messages, i);
		const json_t *rcpts = json_object_get(m, "recipients");

		for (size_t k = 0; k < json_array_size(rcpts); k++) {
			json_t *row = json_object();

			json_object_update(row, (json_t *)json_array_get(rcpts, k));
			for (size_t n = 0; n < BASE_COUNT(keys); n++)
				json_object_set_new(row, keys[n],
					k ? json_string(" ")
					  : json_incref(json_object_get(m, keys[n])));
			json_array_append_new(rows, row);
		}
	}
	return rows;
}

/* On a terminal: reasons are sentences, and would break every row. */
static void print_reasons(const json_t *rows)
{
	const char *before = "";
	struct base_buf line;

	base_buf_init(&line, 1 << 20);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const json_t *row = json_array_get(rows, i);
		const char *reason = json_string_value(json_object_get(row, "reason"));

		if (!reason)
			continue;
		base_buf_clear(&line);
		cli_value_text(json_object_get(row, "address"), &line);
		base_buf_append_text(&line, ": ");
		cli_text_safe(base_slice_text(strcmp(reason, before) ? reason : "the same"), &line);
		printf("%s", before[0] ? "" : "\n");
		cli_print_line(base_buf_slice(&line), FURTHER);
		before = reason;
	}
	base_buf_release(&line);
}

static void print_list(const json_t *json)
{
	static const struct cli_column columns[] = {
		{"ID", "id", false},
		{"SENDER", "sender", false},
		{"RECIPIENT", "address", false},
		{"STATE", "state", false},
		{"TRIES", "attempts", true},
		{"SIZE", "size", true},
		{"ACCOUNT", "account", false},
		{"NEXT", "next", false},
		{"REASON", "reason", false},
	};
	json_t *rows = recipient_rows(json);
	bool terminal = cli_terminal_columns() > 0;

	cli_print_table(
		rows, columns, BASE_COUNT(columns) - (terminal ? 1 : 0), "the queue is empty");
	if (terminal)
		print_reasons(rows);
	json_decref(rows);
}

static int show(struct queue *q)
{
	json_t *json;

	if (strcmp(q->verb, "cat") == 0) {
		if (q->answer.len)
			fwrite(q->answer.ptr, 1, q->answer.len, stdout);
		return CLI_OK;
	}
	if (cli_has(q->cli, "json")) {
		cli_print_json(&q->answer);
		return CLI_OK;
	}
	json = cli_json(&q->answer, &q->err);
	if (!json)
		return cli_fail_error(q->cli, &q->err);
	if (strcmp(q->verb, "list") == 0) {
		print_list(json);
	} else if (json_object_get(json, "action")) {
		long long count = (long long)json_integer_value(json_object_get(json, "count"));

		printf("%s: %lld message%s\n", q->verb, count, count == 1 ? "" : "s");
	} else {
		cli_print_object(json);
	}
	json_decref(json);
	return CLI_OK;
}

static int check_words(const struct cli *cli, const char *verb)
{
	bool all = cli_has(cli, "all");
	bool alone = strcmp(verb, "list") == 0 || strcmp(verb, "stats") == 0;

	if (all && strcmp(verb, "retry") != 0)
		return cli_fail(cli, CLI_USAGE, "--all is for retry only; %s takes %s ID", verb,
			alone ? "no" : "an");
	if (alone && cli->arg_count > 1)
		return cli_fail(cli, CLI_USAGE, "%s takes no ID", verb);
	if (!alone && (cli->arg_count == 2) == all)
		return cli_fail(cli, CLI_USAGE, "%s needs an ID%s: postern queue %s ID", verb,
			strcmp(verb, "retry") == 0 ? ", or --all" : "", verb);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	struct queue q = {.cli = cli, .verb = cli->args[0]};
	int status = check_words(cli, q.verb);

	if (status != CLI_OK)
		return status;
	q.conf = cli_conf(cli);
	if (!q.conf)
		return CLI_FAILED;
	cli_request_add(&q.request, "queue");
	cli_request_add(&q.request, "%s", q.verb);
	if (cli->arg_count > 1)
		cli_request_add(&q.request, "%s", cli->args[1]);
	if (cli_has(cli, "all"))
		cli_request_add(&q.request, "--all");
	if (strcmp(q.verb, "retry") == 0)
		retry_tokens(&q);
	base_buf_init(&q.answer, CLI_ANSWER_MAX_BYTES);
	status = cli_spool_ask(q.conf, &q.request, on_files, &q.answer, &q.err) == 0
		? show(&q)
		: cli_fail_error(cli, &q.err);
	base_buf_release(&q.answer);
	cli_request_release(&q.request);
	conf_free(&q.conf);
	return status;
}

static const char *const verbs[] = {
	"list", "show", "cat", "retry", "hold", "release", "remove", "stats", NULL};

static const struct cli_option options[] = {
	{"all", 0, CLI_FLAG, NULL, "retry: every message, and lift pauses of accounts"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_queue = {
	.name = "queue",
	.summary = "list, show, retry, hold, release or remove messages",
	.synopsis = "queue list|stats [--json]\nqueue show|cat|hold|release|remove ID\n"
		    "queue retry ID|--all",
	.details = "cat writes the message's bytes. Changes take effect at once on a running "
		   "server.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
