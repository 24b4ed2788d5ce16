#include "loop/hosts.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRIES_MAX = 100000, TTL_S = 3600 };

struct entry {
	struct base_addr addr;
	char *name;
};

struct hosts {
	struct entry *entries;
	size_t count;
};

static void add(struct hosts *h, const struct base_addr *addr, struct base_slice name)
{
	if (h->count == ENTRIES_MAX || name.len >= ROUTE_DNS_NAME_MAX_BYTES ||
		base_slice_has(name, 0))
		return;
	if ((h->count & (h->count + 1)) == 0) /* 0, 1, 3, 7, …: room for twice as many and one */
		h->entries = base_realloc(h->entries, (2 * h->count + 1) * sizeof(h->entries[0]));
	h->entries[h->count++] = (struct entry){*addr, base_slice_dup(name)};
}

static void add_line(struct hosts *h, struct base_slice line)
{
	struct base_slice rest = base_slice_first(line, base_slice_find(line, '#')), name;
	struct base_addr addr;

	if (!base_addr_parse(base_slice_word(&rest), &addr))
		return;
	while ((name = base_slice_word(&rest)).len)
		add(h, &addr, name);
}

struct hosts *hosts_new(struct base_slice text)
{
	struct hosts *h = base_alloc_zero(1, sizeof(*h));
	struct base_slice line;

	while (base_slice_split(&text, '\n', &line))
		add_line(h, line);
	add_line(h, BASE_SLICE("127.0.0.1 localhost"));
	return h;
}

void hosts_free(struct hosts **hosts)
{
	struct hosts *h = *hosts;
	size_t i;

	if (!h)
		return;
	for (i = 0; i < h->count; i++)
		free(h->entries[i].name);
	free(h->entries);
	free(h);
	*hosts = NULL;
}

bool hosts_find(const struct hosts *h, const char *name, enum route_dns_type type,
	struct route_dns_answer *out)
{
	enum base_addr_family family = type == ROUTE_DNS_A ? BASE_ADDR_IP4 : BASE_ADDR_IP6;
	struct base_slice wanted = base_slice_text(name);
	bool found = false;
	size_t i;

	route_dns_answer_set(out, ROUTE_DNS_EMPTY);
	out->ttl_s = TTL_S;
	for (i = 0; i < h->count && out->count < ROUTE_DNS_RECORDS_MAX; i++) {
		const struct entry *e = &h->entries[i];

		if (!base_slice_equal_text_nocase(wanted, e->name))
			continue;
		found = true;
		if (e->addr.family != family)
			continue;
		out->records[out->count] = (struct route_dns_record){.addr = e->addr};
		out->count++;
		out->status = ROUTE_DNS_FOUND;
	}
	return found;
}
