#include "master/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { CHANNEL_FD = 3, PROGRAM_FD = 4, EXIT_NO_PROGRAM = 127 };

char *spawn_directory(void)
{
	char path[4096];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	char *slash;

	if (len <= 0)
		return NULL;
	path[len] = 0;
	slash = strrchr(path, '/');
	if (!slash || slash == path)
		return NULL;
	*slash = 0;
	return base_strdup(path);
}

static void complain(const char *what, int code)
{
	char text[512];
	int len = snprintf(
		text, sizeof(text), "error: cannot start %s: %s\n", what, strerror(code));

	if (len > 0)
		(void)!write(STDERR_FILENO, text, (size_t)len);
}

static void raise_limits(void)
{
	struct rlimit files;

	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
}

/* In the child. @path was made and @program opened before the fork: the account may not get through
 * the folders above it (a build tree in root's home), and then runs what root has found. */
_Noreturn static void become(const char *path, int program, char *const argv[], int channel,
	const struct account *account)
{
	int null = open("/dev/null", O_RDWR);
	int code;

	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
	}
	/* Out of the way first: @channel may be 3 already, and then dup2() would keep close-on-exec. */
	channel = fcntl(channel, F_DUPFD, PROGRAM_FD + 1);
	program = fcntl(program, F_DUPFD, PROGRAM_FD + 1);
	dup2(channel, CHANNEL_FD);
	dup3(program, PROGRAM_FD, O_CLOEXEC);
	close_range(PROGRAM_FD + 1, ~0u, 0);
	raise_limits();
	signal(SIGCHLD, SIG_DFL);
	code = account_become(account);
	if (code == 0) {
		execv(path, argv);
		if (errno == EACCES)
			execveat(PROGRAM_FD, "", argv, environ, AT_EMPTY_PATH);
		code = errno;
	}
	complain(path, code);
	_exit(EXIT_NO_PROGRAM);
}

int spawn_role(const char *directory, enum ipc_role role, unsigned index, int channel,
	const struct account *account, pid_t *out_pid, struct base_error *err)
{
	char path[4096], name[32], number[16];
	char *argv[] = {name, number, NULL};
	int program;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/postern-%s", directory, ipc_role_name(role));
	snprintf(name, sizeof(name), "postern-%s", ipc_role_name(role));
	snprintf(number, sizeof(number), "%u", index);
	program = open(path, O_PATH | O_CLOEXEC);
	if (program < 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot start %s", path);
	pid = fork();
	if (pid == 0)
		become(path, program, argv, channel, account);
	if (pid < 0)
		base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot start %s", name);
	close(program);
	if (pid < 0)
		return BASE_ERROR_TEMPORARY;
	*out_pid = pid;
	return 0;
}
