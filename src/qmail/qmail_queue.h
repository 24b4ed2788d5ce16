/* qmail/qmail_queue.h: one message into qmail-queue
 * Job      the message on its descriptor 0, the envelope on its 1, its verdict
 * Not      what stands in either (smtpd_core.c, wire/qmail_queue.h)
 * Order    open, write …, then commit or abort
 * Time     blocks as qmail-queue does */
#ifndef QMAIL_QMAIL_QUEUE_H
#define QMAIL_QMAIL_QUEUE_H

#include "base/error.h"
#include "base/slice.h"

#include <sys/types.h>

struct qmail_queue {
	pid_t pid; /* 0: none */
	int message_fd, envelope_fd;
	bool broken; /* a byte did not get through */
};

/* @path: looked up from the current directory. 0 or TEMPORARY. */
BASE_MUST_USE int qmail_queue_open(struct qmail_queue *q, const char *path, struct base_error *err);
void qmail_queue_write(struct qmail_queue *q, struct base_slice bytes);
/* Ends the message, gives the envelope, waits. *out_status: its exit status, 0 if it crashed. */
void qmail_queue_commit(
	struct qmail_queue *q, struct base_slice envelope, int *out_status, bool *out_crashed);
/* Ends both without the end of the envelope, so that nothing is queued, and waits. */
void qmail_queue_abort(struct qmail_queue *q);

#endif
