#include "base/clock.h"
#include "loop/wait.h"
#include "qmail/remote.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The socket never blocks; every wait is a poll() with a deadline. */

enum { READ_BYTES = 16384 };

static socklen_t socket_addr(
	const struct base_addr *addr, uint32_t scope, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof(*out));
	if (addr->family == BASE_ADDR_IP4) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;

		in->sin_family = AF_INET;
		in->sin_port = htons(addr->port);
		memcpy(&in->sin_addr, addr->bytes, 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;

	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(addr->port);
	in6->sin6_scope_id = scope;
	memcpy(&in6->sin6_addr, addr->bytes, 16);
	return sizeof(*in6);
}

static bool is_link_local(const struct base_addr *addr)
{
	return addr->family == BASE_ADDR_IP6 && addr->bytes[0] == 0xfe &&
		(addr->bytes[1] & 0xc0) == 0x80;
}

/* Bind to the source that the administrator chose. 0 or errno. */
static int set_source(int fd, const struct base_addr *to, const struct remote_plan *plan)
{
	struct sockaddr_storage ss;
	char name[IF_NAMESIZE] = "";
	socklen_t len;
	uint32_t scope = 0;

	if (plan->source.family == BASE_ADDR_NONE)
		return 0;
	if (plan->source.family != to->family)
		return EAFNOSUPPORT;
	if (plan->interface.len) {
		memcpy(name, plan->interface.ptr, plan->interface.len);
		if (setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name,
			    (socklen_t)plan->interface.len) != 0)
			return errno;
		scope = is_link_local(&plan->source) ? if_nametoindex(name) : 0;
	}
	len = socket_addr(&plan->source, scope, &ss);
	return bind(fd, (struct sockaddr *)&ss, len) == 0 ? 0 : errno;
}

int remote_net_connect(
	struct remote_net *net, const struct base_addr *addr, const struct remote_plan *plan)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + (int64_t)plan->connect_s * 1000;
	struct sockaddr_storage ss;
	socklen_t len = socket_addr(addr, 0, &ss), code_len;
	int code, one = 1;

	*net = (struct remote_net){.fd = -1, .reply_ms = (int64_t)plan->reply_s * 1000};
	net->fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (net->fd < 0)
		return errno;
	code = set_source(net->fd, addr, plan);
	if (code == 0 && connect(net->fd, (struct sockaddr *)&ss, len) != 0)
		code = errno;
	code_len = sizeof(code);
	if (code == EINPROGRESS && !wait_until(net->fd, POLLOUT, deadline_ms))
		code = ETIMEDOUT;
	else if (code == EINPROGRESS)
		getsockopt(net->fd, SOL_SOCKET, SO_ERROR, &code, &code_len);
	if (code != 0)
		remote_net_close(net);
	else /* the lines of a dialogue are not to wait for each other */
		(void)setsockopt(net->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return code;
}

bool remote_net_handshake(struct remote_net *net, struct tls_context *context, const char *host,
	bool verify, struct base_error *err)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + net->reply_ms;
	enum tls_io io;

	net->tls = tls_connect_new(context, net->fd, host, verify);
	while ((io = tls_handshake(net->tls)) == TLS_WANT_READ || io == TLS_WANT_WRITE)
		if (!wait_until(net->fd, io == TLS_WANT_READ ? POLLIN : POLLOUT, deadline_ms)) {
			base_error_set(err, BASE_ERROR_TEMPORARY, 0, "no TLS handshake in time");
			return false;
		}
	if (io != TLS_OK)
		tls_error(net->tls, err);
	return io == TLS_OK;
}

bool remote_net_write(struct remote_net *net, struct base_buf *out)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + net->reply_ms;
	size_t at = 0;

	while (at < out->len && !net->write_broken) {
		size_t n = 0;
		short events = POLLOUT;

		if (net->tls) {
			enum tls_io io = tls_write(net->tls, out->ptr + at, out->len - at, &n);

			net->write_broken = io == TLS_EOF || io == TLS_FAILED;
			events = io == TLS_WANT_READ ? POLLIN : POLLOUT;
		} else {
			ssize_t sent = send(net->fd, out->ptr + at, out->len - at, MSG_NOSIGNAL);

			net->write_broken = sent < 0 && errno != EAGAIN && errno != EINTR;
			n = sent > 0 ? (size_t)sent : 0;
		}
		at += n;
		if (n)
			deadline_ms = base_clock_monotonic_ms() + net->reply_ms;
		else if (!net->write_broken && !wait_until(net->fd, events, deadline_ms))
			net->write_broken = true;
	}
	base_buf_clear(out);
	return !net->write_broken;
}

bool remote_net_read(struct remote_net *net, struct base_buf *in)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + net->reply_ms;

	for (;;) {
		uint8_t *to = base_buf_reserve(in, READ_BYTES);
		short events = POLLIN;
		size_t n = 0;

		if (!to)
			return false;
		if (net->tls) {
			enum tls_io io = tls_read(net->tls, to, READ_BYTES, &n);

			if (io == TLS_EOF || io == TLS_FAILED)
				return false;
			events = io == TLS_WANT_WRITE ? POLLOUT : POLLIN;
		} else {
			ssize_t got = recv(net->fd, to, READ_BYTES, 0);

			if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
				return false;
			n = got > 0 ? (size_t)got : 0;
		}
		base_buf_grew(in, n);
		if (n)
			return true;
		if (!wait_until(net->fd, events, deadline_ms))
			return false;
	}
}

void remote_net_close(struct remote_net *net)
{
	tls_session_free(&net->tls);
	if (net->fd >= 0)
		close(net->fd);
	net->fd = -1;
}
