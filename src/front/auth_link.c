/* front/auth_link.c: the stream to auth, in the Dovecot authentication protocol
 *
 * One stream a process carries all logins. When it ends every open login gets 454, the listeners
 * announce what is configured, and the master is asked for a new stream. The master answers when it
 * has one (its own auth, or another server named by auth { service }). */
#include "front/front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_free(uv_handle_t *handle)
{
	close((int)(intptr_t)handle->data);
	free(handle);
}

static void link_poll(struct front *f)
{
	int events = UV_READABLE | (f->auth.out.len ? UV_WRITABLE : 0);

	if (f->auth.polling != events)
		uv_poll_start(f->auth.poll, events, on_poll);
	f->auth.polling = events;
}

static void give(struct front_conn *c, enum front_auth_result result, struct base_slice user)
{
	front_pending_remove(&c->front->auth.pending, c->session.auth_id);
	c->binding = 0;
	front_session_auth_done(&c->session, front_conn_work(c), result, user);
	front_conn_run(c);
}

static void fail_all(struct front *f)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->auth.pending.slots[i];

		if (!c)
			continue;
		f->auth.pending.slots[i] = NULL;
		if (c->session.wait == FRONT_WAIT_AUTH)
			give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		else
			c->session.auth_id = 0; /* the client's turn: its next response gets 454 */
	}
}

static void detach(struct front *f)
{
	struct front_auth_link *a = &f->auth;

	if (a->fd < 0)
		return;
	a->poll->data = (void *)(intptr_t)a->fd;
	uv_close((uv_handle_t *)a->poll, poll_free);
	a->poll = NULL;
	a->polling = 0;
	a->fd = -1;
	a->ready = false;
	base_buf_clear(&a->in);
	base_buf_clear(&a->out);
	f->mechanisms.known = false;
}

static void lost(struct front *f, const char *why)
{
	if (f->auth.ready && !f->draining)
		log_write(LOG_LEVEL_WARNING,
			"auth: the connection ended (%s); logins get 454 until it is "
			"back",
			why);
	detach(f);
	front_listen_announce(f);
	fail_all(f);
	if (!f->draining) {
		ipc_begin(&f->frame, IPC_WANT_AUTH, 0);
		ipc_send(role_master(f->role), &f->frame, NULL, 0);
	}
}

static void flush(struct front *f)
{
	struct front_auth_link *a = &f->auth;

	while (a->out.len) {
		ssize_t n = send(a->fd, a->out.ptr, a->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK) {
			lost(f, strerror(errno));
			return;
		}
		if (n < 0)
			break;
		base_buf_consume(&a->out, (size_t)n);
	}
	link_poll(f);
}

void front_auth_attach(struct front *f, int fd)
{
	struct front_auth_link *a = &f->auth;

	if (a->fd >= 0)
		lost(f, "replaced");
	a->fd = fd;
	a->ready = false;
	a->coming = (struct front_mechanisms){.known = true};
	wire_dovecot_client_init(&a->codec);
	a->poll = base_alloc_zero(1, sizeof(*a->poll));
	uv_poll_init(role_loop(f->role), a->poll, fd);
	a->poll->data = f;
	wire_dovecot_client_hello(&a->out, (uint32_t)getpid());
	flush(f);
}

static void on_mech(struct front *f)
{
	struct front_auth_link *a = &f->auth;
	uint32_t bit = conf_mechanism_parse(a->codec.mech_name);

	/* A name that we do not know cannot be announced: its rules are unknown too. */
	if (!bit || a->codec.mech_flags & WIRE_MECH_PRIVATE)
		return;
	a->coming.mask |= bit;
	if (a->codec.mech_flags & WIRE_MECH_PLAINTEXT)
		a->coming.plaintext |= bit;
	if (a->codec.mech_flags & WIRE_MECH_CHANNEL_BINDING)
		a->coming.binding |= bit;
}

static void send_cont(struct front_conn *c, struct base_slice response, bool out_of_band)
{
	struct front *f = c->front;
	uint8_t data[TLS_BINDING_MAX_BYTES] = {0};
	struct base_slice binding = base_slice_make(data, 0);
	bool has_binding = c->binding != 0;

	if (has_binding) {
		binding.len = front_conn_binding(c, data);
		c->binding = 0;
		if (!binding.len) {
			front_auth_cancel(c);
			give(c, FRONT_AUTH_REJECTED, BASE_SLICE_EMPTY);
			return;
		}
	}
	if (!wire_dovecot_client_cont(&f->auth.out, c->session.auth_id, response,
		    has_binding ? &binding : NULL, out_of_band)) {
		give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		return;
	}
	c->asked_ms = (int64_t)uv_now(role_loop(f->role));
	base_wipe(data, sizeof(data));
	flush(f);
}

static void on_cont(struct front *f, struct front_conn *c)
{
	struct front_auth_link *a = &f->auth;

	if (c->session.wait != FRONT_WAIT_AUTH)
		return;
	c->binding = 0;
	if (a->codec.binding.len) {
		c->binding = (uint8_t)front_binding_parse(a->codec.binding);
		if (!c->binding) {
			front_auth_cancel(c);
			give(c, FRONT_AUTH_REJECTED, BASE_SLICE_EMPTY);
			return;
		}
	}
	if (a->codec.out_of_band) {
		send_cont(c, BASE_SLICE_EMPTY, true);
		return;
	}
	front_session_auth_challenge(&c->session, front_conn_work(c), a->codec.resp);
	front_conn_run(c);
}

static void on_fail(struct front_conn *c, enum wire_dovecot_fail fail)
{
	switch (fail) {
	case WIRE_FAIL_TEMPORARY:
		give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		return;
	case WIRE_FAIL_BASE64:
		give(c, FRONT_AUTH_MALFORMED, BASE_SLICE_EMPTY);
		return;
	case WIRE_FAIL_REJECTED:
	case WIRE_FAIL_AUTHZ:
	case WIRE_FAIL_DISABLED:
	case WIRE_FAIL_EXPIRED:
		/* One answer for every cause. */
		give(c, FRONT_AUTH_REJECTED, BASE_SLICE_EMPTY);
		return;
	}
}

static void on_done(struct front *f)
{
	f->auth.ready = true;
	f->mechanisms = f->auth.coming;
	front_listen_announce(f);
	front_listen_begin(f);
}

/* True: more events may wait. */
static bool on_event(struct front *f, enum wire_dovecot_client_event event)
{
	struct front_auth_link *a = &f->auth;
	struct front_conn *c = front_pending_find(&a->pending, a->codec.id);

	switch (event) {
	case WIRE_CLIENT_MORE:
		return false;
	case WIRE_CLIENT_MECH:
		on_mech(f);
		return true;
	case WIRE_CLIENT_DONE:
		on_done(f);
		return true;
	case WIRE_CLIENT_OK:
		if (c && c->session.wait == FRONT_WAIT_AUTH)
			give(c, FRONT_AUTH_OK, a->codec.user);
		return true;
	case WIRE_CLIENT_FAIL:
		if (c && c->session.wait == FRONT_WAIT_AUTH)
			on_fail(c, a->codec.fail);
		return true;
	case WIRE_CLIENT_CONT:
		if (c)
			on_cont(f, c);
		return true;
	case WIRE_CLIENT_BROKEN:
		lost(f, a->codec.broken ? a->codec.broken : "protocol error");
		return false;
	}
	return false;
}

static void read_link(struct front *f)
{
	struct front_auth_link *a = &f->auth;
	uint8_t *to = base_buf_reserve(&a->in, WIRE_DOVECOT_LINE_MAX_BYTES);
	size_t used = 0, at = 0;
	bool more = true;
	ssize_t n;

	if (!to) {
		lost(f, "line too long");
		return;
	}
	n = recv(a->fd, to, WIRE_DOVECOT_LINE_MAX_BYTES, 0);
	if (n <= 0) {
		if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR))
			lost(f, n == 0 ? "closed" : strerror(errno));
		return;
	}
	base_buf_grew(&a->in, (size_t)n);
	while (more && a->fd >= 0) {
		struct base_slice rest = base_slice_from(base_buf_slice(&a->in), at);

		more = on_event(f, wire_dovecot_client_next(&a->codec, rest, &used, &a->scratch));
		at += used;
	}
	if (a->fd >= 0)
		base_buf_consume(&a->in, at);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct front *f = poll->data;

	if (status < 0) {
		lost(f, uv_strerror(status));
		return;
	}
	if (events & UV_WRITABLE)
		flush(f);
	if (f->auth.fd >= 0 && events & UV_READABLE)
		read_link(f);
}

static void address_text(const struct base_addr *addr, struct base_buf *out)
{
	base_buf_clear(out);
	base_addr_format(addr, out);
}

/* No final_resp_ok: SMTP has no place for data in 235, so SCRAM's last word must come as a challenge of
 * its own (RFC 4954 section 4). */
void front_auth_begin(struct front_conn *c)
{
	struct front *f = c->front;
	struct front_work *w = c->work;
	struct base_slice initial = base_secret_slice(&w->secret);
	struct base_buf remote;
	struct wire_dovecot_auth auth = {
		.mechanism = base_slice_text(w->mechanism),
		.session = base_id_slice(&c->session.id),
		.remote_port = c->session.client.port,
		.secured = c->tls != NULL,
		.plus_offered = w->plus_offered,
		.nologin = true,
		.initial = w->has_initial ? &initial : NULL,
	};
	bool sent;

	if (!f->auth.ready || (c->session.auth_id = front_pending_add(&f->auth.pending, c)) == 0) {
		front_session_auth_done(&c->session, w, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		return;
	}
	base_buf_init(&remote, 64);
	address_text(&c->session.client, &remote);
	auth.remote_ip = base_buf_slice(&remote);
	sent = wire_dovecot_client_auth(&f->auth.out, c->session.auth_id, &auth);
	base_buf_release(&remote);
	base_secret_clear(&w->secret);
	c->binding = 0;
	c->asked_ms = (int64_t)uv_now(role_loop(f->role));
	/* Every response that the engine lets through fits a line: auth does not read what it is sent. */
	if (sent)
		flush(f);
	else
		give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
}

void front_auth_continue(struct front_conn *c)
{
	if (!c->front->auth.ready || !c->session.auth_id) {
		give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		return;
	}
	send_cont(c, base_secret_slice(&c->work->secret), false);
	if (c->work)
		base_secret_clear(&c->work->secret);
}

void front_auth_cancel(struct front_conn *c)
{
	struct front *f = c->front;
	uint32_t id = c->session.auth_id;

	/* Forgotten first: if the stream breaks now, there is no answer for this one any more. */
	front_pending_remove(&f->auth.pending, id);
	c->session.auth_id = 0;
	c->binding = 0;
	if (f->auth.ready && id) {
		wire_dovecot_client_cancel(&f->auth.out, id);
		flush(f);
	}
}

void front_auth_tick(struct front *f, int64_t now_ms)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->auth.pending.slots[i];

		if (c && c->session.wait == FRONT_WAIT_AUTH &&
			now_ms - c->asked_ms > FRONT_AUTH_WAIT_MS) {
			front_auth_cancel(c);
			give(c, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		}
	}
}

void front_auth_close(struct front *f)
{
	detach(f);
	base_buf_release(&f->auth.in);
	base_buf_release(&f->auth.out);
	base_buf_release(&f->auth.scratch);
}
