/* cli/account_material.h: what an account logs in with, for its test
 * Job      the merged word of section and vault, the files of the section, the secrets of the vault, and a
 *          token that is good now: from a running server's auth, else kept or renewed here
 * Not      the login (account_test.c)
 * Secrets  key and secret are secret buffers; release wipes them */
#ifndef CLI_ACCOUNT_MATERIAL_H
#define CLI_ACCOUNT_MATERIAL_H

#include "cli/cli.h"
#include "cli/client_session.h"
#include "loop/account.h"
#include "vault/store.h"

enum account_token_source {
	ACCOUNT_TOKEN_NONE, /* the account has none */
	ACCOUNT_TOKEN_SERVER,
	ACCOUNT_TOKEN_KEPT,
	ACCOUNT_TOKEN_RENEWED,
};

struct account_material {
	const char *name;
	char url[VAULT_URL_MAX_BYTES + 1];
	char host[BASE_HOST_NAME_MAX_BYTES + 1];
	uint16_t port;
	enum cli_tls tls; /* never NONE */
	char user[VAULT_NAME_MAX_BYTES + 1];
	enum sasl_credential credential;
	sasl_mechanism_mask mechanisms; /* 0: all that the credential serves */
	bool has_pin;
	uint8_t pin[ACCOUNT_PIN_BYTES];
	struct base_buf ca, chain;
	struct base_buf key, secret; /* secret: password or token */
	bool token_refused;          /* the server did not take the last one: a new one is wanted */
	enum account_token_source token_source;
	int64_t token_until_ms;
};

void account_material_init(struct account_material *m);
void account_material_release(struct account_material *m);
/* All but the token. Turns root into the owner of the vault where no server runs. 0, or why not. */
BASE_MUST_USE int account_material_load(struct account_material *m, const struct conf *conf,
	const char *name, struct base_error *err);
/* The token of a TOKEN credential. What was renewed is kept. */
BASE_MUST_USE int account_material_token(
	struct account_material *m, const struct conf *conf, struct base_error *err);
/* The vault's files, as their owner. */
BASE_MUST_USE int account_material_store(
	const struct conf *conf, struct vault_store **out, struct base_error *err);
/* "password", "token", "client certificate", "Kerberos ticket" */
const char *account_credential_name(enum sasl_credential credential);

#endif
