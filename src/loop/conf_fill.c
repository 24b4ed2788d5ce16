/* The tree against the schema: what is unknown, double, missing or not in this build; what is right
 * goes into struct conf. */
#include "loop/conf_internal.h"

#include <string.h>

enum { NAMES_MAX = 64 };

const struct conf_key *conf_key_find(const struct conf_section *s, const char *name)
{
	for (const struct conf_key *k = s->keys; k; k = k->next)
		if (strcmp(k->name, name) == 0)
			return k;
	return NULL;
}

unsigned conf_key_line(const struct conf_section *s, const char *name)
{
	const struct conf_key *k = conf_key_find(s, name);

	return k ? k->line : s->line;
}

void conf_defaults(struct conf *c, struct conf_arena *arena)
{
	static const int64_t retry[] = {300, 900, 3600, 14400};

	c->data = conf_arena_text(arena, BASE_SLICE("/var/lib/postern"));
	c->run = conf_arena_text(arena, BASE_SLICE("/run/postern"));
	c->auth.mechanisms = conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256-PLUS")) |
		conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256")) |
		conf_mechanism_parse(BASE_SLICE("PLAIN")) |
		conf_mechanism_parse(BASE_SLICE("LOGIN"));
	c->auth.providers.items = conf_arena_alloc(arena, sizeof(char *));
	c->auth.providers.items[0] = conf_arena_text(arena, BASE_SLICE("store"));
	c->auth.providers.count = 1;
	c->auth.default_domain = conf_arena_text(arena, BASE_SLICE_EMPTY);
	c->auth.service = conf_arena_text(arena, BASE_SLICE_EMPTY);
	c->auth.upgrade = true;
	c->auth.cache_ttl_s = 300;
	c->auth_service_mode = 0660;
	c->limits.message_size = 52428800;
	c->limits.recipients = 1000;
	c->limits.connections = 10000;
	c->limits.per_ip = 100;
	c->limits.command_timeout_s = 300;
	c->limits.auth_failures = 3;
	c->queue.lifetime_s = INT64_C(5) * 86400;
	c->queue.delay_warning_s = INT64_C(4) * 3600;
	memcpy(c->queue.retry_s, retry, sizeof(retry));
	c->queue.retry_count = BASE_COUNT(retry);
	c->trace_client_address = true;
	c->events.keep_s = INT64_C(30) * 86400;
	c->events.size = UINT64_C(1) << 30;
}

/* "listener submission", or "at the top" for the keys outside any section. */
static const char *place(struct conf_work *w, const struct conf_section *s)
{
	if (s->name[0] == '\0')
		return "outside a section";
	if (!s->title)
		return conf_arena_printf(w->arena, "in section %s", s->name);
	return conf_arena_printf(w->arena, "in %s \"%s\"", s->name, s->title);
}

static void unknown_section(struct conf_work *w, const struct conf_section *s)
{
	const char *names[NAMES_MAX];
	const char *near;
	size_t n = 0;

	for (size_t i = 1; i < conf_section_count; i++)
		names[n++] = conf_sections[i].name;
	names[n] = NULL;
	near = conf_nearest(s->name, names);
	if (near)
		conf_fail(
			w, s->line, "unknown section \"%s\"; did you mean \"%s\"?", s->name, near);
	else
		conf_fail(w, s->line,
			"unknown section \"%s\"; see postern.conf(5) for what may stand here",
			s->name);
}

static void unknown_key(struct conf_work *w, const struct conf_section *s, const struct conf_key *k)
{
	const char *names[NAMES_MAX];
	const char *near, *elsewhere = NULL;
	size_t n = 0;

	for (size_t i = 0; i < conf_rule_count; i++) {
		const struct conf_rule *r = &conf_rules[i];

		if (strcmp(r->section, s->name) == 0 && !(r->flags & CONF_HIDDEN))
			names[n++] = r->key;
		else if (strcmp(r->key, k->name) == 0 && !elsewhere)
			elsewhere = r->section;
	}
	names[n] = NULL;
	near = conf_nearest(k->name, names);
	if (near)
		conf_fail(w, k->line, "unknown key \"%s\" %s; did you mean \"%s\"?", k->name,
			place(w, s), near);
	else if (elsewhere && elsewhere[0])
		conf_fail(w, k->line, "unknown key \"%s\" %s; it belongs into section %s", k->name,
			place(w, s), elsewhere);
	else
		conf_fail(w, k->line,
			"unknown key \"%s\" %s; see postern.conf(5) for what may stand here",
			k->name, place(w, s));
}

static bool is_double(struct conf_work *w, const struct conf_section *s, const struct conf_key *k)
{
	const struct conf_key *first = conf_key_find(s, k->name);

	if (first == k)
		return false;
	conf_fail(w, k->line, "key \"%s\" stands twice %s, first on line %u; remove one", k->name,
		place(w, s), first->line);
	return true;
}

/* A provider of a type that is not built is reported once, at its type. */
static bool type_is_later(const struct conf_section *s)
{
	const struct conf_key *type = conf_key_find(s, "type");
	const struct conf_rule *rule = conf_rule_find("provider", "type");

	if (strcmp(s->name, "provider") != 0 || !type || type->value.kind != CONF_VALUE_STRING)
		return false;
	for (const struct conf_word *word = rule->words; word->text; word++)
		if (strcmp(word->text, type->value.text) == 0)
			return word->later;
	return false;
}

static void fill_keys(struct conf_work *w, const struct conf_section *s,
	const struct conf_section_rule *sr, void *base)
{
	bool quiet = (sr->flags & CONF_LATER) || type_is_later(s);

	for (const struct conf_key *k = s->keys; k; k = k->next) {
		const struct conf_rule *r = conf_rule_find(s->name, k->name);

		if (!r) {
			unknown_key(w, s, k);
			continue;
		}
		if (is_double(w, s, k))
			continue;
		if ((r->flags & CONF_LATER) && !quiet)
			conf_fail(w, k->line, "key \"%s\" %s: not available in this build", k->name,
				place(w, s));
		conf_value_store(w, r, k, base);
	}
	for (size_t i = 0; i < conf_rule_count && !w->broken; i++) {
		const struct conf_rule *r = &conf_rules[i];

		if (strcmp(r->section, s->name) == 0 && (r->flags & CONF_REQUIRED) &&
			!conf_key_find(s, r->key))
			conf_fail(w, s->line, "key \"%s\" is missing %s; write %s = %s", r->key,
				place(w, s), r->key,
				r->words ? conf_arena_printf(w->arena, "\"%s\"", r->words[1].text)
					 : conf_type_example(r->type));
	}
}

static const struct conf_section *same_before(
	const struct conf_tree *tree, const struct conf_section *s)
{
	for (const struct conf_section *b = tree->first->next; b != s; b = b->next)
		if (strcmp(b->name, s->name) == 0 &&
			(!s->title || !b->title ||
				base_slice_equal_nocase(
					base_slice_text(b->title), base_slice_text(s->title))))
			return b;
	return NULL;
}

/* Title there or not as it should be, and not twice. */
static void judge_title(struct conf_work *w, const struct conf_tree *tree,
	const struct conf_section *s, const struct conf_section_rule *sr)
{
	bool titled = sr->flags & CONF_TITLED;
	const struct conf_section *before = same_before(tree, s);

	if (titled && !s->title)
		conf_fail(w, s->line, "section %s needs a title; write %s NAME { … }", s->name,
			s->name);
	else if (!titled && s->title)
		conf_fail(
			w, s->line, "section %s takes no title; write %s { … }", s->name, s->name);
	else if (titled && s->title[0] == '\0')
		conf_fail(w, s->line, "the title of section %s is empty; write %s NAME { … }",
			s->name, s->name);
	else if (before)
		conf_fail(w, s->line, "%s%s%s%s stands twice, first on line %u; %s", s->name,
			titled ? " \"" : "", titled ? s->title : "", titled ? "\"" : "",
			before->line,
			titled ? "give it another title" : "put all keys into one section");
}

/* The titled section's next item. */
static void *next_item(
	struct conf *c, const struct conf_section_rule *sr, const struct conf_section *s)
{
	size_t count = conf_item_count(c, sr);
	char *item = conf_item(c, sr, count);

	count++;
	memcpy((char *)c + sr->count_at, &count, sizeof(count));
	memcpy(item, &s->title, sizeof(s->title));
	memcpy(item + sizeof(s->title), &s->line, sizeof(s->line));
	if (strcmp(s->name, "listener") == 0)
		((struct conf_listener *)(void *)item)->relay_ctrl_expiry_s = 15 * 60;
	if (strcmp(s->name, "listener") == 0)
		((struct conf_listener *)(void *)item)->tls = CONF_TLS_STARTTLS;
	if (strcmp(s->name, "provider") == 0)
		conf_provider_begin((struct conf_provider *)(void *)item);
	return item;
}

/* Room for every titled section, by what the tree holds. */
static void make_room(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	for (size_t i = 0; i < conf_section_count; i++) {
		const struct conf_section_rule *sr = &conf_sections[i];
		size_t n = 0;
		void *items;

		if (sr->items_at == CONF_NOWHERE)
			continue;
		for (const struct conf_section *s = tree->first; s; s = s->next)
			n += strcmp(s->name, sr->name) == 0;
		/* One more: providers get the built-in store added. */
		items = conf_arena_alloc(w->arena, (n + 1) * sr->item_size);
		memcpy((char *)c + sr->items_at, &items, sizeof(items));
	}
}

void conf_fill(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	make_room(w, tree, c);
	for (const struct conf_section *s = tree->first; s; s = s->next) {
		const struct conf_section_rule *sr = conf_section_rule_find(s->name);
		void *base = c;

		if (!sr) {
			unknown_section(w, s);
			continue;
		}
		if (s != tree->first)
			judge_title(w, tree, s, sr);
		if (sr->flags & CONF_LATER)
			conf_fail(w, s->line, "section %s: not available in this build", s->name);
		if (sr->line_at != CONF_NOWHERE)
			memcpy((char *)c + sr->line_at, &s->line, sizeof(s->line));
		if (strcmp(s->name, "auth_service") == 0)
			c->has_auth_service = true;
		if (sr->items_at != CONF_NOWHERE && s->title)
			base = next_item(c, sr, s);
		else if (sr->items_at != CONF_NOWHERE)
			base = NULL;
		fill_keys(w, s, sr, base);
	}
}
