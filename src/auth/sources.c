/* The providers of auth { providers }: which one answers for whom. */
#include "auth/core_internal.h"

#include <stdlib.h>
#include <string.h>

enum { DOMAINS_MAX_BYTES = 64 * 1024 };

static char *join(const struct auth_source *source)
{
	struct base_buf text;
	char *joined;

	base_buf_init(&text, DOMAINS_MAX_BYTES);
	for (size_t i = 0; i < source->domain_count; i++) {
		base_buf_append_text(&text, source->domains[i]);
		base_buf_append_byte(&text, ' ');
	}
	joined = base_strdup(base_buf_text(&text));
	base_buf_release(&text);
	return joined;
}

void auth_sources_free(struct auth_core *core)
{
	for (unsigned i = 0; i < core->source_count; i++)
		free(core->sources[i].domains);
	core->source_count = 0;
}

void auth_sources_take(struct auth_core *core, const struct auth_options *options)
{
	static const struct auth_source store = {.name = "store", .kind = AUTH_SOURCE_STORE};
	const struct auth_source *from = options->source_count ? options->sources : &store;
	size_t count = options->source_count ? options->source_count : 1;

	auth_sources_free(core);
	for (size_t i = 0; i < count && i < AUTH_SOURCES_MAX; i++) {
		struct auth_named_source *to = &core->sources[i];
		size_t len = strnlen(from[i].name, sizeof(to->name) - 1);

		memcpy(to->name, from[i].name, len);
		to->name[len] = '\0';
		to->kind = from[i].kind;
		to->cram = from[i].cram;
		to->scram = from[i].scram;
		to->first = from[i].first;
		to->processes = from[i].processes;
		to->generation = ++core->next_generation & INT32_MAX;
		auth_fair_init(&to->waiting);
		to->domains = join(&from[i]);
		core->source_count++;
	}
}

bool auth_sources_have_store(const struct auth_core *core)
{
	for (unsigned i = 0; i < core->source_count; i++)
		if (core->sources[i].kind == AUTH_SOURCE_STORE)
			return true;
	return false;
}

static bool serves(const struct auth_named_source *source, struct base_slice key)
{
	struct base_slice rest = base_slice_text(source->domains), domain;
	size_t at;

	if (!rest.len)
		return true;
	key = base_slice_first(key, base_slice_find(key, '/')); /* "name@domain/label" */
	at = base_slice_find_last(key, '@');
	while (base_slice_split(&rest, ' ', &domain))
		if (base_slice_equal_nocase(domain, base_slice_from(key, at + 1)))
			return true;
	return false;
}

/* Can it answer such a question at all? */
static bool can(const struct auth_named_source *s, enum sasl_server_result question)
{
	if (s->kind == AUTH_SOURCE_STORE || question == SASL_SERVER_CHECK_PASSWORD)
		return true;
	return question == SASL_SERVER_NEED_SECRET ? s->cram : s->scram;
}

unsigned auth_source_next(const struct auth_core *core, const struct auth_request *r, unsigned from)
{
	for (unsigned i = from; i < core->source_count; i++)
		if (can(&core->sources[i], r->question) &&
			serves(&core->sources[i], vault_key_slice(&r->whole_key)))
			return i;
	return core->source_count;
}

bool auth_source_serves(const struct auth_core *core, unsigned source, struct base_slice key)
{
	return serves(&core->sources[source], key);
}

sasl_mechanism_mask auth_sources_serve(const struct auth_core *core)
{
	sasl_mechanism_mask mask = SASL_MASK(SASL_MECHANISM_PLAIN) |
		SASL_MASK(SASL_MECHANISM_LOGIN);

	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		bool scram = sasl_mechanism_info((enum sasl_mechanism)m)->flags & SASL_SCRAM;

		for (unsigned i = 0; i < core->source_count; i++)
			if (can(&core->sources[i],
				    scram ? SASL_SERVER_NEED_SCRAM : SASL_SERVER_NEED_SECRET))
				mask |= SASL_MASK(m);
	}
	return mask;
}

void auth_core_source_changed(struct auth_core *core, struct base_slice name)
{
	for (unsigned i = 0; i < core->source_count; i++)
		if (base_slice_equal_text(name, core->sources[i].name))
			core->sources[i].generation = ++core->next_generation & INT32_MAX;
}
