#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static int run(struct cli *cli)
{
	char path[4096], *conf = base_strdup(cli->conf_path);
	char *argv[] = {path, conf, NULL};

	if (!cli_program_path("postern-master", path, sizeof(path)))
		return cli_fail(cli, CLI_FAILED,
			"cannot find postern-master in libexec/postern beside "
			"this program; install or build it");
	execv(path, argv);
	return cli_fail(cli, CLI_FAILED, "cannot execute \"%s\": %s", path, strerror(errno));
}

static const struct cli_option options[] = {CLI_OPTION_CONF, CLI_OPTION_END};

const struct cli_command cli_command_serve = {
	.name = "serve",
	.summary = "run the server in the foreground",
	.synopsis = "serve [-c FILE]",
	.details = "Prints \"postern: ready\" on standard error once all ports listen. SIGTERM "
		   "drains and\n"
		   "ends; SIGHUP reloads the configuration and certificates without dropping a "
		   "session.\n",
	.options = options,
	.run = run,
};
