/* loop/gsasl.h: DIGEST-MD5 and GSSAPI, client side, by GNU libgsasl
 * Job      the exchanges that sasl/ does not compute itself, as sasl/client.h takes them
 * Not      a server side; a security layer (TLS is that)
 * Trust    challenges are hostile: what libgsasl is given was looked at before, by our own reader
 * Memory   one object for each exchange, freed by its own free; nothing is kept between exchanges
 * Secrets  the password goes into libgsasl, which frees some of its copies unwiped; the one that lasts is
 *          wiped here as soon as it was used
 * Spec     RFC 2831 (given up by RFC 6331), RFC 4752 */
#ifndef LOOP_GSASL_H
#define LOOP_GSASL_H

#include "sasl/client.h"

/* What can be made in this build, as smtp_client_options.foreign; 0: built without libgsasl.
 * LOCAL: nothing but computing, fit for a loop and a sandbox. BLOCKING: GSSAPI too, which asks the
 * Kerberos server by itself and reads its files: only for commands. */
sasl_mechanism_mask gsasl_mechanisms(bool blocking);
#define GSASL_MECHANISMS_LOCAL gsasl_mechanisms(false)
#define GSASL_MECHANISMS_BLOCKING gsasl_mechanisms(true)

/* As smtp_client_options.foreign_new; @arg is not looked at. Slices are borrowed for the call.
 * @user      DIGEST-MD5: whose password it is. GSSAPI: the identity asked for, or empty
 * @password  DIGEST-MD5 only
 * False: not in this build, or the mechanism cannot carry these names; @out is not touched.
 * DIGEST-MD5 demands the server's proof (rspauth); GSSAPI demands that the server's ticket is right. */
BASE_MUST_USE bool gsasl_client_new(void *arg, enum sasl_mechanism mechanism,
	struct base_slice host, struct base_slice user, struct base_slice password,
	struct sasl_client_foreign *out);

#endif
