/* postern queue: what waits, and what to do with it. */
#include "cli/cli.h"

#include "base/clock.h"
#include "loop/envelope.h"
#include "spool/admin.h"

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A server that is just starting holds the spool before it listens: ask it again meanwhile. */
enum { WAIT_STEP_MS = 1000, WAIT_STEPS = 20 };

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

/* What root made goes to the owner of data/. */
static void give_away(const struct conf *conf, const struct cli_account *a)
{
	static const char *const names[] = {
		"spool.db", "spool.db-wal", "spool.db-shm", "spool.lock", "spool", "spool/tmp"};
	char path[4096];

	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", conf->data, names[i]);
		if (lchown(path, a->uid, a->gid) != 0)
			continue;
	}
}

static int run_on_files(struct queue *q)
{
	struct spool_options options = {
		.data_dir = q->conf->data, .owner = "postern queue", .wait_ms = WAIT_STEP_MS};
	const struct control_request *r = &q->request.request;
	struct cli_account owner;
	struct spool *s = NULL;
	int rc = cli_become_owner(q->conf, &owner, &q->err);

	if (rc == 0)
		rc = spool_open(&s, &options, &q->err);
	if (rc != 0)
		return rc;
	if (owner.root)
		give_away(q->conf, &owner);
	rc = spool_admin_run(s, envelope_visit, r->words, r->word_count, base_clock_wall_ms(),
		take_part, &q->answer, &q->err);
	spool_close(&s);
	return rc;
}

static int ask(struct queue *q)
{
	int rc = 0;

	for (int step = 0; step < WAIT_STEPS; step++) {
		bool running;

		base_buf_clear(&q->answer);
		rc = cli_ask(q->conf, "queue", &q->request, &q->answer, &running, &q->err);
		if (running)
			return rc;
		rc = run_on_files(q);
		if (rc != BASE_ERROR_TEMPORARY)
			return rc;
	}
	return rc;
}

/* One row per recipient: a person looks for an address, not for an array. */
static json_t *recipient_rows(const json_t *messages)
{
	json_t *rows = json_array();

	for (size_t i = 0; i < json_array_size(messages); i++) {
		const json_t *m = json_array_get(messages, i);
		const json_t *rcpts = json_object_get(m, "recipients");

		for (size_t k = 0; k < json_array_size(rcpts); k++) {
			json_t *row = json_object();
			const json_t *rcpt = json_array_get(rcpts, k);

			json_object_update(row, (json_t *)rcpt);
			if (k == 0) {
				json_object_set(row, "id", json_object_get(m, "id"));
				json_object_set(row, "sender", json_object_get(m, "sender"));
				json_object_set(row, "size", json_object_get(m, "size"));
				json_object_set(row, "next", json_object_get(m, "next"));
			} else {
				json_object_set_new(row, "id", json_string(" "));
				json_object_set_new(row, "sender", json_string(" "));
				json_object_set_new(row, "size", json_string(" "));
				json_object_set_new(row, "next", json_string(" "));
			}
			json_array_append_new(rows, row);
		}
	}
	return rows;
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
		{"NEXT", "next", false},
		{"REASON", "reason", false},
	};
	json_t *rows = recipient_rows(json);

	cli_print_table(rows, columns, BASE_COUNT(columns), "the queue is empty");
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
		return cli_fail(cli, CLI_USAGE, "--all is for retry only; %s takes an ID", verb);
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
	base_buf_init(&q.answer, CLI_ANSWER_MAX_BYTES);
	status = ask(&q) == 0 ? show(&q) : cli_fail_error(cli, &q.err);
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
