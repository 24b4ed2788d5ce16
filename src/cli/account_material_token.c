/* A token that is good now. A running server's auth has it, or gets one; without a server it is the kept one,
 * or one that is obtained and kept here. */
#include "cli/account_material.h"

#include "base/clock.h"
#include "base/time.h"
#include "cli/fetch.h"
#include "vault/oauth.h"

#include <string.h>

enum { FETCH_TIMEOUT_MS = 30000, BODY_MAX_BYTES = 65536 };

/* The value of "@key":"…" in our own server's answer. By hand: jansson's copies would not be wiped. A token
 * has no sign that JSON escapes (RFC 6750 section 2.1). */
static struct base_slice text_of(struct base_slice json, const char *key)
{
	char wanted[32];
	int len = snprintf(wanted, sizeof(wanted), "\"%s\":\"", key);
	const uint8_t *at = json.len ? memmem(json.ptr, json.len, wanted, (size_t)len) : NULL;
	struct base_slice value;

	if (!at)
		return BASE_SLICE_EMPTY;
	value = base_slice_from(json, (size_t)(at - json.ptr) + (size_t)len);
	value = base_slice_first(value, base_slice_find(value, '"'));
	return base_slice_has(value, '\\') ? BASE_SLICE_EMPTY : value;
}

/* "2026-12-01T02:50:13.123Z", whole seconds; 0: it is no time. */
static int64_t time_of(struct base_slice text)
{
	char whole[sizeof("2026-12-01T02:50:13Z")];
	int64_t ms = 0;

	snprintf(whole, sizeof(whole), "%.19sZ", text.len >= 19 ? (const char *)text.ptr : "");
	return base_time_parse(base_slice_text(whole), &ms) ? ms : 0;
}

static int from_server(struct account_material *m, const struct conf *conf, bool *out_running,
	struct base_error *err)
{
	struct cli_request request = {0};
	struct base_buf answer;
	struct base_slice token, until;
	int rc;

	base_buf_init_secret(&answer, BODY_MAX_BYTES);
	cli_request_add(&request, "account");
	cli_request_add(&request, "token");
	cli_request_add(&request, "%s", m->name);
	if (m->token_refused)
		cli_request_add(&request, "refused");
	rc = cli_ask(conf, "auth", &request, &answer, out_running, err);
	if (rc == 0 && *out_running) {
		token = text_of(base_buf_slice(&answer), "token");
		until = text_of(base_buf_slice(&answer), "until");
		m->token_until_ms = time_of(until);
		base_buf_append_slice(&m->secret, token);
		m->token_source = ACCOUNT_TOKEN_SERVER;
		if (token.len == 0)
			rc = base_error_set(
				err, BASE_ERROR_PEER, 0, "the server's answer has no token");
	}
	cli_request_release(&request);
	base_buf_release(&answer);
	return rc;
}

static int ask(const struct conf *conf, const struct vault_oauth_profile *profile,
	const struct base_buf *form, struct vault_oauth_tokens *t, struct base_error *err)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES];
	struct cli_fetch *fetch;
	struct base_buf body;
	unsigned status = 0;
	int rc = cli_fetch_open(&fetch, conf, err);

	if (rc != 0)
		return rc;
	base_buf_init_secret(&body, BODY_MAX_BYTES);
	rc = cli_fetch(fetch, vault_oauth_token_endpoint(profile), base_buf_slice(form),
		vault_oauth_ca(profile), FETCH_TIMEOUT_MS, &status, &body, err);
	cli_fetch_close(&fetch);
	if (rc == 0 &&
		vault_oauth_answer(status, base_buf_slice(&body), base_clock_wall_ms(), t,
			reason) != VAULT_OAUTH_OBTAINED) {
		vault_oauth_hide(profile, t, base_buf_slice(&body), reason);
		rc = base_error_set(err, BASE_ERROR_PERMANENT, 0, "no new token: %s", reason);
	}
	base_buf_release(&body);
	return rc;
}

static int renew(struct account_material *m, const struct conf *conf,
	const struct vault_oauth_profile *profile, struct vault_oauth_tokens *t,
	struct base_error *err)
{
	uint8_t random[VAULT_OAUTH_RANDOM_BYTES];
	struct base_buf form;
	int rc;

	base_buf_init_secret(&form, VAULT_OAUTH_FORM_MAX_BYTES);
	base_random_fill(random, sizeof(random));
	rc = vault_oauth_renew_form(
		profile, t, base_slice_text(m->user), base_clock_wall_ms(), random, &form, err);
	base_wipe(random, sizeof(random));
	if (rc == 0)
		rc = ask(conf, profile, &form, t, err);
	base_buf_release(&form);
	return rc;
}

static int keep(struct vault_store *store, const struct account_material *m,
	const struct vault_oauth_tokens *t, struct base_error *err)
{
	struct base_buf bytes;
	int rc;

	base_buf_init_secret(&bytes, VAULT_OAUTH_STATE_MAX_BYTES);
	vault_oauth_tokens_write(t, &bytes);
	rc = vault_store_account_part_put(
		store, base_slice_text(m->name), VAULT_ACCOUNT_TOKEN, base_buf_slice(&bytes), err);
	base_buf_release(&bytes);
	return rc;
}

/* What the vault keeps; nothing kept, or nothing that can be read, is an empty object. */
static void kept_tokens(
	struct vault_store *store, const struct account_material *m, struct vault_oauth_tokens *t)
{
	struct base_error err;
	struct base_buf bytes;

	base_buf_init_secret(&bytes, VAULT_OAUTH_STATE_MAX_BYTES);
	if (vault_store_account_part_get(
		    store, base_slice_text(m->name), VAULT_ACCOUNT_TOKEN, &bytes, &err) != 0 ||
		!vault_oauth_tokens_read(base_buf_slice(&bytes), t))
		t->until_ms = 0;
	base_buf_release(&bytes);
}

static int obtain(struct account_material *m, const struct conf *conf, struct vault_store *store,
	const struct vault_oauth_profile *profile, struct base_error *err)
{
	struct vault_oauth_tokens t;
	int rc = 0;

	vault_oauth_tokens_init(&t);
	kept_tokens(store, m, &t);
	m->token_source = ACCOUNT_TOKEN_KEPT;
	if (m->token_refused || !vault_oauth_is_usable(&t, base_clock_wall_ms())) {
		rc = renew(m, conf, profile, &t, err);
		m->token_source = ACCOUNT_TOKEN_RENEWED;
		if (rc == 0)
			rc = keep(store, m, &t, err);
	}
	if (rc == 0)
		base_buf_append_slice(&m->secret, base_secret_slice(&t.access));
	m->token_until_ms = t.until_ms;
	vault_oauth_tokens_release(&t);
	return rc;
}

static int from_files(struct account_material *m, const struct conf *conf, struct base_error *err)
{
	struct vault_oauth_profile *profile = NULL;
	struct vault_store *store;
	struct base_buf json, warnings;
	int rc = account_material_store(conf, &store, err);

	if (rc != 0)
		return rc;
	base_buf_init_secret(&json, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_init(&warnings, BODY_MAX_BYTES);
	rc = vault_store_account_part_get(
		store, base_slice_text(m->name), VAULT_ACCOUNT_SECRET, &json, err);
	if (rc == 0)
		rc = vault_oauth_profile_parse(&profile, base_buf_slice(&json), "the kept profile",
			NULL, NULL, &warnings, err);
	if (rc == 0)
		rc = obtain(m, conf, store, profile, err);
	vault_oauth_profile_free(&profile);
	base_buf_release(&json);
	base_buf_release(&warnings);
	vault_store_close(&store);
	return rc;
}

int account_material_token(
	struct account_material *m, const struct conf *conf, struct base_error *err)
{
	bool running;
	int rc = from_server(m, conf, &running, err);

	return running ? rc : from_files(m, conf, err);
}
