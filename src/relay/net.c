#include "relay/shell.h"

#include "loop/log.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* One socket for each connection, polled for reading from the moment it is connected; for writing
 * only while something waits. TLS works on the socket itself, so nothing is buffered here but what
 * the kernel does not take (struct relay_conn.out). */

enum net_phase { NET_CONNECTING, NET_HANDSHAKE, NET_OPEN };

struct net {
	uv_poll_t poll;
	struct relay_shell *shell;
	struct relay_conn *conn;
	struct tls_session *tls;
	enum net_phase phase;
	int fd;
	int events;
	bool tls_wants_read; /* writing goes on when the peer has spoken */
};

static void on_poll(uv_poll_t *poll, int status, int events);

static struct net *net_of(const struct relay_conn *conn)
{
	return conn->shell;
}

static void want(struct net *n, int events)
{
	if (n->events == events)
		return;
	n->events = events;
	uv_poll_start(&n->poll, events, on_poll);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

void relay_net_close(struct relay_conn *conn)
{
	struct net *n = net_of(conn);

	if (!n)
		return;
	conn->shell = NULL;
	tls_session_free(&n->tls);
	uv_close((uv_handle_t *)&n->poll, on_closed);
	close(n->fd);
}

/* connecting */

static socklen_t to_sockaddr(const struct relay_conn *conn, struct sockaddr_storage *out)
{
	struct sockaddr_in *v4 = (void *)out;
	struct sockaddr_in6 *v6 = (void *)out;
	struct sockaddr_un *local = (void *)out;

	memset(out, 0, sizeof(*out));
	if (conn->peer.path[0]) {
		local->sun_family = AF_UNIX;
		memcpy(local->sun_path, conn->peer.path, strlen(conn->peer.path) + 1);
		return sizeof(*local);
	}
	if (conn->peer.addr.family == BASE_ADDR_IP4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(conn->peer.addr.port);
		memcpy(&v4->sin_addr, conn->peer.addr.bytes, 4);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(conn->peer.addr.port);
	memcpy(&v6->sin6_addr, conn->peer.addr.bytes, 16);
	return sizeof(*v6);
}

/* Static words for the errors that an administrator meets. */
static const char *connect_error(int code)
{
	switch (code) {
	case ECONNREFUSED:
		return "cannot connect: connection refused";
	case ETIMEDOUT:
		return "cannot connect: no answer";
	case EHOSTUNREACH:
		return "cannot connect: no route to host";
	case ENETUNREACH:
		return "cannot connect: network unreachable";
	case ENOENT:
		return "cannot connect: the socket does not exist";
	case EACCES:
	case EPERM:
		return "cannot connect: permission denied";
	case EMFILE:
	case ENFILE:
		return "cannot connect: out of descriptors";
	case EAGAIN:
		return "cannot connect: the socket's backlog is full";
	default:
		return "cannot connect";
	}
}

void relay_net_connect(struct relay_shell *s, struct relay_conn *conn)
{
	struct relay_now now = relay_shell_now(s);
	struct sockaddr_storage to;
	socklen_t len = to_sockaddr(conn, &to);
	int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct net *n;

	if (fd < 0) {
		relay_conn_connected(conn, connect_error(errno), &now);
		return;
	}
	if (to.ss_family != AF_UNIX)
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (connect(fd, (struct sockaddr *)&to, len) != 0 && errno != EINPROGRESS) {
		int code = errno;

		close(fd);
		relay_conn_connected(conn, connect_error(code), &now);
		return;
	}
	n = base_alloc_zero(1, sizeof(*n));
	n->shell = s;
	n->conn = conn;
	n->fd = fd;
	n->phase = NET_CONNECTING;
	n->poll.data = n;
	conn->shell = n;
	BASE_BUG_IF(uv_poll_init(role_loop(s->role), &n->poll, fd) != 0);
	want(n, UV_WRITABLE);
}

static void connected(struct net *n)
{
	struct relay_now now = relay_shell_now(n->shell);
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(n->fd, SOL_SOCKET, SO_ERROR, &code, &len) != 0)
		code = errno;
	if (code != 0) {
		relay_conn_connected(n->conn, connect_error(code), &now);
		return;
	}
	n->phase = NET_OPEN;
	want(n, UV_READABLE);
	relay_conn_connected(n->conn, NULL, &now);
}

/* TLS */

static bool find_binding(
	struct net *n, struct relay_tls_done *done, uint8_t data[TLS_BINDING_MAX_BYTES])
{
	static const enum sasl_binding order[] = {SASL_BINDING_TLS_EXPORTER,
		SASL_BINDING_TLS_UNIQUE, SASL_BINDING_TLS_SERVER_END_POINT};
	bool tls13 = strcmp(done->version, "TLSv1.3") == 0;
	size_t i, len;

	for (i = 0; i < BASE_COUNT(order); i++) {
		if (order[i] == SASL_BINDING_TLS_EXPORTER && !tls13)
			continue;
		if (!tls_binding(n->tls, sasl_binding_name(order[i]), data, &len) || !len)
			continue;
		done->binding = order[i];
		done->binding_data = base_slice_make(data, len);
		return true;
	}
	return false;
}

static void handshake_done(struct net *n)
{
	struct relay_now now = relay_shell_now(n->shell);
	struct relay_tls_done done = {.version = tls_version(n->tls), .cipher = tls_cipher(n->tls)};
	const struct relay_account *account = relay_conn_account(n->conn);
	uint8_t binding[TLS_BINDING_MAX_BYTES];

	/* Without demand the name was not compared: then nothing is verified. */
	done.verified = relay_conn_must_verify(n->conn) && !tls_verify_failure(n->tls);
	done.pinned = account && account->pinned;
	if (account)
		(void)find_binding(n, &done, binding);
	n->phase = NET_OPEN;
	want(n, UV_READABLE);
	relay_conn_tls(n->conn, &done, NULL, &now);
}

static void handshake_failed(struct net *n, const char *what)
{
	struct relay_now now = relay_shell_now(n->shell);
	struct base_error err = {.text = ""};
	char text[400];

	if (n->tls)
		tls_error(n->tls, &err);
	(void)snprintf(
		text, sizeof(text), "TLS handshake failed: %.370s", err.text[0] ? err.text : what);
	relay_conn_tls(n->conn, NULL, text, &now);
}

static void handshake(struct net *n)
{
	switch (tls_handshake(n->tls)) {
	case TLS_OK:
		handshake_done(n);
		break;
	case TLS_WANT_READ:
		want(n, UV_READABLE);
		break;
	case TLS_WANT_WRITE:
		want(n, UV_WRITABLE);
		break;
	case TLS_EOF:
		handshake_failed(n, "the server closed the connection");
		break;
	case TLS_FAILED:
		handshake_failed(n, "unknown reason");
		break;
	}
}

/* Authorities of an account's own, parsed for the first connection of each of its generations. */
struct authorities {
	struct tls_authorities *tls;
	uint32_t generation;
	unsigned context; /* relay_shell.tls_number that they stand beside */
};

void relay_net_forget_account(struct relay_account *a)
{
	struct authorities *own = a->shell;

	if (!own)
		return;
	tls_authorities_free(&own->tls);
	free(own);
	a->shell = NULL;
}

static int find_authorities(struct relay_shell *s, struct relay_account *a,
	const struct tls_authorities **out, struct base_error *err)
{
	struct authorities *own = a->shell;
	int rc;

	if (!own)
		own = a->shell = base_alloc_zero(1, sizeof(*own));
	if (own->tls && own->generation == a->generation && own->context == s->tls_number) {
		*out = own->tls;
		return 0;
	}
	tls_authorities_free(&own->tls);
	rc = tls_authorities_new(&own->tls, s->tls, base_buf_slice(&a->ca), err);
	if (rc != 0)
		return rc;
	own->generation = a->generation;
	own->context = s->tls_number;
	*out = own->tls;
	return 0;
}

void relay_net_start_tls(struct relay_shell *s, struct relay_conn *conn)
{
	struct tls_demands demands = {.verify = relay_conn_must_verify(conn)};
	struct relay_account *a = relay_conn_account(conn);
	struct net *n = net_of(conn);
	struct base_error err = {.text = ""};
	int rc = 0;

	if (a && a->pinned)
		demands.pin = a->pin;
	else if (a && a->ca.len)
		rc = find_authorities(s, a, &demands.authorities, &err);
	demands.chain = conn->chain;
	demands.key = conn->key;
	if (rc == 0)
		rc = tls_connect_with(&n->tls, s->tls, n->fd, conn->peer.host, &demands, &err);
	relay_conn_certificate_taken(conn);
	if (rc != 0) {
		handshake_failed(n, err.text);
		return;
	}
	n->phase = NET_HANDSHAKE;
	handshake(n);
}

/* bytes */

static enum tls_io write_some(struct net *n, const void *from, size_t len, size_t *out_len)
{
	ssize_t sent;

	if (n->tls)
		return tls_write(n->tls, from, len, out_len);
	sent = send(n->fd, from, len, MSG_NOSIGNAL);
	if (sent >= 0) {
		*out_len = (size_t)sent;
		return TLS_OK;
	}
	return errno == EAGAIN || errno == EINTR ? TLS_WANT_WRITE : TLS_FAILED;
}

static enum tls_io read_some(struct net *n, void *to, size_t size, size_t *out_len)
{
	ssize_t got;

	if (n->tls)
		return tls_read(n->tls, to, size, out_len);
	got = recv(n->fd, to, size, 0);
	if (got > 0) {
		*out_len = (size_t)got;
		return TLS_OK;
	}
	if (got == 0)
		return TLS_EOF;
	return errno == EAGAIN || errno == EINTR ? TLS_WANT_READ : TLS_FAILED;
}

static void lost(struct net *n, const char *reason)
{
	struct relay_now now = relay_shell_now(n->shell);

	relay_conn_ended(n->conn, reason, &now);
}

static void broken(struct net *n)
{
	const char *reason = "the connection broke";

	if (n->tls && tls_wants_certificate(n->tls))
		reason = relay_conn_account(n->conn)
			? "the server demands a client certificate (see certificate and key of "
			  "the account)"
			: "the server demands a client certificate";
	lost(n, reason);
}

void relay_net_write(struct relay_shell *s, struct relay_conn *conn)
{
	struct net *n = net_of(conn);
	size_t at = 0, len;
	enum tls_io io = TLS_OK;
	struct relay_now now;

	if (!n || n->phase != NET_OPEN)
		return;
	while (at < conn->out.len && io == TLS_OK) {
		io = write_some(n, conn->out.ptr + at, conn->out.len - at, &len);
		if (io == TLS_OK)
			at += len;
	}
	base_buf_consume(&conn->out, at);
	n->tls_wants_read = io == TLS_WANT_READ;
	switch (io) {
	case TLS_OK:
		want(n, UV_READABLE);
		now = relay_shell_now(s);
		relay_conn_written(conn, &now);
		break;
	case TLS_WANT_READ:
		want(n, UV_READABLE);
		break;
	case TLS_WANT_WRITE:
		want(n, UV_READABLE | UV_WRITABLE);
		break;
	case TLS_EOF:
	case TLS_FAILED:
		broken(n);
		break;
	}
}

static void readable(struct net *n)
{
	struct relay_shell *s = n->shell;
	struct relay_now now = relay_shell_now(s);
	bool more = true;
	size_t len;

	while (more && n->conn->phase == RELAY_CONN_OPEN && n->phase == NET_OPEN) {
		switch (read_some(n, s->input, sizeof(s->input), &len)) {
		case TLS_OK:
			relay_conn_input(n->conn, base_slice_make(s->input, len), &now);
			more = n->tls ? tls_has_pending(n->tls) : false;
			break;
		case TLS_WANT_READ:
			more = false;
			break;
		case TLS_WANT_WRITE:
			want(n, UV_READABLE | UV_WRITABLE);
			more = false;
			break;
		case TLS_EOF:
			lost(n, "the server closed the connection");
			more = false;
			break;
		case TLS_FAILED:
			broken(n);
			more = false;
			break;
		}
	}
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct net *n = poll->data;
	struct relay_shell *s = n->shell;

	/* An error on the socket has stopped the handle. */
	if (status < 0)
		n->events = 0;
	switch (n->phase) {
	case NET_CONNECTING:
		connected(n);
		break;
	case NET_HANDSHAKE:
		handshake(n);
		break;
	case NET_OPEN:
		if (status < 0) { /* what came before the end says why, perhaps */
			readable(n);
			if (n->conn && n->conn->phase != RELAY_CONN_CLOSED)
				broken(n);
			break;
		}
		if (events & UV_READABLE)
			readable(n);
		if (n->conn && n->conn->phase != RELAY_CONN_CLOSED && n->conn->out.len &&
			(events & UV_WRITABLE || n->tls_wants_read))
			relay_net_write(s, n->conn);
		break;
	}
	relay_shell_run(s);
}
