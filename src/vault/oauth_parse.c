/* A profile's JSON read: key by key, then what the built-in ones bring, then whether the parts fit. */
#include "base/escape.h"
#include "base/host.h"
#include "base/utf8.h"
#include "vault/oauth_internal.h"
#include "vault/pem.h"

#include <string.h>

struct parse {
	struct vault_oauth_profile *p;
	const char *what;
	vault_oauth_read_fn read;
	void *arg;
	struct base_buf *warnings;
	struct base_error *err;
	bool has_grant;
};

static int refuse(struct parse *x, const char *key, const char *reason)
{
	return base_error_set(x->err, BASE_ERROR_CONFIG, 0, "%s: %s: %s", x->what, key, reason);
}

static void warn(struct parse *x, const char *key, const char *reason)
{
	if (!x->warnings)
		return;
	base_buf_printf(x->warnings, "%s: \"", x->what);
	base_escape_log(base_slice_text(key), 60, x->warnings);
	base_buf_printf(x->warnings, "\": %s\n", reason);
}

static bool is_plain(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return false;
	return s.len > 0 && base_utf8_valid(s);
}

static int as_text(
	struct parse *x, const char *key, const json_t *value, size_t max, struct base_slice *out)
{
	if (!json_is_string(value))
		return refuse(x, key, "a text is expected");
	*out = base_slice_make(json_string_value(value), json_string_length(value));
	if (!is_plain(*out))
		return refuse(x, key, "empty, or with control characters in it");
	return out->len <= max ? 0 : refuse(x, key, "too long");
}

/* "https://host[:port][/path][?query]" */
static bool is_endpoint(struct base_slice url)
{
	struct base_slice rest = base_slice_from(url, 8);
	size_t end = 0;

	if (!base_slice_starts_with_nocase(url, BASE_SLICE("https://")) ||
		!vault_oauth_is_visible(url, 512) || base_slice_has(url, '#') ||
		base_slice_has(url, '"') || base_slice_has(url, '\\'))
		return false;
	while (end < rest.len && rest.ptr[end] != '/' && rest.ptr[end] != '?')
		end++;
	rest = base_slice_first(rest, end);
	for (size_t i = 0; i < rest.len; i++)
		if (!base_ascii_is_alnum(rest.ptr[i]) && !strchr(".-_:[]", rest.ptr[i]))
			return false;
	return rest.len > 0 && rest.ptr[0] != ':';
}

static bool is_tenant(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!base_ascii_is_alnum(s.ptr[i]) && s.ptr[i] != '.' && s.ptr[i] != '-')
			return false;
	return s.len > 0 && s.len <= 128;
}

static int take_text(struct parse *x, enum oauth_text which, const json_t *value)
{
	const char *key = vault_oauth_text_keys[which];
	struct base_slice text;
	int rc = as_text(x, key, value, OAUTH_TEXT_MAX_BYTES, &text);

	if (rc != 0)
		return rc;
	if ((which == OAUTH_TOKEN_ENDPOINT || which == OAUTH_AUTHORIZATION_ENDPOINT ||
		    which == OAUTH_DEVICE_ENDPOINT) &&
		!is_endpoint(text))
		return refuse(x, key, "not an address; write https://host/path");
	if (which == OAUTH_TENANT && !is_tenant(text))
		return refuse(x, key, "not a tenant; write its domain or its id");
	x->p->texts[which] = base_slice_dup(text);
	return 0;
}

static int take_secret(struct parse *x, enum oauth_secret which, const json_t *value)
{
	const char *key = vault_oauth_secret_keys[which];
	struct base_slice text;
	int rc = as_text(x, key, value, VAULT_OAUTH_TOKEN_MAX_BYTES, &text);

	if (rc != 0)
		return rc;
	if (which == OAUTH_REFRESH && !vault_oauth_is_visible(text, VAULT_OAUTH_TOKEN_MAX_BYTES))
		return refuse(x, key, "not a token: it holds blanks or letters beyond ASCII");
	base_secret_init(&x->p->secrets[which], text.len);
	BASE_BUG_IF(!base_secret_set(&x->p->secrets[which], text));
	return 0;
}

static int take_pem(struct parse *x, enum oauth_pem which, const json_t *value)
{
	const char *key = vault_oauth_pem_keys[which];
	struct base_buf *pem = &x->p->pems[which];
	struct base_slice text = json_is_string(value)
		? base_slice_make(json_string_value(value), json_string_length(value))
		: BASE_SLICE_EMPTY;
	struct base_error why = {0};

	if (!text.len)
		return refuse(x, key, "the path of a PEM file is expected");
	if (!x->read || base_slice_starts_with(text, BASE_SLICE("-----BEGIN "))) {
		if (!base_buf_append_slice(pem, text))
			return refuse(x, key, "too long");
	} else if (x->read(x->arg, json_string_value(value), pem, &why) != 0) {
		return refuse(x, key, why.text);
	}
	if (!base_utf8_valid(base_buf_slice(pem)) || base_slice_has(base_buf_slice(pem), '\0'))
		return refuse(x, key, "not a text file in PEM");
	if (which == OAUTH_PRIVATE_KEY) {
		EVP_PKEY *pkey = vault_pem_key(base_buf_slice(pem));

		EVP_PKEY_free(pkey);
		return pkey ? 0 : refuse(x, key, vault_pem_pair_words(VAULT_PEM_NO_KEY));
	}
	return vault_pem_certificates(base_buf_slice(pem), NULL)
		? 0
		: refuse(x, key, vault_pem_pair_words(VAULT_PEM_NO_CERTIFICATE));
}

/* Which of @names, from 1, or 0. */
static size_t find(const char *const *names, size_t count, struct base_slice name)
{
	for (size_t i = 1; i < count; i++)
		if (base_slice_equal_text(name, names[i]))
			return i;
	return 0;
}

static int take_profile(struct parse *x, const json_t *value)
{
	struct base_slice name;
	int rc = as_text(x, "profile", value, 64, &name);

	if (rc != 0)
		return rc;
	x->p->builtin = find(vault_oauth_builtin_names, OAUTH_BUILTIN_COUNT, name);
	return x->p->builtin ? 0 : refuse(x, "profile", "not known; google and microsoft are");
}

static int take_grant(struct parse *x, const json_t *value)
{
	struct base_slice name;
	int rc = as_text(x, "grant", value, 64, &name);

	if (rc != 0)
		return rc;
	for (unsigned g = 0; g < VAULT_OAUTH_GRANT_COUNT; g++)
		if (base_slice_equal_text(name, vault_oauth_grant_name(g))) {
			x->p->grant = g;
			x->has_grant = true;
			return 0;
		}
	return refuse(x, "grant",
		"not known; refresh_token, device_code, authorization_code, client_credentials"
		" and jwt_bearer are");
}

static int take_algorithm(struct parse *x, const json_t *value)
{
	struct base_slice name;
	int rc = as_text(x, "algorithm", value, 64, &name);

	if (rc != 0)
		return rc;
	x->p->algorithm = find(vault_oauth_algorithm_names, OAUTH_ALGORITHM_COUNT, name);
	return x->p->algorithm ? 0
			       : refuse(x, "algorithm", "not known; RS256, PS256 and ES256 are");
}

/* Fields that the requests have already; to send one twice would let a server choose. */
static bool is_own_field(struct base_slice name)
{
	static const char *const own[] = {"grant_type", "client_id", "client_secret",
		"refresh_token", "code", "redirect_uri", "code_verifier", "code_challenge",
		"code_challenge_method", "device_code", "client_assertion", "client_assertion_type",
		"assertion", "scope", "state", "response_type", "login_hint"};

	for (size_t i = 0; i < BASE_COUNT(own); i++)
		if (base_slice_equal_text(name, own[i]))
			return true;
	return false;
}

static int take_extra(struct parse *x, json_t *object)
{
	struct vault_oauth_profile *p = x->p;
	const char *key;
	json_t *value;

	if (!json_is_object(object))
		return refuse(x, "extra", "an object of texts is expected");
	json_object_foreach(object, key, value)
	{
		struct base_slice name = base_slice_text(key), text;
		int rc = as_text(x, "extra", value, OAUTH_TEXT_MAX_BYTES, &text);

		if (rc != 0)
			return rc;
		if (!is_plain(name) || name.len > 64 || is_own_field(name))
			return refuse(x, "extra", "names a field that Postern writes itself");
		if (p->extra_count == OAUTH_EXTRA_MAX)
			return refuse(x, "extra", "more than 16 fields");
		p->extra[p->extra_count].name = base_slice_dup(name);
		p->extra[p->extra_count++].value = base_slice_dup(text);
	}
	return 0;
}

static int take(struct parse *x, const char *key, json_t *value)
{
	if (strcmp(key, "profile") == 0)
		return take_profile(x, value);
	if (strcmp(key, "grant") == 0)
		return take_grant(x, value);
	if (strcmp(key, "algorithm") == 0)
		return take_algorithm(x, value);
	if (strcmp(key, "extra") == 0)
		return take_extra(x, value);
	for (unsigned i = 0; i < OAUTH_TEXT_COUNT; i++)
		if (strcmp(key, vault_oauth_text_keys[i]) == 0)
			return take_text(x, i, value);
	for (unsigned i = 0; i < OAUTH_SECRET_COUNT; i++)
		if (strcmp(key, vault_oauth_secret_keys[i]) == 0)
			return take_secret(x, i, value);
	for (unsigned i = 0; i < OAUTH_PEM_COUNT; i++)
		if (strcmp(key, vault_oauth_pem_keys[i]) == 0)
			return take_pem(x, i, value);
	warn(x, key, "not a key of a profile; ignored");
	return 0;
}

static void fill(struct vault_oauth_profile *p, enum oauth_text which, const char *text)
{
	if (!p->texts[which])
		p->texts[which] = base_strdup(text);
}

static void fill_tenant(struct vault_oauth_profile *p, enum oauth_text which, const char *last)
{
	struct base_buf url;

	base_buf_init(&url, 512);
	base_buf_printf(&url, "https://login.microsoftonline.com/%s/oauth2/v2.0/%s",
		p->texts[OAUTH_TENANT], last);
	fill(p, which, base_buf_text(&url));
	base_buf_release(&url);
}

/* A token of one's own lasts with a tenant that is one only. */
static int fill_microsoft(struct parse *x)
{
	struct vault_oauth_profile *p = x->p;
	bool own = x->has_grant && p->grant == VAULT_OAUTH_CLIENT_CREDENTIALS;

	if (own &&
		(!p->texts[OAUTH_TENANT] ||
			find((const char *const[]){"", "common", "organizations", "consumers"}, 4,
				base_slice_text(p->texts[OAUTH_TENANT]))))
		return refuse(x, "tenant",
			"with grant client_credentials your own is needed: its domain or its id");
	fill(p, OAUTH_TENANT, "common");
	fill_tenant(p, OAUTH_AUTHORIZATION_ENDPOINT, "authorize");
	fill_tenant(p, OAUTH_TOKEN_ENDPOINT, "token");
	fill_tenant(p, OAUTH_DEVICE_ENDPOINT, "devicecode");
	fill(p, OAUTH_SCOPE,
		own ? "https://outlook.office365.com/.default"
		    : "https://outlook.office.com/SMTP.Send offline_access");
	return 0;
}

static int fill_builtin(struct parse *x)
{
	struct vault_oauth_profile *p = x->p;

	switch (p->builtin) {
	case OAUTH_GOOGLE:
		fill(p, OAUTH_AUTHORIZATION_ENDPOINT,
			"https://accounts.google.com/o/oauth2/v2/auth");
		fill(p, OAUTH_TOKEN_ENDPOINT, "https://oauth2.googleapis.com/token");
		fill(p, OAUTH_DEVICE_ENDPOINT, "https://oauth2.googleapis.com/device/code");
		fill(p, OAUTH_SCOPE, "https://mail.google.com/");
		break;
	case OAUTH_MICROSOFT:
		return fill_microsoft(x);
	case OAUTH_NO_BUILTIN:
	case OAUTH_BUILTIN_COUNT:
		break;
	}
	if (p->texts[OAUTH_TENANT])
		warn(x, "tenant", "means something with profile microsoft only");
	return 0;
}

/* Google's device flow gives no scope for mail. */
static enum vault_oauth_grant infer_grant(const struct vault_oauth_profile *p)
{
	if (vault_oauth_has_refresh_token(p))
		return VAULT_OAUTH_REFRESH_TOKEN;
	if (p->texts[OAUTH_DEVICE_ENDPOINT] && p->builtin != OAUTH_GOOGLE)
		return VAULT_OAUTH_DEVICE_CODE;
	if (p->texts[OAUTH_AUTHORIZATION_ENDPOINT])
		return VAULT_OAUTH_AUTHORIZATION_CODE;
	return VAULT_OAUTH_CLIENT_CREDENTIALS;
}

static int check_key(struct parse *x)
{
	struct vault_oauth_profile *p = x->p;
	struct base_slice key = base_buf_slice(&p->pems[OAUTH_PRIVATE_KEY]),
			  certificate = base_buf_slice(&p->pems[OAUTH_CERTIFICATE]);
	enum oauth_algorithm can = vault_oauth_key_algorithm(key);

	if (!key.len && certificate.len)
		return refuse(x, "certificate", "needs private_key beside it");
	if (!key.len) {
		p->algorithm = OAUTH_NONE;
		return 0;
	}
	if (can == OAUTH_NONE)
		return refuse(x, "private_key",
			"RSA of 2048 bits and more, or EC on the curve P-256, can be used");
	if (p->algorithm == OAUTH_NONE)
		p->algorithm = can;
	if ((p->algorithm == OAUTH_ES256) != (can == OAUTH_ES256))
		return refuse(x, "algorithm",
			"does not go with private_key; RS256 and PS256 want RSA, ES256 an EC key");
	if (certificate.len && vault_pem_pair(certificate, key) != VAULT_PEM_PAIR_OK)
		return refuse(x, "certificate", vault_pem_pair_words(VAULT_PEM_OTHER_KEY));
	return 0;
}

static int check_grant(struct parse *x)
{
	const struct vault_oauth_profile *p = x->p;
	bool secret = p->secrets[OAUTH_CLIENT_SECRET].len > 0, key = p->algorithm != OAUTH_NONE;

	if (secret && key && p->grant != VAULT_OAUTH_JWT_BEARER)
		return refuse(x, "client_secret", "private_key takes its place; give one of both");
	switch (p->grant) {
	case VAULT_OAUTH_REFRESH_TOKEN:
		return vault_oauth_has_refresh_token(p)
			? 0
			: refuse(x, "refresh_token", "missing; grant refresh_token needs it");
	case VAULT_OAUTH_DEVICE_CODE:
		return p->texts[OAUTH_DEVICE_ENDPOINT]
			? 0
			: refuse(x, "device_authorization_endpoint",
				  "missing; grant device_code needs it");
	case VAULT_OAUTH_AUTHORIZATION_CODE:
		return p->texts[OAUTH_AUTHORIZATION_ENDPOINT]
			? 0
			: refuse(x, "authorization_endpoint",
				  "missing; grant authorization_code needs it");
	case VAULT_OAUTH_CLIENT_CREDENTIALS:
		return secret || key
			? 0
			: refuse(x, "client_secret",
				  "missing; grant client_credentials needs it, or private_key");
	case VAULT_OAUTH_JWT_BEARER:
		return key ? 0
			   : refuse(x, "private_key", "missing; grant jwt_bearer signs with it");
	case VAULT_OAUTH_GRANT_COUNT:
		break;
	}
	return 0;
}

static int read_keys(struct parse *x, json_t *json)
{
	struct vault_oauth_profile *p = x->p;
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(json, key, value) if (rc == 0) rc = take(x, key, value);
	if (rc == 0)
		rc = fill_builtin(x);
	if (rc == 0 && !p->texts[OAUTH_TOKEN_ENDPOINT])
		rc = refuse(x, "token_endpoint",
			"missing; write the provider's https:// address, or a \"profile\"");
	if (rc == 0 && !p->texts[OAUTH_CLIENT_ID])
		rc = refuse(x, "client_id", "missing; the provider gave it to you for Postern");
	if (rc == 0 && !x->has_grant)
		p->grant = infer_grant(p);
	if (rc == 0)
		rc = check_key(x);
	return rc == 0 ? check_grant(x) : rc;
}

/* What is kept of it has to fit too: files are in it, and what a built-in profile brings. */
static int check_size(struct parse *x)
{
	struct base_buf written;
	bool fits;

	base_buf_init_secret(&written, VAULT_OAUTH_PROFILE_MAX_BYTES);
	vault_oauth_profile_write(x->p, &written);
	fits = base_buf_ok(&written);
	base_buf_release(&written);
	return fits ? 0
		    : base_error_set(x->err, BASE_ERROR_CONFIG, 0,
			      "%s: too long with the files that it names", x->what);
}

int vault_oauth_profile_parse(struct vault_oauth_profile **out, struct base_slice text,
	const char *what, vault_oauth_read_fn read, void *arg, struct base_buf *warnings,
	struct base_error *err)
{
	struct parse x = {.what = what, .read = read, .arg = arg, .warnings = warnings, .err = err};
	struct base_error why = {0};
	json_t *json = NULL;
	int rc;

	if (text.len <= VAULT_OAUTH_PROFILE_MAX_BYTES)
		json = vault_oauth_json(text, &why);
	if (!json)
		return base_error_set(err, BASE_ERROR_CONFIG, 0, "%s: %s", what,
			why.text[0] ? why.text : "too long");
	x.p = base_alloc_zero(1, sizeof(*x.p));
	for (size_t i = 0; i < OAUTH_PEM_COUNT; i++)
		base_buf_init_secret(&x.p->pems[i], VAULT_OAUTH_PROFILE_MAX_BYTES);
	rc = read_keys(&x, json);
	json_decref(json);
	if (rc == 0)
		rc = check_size(&x);
	if (rc == 0)
		*out = x.p;
	else
		vault_oauth_profile_free(&x.p);
	return rc;
}
