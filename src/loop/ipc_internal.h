/* loop/ipc_internal.h: what the files of the IPC share */
#ifndef LOOP_IPC_INTERNAL_H
#define LOOP_IPC_INTERNAL_H

#include "loop/ipc.h"

#include <sys/socket.h>

bool ipc_frame_is_secret(enum ipc_frame_type type);
bool ipc_frame_fds_optional(enum ipc_frame_type type);
/* The table's judgement on a frame of which only the header is at hand: null, or what is wrong. */
const char *ipc_frame_judge(enum ipc_role from, enum ipc_role to, const struct ipc_header *header,
	size_t body_len, unsigned fd_count);

/* One sendmsg() of @parts with descriptors: bytes sent, or -errno. */
ssize_t ipc_socket_send(int fd, const struct base_slice *parts, size_t part_count, const int *fds,
	unsigned fd_count, int flags);
/* One recvmsg() into @bytes. @out_fds gets at most IPC_FDS_MAX; *out_lost: descriptors or bytes were
 * cut off. Bytes received (0: the end), or -errno. */
ssize_t ipc_socket_receive(int fd, uint8_t *bytes, size_t size, int out_fds[IPC_FDS_MAX],
	unsigned *out_fd_count, bool *out_bytes_lost, bool *out_fds_lost, int flags);

#endif
