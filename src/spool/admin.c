/* A command is judged once, then answered in steps: list and cat take many, the others one.
 *
 *	begin --> step (1: more) … --> step (0: done, or negative) --> free
 *
 * Each message of a list is read by itself, behind the number of the one before, so that messages
 * that come and go between the steps do no harm. */
#include "spool/admin.h"

#include "base/time.h"
#include "spool/detail.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	LIST_STEP = 64, /* messages */
	CAT_STEP_BYTES = 64 * 1024,
	HELD_FOREVER = 0,
};

struct spool_admin {
	struct spool *spool;
	spool_envelope_fn visit;
	enum spool_admin_verb verb;
	char id[SPOOL_ID_MAX_BYTES + 1];
	bool all;
	int64_t now_ms;
	int64_t seq; /* list: the last one told */
	bool started;
	bool comma; /* list: one was told */
	int fd;     /* cat of a file */
	uint8_t *chunk;
};

static const struct verb_row {
	const char *name;
	bool needs_id;
	bool takes_all;
} verbs[SPOOL_ADMIN_VERB_COUNT] = {
	[SPOOL_ADMIN_LIST] = {"list", false, false},
	[SPOOL_ADMIN_SHOW] = {"show", true, false},
	[SPOOL_ADMIN_CAT] = {"cat", true, false},
	[SPOOL_ADMIN_RETRY] = {"retry", true, true},
	[SPOOL_ADMIN_HOLD] = {"hold", true, false},
	[SPOOL_ADMIN_RELEASE] = {"release", true, false},
	[SPOOL_ADMIN_REMOVE] = {"remove", true, false},
	[SPOOL_ADMIN_STATS] = {"stats", false, false},
};

const char *spool_admin_verb_name(enum spool_admin_verb verb)
{
	BASE_BUG_IF((unsigned)verb >= SPOOL_ADMIN_VERB_COUNT);
	return verbs[verb].name;
}

enum spool_admin_verb spool_admin_verb(const struct spool_admin *a)
{
	return a->verb;
}

struct base_slice spool_admin_id(const struct spool_admin *a)
{
	return base_slice_text(a->id);
}

/* ---- one message as JSON ---- */

static json_t *json_time(int64_t ms)
{
	struct base_buf b;
	json_t *j;

	base_buf_init(&b, 64);
	j = base_time_rfc3339(ms, false, &b) ? json_stringn((const char *)b.ptr, b.len)
					     : json_null();
	base_buf_release(&b);
	return j;
}

/* Addresses and reasons may hold bytes that are no UTF-8; they are shown as '?'. */
static json_t *json_bytes(struct base_slice s)
{
	json_t *j = json_stringn((const char *)s.ptr, s.len);
	char *copy;

	if (j || s.len == 0)
		return j ? j : json_string("");
	copy = base_alloc(s.len);
	for (size_t i = 0; i < s.len; i++)
		copy[i] = s.ptr[i] < 0x80 ? (char)s.ptr[i] : '?';
	j = json_stringn(copy, s.len);
	free(copy);
	return j;
}

static json_t *json_bytes_or_null(struct base_slice s)
{
	return s.len ? json_bytes(s) : json_null();
}

struct recipients {
	json_t **items; /* by index; null once moved */
	uint32_t count, cap;
	bool fresh;
};

static void on_recipient(void *arg, uint32_t index, struct base_slice address)
{
	struct recipients *r = arg;
	json_t *o = json_object();

	json_object_set_new(o, "address", json_bytes(address));
	json_object_set_new(o, "state", json_string(r->fresh ? "waiting" : "done"));
	json_object_set_new(o, "reason", json_null());
	json_object_set_new(o, "attempts", json_integer(0));
	if (r->count == r->cap) {
		r->cap = r->cap ? r->cap * 2 : 16;
		r->items = base_realloc(r->items, r->cap * sizeof(*r->items));
	}
	r->items[r->count++] = o;
}

struct summary {
	int64_t next_ms;          /* INT64_MAX: none */
	json_t *account, *reason; /* null: none */
};

static void apply_work(const struct spool_work *w, struct recipients *r, struct summary *sum)
{
	struct spool_detail d;
	struct spool_rcpt rcpt;
	const char *state;

	if (w->ready != SPOOL_HELD && w->next_ms < sum->next_ms)
		sum->next_ms = w->next_ms;
	if (!spool_detail_get(w->detail, &d))
		return;
	if (d.account.len && !sum->account)
		sum->account = json_bytes(d.account);
	while (spool_detail_get_rcpt(&d, &rcpt)) {
		if (rcpt.index >= r->count)
			continue;
		state = w->ready == SPOOL_HELD ? "held" : spool_rcpt_state_name(rcpt.state);
		json_object_set_new(r->items[rcpt.index], "state", json_string(state));
		json_object_set_new(
			r->items[rcpt.index], "reason", json_bytes_or_null(rcpt.reason));
		json_object_set_new(r->items[rcpt.index], "attempts", json_integer(w->attempts));
		if (rcpt.reason.len && !sum->reason)
			sum->reason = json_bytes(rcpt.reason);
	}
}

static json_t *take_recipients(struct recipients *r, bool done_too)
{
	json_t *list = json_array();

	for (uint32_t i = 0; i < r->count; i++) {
		const char *state = json_string_value(json_object_get(r->items[i], "state"));

		if (done_too || strcmp(state, "done") != 0)
			json_array_append(list, r->items[i]);
		json_decref(r->items[i]);
	}
	free(r->items);
	return list;
}

/* Null with @rc for a message that is not there. */
static json_t *json_message(
	struct spool_admin *a, int64_t seq, bool done_too, int *rc, struct base_error *err)
{
	struct recipients r = {0};
	struct summary sum = {.next_ms = INT64_MAX};
	struct spool_message m;
	struct spool_work w;
	struct base_slice sender;
	json_t *o;
	uint32_t from = 0;

	*rc = spool_work_next(a->spool, seq, 0, &w, err);
	if (*rc != 0 && *rc != BASE_ERROR_NOT_FOUND)
		return NULL;
	r.fresh = *rc == BASE_ERROR_NOT_FOUND;
	*rc = spool_load(a->spool, seq, false, &m, err);
	if (*rc != 0)
		return NULL;
	o = json_object();
	json_object_set_new(o, "id", json_bytes(m.id));
	if (a->visit(m.envelope, &sender, on_recipient, &r))
		json_object_set_new(o, "sender", json_bytes(sender));
	else
		json_object_set_new(o, "sender", json_null());
	json_object_set_new(o, "recipients", json_null());
	json_object_set_new(o, "size", json_integer((json_int_t)m.size));
	json_object_set_new(o, "arrived", json_time(m.arrived_ms));
	if (r.fresh)
		sum.next_ms = m.arrived_ms;
	while (!r.fresh && (*rc = spool_work_next(a->spool, seq, from, &w, err)) == 0) {
		from = w.unit + 1;
		apply_work(&w, &r, &sum);
	}
	json_object_set_new(o, "recipients", take_recipients(&r, done_too));
	json_object_set_new(
		o, "next", sum.next_ms == INT64_MAX ? json_null() : json_time(sum.next_ms));
	json_object_set_new(o, "account", sum.account ? sum.account : json_null());
	json_object_set_new(o, "reason", sum.reason ? sum.reason : json_null());
	*rc = *rc == BASE_ERROR_NOT_FOUND ? 0 : *rc;
	if (*rc == 0)
		return o;
	json_decref(o);
	return NULL;
}

static void give_json(json_t *o, spool_admin_part_fn part, void *arg)
{
	char *text = json_dumps(o, JSON_COMPACT);

	if (!text)
		base_out_of_memory();
	part(arg, base_slice_text(text));
	free(text);
	json_decref(o);
}

/* ---- the verbs ---- */

static int step_list(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	int64_t seq;
	json_t *o;
	int rc;

	if (!a->started)
		part(arg, BASE_SLICE("["));
	a->started = true;
	for (int i = 0; i < LIST_STEP; i++) {
		rc = spool_next(a->spool, a->seq, &seq, err);
		if (rc == BASE_ERROR_NOT_FOUND) {
			part(arg, BASE_SLICE("]"));
			return 0;
		}
		if (rc != 0)
			return rc;
		a->seq = seq;
		o = json_message(a, seq, false, &rc, err);
		if (!o && rc != BASE_ERROR_NOT_FOUND)
			return rc;
		if (!o)
			continue;
		if (a->comma)
			part(arg, BASE_SLICE(","));
		a->comma = true;
		give_json(o, part, arg);
	}
	return 1;
}

static int find(struct spool_admin *a, struct base_error *err)
{
	int rc = spool_find(a->spool, base_slice_text(a->id), &a->seq, err);

	if (rc == BASE_ERROR_NOT_FOUND)
		return base_error_set(err, rc, 0, "no message \"%s\" in the queue", a->id);
	return rc;
}

static int step_show(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	int rc = find(a, err);
	json_t *o;

	if (rc != 0)
		return rc;
	o = json_message(a, a->seq, true, &rc, err);
	if (!o)
		return rc;
	give_json(o, part, arg);
	return 0;
}

static int cat_begin(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	struct spool_message m;
	int rc = find(a, err);

	if (rc == 0)
		rc = spool_load(a->spool, a->seq, true, &m, err);
	if (rc != 0)
		return rc;
	if (!m.file) {
		part(arg, m.body);
		return 0;
	}
	rc = spool_file_open(a->spool, base_slice_text(a->id), &a->fd, err);
	if (rc != 0)
		return rc;
	a->started = true;
	a->chunk = base_alloc(CAT_STEP_BYTES);
	return 1;
}

static int step_cat(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	ssize_t n;

	if (!a->started)
		return cat_begin(a, part, arg, err);
	n = read(a->fd, a->chunk, CAT_STEP_BYTES);
	if (n < 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
			"cannot read the body of message \"%s\"", a->id);
	if (n == 0)
		return 0;
	part(arg, base_slice_make(a->chunk, (size_t)n));
	return 1;
}

/* A fresh message has no work that could be held: write down that all of it is still to do. */
static int make_work(struct spool_admin *a, struct base_error *err)
{
	struct recipients r = {0};
	struct spool_work w;
	struct spool_message m;
	struct base_slice sender;
	struct base_buf detail;
	uint32_t i;
	int rc = spool_work_next(a->spool, a->seq, 0, &w, err);

	if (rc != BASE_ERROR_NOT_FOUND)
		return rc;
	rc = spool_load(a->spool, a->seq, false, &m, err);
	if (rc != 0)
		return rc;
	if (!a->visit(m.envelope, &sender, on_recipient, &r))
		rc = base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "envelope of \"%s\" is broken", a->id);
	base_buf_init(&detail, SIZE_MAX / 2);
	spool_detail_put(&detail, BASE_SLICE_EMPTY, r.count);
	for (i = 0; i < r.count; i++) {
		struct spool_rcpt rcpt = {.index = i, .state = SPOOL_RCPT_WAITING};

		spool_detail_put_rcpt(&detail, &rcpt);
	}
	w = (struct spool_work){.seq = a->seq,
		.next_ms = a->now_ms,
		.ready = SPOOL_TIMED,
		.detail = base_buf_slice(&detail)};
	if (rc == 0)
		rc = spool_work_put(a->spool, &w, err);
	json_decref(take_recipients(&r, true));
	base_buf_release(&detail);
	return rc;
}

static void give_count(struct spool_admin *a, uint64_t count, spool_admin_part_fn part, void *arg)
{
	json_t *o = json_object();

	json_object_set_new(o, "action", json_string(verbs[a->verb].name));
	json_object_set_new(o, "count", json_integer((json_int_t)count));
	give_json(o, part, arg);
}

static int remove_message(struct spool_admin *a, struct base_error *err)
{
	struct spool_message m;
	int rc = spool_load(a->spool, a->seq, false, &m, err);

	if (rc != 0)
		return rc;
	return spool_remove(a->spool, a->seq, base_slice_text(a->id), m.file, true, err);
}

static int step_change(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	uint64_t count = 0;
	int rc = a->all ? 0 : find(a, err);

	if (rc != 0)
		return rc;
	if (a->all)
		rc = spool_retry_all(a->spool, a->now_ms, &count, err);
	else if (a->verb == SPOOL_ADMIN_RETRY)
		rc = spool_work_set_ready(
			a->spool, a->seq, SPOOL_TIMED, SPOOL_TIMED, a->now_ms, NULL, err);
	else if (a->verb == SPOOL_ADMIN_RELEASE)
		rc = spool_work_set_ready(
			a->spool, a->seq, SPOOL_HELD, SPOOL_TIMED, a->now_ms, &count, err);
	else if (a->verb == SPOOL_ADMIN_REMOVE)
		rc = remove_message(a, err);
	else
		rc = make_work(a, err);
	if (rc == 0 && a->verb == SPOOL_ADMIN_HOLD)
		rc = spool_work_set_ready(
			a->spool, a->seq, -1, SPOOL_HELD, HELD_FOREVER, NULL, err);
	if (rc != 0)
		return rc;
	if (a->verb == SPOOL_ADMIN_RELEASE && count == 0)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "message \"%s\" is not held", a->id);
	give_count(a, a->all ? count : 1, part, arg);
	return 0;
}

static int step_stats(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	struct spool_stats st;
	int rc = spool_stats(a->spool, &st, err);
	json_t *o;

	if (rc != 0)
		return rc;
	o = json_object();
	json_object_set_new(o, "messages", json_integer((json_int_t)st.messages));
	json_object_set_new(
		o, "bytes", st.bytes_known ? json_integer((json_int_t)st.bytes) : json_null());
	json_object_set_new(o, "fresh", json_integer((json_int_t)st.fresh));
	json_object_set_new(o, "deferred", json_integer((json_int_t)st.timed));
	json_object_set_new(o, "parked", json_integer((json_int_t)st.parked));
	json_object_set_new(o, "held", json_integer((json_int_t)st.held));
	json_object_set_new(o, "oldest", st.oldest_ms ? json_time(st.oldest_ms) : json_null());
	json_object_set_new(
		o, "next", st.next_ms == INT64_MAX ? json_null() : json_time(st.next_ms));
	give_json(o, part, arg);
	return 0;
}

int spool_admin_step(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	switch (a->verb) {
	case SPOOL_ADMIN_LIST:
		return step_list(a, part, arg, err);
	case SPOOL_ADMIN_SHOW:
		return step_show(a, part, arg, err);
	case SPOOL_ADMIN_CAT:
		return step_cat(a, part, arg, err);
	case SPOOL_ADMIN_RETRY:
	case SPOOL_ADMIN_HOLD:
	case SPOOL_ADMIN_RELEASE:
	case SPOOL_ADMIN_REMOVE:
		return step_change(a, part, arg, err);
	case SPOOL_ADMIN_STATS:
		return step_stats(a, part, arg, err);
	case SPOOL_ADMIN_VERB_COUNT:
		break;
	}
	BASE_BUG_IF(true);
	return BASE_ERROR_PERMANENT;
}

/* ---- begin and end ---- */

static int judge(
	struct spool_admin *a, const struct base_slice *words, size_t count, struct base_error *err)
{
	const struct verb_row *row = NULL;

	if (count && base_slice_equal_text(words[0], "queue")) {
		words++;
		count--;
	}
	for (int i = 0; count && i < SPOOL_ADMIN_VERB_COUNT; i++) {
		if (base_slice_equal_text(words[0], verbs[i].name)) {
			a->verb = (enum spool_admin_verb)i;
			row = &verbs[i];
		}
	}
	if (!row)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"queue takes list, show, cat, "
			"retry, hold, release, remove or stats");
	if (!row->needs_id && count != 1)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "queue %s takes no more words", row->name);
	if (!row->needs_id)
		return 0;
	if (count != 2)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "queue %s takes one %s",
			row->name, row->takes_all ? "ID or --all" : "ID");
	a->all = row->takes_all && base_slice_equal_text(words[1], "--all");
	if (a->all)
		return 0;
	if (words[1].len == 0 || words[1].len > SPOOL_ID_MAX_BYTES ||
		base_slice_has(words[1], '\0'))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"that is no message ID; "
			"queue list shows them");
	memcpy(a->id, words[1].ptr, words[1].len);
	return 0;
}

int spool_admin_begin(struct spool_admin **out, struct spool *s, spool_envelope_fn visit,
	const struct base_slice *words, size_t count, int64_t now_ms, struct base_error *err)
{
	struct spool_admin *a = base_alloc_zero(1, sizeof(*a));
	int rc;

	a->spool = s;
	a->visit = visit;
	a->now_ms = now_ms;
	a->fd = -1;
	rc = judge(a, words, count, err);
	if (rc != 0)
		spool_admin_free(&a);
	else
		*out = a;
	return rc;
}

void spool_admin_free(struct spool_admin **ap)
{
	struct spool_admin *a = *ap;

	*ap = NULL;
	if (!a)
		return;
	if (a->fd >= 0)
		close(a->fd);
	free(a->chunk);
	free(a);
}

int spool_admin_run(struct spool *s, spool_envelope_fn visit, const struct base_slice *words,
	size_t count, int64_t now_ms, spool_admin_part_fn part, void *arg, struct base_error *err)
{
	struct spool_admin *a;
	int rc = spool_admin_begin(&a, s, visit, words, count, now_ms, err);

	if (rc != 0)
		return rc;
	do
		rc = spool_admin_step(a, part, arg, err);
	while (rc > 0);
	spool_admin_free(&a);
	if (rc == 0)
		return spool_commit(s, err);
	spool_rollback(s);
	return rc;
}
