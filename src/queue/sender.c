/* The sender table in memory, and what waits when it, or an account, changes. */
#include "queue/core_internal.h"

#include "route/sender_admin.h"

#include <stdlib.h>

void queue_senders_load(struct queue_core *c)
{
	struct route_sender_table *fresh;
	struct base_error err;

	if (route_sender_table_read(c->spool, &fresh, &err) != 0) {
		queue_error(c, "the sender table cannot be read", &err);
		if (c->senders)
			return;
		fresh = route_sender_table_new(NULL, 0);
	}
	route_sender_table_free(&c->senders);
	c->senders = fresh;
}

static void replan(struct queue_core *c, struct unit *u)
{
	struct message *m = u->m;

	queue_dest_detach(c, u);
	u->state = UNIT_NEW;
	queue_plan_unit(c, u);
	queue_place(c, m);
}

void queue_senders_replan(struct queue_core *c)
{
	struct unit **list = NULL;
	size_t count = 0, cap = 0;

	/* Planning moves units and destinations about, so they are listed first. */
	for (size_t i = 0; c->dests && i <= c->dest_mask; i++)
		for (struct dest *d = c->dests[i]; d; d = d->hash_next)
			for (struct unit *u = d->by_sender ? d->first : NULL; u;
				u = u->next_ready) {
				if (count == cap) {
					cap = cap ? cap * 2 : 64;
					list = base_realloc(list, cap * sizeof(struct unit *));
				}
				list[count++] = u;
			}
	for (size_t i = 0; i < count; i++)
		replan(c, list[i]);
	free(list);
}

/* ---- accounts ---- */

void queue_accounts_forget(struct queue_core *c)
{
	for (uint32_t i = 0; i < c->works_count && i < WORKS_MAX; i++)
		free(c->works[i]);
	c->works_count = 0;
}

void queue_core_account_works(struct queue_core *c, struct base_slice account)
{
	if (base_slice_has(account, '\0'))
		return;
	for (uint32_t i = 0; i < c->works_count && i < WORKS_MAX; i++)
		if (base_slice_equal_text(account, c->works[i]))
			return;
	if (c->works_count < WORKS_MAX)
		c->works[c->works_count++] = base_slice_dup(account);
	else
		c->works_count = WORKS_MAX + 1;
}

void queue_accounts_wake(struct queue_core *c)
{
	uint32_t count = c->works_count > WORKS_MAX ? 1 : c->works_count;
	struct base_slice account;
	struct base_error err;
	uint64_t woken, all = 0;
	int rc = spool_begin(c->spool, SPOOL_WRITE, &err);

	for (uint32_t i = 0; rc == 0 && i < count; i++) {
		account = base_slice_text(c->works_count > WORKS_MAX ? "" : c->works[i]);
		rc = spool_retry_flagged(
			c->spool, SPOOL_WORK_PAUSED, account, c->now_ms, &woken, &err);
		all += rc == 0 ? woken : 0;
	}
	if (rc == 0)
		rc = spool_commit(c->spool, &err);
	/* Not lost: it is due in its time all the same. */
	if (rc != 0) {
		spool_rollback(c->spool);
		queue_error(c, "mail of an account that works again waits for its time", &err);
	} else if (all) {
		queue_load_restart(c);
	}
	queue_accounts_forget(c);
}
