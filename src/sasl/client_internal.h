/* sasl/client_internal.h: the client's object and what its mechanisms share */
#ifndef SASL_CLIENT_INTERNAL_H
#define SASL_CLIENT_INTERNAL_H

#include "sasl/client.h"
#include "sasl/server.h"

#define SASL_CLIENT_RANDOM_MIN_BYTES 15
/* The challenge, and two names that encoding makes three times as long, one of them in c= again. */
#define SASL_CLIENT_TEXT_MAX_BYTES (SASL_CHALLENGE_MAX_BYTES + 12 * SASL_NAME_MAX_BYTES)

enum sasl_client_phase {
	SASL_CLIENT_PHASE_RUNNING, /* challenges may come, and the success in its time */
	SASL_CLIENT_PHASE_FAILED,  /* only finish, reason and free are of use */
};

struct sasl_client_scram {
	size_t bare_at; /* client-first-message-bare in text; before it the gs2-header */
	size_t nonce_at, nonce_len;             /* our nonce in text */
	uint8_t signature[BASE_HASH_MAX_BYTES]; /* what v= must say */
	uint8_t binding_len;
	uint8_t binding[SASL_BINDING_MAX_BYTES];
};

struct sasl_client {
	/* The block in which this object lies: wiped and given back through it, never copied. */
	struct base_secret memory;
	enum sasl_mechanism mechanism;
	enum sasl_client_phase phase;
	unsigned round; /* challenges answered so far */
	const char *reason;
	struct base_secret user, authzid, password; /* password: or the token */
	struct base_buf error;              /* what the server said when it refused the token */
	struct sasl_client_foreign foreign; /* FOREIGN: whose exchange it is; zeroed once freed */
	struct base_buf text;               /* SCRAM: the dialogue, as in scram_server.c */
	struct sasl_client_scram scram;
};

/* One step of a mechanism: RESPONSE, with @out appended to, or sasl_client_fail(). */
typedef enum sasl_client_result sasl_client_round_fn(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out);

sasl_client_round_fn sasl_login_client_user;
sasl_client_round_fn sasl_login_client_password;
sasl_client_round_fn sasl_cram_md5_client_digest;
sasl_client_round_fn sasl_scram_client_server_first;
sasl_client_round_fn sasl_scram_client_server_final;
sasl_client_round_fn sasl_oauth_client_refusal;

/* The initial response. */
enum sasl_client_result sasl_plain_client_begin(struct sasl_client *c, struct base_buf *out);
enum sasl_client_result sasl_scram_client_begin(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out);
enum sasl_client_result sasl_oauth_client_begin(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out);
/* Visible ASCII, at least one: RFC 6750's b64token and what else the field calls a token. */
bool sasl_oauth_token_valid(struct base_slice token);

/* Note the reason (a constant text); ABORT. */
enum sasl_client_result sasl_client_fail(struct sasl_client *c, const char *reason);

#endif
