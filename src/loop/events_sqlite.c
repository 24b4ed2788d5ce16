/* Rows of the event store in SQLite: the one place of loop/ that knows SQL.
 *
 *   event(at, message, session, user, sender, records)
 *
 * One row takes what one batch said of one subject, because every index entry costs more than the bytes
 * of a record. The key is the time, so that rows, and ids that sort by time, are appended at the right
 * end of their trees. Indexes are partial: most rows have no user and no sender of their own. WAL with
 * synchronous = NORMAL: a power loss may take the last batches, never the file. */
#include "loop/events_internal.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
	BUSY_MS = 2000,
	/* A file of before that can give pages back is made to while it is no larger. */
	CONVERT_MAX_BYTES = 64 << 20,
};

static const char schema[] =
	/* Ahead of everything that writes, or it comes too late for a new file. */
	"PRAGMA auto_vacuum = INCREMENTAL;"
	"PRAGMA journal_mode = WAL;"
	"PRAGMA journal_size_limit = 4194304;"
	"PRAGMA synchronous = NORMAL;"
	"PRAGMA temp_store = MEMORY;"
	"CREATE TABLE IF NOT EXISTS event ("
	" at INTEGER PRIMARY KEY,"
	" message TEXT, session TEXT, user TEXT COLLATE NOCASE, sender TEXT COLLATE NOCASE,"
	" records BLOB NOT NULL);"
	"CREATE INDEX IF NOT EXISTS event_message ON event(message) WHERE message IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS event_session ON event(session) WHERE session IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS event_user ON event(user) WHERE user IS NOT NULL;"
	"CREATE INDEX IF NOT EXISTS event_sender ON event(sender) WHERE sender IS NOT NULL;"
	"PRAGMA user_version = 1;";

enum statement {
	BEGIN = EVENTS_BY_COUNT, /* the selects come first */
	COMMIT,
	ROLLBACK,
	INSERT,
	LAST,
	REMOVE,
	STATEMENT_COUNT,
};

#define SELECT "SELECT at, message, session, user, sender, records FROM event "

static const char *const texts[STATEMENT_COUNT] = {
	[EVENTS_BY_MESSAGE] = SELECT "WHERE message = ?1 ORDER BY at DESC LIMIT ?2",
	[EVENTS_BY_SESSION] = SELECT "WHERE session = ?1 ORDER BY at DESC LIMIT ?2",
	[EVENTS_BY_SESSION_ALONE] = SELECT
	"WHERE session = ?1 AND message IS NULL ORDER BY at DESC LIMIT ?2",
	[EVENTS_BY_USER] = SELECT "WHERE user = ?1 ORDER BY at DESC LIMIT ?2",
	[EVENTS_BY_SENDER] = SELECT "WHERE sender = ?1 ORDER BY at DESC LIMIT ?2",
	[EVENTS_BY_TIME] = SELECT "WHERE ?1 IS NOT NULL ORDER BY at DESC LIMIT ?2",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
	[INSERT] = "INSERT INTO event (at, message, session, user, sender, records) "
		   "VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
	[LAST] = "SELECT max(at) FROM event",
	[REMOVE] = "DELETE FROM event WHERE at IN "
		   "(SELECT at FROM event WHERE at < ?1 ORDER BY at LIMIT ?2)",
};

struct events_db {
	sqlite3 *handle;
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

static int failed(struct events_db *db, struct base_error *err)
{
	int code = sqlite3_extended_errcode(db->handle);

	return base_error_set(err,
		(code & 0xff) == SQLITE_FULL ? BASE_ERROR_NO_SPACE : BASE_ERROR_TEMPORARY, code,
		"event store: %s", sqlite3_errmsg(db->handle));
}

static sqlite3_stmt *statement(struct events_db *db, unsigned which)
{
	if (!db->statements[which] &&
		sqlite3_prepare_v3(db->handle, texts[which], -1, SQLITE_PREPARE_PERSISTENT,
			&db->statements[which], NULL) != SQLITE_OK)
		return NULL;
	return db->statements[which];
}

static int run(struct events_db *db, unsigned which, struct base_error *err)
{
	sqlite3_stmt *s = statement(db, which);
	int rc = s ? sqlite3_step(s) : SQLITE_ERROR;
	int result = rc == SQLITE_DONE || rc == SQLITE_ROW ? 0 : failed(db, err);

	if (s)
		sqlite3_reset(s);
	return result;
}

static uint64_t number_of(struct events_db *db, const char *sql)
{
	sqlite3_stmt *s = NULL;
	uint64_t number = 0;

	if (sqlite3_prepare_v2(db->handle, sql, -1, &s, NULL) == SQLITE_OK &&
		sqlite3_step(s) == SQLITE_ROW)
		number = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return number;
}

static uint64_t file_bytes(struct events_db *db)
{
	return number_of(db, "PRAGMA page_count") * number_of(db, "PRAGMA page_size");
}

/* Whatever comes of it, the store works. */
static void convert(struct events_db *db)
{
	if (number_of(db, "PRAGMA auto_vacuum") == 0 && file_bytes(db) <= CONVERT_MAX_BYTES)
		(void)sqlite3_exec(
			db->handle, "PRAGMA auto_vacuum = INCREMENTAL; VACUUM", NULL, NULL, NULL);
}

int events_db_open(const char *path, bool write, struct events_db **out, struct base_error *err)
{
	struct events_db *db;
	struct stat st;
	int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | (write ? SQLITE_OPEN_CREATE : 0);
	int rc = 0;

	if (!write && stat(path, &st) != 0)
		return base_error_set(
			err, BASE_ERROR_NOT_FOUND, 0, "there is no event store \"%s\" yet", path);
	db = base_alloc_zero(1, sizeof(*db));
	if (sqlite3_open_v2(path, &db->handle, flags, NULL) != SQLITE_OK)
		rc = base_error_set(err, BASE_ERROR_TEMPORARY, sqlite3_errcode(db->handle),
			"cannot open the event store \"%s\": %s", path, sqlite3_errmsg(db->handle));
	if (rc == 0) {
		sqlite3_busy_timeout(db->handle, BUSY_MS);
		if (write && sqlite3_exec(db->handle, schema, NULL, NULL, NULL) != SQLITE_OK)
			rc = failed(db, err);
		else if (write)
			convert(db);
	}
	if (rc != 0)
		events_db_close(&db);
	else
		*out = db;
	return rc;
}

void events_db_close(struct events_db **dbp)
{
	struct events_db *db = *dbp;

	*dbp = NULL;
	if (!db)
		return;
	for (unsigned i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(db->statements[i]);
	sqlite3_close(db->handle);
	free(db);
}

int64_t events_db_last(struct events_db *db)
{
	sqlite3_stmt *s = statement(db, LAST);
	int64_t last = s && sqlite3_step(s) == SQLITE_ROW ? sqlite3_column_int64(s, 0) : 0;

	sqlite3_reset(s);
	return last;
}

int events_db_begin(struct events_db *db, struct base_error *err)
{
	return run(db, BEGIN, err);
}

int events_db_end(struct events_db *db, bool keep, struct base_error *err)
{
	int rc = run(db, keep ? COMMIT : ROLLBACK, err);

	if (rc != 0 && keep)
		(void)run(db, ROLLBACK, NULL);
	return rc;
}

static void bind_text(sqlite3_stmt *s, int at, struct base_slice text)
{
	if (text.len == 0)
		sqlite3_bind_null(s, at);
	else
		sqlite3_bind_text(s, at, (const char *)text.ptr, (int)text.len, SQLITE_STATIC);
}

int events_db_insert(struct events_db *db, const struct events_row *row, struct base_error *err)
{
	sqlite3_stmt *s = statement(db, INSERT);
	int rc;

	if (!s)
		return failed(db, err);
	sqlite3_bind_int64(s, 1, row->at);
	bind_text(s, 2, row->message);
	bind_text(s, 3, row->session);
	bind_text(s, 4, row->user);
	bind_text(s, 5, row->sender);
	sqlite3_bind_blob(s, 6, row->records.ptr, (int)row->records.len, SQLITE_STATIC);
	rc = sqlite3_step(s) == SQLITE_DONE ? 0 : failed(db, err);
	sqlite3_reset(s);
	return rc;
}

static struct base_slice column(sqlite3_stmt *s, int at)
{
	const void *bytes = sqlite3_column_blob(s, at);

	return base_slice_make(bytes, (size_t)sqlite3_column_bytes(s, at));
}

int events_db_select(struct events_db *db, enum events_by by, struct base_slice key, unsigned limit,
	events_row_fn fn, void *arg, struct base_error *err)
{
	sqlite3_stmt *s = statement(db, by);
	int rc = SQLITE_ERROR;

	if (!s)
		return failed(db, err);
	sqlite3_bind_text(s, 1, key.len ? (const char *)key.ptr : "", (int)key.len, SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, limit);
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		struct events_row row = {sqlite3_column_int64(s, 0), column(s, 1), column(s, 2),
			column(s, 3), column(s, 4), column(s, 5)};

		if (!fn(arg, &row)) {
			rc = SQLITE_DONE;
			break;
		}
	}
	rc = rc == SQLITE_DONE ? 0 : failed(db, err);
	sqlite3_reset(s);
	return rc;
}

unsigned events_db_remove(struct events_db *db, int64_t before, unsigned max)
{
	sqlite3_stmt *s = statement(db, REMOVE);
	int rc;

	if (!s)
		return 0;
	sqlite3_bind_int64(s, 1, before);
	sqlite3_bind_int64(s, 2, max);
	rc = sqlite3_step(s);
	sqlite3_reset(s);
	return rc == SQLITE_DONE ? (unsigned)sqlite3_changes(db->handle) : 0;
}

bool events_db_shrink(struct events_db *db, uint64_t size, unsigned max_pages)
{
	uint64_t page = number_of(db, "PRAGMA page_size"), bytes = file_bytes(db), free_pages;
	char sql[64];

	if (page == 0 || bytes <= size || number_of(db, "PRAGMA auto_vacuum") == 0)
		return false;
	free_pages = number_of(db, "PRAGMA freelist_count");
	snprintf(sql, sizeof(sql), "PRAGMA incremental_vacuum(%u)",
		free_pages < max_pages ? (unsigned)free_pages : max_pages);
	if (free_pages == 0 || sqlite3_exec(db->handle, sql, NULL, NULL, NULL) != SQLITE_OK)
		return false;
	/* The file itself ends earlier only when the log was written back. */
	(void)sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	return free_pages > max_pages && file_bytes(db) > size;
}

void events_db_size(struct events_db *db, uint64_t *out_rows, uint64_t *out_bytes)
{
	uint64_t pages = number_of(db, "PRAGMA page_count");
	uint64_t unused = number_of(db, "PRAGMA freelist_count");

	*out_bytes = (pages - unused) * number_of(db, "PRAGMA page_size");
	if (out_rows)
		*out_rows = number_of(db, "SELECT count(*) FROM event");
}
