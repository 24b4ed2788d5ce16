/* fetch/trust.h: the authorities that certificates are verified by
 * Job      PEM texts as one store of OpenSSL's, read once and shared by the connections
 * Why      libcurl would read the system's 150 authorities again for every connection: 20 ms each time, in
 *          which nothing else happens
 * Trust    PEM texts come from the administrator */
#ifndef FETCH_TRUST_H
#define FETCH_TRUST_H

#include "base/error.h"
#include "base/slice.h"

#include <openssl/x509.h>

/* An empty store; what is in it is trusted though it is no authority. */
X509_STORE *fetch_trust_new(void);
/* The same certificates, in a store of their own. */
X509_STORE *fetch_trust_copy(X509_STORE *from);
/* Add the certificates of @pem. Negative: CONFIG, there is none, or one cannot be read; those before it
 * are added. @what: whose they are, for the text. */
BASE_MUST_USE int fetch_trust_add(
	X509_STORE *store, struct base_slice pem, const char *what, struct base_error *err);
bool fetch_trust_is_empty(X509_STORE *store);

#endif
