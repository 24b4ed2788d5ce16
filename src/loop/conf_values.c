/* One key's value: is it of the type that the schema names, and where does it go. */
#include "loop/conf_internal.h"

#include "base/time.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct store {
	struct conf_work *w;
	const struct conf_rule *rule;
	const struct conf_key *key;
	void *to; /* null: check only */
};

static void fail_type(const struct store *s, const struct conf_value *v)
{
	const char *name = s->key->name, *example = conf_type_example(s->rule->type);

	if (v->kind == CONF_VALUE_LIST)
		conf_fail(s->w, v->line, "%s is not a list; write %s", name, example);
	else if (v->kind == CONF_VALUE_WORD)
		conf_fail(s->w, v->line, "%s = %s: a text stands in quotes; write %s = \"%s\"",
			name, v->text, name, v->text);
	else
		conf_fail(s->w, v->line, "%s = %s%s%s is not right; write %s", name,
			v->kind == CONF_VALUE_STRING ? "\"" : "", v->text,
			v->kind == CONF_VALUE_STRING ? "\"" : "", example);
}

static void put_text(const struct store *s, char *text)
{
	if (s->to)
		memcpy(s->to, &text, sizeof(text));
}

static struct base_slice value_text(const struct conf_value *v)
{
	return base_slice_text(v->text);
}

static char *absolute(struct conf_work *w, char *path)
{
	if (path[0] == '/' || !w->base_dir)
		return path;
	return conf_arena_printf(w->arena, "%s/%s", w->base_dir, path);
}

static void look_at_file(const struct store *s, const char *path)
{
	struct stat st;

	if (!s->w->look_at_files || (s->rule->flags & CONF_LATER))
		return;
	if (stat(path, &st) != 0 && errno != EACCES)
		conf_fail(s->w, s->key->line, "%s = \"%s\": %s; name a file that is there",
			s->key->name, path, strerror(errno));
	else if (access(path, R_OK) != 0)
		conf_warn(s->w, s->key->line, "%s = \"%s\" cannot be read by this user: %s",
			s->key->name, path, strerror(errno));
	else if (!S_ISREG(st.st_mode))
		conf_fail(s->w, s->key->line, "%s = \"%s\" is not a file", s->key->name, path);
}

static bool domain_valid(struct base_slice d)
{
	if (base_slice_starts_with(d, BASE_SLICE(".")))
		d = base_slice_from(d, 1);
	return base_host_name_valid(d, false, true);
}

static void store_text(const struct store *s, const struct conf_value *v)
{
	char *text = v->text;
	bool file = s->rule->type == CONF_TYPE_FILE, socket = s->rule->type == CONF_TYPE_SOCKET;
	bool path = file || socket || s->rule->type == CONF_TYPE_PATH;
	bool host = s->rule->type == CONF_TYPE_HOST_NAME;

	if (v->kind != CONF_VALUE_STRING) {
		fail_type(s, v);
		return;
	}
	if (text[0] == '\0') {
		bool allowed = file || socket || s->rule->type == CONF_TYPE_DOMAIN ||
			s->rule->type == CONF_TYPE_EMPTY_TEXT;

		if (!allowed)
			conf_fail(s->w, v->line, "%s is empty; write %s = %s", s->key->name,
				s->key->name, conf_type_example(s->rule->type));
		else if (!file)
			put_text(s, text);
		return;
	}
	if ((host && !base_host_name_valid(value_text(v), false, true)) ||
		(s->rule->type == CONF_TYPE_DOMAIN &&
			!base_host_name_valid(value_text(v), false, true))) {
		conf_fail(s->w, v->line,
			"%s = \"%s\" is not a host name; write letters, digits, "
			"hyphens and dots, as in %s",
			s->key->name, text, conf_type_example(s->rule->type));
		return;
	}
	if (path)
		text = absolute(s->w, text);
	if (file)
		look_at_file(s, text);
	put_text(s, text);
}

static void store_bool(const struct store *s, const struct conf_value *v)
{
	if (v->kind != CONF_VALUE_BOOL)
		fail_type(s, v);
	else if (s->to)
		*(bool *)s->to = v->text[0] == 't';
}

/* Within the row's limits; the key's @name = what is written is named otherwise. */
static bool in_range(const struct store *s, const struct conf_value *v, uint64_t number)
{
	uint64_t max = s->rule->max ? s->rule->max : UINT32_MAX;

	if (number >= s->rule->min && number <= max)
		return true;
	conf_fail(s->w, v->line, "%s = %s is out of range; write %" PRIu64 " to %" PRIu64 "%s",
		s->key->name, v->text, s->rule->min, max,
		s->rule->type == CONF_TYPE_DURATION || s->rule->type == CONF_TYPE_RETRY ||
				s->rule->type == CONF_TYPE_SECONDS_U32
			? " seconds"
			: "");
	return false;
}

static bool leading_zero(const struct conf_value *v)
{
	return v->kind == CONF_VALUE_NUMBER && v->text[0] == '0' && v->text[1] != '\0';
}

static bool is_plain(const struct conf_value *v)
{
	return (v->kind == CONF_VALUE_NUMBER || v->kind == CONF_VALUE_STRING) && !leading_zero(v);
}

static void store_u32(const struct store *s, const struct conf_value *v)
{
	uint64_t number;

	if (v->kind != CONF_VALUE_NUMBER || leading_zero(v) ||
		!base_slice_to_u64(value_text(v), &number))
		fail_type(s, v);
	else if (in_range(s, v, number) && s->to)
		*(uint32_t *)s->to = (uint32_t)number;
}

static void store_size(const struct store *s, const struct conf_value *v)
{
	uint64_t number;

	if (!is_plain(v) || !base_size_parse(value_text(v), &number))
		fail_type(s, v);
	else if (s->to && in_range(s, v, number))
		*(uint64_t *)s->to = number;
}

static bool seconds(const struct store *s, const struct conf_value *v, int64_t *out)
{
	if (!is_plain(v) || !base_duration_parse(value_text(v), out)) {
		fail_type(s, v);
		return false;
	}
	return in_range(s, v, (uint64_t)*out);
}

static void store_duration(const struct store *s, const struct conf_value *v)
{
	int64_t number;

	if (!seconds(s, v, &number) || !s->to)
		return;
	if (s->rule->type == CONF_TYPE_SECONDS_U32)
		*(uint32_t *)s->to = (uint32_t)number;
	else
		*(int64_t *)s->to = number;
}

static void store_mode(const struct store *s, const struct conf_value *v)
{
	unsigned mode = 0;
	size_t len = v->text ? strlen(v->text) : 0;
	bool good = v->kind == CONF_VALUE_NUMBER && len >= 3 && len <= 4 &&
		(len == 3 || v->text[0] == '0') && strspn(v->text, "01234567") == len;

	if (!good) {
		fail_type(s, v);
		return;
	}
	for (const char *p = v->text; *p; p++)
		mode = mode * 8 + (unsigned)(*p - '0');
	if (s->to)
		*(unsigned *)s->to = mode;
}

static void fail_word(const struct store *s, const struct conf_value *v)
{
	const char *names[16];
	struct base_buf list;
	const char *near;
	size_t n = 0;

	base_buf_init(&list, 1024);
	for (const struct conf_word *w = s->rule->words; w->text && n < BASE_COUNT(names) - 1;
		w++) {
		names[n] = w->text;
		base_buf_printf(&list, "%s\"%s\"",
			n == 0              ? ""
				: w[1].text ? ", "
					    : " or ",
			w->text);
		n++;
	}
	names[n] = NULL;
	near = conf_nearest(v->text, names);
	if (near)
		conf_fail(s->w, v->line,
			"%s = \"%s\" is not known; did you mean \"%s\"? It may be %s", s->key->name,
			v->text, near, base_buf_text(&list));
	else
		conf_fail(s->w, v->line, "%s = \"%s\" is not known; write %s", s->key->name,
			v->text, base_buf_text(&list));
	base_buf_release(&list);
}

static void store_word(const struct store *s, const struct conf_value *v)
{
	if (v->kind != CONF_VALUE_STRING) {
		fail_type(s, v);
		return;
	}
	for (const struct conf_word *w = s->rule->words; w->text; w++) {
		if (strcmp(w->text, v->text) != 0)
			continue;
		if (w->later)
			conf_fail(s->w, v->line, "%s = \"%s\": not available in this build",
				s->key->name, w->text);
		else if (s->to)
			*(int *)s->to = w->value;
		return;
	}
	fail_word(s, v);
}

static void store_address(const struct store *s, const struct conf_value *v)
{
	struct base_addr addr;

	if (v->kind != CONF_VALUE_STRING || !base_addr_parse_port(value_text(v), &addr))
		fail_type(s, v);
	else if (s->to)
		memcpy(s->to, &addr, sizeof(addr));
}

/* A list of strings: one alone is taken as a list of one would be an error, said here. */
static bool good_list(const struct store *s, const struct conf_value *v)
{
	if (v->kind != CONF_VALUE_LIST) {
		conf_fail(s->w, v->line, "%s is a list; write %s", s->key->name,
			conf_type_example(s->rule->type));
		return false;
	}
	for (const struct conf_value *i = v->items; i; i = i->next)
		if (i->kind != CONF_VALUE_STRING) {
			conf_fail(s->w, i->line, "%s in the list %s is not in quotes; write \"%s\"",
				i->text, s->key->name, i->text);
			return false;
		}
	if (v->count == 0 && (s->rule->flags & CONF_NONEMPTY)) {
		conf_fail(s->w, v->line, "%s is empty; write %s, or leave the key out",
			s->key->name, conf_type_example(s->rule->type));
		return false;
	}
	return true;
}

/* The same text twice in a list is a mistake of writing. */
static bool repeated(
	const struct store *s, const struct conf_value *list, const struct conf_value *item)
{
	for (const struct conf_value *i = list->items; i != item; i = i->next)
		if (base_slice_equal_nocase(value_text(i), value_text(item))) {
			conf_fail(s->w, item->line, "\"%s\" stands twice in %s; remove one",
				item->text, s->key->name);
			return true;
		}
	return false;
}

static void store_strings(const struct store *s, const struct conf_value *v)
{
	struct conf_strings list = {0};

	if (!good_list(s, v))
		return;
	list.items = conf_arena_alloc(s->w->arena, (v->count + 1) * sizeof(*list.items));
	for (const struct conf_value *i = v->items; i; i = i->next) {
		bool domain = s->rule->type == CONF_TYPE_DOMAINS;

		if (domain && !domain_valid(value_text(i)))
			conf_fail(s->w, i->line, "\"%s\" in %s is not a domain; write %s", i->text,
				s->key->name, conf_type_example(s->rule->type));
		else if (s->rule->flags & CONF_REPEATS)
			list.items[list.count++] = i->text;
		else if (!domain && i->text[0] == '\0')
			conf_fail(s->w, i->line, "%s holds an empty text; remove it", s->key->name);
		else if (v->count > 64 || !repeated(s, v, i))
			list.items[list.count++] = i->text;
	}
	if (s->to)
		memcpy(s->to, &list, sizeof(list));
}

static void store_networks(const struct store *s, const struct conf_value *v)
{
	struct conf_networks list = {0};

	if (!good_list(s, v))
		return;
	list.items = conf_arena_alloc(s->w->arena, (v->count + 1) * sizeof(*list.items));
	for (const struct conf_value *i = v->items; i; i = i->next) {
		if (base_network_parse(value_text(i), &list.items[list.count]))
			list.count++;
		else
			conf_fail(s->w, i->line,
				"\"%s\" in %s is not a network; write an address with a "
				"prefix and no bits behind it, as in \"10.0.0.0/8\"",
				i->text, s->key->name);
	}
	if (s->to)
		memcpy(s->to, &list, sizeof(list));
}

static void store_mechanisms(const struct store *s, const struct conf_value *v)
{
	static const char *const later[] = {"SCRAM-SHA-224", "SCRAM-SHA-384", "ANONYMOUS", NULL};
	bool client = s->rule->type == CONF_TYPE_CLIENT_MECHANISMS, good = true;
	uint32_t mask = 0;

	if (!good_list(s, v))
		return;
	for (const struct conf_value *i = v->items; i; i = i->next) {
		uint32_t bit = conf_mechanism_parse(value_text(i));
		const char *near = conf_nearest(i->text, conf_mechanism_names());
		bool known = bit && !client &&
			!conf_mechanism_is_served((unsigned)__builtin_ctz(bit));
		for (size_t l = 0; later[l]; l++)
			known = known || base_slice_equal_text_nocase(value_text(i), later[l]);
		if (known)
			conf_fail(s->w, i->line, "mechanism \"%s\": not available in this build",
				i->text);
		else if (!bit)
			conf_fail(s->w, i->line, "mechanism \"%s\" is not known; %s%s%s", i->text,
				near ? "did you mean \"" : "write ",
				near ? near : conf_type_example(s->rule->type), near ? "\"?" : "");
		else if (mask & bit)
			repeated(s, v, i);
		mask |= bit;
		good = good && bit;
	}
	/* No further errors from a list that was read in part only. */
	if (!good)
		mask = strcmp(s->rule->section, "auth") == 0 ? UINT32_MAX : 0;
	if (s->to)
		memcpy(s->to, &mask, sizeof(mask));
}

static void store_retry(const struct store *s, const struct conf_value *v)
{
	int64_t list[CONF_RETRY_MAX];
	size_t count = 0;

	if (v->kind != CONF_VALUE_LIST) {
		good_list(s, v);
		return;
	}
	if (v->count == 0 || v->count > CONF_RETRY_MAX) {
		conf_fail(s->w, v->line,
			"%s holds %zu durations; write 1 to %d of them, as in "
			"{\"5m\", \"15m\", \"1h\"}",
			s->key->name, v->count, CONF_RETRY_MAX);
		return;
	}
	for (const struct conf_value *i = v->items; i; i = i->next)
		if (seconds(s, i, &list[count]))
			count++;
	if (count != v->count || !s->to)
		return;
	memcpy(s->to, list, count * sizeof(list[0]));
	memcpy((char *)s->to + sizeof(list), &count, sizeof(count));
}

void conf_value_store(
	struct conf_work *w, const struct conf_rule *rule, const struct conf_key *key, void *base)
{
	void *to = rule->at == CONF_NOWHERE || !base ? NULL : (char *)base + rule->at;
	struct store s = {.w = w, .rule = rule, .key = key, .to = to};
	const struct conf_value *v = &key->value;

	switch (rule->type) {
	case CONF_TYPE_TEXT:
	case CONF_TYPE_EMPTY_TEXT:
	case CONF_TYPE_HOST_NAME:
	case CONF_TYPE_DOMAIN:
	case CONF_TYPE_PATH:
	case CONF_TYPE_FILE:
	case CONF_TYPE_SOCKET:
		store_text(&s, v);
		return;
	case CONF_TYPE_BOOL:
		store_bool(&s, v);
		return;
	case CONF_TYPE_U32:
		store_u32(&s, v);
		return;
	case CONF_TYPE_SIZE:
		store_size(&s, v);
		return;
	case CONF_TYPE_SECONDS_U32:
	case CONF_TYPE_DURATION:
		store_duration(&s, v);
		return;
	case CONF_TYPE_RETRY:
		store_retry(&s, v);
		return;
	case CONF_TYPE_MODE:
		store_mode(&s, v);
		return;
	case CONF_TYPE_WORD:
		store_word(&s, v);
		return;
	case CONF_TYPE_ADDRESS:
		store_address(&s, v);
		return;
	case CONF_TYPE_NETWORKS:
		store_networks(&s, v);
		return;
	case CONF_TYPE_STRINGS:
	case CONF_TYPE_DOMAINS:
		store_strings(&s, v);
		return;
	case CONF_TYPE_MECHANISMS:
	case CONF_TYPE_CLIENT_MECHANISMS:
		store_mechanisms(&s, v);
		return;
	}
}
