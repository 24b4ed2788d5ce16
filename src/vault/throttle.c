/* Two kinds of row in one table of sets of four: an address, and a user at an address.
 *
 *   failures   distinct failed attempts; halved for each WINDOW_MS since the last change
 *   recent     keyed hashes of the last few attempts, to see that one comes again
 *   success    when that user last logged in from that address (rows of the second kind)
 *
 * What a failure waits: one step; two when three have failed for that user there or six in all there;
 * three from six or fifteen; four (two seconds) from ten or thirty. */
#include "vault/throttle.h"

#include "base/digest.h"

#include <stdlib.h>
#include <string.h>

enum {
	WAYS = 4,
	LEAST_SLOTS = 64,
	TAG_BYTES = 16,
	CLIENT_BYTES = 8,
	RECENT = 8,
	WINDOW_MS = 10 * 60 * 1000,
	SUCCESS_MS = 24 * 60 * 60 * 1000,
	GUESSER_FAILURES = 30, /* of an address: from here its right answers wait too */
};

struct row {
	uint8_t tag[TAG_BYTES];
	uint8_t client[CLIENT_BYTES]; /* the address alone: what forgetting looks for */
	int64_t changed_ms;           /* 0: empty */
	int64_t success_ms;           /* 0: none */
	uint32_t failures;
	uint32_t recent[RECENT];
	unsigned recent_next;
};

struct vault_throttle {
	uint8_t key[VAULT_THROTTLE_KEY_BYTES];
	size_t set_count;
	struct row rows[];
};

struct vault_throttle *vault_throttle_new(size_t slots, const uint8_t key[VAULT_THROTTLE_KEY_BYTES])
{
	struct vault_throttle *t;
	size_t count = LEAST_SLOTS;

	while (count < slots)
		count *= 2;
	t = base_alloc_zero(1, sizeof(*t) + count * sizeof(t->rows[0]));
	memcpy(t->key, key, sizeof(t->key));
	t->set_count = count / WAYS;
	return t;
}

void vault_throttle_free(struct vault_throttle **throttle)
{
	if (!*throttle)
		return;
	base_wipe(
		*throttle, sizeof(**throttle) + (*throttle)->set_count * WAYS * sizeof(struct row));
	free(*throttle);
	*throttle = NULL;
}

/* The key of a row: what client, and which user there (empty: all). */
static void make_tag(const struct vault_throttle *t, const struct base_addr *addr,
	struct base_slice user, uint8_t out[BASE_HASH_MAX_BYTES])
{
	struct base_addr client = base_addr_client_key(addr);
	uint8_t data[sizeof(client.bytes) + 1 + 256];
	size_t len = user.len < 256 ? user.len : 256;

	memcpy(data, client.bytes, sizeof(client.bytes));
	data[sizeof(client.bytes)] = (uint8_t)client.family;
	if (len)
		memcpy(data + sizeof(client.bytes) + 1, user.ptr, len);
	base_hmac(BASE_HASH_SHA256, base_slice_make(t->key, sizeof(t->key)),
		base_slice_make(data, sizeof(client.bytes) + 1 + len), out);
}

static struct row *row_find(struct vault_throttle *t, const uint8_t *tag, bool make, int64_t now_ms)
{
	struct row *victim;
	uint64_t number;
	size_t first;

	memcpy(&number, tag + TAG_BYTES, sizeof(number));
	first = (size_t)(number & (t->set_count - 1)) * WAYS;
	victim = &t->rows[first];
	for (size_t i = first; i < first + WAYS; i++) {
		struct row *r = &t->rows[i];

		if (r->changed_ms && memcmp(r->tag, tag, TAG_BYTES) == 0)
			return r;
		if (r->changed_ms < victim->changed_ms)
			victim = r;
	}
	if (!make)
		return NULL;
	memset(victim, 0, sizeof(*victim));
	memcpy(victim->tag, tag, TAG_BYTES);
	victim->changed_ms = now_ms > 0 ? now_ms : 1;
	return victim;
}

static struct row *row_of(struct vault_throttle *t, const struct base_addr *addr,
	struct base_slice user, int64_t now_ms)
{
	uint8_t tag[BASE_HASH_MAX_BYTES], client[BASE_HASH_MAX_BYTES];
	struct row *r;

	make_tag(t, addr, user, tag);
	make_tag(t, addr, BASE_SLICE_EMPTY, client);
	r = row_find(t, tag, true, now_ms);
	memcpy(r->client, client, CLIENT_BYTES);
	return r;
}

static uint32_t row_failures(const struct row *r, int64_t now_ms)
{
	int64_t windows = (now_ms - r->changed_ms) / WINDOW_MS;

	return windows < 0 ? r->failures : windows >= 32 ? 0 : r->failures >> windows;
}

static void row_fail(struct row *r, uint32_t attempt, int64_t now_ms)
{
	for (size_t i = 0; attempt && i < RECENT; i++)
		if (r->recent[i] == attempt)
			return;
	r->failures = row_failures(r, now_ms);
	if (r->failures < UINT32_MAX)
		r->failures++;
	r->changed_ms = now_ms > 0 ? now_ms : 1;
	r->recent[r->recent_next++ % RECENT] = attempt;
}

/* What was tried, for whom; never 0 for a known attempt. */
static uint32_t attempt_number(
	const struct vault_throttle *t, struct base_slice user, struct base_slice attempt)
{
	uint8_t sum[BASE_HASH_MAX_BYTES];
	struct base_buf data;
	uint32_t number;

	if (!attempt.len)
		return 0;
	base_buf_init_secret(&data, user.len + 1 + attempt.len);
	base_buf_append_slice(&data, user);
	base_buf_append_byte(&data, '\0');
	base_buf_append_slice(&data, attempt);
	base_hmac(BASE_HASH_SHA256, base_slice_make(t->key, sizeof(t->key)), base_buf_slice(&data),
		sum);
	base_buf_release(&data);
	memcpy(&number, sum, sizeof(number));
	base_wipe(sum, sizeof(sum));
	return number ? number : 1;
}

static uint32_t steps(uint32_t user_failures, uint32_t addr_failures)
{
	if (user_failures >= 10 || addr_failures >= 30)
		return 4;
	if (user_failures >= 6 || addr_failures >= 15)
		return 3;
	if (user_failures >= 3 || addr_failures >= 6)
		return 2;
	return 1;
}

uint32_t vault_throttle_failed(struct vault_throttle *t, const struct base_addr *addr,
	struct base_slice user, struct base_slice attempt, int64_t now_ms)
{
	uint32_t number, user_failures;
	struct row *r;

	if (addr->family == BASE_ADDR_NONE || base_addr_is_loopback(addr))
		return VAULT_THROTTLE_STEP_MS;
	number = attempt_number(t, user, attempt);
	r = row_of(t, addr, user, now_ms);
	row_fail(r, number, now_ms);
	user_failures = r->failures;
	r = row_of(t, addr, BASE_SLICE_EMPTY, now_ms);
	row_fail(r, number, now_ms);
	return VAULT_THROTTLE_STEP_MS * steps(user_failures, r->failures);
}

uint32_t vault_throttle_succeeded(struct vault_throttle *t, const struct base_addr *addr,
	struct base_slice user, int64_t now_ms)
{
	struct row *r;
	bool known;
	uint8_t tag[BASE_HASH_MAX_BYTES];

	if (addr->family == BASE_ADDR_NONE || base_addr_is_loopback(addr))
		return 0;
	r = row_of(t, addr, user, now_ms);
	known = r->success_ms && now_ms - r->success_ms < SUCCESS_MS;
	r->success_ms = r->changed_ms = now_ms > 0 ? now_ms : 1;
	r->failures = 0; /* of this user here; what the address guessed elsewhere stays */
	if (known)
		return 0;
	make_tag(t, addr, BASE_SLICE_EMPTY, tag);
	r = row_find(t, tag, false, now_ms);
	return r && row_failures(r, now_ms) >= GUESSER_FAILURES ? VAULT_THROTTLE_MAX_MS : 0;
}

bool vault_throttle_forget(struct vault_throttle *t, const struct base_addr *addr)
{
	uint8_t client[BASE_HASH_MAX_BYTES];
	bool known = false;

	make_tag(t, addr, BASE_SLICE_EMPTY, client);
	for (size_t i = 0; i < t->set_count * WAYS; i++) {
		struct row *r = &t->rows[i];

		if (!r->changed_ms || memcmp(r->client, client, CLIENT_BYTES) != 0)
			continue;
		known = true;
		memset(r, 0, sizeof(*r));
	}
	return known;
}
