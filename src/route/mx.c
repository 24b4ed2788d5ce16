#include "route/mx.h"

#include <string.h>

/* Question ids: 0 is MX; 1 + 2h and 2 + 2h are A and AAAA of host h.
 *
 *	begin -> [MX asked] -> hosts known -> addresses asked -> all answered -> READY or FAILED
 *
 * The best hosts by (preference, random key) are kept; all addresses are asked for at once, so a
 * delivery waits for the slowest of them, which the resolver bounds. */

enum { ID_MX = 0 };

static void fail(
	struct route_mx *m, bool permanent, uint16_t code, const char *enhanced, const char *reason)
{
	m->state = ROUTE_MX_FAILED;
	m->failure = (struct route_mx_failure){permanent, code, enhanced, reason};
}

/* SplitMix64: a stream of numbers from one. */
static uint64_t next_random(struct route_mx *m)
{
	uint64_t z = m->random += 0x9E3779B97F4A7C15u;

	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return z ^ (z >> 31);
}

static void copy_name(char to[ROUTE_DNS_NAME_MAX_BYTES], struct base_slice from)
{
	if (from.len >= ROUTE_DNS_NAME_MAX_BYTES)
		from.len = 0;
	if (from.len)
		memcpy(to, from.ptr, from.len);
	to[from.len] = '\0';
}

static bool reachable(const struct route_mx *m, const struct base_addr *addr)
{
	return m->allow_special || !base_addr_is_special(addr);
}

static void begin_address(struct route_mx *m, struct base_addr addr, struct base_slice name)
{
	base_addr_unmap(&addr);
	if (!reachable(m, &addr)) {
		fail(m, true, 550, "5.1.2", "mail for this address is not sent");
		return;
	}
	copy_name(m->hosts[0].name, name);
	addr.port = m->port;
	m->targets[0] = (struct route_mx_target){addr, m->hosts[0].name};
	m->target_count = 1;
	m->ttl_s = 3600;
	m->state = ROUTE_MX_READY;
}

/* As a host name of RFC 1123, and '_', which real names have. */
static bool name_valid(struct base_slice name)
{
	struct base_slice label;
	size_t i;

	if (!name.len || name.len >= ROUTE_DNS_NAME_MAX_BYTES || name.ptr[name.len - 1] == '.')
		return false;
	while (base_slice_split(&name, '.', &label)) {
		if (label.len < 1 || label.len > 63)
			return false;
		for (i = 0; i < label.len; i++)
			if (!base_ascii_is_alnum(label.ptr[i]) && label.ptr[i] != '-' &&
				label.ptr[i] != '_')
				return false;
	}
	return true;
}

/* The same name twice counts with its better preference. True: there is a better one already. */
static bool drop_worse(struct route_mx *m, const char *name, uint16_t preference)
{
	size_t i;

	for (i = 0; i < m->host_count; i++)
		if (base_slice_equal_text_nocase(base_slice_text(name), m->hosts[i].name))
			break;
	if (i == m->host_count)
		return false;
	if (m->hosts[i].preference <= preference)
		return true;
	m->host_count--;
	memmove(&m->hosts[i], &m->hosts[i + 1], (m->host_count - i) * sizeof(m->hosts[0]));
	return false;
}

static void add_host(struct route_mx *m, const char *name, uint16_t preference)
{
	struct route_mx_host host = {.preference = preference, .key = next_random(m)};
	size_t at;

	if (drop_worse(m, name, preference))
		return;
	at = m->host_count;
	copy_name(host.name, base_slice_text(name));
	while (at > 0 &&
		(m->hosts[at - 1].preference > preference ||
			(m->hosts[at - 1].preference == preference &&
				m->hosts[at - 1].key > host.key)))
		at--;
	if (at == ROUTE_MX_HOSTS_MAX)
		return;
	if (m->host_count < ROUTE_MX_HOSTS_MAX)
		m->host_count++;
	memmove(&m->hosts[at + 1], &m->hosts[at], (m->host_count - 1 - at) * sizeof(m->hosts[0]));
	m->hosts[at] = host;
}

void route_mx_begin(struct route_mx *m, const struct route_mx_options *options)
{
	struct base_slice name = options->destination;
	struct base_addr addr;

	memset(m, 0, sizeof(*m));
	m->allow_special = options->allow_special;
	m->ip6 = options->ip6;
	m->port = options->port;
	m->random = options->random;
	m->ttl_s = 3600;
	copy_name(m->own_name, options->own_name);
	if (base_addr_parse_literal(name, &addr) || base_addr_parse(name, &addr)) {
		begin_address(m, addr, name);
		return;
	}
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	if (!name_valid(name)) {
		fail(m, true, 550, "5.1.2", "the destination is no host name");
		return;
	}
	copy_name(m->destination, name);
	if (options->mx)
		m->mx_open = true;
	else
		add_host(m, m->destination, 0);
}

bool route_mx_next(struct route_mx *m, struct route_mx_question *out)
{
	unsigned id, last = (unsigned)(2 * m->host_count);

	if (m->state != ROUTE_MX_ASKING)
		return false;
	if (m->mx_open) {
		if (m->asked & 1u << ID_MX)
			return false;
		m->asked |= 1u << ID_MX;
		*out = (struct route_mx_question){ID_MX, ROUTE_DNS_MX, m->destination};
		return true;
	}
	for (id = 1; id <= last; id++) {
		bool six = id % 2 == 0;

		if (m->asked & 1u << id || (six && !m->ip6))
			continue;
		m->asked |= 1u << id;
		*out = (struct route_mx_question){
			id, six ? ROUTE_DNS_AAAA : ROUTE_DNS_A, m->hosts[(id - 1) / 2].name};
		return true;
	}
	return false;
}

/* The hosts of an MX answer. Those that are as good as we are, or worse, are left out. */
static void take_hosts(struct route_mx *m, const struct route_dns_answer *answer)
{
	uint32_t below = UINT32_MAX;
	bool null_mx = false, usable = false;
	size_t i;

	for (i = 0; i < answer->count; i++) {
		const struct route_dns_record *r = &answer->records[i];

		null_mx |= !r->bad_name && !r->name[0];
		usable |= !r->bad_name && r->name[0];
		if (m->own_name[0] && r->preference < below &&
			base_slice_equal_text_nocase(base_slice_text(r->name), m->own_name))
			below = r->preference;
	}
	for (i = 0; i < answer->count; i++) {
		const struct route_dns_record *r = &answer->records[i];

		if (!r->bad_name && r->name[0] && r->preference < below)
			add_host(m, r->name, r->preference);
	}
	if (m->host_count)
		return;
	if (usable)
		fail(m, true, 554, "5.4.6", "the best mail exchanger of the domain is this server");
	else if (null_mx)
		fail(m, true, 556, "5.1.10", "the domain takes no mail (null MX)");
	else
		fail(m, true, 550, "5.4.4", "the domain's mail exchangers have no usable names");
}

static void take_mx(struct route_mx *m, const struct route_dns_answer *answer)
{
	m->mx_open = false;
	switch (answer->status) {
	case ROUTE_DNS_FOUND:
		if (answer->ttl_s < m->ttl_s)
			m->ttl_s = answer->ttl_s;
		take_hosts(m, answer);
		return;
	case ROUTE_DNS_EMPTY:
		add_host(m, m->destination, 0);
		return;
	case ROUTE_DNS_NO_NAME:
		fail(m, true, 550, "5.1.2", "the domain does not exist");
		return;
	case ROUTE_DNS_FAILED:
		fail(m, false, 451, "4.4.3",
			"the domain's mail exchangers cannot be looked up now");
		return;
	case ROUTE_DNS_BOGUS:
		fail(m, false, 451, "4.4.3",
			"DNSSEC: the answer for the domain is forged or broken");
		return;
	}
}

static void add_addr(struct route_mx *m, struct route_mx_host *host, struct base_addr addr)
{
	size_t *count = addr.family == BASE_ADDR_IP4 ? &host->count : &host->count6;
	struct base_addr *list = host->addrs +
		(addr.family == BASE_ADDR_IP4 ? 0 : ROUTE_MX_PER_HOST_MAX);
	struct base_addr plain = addr;
	size_t at;

	base_addr_unmap(&plain);
	if (!reachable(m, &plain)) {
		host->had_special = true;
		return;
	}
	addr.port = m->port;
	for (at = 0; at < *count; at++)
		if (base_addr_equal(&list[at], &addr))
			return;
	if (*count < ROUTE_MX_PER_HOST_MAX) {
		at = next_random(m) % (*count + 1); /* shuffled in */
		list[*count] = list[at];
		list[at] = addr;
		(*count)++;
	}
}

static void take_addrs(struct route_mx *m, unsigned id, const struct route_dns_answer *answer)
{
	struct route_mx_host *host = &m->hosts[(id - 1) / 2];
	size_t i;

	if (answer->status == ROUTE_DNS_FAILED || answer->status == ROUTE_DNS_BOGUS)
		host->failed = true;
	if (answer->status != ROUTE_DNS_FOUND)
		return;
	if (answer->ttl_s < m->ttl_s)
		m->ttl_s = answer->ttl_s;
	for (i = 0; i < answer->count; i++)
		add_addr(m, host, answer->records[i].addr);
}

/* Alternate between the families, IPv6 first where it can be reached, so that one family that is
 * broken here does not use up all tries. */
static void add_targets(struct route_mx *m, struct route_mx_host *host)
{
	size_t i4 = 0, i6 = 0, taken = 0;
	bool six = true;

	while (taken < ROUTE_MX_PER_HOST_MAX && m->target_count < ROUTE_MX_TARGETS_MAX &&
		(i4 < host->count || i6 < host->count6)) {
		const struct base_addr *addr;

		if ((six && i6 < host->count6) || i4 == host->count)
			addr = &host->addrs[ROUTE_MX_PER_HOST_MAX + i6++];
		else
			addr = &host->addrs[i4++];
		six = !six;
		m->targets[m->target_count++] = (struct route_mx_target){*addr, host->name};
		taken++;
	}
}

static void conclude(struct route_mx *m)
{
	bool failed = false, special = false;
	size_t i;

	for (i = 0; i < m->host_count; i++) {
		add_targets(m, &m->hosts[i]);
		failed |= m->hosts[i].failed;
		special |= m->hosts[i].had_special;
	}
	if (m->target_count)
		m->state = ROUTE_MX_READY;
	else if (failed)
		fail(m, false, 451, "4.4.3",
			"the mail exchangers' addresses cannot be looked up now");
	else if (special)
		fail(m, true, 550, "5.4.4",
			"the mail exchangers have loopback or private addresses only");
	else
		fail(m, true, 550, "5.4.4", "no mail exchanger of the domain has an address");
}

void route_mx_answer(struct route_mx *m, unsigned id, const struct route_dns_answer *answer)
{
	unsigned bit = 1u << id, wanted = 0, h;

	if (m->state != ROUTE_MX_ASKING || id > 2 * ROUTE_MX_HOSTS_MAX || !(m->asked & bit) ||
		(m->answered & bit))
		return;
	m->answered |= bit;
	if (id == ID_MX) {
		take_mx(m, answer);
		return;
	}
	take_addrs(m, id, answer);
	for (h = 0; h < m->host_count; h++)
		wanted |= (m->ip6 ? 6u : 2u) << 2 * h;
	if ((m->answered & wanted) == wanted)
		conclude(m);
}
