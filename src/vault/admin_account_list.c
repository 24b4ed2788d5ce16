/* account list | show: the vault's accounts and the configuration's sections as one list */
#include "vault/admin_internal.h"

#include <stdlib.h>

/* One name: of the vault, of a section, or of both. */
struct entry {
	const struct vault_account *row;
	const struct vault_admin_section *section;
};

static const char *first(const char *of_section, const char *of_row)
{
	return of_section && *of_section ? of_section : of_row ? of_row : "";
}

static json_t *rate_json(uint32_t count, uint32_t seconds)
{
	if (!count)
		return json_null();
	for (size_t i = 0; i < VAULT_ADMIN_RATE_UNITS; i++)
		if (vault_admin_rate_units[i].seconds == seconds)
			return json_sprintf("%u/%s", count, vault_admin_rate_units[i].name);
	return json_sprintf("%u/%u s", count, seconds);
}

static json_t *number_or_null(uint32_t number)
{
	return number ? json_integer(number) : json_null();
}

static json_t *secret_json(const struct vault_account *row)
{
	if (!row)
		return json_null();
	switch (row->kind) {
	case VAULT_ACCOUNT_OAUTH:
		return json_string("oauth");
	case VAULT_ACCOUNT_CERTIFICATE:
		return row->has_certificate ? json_string("certificate") : json_null();
	case VAULT_ACCOUNT_PASSWORD:
		break;
	}
	return json_string("password");
}

static json_t *token_json(const struct vault_admin_env *env, const struct entry *e)
{
	json_t *token = NULL;

	if (env->token && e->row && e->row->kind == VAULT_ACCOUNT_OAUTH)
		token = env->token(e->row->name, env->arg);
	return token ? token : json_null();
}

static json_t *entry_json(const struct vault_admin_env *env, const struct entry *e)
{
	static const struct vault_admin_section no_section;
	static const struct vault_account no_row;
	const struct vault_admin_section *s = e->section ? e->section : &no_section;
	const struct vault_account *row = e->row ? e->row : &no_row;
	sasl_mechanism_mask mask = s->mechanisms ? s->mechanisms : row->mechanisms;
	bool rate = s->rate_count > 0;
	const char *pin = first(s->pin, row->pin);
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(e->row ? row->name : s->name));
	json_object_set_new(json, "url", json_string(first(s->url, row->url)));
	json_object_set_new(json, "user", json_string(first(s->user, row->user)));
	json_object_set_new(json, "secret", secret_json(e->row));
	json_object_set_new(json, "source",
		json_string(!e->section   ? "vault"
				: !e->row ? "configuration"
					  : "both"));
	json_object_set_new(json, "mechanisms", mask ? vault_admin_mechanisms(mask) : json_null());
	json_object_set_new(json, "connections",
		number_or_null(s->connections ? s->connections : row->connections));
	json_object_set_new(json, "rate",
		rate_json(rate ? s->rate_count : row->rate_count, rate ? s->rate_s : row->rate_s));
	json_object_set_new(json, "pin", *pin ? json_string(pin) : json_null());
	json_object_set_new(json, "ca", json_boolean(s->has_ca || row->has_ca));
	json_object_set_new(
		json, "certificate", json_boolean(s->has_certificate || row->has_certificate));
	json_object_set_new(json, "created", vault_admin_time(row->created_ms));
	json_object_set_new(json, "token", token_json(env, e));
	return json;
}

struct listing {
	const struct vault_admin_env *env;
	json_t *accounts;
	bool *seen; /* of the sections */
};

static bool list_row(const struct vault_account *row, void *arg)
{
	struct listing *l = arg;
	struct entry e = {row, vault_admin_section_find(l->env, base_slice_text(row->name))};

	if (e.section)
		l->seen[e.section - l->env->sections] = true;
	json_array_append_new(l->accounts, entry_json(l->env, &e));
	return true;
}

/* The vault's by name, then the sections that it keeps nothing of, as the file has them. */
int vault_admin_account_list(
	const struct vault_admin_env *env, struct base_buf *out, struct base_error *err)
{
	struct listing l = {env, json_array(), base_alloc_zero(env->section_count + 1, 1)};
	json_t *json = json_object();
	int rc = vault_store_account_each(env->store, list_row, &l, err);

	for (size_t i = 0; i < env->section_count; i++) {
		struct entry e = {NULL, &env->sections[i]};

		if (!l.seen[i])
			json_array_append_new(l.accounts, entry_json(env, &e));
	}
	free(l.seen);
	json_object_set_new(json, "accounts", l.accounts);
	if (rc == 0)
		return vault_admin_json(json, out, err);
	json_decref(json);
	return rc;
}

int vault_admin_account_show(const struct vault_admin_env *env, struct base_slice name,
	struct base_buf *out, struct base_error *err)
{
	struct vault_account row;
	struct entry e = {NULL, vault_admin_section_find(env, name)};
	int rc = vault_store_account_get(env->store, name, &row, err);

	if (rc == 0)
		e.row = &row;
	else if (rc != BASE_ERROR_NOT_FOUND)
		return rc;
	if (!e.row && !e.section)
		return vault_admin_refuse(
			err, BASE_ERROR_NOT_FOUND, "account", name, "there is none of this name");
	return vault_admin_json(entry_json(env, &e), out, err);
}
