/* A table of sets of four slots. A slot is chosen by the first bytes of the keyed hash of user and
 * password and compared by the rest of it. What belongs to a user is found by a second keyed hash, over
 * the whole table: a password changes seldom. */
#include "vault/cache.h"

#include "base/digest.h"

#include <stdlib.h>
#include <string.h>

enum { WAYS = 4, LEAST_SLOTS = 64, TAG_BYTES = 24, USER_BYTES = 8 };

struct slot {
	uint8_t tag[TAG_BYTES];
	uint8_t user[USER_BYTES];
	int64_t until_ms; /* 0: empty */
	uint32_t scope;
};

struct vault_cache {
	uint8_t key[VAULT_CACHE_KEY_BYTES];
	int64_t ttl_ms;
	size_t set_count; /* a power of two */
	struct slot slots[];
};

struct vault_cache *vault_cache_new(
	size_t slots, const uint8_t key[VAULT_CACHE_KEY_BYTES], int64_t ttl_ms)
{
	struct vault_cache *cache;
	size_t count = LEAST_SLOTS;

	while (count < slots)
		count *= 2;
	cache = base_alloc_zero(1, sizeof(*cache) + count * sizeof(cache->slots[0]));
	memcpy(cache->key, key, sizeof(cache->key));
	cache->ttl_ms = ttl_ms;
	cache->set_count = count / WAYS;
	return cache;
}

void vault_cache_free(struct vault_cache **cache)
{
	if (!*cache)
		return;
	base_wipe(*cache, sizeof(**cache) + (*cache)->set_count * WAYS * sizeof(struct slot));
	free(*cache);
	*cache = NULL;
}

void vault_cache_set_ttl(struct vault_cache *cache, int64_t ttl_ms)
{
	cache->ttl_ms = ttl_ms;
	if (ttl_ms == 0)
		vault_cache_drop_all(cache);
}

static void user_tag(const struct vault_cache *c, struct base_slice user, uint8_t out[USER_BYTES])
{
	uint8_t sum[BASE_HASH_MAX_BYTES];

	base_hmac(BASE_HASH_SHA256, base_slice_make(c->key, sizeof(c->key)), user, sum);
	memcpy(out, sum, USER_BYTES);
}

/* Length-prefixed, so that no two pairs of user and password give the same bytes. */
static void make_tag(const struct vault_cache *c, struct base_slice user,
	struct base_slice password, uint8_t out[BASE_HASH_MAX_BYTES])
{
	struct base_buf data;
	uint8_t len[4] = {(uint8_t)(user.len >> 24), (uint8_t)(user.len >> 16),
		(uint8_t)(user.len >> 8), (uint8_t)user.len};

	base_buf_init_secret(&data, sizeof(len) + user.len + password.len);
	base_buf_reserve(&data, sizeof(len) + user.len + password.len);
	base_buf_append(&data, len, sizeof(len));
	base_buf_append_slice(&data, user);
	base_buf_append_slice(&data, password);
	base_hmac(BASE_HASH_SHA256, base_slice_make(c->key, sizeof(c->key)), base_buf_slice(&data),
		out);
	base_buf_release(&data);
}

static size_t set_of(const struct vault_cache *c, const uint8_t *tag)
{
	uint64_t number;

	memcpy(&number, tag + TAG_BYTES, sizeof(number));
	return (size_t)(number & (c->set_count - 1)) * WAYS;
}

bool vault_cache_has(const struct vault_cache *c, struct base_slice user,
	struct base_slice password, int64_t now_ms, uint32_t *out_scope)
{
	uint8_t tag[BASE_HASH_MAX_BYTES];
	bool found = false;

	if (c->ttl_ms <= 0)
		return false;
	make_tag(c, user, password, tag);
	for (size_t i = set_of(c, tag), end = i + WAYS; i < end && !found; i++) {
		const struct slot *s = &c->slots[i];

		found = s->until_ms > now_ms &&
			base_equal_constant_time(base_slice_make(s->tag, TAG_BYTES),
				base_slice_make(tag, TAG_BYTES));
		if (found)
			*out_scope = s->scope;
	}
	base_wipe(tag, sizeof(tag));
	return found;
}

void vault_cache_put(struct vault_cache *c, struct base_slice user, struct base_slice password,
	uint32_t scope, int64_t now_ms)
{
	uint8_t tag[BASE_HASH_MAX_BYTES];
	struct slot *victim;
	size_t first;

	if (c->ttl_ms <= 0)
		return;
	make_tag(c, user, password, tag);
	first = set_of(c, tag);
	victim = &c->slots[first];
	for (size_t i = first, end = i + WAYS; i < end; i++) {
		struct slot *s = &c->slots[i];

		if (memcmp(s->tag, tag, TAG_BYTES) == 0) {
			victim = s;
			break;
		}
		if (s->until_ms < victim->until_ms)
			victim = s;
	}
	memcpy(victim->tag, tag, TAG_BYTES);
	user_tag(c, user, victim->user);
	victim->until_ms = now_ms + c->ttl_ms;
	victim->scope = scope;
	base_wipe(tag, sizeof(tag));
}

void vault_cache_drop_user(struct vault_cache *c, struct base_slice user)
{
	uint8_t tag[USER_BYTES];

	user_tag(c, user, tag);
	for (size_t i = 0; i < c->set_count * WAYS; i++)
		if (memcmp(c->slots[i].user, tag, USER_BYTES) == 0)
			base_wipe(&c->slots[i], sizeof(c->slots[i]));
}

void vault_cache_drop_all(struct vault_cache *c)
{
	base_wipe(c->slots, c->set_count * WAYS * sizeof(c->slots[0]));
}
