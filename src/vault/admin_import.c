/* user import: many users of another system in one transaction.
 *
 * An entry is u16 length and bytes of the name, u16 length and bytes of the credentials in their encoded
 * form; numbers are big-endian. */
#include "vault/admin_internal.h"
#include "vault/stored.h"

#include <string.h>

enum { ENTRIES_MAX = 10000 };

static bool put_bytes(struct base_buf *out, struct base_slice s)
{
	uint8_t len[2] = {(uint8_t)(s.len >> 8), (uint8_t)s.len};

	return s.len <= UINT16_MAX && base_buf_append(out, len, sizeof(len)) &&
		base_buf_append_slice(out, s);
}

static bool get_bytes(struct base_slice *in, struct base_slice *out)
{
	size_t len;

	if (in->len < 2)
		return false;
	len = (size_t)in->ptr[0] << 8 | in->ptr[1];
	if (in->len - 2 < len)
		return false;
	*out = base_slice_make(in->ptr + 2, len);
	*in = base_slice_from(*in, 2 + len);
	return true;
}

bool vault_admin_import_put(
	struct base_buf *out, struct base_slice name, const struct vault_credentials *c)
{
	struct base_buf encoded;
	bool good;

	if (name.len > VAULT_NAME_MAX_BYTES)
		return false;
	base_buf_init_secret(&encoded, VAULT_CREDENTIALS_ENCODED_MAX_BYTES);
	good = (!c || vault_credentials_encode(c, &encoded)) &&
		base_buf_room(out) >= name.len + encoded.len + 4 && put_bytes(out, name) &&
		put_bytes(out, base_buf_slice(&encoded));
	base_buf_release(&encoded);
	return good;
}

int vault_admin_import_credentials(struct base_slice stored, sasl_mechanism_mask mask,
	const uint8_t *random, struct vault_credentials *c, struct base_error *err)
{
	enum vault_stored_kind kind = vault_stored_kind(stored);
	const char *reason = vault_stored_reason(kind);
	struct base_slice password;

	if (reason)
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "%s", reason);
	if (vault_stored_clear(stored, &password))
		return vault_credentials_derive(password, mask, random, c, err);
	memcpy(c->hash, stored.ptr, stored.len);
	c->hash[stored.len] = '\0';
	for (unsigned hash = BASE_HASH_SHA1; hash < BASE_HASH_COUNT; hash++)
		(void)vault_stored_scram(stored, (enum base_hash)hash, &c->scram[hash]);
	return 0;
}

struct import {
	const struct vault_admin_env *env;
	const struct vault_admin_options *o;
	struct base_error *err;
	json_t *results;
	unsigned changed;
};

/* Why nothing can be stored of it; null: @c is good. */
static const char *judge(
	const struct import *im, struct base_slice encoded, struct vault_credentials *c)
{
	if (!encoded.len)
		return im->o->dry_run ? NULL : "a password is needed";
	if (!vault_credentials_decode(encoded, c))
		return "the credentials cannot be read";
	return vault_stored_kind(base_slice_text(c->hash)) == VAULT_STORED_HASH
		? NULL
		: "the stored password is no hash that is known";
}

static int store(struct import *im, struct vault_user *user, const struct vault_key *key,
	const struct vault_credentials *c)
{
	int rc;

	if (!user->id) {
		memcpy(user->name, key->text, key->len + 1);
		user->created_ms = im->env->now_ms;
	}
	user->changed_ms = im->env->now_ms;
	rc = vault_store_user_put(im->env->store, user, key, im->err);
	return rc != 0 ? rc
		       : vault_store_credentials_put(
				 im->env->store, user, key, c, false, im->env->now_ms, im->err);
}

/* One entry; its result is appended. 0, or the store's error. */
static int import_one(struct import *im, struct base_slice name, struct base_slice encoded)
{
	struct vault_credentials c;
	struct vault_user user = {0};
	struct vault_key key;
	const char *result = NULL;
	int rc = 0;

	vault_credentials_init(&c);
	if (!vault_key_make(name, im->env->default_domain, &key))
		result = "not a name; 1 to 255 bytes of UTF-8 without controls are";
	else
		result = judge(im, encoded, &c);
	if (!result) {
		rc = vault_store_user_get(im->env->store, &key, &user, im->err);
		result = rc == 0 ? im->o->replace ? "changed" : "exists" : "added";
		if (rc == BASE_ERROR_NOT_FOUND) {
			memset(&user, 0, sizeof(user));
			rc = 0;
		}
		if (rc == 0 && !im->o->dry_run && (!user.id || im->o->replace)) {
			rc = store(im, &user, &key, &c);
			im->changed++;
		}
	}
	vault_credentials_release(&c);
	base_wipe(&user, sizeof(user));
	if (rc == 0)
		json_array_append_new(im->results, json_string(result));
	return rc;
}

static int import_all(struct import *im, struct base_slice entries)
{
	struct base_slice name, encoded;

	for (unsigned count = 0; entries.len; count++) {
		int rc;

		if (count == ENTRIES_MAX || !get_bytes(&entries, &name) ||
			!get_bytes(&entries, &encoded))
			return base_error_set(im->err, BASE_ERROR_PERMANENT, 0,
				"the entries to import cannot be read");
		rc = import_one(im, name, encoded);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int run(struct import *im, struct base_slice entries)
{
	struct vault_store *store = im->env->store;
	int rc;

	if (im->o->dry_run || !entries.len)
		return import_all(im, entries);
	rc = vault_store_begin(store, im->err);
	if (rc != 0)
		return rc;
	rc = import_all(im, entries);
	if (rc == 0)
		return vault_store_commit(store, im->err);
	vault_store_rollback(store);
	return rc;
}

/* Whoever keeps something of these users has to forget it. */
static void tell(const struct import *im, struct base_slice entries)
{
	struct base_slice name, encoded;
	struct vault_key key;

	for (size_t i = 0; get_bytes(&entries, &name) && get_bytes(&entries, &encoded); i++) {
		const char *result = json_string_value(json_array_get(im->results, i));

		if (result && (strcmp(result, "added") == 0 || strcmp(result, "changed") == 0) &&
			vault_key_make(name, im->env->default_domain, &key))
			im->env->imported(key.text, im->env->arg);
	}
}

int vault_admin_import(const struct vault_admin_env *env, const struct vault_admin_request *req,
	const struct vault_admin_options *o, struct vault_admin_effects *fx, struct base_buf *out,
	struct base_error *err)
{
	struct import im = {.env = env, .o = o, .err = err, .results = json_array()};
	json_t *json = json_object();
	int rc;

	json_object_set_new(json, "mask", json_integer(env->mechanisms));
	json_object_set_new(json, "results", im.results);
	rc = run(&im, req->secret);
	if (rc != 0) {
		json_decref(json);
		return rc;
	}
	fx->changed = im.changed != 0;
	fx->is_user = true;
	if (im.changed && env->imported)
		tell(&im, req->secret);
	return vault_admin_json(json, out, err);
}
