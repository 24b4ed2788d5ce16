/* What the token and device endpoints answer (RFC 6749 sections 5.1 and 5.2, RFC 8628 section 3). */
#include "base/escape.h"
#include "vault/oauth_internal.h"

#include <math.h>
#include <string.h>

enum {
	EXPIRES_DEFAULT_S = 3600,
	EXPIRES_SENSELESS_S = 60,
	EXPIRES_MAX_S = 365 * 24 * 3600,
	MS = 1000
};
enum { INTERVAL_DEFAULT_S = 5, INTERVAL_MAX_S = 300, DEVICE_MAX_S = 24 * 3600 };

/* Escaped, and cut where the reason's room ends. */
static void say(char reason[VAULT_OAUTH_REASON_MAX_BYTES], struct base_slice error,
	struct base_slice description)
{
	struct base_buf words;
	size_t len;

	base_buf_init(&words, 4096);
	base_escape_log(error, 100, &words);
	if (description.len) {
		base_buf_append_text(&words, ": ");
		base_escape_log(description, 500, &words);
	}
	len = words.len < VAULT_OAUTH_REASON_MAX_BYTES ? words.len
						       : VAULT_OAUTH_REASON_MAX_BYTES - 1;
	if (len)
		memcpy(reason, words.ptr, len);
	reason[len] = '\0';
	base_buf_release(&words);
}

static void say_text(char reason[VAULT_OAUTH_REASON_MAX_BYTES], const char *text)
{
	say(reason, base_slice_text(text), BASE_SLICE_EMPTY);
}

static bool is_servers_fault(unsigned status)
{
	return status >= 500 || status == 429 || status == 408;
}

static enum vault_oauth_result meaning(unsigned status, struct base_slice error)
{
	static const struct {
		const char *error;
		enum vault_oauth_result result;
	} known[] = {
		{"authorization_pending", VAULT_OAUTH_PENDING},
		{"slow_down", VAULT_OAUTH_SLOW_DOWN},
		{"temporarily_unavailable", VAULT_OAUTH_LATER},
		{"server_error", VAULT_OAUTH_LATER},
	};

	for (size_t i = 0; i < BASE_COUNT(known); i++)
		if (base_slice_equal_text(error, known[i].error))
			return known[i].result;
	/* invalid_grant, access_denied, expired_token, …, and those that are new: nobody but a person can
	 * tell what to do. */
	return is_servers_fault(status) ? VAULT_OAUTH_LATER : VAULT_OAUTH_REFUSED;
}

enum vault_oauth_result vault_oauth_failure(
	unsigned status, const json_t *json, char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	struct base_slice error = vault_oauth_json_text(json, "error");
	struct base_buf words;

	if (error.len) {
		say(reason, error, vault_oauth_json_text(json, "error_description"));
		return meaning(status, error);
	}
	base_buf_init(&words, 200);
	base_buf_printf(&words, "the provider answers %u %s", status,
		json ? "without a token and without an error" : "with what is no OAuth answer");
	say_text(reason, base_buf_text(&words));
	base_buf_release(&words);
	return VAULT_OAUTH_LATER;
}

/* 1 to @max seconds, more is cut; @missing where there is none. False: no such number. */
static bool seconds(
	const json_t *json, const char *key, uint32_t missing, uint32_t max, uint32_t *out)
{
	const json_t *value = json_object_get(json, key);
	double number;
	uint64_t text;

	if (!value || json_is_null(value)) {
		*out = missing;
		return true;
	}
	if (json_is_string(value)) {
		/* Some providers quote it. */
		if (!base_slice_to_u64(vault_oauth_json_text(json, key), &text))
			return false;
		number = (double)text;
	} else if (json_is_number(value)) {
		number = json_number_value(value);
	} else {
		return false;
	}
	if (!isfinite(number) || number < 1)
		return false;
	*out = number > max ? max : (uint32_t)number;
	return true;
}

/* Absent, null and "": none. */
static bool optional_token(const json_t *json, const char *key, struct base_slice *out)
{
	const json_t *value = json_object_get(json, key);

	*out = vault_oauth_json_text(json, key);
	if (value && !json_is_string(value) && !json_is_null(value))
		return false;
	return !out->len || vault_oauth_is_visible(*out, VAULT_OAUTH_TOKEN_MAX_BYTES);
}

static enum vault_oauth_result take(const json_t *json, int64_t now_ms,
	struct vault_oauth_tokens *t, char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	struct base_slice access = vault_oauth_json_text(json, "access_token"),
			  type = vault_oauth_json_text(json, "token_type"), refresh;
	uint32_t life_s = 0;

	/* RFC 6749 demands a type; a provider that leaves it out knows no other one. */
	if (type.len && !base_slice_equal_text_nocase(type, "Bearer")) {
		say(reason, BASE_SLICE("the token is not one of type Bearer"), type);
		return VAULT_OAUTH_REFUSED;
	}
	if (!vault_oauth_is_visible(access, VAULT_OAUTH_TOKEN_MAX_BYTES) ||
		!optional_token(json, "refresh_token", &refresh)) {
		say_text(reason,
			"the answer holds a token that cannot be one: too long, or"
			" with blanks or letters beyond ASCII");
		return VAULT_OAUTH_LATER;
	}
	/* What makes no sense as a time must not cost a refresh token that came with it. */
	if (!seconds(json, "expires_in", EXPIRES_DEFAULT_S, EXPIRES_MAX_S, &life_s))
		life_s = EXPIRES_SENSELESS_S;
	BASE_BUG_IF(!base_secret_set(&t->access, access));
	if (refresh.len)
		BASE_BUG_IF(!base_secret_set(&t->refresh, refresh));
	t->obtained_ms = now_ms;
	t->until_ms = now_ms + (int64_t)life_s * MS;
	reason[0] = '\0';
	return VAULT_OAUTH_OBTAINED;
}

static bool is_success(unsigned status, const json_t *json)
{
	/* Some providers put an error into a 200. */
	return status >= 200 && status < 300 && json &&
		!json_is_string(json_object_get(json, "error"));
}

enum vault_oauth_result vault_oauth_answer(unsigned status, struct base_slice body, int64_t now_ms,
	struct vault_oauth_tokens *t, char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	json_t *json = vault_oauth_json(body, NULL);
	enum vault_oauth_result result;

	if (is_success(status, json) && json_object_get(json, "access_token"))
		result = take(json, now_ms, t, reason);
	else
		result = vault_oauth_failure(status, json, reason);
	json_decref(json);
	return result;
}

static bool holds(struct base_slice text, const struct base_secret *secret)
{
	enum { SHORTEST = 4 }; /* what is shorter stands in any text */

	return secret->len >= SHORTEST && text.len &&
		memmem(text.ptr, text.len, secret->ptr, secret->len);
}

static bool holds_secret(const struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	struct base_slice text)
{
	for (size_t i = 0; i < OAUTH_SECRET_COUNT; i++)
		if (holds(text, &p->secrets[i]))
			return true;
	return t && (holds(text, &t->access) || holds(text, &t->refresh));
}

/* The whole words are looked at: @reason may hold the beginning of a long token. */
void vault_oauth_hide(const struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	struct base_slice body, char reason[VAULT_OAUTH_REASON_MAX_BYTES])
{
	json_t *json = vault_oauth_json(body, NULL);
	struct base_slice error = vault_oauth_json_text(json, "error");

	if (holds_secret(p, t, error) ||
		holds_secret(p, t, vault_oauth_json_text(json, "token_type")))
		say_text(reason, "the provider's answer repeats a secret, it is not shown");
	else if (holds_secret(p, t, vault_oauth_json_text(json, "error_description")))
		say(reason, error, BASE_SLICE("(repeats a secret, not shown)"));
	json_decref(json);
}

void vault_oauth_device_init(struct vault_oauth_device *d)
{
	memset(d, 0, sizeof(*d));
	base_secret_init(&d->code, VAULT_OAUTH_TOKEN_MAX_BYTES);
}

void vault_oauth_device_release(struct vault_oauth_device *d)
{
	base_secret_release(&d->code);
	base_wipe(d->user_code, sizeof(d->user_code));
	base_wipe(d->complete_uri, sizeof(d->complete_uri));
}

/* A person is told to type it or to open it: printable ASCII that fits, an address of https. */
static bool shown(struct base_slice text, bool uri, char *out, size_t size)
{
	for (size_t i = 0; i < text.len; i++)
		if (text.ptr[i] < (uri ? 0x21 : 0x20) || text.ptr[i] > 0x7e)
			return false;
	if (!text.len || text.len >= size ||
		(uri && !base_slice_starts_with_nocase(text, BASE_SLICE("https://"))))
		return false;
	memcpy(out, text.ptr, text.len);
	out[text.len] = '\0';
	return true;
}

static bool take_device(const json_t *json, struct vault_oauth_device *d)
{
	struct base_slice code = vault_oauth_json_text(json, "device_code"),
			  complete = vault_oauth_json_text(json, "verification_uri_complete"),
			  uri = vault_oauth_json_text(json, "verification_uri");

	if (!uri.len)
		uri = vault_oauth_json_text(json, "verification_url"); /* Google's name of it */
	d->complete_uri[0] = '\0';
	if (complete.len && !shown(complete, true, d->complete_uri, sizeof(d->complete_uri)))
		return false;
	return vault_oauth_is_visible(code, VAULT_OAUTH_TOKEN_MAX_BYTES) &&
		base_secret_set(&d->code, code) &&
		shown(vault_oauth_json_text(json, "user_code"), false, d->user_code,
			sizeof(d->user_code)) &&
		shown(uri, true, d->uri, sizeof(d->uri)) &&
		seconds(json, "interval", INTERVAL_DEFAULT_S, INTERVAL_MAX_S, &d->interval_s) &&
		seconds(json, "expires_in", EXPIRES_DEFAULT_S, DEVICE_MAX_S, &d->expires_s);
}

int vault_oauth_device_answer(unsigned status, struct base_slice body,
	struct vault_oauth_device *out, struct base_error *err)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES];
	json_t *json = vault_oauth_json(body, NULL);
	int rc = 0;

	if (is_success(status, json) && json_object_get(json, "device_code")) {
		if (!take_device(json, out))
			rc = base_error_set(err, BASE_ERROR_PEER, 0,
				"the provider's answer holds a code or an address that cannot be"
				" shown or used");
	} else {
		enum vault_oauth_result result = vault_oauth_failure(status, json, reason);

		rc = base_error_set(err,
			result == VAULT_OAUTH_REFUSED ? BASE_ERROR_PERMANENT : BASE_ERROR_TEMPORARY,
			0, "no code to log in with: %s", reason);
	}
	json_decref(json);
	return rc;
}
