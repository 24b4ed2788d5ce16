/* The accounts of the vault in SQLite: credentials for relaying.
 *
 *   account       one row each; kind, mechanisms: as numbered in vault/store.h and sasl/mechanism.h
 *   account_part  what has a value of its own, by enum vault_account_part; goes with its account
 *
 * Version 1 had one table with the sealed password in it, and sealed it under "account:NAME". SECRET
 * keeps that label, so that the way from version 1 is plain SQL and an account whose password does not
 * open any more keeps no vault from opening. The other labels are "account:NAME:PART"; a name holds no
 * colon (vault/name.h), so no two are the same. CA is public and not sealed. */
#include "vault/store_internal.h"

#include <assert.h>
#include <string.h>

#define TABLES \
	"CREATE TABLE account (name TEXT PRIMARY KEY, url TEXT NOT NULL, username TEXT NOT NULL," \
	" kind INTEGER NOT NULL, mechanisms BIGINT NOT NULL, pin TEXT NOT NULL," \
	" connections BIGINT NOT NULL, rate_count BIGINT NOT NULL, rate_s BIGINT NOT NULL," \
	" created BIGINT NOT NULL) WITHOUT ROWID;" \
	"CREATE TABLE account_part (account TEXT NOT NULL REFERENCES account(name)" \
	" ON DELETE CASCADE, part INTEGER NOT NULL, value BLOB NOT NULL," \
	" PRIMARY KEY (account, part));"

const char vault_sql_account_schema[] = TABLES;

const char vault_sql_account_from_1[] =
	"ALTER TABLE account RENAME TO account_1;" TABLES
	"INSERT INTO account (name, url, username, kind, mechanisms, pin, connections, rate_count,"
	" rate_s, created) SELECT name, url, username, 0, 0, '', 0, 0, 0, created FROM account_1;"
	"INSERT INTO account_part (account, part, value) SELECT name, 0, secret FROM account_1;"
	"DROP TABLE account_1;";

static_assert(VAULT_ACCOUNT_PASSWORD == 0 && VAULT_ACCOUNT_SECRET == 0, "from_1 says so");
static_assert(VAULT_ACCOUNT_CA == 1 && VAULT_ACCOUNT_CHAIN == 2 && VAULT_ACCOUNT_TOKEN == 4,
	"COLUMNS says so");

#define HAS(part) "EXISTS (SELECT 1 FROM account_part WHERE account = name AND part = " #part ")"
#define COLUMNS \
	"SELECT name, url, username, kind, mechanisms, pin, connections, rate_count, rate_s," \
	" created, " HAS(1) ", " HAS(2) ", " HAS(4) " FROM account "

#define STATEMENTS(X) \
	X(ADD, \
		"INSERT INTO account (name, url, username, kind, mechanisms, pin, connections," \
		" rate_count, rate_s, created) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)") \
	X(GET, COLUMNS "WHERE name = ?1") \
	X(EACH, COLUMNS "ORDER BY name") \
	X(REMOVE, "DELETE FROM account WHERE name = ?1") \
	X(EXISTS, "SELECT 1 FROM account WHERE name = ?1") \
	X(PART_GET, "SELECT value FROM account_part WHERE account = ?1 AND part = ?2") \
	X(PART_PUT, \
		"INSERT OR REPLACE INTO account_part (account, part, value) VALUES (?1, ?2, ?3)") \
	X(PART_REMOVE, "DELETE FROM account_part WHERE account = ?1 AND part = ?2")

enum statement {
#define X(name, sql) STATEMENT_##name,
	STATEMENTS(X)
#undef X
		STATEMENT_COUNT,
};

static const char *const statement_sql[] = {
#define X(name, sql) sql,
	STATEMENTS(X)
#undef X
};

static_assert(STATEMENT_COUNT <= VAULT_SQL_ACCOUNT_STATEMENTS_MAX, "struct vault_store keeps them");

static sqlite3_stmt *prepared(struct vault_store *s, enum statement which)
{
	return vault_sql_prepare(s, &s->account_statements[which], statement_sql[which]);
}

static int no_account(struct base_slice name, struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_NOT_FOUND, 0, "no such account");
}

static int insert(
	struct vault_store *s, const struct vault_account *account, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_ADD);

	vault_sql_bind_text(st, 1, base_slice_text(account->name));
	vault_sql_bind_text(st, 2, base_slice_text(account->url));
	vault_sql_bind_text(st, 3, base_slice_text(account->user));
	vault_sql_bind_number(st, 4, account->kind);
	vault_sql_bind_number(st, 5, account->mechanisms);
	vault_sql_bind_text(st, 6, base_slice_text(account->pin));
	vault_sql_bind_number(st, 7, account->connections);
	vault_sql_bind_number(st, 8, account->rate_count);
	vault_sql_bind_number(st, 9, account->rate_s);
	vault_sql_bind_number(st, 10, account->created_ms);
	return vault_sql_run(s, st, err);
}

int vault_store_account_put(struct vault_store *s, const struct vault_account *account,
	bool replace, struct base_error *err)
{
	sqlite3_stmt *st;
	bool own;
	int rc = vault_sql_begin(s, &own, err);

	if (rc != 0)
		return rc;
	if (replace) {
		st = prepared(s, STATEMENT_REMOVE);
		vault_sql_bind_text(st, 1, base_slice_text(account->name));
		rc = vault_sql_run(s, st, err);
	}
	if (rc == 0)
		rc = insert(s, account, err);
	return vault_sql_end(s, own, rc, err);
}

static void take_account(sqlite3_stmt *st, struct vault_account *out)
{
	memset(out, 0, sizeof(*out));
	vault_sql_column_text(st, 0, out->name, sizeof(out->name));
	vault_sql_column_text(st, 1, out->url, sizeof(out->url));
	vault_sql_column_text(st, 2, out->user, sizeof(out->user));
	out->kind = (enum vault_account_kind)sqlite3_column_int(st, 3);
	out->mechanisms = (sasl_mechanism_mask)sqlite3_column_int64(st, 4);
	vault_sql_column_text(st, 5, out->pin, sizeof(out->pin));
	out->connections = (uint32_t)sqlite3_column_int64(st, 6);
	out->rate_count = (uint32_t)sqlite3_column_int64(st, 7);
	out->rate_s = (uint32_t)sqlite3_column_int64(st, 8);
	out->created_ms = sqlite3_column_int64(st, 9);
	out->has_ca = sqlite3_column_int(st, 10) != 0;
	out->has_certificate = sqlite3_column_int(st, 11) != 0;
	out->has_token = sqlite3_column_int(st, 12) != 0;
}

int vault_store_account_get(struct vault_store *s, struct base_slice name,
	struct vault_account *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_GET);
	int row;

	vault_sql_bind_text(st, 1, name);
	row = vault_sql_next(s, st, err);
	if (row == 1)
		take_account(st, out);
	vault_sql_done(st);
	return row < 0 ? row : row == 1 ? 0 : no_account(name, err);
}

static void part_label(struct base_slice name, enum vault_account_part part, struct base_buf *out)
{
	static const char *const suffixes[] = {
		[VAULT_ACCOUNT_SECRET] = "",
		[VAULT_ACCOUNT_CA] = ":ca",
		[VAULT_ACCOUNT_CHAIN] = ":chain",
		[VAULT_ACCOUNT_KEY] = ":key",
		[VAULT_ACCOUNT_TOKEN] = ":token",
	};

	static_assert(BASE_COUNT(suffixes) == VAULT_ACCOUNT_PART_COUNT, "one for each part");
	base_buf_init(out, 512);
	base_buf_append_text(out, "account:");
	base_buf_append_slice(out, name);
	base_buf_append_text(out, suffixes[part]);
}

static int exists(struct vault_store *s, struct base_slice name, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_EXISTS);
	int row;

	vault_sql_bind_text(st, 1, name);
	row = vault_sql_next(s, st, err);
	vault_sql_done(st);
	return row < 0 ? row : row == 1 ? 0 : no_account(name, err);
}

static int write_part(struct vault_store *s, struct base_slice name, enum vault_account_part part,
	struct base_slice value, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, value.len ? STATEMENT_PART_PUT : STATEMENT_PART_REMOVE);
	struct base_buf label, sealed;
	int rc;

	part_label(name, part, &label);
	base_buf_init(&sealed, value.len + BASE_SEAL_OVERHEAD_BYTES);
	vault_sql_bind_text(st, 1, name);
	vault_sql_bind_number(st, 2, part);
	if (value.len && part == VAULT_ACCOUNT_CA) {
		vault_sql_bind_blob(st, 3, value);
	} else if (value.len) {
		vault_sql_seal(s, base_buf_slice(&label), value, &sealed);
		vault_sql_bind_blob(st, 3, base_buf_slice(&sealed));
	}
	rc = vault_sql_run(s, st, err);
	base_buf_release(&label);
	base_buf_release(&sealed);
	return rc;
}

int vault_store_account_part_put(struct vault_store *s, struct base_slice name,
	enum vault_account_part part, struct base_slice value, struct base_error *err)
{
	bool own;
	int rc;

	if (value.len > VAULT_ACCOUNT_PART_MAX_BYTES)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "a part of the account is too long");
	rc = vault_sql_begin(s, &own, err);
	if (rc != 0)
		return rc;
	rc = exists(s, name, err);
	if (rc == 0)
		rc = write_part(s, name, part, value, err);
	return vault_sql_end(s, own, rc, err);
}

static int open_part(struct vault_store *s, struct base_slice name, enum vault_account_part part,
	struct base_slice stored, struct base_buf *out, struct base_error *err)
{
	struct base_secret plain;
	struct base_buf label;
	int rc = 0;

	if (part == VAULT_ACCOUNT_CA)
		return base_buf_append_slice(out, stored)
			? 0
			: base_error_set(err, BASE_ERROR_PERMANENT, 0, "a part is too long");
	base_secret_init(&plain, stored.len);
	part_label(name, part, &label);
	rc = vault_sql_unseal(s, base_buf_slice(&label), stored, &plain, err);
	if (rc == 0 && !base_buf_append_slice(out, base_secret_slice(&plain)))
		rc = base_error_set(err, BASE_ERROR_PERMANENT, 0, "a part is too long");
	base_buf_release(&label);
	base_secret_release(&plain);
	return rc;
}

int vault_store_account_part_get(struct vault_store *s, struct base_slice name,
	enum vault_account_part part, struct base_buf *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_PART_GET);
	int rc, row;

	vault_sql_bind_text(st, 1, name);
	vault_sql_bind_number(st, 2, part);
	row = vault_sql_next(s, st, err);
	if (row == 1 && vault_sql_column(st, 0).len)
		rc = open_part(s, name, part, vault_sql_column(st, 0), out, err);
	else
		rc = row < 0 ? row
			     : base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
				       "no such account, or nothing of the kind is stored of it");
	vault_sql_done(st);
	return rc;
}

int vault_store_account_remove(
	struct vault_store *s, struct base_slice name, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_REMOVE);
	int rc;

	vault_sql_bind_text(st, 1, name);
	rc = vault_sql_run(s, st, err);
	return rc == 0 && sqlite3_changes(s->db) == 0 ? no_account(name, err) : rc;
}

int vault_store_account_each(
	struct vault_store *s, vault_account_fn fn, void *arg, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_EACH);
	struct vault_account account;
	int row;

	while ((row = vault_sql_next(s, st, err)) == 1) {
		take_account(st, &account);
		if (!fn(&account, arg)) {
			row = 0;
			break;
		}
	}
	vault_sql_done(st);
	return row;
}
