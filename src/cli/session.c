/* smtpd, remote, checkpassword, record: small programs, so that the one that faces the network or
 * holds a password contains nothing else. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct cli_session cli_sessions[] = {
	{"smtpd", "postern-smtpd"},
	{"remote", "postern-remote"},
	{"checkpassword", "postern-checkpassword"},
	{"record", "postern-record"},
	{NULL, NULL},
};

const struct cli_session *cli_session_find(const char *name)
{
	for (size_t i = 0; cli_sessions[i].name; i++)
		if (strcmp(cli_sessions[i].name, name) == 0)
			return &cli_sessions[i];
	return NULL;
}

int cli_session_run(const struct cli_session *session, int argc, char **argv, int at)
{
	char **line = base_alloc_zero((size_t)argc + 1, sizeof(*line));
	char path[4096];
	int count = 0;

	if (!cli_program_path(session->program, path, sizeof(path))) {
		fprintf(stderr,
			"postern %s: cannot find %s in libexec/postern beside this program; "
			"install or build it\n",
			session->name, session->program);
		free(line);
		return CLI_FAILED;
	}
	/* Under its full name: "checkpassword" alone would be the other program's command line. */
	line[count++] = path;
	for (int i = 1; i < argc; i++)
		if (i != at)
			line[count++] = argv[i];
	execv(path, line);
	fprintf(stderr, "postern %s: cannot execute \"%s\": %s\n", session->name, path,
		strerror(errno));
	free(line);
	return CLI_FAILED;
}
