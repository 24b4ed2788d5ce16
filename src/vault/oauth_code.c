/* The authorization code grant with PKCE (RFC 6749 section 4.1, RFC 7636) on a loopback redirect. */
#include "base/base64.h"
#include "base/digest.h"
#include "base/escape.h"
#include "vault/oauth_internal.h"

#include <assert.h>
#include <string.h>

enum { QUERY_MAX_BYTES = 8192, CODE_MAX_BYTES = 4096, URL_MAX_BYTES = 8192 };

/* Of the two halves of @random. */
static void verifier(const uint8_t *random, struct base_buf *out)
{
	base_buf_init_secret(out, 64);
	vault_oauth_base64url(base_slice_make(random, VAULT_OAUTH_RANDOM_BYTES), out);
}

static void state(const uint8_t *random, struct base_buf *out)
{
	base_buf_init_secret(out, 64);
	vault_oauth_base64url(
		base_slice_make(random + VAULT_OAUTH_RANDOM_BYTES, VAULT_OAUTH_RANDOM_BYTES), out);
}

/* RFC 7636 section 4.2: S256. */
static void challenge(const uint8_t *random, struct base_buf *out)
{
	uint8_t digest[BASE_HASH_MAX_BYTES];
	struct base_buf text;

	verifier(random, &text);
	base_hash(BASE_HASH_SHA256, base_buf_slice(&text), digest);
	base_buf_init(out, 64);
	vault_oauth_base64url(base_slice_make(digest, base_hash_len(BASE_HASH_SHA256)), out);
	base_buf_release(&text);
}

static bool has_extra(const struct vault_oauth_profile *p, const char *name)
{
	for (size_t i = 0; i < p->extra_count; i++)
		if (strcmp(p->extra[i].name, name) == 0)
			return true;
	return false;
}

int vault_oauth_authorize_url(const struct vault_oauth_profile *p, const char *redirect,
	struct base_slice login_hint, const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES],
	struct base_buf *out, struct base_error *err)
{
	/* Google gives a refresh token only to those who ask so. */
	static const char *const google[][2] = {{"access_type", "offline"}, {"prompt", "consent"}};
	const char *endpoint = p->texts[OAUTH_AUTHORIZATION_ENDPOINT];
	struct base_buf ours, hash;

	if (!endpoint)
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "the profile has no authorization_endpoint");
	state(random, &ours);
	challenge(random, &hash);
	base_buf_append_text(out, endpoint);
	if (!strchr(endpoint, '?'))
		base_buf_append_byte(out, '?');
	vault_oauth_field(out, "response_type", BASE_SLICE("code"));
	vault_oauth_field(out, "client_id", base_slice_text(p->texts[OAUTH_CLIENT_ID]));
	vault_oauth_field(out, "redirect_uri", base_slice_text(redirect));
	if (p->texts[OAUTH_SCOPE])
		vault_oauth_field(out, "scope", base_slice_text(p->texts[OAUTH_SCOPE]));
	vault_oauth_field(out, "state", base_buf_slice(&ours));
	vault_oauth_field(out, "code_challenge", base_buf_slice(&hash));
	vault_oauth_field(out, "code_challenge_method", BASE_SLICE("S256"));
	if (login_hint.len)
		vault_oauth_field(out, "login_hint", login_hint);
	for (size_t i = 0; p->builtin == OAUTH_GOOGLE && i < BASE_COUNT(google); i++)
		if (!has_extra(p, google[i][0]))
			vault_oauth_field(out, google[i][0], base_slice_text(google[i][1]));
	vault_oauth_extra_fields(p, out);
	base_buf_release(&ours);
	base_buf_release(&hash);
	return vault_oauth_form_end(out, err);
}

static bool form_decode(struct base_slice text, struct base_buf *out)
{
	for (size_t i = 0; i < text.len; i++) {
		int high, low;

		if (text.ptr[i] != '%') {
			base_buf_append_byte(out, text.ptr[i] == '+' ? ' ' : text.ptr[i]);
			continue;
		}
		if (text.len - i < 3)
			return false;
		high = base_hex_value(text.ptr[i + 1]);
		low = base_hex_value(text.ptr[i + 2]);
		if (high < 0 || low < 0)
			return false;
		base_buf_append_byte(out, (uint8_t)(high << 4 | low));
		i += 2;
	}
	return base_buf_ok(out);
}

struct redirect {
	struct base_buf code, state, error, description;
};

static void redirect_release(struct redirect *r)
{
	base_buf_release(&r->code);
	base_buf_release(&r->state);
	base_buf_release(&r->error);
	base_buf_release(&r->description);
}

/* False: not form-encoded, or a parameter twice (RFC 6749 section 3.1 forbids that). */
static bool redirect_parse(struct base_slice query, struct redirect *r)
{
	struct {
		const char *name;
		struct base_buf *value;
		bool seen;
	} known[] = {{"code", &r->code, false}, {"state", &r->state, false},
		{"error", &r->error, false}, {"error_description", &r->description, false}};
	struct base_slice pair;

	for (size_t i = 0; i < BASE_COUNT(known); i++)
		base_buf_init_secret(known[i].value, QUERY_MAX_BYTES);
	if (query.len > QUERY_MAX_BYTES)
		return false;
	while (base_slice_split(&query, '&', &pair)) {
		size_t sign = base_slice_find(pair, '=');

		for (size_t i = 0; i < BASE_COUNT(known); i++) {
			if (!base_slice_equal_text(base_slice_first(pair, sign), known[i].name))
				continue;
			if (known[i].seen ||
				!form_decode(base_slice_from(pair, sign + 1), known[i].value))
				return false;
			known[i].seen = true;
		}
	}
	return true;
}

static int say_error(const struct redirect *r, struct base_error *err)
{
	struct base_buf words;
	int rc;

	base_buf_init(&words, 2048);
	base_escape_log(base_buf_slice(&r->error), 60, &words);
	if (r->description.len) {
		base_buf_append_text(&words, ": ");
		base_escape_log(base_buf_slice(&r->description), 80, &words);
	}
	rc = base_error_set(
		err, BASE_ERROR_PEER, 0, "the provider did not agree: %s", base_buf_text(&words));
	base_buf_release(&words);
	return rc;
}

static int judge(const struct redirect *r, const uint8_t *random, struct base_error *err)
{
	struct base_buf ours;
	bool same;

	state(random, &ours);
	same = base_equal_constant_time(base_buf_slice(&ours), base_buf_slice(&r->state));
	base_buf_release(&ours);
	if (!same)
		return base_error_set(err, BASE_ERROR_PEER, 0,
			"the answer does not belong to this login (another state)");
	if (r->error.len)
		return say_error(r, err);
	if (!vault_oauth_is_visible(base_buf_slice(&r->code), CODE_MAX_BYTES))
		return base_error_set(
			err, BASE_ERROR_PEER, 0, "the answer has no code that can be used");
	return 0;
}

/* Fresh for a signed assertion, without giving the verifier away. */
static void assertion_id(const uint8_t *random, uint8_t out[BASE_HASH_MAX_BYTES])
{
	static_assert(BASE_HASH_MAX_BYTES >= VAULT_OAUTH_RANDOM_BYTES, "jti is made of a hash");
	base_hmac(BASE_HASH_SHA256, base_slice_make(random, 2 * VAULT_OAUTH_RANDOM_BYTES),
		BASE_SLICE("jti"), out);
}

int vault_oauth_code_form(const struct vault_oauth_profile *p, struct base_slice query,
	const char *redirect, const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES], int64_t now_ms,
	struct base_buf *out, struct base_error *err)
{
	uint8_t id[BASE_HASH_MAX_BYTES];
	struct base_buf text;
	struct redirect r;
	int rc;

	rc = redirect_parse(query, &r) ? judge(&r, random, err)
				       : base_error_set(err, BASE_ERROR_PEER, 0,
						 "the answer is not one of an OAuth login");
	if (rc == 0) {
		verifier(random, &text);
		assertion_id(random, id);
		vault_oauth_field(out, "grant_type", BASE_SLICE("authorization_code"));
		vault_oauth_field(out, "code", base_buf_slice(&r.code));
		vault_oauth_field(out, "redirect_uri", base_slice_text(redirect));
		vault_oauth_field(out, "code_verifier", base_buf_slice(&text));
		rc = vault_oauth_client_fields(p, now_ms, id, false, out, err);
		base_buf_release(&text);
	}
	redirect_release(&r);
	return rc;
}
