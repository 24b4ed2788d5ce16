/* vault/pem.h: PEM text looked at before it is kept
 * Job      is it certificates, is it a key, does the key belong to the certificate
 * Not      TLS (loop/tls.h); whether anybody trusts a certificate
 * Trust    an administrator's file: any bytes, bounded; a key under a passphrase is refused, never asked for
 * Secrets  OpenSSL keeps and wipes its own copy of a key */
#ifndef VAULT_PEM_H
#define VAULT_PEM_H

#include "base/macros.h"
#include "base/slice.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

/* At least one certificate, and nothing in it that is a broken one. @out_first (may be null): the first;
 * the caller frees it. */
BASE_MUST_USE bool vault_pem_certificates(struct base_slice pem, X509 **out_first);
/* Null: no private key, or one under a passphrase. The caller frees it. */
BASE_MUST_USE EVP_PKEY *vault_pem_key(struct base_slice pem);

enum vault_pem_pair {
	VAULT_PEM_PAIR_OK,
	VAULT_PEM_NO_CERTIFICATE,
	VAULT_PEM_NO_KEY,
	VAULT_PEM_OTHER_KEY, /* of another certificate */
};
/* @chain: the certificate first. */
BASE_MUST_USE enum vault_pem_pair vault_pem_pair(struct base_slice chain, struct base_slice key);
/* What is wrong and what would be right, as the end of a sentence about a file. */
const char *vault_pem_pair_words(enum vault_pem_pair pair);

#endif
