/* The system calls under loop/ipc.h, and the blocking forms that need no loop. */
#include "loop/ipc_internal.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum { PARTS_MAX = 8 };

union fd_space {
	struct cmsghdr align;
	char bytes[CMSG_SPACE(sizeof(int) * IPC_FDS_MAX)];
};

ssize_t ipc_socket_send(int fd, const struct base_slice *parts, size_t part_count, const int *fds,
	unsigned fd_count, int flags)
{
	struct iovec iov[PARTS_MAX];
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = part_count};
	union fd_space space;
	struct cmsghdr *c;
	ssize_t n;

	BASE_BUG_IF(part_count > PARTS_MAX || fd_count > IPC_FDS_MAX);
	for (size_t i = 0; i < part_count; i++)
		iov[i] = (struct iovec){(void *)(uintptr_t)parts[i].ptr, parts[i].len};
	if (fd_count) {
		memset(&space, 0, sizeof(space));
		msg.msg_control = space.bytes;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
	}
	do
		n = sendmsg(fd, &msg, flags | MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}

static void take_fds(
	struct msghdr *msg, int out_fds[IPC_FDS_MAX], unsigned *out_count, bool *out_lost)
{
	struct cmsghdr *c;
	size_t count;
	int fd;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (*out_count < IPC_FDS_MAX) {
				out_fds[(*out_count)++] = fd;
			} else {
				close(fd);
				*out_lost = true;
			}
		}
	}
}

ssize_t ipc_socket_receive(int fd, uint8_t *bytes, size_t size, int out_fds[IPC_FDS_MAX],
	unsigned *out_fd_count, bool *out_bytes_lost, bool *out_fds_lost, int flags)
{
	struct iovec iov = {bytes, size};
	union fd_space space;
	struct msghdr msg = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.bytes,
		.msg_controllen = sizeof(space.bytes)};
	ssize_t n;

	*out_fd_count = 0;
	do
		n = recvmsg(fd, &msg, flags | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*out_bytes_lost = msg.msg_flags & MSG_TRUNC;
	*out_fds_lost = msg.msg_flags & MSG_CTRUNC;
	if (msg.msg_controllen)
		take_fds(&msg, out_fds, out_fd_count, out_fds_lost);
	return n;
}

static int wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, -1);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int ipc_write_blocking(int fd, const struct base_buf *b, struct base_error *err)
{
	struct base_slice part = base_buf_slice(b);
	ssize_t n;

	if (!base_buf_ok(b))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "the request is too long");
	for (;;) {
		n = ipc_socket_send(fd, &part, 1, NULL, 0, 0);
		if (n >= 0)
			return 0;
		if (n != -EAGAIN)
			break;
		n = wait_for(fd, POLLOUT);
		if (n < 0)
			break;
	}
	return base_error_errno(err, BASE_ERROR_TEMPORARY, (int)-n, "cannot write to the socket");
}

static ssize_t receive_blocking(
	int fd, uint8_t *to, int fds[IPC_FDS_MAX], unsigned *fd_count, bool *lost)
{
	bool bytes_lost = false, fds_lost = false;
	ssize_t n;

	for (;;) {
		n = ipc_socket_receive(
			fd, to, IPC_FRAME_MAX_BYTES, fds, fd_count, &bytes_lost, &fds_lost, 0);
		if (n >= 0) {
			*lost = bytes_lost || fds_lost;
			return n;
		}
		if (n != -EAGAIN)
			return n;
		n = wait_for(fd, POLLIN);
		if (n < 0)
			return n;
	}
}

int ipc_read_blocking(int fd, struct base_buf *b, struct ipc_frame *out, struct base_error *err)
{
	struct ipc_header header;
	bool lost = false;
	uint8_t *to;
	ssize_t n;

	base_buf_clear(b);
	*out = (struct ipc_frame){.fds = {-1, -1}};
	to = base_buf_reserve(b, IPC_FRAME_MAX_BYTES);
	BASE_BUG_IF(!to);
	n = receive_blocking(fd, to, out->fds, &out->fd_count, &lost);
	if (n < 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, (int)-n, "cannot read from the socket");
	if (n == 0)
		return base_error_set(
			err, BASE_ERROR_TEMPORARY, 0, "the other side closed the socket");
	base_buf_grew(b, (size_t)n);
	if ((size_t)n < sizeof(header) || lost)
		goto bad;
	memcpy(&header, b->ptr, sizeof(header));
	if (header.type >= IPC_FRAME_COUNT || header.reserved != 0)
		goto bad;
	out->type = (enum ipc_frame_type)header.type;
	out->id = header.id;
	out->body = base_slice_from(base_buf_slice(b), sizeof(header));
	return 0;
bad:
	for (unsigned i = 0; i < out->fd_count; i++)
		close(out->fds[i]);
	out->fd_count = 0;
	return base_error_set(err, BASE_ERROR_PEER, 0, "the other side sent a broken frame");
}
