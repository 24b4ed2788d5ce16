/* vault/verify.h: is this the password that was stored
 * Job      every stored form that other systems leave behind, compared in constant time
 * Not      when to ask and what follows (auth/); this takes a password hash's time: workers only
 * Trust    the stored text comes from a database: it may be broken, costs in it are bounded
 *
 * crypt(3): all that libxcrypt knows. $apr1$ (Apache). $argon2i$ $argon2d$ $argon2id$. PBKDF2: passlib's
 * $pbkdf2$ $pbkdf2-sha256$ $pbkdf2-sha512$, {PBKDF2}$1$salt$rounds$hex, {PBKDF2…}rounds$salt$sum,
 * pbkdf2_sha256$…. {SCHEME} prefixes: CRYPT and its kinds, ARGON2I, ARGON2ID, PBKDF2, PLAIN,
 * CLEARTEXT, SHA, SHA256, SHA512, MD5 and their salted forms, SCRAM-SHA-1, SCRAM-SHA-256. */
#ifndef VAULT_VERIFY_H
#define VAULT_VERIFY_H

#include "base/macros.h"
#include "base/slice.h"

/* The numbers are those of a VERIFIED frame. */
enum vault_verify_result {
	VAULT_VERIFY_WRONG = 0,
	VAULT_VERIFY_RIGHT = 1,
	VAULT_VERIFY_CANNOT = 2, /* out of memory, or a scheme that this build lacks */
};

/* @stored empty (an unknown user), locked ("*", "!…") or broken: the default work is done all the same
 * and the answer is WRONG. @password: empty, with a NUL or too long is WRONG after the default work.
 * @out_upgrade (may be null): RIGHT, and the form is one that should be replaced. */
BASE_MUST_USE enum vault_verify_result vault_verify(
	struct base_slice stored, struct base_slice password, bool *out_upgrade);
/* Answer at once and in this process: true when @stored is a form that takes microseconds (those of
 * generated passwords). */
bool vault_verify_is_fast(struct base_slice stored);

#endif
