/* The socket never blocks; every wait is a poll() with a deadline. */
#include "cli/connection.h"

#include "base/clock.h"
#include "loop/wait.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BYTES = 16384, IN_MAX_BYTES = 1 << 20 };

bool cli_host_port(
	const char *text, char out_host[BASE_HOST_NAME_MAX_BYTES + 1], uint16_t *out_port)
{
	struct base_slice host = base_slice_text(text), port;
	bool bracket = base_slice_starts_with(host, BASE_SLICE("["));
	size_t end = bracket ? base_slice_find(host, ']') : base_slice_find_last(host, ':');
	uint64_t number = 0;

	port = base_slice_from(host, end + bracket);
	if (bracket && end == host.len)
		return false;
	host = base_slice_from(base_slice_first(host, end), bracket);
	if (port.len &&
		(port.ptr[0] != ':' || !base_slice_to_u64(base_slice_from(port, 1), &number) ||
			number == 0 || number > 65535))
		return false;
	if (host.len == 0 || host.len > BASE_HOST_NAME_MAX_BYTES)
		return false;
	memcpy(out_host, host.ptr, host.len);
	out_host[host.len] = '\0';
	*out_port = (uint16_t)number;
	return true;
}

void cli_connection_init(struct cli_connection *c)
{
	*c = (struct cli_connection){.fd = -1};
	base_buf_init(&c->in, IN_MAX_BYTES);
}

void cli_connection_close(struct cli_connection *c)
{
	tls_session_free(&c->tls);
	if (c->fd >= 0)
		close(c->fd);
	base_buf_release(&c->in);
	cli_connection_init(c);
}

int cli_resolve(const char *host, uint16_t port, struct addrinfo **out, struct base_error *err)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
	char service[8];
	int rc;

	snprintf(service, sizeof(service), "%u", port);
	*out = NULL;
	/* The resolver's own patience would outlast every other step. */
	setenv("RES_OPTIONS", "timeout:3 attempts:2", 0);
	rc = getaddrinfo(host, service, &hints, out);
	if (rc == 0)
		return 0;
	return base_error_set(err, rc == EAI_AGAIN ? BASE_ERROR_TEMPORARY : BASE_ERROR_NOT_FOUND, 0,
		"%s", gai_strerror(rc));
}

static struct base_addr addr_of(const struct sockaddr_storage *ss)
{
	struct base_addr addr = {0};

	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		addr.family = BASE_ADDR_IP4;
		addr.port = ntohs(in->sin_port);
		memcpy(addr.bytes, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		addr.family = BASE_ADDR_IP6;
		addr.port = ntohs(in6->sin6_port);
		memcpy(addr.bytes, &in6->sin6_addr, 16);
		base_addr_unmap(&addr);
	}
	return addr;
}

static void note_addresses(struct cli_connection *c)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);

	if (getsockname(c->fd, (struct sockaddr *)&ss, &len) == 0)
		c->own = addr_of(&ss);
	len = sizeof(ss);
	if (getpeername(c->fd, (struct sockaddr *)&ss, &len) == 0)
		c->peer = addr_of(&ss);
}

/* 0, or an errno. */
static int try_connect(struct cli_connection *c, const struct addrinfo *a, uint32_t timeout_ms)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + timeout_ms;
	int code = 0;
	socklen_t len = sizeof(code);

	c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return errno;
	if (connect(c->fd, a->ai_addr, a->ai_addrlen) != 0)
		code = errno;
	if (code == EINPROGRESS) {
		if (!wait_until(c->fd, POLLOUT, deadline_ms))
			code = ETIMEDOUT;
		else
			getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len);
	}
	if (code == 0)
		return 0;
	close(c->fd);
	c->fd = -1;
	return code;
}

int cli_connect(struct cli_connection *c, const struct addrinfo *list, uint32_t timeout_ms,
	struct base_error *err)
{
	int code = EADDRNOTAVAIL;

	for (const struct addrinfo *a = list; a; a = a->ai_next) {
		code = try_connect(c, a, timeout_ms);
		if (code == 0) {
			note_addresses(c);
			return 0;
		}
	}
	return base_error_set(err, BASE_ERROR_TEMPORARY, code, "%s", strerror(code));
}

int cli_connection_open(struct cli_connection *c, const char *host, uint16_t port,
	uint32_t timeout_ms, struct base_error *err)
{
	struct addrinfo *list;
	int rc = cli_resolve(host, port, &list, err);

	if (rc != 0)
		return rc;
	rc = cli_connect(c, list, timeout_ms, err);
	freeaddrinfo(list);
	return rc;
}

enum cli_handshake cli_connection_tls(
	struct cli_connection *c, struct tls_session *tls, uint32_t timeout_ms)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + timeout_ms;
	enum tls_io io;

	c->tls = tls;
	base_buf_clear(&c->in);
	while ((io = tls_handshake(tls)) == TLS_WANT_READ || io == TLS_WANT_WRITE)
		if (!wait_until(c->fd, io == TLS_WANT_READ ? POLLIN : POLLOUT, deadline_ms))
			return CLI_HANDSHAKE_TIMEOUT;
	return io == TLS_OK ? CLI_HANDSHAKE_DONE : CLI_HANDSHAKE_FAILED;
}

enum sasl_binding cli_connection_binding(
	const struct cli_connection *c, uint8_t out[TLS_BINDING_MAX_BYTES], size_t *out_len)
{
	static const enum sasl_binding order[] = {SASL_BINDING_TLS_EXPORTER,
		SASL_BINDING_TLS_UNIQUE, SASL_BINDING_TLS_SERVER_END_POINT};

	for (size_t i = 0; i < BASE_COUNT(order); i++) {
		/* The exporter binding is TLS 1.3's own; on 1.2 servers expect tls-unique. */
		if (order[i] == SASL_BINDING_TLS_EXPORTER &&
			strcmp(tls_version(c->tls), "TLSv1.3") != 0)
			continue;
		if (tls_binding(c->tls, sasl_binding_name(order[i]), out, out_len))
			return order[i];
	}
	*out_len = 0;
	return SASL_BINDING_NONE;
}

bool cli_connection_send(struct cli_connection *c, struct base_slice bytes, uint32_t timeout_ms)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + timeout_ms;

	while (bytes.len) {
		size_t n = 0;
		short events = POLLOUT;

		if (c->tls) {
			enum tls_io io = tls_write(c->tls, bytes.ptr, bytes.len, &n);

			if (io == TLS_EOF || io == TLS_FAILED)
				return false;
			events = io == TLS_WANT_READ ? POLLIN : POLLOUT;
		} else {
			ssize_t sent = send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

			if (sent < 0 && errno != EAGAIN && errno != EINTR)
				return false;
			n = sent > 0 ? (size_t)sent : 0;
		}
		bytes = base_slice_from(bytes, n);
		if (n == 0 && !wait_until(c->fd, events, deadline_ms))
			return false;
	}
	return true;
}

const char *cli_connection_receive(struct cli_connection *c, uint32_t timeout_ms)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + timeout_ms;

	for (;;) {
		uint8_t *to = base_buf_reserve(&c->in, READ_BYTES);
		short events = POLLIN;
		size_t n = 0;

		if (!to)
			return "the server sends more than it should";
		if (c->tls) {
			enum tls_io io = tls_read(c->tls, to, READ_BYTES, &n);

			if (io == TLS_EOF || io == TLS_FAILED)
				return "the server closed the connection";
			events = io == TLS_WANT_WRITE ? POLLOUT : POLLIN;
		} else {
			ssize_t got = recv(c->fd, to, READ_BYTES, 0);

			if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
				return got == 0 ? "the server closed the connection"
						: strerror(errno);
			n = got > 0 ? (size_t)got : 0;
		}
		base_buf_grew(&c->in, n);
		if (n)
			return NULL;
		if (!wait_until(c->fd, events, deadline_ms))
			return "the server did not answer in time";
	}
}

void cli_helo_name(const struct cli_connection *c, char out[CLI_HELO_MAX_BYTES])
{
	struct base_buf text;
	char name[256] = "";

	gethostname(name, sizeof(name) - 1);
	base_buf_init(&text, CLI_HELO_MAX_BYTES - 1);
	if (base_host_name_valid(base_slice_text(name), true, false))
		base_buf_append_text(&text, name);
	else
		base_addr_format_literal(&c->own, &text);
	snprintf(out, CLI_HELO_MAX_BYTES, "%.*s", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
}
