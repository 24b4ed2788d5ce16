/* Supervision as a machine.
 *
 *   DOWN --SPAWN/spawned--> STARTING --said_ready--> UP --DRAIN--> LEAVING --exited--> GONE
 *    ^                          |                    |
 *    +-------- exited ----------+--------------------+        (phase before the role's own)
 *
 * DOWN      due_ms says when to start; the first start after a proven life is due at once
 * STARTING  has its peers' sockets already: what peers send waits in them
 * LEAVING   KILL follows when the phase's time is over
 * GONE      in or after the role's phase of the shutdown; or one of more than are wanted, which comes
 *           back to DOWN when it is wanted again
 *
 * The phases' limits add up to less than the ten seconds in which the server has to end. */
#include "master/core.h"

#include <string.h>

enum { KILL_AFTER_MS = 250, SURPLUS_LIMIT_MS = 1000 };

struct phase_rule {
	unsigned roles;
	uint32_t limit_ms;
};

static const struct phase_rule phases[MASTER_PHASE_COUNT] = {
	[MASTER_PHASE_FRONTS] = {IPC_FROM(FRONT), 5000},
	[MASTER_PHASE_RELAYS] = {IPC_FROM(RELAY) | IPC_FROM(DELIVER), 1500},
	[MASTER_PHASE_REST] = {IPC_FROM(QUEUE) | IPC_FROM(AUTH) | IPC_FROM(WORKER) |
			IPC_FROM(PROVIDER) | IPC_FROM(FETCH),
		1000},
	[MASTER_PHASE_JOURNAL] = {IPC_FROM(JOURNAL), 750},
};

/* Who meets whom by a pair of the master's making; front and auth meet when front asks. */
static const unsigned meets[IPC_ROLE_COUNT] = {
	[IPC_FRONT] = IPC_FROM(QUEUE) | IPC_FROM(RELAY) | IPC_FROM(JOURNAL),
	[IPC_AUTH] = IPC_FROM(WORKER) | IPC_FROM(PROVIDER) | IPC_FROM(FETCH) | IPC_FROM(RELAY) |
		IPC_FROM(JOURNAL),
	[IPC_WORKER] = IPC_FROM(AUTH) | IPC_FROM(JOURNAL),
	[IPC_PROVIDER] = IPC_FROM(AUTH) | IPC_FROM(JOURNAL),
	[IPC_FETCH] = IPC_FROM(AUTH) | IPC_FROM(JOURNAL),
	[IPC_QUEUE] = IPC_FROM(FRONT) | IPC_FROM(RELAY) | IPC_FROM(DELIVER) | IPC_FROM(JOURNAL),
	[IPC_RELAY] = IPC_FROM(FRONT) | IPC_FROM(QUEUE) | IPC_FROM(AUTH) | IPC_FROM(JOURNAL),
	[IPC_DELIVER] = IPC_FROM(QUEUE) | IPC_FROM(JOURNAL),
	[IPC_JOURNAL] = IPC_ROLES & ~IPC_FROM(JOURNAL),
};

void master_core_init(struct master_core *core)
{
	memset(core, 0, sizeof(*core));
}

void master_core_add(struct master_core *core, enum ipc_role role, unsigned count, int64_t now_ms)
{
	for (unsigned i = 0; i < count && core->count < MASTER_CHILDREN_MAX; i++)
		core->children[core->count++] = (struct master_child){
			.role = role, .index = i, .due_ms = now_ms};
}

static bool phase_passed(const struct master_core *core, enum ipc_role role);

static void is_surplus(struct master_core *core, unsigned i, int64_t now_ms)
{
	struct master_child *c = &core->children[i];

	c->surplus = true;
	if (c->state == MASTER_CHILD_DOWN) {
		c->state = MASTER_CHILD_GONE;
	} else if (c->state == MASTER_CHILD_STARTING || c->state == MASTER_CHILD_UP) {
		c->drain_due = true;
		c->leave_by_ms = now_ms + SURPLUS_LIMIT_MS + KILL_AFTER_MS;
	}
}

static void is_wanted(struct master_core *core, unsigned i, int64_t now_ms)
{
	struct master_child *c = &core->children[i];

	c->surplus = false;
	if (c->state != MASTER_CHILD_LEAVING) {
		c->drain_due = false;
		c->leave_by_ms = 0;
	}
	if (c->state == MASTER_CHILD_GONE) {
		c->state = MASTER_CHILD_DOWN;
		c->due_ms = now_ms;
		c->failures = 0;
	}
}

void master_core_want(struct master_core *core, enum ipc_role role, unsigned count, int64_t now_ms)
{
	unsigned have = 0;

	if (phase_passed(core, role))
		return;
	for (unsigned i = 0; i < core->count; i++) {
		if (core->children[i].role != role)
			continue;
		have++;
		if (core->children[i].index >= count)
			is_surplus(core, i, now_ms);
		else
			is_wanted(core, i, now_ms);
	}
	for (; have < count && core->count < MASTER_CHILDREN_MAX; have++)
		core->children[core->count++] = (struct master_child){
			.role = role, .index = have, .due_ms = now_ms};
}

unsigned master_core_find(const struct master_core *core, enum ipc_role role, unsigned index)
{
	unsigned i;

	for (i = 0; i < core->count; i++) {
		if (core->children[i].role == role && core->children[i].index == index)
			break;
	}
	return i;
}

bool master_core_alive(const struct master_core *core, unsigned child)
{
	enum master_child_state state = core->children[child].state;

	return state == MASTER_CHILD_STARTING || state == MASTER_CHILD_UP ||
		state == MASTER_CHILD_LEAVING;
}

static bool *due(struct master_core *core, unsigned a, unsigned b)
{
	return a < b ? &core->peer_due[a][b] : &core->peer_due[b][a];
}

static uint32_t *generation(struct master_core *core, unsigned a, unsigned b)
{
	return a < b ? &core->generations[a][b] : &core->generations[b][a];
}

static bool are_peers(const struct master_core *core, unsigned a, unsigned b)
{
	return meets[core->children[a].role] & (1u << core->children[b].role);
}

/* The roles that the shutdown has reached by now. */
static unsigned leaving_roles(const struct master_core *core)
{
	unsigned roles = 0;

	for (unsigned p = MASTER_PHASE_FRONTS; p <= (unsigned)core->phase; p++)
		roles |= phases[p].roles;
	return roles;
}

static bool phase_passed(const struct master_core *core, enum ipc_role role)
{
	return leaving_roles(core) & (1u << role);
}

void master_core_spawned(struct master_core *core, unsigned child, int64_t now_ms)
{
	struct master_child *c = &core->children[child];

	BASE_BUG_IF(c->state != MASTER_CHILD_DOWN);
	c->state = MASTER_CHILD_STARTING;
	c->started_ms = now_ms;
	for (unsigned i = 0; i < core->count; i++) {
		if (i != child && are_peers(core, child, i))
			*due(core, child, i) = true;
	}
}

void master_core_said_ready(struct master_core *core, unsigned child)
{
	struct master_child *c = &core->children[child];

	if (c->state == MASTER_CHILD_STARTING)
		c->state = MASTER_CHILD_UP;
}

static int64_t backoff_ms(unsigned failures)
{
	int64_t ms = 50;

	if (failures <= 1)
		return 0;
	for (unsigned i = 2; i < failures && ms < MASTER_BACKOFF_MAX_MS; i++)
		ms *= 2;
	return ms < MASTER_BACKOFF_MAX_MS ? ms : MASTER_BACKOFF_MAX_MS;
}

void master_core_exited(struct master_core *core, unsigned child, int64_t now_ms)
{
	struct master_child *c = &core->children[child];

	if (c->state == MASTER_CHILD_UP && now_ms - c->started_ms >= MASTER_PROVEN_MS)
		c->failures = 0;
	c->failures++;
	c->drain_due = c->kill_due = c->killed = false;
	c->leave_by_ms = 0;
	for (unsigned i = 0; i < core->count; i++) {
		if (i != child)
			*due(core, child, i) = false;
	}
	if (c->surplus || phase_passed(core, c->role)) {
		c->state = MASTER_CHILD_GONE;
		return;
	}
	c->state = MASTER_CHILD_DOWN;
	c->due_ms = now_ms + backoff_ms(c->failures);
}

void master_core_want_peer(struct master_core *core, unsigned child, enum ipc_role role,
	unsigned index, uint32_t lost_generation)
{
	unsigned other = master_core_find(core, role, index);

	if (other == core->count || other == child || !are_peers(core, child, other))
		return;
	if (*generation(core, child, other) == lost_generation)
		*due(core, child, other) = true;
}

static void enter_phase(struct master_core *core, enum master_phase phase, int64_t now_ms)
{
	const struct phase_rule *rule = &phases[phase];

	core->phase = phase;
	core->deadline_ms = now_ms + rule->limit_ms + KILL_AFTER_MS;
	for (unsigned i = 0; i < core->count; i++) {
		struct master_child *c = &core->children[i];

		if (!(rule->roles & (1u << c->role)))
			continue;
		if (!master_core_alive(core, i))
			c->state = MASTER_CHILD_GONE;
		else
			c->drain_due = true;
	}
}

void master_core_stop(struct master_core *core, int64_t now_ms)
{
	if (core->phase == MASTER_PHASE_RUN)
		enter_phase(core, MASTER_PHASE_FRONTS, now_ms);
}

static bool phase_is_over(const struct master_core *core)
{
	for (unsigned i = 0; i < core->count; i++) {
		if ((phases[core->phase].roles & (1u << core->children[i].role)) &&
			core->children[i].state != MASTER_CHILD_GONE)
			return false;
	}
	return true;
}

static void step_phase(struct master_core *core, int64_t now_ms)
{
	while (core->phase != MASTER_PHASE_RUN && core->phase != MASTER_PHASE_OVER &&
		phase_is_over(core))
		enter_phase(core, (enum master_phase)(core->phase + 1), now_ms);
	if (core->phase == MASTER_PHASE_RUN || core->phase == MASTER_PHASE_OVER ||
		now_ms < core->deadline_ms)
		return;
	for (unsigned i = 0; i < core->count; i++) {
		struct master_child *c = &core->children[i];

		if ((phases[core->phase].roles & (1u << c->role)) && master_core_alive(core, i) &&
			!c->killed)
			c->kill_due = true;
	}
}

static void step_surplus(struct master_core *core, int64_t now_ms)
{
	for (unsigned i = 0; i < core->count; i++) {
		struct master_child *c = &core->children[i];

		if (c->state == MASTER_CHILD_LEAVING && c->leave_by_ms &&
			now_ms >= c->leave_by_ms && !c->killed)
			c->kill_due = true;
	}
}

static bool next_child_effect(
	struct master_core *core, unsigned i, int64_t now_ms, struct master_effect *out)
{
	struct master_child *c = &core->children[i];

	*out = (struct master_effect){.a = i};
	if (c->state == MASTER_CHILD_DOWN && now_ms >= c->due_ms) {
		out->kind = MASTER_SPAWN;
		return true;
	}
	if (c->kill_due) {
		c->kill_due = false;
		c->killed = true;
		out->kind = MASTER_KILL;
		return true;
	}
	if (c->drain_due) {
		c->drain_due = false;
		c->state = MASTER_CHILD_LEAVING;
		out->kind = MASTER_DRAIN;
		out->limit_ms = core->phase == MASTER_PHASE_RUN ? SURPLUS_LIMIT_MS
								: phases[core->phase].limit_ms;
		return true;
	}
	return false;
}

static bool next_peer(struct master_core *core, struct master_effect *out)
{
	for (unsigned a = 0; a < core->count; a++) {
		if (!master_core_alive(core, a))
			continue;
		for (unsigned b = a + 1; b < core->count; b++) {
			if (!core->peer_due[a][b] || !master_core_alive(core, b))
				continue;
			core->peer_due[a][b] = false;
			core->generations[a][b] = ++core->generation;
			*out = (struct master_effect){.kind = MASTER_PEER,
				.a = a,
				.b = b,
				.generation = core->generation};
			return true;
		}
	}
	return false;
}

/* What one source of users, or no HTTPS, cannot do is no reason to keep out all others. */
static bool may_be_late(const struct master_child *c)
{
	return c->role == IPC_PROVIDER || c->role == IPC_FETCH;
}

/* When no more patience is due to one that may be late and is not up; else it never was wanted. */
static int64_t patience_ends_ms(const struct master_child *c)
{
	return c->failures ? 0 : (c->started_ms ? c->started_ms : c->due_ms) + MASTER_PATIENCE_MS;
}

static bool all_up(const struct master_core *core, int64_t now_ms)
{
	for (unsigned i = 0; i < core->count; i++) {
		const struct master_child *c = &core->children[i];

		if (c->state == MASTER_CHILD_UP || c->surplus)
			continue;
		if (!may_be_late(c) || now_ms < patience_ends_ms(c))
			return false;
	}
	return true;
}

bool master_core_next(struct master_core *core, int64_t now_ms, struct master_effect *out)
{
	step_phase(core, now_ms);
	step_surplus(core, now_ms);
	for (unsigned i = 0; i < core->count; i++) {
		if (next_child_effect(core, i, now_ms, out))
			return true;
	}
	if (next_peer(core, out))
		return true;
	if (!core->announced && core->phase == MASTER_PHASE_RUN && all_up(core, now_ms)) {
		core->announced = true;
		*out = (struct master_effect){.kind = MASTER_READY};
		return true;
	}
	if (core->phase == MASTER_PHASE_OVER && !core->ended) {
		core->ended = true;
		*out = (struct master_effect){.kind = MASTER_END};
		return true;
	}
	return false;
}

int64_t master_core_wait_ms(const struct master_core *core, int64_t now_ms)
{
	int64_t first = INT64_MAX;

	if (core->phase != MASTER_PHASE_RUN && core->phase != MASTER_PHASE_OVER &&
		core->deadline_ms > now_ms)
		first = core->deadline_ms;
	for (unsigned i = 0; i < core->count; i++) {
		const struct master_child *c = &core->children[i];

		if (c->state == MASTER_CHILD_DOWN && c->due_ms < first)
			first = c->due_ms;
		if (c->state == MASTER_CHILD_LEAVING && c->leave_by_ms && !c->killed &&
			c->leave_by_ms < first)
			first = c->leave_by_ms;
		if (!core->announced && may_be_late(c) && c->state == MASTER_CHILD_STARTING &&
			patience_ends_ms(c) > now_ms && patience_ends_ms(c) < first)
			first = patience_ends_ms(c);
	}
	if (first == INT64_MAX)
		return -1;
	return first > now_ms ? first - now_ms : 0;
}
