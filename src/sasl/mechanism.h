/* sasl/mechanism.h: the table of SASL mechanisms
 * Job      names, what each needs and gives; the order of strength
 * Not      an exchange (sasl/server.h, sasl/client.h)
 * Spec     RFC 4422 section 3.1 (names), RFC 4616, RFC 2195, RFC 5802, RFC 7677 */
#ifndef SASL_MECHANISM_H
#define SASL_MECHANISM_H

#include "base/digest.h"
#include "base/slice.h"

/* Weakest first: a larger value is the better choice, except that a client with a channel binding
 * prefers any -PLUS name to any bare one (sasl_client_choose()). */
enum sasl_mechanism {
	SASL_MECHANISM_NONE,
	SASL_MECHANISM_LOGIN,
	SASL_MECHANISM_PLAIN,
	SASL_MECHANISM_CRAM_MD5,
	SASL_MECHANISM_SCRAM_SHA_1,
	SASL_MECHANISM_SCRAM_SHA_1_PLUS,
	SASL_MECHANISM_SCRAM_SHA_256,
	SASL_MECHANISM_SCRAM_SHA_256_PLUS,
	SASL_MECHANISM_SCRAM_SHA_512,
	SASL_MECHANISM_SCRAM_SHA_512_PLUS,
	SASL_MECHANISM_COUNT,
};

enum sasl_mechanism_flags {
	SASL_PLAINTEXT = 1u << 0,       /* the password itself crosses the line: TLS first */
	SASL_CLIENT_FIRST = 1u << 1,    /* an initial response is allowed */
	SASL_MUTUAL = 1u << 2,          /* the server proves itself too */
	SASL_CHANNEL_BINDING = 1u << 3, /* a -PLUS name */
	SASL_NEEDS_SECRET = 1u << 4,    /* the server needs the password in a recoverable form */
	SASL_SCRAM = 1u << 5,
};

struct sasl_mechanism_info {
	const char *name;
	unsigned flags;
	enum base_hash hash;      /* SCRAM only */
	enum sasl_mechanism plus; /* the -PLUS form of a bare SCRAM, else NONE */
};

/* Never null; NONE has the name "". */
const struct sasl_mechanism_info *sasl_mechanism_info(enum sasl_mechanism mechanism);
/* Case is ignored. NONE for a name that is not in the table or is no mechanism name at all. */
enum sasl_mechanism sasl_mechanism_parse(struct base_slice name);
/* 1 to 20 of A-Z 0-9 '-' '_' (lower case accepted too). */
bool sasl_mechanism_name_valid(struct base_slice name);

/* Sets of mechanisms are masks. */
typedef uint32_t sasl_mechanism_mask; /* a number, not a struct: the one typedef of this kind */
#define SASL_MASK(mechanism) ((sasl_mechanism_mask)1u << (mechanism))

/* Channel bindings (RFC 5929, RFC 9266). Names are compared exactly. */
enum sasl_binding {
	SASL_BINDING_NONE,
	SASL_BINDING_TLS_UNIQUE, /* TLS 1.2 only */
	SASL_BINDING_TLS_SERVER_END_POINT,
	SASL_BINDING_TLS_EXPORTER,
	SASL_BINDING_COUNT,
};
#define SASL_BINDING_MAX_BYTES 64

const char *sasl_binding_name(enum sasl_binding binding);     /* "" for NONE */
enum sasl_binding sasl_binding_parse(struct base_slice name); /* NONE if unknown */

#endif
