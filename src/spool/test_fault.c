/* Failing writes and syncs, one by one: what was answered stays, what was refused does not come back. */
#include "spool/test_fault.h"
#include "spool/test_support.h"

/* ---- what a crash now would leave ---- */

static bool survives_crash(const char *id)
{
	char copy[320], command[1024];
	struct spool_options o = {.data_dir = copy, .owner = "after"};
	struct spool *s;
	int64_t seq;
	int rc;

	snprintf(copy, sizeof(copy), "%s-copy", test_dir);
	snprintf(command, sizeof(command), "rm -rf '%s'; cp -r '%s' '%s'", copy, test_dir, copy);
	assert_int_equal(system(command), 0);
	assert_int_equal(spool_open(&s, &o, &test_err), 0);
	rc = spool_find(s, base_slice_text(id), &seq, &test_err);
	spool_close(&s);
	snprintf(command, sizeof(command), "rm -rf '%s'", copy);
	assert_int_equal(system(command), 0);
	return rc == 0;
}

static void keep_one(struct spool *s, const char *id)
{
	int64_t seq;

	assert_int_equal(test_add(s, id, "kept", &seq), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
}

static void a_failed_sync_is_struck_out(void **state)
{
	struct spool *s = *state;
	int64_t seq;

	keep_one(s, "000000000000000a");
	assert_int_equal(test_add(s, "000000000000000b", "refused", &seq), 0);
	fault_arm(1, 0, false);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	assert_true(spool_is_faulty(s));
	assert_false(spool_has_changes(s));
	/* It is not offered to anybody meanwhile, and nothing is taken. */
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000b"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
	assert_int_equal(test_add(s, "000000000000000c", "too early", &seq), BASE_ERROR_TEMPORARY);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	fault_arm(1, 0, true);
	assert_true(spool_repair(s, &test_err) < 0);
	assert_true(spool_is_faulty(s));
	fault_arm(0, 0, false);
	assert_int_equal(spool_repair(s, &test_err), 0);
	assert_true(fault.syncs > 0);
	assert_false(spool_is_faulty(s));
	assert_false(survives_crash("000000000000000b"));
	assert_true(survives_crash("000000000000000a"));
	keep_one(s, "000000000000000c");
	assert_true(survives_crash("000000000000000c"));
}

/* Fail the nth of @what in a turn, for every n that there is. */
static void each_fails(struct spool *s, bool syncs)
{
	char id[32];
	int64_t seq;
	int n, rc;

	for (n = 1; n < 200; n++) {
		snprintf(id, sizeof(id), "00000000000x%04d", n);
		fault_arm(syncs ? n : 0, syncs ? 0 : n, false);
		rc = test_add(s, id, "a body", &seq);
		if (rc == 0)
			rc = spool_commit(s, &test_err);
		if (fault.failed == 0)
			break;
		assert_int_equal(rc, syncs ? BASE_ERROR_TEMPORARY : BASE_ERROR_NO_SPACE);
		fault_arm(0, 0, false);
		assert_int_equal(spool_repair(s, &test_err), 0);
		assert_int_equal(
			spool_find(s, base_slice_text(id), &seq, &test_err), BASE_ERROR_NOT_FOUND);
		assert_false(survives_crash(id));
		id[11] = 'y';
		keep_one(s, id);
		assert_true(survives_crash(id));
	}
	assert_true(n > 1 && n < 200);
	assert_int_equal(rc, 0);
	assert_true(survives_crash(id));
}

static void each_sync_fails(void **state)
{
	each_fails(*state, true);
}

static void each_write_fails(void **state)
{
	each_fails(*state, false);
}

static void full_while_changing(void **state)
{
	struct spool *s = *state;
	static char body[60000];
	int64_t seq;
	int rc = 0, i;

	memset(body, 'x', sizeof(body) - 1);
	keep_one(s, "000000000000000a");
	/* More than the page cache holds: pages go to the log before the commit. */
	fault_arm(0, 1, true);
	for (i = 0; rc == 0 && i < 500; i++) {
		char id[32];

		snprintf(id, sizeof(id), "00000000000x%04d", i);
		rc = test_add(s, id, body, &seq);
	}
	assert_int_equal(rc, BASE_ERROR_NO_SPACE);
	assert_non_null(strstr(test_err.text, "full"));
	assert_false(spool_has_changes(s));
	fault_arm(0, 0, false);
	assert_false(spool_is_faulty(s));
	assert_int_equal(spool_find(s, BASE_SLICE("00000000000x0000"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
	keep_one(s, "000000000000000c");
	assert_true(survives_crash("000000000000000a"));
	assert_true(survives_crash("000000000000000c"));
}

static void a_file_goes_with_its_refused_message(void **state)
{
	struct spool *s = *state;
	struct spool_file f;
	struct spool_message m = {
		.id = BASE_SLICE("000000000000000b"), .file = true, .envelope = BASE_SLICE("e")};
	int64_t seq;
	int fd;

	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	assert_int_equal(spool_file_keep(s, &f, m.id, 0, &test_err), 0);
	assert_int_equal(spool_add(s, &m, &seq, &test_err), 0);
	fault_arm(1, 0, false);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	assert_int_equal(spool_file_open(s, m.id, &fd, &test_err), BASE_ERROR_NOT_FOUND);
	assert_int_equal(spool_repair(s, &test_err), 0);
}

static void results_before_a_failed_sync_are_kept(void **state)
{
	struct spool *s = *state;
	int64_t a, b, seq;

	assert_int_equal(test_add(s, "000000000000000a", "x", &a), 0);
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(spool_begin(s, SPOOL_WRITE, &test_err), 0);
	assert_int_equal(
		spool_remove(s, a, BASE_SLICE("000000000000000a"), false, false, &test_err), 0);
	fault_arm(1, 0, true);
	/* Unsynced by design, so no sync can fail. */
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(test_add(s, "000000000000000b", "x", &b), 0);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	fault_arm(0, 0, false);
	assert_int_equal(spool_repair(s, &test_err), 0);
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000a"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
	assert_false(survives_crash("000000000000000a"));
	assert_false(survives_crash("000000000000000b"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		test_case(a_failed_sync_is_struck_out),
		test_case(each_sync_fails),
		test_case(each_write_fails),
		test_case(full_while_changing),
		test_case(a_file_goes_with_its_refused_message),
		test_case(results_before_a_failed_sync_are_kept),
	};

	fault_install();
	test_vfs = "fault";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
