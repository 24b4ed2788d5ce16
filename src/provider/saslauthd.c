/* Cyrus SASL's saslauthd: one connection for each question.
 *
 * The name is divided at its last '@', as Cyrus' own library does; a daemon started with -r joins
 * the two again. */
#include "provider/source.h"

#include "base/clock.h"
#include "base/escape.h"
#include "loop/local.h"
#include "loop/wait.h"
#include "wire/saslauthd.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_AGAIN_MS = 50, TEXT_MAX_BYTES = 200 };

struct saslauthd_source {
	struct provider_source base;
	char *path, *mux; /* the socket, or the directory that holds it as "mux" */
	char *service;
};

/* A full backlog is waited for: the daemon has few processes, and each serves one at a time. */
static int reach(struct saslauthd_source *d, int64_t end_ms, struct base_error *err)
{
	int fd;

	while (local_connect(d->path, SOCK_STREAM, true, &fd, err) != 0) {
		/* A directory refuses to be connected to, or its mode does. */
		if (err->code != EAGAIN && local_connect(d->mux, SOCK_STREAM, true, &fd, NULL) == 0)
			return fd;
		if (err->code != EAGAIN || base_clock_monotonic_ms() >= end_ms)
			return -1;
		(void)poll(NULL, 0, CONNECT_AGAIN_MS);
	}
	return fd;
}

static const char *send_request(int fd, struct base_slice bytes, int64_t end_ms)
{
	while (bytes.len) {
		ssize_t n = send(fd, bytes.ptr, bytes.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n > 0)
			bytes = base_slice_from(bytes, (size_t)n);
		/* One that reads four strings may answer and close before it has all five. */
		else if (n < 0 && (errno == EPIPE || errno == ECONNRESET))
			return NULL;
		else if (n < 0 && errno != EAGAIN && errno != EINTR)
			return "cannot be written to";
		else if (!wait_until(fd, POLLOUT, end_ms))
			return "does not read";
	}
	return NULL;
}

/* Null: *out_reply is OK, NO or BROKEN. */
static const char *read_reply(int fd, struct base_buf *in, int64_t end_ms,
	enum wire_saslauthd_reply *out_reply, struct base_slice *out_text)
{
	for (;;) {
		size_t room = base_buf_room(in);
		uint8_t *to = base_buf_reserve(in, room);
		ssize_t n = recv(fd, to, room, MSG_DONTWAIT);

		if (n > 0) {
			base_buf_grew(in, (size_t)n);
			*out_reply = wire_saslauthd_get(base_buf_slice(in), out_text);
			if (*out_reply != WIRE_SASLAUTHD_MORE)
				return NULL;
		} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
			return "closed without an answer";
		} else if (!wait_until(fd, POLLIN, end_ms)) {
			return "does not answer in time";
		}
	}
}

static void talk(struct saslauthd_source *d, int fd, struct base_slice request, int64_t end_ms,
	struct provider_answer *a)
{
	enum wire_saslauthd_reply reply = WIRE_SASLAUTHD_BROKEN;
	struct base_slice text = BASE_SLICE_EMPTY;
	const char *problem = send_request(fd, request, end_ms);
	struct base_buf in, words;

	base_buf_init_secret(&in, WIRE_SASLAUTHD_REPLY_MAX_BYTES);
	base_buf_init(&words, 4 * TEXT_MAX_BYTES + 8);
	if (!problem)
		problem = read_reply(fd, &in, end_ms, &reply, &text);
	if (problem) {
		provider_answer_set(
			a, IPC_ASKED_CANNOT, "saslauthd at \"%s\" %s", d->path, problem);
	} else if (reply == WIRE_SASLAUTHD_OK) {
		a->result = IPC_ASKED_RIGHT;
	} else if (reply == WIRE_SASLAUTHD_NO) {
		base_escape_log(text, TEXT_MAX_BYTES, &words);
		provider_answer_set(a, IPC_ASKED_REFUSED, "saslauthd says no%s%s",
			words.len ? ": " : "", base_buf_text(&words));
	} else {
		provider_answer_set(a, IPC_ASKED_CANNOT,
			"saslauthd at \"%s\" answers something else than OK or NO", d->path);
	}
	base_buf_release(&words);
	base_buf_release(&in);
}

static bool put_request(
	const struct saslauthd_source *d, const struct provider_question *q, struct base_buf *out)
{
	size_t at = base_slice_find_last(q->name, '@');
	struct wire_saslauthd_request r = {
		.login = base_slice_first(q->name, at),
		.password = q->secret,
		.service = base_slice_text(d->service),
		.realm = base_slice_from(q->name, at + 1),
	};
	struct base_buf client;
	bool fits;

	base_buf_init(&client, WIRE_SASLAUTHD_STRING_MAX_BYTES);
	if (q->client.len) {
		/* The port of the other side is nobody's business here, but its place is part of
		 * the form. */
		base_buf_append_slice(&client, q->client);
		base_buf_append_text(&client, ";0");
	}
	r.client = base_buf_slice(&client);
	fits = wire_saslauthd_put(&r, out);
	base_buf_release(&client);
	return fits;
}

static void saslauthd_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct saslauthd_source *d = (struct saslauthd_source *)s;
	int64_t end_ms = base_clock_monotonic_ms() + PROVIDER_WAIT_MS;
	struct base_buf request;
	struct base_error err = {0};
	int fd;

	if (q->kind != IPC_ASK_PASSWORD) {
		provider_answer_set(a, IPC_ASKED_UNKNOWN, "saslauthd takes passwords only");
		return;
	}
	base_buf_init_secret(&request, 5 * (2 + WIRE_SASLAUTHD_STRING_MAX_BYTES));
	/* It would take the NUL for the end, and so another password or name for ours. */
	if (base_slice_has(q->name, 0) || base_slice_has(q->secret, 0) ||
		!put_request(d, q, &request)) {
		provider_answer_set(a, IPC_ASKED_REFUSED,
			"longer than the %d bytes saslauthd takes, or a NUL in it",
			WIRE_SASLAUTHD_STRING_MAX_BYTES);
	} else if ((fd = reach(d, end_ms, &err)) < 0) {
		provider_answer_set(a, IPC_ASKED_CANNOT, "%s", err.text);
	} else {
		talk(d, fd, base_buf_slice(&request), end_ms, a);
		close(fd);
	}
	base_buf_release(&request);
}

static struct provider_source *saslauthd_open(const struct provider_options *o)
{
	struct saslauthd_source *d = base_alloc_zero(1, sizeof(*d));
	struct base_buf mux;

	d->base.type = &provider_saslauthd;
	d->path = base_strdup(o->path);
	d->service = base_strdup(o->service);
	base_buf_init(&mux, base_slice_text(o->path).len + 8);
	base_buf_printf(&mux, "%s/mux", o->path);
	d->mux = base_strdup(base_buf_text(&mux));
	base_buf_release(&mux);
	return &d->base;
}

static void saslauthd_close(struct provider_source *s)
{
	struct saslauthd_source *d = (struct saslauthd_source *)s;

	free(d->path);
	free(d->mux);
	free(d->service);
	free(d);
}

const struct provider_source_type provider_saslauthd = {
	.name = "saslauthd",
	.open = saslauthd_open,
	.ask = saslauthd_ask,
	.close = saslauthd_close,
};
