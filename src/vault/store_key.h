/* vault/store_key.h: the sealing key's file, for the vault's store
 * Files    data/vault.key: BASE_SEAL_KEY_BYTES random bytes, mode 0600, written beside and linked */
#ifndef VAULT_STORE_KEY_H
#define VAULT_STORE_KEY_H

#include "vault/store.h"

/* Make the directory, and an empty database file of mode 0600, where they are not there. */
BASE_MUST_USE int vault_store_files_make(
	const struct vault_store_options *options, const char *db_path, struct base_error *err);
/* NOT_FOUND: there is none. CONFIG: it is not 32 bytes, or others may read it. */
BASE_MUST_USE int vault_store_key_load(
	const char *path, uint8_t out[BASE_SEAL_KEY_BYTES], struct base_error *err);
/* EXISTS: somebody else was faster; load it. */
BASE_MUST_USE int vault_store_key_create(const struct vault_store_options *options,
	const char *path, uint8_t out[BASE_SEAL_KEY_BYTES], struct base_error *err);

#endif
