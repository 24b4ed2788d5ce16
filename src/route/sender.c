/* Lines stand in an open hash table by their one spelling. A look-up makes the spellings that could win,
 * in their order, from the sender's, and asks for each; beginnings are tried only at lengths at which the
 * table has one. */
#include "route/sender.h"

#include "base/host.h"
#include "base/utf8.h"
#include "route/route.h"

#include <stdlib.h>
#include <string.h>

enum { LOCAL_MAX_BYTES = ROUTE_SENDER_LINE_MAX_BYTES };

struct slot {
	char *line; /* null: free */
	char *account;
	uint64_t hash;
};

struct route_sender_table {
	struct slot *slots;
	size_t mask;
	/* Lengths of local parts before their "*". */
	bool beginnings[LOCAL_MAX_BYTES];
	size_t longest_beginning;
};

/* ---- judging a line ---- */

/* Atoms with dots, "quoted", or UTF-8; no check for length, which the whole line has. */
static bool local_good(struct base_slice local)
{
	bool quoted = local.len > 1 && local.ptr[0] == '"' && local.ptr[local.len - 1] == '"';
	struct base_slice inside = quoted ? base_slice_make(local.ptr + 1, local.len - 2) : local;
	bool escaped = false;

	for (size_t k = 0; k < inside.len; k++) {
		uint8_t c = inside.ptr[k];

		if (c < 0x20 || c == 0x7f)
			return false;
		if (quoted ? c == '"' && !escaped : strchr(" \"(),:;<>@[\\]", c) != NULL)
			return false;
		escaped = quoted && c == '\\' && !escaped;
	}
	return local.len > 0 && !escaped && base_utf8_valid(local);
}

static bool domain_good(struct base_slice domain)
{
	struct base_addr literal;

	return base_host_name_valid(domain, false, true) ||
		base_addr_parse_literal(domain, &literal);
}

static const char *judge_local(struct base_slice local, enum route_sender_kind *out_kind)
{
	size_t star = base_slice_find(local, '*');
	bool quoted = local.len && local.ptr[0] == '"';

	*out_kind = ROUTE_SENDER_ADDRESS;
	if (!local_good(local))
		return "is no address: write user@example.org";
	if (quoted || star == local.len)
		return NULL;
	if (star + 1 != local.len)
		return "has its * in the wrong place: it may stand once, at the end of the local "
		       "part, as in anna+*@example.org";
	*out_kind = ROUTE_SENDER_BEGINNING;
	return NULL;
}

static const char *judge_domain(struct base_slice domain, bool local, enum route_sender_kind *kind)
{
	bool below = !local && domain.len > 1 && domain.ptr[0] == '.';

	if (!local)
		*kind = below ? ROUTE_SENDER_SUBDOMAINS : ROUTE_SENDER_DOMAIN;
	if (base_slice_has(domain, '*'))
		return "has its * in the domain: write @.example.org for all domains below one";
	if (local && domain.len && domain.ptr[0] == '.')
		return "has a local part before a suffix: write @.example.org for all domains "
		       "below one";
	if (!domain_good(below ? base_slice_from(domain, 1) : domain))
		return "names no domain behind its @: write user@example.org or @example.org";
	return NULL;
}

static const char *judge(
	struct base_slice text, struct base_slice *out, enum route_sender_kind *out_kind)
{
	size_t at = base_slice_find_last(text, '@');
	struct base_slice local = base_slice_first(text, at), domain;
	const char *why = NULL;

	*out = text;
	*out_kind = ROUTE_SENDER_ANY;
	if (base_slice_equal_text(text, "*"))
		return NULL;
	*out_kind = ROUTE_SENDER_NULL;
	if (base_slice_equal_text(text, "<>"))
		return NULL;
	if (text.len == 0)
		return "is empty: write <> for the null sender, * for everybody";
	if (text.ptr[0] == '<')
		return "stands in < >: write the address alone";
	if (at == text.len)
		return "has no @: write user@example.org, or @example.org for a whole domain";
	if (base_slice_equal_text(local, "*"))
		local.len = 0;
	domain = base_slice_from(text, at + 1);
	if (domain.len > 1 && domain.ptr[domain.len - 1] == '.')
		domain.len--;
	if (local.len)
		why = judge_local(local, out_kind);
	if (!why)
		why = judge_domain(domain, local.len > 0, out_kind);
	if (local.len + 1 + domain.len > ROUTE_SENDER_LINE_MAX_BYTES)
		why = "is longer than an address can be";
	/* From the local part (left out where it is "*" alone) to the end of the domain. */
	out->ptr = text.ptr + at - local.len;
	out->len = local.len + 1 + domain.len;
	return why;
}

bool route_sender_parse(struct base_slice text, char out[ROUTE_SENDER_LINE_MAX_BYTES + 1],
	enum route_sender_kind *out_kind, const char **out_why)
{
	enum route_sender_kind kind;
	struct base_slice line;
	const char *why = judge(text, &line, &kind);

	if (why) {
		*out_why = why;
		return false;
	}
	for (size_t k = 0; k < line.len; k++)
		out[k] = (char)base_ascii_lower(line.ptr[k]);
	out[line.len] = '\0';
	*out_kind = kind;
	return true;
}

bool route_sender_account_valid(struct base_slice name)
{
	for (size_t k = 0; k < name.len; k++)
		if (name.ptr[k] <= 0x20 || name.ptr[k] == 0x7f)
			return false;
	return name.len > 0 && name.len <= ROUTE_SENDER_ACCOUNT_MAX_BYTES && base_utf8_valid(name);
}

/* ---- the table ---- */

static struct slot *slot_of(
	const struct route_sender_table *t, struct base_slice line, uint64_t hash)
{
	size_t at = (size_t)hash & t->mask;

	while (t->slots[at].line &&
		!(t->slots[at].hash == hash &&
			base_slice_equal_text_nocase(line, t->slots[at].line)))
		at = (at + 1) & t->mask;
	return &t->slots[at];
}

static void add(struct route_sender_table *t, const struct route_sender *line)
{
	char text[ROUTE_SENDER_LINE_MAX_BYTES + 1];
	enum route_sender_kind kind;
	const char *why;
	struct slot *slot;
	uint64_t hash;
	size_t length;

	if (!route_sender_parse(line->line, text, &kind, &why) ||
		!route_sender_account_valid(line->account))
		return;
	hash = route_hash(0, base_slice_text(text));
	slot = slot_of(t, base_slice_text(text), hash);
	if (slot->line)
		return;
	slot->line = base_strdup(text);
	slot->account = base_slice_dup(line->account);
	slot->hash = hash;
	if (kind != ROUTE_SENDER_BEGINNING)
		return;
	length = base_slice_find_last(base_slice_text(text), '@') - 1;
	t->beginnings[length] = true;
	if (length > t->longest_beginning)
		t->longest_beginning = length;
}

struct route_sender_table *route_sender_table_new(const struct route_sender *lines, size_t count)
{
	struct route_sender_table *t = base_alloc_zero(1, sizeof(*t));
	size_t size = 4;

	while (size < count * 2 + 1)
		size *= 2;
	t->mask = size - 1;
	t->slots = base_alloc_zero(size, sizeof(*t->slots));
	for (size_t i = 0; i < count; i++)
		add(t, &lines[i]);
	return t;
}

void route_sender_table_free(struct route_sender_table **tp)
{
	struct route_sender_table *t = *tp;

	*tp = NULL;
	if (!t)
		return;
	for (size_t i = 0; i <= t->mask; i++) {
		free(t->slots[i].line);
		free(t->slots[i].account);
	}
	free(t->slots);
	free(t);
}

/* ---- who wins ---- */

static bool take(
	const struct route_sender_table *t, struct base_slice line, struct route_sender *out)
{
	const struct slot *slot = slot_of(t, line, route_hash(0, line));

	if (!slot->line)
		return false;
	out->line = base_slice_text(slot->line);
	out->account = base_slice_text(slot->account);
	return true;
}

/* "prefix*@domain" with ever shorter prefixes. @room holds the line being made. */
static bool find_beginning(const struct route_sender_table *t, struct base_slice local,
	struct base_slice domain, uint8_t *room, struct route_sender *out)
{
	size_t length = local.len < t->longest_beginning ? local.len : t->longest_beginning;

	for (; length > 0; length--) {
		if (!t->beginnings[length] || length + 2 + domain.len > ROUTE_SENDER_LINE_MAX_BYTES)
			continue;
		memcpy(room, local.ptr, length);
		room[length] = '*';
		room[length + 1] = '@';
		memcpy(room + length + 2, domain.ptr, domain.len);
		if (take(t, base_slice_make(room, length + 2 + domain.len), out))
			return true;
	}
	return false;
}

static bool find_domain(const struct route_sender_table *t, struct base_slice domain, uint8_t *room,
	struct route_sender *out)
{
	struct base_slice line = base_slice_make(room, domain.len + 1), suffix;
	size_t dot;

	room[0] = '@';
	memcpy(room + 1, domain.ptr, domain.len);
	if (take(t, line, out))
		return true;
	suffix = base_slice_from(line, 1);
	while ((dot = base_slice_find(suffix, '.')) < suffix.len) {
		suffix = base_slice_from(suffix, dot);
		/* The byte before the dot has been looked at. */
		room[(size_t)(suffix.ptr - room) - 1] = '@';
		if (take(t, base_slice_make(suffix.ptr - 1, suffix.len + 1), out))
			return true;
		suffix = base_slice_from(suffix, 1);
	}
	return false;
}

/* All but "*" and "<>". */
static bool find_address(const struct route_sender_table *t, struct base_slice address,
	struct base_slice default_domain, struct route_sender *out)
{
	uint8_t room[ROUTE_SENDER_LINE_MAX_BYTES];
	struct base_slice domain = route_domain(address, default_domain);
	struct base_slice local = base_slice_first(address, base_slice_find_last(address, '@'));

	/* No line is as long as that. */
	if (domain.len == 0 || domain.len > sizeof(room) - 1)
		return false;
	if (local.len && local.len + 1 + domain.len <= sizeof(room)) {
		memcpy(room, local.ptr, local.len);
		room[local.len] = '@';
		memcpy(room + local.len + 1, domain.ptr, domain.len);
		/* An address with a * in it is not the line that is written so. */
		if (local.ptr[local.len - 1] != '*' &&
			take(t, base_slice_make(room, local.len + 1 + domain.len), out))
			return true;
	}
	return find_beginning(t, local, domain, room, out) || find_domain(t, domain, room, out);
}

bool route_sender_find(const struct route_sender_table *t, struct base_slice sender,
	struct base_slice first_recipient, struct base_slice default_domain,
	struct route_sender *out)
{
	if (sender.len == 0) {
		if (take(t, BASE_SLICE("<>"), out))
			return true;
		sender = first_recipient;
	}
	return (sender.len && find_address(t, sender, default_domain, out)) ||
		take(t, BASE_SLICE("*"), out);
}
