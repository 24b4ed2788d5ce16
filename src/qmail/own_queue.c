#include "qmail/own_queue.h"

#include <errno.h>
#include <unistd.h>

enum { PART_MAX_BYTES = 1024 * 1024 };

void own_queue_init(struct own_queue *q)
{
	*q = (struct own_queue){.file_fd = -1};
	base_buf_init(&q->body, IPC_INLINE_MESSAGE_MAX_BYTES + PART_MAX_BYTES);
}

static void forget(struct own_queue *q)
{
	base_buf_clear(&q->body);
	q->file_fd = -1;
	q->failed = 0;
	q->size = 0;
}

int own_queue_open(struct own_queue *q, const char *run_dir, struct base_error *err)
{
	forget(q);
	return q->submit ? 0 : submit_open(&q->submit, run_dir, err);
}

static int write_all(int fd, struct base_slice bytes, struct base_error *err)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
				"cannot write the message into the queue's file");
		bytes = base_slice_from(bytes, (size_t)n);
	}
	return 0;
}

void own_queue_write(struct own_queue *q, struct base_slice bytes, struct base_error *err)
{
	if (q->failed)
		return;
	q->size += bytes.len;
	if (q->file_fd < 0 && q->body.len + bytes.len > IPC_INLINE_MESSAGE_MAX_BYTES) {
		q->failed = submit_file(q->submit, &q->file_fd, err);
		if (!q->failed)
			q->failed = write_all(q->file_fd, base_buf_slice(&q->body), err);
		base_buf_clear(&q->body);
	}
	if (q->failed)
		return;
	if (q->file_fd >= 0)
		q->failed = write_all(q->file_fd, bytes, err);
	else
		base_buf_append_slice(&q->body, bytes);
}

int own_queue_commit(struct own_queue *q, const struct base_id *id, struct base_slice envelope,
	struct base_error *err)
{
	int class = q->failed;

	if (class)
		submit_abort(q->submit);
	else
		class = submit_commit(
			q->submit, id, envelope, q->size, base_buf_slice(&q->body), err);
	forget(q);
	/* The next message of the session finds a new server, if there is one. */
	if (class)
		submit_close(&q->submit);
	return class;
}

void own_queue_abort(struct own_queue *q)
{
	if (q->submit)
		submit_abort(q->submit);
	forget(q);
}

void own_queue_close(struct own_queue *q)
{
	submit_close(&q->submit);
	base_buf_release(&q->body);
}
