#include "relay/internal.h"

#include "route/route.h"

#include <stdlib.h>
#include <string.h>

/* Destinations.
 *
 *	jobs arrive -> dispatch: an idle connection takes the next one
 *	            -> may_open: resolve if the targets are not known (any more), then connect
 *	connection READY -> it takes jobs until none waits
 *	target failed    -> the next target at once; after the last one: while no other connection
 *	                    lives, all that wait get the failure, and a back-off begins
 *
 * Growth: a second connection only after RELAY_GROWTH_MESSAGES deliveries while jobs were waiting,
 * a third after twice as many; trouble (421, a refused further connection) starts the count again. */

enum { BACKOFF_FIRST_MS = 1000, BACKOFF_MAX_MS = 30 * 1000, GROWTH_PAUSE_MS = 60 * 1000 };

void relay_failure_set(struct relay_failure *f, enum job_outcome outcome, uint16_t code,
	const char *enhanced, const char *reason)
{
	*f = (struct relay_failure){.outcome = outcome, .code = code};
	(void)snprintf(f->enhanced, sizeof(f->enhanced), "%s", enhanced);
	(void)snprintf(f->reason, sizeof(f->reason), "%s", reason);
}

static enum conf_tls_policy policy_of(const struct job *job)
{
	if (job->account.len)
		return CONF_POLICY_VERIFY;
	if (job->tls != CONF_POLICY_UNSET)
		return job->tls;
	return job->via == CONF_VIA_SMTPS ? CONF_POLICY_VERIFY : CONF_POLICY_MAY;
}

static uint64_t hash_of(const struct job *job, enum conf_tls_policy tls)
{
	uint8_t small[4] = {
		(uint8_t)job->via, (uint8_t)tls, (uint8_t)(job->port >> 8), (uint8_t)job->port};
	uint64_t h = route_hash(0, base_slice_make(small, sizeof(small)));

	h = route_hash(h, job->host);
	h = route_hash(h, job->path);
	return route_hash(h, job->account);
}

static bool is_same(const struct relay_dest *d, const struct job *job, enum conf_tls_policy tls)
{
	return d->via == job->via && d->tls == tls && d->port == job->port &&
		base_slice_equal_text_nocase(job->host, d->host) &&
		base_slice_equal_text(job->path, d->path) &&
		base_slice_equal_text(job->account, d->account ? d->account->name : "");
}

static struct relay_dest *dest_new(struct relay_core *core, const struct job *job)
{
	struct relay_dest *d = base_alloc_zero(1, sizeof(*d));

	d->core = core;
	d->id = ++core->dest_ids;
	d->via = job->via;
	d->tls = policy_of(job);
	d->port = job->port;
	d->host = base_slice_dup(job->host);
	d->path = base_slice_dup(job->path);
	d->last = &d->first;
	if (job->host.len || job->via == CONF_VIA_ACCOUNT)
		d->mx = base_alloc_zero(1, sizeof(*d->mx));
	return d;
}

struct relay_dest *relay_dest_get(struct relay_core *core, const struct job *job)
{
	enum conf_tls_policy tls = policy_of(job);
	uint64_t hash = hash_of(job, tls);
	struct relay_dest *d, **bucket = &core->buckets[hash % RELAY_BUCKETS];
	struct relay_account *account = NULL;

	for (d = *bucket; d; d = d->next)
		if (d->hash == hash && is_same(d, job, tls))
			return d;
	if (job->account.len) {
		account = relay_account_get(core, job->account);
		if (!account)
			return NULL;
		account->dests++;
	}
	d = dest_new(core, job);
	d->hash = hash;
	d->account = account;
	d->next = *bucket;
	*bucket = d;
	return d;
}

void relay_dest_free(struct relay_dest *d)
{
	if (d->account)
		d->account->dests--;
	free(d->host);
	free(d->path);
	free(d->mx);
	free(d);
}

static void count_waiting(struct relay_dest *d, const struct relay_job *job, bool more)
{
	uint32_t one = more ? 1 : UINT32_MAX; /* that is -1 */

	d->waiting += one;
	d->core->waiting_count += one;
	if (!job->charged)
		d->uncharged += one;
}

void relay_dest_push(struct relay_dest *d, struct relay_job *job, bool front)
{
	job->dest = d;
	if (front) {
		job->next = d->first;
		if (!d->first)
			d->last = &job->next;
		d->first = job;
	} else {
		job->next = NULL;
		*d->last = job;
		d->last = &job->next;
	}
	count_waiting(d, job, true);
}

void relay_dest_remove(struct relay_dest *d, struct relay_job **at)
{
	struct relay_job *job = *at;

	*at = job->next;
	if (!*at)
		d->last = at;
	job->next = NULL;
	count_waiting(d, job, false);
}

struct relay_job *relay_dest_pop(struct relay_dest *d)
{
	struct relay_job *job = d->first;

	if (job)
		relay_dest_remove(d, &d->first);
	return job;
}

/* opening */

static uint32_t conns_allowed(const struct relay_dest *d, const struct relay_now *now)
{
	uint32_t allowed = 1 + d->delivered / RELAY_GROWTH_MESSAGES;

	if (now->mono_ms < d->growth_from_ms)
		allowed = 1;
	return allowed < RELAY_CONNS_PER_DEST_MAX ? allowed : RELAY_CONNS_PER_DEST_MAX;
}

static bool may_open(const struct relay_dest *d, const struct relay_now *now)
{
	return !d->core->draining && d->waiting > d->connecting && !d->resolving &&
		d->conns < conns_allowed(d, now) && d->core->conn_count < RELAY_CONNS_MAX &&
		now->mono_ms >= d->backoff_until_ms;
}

static void ask(struct relay_dest *d)
{
	struct relay_effect e = {
		.kind = RELAY_ASK, .dest = d, .dest_id = d->id, .hosts = d->via != CONF_VIA_MX};

	while (route_mx_next(d->mx, &e.question))
		relay_effect_add(d->core, &e);
}

static void resolved(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_failure f;

	d->resolving = false;
	d->target = 0;
	if (d->mx->state == ROUTE_MX_READY) {
		int64_t ttl_ms = (int64_t)d->mx->ttl_s * 1000;

		d->resolved = true;
		d->resolved_until_ms = now->mono_ms + (ttl_ms < 5000 ? 5000 : ttl_ms);
		return;
	}
	relay_failure_set(&f, d->mx->failure.permanent ? JOB_FAILED : JOB_DEFERRED,
		d->mx->failure.code, d->mx->failure.enhanced, d->mx->failure.reason);
	/* The administrator named the host: a typing error must not lose mail. */
	if (d->via != CONF_VIA_MX && f.outcome == JOB_FAILED)
		relay_failure_set(
			&f, JOB_DEFERRED, 451, "4.4.4", "the host of the route has no address");
	relay_dest_trouble(d, &f, now);
	relay_dest_give_up(d, &f, 0);
}

/* Whose addresses are needed, and at which port. */
static void resolve(struct relay_dest *d, const struct relay_now *now)
{
	const struct relay_options *o = &d->core->options;
	const struct relay_account *a = d->via == CONF_VIA_ACCOUNT ? d->account : NULL;
	struct route_mx_options options = {
		.destination = base_slice_text(a ? a->host : d->host),
		.own_name = o->own_name,
		.mx = d->via == CONF_VIA_MX,
		.allow_special = d->via != CONF_VIA_MX || o->allow_special,
		.ip6 = o->ip6,
		.port = a                       ? a->port
			: d->via != CONF_VIA_MX ? d->port
			: o->mx_port            ? o->mx_port
						: 25,
		.random = now->random,
	};

	d->generation = d->account ? d->account->generation : 0;
	d->resolved = false;
	d->resolving = true;
	route_mx_begin(d->mx, &options);
	if (d->mx->state == ROUTE_MX_ASKING)
		ask(d);
	else
		resolved(d, now);
}

static struct relay_dest *dest_by_id(struct relay_core *core, uint32_t id)
{
	struct relay_dest *d;
	size_t b;

	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (d->id == id)
				return d;
	return NULL;
}

void relay_core_answer(struct relay_core *core, uint32_t dest_id, unsigned question,
	const struct route_dns_answer *answer, const struct relay_now *now)
{
	struct relay_dest *d = dest_by_id(core, dest_id);

	if (!d || !d->resolving)
		return;
	route_mx_answer(d->mx, question, answer);
	if (d->mx->state == ROUTE_MX_ASKING) {
		ask(d);
		return;
	}
	resolved(d, now);
	relay_dest_dispatch(d, now);
}

static void open_next(struct relay_dest *d, const struct relay_now *now)
{
	bool moved = d->account && d->generation != d->account->generation;

	if (!d->mx) {
		(void)relay_conn_open(d, NULL, "", now);
		return;
	}
	if (!d->resolved || moved || now->mono_ms >= d->resolved_until_ms ||
		d->target >= d->mx->target_count)
		resolve(d, now);
	if (d->resolved)
		(void)relay_conn_open(
			d, &d->mx->targets[d->target].addr, d->mx->targets[d->target].host, now);
}

/* May the account's mail go out now? What may not is given back. */
static bool account_serves(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_account *a = d->account;
	struct relay_failure f;
	int64_t until;

	if (relay_account_is_paused(a, now, &f, &until)) {
		relay_dest_give_up(d, &f, until);
		return false;
	}
	switch (relay_account_look(d->core, a, now, &f)) {
	case RELAY_ACCOUNT_UNKNOWN:
		return false;
	case RELAY_ACCOUNT_MISSING:
		relay_dest_give_up(d, &f, now->wall_ms + a->state_until_ms - now->mono_ms);
		return false;
	case RELAY_ACCOUNT_KNOWN:
		relay_limit_admit(d, now);
		return d->first != NULL;
	}
	return false;
}

void relay_dest_dispatch(struct relay_dest *d, const struct relay_now *now)
{
	if (!d->first)
		return;
	d->used_ms = now->mono_ms;
	if (d->account && !account_serves(d, now))
		return;
	while (d->first && d->idle)
		relay_conn_start(d->idle, relay_dest_pop(d), now);
	while (may_open(d, now)) {
		uint32_t before = d->conns;

		if (!relay_limit_has_room(d)) {
			if (!d->conns)
				relay_limit_make_room(d, now);
			break;
		}
		open_next(d, now);
		if (d->conns == before)
			break;
	}
}

/* failing */

void relay_dest_give_up(
	struct relay_dest *d, const struct relay_failure *failure, int64_t not_before_ms)
{
	struct relay_job *job;

	while ((job = relay_dest_pop(d))) {
		job->not_before_ms = not_before_ms;
		relay_job_finish(d->core, job, NULL, failure);
	}
}

void relay_dest_trouble(
	struct relay_dest *d, const struct relay_failure *failure, const struct relay_now *now)
{
	int64_t wait_ms = BACKOFF_FIRST_MS;
	uint32_t i;

	for (i = 0; i < d->failures && wait_ms < BACKOFF_MAX_MS; i++)
		wait_ms *= 2;
	d->failure = *failure;
	d->failures++;
	d->delivered = 0;
	d->growth_from_ms = now->mono_ms + GROWTH_PAUSE_MS;
	d->backoff_until_ms = now->mono_ms + (wait_ms < BACKOFF_MAX_MS ? wait_ms : BACKOFF_MAX_MS);
}

void relay_dest_target_failed(
	struct relay_dest *d, const struct relay_failure *failure, const struct relay_now *now)
{
	int64_t wait_ms;

	d->target++;
	if (d->mx && d->target < d->mx->target_count) {
		relay_dest_dispatch(d, now);
		return;
	}
	d->resolved = false;
	d->target = 0;
	if (d->conns) { /* others work: only no more of them for now */
		d->delivered = 0;
		d->growth_from_ms = now->mono_ms + GROWTH_PAUSE_MS;
		return;
	}
	relay_dest_trouble(d, failure, now);
	wait_ms = d->backoff_until_ms - now->mono_ms;
	relay_dest_give_up(d, failure, now->wall_ms + wait_ms);
}

static void set_slow(struct relay_failure *f)
{
	relay_failure_set(f, JOB_DEFERRED, 451, "4.4.5",
		"the destination is slow, and others wait before this one");
}

bool relay_dest_is_slow(
	const struct relay_dest *d, const struct relay_now *now, struct relay_failure *out_failure)
{
	if (d->idle || now->mono_ms >= d->slow_until_ms || !relay_core_is_crowded(d->core))
		return false;
	set_slow(out_failure);
	return true;
}

/* Jobs that wait long at a destination that gets nowhere go back, so that they do not use up what
 * queue may have outstanding: all but a few, and where many destinations are like that, all. The
 * connection stays: a server that greets late has the next try in its favour. */
static void check_stall(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_failure f;
	struct relay_job *kept[RELAY_STALL_KEEP];
	size_t count = 0, keep = relay_core_is_crowded(d->core) ? 0 : RELAY_STALL_KEEP;

	if (d->waiting <= keep || now->mono_ms - d->progress_ms < RELAY_STALL_MS ||
		now->mono_ms - d->first->arrived_ms < RELAY_STALL_MS)
		return;
	set_slow(&f);
	if (!keep)
		d->slow_until_ms = now->mono_ms + RELAY_STALL_PAUSE_MS;
	while (count < keep)
		kept[count++] = relay_dest_pop(d);
	relay_dest_give_up(d, &f, now->wall_ms + RELAY_STALL_PAUSE_MS);
	while (count)
		relay_dest_push(d, kept[--count], true);
}

/* auth is away: nobody knows for how long. */
static void check_account(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_failure f;

	if (!d->account || (d->account->state == RELAY_ACCOUNT_KNOWN && !d->account->unsure) ||
		now->mono_ms - d->first->arrived_ms < RELAY_ACCOUNT_WAIT_MS)
		return;
	relay_failure_set(&f, JOB_HELD, 0, "4.7.0", "the account's data are not available now");
	relay_dest_give_up(d, &f, now->wall_ms + RELAY_ACCOUNT_WAIT_MS);
}

void relay_dest_tick(struct relay_dest *d, const struct relay_now *now)
{
	if (!d->first)
		return;
	check_stall(d, now);
	if (d->first)
		check_account(d, now);
	relay_dest_dispatch(d, now);
}
