/* loop/submit.h: a message from a command into the queue of the running server
 * Job      the front's frames spoken by a program of one session, blocking
 * Not      header fields (mail/), deciding who may send
 * Limits   the control socket of queue is open to root and the service account alone
 * Order    open; then for each message file (or not) and commit, or abort; close */
#ifndef LOOP_SUBMIT_H
#define LOOP_SUBMIT_H

#include "base/id.h"
#include "loop/envelope.h"

struct submit;

/* 0; NOT_FOUND: no server listens there; else TEMPORARY. */
BASE_MUST_USE int submit_open(struct submit **out, const char *run_dir, struct base_error *err);
void submit_close(struct submit **s);
/* An empty file that the message is to be written to, ours until commit or abort. 0, NO_SPACE,
 * TEMPORARY. */
BASE_MUST_USE int submit_file(struct submit *s, int *out_fd, struct base_error *err);
/* Hand the message over: from the file (then @body is empty and @size its length) or @body, at most
 * IPC_INLINE_MESSAGE_MAX_BYTES. 0: it is on stable storage. @envelope: as loop/envelope.h has it. */
BASE_MUST_USE int submit_commit(struct submit *s, const struct base_id *id,
	struct base_slice envelope, uint64_t size, struct base_slice body, struct base_error *err);
void submit_abort(struct submit *s);

#endif
