/* front/pending.c: numbers for open questions
 * An id is generation * FRONT_PENDING_MAX + slot + 1, so it is never 0 and rarely comes again. */
#include "front/front.h"

uint32_t front_pending_add(struct front_pending *p, struct front_conn *c)
{
	for (uint32_t tries = 0; tries < FRONT_PENDING_MAX; tries++) {
		uint32_t slot = p->next++ % FRONT_PENDING_MAX;

		if (p->slots[slot])
			continue;
		p->slots[slot] = c;
		p->generations[slot] = (p->generations[slot] + 1) %
			(UINT32_MAX / FRONT_PENDING_MAX - 1);
		return p->generations[slot] * FRONT_PENDING_MAX + slot + 1;
	}
	return 0;
}

struct front_conn *front_pending_find(const struct front_pending *p, uint32_t id)
{
	uint32_t slot = (id - 1) % FRONT_PENDING_MAX;

	if (id == 0 || (id - 1) / FRONT_PENDING_MAX != p->generations[slot])
		return NULL;
	return p->slots[slot];
}

void front_pending_remove(struct front_pending *p, uint32_t id)
{
	if (front_pending_find(p, id))
		p->slots[(id - 1) % FRONT_PENDING_MAX] = NULL;
}
