/* Failing writes and syncs, one by one: what was answered stays, what was refused does not come back. */
#include "spool/test_support.h"

#include <sqlite3.h>

/* ---- a file system that fails when told to ---- */

static struct {
	int sync_at, write_at;		/* the how manieth from now fails; 0: none */
	bool sticky;			/* and all after it */
	int syncs, writes, failed;
} fault;

struct fault_file {
	sqlite3_file base;
	sqlite3_file *inner;
};

static sqlite3_file *inner_of(sqlite3_file *f)
{
	return ((struct fault_file *)f)->inner;
}

static bool fails(int *count, int at)
{
	++*count;
	if (at == 0 || (*count != at && !(fault.sticky && *count > at)))
		return false;
	fault.failed++;
	return true;
}

static int f_close(sqlite3_file *f)
{
	int rc = inner_of(f)->pMethods ? inner_of(f)->pMethods->xClose(inner_of(f)) : SQLITE_OK;

	sqlite3_free(inner_of(f));
	return rc;
}

static int f_read(sqlite3_file *f, void *to, int n, sqlite3_int64 at)
{
	return inner_of(f)->pMethods->xRead(inner_of(f), to, n, at);
}

static int f_write(sqlite3_file *f, const void *from, int n, sqlite3_int64 at)
{
	if (fails(&fault.writes, fault.write_at))
		return SQLITE_FULL;
	return inner_of(f)->pMethods->xWrite(inner_of(f), from, n, at);
}

static int f_truncate(sqlite3_file *f, sqlite3_int64 size)
{
	return inner_of(f)->pMethods->xTruncate(inner_of(f), size);
}

static int f_sync(sqlite3_file *f, int flags)
{
	if (fails(&fault.syncs, fault.sync_at))
		return SQLITE_IOERR_FSYNC;
	return inner_of(f)->pMethods->xSync(inner_of(f), flags);
}

static int f_size(sqlite3_file *f, sqlite3_int64 *out)
{
	return inner_of(f)->pMethods->xFileSize(inner_of(f), out);
}

static int f_lock(sqlite3_file *f, int level)
{
	return inner_of(f)->pMethods->xLock(inner_of(f), level);
}

static int f_unlock(sqlite3_file *f, int level)
{
	return inner_of(f)->pMethods->xUnlock(inner_of(f), level);
}

static int f_reserved(sqlite3_file *f, int *out)
{
	return inner_of(f)->pMethods->xCheckReservedLock(inner_of(f), out);
}

static int f_control(sqlite3_file *f, int op, void *arg)
{
	return inner_of(f)->pMethods->xFileControl(inner_of(f), op, arg);
}

static int f_sector(sqlite3_file *f)
{
	return inner_of(f)->pMethods->xSectorSize(inner_of(f));
}

static int f_device(sqlite3_file *f)
{
	return inner_of(f)->pMethods->xDeviceCharacteristics(inner_of(f));
}

static const sqlite3_io_methods fault_methods = {
	.iVersion = 1,
	.xClose = f_close,
	.xRead = f_read,
	.xWrite = f_write,
	.xTruncate = f_truncate,
	.xSync = f_sync,
	.xFileSize = f_size,
	.xLock = f_lock,
	.xUnlock = f_unlock,
	.xCheckReservedLock = f_reserved,
	.xFileControl = f_control,
	.xSectorSize = f_sector,
	.xDeviceCharacteristics = f_device,
};

static sqlite3_vfs fault_vfs;

static int f_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags,
	int *out_flags)
{
	sqlite3_vfs *real = vfs->pAppData;
	struct fault_file *ff = (struct fault_file *)f;
	int rc;

	ff->base.pMethods = NULL;
	ff->inner = sqlite3_malloc(real->szOsFile);
	memset(ff->inner, 0, (size_t)real->szOsFile);
	rc = real->xOpen(real, name, ff->inner, flags, out_flags);
	if (rc == SQLITE_OK)
		ff->base.pMethods = &fault_methods;
	else
		sqlite3_free(ff->inner);
	return rc;
}

static void install(void)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	fault_vfs = *real;
	fault_vfs.zName = "fault";
	fault_vfs.pAppData = real;
	fault_vfs.szOsFile = sizeof(struct fault_file);
	fault_vfs.xOpen = f_open;
	assert_int_equal(sqlite3_vfs_register(&fault_vfs, 0), SQLITE_OK);
	test_vfs = "fault";
}

static void arm(int sync_at, int write_at, bool sticky)
{
	memset(&fault, 0, sizeof(fault));
	fault.sync_at = sync_at;
	fault.write_at = write_at;
	fault.sticky = sticky;
}

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
	arm(1, 0, false);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	assert_true(spool_is_faulty(s));
	assert_false(spool_has_changes(s));
	/* It is not offered to anybody meanwhile, and nothing is taken. */
	assert_int_equal(spool_find(s, BASE_SLICE("000000000000000b"), &seq, &test_err),
		BASE_ERROR_NOT_FOUND);
	assert_int_equal(test_add(s, "000000000000000c", "too early", &seq),
		BASE_ERROR_TEMPORARY);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	arm(1, 0, true);
	assert_true(spool_repair(s, &test_err) < 0);
	assert_true(spool_is_faulty(s));
	arm(0, 0, false);
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
		arm(syncs ? n : 0, syncs ? 0 : n, false);
		rc = test_add(s, id, "a body", &seq);
		if (rc == 0)
			rc = spool_commit(s, &test_err);
		if (fault.failed == 0)
			break;
		assert_int_equal(rc, syncs ? BASE_ERROR_TEMPORARY : BASE_ERROR_NO_SPACE);
		arm(0, 0, false);
		assert_int_equal(spool_repair(s, &test_err), 0);
		assert_int_equal(spool_find(s, base_slice_text(id), &seq, &test_err),
			BASE_ERROR_NOT_FOUND);
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
	arm(0, 1, true);
	for (i = 0; rc == 0 && i < 500; i++) {
		char id[32];

		snprintf(id, sizeof(id), "00000000000x%04d", i);
		rc = test_add(s, id, body, &seq);
	}
	assert_int_equal(rc, BASE_ERROR_NO_SPACE);
	assert_non_null(strstr(test_err.text, "full"));
	assert_false(spool_has_changes(s));
	arm(0, 0, false);
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
	struct spool_message m = {.id = BASE_SLICE("000000000000000b"), .file = true,
		.envelope = BASE_SLICE("e")};
	int64_t seq;
	int fd;

	assert_int_equal(spool_file_make(s, &f, &test_err), 0);
	assert_int_equal(spool_file_keep(s, &f, m.id, 0, &test_err), 0);
	assert_int_equal(spool_add(s, &m, &seq, &test_err), 0);
	arm(1, 0, false);
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
	assert_int_equal(spool_remove(s, a, BASE_SLICE("000000000000000a"), false, false,
		&test_err), 0);
	arm(1, 0, true);
	/* Unsynced by design, so no sync can fail. */
	assert_int_equal(spool_commit(s, &test_err), 0);
	assert_int_equal(test_add(s, "000000000000000b", "x", &b), 0);
	assert_int_equal(spool_commit(s, &test_err), BASE_ERROR_TEMPORARY);
	arm(0, 0, false);
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

	install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
