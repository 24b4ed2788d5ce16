/* Channels: frames on a non-blocking SOCK_SEQPACKET socket under a libuv loop.
 *
 * Life of a channel: open -> (closed() was called | ipc_channel_free() was called) -> freed by the loop
 * in its closing phase. `closing` is true from the second state on; every path that may have run a
 * handler looks at it before it touches the channel's socket again.
 *
 * Frames that the socket does not take now wait in a list with their own duplicates of the descriptors.
 * The kernel counts descriptors that are sent and not received yet against the sender's limit of open
 * files (ETOOMANYREFS). That is no matter of this socket, and nothing tells when it is over: the frame
 * waits and is tried again after RETRY_MS.
 *
 * A peer that dies with unread frames in its socket makes our recvmsg() fail with ECONNRESET once,
 * before the frames that it had sent: reading goes on after it, so that nothing it said is lost. */
#include "loop/ipc_internal.h"
#include "loop/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FRAMES_PER_TURN = 64,          /* then other sockets have their turn */
	SOCKET_BUFFER_BYTES = 1 << 20, /* asked for; the kernel may give less */
	RETRY_MS = 2,
};

struct waiting {
	struct waiting *next;
	size_t len;
	unsigned fd_count;
	int fds[IPC_FDS_MAX];
	bool secret;
	uint8_t bytes[];
};

struct ipc_channel {
	uv_poll_t poll;
	uv_timer_t retry;
	unsigned handles; /* not closed by the loop yet */
	int fd;
	enum ipc_role self, peer;
	struct ipc_handlers handlers;
	void *arg;
	struct waiting *first, **last;
	size_t pending_bytes;
	const char *why; /* why sending failed */
	bool paused;
	bool closing;
};

/* One for the process: a frame is handled before the next is read. */
static uint8_t receive_buffer[IPC_FRAME_MAX_BYTES];

static void on_poll(uv_poll_t *poll, int status, int events);

static void watch(struct ipc_channel *ch)
{
	int events = 0;

	if (ch->closing)
		return;
	if (!ch->paused)
		events |= UV_READABLE | UV_DISCONNECT;
	if (ch->first && !uv_is_active((uv_handle_t *)&ch->retry))
		events |= UV_WRITABLE;
	if (events)
		uv_poll_start(&ch->poll, events, on_poll);
	else
		uv_poll_stop(&ch->poll);
}

struct ipc_channel *ipc_channel_new(uv_loop_t *loop, int fd, enum ipc_role self, enum ipc_role peer,
	const struct ipc_handlers *handlers, void *arg)
{
	struct ipc_channel *ch = base_alloc_zero(1, sizeof(*ch));
	int size = SOCKET_BUFFER_BYTES;

	ch->fd = fd;
	ch->self = self;
	ch->peer = peer;
	ch->handlers = *handlers;
	ch->arg = arg;
	ch->last = &ch->first;
	/* The default send buffer holds one or two of the longest frames. */
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	BASE_BUG_IF(uv_poll_init(loop, &ch->poll, fd) != 0);
	uv_timer_init(loop, &ch->retry);
	ch->handles = 2;
	ch->poll.data = ch;
	ch->retry.data = ch;
	watch(ch);
	return ch;
}

static void waiting_free(struct waiting *w)
{
	for (unsigned i = 0; i < w->fd_count; i++)
		close(w->fds[i]);
	if (w->secret)
		base_wipe(w->bytes, w->len);
	free(w);
}

static void on_close(uv_handle_t *handle)
{
	struct ipc_channel *ch = handle->data;

	if (--ch->handles == 0)
		free(ch);
}

void ipc_channel_free(struct ipc_channel **chp)
{
	struct ipc_channel *ch = *chp;
	struct waiting *w;

	*chp = NULL;
	if (!ch || ch->closing)
		return;
	ch->closing = true;
	uv_close((uv_handle_t *)&ch->poll, on_close);
	uv_close((uv_handle_t *)&ch->retry, on_close);
	close(ch->fd);
	ch->fd = -1;
	while ((w = ch->first)) {
		ch->first = w->next;
		waiting_free(w);
	}
}

/* Tell the owner and end. */
static void fail(struct ipc_channel *ch, const char *why)
{
	if (ch->closing)
		return;
	ch->handlers.closed(ch, ch->why ? ch->why : why, ch->arg);
	ipc_channel_free(&ch);
}

void *ipc_channel_arg(const struct ipc_channel *ch)
{
	return ch->arg;
}

size_t ipc_channel_pending(const struct ipc_channel *ch)
{
	return ch->pending_bytes;
}

void ipc_channel_pause(struct ipc_channel *ch, bool paused)
{
	if (ch->paused == paused)
		return;
	ch->paused = paused;
	watch(ch);
}

/* Hand one frame of the receive buffer to the owner. Returns null or what is wrong with it. */
static const char *handle(
	struct ipc_channel *ch, size_t len, struct ipc_frame *frame, bool fds_lost)
{
	struct base_slice raw = base_slice_make(receive_buffer, len);
	struct ipc_header header;
	const char *wrong = ipc_frame_check(ch->peer, ch->self, raw, frame->fd_count);

	if (wrong)
		return fds_lost ? "out of descriptors" : wrong;
	memcpy(&header, receive_buffer, sizeof(header));
	frame->type = (enum ipc_frame_type)header.type;
	frame->id = header.id;
	frame->body = base_slice_from(raw, sizeof(header));
	ch->handlers.frame(ch, frame, ch->arg);
	if (ipc_frame_is_secret(frame->type))
		base_wipe(receive_buffer, len);
	return NULL;
}

static void receive(struct ipc_channel *ch)
{
	bool bytes_lost, fds_lost;
	const char *wrong;
	ssize_t n;

	for (int i = 0; i < FRAMES_PER_TURN && !ch->closing && !ch->paused; i++) {
		struct ipc_frame frame = {.fds = {-1, -1}};

		n = ipc_socket_receive(ch->fd, receive_buffer, sizeof(receive_buffer), frame.fds,
			&frame.fd_count, &bytes_lost, &fds_lost, MSG_DONTWAIT);
		if (n == -EAGAIN)
			return;
		if (n == -ECONNRESET)
			continue;
		if (n <= 0) {
			fail(ch, n == 0 ? "the other side closed" : strerror((int)-n));
			return;
		}
		wrong = bytes_lost ? "frame is too long" : handle(ch, (size_t)n, &frame, fds_lost);
		for (unsigned j = 0; j < frame.fd_count; j++) {
			if (frame.fds[j] >= 0)
				close(frame.fds[j]);
		}
		if (wrong) {
			fail(ch, wrong);
			return;
		}
	}
}

static void flush(struct ipc_channel *ch);

static void on_retry(uv_timer_t *timer)
{
	struct ipc_channel *ch = timer->data;

	flush(ch);
	watch(ch);
}

static void retry_later(struct ipc_channel *ch)
{
	uv_timer_start(&ch->retry, on_retry, RETRY_MS, 0);
	watch(ch);
}

static void flush(struct ipc_channel *ch)
{
	struct base_slice part;
	struct waiting *w;
	ssize_t n;

	while ((w = ch->first)) {
		part = base_slice_make(w->bytes, w->len);
		n = ipc_socket_send(ch->fd, &part, 1, w->fds, w->fd_count, MSG_DONTWAIT);
		if (n == -EAGAIN)
			return;
		if (n == -ETOOMANYREFS || n == -ENOBUFS || n == -ENOMEM) {
			retry_later(ch);
			return;
		}
		/* A peer that is gone may have left frames for us: the end comes by reading. */
		ch->first = w->next;
		if (!ch->first)
			ch->last = &ch->first;
		ch->pending_bytes -= w->len;
		waiting_free(w);
	}
	watch(ch);
	if (ch->handlers.drained)
		ch->handlers.drained(ch, ch->arg);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct ipc_channel *ch = poll->data;
	bool end = status < 0 || events == 0;

	/* An error on the socket stops the handle; what can be read is read first. No event at all is a
	 * hang-up while paused. */
	if (end)
		ch->paused = false;
	if (end || (events & (UV_READABLE | UV_DISCONNECT)))
		receive(ch);
	if (!ch->closing && (events & UV_WRITABLE))
		flush(ch);
	if (end)
		watch(ch);
}

static bool enqueue(struct ipc_channel *ch, const struct base_slice *parts, size_t part_count,
	size_t len, const int *fds, unsigned fd_count, bool secret)
{
	struct waiting *w = base_alloc(sizeof(*w) + len);
	size_t at = 0;

	*w = (struct waiting){.len = len, .secret = secret};
	for (size_t i = 0; i < part_count; i++) {
		if (parts[i].len)
			memcpy(w->bytes + at, parts[i].ptr, parts[i].len);
		at += parts[i].len;
	}
	for (unsigned i = 0; i < fd_count; i++) {
		w->fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
		if (w->fds[i] < 0) {
			waiting_free(w);
			return false;
		}
		w->fd_count++;
	}
	*ch->last = w;
	ch->last = &w->next;
	ch->pending_bytes += len;
	watch(ch);
	return true;
}

bool ipc_send_parts(struct ipc_channel *ch, const struct base_slice *parts, size_t part_count,
	const int *fds, unsigned fd_count)
{
	struct ipc_header header;
	const char *wrong;
	size_t len = 0;
	ssize_t n;

	if (ch->closing || ch->why)
		return false;
	BASE_BUG_IF(part_count == 0 || parts[0].len < sizeof(header));
	memcpy(&header, parts[0].ptr, sizeof(header));
	for (size_t i = 0; i < part_count; i++)
		len += parts[i].len;
	wrong = len > IPC_FRAME_MAX_BYTES
		? "frame is too long"
		: ipc_frame_judge(ch->self, ch->peer, &header, len - sizeof(header), fd_count);
	if (wrong) {
		if (header.type < IPC_FRAME_COUNT && header.type != IPC_EVENT)
			log_write(LOG_LEVEL_ERROR, "frame %s to %s not sent: %s",
				ipc_frame_name((enum ipc_frame_type)header.type),
				ipc_role_name(ch->peer), wrong);
		return false;
	}
	if (!ch->first) {
		n = ipc_socket_send(ch->fd, parts, part_count, fds, fd_count, MSG_DONTWAIT);
		if (n >= 0)
			return true;
		if (n != -EAGAIN && n != -ETOOMANYREFS && n != -ENOBUFS && n != -ENOMEM) {
			/* The loop finds the socket ended, reads what is left and tells the owner. */
			ch->why = n == -EPIPE || n == -ECONNRESET ? "the other side closed"
								  : strerror((int)-n);
			shutdown(ch->fd, SHUT_RDWR);
			return false;
		}
	}
	return enqueue(ch, parts, part_count, len, fds, fd_count,
		ipc_frame_is_secret((enum ipc_frame_type)header.type));
}

bool ipc_send(struct ipc_channel *ch, const struct base_buf *b, const int *fds, unsigned fd_count)
{
	struct base_slice part = base_buf_slice(b);

	if (!base_buf_ok(b))
		return false;
	return ipc_send_parts(ch, &part, 1, fds, fd_count);
}
