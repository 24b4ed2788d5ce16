/* What every statement of the vault passes through: binding, stepping, transactions, sealing. */
#include "vault/store_internal.h"

#include "base/clock.h"

#include <string.h>

static enum base_error_class class_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_FULL:
		return BASE_ERROR_NO_SPACE;
	case SQLITE_CONSTRAINT:
		return BASE_ERROR_EXISTS;
	case SQLITE_CANTOPEN:
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
	case SQLITE_READONLY:
	case SQLITE_PERM:
		return BASE_ERROR_CONFIG;
	default:
		return BASE_ERROR_TEMPORARY;
	}
}

int vault_sql_failed(struct vault_store *s, const char *what, struct base_error *err)
{
	int code = sqlite3_extended_errcode(s->db);

	return base_error_set(err, class_of(code), code, "cannot %s the vault \"%s\": %s", what,
		s->path, sqlite3_errmsg(s->db));
}

sqlite3_stmt *vault_sql_prepare(struct vault_store *s, sqlite3_stmt **slot, const char *sql)
{
	if (!*slot)
		(void)sqlite3_prepare_v3(s->db, sql, -1, SQLITE_PREPARE_PERSISTENT, slot, NULL);
	return *slot;
}

void vault_sql_bind_text(sqlite3_stmt *st, int at, struct base_slice text)
{
	if (st)
		sqlite3_bind_text(st, at, text.len ? (const char *)text.ptr : "", (int)text.len,
			SQLITE_TRANSIENT);
}

void vault_sql_bind_blob(sqlite3_stmt *st, int at, struct base_slice bytes)
{
	if (st)
		sqlite3_bind_blob(st, at, bytes.ptr, (int)bytes.len, SQLITE_TRANSIENT);
}

void vault_sql_bind_number(sqlite3_stmt *st, int at, int64_t value)
{
	if (st)
		sqlite3_bind_int64(st, at, value);
}

void vault_sql_done(sqlite3_stmt *st)
{
	if (!st)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

int vault_sql_run(struct vault_store *s, sqlite3_stmt *st, struct base_error *err)
{
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR, result = 0;

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		result = vault_sql_failed(s, "write to", err);
	vault_sql_done(st);
	return result;
}

int vault_sql_next(struct vault_store *s, sqlite3_stmt *st, struct base_error *err)
{
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : vault_sql_failed(s, "read", err);
}

struct base_slice vault_sql_column(sqlite3_stmt *st, int at)
{
	const void *ptr = sqlite3_column_blob(st, at);

	return base_slice_make(ptr, (size_t)sqlite3_column_bytes(st, at));
}

void vault_sql_column_text(sqlite3_stmt *st, int at, char *out, size_t size)
{
	struct base_slice text = base_slice_first(vault_sql_column(st, at), size - 1);

	if (text.len)
		memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
}

int vault_sql_exec(struct vault_store *s, const char *sql, const char *what, struct base_error *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK
		? 0
		: vault_sql_failed(s, what, err);
}

int vault_store_begin(struct vault_store *s, struct base_error *err)
{
	int rc;

	BASE_BUG_IF(s->in_transaction);
	rc = vault_sql_exec(s, "BEGIN IMMEDIATE", "write to", err);
	s->in_transaction = rc == 0;
	return rc;
}

int vault_store_commit(struct vault_store *s, struct base_error *err)
{
	int rc = vault_sql_exec(s, "COMMIT", "write to", err);

	if (rc == 0)
		s->in_transaction = false;
	else
		vault_store_rollback(s);
	return rc;
}

void vault_store_rollback(struct vault_store *s)
{
	if (!s->in_transaction)
		return;
	s->in_transaction = false;
	/* SQLite may have rolled back by itself. */
	if (!sqlite3_get_autocommit(s->db))
		(void)sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
}

int vault_sql_begin(struct vault_store *s, bool *out_own, struct base_error *err)
{
	*out_own = !s->in_transaction;
	return *out_own ? vault_store_begin(s, err) : 0;
}

int vault_sql_end(struct vault_store *s, bool own, int rc, struct base_error *err)
{
	if (!own)
		return rc;
	if (rc == 0)
		return vault_store_commit(s, err);
	vault_store_rollback(s);
	return rc;
}

void vault_sql_seal(struct vault_store *s, struct base_slice label, struct base_slice plain,
	struct base_buf *out)
{
	uint8_t nonce[BASE_SEAL_NONCE_BYTES];

	base_random_fill(nonce, sizeof(nonce));
	BASE_BUG_IF(!base_seal(base_slice_make(s->key, sizeof(s->key)),
		base_slice_make(nonce, sizeof(nonce)), label, plain, out));
}

int vault_sql_unseal(struct vault_store *s, struct base_slice label, struct base_slice sealed,
	struct base_secret *out, struct base_error *err)
{
	if (base_unseal(base_slice_make(s->key, sizeof(s->key)), label, sealed, out))
		return 0;
	return base_error_set(err, BASE_ERROR_CONFIG, 0,
		"a secret in the vault \"%s\" does not open with its key \"%s\"", s->path,
		s->key_path);
}
