/* An OAuth profile: its tables, what is asked of it, how it is written and given up. */
#include "vault/oauth_internal.h"

#include <stdlib.h>
#include <string.h>

const char *const vault_oauth_text_keys[OAUTH_TEXT_COUNT] = {
#define X(name, key) [OAUTH_##name] = (key),
	OAUTH_TEXTS(X)
#undef X
};
const char *const vault_oauth_secret_keys[OAUTH_SECRET_COUNT] = {
	[OAUTH_CLIENT_SECRET] = "client_secret",
	[OAUTH_REFRESH] = "refresh_token",
};
const char *const vault_oauth_pem_keys[OAUTH_PEM_COUNT] = {
	[OAUTH_PRIVATE_KEY] = "private_key",
	[OAUTH_CERTIFICATE] = "certificate",
	[OAUTH_CA] = "ca",
};
const char *const vault_oauth_builtin_names[OAUTH_BUILTIN_COUNT] = {
	[OAUTH_NO_BUILTIN] = "",
	[OAUTH_GOOGLE] = "google",
	[OAUTH_MICROSOFT] = "microsoft",
};
const char *const vault_oauth_algorithm_names[OAUTH_ALGORITHM_COUNT] = {
	[OAUTH_NONE] = "",
	[OAUTH_RS256] = "RS256",
	[OAUTH_PS256] = "PS256",
	[OAUTH_ES256] = "ES256",
};

const char *vault_oauth_grant_name(enum vault_oauth_grant grant)
{
	static const char *const names[VAULT_OAUTH_GRANT_COUNT] = {
		[VAULT_OAUTH_REFRESH_TOKEN] = "refresh_token",
		[VAULT_OAUTH_DEVICE_CODE] = "device_code",
		[VAULT_OAUTH_AUTHORIZATION_CODE] = "authorization_code",
		[VAULT_OAUTH_CLIENT_CREDENTIALS] = "client_credentials",
		[VAULT_OAUTH_JWT_BEARER] = "jwt_bearer",
	};

	return names[grant];
}

bool vault_oauth_grant_is_interactive(enum vault_oauth_grant grant)
{
	return grant == VAULT_OAUTH_DEVICE_CODE || grant == VAULT_OAUTH_AUTHORIZATION_CODE;
}

const char *vault_oauth_builtin(const char *name)
{
	static const char *const profiles[OAUTH_BUILTIN_COUNT] = {
		[OAUTH_GOOGLE] = "{\"profile\": \"google\"}",
		[OAUTH_MICROSOFT] = "{\"profile\": \"microsoft\"}",
	};

	for (size_t i = OAUTH_NO_BUILTIN + 1; i < OAUTH_BUILTIN_COUNT; i++)
		if (strcmp(name, vault_oauth_builtin_names[i]) == 0)
			return profiles[i];
	return NULL;
}

enum vault_oauth_grant vault_oauth_profile_grant(const struct vault_oauth_profile *p)
{
	return p->grant;
}

const char *vault_oauth_token_endpoint(const struct vault_oauth_profile *p)
{
	return p->texts[OAUTH_TOKEN_ENDPOINT];
}

const char *vault_oauth_device_endpoint(const struct vault_oauth_profile *p)
{
	return p->texts[OAUTH_DEVICE_ENDPOINT];
}

struct base_slice vault_oauth_ca(const struct vault_oauth_profile *p)
{
	return base_buf_slice(&p->pems[OAUTH_CA]);
}

bool vault_oauth_has_refresh_token(const struct vault_oauth_profile *p)
{
	return p->secrets[OAUTH_REFRESH].len > 0;
}

/* Texts are no secrets by their meaning, but some provider may see that otherwise. */
static void free_text(char *text)
{
	if (!text)
		return;
	base_wipe(text, strlen(text));
	free(text);
}

void vault_oauth_profile_free(struct vault_oauth_profile **profile)
{
	struct vault_oauth_profile *p = *profile;

	if (!p)
		return;
	for (size_t i = 0; i < OAUTH_TEXT_COUNT; i++)
		free_text(p->texts[i]);
	for (size_t i = 0; i < OAUTH_SECRET_COUNT; i++)
		if (p->secrets[i].ptr)
			base_secret_release(&p->secrets[i]);
	for (size_t i = 0; i < OAUTH_PEM_COUNT; i++)
		base_buf_release(&p->pems[i]);
	for (size_t i = 0; i < p->extra_count; i++) {
		free_text(p->extra[i].name);
		free_text(p->extra[i].value);
	}
	free(p);
	*profile = NULL;
}

static void set(json_t *json, const char *key, struct base_slice value)
{
	if (value.len)
		json_object_set_new(json, key, json_stringn((const char *)value.ptr, value.len));
}

static int append(const char *text, size_t len, void *arg)
{
	return base_buf_append(arg, text, len) ? 0 : -1;
}

void vault_oauth_profile_write(const struct vault_oauth_profile *p, struct base_buf *out)
{
	json_t *json, *extra;

	vault_oauth_json_wiped();
	json = json_object();
	extra = json_object();
	set(json, "profile", base_slice_text(vault_oauth_builtin_names[p->builtin]));
	set(json, "grant", base_slice_text(vault_oauth_grant_name(p->grant)));
	set(json, "algorithm", base_slice_text(vault_oauth_algorithm_names[p->algorithm]));
	for (size_t i = 0; i < OAUTH_TEXT_COUNT; i++)
		set(json, vault_oauth_text_keys[i], base_slice_text(p->texts[i]));
	for (size_t i = 0; i < OAUTH_SECRET_COUNT; i++)
		set(json, vault_oauth_secret_keys[i], base_secret_slice(&p->secrets[i]));
	for (size_t i = 0; i < OAUTH_PEM_COUNT; i++)
		set(json, vault_oauth_pem_keys[i], base_buf_slice(&p->pems[i]));
	for (size_t i = 0; i < p->extra_count; i++)
		json_object_set_new(extra, p->extra[i].name, json_string(p->extra[i].value));
	if (p->extra_count)
		json_object_set(json, "extra", extra);
	json_decref(extra);
	if (json_dump_callback(json, append, out, JSON_COMPACT) != 0)
		out->overflow = true;
	json_decref(json);
}
