/* sasl/scram.h: SCRAM keys for those who store them
 * Spec     RFC 5802 section 3; RFC 7677 */
#ifndef SASL_SCRAM_H
#define SASL_SCRAM_H

#include "sasl/server.h"

/* Derive what a server stores. @password is prepared with SASLprep here; false if it cannot be
 * (then SCRAM is not for this password). @salt: 1 to 64 bytes. Takes the time of @iterations. */
BASE_MUST_USE bool sasl_scram_derive(enum base_hash hash, struct base_slice password,
	struct base_slice salt, uint32_t iterations, struct sasl_scram_keys *out_keys);

#endif
