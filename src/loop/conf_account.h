/* loop/conf_account.h: what the sections account NAME { } say, in the form that vault/admin.h takes */
#ifndef LOOP_CONF_ACCOUNT_H
#define LOOP_CONF_ACCOUNT_H

#include "loop/conf.h"
#include "vault/admin.h"

/* conf->account_count of them, in their order; free() it. Texts are borrowed from @conf. */
struct vault_admin_section *conf_account_sections(const struct conf *conf);

#endif
