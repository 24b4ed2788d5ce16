/* postern why: what was decided of a message, a session, a user or a sender, and by which rule. */
#include "cli/cli.h"

#include "loop/events.h"

#include <string.h>

static int read_store(const struct conf *conf, const struct cli_request *r, struct base_buf *out,
	struct base_error *err)
{
	struct events *e = NULL;
	struct cli_account owner;
	char path[4096];
	int rc = cli_become_owner(conf, &owner, err);

	snprintf(path, sizeof(path), "%s/events.db", conf->data);
	if (rc == 0)
		rc = events_open(path, false, &e, err);
	if (rc == BASE_ERROR_NOT_FOUND)
		return base_error_set(err, rc, 0,
			"nothing is known yet: no server has run on \"%s\"", conf->data);
	if (rc == 0)
		rc = events_answer(e, &r->request, out, err);
	events_close(&e);
	return rc;
}

/* Values with blanks stand in quotes, so that fields can be told apart, and quotes in them behind a
 * backslash, as in the log. */
static void print_field(const char *key, const json_t *value)
{
	struct base_buf text;
	bool quote;

	base_buf_init(&text, 1 << 20);
	cli_value_text(value, &text);
	quote = text.len == 0 || base_slice_has(base_buf_slice(&text), ' ');
	printf(" %s=%s", key, quote ? "\"" : "");
	for (size_t i = 0; i < text.len; i++) {
		if (quote && (text.ptr[i] == '"' || text.ptr[i] == '\\'))
			putchar('\\');
		putchar(text.ptr[i]);
	}
	fputs(quote ? "\"" : "", stdout);
	base_buf_release(&text);
}

static void print_plain(const json_t *event, const char *key, int wide)
{
	struct base_buf text;

	base_buf_init(&text, 1 << 20);
	cli_value_text(json_object_get(event, key), &text);
	printf("%-*.*s", wide, BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
}

static void print_event(const json_t *event, const char *id)
{
	fputs("  ", stdout);
	print_plain(event, "time", 25);
	print_plain(event, "what", 10);
	print_plain(event, "result", 0);
	for (void *i = json_object_iter((json_t *)event); i;
		i = json_object_iter_next((json_t *)event, i)) {
		const char *key = json_object_iter_key(i);
		const json_t *v = json_object_iter_value(i);
		bool subject = json_is_string(v) && strcmp(json_string_value(v), id) == 0;

		if (strcmp(key, "time") != 0 && strcmp(key, "what") != 0 &&
			strcmp(key, "result") != 0 && !json_is_null(v) && !subject)
			print_field(key, v);
	}
	putchar('\n');
}

static void print_subject(const json_t *subject)
{
	const json_t *events = json_object_get(subject, "events");
	const char *id = json_string_value(json_object_get(subject, "id"));
	const char *kind = json_string_value(json_object_get(subject, "kind"));

	id = id ? id : "";
	fputs(kind ? kind : "subject", stdout);
	putchar(' ');
	print_plain(subject, "id", 0);
	putchar('\n');
	for (size_t i = 0; i < json_array_size(events); i++)
		print_event(json_array_get(events, i), id);
}

static int show(const struct cli *cli, const struct base_buf *answer)
{
	struct base_error err;
	json_t *json;

	if (cli_has(cli, "json")) {
		cli_print_json(answer);
		return CLI_OK;
	}
	json = cli_json(answer, &err);
	if (!json)
		return cli_fail_error(cli, &err);
	if (json_is_object(json))
		print_subject(json);
	for (size_t i = 0; i < json_array_size(json); i++) {
		if (i)
			putchar('\n');
		print_subject(json_array_get(json, i));
	}
	if (json_is_array(json) && json_array_size(json) == 0)
		puts("nothing has happened yet");
	json_decref(json);
	return CLI_OK;
}

/* The one thing that is asked about, as a word of the request. */
static int choose(const struct cli *cli, struct cli_request *r)
{
	static const char *const keys[] = {"user", "sender", "last"};
	size_t count = cli->arg_count;

	cli_request_add(r, "why");
	if (cli->arg_count)
		cli_request_add(r, "%s", cli->args[0]);
	for (size_t i = 0; i < BASE_COUNT(keys); i++)
		if (cli_has(cli, keys[i])) {
			cli_request_add(r, "%s=%s", keys[i], cli_value(cli, keys[i]));
			count++;
		}
	if (count == 1)
		return CLI_OK;
	return cli_fail(
		cli, CLI_USAGE, "say one thing: an ID, --user USER, --sender ADDRESS or --last N");
}

static int run(struct cli *cli)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	struct conf *conf;
	bool running;
	int status = choose(cli, &r), rc;

	conf = status == CLI_OK ? cli_conf(cli) : NULL;
	if (!conf) {
		cli_request_release(&r);
		return status == CLI_OK ? CLI_FAILED : status;
	}
	base_buf_init(&answer, CLI_ANSWER_MAX_BYTES);
	rc = cli_ask(conf, "journal", &r, &answer, &running, &err);
	if (!running)
		rc = read_store(conf, &r, &answer, &err);
	status = rc == 0 ? show(cli, &answer) : cli_fail_error(cli, &err);
	base_buf_release(&answer);
	cli_request_release(&r);
	conf_free(&conf);
	return status;
}

static const struct cli_option options[] = {
	{"user", 0, CLI_VALUE, "USER", "the last logins and messages of a user"},
	{"sender", 0, CLI_VALUE, "ADDRESS", "the last messages of a sender"},
	{"last", 0, CLI_VALUE, "N", "the last N messages and sessions"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_why = {
	.name = "why",
	.summary = "what was decided about a message or a login, and why",
	.synopsis = "why ID\nwhy --user USER | --sender ADDRESS | --last N",
	.details = "ID is that of a message (the 250 after DATA names it) or of a session (in the "
		   "log).\n",
	.options = options,
	.args_max = 1,
	.run = run,
};
