/* What one message costs the queue: accept, commit, job, result, commit; without sockets.
 * bench_core [FOLDER [MESSAGES [BATCH [BYTES]]]] prints one line of JSON. */
#include "queue/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { JOBS_MAX = 8192 };

static struct {
	uint32_t ids[JOBS_MAX];
	unsigned peers[JOBS_MAX];
	size_t job_count, answered, refused;
	uint64_t random;
} state;

static bool on_job(void *arg, enum ipc_role role, unsigned index, uint32_t job_id,
	const struct job *job, int fd)
{
	struct base_buf *b = arg;

	base_buf_clear(b);
	job_put(b, job);
	state.ids[state.job_count] = job_id;
	state.peers[state.job_count++] = index;
	return true;
}

static void on_submitted(void *arg, const struct queue_client *client, const struct base_id *id,
	enum base_error_class class)
{
	if (class == BASE_ERROR_NONE)
		state.answered++;
	else
		state.refused++;
}

static void on_known(
	void *arg, const struct queue_client *client, const struct base_id *id, bool known)
{
}

static void on_event(void *arg, const struct queue_event *event)
{
}

static void on_random(void *arg, void *out, size_t len)
{
	state.random++;
	memcpy(out, &state.random, len < sizeof(state.random) ? len : sizeof(state.random));
}

static void on_error(void *arg, const char *what, const struct base_error *err)
{
	fprintf(stderr, "%s: %s\n", what, err->text);
}

static double cpu_us(int who)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return who ? (double)u.ru_stime.tv_sec * 1e6 + (double)u.ru_stime.tv_usec
		   : (double)u.ru_utime.tv_sec * 1e6 + (double)u.ru_utime.tv_usec;
}

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void give_results(struct queue_core *c, int64_t now)
{
	struct job_result r = {.host = BASE_SLICE("peer.example"), .rcpt_count = 1};
	struct job_rcpt_result one = {.code = 250, .reply = BASE_SLICE("250 2.0.0 ok")};
	size_t count = state.job_count;
	struct base_buf b;

	base_buf_init(&b, 4096);
	job_result_put(&b, &r);
	job_result_put_rcpt(&b, &one);
	state.job_count = 0;
	for (size_t i = 0; i < count; i++)
		if (!queue_core_result(
			    c, IPC_RELAY, state.peers[i], state.ids[i], base_buf_slice(&b), now))
			exit(1);
	base_buf_release(&b);
}

static void submit(
	struct queue_core *c, struct base_buf *envelope, struct base_slice body, int64_t now)
{
	struct envelope e = {.arrived_ms = now,
		.sender = BASE_SLICE("anna@example.org"),
		.session = BASE_SLICE("0123456789abcdef"),
		.user = BASE_SLICE("anna"),
		.client = BASE_SLICE("127.0.0.1"),
		.rcpt_count = 1};
	struct envelope_rcpt r = {.address = BASE_SLICE("bert@example.net")};
	struct queue_client client = {0};
	struct base_id id;
	uint8_t random[5];

	on_random(NULL, random, sizeof(random));
	id = base_id_make(now, random);
	base_buf_clear(envelope);
	envelope_put(envelope, &e);
	envelope_put_rcpt(envelope, &r);
	queue_core_submit(c, &client, &id, base_buf_slice(envelope), body.len, body, NULL, now);
}

int main(int argc, char **argv)
{
	static char title[] = "*", via[] = "smtp://127.0.0.1:25", host[] = "127.0.0.1";
	static char name[] = "mail.example.org";
	const struct queue_ports ports = {
		on_job, on_submitted, on_known, on_event, on_random, on_error};
	struct conf_route route = {
		.title = title, .via = CONF_VIA_SMTP, .via_text = via, .host = host, .port = 25};
	struct conf conf = {.routes = &route, .route_count = 1, .hostname = name};
	struct spool_options options = {.data_dir = argc > 1 ? argv[1] : "bench-queue.tmp"};
	long messages = argc > 2 ? atol(argv[2]) : 20000, batch = argc > 3 ? atol(argv[3]) : 16;
	size_t bytes = argc > 4 ? (size_t)atol(argv[4]) : 4096;
	uint8_t *body = base_alloc(bytes + 1);
	struct base_buf frame, envelope;
	struct queue_core *c;
	struct spool *s;
	struct base_error err;
	int64_t start, now = 1795528361000;
	double user, sys, wall;

	memset(body, 'x', bytes);
	base_buf_init(&frame, 1 << 20);
	base_buf_init(&envelope, 4096);
	conf.queue.lifetime_s = 1000;
	if (spool_open(&s, &options, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		return 1;
	}
	c = queue_core_new(s, &ports, &frame, &conf, now);
	queue_core_peer_up(c, IPC_RELAY, 0);
	queue_core_capacity(c, IPC_RELAY, 0, 1024);
	start = now_us();
	user = cpu_us(0);
	sys = cpu_us(1);
	for (long i = 0; i < messages; i += batch) {
		give_results(c, now);
		for (long k = 0; k < batch; k++)
			submit(c, &envelope, base_slice_make(body, bytes), now);
		(void)queue_core_turn(c, now++);
	}
	give_results(c, now);
	now += 10;
	(void)queue_core_turn(c, now);
	user = cpu_us(0) - user;
	sys = cpu_us(1) - sys;
	wall = (double)(now_us() - start);
	printf("{\"messages\": %zu, \"refused\": %zu, \"batch\": %ld, \"bytes\": %zu, "
	       "\"cpu_us\": %.1f, \"user_us\": %.1f, \"system_us\": %.1f, \"per_s\": %.0f}\n",
		state.answered, state.refused, batch, bytes, (user + sys) / (double)messages,
		user / (double)messages, sys / (double)messages, (double)messages * 1e6 / wall);
	queue_core_free(&c);
	spool_close(&s);
	base_buf_release(&frame);
	base_buf_release(&envelope);
	free(body);
	return state.refused != 0;
}
