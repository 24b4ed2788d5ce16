/* sasl/scram_internal.h: what both sides of SCRAM share
 * Job      attributes, names, nonces and keys
 * Trust    every slice here comes from a peer; readers look at nothing behind its end
 * Spec     RFC 5802 sections 5 and 7 */
#ifndef SASL_SCRAM_INTERNAL_H
#define SASL_SCRAM_INTERNAL_H

#include "sasl/scram.h"

#define SCRAM_NONCE_MIN_BYTES 8
#define SCRAM_NONCE_MAX_BYTES 512

enum sasl_scram_attr_result {
	SASL_SCRAM_ATTR, /* an attribute was taken */
	SASL_SCRAM_END,  /* none is left */
	SASL_SCRAM_BAD,  /* no letter, no '=', a NUL, or a comma with nothing behind it */
};

/* Reads "x=value" between commas. */
struct sasl_scram_reader {
	struct base_slice rest;
	bool more; /* an attribute is still owed: at the start and behind a comma */
};

struct sasl_scram_reader sasl_scram_reader_make(struct base_slice message);
BASE_MUST_USE enum sasl_scram_attr_result sasl_scram_attr_next(
	struct sasl_scram_reader *r, char *out_name, struct base_slice *out_value);
/* The next attribute must be @name and must not be empty. */
BASE_MUST_USE bool sasl_scram_attr_take(
	struct sasl_scram_reader *r, char name, struct base_slice *out_value);
/* May the attribute stand where extensions may? Not m=, whose meaning nobody may ignore, and none
 * of @mandatory, which would be a second one. */
bool sasl_scram_extension_allowed(char name, const char *mandatory);
/* Skip to the end. False: broken, or an attribute that is not allowed. */
BASE_MUST_USE bool sasl_scram_extensions_skip(struct sasl_scram_reader *r, const char *mandatory);

/* Printable ASCII without a comma, within the limits. */
bool sasl_scram_nonce_valid(struct base_slice nonce);
/* Append "=2C" for ',' and "=3D" for '='. */
bool sasl_scram_name_encode(struct base_slice name, struct base_buf *out);
/* The reverse. False: empty, any other '=', a ',' or NUL, or it does not fit. Not prepared. */
BASE_MUST_USE bool sasl_scram_name_decode(struct base_slice in, struct base_buf *out);

/* Keys of one password; the caller wipes them. */
struct sasl_scram_secrets {
	uint8_t client_key[BASE_HASH_MAX_BYTES];
	uint8_t stored_key[BASE_HASH_MAX_BYTES];
	uint8_t server_key[BASE_HASH_MAX_BYTES];
};

/* @password is prepared already. */
void sasl_scram_secrets_derive(enum base_hash hash, struct base_slice password,
	struct base_slice salt, uint32_t iterations, struct sasl_scram_secrets *out);

#endif
