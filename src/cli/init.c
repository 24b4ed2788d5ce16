/* postern init: everything that a first start needs. */
#include "cli/make.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct init {
	struct cli *cli;
	char dir[3000], data[3100], run[3100];
	char conf_path[3200], chain_path[3200], key_path[3200];
	const char *hostname, *user;
	struct base_error err;
};

/* The file that is written: host name, data, run, certificate, key. */
static const char text[] =
	"# The configuration of Postern. Manual: postern.conf(5). After a change: postern check,\n"
	"# then send SIGHUP to the server.\n\n"
	"hostname = \"%s\"\n"
	"data     = \"%s\"      # databases and the queue\n"
	"run      = \"%s\"      # sockets\n\n"
	"# A self-signed certificate, to begin with. Put a real one in its place: clients trust no "
	"other.\n"
	"# The files are watched; a new pair is served as soon as it is complete.\n"
	"tls {\n"
	"  certificate = \"%s\"\n"
	"  key         = \"%s\"\n"
	"}\n\n"
	"# People and programs send here. AUTH is required.\n"
	"listener submission  { address = \"0.0.0.0:587\"  tls = \"starttls\" }\n"
	"listener submissions { address = \"0.0.0.0:465\"  tls = \"implicit\" }\n"
	"# For IPv6 add listeners with address = \"[::]:587\" and \"[::]:465\".\n\n"
	"auth {\n"
	"  mechanisms = {\"SCRAM-SHA-256-PLUS\", \"SCRAM-SHA-256\", \"PLAIN\", \"LOGIN\"}\n"
	"  providers  = {\"store\"}            # the built-in vault: postern user add NAME\n"
	"}\n\n"
	"# Other programs (Postfix, Exim) may ask Postern about passwords by the Dovecot "
	"protocol:\n"
	"# auth_service { mode = 0660 }\n\n"
	"# Where mail goes. Own domains first, everything else by DNS, or through a provider:\n"
	"#   postern account add provider --url smtps://smtp.example.org:465 --user "
	"robot@example.org\n"
	"# route \"example.org\" { via = \"lmtp:/run/dovecot/lmtp\" }\n"
	"# route \"*\"           { via = \"account:provider\" }\n"
	"route \"*\" { via = \"mx\" }\n\n"
	"limits {\n"
	"  message_size = \"50M\"\n"
	"  recipients   = 1000\n"
	"  per_ip       = 100                # connections of one address\n"
	"}\n\n"
	"queue { lifetime = \"5d\"  delay_warning = \"4h\"  retry = {\"5m\", \"15m\", \"1h\", "
	"\"4h\"} }\n\n"
	"log { format = \"text\" }             # or \"json\"; to standard error\n";

/* An absolute form of @dir in which neither quotes nor line ends stand. */
static int choose_paths(struct init *i)
{
	const char *dir = cli_value(i->cli, "dir");
	bool standard = !dir || strcmp(dir, "/etc/postern") == 0;
	char cwd[2000] = "";

	if (!dir)
		dir = "/etc/postern";
	if (strpbrk(dir, "\"\\\n\r") || strlen(dir) > 900 || dir[0] == '\0')
		return cli_fail(i->cli, CLI_USAGE,
			"--dir %s cannot be written into a configuration; take "
			"a plain name",
			dir);
	if (dir[0] != '/' && !getcwd(cwd, sizeof(cwd)))
		return cli_fail(i->cli, CLI_FAILED, "cannot tell the current directory: %s",
			strerror(errno));
	while (dir[0] == '.' && dir[1] == '/')
		dir += 1 + strspn(dir + 1, "/");
	snprintf(i->dir, sizeof(i->dir), "%s%s%s", cwd, cwd[0] ? "/" : "", dir);
	while (strlen(i->dir) > 1 && i->dir[strlen(i->dir) - 1] == '/')
		i->dir[strlen(i->dir) - 1] = '\0';
	snprintf(i->data, sizeof(i->data), "%s%s", standard ? "/var/lib/postern" : i->dir,
		standard ? "" : "/data");
	snprintf(i->run, sizeof(i->run), "%s%s", standard ? "/run/postern" : i->dir,
		standard ? "" : "/run");
	snprintf(i->conf_path, sizeof(i->conf_path), "%s/postern.conf", i->dir);
	snprintf(i->chain_path, sizeof(i->chain_path), "%s/fullchain.pem", i->dir);
	snprintf(i->key_path, sizeof(i->key_path), "%s/privkey.pem", i->dir);
	return CLI_OK;
}

/* Nothing of an older set-up may be lost, so one file that is there stops everything. */
static int refuse_overwriting(const struct init *i)
{
	const char *const paths[] = {i->conf_path, i->chain_path, i->key_path};

	for (size_t k = 0; k < BASE_COUNT(paths); k++)
		if (access(paths[k], F_OK) == 0 || errno != ENOENT)
			return cli_fail(i->cli, CLI_FAILED,
				"\"%s\" is there already, and nothing is "
				"overwritten; choose another --dir, or move it away",
				paths[k]);
	return CLI_OK;
}

static int write_conf(struct init *i)
{
	struct base_buf b;
	int rc;

	base_buf_init(&b, 65536);
	base_buf_printf(&b, text, i->hostname, i->data, i->run, i->chain_path, i->key_path);
	rc = make_file(i->conf_path, 0644, false, base_buf_slice(&b), NULL, &i->err);
	base_buf_release(&b);
	return rc;
}

static int make_all(struct init *i, struct base_slice password)
{
	struct conf_findings findings;
	struct cli_account account;
	struct conf *conf;
	int rc = cli_make_dir(i->dir, 0755, NULL, &i->err);

	if (rc == 0)
		rc = make_certificate(
			i->hostname, i->chain_path, i->key_path, false, NULL, &i->err);
	if (rc == 0)
		rc = write_conf(i);
	if (rc != 0)
		return rc;
	conf = conf_load(i->conf_path, &findings);
	if (!conf) {
		rc = base_error_set(&i->err, BASE_ERROR_CONFIG, 0,
			"the new configuration is not right: "
			"line %u: %s",
			findings.items[0].line, findings.items[0].text);
		conf_findings_release(&findings);
		return rc;
	}
	account = cli_account(conf);
	rc = cli_make_dir(i->data, 0700, &account, &i->err);
	if (rc == 0)
		rc = cli_make_dir(i->run, 0755, &account, &i->err);
	if (rc == 0)
		rc = make_spool(conf, &i->err);
	if (rc == 0)
		rc = make_user(conf, i->user, password, false, &i->err);
	conf_findings_release(&findings);
	conf_free(&conf);
	return rc;
}

static int say_what_was_made(const struct init *i, const char *generated)
{
	bool standard = strcmp(i->dir, "/etc/postern") == 0;
	const char *c = standard ? "" : " -c ", *path = standard ? "" : i->conf_path;

	printf("configuration  %s\n", i->conf_path);
	printf("certificate    %s (self-signed)\n", i->chain_path);
	printf("data           %s\n", i->data);
	printf("user           %s\n", i->user);
	if (generated)
		printf("password       %s   (shown this once)\n", generated);
	printf("\nnext: postern check%s%s; postern serve%s%s\n", c, path, c, path);
	return CLI_OK;
}

static int run(struct cli *cli)
{
	struct init i = {
		.cli = cli, .hostname = cli_value(cli, "hostname"), .user = cli_value(cli, "user")};
	bool from_stdin = cli_has(cli, "password-stdin");
	struct base_secret password = {0};
	char generated[25] = "";
	int status;

	if (!i.hostname)
		return cli_fail(cli, CLI_USAGE,
			"--hostname is missing, as in postern init --hostname "
			"mail.example.org");
	if (!base_host_name_valid(base_slice_text(i.hostname), false, true))
		return cli_fail(cli, CLI_USAGE,
			"--hostname %s is not a host name; write letters, digits, "
			"hyphens and dots, as in mail.example.org",
			i.hostname);
	if (!i.user)
		i.user = "postmaster";
	status = choose_paths(&i);
	if (status == CLI_OK)
		status = refuse_overwriting(&i);
	if (status == CLI_OK && from_stdin)
		status = cli_password(cli, true, false, "", &password);
	if (status != CLI_OK)
		return status;
	if (!from_stdin)
		cli_password_generate(generated);
	status = make_all(&i,
			 from_stdin ? base_secret_slice(&password) : base_slice_text(generated)) ==
			0
		? say_what_was_made(&i, from_stdin ? NULL : generated)
		: cli_fail_error(cli, &i.err);
	base_secret_release(&password);
	base_wipe(generated, sizeof(generated));
	return status;
}

static const struct cli_option options[] = {
	{"hostname", 0, CLI_VALUE, "NAME", "the server's full name"},
	{"dir", 0, CLI_VALUE, "DIR",
		"where to put it; default /etc/postern, with data in\n"
		"/var/lib/postern and sockets in /run/postern"},
	{"user", 0, CLI_VALUE, "USER", "the first user; default postmaster"},
	{"password-stdin", 0, CLI_FLAG, NULL,
		"its password is the first line of standard input;\n"
		"else one is generated and shown once"},
	CLI_OPTION_END,
};

const struct cli_command cli_command_init = {
	.name = "init",
	.summary = "make a configuration, a certificate and the first user",
	.synopsis = "init --hostname NAME [--dir DIR] [--user USER [--password-stdin]]",
	.details = "Overwrites nothing.\n",
	.options = options,
	.run = run,
};
