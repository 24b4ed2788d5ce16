/* The spool on SQLite, and with sqlite_sender.c the only SQL of the queue.
 *
 * Files in data/: spool.db with its -wal, and the folder spool/ (spool/file.c). Folder and database are
 * locked for as long as the spool is open: that lock is the lease of the owner on everything in it, the
 * kernel takes it back from a process that dies, and `meta.owner` says whose it was. It also spares
 * the shared-memory index and all locking calls of each transaction.
 *
 *	message   one row each, with the body up to 64 KiB. Rows do not change after their insert.
 *	          A message that is delivered at its first try costs this insert, one delete, and no more.
 *	work      what remains of a message that was not; rows of one message stand together.
 *	          Each is in at most one index: work_due (ready 0), work_parked (ready 1), or none (held);
 *	          what waits for a line or an account is in work_flagged beside work_due.
 *
 * A turn and its failures
 *
 *	idle --begin--> turn --commit ok--> idle
 *	                turn --a change fails--> idle     rolled back before a commit record was written:
 *	                                                  nothing of it can ever come back
 *	                turn --commit fails--> faulty     the commit record may be in the write-ahead log,
 *	                                                  synced or not: the messages added are refused
 *	faulty --repair ok--> idle                        first all that is good is copied from the log to
 *	                                                  the database and the log cut to nothing, so that
 *	                                                  no record written before a failed sync is relied
 *	                                                  upon; then a transaction deletes the refused
 *	                                                  messages by id and syncs
 *	faulty --repair fails--> faulty                   the caller tries again later
 *
 * In faulty no change is taken, and `refused` lists what repair strikes out. */
#include "spool/detail.h"
#include "spool/file.h"
#include "spool/sqlite_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* What stands in the database; an older one is brought up to it when it is opened.
 *	1  message, work, meta
 *	2  sender: lines of the sender table (sqlite_sender.c) */
enum { SCHEMA_VERSION = 2 };

enum {
	WAIT_MS = 20000,
	WAIT_STEP_MS = 20,
	CHECKPOINT_PAGES = 4096,
	FRESH_LOOK_MAX = 512,
	STATS_BYTES_MAX = 100000, /* more messages than that are not summed up */
};

static const char schema[] =
	"CREATE TABLE IF NOT EXISTS message ("
	" seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, arrived INTEGER NOT NULL,"
	" size INTEGER NOT NULL, file INTEGER NOT NULL, envelope BLOB NOT NULL, body BLOB);"
	"CREATE TABLE IF NOT EXISTS work ("
	" seq INTEGER NOT NULL, unit INTEGER NOT NULL, ready INTEGER NOT NULL,"
	" next INTEGER NOT NULL, dest INTEGER NOT NULL, attempts INTEGER NOT NULL,"
	" flags INTEGER NOT NULL, detail BLOB NOT NULL,"
	" PRIMARY KEY (seq, unit)) WITHOUT ROWID;"
	"CREATE INDEX IF NOT EXISTS work_due ON work (next, seq, unit) WHERE ready = 0;"
	/* Of SPOOL_WORK_NO_LINE and SPOOL_WORK_PAUSED, so that a change finds them without the rest. */
	"CREATE INDEX IF NOT EXISTS work_flagged ON work (next) WHERE ready = 0 AND (flags & 6) <> "
	"0;"
	"CREATE INDEX IF NOT EXISTS work_parked ON work (dest, next, seq, unit) WHERE ready = 1;"
	"CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
	"INSERT OR IGNORE INTO meta VALUES ('version', 1), ('repairs', 0);";

static const char to_version_2[] =
	"BEGIN IMMEDIATE;"
	"CREATE TABLE IF NOT EXISTS sender ("
	" line TEXT PRIMARY KEY, account TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;"
	"UPDATE meta SET value = 2 WHERE name = 'version';"
	"COMMIT;";

#define STATEMENTS(X) \
	X(BEGIN, "BEGIN IMMEDIATE") \
	X(COMMIT, "COMMIT") \
	X(ROLLBACK, "ROLLBACK") \
	X(ADD, "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)") \
	X(REMOVE, "DELETE FROM message WHERE seq = ?") \
	X(REMOVE_WORK, "DELETE FROM work WHERE seq = ?") \
	X(STRIKE_WORK, "DELETE FROM work WHERE seq IN (SELECT seq FROM message WHERE id = ?)") \
	X(STRIKE, "DELETE FROM message WHERE id = ?") \
	X(REPAIRS, "UPDATE meta SET value = value + 1 WHERE name = 'repairs'") \
	X(WORK_PUT, "INSERT OR REPLACE INTO work VALUES (?, ?, ?, ?, ?, ?, ?, ?)") \
	X(WORK_DROP, "DELETE FROM work WHERE seq = ? AND unit = ?") \
	X(WORK_READY, \
		"UPDATE work SET ready = ?2, next = ?3" \
		" WHERE seq = ?1 AND (?4 < 0 OR ready = ?4)") \
	X(RETRY_ALL, "UPDATE work SET next = ?1 WHERE ready = 0 AND next > ?1") \
	X(RETRY_FLAG, \
		"UPDATE work SET next = ?1 WHERE ready = 0 AND (flags & 6) <> 0" \
		" AND next > ?1 AND (flags & ?2) <> 0" \
		" AND substr(detail, 1, length(?3)) = ?3") \
	X(FIND, "SELECT seq FROM message WHERE id = ?") \
	X(LOAD, "SELECT id, arrived, size, file, envelope FROM message WHERE seq = ?") \
	X(LOAD_BODY, "SELECT id, arrived, size, file, envelope, body FROM message WHERE seq = ?") \
	X(NEXT, "SELECT seq FROM message WHERE seq > ? ORDER BY seq LIMIT 1") \
	X(WORK_COUNT, "SELECT count(*) FROM work WHERE seq = ?") \
	X(WORK_NEXT, \
		"SELECT seq, unit, ready, next, dest, attempts, flags, detail FROM work" \
		" WHERE seq = ? AND unit >= ? ORDER BY unit LIMIT 1") \
	X(DUE, \
		"SELECT next, seq, unit FROM work WHERE ready = 0" \
		" AND (next, seq, unit) > (?1, ?2, ?3) AND next <= ?4" \
		" ORDER BY next, seq, unit LIMIT ?5") \
	X(DUE_TIME, \
		"SELECT next FROM work WHERE ready = 0" \
		" AND (next, seq, unit) > (?1, ?2, ?3) ORDER BY next, seq, unit LIMIT 1") \
	X(PARKED, \
		"SELECT next, seq, unit FROM work WHERE ready = 1 AND dest = ?4" \
		" AND (next, seq, unit) > (?1, ?2, ?3) ORDER BY next, seq, unit LIMIT ?5") \
	X(PARKED_DEST, \
		"SELECT dest FROM work WHERE ready = 1 AND dest > ?" \
		" ORDER BY dest LIMIT 1") \
	X(FRESH, \
		"SELECT m.seq, m.id, EXISTS (SELECT 1 FROM work w WHERE w.seq = m.seq)" \
		" FROM message m WHERE m.id > ? ORDER BY m.id LIMIT ?")

enum statement {
#define X(name, sql) ST_##name,
	STATEMENTS(X)
#undef X
		ST_COUNT,
};

static const char *const statement_sql[ST_COUNT] = {
#define X(name, sql) [ST_##name] = sql,
	STATEMENTS(X)
#undef X
};

struct name_list {
	struct name {
		char id[SPOOL_ID_MAX_BYTES + 1];
		bool file;
	} * items;
	size_t count, cap;
};

struct spool {
	sqlite3 *db;
	sqlite3_stmt *statements[ST_COUNT];
	sqlite3_stmt *lent; /* its row is borrowed by the caller */
	struct spool_dir dir;
	int folder_fd;            /* data/, locked */
	struct name_list added;   /* in this turn */
	struct name_list removed; /* files to unlink when the turn is committed */
	struct name_list refused; /* added in commits that failed */
	int64_t last_seq;
	int64_t open_seq; /* last_seq when the spool was opened */
	int wal_pages;
	bool in_turn;
	bool faulty;
	enum spool_sync sync; /* what the database is set to */
};

/* ---- errors ---- */

static int report(struct spool *s, int rc, const char *what, struct base_error *err)
{
	int sys = s->db ? sqlite3_system_errno(s->db) : 0;
	enum base_error_class class = BASE_ERROR_TEMPORARY;

	/* SQLite keeps no number of a COMMIT that failed; nothing has overwritten it yet. */
	if (sys == 0 && (rc & 0xff) == SQLITE_IOERR)
		sys = errno;
	if ((rc & 0xff) == SQLITE_FULL || sys == ENOSPC || sys == EDQUOT)
		class = BASE_ERROR_NO_SPACE;
	if ((rc & 0xff) == SQLITE_FULL && sys == 0)
		sys = ENOSPC;
	return base_error_set(err, class, rc, "spool: %s: %s%s%s", what,
		s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(rc), sys ? ": " : "",
		sys ? strerror(sys) : "");
}

static void unlend(struct spool *s)
{
	if (s->lent)
		sqlite3_reset(s->lent);
	s->lent = NULL;
}

static sqlite3_stmt *statement(struct spool *s, enum statement which)
{
	unlend(s);
	return s->statements[which];
}

/* Run a statement that gives no row. */
static int run(struct spool *s, enum statement which)
{
	sqlite3_stmt *st = s->statements[which];
	int rc = sqlite3_step(st), last;

	last = sqlite3_reset(st);
	return rc == SQLITE_DONE ? SQLITE_OK : last != SQLITE_OK ? last : rc;
}

/* One number, by a statement that is not worth keeping. */
static int ask(struct spool *s, const char *sql, int64_t *out, struct base_error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	if (rc == SQLITE_ROW)
		*out = sqlite3_column_int64(st, 0);
	sqlite3_finalize(st);
	return rc == SQLITE_ROW ? 0 : report(s, rc, "cannot count", err);
}

sqlite3 *spool_sqlite(struct spool *s)
{
	unlend(s);
	return s->db;
}

int spool_sqlite_report(struct spool *s, int rc, const char *what, struct base_error *err)
{
	return report(s, rc, what, err);
}

/* ---- lists of names ---- */

static void list_put(struct name_list *l, struct base_slice id, bool file)
{
	struct name *n;

	BASE_BUG_IF(id.len > SPOOL_ID_MAX_BYTES);
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 64;
		l->items = base_realloc(l->items, l->cap * sizeof(*l->items));
	}
	n = &l->items[l->count++];
	memcpy(n->id, id.ptr, id.len);
	n->id[id.len] = '\0';
	n->file = file;
}

static void list_unlink_files(struct spool *s, struct name_list *l)
{
	for (size_t i = 0; i < l->count; i++)
		if (l->items[i].file)
			spool_dir_remove(&s->dir, l->items[i].id);
}

static void list_release(struct name_list *l)
{
	free(l->items);
	*l = (struct name_list){0};
}

/* ---- open and close ---- */

static int in_use(int code, struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_TEMPORARY, code,
		"spool: in use by another process, which did not end in time");
}

/* One after the other, before SQLite is asked: of several that open a database at once each holds a
 * shared lock, and none gets the exclusive one. Where a folder has no locks, SQLite's must do. */
static int lock_folder(int fd, const struct spool_options *o, struct base_error *err)
{
	unsigned wait_ms = o->wait_ms ? o->wait_ms : WAIT_MS;
	const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};

	for (unsigned waited_ms = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; waited_ms += WAIT_STEP_MS) {
		if (errno != EWOULDBLOCK && errno != EINTR)
			return 0;
		if (waited_ms >= wait_ms)
			return in_use(errno, err);
		nanosleep(&step, NULL);
	}
	return 0;
}

static int pragmas(struct spool *s, const struct spool_options *o, struct base_error *err)
{
	static const char *const texts[] = {
		"PRAGMA locking_mode = EXCLUSIVE",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = FULL",
		"PRAGMA temp_store = MEMORY",
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA cache_size = -4096",
	};
	int rc;

	sqlite3_busy_timeout(s->db, (int)(o->wait_ms ? o->wait_ms : WAIT_MS));
	for (size_t i = 0; i < BASE_COUNT(texts); i++) {
		rc = sqlite3_exec(s->db, texts[i], NULL, NULL, NULL);
		if ((rc & 0xff) == SQLITE_BUSY)
			return in_use(rc, err);
		if (rc != SQLITE_OK)
			return report(s, rc, texts[i], err);
	}
	return 0;
}

static int prepare_all(struct spool *s, struct base_error *err)
{
	int rc;

	for (size_t i = 0; i < ST_COUNT; i++) {
		rc = sqlite3_prepare_v3(s->db, statement_sql[i], -1, SQLITE_PREPARE_PERSISTENT,
			&s->statements[i], NULL);
		if (rc != SQLITE_OK)
			return report(s, rc, "cannot prepare a statement", err);
	}
	return 0;
}

static int on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	struct spool *s = arg;

	s->wal_pages = pages;
	return SQLITE_OK;
}

static int set_owner(struct spool *s, const char *owner, struct base_error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = sqlite3_prepare_v2(
		s->db, "INSERT OR REPLACE INTO meta VALUES ('owner', ?)", -1, &st, NULL);

	if (rc == SQLITE_OK) {
		sqlite3_bind_text(st, 1, owner ? owner : "", -1, SQLITE_STATIC);
		rc = sqlite3_step(st);
		sqlite3_finalize(st);
	}
	return rc == SQLITE_DONE ? 0 : report(s, rc, "cannot write", err);
}

static int is_owned(void *arg, struct base_slice id, bool *out_owned, struct base_error *err)
{
	int64_t seq;
	int rc = spool_find(arg, id, &seq, err);

	*out_owned = rc == 0;
	return rc == BASE_ERROR_NOT_FOUND ? 0 : rc;
}

/* Made by root for the service account: it goes to whoever owns the folder. */
static int give_away(int data_fd, struct base_error *err)
{
	struct stat dir, db;

	if (geteuid() != 0 || fstat(data_fd, &dir) != 0 || dir.st_uid == 0)
		return 0;
	if (fstatat(data_fd, "spool.db", &db, AT_SYMLINK_NOFOLLOW) == 0 && db.st_uid == dir.st_uid)
		return 0;
	if (fchownat(data_fd, "spool.db", dir.st_uid, dir.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot give spool.db away");
	return 0;
}

/* The file is there, and whose it should be, before SQLite looks at it and makes others beside it. */
static int make_file(int data_fd, struct base_error *err)
{
	int fd = openat(data_fd, "spool.db", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot open \"spool.db\"");
	close(fd);
	return give_away(data_fd, err);
}

static_assert((SPOOL_WORK_NO_LINE | SPOOL_WORK_PAUSED) == 6, "work_flagged says 6");

static int make_tables(struct spool *s, struct base_error *err)
{
	int64_t version = 0;
	int rc = sqlite3_exec(s->db, schema, NULL, NULL, NULL);

	if (rc != SQLITE_OK)
		return report(s, rc, "cannot make the tables", err);
	rc = ask(s, "SELECT value FROM meta WHERE name = 'version'", &version, err);
	if (rc != 0)
		return rc;
	if (version > SCHEMA_VERSION)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"spool.db was written by a newer Postern (version %lld, this one knows "
			"%d); start that one",
			(long long)version, SCHEMA_VERSION);
	if (version == SCHEMA_VERSION)
		return 0;
	rc = sqlite3_exec(s->db, to_version_2, NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		return 0;
	rc = report(s, rc, "cannot bring the tables up to date", err);
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
	return rc;
}

static int open_database(struct spool *s, const struct spool_options *o, struct base_error *err)
{
	char path[4096];
	int rc, n = snprintf(path, sizeof(path), "%s/spool.db", o->data_dir);

	if (n < 0 || (size_t)n >= sizeof(path))
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "the path in \"data\" is too long");
	rc = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, o->vfs);
	if (rc != SQLITE_OK)
		return report(s, rc, path, err);
	sqlite3_extended_result_codes(s->db, 1);
	rc = pragmas(s, o, err);
	if (rc != 0)
		return rc;
	sqlite3_wal_hook(s->db, on_wal, s);
	rc = make_tables(s, err);
	if (rc == 0)
		rc = prepare_all(s, err);
	if (rc == 0)
		rc = set_owner(s, o->owner, err);
	if (rc == 0)
		rc = ask(s, "SELECT coalesce(max(seq), 0) FROM message", &s->last_seq, err);
	s->open_seq = s->last_seq;
	return rc;
}

int spool_open(struct spool **out, const struct spool_options *options, struct base_error *err)
{
	struct spool *s = base_alloc_zero(1, sizeof(*s));
	int data_fd, rc;

	s->folder_fd = -1;
	s->dir.fd = s->dir.temp_fd = -1;
	if (mkdir(options->data_dir, 0700) != 0 && errno != EEXIST) {
		rc = base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot make folder \"%s\"",
			options->data_dir);
		goto fail;
	}
	data_fd = open(options->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (data_fd < 0) {
		rc = base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot open folder \"%s\"",
			options->data_dir);
		goto fail;
	}
	s->folder_fd = data_fd;
	rc = lock_folder(data_fd, options, err);
	if (rc == 0)
		rc = make_file(data_fd, err);
	if (rc == 0)
		rc = open_database(s, options, err);
	if (rc == 0)
		rc = spool_dir_open(&s->dir, data_fd, options->named_files, err);
	if (rc == 0)
		rc = spool_dir_sweep(&s->dir, is_owned, s, err);
	if (rc != 0)
		goto fail;
	*out = s;
	return 0;
fail:
	spool_close(&s);
	return rc;
}

void spool_close(struct spool **sp)
{
	struct spool *s = *sp;

	*sp = NULL;
	if (!s)
		return;
	if (s->in_turn)
		spool_rollback(s);
	unlend(s);
	for (size_t i = 0; i < ST_COUNT; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	spool_dir_close(&s->dir);
	if (s->folder_fd >= 0)
		close(s->folder_fd);
	list_release(&s->added);
	list_release(&s->removed);
	list_release(&s->refused);
	free(s);
}

/* ---- the turn ---- */

static int set_sync(struct spool *s, enum spool_sync sync, struct base_error *err)
{
	int rc;

	if (s->sync == sync)
		return 0;
	rc = sqlite3_exec(s->db,
		sync == SPOOL_SYNC ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL",
		NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		return report(s, rc, "cannot set synchronous", err);
	s->sync = sync;
	return 0;
}

int spool_begin(struct spool *s, enum spool_sync sync, struct base_error *err)
{
	int rc;

	if (s->faulty)
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
			"spool: a commit failed and is not struck out yet");
	if (s->in_turn)
		return 0;
	unlend(s);
	rc = set_sync(s, sync, err);
	if (rc != 0)
		return rc;
	rc = run(s, ST_BEGIN);
	if (rc != SQLITE_OK)
		return report(s, rc, "cannot begin", err);
	s->in_turn = true;
	return 0;
}

bool spool_has_changes(const struct spool *s)
{
	return s->in_turn;
}

static void end_turn(struct spool *s)
{
	unlend(s);
	s->in_turn = false;
	s->added.count = 0;
	s->removed.count = 0;
	if (!sqlite3_get_autocommit(s->db))
		(void)run(s, ST_ROLLBACK);
}

void spool_rollback(struct spool *s)
{
	if (!s->in_turn)
		return;
	list_unlink_files(s, &s->added);
	end_turn(s);
}

/* A change failed: the whole turn is undone, as the header promises. */
static int fail_turn(struct spool *s, int rc, const char *what, struct base_error *err)
{
	int class = report(s, rc, what, err);

	spool_rollback(s);
	return class;
}

int spool_sqlite_fail_turn(struct spool *s, int rc, const char *what, struct base_error *err)
{
	return fail_turn(s, rc, what, err);
}

static void become_faulty(struct spool *s)
{
	for (size_t i = 0; i < s->added.count; i++)
		list_put(&s->refused, base_slice_text(s->added.items[i].id), false);
	list_unlink_files(s, &s->added);
	s->faulty = true;
	end_turn(s);
}

int spool_commit(struct spool *s, struct base_error *err)
{
	int rc;

	if (!s->in_turn)
		return s->faulty ? spool_begin(s, SPOOL_SYNC, err) : 0;
	rc = spool_dir_sync(&s->dir, err);
	if (rc != 0) {
		spool_rollback(s);
		return rc;
	}
	unlend(s);
	rc = run(s, ST_COMMIT);
	if (rc != SQLITE_OK) {
		rc = report(s, rc, "cannot commit", err);
		become_faulty(s);
		return rc;
	}
	list_unlink_files(s, &s->removed);
	end_turn(s);
	return 0;
}

bool spool_is_faulty(const struct spool *s)
{
	return s->faulty;
}

static int strike_out(struct spool *s)
{
	int rc = run(s, ST_BEGIN);

	for (size_t i = 0; rc == SQLITE_OK && i < s->refused.count; i++) {
		const char *id = s->refused.items[i].id;

		sqlite3_bind_text(s->statements[ST_STRIKE_WORK], 1, id, -1, SQLITE_STATIC);
		rc = run(s, ST_STRIKE_WORK);
		sqlite3_bind_text(s->statements[ST_STRIKE], 1, id, -1, SQLITE_STATIC);
		if (rc == SQLITE_OK)
			rc = run(s, ST_STRIKE);
	}
	/* Without a change there would be nothing to sync. */
	if (rc == SQLITE_OK)
		rc = run(s, ST_REPAIRS);
	if (rc == SQLITE_OK)
		rc = run(s, ST_COMMIT);
	if (rc != SQLITE_OK && !sqlite3_get_autocommit(s->db))
		(void)run(s, ST_ROLLBACK);
	return rc;
}

int spool_repair(struct spool *s, struct base_error *err)
{
	int rc;

	if (!s->faulty)
		return 0;
	unlend(s);
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
	/* With a full disk the database may have no room to grow into, but then the log has room for
	 * a small transaction, and no sync has failed. */
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_FULL)
		return report(s, rc, "cannot empty the log", err);
	rc = set_sync(s, SPOOL_SYNC, err);
	if (rc != 0)
		return rc;
	rc = strike_out(s);
	if (rc != SQLITE_OK)
		return report(s, rc, "cannot strike out refused messages", err);
	s->faulty = false;
	s->refused.count = 0;
	return 0;
}

int spool_maintain(struct spool *s, struct base_error *err)
{
	int rc;

	if (s->wal_pages < CHECKPOINT_PAGES || s->in_turn || s->faulty)
		return 0;
	unlend(s);
	rc = sqlite3_wal_checkpoint_v2(s->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	/* The log just grows until it works again. */
	s->wal_pages = 0;
	return rc == SQLITE_OK ? 0 : report(s, rc, "cannot checkpoint", err);
}

/* ---- changes ---- */

int spool_add(
	struct spool *s, const struct spool_message *m, int64_t *out_seq, struct base_error *err)
{
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	BASE_BUG_IF(s->sync != SPOOL_SYNC);
	st = statement(s, ST_ADD);
	sqlite3_bind_int64(st, 1, s->last_seq + 1);
	sqlite3_bind_text(st, 2, (const char *)m->id.ptr, (int)m->id.len, SQLITE_STATIC);
	sqlite3_bind_int64(st, 3, m->arrived_ms);
	sqlite3_bind_int64(st, 4, (int64_t)m->size);
	sqlite3_bind_int(st, 5, m->file);
	sqlite3_bind_blob(st, 6, m->envelope.ptr, (int)m->envelope.len, SQLITE_STATIC);
	if (m->file)
		sqlite3_bind_null(st, 7);
	else if (m->body.len == 0)
		sqlite3_bind_zeroblob(st, 7, 0);
	else
		sqlite3_bind_blob(st, 7, m->body.ptr, (int)m->body.len, SQLITE_STATIC);
	rc = run(s, ST_ADD);
	if ((rc & 0xff) == SQLITE_CONSTRAINT)
		return BASE_ERROR_EXISTS;
	if (rc != SQLITE_OK)
		return fail_turn(s, rc, "cannot store a message", err);
	list_put(&s->added, m->id, m->file);
	*out_seq = ++s->last_seq;
	return 0;
}

int spool_work_put(struct spool *s, const struct spool_work *w, struct base_error *err)
{
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	st = statement(s, ST_WORK_PUT);
	sqlite3_bind_int64(st, 1, w->seq);
	sqlite3_bind_int64(st, 2, w->unit);
	sqlite3_bind_int(st, 3, (int)w->ready);
	sqlite3_bind_int64(st, 4, w->next_ms);
	sqlite3_bind_int64(st, 5, (int64_t)w->dest);
	sqlite3_bind_int64(st, 6, w->attempts);
	sqlite3_bind_int(st, 7, (int)w->flags);
	sqlite3_bind_blob(st, 8, w->detail.len ? (const void *)w->detail.ptr : "",
		(int)w->detail.len, SQLITE_STATIC);
	rc = run(s, ST_WORK_PUT);
	return rc == SQLITE_OK ? 0 : fail_turn(s, rc, "cannot store work", err);
}

int spool_work_drop(struct spool *s, int64_t seq, uint32_t unit, struct base_error *err)
{
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	st = statement(s, ST_WORK_DROP);
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, unit);
	rc = run(s, ST_WORK_DROP);
	return rc == SQLITE_OK ? 0 : fail_turn(s, rc, "cannot remove work", err);
}

int spool_remove(struct spool *s, int64_t seq, struct base_slice id, bool file, bool has_work,
	struct base_error *err)
{
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	BASE_BUG_IF(file && s->sync != SPOOL_SYNC);
	unlend(s);
	if (has_work) {
		sqlite3_bind_int64(s->statements[ST_REMOVE_WORK], 1, seq);
		rc = run(s, ST_REMOVE_WORK);
	}
	sqlite3_bind_int64(s->statements[ST_REMOVE], 1, seq);
	if (rc == SQLITE_OK)
		rc = run(s, ST_REMOVE);
	if (rc != SQLITE_OK)
		return fail_turn(s, rc, "cannot remove a message", err);
	if (file)
		list_put(&s->removed, id, true);
	return 0;
}

int spool_work_set_ready(struct spool *s, int64_t seq, int only, enum spool_ready to,
	int64_t next_ms, uint64_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	st = statement(s, ST_WORK_READY);
	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int(st, 2, (int)to);
	sqlite3_bind_int64(st, 3, next_ms);
	sqlite3_bind_int(st, 4, only);
	rc = run(s, ST_WORK_READY);
	if (rc != SQLITE_OK)
		return fail_turn(s, rc, "cannot change work", err);
	if (out_count)
		*out_count = (uint64_t)sqlite3_changes(s->db);
	return 0;
}

int spool_retry_all(struct spool *s, int64_t now_ms, uint64_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	st = statement(s, ST_RETRY_ALL);
	sqlite3_bind_int64(st, 1, now_ms);
	rc = run(s, ST_RETRY_ALL);
	if (rc != SQLITE_OK)
		return fail_turn(s, rc, "cannot change work", err);
	*out_count = (uint64_t)sqlite3_changes(s->db);
	return 0;
}

int spool_retry_flagged(struct spool *s, unsigned flag, struct base_slice account, int64_t now_ms,
	uint64_t *out_count, struct base_error *err)
{
	struct base_buf head;
	sqlite3_stmt *st;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc != 0)
		return rc;
	/* The account is what detail begins with. */
	base_buf_init(&head, 2 * SPOOL_DETAIL_ACCOUNT_MAX_BYTES);
	spool_detail_put_account(&head, account);
	st = statement(s, ST_RETRY_FLAG);
	sqlite3_bind_int64(st, 1, now_ms);
	sqlite3_bind_int64(st, 2, flag);
	sqlite3_bind_blob(st, 3, head.ptr, account.len ? (int)head.len : 0, SQLITE_STATIC);
	rc = run(s, ST_RETRY_FLAG);
	base_buf_release(&head);
	if (rc != SQLITE_OK)
		return fail_turn(s, rc, "cannot change work", err);
	*out_count = (uint64_t)sqlite3_changes(s->db);
	return 0;
}

/* ---- bodies in files ---- */

void spool_file_init(struct spool_file *f)
{
	*f = (struct spool_file){.fd = -1};
}

int spool_file_make(struct spool *s, struct spool_file *out, struct base_error *err)
{
	return spool_dir_make(&s->dir, out, err);
}

int spool_file_keep(struct spool *s, struct spool_file *f, struct base_slice id, uint64_t size,
	struct base_error *err)
{
	char name[SPOOL_ID_MAX_BYTES + 1];
	int rc;

	BASE_BUG_IF(id.len > SPOOL_ID_MAX_BYTES);
	memcpy(name, id.ptr, id.len);
	name[id.len] = '\0';
	rc = spool_dir_keep(&s->dir, f, name, size, err);
	spool_dir_drop(&s->dir, f);
	return rc;
}

void spool_file_drop(struct spool *s, struct spool_file *f)
{
	spool_dir_drop(&s->dir, f);
}

int spool_file_open(struct spool *s, struct base_slice id, int *out_fd, struct base_error *err)
{
	char name[SPOOL_ID_MAX_BYTES + 1];

	BASE_BUG_IF(id.len > SPOOL_ID_MAX_BYTES);
	memcpy(name, id.ptr, id.len);
	name[id.len] = '\0';
	return spool_dir_read(&s->dir, name, out_fd, err);
}

int spool_file_head(struct spool *s, struct base_slice id, size_t max, struct base_buf *out,
	struct base_error *err)
{
	int fd, rc = spool_file_open(s, id, &fd, err);
	uint8_t *to;
	ssize_t n;

	if (rc != 0)
		return rc;
	to = base_buf_reserve(out, max);
	n = to ? pread(fd, to, max, 0) : 0;
	if (n > 0)
		base_buf_grew(out, (size_t)n);
	else if (n < 0)
		rc = base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot read a body");
	close(fd);
	return rc;
}

/* ---- reads ---- */

/* Step to the only row. 0: @st has it and is lent to the caller until the next call. */
static int one_row(struct spool *s, sqlite3_stmt *st, const char *what, struct base_error *err)
{
	int rc = sqlite3_step(st);

	if (rc == SQLITE_ROW) {
		s->lent = st;
		return 0;
	}
	sqlite3_reset(st);
	return rc == SQLITE_DONE ? BASE_ERROR_NOT_FOUND : report(s, rc, what, err);
}

static struct base_slice column_bytes(sqlite3_stmt *st, int column)
{
	const void *ptr = sqlite3_column_blob(st, column);

	return base_slice_make(ptr, ptr ? (size_t)sqlite3_column_bytes(st, column) : 0);
}

int spool_find(struct spool *s, struct base_slice id, int64_t *out_seq, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_FIND);
	int rc;

	sqlite3_bind_text(st, 1, (const char *)id.ptr, (int)id.len, SQLITE_STATIC);
	rc = one_row(s, st, "cannot look up a message", err);
	if (rc == 0)
		*out_seq = sqlite3_column_int64(st, 0);
	unlend(s);
	return rc;
}

int spool_load(
	struct spool *s, int64_t seq, bool body, struct spool_message *out, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, body ? ST_LOAD_BODY : ST_LOAD);
	int rc;

	sqlite3_bind_int64(st, 1, seq);
	rc = one_row(s, st, "cannot read a message", err);
	if (rc != 0)
		return rc;
	*out = (struct spool_message){
		.seq = seq,
		.id = column_bytes(st, 0),
		.arrived_ms = sqlite3_column_int64(st, 1),
		.size = (uint64_t)sqlite3_column_int64(st, 2),
		.file = sqlite3_column_int(st, 3) != 0,
		.envelope = column_bytes(st, 4),
		.body = body ? column_bytes(st, 5) : BASE_SLICE_EMPTY,
	};
	return 0;
}

static int one_number(struct spool *s, sqlite3_stmt *st, int64_t *out, struct base_error *err)
{
	int rc = one_row(s, st, "cannot read", err);

	if (rc == 0)
		*out = sqlite3_column_int64(st, 0);
	unlend(s);
	return rc;
}

int spool_next(struct spool *s, int64_t after, int64_t *out_seq, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_NEXT);

	sqlite3_bind_int64(st, 1, after);
	return one_number(s, st, out_seq, err);
}

int spool_work_count(struct spool *s, int64_t seq, int64_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_WORK_COUNT);

	sqlite3_bind_int64(st, 1, seq);
	return one_number(s, st, out_count, err);
}

int spool_work_next(
	struct spool *s, int64_t seq, uint32_t from, struct spool_work *out, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_WORK_NEXT);
	int rc;

	sqlite3_bind_int64(st, 1, seq);
	sqlite3_bind_int64(st, 2, from);
	rc = one_row(s, st, "cannot read work", err);
	if (rc != 0)
		return rc;
	*out = (struct spool_work){
		.seq = seq,
		.unit = (uint32_t)sqlite3_column_int64(st, 1),
		.ready = (enum spool_ready)sqlite3_column_int(st, 2),
		.next_ms = sqlite3_column_int64(st, 3),
		.dest = (uint64_t)sqlite3_column_int64(st, 4),
		.attempts = (uint32_t)sqlite3_column_int64(st, 5),
		.flags = (unsigned)sqlite3_column_int(st, 6),
		.detail = column_bytes(st, 7),
	};
	return 0;
}

int spool_work_load(
	struct spool *s, int64_t seq, uint32_t unit, struct spool_work *out, struct base_error *err)
{
	struct spool_work w;
	int rc = spool_work_next(s, seq, unit, &w, err);

	if (rc == 0 && w.unit != unit)
		rc = BASE_ERROR_NOT_FOUND;
	if (rc == 0)
		*out = w;
	return rc;
}

static void bind_cursor(sqlite3_stmt *st, const struct spool_key *cursor)
{
	sqlite3_bind_int64(st, 1, cursor->next_ms);
	sqlite3_bind_int64(st, 2, cursor->seq);
	sqlite3_bind_int64(st, 3, cursor->unit);
}

static int read_keys(struct spool *s, sqlite3_stmt *st, struct spool_key *cursor,
	struct spool_key *out, size_t *out_count, struct base_error *err)
{
	size_t n = 0;
	int rc;

	while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
		out[n++] = *cursor = (struct spool_key){
			.next_ms = sqlite3_column_int64(st, 0),
			.seq = sqlite3_column_int64(st, 1),
			.unit = (uint32_t)sqlite3_column_int64(st, 2),
		};
	}
	sqlite3_reset(st);
	*out_count = n;
	return rc == SQLITE_DONE ? 0 : report(s, rc, "cannot read what is due", err);
}

int spool_due(struct spool *s, struct spool_key *cursor, int64_t now_ms, struct spool_key *out,
	size_t max, size_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_DUE);

	bind_cursor(st, cursor);
	sqlite3_bind_int64(st, 4, now_ms);
	sqlite3_bind_int64(st, 5, (int64_t)max);
	return read_keys(s, st, cursor, out, out_count, err);
}

int spool_due_time(
	struct spool *s, const struct spool_key *cursor, int64_t *out_ms, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_DUE_TIME);
	int rc;

	bind_cursor(st, cursor);
	rc = one_number(s, st, out_ms, err);
	if (rc == BASE_ERROR_NOT_FOUND)
		*out_ms = INT64_MAX;
	return rc == BASE_ERROR_NOT_FOUND ? 0 : rc;
}

int spool_parked(struct spool *s, uint64_t dest, struct spool_key *cursor, struct spool_key *out,
	size_t max, size_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_PARKED);

	bind_cursor(st, cursor);
	sqlite3_bind_int64(st, 4, (int64_t)dest);
	sqlite3_bind_int64(st, 5, (int64_t)max);
	return read_keys(s, st, cursor, out, out_count, err);
}

int spool_parked_dest(struct spool *s, int64_t *dest, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_PARKED_DEST);

	sqlite3_bind_int64(st, 1, *dest);
	return one_number(s, st, dest, err);
}

int spool_fresh_next(struct spool *s, struct spool_fresh *cursor, int64_t *out_seqs, size_t max,
	size_t *out_count, struct base_error *err)
{
	sqlite3_stmt *st = statement(s, ST_FRESH);
	size_t n = 0, seen = 0;
	struct base_slice id;
	int rc = SQLITE_ROW;

	sqlite3_bind_text(st, 1, cursor->id, -1, SQLITE_TRANSIENT);
	sqlite3_bind_int64(st, 2, FRESH_LOOK_MAX);
	while (n < max && (rc = sqlite3_step(st)) == SQLITE_ROW) {
		seen++;
		id = column_bytes(st, 1);
		if (id.len > SPOOL_ID_MAX_BYTES)
			continue;
		memcpy(cursor->id, id.ptr, id.len);
		cursor->id[id.len] = '\0';
		/* Newer ones are in the caller's hands since they came. */
		if (sqlite3_column_int64(st, 0) <= s->open_seq && !sqlite3_column_int(st, 2))
			out_seqs[n++] = sqlite3_column_int64(st, 0);
	}
	sqlite3_reset(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return report(s, rc, "cannot read what is fresh", err);
	*out_count = n;
	cursor->done = rc == SQLITE_DONE && seen < FRESH_LOOK_MAX;
	return 0;
}

int spool_stats(struct spool *s, struct spool_stats *out, struct base_error *err)
{
	struct spool_stats x = {.next_ms = INT64_MAX};
	int64_t total = 0, bytes = 0, fresh = 0, timed = 0, parked = 0, held = 0, oldest = 0;
	struct spool_key start = {.next_ms = INT64_MIN};
	int rc;

	unlend(s);
	rc = ask(s, "SELECT count(*) FROM message", &total, err);
	if (rc == 0)
		rc = ask(s, "SELECT count(*) FROM work WHERE ready = 0", &timed, err);
	if (rc == 0)
		rc = ask(s, "SELECT count(*) FROM work WHERE ready = 1", &parked, err);
	if (rc == 0)
		rc = ask(s, "SELECT count(*) FROM work WHERE ready = 2", &held, err);
	if (rc == 0)
		rc = ask(s, "SELECT count(DISTINCT seq) FROM work", &fresh, err);
	if (rc == 0)
		rc = ask(s,
			"SELECT coalesce((SELECT arrived FROM message ORDER BY seq LIMIT 1), 0)",
			&oldest, err);
	if (rc == 0 && total <= STATS_BYTES_MAX)
		rc = ask(s, "SELECT coalesce(sum(size), 0) FROM message", &bytes, err);
	if (rc == 0)
		rc = spool_due_time(s, &start, &x.next_ms, err);
	if (rc != 0)
		return rc;
	x.messages = (uint64_t)total;
	x.bytes = (uint64_t)bytes;
	x.bytes_known = total <= STATS_BYTES_MAX;
	x.fresh = (uint64_t)(total - fresh);
	x.timed = (uint64_t)timed;
	x.parked = (uint64_t)parked;
	x.held = (uint64_t)held;
	x.oldest_ms = oldest;
	*out = x;
	return 0;
}
