/* loop/local.h: sockets with a path
 * Job      listen and connect, paths of any length included (sun_path has 108 bytes)
 * Limits   a stale socket file is replaced; one that somebody listens on, and any other kind of file,
 *          is not */
#ifndef LOOP_LOCAL_H
#define LOOP_LOCAL_H

#include "base/error.h"

#include <stdbool.h>

/* @type: SOCK_STREAM or SOCK_SEQPACKET. The socket is non-blocking; EXISTS: somebody listens there. */
BASE_MUST_USE int local_listen(
	const char *path, int type, unsigned mode, int *out_fd, struct base_error *err);
/* NOT_FOUND: no socket, or nobody listens. @nonblocking: the connected socket is; connecting to a local
 * socket does not wait either way, except for a full backlog (TEMPORARY then). */
BASE_MUST_USE int local_connect(
	const char *path, int type, bool nonblocking, int *out_fd, struct base_error *err);

#endif
