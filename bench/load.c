/* bench-load: submit messages, or hold sessions, and say what it was like
 * Modes    persistent  log in once per connection, then message after message
 *          new         a connection with its TLS handshake and login for every message
 *          idle        log in and hold: "idle" on standard error, then until standard input ends
 * Output   one line of JSON on standard output */
#include "client.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum mode { MODE_PERSISTENT, MODE_NEW, MODE_IDLE };
enum { EVENTS = 256, LOGINS_AT_ONCE = 32, FAILURES_MAX = 1000 };

struct samples {
	double *ms;
	size_t count, cap;
};

static struct {
	struct bench_client_options client;
	enum mode mode;
	uint64_t size, connections, messages;
	SSL_CTX *tls;
	int epoll;
	struct base_buf message;
	uint64_t begun, sent, failed, open, logged_in;
	int64_t first_ns, last_ns;
	struct samples latency, login;
	char error[256];
} load;

static void sample(struct samples *s, int64_t from_ns)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 1024;
		s->ms = base_realloc(s->ms, s->cap * sizeof(*s->ms));
	}
	s->ms[s->count++] = (double)(bench_now_ns() - from_ns) / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double percentile(const struct samples *s, double part)
{
	size_t at = (size_t)(part * (double)s->count);

	if (s->count == 0)
		return 0;
	return s->ms[at < s->count ? at : s->count - 1];
}

static void print_samples(const char *name, struct samples *s)
{
	double sum = 0;

	if (s->count)
		qsort(s->ms, s->count, sizeof(*s->ms), by_value);
	for (size_t i = 0; i < s->count; i++)
		sum += s->ms[i];
	printf("\"%s\": {\"count\": %zu, \"mean\": %.3f, \"p50\": %.3f, \"p90\": %.3f, \"p99\": "
	       "%.3f, "
	       "\"p999\": %.3f, \"max\": %.3f}",
		name, s->count, s->count ? sum / (double)s->count : 0, percentile(s, 0.5),
		percentile(s, 0.9), percentile(s, 0.99), percentile(s, 0.999), percentile(s, 1));
}

static void make_message(void)
{
	static const char line[] = "The quick brown fox jumps over the lazy dog, and does so "
				   "again and again.\r\n";

	base_buf_init(&load.message, 1u << 30);
	base_buf_printf(&load.message,
		"From: <%s>\r\nTo: <%s>\r\nSubject: load\r\n"
		"Date: Tue, 24 Nov 2026 14:52:41 +0000\r\nMessage-ID: <load@bench.example>\r\n\r\n",
		load.client.from, load.client.to);
	while (load.message.len + sizeof(line) < load.size)
		base_buf_append_text(&load.message, line);
	while (load.message.len + 2 < load.size)
		base_buf_append_byte(&load.message, 'x');
	base_buf_append_text(&load.message, "\r\n.\r\n");
}

static void on_event(struct bench_client *c, enum bench_client_event event, void *arg);

static void begin_client(void)
{
	load.open++;
	/* There each session is for one message: none is begun in vain. */
	if (load.mode == MODE_NEW)
		load.begun++;
	(void)!bench_client_begin(&load.client, load.tls, load.epoll, on_event, NULL);
}

/* One more message for this session, or the end of it. */
static void next(struct bench_client *c)
{
	if (load.mode == MODE_NEW || load.begun < load.messages) {
		if (load.mode != MODE_NEW)
			load.begun++;
		bench_client_send(c, base_buf_slice(&load.message));
	} else {
		bench_client_quit(c);
	}
}

static void on_end(struct bench_client *c)
{
	load.open--;
	bench_client_free(&c);
	if (load.mode == MODE_IDLE)
		return;
	if (load.begun < load.messages && load.failed < FAILURES_MAX)
		begin_client();
}

static void on_failed(struct bench_client *c)
{
	if (load.error[0] == '\0')
		snprintf(load.error, sizeof(load.error), "%s", bench_client_error(c));
	/* A session that failed before MAIL used up a message too, so that the run ends. */
	if (load.mode == MODE_PERSISTENT && bench_client_mail_ns(c) == 0)
		load.begun++;
	load.failed++;
	on_end(c);
}

static void on_event(struct bench_client *c, enum bench_client_event event, void *arg)
{
	switch (event) {
	case BENCH_CLIENT_LOGGED_IN:
		sample(&load.login, bench_client_begun_ns(c));
		load.logged_in++;
		if (load.mode != MODE_IDLE)
			next(c);
		break;
	case BENCH_CLIENT_SENT:
		load.sent++;
		load.last_ns = bench_now_ns();
		sample(&load.latency,
			load.mode == MODE_NEW ? bench_client_begun_ns(c) : bench_client_mail_ns(c));
		if (load.mode == MODE_NEW)
			bench_client_quit(c);
		else
			next(c);
		break;
	case BENCH_CLIENT_CLOSED:
		on_end(c);
		break;
	case BENCH_CLIENT_FAILED:
		on_failed(c);
		break;
	}
}

static void turn(int timeout_ms)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(load.epoll, events, EVENTS, timeout_ms);

	for (int i = 0; i < count; i++)
		bench_client_step(events[i].data.ptr);
}

static void run_messages(void)
{
	uint64_t at_once = load.connections < load.messages ? load.connections : load.messages;

	for (uint64_t i = 0; i < at_once; i++)
		begin_client();
	while (load.open)
		turn(-1);
}

/* Few logins at once: what is measured is what a session costs afterwards. */
static void run_idle(void)
{
	struct pollfd end = {.fd = STDIN_FILENO, .events = POLLIN};
	uint64_t begun = 0;

	while (load.logged_in + load.failed < load.connections && load.failed < FAILURES_MAX) {
		while (begun < load.connections &&
			begun - load.logged_in - load.failed < LOGINS_AT_ONCE) {
			begin_client();
			begun++;
		}
		turn(-1);
	}
	load.last_ns = bench_now_ns();
	fprintf(stderr, "idle %llu\n", (unsigned long long)load.open);
	while (poll(&end, 1, 0) <= 0)
		turn(200);
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"server", required_argument, NULL, 's'},
		{"tls", required_argument, NULL, 't'},
		{"auth", required_argument, NULL, 'a'},
		{"user", required_argument, NULL, 'u'},
		{"password", required_argument, NULL, 'p'},
		{"from", required_argument, NULL, 'f'},
		{"to", required_argument, NULL, 'r'},
		{"mode", required_argument, NULL, 'm'},
		{"size", required_argument, NULL, 'z'},
		{"connections", required_argument, NULL, 'c'},
		{"messages", required_argument, NULL, 'n'},
		{"no-pipelining", no_argument, NULL, 'P'},
		{0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 's':
			load.client.address = bench_address_parse(optarg);
			break;
		case 't':
			load.client.tls = bench_tls_parse(optarg);
			break;
		case 'a':
			load.client.mechanism = sasl_mechanism_parse(base_slice_text(optarg));
			if (load.client.mechanism == SASL_MECHANISM_NONE &&
				strcmp(optarg, "none") != 0)
				bench_die("\"%s\" is no mechanism, nor none", optarg);
			break;
		case 'u':
			load.client.user = optarg;
			break;
		case 'p':
			load.client.password = optarg;
			break;
		case 'f':
			load.client.from = optarg;
			break;
		case 'r':
			load.client.to = optarg;
			break;
		case 'm':
			if (strcmp(optarg, "persistent") == 0)
				load.mode = MODE_PERSISTENT;
			else if (strcmp(optarg, "new") == 0)
				load.mode = MODE_NEW;
			else if (strcmp(optarg, "idle") == 0)
				load.mode = MODE_IDLE;
			else
				bench_die("\"%s\" is not one of persistent, new, idle", optarg);
			break;
		case 'z':
			load.size = bench_number_parse(optarg, "--size", 1u << 29);
			break;
		case 'c':
			load.connections = bench_number_parse(optarg, "--connections", 100000);
			break;
		case 'n':
			load.messages = bench_number_parse(optarg, "--messages", 1u << 30);
			break;
		case 'P':
			load.client.pipelining = false;
			break;
		default:
			exit(2);
		}
	}
	if (load.client.address.len == 0)
		bench_die("usage: %s --server ADDRESS:PORT [--tls none|starttls|implicit] "
			  "[--auth MECHANISM|none --user U --password P] [--mode "
			  "persistent|new|idle] "
			  "[--size N] [--connections N] [--messages N] [--from A] [--to A] "
			  "[--no-pipelining]",
			argv[0]);
}

static void print_result(void)
{
	static const char *const modes[] = {"persistent", "new", "idle"};
	double seconds = (double)(load.last_ns - load.first_ns) / 1e9;

	printf("{\"mode\": \"%s\", \"connections\": %llu, \"size\": %llu, \"sent\": %llu, "
	       "\"failed\": "
	       "%llu, \"logged_in\": %llu, \"seconds\": %.3f, \"per_second\": %.1f, ",
		modes[load.mode], (unsigned long long)load.connections,
		(unsigned long long)load.size, (unsigned long long)load.sent,
		(unsigned long long)load.failed, (unsigned long long)load.logged_in, seconds,
		seconds > 0 ? (double)load.sent / seconds : 0);
	print_samples("latency_ms", &load.latency);
	printf(", ");
	print_samples("login_ms", &load.login);
	printf(", \"error\": \"%s\"}\n", load.error);
}

int main(int argc, char **argv)
{
	load.client.tls = BENCH_TLS_IMPLICIT;
	load.client.mechanism = SASL_MECHANISM_PLAIN;
	load.client.user = "bench";
	load.client.password = "bench";
	load.client.from = "bench@example.org";
	load.client.to = "sink@example.net";
	load.client.pipelining = true;
	load.size = 4096;
	load.connections = 20;
	load.messages = 1000;
	parse(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	bench_descriptors_raise();
	make_message();
	load.tls = bench_tls_client();
	load.epoll = epoll_create1(EPOLL_CLOEXEC);
	load.first_ns = load.last_ns = bench_now_ns();
	if (load.mode == MODE_IDLE)
		run_idle();
	else
		run_messages();
	print_result();
	return load.failed ? 1 : 0;
}
