/* The vault in SQLite: opening, users and app passwords. SQL stands here, in store_accounts.c and, for
 * transactions, in store_sql.c; over 600 lines because every statement stands with the code that binds it.
 *
 *   meta      key, value               "mock": the mock key, sealed; proves that the key file fits
 *   user      one row per user; key is the name in lower case with its domain (vault/name.h)
 *   app       app passwords of users, by label
 *   scram     keys of a user (app 0) or app password, by hash: 1, 256, 512
 *   send_as   addresses, the same way
 *   account, account_part  credentials for relaying: store_accounts.c
 *
 * WAL with full synchronisation: what was committed survives a power loss. secure_delete overwrites
 * what a changed password leaves behind. Sealed values carry their place as label, so that one cannot
 * be moved to another row. */
#include "vault/store_internal.h"

#include "base/clock.h"
#include "vault/store_key.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SCHEMA_VERSION = 2 };

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
	" PRIMARY KEY (user_id, app_id, address)) WITHOUT ROWID;";

#define USER_COLUMNS \
	"SELECT u.id, 0, u.name, '', u.disabled, u.created, u.changed, u.expires, u.mechanisms," \
	" u.limit_per_hour, u.hash, u.secret IS NOT NULL FROM user u "
#define APP_COLUMNS \
	"SELECT u.id, a.id, u.name, a.label, u.disabled, a.created, a.changed, a.expires," \
	" a.mechanisms, a.limit_per_hour, a.hash, a.secret IS NOT NULL" \
	" FROM app a JOIN user u ON u.id = a.user_id "

#define STATEMENTS(X) \
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

static_assert(STATEMENT_COUNT <= VAULT_SQL_USER_STATEMENTS_MAX, "struct vault_store keeps them");

static sqlite3_stmt *prepared(struct vault_store *s, enum statement which)
{
	return vault_sql_prepare(s, &s->statements[which], statement_sql[which]);
}

/* Opening */

static int schema_version(struct vault_store *s, int *out, struct base_error *err)
{
	sqlite3_stmt *st = NULL;
	int rc = 0;

	if (sqlite3_prepare_v2(s->db, "PRAGMA user_version", -1, &st, NULL) != SQLITE_OK ||
		sqlite3_step(st) != SQLITE_ROW)
		rc = vault_sql_failed(s, "read", err);
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
	vault_sql_bind_text(st, 1, BASE_SLICE("mock"));
	row = vault_sql_next(s, st, err);
	rc = row < 0 ? row : load_key(s, o, row == 0, err);
	if (rc == 0 && row == 1) {
		rc = vault_sql_unseal(
			s, BASE_SLICE("meta:mock"), vault_sql_column(st, 0), &plain, err);
		if (rc == 0 && plain.len == VAULT_MOCK_KEY_BYTES)
			memcpy(s->mock_key, plain.ptr, VAULT_MOCK_KEY_BYTES);
	}
	vault_sql_done(st);
	if (rc == 0 && row == 0) {
		base_random_fill(s->mock_key, sizeof(s->mock_key));
		vault_sql_seal(s, BASE_SLICE("meta:mock"),
			base_slice_make(s->mock_key, sizeof(s->mock_key)), &sealed);
		st = prepared(s, STATEMENT_META_PUT);
		vault_sql_bind_text(st, 1, BASE_SLICE("mock"));
		vault_sql_bind_blob(st, 2, base_buf_slice(&sealed));
		rc = vault_sql_run(s, st, err);
	}
	base_secret_release(&plain);
	base_buf_release(&sealed);
	return rc;
}

/* From what version @version left there, within the transaction of set_up(). */
static int make_tables(struct vault_store *s, int version, struct base_error *err)
{
	int rc = 0;

	if (version == SCHEMA_VERSION)
		return 0;
	if (version < 0 || version > SCHEMA_VERSION)
		return base_error_set(err, BASE_ERROR_CONFIG, version,
			"the vault \"%s\" was made by another version of Postern", s->path);
	if (version == 0)
		rc = vault_sql_exec(s, schema, "create", err);
	if (rc == 0)
		rc = vault_sql_exec(s,
			version == 0 ? vault_sql_account_schema : vault_sql_account_from_1,
			"create", err);
	return rc == 0 ? vault_sql_exec(s, "PRAGMA user_version = 2", "create", err) : rc;
}

static int set_up(
	struct vault_store *s, const struct vault_store_options *o, struct base_error *err)
{
	int version = 0, rc;

	rc = vault_sql_exec(s,
		"PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
		" PRAGMA temp_store = MEMORY; PRAGMA secure_delete = ON",
		"open", err);
	if (rc == 0)
		rc = vault_store_begin(s, err);
	if (rc != 0)
		return rc;
	rc = schema_version(s, &version, err);
	if (rc == 0)
		rc = make_tables(s, version, err);
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
		rc = vault_sql_failed(s, "open", err);
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
	for (size_t i = 0; i < BASE_COUNT(s->statements); i++)
		sqlite3_finalize(s->statements[i]);
	for (size_t i = 0; i < BASE_COUNT(s->account_statements); i++)
		sqlite3_finalize(s->account_statements[i]);
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
	struct base_slice salt = vault_sql_column(st, 2), stored = vault_sql_column(st, 3),
			  server = vault_sql_column(st, 4);

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

	vault_sql_bind_number(st, 1, user->id);
	vault_sql_bind_number(st, 2, user->app_id);
	while ((row = vault_sql_next(s, st, err)) == 1)
		take_scram(st, user);
	vault_sql_done(st);
	return row;
}

/* The columns of USER_COLUMNS and APP_COLUMNS. */
static void take_user(sqlite3_stmt *st, struct vault_user *out)
{
	memset(out, 0, sizeof(*out));
	out->id = sqlite3_column_int64(st, 0);
	out->app_id = sqlite3_column_int64(st, 1);
	vault_sql_column_text(st, 2, out->name, sizeof(out->name));
	vault_sql_column_text(st, 3, out->label, sizeof(out->label));
	out->disabled = sqlite3_column_int(st, 4) != 0;
	out->created_ms = sqlite3_column_int64(st, 5);
	out->changed_ms = sqlite3_column_int64(st, 6);
	out->expires_ms = sqlite3_column_int64(st, 7);
	out->mechanisms = (sasl_mechanism_mask)sqlite3_column_int64(st, 8);
	out->limit_per_hour = (uint32_t)sqlite3_column_int64(st, 9);
	vault_sql_column_text(st, 10, out->hash, sizeof(out->hash));
	out->has_secret = sqlite3_column_int(st, 11) != 0;
}

static int get_one(
	struct vault_store *s, sqlite3_stmt *st, struct vault_user *out, struct base_error *err)
{
	int row = vault_sql_next(s, st, err);

	if (row == 1)
		take_user(st, out);
	vault_sql_done(st);
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

	vault_sql_bind_text(st, 1, vault_key_slice(key));
	return get_one(s, st, out, err);
}

int vault_store_app_get(struct vault_store *s, const struct vault_user *user,
	struct base_slice label, struct vault_user *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_GET);

	vault_sql_bind_number(st, 1, user->id);
	vault_sql_bind_text(st, 2, label);
	return get_one(s, st, out, err);
}

static int user_add(struct vault_store *s, struct vault_user *u, const struct vault_key *key,
	struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_USER_ADD);
	int rc;

	vault_sql_bind_text(st, 1, vault_key_slice(key));
	vault_sql_bind_text(st, 2, base_slice_text(u->name));
	vault_sql_bind_number(st, 3, u->disabled);
	vault_sql_bind_number(st, 4, u->created_ms);
	vault_sql_bind_number(st, 5, u->changed_ms);
	vault_sql_bind_number(st, 6, u->expires_ms);
	vault_sql_bind_number(st, 7, u->mechanisms);
	vault_sql_bind_number(st, 8, u->limit_per_hour);
	rc = vault_sql_run(s, st, err);
	if (rc == 0)
		u->id = sqlite3_last_insert_rowid(s->db);
	return rc;
}

static int app_add(struct vault_store *s, struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_ADD);
	int rc;

	vault_sql_bind_number(st, 1, u->id);
	vault_sql_bind_text(st, 2, base_slice_text(u->label));
	vault_sql_bind_number(st, 3, u->created_ms);
	vault_sql_bind_number(st, 4, u->changed_ms);
	vault_sql_bind_number(st, 5, u->expires_ms);
	vault_sql_bind_number(st, 6, u->mechanisms);
	vault_sql_bind_number(st, 7, u->limit_per_hour);
	rc = vault_sql_run(s, st, err);
	if (rc == 0)
		u->app_id = sqlite3_last_insert_rowid(s->db);
	return rc;
}

static int app_set(struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_APP_SET);

	vault_sql_bind_number(st, 1, u->app_id);
	vault_sql_bind_number(st, 2, u->changed_ms);
	vault_sql_bind_number(st, 3, u->expires_ms);
	vault_sql_bind_number(st, 4, u->mechanisms);
	vault_sql_bind_number(st, 5, u->limit_per_hour);
	return vault_sql_run(s, st, err);
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
	vault_sql_bind_number(st, 1, u->id);
	vault_sql_bind_number(st, 2, u->disabled);
	vault_sql_bind_number(st, 3, u->changed_ms);
	vault_sql_bind_number(st, 4, u->expires_ms);
	vault_sql_bind_number(st, 5, u->mechanisms);
	vault_sql_bind_number(st, 6, u->limit_per_hour);
	return vault_sql_run(s, st, err);
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

	vault_sql_bind_number(st, 1, u->app_id ? u->app_id : u->id);
	vault_sql_bind_text(st, 2, base_slice_text(hash));
	vault_sql_bind_number(st, 3, now_ms);
	return vault_sql_run(s, st, err);
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
		vault_sql_bind_number(st, 1, u->id);
		vault_sql_bind_number(st, 2, u->app_id);
		vault_sql_bind_number(st, 3, scram_hashes[i].number);
		vault_sql_bind_number(st, 4, k->iterations);
		vault_sql_bind_blob(st, 5, base_slice_make(k->salt, k->salt_len));
		vault_sql_bind_blob(st, 6, base_slice_make(k->stored_key, len));
		vault_sql_bind_blob(st, 7, base_slice_make(k->server_key, len));
		rc = vault_sql_run(s, st, err);
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
	vault_sql_bind_number(st, 1, u->app_id ? u->app_id : u->id);
	if (secret.len) {
		vault_sql_seal(s, base_buf_slice(&label), secret, &sealed);
		vault_sql_bind_blob(st, 2, base_buf_slice(&sealed));
	}
	rc = vault_sql_run(s, st, err);
	base_buf_release(&label);
	base_buf_release(&sealed);
	return rc;
}

int vault_store_credentials_put(struct vault_store *s, const struct vault_user *u,
	const struct vault_key *key, const struct vault_credentials *c, bool keep, int64_t now_ms,
	struct base_error *err)
{
	bool own;
	int rc = vault_sql_begin(s, &own, err);

	if (rc != 0)
		return rc;
	if (!keep) {
		sqlite3_stmt *st = prepared(s, STATEMENT_SCRAM_REMOVE);

		vault_sql_bind_number(st, 1, u->id);
		vault_sql_bind_number(st, 2, u->app_id);
		rc = vault_sql_run(s, st, err);
	}
	if (rc == 0 && (!keep || c->hash[0]))
		rc = put_hash(s, u, c->hash, now_ms, err);
	if (rc == 0)
		rc = put_scram(s, u, c, err);
	if (rc == 0 && (!keep || c->secret.len))
		rc = put_secret(s, u, key, base_secret_slice(&c->secret), err);
	return vault_sql_end(s, own, rc, err);
}

int vault_store_user_secret(struct vault_store *s, const struct vault_user *u,
	struct base_secret *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, u->app_id ? STATEMENT_APP_SECRET : STATEMENT_USER_SECRET);
	struct base_buf label;
	int rc, row;

	vault_sql_bind_number(st, 1, u->app_id ? u->app_id : u->id);
	row = vault_sql_next(s, st, err);
	if (row == 1 && vault_sql_column(st, 0).len) {
		user_label(vault_sql_column(st, 1), u->label, &label);
		rc = vault_sql_unseal(s, base_buf_slice(&label), vault_sql_column(st, 0), out, err);
		base_buf_release(&label);
	} else {
		rc = row < 0 ? row
			     : base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
				       "no recoverable secret is stored");
	}
	vault_sql_done(st);
	return rc;
}

static int remove_app(struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	static const enum statement rows[] = {STATEMENT_SCRAM_REMOVE, STATEMENT_SEND_AS_REMOVE};
	sqlite3_stmt *st;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < BASE_COUNT(rows); i++) {
		st = prepared(s, rows[i]);
		vault_sql_bind_number(st, 1, u->id);
		vault_sql_bind_number(st, 2, u->app_id);
		rc = vault_sql_run(s, st, err);
	}
	if (rc == 0) {
		st = prepared(s, STATEMENT_APP_REMOVE);
		vault_sql_bind_number(st, 1, u->app_id);
		rc = vault_sql_run(s, st, err);
	}
	return rc;
}

int vault_store_user_remove(
	struct vault_store *s, const struct vault_user *u, struct base_error *err)
{
	sqlite3_stmt *st;
	bool own;
	int rc = vault_sql_begin(s, &own, err);

	if (rc != 0)
		return rc;
	if (u->app_id) {
		rc = remove_app(s, u, err);
	} else {
		st = prepared(s, STATEMENT_USER_REMOVE);
		vault_sql_bind_number(st, 1, u->id);
		rc = vault_sql_run(s, st, err);
	}
	return vault_sql_end(s, own, rc, err);
}

/* @fn may read other things of the store, but not walk the same table again. */
static int each(struct vault_store *s, sqlite3_stmt *st, vault_user_fn fn, void *arg,
	struct base_error *err)
{
	struct vault_user user;
	int row;

	while ((row = vault_sql_next(s, st, err)) == 1) {
		int rc;

		take_user(st, &user);
		rc = load_scram(s, &user, err);
		if (rc != 0 || !fn(&user, arg)) {
			row = rc;
			break;
		}
	}
	vault_sql_done(st);
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

	vault_sql_bind_number(st, 1, user->id);
	return each(s, st, fn, arg, err);
}

int vault_store_send_as_put(struct vault_store *s, const struct vault_user *u,
	const struct base_slice *addresses, size_t count, struct base_error *err)
{
	sqlite3_stmt *st;
	bool own;
	int rc = vault_sql_begin(s, &own, err);

	if (rc != 0)
		return rc;
	st = prepared(s, STATEMENT_SEND_AS_REMOVE);
	vault_sql_bind_number(st, 1, u->id);
	vault_sql_bind_number(st, 2, u->app_id);
	rc = vault_sql_run(s, st, err);
	for (size_t i = 0; rc == 0 && i < count; i++) {
		st = prepared(s, STATEMENT_SEND_AS_PUT);
		vault_sql_bind_number(st, 1, u->id);
		vault_sql_bind_number(st, 2, u->app_id);
		vault_sql_bind_text(st, 3, addresses[i]);
		rc = vault_sql_run(s, st, err);
	}
	return vault_sql_end(s, own, rc, err);
}

int vault_store_send_as_each(struct vault_store *s, const struct vault_user *u, vault_text_fn fn,
	void *arg, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_SEND_AS_EACH);
	int row;

	vault_sql_bind_number(st, 1, u->id);
	vault_sql_bind_number(st, 2, u->app_id);
	while ((row = vault_sql_next(s, st, err)) == 1)
		if (!fn(vault_sql_column(st, 0), arg)) {
			row = 0;
			break;
		}
	vault_sql_done(st);
	return row;
}

int vault_store_counts(struct vault_store *s, struct vault_counts *out, struct base_error *err)
{
	sqlite3_stmt *st = prepared(s, STATEMENT_COUNTS);
	int row = vault_sql_next(s, st, err);

	if (row == 1) {
		out->users = (uint64_t)sqlite3_column_int64(st, 0);
		out->apps = (uint64_t)sqlite3_column_int64(st, 1);
		out->accounts = (uint64_t)sqlite3_column_int64(st, 2);
	}
	vault_sql_done(st);
	return row < 0 ? row : 0;
}
