/* postern: dispatch to a subcommand, nothing else. */
#include "cli/cli.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

const struct cli_command *const cli_commands[] = {
	&cli_command_init,
	&cli_command_try,
	&cli_command_serve,
	&cli_command_check,
	&cli_command_status,
	&cli_command_user,
	&cli_command_account,
	&cli_command_sender,
	&cli_command_queue,
	&cli_command_why,
	&cli_command_send,
	&cli_command_probe,
	&cli_command_explain,
	&cli_command_base64,
	&cli_command_xtext,
	&cli_command_import,
	NULL,
};

/* Commands that Postern will have: known, so that nobody looks for a typing error. */
static const char *const later[] = {"unban", "dkim", "conform", "sendmail", NULL};

static void print_help(FILE *out)
{
	fputs("Postern: authenticated mail submission.\n"
	      "usage: postern [-c FILE] COMMAND …\n",
		out);
	for (size_t i = 0; cli_commands[i]; i++)
		fprintf(out, "  %-9s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
	fputs("  smtpd, remote, checkpassword, record: in place of qmail's programs\n"
	      "  -c FILE    default $POSTERN_CONF, then /etc/postern/postern.conf\n"
	      "  --help     this text; postern COMMAND --help for one command; --version\n"
	      "\n"
	      "To see it work: postern try. To set up a server: postern init --hostname NAME,\n"
	      "then postern check and postern serve. Manual: postern(1), postern.conf(5).\n",
		out);
}

static const struct cli_command *find(const char *name)
{
	for (size_t i = 0; cli_commands[i]; i++)
		if (strcmp(cli_commands[i]->name, name) == 0)
			return cli_commands[i];
	return NULL;
}

static int no_command(const char *name)
{
	const char *names[32];
	const char *near;
	size_t n = 0;

	for (size_t i = 0; later[i]; i++)
		if (strcmp(later[i], name) == 0) {
			fprintf(stderr, "postern: %s: not available in this build\n", name);
			return CLI_USAGE;
		}
	for (size_t i = 0; cli_commands[i]; i++)
		names[n++] = cli_commands[i]->name;
	for (size_t i = 0; cli_sessions[i].name; i++)
		names[n++] = cli_sessions[i].name;
	names[n] = NULL;
	near = conf_nearest(name, names);
	if (near)
		fprintf(stderr, "postern: there is no command \"%s\"; did you mean \"%s\"?\n", name,
			near);
	else
		fprintf(stderr, "postern: there is no command \"%s\"; postern --help lists them\n",
			name);
	return CLI_USAGE;
}

/* Options may stand before the command too: where is it? argc if there is none. A word that is the
 * value of an option is taken for the command only if it is named like one. */
static int command_index(int argc, char **argv)
{
	for (int at = 1; at < argc; at++) {
		bool conf_value = strcmp(argv[at - 1], "-c") == 0 ||
			strcmp(argv[at - 1], "--conf") == 0;

		if (at > 1 && conf_value)
			continue;
		if (find(argv[at]) || cli_session_find(argv[at]))
			return at;
	}
	return argc;
}

/* No command that we know: what was meant? */
static int without_command(int argc, char **argv)
{
	for (int at = 1; at < argc; at++) {
		if (strcmp(argv[at], "--help") == 0 || strcmp(argv[at], "-h") == 0 ||
			strcmp(argv[at], "help") == 0) {
			print_help(stdout);
			return CLI_OK;
		}
		if (strcmp(argv[at], "--version") == 0) {
			puts("postern " POSTERN_VERSION);
			return CLI_OK;
		}
		if (strcmp(argv[at], "-c") == 0 || strcmp(argv[at], "--conf") == 0)
			at++;
		else if (argv[at][0] != '-')
			return no_command(argv[at]);
	}
	print_help(stderr);
	return CLI_USAGE;
}

/* Passwords, keys and tokens are in the memory of most commands: none comes into a core file. Not
 * PR_SET_DUMPABLE, which would take /dev/stdin and /dev/fd/N from whoever names them. */
static void forbid_core(void)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
}

int main(int argc, char **argv)
{
	struct cli cli = {.program = argc ? argv[0] : "postern"};
	int at = command_index(argc, argv), status;
	bool done = false;

	if (at >= argc)
		return without_command(argc, argv);
	if (at > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "--help") == 0))
		return without_command(at, argv);
	if (cli_session_find(argv[at]))
		return cli_session_run(cli_session_find(argv[at]), argc, argv, at);
	forbid_core();
	cli.command = find(argv[at]);
	/* The rest of the line without the command's name: argv[0] is not needed any more. */
	memmove(argv + 1, argv, (size_t)at * sizeof(*argv));
	status = cli_parse(&cli, argc - 2, argv + 2, &done);
	if (status != CLI_OK || done)
		return status;
	status = cli.command->run(&cli);
	if (fflush(stdout) != 0 && status == CLI_OK)
		return cli_fail(&cli, CLI_FAILED, "cannot write to standard output");
	return status;
}
