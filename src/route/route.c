/* Titles stand in an open hash table of twice their number, rounded up to a power of two. An address
 * is looked up as a whole, then its domain, then each ".suffix" of it, then "*". */
#include "route/route.h"

#include "base/macros.h"

#include <stdlib.h>
#include <string.h>

struct slot {
	char *title; /* lower case; null: free */
	size_t len;
	size_t number;
};

struct route_table {
	struct slot *slots;
	size_t mask;
};

uint64_t route_hash(uint64_t before, struct base_slice part)
{
	uint64_t h = before ? before : 0xcbf29ce484222325u;

	for (size_t i = 0; i < part.len; i++)
		h = (h ^ base_ascii_lower(part.ptr[i])) * 0x100000001b3u;
	/* The end of a part counts: "a" "bc" is not "ab" "c". */
	h = (h ^ 0x100) * 0x100000001b3u;
	h ^= h >> 29;
	return h ? h : 1;
}

static struct slot *find_slot(const struct route_table *t, struct base_slice title)
{
	size_t at = (size_t)route_hash(0, title) & t->mask;

	while (t->slots[at].title &&
		!base_slice_equal_nocase(
			base_slice_make(t->slots[at].title, t->slots[at].len), title))
		at = (at + 1) & t->mask;
	return &t->slots[at];
}

struct route_table *route_table_new(const struct base_slice *titles, size_t count)
{
	struct route_table *t = base_alloc_zero(1, sizeof(*t));
	size_t size = 4;
	struct slot *slot;

	while (size < count * 2 + 1)
		size *= 2;
	t->mask = size - 1;
	t->slots = base_alloc_zero(size, sizeof(*t->slots));
	for (size_t i = 0; i < count; i++) {
		slot = find_slot(t, titles[i]);
		if (slot->title)
			continue;
		slot->title = base_alloc(titles[i].len + 1);
		if (titles[i].len)
			memcpy(slot->title, titles[i].ptr, titles[i].len);
		slot->title[titles[i].len] = '\0';
		slot->len = titles[i].len;
		slot->number = i;
	}
	return t;
}

void route_table_free(struct route_table **tp)
{
	struct route_table *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	for (size_t i = 0; i <= t->mask; i++)
		free(t->slots[i].title);
	free(t->slots);
	free(t);
}

struct base_slice route_domain(struct base_slice address, struct base_slice default_domain)
{
	size_t at = base_slice_find_last(address, '@');
	struct base_slice domain = at < address.len ? base_slice_from(address, at + 1)
						    : default_domain;

	if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	return domain;
}

static size_t number_of(const struct route_table *t, struct base_slice title)
{
	const struct slot *slot = find_slot(t, title);

	return slot->title ? slot->number : ROUTE_NONE;
}

size_t route_find(
	const struct route_table *t, struct base_slice address, struct base_slice default_domain)
{
	struct base_slice domain = route_domain(address, default_domain), suffix;
	size_t found = number_of(t, address), dot;

	if (address.len && address.ptr[address.len - 1] == '.')
		found = number_of(t, base_slice_first(address, address.len - 1));
	/* A bare word is a domain's title, not an address. */
	if (!base_slice_has(address, '@'))
		found = ROUTE_NONE;
	if (found == ROUTE_NONE && domain.len)
		found = number_of(t, domain);
	suffix = domain;
	while (found == ROUTE_NONE && (dot = base_slice_find(suffix, '.')) < suffix.len) {
		suffix = base_slice_from(suffix, dot);
		found = number_of(t, suffix);
		suffix = base_slice_from(suffix, 1);
	}
	return found == ROUTE_NONE ? number_of(t, BASE_SLICE("*")) : found;
}
