#include "dialogue.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	READ_BYTES = 64 * 1024,
	OUT_BYTES = 8 * 1024,
	EVENTS = 256,
	TAIL_BYTES = 4,
};

enum phase { PHASE_HANDSHAKE, PHASE_COMMAND, PHASE_AUTH, PHASE_DATA };

/* Small on purpose: an idle session costs this and what OpenSSL keeps. */
struct session {
	int fd;
	SSL *ssl;
	char *part; /* half a command line, else null */
	uint32_t part_len;
	uint8_t phase;
	uint8_t tail_len;
	char tail[TAIL_BYTES]; /* last bytes of a body, to find its end across reads */
};

static struct {
	struct bench_dialogue_options options;
	SSL_CTX *tls;
	int epoll;
	struct bench_counts *counts;
	char in[READ_BYTES];
	char out[OUT_BYTES];
	size_t out_len;
} server;

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
	stopped = 1;
}

static void say(const char *text)
{
	size_t len = strlen(text);

	if (len <= sizeof(server.out) - server.out_len) {
		memcpy(server.out + server.out_len, text, len);
		server.out_len += len;
	}
}

/* Replies are small: where the socket is full, waiting for it is right. */
static bool flush(struct session *s)
{
	size_t done = 0;

	while (done < server.out_len) {
		struct pollfd wait = {.fd = s->fd, .events = POLLOUT};
		int n = s->ssl
			? SSL_write(s->ssl, server.out + done, (int)(server.out_len - done))
			: (int)send(s->fd, server.out + done, server.out_len - done, MSG_NOSIGNAL);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (s->ssl ? SSL_get_error(s->ssl, n) != SSL_ERROR_WANT_WRITE : errno != EAGAIN)
			return false;
		if (poll(&wait, 1, 5000) <= 0)
			return false;
	}
	server.out_len = 0;
	return true;
}

static void end_session(struct session *s)
{
	if (s->ssl)
		SSL_free(s->ssl);
	close(s->fd);
	free(s->part);
	free(s);
	server.counts->open--;
}

static void say_hello(const struct session *s)
{
	say("250-null.example\r\n250-PIPELINING\r\n250-SIZE 104857600\r\n250-8BITMIME\r\n"
	    "250-SMTPUTF8\r\n250-DSN\r\n");
	if (server.options.tls == BENCH_TLS_STARTTLS && !s->ssl)
		say("250-STARTTLS\r\n");
	if (server.options.auth)
		say("250-AUTH PLAIN\r\n");
	say("250 ENHANCEDSTATUSCODES\r\n");
}

static bool is_verb(const char *line, size_t len, const char *verb)
{
	size_t n = strlen(verb);

	return len >= n && strncasecmp(line, verb, n) == 0;
}

enum verdict { GO_ON, START_TLS, END };

static enum verdict on_line(struct session *s, const char *line, size_t len)
{
	if (s->phase == PHASE_AUTH) {
		s->phase = PHASE_COMMAND;
		say("235 2.7.0 ok\r\n");
	} else if (is_verb(line, len, "EHLO") || is_verb(line, len, "LHLO")) {
		say_hello(s);
	} else if (is_verb(line, len, "STARTTLS") && !s->ssl && server.tls) {
		say("220 2.0.0 go ahead\r\n");
		return START_TLS;
	} else if (is_verb(line, len, "AUTH PLAIN") && server.options.auth) {
		if (len > strlen("AUTH PLAIN ")) {
			say("235 2.7.0 ok\r\n");
		} else {
			say("334 \r\n");
			s->phase = PHASE_AUTH;
		}
	} else if (is_verb(line, len, "DATA")) {
		say("354 go ahead\r\n");
		s->phase = PHASE_DATA;
		memcpy(s->tail, "\r\n", 2);
		s->tail_len = 2;
	} else if (is_verb(line, len, "QUIT")) {
		say("221 2.0.0 bye\r\n");
		return END;
	} else if (is_verb(line, len, "HELO") || is_verb(line, len, "MAIL") ||
		is_verb(line, len, "RCPT") || is_verb(line, len, "RSET") ||
		is_verb(line, len, "NOOP")) {
		say("250 2.0.0 ok\r\n");
	} else {
		say("502 5.5.1 not here\r\n");
	}
	return GO_ON;
}

/* Bytes of @in that belong to the body; *out_end is set when its end was among them. */
static size_t take_body(struct session *s, const char *in, size_t len, bool *out_end)
{
	char seam[TAIL_BYTES + TAIL_BYTES];
	size_t head = len < TAIL_BYTES ? len : TAIL_BYTES;
	const char *hit;

	memcpy(seam, s->tail, s->tail_len);
	memcpy(seam + s->tail_len, in, head);
	hit = memmem(seam, s->tail_len + head, "\r\n.\r\n", 5);
	*out_end = true;
	if (hit)
		return (size_t)(hit - seam) + 5 - s->tail_len;
	hit = memmem(in, len, "\r\n.\r\n", 5);
	if (hit)
		return (size_t)(hit - in) + 5;
	*out_end = false;
	if (len >= TAIL_BYTES) {
		memcpy(s->tail, in + len - TAIL_BYTES, TAIL_BYTES);
		s->tail_len = TAIL_BYTES;
	} else {
		size_t all = s->tail_len + len, keep = all < TAIL_BYTES ? all : TAIL_BYTES;

		memmove(s->tail, seam + all - keep, keep);
		s->tail_len = (uint8_t)keep;
	}
	return len;
}

static bool keep_part(struct session *s, const char *in, size_t len)
{
	if (s->part_len + len > READ_BYTES / 2)
		return false;
	s->part = realloc(s->part, s->part_len + len);
	if (!s->part)
		abort();
	memcpy(s->part + s->part_len, in, len);
	s->part_len += (uint32_t)len;
	return true;
}

/* False: the session is over. */
static enum verdict on_bytes(struct session *s, const char *in, size_t len)
{
	while (len) {
		const char *lf;
		size_t used;
		enum verdict verdict;

		if (s->phase == PHASE_DATA) {
			bool ended;

			used = take_body(s, in, len, &ended);
			server.counts->bytes += used;
			in += used;
			len -= used;
			if (ended) {
				server.counts->messages++;
				s->phase = PHASE_COMMAND;
				say("250 2.0.0 ok\r\n");
			}
			continue;
		}
		lf = memchr(in, '\n', len);
		if (!lf)
			return keep_part(s, in, len) ? GO_ON : END;
		used = (size_t)(lf - in) + 1;
		if (s->part) {
			if (!keep_part(s, in, used))
				return END;
			verdict = on_line(s, s->part, s->part_len >= 2 ? s->part_len - 2 : 0);
			free(s->part);
			s->part = NULL;
			s->part_len = 0;
		} else {
			verdict = on_line(s, in, used >= 2 ? used - 2 : 0);
		}
		in += used;
		len -= used;
		if (verdict != GO_ON)
			return verdict;
	}
	return GO_ON;
}

static void begin_tls(struct session *s)
{
	s->ssl = SSL_new(server.tls);
	if (!s->ssl || SSL_set_fd(s->ssl, s->fd) != 1)
		bench_die("cannot begin TLS");
	SSL_set_accept_state(s->ssl);
	s->phase = PHASE_HANDSHAKE;
}

/* False: the session is over. */
static bool step(struct session *s)
{
	for (;;) {
		int n;
		enum verdict verdict;

		if (s->phase == PHASE_HANDSHAKE) {
			n = SSL_do_handshake(s->ssl);
			if (n != 1) {
				int error = SSL_get_error(s->ssl, n);

				return error == SSL_ERROR_WANT_READ ||
					error == SSL_ERROR_WANT_WRITE;
			}
			s->phase = PHASE_COMMAND;
			if (server.options.tls == BENCH_TLS_IMPLICIT)
				say("220 null.example ESMTP\r\n");
			if (!flush(s))
				return false;
		}
		n = s->ssl ? SSL_read(s->ssl, server.in, sizeof(server.in))
			   : (int)recv(s->fd, server.in, sizeof(server.in), 0);
		if (n <= 0) {
			if (s->ssl)
				return SSL_get_error(s->ssl, n) == SSL_ERROR_WANT_READ;
			return n < 0 && errno == EAGAIN;
		}
		verdict = on_bytes(s, server.in, (size_t)n);
		/* TLS gives 16 KiB at a time: answer only what is due when all that came was read.
		 */
		if (!flush(s) || verdict == END)
			return false;
		if (verdict == START_TLS)
			begin_tls(s);
	}
}

static void accept_all(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN};
		struct session *s;

		if (fd < 0)
			return;
		s = calloc(1, sizeof(*s));
		if (!s)
			abort();
		s->fd = fd;
		s->phase = PHASE_COMMAND;
		server.counts->connections++;
		server.counts->open++;
		event.data.ptr = s;
		epoll_ctl(server.epoll, EPOLL_CTL_ADD, fd, &event);
		if (server.options.tls == BENCH_TLS_IMPLICIT) {
			begin_tls(s);
		} else {
			say("220 null.example ESMTP\r\n");
			if (!flush(s))
				end_session(s);
		}
	}
}

static void map_counts(void)
{
	const char *path = server.options.count_file;
	int fd = -1, flags = MAP_SHARED | MAP_ANONYMOUS;

	if (path) {
		fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		if (fd < 0 || ftruncate(fd, sizeof(struct bench_counts)) != 0)
			bench_die("cannot make \"%s\": %s", path, strerror(errno));
		flags = MAP_SHARED;
	}
	server.counts = mmap(
		NULL, sizeof(struct bench_counts), PROT_READ | PROT_WRITE, flags, fd, 0);
	if (server.counts == MAP_FAILED)
		bench_die("cannot map the counts");
	if (fd >= 0)
		close(fd);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"listen", required_argument, NULL, 'l'},
		{"tls", required_argument, NULL, 't'},
		{"certificate", required_argument, NULL, 'c'},
		{"key", required_argument, NULL, 'k'},
		{"count", required_argument, NULL, 'n'},
		{"lean", no_argument, NULL, 'L'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'l')
			server.options.address = bench_address_parse(optarg);
		else if (option == 't')
			server.options.tls = bench_tls_parse(optarg);
		else if (option == 'c')
			server.options.certificate = optarg;
		else if (option == 'k')
			server.options.key = optarg;
		else if (option == 'n')
			server.options.count_file = optarg;
		else if (option == 'L')
			server.options.lean = true;
		else
			exit(2);
	}
	if (server.options.address.len == 0)
		bench_die("usage: %s --listen ADDRESS:PORT [--tls none|starttls|implicit "
			  "--certificate FILE --key FILE] [--count FILE] [--lean]",
			argv[0]);
	if (server.options.tls != BENCH_TLS_NONE)
		server.tls = bench_tls_server(
			server.options.certificate, server.options.key, server.options.lean);
}

int bench_dialogue_main(int argc, char **argv, bool auth)
{
	struct sigaction stop = {.sa_handler = on_signal};
	struct epoll_event events[EVENTS], event = {.events = EPOLLIN};
	int listener;

	server.options.auth = auth;
	parse(argc, argv);
	bench_descriptors_raise();
	map_counts();
	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	listener = bench_listen(&server.options.address);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	event.data.ptr = NULL;
	epoll_ctl(server.epoll, EPOLL_CTL_ADD, listener, &event);
	fputs("ready\n", stderr);
	while (!stopped) {
		int count = epoll_wait(server.epoll, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (!events[i].data.ptr)
				accept_all(listener);
			else if (!step(events[i].data.ptr))
				end_session(events[i].data.ptr);
		}
	}
	printf("{\"messages\": %llu, \"bytes\": %llu, \"connections\": %llu}\n",
		(unsigned long long)server.counts->messages,
		(unsigned long long)server.counts->bytes,
		(unsigned long long)server.counts->connections);
	return 0;
}
