/* postern import qmail --vault: passwords of accounts into the vault, as postern account add does, and lines
 * of the sender table, as postern sender add does. */
#include "cli/import_qmail.h"
#include "cli/spool.h"
#include "cli/vault.h"

static int keep(struct import *i, const struct conf *conf, const struct import_account *a)
{
	struct cli_request request = {0};
	struct base_buf answer;
	struct base_error err;
	int rc;

	base_buf_init_secret(&answer, CLI_ANSWER_MAX_BYTES);
	cli_request_add(&request, "account");
	cli_request_add(&request, "add");
	cli_request_add(&request, "%s", a->name);
	cli_request_add(&request, "url=%s", a->url);
	cli_request_add(&request, "user=%s", a->user);
	rc = cli_vault_account_password(conf, &request, a->password, &answer, &err);
	base_buf_release(&answer);
	cli_request_release(&request);
	if (rc == 0)
		fprintf(stderr, "account %s: its password is in the vault of \"%s\"\n", a->name,
			i->cli->conf_path);
	else
		cli_fail_error(i->cli, &err);
	return rc;
}

static int keep_sender(struct import *i, const struct conf *conf, const struct import_sender *line)
{
	struct cli_request request = {0};
	struct base_buf answer;
	struct base_error err;
	int rc;

	base_buf_init(&answer, 1 << 20);
	cli_request_add(&request, "sender");
	cli_request_add(&request, "add");
	cli_request_add(&request, "%s", line->line);
	cli_request_add(&request, "account=%s", i->accounts[line->account].name);
	rc = cli_spool_ask(conf, &request, cli_sender_on_files, &answer, &err);
	base_buf_release(&answer);
	cli_request_release(&request);
	if (rc != 0)
		cli_fail_error(i->cli, &err);
	return rc;
}

static int keep_senders(struct import *i, const struct conf *conf)
{
	size_t kept = 0;

	for (size_t k = 0; k < i->sender_count; k++)
		kept += keep_sender(i, conf, &i->senders[k]) == 0;
	if (kept)
		fprintf(stderr, "%zu line%s of the sender table, see postern sender list\n", kept,
			kept == 1 ? "" : "s");
	return kept == i->sender_count ? CLI_OK : CLI_FAILED;
}

int import_to_vault(struct import *i)
{
	struct conf *conf = cli_conf(i->cli);
	int status = CLI_OK;

	if (!conf)
		return CLI_FAILED;
	if (!i->account_count)
		fprintf(stderr, "no account was found, so the vault of \"%s\" stays as it is\n",
			i->cli->conf_path);
	for (size_t k = 0; k < i->account_count; k++)
		if (keep(i, conf, &i->accounts[k]) != 0)
			status = CLI_FAILED;
	if (keep_senders(i, conf) != CLI_OK)
		status = CLI_FAILED;
	conf_free(&conf);
	return status;
}
