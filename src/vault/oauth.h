/* vault/oauth.h: the life of an account's OAuth 2 tokens: what is decided
 * Job      a profile (who is asked, as whom); the requests of each grant, as forms for a POST; what the
 *          answers mean; when a token is to be renewed, and after how long a failure is tried again
 * Not      HTTPS (fetch/), files (vault/store.h), asking people (cli/), the clock
 * Trust    answers are hostile: any bytes, bounded; nothing of them is shown unescaped
 * Memory   a profile and a life own their strings; secrets in them are wiped by release
 * Secrets  client_secret, private keys, codes, refresh and access tokens: in base_secret and secret buffers
 * Spec     RFC 6749 (4.1.3, 4.4, 5, 6), RFC 8628 (device), RFC 7636 (PKCE), RFC 8252 (loopback),
 *          RFC 7521/7523 (assertions), RFC 7515 (JWS), RFC 6750 (bearer)
 *
 * The FILE of --oauth, and what the vault keeps as VAULT_ACCOUNT_SECRET (with the contents of files in
 * place of their paths, and all defaults filled in):
 *   token_endpoint, client_id               required, unless "profile" brings them
 *   profile                                 "google" or "microsoft": endpoints and scope of these
 *   tenant                                  microsoft: "common" by default
 *   authorization_endpoint, device_authorization_endpoint, client_secret, scope, refresh_token
 *   grant                                   refresh_token | device_code | authorization_code |
 *                                           client_credentials | jwt_bearer; inferred: refresh_token where
 *                                           there is one, else device_code where there is its endpoint, else
 *                                           authorization_code, else client_credentials
 *   ca                                      PEM file of authorities trusted beside the system's
 *   private_key, certificate                PEM files: the client proves itself by a signed assertion
 *                                           (private_key_jwt) in place of client_secret; jwt_bearer signs
 *                                           its grant with it
 *   algorithm                               RS256 (default for RSA), PS256, ES256
 *   key_id                                  kid of the assertion's header
 *   issuer, subject, audience               of jwt_bearer (RFC 7523 section 2.1); by default client_id, the
 *                                           account's user, token_endpoint
 *   extra                                   object of further fields (texts), up to 16: of every form and of
 *                                           the authorization URL; none that is written there anyway
 * Unknown keys warn. http: endpoints are refused. A key of PEM may hold the PEM itself. With the grant
 * jwt_bearer private_key signs that, and the client proves itself by client_secret, or not at all. */
#ifndef VAULT_OAUTH_H
#define VAULT_OAUTH_H

#include "base/buf.h"
#include "base/error.h"
#include "base/secret.h"

#define VAULT_OAUTH_PROFILE_MAX_BYTES 32768
#define VAULT_OAUTH_FORM_MAX_BYTES 32768
#define VAULT_OAUTH_TOKEN_MAX_BYTES 8192
#define VAULT_OAUTH_STATE_MAX_BYTES 24576
#define VAULT_OAUTH_RANDOM_BYTES 32

enum vault_oauth_grant {
	VAULT_OAUTH_REFRESH_TOKEN,
	VAULT_OAUTH_DEVICE_CODE,        /* once, by a person; then as REFRESH_TOKEN */
	VAULT_OAUTH_AUTHORIZATION_CODE, /* once, by a person; then as REFRESH_TOKEN */
	VAULT_OAUTH_CLIENT_CREDENTIALS,
	VAULT_OAUTH_JWT_BEARER,
	VAULT_OAUTH_GRANT_COUNT,
};
const char *vault_oauth_grant_name(enum vault_oauth_grant grant);
/* A person has to say yes once, before the first token. */
bool vault_oauth_grant_is_interactive(enum vault_oauth_grant grant);

struct vault_oauth_profile; /* read-only after parse */

/* From FILE's JSON. @read (may be null: paths are taken as the PEM text itself, which is how the vault
 * keeps them): give the contents of a file that the JSON names. @warnings: a line for each unknown key.
 * 0, or CONFIG: @err names @what, the key, what is wrong and what would be right. */
typedef int (*vault_oauth_read_fn)(
	void *arg, const char *path, struct base_buf *out, struct base_error *err);
BASE_MUST_USE int vault_oauth_profile_parse(struct vault_oauth_profile **out,
	struct base_slice json, const char *what, vault_oauth_read_fn read, void *arg,
	struct base_buf *warnings, struct base_error *err);
/* "google" or "microsoft" as JSON of this kind, to which client_id and more are added; null: no such. */
const char *vault_oauth_builtin(const char *name);
void vault_oauth_profile_free(struct vault_oauth_profile **profile);
/* The form that the vault keeps; parse takes it back. @out: a secret buffer. */
void vault_oauth_profile_write(const struct vault_oauth_profile *profile, struct base_buf *out);
enum vault_oauth_grant vault_oauth_profile_grant(const struct vault_oauth_profile *profile);
const char *vault_oauth_token_endpoint(const struct vault_oauth_profile *profile);
const char *vault_oauth_device_endpoint(const struct vault_oauth_profile *profile); /* null: none */
struct base_slice vault_oauth_ca(const struct vault_oauth_profile *profile); /* PEM, may be empty */
/* The profile brings a refresh token of its own. */
bool vault_oauth_has_refresh_token(const struct vault_oauth_profile *profile);

/* What is obtained: kept as VAULT_ACCOUNT_TOKEN. */
struct vault_oauth_tokens {
	struct base_secret access, refresh; /* refresh: empty: the profile's own, or none */
	int64_t until_ms;                   /* wall clock; when access expires */
	int64_t obtained_ms;
};
void vault_oauth_tokens_init(struct vault_oauth_tokens *t);
void vault_oauth_tokens_release(struct vault_oauth_tokens *t);
/* @out: a secret buffer. */
void vault_oauth_tokens_write(const struct vault_oauth_tokens *t, struct base_buf *out);
/* @out was initialised. False: not what tokens_write() made; @out is as it was. */
BASE_MUST_USE bool vault_oauth_tokens_read(struct base_slice bytes, struct vault_oauth_tokens *out);

/* --- forms of requests; appended to @out, a secret buffer --- */

/* For a new token without a person: refresh_token with @t's or the profile's refresh token,
 * client_credentials, or jwt_bearer. @user: the account's, jwt_bearer's subject. @random: fresh, for jti.
 * 0, or CONFIG (no refresh token: a person must log in once; a key that cannot sign). */
BASE_MUST_USE int vault_oauth_renew_form(const struct vault_oauth_profile *profile,
	const struct vault_oauth_tokens *t, struct base_slice user, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err);

/* Device authorization (RFC 8628). */
struct vault_oauth_device {
	struct base_secret code;
	char user_code[64];
	char uri[512], complete_uri[512]; /* complete: "" none */
	uint32_t interval_s, expires_s;
};
void vault_oauth_device_init(struct vault_oauth_device *d);
void vault_oauth_device_release(struct vault_oauth_device *d);
BASE_MUST_USE int vault_oauth_device_form(const struct vault_oauth_profile *profile, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err);
BASE_MUST_USE int vault_oauth_device_answer(unsigned status, struct base_slice body,
	struct vault_oauth_device *out, struct base_error *err);
BASE_MUST_USE int vault_oauth_device_poll_form(const struct vault_oauth_profile *profile,
	const struct vault_oauth_device *d, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err);

/* Authorization code with PKCE S256 on a loopback redirect (RFC 8252 section 7.3). The verifier and the
 * state are made of @random; @redirect: "http://127.0.0.1:PORT/". @out_url: the address to open. */
BASE_MUST_USE int vault_oauth_authorize_url(const struct vault_oauth_profile *profile,
	const char *redirect, struct base_slice login_hint,
	const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out_url,
	struct base_error *err);
/* The redirect's query ("code=…&state=…", what stands behind "?"): the form that buys the token. PEER: it
 * says error=…, or its state is not ours. */
BASE_MUST_USE int vault_oauth_code_form(const struct vault_oauth_profile *profile,
	struct base_slice query, const char *redirect,
	const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES], int64_t now_ms, struct base_buf *out,
	struct base_error *err);

/* --- answers of the token endpoint --- */

enum vault_oauth_result {
	VAULT_OAUTH_OBTAINED,  /* @t is filled; the refresh token only if a new one came */
	VAULT_OAUTH_PENDING,   /* device: the person has not answered yet */
	VAULT_OAUTH_SLOW_DOWN, /* device: the same, ask less often: 5 s more */
	VAULT_OAUTH_REFUSED,   /* invalid_grant, invalid_client, …: a person must act */
	VAULT_OAUTH_LATER,     /* 5xx, 429, temporarily_unavailable, nothing that can be read */
};
/* @reason: words for people, with the provider's error and description decoded and escaped, e.g.
 * "invalid_grant: Token has been expired or revoked"; no secret. An answer without expires_in counts for
 * 3600 s, one of more than a year for a year, one that is no time for 60 s; without token_type it is a
 * Bearer. A key twice, a token with a blank in it or longer than VAULT_OAUTH_TOKEN_MAX_BYTES: LATER. PENDING and SLOW_DOWN come whatever was asked. */
#define VAULT_OAUTH_REASON_MAX_BYTES 400
enum vault_oauth_result vault_oauth_answer(unsigned status, struct base_slice body, int64_t now_ms,
	struct vault_oauth_tokens *t, char reason[VAULT_OAUTH_REASON_MAX_BYTES]);
/* After an answer that gave no token: where a word of @body that stands in @reason repeats a secret of the
 * profile or a token, @reason becomes one without that word. @t may be null. */
void vault_oauth_hide(const struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	struct base_slice body, char reason[VAULT_OAUTH_REASON_MAX_BYTES]);

/* --- when --- */

/* When the token should be renewed, in unix ms: a fifth of its life ahead of its end, at most 10 minutes
 * and at least 30 s (but not more than half of its life), less up to half of that by @random so that many do
 * not come at once. Never within 10 s of when it was obtained. A clock that was set back makes this late:
 * renew as soon as a token is not usable, too. */
int64_t vault_oauth_renew_at(const struct vault_oauth_tokens *t, uint64_t random);
/* Can it still be given to a server that may look at it for a minute (or half of its life, where that is
 * less)? No, when the clock says it was not there yet a minute ago. */
bool vault_oauth_is_usable(const struct vault_oauth_tokens *t, int64_t now_ms);
/* How long to wait after the nth failure in a row (from 1): refused: 1 min, doubling up to 1 h; later: 5 s,
 * doubling up to 5 min; each less up to a quarter by @random. */
int64_t vault_oauth_retry_ms(enum vault_oauth_result result, uint32_t failures, uint64_t random);

#endif
