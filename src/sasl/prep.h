/* sasl/prep.h: SASLprep (RFC 4013) by libidn's stringprep
 * Trust    hostile; not UTF-8, prohibited or unassigned (for stored strings) characters fail */
#ifndef SASL_PREP_H
#define SASL_PREP_H

#include "base/secret.h"

/* @stored: true for what is kept in a store (unassigned code points are refused), false for a query.
 * ASCII without controls passes unchanged. False: it cannot be prepared; fail, never use it raw. */
BASE_MUST_USE bool sasl_prep(struct base_slice in, bool stored, struct base_secret *out);

#endif
