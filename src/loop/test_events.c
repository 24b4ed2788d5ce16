#include "loop/events.h"

#include "base/test_support.h"
#include "loop/control.h"
#include "loop/events_internal.h"
#include "loop/log.h"

#include <jansson.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[] = "/tmp/postern-events-XXXXXX";

struct fixture {
	struct events *events;
	int64_t now_ms;
};

static void add(struct fixture *f, enum log_kind kind, const char *message, const char *session,
	const char *user, const char *sender, const char *result)
{
	struct log_record r;
	bool taken;

	log_begin(&r, LOG_LEVEL_INFO, kind);
	f->now_ms++;
	memcpy(r.frame.ptr + 2, &f->now_ms, sizeof(f->now_ms));
	if (message)
		log_put_text(&r, LOG_KEY_MESSAGE, message);
	if (session)
		log_put_text(&r, LOG_KEY_SESSION, session);
	if (user)
		log_put_text(&r, LOG_KEY_USER, user);
	if (sender)
		log_put_text(&r, LOG_KEY_SENDER, sender);
	log_put_text(&r, LOG_KEY_RESULT, result);
	taken = events_add(f->events, base_buf_slice(&r.frame));
	base_buf_release(&r.frame);
	assert_true(taken);
}

/* "why" with one word; null when NOT_FOUND. */
static json_t *why(struct fixture *f, const char *word)
{
	struct control_request req = {
		.words = {BASE_SLICE("why"), base_slice_text(word)}, .word_count = 2};
	struct base_error err = {0};
	struct base_buf out;
	json_t *json = NULL;
	int rc;

	base_buf_init(&out, 1 << 24);
	rc = events_answer(f->events, &req, &out, &err);
	if (rc == 0) {
		json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
		assert_non_null(json);
	} else {
		assert_int_equal(rc, BASE_ERROR_NOT_FOUND);
	}
	base_buf_release(&out);
	return json;
}

static const char *text(const json_t *object, const char *key)
{
	return json_string_value(json_object_get(object, key));
}

/* The "what" of every event, as "login session …". */
static void assert_events(const json_t *answer, const char *expected)
{
	json_t *events = json_object_get(answer, "events"), *event;
	char got[512] = "";
	size_t i;

	json_array_foreach(events, i, event)
	{
		strcat(got, i ? " " : "");
		strcat(got, text(event, "what"));
		assert_int_equal(strlen(text(event, "time")), 24);
		assert_non_null(json_object_get(event, "result"));
		assert_non_null(json_object_get(event, "reason"));
	}
	assert_string_equal(got, expected);
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct base_error err;
	int fd;

	strcpy(path + strlen(path) - 6, "XXXXXX");
	fd = mkstemp(path);
	close(fd);
	f->now_ms = 1795532400000;
	*state = f;
	if (events_open(path, true, &f->events, &err) != 0) {
		print_error("%s\n", err.text);
		return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	char other[64];

	events_close(&f->events);
	unlink(path);
	snprintf(other, sizeof(other), "%s-wal", path);
	unlink(other);
	snprintf(other, sizeof(other), "%s-shm", path);
	unlink(other);
	free(f);
	return 0;
}

static void one_message(struct fixture *f, bool flush)
{
	add(f, LOG_KIND_LOGIN, NULL, "s1", "anna", NULL, "ok");
	if (flush)
		assert_int_equal(events_flush(f->events, NULL), 0);
	add(f, LOG_KIND_MESSAGE, "m1", "s1", "anna", "anna@example.org", "ok");
	add(f, LOG_KIND_ROUTE, "m1", NULL, NULL, NULL, "ok");
	if (flush)
		assert_int_equal(events_flush(f->events, NULL), 0);
	add(f, LOG_KIND_DELIVERY, "m1", NULL, NULL, NULL, "delivered");
	add(f, LOG_KIND_SESSION, NULL, "s1", "anna", NULL, "ok");
	if (flush)
		assert_int_equal(events_flush(f->events, NULL), 0);
	add(f, LOG_KIND_DONE, "m1", NULL, NULL, NULL, "delivered");
	add(f, LOG_KIND_LOGIN, NULL, "s2", "bob", NULL, "rejected");
	/* Not for the store. */
	add(f, LOG_KIND_SYSTEM, "m1", "s1", NULL, NULL, "x");
	add(f, LOG_KIND_DIALOGUE, "m1", "s1", NULL, NULL, "x");
}

static void check_message(struct fixture *f)
{
	json_t *answer = why(f, "m1");

	assert_non_null(answer);
	assert_string_equal(text(answer, "id"), "m1");
	assert_string_equal(text(answer, "kind"), "message");
	assert_events(answer, "login message route delivery session done");
	assert_string_equal(
		text(json_array_get(json_object_get(answer, "events"), 3), "result"), "delivered");
	json_decref(answer);
}

static void test_message(void **state)
{
	one_message(*state, false);
	check_message(*state);
}

static void test_message_over_batches(void **state)
{
	one_message(*state, true);
	check_message(*state);
}

static void test_session(void **state)
{
	json_t *answer;

	one_message(*state, true);
	answer = why(*state, "s1");
	assert_string_equal(text(answer, "kind"), "session");
	assert_events(answer, "login message route session");
	json_decref(answer);
	assert_null(why(*state, "s9"));
}

static void test_user_and_sender(void **state)
{
	json_t *answer;

	one_message(*state, true);
	answer = why(*state, "user=Anna");
	assert_string_equal(text(answer, "kind"), "user");
	assert_events(answer, "login message route session");
	json_decref(answer);
	answer = why(*state, "sender=anna@example.org");
	assert_string_equal(text(answer, "kind"), "sender");
	assert_events(answer, "message route");
	json_decref(answer);
	assert_null(why(*state, "user=carl"));
	assert_null(why(*state, "sender=carl@example.org"));
}

static void test_last(void **state)
{
	json_t *answer;

	one_message(*state, true);
	answer = why(*state, "last=5");
	assert_true(json_is_array(answer));
	assert_int_equal(json_array_size(answer), 2);
	assert_string_equal(text(json_array_get(answer, 0), "id"), "s2");
	assert_string_equal(text(json_array_get(answer, 1), "id"), "m1");
	assert_events(json_array_get(answer, 1), "login message route delivery session done");
	json_decref(answer);
	answer = why(*state, "last=1");
	assert_int_equal(json_array_size(answer), 1);
	json_decref(answer);
}

static void test_full_batch(void **state)
{
	struct fixture *f = *state;
	char id[16];
	json_t *answer;

	for (int i = 0; i < 3 * EVENTS_BATCH_MAX; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		if (events_pending(f->events) == EVENTS_BATCH_MAX) {
			assert_false(events_add(f->events, BASE_SLICE("\x02\x03\0\0\0\0\0\0\0\0")));
			assert_int_equal(events_flush(f->events, NULL), 0);
		}
		add(f, LOG_KIND_MESSAGE, id, "s1", NULL, NULL, "ok");
	}
	answer = why(f, "m1499");
	assert_events(answer, "message");
	json_decref(answer);
	answer = why(f, "m0");
	assert_events(answer, "message");
	json_decref(answer);
	answer = why(f, "s1");
	assert_int_equal(json_array_size(json_object_get(answer, "events")), EVENTS_ROWS_MAX);
	json_decref(answer);
}

static void test_prune(void **state)
{
	struct fixture *f = *state;

	one_message(f, true);
	assert_int_equal(events_flush(f->events, NULL), 0);
	assert_false(events_prune(f->events, f->now_ms));
	check_message(f);
	assert_false(events_prune(f->events, f->now_ms + EVENTS_KEEP_MS + 1000));
	assert_null(why(f, "m1"));
}

static void test_keep(void **state)
{
	struct fixture *f = *state;

	events_limit(f->events, 10 * 1000, EVENTS_SIZE_BYTES);
	add(f, LOG_KIND_MESSAGE, "old", NULL, NULL, NULL, "ok");
	f->now_ms += 8000;
	add(f, LOG_KIND_MESSAGE, "new", NULL, NULL, NULL, "ok");
	assert_int_equal(events_flush(f->events, NULL), 0);
	f->now_ms += 3000;
	assert_false(events_prune(f->events, f->now_ms));
	assert_null(why(f, "old"));
	json_decref(why(f, "new"));
	/* A shorter time holds for what is there already. */
	events_limit(f->events, 1000, EVENTS_SIZE_BYTES);
	assert_false(events_prune(f->events, f->now_ms));
	assert_null(why(f, "new"));
}

static off_t file_size(void)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_size;
}

static void prune_all(struct fixture *f)
{
	for (int i = 0; events_prune(f->events, f->now_ms); i++)
		assert_true(i < 1000);
}

/* Messages from @from to @to, pruned whenever the store says so; the file is never longer than @most. */
static void fill(struct fixture *f, int from, int to, off_t most)
{
	char id[32], reason[1000];

	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	for (int i = from; i < to; i++) {
		snprintf(id, sizeof(id), "m%d", i);
		add(f, LOG_KIND_DELIVERY, id, NULL, "anna", "anna@example.org", reason);
		if (i % 100 != 99)
			continue;
		assert_int_equal(events_flush(f->events, NULL), 0);
		if (events_is_large(f->events))
			prune_all(f);
		assert_false(events_is_large(f->events));
		assert_true(file_size() <= most);
	}
}

static void assert_kept(struct fixture *f, const char *id, bool kept)
{
	json_t *json = why(f, id);

	assert_int_equal(json != NULL, kept);
	json_decref(json);
}

static void test_size(void **state)
{
	struct fixture *f = *state;
	const off_t mega = 1 << 20;
	uint64_t rows, bytes;

	events_limit(f->events, EVENTS_KEEP_MS, (uint64_t)mega);
	fill(f, 0, 5000, mega + mega / 4);
	assert_kept(f, "m0", false);
	assert_kept(f, "m4999", true);
	events_size(f->events, &rows, &bytes);
	assert_true(rows > 400 && bytes > (uint64_t)mega * 3 / 4);
	/* More may be kept, then less again: the file becomes shorter. */
	events_limit(f->events, EVENTS_KEEP_MS, 4 * (uint64_t)mega);
	fill(f, 5000, 10000, 5 * mega);
	assert_true(file_size() > 3 * mega);
	assert_kept(f, "m7500", true);
	events_limit(f->events, EVENTS_KEEP_MS, (uint64_t)mega);
	assert_true(events_is_large(f->events));
	prune_all(f);
	assert_true(file_size() <= mega);
	assert_kept(f, "m7500", false);
	assert_kept(f, "m9999", true);
}

static void run_sql(const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

/* A file from before pages could be given back. */
static void test_old_file(void **state)
{
	struct fixture *f = *state;
	struct base_error err;

	fill(f, 0, 3000, 1 << 30);
	events_close(&f->events);
	run_sql("PRAGMA auto_vacuum = NONE; VACUUM");
	assert_int_equal(events_open(path, true, &f->events, &err), 0);
	assert_kept(f, "m0", true);
	events_limit(f->events, EVENTS_KEEP_MS, 1 << 20);
	prune_all(f);
	assert_true(file_size() <= 1 << 20);
	assert_kept(f, "m2999", true);
}

static void test_reader(void **state)
{
	struct fixture *f = *state, reader;
	struct base_error err;

	one_message(f, true);
	assert_int_equal(events_flush(f->events, NULL), 0);
	assert_int_equal(events_open(path, false, &reader.events, &err), 0);
	check_message(&reader);
	events_close(&reader.events);
	assert_int_equal(events_open("/tmp/postern-no-such-events.db", false, &reader.events, &err),
		BASE_ERROR_NOT_FOUND);
}

static void test_hostile(void **state)
{
	struct fixture *f = *state;
	json_t *answer;

	add(f, LOG_KIND_MESSAGE, "m'; DROP TABLE event; --", "s\"\x01\xff", "u", "<\"a\\b\"@x>",
		"ok");
	answer = why(f, "m'; DROP TABLE event; --");
	assert_events(answer, "message");
	json_decref(answer);
	answer = why(f, "s\"\x01\xff");
	assert_events(answer, "message");
	json_decref(answer);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_message),
		T(test_message_over_batches),
		T(test_session),
		T(test_user_and_sender),
		T(test_last),
		T(test_full_batch),
		T(test_prune),
		T(test_keep),
		T(test_size),
		T(test_old_file),
		T(test_reader),
		T(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
