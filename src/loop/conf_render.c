/* A role's part of the configuration, in the grammar of the file, row by row from the schema. */
#include "loop/conf_internal.h"

#include <inttypes.h>
#include <string.h>

static void put_string(struct base_buf *out, const char *text)
{
	base_buf_append_byte(out, '"');
	for (const char *p = text; *p; p++) {
		if (*p == '"' || *p == '\\')
			base_buf_append_byte(out, '\\');
		base_buf_append_byte(out, (uint8_t)*p);
	}
	base_buf_append_byte(out, '"');
}

static void put_key(struct base_buf *out, const struct conf_rule *r)
{
	base_buf_printf(out, "%s%s = ", r->section[0] ? "  " : "", r->key);
}

static void put_texts(struct base_buf *out, const struct conf_strings *list)
{
	base_buf_append_text(out, "{");
	for (size_t i = 0; i < list->count; i++) {
		base_buf_append_text(out, i ? ", " : "");
		put_string(out, list->items[i]);
	}
	base_buf_append_text(out, "}");
}

static void put_networks(struct base_buf *out, const struct conf_networks *list)
{
	base_buf_append_text(out, "{");
	for (size_t i = 0; i < list->count; i++) {
		base_buf_append_text(out, i ? ", \"" : "\"");
		base_addr_format(&list->items[i].addr, out);
		base_buf_printf(out, "/%u\"", list->items[i].prefix_bits);
	}
	base_buf_append_text(out, "}");
}

static void put_mechanisms(struct base_buf *out, uint32_t mask)
{
	const char *comma = "";

	base_buf_append_text(out, "{");
	for (unsigned bit = 0; bit < 32; bit++)
		if (mask & (1u << bit)) {
			base_buf_printf(out, "%s\"%s\"", comma, conf_mechanism_name(bit));
			comma = ", ";
		}
	base_buf_append_text(out, "}");
}

static void put_word(struct base_buf *out, const struct conf_word *words, int value)
{
	for (; words->text; words++)
		if (words->value == value && !words->later) {
			put_string(out, words->text);
			return;
		}
}

static void put_address(struct base_buf *out, const struct base_addr *addr)
{
	base_buf_append_byte(out, '"');
	base_addr_format_port(addr, out);
	base_buf_append_byte(out, '"');
}

static void put_retry(struct base_buf *out, const int64_t *seconds, size_t count)
{
	base_buf_append_text(out, "{");
	for (size_t i = 0; i < count; i++)
		base_buf_printf(out, "%s%" PRId64, i ? ", " : "", seconds[i]);
	base_buf_append_text(out, "}");
}

static const char *text_at(const void *at)
{
	const char *text;

	memcpy(&text, at, sizeof(text));
	return text;
}

/* Values that stand for "not written": a null text, an empty list, no mechanism of its own, the
 * enum value that has no word, a number 0 that could not be written. */
static bool is_absent(const struct conf_rule *r, const void *at)
{
	const struct conf_strings *list = at;
	const struct conf_networks *networks = at;

	switch (r->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_EMPTY_TEXT:
	case CONF_TYPE_HOST_NAME:
	case CONF_TYPE_DOMAIN:
	case CONF_TYPE_PATH:
	case CONF_TYPE_FILE:
	case CONF_TYPE_SOCKET:
		return !text_at(at);
	case CONF_TYPE_STRINGS:
	case CONF_TYPE_DOMAINS:
		return list->count == 0;
	case CONF_TYPE_NETWORKS:
		return networks->count == 0;
	case CONF_TYPE_MECHANISMS:
	case CONF_TYPE_CLIENT_MECHANISMS:
		return *(const uint32_t *)at == 0;
	case CONF_TYPE_WORD:
		for (const struct conf_word *w = r->words; w->text; w++)
			if (w->value == *(const int *)at)
				return false;
		return true;
	case CONF_TYPE_U32:
		return r->min > 0 && *(const uint32_t *)at == 0;
	case CONF_TYPE_BOOL:
	case CONF_TYPE_SIZE:
	case CONF_TYPE_SECONDS_U32:
	case CONF_TYPE_DURATION:
	case CONF_TYPE_RETRY:
	case CONF_TYPE_MODE:
	case CONF_TYPE_ADDRESS:
		return false;
	}
	return true;
}

static void put_value(struct base_buf *out, const struct conf_rule *r, const void *at)
{
	switch (r->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_EMPTY_TEXT:
	case CONF_TYPE_HOST_NAME:
	case CONF_TYPE_DOMAIN:
	case CONF_TYPE_PATH:
	case CONF_TYPE_FILE:
	case CONF_TYPE_SOCKET:
		put_string(out, text_at(at));
		return;
	case CONF_TYPE_BOOL:
		base_buf_append_text(out, *(const bool *)at ? "true" : "false");
		return;
	case CONF_TYPE_U32:
	case CONF_TYPE_SECONDS_U32:
		base_buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
		return;
	case CONF_TYPE_SIZE:
		base_buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
		return;
	case CONF_TYPE_DURATION:
		base_buf_printf(out, "%" PRId64, *(const int64_t *)at);
		return;
	case CONF_TYPE_RETRY:
		put_retry(out, at,
			*(const size_t *)((const char *)at + CONF_RETRY_MAX * sizeof(int64_t)));
		return;
	case CONF_TYPE_MODE:
		base_buf_printf(out, "0%03o", *(const unsigned *)at);
		return;
	case CONF_TYPE_WORD:
		put_word(out, r->words, *(const int *)at);
		return;
	case CONF_TYPE_ADDRESS:
		put_address(out, at);
		return;
	case CONF_TYPE_NETWORKS:
		put_networks(out, at);
		return;
	case CONF_TYPE_STRINGS:
	case CONF_TYPE_DOMAINS:
		put_texts(out, at);
		return;
	case CONF_TYPE_MECHANISMS:
	case CONF_TYPE_CLIENT_MECHANISMS:
		put_mechanisms(out, *(const uint32_t *)at);
		return;
	}
}

/* account = "…" of a route that has it from via = "account:…" is not written twice. */
static bool is_derived(const struct conf_rule *r, const void *base)
{
	const struct conf_route *route = base;

	return strcmp(r->section, "route") == 0 && strcmp(r->key, "account") == 0 &&
		route->via == CONF_VIA_ACCOUNT;
}

/* The keys of one section that @role is told of; false if there is none. */
static bool put_keys(
	struct base_buf *out, const char *section, enum ipc_role role, const void *base)
{
	bool any = false;

	for (size_t i = 0; i < conf_rule_count; i++) {
		const struct conf_rule *r = &conf_rules[i];
		const char *at = (const char *)base + r->at;

		if (strcmp(r->section, section) != 0 || r->at == CONF_NOWHERE ||
			!(r->roles & (1u << role)) || is_absent(r, at) || is_derived(r, base))
			continue;
		put_key(out, r);
		put_value(out, r, at);
		base_buf_append_text(out, "\n");
		any = true;
	}
	return any;
}

static void put_section(struct base_buf *out, const struct conf_section_rule *s, const char *title,
	enum ipc_role role, const void *base)
{
	size_t before = out->len;

	base_buf_printf(out, "%s ", s->name);
	if (title) {
		put_string(out, title);
		base_buf_append_byte(out, ' ');
	}
	base_buf_append_text(out, "{\n");
	if (put_keys(out, s->name, role, base))
		base_buf_append_text(out, "}\n");
	else
		base_buf_truncate(out, before);
}

void conf_render(const struct conf *c, enum ipc_role role, struct base_buf *out)
{
	put_keys(out, "", role, c);
	for (size_t i = 1; i < conf_section_count; i++) {
		const struct conf_section_rule *s = &conf_sections[i];
		bool service = strcmp(s->name, "auth_service") == 0;

		if ((s->flags & CONF_LATER) || (service && !c->has_auth_service))
			continue;
		if (s->items_at == CONF_NOWHERE) {
			put_section(out, s, NULL, role, c);
			continue;
		}
		for (size_t k = 0; k < conf_item_count(c, s); k++) {
			const void *item = conf_item(c, s, k);

			put_section(out, s, text_at(item), role, item);
		}
	}
}
