/* postern why: what was decided of a message, a session, a user or a sender, and by which rule. */
#include "cli/rows.h"
#include "cli/spool.h"

#include "loop/events.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int read_store(const struct conf *conf, const struct cli_request *r, struct base_buf *out,
	struct base_error *err)
{
	struct events *e = NULL;
	struct cli_account owner;
	char path[4096];
	int rc = cli_become_owner(conf, &owner, err);

	snprintf(path, sizeof(path), "%s/events.db", conf->data);
	if (rc == 0 && access(path, R_OK) != 0 && errno == EACCES)
		rc = base_error_errno(
			err, BASE_ERROR_PERMANENT, EACCES, "cannot read \"%s\"", path);
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

/* ---- text: an event is a line: time, what, result, then words and values ---- */

/* In which order fields are told, and by which word; null: the value alone, or with another field. */
static const struct {
	const char *key, *word;
} fields[] = {
	{"time", NULL},
	{"what", NULL},
	{"result", NULL},
	{"text", ""},
	{"recipient", "to"},
	{"sender", "from"},
	{"user", "user"},
	{"client", "client"},
	{"size", "size"},
	{"route", "route"},
	{"via", "via"},
	{"sender_line", "line"},
	{"account", "account"},
	{"host", "host"},
	{"address", "address"},
	{"connection", "connection"},
	{"tls", "tls"},
	{"verified", NULL},
	{"cipher", "cipher"},
	{"mech", "mech"},
	{"code", NULL},
	{"enhanced", NULL},
	{"reply", NULL},
	{"attempt", "attempt"},
	{"next", "next"},
	{"reason", "reason"},
};

enum { FURTHER = 6 }; /* column of the further lines of an event, on a terminal */

struct widths {
	int what, result;
};

static struct base_slice value_of(const json_t *event, const char *key, struct base_buf *room)
{
	const json_t *v = json_object_get(event, key);

	base_buf_clear(room);
	if (v && !json_is_null(v))
		cli_value_text(v, room);
	return base_buf_slice(room);
}

/* Values with blanks stand in quotes, so that fields can be told apart, and quotes in them behind a
 * backslash, as in the log. */
static void put_field(struct base_buf *line, const char *word, struct base_slice text)
{
	bool quote = text.len == 0 || base_slice_has(text, ' ');

	base_buf_printf(line, "  %s%s%s", word, word[0] ? " " : "", quote ? "\"" : "");
	for (size_t i = 0; i < text.len; i++) {
		if (quote && (text.ptr[i] == '"' || text.ptr[i] == '\\'))
			base_buf_append_byte(line, '\\');
		base_buf_append_byte(line, text.ptr[i]);
	}
	base_buf_append_text(line, quote ? "\"" : "");
}

/* "2026-11-24T14:52:41.123Z" without what is always the same; "new 3" as it is. */
static void put_short(struct base_buf *line, struct base_slice time)
{
	for (size_t i = 0; i < time.len && time.ptr[i] != '.' && time.ptr[i] != 'Z'; i++)
		base_buf_append_byte(line, time.ptr[i] == 'T' ? ' ' : time.ptr[i]);
}

/* Code and words of a server belong together; its enhanced code stands in them. Without words it is our
 * own judgement. */
static void put_reply(struct base_buf *line, const json_t *event, struct base_buf *room)
{
	long long code = (long long)json_integer_value(json_object_get(event, "code"));
	struct base_slice text = value_of(event, "reply", room);

	if (text.len == 0) {
		text = value_of(event, "enhanced", room);
		if (text.len)
			base_buf_printf(line, "  status %.*s", BASE_SLICE_ARGS(text));
		return;
	}
	base_buf_append_text(line, "  reply");
	if (code)
		base_buf_printf(line, " %lld", code);
	base_buf_printf(line, " \"%.*s\"", BASE_SLICE_ARGS(text));
}

static bool is_listed(const char *key)
{
	for (size_t i = 0; i < BASE_COUNT(fields); i++)
		if (strcmp(fields[i].key, key) == 0)
			return true;
	return false;
}

static void put_named(
	struct base_buf *line, const json_t *event, const char *id, struct base_buf *room)
{
	for (size_t i = 0; i < BASE_COUNT(fields); i++) {
		struct base_slice text = value_of(event, fields[i].key, room);

		if (strcmp(fields[i].key, "reply") == 0)
			put_reply(line, event, room);
		if (!fields[i].word || text.len == 0 || base_slice_equal_text(text, id))
			continue;
		if (strcmp(fields[i].key, "next") == 0 ||
			strcmp(fields[i].key, "connection") == 0) {
			base_buf_printf(line, "  %s ", fields[i].word);
			put_short(line, text);
			continue;
		}
		put_field(line, fields[i].word, text);
		if (strcmp(fields[i].key, "tls") == 0 && json_object_get(event, "verified"))
			base_buf_printf(line, " %s",
				base_slice_equal_text(value_of(event, "verified", room), "yes")
					? "verified"
					: "not verified");
	}
}

/* The end of a session stands as its result. */
static bool is_told(const json_t *event, const char *key)
{
	return is_listed(key) ||
		(strcmp(key, "end") == 0 &&
			json_equal(
				json_object_get(event, "end"), json_object_get(event, "result")));
}

static void print_event(const json_t *event, const char *id, const struct widths *w)
{
	struct base_buf room, line;
	struct base_slice text;

	base_buf_init(&room, 1 << 20);
	base_buf_init(&line, 1 << 22);
	base_buf_append_text(&line, "  ");
	put_short(&line, value_of(event, "time", &room));
	text = value_of(event, "what", &room);
	base_buf_printf(&line, "  %-*.*s", w->what, BASE_SLICE_ARGS(text));
	text = value_of(event, "result", &room);
	base_buf_printf(&line, "  %-*.*s", w->result, BASE_SLICE_ARGS(text));
	put_named(&line, event, id, &room);
	for (void *i = json_object_iter((json_t *)event); i;
		i = json_object_iter_next((json_t *)event, i)) {
		const char *key = json_object_iter_key(i);

		text = value_of(event, key, &room);
		if (!is_told(event, key) && text.len && !base_slice_equal_text(text, id))
			put_field(&line, key, text);
	}
	cli_print_line(base_buf_slice(&line), FURTHER);
	base_buf_release(&line);
	base_buf_release(&room);
}

static void widen(int *width, struct base_slice text)
{
	if ((int)text.len > *width)
		*width = (int)text.len;
}

static void print_subject(const json_t *subject)
{
	const json_t *events = json_object_get(subject, "events");
	const char *id = json_string_value(json_object_get(subject, "id"));
	const char *kind = json_string_value(json_object_get(subject, "kind"));
	struct widths w = {0};
	struct base_buf room;
	struct base_slice text;

	base_buf_init(&room, 1 << 20);
	text = value_of(subject, "id", &room);
	printf("%s %.*s (times are UTC)\n", kind ? kind : "subject", BASE_SLICE_ARGS(text));
	for (size_t i = 0; i < json_array_size(events); i++) {
		widen(&w.what, value_of(json_array_get(events, i), "what", &room));
		widen(&w.result, value_of(json_array_get(events, i), "result", &room));
	}
	for (size_t i = 0; i < json_array_size(events); i++)
		print_event(json_array_get(events, i), id ? id : "", &w);
	base_buf_release(&room);
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

static bool goes_by_sender(const struct conf *conf)
{
	for (size_t i = 0; i < conf->route_count; i++)
		if (conf->routes[i].via == CONF_VIA_SENDER)
			return true;
	return false;
}

/* {"sender", "address", "account"}: which line of the sender table would win now, for what was told may be of
 * yesterday. Null where the queue cannot be asked. */
static json_t *ask_line(const struct cli *cli, const struct conf *conf)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;

	base_buf_init(&answer, 1 << 20);
	cli_request_add(&r, "sender");
	cli_request_add(&r, "test");
	cli_request_add(&r, "%s", cli_value(cli, "sender"));
	if (cli_spool_ask(conf, &r, cli_sender_on_files, &answer, &err) == 0)
		json = cli_json(&answer, &err);
	base_buf_release(&answer);
	cli_request_release(&r);
	return json;
}

static void print_line(const json_t *line)
{
	struct base_buf room;

	base_buf_init(&room, 1 << 20);
	if (json_is_string(json_object_get(line, "address"))) {
		printf("sender table now: line %.*s",
			BASE_SLICE_ARGS(value_of(line, "address", &room)));
		printf(", account %.*s\n", BASE_SLICE_ARGS(value_of(line, "account", &room)));
	} else {
		puts("sender table now: no line; its mail waits (postern sender add)");
	}
	base_buf_release(&room);
}

/* The answer about a sender, with the line that wins. @known: events were found. */
static void show_sender(const struct cli *cli, const json_t *line, json_t *json, bool known)
{
	if (cli_has(cli, "json")) {
		json_object_set(json, "sender_line", json_object_get(line, "address"));
		json_object_set(json, "account", json_object_get(line, "account"));
		json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
		return;
	}
	print_line(line);
	if (known)
		print_subject(json);
	else
		puts("nothing is known of mail of this sender");
}

/* Nothing of the sender has been seen: the line that wins is an answer all the same, where one is asked for. */
static int why_sender(const struct cli *cli, const struct conf *conf, int rc,
	const struct base_buf *answer, struct base_error *err)
{
	json_t *line = ask_line(cli, conf), *json = NULL;
	bool decides = line &&
		(goes_by_sender(conf) || json_is_string(json_object_get(line, "address")));
	int status = CLI_OK;

	if (rc == 0)
		json = cli_json(answer, err);
	else if (rc == BASE_ERROR_NOT_FOUND && decides)
		json = json_pack("{s:s, s:s, s:[]}", "id", cli_value(cli, "sender"), "kind",
			"sender", "events");
	if (!json)
		status = cli_fail_error(cli, err);
	else if (decides)
		show_sender(cli, line, json, rc == 0);
	else
		status = show(cli, answer);
	json_decref(json);
	json_decref(line);
	return status;
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
	if (rc == BASE_ERROR_NOT_FOUND && cli_has(cli, "last")) { /* no server has run yet */
		base_buf_append_text(&answer, "[]");
		rc = 0;
	}
	if (cli_has(cli, "sender"))
		status = why_sender(cli, conf, rc, &answer, &err);
	else
		status = rc == 0 ? show(cli, &answer) : cli_fail_error(cli, &err);
	base_buf_release(&answer);
	cli_request_release(&r);
	conf_free(&conf);
	return status;
}

static const struct cli_option options[] = {
	{"user", 0, CLI_VALUE, "USER", "the last logins and messages of a user"},
	{"sender", 0, CLI_VALUE, "ADDRESS",
		"the last messages of a sender, and which line of the sender\ntable wins for it "
		"now"},
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
