/* loop/tls_internal.h: what tls.c and tls_context.c share */
#ifndef LOOP_TLS_INTERNAL_H
#define LOOP_TLS_INTERNAL_H

#include <openssl/ssl.h>

struct tls_context {
	SSL_CTX *ssl;
};

#endif
