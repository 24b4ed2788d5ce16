/* front/queue_link.c: messages to queue
 *
 * A message whose SUBMIT was written and whose queue died may be stored or not. Its client waits; as
 * soon as a queue is back it is asked by the message's id, and only its word becomes a reply. */
#include "front/front.h"

#include "base/clock.h"

#include <unistd.h>

static struct ipc_channel *queue_of(struct front *f)
{
	return role_peer(f->role, IPC_QUEUE, 0);
}

static bool need_transaction(struct front_conn *c)
{
	if (!c->session.queue_id)
		c->session.queue_id = front_pending_add(&c->front->queue_pending, c);
	c->asked_ms = (int64_t)uv_now(role_loop(c->front->role));
	return c->session.queue_id != 0;
}

static void forget(struct front_conn *c)
{
	front_pending_remove(&c->front->queue_pending, c->session.queue_id);
	c->session.queue_id = 0;
	c->queue_asks = false;
}

static void submitted(struct front_conn *c, unsigned class)
{
	forget(c);
	front_record_message(c, class);
	front_session_submitted(&c->session, c->work, class);
	front_conn_run(c);
}

void front_queue_want_file(struct front_conn *c)
{
	struct front *f = c->front;

	if (!queue_of(f) || !need_transaction(c)) {
		forget(c);
		front_session_file(&c->session, c->work, (unsigned)-BASE_ERROR_TEMPORARY);
		return;
	}
	ipc_begin(&f->frame, IPC_SUBMIT_FILE_WANT, c->session.queue_id);
	ipc_send(queue_of(f), &f->frame, NULL, 0);
}

/* A long envelope goes ahead in parts; what is left goes with the message. */
static struct base_slice send_envelope_parts(struct front_conn *c, struct base_slice envelope)
{
	struct front *f = c->front;

	while (envelope.len > IPC_INLINE_ENVELOPE_MAX_BYTES) {
		ipc_begin(&f->frame, IPC_SUBMIT_ENVELOPE, c->session.queue_id);
		ipc_put_bytes(&f->frame, base_slice_first(envelope, IPC_INLINE_ENVELOPE_MAX_BYTES));
		ipc_send(queue_of(f), &f->frame, NULL, 0);
		envelope = base_slice_from(envelope, IPC_INLINE_ENVELOPE_MAX_BYTES);
	}
	return envelope;
}

static bool send_submit(struct front_conn *c)
{
	struct front *f = c->front;
	struct front_work *w = c->work;
	struct base_slice message = w->file ? BASE_SLICE_EMPTY : base_buf_slice(&w->message);
	struct base_slice parts[2], rest;
	struct base_buf envelope;
	bool sent;

	base_buf_init(&envelope, FRONT_RCPTS_MAX_BYTES + 8192);
	front_session_envelope(&c->session, w, base_clock_wall_ms(), &envelope);
	base_buf_append_slice(&envelope, base_buf_slice(&w->rcpts));
	BASE_BUG_IF(!base_buf_ok(&envelope));
	rest = send_envelope_parts(c, base_buf_slice(&envelope));
	ipc_begin(&f->frame, IPC_SUBMIT, c->session.queue_id);
	ipc_put_text(&f->frame, w->message_id.text);
	ipc_put_bytes(&f->frame, rest);
	ipc_put_u8(&f->frame, w->file);
	ipc_put_u64(&f->frame, w->message_size);
	ipc_put_u32(&f->frame, (uint32_t)message.len);
	parts[0] = base_buf_slice(&f->frame);
	parts[1] = message;
	sent = ipc_send_parts(queue_of(f), parts, 2, NULL, 0);
	base_buf_release(&envelope);
	return sent;
}

void front_queue_submit(struct front_conn *c)
{
	if (!queue_of(c->front) || !need_transaction(c) || !send_submit(c)) {
		forget(c);
		front_record_message(c, (unsigned)-BASE_ERROR_TEMPORARY);
		front_session_submitted(&c->session, c->work, (unsigned)-BASE_ERROR_TEMPORARY);
	}
}

void front_queue_abort(struct front_conn *c)
{
	struct front *f = c->front;

	if (!c->session.queue_id)
		return;
	if (queue_of(f)) {
		ipc_begin(&f->frame, IPC_SUBMIT_ABORT, c->session.queue_id);
		ipc_send(queue_of(f), &f->frame, NULL, 0);
	}
	forget(c);
}

static void on_file(struct front_conn *c, struct ipc_frame *frame, unsigned class)
{
	if (c->session.wait != FRONT_WAIT_FILE)
		return;
	if (class == 0 && frame->fd_count == 1) {
		c->file_fd = frame->fds[0];
		frame->fds[0] = -1;
	} else if (class == 0) {
		class = (unsigned)-BASE_ERROR_TEMPORARY;
	}
	if (class != 0)
		forget(c);
	front_session_file(&c->session, c->work, class);
	front_conn_run(c);
}

static void on_known(struct front *f, bool known, struct base_slice id)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->queue_pending.slots[i];

		if (!c || !c->queue_asks || !base_slice_equal_text(id, c->work->message_id.text))
			continue;
		submitted(c, known ? 0 : (unsigned)-BASE_ERROR_TEMPORARY);
		return;
	}
}

void front_queue_frame(struct front *f, struct ipc_frame *frame)
{
	struct front_conn *c = front_pending_find(&f->queue_pending, frame->id);
	struct ipc_reader r = ipc_reader_make(frame->body);
	unsigned value = ipc_get_u8(&r);

	if (frame->type == IPC_SUBMIT_FILE && c)
		on_file(c, frame, value);
	else if (frame->type == IPC_SUBMITTED && c && c->session.wait == FRONT_WAIT_QUEUE)
		submitted(c, value);
	else if (frame->type == IPC_SUBMIT_KNOWN)
		on_known(f, value != 0, ipc_get_bytes(&r));
}

void front_queue_gone(struct front *f)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->queue_pending.slots[i];

		if (!c)
			continue;
		if (c->session.wait == FRONT_WAIT_QUEUE) {
			c->queue_asks = true;
			continue;
		}
		forget(c);
		if (c->session.wait == FRONT_WAIT_FILE) {
			front_session_file(&c->session, c->work, (unsigned)-BASE_ERROR_TEMPORARY);
			front_conn_run(c);
		} else if (c->work && c->work->file) {
			/* The file went with the queue that had handed it out. */
			front_session_file_failed(&c->session, c->work, false);
			front_conn_run(c);
		}
	}
}

void front_queue_back(struct front *f)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->queue_pending.slots[i];

		if (!c || !c->queue_asks)
			continue;
		ipc_begin(&f->frame, IPC_SUBMIT_QUERY, c->session.queue_id);
		ipc_put_text(&f->frame, c->work->message_id.text);
		ipc_send(queue_of(f), &f->frame, NULL, 0);
	}
}
