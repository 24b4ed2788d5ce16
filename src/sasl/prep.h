/* sasl/prep.h: SASLprep (RFC 4013) by libidn's stringprep
 * Trust    hostile; not UTF-8, prohibited or unassigned (for stored strings) characters fail */
#ifndef SASL_PREP_H
#define SASL_PREP_H

#include "base/secret.h"

#define SASL_PREP_MAX_CHARS 1024

/* @stored: true for what is kept in a store (unassigned code points are refused), false for a
 * query. ASCII without controls passes unchanged. @out is replaced; it may come out empty (a soft
 * hyphen alone), which no caller may take for a name or a password.
 * False: it cannot be prepared, is longer than SASL_PREP_MAX_CHARS or does not fit; fail, never use
 * it raw; @out is empty. */
BASE_MUST_USE bool sasl_prep(struct base_slice in, bool stored, struct base_secret *out);

#endif
