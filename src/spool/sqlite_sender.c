/* The sender table on SQLite. Commands and starts come seldom: no statement is kept. */
#include "spool/sender.h"

#include "spool/sqlite_internal.h"

static sqlite3_stmt *prepare(struct spool *s, const char *sql, int *rc)
{
	sqlite3_stmt *st = NULL;

	*rc = sqlite3_prepare_v2(spool_sqlite(s), sql, -1, &st, NULL);
	return st;
}

static void bind(sqlite3_stmt *st, int at, struct base_slice text)
{
	sqlite3_bind_text(
		st, at, text.len ? (const char *)text.ptr : "", (int)text.len, SQLITE_STATIC);
}

static struct base_slice column(sqlite3_stmt *st, int at)
{
	const void *ptr = sqlite3_column_text(st, at);

	return base_slice_make(ptr, ptr ? (size_t)sqlite3_column_bytes(st, at) : 0);
}

static int find(struct spool *s, struct base_slice line, bool *out_found, struct base_error *err)
{
	int rc;
	sqlite3_stmt *st = prepare(s, "SELECT 1 FROM sender WHERE line = ?", &rc);

	if (rc == SQLITE_OK) {
		bind(st, 1, line);
		rc = sqlite3_step(st);
	}
	sqlite3_finalize(st);
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		return spool_sqlite_report(s, rc, "cannot read the sender table", err);
	*out_found = rc == SQLITE_ROW;
	return 0;
}

static int finish(struct spool *s, sqlite3_stmt *st, int rc, struct base_error *err)
{
	if (rc == SQLITE_OK)
		rc = sqlite3_step(st);
	sqlite3_finalize(st);
	return rc == SQLITE_DONE
		? 0
		: spool_sqlite_fail_turn(s, rc, "cannot change the sender table", err);
}

int spool_sender_put(struct spool *s, const struct spool_sender *line, bool replace,
	bool *out_replaced, struct base_error *err)
{
	sqlite3_stmt *st;
	bool found = false;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc == 0)
		rc = find(s, line->line, &found, err);
	if (rc != 0)
		return rc;
	if (found && !replace)
		return BASE_ERROR_EXISTS;
	st = prepare(s, "INSERT OR REPLACE INTO sender VALUES (?, ?, ?)", &rc);
	if (rc == SQLITE_OK) {
		bind(st, 1, line->line);
		bind(st, 2, line->account);
		sqlite3_bind_int64(st, 3, line->created_ms);
	}
	rc = finish(s, st, rc, err);
	if (rc == 0)
		*out_replaced = found;
	return rc;
}

int spool_sender_remove(struct spool *s, struct base_slice line, struct base_error *err)
{
	sqlite3_stmt *st;
	bool found = false;
	int rc = spool_begin(s, SPOOL_SYNC, err);

	if (rc == 0)
		rc = find(s, line, &found, err);
	if (rc != 0)
		return rc;
	if (!found)
		return BASE_ERROR_NOT_FOUND;
	st = prepare(s, "DELETE FROM sender WHERE line = ?", &rc);
	if (rc == SQLITE_OK)
		bind(st, 1, line);
	return finish(s, st, rc, err);
}

int spool_sender_each(struct spool *s, void (*fn)(void *arg, const struct spool_sender *line),
	void *arg, struct base_error *err)
{
	int rc;
	sqlite3_stmt *st = prepare(
		s, "SELECT line, account, created FROM sender ORDER BY line", &rc);

	while (rc == SQLITE_OK || rc == SQLITE_ROW) {
		rc = sqlite3_step(st);
		if (rc == SQLITE_ROW) {
			struct spool_sender line = {
				column(st, 0), column(st, 1), sqlite3_column_int64(st, 2)};

			fn(arg, &line);
		}
	}
	sqlite3_finalize(st);
	return rc == SQLITE_DONE ? 0
				 : spool_sqlite_report(s, rc, "cannot read the sender table", err);
}
