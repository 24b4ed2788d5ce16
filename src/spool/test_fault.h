/* spool/test_fault.h: a file system under SQLite that fails when told to
 * fault_install() once; open with .vfs = "fault"; fault_arm() says which write or sync fails */
#ifndef SPOOL_TEST_FAULT_H
#define SPOOL_TEST_FAULT_H

#include <sqlite3.h>
#include <stdbool.h>
#include <string.h>

static struct {
	int sync_at, write_at; /* the how manieth from now fails; 0: none */
	bool sticky;           /* and all after it */
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

static int f_open(
	sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *f, int flags, int *out_flags)
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

static inline void fault_install(void)
{
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	fault_vfs = *real;
	fault_vfs.zName = "fault";
	fault_vfs.pAppData = real;
	fault_vfs.szOsFile = sizeof(struct fault_file);
	fault_vfs.xOpen = f_open;
	(void)sqlite3_vfs_register(&fault_vfs, 0);
}

static inline void fault_arm(int sync_at, int write_at, bool sticky)
{
	memset(&fault, 0, sizeof(fault));
	fault.sync_at = sync_at;
	fault.write_at = write_at;
	fault.sticky = sticky;
}

#endif
