/* Server side of the control sockets: one connection, one request, one answer.
 *
 * accept -> a `client` with a channel -> CTL_REQUEST -> control_request_fn() with a `control_reply` ->
 * CTL_JSON … CTL_END, at once or later -> the command reads it and closes. If the command goes away
 * first, the reply lives on until control_end(), and what it is given goes nowhere. */
#include "loop/control.h"

#include "loop/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	PART_MAX_BYTES = 64 * 1024,
	PAUSE_MS = 200, /* after accept() found no descriptor left */
};

struct client;

struct server {
	struct server *next;
	struct client *clients;
	struct role *role;
	uv_poll_t poll;
	uv_timer_t pause;
	int fd;
	control_request_fn fn;
	const struct control_frames *frames; /* null: none */
};

struct client {
	struct client *next;
	struct server *server;
	struct ipc_channel *ch;
	struct control_reply *reply;
};

struct control_reply {
	struct client *client; /* null: it went away */
	struct base_buf frame;
};

static struct server *servers;

bool control_option(const struct control_request *req, size_t from, const char *name,
	struct base_slice *out_value)
{
	size_t len = strlen(name);

	for (size_t i = from; i < req->word_count; i++) {
		struct base_slice word = req->words[i];

		if (word.len > len && word.ptr[len] == '=' && memcmp(word.ptr, name, len) == 0) {
			*out_value = base_slice_from(word, len + 1);
			return true;
		}
	}
	return false;
}

bool control_word_is(const struct control_request *req, size_t index, const char *text)
{
	return index < req->word_count && base_slice_equal_text(req->words[index], text);
}

bool control_request_parse(struct base_slice body, struct control_request *out)
{
	struct ipc_reader in = ipc_reader_make(body);
	uint32_t count = ipc_get_u32(&in);

	if (count > CONTROL_WORDS_MAX)
		return false;
	out->word_count = count;
	for (uint32_t i = 0; i < count; i++) {
		out->words[i] = ipc_get_bytes(&in);
		/* Words become file names, SQL values and log lines as C strings. */
		if (base_slice_has(out->words[i], 0))
			return false;
	}
	out->secret = ipc_get_bytes(&in);
	return ipc_reader_done(&in);
}

void control_json(struct control_reply *reply, struct base_slice json_part)
{
	struct base_slice part;

	while (reply->client && json_part.len) {
		part = base_slice_first(json_part, PART_MAX_BYTES);
		json_part = base_slice_from(json_part, part.len);
		ipc_begin(&reply->frame, IPC_CTL_JSON, 0);
		ipc_put_bytes(&reply->frame, part);
		(void)ipc_send(reply->client->ch, &reply->frame, NULL, 0);
	}
}

void control_end(struct control_reply *reply, const struct base_error *err)
{
	if (reply->client) {
		ipc_begin(&reply->frame, IPC_CTL_END, 0);
		ipc_put_u8(&reply->frame, err ? (uint8_t)-err->class : 0);
		ipc_put_text(&reply->frame, err ? err->text : "");
		(void)ipc_send(reply->client->ch, &reply->frame, NULL, 0);
		reply->client->reply = NULL;
	}
	base_buf_release(&reply->frame);
	free(reply);
}

void control_end_json(struct control_reply *reply, json_t *json)
{
	char *text = json_dumps(json, JSON_COMPACT);

	json_decref(json);
	if (!text)
		base_out_of_memory();
	control_json(reply, base_slice_text(text));
	free(text);
	control_end(reply, NULL);
}

static void on_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct client *client = arg;
	struct control_request req = {.word_count = 0};
	struct control_reply *reply;
	struct base_error err;

	if (frame->type != IPC_CTL_REQUEST && client->server->frames)
		client->server->frames->frame(client->server->role, ch, frame);
	if (frame->type != IPC_CTL_REQUEST || client->reply)
		return;
	reply = base_alloc_zero(1, sizeof(*reply));
	reply->client = client;
	base_buf_init_secret(&reply->frame, IPC_FRAME_MAX_BYTES); /* account token */
	client->reply = reply;
	if (!control_request_parse(frame->body, &req)) {
		base_error_set(&err, BASE_ERROR_PEER, 0, "the request cannot be read");
		control_end(reply, &err);
		return;
	}
	client->server->fn(client->server->role, &req, reply);
}

static void client_free(struct client *client)
{
	struct client **at = &client->server->clients;

	while (*at != client)
		at = &(*at)->next;
	*at = client->next;
	if (client->reply)
		client->reply->client = NULL;
	if (client->server->frames)
		client->server->frames->gone(client->server->role, client->ch);
	free(client);
}

static void on_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	client_free(arg);
}

static void watch(struct server *s);

static void on_pause_over(uv_timer_t *timer)
{
	watch(timer->data);
}

static void on_connect(uv_poll_t *poll, int status, int events)
{
	static const struct ipc_handlers handlers = {.frame = on_frame, .closed = on_closed};
	struct server *s = poll->data;
	struct client *client;
	int fd;

	fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			uv_poll_stop(&s->poll);
			uv_timer_start(&s->pause, on_pause_over, PAUSE_MS, 0);
		}
		return;
	}
	client = base_alloc_zero(1, sizeof(*client));
	client->server = s;
	client->next = s->clients;
	s->clients = client;
	client->ch = ipc_channel_new(
		role_loop(s->role), fd, role_kind(s->role), IPC_CLI, &handlers, client);
}

static void watch(struct server *s)
{
	uv_poll_start(&s->poll, UV_READABLE, on_connect);
}

void control_serve(struct role *r, int fd, control_request_fn fn)
{
	control_serve_frames(r, fd, fn, NULL);
}

void control_serve_frames(
	struct role *r, int fd, control_request_fn fn, const struct control_frames *frames)
{
	struct server *s = base_alloc_zero(1, sizeof(*s));

	*s = (struct server){.next = servers, .role = r, .fd = fd, .fn = fn, .frames = frames};
	servers = s;
	uv_poll_init(role_loop(r), &s->poll, fd);
	uv_timer_init(role_loop(r), &s->pause);
	s->poll.data = s;
	s->pause.data = s;
	watch(s);
}

static void on_server_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void control_close_all(void)
{
	struct server *s;

	while ((s = servers)) {
		servers = s->next;
		for (struct client *client = s->clients, *next; client; client = next) {
			next = client->next;
			struct ipc_channel *ch = client->ch;

			client_free(client);
			ipc_channel_free(&ch);
		}
		uv_close((uv_handle_t *)&s->poll, NULL);
		close(s->fd);
		uv_close((uv_handle_t *)&s->pause, on_server_closed);
	}
}
