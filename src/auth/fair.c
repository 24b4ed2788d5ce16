/* Who waits is served in turn by client address, so that the flood of one address delays nobody else.
 * Addresses share buckets by a keyed hash: the table is bounded, and nobody can choose whose bucket he
 * fills. */
#include "auth/core_internal.h"
#include "base/digest.h"

void auth_fair_init(struct auth_fair *fair)
{
	auth_list_init(&fair->ring);
	for (size_t i = 0; i < AUTH_FAIR_BUCKETS; i++) {
		fair->buckets[i] = (struct auth_bucket){.count = 0};
		auth_list_init(&fair->buckets[i].items);
	}
}

unsigned auth_fair_bucket(const struct auth_core *core, const struct base_addr *client)
{
	size_t len = client->family == BASE_ADDR_IP6 ? 8 : 4; /* an IPv6 /64 is one client */
	uint8_t sum[BASE_HASH_MAX_BYTES];

	if (client->family == BASE_ADDR_NONE)
		return 0;
	base_hmac(BASE_HASH_SHA256, base_slice_make(core->seed, sizeof(core->seed)),
		base_slice_make(client->bytes, len), sum);
	return 1 + sum[0] % (AUTH_FAIR_BUCKETS - 1);
}

bool auth_fair_push(struct auth_fair *fair, unsigned bucket, struct auth_link *link)
{
	struct auth_bucket *b = &fair->buckets[bucket];

	if (b->count >= AUTH_WAITING_PER_BUCKET)
		return false;
	b->count++;
	auth_list_push(&b->items, link);
	if (!b->in_ring.next)
		auth_list_push(&fair->ring, &b->in_ring);
	return true;
}

void auth_fair_remove(struct auth_fair *fair, unsigned bucket, struct auth_link *link)
{
	if (!link->next)
		return;
	auth_list_remove(link);
	fair->buckets[bucket].count--;
}

struct auth_link *auth_fair_next(struct auth_fair *fair)
{
	while (!auth_list_empty(&fair->ring)) {
		struct auth_bucket *b = AUTH_OF(fair->ring.next, struct auth_bucket, in_ring);

		auth_list_remove(&b->in_ring);
		if (auth_list_empty(&b->items))
			continue;
		auth_list_push(&fair->ring, &b->in_ring);
		return b->items.next;
	}
	return NULL;
}
