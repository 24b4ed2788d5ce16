/* account add | remove, and what the other verbs begin with */
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

const struct vault_admin_section *vault_admin_section_find(
	const struct vault_admin_env *env, struct base_slice name)
{
	for (size_t i = 0; i < env->section_count; i++)
		if (base_slice_equal_text(name, env->sections[i].name))
			return &env->sections[i];
	return NULL;
}

static sasl_mechanism_mask served_by(enum vault_account_kind kind)
{
	switch (kind) {
	case VAULT_ACCOUNT_OAUTH:
		return sasl_mechanism_mask_of(SASL_CREDENTIAL_TOKEN);
	case VAULT_ACCOUNT_CERTIFICATE:
		return sasl_mechanism_mask_of(SASL_CREDENTIAL_CERTIFICATE);
	case VAULT_ACCOUNT_PASSWORD:
		break;
	}
	return sasl_mechanism_mask_of(SASL_CREDENTIAL_PASSWORD);
}

static int check_mechanisms(
	const struct vault_admin_options *o, struct base_slice name, struct base_error *err)
{
	static const char *const reasons[] = {
		[VAULT_ACCOUNT_PASSWORD] = "a password does not serve all of these mechanisms",
		[VAULT_ACCOUNT_OAUTH] = "a token serves OAUTHBEARER and XOAUTH2 alone",
		[VAULT_ACCOUNT_CERTIFICATE] = "a client certificate serves EXTERNAL alone",
	};

	if (!(o->mechanisms & ~served_by(o->kind)))
		return 0;
	return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "account", name, reasons[o->kind]);
}

/* What the account has to say, unless its section does. */
static int check_options(const struct vault_admin_options *o,
	const struct vault_admin_section *section, struct base_slice name, struct base_error *err)
{
	bool section_url = section && section->url, section_user = section && section->user;

	if (o->has_send_as || o->has_limit || o->has_expires || o->app.len || o->disable ||
		o->enable || o->without != SASL_MECHANISM_NONE || o->dry_run)
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "account", name,
			"one of the options is for users only");
	if (o->url.len ? !url_ok(o->url) : !section_url)
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "url", o->url,
			"not a server's URL; write smtp://host:587 or smtps://host:465");
	if (o->user.len ? !user_ok(o->user) : !section_user && o->kind != VAULT_ACCOUNT_CERTIFICATE)
		return vault_admin_refuse(err, BASE_ERROR_PERMANENT, "user", o->user,
			"an account needs the name to log in with; give --user NAME");
	return check_mechanisms(o, name, err);
}

static void fill(const struct vault_admin_env *env, const struct vault_admin_options *o,
	struct base_slice name, struct vault_account *out)
{
	*out = (struct vault_account){.created_ms = env->now_ms,
		.kind = o->kind,
		.mechanisms = o->mechanisms,
		.connections = o->connections,
		.rate_count = o->rate_count,
		.rate_s = o->rate_s};
	memcpy(out->name, name.ptr, name.len);
	if (o->url.len)
		memcpy(out->url, o->url.ptr, o->url.len);
	if (o->user.len)
		memcpy(out->user, o->user.ptr, o->user.len);
	memcpy(out->pin, o->pin, sizeof(out->pin));
}

/* All of it, or what was there before. */
static int keep(struct vault_store *store, const struct vault_account *account, bool replace,
	const struct vault_admin_parts *parts, struct base_error *err)
{
	int rc = vault_store_begin(store, err);

	if (rc != 0)
		return rc;
	rc = vault_store_account_put(store, account, replace, err);
	for (unsigned i = 0; rc == 0 && i < VAULT_ACCOUNT_PART_COUNT; i++)
		if (parts->of[i].len)
			rc = vault_store_account_part_put(
				store, base_slice_text(account->name), i, parts->of[i], err);
	if (rc == 0)
		return vault_store_commit(store, err);
	vault_store_rollback(store);
	return rc;
}

static int add(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct base_slice name, struct vault_admin_effects *fx, struct base_buf *out,
	struct base_error *err)
{
	const struct vault_admin_section *section = vault_admin_section_find(env, name);
	struct vault_account account, before;
	struct vault_admin_parts parts;
	struct vault_admin_options o;
	bool changed;
	int rc = vault_admin_options_parse(req, WORD_OPTIONS, &o, err);

	if (rc == 0)
		rc = check_options(&o, section, name, err);
	if (rc == 0)
		rc = vault_admin_parts_take(
			req->secret, o.kind, section && section->has_certificate, &parts, err);
	if (rc != 0)
		return rc;
	fill(env, &o, name, &account);
	changed = o.replace && vault_store_account_get(env->store, name, &before, NULL) == 0;
	rc = keep(env->store, &account, o.replace, &parts, err);
	if (rc == BASE_ERROR_EXISTS)
		return vault_admin_refuse(err, BASE_ERROR_EXISTS, "account", name,
			"exists already; remove it first, or give --replace");
	if (rc != 0)
		return rc;
	fx->changed = true;
	return vault_admin_json(vault_admin_done(name, changed ? "changed" : "added"), out, err);
}

static int remove_account(const struct vault_admin_env *env, struct base_slice name,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	int rc = vault_store_account_remove(env->store, name, err);

	if (rc == BASE_ERROR_NOT_FOUND)
		return vault_admin_refuse(err, BASE_ERROR_NOT_FOUND, "account", name,
			vault_admin_section_find(env, name)
				? "the vault keeps nothing of it; it is a section of the"
				  " configuration, take it out there"
				: "there is none of this name");
	if (rc != 0)
		return rc;
	fx->changed = true;
	return vault_admin_json(vault_admin_done(name, "removed"), out, err);
}

int vault_admin_account(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	struct base_slice name;

	if (vault_admin_word_is(req, WORD_VERB, "list"))
		return vault_admin_account_list(env, out, err);
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
		return vault_admin_account_show(env, name, out, err);
	return base_error_set(err, BASE_ERROR_PERMANENT, 0,
		"not a command on accounts; add, list, show and remove are");
}
