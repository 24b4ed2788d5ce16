/* sasl/mechanism.h: the table of SASL mechanisms
 * Job      names, what each needs and gives; the order of strength
 * Not      an exchange (sasl/server.h, sasl/client.h)
 * Spec     RFC 4422 section 3.1 (names), RFC 4616, RFC 2195, RFC 5802, RFC 7677, RFC 7628 */
#ifndef SASL_MECHANISM_H
#define SASL_MECHANISM_H

#include "base/digest.h"
#include "base/slice.h"

/* Masks of these are stored in the vault: a new one goes to the end. Which is the better choice is said
 * by `strength`. Those from SASL_MECHANISM_SERVER_COUNT on are a client's only. */
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
	SASL_MECHANISM_EXTERNAL,    /* RFC 4422 appendix A */
	SASL_MECHANISM_OAUTHBEARER, /* RFC 7628 */
	SASL_MECHANISM_XOAUTH2,     /* Google's and Microsoft's form of it */
	SASL_MECHANISM_DIGEST_MD5,  /* RFC 2831 */
	SASL_MECHANISM_GSSAPI,      /* RFC 4752 */
	SASL_MECHANISM_COUNT,
};
#define SASL_MECHANISM_SERVER_COUNT SASL_MECHANISM_EXTERNAL

enum sasl_mechanism_flags {
	SASL_PLAINTEXT = 1u << 0,       /* the password itself crosses the line: TLS first */
	SASL_CLIENT_FIRST = 1u << 1,    /* an initial response is allowed */
	SASL_MUTUAL = 1u << 2,          /* the server proves itself too */
	SASL_CHANNEL_BINDING = 1u << 3, /* a -PLUS name */
	SASL_NEEDS_SECRET = 1u << 4,    /* the server needs the password in a recoverable form */
	SASL_SCRAM = 1u << 5,
	SASL_TOKEN = 1u << 6,       /* the secret is a bearer token; TLS first */
	SASL_CERTIFICATE = 1u << 7, /* TLS's client certificate is the secret */
	SASL_TICKET = 1u << 8,      /* the machine's Kerberos ticket is the secret */
	SASL_FOREIGN = 1u << 9,     /* spoken by an object from outside: sasl/client.h */
};

struct sasl_mechanism_info {
	const char *name;
	unsigned flags;
	unsigned strength;        /* the larger the better; 0: NONE */
	enum base_hash hash;      /* SCRAM only */
	enum sasl_mechanism plus; /* the -PLUS form of a bare SCRAM, else NONE */
};

/* Never null; NONE has the name "". */
const struct sasl_mechanism_info *sasl_mechanism_info(enum sasl_mechanism mechanism);
/* Case is ignored. NONE for a name that is not in the table or is no mechanism name at all. */
enum sasl_mechanism sasl_mechanism_parse(struct base_slice name);
/* 1 to 20 of A-Z 0-9 '-' '_' (lower case accepted too). */
bool sasl_mechanism_name_valid(struct base_slice name);

/* What a client has to log in with; each serves mechanisms of its own. */
enum sasl_credential {
	SASL_CREDENTIAL_PASSWORD,
	SASL_CREDENTIAL_TOKEN,       /* OAUTHBEARER, XOAUTH2 */
	SASL_CREDENTIAL_CERTIFICATE, /* EXTERNAL */
	SASL_CREDENTIAL_TICKET,      /* GSSAPI */
	SASL_CREDENTIAL_COUNT,
};

/* Sets of mechanisms are masks. */
typedef uint32_t sasl_mechanism_mask; /* a number, not a struct: the one typedef of this kind */
#define SASL_MASK(mechanism) ((sasl_mechanism_mask)1u << (mechanism))
#define SASL_MASK_SERVER (SASL_MASK(SASL_MECHANISM_SERVER_COUNT) - 1)

/* The mechanisms that @credential serves. */
sasl_mechanism_mask sasl_mechanism_mask_of(enum sasl_credential credential);

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
