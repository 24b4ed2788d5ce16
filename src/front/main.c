/* front/main.c: the role program that faces the network
 *
 * It holds no credentials and opens no file. What it needs comes from the master as descriptors:
 * listening sockets, certificate and ticket keys, the shared counters, the stream to auth and the
 * channel to queue. */
#include "front/front.h"

#include "base/clock.h"
#include "base/digest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Who connects as soon as the server is ready shall not get 454 because auth is still saying hello. */
enum { TICK_MS = 500, AUTH_AT_START_MS = 1000 };

static struct front *front_of(struct role *r)
{
	return role_state(r);
}

/* Random bytes in stock, so that a message does not cost a system call. */
void front_random(struct front *f, void *out, size_t len)
{
	BASE_BUG_IF(len > sizeof(f->random));
	if (f->random_used + len > sizeof(f->random)) {
		base_random_fill(f->random, sizeof(f->random));
		f->random_used = 0;
	}
	memcpy(out, f->random + f->random_used, len);
	base_wipe(f->random + f->random_used, len);
	f->random_used += len;
}

static void on_tick(uv_timer_t *timer)
{
	struct front *f = timer->data;
	int64_t now = (int64_t)uv_now(role_loop(f->role));

	if (now - f->started_ms >= AUTH_AT_START_MS)
		front_listen_begin(f);
	front_auth_tick(f, now);
	front_dnsbl_tick(f, now);
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->queue_pending.slots[i];

		if (c && now - c->asked_ms > FRONT_QUEUE_WAIT_MS &&
			c->session.wait == FRONT_WAIT_QUEUE)
			front_conn_lost(c, "queue-timeout");
	}
	front_conn_tick(f);
}

static int on_open(struct role *r, struct base_error *err)
{
	struct front *f = front_of(r);

	f->role = r;
	f->auth.fd = -1;
	f->random_used = sizeof(f->random);
	base_random_fill(f->pseudonym_key, sizeof(f->pseudonym_key));
	base_buf_init(&f->frame, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&f->auth.in, 4 * WIRE_DOVECOT_LINE_MAX_BYTES);
	base_buf_init_secret(&f->auth.out, 1024 * 1024);
	base_buf_init_secret(&f->auth.scratch, 2 * WIRE_DOVECOT_LINE_MAX_BYTES);
	return 0;
}

static void on_start(struct role *r)
{
	struct front *f = front_of(r);

	uv_timer_init(role_loop(r), &f->tick);
	uv_timer_init(role_loop(r), &f->accept_again);
	f->tick.data = f->accept_again.data = f;
	f->started_ms = (int64_t)uv_now(role_loop(r));
	uv_timer_start(&f->tick, on_tick, TICK_MS, TICK_MS);
	ipc_begin(&f->frame, IPC_WANT_AUTH, 0);
	ipc_send(role_master(r), &f->frame, NULL, 0);
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	front_listen_reload(front_of(r), conf);
	return 0;
}

static void on_peer(
	struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd)
{
	if (peer == IPC_AUTH)
		front_auth_attach(front_of(r), fd);
	else if (peer == IPC_QUEUE)
		front_queue_back(front_of(r));
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	if (peer == IPC_QUEUE)
		front_queue_frame(front_of(r), frame);
	else if (peer == IPC_RELAY)
		front_dnsbl_frame(front_of(r), frame);
}

static void on_peer_gone(struct role *r, enum ipc_role peer, unsigned index)
{
	if (peer == IPC_QUEUE)
		front_queue_gone(front_of(r));
	else if (peer == IPC_RELAY)
		front_dnsbl_gone(front_of(r), index);
}

static void on_listener(struct role *r, enum ipc_listener kind, const char *name, int fd)
{
	if (kind == IPC_LISTENER_SMTP)
		front_listen_add(front_of(r), name, fd);
	else
		close(fd);
}

static void on_listener_gone(struct role *r, enum ipc_listener kind, const char *name)
{
	if (kind == IPC_LISTENER_SMTP)
		front_listen_remove(front_of(r), name);
}

static void refuse(struct role *r, const struct base_error *err)
{
	struct front *f = front_of(r);

	ipc_begin(&f->frame, IPC_REFUSED, 0);
	ipc_put_text(&f->frame, err->text);
	ipc_send(role_master(r), &f->frame, NULL, 0);
}

/* Certificate, key and ticket keys from a memfd. The mapping is private and wiped. */
static int use_tls(struct front *f, int fd, struct base_error *err)
{
	struct stat st;
	struct ipc_reader reader;
	struct base_slice chain, key, tickets;
	struct tls_context *fresh = NULL;
	uint8_t *bytes;
	ssize_t got;
	int rc;

	if (fstat(fd, &st) != 0 || st.st_size < 12 || st.st_size > 4 * 1024 * 1024)
		return base_error_set(err, BASE_ERROR_PEER, 0, "certificate: wrong size");
	bytes = base_alloc((size_t)st.st_size);
	got = pread(fd, bytes, (size_t)st.st_size, 0);
	reader = ipc_reader_make(base_slice_make(bytes, got > 0 ? (size_t)got : 0));
	chain = ipc_get_bytes(&reader);
	key = ipc_get_bytes(&reader);
	tickets = ipc_get_bytes(&reader);
	if (reader.bad) {
		rc = base_error_set(err, BASE_ERROR_PEER, 0, "certificate: cut short");
	} else {
		rc = tls_server_context_new(&fresh, chain, key, tickets, err);
		base_hmac(BASE_HASH_SHA256, tickets, BASE_SLICE("postern pseudonyms"),
			f->pseudonym_key);
	}
	base_wipe(bytes, (size_t)st.st_size);
	free(bytes);
	if (rc == 0) {
		tls_context_free(&f->tls);
		f->tls = fresh;
	}
	return rc;
}

static void on_master_frame(struct role *r, struct ipc_frame *frame)
{
	struct front *f = front_of(r);
	struct base_error err = {0};

	if (frame->type == IPC_RELAY_CTRL)
		front_relay_ctrl_take(f, frame);
	if (frame->fd_count != 1)
		return;
	if (frame->type == IPC_TLS && use_tls(f, frame->fds[0], &err) != 0)
		refuse(r, &err);
	if (frame->type == IPC_COUNTERS && !f->counters) {
		if (counters_open(frame->fds[0], &f->counters, &err) != 0)
			refuse(r, &err);
		else
			counters_forget(f->counters, role_index(r));
	}
}

static void on_drain(struct role *r, uint32_t limit_ms)
{
	struct front *f = front_of(r);

	f->draining = true;
	front_listen_close_all(f);
	front_conn_drain_all(f);
	if (f->conn_count == 0)
		role_stop(r, 0);
}

static void on_close(struct role *r)
{
	struct front *f = front_of(r);

	f->draining = true;
	front_listen_close_all(f);
	while (f->conns)
		front_conn_lost(f->conns, "shutdown");
	front_auth_close(f);
	uv_close((uv_handle_t *)&f->tick, NULL);
	uv_close((uv_handle_t *)&f->accept_again, NULL);
	for (size_t i = 0; i < f->spare_count; i++) {
		front_work_release(f->spare[i]);
		free(f->spare[i]);
	}
	tls_context_free(&f->tls);
	counters_close(&f->counters);
	base_buf_release(&f->frame);
	base_wipe(f->pseudonym_key, sizeof(f->pseudonym_key));
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_FRONT,
		.sandbox = ROLE_MAY_LOOK,
		.open = on_open,
		.start = on_start,
		.reload = on_reload,
		.peer = on_peer,
		.peer_frame = on_peer_frame,
		.peer_gone = on_peer_gone,
		.listener = on_listener,
		.listener_gone = on_listener_gone,
		.master_frame = on_master_frame,
		.drain = on_drain,
		.close = on_close,
	};
	static struct front front;

	return role_main(argc, argv, &handlers, &front);
}
