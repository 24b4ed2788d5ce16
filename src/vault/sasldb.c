/* Without an environment, so libdb keeps its cache in our memory, takes no locks and makes no files;
 * Cyrus SASL itself opens the file so. */
#include "vault/sasldb.h"

#include "vault/file_internal.h"

#include <errno.h>
#include <string.h>

#ifdef VAULT_HAVE_SASLDB

#include <db.h>

static const char PROPERTY[] = "userPassword";

enum { KEY_MAX_BYTES = 2 * VAULT_NAME_MAX_BYTES + sizeof(PROPERTY) + 2, DATA_MAX_BYTES = 1024 };

bool vault_sasldb_available(void)
{
	return true;
}

static void be_silent(const DB_ENV *env, const char *prefix, const char *text)
{
}

static int say(struct base_error *err, enum base_error_class class, int code, const char *what,
	const char *path)
{
	return base_error_set(err, class, code, "cannot %s \"%s\": %s", what, path,
		code == EINVAL ? "it is no sasldb (a Berkeley DB)" : db_strerror(code));
}

/* Null: it cannot be opened; *out_class is the error's. */
static DB *open_file(const char *path, int *out_class, struct base_error *err)
{
	enum base_error_class class = BASE_ERROR_TEMPORARY;
	DB *db;
	int rc = db_create(&db, NULL, 0);

	if (rc == 0) {
		db->set_errcall(db, be_silent);
		rc = db->open(db, NULL, path, NULL, DB_UNKNOWN, DB_RDONLY, 0);
		if (rc == 0)
			return db;
		(void)db->close(db, 0);
		if (rc == ENOENT)
			class = BASE_ERROR_NOT_FOUND;
		else if (rc != ENOMEM && rc != EIO && rc != EMFILE)
			class = BASE_ERROR_CONFIG;
	}
	*out_class = say(err, class, rc, "open", path);
	return NULL;
}

static bool put(uint8_t *key, size_t *len, struct base_slice s)
{
	if (s.len > VAULT_NAME_MAX_BYTES || base_slice_has(s, '\0'))
		return false;
	if (s.len)
		memcpy(key + *len, s.ptr, s.len);
	*len += s.len;
	key[(*len)++] = '\0';
	return true;
}

static enum vault_file_result get(DB *db, const uint8_t *key, size_t key_len, const char *path,
	struct vault_file_entry *out, struct base_error *err)
{
	uint8_t password[DATA_MAX_BYTES];
	DBT from = {.data = (void *)key, .size = (u_int32_t)key_len};
	DBT to = {.data = password, .ulen = sizeof(password), .flags = DB_DBT_USERMEM};
	enum vault_file_result result;
	int rc = db->get(db, NULL, &from, &to, 0);

	switch (rc) {
	case 0:
		result = vault_file_take_scheme(out, "{PLAIN}", base_slice_make(password, to.size));
		if (result == VAULT_FILE_BROKEN)
			base_error_set(
				err, BASE_ERROR_PERMANENT, 0, "\"%s\": %s", path, out->reason);
		break;
	case DB_NOTFOUND:
		result = VAULT_FILE_UNKNOWN;
		break;
	case DB_BUFFER_SMALL:
		result = vault_file_break(out, "the password is too long");
		base_error_set(err, BASE_ERROR_PERMANENT, 0, "\"%s\": %s", path, out->reason);
		break;
	default:
		result = vault_file_break(out, "the file cannot be read");
		say(err, BASE_ERROR_TEMPORARY, rc, "read", path);
	}
	base_wipe(password, sizeof(password));
	return result;
}

static void clear(struct vault_file_entry *e)
{
	base_buf_clear(&e->name);
	base_buf_clear(&e->stored);
	e->reason = NULL;
	e->line = 0;
}

enum vault_file_result vault_sasldb_find(const char *path, struct base_slice name,
	struct base_slice default_realm, struct vault_file_entry *out, struct base_error *err)
{
	size_t at = base_slice_find_last(name, '@'), key_len = 0;
	struct base_slice login = base_slice_first(name, at),
			  realm = at < name.len ? base_slice_from(name, at + 1) : default_realm;
	uint8_t key[KEY_MAX_BYTES];
	enum vault_file_result result;
	DB *db;
	int class;

	clear(out);
	db = open_file(path, &class, err);
	if (!db)
		return vault_file_break(out, "the file cannot be opened");
	if (!login.len || !put(key, &key_len, login) || !put(key, &key_len, realm)) {
		(void)db->close(db, 0);
		return VAULT_FILE_UNKNOWN;
	}
	memcpy(key + key_len, PROPERTY, sizeof(PROPERTY) - 1);
	result = get(db, key, key_len + sizeof(PROPERTY) - 1, path, out, err);
	(void)db->close(db, 0);
	base_buf_append_slice(&out->name, login);
	base_buf_append_byte(&out->name, '@');
	base_buf_append_slice(&out->name, realm);
	return result;
}

/* "login \0 realm \0 userPassword"; other properties of the same user are passed over. */
static bool read_key(struct base_slice key, struct vault_file_entry *out)
{
	struct base_slice login, realm;

	if (!base_slice_split(&key, '\0', &login) || !base_slice_split(&key, '\0', &realm) ||
		!base_slice_equal_text(key, PROPERTY))
		return false;
	base_buf_append_slice(&out->name, login);
	if (realm.len) {
		base_buf_append_byte(&out->name, '@');
		base_buf_append_slice(&out->name, realm);
	}
	return true;
}

static int walk(DBC *cursor, vault_sasldb_fn fn, void *arg, struct vault_file_entry *e)
{
	uint8_t key[4096], data[DATA_MAX_BYTES];
	int rc;

	for (;;) {
		DBT from = {.data = key, .ulen = sizeof(key), .flags = DB_DBT_USERMEM};
		DBT to = {.data = data, .ulen = sizeof(data), .flags = DB_DBT_USERMEM};

		rc = cursor->get(cursor, &from, &to, DB_NEXT);
		if (rc != 0)
			break;
		clear(e);
		if (!read_key(base_slice_make(key, from.size), e))
			continue;
		(void)vault_file_take_scheme(e, "{PLAIN}", base_slice_make(data, to.size));
		if (!fn(e, arg)) {
			rc = DB_NOTFOUND;
			break;
		}
	}
	base_wipe(data, sizeof(data));
	return rc == DB_NOTFOUND ? 0 : rc;
}

int vault_sasldb_each(const char *path, vault_sasldb_fn fn, void *arg, struct base_error *err)
{
	struct vault_file_entry e;
	DBC *cursor;
	int class, code;
	DB *db = open_file(path, &class, err);

	if (!db)
		return class;
	code = db->cursor(db, NULL, &cursor, 0);
	if (code == 0) {
		vault_file_entry_init(&e);
		code = walk(cursor, fn, arg, &e);
		vault_file_entry_release(&e);
		(void)cursor->close(cursor);
	}
	(void)db->close(db, 0);
	return code == 0 ? 0 : say(err, BASE_ERROR_TEMPORARY, code, "read", path);
}

#else

bool vault_sasldb_available(void)
{
	return false;
}

static int lacking(struct base_error *err)
{
	return base_error_set(
		err, BASE_ERROR_CONFIG, 0, "this build has no libdb to read a sasldb");
}

enum vault_file_result vault_sasldb_find(const char *path, struct base_slice name,
	struct base_slice default_realm, struct vault_file_entry *out, struct base_error *err)
{
	lacking(err);
	return vault_file_break(out, "this build has no libdb");
}

int vault_sasldb_each(const char *path, vault_sasldb_fn fn, void *arg, struct base_error *err)
{
	return lacking(err);
}

#endif
