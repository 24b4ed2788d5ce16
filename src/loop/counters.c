/* loop/counters.c: the table in shared memory
 *
 * struct shared, then `slot_count` slots. A slot belongs to one client key while any of its counts is
 * not zero; keys are found by linear probing from a hash under a random seed, and a freed slot moves
 * its followers back, so probing never meets tombstones. All of it only under the mutex. A front that
 * died while it held the mutex may have left a half-done move: the next one rebuilds the table. */
#include "loop/counters.h"

#include "base/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct slot {
	uint8_t key[16];
	uint8_t family;			/* 0: free */
	uint16_t counts[COUNTERS_FRONTS_MAX];
};

struct shared {
	pthread_mutex_t mutex;
	uint64_t seed;
	uint32_t slot_count;		/* a power of two, at least twice the clients at once */
	uint32_t used;
	uint32_t totals[COUNTERS_FRONTS_MAX];
	struct slot slots[];
};

struct counters {
	struct shared *shared;
	size_t size;
};

int counters_create(uint32_t connections_max, int *out_fd, struct base_error *err)
{
	pthread_mutexattr_t attr;
	struct shared *shared;
	uint32_t slot_count = 1024;
	size_t size;
	int fd;

	while (slot_count < connections_max * 2 && slot_count < 1u << 24)
		slot_count *= 2;
	size = sizeof(*shared) + slot_count * sizeof(struct slot);
	fd = memfd_create("postern-counters", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) != 0) {
		int code = errno;

		if (fd >= 0)
			close(fd);
		return base_error_errno(err, BASE_ERROR_TEMPORARY, code, "cannot make shared counters");
	}
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED) {
		int code = errno;

		close(fd);
		return base_error_errno(err, BASE_ERROR_TEMPORARY, code, "cannot map shared counters");
	}
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&shared->mutex, &attr);
	pthread_mutexattr_destroy(&attr);
	base_random_fill(&shared->seed, sizeof(shared->seed));
	shared->slot_count = slot_count;
	munmap(shared, size);
	*out_fd = fd;
	return 0;
}

int counters_open(int fd, struct counters **out, struct base_error *err)
{
	off_t size = lseek(fd, 0, SEEK_END);
	struct shared *shared;

	if (size < (off_t)sizeof(*shared))
		return base_error_set(err, BASE_ERROR_PEER, 0, "shared counters are too short");
	shared = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (shared == MAP_FAILED)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot map shared counters");
	if (sizeof(*shared) + shared->slot_count * sizeof(struct slot) != (size_t)size) {
		munmap(shared, (size_t)size);
		return base_error_set(err, BASE_ERROR_PEER, 0, "shared counters have a wrong size");
	}
	*out = base_alloc(sizeof(**out));
	(*out)->shared = shared;
	(*out)->size = (size_t)size;
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

static uint32_t home_of(const struct shared *s, const struct slot *slot)
{
	uint64_t a, b, h;

	memcpy(&a, slot->key, 8);
	memcpy(&b, slot->key + 8, 8);
	h = (a ^ s->seed) * UINT64_C(0x9e3779b97f4a7c15);
	h = ((h ^ h >> 32) + b + slot->family) * UINT64_C(0xd6e8feb86659fd93);
	return (uint32_t)(h ^ h >> 32) & (s->slot_count - 1);
}

static bool is_idle(const struct slot *slot)
{
	for (size_t i = 0; i < COUNTERS_FRONTS_MAX; i++)
		if (slot->counts[i])
			return false;
	return true;
}

/* The slot of the key in @probe, or the free one where it belongs. Null only when the table is full. */
static struct slot *find(struct shared *s, const struct slot *probe)
{
	uint32_t at = home_of(s, probe);

	for (uint32_t i = 0; i < s->slot_count; i++) {
		struct slot *slot = &s->slots[(at + i) & (s->slot_count - 1)];

		if (!slot->family)
			return slot;
		if (slot->family == probe->family && memcmp(slot->key, probe->key, 16) == 0)
			return slot;
	}
	return NULL;
}

/* Free the slot and close the gap that it leaves in the chains of others. */
static void drop(struct shared *s, struct slot *slot)
{
	uint32_t mask = s->slot_count - 1;
	uint32_t gap = (uint32_t)(slot - s->slots), at = gap;

	s->used--;
	for (;;) {
		uint32_t home;

		s->slots[gap].family = 0;
		do {
			at = (at + 1) & mask;
			if (!s->slots[at].family)
				return;
			home = home_of(s, &s->slots[at]);
		} while (((at - home) & mask) < ((at - gap) & mask));
		s->slots[gap] = s->slots[at];
		gap = at;
	}
}

/* After a death inside the lock: take every slot out and put it back in. */
static void rebuild(struct shared *s)
{
	size_t bytes = s->slot_count * sizeof(struct slot);
	struct slot *old = base_alloc(bytes);

	memcpy(old, s->slots, bytes);
	memset(s->slots, 0, bytes);
	s->used = 0;
	for (uint32_t i = 0; i < s->slot_count; i++) {
		struct slot *to;

		if (!old[i].family || is_idle(&old[i]))
			continue;
		to = find(s, &old[i]);
		if (to && !to->family) {
			*to = old[i];
			s->used++;
		}
	}
	free(old);
}

static void lock(struct counters *c)
{
	int rc = pthread_mutex_lock(&c->shared->mutex);

	if (rc == EOWNERDEAD) {
		pthread_mutex_consistent(&c->shared->mutex);
		rebuild(c->shared);
		rc = 0;
	}
	BASE_BUG_IF(rc != 0);
}

static void unlock(struct counters *c)
{
	pthread_mutex_unlock(&c->shared->mutex);
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

enum counters_result counters_enter(struct counters *c, unsigned front, const struct base_addr *client,
	uint32_t per_ip_max, uint32_t total_max)
{
	struct slot probe = probe_of(client), *slot;
	enum counters_result result = COUNTERS_OK;

	BASE_BUG_IF(front >= COUNTERS_FRONTS_MAX);
	lock(c);
	slot = find(c->shared, &probe);
	if (total_of(c->shared) >= total_max || !slot || c->shared->used + 1 >= c->shared->slot_count) {
		result = COUNTERS_TOTAL;
	} else if (slot->family && (sum_of(slot) >= per_ip_max || slot->counts[front] == UINT16_MAX)) {
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
	lock(c);
	slot = find(c->shared, &probe);
	if (slot && slot->family && slot->counts[front]) {
		slot->counts[front]--;
		c->shared->totals[front]--;
		if (is_idle(slot))
			drop(c->shared, slot);
	}
	unlock(c);
}

void counters_forget(struct counters *c, unsigned front)
{
	BASE_BUG_IF(front >= COUNTERS_FRONTS_MAX);
	lock(c);
	if (c->shared->totals[front]) {
		for (uint32_t i = 0; i < c->shared->slot_count; i++)
			if (c->shared->slots[i].counts[front])
				c->shared->slots[i].counts[front] = 0;
		c->shared->totals[front] = 0;
		rebuild(c->shared);
	}
	unlock(c);
}

uint32_t counters_total(struct counters *c)
{
	uint32_t total;

	lock(c);
	total = total_of(c->shared);
	unlock(c);
	return total;
}
