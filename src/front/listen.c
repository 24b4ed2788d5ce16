/* front/listen.c: listening sockets, and who may come in */
#include "front/front.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ACCEPTS_PER_TURN = 16, ACCEPT_AGAIN_MS = 200 };

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_doors(struct front *f, bool on)
{
	for (struct front_door *d = f->doors; d; d = d->next) {
		if (d->closing || d->polling == on)
			continue;
		d->polling = on;
		if (on)
			uv_poll_start(&d->poll, UV_READABLE, on_poll);
		else
			uv_poll_stop(&d->poll);
	}
}

static void on_again(uv_timer_t *timer)
{
	front_listen_resume(timer->data);
}

/* Out of descriptors: connections wait in the kernel's backlog until one is free. */
static void pause_accept(struct front *f, int code)
{
	if (!f->accept_paused)
		log_write(LOG_LEVEL_WARNING,
			"cannot accept: %s; accepting pauses until a connection ends "
			"(see limits.connections and the limit of open files)",
			strerror(code));
	f->accept_paused = true;
	poll_doors(f, false);
	uv_timer_start(&f->accept_again, on_again, ACCEPT_AGAIN_MS, 0);
}

void front_listen_resume(struct front *f)
{
	if (!f->accept_paused || f->draining)
		return;
	f->accept_paused = false;
	uv_timer_stop(&f->accept_again);
	poll_doors(f, true);
}

static struct base_addr address_of(const struct sockaddr_storage *from)
{
	struct base_addr addr = {0};

	if (from->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)from;

		addr.family = BASE_ADDR_IP4;
		addr.port = ntohs(in->sin_port);
		memcpy(addr.bytes, &in->sin_addr, 4);
	} else if (from->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;

		addr.family = BASE_ADDR_IP6;
		addr.port = ntohs(in6->sin6_port);
		memcpy(addr.bytes, &in6->sin6_addr, 16);
		base_addr_unmap(&addr);
	}
	return addr;
}

static bool from_allowed(const struct front_listener *l, const struct base_addr *client)
{
	for (size_t i = 0; i < l->from_networks.count; i++)
		if (base_network_has(&l->from_networks.items[i], client))
			return true;
	return l->from_networks.count == 0;
}

static void take(struct front *f, struct front_door *d, int fd, const struct base_addr *client)
{
	const struct conf *conf = role_conf(f->role);
	struct front_listener *l = d->listener;
	const char *refusal = NULL;
	bool counted = false;
	int one = 1;

	if (!from_allowed(l, client)) {
		refusal = "this listener does not serve your network";
	} else if (f->counters) {
		switch (counters_enter(f->counters, role_index(f->role), client,
			conf->limits.per_ip, conf->limits.connections)) {
		case COUNTERS_OK:
			counted = true;
			break;
		case COUNTERS_PER_IP:
			refusal = "too many connections from your address";
			break;
		case COUNTERS_TOTAL:
			refusal = "too many connections, try again later";
			break;
		}
	}
	if (refusal && l->tls == CONF_TLS_IMPLICIT && f->refused_tls >= FRONT_REFUSED_TLS_MAX) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	front_conn_new(
		f, l, fd, client, counted, !refusal && front_relay_ctrl_allows(d, client), refusal);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct front_door *d = poll->data;
	struct front *f = d->front;

	for (int i = 0; i < ACCEPTS_PER_TURN && !d->closing && d->listener; i++) {
		struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
		socklen_t len = sizeof(from);
		struct base_addr client;
		int fd = accept4(
			d->fd, (struct sockaddr *)&from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
				errno == ENOMEM)
				pause_accept(f, errno);
			return;
		}
		client = address_of(&from);
		take(f, d, fd, &client);
	}
}

static void door_closed(uv_handle_t *handle)
{
	struct front_door *d = handle->data;

	close(d->fd);
	front_relay_ctrl_close(d);
	front_listener_free(&d->listener);
	free(d->name);
	free(d);
}

static void door_close(struct front *f, struct front_door *d)
{
	struct front_door **at = &f->doors;

	while (*at != d)
		at = &(*at)->next;
	*at = d->next;
	d->closing = true;
	uv_close((uv_handle_t *)&d->poll, door_closed);
}

static struct front_listener *listener_for(
	struct front *f, const struct conf *conf, const char *name)
{
	const struct conf_listener *l = conf_listener_find(conf, name);

	return l ? front_listener_new(conf, l, &f->mechanisms) : NULL;
}

void front_listen_add(struct front *f, const char *name, int fd)
{
	struct front_door *d = base_alloc_zero(1, sizeof(*d));

	front_listen_remove(f, name);
	d->front = f;
	d->fd = fd;
	d->relay_ctrl_fd = -1;
	d->name = base_strdup(name);
	d->listener = listener_for(f, role_conf(f->role), name);
	uv_poll_init(role_loop(f->role), &d->poll, fd);
	d->poll.data = d;
	d->next = f->doors;
	f->doors = d;
	if (f->accepting && !f->accept_paused && !f->draining)
		poll_doors(f, true);
}

void front_listen_begin(struct front *f)
{
	if (f->accepting || f->draining)
		return;
	f->accepting = true;
	poll_doors(f, true);
}

void front_listen_remove(struct front *f, const char *name)
{
	for (struct front_door *d = f->doors; d; d = d->next) {
		if (strcmp(d->name, name) == 0) {
			door_close(f, d);
			return;
		}
	}
}

void front_listen_reload(struct front *f, const struct conf *conf)
{
	for (struct front_door *d = f->doors; d; d = d->next) {
		struct front_listener *fresh = listener_for(f, conf, d->name);

		/* Gone from the file: the master takes the socket away next. */
		if (!fresh)
			continue;
		front_listener_free(&d->listener);
		d->listener = fresh;
	}
}

void front_listen_announce(struct front *f)
{
	for (struct front_door *d = f->doors; d; d = d->next)
		if (d->listener)
			front_listener_announce(d->listener, &f->mechanisms);
	/* Sessions of a former configuration have listeners of their own. */
	for (struct front_conn *c = f->conns; c; c = c->next)
		front_listener_announce(c->listener, &f->mechanisms);
}

void front_listen_close_all(struct front *f)
{
	while (f->doors)
		door_close(f, f->doors);
	uv_timer_stop(&f->accept_again);
}
