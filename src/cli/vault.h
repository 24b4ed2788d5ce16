/* cli/vault.h: requests to the vault, through a running server or on the files
 * Secrets  a new password stays in this process; what is stored is derived here */
#ifndef CLI_VAULT_H
#define CLI_VAULT_H

#include "cli/cli.h"
#include "vault/admin.h"

/* Execute @r. @out is cleared first, then has the JSON. Waits up to 20 s for other commands. */
int cli_vault_ask(const struct conf *conf, const struct cli_request *r, struct base_buf *out,
	struct base_error *err);
/* Add the options --mechanisms --send-as --app --expires --limit --disable --enable as words. */
void cli_vault_options(const struct cli *cli, struct cli_request *r);
/* The whole of user add and user passwd: ask what is needed, derive, execute.
 * @password may be empty where none is needed; @out_generated gets an app password. */
int cli_vault_change(const struct conf *conf, struct cli_request *r, sasl_mechanism_mask mask,
	struct base_slice password, struct base_buf *out, struct base_secret *out_generated,
	struct base_error *err);
/* The same for account add with a password alone; the words url= and user= are there already. */
int cli_vault_account_password(const struct conf *conf, struct cli_request *r,
	struct base_slice password, struct base_buf *out, struct base_error *err);

#endif
