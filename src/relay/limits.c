#include "relay/internal.h"

#include <string.h>

/* What an account allows: messages in a time, connections at once.
 *
 * The rate is a bucket that holds rate_count messages and fills up evenly in rate_s seconds. Its level is
 * counted in (ms * rate_count), so that a message costs rate_s * 1000 of it and a millisecond brings
 * rate_count, without fractions. A message is charged when it is let in and paid back when nothing of it
 * was sent. Those beyond the level go back to queue with the time when the next is due, one after the
 * other over the coming rate_s seconds, so that they do not all come back at once.
 *
 * After a refusal (pause, token) only one connection is opened; relay_account_works() lets the rest in. */

static int64_t cost(const struct relay_account *a)
{
	return (int64_t)a->rate_s * 1000;
}

static void refill(struct relay_account *a, const struct relay_now *now)
{
	int64_t full = cost(a) * a->rate_count, elapsed = now->mono_ms - a->level_ms;

	a->level_ms = now->mono_ms;
	if (elapsed >= cost(a) || a->level > full)
		a->level = full;
	else if (elapsed > 0)
		a->level += elapsed * a->rate_count;
	if (a->level > full)
		a->level = full;
}

/* When a message that is sent back now should come again, monotonic. */
static int64_t next_slot(struct relay_account *a, const struct relay_now *now)
{
	int64_t interval = cost(a) / a->rate_count;
	int64_t due = now->mono_ms + (cost(a) - a->level + a->rate_count - 1) / a->rate_count;
	int64_t slot = a->slot_ms + (interval ? interval : 1);

	if (slot < due || slot > now->mono_ms + cost(a))
		slot = due;
	a->slot_ms = slot;
	return slot;
}

static void put_reason(const struct relay_account *a, struct relay_failure *out)
{
	const char *unit = a->rate_s == 1 ? "second"
		: a->rate_s == 60         ? "minute"
		: a->rate_s == 3600       ? "hour"
		: a->rate_s == 86400      ? "day"
					  : NULL;
	char text[96];

	if (unit)
		(void)snprintf(text, sizeof(text), "the account's rate of %u/%s is used up",
			a->rate_count, unit);
	else
		(void)snprintf(text, sizeof(text),
			"the account's rate of %u in %u seconds is used up", a->rate_count,
			a->rate_s);
	relay_failure_set(out, JOB_DEFERRED, 451, "4.7.0", text);
}

void relay_limit_admit(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_account *a = d->account;
	struct relay_job **at = &d->first, *job;
	struct relay_failure f;

	if (!a->rate_count || !d->uncharged)
		return;
	refill(a, now);
	put_reason(a, &f);
	while ((job = *at)) {
		if (!job->charged && a->level < cost(a)) {
			relay_dest_remove(d, at);
			job->not_before_ms = now->wall_ms + next_slot(a, now) - now->mono_ms;
			relay_job_finish(d->core, job, NULL, &f);
			continue;
		}
		if (!job->charged) {
			job->charged = true;
			d->uncharged--;
			a->level -= cost(a);
		}
		at = &job->next;
	}
}

void relay_limit_refund(struct relay_job *job)
{
	struct relay_account *a = job->dest ? job->dest->account : NULL;

	if (a && job->charged && !job->started_ms)
		a->level += cost(a);
	job->charged = false;
}

/* connections */

bool relay_limit_has_room(const struct relay_dest *d)
{
	const struct relay_account *a = d->account;

	if (!a)
		return true;
	if (a->failures || a->token_refused)
		return a->conns == 0;
	return a->conns < a->conns_max;
}

bool relay_limit_is_wanted_elsewhere(const struct relay_dest *d)
{
	const struct relay_account *a = d->account;
	const struct relay_dest *other;
	size_t b;

	if (!a || a->dests < 2 || a->conns < a->conns_max)
		return false;
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (other = d->core->buckets[b]; other; other = other->next)
			if (other != d && other->account == a && other->waiting && !other->conns)
				return true;
	return false;
}

void relay_limit_make_room(struct relay_dest *d, const struct relay_now *now)
{
	struct relay_conn *conn, *idle = NULL;

	if (!d->account || d->account->dests < 2)
		return;
	for (conn = d->core->conns; conn; conn = conn->next) {
		if (conn->phase == RELAY_CONN_CLOSED || conn->dest->account != d->account)
			continue;
		if (conn->quitting)
			return; /* its place is free soon */
		if (conn->ready && conn->dest != d)
			idle = conn;
	}
	if (idle)
		relay_conn_quit(idle, now);
}
