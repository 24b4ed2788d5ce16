/* Batches going in and answers coming out.
 *
 * A batch is a table of groups: one for each message, or session without a message, that was heard of
 * since the last flush. A record that names neither (an administrator's act) is a group of its own. */
#include "loop/events.h"

#include "base/time.h"
#include "loop/control.h"
#include "loop/events_internal.h"
#include "loop/log.h"

#include <stdlib.h>
#include <string.h>

enum {
	GROUP_SLOTS = 1024, /* > EVENTS_BATCH_MAX, a power of two */
	GROUP_MAX_BYTES = 1 << 20,
	NAME_MAX_BYTES = 320,
	SESSIONS_MAX = 8, /* that brought one message: one, but who knows */
	USER_ROWS_MAX = 200,
	PRUNE_ROWS = 2000,
	PRUNE_LARGE_ROWS = 128, /* between two looks at the size */
	PRUNE_PAGES = 2000,
};

struct name {
	uint16_t len;
	uint8_t bytes[NAME_MAX_BYTES];
};

struct group {
	struct name message, session, user, sender;
	int64_t time_ms; /* of the first record */
	struct base_buf records;
};

struct events {
	struct events_db *db;
	int64_t keep_ms;
	uint64_t size;
	bool shrinking;
	int64_t last_at;
	size_t pending;
	size_t group_count;
	struct group *groups[EVENTS_BATCH_MAX]; /* kept for the next batch */
	size_t group_made;
	uint16_t slots[GROUP_SLOTS]; /* index + 1 by hash of the subject */
};

static struct base_slice name_slice(const struct name *n)
{
	return base_slice_make(n->bytes, n->len);
}

static void name_set(struct name *n, struct base_slice s)
{
	if (n->len || s.len > sizeof(n->bytes))
		return;
	n->len = (uint16_t)s.len;
	if (s.len)
		memcpy(n->bytes, s.ptr, s.len);
}

int events_open(const char *path, bool write, struct events **out, struct base_error *err)
{
	struct events_db *db;
	struct events *e;
	int rc = events_db_open(path, write, &db, err);

	if (rc != 0)
		return rc;
	e = base_alloc_zero(1, sizeof(*e));
	e->db = db;
	e->keep_ms = EVENTS_KEEP_MS;
	e->size = EVENTS_SIZE_BYTES;
	e->last_at = events_db_last(db);
	*out = e;
	return 0;
}

void events_close(struct events **ep)
{
	struct events *e = *ep;

	*ep = NULL;
	if (!e)
		return;
	(void)!events_flush(e, NULL);
	for (size_t i = 0; i < e->group_made; i++) {
		base_buf_release(&e->groups[i]->records);
		free(e->groups[i]);
	}
	events_db_close(&e->db);
	free(e);
}

size_t events_pending(const struct events *e)
{
	return e->pending;
}

static uint32_t hash(struct base_slice s)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.ptr[i]) * 16777619u;
	return h;
}

static struct group *new_group(struct events *e)
{
	struct group *g;

	if (e->group_count == e->group_made) {
		g = base_alloc_zero(1, sizeof(*g));
		base_buf_init(&g->records, GROUP_MAX_BYTES);
		e->groups[e->group_made++] = g;
	}
	g = e->groups[e->group_count++];
	g->message.len = g->session.len = g->user.len = g->sender.len = 0;
	base_buf_clear(&g->records);
	return g;
}

static struct group *group_of(
	struct events *e, struct base_slice message, struct base_slice session)
{
	struct base_slice subject = message.len ? message : session;
	uint32_t at = hash(subject) % GROUP_SLOTS;
	struct group *g;

	if (subject.len == 0 || subject.len > NAME_MAX_BYTES)
		return new_group(e);
	for (; e->slots[at]; at = (at + 1) % GROUP_SLOTS) {
		g = e->groups[e->slots[at] - 1];
		if (message.len ? base_slice_equal(name_slice(&g->message), message)
				: g->message.len == 0 &&
					base_slice_equal(name_slice(&g->session), session))
			return g;
	}
	g = new_group(e);
	e->slots[at] = (uint16_t)e->group_count;
	return g;
}

bool events_add(struct events *e, struct base_slice record)
{
	struct base_slice names[LOG_KEY_COUNT] = {0};
	uint16_t len = (uint16_t)record.len;
	struct log_event event, all;
	struct log_field field;
	struct group *g;

	if (record.len > LOG_RECORD_MAX_BYTES || !log_event_parse(record, &event) ||
		event.kind == LOG_KIND_SYSTEM || event.kind == LOG_KIND_DIALOGUE)
		return true;
	if (e->pending >= EVENTS_BATCH_MAX)
		return false;
	all = event;
	while (log_event_next(&all, &field)) {
		if (!field.is_number && names[field.key].len == 0)
			names[field.key] = field.bytes;
	}
	g = group_of(e, names[LOG_KEY_MESSAGE], names[LOG_KEY_SESSION]);
	if (g->records.len == 0)
		g->time_ms = event.time_ms;
	name_set(&g->message, names[LOG_KEY_MESSAGE]);
	name_set(&g->session, names[LOG_KEY_SESSION]);
	name_set(&g->user, names[LOG_KEY_USER]);
	name_set(&g->sender, names[LOG_KEY_SENDER]);
	base_buf_append(&g->records, &len, sizeof(len));
	base_buf_append_slice(&g->records, record);
	e->pending++;
	return true;
}

static int64_t next_at(struct events *e, int64_t time_ms)
{
	const int64_t year_10000 = 253402300800000;
	int64_t at = time_ms > 0 && time_ms < year_10000 ? time_ms * 1000 : 0;

	e->last_at = at > e->last_at ? at : e->last_at + 1;
	return e->last_at;
}

int events_flush(struct events *e, struct base_error *err)
{
	int rc = 0;

	if (e->pending == 0)
		return 0;
	rc = events_db_begin(e->db, err);
	for (size_t i = 0; rc == 0 && i < e->group_count; i++) {
		struct group *g = e->groups[i];
		struct events_row row = {next_at(e, g->time_ms), name_slice(&g->message),
			name_slice(&g->session), name_slice(&g->user), name_slice(&g->sender),
			base_buf_slice(&g->records)};

		rc = events_db_insert(e->db, &row, err);
		if (rc != 0)
			(void)!events_db_end(e->db, false, NULL);
	}
	if (rc == 0)
		rc = events_db_end(e->db, true, err);
	memset(e->slots, 0, sizeof(e->slots));
	e->pending = 0;
	e->group_count = 0;
	return rc;
}

void events_limit(struct events *e, int64_t keep_ms, uint64_t size)
{
	e->keep_ms = keep_ms;
	e->size = size;
}

bool events_is_large(struct events *e)
{
	uint64_t bytes;

	events_db_size(e->db, NULL, &bytes);
	return bytes > e->size;
}

/* The oldest rows, until the store is well below its size. True: it is not yet. */
static bool prune_large(struct events *e)
{
	uint64_t bytes, enough = e->size - e->size / 16;

	for (int rows = 0; rows < PRUNE_ROWS; rows += PRUNE_LARGE_ROWS) {
		events_db_size(e->db, NULL, &bytes);
		if (bytes > e->size)
			e->shrinking = true;
		if (!e->shrinking || bytes <= enough ||
			events_db_remove(e->db, INT64_MAX, PRUNE_LARGE_ROWS) == 0) {
			e->shrinking = false;
			return false;
		}
	}
	return true;
}

bool events_prune(struct events *e, int64_t now_ms)
{
	bool more = events_db_remove(e->db, (now_ms - e->keep_ms) * 1000, PRUNE_ROWS) == PRUNE_ROWS;

	more = more || prune_large(e);
	return more || events_db_shrink(e->db, e->size, PRUNE_PAGES);
}

void events_size(struct events *e, uint64_t *out_rows, uint64_t *out_bytes)
{
	events_db_size(e->db, out_rows, out_bytes);
}

/* Answers. The records found are copied into one buffer, listed, and put in the order of time. */

struct entry {
	int64_t time_ms;
	int step; /* in a session's life; orders what one millisecond saw */
	size_t order, at, len;
};

struct collection {
	struct base_buf bytes, entries;
	size_t rows;
	struct name sessions[SESSIONS_MAX];
	size_t session_count;
};

static void collection_init(struct collection *c)
{
	memset(c, 0, sizeof(*c));
	base_buf_init(&c->bytes, 64u << 20);
	base_buf_init(&c->entries, 64u << 20);
}

static void collection_release(struct collection *c)
{
	base_buf_release(&c->bytes);
	base_buf_release(&c->entries);
}

static void remember_session(struct collection *c, struct base_slice session)
{
	if (session.len == 0 || c->session_count == SESSIONS_MAX)
		return;
	for (size_t i = 0; i < c->session_count; i++) {
		if (base_slice_equal(name_slice(&c->sessions[i]), session))
			return;
	}
	name_set(&c->sessions[c->session_count++], session);
}

static bool collect(void *arg, const struct events_row *row)
{
	struct collection *c = arg;
	struct base_slice rest = row->records, record;
	struct log_event event;

	c->rows++;
	remember_session(c, row->session);
	for (size_t order = 0; log_frame_next(&rest, &record); order++) {
		struct entry entry = {.order = order, .at = c->bytes.len, .len = record.len};

		if (!log_event_parse(record, &event))
			continue;
		entry.time_ms = event.time_ms;
		entry.step = event.kind == LOG_KIND_SESSION ? LOG_KIND_COUNT : (int)event.kind;
		if (base_buf_append_slice(&c->bytes, record))
			base_buf_append(&c->entries, &entry, sizeof(entry));
	}
	return true;
}

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->time_ms != y->time_ms)
		return x->time_ms < y->time_ms ? -1 : 1;
	if (x->step != y->step)
		return x->step < y->step ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

/* Every event has a result and a reason. A session's result is how it ended; null: nothing is to be said. */
static void write_usual(struct log_event event, struct base_buf *out)
{
	struct base_slice end = BASE_SLICE_EMPTY;
	struct log_field field;
	bool result = false, reason = false;

	while (log_event_next(&event, &field)) {
		result = result || field.key == LOG_KEY_RESULT;
		reason = reason || field.key == LOG_KEY_REASON;
		if (field.key == LOG_KEY_END && !field.is_number)
			end = field.bytes;
	}
	if (!result) {
		base_buf_append_text(out, ", \"result\": ");
		if (end.len)
			log_json_string(end, out);
		else
			base_buf_append_text(out, "null");
	}
	if (!reason)
		base_buf_append_text(out, ", \"reason\": null");
}

static void write_answer(
	struct collection *c, struct base_slice id, const char *kind, struct base_buf *out)
{
	size_t count = c->entries.len / sizeof(struct entry);
	struct entry *entries = (struct entry *)(void *)c->entries.ptr;
	struct log_event event;
	struct base_slice record;

	if (count)
		qsort(entries, count, sizeof(*entries), compare);
	base_buf_append_text(out, "{\"id\": ");
	log_json_string(id, out);
	base_buf_printf(out, ", \"kind\": \"%s\", \"events\": [", kind);
	for (size_t i = 0; i < count; i++) {
		record = base_slice_make(c->bytes.ptr + entries[i].at, entries[i].len);
		if (!log_event_parse(record, &event))
			continue;
		base_buf_append_text(out, i ? ", {\"time\": \"" : "{\"time\": \"");
		log_format_time(event.time_ms, out);
		base_buf_printf(out, "\", \"what\": \"%s\"", log_kind_name(event.kind));
		log_format_json_fields(record, out);
		write_usual(event, out);
		base_buf_append_byte(out, '}');
	}
	base_buf_append_text(out, "]}");
}

/* A message with the login and end of the session that brought it, or a session. */
static int answer_id(
	struct events *e, struct base_slice id, struct base_buf *out, struct base_error *err)
{
	const char *kind = "message";
	struct collection c;
	int rc;

	collection_init(&c);
	rc = events_db_select(e->db, EVENTS_BY_MESSAGE, id, EVENTS_ROWS_MAX, collect, &c, err);
	if (rc == 0 && c.rows) {
		for (size_t i = 0; rc == 0 && i < c.session_count; i++)
			rc = events_db_select(e->db, EVENTS_BY_SESSION_ALONE,
				name_slice(&c.sessions[i]), EVENTS_ROWS_MAX, collect, &c, err);
	} else if (rc == 0) {
		kind = "session";
		rc = events_db_select(
			e->db, EVENTS_BY_SESSION, id, EVENTS_ROWS_MAX, collect, &c, err);
	}
	if (rc == 0 && c.rows == 0)
		rc = base_error_set(err, BASE_ERROR_NOT_FOUND, 0, "nothing is known of this id");
	if (rc == 0)
		write_answer(&c, id, kind, out);
	collection_release(&c);
	return rc;
}

static int answer_list(struct events *e, enum events_by by, struct base_slice key, const char *kind,
	struct base_buf *out, struct base_error *err)
{
	struct collection c;
	int rc;

	collection_init(&c);
	rc = events_db_select(e->db, by, key, USER_ROWS_MAX, collect, &c, err);
	if (rc == 0 && c.rows == 0)
		rc = base_error_set(
			err, BASE_ERROR_NOT_FOUND, 0, "nothing is known of this %s", kind);
	if (rc == 0)
		write_answer(&c, key, kind, out);
	collection_release(&c);
	return rc;
}

/* The last subjects, newest first. A session that brought messages is told with them. */
struct subjects {
	struct events *e;
	struct name *names;
	size_t count, max;
};

static bool known(const struct subjects *s, struct base_slice id)
{
	for (size_t i = 0; i < s->count; i++) {
		if (base_slice_equal(name_slice(&s->names[i]), id))
			return true;
	}
	return false;
}

static bool found_message(void *arg, const struct events_row *row)
{
	bool *found = arg;

	*found = *found || row->message.len > 0;
	return !*found;
}

static bool gather_subject(void *arg, const struct events_row *row)
{
	struct subjects *s = arg;
	struct base_slice id = row->message.len ? row->message : row->session;
	bool told = false;

	if (id.len == 0 || id.len > NAME_MAX_BYTES || known(s, id))
		return true;
	if (row->message.len == 0 &&
		events_db_select(s->e->db, EVENTS_BY_SESSION, id, EVENTS_ROWS_MAX, found_message,
			&told, NULL) == 0 &&
		told)
		return true;
	s->names[s->count].len = 0;
	name_set(&s->names[s->count++], id);
	return s->count < s->max;
}

static int answer_last(struct events *e, size_t max, struct base_buf *out, struct base_error *err)
{
	struct subjects s = {.e = e, .max = max};
	int rc;

	s.names = base_alloc(max * sizeof(*s.names));
	rc = events_db_select(e->db, EVENTS_BY_TIME, BASE_SLICE_EMPTY, (unsigned)max * 16 + 1000,
		gather_subject, &s, err);
	base_buf_append_byte(out, '[');
	for (size_t i = 0; rc == 0 && i < s.count; i++) {
		base_buf_append_text(out, i ? ",\n" : "");
		rc = answer_id(e, name_slice(&s.names[i]), out, err);
	}
	base_buf_append_byte(out, ']');
	free(s.names);
	return rc;
}

int events_answer(struct events *e, const struct control_request *req, struct base_buf *out,
	struct base_error *err)
{
	struct base_slice value;
	uint64_t count;
	int rc = events_flush(e, err);

	if (rc != 0)
		return rc;
	if (control_option(req, 1, "user", &value))
		return answer_list(e, EVENTS_BY_USER, value, "user", out, err);
	if (control_option(req, 1, "sender", &value))
		return answer_list(e, EVENTS_BY_SENDER, value, "sender", out, err);
	if (control_option(req, 1, "last", &value)) {
		if (!base_slice_to_u64(value, &count) || count == 0 || count > EVENTS_LAST_MAX)
			return base_error_set(err, BASE_ERROR_PERMANENT, 0,
				"last must be a number from 1 to %d", EVENTS_LAST_MAX);
		return answer_last(e, (size_t)count, out, err);
	}
	if (req->word_count != 2)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"say the id of a message or session, user=, sender= or last=");
	return answer_id(e, req->words[1], out, err);
}
