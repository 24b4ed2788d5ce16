/* front/conn.c: one connection: bytes between socket, TLS and session, and the session's effects
 *
 * front_conn_run() is the only driver: it carries out effects, writes, and offers unread bytes until
 * the session waits, the client's socket is full, or nothing is left. It may be called from anywhere;
 * inside itself (an answer that came at once) it only returns, because the outer one goes on.
 *
 * Time-outs: a connection's clock starts anew when the server has answered something, or when 4096
 * more bytes of a message came; not when a client sends one more byte of a command. */
#include "front/front.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BODY_PROGRESS_BYTES = 4096, READS_PER_TURN = 8 };

static void on_poll(uv_poll_t *poll, int status, int events);
static void conn_close(struct front_conn *c);

/* ---- the list of connections, the longest inactive first ---- */

static void list_remove(struct front_conn *c)
{
	struct front *f = c->front;

	*(c->prev ? &c->prev->next : &f->conns) = c->next;
	*(c->next ? &c->next->prev : &f->conns_last) = c->prev;
	c->next = c->prev = NULL;
}

static void list_append(struct front_conn *c)
{
	struct front *f = c->front;

	c->prev = f->conns_last;
	*(f->conns_last ? &f->conns_last->next : &f->conns) = c;
	f->conns_last = c;
}

static void touch(struct front_conn *c)
{
	c->active_ms = (int64_t)uv_now(role_loop(c->front->role));
	c->body_seen = c->work ? c->work->message_size : 0;
	list_remove(c);
	list_append(c);
}

/* ---- buffers on loan ---- */

struct front_work *front_conn_work(struct front_conn *c)
{
	struct front *f = c->front;

	if (c->work)
		return c->work;
	if (f->spare_count) {
		c->work = f->spare[--f->spare_count];
	} else {
		c->work = base_alloc(sizeof(*c->work));
		front_work_init(c->work);
	}
	return c->work;
}

static void give_work_back(struct front_conn *c)
{
	struct front *f = c->front;

	if (!c->work)
		return;
	front_work_clear(c->work);
	if (f->spare_count < FRONT_WORK_SPARE_MAX) {
		f->spare[f->spare_count++] = c->work;
	} else {
		front_work_release(c->work);
		free(c->work);
	}
	c->work = NULL;
}

/* ---- polling ---- */

static void want(struct front_conn *c, int events)
{
	if (c->closing || c->polling == events)
		return;
	c->polling = (uint8_t)events;
	if (events)
		uv_poll_start(&c->poll, events, on_poll);
	else
		uv_poll_stop(&c->poll);
}

/* ---- reading and writing ---- */

enum io { IO_OK, IO_AGAIN, IO_AGAIN_WRITE, IO_END };

static enum io io_of(enum tls_io tls)
{
	switch (tls) {
	case TLS_OK:
		return IO_OK;
	case TLS_WANT_READ:
		return IO_AGAIN;
	case TLS_WANT_WRITE:
		return IO_AGAIN_WRITE;
	case TLS_EOF:
	case TLS_FAILED:
		return IO_END;
	}
	return IO_END;
}

static enum io conn_read(struct front_conn *c, size_t *out_len)
{
	ssize_t n;

	if (c->tls)
		return io_of(tls_read(c->tls, c->front->read, FRONT_READ_BYTES, out_len));
	do
		n = recv(c->fd, c->front->read, FRONT_READ_BYTES, 0);
	while (n < 0 && errno == EINTR);
	if (n > 0) {
		*out_len = (size_t)n;
		return IO_OK;
	}
	return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? IO_AGAIN : IO_END;
}

static enum io conn_write(struct front_conn *c, struct base_slice bytes, size_t *out_len)
{
	ssize_t n;

	if (c->tls)
		return io_of(tls_write(c->tls, bytes.ptr, bytes.len, out_len));
	do
		n = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);
	while (n < 0 && errno == EINTR);
	if (n >= 0) {
		*out_len = (size_t)n;
		return IO_OK;
	}
	return errno == EAGAIN || errno == EWOULDBLOCK ? IO_AGAIN_WRITE : IO_END;
}

/* Write what is due. False: the rest waits for the socket, or the connection is gone. */
static bool flush(struct front_conn *c)
{
	struct base_buf *out = &c->work->out;
	size_t n = 0;

	while (out->len) {
		enum io io = conn_write(c, base_buf_slice(out), &n);

		if (io == IO_OK) {
			base_buf_consume(out, n);
			touch(c);
			continue;
		}
		if (io == IO_END)
			front_conn_lost(c, "write-failed");
		return false;
	}
	base_buf_clear(out);
	return true;
}

/* ---- TLS ---- */

static const struct {
	const char *name;
	unsigned bit;
} bindings[] = {{"tls-unique", FRONT_BINDING_UNIQUE},
	{"tls-server-end-point", FRONT_BINDING_END_POINT},
	{"tls-exporter", FRONT_BINDING_EXPORTER}};

unsigned front_binding_parse(struct base_slice name)
{
	for (size_t i = 0; i < BASE_COUNT(bindings); i++)
		if (base_slice_equal_text(name, bindings[i].name))
			return bindings[i].bit;
	return 0;
}

static unsigned computable_bindings(struct front_conn *c)
{
	unsigned mask = 0;

	for (size_t i = 0; i < BASE_COUNT(bindings); i++)
		if (tls_binding_available(c->tls, bindings[i].name))
			mask |= bindings[i].bit;
	return mask;
}

size_t front_conn_binding(struct front_conn *c, uint8_t out[TLS_BINDING_MAX_BYTES])
{
	size_t len = 0;

	for (size_t i = 0; c->tls && i < BASE_COUNT(bindings); i++)
		if (bindings[i].bit == c->binding &&
			tls_binding(c->tls, bindings[i].name, out, &len))
			return len;
	return 0;
}

static void begin_session(struct front_conn *c)
{
	struct smtp_reply refusal = SMTP_REPLY(421, "4.7.0", c->refusal);
	struct base_id id;
	uint8_t random[5];

	front_random(c->front, random, sizeof(random));
	id = base_id_make(base_clock_wall_ms(), random);
	front_session_begin(&c->session, front_conn_work(c), c->listener, &c->session.client, id,
		c->refusal ? &refusal : NULL);
	front_conn_run(c);
}

static void tls_start(struct front_conn *c)
{
	c->tls = tls_accept_new(c->front->tls, c->fd);
	if (!c->tls) {
		front_conn_lost(c, "tls-failed");
		return;
	}
	c->handshake = true;
	touch(c);
}

static void tls_step(struct front_conn *c)
{
	enum tls_io io = tls_handshake(c->tls);
	bool implicit = c->session.wait != FRONT_WAIT_TLS;

	if (io == TLS_WANT_READ || io == TLS_WANT_WRITE) {
		want(c, io == TLS_WANT_READ ? UV_READABLE : UV_WRITABLE);
		return;
	}
	if (io != TLS_OK) {
		front_conn_lost(c, "tls-failed");
		return;
	}
	c->handshake = false;
	touch(c);
	front_session_tls(
		&c->session, tls_version(c->tls), tls_cipher(c->tls), computable_bindings(c));
	want(c, UV_READABLE);
	if (implicit)
		begin_session(c);
	else
		front_conn_run(c);
}

/* ---- effects ---- */

static void file_write(struct front_conn *c)
{
	struct base_slice rest = base_buf_slice(&c->work->message);

	while (rest.len) {
		ssize_t n = write(c->file_fd, rest.ptr, rest.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			bool no_space = errno == ENOSPC || errno == EDQUOT || errno == EFBIG;

			log_write(LOG_LEVEL_WARNING,
				"cannot write a message to its file: %s; it is refused "
				"with %s",
				strerror(errno), no_space ? "452 4.3.1" : "451 4.3.0");
			front_session_file_failed(&c->session, c->work, no_space);
			return;
		}
		rest = base_slice_from(rest, (size_t)n);
	}
	base_buf_clear(&c->work->message);
}

static void close_file(struct front_conn *c)
{
	if (c->file_fd >= 0)
		close(c->file_fd);
	c->file_fd = -1;
}

/* Everything but writing, TLS and closing. An effect may bring new ones. */
static void carry_out(struct front_conn *c)
{
	const unsigned mine = FRONT_AUTH_BEGIN | FRONT_AUTH_CONTINUE | FRONT_AUTH_CANCEL |
		FRONT_WANT_FILE | FRONT_FILE_WRITE | FRONT_SUBMIT | FRONT_SUBMIT_ABORT;
	unsigned todo;

	while ((todo = c->work->effects & mine) != 0) {
		c->work->effects &= ~todo;
		if (todo & FRONT_AUTH_CANCEL)
			front_auth_cancel(c);
		if (todo & FRONT_AUTH_BEGIN)
			front_auth_begin(c);
		if (todo & FRONT_AUTH_CONTINUE)
			front_auth_continue(c);
		if (todo & FRONT_SUBMIT_ABORT) {
			front_queue_abort(c);
			close_file(c);
		}
		if (todo & FRONT_WANT_FILE)
			front_queue_want_file(c);
		if (todo & FRONT_FILE_WRITE && c->file_fd >= 0)
			file_write(c);
		/* A failed write has taken the submission back. */
		if (todo & FRONT_SUBMIT && c->session.wait == FRONT_WAIT_QUEUE) {
			front_queue_submit(c);
			close_file(c);
		}
	}
}

/* Give the session bytes while it waits for nothing. Returns how many it took. */
static size_t give(struct front_conn *c, struct base_slice bytes)
{
	struct front_now now = {.wall_ms = base_clock_wall_ms(),
		.pseudonym_key = base_slice_make(c->front->pseudonym_key, 32)};
	size_t used = 0;

	front_random(c->front, now.random, sizeof(now.random));
	front_session_input(&c->session, c->work, bytes, &used, &now);
	return used;
}

/* Offer unread bytes. False: none were taken. */
static bool offer_unread(struct front_conn *c)
{
	struct front_work *w = c->work;
	bool again = w->again;
	size_t used;

	if ((!w->unread.len && !again) || c->session.wait != FRONT_WAIT_NONE || c->session.closing)
		return false;
	used = give(c, base_buf_slice(&w->unread));
	base_buf_consume(&w->unread, used);
	return used > 0 || again;
}

static void after_write(struct front_conn *c)
{
	struct front_work *w = c->work;

	if (w->effects & FRONT_CLOSE) {
		conn_close(c);
		return;
	}
	if (w->effects & FRONT_START_TLS) {
		w->effects &= ~(unsigned)FRONT_START_TLS;
		/* Nothing that came before the handshake survives it. */
		base_buf_clear(&w->unread);
		base_buf_clear(&w->line);
		base_buf_clear(&w->heard);
		tls_start(c);
	}
}

/* Idle: the buffers go back. Else: is reading of use? */
static void settle(struct front_conn *c, bool flushed)
{
	int events = flushed ? 0 : UV_WRITABLE;

	if (c->closing || c->handshake)
		return;
	/* While the session waits the socket stays polled until the client really sends ahead. */
	if (c->session.wait == FRONT_WAIT_NONE ? flushed : (c->polling & UV_READABLE) != 0)
		events |= UV_READABLE;
	/* What OpenSSL has read already, poll does not see; a socket that can be written wakes us. */
	if (flushed && c->session.wait == FRONT_WAIT_NONE && c->tls && tls_has_pending(c->tls))
		events |= UV_WRITABLE;
	want(c, events);
	if (c->work && front_session_is_idle(&c->session, c->work))
		give_work_back(c);
}

void front_conn_run(struct front_conn *c)
{
	bool flushed = true, more = true;

	if (c->busy || c->closing || !c->work)
		return;
	c->busy = true;
	while (more && !c->closing) {
		unsigned start_tls = c->work->effects & FRONT_START_TLS;

		if (start_tls && !c->front->tls)
			front_session_tls_unavailable(&c->session, c->work);
		carry_out(c);
		if (c->work->dialogue.len)
			front_record_dialogue(c);
		c->work->effects &= ~(unsigned)FRONT_WRITE;
		flushed = flush(c);
		if (c->closing || !flushed)
			break;
		after_write(c);
		if (c->closing || c->handshake)
			break;
		more = offer_unread(c) || c->work->effects || c->work->out.len;
	}
	c->busy = false;
	if (!c->closing && c->handshake && !c->polling)
		want(c, UV_READABLE);
	if (!c->closing && c->handshake)
		tls_step(c);
	else
		settle(c, flushed);
}

/* Body bytes are progress too, but only in portions that a slow trickle does not reach. */
static void note_progress(struct front_conn *c)
{
	if (c->work && c->work->in_body &&
		c->work->message_size >= c->body_seen + BODY_PROGRESS_BYTES)
		touch(c);
}

static void take(struct front_conn *c, struct base_slice bytes)
{
	struct front_work *w = front_conn_work(c);
	size_t used = 0;

	if (!w->unread.len && c->session.wait == FRONT_WAIT_NONE)
		used = give(c, bytes);
	/* A question is open: the rest is offered after the answer. READS_PER_TURN and the paused
	 * reading keep this below its maximum. */
	if (used < bytes.len && !base_buf_append_slice(&w->unread, base_slice_from(bytes, used))) {
		front_conn_lost(c, "too-far-ahead");
		return;
	}
	front_conn_run(c);
	if (!c->closing)
		note_progress(c);
}

static void read_some(struct front_conn *c)
{
	for (int i = 0; i < READS_PER_TURN && !c->closing && !c->handshake; i++) {
		bool body = c->work && c->work->in_body;
		size_t len = 0;
		enum io io;

		if (c->session.wait != FRONT_WAIT_NONE || (c->work && c->work->unread.len)) {
			want(c, c->polling & ~UV_READABLE);
			return;
		}
		io = conn_read(c, &len);
		if (io == IO_AGAIN_WRITE)
			want(c, UV_READABLE | UV_WRITABLE);
		if (io == IO_AGAIN)
			want(c, UV_READABLE | (c->work && c->work->out.len ? UV_WRITABLE : 0));
		if (io == IO_END)
			front_conn_lost(c, "disconnect");
		if (io != IO_OK)
			return;
		take(c, base_slice_make(c->front->read, len));
		/* Anything but a message may hold a password. */
		base_wipe(c->front->read, body ? 0 : len);
		/* Less than asked for and nothing inside OpenSSL: the socket is empty. */
		if (!c->closing && len < 16384 && !(c->tls && tls_has_pending(c->tls)))
			return;
	}
	/* More may wait inside OpenSSL, where poll does not see it. */
	if (!c->closing && !c->handshake && c->tls && tls_has_pending(c->tls) &&
		c->session.wait == FRONT_WAIT_NONE)
		want(c, UV_READABLE | UV_WRITABLE);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct front_conn *c = poll->data;

	/* An error on the socket has stopped the handle; reading and writing find out which it is. */
	if (status < 0) {
		c->polling = 0;
		events = UV_READABLE | UV_WRITABLE;
	}
	if (c->handshake) {
		tls_step(c);
		return;
	}
	if (events & UV_WRITABLE && c->work) {
		front_conn_run(c);
		if (c->closing || c->handshake)
			return;
	}
	read_some(c);
}

/* ---- birth and death ---- */

void front_conn_new(struct front *f, struct front_listener *l, int fd,
	const struct base_addr *client, bool counted, bool may_relay, const char *refusal)
{
	struct front_conn *c = base_alloc_zero(1, sizeof(*c));

	c->front = f;
	c->listener = l;
	l->references++;
	c->fd = fd;
	c->file_fd = -1;
	c->counted = counted;
	c->refusal = refusal;
	c->session.client = *client;
	c->session.listener = l;
	c->session.admission.may_relay = may_relay;
	uv_poll_init(role_loop(f->role), &c->poll, fd);
	c->poll.data = c;
	c->active_ms = (int64_t)uv_now(role_loop(f->role));
	list_append(c);
	f->conn_count++;
	front_dnsbl_ask(c);
	if (l->tls == CONF_TLS_IMPLICIT && f->tls) {
		f->refused_tls += refusal != NULL;
		tls_start(c);
		if (!c->closing)
			want(c, UV_READABLE);
	} else if (l->tls == CONF_TLS_IMPLICIT) {
		front_conn_lost(c, "no-certificate");
	} else {
		begin_session(c);
	}
}

static void on_closed(uv_handle_t *handle)
{
	struct front_conn *c = handle->data;

	close(c->fd);
	front_listen_resume(c->front);
	free(c);
}

/* Bytes that nobody will read would turn our last reply into a reset. */
static void linger(struct front_conn *c)
{
	ssize_t n;

	shutdown(c->fd, SHUT_WR);
	do
		n = recv(c->fd, c->front->read, FRONT_READ_BYTES, MSG_DONTWAIT);
	while (n == FRONT_READ_BYTES);
}

static void conn_close(struct front_conn *c)
{
	struct front *f = c->front;

	if (c->closing)
		return;
	c->closing = true;
	if (!c->session.end)
		c->session.end = "close";
	front_record_session(c);
	tls_session_free(&c->tls);
	linger(c);
	close_file(c);
	/* A session may end by its own errors in the middle of a login. */
	front_auth_cancel(c);
	front_dnsbl_forget(c);
	/* What was given to queue whole stays there; what was not must not keep its file. */
	if (c->session.wait == FRONT_WAIT_QUEUE)
		front_pending_remove(&f->queue_pending, c->session.queue_id);
	else
		front_queue_abort(c);
	front_session_release(&c->session);
	give_work_back(c);
	if (c->counted)
		counters_leave(f->counters, role_index(f->role), &c->session.client);
	if (c->refusal && c->listener->tls == CONF_TLS_IMPLICIT && f->refused_tls)
		f->refused_tls--;
	list_remove(c);
	f->conn_count--;
	front_listener_free(&c->listener);
	uv_close((uv_handle_t *)&c->poll, on_closed);
	if (f->draining && f->conn_count == 0)
		role_stop(f->role, 0);
}

void front_conn_lost(struct front_conn *c, const char *why)
{
	bool waits_for_queue = c->session.wait == FRONT_WAIT_QUEUE;

	if (c->closing)
		return;
	front_conn_work(c);
	front_session_lost(&c->session, c->work, why);
	if (waits_for_queue)
		c->work->effects &= ~(unsigned)FRONT_SUBMIT_ABORT;
	/* A handshake that never ended has no session to speak for it. An answer that comes at once
	 * must not start the connection again. */
	c->busy = true;
	carry_out(c);
	conn_close(c);
}

void front_conn_tick(struct front *f)
{
	int64_t now = (int64_t)uv_now(role_loop(f->role));

	for (uint32_t i = f->conn_count; i > 0 && f->conns; i--) {
		struct front_conn *c = f->conns;

		if (now - c->active_ms < (int64_t)c->listener->command_timeout_s * 1000)
			break;
		if (c->handshake) {
			front_conn_lost(c, "tls-timeout");
			continue;
		}
		front_conn_work(c);
		front_session_timeout(&c->session, c->work);
		touch(c);
		/* What cannot be written now will not be: the client does not read. */
		if (c->work->out.len && c->session.closing && !flush(c)) {
			front_conn_lost(c, "timeout");
			continue;
		}
		front_conn_run(c);
	}
}

void front_conn_drain_all(struct front *f)
{
	struct front_conn *c = f->conns, *next;

	for (; c; c = next) {
		next = c->next;
		if (c->handshake) {
			front_conn_lost(c, "drain");
			continue;
		}
		front_session_drain(&c->session, front_conn_work(c));
		front_conn_run(c);
	}
}
