/* One session: the engine decides, this file moves bytes and waits. The socket never blocks; every
 * wait is a poll() with a deadline. */
#include "cli/send.h"

#include "base/clock.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNECT_MS = 30000, REPLY_MS = 300000, READ_BYTES = 16384, BODY_CHUNK_BYTES = 65536 };

struct session {
	const struct cli *cli;
	const struct send_job *job;
	int fd;
	struct tls_context *context;
	struct tls_session *tls;
	struct smtp_client *client;
	struct base_buf in, out;
	char helo[300];
	size_t first, count; /* recipients of this transaction */
	size_t body_at;
	bool quitting;
	int status;
};

/* The worse of two outcomes: refused, then later, then fine. */
static void outcome(struct session *s, int status)
{
	if (s->status != CLI_FAILED && status != CLI_OK)
		s->status = status;
}

static int fail(struct session *s, int status, const char *what, const char *why)
{
	outcome(s, status);
	return cli_fail(s->cli, status, "%s%s%s", what, why ? ": " : "", why ? why : "");
}

static bool wait_for(struct session *s, short events, int64_t deadline_ms)
{
	struct pollfd p = {.fd = s->fd, .events = events};

	for (;;) {
		int64_t left = deadline_ms - base_clock_monotonic_ms();
		int n;

		if (left <= 0)
			return false;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

static void trace_line(void *arg, bool sent, struct base_slice line)
{
	struct base_buf text;

	(void)arg;
	base_buf_init(&text, 1 << 20);
	cli_text_safe(base_slice_trim(line), &text);
	fprintf(stderr, "%s: %.*s\n", sent ? "C" : "S", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
}

static bool try_connect(struct session *s, const struct addrinfo *a, int *out_errno)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + CONNECT_MS;
	socklen_t len = sizeof(*out_errno);

	s->fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0) {
		*out_errno = errno;
		return false;
	}
	*out_errno = 0;
	if (connect(s->fd, a->ai_addr, a->ai_addrlen) == 0)
		return true;
	*out_errno = errno;
	if (errno == EINPROGRESS && !wait_for(s, POLLOUT, deadline_ms))
		*out_errno = ETIMEDOUT;
	else if (errno == EINPROGRESS)
		getsockopt(s->fd, SOL_SOCKET, SO_ERROR, out_errno, &len);
	if (*out_errno == 0)
		return true;
	close(s->fd);
	s->fd = -1;
	return false;
}

static int connect_server(struct session *s)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list = NULL;
	char what[400];
	int rc = getaddrinfo(s->job->host, s->job->port, &hints, &list), code = 0;

	snprintf(what, sizeof(what), "cannot connect to %s port %s", s->job->host, s->job->port);
	if (rc != 0)
		return fail(
			s, rc == EAI_AGAIN ? CLI_TEMPORARY : CLI_FAILED, what, gai_strerror(rc));
	for (const struct addrinfo *a = list; a && s->fd < 0; a = a->ai_next)
		if (try_connect(s, a, &code))
			break;
	freeaddrinfo(list);
	return s->fd >= 0 ? CLI_OK : fail(s, CLI_TEMPORARY, what, strerror(code));
}

/* One of our addresses or names; and is the server on loopback? */
static bool make_helo(struct session *s)
{
	struct sockaddr_storage ss = {0};
	socklen_t len = sizeof(ss);
	struct base_addr addr = {0};
	struct base_buf text;
	char name[256] = "";

	getsockname(s->fd, (struct sockaddr *)&ss, &len);
	if (ss.ss_family == AF_INET) {
		addr.family = BASE_ADDR_IP4;
		memcpy(addr.bytes, &((struct sockaddr_in *)&ss)->sin_addr, 4);
	} else if (ss.ss_family == AF_INET6) {
		addr.family = BASE_ADDR_IP6;
		memcpy(addr.bytes, &((struct sockaddr_in6 *)&ss)->sin6_addr, 16);
		base_addr_unmap(&addr);
	}
	gethostname(name, sizeof(name) - 1);
	base_buf_init(&text, sizeof(s->helo) - 1);
	if (base_host_name_valid(base_slice_text(name), true, false))
		base_buf_append_text(&text, name);
	else
		base_addr_format_literal(&addr, &text);
	snprintf(s->helo, sizeof(s->helo), "%.*s", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
	return base_addr_is_loopback(&addr);
}

static int handshake(struct session *s)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + CONNECT_MS;
	struct base_error err;
	struct base_buf text;
	enum tls_io io;

	if (tls_client_context_new(&s->context, s->job->ca, &err) != 0)
		return fail(s, CLI_FAILED, err.text, NULL);
	s->tls = tls_connect_new(s->context, s->fd, s->job->host, !s->job->insecure);
	while ((io = tls_handshake(s->tls)) == TLS_WANT_READ || io == TLS_WANT_WRITE)
		if (!wait_for(s, io == TLS_WANT_READ ? POLLIN : POLLOUT, deadline_ms))
			return fail(s, CLI_TEMPORARY, "no TLS handshake within 30 seconds", NULL);
	if (io == TLS_OK)
		return CLI_OK;
	tls_error(s->tls, &err);
	if (!tls_verify_failure(s->tls))
		return fail(s, CLI_TEMPORARY, "TLS failed", err.text);
	/* A certificate that does not verify will not verify later either. */
	base_buf_init(&text, 1024);
	base_buf_printf(&text, "%s; name its authority with --ca FILE, or take any with --insecure",
		err.text);
	fail(s, CLI_FAILED, "TLS failed", base_buf_text(&text));
	base_buf_release(&text);
	return CLI_FAILED;
}

static void trace_tls(struct session *s, const char *binding)
{
	const char *why = s->job->insecure ? tls_verify_failure(s->tls) : NULL;

	if (s->job->trace)
		fprintf(stderr, "-- TLS %s %s, certificate %s%s%s, channel binding %s\n",
			tls_version(s->tls), tls_cipher(s->tls),
			why || s->job->insecure ? "not demanded to verify" : "verified",
			why ? ": " : "", why ? why : "", binding);
}

/* Handshake, then tell the engine what may be bound. */
static int start_tls(struct session *s)
{
	static const enum sasl_binding order[] = {SASL_BINDING_TLS_EXPORTER,
		SASL_BINDING_TLS_UNIQUE, SASL_BINDING_TLS_SERVER_END_POINT};
	uint8_t data[TLS_BINDING_MAX_BYTES];
	enum sasl_binding binding = SASL_BINDING_NONE;
	size_t len = 0;
	int status = handshake(s);

	if (status != CLI_OK)
		return status;
	for (size_t i = 0; i < BASE_COUNT(order) && binding == SASL_BINDING_NONE; i++) {
		/* The exporter binding is TLS 1.3's own; on 1.2 servers expect tls-unique. */
		if (order[i] == SASL_BINDING_TLS_EXPORTER &&
			strcmp(tls_version(s->tls), "TLSv1.3") != 0)
			continue;
		if (tls_binding(s->tls, sasl_binding_name(order[i]), data, &len))
			binding = order[i];
	}
	trace_tls(s, binding == SASL_BINDING_NONE ? "none" : sasl_binding_name(binding));
	base_buf_clear(&s->in);
	smtp_client_tls_done(
		s->client, binding, base_slice_make(data, len), !s->job->insecure, &s->out);
	return CLI_OK;
}

/* All of out to the server. False: the connection is gone. */
static bool flush(struct session *s)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + REPLY_MS;
	size_t at = 0;

	while (at < s->out.len) {
		size_t n = 0;
		short events = POLLOUT;

		if (s->tls) {
			enum tls_io io = tls_write(s->tls, s->out.ptr + at, s->out.len - at, &n);

			if (io == TLS_EOF || io == TLS_FAILED)
				return false;
			events = io == TLS_WANT_READ ? POLLIN : POLLOUT;
		} else {
			ssize_t sent = send(s->fd, s->out.ptr + at, s->out.len - at, MSG_NOSIGNAL);

			if (sent < 0 && errno != EAGAIN && errno != EINTR)
				return false;
			n = sent > 0 ? (size_t)sent : 0;
		}
		at += n;
		if (n == 0 && !wait_for(s, events, deadline_ms))
			return false;
	}
	base_buf_clear(&s->out);
	return true;
}

/* More of the server's bytes into in. Null, or why there are none. */
static const char *receive(struct session *s)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + REPLY_MS;

	for (;;) {
		uint8_t *to = base_buf_reserve(&s->in, READ_BYTES);
		short events = POLLIN;
		size_t n = 0;

		if (!to)
			return "the server sends more than it should";
		if (s->tls) {
			enum tls_io io = tls_read(s->tls, to, READ_BYTES, &n);

			if (io == TLS_EOF || io == TLS_FAILED)
				return "the server closed the connection";
			events = io == TLS_WANT_WRITE ? POLLOUT : POLLIN;
		} else {
			ssize_t got = recv(s->fd, to, READ_BYTES, 0);

			if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
				return got == 0 ? "the server closed the connection"
						: strerror(errno);
			n = got > 0 ? (size_t)got : 0;
		}
		base_buf_grew(&s->in, n);
		if (n)
			return NULL;
		if (!wait_for(s, events, deadline_ms))
			return "the server did not answer within 5 minutes";
	}
}

/* "250 2.0.0 text" of the last reply, safe to print. The caller releases @out. */
static void reply_text(struct session *s, struct base_buf *out)
{
	const struct smtp_client_reply *r = smtp_client_reply(s->client);
	struct base_slice rest, line;
	const char *blank = "";

	base_buf_init(out, 8192);
	if (r->code == 0)
		return;
	base_buf_printf(out, "%u ", r->code);
	rest = base_slice_make(r->text, r->text_len);
	while (base_slice_split(&rest, '\n', &line)) {
		base_buf_append_text(out, blank);
		cli_text_safe(line, out);
		blank = " ";
	}
}

static void begin_transaction(struct session *s)
{
	s->body_at = 0;
	s->count = smtp_client_rcpt_fit(
		s->client, s->job->rcpts + s->first, s->job->rcpt_count - s->first);
	smtp_client_send_mail(
		s->client, &s->job->mail, s->job->rcpts + s->first, s->count, &s->out);
}

static void quit(struct session *s)
{
	s->quitting = true;
	smtp_client_quit(s->client, &s->out);
}

/* A reply to MAIL, RCPT or the message: good ones are told once at the end. */
static void on_reply(struct session *s, enum smtp_client_event event)
{
	const struct smtp_client_reply *r = smtp_client_reply(s->client);
	struct base_buf text;

	if (r->code == 0)
		return;
	reply_text(s, &text);
	if (r->code < 400) {
		if (event == SMTP_CLIENT_MESSAGE_REPLY)
			printf("sent: %.*s\n", BASE_SLICE_ARGS(base_buf_slice(&text)));
	} else if (event == SMTP_CLIENT_RCPT_REPLY) {
		const struct smtp_client_rcpt
			*rcpt = &s->job->rcpts[s->first + smtp_client_rcpt_index(s->client)];

		outcome(s, r->code >= 500 ? CLI_FAILED : CLI_TEMPORARY);
		cli_fail(s->cli, 0, "recipient %.*s refused: %.*s", BASE_SLICE_ARGS(rcpt->address),
			BASE_SLICE_ARGS(base_buf_slice(&text)));
	} else {
		outcome(s, r->code >= 500 ? CLI_FAILED : CLI_TEMPORARY);
		cli_fail(s->cli, 0, "%s refused: %.*s",
			event == SMTP_CLIENT_MAIL_REPLY ? "sender" : "message",
			BASE_SLICE_ARGS(base_buf_slice(&text)));
	}
	base_buf_release(&text);
}

static void give_body(struct session *s)
{
	struct base_slice rest = base_slice_from(s->job->message, s->body_at);
	size_t used = 0;
	bool last = rest.len <= BODY_CHUNK_BYTES;

	smtp_client_body(s->client, base_slice_first(rest, BODY_CHUNK_BYTES), last, &used, &s->out);
	s->body_at += used;
}

static void on_failed(struct session *s)
{
	const struct smtp_client_failure *f = smtp_client_failure(s->client);
	const struct smtp_client_reply *r = smtp_client_reply(s->client);
	bool refused = f->permanent || (r->code >= 500 && r->code < 600);
	struct base_buf text;

	if (s->quitting)
		return;
	reply_text(s, &text);
	outcome(s, refused ? CLI_FAILED : CLI_TEMPORARY);
	cli_fail(s->cli, 0, "%s: %s%s%.*s", smtp_client_stage_name(f->stage), f->reason,
		text.len ? ": " : "", BASE_SLICE_ARGS(base_buf_slice(&text)));
	if (f->maybe_delivered)
		cli_fail(s->cli, 0, "the server may have taken the message all the same");
	base_buf_release(&text);
}

static void on_credentials(struct session *s)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES];

	base_random_fill(random, sizeof(random));
	smtp_client_credentials(s->client, s->job->user, s->job->password,
		base_slice_make(random, sizeof(random)), &s->out);
	base_wipe(random, sizeof(random));
}

static void on_ready(struct session *s)
{
	if (s->job->trace && smtp_client_is_authenticated(s->client))
		fprintf(stderr, "-- logged in by %s\n",
			sasl_mechanism_info(smtp_client_mechanism(s->client))->name);
	begin_transaction(s);
}

static void on_done(struct session *s)
{
	s->first += s->count;
	if (s->first < s->job->rcpt_count && !smtp_client_is_spent(s->client)) {
		begin_transaction(s);
		return;
	}
	if (s->first < s->job->rcpt_count) {
		outcome(s, CLI_TEMPORARY);
		cli_fail(s->cli, 0,
			"the server takes no more transactions now; %zu recipients are left",
			s->job->rcpt_count - s->first);
	}
	quit(s);
}

/* Act on one event; false: the session is over. */
static bool on_event(struct session *s, enum smtp_client_event event)
{
	const char *why;

	switch (event) {
	case SMTP_CLIENT_MORE:
		why = flush(s) ? receive(s) : "the connection broke while writing";
		if (why)
			return on_event(s, smtp_client_eof(s->client, why));
		return true;
	case SMTP_CLIENT_STARTTLS:
		return start_tls(s) == CLI_OK;
	case SMTP_CLIENT_CREDENTIALS:
		on_credentials(s);
		return true;
	case SMTP_CLIENT_READY:
		on_ready(s);
		return true;
	case SMTP_CLIENT_MAIL_REPLY:
	case SMTP_CLIENT_RCPT_REPLY:
	case SMTP_CLIENT_MESSAGE_REPLY:
		on_reply(s, event);
		return true;
	case SMTP_CLIENT_BODY:
		give_body(s);
		if (flush(s))
			return true;
		return on_event(
			s, smtp_client_eof(s->client, "the connection broke while writing"));
	case SMTP_CLIENT_DONE:
		on_done(s);
		return true;
	case SMTP_CLIENT_FAILED:
		flush(s);
		on_failed(s);
		return false;
	case SMTP_CLIENT_CLOSED:
		return false;
	}
	return false;
}

static void converse(struct session *s)
{
	bool go_on = s->job->tls != SEND_TLS_IMPLICIT || start_tls(s) == CLI_OK;

	while (go_on) {
		size_t used = 0;
		enum smtp_client_event event = smtp_client_push(
			s->client, base_buf_slice(&s->in), &used, &s->out);

		base_buf_consume(&s->in, used);
		if (event == SMTP_CLIENT_MORE && used && s->in.len)
			continue;
		go_on = on_event(s, event);
	}
}

int send_run(const struct cli *cli, const struct send_job *job)
{
	static const enum smtp_client_tls tls[] = {
		SMTP_CLIENT_TLS_NONE, SMTP_CLIENT_TLS_REQUIRE, SMTP_CLIENT_TLS_IMPLICIT};
	struct session s = {.cli = cli, .job = job, .fd = -1};
	struct smtp_client_options options = {
		.tls = tls[job->tls], .auth = job->auth, .mechanisms = job->mechanisms};
	bool loopback;

	base_buf_init(&s.in, 1 << 20);
	base_buf_init_secret(&s.out, 1 << 20);
	if (connect_server(&s) == CLI_OK) {
		loopback = make_helo(&s);
		options.helo_name = base_slice_text(s.helo);
		options.allow_plaintext_without_tls = job->insecure ||
			(job->tls == SEND_TLS_NONE && loopback);
		s.client = smtp_client_new(&options);
		if (job->trace)
			smtp_client_set_trace(
				s.client, (struct smtp_client_trace){trace_line, NULL});
		converse(&s);
	}
	smtp_client_free(&s.client);
	tls_session_free(&s.tls);
	tls_context_free(&s.context);
	if (s.fd >= 0)
		close(s.fd);
	base_buf_release(&s.in);
	base_buf_release(&s.out);
	return s.status;
}
