/* Streams that speak the Dovecot protocol, and the sockets where they are accepted. */
#include "auth/shell.h"
#include "base/clock.h"
#include "loop/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 32 * 1024, PAUSE_MS = 200, KEEP_BYTES = 16 * 1024 };

struct auth_client {
	struct auth_client *prev, *next;
	struct auth_shell *shell;
	struct auth_conn *conn;
	uv_poll_t poll;
	int fd;
	bool front;
};

struct auth_door {
	struct auth_door *next;
	struct auth_shell *shell;
	uv_poll_t poll;
	uv_timer_t pause;
	unsigned handles;
	int fd;
	char *name;
};

static void on_client_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void auth_client_close(struct auth_client *client, const char *reason)
{
	struct auth_shell *s = client->shell;

	if (reason)
		log_write(LOG_LEVEL_WARNING, "connection of %s ends: %s",
			client->front ? "a front" : "an auth_service client", reason);
	auth_core_closed(s->core, client->conn, base_clock_monotonic_ms());
	if (client->prev)
		client->prev->next = client->next;
	else
		s->clients = client->next;
	if (client->next)
		client->next->prev = client->prev;
	s->client_count--;
	uv_close((uv_handle_t *)&client->poll, on_client_closed);
	close(client->fd);
}

static void on_ready(uv_poll_t *poll, int status, int events);

static void watch(struct auth_client *client)
{
	int events = UV_READABLE;

	if (auth_conn_output(client->conn)->len)
		events |= UV_WRITABLE;
	uv_poll_start(&client->poll, events, on_ready);
}

void auth_client_flush(struct auth_client *client)
{
	struct base_buf *out = auth_conn_output(client->conn);

	while (out->len) {
		ssize_t n = send(client->fd, out->ptr, out->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0) {
			base_buf_consume(out, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		/* Closed ones are noticed by reading. */
		if (n < 0 && errno != EAGAIN)
			base_buf_clear(out);
		break;
	}
	if (out->len)
		watch(client);
	else if (out->cap > KEEP_BYTES)
		base_buf_release(out);
}

/* False: the client is gone. */
static bool read_some(struct auth_client *client)
{
	static uint8_t bytes[READ_BYTES];
	struct auth_shell *s = client->shell;
	ssize_t n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		auth_client_close(client, NULL);
		auth_shell_pump(s);
		return false;
	}
	auth_core_input(s->core, client->conn, base_slice_make(bytes, (size_t)n),
		base_clock_monotonic_ms(), base_clock_wall_ms());
	base_wipe(bytes, (size_t)n);
	auth_shell_pump(s); /* may close this client: it is not touched any more */
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct auth_client *client = poll->data;
	struct auth_shell *s = client->shell;

	if (status < 0) {
		auth_client_close(client, NULL);
		auth_shell_pump(s);
		return;
	}
	if (events & UV_WRITABLE) {
		auth_client_flush(client);
		if (!auth_conn_output(client->conn)->len)
			watch(client);
	}
	if (events & UV_READABLE)
		(void)read_some(client);
}

void auth_client_new(struct auth_shell *s, int fd, bool front)
{
	struct auth_client *client = base_alloc_zero(1, sizeof(*client));

	*client = (struct auth_client){.shell = s, .fd = fd, .front = front, .next = s->clients};
	if (s->clients)
		s->clients->prev = client;
	s->clients = client;
	s->client_count++;
	client->conn = auth_core_open(s->core, client, front, base_clock_monotonic_ms());
	uv_poll_init(role_loop(s->role), &client->poll, fd);
	client->poll.data = client;
	watch(client);
	auth_shell_pump(s);
}

void auth_clients_close_all(struct auth_shell *s)
{
	while (s->clients)
		auth_client_close(s->clients, NULL);
}

/* Doors */

static void on_connect(uv_poll_t *poll, int status, int events);

static void on_pause_over(uv_timer_t *timer)
{
	struct auth_door *door = timer->data;

	uv_poll_start(&door->poll, UV_READABLE, on_connect);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	struct auth_door *door = poll->data;
	struct auth_shell *s = door->shell;
	int fd;

	while ((fd = accept4(door->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
		if (s->client_count >= AUTH_SERVICE_CLIENTS_MAX) {
			close(fd);
			continue;
		}
		auth_client_new(s, fd, false);
	}
	if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
		uv_poll_stop(&door->poll);
		uv_timer_start(&door->pause, on_pause_over, PAUSE_MS, 0);
	}
}

void auth_door_open(struct auth_shell *s, const char *name, int fd)
{
	struct auth_door *door = base_alloc_zero(1, sizeof(*door));

	*door = (struct auth_door){
		.next = s->doors, .shell = s, .fd = fd, .name = base_strdup(name)};
	s->doors = door;
	uv_poll_init(role_loop(s->role), &door->poll, fd);
	uv_timer_init(role_loop(s->role), &door->pause);
	door->poll.data = door->pause.data = door;
	uv_poll_start(&door->poll, UV_READABLE, on_connect);
}

static void on_door_closed(uv_handle_t *handle)
{
	struct auth_door *door = handle->data;

	if (--door->handles)
		return;
	free(door->name);
	free(door);
}

void auth_door_close(struct auth_shell *s, const char *name)
{
	struct auth_door **at = &s->doors;

	while (*at) {
		struct auth_door *door = *at;

		if (name && strcmp(door->name, name) != 0) {
			at = &door->next;
			continue;
		}
		*at = door->next;
		door->handles = 2;
		uv_close((uv_handle_t *)&door->poll, on_door_closed);
		uv_close((uv_handle_t *)&door->pause, on_door_closed);
		close(door->fd);
	}
}
