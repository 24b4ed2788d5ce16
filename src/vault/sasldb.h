/* vault/sasldb.h: Cyrus SASL's sasldb2
 * Job      the clear password of a user, or all users, by libdb
 * Time     opens, reads and closes the file: for workers and commands
 * Limits   read only: nothing is made or locked; names are compared byte by byte, as Cyrus SASL does
 * Spec     a hash of Berkeley DB: key login \0 realm \0 "userPassword", data the clear password */
#ifndef VAULT_SASLDB_H
#define VAULT_SASLDB_H

#include "base/error.h"
#include "vault/file.h"

/* This build has libdb. */
bool vault_sasldb_available(void);
/* @name: "login@realm", divided at the last '@'; without one the realm is @default_realm.
 * KNOWN: out->stored is "{PLAIN}…" and out->name "login@realm". BROKEN: @err says why: NOT_FOUND (no
 * such file), CONFIG (not a sasldb, not readable, no libdb), TEMPORARY, PERMANENT (this entry only). */
BASE_MUST_USE enum vault_file_result vault_sasldb_find(const char *path, struct base_slice name,
	struct base_slice default_realm, struct vault_file_entry *out, struct base_error *err);
/* Call @fn for every user until it says false; entries with a reason have no password that counts. 0 or
 * negative, as above. */
typedef bool (*vault_sasldb_fn)(const struct vault_file_entry *entry, void *arg);
BASE_MUST_USE int vault_sasldb_each(
	const char *path, vault_sasldb_fn fn, void *arg, struct base_error *err);

#endif
