/* auth/merged.h: an account as its section and the vault say together
 * Job      the one list of sections account NAME { } and of the vault's rows: where a section says
 *          something it wins, else the row
 * Not      secrets (vault/store.h), files of a section (section_files.c) */
#ifndef AUTH_MERGED_H
#define AUTH_MERGED_H

#include "loop/conf.h"
#include "sasl/mechanism.h"
#include "vault/store.h"

struct auth_merged {
	const struct conf_account *section; /* null: none */
	const struct vault_account *row;    /* null: none */
	const char *url, *user, *pin;       /* "" where nothing is said */
	enum sasl_credential credential;
	sasl_mechanism_mask mechanisms; /* 0: all that the credential serves */
	bool ca, certificate;           /* it has some of its own */
	uint32_t connections, rate_count, rate_s;
};

/* At least one of both. What is given is borrowed by @out. */
void auth_merge(const struct conf_account *section, const struct vault_account *row,
	struct auth_merged *out);
/* Does relay see a difference, or auth itself? Either may be null. */
bool auth_section_same(const struct conf_account *a, const struct conf_account *b);
/* Are the files that they name the same ones? */
bool auth_section_same_files(const struct conf_account *a, const struct conf_account *b);

#endif
