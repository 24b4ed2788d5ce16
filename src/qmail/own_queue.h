/* qmail/own_queue.h: one message into Postern's own queue, which a running server keeps
 * Job      collect it, in a file that the server hands out once it is long; hand it over
 * Order    open, write …, then commit or abort; close at the end of the session
 * Time     blocks */
#ifndef QMAIL_OWN_QUEUE_H
#define QMAIL_OWN_QUEUE_H

#include "loop/submit.h"

struct own_queue {
	struct submit *submit; /* null: none */
	int file_fd;           /* the submit's; -1: none */
	int failed;            /* class of what went wrong while writing; 0: nothing */
	uint64_t size;
	struct base_buf body;
};

void own_queue_init(struct own_queue *q);
/* 0; NOT_FOUND: no server runs there; TEMPORARY. */
BASE_MUST_USE int own_queue_open(struct own_queue *q, const char *run_dir, struct base_error *err);
void own_queue_write(struct own_queue *q, struct base_slice bytes, struct base_error *err);
/* 0: on stable storage. Else the class. */
BASE_MUST_USE int own_queue_commit(struct own_queue *q, const struct base_id *id,
	struct base_slice envelope, struct base_error *err);
void own_queue_abort(struct own_queue *q);
void own_queue_close(struct own_queue *q);

#endif
