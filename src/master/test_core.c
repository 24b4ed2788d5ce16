/* The master's decisions, and a simulation in which children die at any time. */
#include "master/core.h"

#include "base/test_support.h"

#include <stdio.h>

struct sim {
	struct master_core core;
	int64_t now;
	unsigned spawned[MASTER_CHILDREN_MAX], drained[MASTER_CHILDREN_MAX],
		killed[MASTER_CHILDREN_MAX];
	unsigned peers, ready, ended;
	struct master_effect last_peer;
};

static void run(struct sim *s)
{
	struct master_effect e;

	while (master_core_next(&s->core, s->now, &e)) {
		switch (e.kind) {
		case MASTER_SPAWN:
			s->spawned[e.a]++;
			master_core_spawned(&s->core, e.a, s->now);
			break;
		case MASTER_PEER:
			assert_true(e.a < e.b);
			assert_true(master_core_alive(&s->core, e.a));
			assert_true(master_core_alive(&s->core, e.b));
			s->peers++;
			s->last_peer = e;
			break;
		case MASTER_READY:
			s->ready++;
			break;
		case MASTER_DRAIN:
			s->drained[e.a]++;
			break;
		case MASTER_KILL:
			s->killed[e.a]++;
			break;
		case MASTER_END:
			s->ended++;
			break;
		}
	}
}

static void begin(struct sim *s)
{
	memset(s, 0, sizeof(*s));
	s->now = 1000000;
	master_core_init(&s->core);
	master_core_add(&s->core, IPC_JOURNAL, 1, s->now);
	master_core_add(&s->core, IPC_AUTH, 1, s->now);
	master_core_add(&s->core, IPC_WORKER, 2, s->now);
	master_core_add(&s->core, IPC_FETCH, 1, s->now);
	master_core_add(&s->core, IPC_QUEUE, 1, s->now);
	master_core_add(&s->core, IPC_RELAY, 1, s->now);
	master_core_add(&s->core, IPC_DELIVER, 1, s->now);
	master_core_add(&s->core, IPC_FRONT, 2, s->now);
	run(s);
}

static void all_ready(struct sim *s)
{
	for (unsigned i = 0; i < s->core.count; i++)
		master_core_said_ready(&s->core, i);
	run(s);
}

static unsigned find(struct sim *s, enum ipc_role role)
{
	unsigned i = master_core_find(&s->core, role, 0);

	assert_true(i < s->core.count);
	return i;
}

static struct sim sim;

static void test_start(void **state)
{
	struct sim *s = &sim;

	begin(s);
	for (unsigned i = 0; i < s->core.count; i++)
		assert_int_equal(s->spawned[i], 1);
	/* journal with 9; auth with 2 workers, fetch and relay; queue with 2 fronts, relay, deliver;
	 * relay with 2 fronts */
	assert_int_equal(s->peers, 9 + 4 + 4 + 2);
	assert_int_equal(s->ready, 0);
	for (unsigned i = 0; i + 1 < s->core.count; i++)
		master_core_said_ready(&s->core, i);
	run(s);
	assert_int_equal(s->ready, 0);
	all_ready(s);
	assert_int_equal(s->ready, 1);
	assert_int_equal(master_core_wait_ms(&s->core, s->now), -1);
}

static void test_restart_at_once(void **state)
{
	struct sim *s = &sim;
	unsigned queue;

	begin(s);
	all_ready(s);
	queue = find(s, IPC_QUEUE);
	s->now += MASTER_PROVEN_MS;
	s->peers = 0;
	master_core_exited(&s->core, queue, s->now);
	run(s);
	assert_int_equal(s->spawned[queue], 2);
	assert_int_equal(s->peers, 5);
	/* Up again: not announced twice. */
	master_core_said_ready(&s->core, queue);
	run(s);
	assert_int_equal(s->ready, 1);
}

static void test_backoff(void **state)
{
	static const int64_t waits[] = {0, 50, 100, 200, 400, 800, 1000, 1000, 1000};
	struct sim *s = &sim;
	unsigned auth;

	begin(s);
	auth = find(s, IPC_AUTH);
	master_core_said_ready(&s->core, find(s, IPC_FETCH));
	for (size_t i = 0; i < BASE_COUNT(waits); i++) {
		master_core_exited(&s->core, auth, s->now);
		assert_int_equal(master_core_wait_ms(&s->core, s->now), waits[i]);
		s->now += waits[i] - 1;
		if (waits[i])
			run(s);
		assert_int_equal(s->spawned[auth], 1 + i);
		s->now++;
		run(s);
		assert_int_equal(s->spawned[auth], 2 + i);
	}
	/* A proven life forgives. */
	master_core_said_ready(&s->core, auth);
	s->now += MASTER_PROVEN_MS;
	master_core_exited(&s->core, auth, s->now);
	assert_int_equal(master_core_wait_ms(&s->core, s->now), 0);
}

static void test_want_peer(void **state)
{
	struct sim *s = &sim;
	unsigned front, queue;
	uint32_t generation;

	begin(s);
	all_ready(s);
	front = find(s, IPC_FRONT);
	queue = find(s, IPC_QUEUE);
	generation = s->core.generations[queue][front];
	s->peers = 0;
	/* Both sides ask; one pair is made. */
	master_core_want_peer(&s->core, front, IPC_QUEUE, 0, generation);
	run(s);
	master_core_want_peer(&s->core, queue, IPC_FRONT, 0, generation);
	run(s);
	assert_int_equal(s->peers, 1);
	assert_int_equal(s->last_peer.a, queue);
	assert_int_equal(s->last_peer.b, front);
	/* Not peers, not there. */
	master_core_want_peer(&s->core, front, IPC_AUTH, 0, 0);
	master_core_want_peer(&s->core, front, IPC_QUEUE, 7, 0);
	master_core_want_peer(&s->core, front, IPC_WORKER, 0, 0);
	master_core_want_peer(&s->core, front, IPC_FETCH, 0, 0);
	run(s);
	assert_int_equal(s->peers, 1);
}

/* fetch talks to auth and the journal, and to nobody else. */
static void test_fetch(void **state)
{
	struct sim *s = &sim;
	unsigned fetch, auth;

	begin(s);
	all_ready(s);
	fetch = find(s, IPC_FETCH);
	auth = find(s, IPC_AUTH);
	s->peers = 0;
	master_core_exited(&s->core, fetch, s->now);
	run(s);
	assert_int_equal(s->spawned[fetch], 2);
	assert_int_equal(s->peers, 2);
	s->peers = 0;
	master_core_want_peer(&s->core, fetch, IPC_QUEUE, 0, 0);
	master_core_want_peer(&s->core, fetch, IPC_RELAY, 0, 0);
	run(s);
	assert_int_equal(s->peers, 0);
	master_core_want_peer(&s->core, auth, IPC_FETCH, 0, s->core.generations[auth][fetch]);
	run(s);
	assert_int_equal(s->peers, 1);
	/* It leaves with auth, when no session and no delivery is left. */
	master_core_stop(&s->core, s->now);
	run(s);
	assert_int_equal(s->drained[fetch], 0);
	for (unsigned i = 0; i < s->core.count; i++)
		if (s->core.children[i].role == IPC_FRONT)
			master_core_exited(&s->core, i, s->now);
	run(s);
	assert_int_equal(s->drained[fetch], 0);
	master_core_exited(&s->core, find(s, IPC_RELAY), s->now);
	master_core_exited(&s->core, find(s, IPC_DELIVER), s->now);
	run(s);
	assert_int_equal(s->drained[fetch], 1);
	assert_int_equal(s->drained[auth], 1);
}

/* Mail comes and goes without HTTPS. */
static void test_ready_without_fetch(void **state)
{
	struct sim *s = &sim;
	unsigned fetch;

	begin(s);
	fetch = find(s, IPC_FETCH);
	for (unsigned i = 0; i < s->core.count; i++)
		if (i != fetch)
			master_core_said_ready(&s->core, i);
	run(s);
	assert_int_equal(s->ready, 0);
	assert_int_equal(master_core_wait_ms(&s->core, s->now), MASTER_PATIENCE_MS);
	s->now += MASTER_PATIENCE_MS;
	run(s);
	assert_int_equal(s->ready, 1);
}

static void exit_drained(struct sim *s)
{
	for (unsigned i = 0; i < s->core.count; i++) {
		if (s->core.children[i].state == MASTER_CHILD_LEAVING)
			master_core_exited(&s->core, i, s->now);
	}
	run(s);
}

static enum master_child_state provider_state(struct sim *s, unsigned index)
{
	return s->core.children[master_core_find(&s->core, IPC_PROVIDER, index)].state;
}

static void test_want(void **state)
{
	struct sim *s = &sim;
	unsigned first;

	begin(s);
	all_ready(s);
	master_core_want(&s->core, IPC_PROVIDER, 4, s->now);
	run(s);
	first = find(s, IPC_PROVIDER);
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(s->spawned[first + i], 1);
		master_core_said_ready(&s->core, first + i);
	}
	master_core_want(&s->core, IPC_PROVIDER, 1, s->now);
	run(s);
	assert_int_equal(s->drained[first], 0);
	assert_int_equal(s->drained[first + 1], 1);
	assert_int_equal(provider_state(s, 1), MASTER_CHILD_LEAVING);
	master_core_exited(&s->core, first + 1, s->now);
	master_core_exited(&s->core, first + 2, s->now);
	run(s);
	assert_int_equal(provider_state(s, 1), MASTER_CHILD_GONE);
	assert_int_equal(s->spawned[first + 1], 1);
	/* One that hangs is killed. */
	assert_int_equal(s->killed[first + 3], 0);
	assert_true(master_core_wait_ms(&s->core, s->now) > 0);
	s->now += master_core_wait_ms(&s->core, s->now);
	run(s);
	assert_int_equal(s->killed[first + 3], 1);
	/* Wanted again while the last one still is there: it comes back once it ended. */
	master_core_want(&s->core, IPC_PROVIDER, 4, s->now);
	run(s);
	assert_int_equal(s->spawned[first + 1], 2);
	assert_int_equal(s->spawned[first + 3], 1);
	master_core_exited(&s->core, first + 3, s->now);
	s->now += MASTER_BACKOFF_MAX_MS;
	run(s);
	assert_int_equal(s->spawned[first + 3], 2);
	assert_int_equal(s->ready, 1);
}

static void test_ready_without_a_provider(void **state)
{
	struct sim *s = &sim;
	unsigned first;

	begin(s);
	master_core_want(&s->core, IPC_PROVIDER, 2, s->now);
	run(s);
	first = find(s, IPC_PROVIDER);
	for (unsigned i = 0; i < s->core.count; i++)
		if (s->core.children[i].role != IPC_PROVIDER)
			master_core_said_ready(&s->core, i);
	run(s);
	assert_int_equal(s->ready, 0);
	/* One dies, the other hangs. */
	master_core_exited(&s->core, first, s->now);
	run(s);
	assert_int_equal(s->ready, 0);
	for (unsigned i = 0; i < 10 && !s->ready; i++) {
		int64_t wait = master_core_wait_ms(&s->core, s->now);

		assert_true(wait >= 0);
		s->now += wait;
		run(s);
	}
	assert_int_equal(s->ready, 1);
}

static void test_stop(void **state)
{
	struct sim *s = &sim;

	begin(s);
	all_ready(s);
	master_core_stop(&s->core, s->now);
	run(s);
	assert_int_equal(s->drained[find(s, IPC_FRONT)], 1);
	assert_int_equal(s->drained[find(s, IPC_RELAY)], 0);
	/* Behind the sessions everything is kept alive. */
	master_core_exited(&s->core, find(s, IPC_QUEUE), s->now);
	run(s);
	assert_int_equal(s->spawned[find(s, IPC_QUEUE)], 2);
	exit_drained(s);
	assert_int_equal(s->drained[find(s, IPC_RELAY)], 1);
	assert_int_equal(s->drained[find(s, IPC_DELIVER)], 1);
	assert_int_equal(s->drained[find(s, IPC_QUEUE)], 0);
	exit_drained(s);
	assert_int_equal(s->drained[find(s, IPC_QUEUE)], 1);
	assert_int_equal(s->drained[find(s, IPC_JOURNAL)], 0);
	exit_drained(s);
	assert_int_equal(s->drained[find(s, IPC_JOURNAL)], 1);
	assert_int_equal(s->ended, 0);
	exit_drained(s);
	assert_int_equal(s->ended, 1);
	for (unsigned i = 0; i < s->core.count; i++)
		assert_int_equal(s->killed[i], 0);
}

/* Children that never end by themselves. */
static void test_stop_hanging(void **state)
{
	struct sim *s = &sim;
	int64_t start;

	begin(s);
	all_ready(s);
	start = s->now;
	master_core_stop(&s->core, s->now);
	while (!s->ended && s->now - start < 20000) {
		run(s);
		for (unsigned i = 0; i < s->core.count; i++) {
			if (s->killed[i] && master_core_alive(&s->core, i))
				master_core_exited(&s->core, i, s->now);
		}
		run(s);
		s->now += 10;
	}
	assert_true(s->now - start < 10000);
	for (unsigned i = 0; i < s->core.count; i++)
		assert_int_equal(s->killed[i], 1);
}

static uint32_t seed;

static unsigned dice(unsigned sides)
{
	seed = seed * 1664525 + 1013904223;
	return (seed >> 8) % sides;
}

/* Deaths, readiness and hangs at random: the server is announced at most once, nobody waits longer than
 * the back-off, and a stop always ends in time. */
static void test_random(void **state)
{
	struct sim *s = &sim;
	int64_t stopped;

	for (seed = 1; seed < 300000; seed += 1000) {
		bool hangs = seed % 3 == 0;

		begin(s);
		stopped = 0;
		for (int step = 0; step < 3000 && !s->ended; step++) {
			unsigned child = dice(s->core.count);

			if (dice(4) == 0)
				master_core_said_ready(&s->core, child);
			if (dice(hangs ? 40 : 10) == 0 && master_core_alive(&s->core, child))
				master_core_exited(&s->core, child, s->now);
			if (s->killed[child] && master_core_alive(&s->core, child))
				master_core_exited(&s->core, child, s->now);
			if (step == 1000) {
				master_core_stop(&s->core, s->now);
				stopped = s->now;
			}
			run(s);
			if (step < 1000)
				assert_true(master_core_wait_ms(&s->core, s->now) <=
					(s->ready ? MASTER_BACKOFF_MAX_MS : MASTER_PATIENCE_MS));
			s->now += dice(20);
		}
		assert_true(s->ended == 1);
		assert_true(s->now - stopped < 10000);
		assert_true(s->ready <= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_restart_at_once),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_want_peer),
		cmocka_unit_test(test_fetch),
		cmocka_unit_test(test_ready_without_fetch),
		cmocka_unit_test(test_want),
		cmocka_unit_test(test_ready_without_a_provider),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_stop_hanging),
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
