#include "qmail/qmail_queue.h"

#include "qmail/pipe.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CANNOT_EXECUTE = 120 };

_Noreturn static void become(const char *path, int message_fd, int envelope_fd)
{
	char *argv[] = {(char *)(uintptr_t)path, NULL};

	signal(SIGPIPE, SIG_DFL);
	if (dup2(message_fd, 0) == 0 && dup2(envelope_fd, 1) == 1)
		execv(path, argv);
	_exit(CANNOT_EXECUTE);
}

int qmail_queue_open(struct qmail_queue *q, const char *path, struct base_error *err)
{
	int message[2], envelope[2];
	pid_t pid;

	if (qmail_pipe_above(message) != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot make a pipe for \"%s\"", path);
	if (qmail_pipe_above(envelope) != 0) {
		close(message[0]);
		close(message[1]);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot make a pipe for \"%s\"", path);
	}
	pid = fork();
	if (pid == 0)
		become(path, message[0], envelope[0]);
	close(message[0]);
	close(envelope[0]);
	*q = (struct qmail_queue){pid, message[1], envelope[1], false};
	if (pid > 0)
		return 0;
	close(message[1]);
	close(envelope[1]);
	q->pid = 0;
	return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot start \"%s\"", path);
}

static bool write_all(int fd, struct base_slice bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = base_slice_from(bytes, (size_t)n);
	}
	return true;
}

void qmail_queue_write(struct qmail_queue *q, struct base_slice bytes)
{
	if (!q->broken && !write_all(q->message_fd, bytes))
		q->broken = true;
}

static int reap(struct qmail_queue *q)
{
	int status = 0;

	while (waitpid(q->pid, &status, 0) < 0 && errno == EINTR)
		continue;
	q->pid = 0;
	return status;
}

void qmail_queue_commit(
	struct qmail_queue *q, struct base_slice envelope, int *out_status, bool *out_crashed)
{
	int status;

	close(q->message_fd);
	/* A message that did not get through whole must not be queued. */
	if (!q->broken && !write_all(q->envelope_fd, envelope))
		q->broken = true;
	close(q->envelope_fd);
	status = reap(q);
	*out_crashed = !WIFEXITED(status);
	*out_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
}

void qmail_queue_abort(struct qmail_queue *q)
{
	if (!q->pid)
		return;
	close(q->message_fd);
	close(q->envelope_fd);
	(void)reap(q);
}
