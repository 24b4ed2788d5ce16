/* The bytes fit into an empty pipe, so they are written, and the pipe closed, before anybody is
 * started: no child that ends without reading can break the writing, and its end of file is there
 * whatever happens.
 *
 * Whether exec worked is told by a second pipe that closes by itself when it does. */
#include "provider/checker.h"

#include "base/clock.h"
#include "base/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BYTES_FD = 3, SPARE_FD = 10, POLL_WITHOUT_PIDFD_MS = 10 };
enum { KILLED_MS = 1000, LEFT_BEHIND_MAX = 16 };

/* Programs that we may not kill, because they became somebody else (run_as lets them), and still run. */
static unsigned left_behind;

struct pipes {
	int bytes;                /* read end, for descriptor 3 */
	int words[2], started[2]; /* from the child */
};

static void close_pair(int pair[2])
{
	for (int i = 0; i < 2; i++) {
		if (pair[i] >= 0)
			close(pair[i]);
		pair[i] = -1;
	}
}

/* A pipe that holds @bytes and has no writer left. */
static int make_filled(struct base_slice bytes)
{
	int pair[2];
	ssize_t n;

	if (pipe2(pair, O_CLOEXEC) != 0)
		return -1;
	do {
		n = write(pair[1], bytes.ptr, bytes.len);
	} while (n < 0 && errno == EINTR);
	close(pair[1]);
	if (n != (ssize_t)bytes.len) {
		close(pair[0]);
		errno = EIO;
		return -1;
	}
	return pair[0];
}

static bool make_pipes(struct pipes *p, struct base_slice bytes)
{
	*p = (struct pipes){-1, {-1, -1}, {-1, -1}};
	p->bytes = make_filled(bytes);
	if (p->bytes < 0)
		return false;
	if (pipe2(p->words, O_CLOEXEC) != 0 || pipe2(p->started, O_CLOEXEC) != 0)
		return false;
	fcntl(p->words[0], F_SETFL, O_NONBLOCK);
	fcntl(p->started[0], F_SETFL, O_NONBLOCK);
	return true;
}

static void close_pipes(struct pipes *p)
{
	if (p->bytes >= 0)
		close(p->bytes);
	close_pair(p->words);
	close_pair(p->started);
}

/* The child. */

static void reset_signals(void)
{
	struct sigaction usual = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		(void)sigaction(i, &usual, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors that are to become 0 to 3 first leave these numbers, in case they have them. */
static bool place_descriptors(const struct pipes *p, int null_fd, int *out_started)
{
	int null = fcntl(null_fd, F_DUPFD_CLOEXEC, SPARE_FD);
	int bytes = fcntl(p->bytes, F_DUPFD_CLOEXEC, SPARE_FD);
	int words = fcntl(p->words[1], F_DUPFD_CLOEXEC, SPARE_FD);

	*out_started = fcntl(p->started[1], F_DUPFD_CLOEXEC, SPARE_FD);
	if (null < 0 || bytes < 0 || words < 0 || *out_started < 0)
		return false;
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(words, 2) < 0 ||
		dup2(bytes, BYTES_FD) < 0)
		return false;
	/* All of ours are close-on-exec already; this is for those of libraries. */
	(void)syscall(SYS_close_range, BYTES_FD + 1, ~0u, CLOSE_RANGE_CLOEXEC);
	return true;
}

static _Noreturn void be_child(const struct checker_run *run, const struct pipes *p, char **env)
{
	int started = p->started[1], error;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	reset_signals();
	if (place_descriptors(p, run->null_fd, &started)) {
		environ = env;
		execvp(run->command[0], run->command);
	}
	error = errno;
	while (write(started, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(127);
}

static void make_environment(struct base_slice client, char **env, char *text, size_t size)
{
	size_t n = 0;

	env[n++] = (char *)(uintptr_t) "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/"
				       "sbin:/bin";
	env[n++] = (char *)(uintptr_t) "PROTO=TCP";
	if (client.len) {
		snprintf(text, size, "TCPREMOTEIP=%.*s", BASE_SLICE_ARGS(client));
		env[n++] = text;
	}
	env[n] = NULL;
}

/* Waiting */

static void take_words(int fd, struct base_buf *words)
{
	uint8_t bytes[512];
	ssize_t n;

	while ((n = read(fd, bytes, sizeof(bytes))) > 0) {
		size_t room = base_buf_room(words);

		base_buf_append(words, bytes, (size_t)n < room ? (size_t)n : room);
	}
}

/* True: it ended. */
static bool reap(pid_t pid, int flags, int *out_status)
{
	pid_t got;

	do {
		got = waitpid(pid, out_status, flags);
	} while (got < 0 && errno == EINTR);
	return got == pid;
}

/* Until it ended or the time is over; its words are read all the while, so that they never fill the
 * pipe. */
static bool wait_for(pid_t pid, int limit_ms, int words_fd, struct base_buf *words, int *out_status)
{
	int64_t end = base_clock_monotonic_ms() + limit_ms, left;
	int pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
	bool ended = false;

	while (!ended && (left = end - base_clock_monotonic_ms()) > 0) {
		struct pollfd fds[] = {{pid_fd, POLLIN, 0}, {words_fd, POLLIN, 0}};
		int wait_ms = pid_fd < 0 && left > POLL_WITHOUT_PIDFD_MS ? POLL_WITHOUT_PIDFD_MS
									 : (int)left;

		(void)poll(fds, BASE_COUNT(fds), wait_ms);
		if (words_fd >= 0 && fds[1].revents) {
			take_words(words_fd, words);
			/* Closed by the child, which lives on: nothing more to hear. */
			if (!(fds[1].revents & POLLIN))
				words_fd = -1;
		}
		ended = reap(pid, WNOHANG, out_status);
	}
	if (pid_fd >= 0)
		close(pid_fd);
	if (words_fd >= 0)
		take_words(words_fd, words);
	return ended;
}

static void judge(bool in_time, int status, int exec_error, struct checker_result *out)
{
	if (exec_error) {
		out->end = CHECKER_NOT_STARTED;
		out->code = exec_error;
	} else if (!in_time) {
		out->end = CHECKER_LATE;
	} else if (WIFSIGNALED(status)) {
		out->end = CHECKER_SIGNALLED;
		out->code = WTERMSIG(status);
	} else {
		out->end = CHECKER_EXITED;
		out->code = WEXITSTATUS(status);
	}
}

/* It was too slow. One that cannot be killed is left behind: no login waits for it any longer. */
static void end(pid_t pid, struct pipes *p, struct base_buf *words)
{
	int status;

	kill(-pid, SIGKILL);
	kill(pid, SIGKILL);
	if (!wait_for(pid, KILLED_MS, p->words[0], words, &status))
		left_behind++;
}

static void reap_left_behind(void)
{
	while (left_behind && waitpid(-1, NULL, WNOHANG) > 0)
		left_behind--;
}

static void run_child(const struct checker_run *run, struct pipes *p, struct checker_result *out)
{
	char text[128], *env[4];
	int status = 0, exec_error = 0;
	bool in_time;
	pid_t pid;

	make_environment(run->client, env, text, sizeof(text));
	pid = fork();
	if (pid == 0)
		be_child(run, p, env);
	if (pid < 0) {
		out->code = errno;
		return;
	}
	/* Both sides do it, so that it is done before either needs it. */
	(void)setpgid(pid, pid);
	close(p->words[1]);
	close(p->started[1]);
	p->words[1] = p->started[1] = -1;
	in_time = wait_for(pid, run->limit_ms, p->words[0], &out->words, &status);
	if (!in_time)
		end(pid, p, &out->words);
	if (read(p->started[0], &exec_error, sizeof(exec_error)) != sizeof(exec_error))
		exec_error = 0;
	judge(in_time, status, exec_error, out);
}

void checker_run(const struct checker_run *run, struct checker_result *out)
{
	struct pipes p;

	out->end = CHECKER_NOT_STARTED;
	out->code = 0;
	reap_left_behind();
	if (left_behind == LEFT_BEHIND_MAX) {
		out->code = EAGAIN;
		return;
	}
	if (make_pipes(&p, run->bytes))
		run_child(run, &p, out);
	else
		out->code = errno;
	close_pipes(&p);
}
