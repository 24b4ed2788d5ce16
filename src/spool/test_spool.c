#include "spool/sender.h"
#include "spool/test_support.h"

#include <sqlite3.h>

static void add_load_remove(void **state)
{
	struct spool *s = *state;
	struct spool_message m;
	int64_t seq, seq2, found;

	test_begin(s);
	assert_int_equal(test_add(s, "000000000000000a", "body a", &seq), 0);
	assert_int_equal(test_add(s, "000000000000000b", "", &seq2), 0);
	assert_int_equal(test_add(s, "000000000000000a", "again", &found), BASE_ERROR_EXISTS);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_true(seq2 > seq);
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000a"), &found, &test_err), 0);
	assert_true(found == seq);
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000c"), &found, &test_err),
		BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_load(s, seq, true, &m, &test_err), 0);
	assert_true(base_slice_equal_text(m.id, "000000000000000a"));
	assert_true(base_slice_equal_text(m.body, "body a"));
	assert_true(base_slice_equal_text(m.envelope, "envelope"));
	assert_int_equal(m.size, 6);
	assert_false(m.file);
	assert_int_equal(
		spool_remove(s, seq, BASE_SLICE("000000000000000a"), false, false, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_load(s, seq, true, &m, &test_err), BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_next(s, 0, &found, &test_err), 0);
	assert_true(found == seq2);
}

static void rollback_leaves_nothing(void **state)
{
	struct spool *s = *state;
	int64_t seq;

	assert_int_equal(test_add(s, "000000000000000a", "x", &seq), 0);
	assert_true(spool_has_changes(s));
	spool_rollback(s);
	assert_false(spool_has_changes(s));
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000a"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_commit(s, &test_err), 0);
}

static void put_work(struct spool *s, int64_t seq, uint32_t unit, enum spool_ready ready,
	int64_t next, uint64_t dest)
{
	struct spool_work w = {.seq = seq,
		.unit = unit,
		.ready = ready,
		.next_ms = next,
		.dest = dest,
		.attempts = 2,
		.flags = SPOOL_WORK_WARNED,
		.detail = BASE_SLICE("d")};

	assert_int_equal(spool_work_put(s, &w, &test_err), 0);
}

static void work_is_found_when_due(void **state)
{
	struct spool *s = *state;
	struct spool_key cursor = {.next_ms = INT64_MIN}, keys[8];
	struct spool_work w;
	int64_t a, b, next;
	size_t count;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	assert_int_equal(test_add(s, "000000000000000b", "x", &b), 0);
	put_work(s, a, 0, SPOOL_TIMED, 300, 7);
	put_work(s, a, 2, SPOOL_TIMED, 100, 8);
	put_work(s, b, 0, SPOOL_TIMED, 200, 7);
	put_work(s, b, 1, SPOOL_HELD, 0, 7);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_int_equal(next, 100);
	assert_int_equal(spool_due(s, &cursor, 50, keys, 8, &count, &test_err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(spool_due(s, &cursor, 250, keys, 1, &count, &test_err), 0);
	assert_int_equal(count, 1);
	assert_true(keys[0].seq == a && keys[0].unit == 2);
	assert_int_equal(spool_due(s, &cursor, 250, keys, 8, &count, &test_err), 0);
	assert_int_equal(count, 1);
	assert_true(keys[0].seq == b && keys[0].unit == 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_int_equal(next, 300);
	assert_int_equal(spool_work_load(s, a, 2, &w, &test_err), 0);
	assert_true(w.dest == 8 && w.attempts == 2 && w.flags == SPOOL_WORK_WARNED);
	assert_true(base_slice_equal_text(w.detail, "d"));
	assert_int_equal(spool_work_load(s, a, 1, &w, &test_err), BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_work_next(s, a, 1, &w, &test_err), 0);
	assert_int_equal(w.unit, 2);
	assert_int_equal(spool_work_drop(s, a, 0, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_true(next == INT64_MAX);
}

static void parked_work_is_found_by_destination(void **state)
{
	struct spool *s = *state;
	struct spool_key cursor = {.next_ms = INT64_MIN}, keys[8];
	int64_t a, dest = INT64_MIN, next;
	uint64_t changed;
	size_t count;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	put_work(s, a, 0, SPOOL_PARKED, 10, 7);
	put_work(s, a, 1, SPOOL_PARKED, 11, 7);
	put_work(s, a, 2, SPOOL_PARKED, 12, 0xffffffffffffff00u);
	put_work(s, a, 3, SPOOL_TIMED, 13, 9);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_parked(s, 7, &cursor, keys, 8, &count, &test_err), 0);
	assert_int_equal(count, 2);
	assert_int_equal(keys[1].unit, 1);
	assert_int_equal(spool_parked(s, 7, &cursor, keys, 8, &count, &test_err), 0);
	assert_int_equal(count, 0);
	assert_int_equal(spool_parked_dest(s, &dest, &test_err), 0);
	assert_true((uint64_t)dest == 0xffffffffffffff00u);
	assert_int_equal(spool_parked_dest(s, &dest, &test_err), 0);
	assert_int_equal(dest, 7);
	assert_int_equal(spool_parked_dest(s, &dest, &test_err), BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_work_set_ready(s, a, -1, SPOOL_HELD, 0, &changed, &test_err), 0);
	assert_int_equal(changed, 4);
	assert_int_equal(
		spool_work_set_ready(s, a, SPOOL_HELD, SPOOL_TIMED, 99, &changed, &test_err), 0);
	assert_int_equal(changed, 4);
	assert_int_equal(spool_retry_all(s, 50, &changed, &test_err), 0);
	assert_int_equal(changed, 4);
	assert_int_equal(spool_commit(s, &test_err), 0);
	cursor = (struct spool_key){.next_ms = INT64_MIN};
	assert_int_equal(spool_due_time(s, &cursor, &next, &test_err), 0);
	assert_int_equal(next, 50);
}

static void fresh_is_told_after_reopening_only(void **state)
{
	struct spool *s = *state;
	struct spool_fresh cursor = {0};
	int64_t a, b, c, seqs[4];
	size_t count;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	assert_int_equal(test_add(s, "000000000000000b", "x", &b), 0);
	put_work(s, a, 0, SPOOL_TIMED, 10, 7);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_fresh_next(s, &cursor, seqs, 4, &count, &test_err), 0);
	assert_int_equal(count, 0);
	assert_true(cursor.done);
	*state = s = test_reopen(s);
	assert_int_equal(test_add(s, "000000000000000c", "x", &c), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_true(c > b);
	cursor = (struct spool_fresh){0};
	assert_int_equal(spool_fresh_next(s, &cursor, seqs, 4, &count, &test_err), 0);
	assert_int_equal(count, 1);
	assert_true(seqs[0] == b && cursor.done);
}

static void numbers_are_not_used_twice(void **state)
{
	struct spool *s = *state;
	int64_t a, b;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(
		spool_remove(s, a, BASE_SLICE("000000000000000a"), false, true, &test_err), 0);
	assert_int_equal(test_add(s, "000000000000000b", "x", &b), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_true(b > a);
}

static void file_bodies(void **state, bool named)
{
	struct spool *s = *state;
	struct spool_file f;
	struct spool_message m = {.id = BASE_SLICE("000000000000000a"),
		.arrived_ms = 5,
		.size = 5,
		.file = true,
		.envelope = BASE_SLICE("e")};
	struct spool_message got;
	char text[8];
	int64_t seq;
	int fd;

	if (named)
		*state = s = test_reopen_named(s);
	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	assert_int_equal(f.name[0] != '\0', named);
	assert_int_equal(write(f.fd, "hello", 5), 5);
	assert_int_equal(spool_file_keep(s, &f, m.id, 5, &test_err), 0);
	assert_int_equal(f.fd, -1);
	assert_int_equal(spool_add(s, &m, &seq, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	*state = s = test_reopen(s);
	assert_int_equal(spool_load(s, seq, true, &got, &test_err), 0);
	assert_true(got.file && got.body.len == 0);
	assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_memory_equal(text, "hello", 5);
	close(fd);
	assert_int_equal(spool_remove(s, seq, m.id, true, true, &test_err), 0);
	/* Not before the commit. */
	assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), 0);
	close(fd);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), BASE_ERROR_NOT_FOUND);
}

static void unnamed_files(void **state)
{
	file_bodies(state, false);
}

static void named_files(void **state)
{
	file_bodies(state, true);
}

static void a_lie_about_the_size_is_found(void **state)
{
	struct spool *s = *state;
	struct spool_file f;
	int fd;

	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	assert_int_equal(write(f.fd, "hello", 5), 5);
	assert_int_equal(spool_file_keep(s, &f, BASE_SLICE("000000000000000a"), 6, &test_err),
		BASE_ERROR_PEER);
	assert_int_equal(spool_file_open(s, BASE_SLICE("000000000000000a"), &fd, &test_err),
		BASE_ERROR_NOT_FOUND);
}

static void orphans_are_swept(void **state)
{
	struct spool *s = *state;
	struct spool_file f;
	int fd;

	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	assert_int_equal(spool_file_keep(s, &f, BASE_SLICE("000000000000000a"), 0, &test_err), 0);
	assert_int_equal(spool_file_open(s, BASE_SLICE("000000000000000a"), &fd, &test_err), 0);
	close(fd);
	*state = s = test_reopen(s);
	assert_int_equal(spool_file_open(s, BASE_SLICE("000000000000000a"), &fd, &test_err),
		BASE_ERROR_NOT_FOUND);
}

static void one_owner_at_a_time(void **state)
{
	struct spool_options o = {.data_dir = test_dir, .owner = "second", .wait_ms = 50};
	struct spool *second;
	pid_t pid;
	int status;

	(void)state;
	/* In a process of its own: locks of one process do not shut itself out. */
	pid = fork();
	if (pid == 0)
		_exit(spool_open(&second, &o, NULL) == BASE_ERROR_TEMPORARY ? 7 : 1);
	assert_true(waitpid(pid, &status, 0) == pid);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
}

static void write_turns_survive_the_process(void **state)
{
	struct spool *s = *state;
	int64_t a, seq;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_begin(s, SPOOL_WRITE, &test_err), 0);
	assert_int_equal(
		spool_remove(s, a, BASE_SLICE("000000000000000a"), false, false, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	*state = s = test_reopen(s);
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000a"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
}

/* ---- the sender table ---- */

static void list_sender(void *arg, const struct spool_sender *line)
{
	char *out = arg;
	size_t len = strlen(out);

	snprintf(out + len, 200 - len, "%.*s=%.*s@%d ", BASE_SLICE_ARGS(line->line),
		BASE_SLICE_ARGS(line->account), (int)line->created_ms);
}

static void assert_senders(struct spool *s, const char *want)
{
	char got[200] = "";

	assert_int_equal(spool_sender_each(s, list_sender, got, &test_err), 0);
	assert_string_equal(got, want);
}

static void senders_are_kept(void **state)
{
	struct spool_sender one = {BASE_SLICE("b"), BASE_SLICE("x"), 1};
	struct spool_sender two = {BASE_SLICE("a"), BASE_SLICE("y"), 2};
	struct spool_sender other = {BASE_SLICE("b"), BASE_SLICE("z"), 3};
	struct spool *s = *state;
	bool replaced = true;

	assert_int_equal(spool_sender_put(s, &one, false, &replaced, &test_err), 0);
	assert_false(replaced);
	assert_int_equal(spool_sender_put(s, &two, false, &replaced, &test_err), 0);
	assert_int_equal(
		spool_sender_put(s, &other, false, &replaced, &test_err), BASE_ERROR_EXISTS);
	assert_senders(s, "a=y@2 b=x@1 ");
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_sender_put(s, &other, true, &replaced, &test_err), 0);
	assert_true(replaced);
	spool_rollback(s);
	assert_senders(s, "a=y@2 b=x@1 ");
	assert_int_equal(spool_sender_put(s, &other, true, &replaced, &test_err), 0);
	assert_int_equal(spool_sender_remove(s, BASE_SLICE("a"), &test_err), 0);
	assert_int_equal(spool_sender_remove(s, BASE_SLICE("a"), &test_err), BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_commit(s, &test_err), 0);
	s = *state = test_reopen(s);
	assert_senders(s, "b=z@3 ");
}

static void change_database(const char *sql)
{
	char path[320];
	sqlite3 *db;

	snprintf(path, sizeof(path), "%s/spool.db", test_dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void an_old_database_is_brought_up(void **state)
{
	struct spool_sender line = {BASE_SLICE("*"), BASE_SLICE("x"), 1};
	struct spool_options o = {.data_dir = test_dir, .owner = "test", .wait_ms = 100};
	struct spool *s = *state;
	bool replaced;
	int64_t seq;

	assert_int_equal(test_add(s, "000000000000000a", "body a", &seq), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	spool_close(&s);
	change_database("DROP TABLE sender; UPDATE meta SET value = 1 WHERE name = 'version'");
	s = *state = test_open(false);
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000a"), &seq, &test_err), 0);
	assert_int_equal(spool_sender_put(s, &line, false, &replaced, &test_err), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	s = *state = test_reopen(s);
	assert_senders(s, "*=x@1 ");
	spool_close(&s);
	change_database("UPDATE meta SET value = 99 WHERE name = 'version'");
	assert_int_equal(spool_open(&s, &o, &test_err), BASE_ERROR_CONFIG);
	assert_non_null(strstr(test_err.text, "newer Postern (version 99"));
	change_database("UPDATE meta SET value = 2 WHERE name = 'version'");
	*state = test_open(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_case(add_load_remove),
		test_case(rollback_leaves_nothing),
		test_case(senders_are_kept),
		test_case(an_old_database_is_brought_up),
		test_case(work_is_found_when_due),
		test_case(parked_work_is_found_by_destination),
		test_case(fresh_is_told_after_reopening_only),
		test_case(numbers_are_not_used_twice),
		test_case(unnamed_files),
		test_case(named_files),
		test_case(a_lie_about_the_size_is_found),
		test_case(orphans_are_swept),
		test_case(one_owner_at_a_time),
		test_case(write_turns_survive_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
