/* loop/tls_internal.h: what the files of loop/tls.h share
 * tls.c sessions; tls_context.c contexts and certificates from bytes; tls_verify.c what a server's
 * certificate is worth */
#ifndef LOOP_TLS_INTERNAL_H
#define LOOP_TLS_INTERNAL_H

#include "loop/tls.h"

#include <openssl/ssl.h>

struct tls_context {
	SSL_CTX *ssl;
};

struct tls_authorities {
	X509_STORE *store;
};

/* What only a client's session has. */
struct tls_client {
	char *host;
	bool pinned;
	uint8_t pin[TLS_PIN_BYTES];
	char reason[TLS_REASON_MAX_BYTES]; /* why the certificate is not good; "": it is */
};

struct tls_session {
	SSL *ssl;
	unsigned long
		code; /* of the failure; 0: the socket's errno, or an EOF without close_notify */
	int error_number;
	struct tls_client *client; /* null: the server's end */
	bool failed;
};

/* tls_context.c */
/* The client certificate for one session. */
int tls_use_client_pair(
	SSL *ssl, struct base_slice chain, struct base_slice key, struct base_error *err);

/* tls_verify.c: in place of OpenSSL's own, for every session of a client context. */
int tls_verify_server(X509_STORE_CTX *x, void *arg);

#endif
