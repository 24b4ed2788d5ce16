#include "cli/vault.h"

#include "base/clock.h"
#include "loop/conf_account.h"

#include <stdlib.h>

static int run_on_files(const struct conf *conf, const struct cli_request *r, struct base_buf *out,
	struct base_error *err)
{
	struct vault_admin_section *sections = conf_account_sections(conf);
	struct vault_store_options options = {.data_dir = conf->data, .busy_ms = 20000};
	struct vault_admin_request request = {
		r->request.words, r->request.word_count, r->request.secret};
	struct vault_admin_env env = {
		.now_ms = base_clock_wall_ms(),
		.default_domain = base_slice_text(conf->auth.default_domain),
		.mechanisms = conf->auth.mechanisms,
		.sections = sections,
		.section_count = conf->account_count,
	};
	struct cli_account owner;
	int rc = cli_become_owner(conf, &owner, err);

	options.chown = owner.root;
	options.uid = owner.uid;
	options.gid = owner.gid;
	if (rc == 0)
		rc = vault_store_open(&env.store, &options, err);
	if (rc == 0) {
		rc = vault_admin_run(&env, &request, out, err);
		vault_store_close(&env.store);
	}
	free(sections);
	return rc;
}

int cli_vault_ask(const struct conf *conf, const struct cli_request *r, struct base_buf *out,
	struct base_error *err)
{
	bool running;
	int rc;

	base_buf_clear(out);
	rc = cli_ask(conf, "auth", r, out, &running, err);
	return running ? rc : run_on_files(conf, r, out, err);
}

void cli_vault_options(const struct cli *cli, struct cli_request *r)
{
	static const char *const values[] = {"mechanisms", "app", "expires", "limit"};
	const char *value;
	size_t cursor = 0;

	for (size_t i = 0; i < BASE_COUNT(values); i++)
		if (cli_has(cli, values[i]))
			cli_request_add(r, "%s=%s", values[i], cli_value(cli, values[i]));
	while ((value = cli_next_value(cli, "send-as", &cursor)) != NULL)
		cli_request_add(r, "send-as=%s", value);
	if (cli_has(cli, "disable"))
		cli_request_add(r, "disable=1");
	if (cli_has(cli, "enable"))
		cli_request_add(r, "enable=1");
}

int cli_vault_change(const struct conf *conf, struct cli_request *r, sasl_mechanism_mask mask,
	struct base_slice password, struct base_buf *out, struct base_secret *out_generated,
	struct base_error *err)
{
	struct vault_admin_request request = {
		r->request.words, r->request.word_count, BASE_SLICE_EMPTY};
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct base_buf secret;
	int rc;

	base_buf_init_secret(&secret, 65536);
	base_random_fill(random, sizeof(random));
	rc = vault_admin_prepare(&request, mask, password, random, &secret, out_generated, err);
	base_wipe(random, sizeof(random));
	if (rc == 0) {
		r->request.secret = base_buf_slice(&secret);
		rc = cli_vault_ask(conf, r, out, err);
		r->request.secret = BASE_SLICE_EMPTY;
	}
	base_buf_release(&secret);
	return rc;
}

int cli_vault_account_password(const struct conf *conf, struct cli_request *r,
	struct base_slice password, struct base_buf *out, struct base_error *err)
{
	struct base_buf secret;
	int rc;

	cli_request_add(r, "kind=password");
	base_buf_init_secret(&secret, BASE_SECRET_PASSWORD_MAX_BYTES + 64);
	if (vault_admin_account_secret_put(&secret, VAULT_ACCOUNT_SECRET, password)) {
		r->request.secret = base_buf_slice(&secret);
		rc = cli_vault_ask(conf, r, out, err);
		r->request.secret = BASE_SLICE_EMPTY;
	} else {
		rc = base_error_set(err, BASE_ERROR_PERMANENT, 0,
			"the password is longer than %d bytes", BASE_SECRET_PASSWORD_MAX_BYTES);
	}
	base_buf_release(&secret);
	return rc;
}
