/* vault/cache.h: passwords that were right a moment ago
 * Job      spare the hash for a client that logs in again; positive results only
 * Memory   a fixed number of slots, taken at new; a full set gives up its oldest
 * Secrets  a slot holds keyed hashes, under a key that lives as long as the process */
#ifndef VAULT_CACHE_H
#define VAULT_CACHE_H

#include "base/slice.h"

#include <stdint.h>

#define VAULT_CACHE_KEY_BYTES 32

struct vault_cache;

/* @slots is rounded up to a power of two, at least 64. @key: fresh random bytes. @ttl_ms 0: never
 * remembers anything. */
struct vault_cache *vault_cache_new(
	size_t slots, const uint8_t key[VAULT_CACHE_KEY_BYTES], int64_t ttl_ms);
void vault_cache_free(struct vault_cache **cache);
void vault_cache_set_ttl(struct vault_cache *cache, int64_t ttl_ms);

/* @user: the vault key's text. @scope: what else the result depends on (provider, app password); 0 is
 * the user's own password. True: right within the last @ttl_ms. @now_ms: monotonic. */
bool vault_cache_has(const struct vault_cache *cache, struct base_slice user,
	struct base_slice password, int64_t now_ms, uint32_t *out_scope);
void vault_cache_put(struct vault_cache *cache, struct base_slice user, struct base_slice password,
	uint32_t scope, int64_t now_ms);
/* At once, whatever the password. */
void vault_cache_drop_user(struct vault_cache *cache, struct base_slice user);
void vault_cache_drop_all(struct vault_cache *cache);

#endif
