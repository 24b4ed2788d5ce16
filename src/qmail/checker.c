#include "qmail/checker.h"

#include "base/clock.h"
#include "base/slice.h"
#include "qmail/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHECKER_FD = 3, TICK_MS = 20 };

static void close_both(int fds[2])
{
	close(fds[0]);
	close(fds[1]);
}

/* The child. A checker that could write on 1 would write into the client's dialogue. */
_Noreturn static void become(char *const argv[], int question_fd, int failed_fd)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	ssize_t told;
	int code;

	signal(SIGPIPE, SIG_DFL);
	if (null >= 0 && dup2(null, 0) == 0 && dup2(null, 1) == 1 &&
		dup2(question_fd, CHECKER_FD) == CHECKER_FD)
		execvp(argv[0], argv);
	code = errno;
	told = write(failed_fd, &code, sizeof(code));
	(void)told;
	_exit(111);
}

/* Never waits: the bytes fit in the pipe. A reader that is gone has decided without them. */
static void give(int fd, struct base_slice bytes)
{
	ssize_t n;

	while (bytes.len) {
		n = write(fd, bytes.ptr, bytes.len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		bytes = base_slice_from(bytes, (size_t)n);
	}
}

/* 0, or the errno with which exec failed. The descriptor is closed by exec itself. */
static int hear_failure(int fd)
{
	int code = 0;
	ssize_t n;

	do
		n = read(fd, &code, sizeof(code));
	while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(code) ? code : 0;
}

/* True: it ended; *out_status is as waitpid() gives it. */
static bool wait_for(pid_t pid, int client_fd, int *out_status)
{
	int64_t until = base_clock_monotonic_ms() + CHECKER_LIMIT_MS;
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	/* Of the client only what needs no asking: POLLHUP and POLLERR. */
	struct pollfd p[] = {{.fd = fd, .events = POLLIN}, {.fd = client_fd}};
	bool ended = false, gone = false;

	while (!ended && !gone && base_clock_monotonic_ms() < until) {
		/* Without pidfd: look again and again. */
		(void)poll(p, BASE_COUNT(p), fd >= 0 ? CHECKER_LIMIT_MS : TICK_MS);
		gone = p[1].revents != 0;
		ended = waitpid(pid, out_status, WNOHANG) == pid;
	}
	if (fd >= 0)
		close(fd);
	if (ended)
		return true;
	kill(pid, SIGKILL);
	while (waitpid(pid, out_status, 0) < 0 && errno == EINTR)
		continue;
	return false;
}

static int judge(const char *name, int failed, bool ended, int status, int *out_status,
	struct base_error *err)
{
	if (failed)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, failed,
			"cannot execute the checker \"%s\"", name);
	if (!ended)
		return base_error_set(err, BASE_ERROR_TEMPORARY, ETIMEDOUT,
			"the checker \"%s\" had no answer within %d s, or the client left before",
			name, CHECKER_LIMIT_MS / 1000);
	if (!WIFEXITED(status))
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
			"the checker \"%s\" was killed by signal %d", name, WTERMSIG(status));
	*out_status = WEXITSTATUS(status);
	return 0;
}

int checker_run(char *const argv[], struct base_slice bytes, int client_fd, int *out_status,
	struct base_error *err)
{
	int question[2], failure[2], failed, status = 0;
	bool ended;
	pid_t pid;

	BASE_BUG_IF(bytes.len > CHECKER_BYTES_MAX);
	if (qmail_pipe_above(question) != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot make a pipe for the checker");
	if (qmail_pipe_above(failure) != 0) {
		close_both(question);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot make a pipe for the checker");
	}
	pid = fork();
	if (pid == 0)
		become(argv, question[0], failure[1]);
	close(question[0]);
	close(failure[1]);
	if (pid < 0) {
		close(question[1]);
		close(failure[0]);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot start the checker");
	}
	give(question[1], bytes);
	close(question[1]);
	failed = hear_failure(failure[0]);
	close(failure[0]);
	ended = wait_for(pid, client_fd, &status);
	return judge(argv[0], failed, ended, status, out_status, err);
}

/* Directories may be entered, not executed. */
static bool is_program(const char *path)
{
	struct stat st;

	return access(path, X_OK) == 0 && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool checker_exists(const char *name)
{
	const char *path = getenv("PATH");
	struct base_slice rest = base_slice_text(path ? path : "/usr/local/bin:/bin:/usr/bin"), dir;
	char file[4096];

	if (strchr(name, '/'))
		return is_program(name);
	while (base_slice_split(&rest, ':', &dir)) {
		if (dir.len + strlen(name) + 2 > sizeof(file))
			continue;
		snprintf(file, sizeof(file), "%.*s/%s", dir.len ? (int)dir.len : 1,
			dir.len ? (const char *)dir.ptr : ".", name);
		if (is_program(file))
			return true;
	}
	return false;
}
