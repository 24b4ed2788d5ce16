/* qmail/checker.h: run a checkpassword program and hear its verdict
 * Job      the bytes on descriptor 3, /dev/null on 0 and 1, our 2 and our environment; its exit status
 * Not      what stands in the bytes (wire/checkpassword.h), what the status means to the client
 * Trust    the program may exit without reading, crash, or never end: it has CHECKER_LIMIT_MS
 * Time     blocks until it ends */
#ifndef QMAIL_CHECKER_H
#define QMAIL_CHECKER_H

#include "base/error.h"
#include "base/slice.h"

#define CHECKER_BYTES_MAX 4096 /* fits in a pipe, so that writing it never waits */
#define CHECKER_LIMIT_MS (120 * 1000)

/* 0: it ended by itself, *out_status is its exit status. TEMPORARY: it could not be started, was killed
 * or took too long; err says which. @argv: null-ended, looked up in PATH.
 * @client_fd: when it hangs up both ways, nobody waits any more: the program is killed; -1: none. */
BASE_MUST_USE int checker_run(char *const argv[], struct base_slice bytes, int client_fd,
	int *out_status, struct base_error *err);
/* Is there something to execute under this name, in PATH where it has no '/'? */
bool checker_exists(const char *name);

#endif
