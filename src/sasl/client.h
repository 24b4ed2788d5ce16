/* sasl/client.h: one SASL exchange, client side
 * Job      decoded challenges in; responses out; the server's proof is demanded
 * Trust    challenges are hostile: any bytes, any length up to SASL_CHALLENGE_MAX_BYTES
 * Memory   as sasl/server.h
 * Order    begin, push each challenge, then sasl_client_finish() when the server says 235
 * Spec     as sasl/server.h */
#ifndef SASL_CLIENT_H
#define SASL_CLIENT_H

#include "base/buf.h"
#include "sasl/mechanism.h"

#define SASL_CHALLENGE_MAX_BYTES 9216
/* Of a response too: what a line of 12288 holds (RFC 4954 section 4). */
#define SASL_CLIENT_RESPONSE_MAX_BYTES SASL_CHALLENGE_MAX_BYTES
#define SASL_CLIENT_TOKEN_MAX_BYTES 8192
/* RFC 7677 demands 4096; more than the upper bound would let a server keep us busy. */
#define SASL_CLIENT_ITERATIONS_MIN 4096
#define SASL_CLIENT_ITERATIONS_MAX 1000000

enum sasl_client_result {
	SASL_CLIENT_RESPONSE,   /* send @out; at begin: it is the initial response */
	SASL_CLIENT_WAIT,       /* begin only: server speaks first, send the bare AUTH command */
	SASL_CLIENT_ABORT,      /* the server broke the mechanism: send "*", do not use it */
	SASL_CLIENT_DONE,       /* finish only: the mechanism is content with the success */
	SASL_CLIENT_NOT_PROVEN, /* finish only: success without the proof that is demanded */
};

/* An exchange that somebody else computes: DIGEST-MD5 and GSSAPI by libgsasl (loop/gsasl.h). The result
 * codes are those of this header; @in is a challenge, and empty for the first call of a mechanism that
 * speaks first. step: RESPONSE (with @out appended to) or ABORT. finish: DONE or NOT_PROVEN. reason: a
 * text that outlives @arg; not empty after ABORT and NOT_PROVEN. */
struct sasl_client_foreign {
	enum sasl_client_result (*step)(void *arg, struct base_slice in, struct base_buf *out);
	enum sasl_client_result (*finish)(void *arg);
	const char *(*reason)(void *arg);
	void (*free)(void *arg);
	void *arg;
};

struct sasl_client_options {
	enum sasl_mechanism mechanism;
	struct base_slice user; /* UTF-8; borrowed for begin (copied). EXTERNAL: the identity asked
				     * for, empty: as the certificate says */
	struct base_slice password; /* borrowed for begin (copied, wiped at free); or the token */
	struct base_slice host;     /* OAUTHBEARER: of the server; may be empty */
	uint16_t port;              /* OAUTHBEARER: 0: not said */
	/* Of a FOREIGN mechanism: what it points to is copied, @arg is taken in every case and freed
	 * with the exchange or when it fails. User, password and random are not looked at then. */
	const struct sasl_client_foreign *foreign;
	struct base_slice authzid; /* usually empty */
	struct base_slice random;  /* SASL_CLIENT_RANDOM_BYTES fresh ones (15 will do), for
					 * SCRAM's nonce */
	enum sasl_binding binding; /* of a -PLUS mechanism */
	struct base_slice binding_data;
	bool tls;          /* bare SCRAM sends `y` when a binding could be had … */
	bool plus_offered; /* … and the server offered no -PLUS; else `n` */
};
#define SASL_CLIENT_RANDOM_BYTES 18

struct sasl_client;

/* @out: the initial response when RESPONSE; it may be empty ("=" on the AUTH line). ABORT: user or password cannot be prepared, or hold
 * what the mechanism cannot carry; sasl_client_reason() says which. *out_client is set in every
 * case. PLAIN and LOGIN send user and password as they are; the others prepare them. */
BASE_MUST_USE enum sasl_client_result sasl_client_begin(struct sasl_client **out_client,
	const struct sasl_client_options *options, struct base_buf *out);
void sasl_client_free(struct sasl_client **client);
/* Once per challenge, also a needless one. After ABORT it stays ABORT. SCRAM's first challenge
 * costs the time of its iterations, up to about half a second at the limit. */
BASE_MUST_USE enum sasl_client_result sasl_client_push(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out);
/* The server says 235. DONE only if every step was taken and the server's proof was right. */
BASE_MUST_USE enum sasl_client_result sasl_client_finish(struct sasl_client *c);
/* Words for the log and for queue list; no secret, no bytes of the peer. */
const char *sasl_client_reason(const struct sasl_client *c);
/* The JSON with which a server refused a token (RFC 7628 section 3.2.2), raw, at most
 * SASL_CLIENT_ERROR_MAX_BYTES; empty: there was none. wire/oauth_error.h makes words of it. */
#define SASL_CLIENT_ERROR_MAX_BYTES 1024
struct base_slice sasl_client_error(const struct sasl_client *c);

/* The strongest mechanism of @offered & @allowed (allowed: what sasl_mechanism_mask_of() gives for the
 * credential at hand, or less). -PLUS only with @binding, but then before all bare ones; PLAINTEXT, TOKEN
 * and CERTIFICATE ones only with @plaintext_ok; FOREIGN ones only where @allowed names them. NONE if there is none. @tried: those already
 * refused as unusable (504, 534). */
enum sasl_mechanism sasl_client_choose(sasl_mechanism_mask offered, sasl_mechanism_mask allowed,
	sasl_mechanism_mask tried, bool binding, bool plaintext_ok);

#endif
