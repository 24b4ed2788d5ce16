/* vault/credentials.h: what is stored of a password
 * Job      derive hash, SCRAM keys and, where it must be, the recoverable secret; carry them in a frame
 * Not      storing (vault/store.h), sealing, checking (vault/verify.h)
 * Trust    the encoded form may come from another process: bounded, every field checked
 * Time     deriving takes a password hash's time: for commands and workers, never for auth itself
 * Secrets  struct vault_credentials is all secret: release wipes it
 * Spec     crypt(5) yescrypt; RFC 5802 section 3 */
#ifndef VAULT_CREDENTIALS_H
#define VAULT_CREDENTIALS_H

#include "base/error.h"
#include "sasl/scram.h"

#define VAULT_HASH_MAX_BYTES 384 /* longer than any crypt(5) string */
/* crypt(3) takes no more, so no password that is to be stored may be longer. */
#define VAULT_PASSWORD_MAX_BYTES 511
#define VAULT_APP_PASSWORD_CHARS 29 /* five groups of five, of 32 signs: 125 bits */

/* Fresh random bytes that a derivation takes. */
#define VAULT_CREDENTIALS_RANDOM_BYTES (16 + 3 * SASL_SCRAM_SALT_BYTES + 40)

struct vault_credentials {
	char hash[VAULT_HASH_MAX_BYTES + 1]; /* "$y$…", NUL-ended */
	/* By enum base_hash; present where scram[hash].iterations is not 0. */
	struct sasl_scram_keys scram[BASE_HASH_COUNT];
	struct base_secret secret; /* the password itself; empty where it is not kept */
};

void vault_credentials_init(struct vault_credentials *c);
void vault_credentials_release(struct vault_credentials *c);

/* For the mechanisms in @mechanisms. 0, or PERMANENT: the password is empty, too long, holds NUL or
 * cannot be prepared by SASLprep (err says which). What is stored is of the prepared password.
 * @random: VAULT_CREDENTIALS_RANDOM_BYTES. @c was initialised. */
BASE_MUST_USE int vault_credentials_derive(struct base_slice password,
	sasl_mechanism_mask mechanisms, const uint8_t *random, struct vault_credentials *c,
	struct base_error *err);
/* A generated password, kept under a fast hash because it cannot be guessed. @out_password: at least
 * VAULT_APP_PASSWORD_CHARS. */
BASE_MUST_USE int vault_credentials_generate(sasl_mechanism_mask mechanisms, const uint8_t *random,
	struct vault_credentials *c, struct base_secret *out_password, struct base_error *err);

/* What the mechanisms of @mask need that @c does not have, as a mask of mechanisms. */
sasl_mechanism_mask vault_credentials_missing(
	const struct vault_credentials *c, sasl_mechanism_mask mask);

/* For HASHED frames and the secret of control requests. @out must be a secret buffer. */
#define VAULT_CREDENTIALS_ENCODED_MAX_BYTES 4096
bool vault_credentials_encode(const struct vault_credentials *c, struct base_buf *out);
BASE_MUST_USE bool vault_credentials_decode(struct base_slice in, struct vault_credentials *c);

#endif
