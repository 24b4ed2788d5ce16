#include "loop/conf_account.h"

struct vault_admin_section *conf_account_sections(const struct conf *conf)
{
	struct vault_admin_section *sections = base_alloc_zero(
		conf->account_count + 1, sizeof(*sections));

	for (size_t i = 0; i < conf->account_count; i++) {
		const struct conf_account *a = &conf->accounts[i];

		sections[i] = (struct vault_admin_section){
			.name = a->title,
			.url = a->url,
			.user = a->user,
			.pin = a->pin,
			.mechanisms = a->mechanisms,
			.connections = a->connections,
			.rate_count = a->rate_count,
			.rate_s = a->rate_s,
			.has_ca = a->ca != NULL,
			.has_certificate = a->certificate != NULL,
		};
	}
	return sections;
}
