/* The command's side of a control socket. */
#include "loop/control.h"

#include "loop/local.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* A role that is down has its socket held open by the master: connecting works, nobody answers. */
static int wait_for_answer(int fd, const char *part, unsigned limit_s, struct base_error *err)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	int n;

	do
		n = poll(&p, 1, (int)(limit_s ? limit_s : CONTROL_LIMIT_S) * 1000);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		return 0;
	return base_error_set(err, BASE_ERROR_TEMPORARY, ETIMEDOUT,
		"the server's %s does not answer; its log tells more", part);
}

static int read_answer(int fd, const char *part, unsigned limit_s, struct base_buf *frame_bytes,
	struct base_buf *out, struct base_error *err)
{
	struct ipc_reader in;
	struct ipc_frame frame;
	struct base_slice text;
	unsigned class;
	int rc;

	for (;;) {
		rc = wait_for_answer(fd, part, limit_s, err);
		if (rc == 0)
			rc = ipc_read_blocking(fd, frame_bytes, &frame, err);
		if (rc != 0)
			return rc;
		for (unsigned i = 0; i < frame.fd_count; i++)
			close(frame.fds[i]);
		in = ipc_reader_make(frame.body);
		if (frame.type == IPC_CTL_JSON) {
			base_buf_append_slice(out, ipc_get_bytes(&in));
			continue;
		}
		class = ipc_get_u8(&in);
		text = ipc_get_bytes(&in);
		if (frame.type != IPC_CTL_END || !ipc_reader_done(&in))
			return base_error_set(
				err, BASE_ERROR_PEER, 0, "the server's answer is broken");
		if (class == 0)
			return base_buf_ok(out) ? 0
						: base_error_set(err, BASE_ERROR_PERMANENT, 0,
							  "the server's answer is too long");
		return base_error_set(err, -(int)class, 0, "%.*s", BASE_SLICE_ARGS(text));
	}
}

int control_call(const char *run_dir, const char *part, const struct control_request *req,
	struct base_buf *out, struct base_error *err)
{
	struct base_buf bytes, path;
	int fd = -1, rc;

	base_buf_init(&path, 4096);
	base_buf_init_secret(&bytes, IPC_FRAME_MAX_BYTES);
	base_buf_printf(&path, "%s/control-%s", run_dir, part);
	rc = base_buf_text(&path)
		? local_connect((const char *)path.ptr, SOCK_SEQPACKET, false, &fd, err)
		: base_error_set(err, BASE_ERROR_CONFIG, 0, "the run directory's name is too long");
	if (rc == 0) {
		ipc_begin(&bytes, IPC_CTL_REQUEST, 0);
		ipc_put_u32(&bytes, (uint32_t)req->word_count);
		for (size_t i = 0; i < req->word_count; i++)
			ipc_put_bytes(&bytes, req->words[i]);
		ipc_put_bytes(&bytes, req->secret);
		rc = ipc_write_blocking(fd, &bytes, err);
	}
	if (rc == 0)
		rc = read_answer(fd, part, req->limit_s, &bytes, out, err);
	if (fd >= 0)
		close(fd);
	base_buf_release(&bytes);
	base_buf_release(&path);
	return rc;
}
