/* sasl/server_internal.h: the server's object and what its mechanisms share */
#ifndef SASL_SERVER_INTERNAL_H
#define SASL_SERVER_INTERNAL_H

#include "sasl/server.h"

/* What the exchange waits for. */
enum sasl_server_phase {
	SASL_SERVER_PHASE_RESPONSE, /* sasl_server_push() */
	SASL_SERVER_PHASE_PASSWORD, /* sasl_server_password_answer() */
	SASL_SERVER_PHASE_SECRET,   /* sasl_server_secret_answer() */
	SASL_SERVER_PHASE_SCRAM,    /* sasl_server_scram_answer() */
	SASL_SERVER_PHASE_BINDING,  /* sasl_server_binding_answer() */
	SASL_SERVER_PHASE_DONE,     /* nothing: only reading and free are allowed */
};

#define SASL_SERVER_MOCK_KEY_BYTES 32
#define SASL_SERVER_NONCE_MAX_CHARS 64
/* The longest challenge: two nonces, salt and iterations; a host name in CRAM-MD5 is shorter. */
#define SASL_SERVER_TEXT_MAX_BYTES (2 * SASL_RESPONSE_MAX_BYTES + 2048)

struct sasl_server_scram {
	bool known; /* the keys are a user's, not the stand-ins */
	char flag;  /* 'n', 'y' or 'p', as the client's first message had it */
	uint8_t nonce_len;
	char nonce[SASL_SERVER_NONCE_MAX_CHARS]; /* our part */
	uint8_t stored_key[BASE_HASH_MAX_BYTES];
	uint8_t server_key[BASE_HASH_MAX_BYTES];
	uint8_t proof[BASE_HASH_MAX_BYTES];
	/* Where things stand in text; AuthMessage is all of it from @bare_at on. */
	size_t bare_at; /* client-first-message-bare; before it the gs2-header */
	size_t client_nonce_at, client_nonce_len;
	size_t nonce_at, full_nonce_len; /* of the whole nonce in server-first-message */
	size_t binding_at, binding_len;  /* of the value of c= in the client's final message */
};

struct sasl_server_cram_md5 {
	uint8_t digest[32]; /* as the client sent it, in hexadecimal */
};

struct sasl_server {
	/* The block in which this object lies. A pointer to itself, because secret memory is wiped
	 * and given back through it; the object is never copied. */
	struct base_secret memory;
	enum sasl_mechanism mechanism;
	enum sasl_server_phase phase;
	unsigned round; /* responses taken so far */
	enum sasl_binding binding;
	bool plus_offered, tls, raw;
	const char *reason;
	struct base_secret user, authzid, password; /* capacity 0 until they are taken */
	struct base_buf text; /* what the mechanism must remember of the dialogue */
	uint8_t mock_key[SASL_SERVER_MOCK_KEY_BYTES];
	union {
		struct sasl_server_cram_md5 cram_md5;
		struct sasl_server_scram scram;
	};
};

/* One step of a mechanism: @response in; @out is appended to only when the result is CHALLENGE. */
typedef enum sasl_server_result sasl_server_round_fn(
	struct sasl_server *s, struct base_slice response, struct base_buf *out);

sasl_server_round_fn sasl_plain_server_message;
sasl_server_round_fn sasl_login_server_user;
sasl_server_round_fn sasl_login_server_password;
sasl_server_round_fn sasl_cram_md5_server_digest;
sasl_server_round_fn sasl_scram_server_client_first;
sasl_server_round_fn sasl_scram_server_client_final;
sasl_server_round_fn sasl_scram_server_empty;

void sasl_cram_md5_server_init(struct sasl_server *s, const struct sasl_server_options *options);
void sasl_scram_server_init(struct sasl_server *s, const struct sasl_server_options *options);

enum sasl_server_result sasl_cram_md5_server_secret(
	struct sasl_server *s, bool known, struct base_slice secret);
enum sasl_server_result sasl_scram_server_keys(struct sasl_server *s, bool known,
	const struct sasl_scram_keys *keys, struct base_buf *out);
enum sasl_server_result sasl_scram_server_binding(
	struct sasl_server *s, bool available, struct base_slice data, struct base_buf *out);

/* Note the reason (a constant text) and give the result back. */
enum sasl_server_result sasl_server_fail(
	struct sasl_server *s, enum sasl_server_result result, const char *reason);
/* Prepare and keep what the client sent. Null, or the reason why not (then REJECTED is right). */
const char *sasl_server_take_user(struct sasl_server *s, struct base_slice raw);
const char *sasl_server_take_password(struct sasl_server *s, struct base_slice raw);
/* After the user. Kept as sent, but left out when it means the user. */
const char *sasl_server_take_authzid(struct sasl_server *s, struct base_slice raw);

#endif
