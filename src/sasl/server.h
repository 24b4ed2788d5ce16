/* sasl/server.h: one SASL exchange, server side
 * Job      decoded responses in; challenges and questions out
 * Not      base64 and SMTP (smtp/), where credentials come from (vault/, worker/), delays (auth/)
 * Trust    responses are hostile: any bytes, NUL too, any length up to SASL_RESPONSE_MAX_BYTES
 * Memory   one secret heap block of less than 2 KiB, and what a name, a password and the dialogue
 *          need, from begin to free; password, keys and dialogue are wiped at the final result
 * Order    begin, then push a response or answer the question that the last result asked, until a
 *          final result; a new object for each AUTH command, never reused after the end
 * Spec     RFC 4616, RFC 2195, RFC 5802, RFC 7677, RFC 5929, RFC 9266; LOGIN as in the field
 *
 * Unknown users: the caller answers a question about an unknown user with credentials whose
 * `known` is false; the exchange then does the same work with stand-ins (for SCRAM: a salt that is
 * an HMAC of the name under mock_key) and fails at the very end like a wrong password.
 *
 * Preparation: user and password of every mechanism go through SASLprep as query strings; what
 * cannot be prepared is REJECTED, never used raw. So a store keeps prepared names and passwords. */
#ifndef SASL_SERVER_H
#define SASL_SERVER_H

#include "base/buf.h"
#include "base/secret.h"
#include "sasl/mechanism.h"

#define SASL_RESPONSE_MAX_BYTES 9216 /* decoded from a line of 12288 */
#define SASL_NAME_MAX_BYTES 512      /* an authentication or authorization identity */
#define SASL_SERVER_RANDOM_BYTES 24

/* Every result but the CHALLENGE ones and questions is final. */
#define SASL_SERVER_RESULTS(X) \
	X(CHALLENGE)      /* send @out as a challenge, push the client's response */ \
	X(CHECK_PASSWORD) /* user and password are set: sasl_server_password_answer() */ \
	X(NEED_SECRET)    /* recoverable password wanted: sasl_server_secret_answer() */ \
	X(NEED_SCRAM)     /* SCRAM keys for the hash wanted: sasl_server_scram_answer() */ \
	X(NEED_BINDING)   /* channel binding data of sasl_server_binding() wanted: \
				 * sasl_server_binding_answer() */ \
	X(SUCCESS)        /* proven; user and authzid are final; authorise authzid */ \
	X(REJECTED)       /* wrong credentials, unknown user, binding mismatch: 535 */ \
	X(MALFORMED)      /* the response breaks the syntax: 501 5.5.2 or 535, as policy */ \
	X(UNAVAILABLE)    /* an answer said that the source of credentials is down: 454 */

enum sasl_server_result {
#define X(name) SASL_SERVER_##name,
	SASL_SERVER_RESULTS(X)
#undef X
};

/* Keys that a server stores for SCRAM (RFC 5802 section 3). */
struct sasl_scram_keys {
	uint32_t iterations;
	uint8_t salt_len;
	uint8_t salt[64];
	uint8_t stored_key[BASE_HASH_MAX_BYTES];
	uint8_t server_key[BASE_HASH_MAX_BYTES];
};

#define SASL_SCRAM_SALT_BYTES 16
#define SASL_SCRAM_ITERATIONS 4096 /* of new keys, and of the stand-ins */

struct sasl_server_options {
	enum sasl_mechanism mechanism;
	struct base_slice host_name; /* our name, for CRAM-MD5; borrowed for begin */
	struct base_slice random;    /* SASL_SERVER_RANDOM_BYTES fresh bytes */
	int64_t now_ms;              /* wall clock, for the CRAM-MD5 challenge */
	bool plus_offered;           /* a -PLUS name, on this connection: a `y` is an attack */
	bool tls;                    /* a binding can be computed at all */
	struct base_slice mock_key;  /* 32 secret bytes, the same over restarts; copied */
	bool raw; /* PLAIN, LOGIN, CRAM-MD5: names and passwords stay as they were sent, for a checker
		   * that knows nothing of SASLprep; only NUL and emptiness are refused */
};

enum sasl_credentials_state {
	SASL_CREDENTIALS_KNOWN,
	SASL_CREDENTIALS_UNKNOWN,     /* no such user, disabled, or nothing stored for it */
	SASL_CREDENTIALS_UNAVAILABLE, /* the source is down */
};

struct sasl_server;

/* Allocate (through base) and begin. @out receives the first challenge, if the result is CHALLENGE
 * (an empty one where the client speaks first and gave no initial response).
 * @initial: null where the client gave none; an empty slice for the initial response "=".
 * CRAM-MD5 with an initial response is MALFORMED (501); LOGIN takes one as the user name.
 * @out needs room for about 1 KiB; a challenge that does not fit is MALFORMED. */
BASE_MUST_USE enum sasl_server_result sasl_server_begin(struct sasl_server **out_server,
	const struct sasl_server_options *options, const struct base_slice *initial,
	struct base_buf *out);
void sasl_server_free(struct sasl_server **server);

/* Only after CHALLENGE. @out is appended to when the result is CHALLENGE. */
BASE_MUST_USE enum sasl_server_result sasl_server_push(
	struct sasl_server *s, struct base_slice response, struct base_buf *out);

BASE_MUST_USE enum sasl_server_result sasl_server_password_answer(struct sasl_server *s,
	enum sasl_credentials_state state, bool accepted, struct base_buf *out);
BASE_MUST_USE enum sasl_server_result sasl_server_secret_answer(struct sasl_server *s,
	enum sasl_credentials_state state, struct base_slice secret, struct base_buf *out);
BASE_MUST_USE enum sasl_server_result sasl_server_scram_answer(struct sasl_server *s,
	enum sasl_credentials_state state, const struct sasl_scram_keys *keys,
	struct base_buf *out);
/* In place of sasl_server_secret_answer(): somebody else compared the digest with the challenge. */
BASE_MUST_USE enum sasl_server_result sasl_server_digest_answer(
	struct sasl_server *s, enum sasl_credentials_state state, bool accepted);
/* At NEED_SECRET only: the challenge that was sent, and the client's 32 hexadecimal digits. */
struct base_slice sasl_server_cram_challenge(const struct sasl_server *s);
struct base_slice sasl_server_cram_digest(const struct sasl_server *s);
/* The salt of SASL_SCRAM_SALT_BYTES that an unknown user of this name gets. Keys made from a clear
 * password take the same, so that nobody tells the two apart. */
void sasl_server_scram_salt(struct base_slice mock_key, enum base_hash hash, struct base_slice name,
	uint8_t out[SASL_SCRAM_SALT_BYTES]);
/* Asked once the client's final message is in; the type stands in sasl_server_binding() from the
 * first CHALLENGE on, so that the data may be fetched together with the client's response.
 * @available false, no data or more than SASL_BINDING_MAX_BYTES: the exchange is REJECTED. */
BASE_MUST_USE enum sasl_server_result sasl_server_binding_answer(
	struct sasl_server *s, bool available, struct base_slice data, struct base_buf *out);

/* Allowed while a question is open, before its answer: the account's own spelling of the name (case
 * folded, default domain added), known or not. SCRAM's stand-in salt is made from it, so two
 * spellings of an unknown user look alike, as two of a known one do. False: empty or longer than
 * SASL_NAME_MAX_BYTES; the name stays as it was. */
bool sasl_server_user_replace(struct sasl_server *s, struct base_slice canonical);

/* Valid after any question and after SUCCESS; also after REJECTED for the log (never for a reply).
 * Prepared (SASLprep) where the mechanism demands it. */
struct base_slice sasl_server_user(const struct sasl_server *s);
/* As the client sent it; empty if it sent none or one that, prepared, equals the user. */
struct base_slice sasl_server_authzid(const struct sasl_server *s);
struct base_slice sasl_server_password(const struct sasl_server *s); /* at CHECK_PASSWORD only */
/* The type wanted or verified. */
enum sasl_binding sasl_server_binding(const struct sasl_server *s);
/* SCRAM's last message v= went out as a challenge: the client is proven, and must answer by an
 * empty response before SUCCESS comes; so a Dovecot-protocol server knows it for final-resp-ok. */
bool sasl_server_challenge_is_final(const struct sasl_server *s);
/* A few words for the log on why the last result was REJECTED or MALFORMED; no secret, no bytes of
 * a stranger. Never for the client. */
const char *sasl_server_reason(const struct sasl_server *s);
const char *sasl_server_result_name(enum sasl_server_result result);

#endif
