#include "client.h"

#include "base/base64.h"
#include "base/clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
	IN_MAX_BYTES = 64 * 1024,
	READ_BYTES = 16 * 1024,
	ERROR_BYTES = 200,
};

enum phase {
	PHASE_CONNECT,
	PHASE_HANDSHAKE,
	PHASE_GREETING,
	PHASE_HELLO,
	PHASE_STARTTLS,
	PHASE_AUTH,
	PHASE_READY,
	PHASE_MAIL,
	PHASE_RCPT,
	PHASE_DATA,
	PHASE_BODY,
	PHASE_QUIT,
	PHASE_OVER,
};

struct bench_client {
	const struct bench_client_options *options;
	SSL_CTX *tls;
	int epoll, fd;
	SSL *ssl;
	bench_client_fn fn;
	void *arg;
	enum phase phase;
	bool wants_write, pipelining, freed, in_step;
	int64_t begun_ns, mail_ns;
	struct sasl_client *sasl;
	struct base_buf in, out;
	size_t out_done;
	struct base_slice message;
	char error[ERROR_BYTES];
};

int64_t bench_client_begun_ns(const struct bench_client *c)
{
	return c->begun_ns;
}

int64_t bench_client_mail_ns(const struct bench_client *c)
{
	return c->mail_ns;
}

const char *bench_client_error(const struct bench_client *c)
{
	return c->error;
}

static void tell(struct bench_client *c, enum bench_client_event event)
{
	c->fn(c, event, c->arg);
}

static void fail(struct bench_client *c, const char *what, struct base_slice detail)
{
	if (c->phase == PHASE_OVER)
		return;
	c->phase = PHASE_OVER;
	snprintf(c->error, sizeof(c->error), "%s: %.*s", what,
		detail.len < 120 ? (int)detail.len : 120, (const char *)detail.ptr);
	for (char *p = c->error; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == '"' || *p == '\\' || (unsigned char)*p > 0x7e)
			*p = ' ';
	tell(c, BENCH_CLIENT_FAILED);
}

static void watch(struct bench_client *c, bool write)
{
	struct epoll_event event = {
		.events = EPOLLIN | (write ? (unsigned)EPOLLOUT : 0), .data.ptr = c};

	if (write == c->wants_write)
		return;
	c->wants_write = write;
	epoll_ctl(c->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

struct bench_client *bench_client_begin(const struct bench_client_options *options, SSL_CTX *tls,
	int epoll, bench_client_fn fn, void *arg)
{
	struct bench_client *c = base_alloc_zero(1, sizeof(*c));
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};
	int on = 1;

	c->options = options;
	c->tls = tls;
	c->epoll = epoll;
	c->fn = fn;
	c->arg = arg;
	c->begun_ns = bench_now_ns();
	c->wants_write = true;
	base_buf_init(&c->in, IN_MAX_BYTES);
	base_buf_init(&c->out, SIZE_MAX / 2);
	c->fd = socket(
		options->address.addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		bench_die("cannot make a socket: %s", strerror(errno));
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* A refusal is seen when the socket is written to: an event of step(). */
	(void)!connect(
		c->fd, (const struct sockaddr *)&options->address.addr, options->address.len);
	epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
	return c;
}

static void release(struct bench_client *c)
{
	sasl_client_free(&c->sasl);
	if (c->ssl)
		SSL_free(c->ssl);
	close(c->fd);
	base_buf_release(&c->in);
	base_buf_release(&c->out);
	free(c);
}

void bench_client_free(struct bench_client **client)
{
	struct bench_client *c = *client;

	*client = NULL;
	if (!c)
		return;
	c->phase = PHASE_OVER;
	if (c->in_step)
		c->freed = true;
	else
		release(c);
}

static void flush(struct bench_client *c)
{
	while (c->out_done < c->out.len) {
		size_t left = c->out.len - c->out_done;
		int n = c->ssl ? SSL_write(c->ssl, c->out.ptr + c->out_done, (int)left)
			       : (int)send(c->fd, c->out.ptr + c->out_done, left, MSG_NOSIGNAL);

		if (n > 0) {
			c->out_done += (size_t)n;
			continue;
		}
		if (c->ssl ? SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_WRITE ||
					SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ
			   : errno == EAGAIN) {
			watch(c, true);
			return;
		}
		fail(c, "write", base_slice_text(strerror(errno)));
		return;
	}
	base_buf_clear(&c->out);
	c->out_done = 0;
	watch(c, false);
}

static void say(struct bench_client *c, const char *text)
{
	base_buf_append_text(&c->out, text);
}

static void begin_tls(struct bench_client *c)
{
	c->ssl = SSL_new(c->tls);
	if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1)
		bench_die("cannot begin TLS");
	SSL_set_connect_state(c->ssl);
	c->phase = PHASE_HANDSHAKE;
}

static void log_in(struct bench_client *c)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES];
	struct sasl_client_options options = {
		.mechanism = c->options->mechanism,
		.user = base_slice_text(c->options->user),
		.password = base_slice_text(c->options->password),
		.random = base_slice_make(random, sizeof(random)),
		.tls = c->ssl != NULL,
		.plus_offered = true,
	};
	struct base_buf first;

	base_random_fill(random, sizeof(random));
	base_buf_init(&first, SASL_CHALLENGE_MAX_BYTES);
	say(c, "AUTH ");
	say(c, sasl_mechanism_info(options.mechanism)->name);
	c->phase = PHASE_AUTH;
	switch (sasl_client_begin(&c->sasl, &options, &first)) {
	case SASL_CLIENT_RESPONSE:
		say(c, " ");
		base64_encode(base_buf_slice(&first), &c->out);
		break;
	case SASL_CLIENT_WAIT:
		break;
	case SASL_CLIENT_ABORT:
	case SASL_CLIENT_DONE:
	case SASL_CLIENT_NOT_PROVEN:
		fail(c, "login", base_slice_text(sasl_client_reason(c->sasl)));
		break;
	}
	say(c, "\r\n");
	base_buf_release(&first);
}

static void on_challenge(struct bench_client *c, struct base_slice text)
{
	struct base_buf challenge, response;

	base_buf_init(&challenge, SASL_CHALLENGE_MAX_BYTES);
	base_buf_init(&response, SASL_CHALLENGE_MAX_BYTES);
	if (base64_decode(text, &challenge, NULL) == BASE64_OK &&
		sasl_client_push(c->sasl, base_buf_slice(&challenge), &response) ==
			SASL_CLIENT_RESPONSE) {
		base64_encode(base_buf_slice(&response), &c->out);
		say(c, "\r\n");
	} else {
		fail(c, "login", base_slice_text(sasl_client_reason(c->sasl)));
	}
	base_buf_release(&challenge);
	base_buf_release(&response);
}

static void ready(struct bench_client *c, enum bench_client_event event)
{
	c->phase = PHASE_READY;
	tell(c, event);
}

static void on_hello(struct bench_client *c)
{
	if (c->options->tls == BENCH_TLS_STARTTLS && !c->ssl) {
		say(c, "STARTTLS\r\n");
		c->phase = PHASE_STARTTLS;
	} else if (c->options->mechanism != SASL_MECHANISM_NONE) {
		log_in(c);
	} else {
		ready(c, BENCH_CLIENT_LOGGED_IN);
	}
}

void bench_client_send(struct bench_client *c, struct base_slice message)
{
	c->message = message;
	c->mail_ns = bench_now_ns();
	base_buf_printf(&c->out, "MAIL FROM:<%s>\r\n", c->options->from);
	if (c->pipelining)
		base_buf_printf(&c->out, "RCPT TO:<%s>\r\nDATA\r\n", c->options->to);
	c->phase = PHASE_MAIL;
	if (!c->in_step)
		flush(c);
}

void bench_client_quit(struct bench_client *c)
{
	say(c, "QUIT\r\n");
	c->phase = PHASE_QUIT;
	if (!c->in_step)
		flush(c);
}

static bool expect(struct bench_client *c, int code, int wanted, struct base_slice line)
{
	if (code == wanted)
		return true;
	fail(c, "refused", line);
	return false;
}

/* The last line of a reply came. */
static void on_reply(struct bench_client *c, int code, struct base_slice line)
{
	switch (c->phase) {
	case PHASE_GREETING:
		if (expect(c, code, 220, line)) {
			say(c, "EHLO bench.example\r\n");
			c->phase = PHASE_HELLO;
		}
		break;
	case PHASE_HELLO:
		if (expect(c, code, 250, line))
			on_hello(c);
		break;
	case PHASE_STARTTLS:
		if (expect(c, code, 220, line))
			begin_tls(c);
		break;
	case PHASE_AUTH:
		if (code == 334)
			on_challenge(c, base_slice_from(line, 4));
		else if (expect(c, code, 235, line)) {
			if (sasl_client_finish(c->sasl) == SASL_CLIENT_DONE)
				ready(c, BENCH_CLIENT_LOGGED_IN);
			else
				fail(c, "login", BASE_SLICE("the server did not prove itself"));
			sasl_client_free(&c->sasl);
		}
		break;
	case PHASE_MAIL:
		if (expect(c, code, 250, line)) {
			if (!c->pipelining)
				base_buf_printf(&c->out, "RCPT TO:<%s>\r\n", c->options->to);
			c->phase = PHASE_RCPT;
		}
		break;
	case PHASE_RCPT:
		if (expect(c, code, 250, line)) {
			if (!c->pipelining)
				say(c, "DATA\r\n");
			c->phase = PHASE_DATA;
		}
		break;
	case PHASE_DATA:
		if (expect(c, code, 354, line)) {
			base_buf_append_slice(&c->out, c->message);
			c->phase = PHASE_BODY;
		}
		break;
	case PHASE_BODY:
		if (expect(c, code, 250, line))
			ready(c, BENCH_CLIENT_SENT);
		break;
	case PHASE_QUIT:
		c->phase = PHASE_OVER;
		tell(c, BENCH_CLIENT_CLOSED);
		break;
	case PHASE_CONNECT:
	case PHASE_HANDSHAKE:
	case PHASE_READY:
	case PHASE_OVER:
		fail(c, "unasked", line);
		break;
	}
}

/* All whole lines in the buffer. */
static void on_lines(struct bench_client *c)
{
	struct base_slice rest = base_buf_slice(&c->in), line;
	size_t at;

	while (c->phase != PHASE_OVER && (at = base_slice_find(rest, '\n')) < rest.len) {
		uint64_t code;

		line = base_slice_trim(base_slice_first(rest, at));
		rest = base_slice_from(rest, at + 1);
		if (line.len < 3 || !base_slice_to_u64(base_slice_first(line, 3), &code)) {
			fail(c, "not a reply", line);
			return;
		}
		if (c->phase == PHASE_HELLO && c->options->pipelining &&
			base_slice_equal_text_nocase(base_slice_from(line, 4), "PIPELINING"))
			c->pipelining = true;
		if (line.len == 3 || line.ptr[3] != '-')
			on_reply(c, (int)code, line);
	}
	base_buf_consume(&c->in, c->in.len - rest.len);
}

static bool read_some(struct bench_client *c)
{
	uint8_t *to = base_buf_reserve(&c->in, READ_BYTES);
	int n;

	if (!to) {
		fail(c, "reply too long", BASE_SLICE_EMPTY);
		return false;
	}
	n = c->ssl ? SSL_read(c->ssl, to, READ_BYTES) : (int)recv(c->fd, to, READ_BYTES, 0);
	if (n > 0) {
		base_buf_grew(&c->in, (size_t)n);
		return true;
	}
	if (c->ssl ? SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ : n < 0 && errno == EAGAIN)
		return false;
	if (c->phase == PHASE_QUIT) {
		c->phase = PHASE_OVER;
		tell(c, BENCH_CLIENT_CLOSED);
	} else {
		fail(c, "closed",
			n < 0 && !c->ssl ? base_slice_text(strerror(errno)) : BASE_SLICE_EMPTY);
	}
	return false;
}

/* True: go on. */
static bool shake(struct bench_client *c)
{
	int n = SSL_do_handshake(c->ssl), error;

	if (n == 1) {
		c->phase = PHASE_GREETING;
		if (c->options->tls == BENCH_TLS_STARTTLS) {
			say(c, "EHLO bench.example\r\n");
			c->phase = PHASE_HELLO;
		}
		return true;
	}
	error = SSL_get_error(c->ssl, n);
	if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
		fail(c, "handshake", BASE_SLICE_EMPTY);
	watch(c, error == SSL_ERROR_WANT_WRITE);
	return false;
}

static void on_connected(struct bench_client *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (error) {
		fail(c, "connect", base_slice_text(strerror(error)));
		return;
	}
	c->phase = PHASE_GREETING;
	if (c->options->tls == BENCH_TLS_IMPLICIT)
		begin_tls(c);
	watch(c, false);
}

void bench_client_step(struct bench_client *c)
{
	c->in_step = true;
	if (c->phase == PHASE_CONNECT)
		on_connected(c);
	while (c->phase != PHASE_OVER) {
		if (c->phase == PHASE_HANDSHAKE) {
			if (!shake(c))
				break;
			flush(c);
			continue;
		}
		if (c->out.len)
			flush(c);
		if (c->phase == PHASE_OVER || !read_some(c))
			break;
		on_lines(c);
		if (c->phase != PHASE_OVER && c->out.len && c->phase != PHASE_HANDSHAKE)
			flush(c);
	}
	c->in_step = false;
	if (c->freed)
		release(c);
}
