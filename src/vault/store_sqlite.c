/* The vault in SQLite. The only file of the vault that knows SQL; over 800 lines because every
 * statement stands here with the code that binds it.
 *
 *   meta      key, value               "mock": the mock key, sealed; proves that the key file fits
 *   user      one row per user; key is the name in lower case with its domain (vault/name.h)
 *   app       app passwords of users, by label
 *   scram     keys of a user (app 0) or app password, by hash: 1, 256, 512
 *   send_as   addresses, the same way
 *   account   credentials for relaying
 *
 * WAL with full synchronisation: what was committed survives a power loss. secure_delete overwrites
 * what a changed password leaves behind. Sealed values carry their place as label, so that one cannot
 * be moved to another row. */
#include "vault/store.h"

#include "base/clock.h"
#include "vault/store_key.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_VERSION = 1 };

static const char schema[] =
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE user (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
	" disabled INTEGER NOT NULL, created BIGINT NOT NULL, changed BIGINT NOT NULL,"
	" expires BIGINT NOT NULL, mechanisms BIGINT NOT NULL, limit_per_hour BIGINT NOT NULL,"
	" hash TEXT NOT NULL DEFAULT '', secret BLOB);"
	"CREATE TABLE app (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES user(id)"
	" ON DELETE CASCADE, label TEXT NOT NULL, created BIGINT NOT NULL, changed BIGINT NOT NULL,"
	" expires BIGINT NOT NULL, mechanisms BIGINT NOT NULL, limit_per_hour BIGINT NOT NULL,"
	" hash TEXT NOT NULL DEFAULT '', secret BLOB, UNIQUE (user_id, label));"
	"CREATE TABLE scram (user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,"
	" app_id INTEGER NOT NULL, hash INTEGER NOT NULL, iterations BIGINT NOT NULL,"
	" salt BLOB NOT NULL, stored_key BLOB NOT NULL, server_key BLOB NOT NULL,"
	" PRIMARY KEY (user_id, app_id, hash)) WITHOUT ROWID;"
	"CREATE TABLE send_as (user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,"
	" app_id INTEGER NOT NULL, address TEXT NOT NULL,"
	" PRIMARY KEY (user_id, app_id, address)) WITHOUT ROWID;"
	"CREATE TABLE account (name TEXT PRIMARY KEY, url TEXT NOT NULL, username TEXT NOT NULL,"
	" created BIGINT NOT NULL, secret BLOB NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 1";

#define USER_COLUMNS \
	"SELECT u.id, 0, u.name, '', u.disabled, u.created, u.changed, u.expires, u.mechanisms," \
	" u.limit_per_hour, u.hash, u.secret IS NOT NULL FROM user u "
#define APP_COLUMNS \
	"SELECT u.id, a.id, u.name, a.label, u.disabled, a.created, a.changed, a.expires," \
	" a.mechanisms, a.limit_per_hour, a.hash, a.secret IS NOT NULL" \
	" FROM app a JOIN user u ON u.id = a.user_id "

#define STATEMENTS(X) \
	X(BEGIN, "BEGIN IMMEDIATE") \
	X(COMMIT, "COMMIT") \
	X(ROLLBACK, "ROLLBACK") \
	X(META_GET, "SELECT value FROM meta WHERE key = ?1") \
	X(META_PUT, "INSERT INTO meta (key, value) VALUES (?1, ?2)") \
	X(USER_GET, USER_COLUMNS "WHERE u.key = ?1") \
	X(USER_EACH, USER_COLUMNS "ORDER BY u.key") \
	X(USER_ADD, \
		"INSERT INTO user (key, name, disabled, created, changed, expires, mechanisms," \
		" limit_per_hour) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)") \
	X(USER_SET, \
		"UPDATE user SET disabled = ?2, changed = ?3, expires = ?4, mechanisms = ?5," \
		" limit_per_hour = ?6 WHERE id = ?1") \
	X(USER_REMOVE, "DELETE FROM user WHERE id = ?1") \
	X(USER_HASH, "UPDATE user SET hash = ?2, changed = ?3 WHERE id = ?1") \
	X(USER_SEAL, "UPDATE user SET secret = ?2 WHERE id = ?1") \
	X(USER_SECRET, "SELECT secret, key FROM user WHERE id = ?1") \
	X(APP_GET, APP_COLUMNS "WHERE a.user_id = ?1 AND a.label = ?2") \
	X(APP_EACH, APP_COLUMNS "WHERE a.user_id = ?1 ORDER BY a.label") \
	X(APP_ADD, \
		"INSERT INTO app (user_id, label, created, changed, expires, mechanisms," \
		" limit_per_hour) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)") \
	X(APP_SET, \
		"UPDATE app SET changed = ?2, expires = ?3, mechanisms = ?4," \
		" limit_per_hour = ?5 WHERE id = ?1") \
	X(APP_REMOVE, "DELETE FROM app WHERE id = ?1") \
	X(APP_HASH, "UPDATE app SET hash = ?2, changed = ?3 WHERE id = ?1") \
	X(APP_SEAL, "UPDATE app SET secret = ?2 WHERE id = ?1") \
	X(APP_SECRET, \
		"SELECT a.secret, u.key FROM app a JOIN user u ON u.id = a.user_id" \
		" WHERE a.id = ?1") \
	X(SCRAM_GET, \
		"SELECT hash, iterations, salt, stored_key, server_key FROM scram" \
		" WHERE user_id = ?1 AND app_id = ?2") \
	X(SCRAM_PUT, \
		"INSERT OR REPLACE INTO scram (user_id, app_id, hash, iterations, salt," \
		" stored_key, server_key) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)") \
	X(SCRAM_REMOVE, "DELETE FROM scram WHERE user_id = ?1 AND app_id = ?2") \
	X(SEND_AS_EACH, \
		"SELECT address FROM send_as WHERE user_id = ?1 AND app_id = ?2" \
		" ORDER BY address") \
	X(SEND_AS_PUT, \
		"INSERT OR IGNORE INTO send_as (user_id, app_id, address)" \
		" VALUES (?1, ?2, ?3)") \
	X(SEND_AS_REMOVE, "DELETE FROM send_as WHERE user_id = ?1 AND app_id = ?2") \
	X(ACCOUNT_ADD, \
		"INSERT INTO account (name, url, username, created, secret)" \
		" VALUES (?1, ?2, ?3, ?4, ?5)") \
	X(ACCOUNT_SET, \
		"INSERT OR REPLACE INTO account (name, url, username, created, secret)" \
		" VALUES (?1, ?2, ?3, ?4, ?5)") \
	X(ACCOUNT_GET, "SELECT name, url, username, created FROM account WHERE name = ?1") \
	X(ACCOUNT_EACH, "SELECT name, url, username, created FROM account ORDER BY name") \
	X(ACCOUNT_SECRET, "SELECT secret FROM account WHERE name = ?1") \
	X(ACCOUNT_REMOVE, "DELETE FROM account WHERE name = ?1") \
	X(COUNTS, \
		"SELECT (SELECT count(*) FROM user), (SELECT count(*) FROM app)," \
		" (SELECT count(*) FROM account)")

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

struct vault_store {
	sqlite3 *db;
	char *path, *key_path;
	bool in_transaction;
	uint8_t key[BASE_SEAL_KEY_BYTES];
	uint8_t mock_key[VAULT_MOCK_KEY_BYTES];
	sqlite3_stmt *statements[STATEMENT_COUNT];
};

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

static int failed(struct vault_store *s, const char *what, struct base_error *err)
{
	int code = sqlite3_extended_errcode(s->db);

	return base_error_set(err, class_of(code), code, "cannot %s the vault \"%s\": %s", what,
		s->path, sqlite3_errmsg(s->db));
}

static sqlite3_stmt *prepared(struct vault_store *s, enum statement which)
{
	if (!s->statements[which])
		(void)sqlite3_prepare_v3(s->db, statement_sql[which], -1, SQLITE_PREPARE_PERSISTENT,
			&s->statements[which], NULL);
	return s->statements[which];
}

static void bind_text(sqlite3_stmt *st, int at, struct base_slice text)
{
	if (st)
		sqlite3_bind_text(st, at, text.len ? (const char *)text.ptr : "", (int)text.len,
			SQLITE_TRANSIENT);
}

static void bind_blob(sqlite3_stmt *st, int at, struct base_slice bytes)
{
	if (st)
		sqlite3_bind_blob(st, at, bytes.ptr, (int)bytes.len, SQLITE_TRANSIENT);
}

static void bind_number(sqlite3_stmt *st, int at, int64_t value)
{
	if (st)
		sqlite3_bind_int64(st, at, value);
}

/* Forget the bound values too: they may be secrets. */
static void done(sqlite3_stmt *st)
{
	if (!st)
		return;
	sqlite3_reset(st);
	sqlite3_clear_bindings(st);
}

/* A statement without rows. */
static int run(struct vault_store *s, sqlite3_stmt *st, struct base_error *err)
{
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR, result = 0;

	if (rc != SQLITE_DONE && rc != SQLITE_ROW)
		result = failed(s, "write to", err);
	done(st);
	return result;
}

/* 1: a row is there; 0: no more; negative. */
static int next_row(struct vault_store *s, sqlite3_stmt *st, struct base_error *err)
{
	int rc = st ? sqlite3_step(st) : SQLITE_ERROR;

	if (rc == SQLITE_ROW)
		return 1;
	return rc == SQLITE_DONE ? 0 : failed(s, "read", err);
}

static struct base_slice column(sqlite3_stmt *st, int at)
{
	const void *ptr = sqlite3_column_blob(st, at);

	return base_slice_make(ptr, (size_t)sqlite3_column_bytes(st, at));
}

static void column_text(sqlite3_stmt *st, int at, char *out, size_t size)
{
	struct base_slice text = base_slice_first(column(st, at), size - 1);

	if (text.len)
		memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
}

int vault_store_begin(struct vault_store *s, struct base_error *err)
{
	int rc;

	BASE_BUG_IF(s->in_transaction);
	rc = run(s, prepared(s, STATEMENT_BEGIN), err);
	s->in_transaction = rc == 0;
	return rc;
}

int vault_store_commit(struct vault_store *s, struct base_error *err)
{
	int rc = run(s, prepared(s, STATEMENT_COMMIT), err);

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
		(void)run(s, prepared(s, STATEMENT_ROLLBACK), NULL);
}

/* Calls of several statements: their own transaction unless the caller has one. */
static int begin_own(struct vault_store *s, bool *out_own, struct base_error *err)
{
	*out_own = !s->in_transaction;
	return *out_own ? vault_store_begin(s, err) : 0;
}

static int end_own(struct vault_store *s, bool own, int rc, struct base_error *err)
{
	if (!own)
		return rc;
	if (rc == 0)
		return vault_store_commit(s, err);
	vault_store_rollback(s);
	return rc;
}

static void seal(struct vault_store *s, struct base_slice label, struct base_slice plain,
	struct base_buf *out)
{
	uint8_t nonce[BASE_SEAL_NONCE_BYTES];

	base_random_fill(nonce, sizeof(nonce));
	BASE_BUG_IF(!base_seal(base_slice_make(s->key, sizeof(s->key)),
		base_slice_make(nonce, sizeof(nonce)), label, plain, out));
}

static int unseal(struct vault_store *s, struct base_slice label, struct base_slice sealed,
	struct base_secret *out, struct base_error *err)
{
	if (base_unseal(base_slice_make(s->key, sizeof(s->key)), label, sealed, out))
		return 0;
	return base_error_set(err, BASE_ERROR_CONFIG, 0,
		"a secret in the vault \"%s\" does not open with its key \"%s\"", s->path,
		s->key_path);
}

/* Opening */

static int exec(struct vault_store *s, const char *sql, const char *what, struct base_error *err)
{
	return sqlite3_exec(s->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(s, what, err);
}

static int schema_version(struct vault_store *s, int *out, struct base_error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
		sqlite3_step(st) != SQLITE_ROW)
		rc = failed(s, "read", err);
	else
		*out = sqlite3_column_int(st, 0);
	sqlite3_finalize(st);
	return rc;
}

static int load_key(struct vault_store *s, const struct vault_store_options *o, bool create,
	struct base_error *err)
{
	int rc = vault_store_key_load(s->key_path, s->key, err);

	if (rc == BASE_ERROR_NOT_FOUND && !create)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the key \"%s\" of the vault \"%s\" is missing: restore it from a backup",
			s->key_path, s->path);
	if (rc != BASE_ERROR_NOT_FOUND)
		return rc;
	rc = vault_store_key_create(o, s->key_path, s->key, err);
	return rc == BASE_ERROR_EXISTS ? vault_store_key_load(s->key_path, s->key, err) : rc;
}

/* Inside a transaction, so that of two processes that create the vault one waits for the other. */
static int load_mock(
	struct vault_store *s, const struct vault_store_options *o, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_META_GET);
	struct base_secret plain;
	struct base_buf sealed;
	int rc, row;

	base_secret_init(&plain, VAULT_MOCK_KEY_BYTES);
	base_buf_init(&sealed, VAULT_MOCK_KEY_BYTES + BASE_SEAL_OVERHEAD_BYTES);
	bind_text(st, 1, BASE_SLICE("mock"));
	row = next_row(s, st, err);
	rc = row < 0 ? row : load_key(s, o, row == 0, err);
	if (rc == 0 && row == 1) {
		rc = unseal(s, BASE_SLICE("meta:mock"), column(st, 0), &plain, err);
		if (rc == 0 && plain.len == VAULT_MOCK_KEY_BYTES)
			memcpy(s->mock_key, plain.ptr, VAULT_MOCK_KEY_BYTES);
	}
	done(st);
	if (rc == 0 && row == 0) {
		base_random_fill(s->mock_key, sizeof(s->mock_key));
		seal(s, BASE_SLICE("meta:mock"), base_slice_make(s->mock_key, sizeof(s->mock_key)),
			&sealed);
		st = prepared(s, STATEMENT_META_PUT);
		bind_text(st, 1, BASE_SLICE("mock"));
		bind_blob(st, 2, base_buf_slice(&sealed));
		rc = run(s, st, err);
	}
	base_secret_release(&plain);
	base_buf_release(&sealed);
	return rc;
}

static int set_up(
	struct vault_store *s, const struct vault_store_options *o, struct base_error *err)
{
	int version = 0, rc;

	rc = exec(s,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
		" PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON",
		"open", err);
	if (rc == 0)
		rc = vault_store_begin(s, err);
	if (rc != 0)
		return rc;
	rc = schema_version(s, &version, err);
	if (rc == 0 && version == 0)
		rc = exec(s, schema, "create", err);
	else if (rc == 0 && version != SCHEMA_VERSION)
		rc = base_error_set(err, BASE_ERROR_CONFIG, version,
			"the vault \"%s\" was made by another version of Postern", s->path);
	if (rc == 0)
		rc = load_mock(s, o, err);
	if (rc == 0)
		return vault_store_commit(s, err);
	vault_store_rollback(s);
	return rc;
}

int vault_store_open(
	struct vault_store **out, const struct vault_store_options *o, struct base_error *err)
{
	struct vault_store *s = base_alloc_zero(1, sizeof(*s));
	int rc;

	if (asprintf(&s->path, "%s/vault.db", o->data_dir) < 0 ||
		asprintf(&s->key_path, "%s/vault.key", o->data_dir) < 0)
		base_out_of_memory();
	rc = vault_store_files_make(o, s->path, err);
	if (rc == 0 &&
		sqlite3_open_v2(s->path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
			NULL) != SQLITE_OK)
		rc = failed(s, "open", err);
	if (rc == 0) {
		sqlite3_extended_result_codes(s->db, 1);
		sqlite3_busy_timeout(s->db, (int)o->busy_ms);
		rc = set_up(s, o, err);
	}
	if (rc == 0)
		*out = s;
	else
		vault_store_close(&s);
	return rc;
}

void vault_store_close(struct vault_store **store)
{
	struct vault_store *s = *store;

	if (!s)
		return;
	for (size_t i = 0; i < STATEMENT_COUNT; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	free(s->path);
	free(s->key_path);
	base_wipe(s, sizeof(*s));
	free(s);
	*store = NULL;
}

const uint8_t *vault_store_mock_key(const struct vault_store *s)
{
	return s->mock_key;
}

/* Users and app passwords */

static const struct {
	int number; /* in the file */
	enum base_hash hash;
} scram_hashes[] = {{1, BASE_HASH_SHA1}, {256, BASE_HASH_SHA256}, {512, BASE_HASH_SHA512}};

static void take_scram(sqlite3_stmt *st, struct vault_user *out)
{
	struct base_slice salt = column(st, 2), stored = column(st, 3), server = column(st, 4);

	for (size_t i = 0; i < BASE_COUNT(scram_hashes); i++) {
		enum base_hash hash = scram_hashes[i].hash;
		struct sasl_scram_keys *k = &out->scram[hash];
		size_t len = base_hash_len(hash);

		if (sqlite3_column_int(st, 0) != scram_hashes[i].number || stored.len != len ||
			server.len != len || !salt.len || salt.len > sizeof(k->salt))
			continue;
		memcpy(k->salt, salt.ptr, salt.len);
		memcpy(k->stored_key, stored.ptr, len);
		memcpy(k->server_key, server.ptr, len);
		k->salt_len = (uint8_t)salt.len;
		k->iterations = (uint32_t)sqlite3_column_int64(st, 1);
	}
}

static int load_scram(struct vault_store *s, struct vault_user *user, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_SCRAM_GET);
	int row;

	bind_number(st, 1, user->id);
	bind_number(st, 2, user->app_id);
	while ((row = next_row(s, st, err)) == 1)
		take_scram(st, user);
	done(st);
	return row;
}

/* The columns of USER_COLUMNS and APP_COLUMNS. */
static void take_user(sqlite3_stmt *st, struct vault_user *out)
{
	memset(out, 0, sizeof(*out));
	out->id = sqlite3_column_int64(st, 0);
	out->app_id = sqlite3_column_int64(st, 1);
	column_text(st, 2, out->name, sizeof(out->name));
	column_text(st, 3, out->label, sizeof(out->label));
	out->disabled = sqlite3_column_int(st, 4) != 0;
	out->created_ms = sqlite3_column_int64(st, 5);
	out->changed_ms = sqlite3_column_int64(st, 6);
	out->expires_ms = sqlite3_column_int64(st, 7);
	out->mechanisms = (sasl_mechanism_mask)sqlite3_column_int64(st, 8);
	out->limit_per_hour = (uint32_t)sqlite3_column_int64(st, 9);
	column_text(st, 10, out->hash, sizeof(out->hash));
	out->has_secret = sqlite3_column_int(st, 11) != 0;
}

static int get_one(
	struct vault_store *s, sqlite3_stmt *st, struct vault_user *out, struct base_error *err)
{
	int row = next_row(s, st, err);

	if (row == 1)
		take_user(st, out);
	done(st);
	if (row < 0)
		return row;
	if (row == 0)
		return base_error_set(err, BASE_ERROR_NOT_FOUND, 0, "no such user");
	return load_scram(s, out, err);
}

int vault_store_user_get(struct vault_store *s, const struct vault_key *key, struct vault_user *out,
	struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_USER_GET);

	bind_text(st, 1, vault_key_slice(key));
	return get_one(s, st, out, err);
}

int vault_store_app_get(struct vault_store *s, const struct vault_user *user,
	struct base_slice label, struct vault_user *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_GET);

	bind_number(st, 1, user->id);
	bind_text(st, 2, label);
	return get_one(s, st, out, err);
}

static int user_add(struct vault_store *s, struct vault_user *u, const struct vault_key *key,
	struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_USER_ADD);
	int rc;

	bind_text(st, 1, vault_key_slice(key));
	bind_text(st, 2, base_slice_text(u->name));
	bind_number(st, 3, u->disabled);
	bind_number(st, 4, u->created_ms);
	bind_number(st, 5, u->changed_ms);
	bind_number(st, 6, u->expires_ms);
	bind_number(st, 7, u->mechanisms);
	bind_number(st, 8, u->limit_per_hour);
	rc = run(s, st, err);
	if (rc == 0)
		u->id = sqlite3_last_insert_rowid(s->db);
	return rc;
}

static int app_add(struct vault_store *s, struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_ADD);
	int rc;

	bind_number(st, 1, u->id);
	bind_text(st, 2, base_slice_text(u->label));
	bind_number(st, 3, u->created_ms);
	bind_number(st, 4, u->changed_ms);
	bind_number(st, 5, u->expires_ms);
	bind_number(st, 6, u->mechanisms);
	bind_number(st, 7, u->limit_per_hour);
	rc = run(s, st, err);
	if (rc == 0)
		u->app_id = sqlite3_last_insert_rowid(s->db);
	return rc;
}

static int app_set(struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_SET);

	bind_number(st, 1, u->app_id);
	bind_number(st, 2, u->changed_ms);
	bind_number(st, 3, u->expires_ms);
	bind_number(st, 4, u->mechanisms);
	bind_number(st, 5, u->limit_per_hour);
	return run(s, st, err);
}

int vault_store_user_put(struct vault_store *s, struct vault_user *u, const struct vault_key *key,
	struct base_error *err)
{
	sqlite3_stmt *st;

	if (u->label[0])
		return u->app_id ? app_set(s, u, err) : app_add(s, u, err);
	if (!u->id)
		return user_add(s, u, key, err);
	st = prepared(s, STATEMENT_USER_SET);
	bind_number(st, 1, u->id);
	bind_number(st, 2, u->disabled);
	bind_number(st, 3, u->changed_ms);
	bind_number(st, 4, u->expires_ms);
	bind_number(st, 5, u->mechanisms);
	bind_number(st, 6, u->limit_per_hour);
	return run(s, st, err);
}

static void user_label(struct base_slice key, const char *label, struct base_buf *out)
{
	base_buf_init(out, 512);
	base_buf_append_text(out, "user:");
	base_buf_append_slice(out, key);
	base_buf_append_byte(out, '\0');
	base_buf_append_text(out, label);
}

static int put_hash(struct vault_store *s, const struct vault_user *u, const char *hash,
	int64_t now_ms, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, u->app_id ? STATEMENT_APP_HASH : STATEMENT_USER_HASH);

	bind_number(st, 1, u->app_id ? u->app_id : u->id);
	bind_text(st, 2, base_slice_text(hash));
	bind_number(st, 3, now_ms);
	return run(s, st, err);
}

static int put_scram(struct vault_store *s, const struct vault_user *u,
	const struct vault_credentials *c, struct base_error *err)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(scram_hashes); i++) {
		const struct sasl_scram_keys *k = &c->scram[scram_hashes[i].hash];
		size_t len = base_hash_len(scram_hashes[i].hash);
		sqlite3_stmt *st = prepared(s, STATEMENT_SCRAM_PUT);

		if (!k->iterations)
			continue;
		bind_number(st, 1, u->id);
		bind_number(st, 2, u->app_id);
		bind_number(st, 3, scram_hashes[i].number);
		bind_number(st, 4, k->iterations);
		bind_blob(st, 5, base_slice_make(k->salt, k->salt_len));
		bind_blob(st, 6, base_slice_make(k->stored_key, len));
		bind_blob(st, 7, base_slice_make(k->server_key, len));
		rc = run(s, st, err);
	}
	return rc;
}

/* An empty secret takes the old one away. */
static int put_secret(struct vault_store *s, const struct vault_user *u,
	const struct vault_key *key, struct base_slice secret, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, u->app_id ? STATEMENT_APP_SEAL : STATEMENT_USER_SEAL);
	struct base_buf label, sealed;
	int rc;

	user_label(vault_key_slice(key), u->label, &label);
	base_buf_init(&sealed, BASE_SECRET_PASSWORD_MAX_BYTES + BASE_SEAL_OVERHEAD_BYTES);
	bind_number(st, 1, u->app_id ? u->app_id : u->id);
	if (secret.len) {
		seal(s, base_buf_slice(&label), secret, &sealed);
		bind_blob(st, 2, base_buf_slice(&sealed));
	}
	rc = run(s, st, err);
	base_buf_release(&label);
	base_buf_release(&sealed);
	return rc;
}

int vault_store_credentials_put(struct vault_store *s, const struct vault_user *u,
	const struct vault_key *key, const struct vault_credentials *c, bool keep, int64_t now_ms,
	struct base_error *err)
{
	bool own;
	int rc = begin_own(s, &own, err);

	if (rc != 0)
		return rc;
	if (!keep) {
		sqlite3_stmt *st = prepared(s, STATEMENT_SCRAM_REMOVE);

		bind_number(st, 1, u->id);
		bind_number(st, 2, u->app_id);
		rc = run(s, st, err);
	}
	if (rc == 0 && (!keep || c->hash[0]))
		rc = put_hash(s, u, c->hash, now_ms, err);
	if (rc == 0)
		rc = put_scram(s, u, c, err);
	if (rc == 0 && (!keep || c->secret.len))
		rc = put_secret(s, u, key, base_secret_slice(&c->secret), err);
	return end_own(s, own, rc, err);
}

int vault_store_user_secret(struct vault_store *s, const struct vault_user *u,
	struct base_secret *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, u->app_id ? STATEMENT_APP_SECRET : STATEMENT_USER_SECRET);
	struct base_buf label;
	int rc, row;

	bind_number(st, 1, u->app_id ? u->app_id : u->id);
	row = next_row(s, st, err);
	if (row == 1 && column(st, 0).len) {
		user_label(column(st, 1), u->label, &label);
		rc = unseal(s, base_buf_slice(&label), column(st, 0), out, err);
		base_buf_release(&label);
	} else {
		rc = row < 0 ? row
			     : base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
				       "no recoverable secret is stored");
	}
	done(st);
	return rc;
}

static int remove_app(struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	static const enum statement rows[] = {STATEMENT_SCRAM_REMOVE, STATEMENT_SEND_AS_REMOVE};
	sqlite3_stmt *st;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(rows); i++) {
		st = prepared(s, rows[i]);
		bind_number(st, 1, u->id);
		bind_number(st, 2, u->app_id);
		rc = run(s, st, err);
	}
	if (rc == 0) {
		st = prepared(s, STATEMENT_APP_REMOVE);
		bind_number(st, 1, u->app_id);
		rc = run(s, st, err);
	}
	return rc;
}

int vault_store_user_remove(
	struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st;
	bool own;
	int rc = begin_own(s, &own, err);

	if (rc != 0)
		return rc;
	if (u->app_id) {
		rc = remove_app(s, u, err);
	} else {
		st = prepared(s, STATEMENT_USER_REMOVE);
		bind_number(st, 1, u->id);
		rc = run(s, st, err);
	}
	return end_own(s, own, rc, err);
}

/* @fn may read other things of the store, but not walk the same table again. */
static int each(struct vault_store *s, sqlite3_stmt *st, vault_user_fn fn, void *arg,
	struct base_error *err)
{
	struct vault_user user;
	int row;

	while ((row = next_row(s, st, err)) == 1) {
		int rc;

		take_user(st, &user);
		rc = load_scram(s, &user, err);
		if (rc != 0 || !fn(&user, arg)) {
			row = rc;
			break;
		}
	}
	done(st);
	return row;
}

int vault_store_user_each(
	struct vault_store *s, vault_user_fn fn, void *arg, struct base_error *err)
{
	return each(s, prepared(s, STATEMENT_USER_EACH), fn, arg, err);
}

int vault_store_app_each(struct vault_store *s, const struct vault_user *user, vault_user_fn fn,
	void *arg, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_EACH);

	bind_number(st, 1, user->id);
	return each(s, st, fn, arg, err);
}

int vault_store_send_as_put(struct vault_store *s, const struct vault_user *u,
	const struct base_slice *addresses, size_t count, struct base_error *err)
{
	sqlite3_stmt *st;
	bool own;
	int rc = begin_own(s, &own, err);

	if (rc != 0)
		return rc;
	st = prepared(s, STATEMENT_SEND_AS_REMOVE);
	bind_number(st, 1, u->id);
	bind_number(st, 2, u->app_id);
	rc = run(s, st, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		st = prepared(s, STATEMENT_SEND_AS_PUT);
		bind_number(st, 1, u->id);
		bind_number(st, 2, u->app_id);
		bind_text(st, 3, addresses[i]);
		rc = run(s, st, err);
	}
	return end_own(s, own, rc, err);
}

int vault_store_send_as_each(struct vault_store *s, const struct vault_user *u, vault_text_fn fn,
	void *arg, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_SEND_AS_EACH);
	int row;

	bind_number(st, 1, u->id);
	bind_number(st, 2, u->app_id);
	while ((row = next_row(s, st, err)) == 1)
		if (!fn(column(st, 0), arg)) {
			row = 0;
			break;
		}
	done(st);
	return row;
}

/* Accounts */

static void account_label(struct base_slice name, struct base_buf *out)
{
	base_buf_init(out, 512);
	base_buf_append_text(out, "account:");
	base_buf_append_slice(out, name);
}

int vault_store_account_put(struct vault_store *s, const struct vault_account *account,
	struct base_slice secret, bool replace, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, replace ? STATEMENT_ACCOUNT_SET : STATEMENT_ACCOUNT_ADD);
	struct base_buf label, sealed;
	int rc;

	account_label(base_slice_text(account->name), &label);
	base_buf_init(&sealed, secret.len + BASE_SEAL_OVERHEAD_BYTES);
	seal(s, base_buf_slice(&label), secret, &sealed);
	bind_text(st, 1, base_slice_text(account->name));
	bind_text(st, 2, base_slice_text(account->url));
	bind_text(st, 3, base_slice_text(account->user));
	bind_number(st, 4, account->created_ms);
	bind_blob(st, 5, base_buf_slice(&sealed));
	rc = run(s, st, err);
	base_buf_release(&label);
	base_buf_release(&sealed);
	return rc;
}

static void take_account(sqlite3_stmt *st, struct vault_account *out)
{
	memset(out, 0, sizeof(*out));
	column_text(st, 0, out->name, sizeof(out->name));
	column_text(st, 1, out->url, sizeof(out->url));
	column_text(st, 2, out->user, sizeof(out->user));
	out->created_ms = sqlite3_column_int64(st, 3);
}

static int no_account(struct base_slice name, struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_NOT_FOUND, 0, "no such account");
}

int vault_store_account_get(struct vault_store *s, struct base_slice name,
	struct vault_account *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_ACCOUNT_GET);
	int row;

	bind_text(st, 1, name);
	row = next_row(s, st, err);
	if (row == 1)
		take_account(st, out);
	done(st);
	return row < 0 ? row : row == 1 ? 0 : no_account(name, err);
}

int vault_store_account_secret(struct vault_store *s, struct base_slice name,
	struct base_secret *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_ACCOUNT_SECRET);
	struct base_buf label;
	int rc, row;

	bind_text(st, 1, name);
	row = next_row(s, st, err);
	if (row == 1) {
		account_label(name, &label);
		rc = unseal(s, base_buf_slice(&label), column(st, 0), out, err);
		base_buf_release(&label);
	} else {
		rc = row < 0 ? row : no_account(name, err);
	}
	done(st);
	return rc;
}

int vault_store_account_remove(
	struct vault_store *s, struct base_slice name, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_ACCOUNT_REMOVE);
	int rc;

	bind_text(st, 1, name);
	rc = run(s, st, err);
	return rc == 0 && sqlite3_changes(s->db) == 0 ? no_account(name, err) : rc;
}

int vault_store_account_each(
	struct vault_store *s, vault_account_fn fn, void *arg, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_ACCOUNT_EACH);
	struct vault_account account;
	int row;

	while ((row = next_row(s, st, err)) == 1) {
		take_account(st, &account);
		if (!fn(&account, arg)) {
			row = 0;
			break;
		}
	}
	done(st);
	return row;
}

int vault_store_counts(struct vault_store *s, struct vault_counts *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_COUNTS);
	int row = next_row(s, st, err);

	if (row == 1) {
		out->users = (uint64_t)sqlite3_column_int64(st, 0);
		out->apps = (uint64_t)sqlite3_column_int64(st, 1);
		out->accounts = (uint64_t)sqlite3_column_int64(st, 2);
	}
	done(st);
	return row < 0 ? row : 0;
}
