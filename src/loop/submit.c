/* One transaction at a time, always number 1:
 *
 *   open -> [SUBMIT_FILE_WANT -> SUBMIT_FILE] -> SUBMIT_ENVELOPE … SUBMIT -> SUBMITTED
 *
 * If queue dies behind SUBMIT, nobody knows yet whether the message is stored: the new queue is asked
 * by SUBMIT_QUERY, as fronts do. Without an answer the result is temporary, and a duplicate possible. */
#include "loop/submit.h"

#include "base/clock.h"
#include "loop/local.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TRANSACTION = 1,
	ANSWER_MS = 60 * 1000,
	ASK_AGAIN_MS = 10 * 1000, /* a killed queue is back within a second */
	PAUSE_MS = 50,
	PART_BYTES = 64 * 1024,
};

struct submit {
	char *path;
	int fd;      /* -1: none */
	int file_fd; /* -1: none */
	bool begun;  /* queue may hold something of ours */
	struct base_buf frame, in;
};

static int go_there(struct submit *s, struct base_error *err)
{
	return local_connect(s->path, SOCK_SEQPACKET, false, &s->fd, err);
}

static void go_away(struct submit *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

int submit_open(struct submit **out, const char *run_dir, struct base_error *err)
{
	struct submit *s = base_alloc_zero(1, sizeof(*s));
	struct base_buf path;
	int rc;

	base_buf_init(&path, 4096);
	base_buf_init(&s->frame, IPC_FRAME_MAX_BYTES);
	base_buf_init(&s->in, IPC_FRAME_MAX_BYTES);
	s->fd = s->file_fd = -1;
	base_buf_printf(&path, "%s/control-queue", run_dir);
	s->path = base_strdup(base_buf_ok(&path) ? base_buf_text(&path) : "");
	base_buf_release(&path);
	rc = go_there(s, err);
	if (rc == 0)
		*out = s;
	else
		submit_close(&s);
	return rc;
}

static void drop_file(struct submit *s)
{
	if (s->file_fd >= 0)
		close(s->file_fd);
	s->file_fd = -1;
}

void submit_close(struct submit **submit)
{
	struct submit *s = *submit;

	if (!s)
		return;
	drop_file(s);
	go_away(s);
	base_buf_release(&s->frame);
	base_buf_release(&s->in);
	free(s->path);
	free(s);
	*submit = NULL;
}

static int no_answer(struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_TEMPORARY, ETIMEDOUT,
		"the server's queue does not answer; its log tells more");
}

/* The next frame, which must be of @type; others are an error of the peer. */
static int answer(
	struct submit *s, enum ipc_frame_type type, struct ipc_frame *out, struct base_error *err)
{
	struct pollfd p = {.fd = s->fd, .events = POLLIN};
	int n, rc;

	do
		n = poll(&p, 1, ANSWER_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return no_answer(err);
	rc = ipc_read_blocking(s->fd, &s->in, out, err);
	if (rc == 0 && (out->type != type || out->fd_count > 1)) {
		for (unsigned i = 0; i < out->fd_count; i++)
			close(out->fds[i]);
		rc = base_error_set(
			err, BASE_ERROR_PEER, 0, "the server's queue answers something else");
	}
	return rc;
}

static int refused(unsigned class, struct base_error *err)
{
	if (class == (unsigned)-BASE_ERROR_NO_SPACE)
		return base_error_set(err, BASE_ERROR_NO_SPACE, 0, "the queue's disk is full");
	if (class == (unsigned)-BASE_ERROR_PEER)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "the queue cannot read the envelope");
	return base_error_set(
		err, BASE_ERROR_TEMPORARY, 0, "the queue cannot store the message now");
}

int submit_file(struct submit *s, int *out_fd, struct base_error *err)
{
	struct ipc_frame frame = {0};
	struct ipc_reader in;
	unsigned class;
	int rc;

	drop_file(s);
	if (s->fd < 0 && (rc = go_there(s, err)) != 0)
		return rc;
	ipc_begin(&s->frame, IPC_SUBMIT_FILE_WANT, TRANSACTION);
	s->begun = true;
	rc = ipc_write_blocking(s->fd, &s->frame, err);
	if (rc == 0)
		rc = answer(s, IPC_SUBMIT_FILE, &frame, err);
	if (rc != 0) {
		go_away(s);
		return rc;
	}
	in = ipc_reader_make(frame.body);
	class = ipc_get_u8(&in);
	if (frame.fd_count != 1)
		return refused(class, err);
	*out_fd = s->file_fd = frame.fds[0];
	return 0;
}

static int say(struct submit *s, const struct base_id *id, struct base_slice envelope,
	uint64_t size, struct base_slice body, struct base_error *err)
{
	int rc = 0;

	while (rc == 0 && envelope.len > IPC_INLINE_ENVELOPE_MAX_BYTES) {
		ipc_begin(&s->frame, IPC_SUBMIT_ENVELOPE, TRANSACTION);
		ipc_put_bytes(&s->frame, base_slice_first(envelope, PART_BYTES));
		envelope = base_slice_from(envelope, base_slice_first(envelope, PART_BYTES).len);
		rc = ipc_write_blocking(s->fd, &s->frame, err);
	}
	if (rc != 0)
		return rc;
	ipc_begin(&s->frame, IPC_SUBMIT, TRANSACTION);
	ipc_put_text(&s->frame, id->text);
	ipc_put_bytes(&s->frame, envelope);
	ipc_put_u8(&s->frame, s->file_fd >= 0);
	ipc_put_u64(&s->frame, size);
	ipc_put_bytes(&s->frame, body);
	return ipc_write_blocking(s->fd, &s->frame, err);
}

/* Has the new queue the message that the old one was given? */
static int ask_again(struct submit *s, const struct base_id *id, struct base_error *err)
{
	int64_t until = base_clock_monotonic_ms() + ASK_AGAIN_MS;
	struct ipc_frame frame = {0};
	struct ipc_reader in;
	int rc;

	for (;;) {
		go_away(s);
		rc = go_there(s, err);
		if (rc == 0) {
			ipc_begin(&s->frame, IPC_SUBMIT_QUERY, TRANSACTION);
			ipc_put_text(&s->frame, id->text);
			rc = ipc_write_blocking(s->fd, &s->frame, err);
		}
		if (rc == 0)
			rc = answer(s, IPC_SUBMIT_KNOWN, &frame, err);
		if (rc == 0)
			break;
		if (base_clock_monotonic_ms() > until)
			return no_answer(err);
		(void)poll(NULL, 0, PAUSE_MS);
	}
	in = ipc_reader_make(frame.body);
	return ipc_get_u8(&in) ? 0 : refused(0, err);
}

int submit_commit(struct submit *s, const struct base_id *id, struct base_slice envelope,
	uint64_t size, struct base_slice body, struct base_error *err)
{
	struct ipc_frame frame = {0};
	struct ipc_reader in;
	unsigned class;
	int rc;

	BASE_BUG_IF(body.len > IPC_INLINE_MESSAGE_MAX_BYTES);
	if (s->fd < 0 && (rc = go_there(s, err)) != 0)
		return rc;
	rc = say(s, id, envelope, size, body, err);
	if (rc == 0)
		rc = answer(s, IPC_SUBMITTED, &frame, err);
	drop_file(s);
	s->begun = false;
	if (rc != 0)
		return ask_again(s, id, err);
	in = ipc_reader_make(frame.body);
	class = ipc_get_u8(&in);
	return class == 0 ? 0 : refused(class, err);
}

void submit_abort(struct submit *s)
{
	drop_file(s);
	if (!s->begun || s->fd < 0)
		return;
	s->begun = false;
	ipc_begin(&s->frame, IPC_SUBMIT_ABORT, TRANSACTION);
	if (ipc_write_blocking(s->fd, &s->frame, NULL) != 0)
		go_away(s);
}
