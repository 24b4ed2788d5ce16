/* loop/counters.c: the table in shared memory
 *
 * struct shared, then slots. A slot belongs to one client key while any of its counts is not zero; keys
 * are found by linear probing from a hash under a random seed, and a freed slot moves its followers
 * back, so probing never meets tombstones. All of it only under the lock.
 *
 * Fronts do not trust each other, and any of them can write here. So nothing that is read here is an
 * address, a length or a limit of a loop: the number of slots follows from the size of the memory, which
 * is sealed, and the lock is a number, not a pthread_mutex_t with its pointers. What a front that was
 * taken over can do is to spoil the counts.
 *
 * The lock holds the holder's front number + 1. Who waits for PATIENCE_MS takes it for left behind by
 * the dead, and rebuilds the table, in which a move may be half done. If that happens again soon, somebody
 * plays with the lock, and this front counts no more. */
#include "loop/counters.h"

#include "base/clock.h"
#include "loop/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	SLOTS_MIN = 1024,
	SLOTS_MAX = 1 << 24,
	PATIENCE_MS = 300,
	SUSPICION_MS = 60000, /* two thefts within it are no accident */
};

struct slot {
	uint8_t key[16];
	uint8_t family; /* 0: free */
	uint16_t counts[COUNTERS_FRONTS_MAX];
};

struct shared {
	_Atomic uint32_t lock; /* 0: free */
	uint32_t used;
	uint64_t seed;
	uint32_t totals[COUNTERS_FRONTS_MAX];
	struct slot slots[];
};

struct counters {
	struct shared *shared;
	size_t size;
	uint32_t slot_count; /* a power of two, at least twice the clients at once */
	int64_t stolen_ms;   /* when the lock was last taken from somebody; 0: never */
	bool lost;           /* the memory is of no use any more */
};

static int make_memory(size_t size, struct base_error *err)
{
	int fd = memfd_create("postern-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING), code;

	if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 &&
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
		return fd;
	code = errno;
	if (fd >= 0)
		close(fd);
	base_error_errno(err, BASE_ERROR_TEMPORARY, code, "cannot make shared counters");
	return -1;
}

int counters_create(uint32_t connections_max, int *out_fd, struct base_error *err)
{
	struct shared *shared;
	uint32_t slot_count = SLOTS_MIN;
	size_t size;
	int fd;

	while (slot_count < connections_max * 2 && slot_count < SLOTS_MAX)
		slot_count *= 2;
	size = sizeof(*shared) + slot_count * sizeof(struct slot);
	fd = make_memory(size, err);
	if (fd < 0)
		return err->class;
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		int code = errno;

		close(fd);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, code, "cannot map shared counters");
	}
	base_random_fill(&shared->seed, sizeof(shared->seed));
	munmap(shared, size);
	*out_fd = fd;
	return 0;
}

/* 0: no table has this size. */
static uint32_t slots_in(off_t size)
{
	size_t rest = size > (off_t)sizeof(struct shared) ? (size_t)size - sizeof(struct shared)
							  : 0;
	size_t count = rest / sizeof(struct slot);

	if (rest % sizeof(struct slot) || count < SLOTS_MIN || count > SLOTS_MAX ||
		(count & (count - 1)))
		return 0;
	return (uint32_t)count;
}

int counters_open(int fd, struct counters **out, struct base_error *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	uint32_t slot_count = slots_in(size);
	struct shared *shared;

	if (!slot_count)
		return base_error_set(err, BASE_ERROR_PEER, 0, "shared counters have a wrong size");
	shared = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot map shared counters");
	*out = base_alloc_zero(1, sizeof(**out));
	(*out)->shared = shared;
	(*out)->size = (size_t)size;
	(*out)->slot_count = slot_count;
	return 0;
}

void counters_close(struct counters **c)
{
	if (!*c)
		return;
	munmap((*c)->shared, (*c)->size);
	free(*c);
	*c = NULL;
}

static uint32_t home_of(const struct counters *c, const struct slot *slot)
{
	uint64_t a, b, h;

	memcpy(&a, slot->key, 8);
	memcpy(&b, slot->key + 8, 8);
	h = (a ^ c->shared->seed) * UINT64_C(0x9e3779b97f4a7c15);
	h = ((h ^ h >> 32) + b + slot->family) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(h ^ h >> 32) & (c->slot_count - 1);
}

static bool is_idle(const struct slot *slot)
{
	for (size_t i = 0; i < COUNTERS_FRONTS_MAX; i++)
		if (slot->counts[i])
			return false;
	return true;
}

/* The slot of the key in @probe, or the free one where it belongs. Null only when the table is full. */
static struct slot *find(struct counters *c, const struct slot *probe)
{
	uint32_t at = home_of(c, probe);

	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct slot *slot = &c->shared->slots[(at + i) & (c->slot_count - 1)];

		if (!slot->family)
			return slot;
		if (slot->family == probe->family && memcmp(slot->key, probe->key, 16) == 0)
			return slot;
	}
	return NULL;
}

/* Free the slot and close the gap that it leaves in the chains of others. */
static void drop(struct counters *c, struct slot *slot)
{
	struct slot *slots = c->shared->slots;
	uint32_t mask = c->slot_count - 1, gap = (uint32_t)(slot - slots);

	c->shared->used--;
	slots[gap].family = 0;
	for (uint32_t i = 1; i <= mask; i++) {
		uint32_t at = (uint32_t)(slot - slots + i) & mask;

		if (!slots[at].family)
			return;
		if (((at - home_of(c, &slots[at])) & mask) < ((at - gap) & mask))
			continue;
		slots[gap] = slots[at];
		slots[at].family = 0;
		gap = at;
	}
}

/* After a death inside the lock: take every slot out and put it back in. */
static void rebuild(struct counters *c)
{
	size_t bytes = c->slot_count * sizeof(struct slot);
	struct slot *old = base_alloc(bytes);

	memcpy(old, c->shared->slots, bytes);
	memset(c->shared->slots, 0, bytes);
	c->shared->used = 0;
	for (uint32_t i = 0; i < c->slot_count; i++) {
		struct slot *to;

		if (!old[i].family || is_idle(&old[i]))
			continue;
		to = find(c, &old[i]);
		if (to && !to->family) {
			*to = old[i];
			c->shared->used++;
		}
	}
	free(old);
}

static bool take(struct counters *c, uint32_t from, unsigned front)
{
	return atomic_compare_exchange_strong_explicit(
		&c->shared->lock, &from, front + 1, memory_order_acquire, memory_order_relaxed);
}

static bool steal(struct counters *c, unsigned front, int64_t now_ms)
{
	uint32_t holder = atomic_load_explicit(&c->shared->lock, memory_order_relaxed);

	if (c->stolen_ms && now_ms - c->stolen_ms < SUSPICION_MS) {
		log_write(LOG_LEVEL_ERROR,
			"the counters of connections stay locked; this front goes on "
			"without limits.connections and limits.per_ip (restart the server)");
		c->lost = true;
		return false;
	}
	if (!take(c, holder, front))
		return false;
	c->stolen_ms = now_ms;
	rebuild(c);
	return true;
}

/* False: nothing can be counted. */
static bool lock(struct counters *c, unsigned front)
{
	int64_t until_ms = 0, now_ms;

	for (unsigned tries = 0; !c->lost; tries++) {
		if (take(c, 0, front))
			return true;
		if (tries < 100)
			continue;
		now_ms = base_clock_monotonic_ms();
		if (until_ms && now_ms >= until_ms && steal(c, front, now_ms))
			return true;
		if (!until_ms || now_ms >= until_ms)
			until_ms = now_ms + PATIENCE_MS;
		usleep(50);
	}
	return false;
}

static void unlock(struct counters *c)
{
	atomic_store_explicit(&c->shared->lock, 0, memory_order_release);
}

static struct slot probe_of(const struct base_addr *client)
{
	struct base_addr key = base_addr_client_key(client);
	struct slot probe = {.family = (uint8_t)(key.family + 1)};

	memcpy(probe.key, key.bytes, sizeof(probe.key));
	return probe;
}

static uint32_t sum_of(const struct slot *slot)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < COUNTERS_FRONTS_MAX; i++)
		sum += slot->counts[i];
	return sum;
}

static uint32_t total_of(const struct shared *s)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < COUNTERS_FRONTS_MAX; i++)
		sum += s->totals[i];
	return sum;
}

enum counters_result counters_enter(struct counters *c, unsigned front,
	const struct base_addr *client, uint32_t per_ip_max, uint32_t total_max)
{
	struct slot probe = probe_of(client), *slot;
	enum counters_result result = COUNTERS_OK;

	BASE_BUG_IF(front >= COUNTERS_FRONTS_MAX);
	if (!lock(c, front))
		return COUNTERS_OK;
	slot = find(c, &probe);
	if (total_of(c->shared) >= total_max || !slot || c->shared->used + 1 >= c->slot_count) {
		result = COUNTERS_TOTAL;
	} else if (slot->family &&
		(sum_of(slot) >= per_ip_max || slot->counts[front] == UINT16_MAX)) {
		result = COUNTERS_PER_IP;
	} else {
		if (!slot->family) {
			*slot = probe;
			c->shared->used++;
		}
		slot->counts[front]++;
		c->shared->totals[front]++;
	}
	unlock(c);
	return result;
}

void counters_leave(struct counters *c, unsigned front, const struct base_addr *client)
{
	struct slot probe = probe_of(client), *slot;

	BASE_BUG_IF(front >= COUNTERS_FRONTS_MAX);
	if (!lock(c, front))
		return;
	slot = find(c, &probe);
	if (slot && slot->family && slot->counts[front]) {
		slot->counts[front]--;
		c->shared->totals[front]--;
		if (is_idle(slot))
			drop(c, slot);
	}
	unlock(c);
}

void counters_forget(struct counters *c, unsigned front)
{
	bool died;

	BASE_BUG_IF(front >= COUNTERS_FRONTS_MAX);
	/* This front's former life may have died with the lock. */
	died = take(c, front + 1, front);
	if (!died && !lock(c, front))
		return;
	if (died || c->shared->totals[front]) {
		for (uint32_t i = 0; i < c->slot_count; i++)
			if (c->shared->slots[i].counts[front])
				c->shared->slots[i].counts[front] = 0;
		c->shared->totals[front] = 0;
		rebuild(c);
	}
	unlock(c);
}

uint32_t counters_total(struct counters *c)
{
	return total_of(c->shared);
}
