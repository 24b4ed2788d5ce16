/* smtpd, remote, checkpassword, record: small programs, so that the one that faces the network or
 * holds a password contains nothing else. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const struct cli_session cli_sessions[] = {
	{"smtpd", "postern-smtpd",
		"smtpd [-c FILE] [--compat] [--log spamcontrol|postern|none]\n"
		"       [--cram-order standard|legacy] [--allow-clear] [CHECKPASSWORD PROG ARGS…]",
		"One SMTP session on descriptors 0 and 1, in the place of qmail-smtpd. Without\n"
		"CHECKPASSWORD the users of the server of FILE log in."},
	{"remote", "postern-remote", "remote HOST SENDER RECIPIENT…",
		"A message from standard input to HOST, reports on standard output, in the place\n"
		"of qmail-remote; control files below $QMAILHOME/control."},
	{"checkpassword", "postern-checkpassword",
		"checkpassword [-c FILE] [--cram-order standard|legacy] PROG ARGS…",
		"Login, password and challenge from descriptor 3; becomes PROG if they are right,\n"
		"else exits 1; 2 misuse, 111 try again later."},
	{"record", "postern-record", "record [--show-secrets] PROG ARGS…",
		"Runs PROG and writes its dialogue to standard error, secrets masked, in the "
		"place\n"
		"of recordio."},
	{NULL, NULL, NULL, NULL},
};

const struct cli_session *cli_session_find(const char *name)
{
	for (size_t i = 0; cli_sessions[i].name; i++)
		if (strcmp(cli_sessions[i].name, name) == 0)
			return &cli_sessions[i];
	return NULL;
}

static int help(const struct cli_session *session)
{
	printf("usage: postern %s\n\n%s\nOptions end at the first argument that is none. "
	       "Manual: postern-%s(1).\n",
		session->synopsis, session->details, session->name);
	return CLI_OK;
}

int cli_session_run(const struct cli_session *session, int argc, char **argv, int at)
{
	char **line = base_alloc_zero((size_t)argc + 1, sizeof(*line));
	char path[4096];
	int count = 0;

	if (at + 1 < argc && strcmp(argv[at + 1], "--help") == 0) {
		free(line);
		return help(session);
	}
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
