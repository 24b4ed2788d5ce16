/* vault/admin.h: the commands user … and account … on a vault
 * Job      words in, the store changed, JSON out; the same code for a running server (auth executes
 *          what comes through its control socket) and a stopped one (the command opens the files)
 * Not      parsing a command line, asking for passwords, printing (cli/)
 * Secrets  a new password never travels: the command derives what is stored and sends that
 *
 * Words are "user" or "account", the verb, NAME, then options as "name=value":
 *   user add NAME      [mechanisms=LIST] [send-as=ADDR]… [limit=N/hour] [expires=DATE] [disable=1]
 *   user add NAME      app=LABEL [mechanisms= send-as= limit= expires= as above]
 *   user passwd NAME   the same options, each replaces what was there (send-as= alone empties the list,
 *                      expires= and limit= lift them); [enable=1 | disable=1]; with app=LABEL: of that one
 *   user remove NAME   [app=LABEL]
 *   user list          [without=MECH]          user show NAME          user test NAME (secret: password)
 *   user import        [replace=1] [dry-run=1] (secret: entries by vault_admin_import_put(); none: only
 *                      the mask is asked). One transaction; users that exist are left alone but for
 *                      replace=1, which changes their credentials and nothing else. dry-run=1 changes
 *                      nothing and takes entries without credentials
 *   user needs NAME    verb=add|passwd and the options of the request to come: see below
 *   account add NAME   [url=URL] [user=U] kind=password|oauth|certificate [mechanisms=LIST] [pin=sha256:…]
 *                      [connections=N] [rate=N/hour] [replace=1]  (secret: vault_admin_account_secret_put()s).
 *                      url and user may be left out where the section of this name says them; user of a
 *                      certificate, too. kind is password unless said. Parts that are no PEM, do not go
 *                      together or hold no profile are refused, and what was there stays
 *                      Replaces one that is there only with replace=1
 *   account list | remove NAME | show NAME
 *
 * The order for add and passwd:
 *   1. execute "user needs NAME verb=add …": {"mask": N, "password": true|false, "generated": true|false}.
 *      Fails as the request itself would (exists already, no such user, bad option), before anybody
 *      typed a password. "password" false: only properties change, or one is to be generated.
 *   2. vault_admin_prepare() with N and the password; it gives the secret of the request.
 *   3. execute the request with that secret.
 * Who sends no secret to passwd changes only properties.
 *
 * Answers: user list {"users": [{"name", "mechanisms", "disabled", "created", "apps"}]}; user show
 * {"name", "mechanisms", "stored", "disabled", "created", "changed", "expires", "limit", "send_as",
 * "apps": [{"label", "mechanisms", "created", "expires", "limit", "send_as"}]}; user test {"name",
 * "result": "ok"|"rejected", "reason"}; account list {"accounts": [{"name", "url", "user", "secret":
 * "password"|"oauth"|"certificate"|null (none is kept), "source": "vault"|"configuration"|"both",
 * "mechanisms" (null: all), "connections" (null: the default), "rate" ("100/hour" or null), "pin" (or
 * null), "ca" (bool), "certificate" (bool), "created", "token": null or {"state":
 * "valid"|"renewing"|"refused"|"none", "until", "next", "reason"}}]} with one entry for each name in the
 * vault or in a section, a section's word winning where both say something; "token" is auth's to fill
 * (env.token); user import {"mask", "results": [one for each entry: "added", "changed", "exists", else
 * why it was refused]}; add, passwd and remove {"name", "done": "added"|"changed"|"removed"}. */
#ifndef VAULT_ADMIN_H
#define VAULT_ADMIN_H

#include "vault/credentials.h"
#include "vault/store.h"

#include <jansson.h>

struct vault_admin_request {
	const struct base_slice *words;
	size_t word_count;
	struct base_slice secret;
};

/* What a section says; null or 0: nothing. */
struct vault_admin_section {
	const char *name, *url, *user, *pin;
	sasl_mechanism_mask mechanisms;
	uint32_t connections, rate_count, rate_s;
	bool has_ca, has_certificate;
};

struct vault_admin_env {
	struct vault_store *store;
	int64_t now_ms;                   /* wall clock */
	struct base_slice default_domain; /* auth { default_domain }; empty: none */
	sasl_mechanism_mask mechanisms;   /* auth { mechanisms } */
	/* Sections account NAME { } of the configuration, and what auth knows of an OAuth account's token:
	 * the JSON object of "token" above, or null. May be null. */
	const struct vault_admin_section *sections;
	size_t section_count;
	json_t *(*token)(const char *account, void *arg);
	/* user import: called for each user that was added or changed, once that is so. May be null. */
	void (*imported)(const char *name, void *arg);
	void *arg;
};

/* What the caller has to do besides sending the JSON. */
struct vault_admin_effects {
	bool changed; /* forget what is cached about this user or account */
	bool is_user;
	char name[VAULT_NAME_MAX_BYTES + 1]; /* empty after an import: env.imported was told */
	/* user test: check the password against this hash in a worker (or with vault_verify()), then call
	 * vault_admin_tested() for the JSON; none was written yet. */
	bool verify;
	char hash[VAULT_HASH_MAX_BYTES + 1];
};

/* Never hashes, so it takes no more than a small transaction. @out: JSON is appended.
 * 0, or NOT_FOUND, EXISTS, PERMANENT (bad words, err says what would be right), or the store's error. */
BASE_MUST_USE int vault_admin_execute(const struct vault_admin_env *env,
	const struct vault_admin_request *req, struct vault_admin_effects *fx, struct base_buf *out,
	struct base_error *err);
/* The end of user test: also judges disabled and expired. */
BASE_MUST_USE int vault_admin_tested(const struct vault_admin_env *env,
	const struct vault_admin_effects *fx, bool right, struct base_buf *out,
	struct base_error *err);
/* Execute, and hash in here where it must be: for a stopped server. */
BASE_MUST_USE int vault_admin_run(const struct vault_admin_env *env,
	const struct vault_admin_request *req, struct base_buf *out, struct base_error *err);

/* Step 2 above, in the command's process. @words: of the request to come. @mask: from "user needs".
 * @random: VAULT_CREDENTIALS_RANDOM_BYTES fresh bytes. @out_secret: a secret buffer, appended to; the
 * password itself for account add and user test. @out_generated: set for app=, to be shown once. */
BASE_MUST_USE int vault_admin_prepare(const struct vault_admin_request *req,
	sasl_mechanism_mask mask, struct base_slice password, const uint8_t *random,
	struct base_buf *out_secret, struct base_secret *out_generated, struct base_error *err);

/* One part of an account's secret, appended: u8 part, u32 length (host byte order), bytes. False: it does
 * not fit. account add takes SECRET (password, or profile), CA, CHAIN with KEY, and TOKEN (what an
 * interactive grant brought). */
bool vault_admin_account_secret_put(
	struct base_buf *out, enum vault_account_part part, struct base_slice value);

/* One entry of "user import", appended; @c null: none (dry-run=1). False: it does not fit. */
#define VAULT_ADMIN_IMPORT_ENTRY_MAX_BYTES \
	(VAULT_NAME_MAX_BYTES + VAULT_CREDENTIALS_ENCODED_MAX_BYTES + 4)
bool vault_admin_import_put(
	struct base_buf *out, struct base_slice name, const struct vault_credentials *c);
/* What is stored of a user of another system: "{PLAIN}…" is derived for @mask as user add does, a hash is
 * kept as it is, with SCRAM's keys where it has them. 0, or PERMANENT with the reason. @c was
 * initialised. @random: VAULT_CREDENTIALS_RANDOM_BYTES. */
BASE_MUST_USE int vault_admin_import_credentials(struct base_slice stored, sasl_mechanism_mask mask,
	const uint8_t *random, struct vault_credentials *c, struct base_error *err);

#endif
