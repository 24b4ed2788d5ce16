/* postern-record, also called recordio: run PROG with its dialogue traced on descriptor 2.
 *
 *    client --0--> recorder --pipe--> PROG's 0
 *    client <--1-- recorder <--pipe-- PROG's 1        descriptor 2: of both
 *
 * PROG takes the place of the process that was started, so its pid, its exit status and its signals
 * are that process's own; the recorder is a grandchild that PROG never sees in wait(). Each
 * direction holds at most one piece, and no write waits: a side that does not read stops its own
 * direction only. What cannot be written to descriptor 2 is lost; the dialogue goes on. */
#include "qmail/mask.h"
#include "qmail/record_lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* Pieces as recordio reads them: they are seen in the trace. TLS has no lines to see. */
enum { PIECE_BYTES = 256, TLS_PIECE_BYTES = 4096 };

struct direction {
	enum mask_side side;
	int from, to; /* -1: closed */
	uint8_t bytes[TLS_PIECE_BYTES];
	size_t len, written;
	struct record_lines lines;
};

struct recorder {
	struct mask mask;
	struct direction in, out; /* from the client, to the client */
	struct base_buf shown, trace;
};

static void write_trace(struct recorder *r)
{
	size_t at = 0;

	while (at < r->trace.len) {
		ssize_t n = write(STDERR_FILENO, r->trace.ptr + at, r->trace.len - at);

		if (n <= 0 && errno != EINTR)
			break;
		at += n > 0 ? (size_t)n : 0;
	}
	base_buf_clear(&r->trace);
}

static void trace_bytes(struct recorder *r, struct direction *d)
{
	base_buf_clear(&r->shown);
	mask_push(&r->mask, d->side, base_slice_make(d->bytes, d->len), &r->shown);
	record_lines_push(&d->lines, base_buf_slice(&r->shown), mask_is_holding(&r->mask, d->side),
		&r->trace);
	write_trace(r);
}

static void trace_end(struct recorder *r, struct direction *d)
{
	base_buf_clear(&r->shown);
	mask_end(&r->mask, d->side, &r->shown);
	record_lines_push(&d->lines, base_buf_slice(&r->shown), false, &r->trace);
	record_lines_end(&d->lines, &r->trace);
	write_trace(r);
}

static void close_both(struct direction *d)
{
	if (d->from >= 0)
		close(d->from);
	if (d->to >= 0)
		close(d->to);
	d->from = d->to = -1;
}

/* Read one piece. The trace is written before the bytes go on, so that an answer to them stands
 * behind them. */
static void take(struct recorder *r, struct direction *d)
{
	size_t size = r->mask.tls ? TLS_PIECE_BYTES : PIECE_BYTES;
	ssize_t n = read(d->from, d->bytes, size);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		trace_end(r, d);
		close_both(d);
		return;
	}
	d->len = (size_t)n;
	d->written = 0;
	trace_bytes(r, d);
}

/* Descriptor 1 is shared with others, so it stays blocking; a socket is asked not to wait. */
static ssize_t write_some(int fd, const uint8_t *bytes, size_t len)
{
	ssize_t n = send(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 && errno == ENOTSOCK ? write(fd, bytes, len) : n;
}

static void give(struct direction *d)
{
	ssize_t n = write_some(d->to, d->bytes + d->written, d->len - d->written);

	if (n < 0 && errno != EINTR && errno != EAGAIN)
		close_both(d); /* nobody reads any more: let the other end know */
	else if (n > 0)
		d->written += (size_t)n;
	if (d->written == d->len)
		d->len = d->written = 0;
}

static void watch(struct direction *d, struct pollfd *p)
{
	p->fd = d->len ? d->to : d->from;
	p->events = d->len ? POLLOUT : POLLIN;
	p->revents = 0;
}

static void move(struct recorder *r, struct direction *d, const struct pollfd *p)
{
	if (d->from < 0 || p->revents == 0)
		return;
	if (d->len)
		give(d);
	else
		take(r, d);
}

/* Until PROG has closed its output and all of it has gone out. */
static void run(struct recorder *r)
{
	while (r->out.from >= 0) {
		struct pollfd p[2];

		watch(&r->in, &p[0]);
		watch(&r->out, &p[1]);
		if (poll(p, 2, -1) < 0)
			continue;
		move(r, &r->out, &p[1]);
		move(r, &r->in, &p[0]);
	}
}

static void record(long pid, int to_prog, int from_prog, bool show_secrets)
{
	static struct recorder r;

	signal(SIGPIPE, SIG_IGN);
	fcntl(to_prog, F_SETFL, O_NONBLOCK);
	r.in = (struct direction){.side = MASK_CLIENT, .from = STDIN_FILENO, .to = to_prog};
	r.out = (struct direction){.side = MASK_SERVER, .from = from_prog, .to = STDOUT_FILENO};
	record_lines_init(&r.in.lines, pid, '<');
	record_lines_init(&r.out.lines, pid, '>');
	base_buf_init(&r.shown, 65536);
	base_buf_init(&r.trace, 1u << 20);
	mask_init(&r.mask, show_secrets);
	run(&r);
	_exit(0);
}

static int fail(const char *program, const char *what)
{
	fprintf(stderr, "%s: fatal: %s: %s\n", program, what, strerror(errno));
	return 111;
}

/* 0: this is the process that becomes PROG, its descriptors are the pipes. */
static int start(const char *program, bool show_secrets)
{
	int in[2], out[2];
	long prog = getpid();
	pid_t child;

	if (pipe(in) != 0 || pipe(out) != 0)
		return fail(program, "unable to create pipe");
	child = fork();
	if (child < 0)
		return fail(program, "unable to fork");
	if (child == 0) {
		pid_t grandchild = fork();

		if (grandchild != 0)
			_exit(grandchild < 0);
		close(in[0]);
		close(out[1]);
		record(prog, in[1], out[0], show_secrets);
	}
	close(in[1]);
	close(out[0]);
	while (waitpid(child, &(int){0}, 0) < 0 && errno == EINTR)
		continue;
	if (dup2(in[0], STDIN_FILENO) < 0 || dup2(out[1], STDOUT_FILENO) < 0)
		return fail(program, "unable to move descriptors");
	if (in[0] > STDERR_FILENO)
		close(in[0]);
	if (out[1] > STDERR_FILENO)
		close(out[1]);
	return 0;
}

int main(int argc, char **argv)
{
	const char *slash = argc ? strrchr(argv[0], '/') : NULL;
	const char *program = slash ? slash + 1 : argc ? argv[0] : "recordio";
	bool show_secrets = false;
	int at = 1, status;

	for (; at < argc && argv[at][0] == '-'; at++) {
		if (strcmp(argv[at], "--") == 0) {
			at++;
			break;
		}
		if (strcmp(argv[at], "--show-secrets") != 0)
			at = argc;
		else
			show_secrets = true;
	}
	if (at >= argc) {
		fprintf(stderr, "%s: usage: %s [ --show-secrets ] program [ arg ... ]\n", program,
			program);
		return 100;
	}
	status = start(program, show_secrets);
	if (status != 0)
		return status;
	execvp(argv[at], argv + at);
	fprintf(stderr, "%s: fatal: unable to run %s: %s\n", program, argv[at], strerror(errno));
	return 111;
}
