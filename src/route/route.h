/* route/route.h: which route section a recipient takes
 * Job      match addresses against the titles of the route sections: "user@dom" beats "dom" beats
 *          ".suffix" (the longest) beats "*"; among equal titles the first in the file
 * Not      what the section says (the caller knows it by its number), MX and DNS (route/mx.h)
 * Trust    addresses are strangers' bytes; titles are the administrator's
 * Memory   a table copies the titles; look-ups allocate nothing and cost one hash per label
 * Case     ASCII letters are alike, in the local part too: two mailboxes that differ by case only
 *          cannot be routed apart */
#ifndef ROUTE_ROUTE_H
#define ROUTE_ROUTE_H

#include "base/slice.h"

#define ROUTE_NONE SIZE_MAX

struct route_table;

/* @titles in the order of the file. */
struct route_table *route_table_new(const struct base_slice *titles, size_t count);
void route_table_free(struct route_table **table);

/* The number of the section for @address ("local@domain"; without an @ the domain is @default_domain).
 * ROUTE_NONE: no section takes it. */
size_t route_find(const struct route_table *table, struct base_slice address,
	struct base_slice default_domain);

/* The domain of an address: behind its last @, or @default_domain; a dot at the end is left out. */
struct base_slice route_domain(struct base_slice address, struct base_slice default_domain);

/* A hash of what makes two deliveries one destination, over any number of parts. Begin with 0. Letter
 * case of ASCII counts as equal. Never gives 0. */
uint64_t route_hash(uint64_t before, struct base_slice part);

#endif
