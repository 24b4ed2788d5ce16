/* vault/stored.h: what a stored form can serve besides PLAIN and LOGIN
 * Job      the clear password in it, or the SCRAM keys
 * Secrets  both are; the clear password is borrowed from @stored */
#ifndef VAULT_STORED_H
#define VAULT_STORED_H

#include "sasl/scram.h"

/* "{PLAIN}…" or "{CLEARTEXT}…": true, and the password itself, borrowed. */
bool vault_stored_clear(struct base_slice stored, struct base_slice *out_password);
/* "{SCRAM-SHA-1}iterations,salt,stored,server" and its kin, where it is of @hash. */
bool vault_stored_scram(
	struct base_slice stored, enum base_hash hash, struct sasl_scram_keys *out_keys);
/* The same form of @keys, appended: "{SCRAM-SHA-256}…". @out must be a secret buffer. */
void vault_stored_scram_put(
	enum base_hash hash, const struct sasl_scram_keys *keys, struct base_buf *out);

#endif
