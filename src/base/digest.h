/* base/digest.h: hashes, HMAC, PBKDF2 and sealing, on OpenSSL
 * Job      one call each; an OpenSSL failure is a bug or out of memory, never a result
 * Secrets  nothing is kept; outputs belong to the caller, who wipes them
 * Spec     RFC 2104, RFC 8018 section 5.2; NIST SP 800-38D (AES-256-GCM) */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include "base/buf.h"
#include "base/secret.h"

enum base_hash {
	BASE_HASH_MD5,
	BASE_HASH_SHA1,
	BASE_HASH_SHA256,
	BASE_HASH_SHA512,
	BASE_HASH_COUNT,
};

#define BASE_HASH_MAX_BYTES 64

/* Output length in bytes. */
size_t base_hash_len(enum base_hash hash);
/* @out has room for base_hash_len(). */
void base_hash(enum base_hash hash, struct base_slice data, uint8_t *out);
void base_hmac(enum base_hash hash, struct base_slice key, struct base_slice data, uint8_t *out);
/* PBKDF2-HMAC; SCRAM's Hi() is this with @out_len of one hash. @iterations >= 1. */
void base_pbkdf2(enum base_hash hash, struct base_slice password, struct base_slice salt,
	uint32_t iterations, uint8_t *out, size_t out_len);

#define BASE_SEAL_KEY_BYTES 32
#define BASE_SEAL_NONCE_BYTES 12
#define BASE_SEAL_OVERHEAD_BYTES (BASE_SEAL_NONCE_BYTES + 16)

/* Append nonce, ciphertext and tag of @plain. @label is authenticated beside it (say, what row and
 * column the sealed bytes belong to), so that sealed values cannot be moved. @nonce: fresh random. */
bool base_seal(struct base_slice key, struct base_slice nonce, struct base_slice label,
	struct base_slice plain, struct base_buf *out);
/* False: not sealed with this key and label, or it does not fit. */
BASE_MUST_USE bool base_unseal(struct base_slice key, struct base_slice label,
	struct base_slice sealed, struct base_secret *out);

#endif
