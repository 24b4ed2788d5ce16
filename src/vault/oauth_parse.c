/* A profile's JSON read key by key. */
#include "base/utf8.h"
#include "vault/oauth_internal.h"
#include "vault/pem.h"

#include <string.h>

struct parse {
	struct vault_oauth_profile *p;
	struct oauth_say say;
	vault_oauth_read_fn read;
	void *arg;
	bool has_grant;
};

static int refuse(struct parse *x, const char *key, const char *reason)
{
	return vault_oauth_refuse(&x->say, key, reason);
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
	struct base_slice text = BASE_SLICE_EMPTY;
	int rc = as_text(x, key, value, OAUTH_TEXT_MAX_BYTES, &text);

	if (rc != 0)
		return rc;
	if ((which == OAUTH_TOKEN_ENDPOINT || which == OAUTH_AUTHORIZATION_ENDPOINT ||
		    which == OAUTH_DEVICE_ENDPOINT) &&
		!is_endpoint(text))
		return refuse(x, key,
			base_slice_starts_with_nocase(text, BASE_SLICE("http:"))
				? "http: is refused, for secrets are sent there; write "
				  "https://host/path"
				: "not an address; write https://host/path");
	if (which == OAUTH_TENANT && !is_tenant(text))
		return refuse(x, key, "not a tenant; write its domain or its id");
	x->p->texts[which] = base_slice_dup(text);
	return 0;
}

static int take_secret(struct parse *x, enum oauth_secret which, const json_t *value)
{
	const char *key = vault_oauth_secret_keys[which];
	struct base_slice text = BASE_SLICE_EMPTY;
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
	struct base_slice name = BASE_SLICE_EMPTY;
	int rc = as_text(x, "profile", value, 64, &name);

	if (rc != 0)
		return rc;
	x->p->builtin = find(vault_oauth_builtin_names, OAUTH_BUILTIN_COUNT, name);
	return x->p->builtin ? 0 : refuse(x, "profile", "not known; google and microsoft are");
}

static int take_grant(struct parse *x, const json_t *value)
{
	struct base_slice name = BASE_SLICE_EMPTY;
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
	struct base_slice name = BASE_SLICE_EMPTY;
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
		struct base_slice name = base_slice_text(key), text = BASE_SLICE_EMPTY;
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
	vault_oauth_warn(&x->say, key, "not a key of a profile; ignored");
	return 0;
}

static int read_keys(struct parse *x, json_t *json)
{
	const char *key;
	json_t *value;
	int rc = 0;

	json_object_foreach(json, key, value) if (rc == 0) rc = take(x, key, value);
	return rc == 0 ? vault_oauth_complete(x->p, x->has_grant, &x->say) : rc;
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
		    : base_error_set(x->say.err, BASE_ERROR_CONFIG, 0,
			      "%s: too long with the files that it names", x->say.what);
}

int vault_oauth_profile_parse(struct vault_oauth_profile **out, struct base_slice text,
	const char *what, vault_oauth_read_fn read, void *arg, struct base_buf *warnings,
	struct base_error *err)
{
	struct parse x = {.say = {what, warnings, err}, .read = read, .arg = arg};
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
