/* vault/oauth_internal.h: what the files of vault/oauth share */
#ifndef VAULT_OAUTH_INTERNAL_H
#define VAULT_OAUTH_INTERNAL_H

#include "vault/oauth.h"

#include <jansson.h>

/* Keys of a profile that hold a text. */
#define OAUTH_TEXTS(X) \
	X(TENANT, "tenant") \
	X(TOKEN_ENDPOINT, "token_endpoint") \
	X(AUTHORIZATION_ENDPOINT, "authorization_endpoint") \
	X(DEVICE_ENDPOINT, "device_authorization_endpoint") \
	X(CLIENT_ID, "client_id") \
	X(SCOPE, "scope") \
	X(KEY_ID, "key_id") \
	X(ISSUER, "issuer") \
	X(SUBJECT, "subject") \
	X(AUDIENCE, "audience")

enum oauth_text {
#define X(name, key) OAUTH_##name,
	OAUTH_TEXTS(X)
#undef X
		OAUTH_TEXT_COUNT,
};

enum oauth_secret { OAUTH_CLIENT_SECRET, OAUTH_REFRESH, OAUTH_SECRET_COUNT };
enum oauth_pem { OAUTH_PRIVATE_KEY, OAUTH_CERTIFICATE, OAUTH_CA, OAUTH_PEM_COUNT };
enum oauth_builtin { OAUTH_NO_BUILTIN, OAUTH_GOOGLE, OAUTH_MICROSOFT, OAUTH_BUILTIN_COUNT };
enum oauth_algorithm { OAUTH_NONE, OAUTH_RS256, OAUTH_PS256, OAUTH_ES256, OAUTH_ALGORITHM_COUNT };

extern const char *const vault_oauth_text_keys[OAUTH_TEXT_COUNT];
extern const char *const vault_oauth_secret_keys[OAUTH_SECRET_COUNT];
extern const char *const vault_oauth_pem_keys[OAUTH_PEM_COUNT];
extern const char *const vault_oauth_builtin_names[OAUTH_BUILTIN_COUNT];
extern const char *const vault_oauth_algorithm_names[OAUTH_ALGORITHM_COUNT];

#define OAUTH_EXTRA_MAX 16
#define OAUTH_TEXT_MAX_BYTES 2048

struct vault_oauth_profile {
	enum oauth_builtin builtin;
	enum vault_oauth_grant grant;
	enum oauth_algorithm algorithm;                 /* NONE: no private key */
	char *texts[OAUTH_TEXT_COUNT];                  /* null: not said */
	struct base_secret secrets[OAUTH_SECRET_COUNT]; /* no capacity: not said */
	struct base_buf pems[OAUTH_PEM_COUNT];          /* secret buffers */
	struct {
		char *name, *value;
	} extra[OAUTH_EXTRA_MAX];
	size_t extra_count;
};

/* Where a profile's faults are told. */
struct oauth_say {
	const char *what;          /* the file's name, say */
	struct base_buf *warnings; /* may be null */
	struct base_error *err;
};
/* CONFIG: "WHAT: KEY: reason". */
int vault_oauth_refuse(const struct oauth_say *say, const char *key, const char *reason);
void vault_oauth_warn(const struct oauth_say *say, const char *key, const char *reason);
/* After all keys were read: fill in, infer the grant, check. */
BASE_MUST_USE int vault_oauth_complete(
	struct vault_oauth_profile *p, bool has_grant, const struct oauth_say *say);

/* JSON whose memory is wiped when jansson frees it. An object without duplicate keys and NULs, or null;
 * @why (may be null) says what is wrong, with nothing of the text in it. */
json_t *vault_oauth_json(struct base_slice text, struct base_error *why);
/* Make jansson wipe what it frees; anybody's values may be freed after it. */
void vault_oauth_json_wiped(void);
/* The text of @key, empty where it is none. */
struct base_slice vault_oauth_json_text(const json_t *object, const char *key);

/* 1 to @max bytes of 0x21 to 0x7e: what may stand in a header, a form and a SASL message. */
bool vault_oauth_is_visible(struct base_slice s, size_t max);

/* "&name=value", the "&" unless @out is empty; form-encoded (RFC 6749 appendix B). */
void vault_oauth_field(struct base_buf *out, const char *name, struct base_slice value);
/* Name and all characters of one value. */
void vault_oauth_form_encode(struct base_slice value, struct base_buf *out);
/* client_id with client_secret or a signed assertion, then scope where @scope, then the extra fields. */
BASE_MUST_USE int vault_oauth_client_fields(const struct vault_oauth_profile *p, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], bool scope, struct base_buf *out,
	struct base_error *err);
void vault_oauth_extra_fields(const struct vault_oauth_profile *p, struct base_buf *out);
BASE_MUST_USE int vault_oauth_form_end(const struct base_buf *out, struct base_error *err);

/* Without padding (RFC 4648 section 5). */
void vault_oauth_base64url(struct base_slice in, struct base_buf *out);

/* Append "." and the signature of all that @out holds. */
BASE_MUST_USE bool vault_oauth_sign(
	enum oauth_algorithm algorithm, struct base_slice pem, struct base_buf *out);
/* A JWT signed with the profile's key, into an empty @out. @scope may be null. */
struct oauth_assertion {
	const char *issuer, *audience, *scope;
	struct base_slice subject;
	int64_t now_ms;
	const uint8_t *random; /* VAULT_OAUTH_RANDOM_BYTES */
};
BASE_MUST_USE int vault_oauth_assertion(const struct vault_oauth_profile *p,
	const struct oauth_assertion *a, struct base_buf *out, struct base_error *err);
/* What a key can sign: NONE: nothing that is known here. */
enum oauth_algorithm vault_oauth_key_algorithm(struct base_slice pem);

/* Status and body without a token: REFUSED, LATER, PENDING or SLOW_DOWN, and why. */
enum vault_oauth_result vault_oauth_failure(
	unsigned status, const json_t *json, char reason[VAULT_OAUTH_REASON_MAX_BYTES]);

#endif
