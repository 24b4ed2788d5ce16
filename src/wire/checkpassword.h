/* wire/checkpassword.h: what a checkpassword program reads on descriptor 3
 * Job      login, secret and challenge as NUL-ended strings, both directions, both orders
 * Not      descriptors, processes, exit codes' consequences (provider/, qmail/, checkpassword/)
 * Trust    both directions: a field with a NUL is never written; what is read may be anything
 * Secrets  @out must be a secret buffer; slices of a parsed message point into the caller's bytes
 * Spec     checkpassword: at most 512 bytes; login \0 password \0 timestamp \0 */
#ifndef WIRE_CHECKPASSWORD_H
#define WIRE_CHECKPASSWORD_H

#include "base/buf.h"

#define WIRE_CHECKPASSWORD_MAX_BYTES 512

/* What the checker's exit status means to the one who started it. */
enum wire_checkpassword_exit {
	WIRE_CHECKPASSWORD_ACCEPTED = 0,
	WIRE_CHECKPASSWORD_REJECTED = 1,
	WIRE_CHECKPASSWORD_MISUSED = 2,
	WIRE_CHECKPASSWORD_TEMPORARY = 111,
};

/* Where a challenge-response login carries what. */
enum wire_checkpassword_order {
	WIRE_CHECKPASSWORD_STANDARD, /* login, digest, challenge */
	WIRE_CHECKPASSWORD_LEGACY,   /* login, challenge, digest */
};

struct wire_checkpassword {
	struct base_slice login;
	struct base_slice secret;    /* the password; or the digest in hexadecimal */
	struct base_slice challenge; /* empty: secret is a password */
};

enum wire_checkpassword_result {
	WIRE_CHECKPASSWORD_OK,
	WIRE_CHECKPASSWORD_LONG,   /* more than 512 bytes */
	WIRE_CHECKPASSWORD_NUL,    /* put: a field holds a NUL */
	WIRE_CHECKPASSWORD_BROKEN, /* get: fewer than two ended strings */
};

/* Always three ended strings; the third is empty for a password. Nothing is appended unless OK. */
BASE_MUST_USE enum wire_checkpassword_result wire_checkpassword_put(
	const struct wire_checkpassword *m, enum wire_checkpassword_order order,
	struct base_buf *out);
/* Two ended strings are enough; a third, ended or not, is the challenge; what follows is ignored.
 * With LEGACY and a third that is not empty, the second and third change places. */
BASE_MUST_USE enum wire_checkpassword_result wire_checkpassword_get(
	struct base_slice in, enum wire_checkpassword_order order, struct wire_checkpassword *out);

#endif
