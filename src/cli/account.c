/* postern account: credentials that Postern relays with. */
#include "cli/account.h"

#include "cli/account_test.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

void account_warn(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fputs("postern account: warning: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

int account_read_file(const char *path, struct base_buf *out, struct base_error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), rc = 0;
	uint8_t chunk[4096];
	ssize_t n;

	if (fd < 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot read \"%s\"", path);
	while (rc == 0 && (n = read(fd, chunk, sizeof(chunk))) != 0) {
		if (n < 0 && errno != EINTR)
			rc = base_error_errno(
				err, BASE_ERROR_CONFIG, errno, "cannot read \"%s\"", path);
		else if (n > 0 && !base_buf_append(out, chunk, (size_t)n))
			rc = base_error_set(err, BASE_ERROR_CONFIG, 0,
				"\"%s\" is longer than %zu bytes; is it the right file?", path,
				out->max);
	}
	base_wipe(chunk, sizeof(chunk));
	close(fd);
	return rc;
}

static int remove_account(struct account *a)
{
	bool json = cli_has(a->cli, "json");

	if (cli_vault_ask(a->conf, &a->request, &a->answer, &a->err) != 0) {
		if (a->err.class == BASE_ERROR_NOT_FOUND && a->section)
			return cli_fail(a->cli, CLI_FAILED,
				"account \"%s\" has nothing in the vault; it stands in %s, line "
				"%u: take "
				"its section out there",
				a->name, a->conf->file, a->section->line);
		return cli_fail_error(a->cli, &a->err);
	}
	if (json)
		cli_print_json(&a->answer);
	else if (a->section)
		printf("%s: removed from the vault; its section in %s, line %u, stays\n", a->name,
			a->conf->file, a->section->line);
	else
		printf("%s: removed\n", a->name);
	return CLI_OK;
}

static int run_verb(struct account *a)
{
	if (strcmp(a->verb, "list") == 0 || strcmp(a->verb, "show") == 0)
		return account_list(a);
	if (strcmp(a->verb, "test") == 0)
		return cli_account_test(a->cli, a->conf, a->name);
	cli_request_add(&a->request, "account");
	cli_request_add(&a->request, "%s", a->verb);
	cli_request_add(&a->request, "%s", a->name);
	return strcmp(a->verb, "add") == 0 ? account_add(a) : remove_account(a);
}

/* What only one verb takes is a slip with another. */
static int check_options(const struct cli *cli, const char *verb)
{
	static const char *const of_add[] = {"url", "user", "password-stdin", "oauth", "cert",
		"key", "ca", "pin", "mechanisms", "connections", "rate", "replace", "client-id",
		"client-secret-stdin", "tenant", "scope", "grant", "no-browser"};

	if (strcmp(verb, "add") == 0)
		return CLI_OK;
	for (size_t i = 0; i < BASE_COUNT(of_add); i++)
		if (cli_has(cli, of_add[i]))
			return cli_fail(cli, CLI_USAGE,
				"--%s has no meaning for %s; it is for add, which replaces an "
				"account "
				"with --replace",
				of_add[i], verb);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	struct account a = {
		.cli = cli, .verb = cli->args[0], .name = cli->args[1], .root = geteuid() == 0};
	bool list = strcmp(a.verb, "list") == 0;
	int status;

	if (list != (cli->arg_count == 1))
		return cli_fail(cli, CLI_USAGE,
			list ? "list takes no name; postern account show NAME shows one"
			     : "%s needs a NAME: postern account %s NAME",
			a.verb, a.verb);
	status = check_options(cli, a.verb);
	if (status != CLI_OK)
		return status;
	a.conf = cli_conf(cli);
	if (!a.conf)
		return CLI_FAILED;
	a.section = a.name ? conf_account_find(a.conf, a.name) : NULL;
	base_buf_init_secret(&a.answer, CLI_ANSWER_MAX_BYTES);
	status = run_verb(&a);
	base_buf_release(&a.answer);
	cli_request_release(&a.request);
	conf_free(&a.conf);
	return status;
}

static const char *const verbs[] = {"add", "list", "show", "test", "remove", NULL};

static const struct cli_option options[] = {
	{"url", 0, CLI_VALUE, "URL",
		"smtps://host:465 or smtp://host:587 (STARTTLS);\n"
		"may be left out where a section has it"},
	{"user", 0, CLI_VALUE, "USER",
		"the login name there; may be left out where a section\n"
		"has it, and where only the certificate counts"},
	{"password-stdin", 0, CLI_FLAG, NULL,
		"the password is the first line of standard input;\n"
		"else the terminal is asked, twice"},
	{"oauth", 0, CLI_VALUE, "PROVIDER",
		"a token in place of a password: google, microsoft, or a\n"
		"FILE in JSON that names the endpoints"},
	{"client-id", 0, CLI_VALUE, "ID", "oauth: the client, as registered with the provider"},
	{"client-secret-stdin", 0, CLI_FLAG, NULL,
		"oauth: the client's secret is the first line of standard\n"
		"input"},
	{"tenant", 0, CLI_VALUE, "T", "oauth, microsoft: the directory; default common"},
	{"scope", 0, CLI_VALUE, "SCOPE",
		"oauth: what to ask for, in place of the provider's usual"},
	{"grant", 0, CLI_VALUE, "GRANT",
		"oauth: device_code, authorization_code, refresh_token,\n"
		"client_credentials or jwt_bearer; default: as fits"},
	{"no-browser", 0, CLI_FLAG, NULL, "oauth: only print the address, start no browser"},
	{"cert", 0, CLI_VALUE, "FILE",
		"a client certificate, PEM with its chain. Alone: the login\n"
		"is by EXTERNAL; else beside the password or token"},
	{"key", 0, CLI_VALUE, "FILE", "its private key, PEM without a passphrase"},
	{"ca", 0, CLI_VALUE, "FILE", "trust these authorities too for this server, PEM"},
	{"pin", 0, CLI_VALUE, "PIN",
		"sha256: and the digest of the server's public key: take\n"
		"this key and no other"},
	{"mechanisms", 0, CLI_VALUE, "LIST", "log in by these only, comma-separated"},
	{"connections", 0, CLI_VALUE, "N", "at a time, at most; default 4"},
	{"rate", 0, CLI_VALUE, "N/hour", "messages, at most; second, minute, hour or day"},
	{"replace", 0, CLI_FLAG, NULL, "an account of this name may be there already"},
	CLI_OPTION_JSON,
	CLI_OPTION_CONF,
	CLI_OPTION_END,
};

const struct cli_command cli_command_account = {
	.name = "account",
	.summary = "credentials for relaying through another server",
	.synopsis =
		"account add NAME --url URL --user USER [--password-stdin] [OPTIONS]\n"
		"account add NAME --url URL --user USER --oauth google|microsoft|FILE [OPTIONS]\n"
		"account add NAME --url URL [--user USER] --cert FILE --key FILE [OPTIONS]\n"
		"account list\naccount show|test|remove NAME",
	.details =
		"A route uses it by via = \"account:NAME\", a sender by postern sender add. The\n"
		"secret is sealed in the vault. test logs in and tells of each step; it exits 0\n"
		"if the server took the login, else 1.\n"
		"How to register a client at Google and Microsoft: postern-account(1), OAUTH.\n",
	.options = options,
	.verbs = verbs,
	.args_min = 1,
	.args_max = 2,
	.run = run,
};
