/* vault/store_internal.h: what the files of the SQLite store share
 * Secrets  a bound value is forgotten by vault_sql_done(), which every statement ends with */
#ifndef VAULT_STORE_INTERNAL_H
#define VAULT_STORE_INTERNAL_H

#include "vault/store.h"

#include <sqlite3.h>

#define VAULT_SQL_USER_STATEMENTS_MAX 32
#define VAULT_SQL_ACCOUNT_STATEMENTS_MAX 12

struct vault_store {
	sqlite3 *db;
	char *path, *key_path;
	bool in_transaction;
	uint8_t key[BASE_SEAL_KEY_BYTES];
	uint8_t mock_key[VAULT_MOCK_KEY_BYTES];
	sqlite3_stmt *statements[VAULT_SQL_USER_STATEMENTS_MAX];            /* store_sqlite.c */
	sqlite3_stmt *account_statements[VAULT_SQL_ACCOUNT_STATEMENTS_MAX]; /* store_accounts.c */
};

/* The tables of accounts, and how they are made of those of version 1 (store_accounts.c). */
extern const char vault_sql_account_schema[], vault_sql_account_from_1[];

/* Class, code and text of what SQLite said last; @what: "write to", "read". */
int vault_sql_failed(struct vault_store *s, const char *what, struct base_error *err);
BASE_MUST_USE int vault_sql_exec(
	struct vault_store *s, const char *sql, const char *what, struct base_error *err);

/* Null when SQLite cannot; the functions below take that and fail. */
sqlite3_stmt *vault_sql_prepare(struct vault_store *s, sqlite3_stmt **slot, const char *sql);
void vault_sql_bind_text(sqlite3_stmt *st, int at, struct base_slice text);
void vault_sql_bind_blob(sqlite3_stmt *st, int at, struct base_slice bytes);
void vault_sql_bind_number(sqlite3_stmt *st, int at, int64_t value);
/* A statement without rows, done with after it. */
BASE_MUST_USE int vault_sql_run(struct vault_store *s, sqlite3_stmt *st, struct base_error *err);
/* 1: a row is there; 0: no more; negative. */
BASE_MUST_USE int vault_sql_next(struct vault_store *s, sqlite3_stmt *st, struct base_error *err);
/* Of the row; valid until the next step. */
struct base_slice vault_sql_column(sqlite3_stmt *st, int at);
void vault_sql_column_text(sqlite3_stmt *st, int at, char *out, size_t size);
/* Forget the bound values too: they may be secrets. */
void vault_sql_done(sqlite3_stmt *st);

/* Calls of several statements: their own transaction unless the caller has one. */
BASE_MUST_USE int vault_sql_begin(struct vault_store *s, bool *out_own, struct base_error *err);
BASE_MUST_USE int vault_sql_end(struct vault_store *s, bool own, int rc, struct base_error *err);

/* Appended to @out. */
void vault_sql_seal(struct vault_store *s, struct base_slice label, struct base_slice plain,
	struct base_buf *out);
BASE_MUST_USE int vault_sql_unseal(struct vault_store *s, struct base_slice label,
	struct base_slice sealed, struct base_secret *out, struct base_error *err);

#endif
