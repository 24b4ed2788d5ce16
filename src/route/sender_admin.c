#include "route/sender_admin.h"

#include "base/escape.h"
#include "base/time.h"
#include "route/sender.h"
#include "spool/sender.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORD_SHOWN_BYTES = 200 };

struct command {
	struct spool *spool;
	const struct route_sender_request *req;
	const struct base_slice *words; /* from the verb on */
	size_t count;
	char line[ROUTE_SENDER_LINE_MAX_BYTES + 1];
};

/* ---- words ---- */

static void skip_front(const struct base_slice **words, size_t *count)
{
	if (*count && base_slice_equal_text((*words)[0], "sender")) {
		(*words)++;
		(*count)--;
	}
}

bool route_sender_admin_knows(const struct base_slice *words, size_t count)
{
	return count > 0 && base_slice_equal_text(words[0], "sender");
}

bool route_sender_admin_changes(const struct base_slice *words, size_t count)
{
	skip_front(&words, &count);
	return count > 0 &&
		(base_slice_equal_text(words[0], "add") ||
			base_slice_equal_text(words[0], "remove"));
}

/* The value of a word NAME=value behind the line. */
static bool option(const struct command *cmd, const char *name, struct base_slice *out)
{
	size_t len = strlen(name);

	for (size_t i = 2; i < cmd->count; i++) {
		struct base_slice w = cmd->words[i];

		if (w.len > len && w.ptr[len] == '=' && memcmp(w.ptr, name, len) == 0) {
			*out = base_slice_from(w, len + 1);
			return true;
		}
	}
	return false;
}

static int refuse(struct base_error *err, enum base_error_class class, struct base_slice word,
	const char *reason)
{
	struct base_buf shown;
	int rc;

	base_buf_init(&shown, 4 * WORD_SHOWN_BYTES + 16);
	base_escape_log(word, WORD_SHOWN_BYTES, &shown);
	rc = base_error_set(err, class, 0, "\"%s\" %s", base_buf_text(&shown), reason);
	base_buf_release(&shown);
	return rc;
}

static int need_line(struct command *cmd, struct base_error *err)
{
	enum route_sender_kind kind;
	const char *why;

	if (cmd->count < 2)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"sender %.*s needs an address: user@example.org, @example.org, * or <>",
			BASE_SLICE_ARGS(cmd->words[0]));
	if (!route_sender_parse(cmd->words[1], cmd->line, &kind, &why))
		return refuse(err, BASE_ERROR_PERMANENT, cmd->words[1], why);
	return 0;
}

/* ---- answers ---- */

static int give(json_t *o, struct base_buf *out, struct base_error *err)
{
	char *text = json_dumps(o, JSON_COMPACT);
	bool fits = text && base_buf_append_text(out, text);

	json_decref(o);
	free(text);
	return fits ? 0 : base_error_set(err, BASE_ERROR_TEMPORARY, 0, "the answer is too long");
}

static json_t *json_bytes(struct base_slice s)
{
	json_t *j = s.ptr ? json_stringn((const char *)s.ptr, s.len) : json_null();

	return j ? j : json_null();
}

static json_t *json_time(int64_t ms)
{
	struct base_buf b;
	json_t *j;

	base_buf_init(&b, 64);
	j = base_time_rfc3339(ms, false, &b) ? json_bytes(base_buf_slice(&b)) : json_null();
	base_buf_release(&b);
	return j;
}

static int give_done(const struct command *cmd, struct base_slice account, const char *done,
	struct base_buf *out, struct base_error *err)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", json_string(cmd->line));
	json_object_set_new(o, "account", json_bytes(account));
	json_object_set_new(o, "done", json_string(done));
	return give(o, out, err);
}

/* ---- the verbs ---- */

struct found {
	const char *line;
	char account[ROUTE_SENDER_ACCOUNT_MAX_BYTES + 1];
	bool there;
};

static void look(void *arg, const struct spool_sender *line)
{
	struct found *f = arg;

	if (!base_slice_equal_text(line->line, f->line))
		return;
	f->there = true;
	snprintf(f->account, sizeof(f->account), "%.*s", BASE_SLICE_ARGS(line->account));
}

/* Whoever waits for a line may have one now, or another. */
static int wake(const struct command *cmd, struct base_error *err)
{
	uint64_t count;

	return spool_retry_flagged(
		cmd->spool, SPOOL_WORK_NO_LINE, BASE_SLICE_EMPTY, cmd->req->now_ms, &count, err);
}

static int refuse_double(const struct command *cmd, struct base_error *err)
{
	struct found f = {.line = cmd->line};
	char reason[ROUTE_SENDER_ACCOUNT_MAX_BYTES + 100];
	int rc = spool_sender_each(cmd->spool, look, &f, err);

	if (rc != 0)
		return rc;
	snprintf(reason, sizeof(reason),
		"is in the sender table already, for account %s; --replace changes it", f.account);
	return refuse(err, BASE_ERROR_EXISTS, base_slice_text(cmd->line), reason);
}

static int add(struct command *cmd, struct base_buf *out, struct base_error *err)
{
	struct spool_sender line = {.created_ms = cmd->req->now_ms};
	struct base_slice replace;
	bool replaced = false;
	int rc = need_line(cmd, err);

	if (rc != 0)
		return rc;
	if (!option(cmd, "account", &line.account))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"sender add needs --account NAME; postern account list shows them");
	if (!route_sender_account_valid(line.account))
		return refuse(err, BASE_ERROR_PERMANENT, line.account,
			"is no name of an account; postern account list shows them");
	line.line = base_slice_text(cmd->line);
	rc = spool_sender_put(cmd->spool, &line, option(cmd, "replace", &replace), &replaced, err);
	if (rc == BASE_ERROR_EXISTS)
		return refuse_double(cmd, err);
	if (rc == 0)
		rc = wake(cmd, err);
	return rc == 0 ? give_done(cmd, line.account, replaced ? "changed" : "added", out, err)
		       : rc;
}

static int remove_line(struct command *cmd, struct base_buf *out, struct base_error *err)
{
	struct found f = {.line = cmd->line};
	int rc = need_line(cmd, err);

	if (rc == 0)
		rc = spool_sender_each(cmd->spool, look, &f, err);
	if (rc == 0)
		rc = f.there ? spool_sender_remove(cmd->spool, base_slice_text(cmd->line), err)
			     : BASE_ERROR_NOT_FOUND;
	if (rc == BASE_ERROR_NOT_FOUND)
		return refuse(err, rc, base_slice_text(cmd->line),
			"is not in the sender table; postern sender list shows what is");
	if (rc == 0)
		rc = wake(cmd, err);
	return rc == 0 ? give_done(cmd, base_slice_text(f.account), "removed", out, err) : rc;
}

static void list_one(void *arg, const struct spool_sender *line)
{
	json_t *o = json_object();

	json_object_set_new(o, "address", json_bytes(line->line));
	json_object_set_new(o, "account", json_bytes(line->account));
	json_object_set_new(o, "created", json_time(line->created_ms));
	json_array_append_new(arg, o);
}

static int list(struct command *cmd, struct base_buf *out, struct base_error *err)
{
	json_t *o = json_object(), *senders = json_array();
	int rc = spool_sender_each(cmd->spool, list_one, senders, err);

	json_object_set_new(o, "senders", senders);
	if (rc == 0)
		return give(o, out, err);
	json_decref(o);
	return rc;
}

struct lines {
	struct route_sender *items;
	size_t count, cap;
};

static void keep(void *arg, const struct spool_sender *line)
{
	struct lines *l = arg;

	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->items = base_realloc(l->items, l->cap * sizeof(*l->items));
	}
	l->items[l->count].line = base_slice_text(base_slice_dup(line->line));
	l->items[l->count++].account = base_slice_text(base_slice_dup(line->account));
}

int route_sender_table_read(
	struct spool *s, struct route_sender_table **out, struct base_error *err)
{
	struct lines l = {0};
	int rc = spool_sender_each(s, keep, &l, err);

	if (rc == 0)
		*out = route_sender_table_new(l.items, l.count);
	for (size_t i = 0; i < l.count; i++) {
		free((void *)(uintptr_t)l.items[i].line.ptr);
		free((void *)(uintptr_t)l.items[i].account.ptr);
	}
	free(l.items);
	return rc;
}

static int test(struct command *cmd, struct base_buf *out, struct base_error *err)
{
	struct base_slice sender = cmd->count > 1 ? cmd->words[1] : BASE_SLICE_EMPTY;
	struct base_slice recipient = BASE_SLICE_EMPTY;
	struct route_sender_table *t;
	struct route_sender found = {0};
	bool null = base_slice_equal_text(sender, "<>");
	json_t *o;
	int rc;

	if (sender.len == 0)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"sender test needs a sender's address, or <> for a notice");
	(void)option(cmd, "recipient", &recipient);
	rc = route_sender_table_read(cmd->spool, &t, err);
	if (rc != 0)
		return rc;
	if (!route_sender_find(
		    t, null ? BASE_SLICE_EMPTY : sender, recipient, cmd->req->host_name, &found))
		found = (struct route_sender){0};
	o = json_object();
	json_object_set_new(o, "sender", json_bytes(sender));
	json_object_set_new(o, "address", json_bytes(found.line));
	json_object_set_new(o, "account", json_bytes(found.account));
	route_sender_table_free(&t);
	return give(o, out, err);
}

int route_sender_admin_run(struct spool *s, const struct route_sender_request *req,
	struct base_buf *out, struct base_error *err)
{
	static const struct {
		const char *name;
		int (*run)(struct command *cmd, struct base_buf *out, struct base_error *err);
	} verbs[] = {{"add", add}, {"list", list}, {"remove", remove_line}, {"test", test}};
	struct command cmd = {
		.spool = s, .req = req, .words = req->words, .count = req->word_count};

	skip_front(&cmd.words, &cmd.count);
	for (size_t i = 0; cmd.count && i < BASE_COUNT(verbs); i++)
		if (base_slice_equal_text(cmd.words[0], verbs[i].name))
			return verbs[i].run(&cmd, out, err);
	return base_error_set(
		err, BASE_ERROR_PERMANENT, 0, "sender takes add, list, remove or test");
}
