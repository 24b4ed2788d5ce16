/* The sender table in memory, and what waits when it changes. */
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
