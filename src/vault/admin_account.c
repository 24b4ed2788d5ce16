/* account add | list | show | remove */
#include "base/utf8.h"
#include "vault/admin_internal.h"

#include <string.h>

enum { WORD_VERB = 1, WORD_NAME = 2, WORD_OPTIONS = 3 };

/* "smtp://host", "smtps://host:465": enough to catch a slip; the relay reads it properly. */
static bool url_ok(struct base_slice url)
{
	struct base_slice rest;

	if (base_slice_starts_with_nocase(url, BASE_SLICE("smtp://")))
		rest = base_slice_from(url, 7);
	else if (base_slice_starts_with_nocase(url, BASE_SLICE("smtps://")))
		rest = base_slice_from(url, 8);
	else
		return false;
	for (size_t i = 0; i < rest.len; i++)
		if (rest.ptr[i] <= ' ' || rest.ptr[i] >= 0x7f || rest.ptr[i] == '@' ||
			rest.ptr[i] == '/')
			return false;
	return rest.len > 0 && url.len <= VAULT_URL_MAX_BYTES;
}

static bool user_ok(struct base_slice user)
{
	struct vault_key key;

	return vault_key_make(user, BASE_SLICE_EMPTY, &key);
}

static int add(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct base_slice name, struct vault_admin_effects *fx, struct base_buf *out,
	struct base_error *err)
{
	struct vault_account account = {.created_ms = env->now_ms};
	struct vault_admin_options o;
	int rc = vault_admin_options_parse(req, WORD_OPTIONS, &o, err);

	if (rc != 0)
		return rc;
	if (!url_ok(o.url))
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "url", o.url,
			"not a server's URL; write smtp://host:587 or smtps://host:465");
	if (!user_ok(o.user))
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "user", o.user,
			"an account needs the name to log in with; give --user NAME");
	if (!req->secret.len || req->secret.len > BASE_SECRET_PASSWORD_MAX_BYTES)
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "account", name,
			"an account needs a password of 1 to 1024 bytes");
	memcpy(account.name, name.ptr, name.len);
	memcpy(account.url, o.url.ptr, o.url.len);
	memcpy(account.user, o.user.ptr, o.user.len);
	rc = vault_store_begin(env->store, err);
	if (rc != 0)
		return rc;
	rc = vault_store_account_put(env->store, &account, o.replace, err);
	if (rc == 0)
		rc = vault_store_account_part_put(
			env->store, name, VAULT_ACCOUNT_SECRET, req->secret, err);
	if (rc == 0)
		rc = vault_store_commit(env->store, err);
	else
		vault_store_rollback(env->store);
	if (rc == BASE_ERROR_EXISTS)
		return vault_admin_refuse(
			err, BASE_ERROR_EXISTS, "account", name, "exists already; remove it first");
	if (rc != 0)
		return rc;
	fx->changed = true;
	return vault_admin_json(vault_admin_done(name, "added"), out, err);
}

static int remove_account(const struct vault_admin_env *env, struct base_slice name,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	int rc = vault_store_account_remove(env->store, name, err);

	if (rc == BASE_ERROR_NOT_FOUND)
		return vault_admin_refuse(
			err, BASE_ERROR_NOT_FOUND, "account", name, "there is none of this name");
	if (rc != 0)
		return rc;
	fx->changed = true;
	return vault_admin_json(vault_admin_done(name, "removed"), out, err);
}

static json_t *account_json(const struct vault_account *account)
{
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(account->name));
	json_object_set_new(json, "url", json_string(account->url));
	json_object_set_new(json, "user", json_string(account->user));
	json_object_set_new(json, "created", vault_admin_time(account->created_ms));
	return json;
}

static bool list_one(const struct vault_account *account, void *arg)
{
	json_array_append_new(arg, account_json(account));
	return true;
}

static int list(const struct vault_admin_env *env, struct base_buf *out, struct base_error *err)
{
	json_t *json = json_object(), *accounts = json_array();
	int rc = vault_store_account_each(env->store, list_one, accounts, err);

	json_object_set_new(json, "accounts", accounts);
	if (rc == 0)
		return vault_admin_json(json, out, err);
	json_decref(json);
	return rc;
}

static int show(const struct vault_admin_env *env, struct base_slice name, struct base_buf *out,
	struct base_error *err)
{
	struct vault_account account;
	int rc = vault_store_account_get(env->store, name, &account, err);

	if (rc == BASE_ERROR_NOT_FOUND)
		return vault_admin_refuse(
			err, BASE_ERROR_NOT_FOUND, "account", name, "there is none of this name");
	return rc != 0 ? rc : vault_admin_json(account_json(&account), out, err);
}

int vault_admin_account(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	struct base_slice name;

	if (vault_admin_word_is(req, WORD_VERB, "list"))
		return list(env, out, err);
	if (req->word_count <= WORD_NAME)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "the name of an account is missing");
	name = req->words[WORD_NAME];
	if (!vault_label_valid(name))
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "account", name,
			"not a name; write 1 to 64 letters, digits, dots, dashes or underscores");
	memcpy(fx->name, name.ptr, name.len);
	if (vault_admin_word_is(req, WORD_VERB, "add"))
		return add(env, req, name, fx, out, err);
	if (vault_admin_word_is(req, WORD_VERB, "remove"))
		return remove_account(env, name, fx, out, err);
	if (vault_admin_word_is(req, WORD_VERB, "show"))
		return show(env, name, out, err);
	return base_error_set(err, BASE_ERROR_PERMANENT, 0,
		"not a command on accounts; add, list, show and remove are");
}
