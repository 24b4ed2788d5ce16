/* provider/checker.h: one run of a checkpassword program
 * Job      start it with the bytes on descriptor 3, wait, tell how it ended
 * Not      what the bytes are (wire/checkpassword.h), what its end means for the login
 *          (checkpassword.c)
 * Time     until it ends, limit_ms at most; then it is killed with its process group, and left alone
 *          where that is not ours to do
 *
 * The program sees: 0 and 1 /dev/null; 2 a pipe to us; 3 a pipe with the bytes and then its end;
 * nothing else open. Default signals. An environment of PATH, PROTO=TCP and TCPREMOTEIP. A process
 * group of its own. */
#ifndef PROVIDER_CHECKER_H
#define PROVIDER_CHECKER_H

#include "base/buf.h"
#include "base/error.h"

#define CHECKER_WORDS_MAX_BYTES 1024

enum checker_end {
	CHECKER_EXITED,      /* code: its exit status */
	CHECKER_SIGNALLED,   /* code: the signal */
	CHECKER_LATE,        /* it was killed for taking too long */
	CHECKER_NOT_STARTED, /* code: errno of exec, fork or what came before */
};

struct checker_run {
	char *const *command;     /* null-ended */
	struct base_slice bytes;  /* for descriptor 3; 512 at most */
	struct base_slice client; /* TCPREMOTEIP; empty: not set */
	int null_fd;              /* /dev/null, opened before the sandbox */
	int limit_ms;
};

struct checker_result {
	enum checker_end end;
	int code;
	struct base_buf
		words; /* what it wrote on descriptor 2, the first bytes; the caller's to init */
};

void checker_run(const struct checker_run *run, struct checker_result *out);

#endif
