#include "auth/merged.h"

#include <string.h>

static const char *first(const char *of_section, const char *of_row)
{
	return of_section && *of_section ? of_section : of_row ? of_row : "";
}

static enum vault_account_kind kind_of(const struct auth_merged *m)
{
	if (m->row)
		return m->row->kind;
	return m->certificate ? VAULT_ACCOUNT_CERTIFICATE : VAULT_ACCOUNT_PASSWORD;
}

void auth_merge(const struct conf_account *section, const struct vault_account *row,
	struct auth_merged *out)
{
	static const struct conf_account nothing = {0};
	const struct conf_account *c = section ? section : &nothing;

	*out = (struct auth_merged){
		.section = section,
		.row = row,
		.url = first(c->url, row ? row->url : NULL),
		.user = first(c->user, row ? row->user : NULL),
		.pin = first(c->pin, row ? row->pin : NULL),
		.mechanisms = c->mechanisms ? c->mechanisms
			: row               ? row->mechanisms
					    : 0,
		.ca = c->ca || (row && row->has_ca),
		.certificate = c->certificate || (row && row->has_certificate),
		.connections = c->connections ? c->connections
			: row                 ? row->connections
					      : 0,
		.rate_count = c->rate_count ? c->rate_count
			: row               ? row->rate_count
					    : 0,
		.rate_s = c->rate_count ? c->rate_s
			: row           ? row->rate_s
					: 0,
	};
	out->credential = vault_account_credential(kind_of(out), out->mechanisms, out->certificate);
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

bool auth_section_same_files(const struct conf_account *a, const struct conf_account *b)
{
	return same_text(a->ca, b->ca) && same_text(a->certificate, b->certificate) &&
		same_text(a->key, b->key);
}

bool auth_section_same(const struct conf_account *a, const struct conf_account *b)
{
	if (!a || !b)
		return a == b;
	return auth_section_same_files(a, b) && same_text(a->url, b->url) &&
		same_text(a->user, b->user) && same_text(a->pin, b->pin) &&
		a->mechanisms == b->mechanisms && a->connections == b->connections &&
		a->rate_count == b->rate_count && a->rate_s == b->rate_s;
}
