/* vault/stored.h: what a stored form is, and what it can serve besides PLAIN and LOGIN
 * Job      its kind; the clear password in it, or the SCRAM keys
 * Secrets  both are; the clear password is borrowed from @stored */
#ifndef VAULT_STORED_H
#define VAULT_STORED_H

#include "sasl/scram.h"

enum vault_stored_kind {
	VAULT_STORED_CLEAR, /* vault_stored_clear() is true, and it is not too long to be a password */
	VAULT_STORED_HASH,   /* a form that vault_verify() checks, complete as far as can be seen */
	VAULT_STORED_EMPTY,  /* nothing, or a {SCHEME} and nothing behind it */
	VAULT_STORED_LOCKED, /* "*", "!…", "x": how passwd files say that nobody logs in */
	VAULT_STORED_BARE, /* no {SCHEME} and like no hash: clear text, or something else's form */
	VAULT_STORED_SCHEME, /* a {SCHEME} that is not known */
	VAULT_STORED_BROKEN, /* it begins like a form and is damaged, cut, too costly or too long */
};
/* Computes no hash. */
enum vault_stored_kind vault_stored_kind(struct base_slice stored);
/* Why no login can come of it, as a static text; null for CLEAR and HASH. */
const char *vault_stored_reason(enum vault_stored_kind kind);

/* "{PLAIN}…" or "{CLEARTEXT}…": true, and the password itself, borrowed. */
bool vault_stored_clear(struct base_slice stored, struct base_slice *out_password);
/* "{SCRAM-SHA-1}iterations,salt,stored,server" and its kin, where it is of @hash. */
bool vault_stored_scram(
	struct base_slice stored, enum base_hash hash, struct sasl_scram_keys *out_keys);
/* The same form of @keys, appended: "{SCRAM-SHA-256}…". @out must be a secret buffer. */
void vault_stored_scram_put(
	enum base_hash hash, const struct sasl_scram_keys *keys, struct base_buf *out);

#endif
