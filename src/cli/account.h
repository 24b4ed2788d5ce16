/* cli/account.h: what the files of `postern account` share
 * Job      one command's work: who it is about, the request to the vault, its answer
 * Not      what is stored and how (vault/admin.h), HTTPS (cli/fetch.h), the login test (cli/account_test.h)
 * Order    files that options name are read before the first request: on a stopped server that one turns
 *          root into the owner of the vault, who may not read them
 * Secrets  passwords, profiles, keys and tokens stand in secret buffers and go in the request's secret */
#ifndef CLI_ACCOUNT_H
#define CLI_ACCOUNT_H

#include "cli/fetch.h"
#include "cli/vault.h"
#include "vault/oauth.h"

/* The longest time that a person may take to log in with a browser. */
#define ACCOUNT_LOGIN_MAX_S 600

struct account {
	struct cli *cli;
	struct conf *conf;
	const char *verb, *name;
	const struct conf_account *section; /* of this name; null: there is none */
	bool root;                          /* started as root, whatever it is by now */
	struct cli_request request;
	struct base_buf answer;
	struct base_error err;
};

/* All return an exit status, after the complaint where it is not CLI_OK. */

int account_add(struct account *a);
int account_list(struct account *a); /* and show NAME */

/* --oauth: do its options fit together? */
int account_oauth_options(const struct account *a);
/* Of its options, FILE and what FILE names. Touches no vault. */
int account_oauth_profile(struct account *a, struct vault_oauth_profile **out);
/* A person has to log in before the profile can serve. */
bool account_oauth_asks(const struct account *a, const struct vault_oauth_profile *profile);

/* A login in progress: what both ways of it need. */
struct account_login {
	struct account *account;
	const struct vault_oauth_profile *profile;
	const char *user; /* "" where it is not known */
	struct cli_fetch *fetch;
	FILE *out; /* for the person: standard output, but with --json */
};
/* Let the person log in; appends the tokens to @out, a secret buffer, as the vault keeps them. */
int account_oauth_login(struct account_login *l, struct base_buf *out);
/* The two ways. CLI_OK: @t is filled. */
int account_login_device(struct account_login *l, struct vault_oauth_tokens *t);
int account_login_browser(struct account_login *l, struct vault_oauth_tokens *t);
/* POST @form to @url. @out_body: a secret buffer. 0, or what cli_fetch() says. */
BASE_MUST_USE int account_login_post(struct account_login *l, const char *url,
	const struct base_buf *form, unsigned *out_status, struct base_buf *out_body);
/* The same to the token endpoint, and what came, judged; 0: @out_result and @reason are set. */
BASE_MUST_USE int account_login_ask(struct account_login *l, const struct base_buf *form,
	enum vault_oauth_result *out_result, struct vault_oauth_tokens *t,
	char reason[VAULT_OAUTH_REASON_MAX_BYTES]);
int account_login_refused(const struct account_login *l, const char *reason);

/* "postern account: warning: …" */
void account_warn(const char *format, ...) BASE_PRINTF(1, 2);
/* All of file @path into @out. CONFIG: it cannot be read, or is longer than the buffer's maximum. */
BASE_MUST_USE int account_read_file(const char *path, struct base_buf *out, struct base_error *err);

#endif
