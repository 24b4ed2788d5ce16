/* postern account list, show: what the vault and the sections have, what auth knows of tokens, and which
 * account the relays pause (queue). */
#include "cli/account.h"
#include "cli/rows.h"

#include <stdlib.h>
#include <string.h>

/* {"accounts": [{"name", "paused", "until", "reason"}]} of a running queue; null: nobody to ask. */
static json_t *ask_queue(struct account *a)
{
	struct cli_request r = {0};
	struct base_error err;
	struct base_buf answer;
	json_t *json = NULL;
	bool running;

	base_buf_init(&answer, CLI_ANSWER_MAX_BYTES);
	cli_request_add(&r, "accounts");
	if (cli_ask(a->conf, "queue", &r, &answer, &running, &err) == 0 && running)
		json = cli_json(&answer, &err);
	cli_request_release(&r);
	base_buf_release(&answer);
	return json;
}

enum { FURTHER = 4 }; /* column of the further lines of a reason, on a terminal */

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static json_t *find(const json_t *rows, const char *name)
{
	for (size_t i = 0; i < json_array_size(rows); i++)
		if (strcmp(text_of(json_array_get(rows, i), "name"), name) == 0)
			return json_array_get(rows, i);
	return NULL;
}

/* Every row gets "paused": null, or {"until", "reason"}. */
static void merge_pauses(json_t *rows, const json_t *pauses)
{
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_t *row = json_array_get(rows, i), *paused = json_null(),
		       *p = find(json_object_get(pauses, "accounts"), text_of(row, "name"));

		if (p && json_is_true(json_object_get(p, "paused"))) {
			paused = json_object();
			json_object_set(paused, "until", json_object_get(p, "until"));
			json_object_set(paused, "reason", json_object_get(p, "reason"));
		}
		json_object_set_new(row, "paused", paused);
	}
}

/* --- for eyes --- */

static bool has_secret(const json_t *row)
{
	return json_is_string(json_object_get(row, "secret")) ||
		json_is_true(json_object_get(row, "certificate"));
}

/* In this order: what stands most in the way is told. @out_reason: its words, "" none. */
static void state_of(const json_t *row, struct base_buf *out, const char **out_reason)
{
	const json_t *paused = json_object_get(row, "paused"),
		     *token = json_object_get(row, "token");
	const char *state = text_of(token, "state"), *next = text_of(token, "next");

	*out_reason = "";
	if (!has_secret(row)) {
		base_buf_printf(out, "no secret: postern account add %s …", text_of(row, "name"));
	} else if (json_is_object(paused)) {
		base_buf_printf(out, "paused until %s", text_of(paused, "until"));
		*out_reason = text_of(paused, "reason");
	} else if (strcmp(state, "refused") == 0) {
		base_buf_printf(
			out, "token refused%s%s", next[0] ? ", asked for again " : "", next);
		*out_reason = text_of(token, "reason");
	} else if (strcmp(state, "valid") == 0) {
		base_buf_printf(out, "token valid until %s", text_of(token, "until"));
		*out_reason = text_of(token, "reason");
	} else if (strcmp(state, "renewing") == 0) {
		base_buf_append_text(out, "token is being renewed");
		*out_reason = text_of(token, "reason");
	} else if (strcmp(state, "none") == 0) {
		base_buf_printf(out, "no token yet%s%s", next[0] ? ", asked for again " : "", next);
		*out_reason = text_of(token, "reason");
	} else {
		base_buf_append_text(out, "ok");
	}
}

/* For programs: the same in one word, and why. */
static void set_state(json_t *row)
{
	const json_t *paused = json_object_get(row, "paused"),
		     *token = json_object_get(row, "token");
	const char *state = text_of(token, "state");
	json_t *reason = json_object_get(json_is_object(paused) ? paused : token, "reason");

	if (!has_secret(row))
		state = "no secret";
	else if (json_is_object(paused))
		state = "paused";
	else if (strcmp(state, "none") == 0)
		state = "no token";
	else if (strcmp(state, "refused") != 0 && strcmp(state, "renewing") != 0)
		state = "ok";
	json_object_set_new(row, "state", json_string(state));
	json_object_set_new(row, "reason", reason ? json_incref(reason) : json_null());
}

static json_t *state_text(const json_t *row, const char **out_reason)
{
	struct base_buf state;
	json_t *text;

	base_buf_init(&state, 4096);
	state_of(row, &state, out_reason);
	text = json_stringn((const char *)state.ptr, state.len);
	base_buf_release(&state);
	return text;
}

static void print_reason(const char *name, const char *reason)
{
	struct base_buf line;

	base_buf_init(&line, 1 << 16);
	cli_text_safe(base_slice_text(name), &line);
	base_buf_append_text(&line, ": ");
	cli_text_safe(base_slice_text(reason), &line);
	cli_print_line(base_buf_slice(&line), FURTHER);
	base_buf_release(&line);
}

static void print_list(json_t *rows)
{
	static const struct cli_column columns[] = {
		{"NAME", "name", false},
		{"URL", "url", false},
		{"USER", "user", false},
		{"SECRET", "secret", false},
		{"SOURCE", "source", false},
		{"STATE", "state", false},
	};
	const char *reason;
	bool first = true;

	for (size_t i = 0; i < json_array_size(rows); i++)
		json_object_set_new(json_array_get(rows, i), "state",
			state_text(json_array_get(rows, i), &reason));
	cli_print_table(rows, columns, BASE_COUNT(columns),
		"no accounts yet; postern account add NAME --url URL --user U");
	for (size_t i = 0; i < json_array_size(rows); i++) {
		json_decref(state_text(json_array_get(rows, i), &reason));
		if (!reason[0])
			continue;
		printf("%s", first ? "\n" : "");
		print_reason(text_of(json_array_get(rows, i), "name"), reason);
		first = false;
	}
}

static int show(struct account *a, json_t *rows)
{
	json_t *row = find(rows, a->name);
	const char *reason;

	if (!row)
		return cli_fail(a->cli, CLI_FAILED,
			"account \"%s\": there is none of this name; postern account list shows "
			"all",
			a->name);
	if (cli_has(a->cli, "json")) {
		set_state(row);
		json_dumpf(row, stdout, JSON_COMPACT);
		putchar('\n');
		return CLI_OK;
	}
	json_object_set_new(row, "state", state_text(row, &reason));
	cli_print_object(row);
	return CLI_OK;
}

int account_list(struct account *a)
{
	json_t *json, *pauses, *rows;
	int status = CLI_OK;

	cli_request_add(&a->request, "account");
	cli_request_add(&a->request, "list");
	if (cli_vault_ask(a->conf, &a->request, &a->answer, &a->err) != 0 ||
		!(json = cli_json(&a->answer, &a->err)))
		return cli_fail_error(a->cli, &a->err);
	rows = json_object_get(json, "accounts");
	pauses = ask_queue(a);
	merge_pauses(rows, pauses);
	json_decref(pauses);
	if (a->name) {
		status = show(a, rows);
	} else if (cli_has(a->cli, "json")) {
		for (size_t i = 0; i < json_array_size(rows); i++)
			set_state(json_array_get(rows, i));
		json_dumpf(json, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		print_list(rows);
	}
	json_decref(json);
	return status;
}
