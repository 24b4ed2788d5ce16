/* The program runs as a child on one end of a socket pair. Started as root it becomes the service account
 * first: what talks to the network needs no more, and that account cannot touch what root has open.
 * tls { ca } is read by the child itself (--ca), because it may be longer than a frame. */
#include "cli/fetch.h"

#include "loop/ipc.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_NO_PROGRAM = 127, PATH_BYTES = 4096 };

struct cli_fetch {
	int fd;
	pid_t pid;
	uint32_t id;
	struct base_buf frame; /* secret */
};

/* In the child. */
_Noreturn static void become(int program, int channel, const char *ca, const struct cli_account *a)
{
	const char *words[] = {"postern-fetch", "once", ca ? "--ca" : NULL, ca, NULL};
	char *argv[BASE_COUNT(words)];

	memcpy(argv, words, sizeof(argv)); /* fexecve() changes none of them */
	if (a->root && (setgroups(0, NULL) != 0 || setgid(a->gid) != 0 || setuid(a->uid) != 0))
		_exit(EXIT_NO_PROGRAM);
	/* Where the command was started without a descriptor 0, the channel has taken its place. */
	if (channel == STDIN_FILENO ? fcntl(channel, F_SETFD, 0) == 0
				    : dup2(channel, STDIN_FILENO) >= 0)
		fexecve(program, argv, environ);
	_exit(EXIT_NO_PROGRAM);
}

static int start(struct cli_fetch *f, const struct conf *conf, int program, struct base_error *err)
{
	struct cli_account account = cli_account(conf);
	const char *ca = conf && conf->tls_ca && *conf->tls_ca ? conf->tls_ca : NULL;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot make a pair of sockets");
	f->pid = fork();
	if (f->pid == 0)
		become(program, pair[1], ca, &account);
	close(pair[1]);
	f->fd = pair[0];
	if (f->pid < 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot start postern-fetch");
	return 0;
}

int cli_fetch_open(struct cli_fetch **out, const struct conf *conf, struct base_error *err)
{
	char path[PATH_BYTES];
	struct cli_fetch *f;
	int program, rc;

	if (!cli_program_path("postern-fetch", path, sizeof(path)))
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"cannot find postern-fetch in libexec/postern beside this program; install "
			"or build it");
	/* Opened now: the account may not get through the folders above it. */
	program = open(path, O_RDONLY | O_CLOEXEC);
	if (program < 0)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot open \"%s\"", path);
	f = base_alloc_zero(1, sizeof(*f));
	f->fd = -1;
	base_buf_init_secret(&f->frame, IPC_FRAME_MAX_BYTES);
	rc = start(f, conf, program, err);
	close(program);
	if (rc != 0)
		cli_fetch_close(&f);
	else
		*out = f;
	return rc;
}

/* What the server said, or why there is none. */
static int read_answer(const struct ipc_frame *frame, unsigned *out_status,
	struct base_buf *out_body, struct base_error *err)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	int class = -(int)ipc_get_u8(&in);
	unsigned status = ipc_get_u16(&in);
	struct base_slice body = ipc_get_bytes(&in), text = ipc_get_bytes(&in);

	(void)ipc_get_u32(&in);
	if (!ipc_reader_done(&in) || base_slice_has(text, 0))
		return base_error_set(
			err, BASE_ERROR_TEMPORARY, 0, "postern-fetch sent a broken frame");
	if (class == BASE_ERROR_CONFIG)
		return base_error_set(err, BASE_ERROR_CONFIG, 0, "%.*s", BASE_SLICE_ARGS(text));
	if (class != 0)
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "%.*s", BASE_SLICE_ARGS(text));
	*out_status = status;
	(void)base_buf_append_slice(out_body, body);
	return 0;
}

/* It ended: it has said why on standard error, unless it never came to that. */
static int explain_end(struct cli_fetch *f, struct base_error *err)
{
	int status = 0;

	close(f->fd);
	f->fd = -1;
	if (f->pid > 0 && waitpid(f->pid, &status, 0) == f->pid)
		f->pid = 0;
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_NO_PROGRAM)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"cannot run postern-fetch as the service account");
	return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "postern-fetch ended unexpectedly");
}

int cli_fetch(struct cli_fetch *f, const char *url, struct base_slice form, struct base_slice ca,
	uint32_t timeout_ms, unsigned *out_status, struct base_buf *out_body,
	struct base_error *err)
{
	struct ipc_frame frame;
	int rc;

	if (f->fd < 0)
		return base_error_set(
			err, BASE_ERROR_TEMPORARY, 0, "postern-fetch ended unexpectedly");
	ipc_begin(&f->frame, IPC_FETCH_WANT, ++f->id);
	ipc_put_text(&f->frame, url);
	ipc_put_bytes(&f->frame, form);
	ipc_put_bytes(&f->frame, ca);
	ipc_put_u32(&f->frame, timeout_ms);
	if (!base_buf_ok(&f->frame))
		rc = base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the request is too long: the file of authorities, probably");
	else if (ipc_write_blocking(f->fd, &f->frame, err) != 0)
		rc = explain_end(f, err);
	else if (ipc_read_blocking(f->fd, &f->frame, &frame, err) != 0)
		rc = explain_end(f, err);
	else if (ipc_frame_check(IPC_FETCH, IPC_CLI, base_buf_slice(&f->frame), frame.fd_count) ||
		frame.id != f->id)
		rc = base_error_set(
			err, BASE_ERROR_TEMPORARY, 0, "postern-fetch sent a broken frame");
	else
		rc = read_answer(&frame, out_status, out_body, err);
	base_buf_clear(&f->frame);
	return rc;
}

void cli_fetch_close(struct cli_fetch **fetch)
{
	struct cli_fetch *f = *fetch;

	if (!f)
		return;
	if (f->fd >= 0)
		close(f->fd);
	if (f->pid > 0)
		(void)waitpid(f->pid, NULL, 0);
	base_buf_release(&f->frame);
	free(f);
	*fetch = NULL;
}
