/* The sender table in memory, and what waits when it changes. */
#include "queue/core_internal.h"

#include "spool/sender.h"

#include <stdlib.h>

struct lines {
	struct route_sender *items;
	size_t count, cap;
};

static void on_line(void *arg, const struct spool_sender *line)
{
	struct lines *l = arg;

	if (base_slice_has(line->line, '\0') || base_slice_has(line->account, '\0'))
		return;
	if (l->count == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->items = base_realloc(l->items, l->cap * sizeof(*l->items));
	}
	l->items[l->count].line = base_slice_text(base_slice_dup(line->line));
	l->items[l->count++].account = base_slice_text(base_slice_dup(line->account));
}

void queue_senders_load(struct queue_core *c)
{
	struct lines l = {0};
	struct base_error err;
	int rc = spool_sender_each(c->spool, on_line, &l, &err);

	if (rc != 0)
		queue_error(c, "the sender table cannot be read", &err);
	if (rc == 0 || !c->senders) {
		route_sender_table_free(&c->senders);
		c->senders = route_sender_table_new(l.items, rc == 0 ? l.count : 0);
	}
	for (size_t i = 0; i < l.count; i++) {
		free((void *)(uintptr_t)l.items[i].line.ptr);
		free((void *)(uintptr_t)l.items[i].account.ptr);
	}
	free(l.items);
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
