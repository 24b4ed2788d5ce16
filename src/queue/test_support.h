/* queue/test_support.h: the core with a real spool and scripted peers
 * A test tells events and turns, and looks at what was answered, sent and stored. */
#ifndef QUEUE_TEST_SUPPORT_H
#define QUEUE_TEST_SUPPORT_H

#include "queue/core.h"
#include "spool/test_fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { JOBS = 8192, START = 1000000 };

struct sent {
	enum ipc_role role;
	unsigned peer;
	uint32_t id;
	char host[128], rcpts[512], body[256], sender[128], path[128], account[64];
	enum conf_via via;
	uint32_t rcpt_count;
	bool file;
};

static struct fixture {
	char dir[128];
	struct spool *spool;
	struct queue_core *core;
	struct conf conf;
	struct conf_route routes[8];
	int64_t now;
	struct sent jobs[JOBS];
	size_t job_count, job_at;
	struct {
		char id[17];
		enum base_error_class class;
	} answers[JOBS];
	size_t answer_count;
	int known; /* -1: not asked */
	char events[65536];
	char body[131072]; /* of the last job */
	bool refuse_jobs;
	bool stranger; /* what is submitted came without a login */
	unsigned random;
} x;

/* ---- ports ---- */

static inline bool on_job(void *arg, enum ipc_role role, unsigned index, uint32_t job_id,
	const struct job *job, int fd)
{
	struct sent *s = &x.jobs[x.job_count];
	struct envelope e;
	struct envelope_rcpt r;
	struct ipc_reader rest;

	if (x.refuse_jobs)
		return false;
	assert_true(x.job_count < JOBS);
	memset(s, 0, sizeof(*s));
	s->role = role;
	s->peer = index;
	s->id = job_id;
	s->file = job->file;
	snprintf(s->host, sizeof(s->host), "%.*s", BASE_SLICE_ARGS(job->host));
	snprintf(s->path, sizeof(s->path), "%.*s", BASE_SLICE_ARGS(job->path));
	snprintf(s->account, sizeof(s->account), "%.*s", BASE_SLICE_ARGS(job->account));
	s->via = job->via;
	assert_true(envelope_get(job->envelope, &e, &rest));
	snprintf(s->sender, sizeof(s->sender), "%.*s", BASE_SLICE_ARGS(e.sender));
	s->rcpt_count = e.rcpt_count;
	for (uint32_t i = 0; i < e.rcpt_count; i++) {
		size_t len = strlen(s->rcpts);

		assert_true(envelope_get_rcpt(&rest, &r));
		snprintf(s->rcpts + len, sizeof(s->rcpts) - len, "%s%.*s", i ? "," : "",
			BASE_SLICE_ARGS(r.address));
	}
	assert_true(ipc_reader_done(&rest));
	snprintf(s->body, sizeof(s->body), "%.*s",
		(int)(job->message.len < 200 ? job->message.len : 200),
		(const char *)job->message.ptr);
	snprintf(x.body, sizeof(x.body), "%.*s", BASE_SLICE_ARGS(job->message));
	assert_true(job->file ? fd >= 0 : job->message.len == job->size);
	if (fd >= 0)
		close(fd);
	x.job_count++;
	return true;
}

static inline void on_submitted(void *arg, const struct queue_client *client,
	const struct base_id *id, enum base_error_class class)
{
	assert_true(x.answer_count < JOBS);
	memcpy(x.answers[x.answer_count].id, id->text, 17);
	x.answers[x.answer_count++].class = class;
}

static inline void on_known(
	void *arg, const struct queue_client *client, const struct base_id *id, bool known)
{
	x.known = known;
}

static inline void on_event(void *arg, const struct queue_event *e)
{
	static const char *const names[] = {"route", "delivery", "bounce", "done"};
	size_t len = strlen(x.events);

	snprintf(x.events + len, sizeof(x.events) - len, "%s %.*s %s%s%.*s%s|", names[e->kind],
		BASE_SLICE_ARGS(e->recipient), e->result ? e->result : "",
		e->sender_line.len ? " by=" : "", BASE_SLICE_ARGS(e->sender_line),
		e->end ? " end" : "");
}

static inline void on_random(void *arg, void *out, size_t len)
{
	memset(out, 0, len);
	memcpy(out, &x.random, sizeof(x.random) < len ? sizeof(x.random) : len);
	x.random++;
}

static inline void on_error(void *arg, const char *what, const struct base_error *err)
{
	size_t len = strlen(x.events);

	snprintf(x.events + len, sizeof(x.events) - len, "error %s: %s|", what, err->text);
}

static const struct queue_ports ports = {
	on_job, on_submitted, on_known, on_event, on_random, on_error};

/* ---- the fixture ---- */

static char text_any[] = "*", text_mx[] = "mx", text_own[] = "mail.example.org";
static char text_home[] = "home.example", text_maildir[] = "/mail/{user}";
static char text_void[] = "void.example", text_bad[] = "bad.example", text_gone[] = "gone away";
static char text_smart[] = "smart.example", text_relay[] = "relay.example";

static inline void open_core(void)
{
	struct spool_options o = {.data_dir = x.dir, .owner = "test", .vfs = "fault"};
	struct base_error err;

	if (spool_open(&x.spool, &o, &err) != 0)
		fail_msg("%s", err.text);
	x.core = queue_core_new(x.spool, &ports, NULL, &x.conf, x.now);
}

static inline void close_core(void)
{
	queue_core_free(&x.core);
	spool_close(&x.spool);
}

static inline int setup(void **state)
{
	memset(&x, 0, sizeof(x));
	fault_arm(0, 0, false);
	x.known = -1;
	x.now = START;
	snprintf(x.dir, sizeof(x.dir), "/tmp/postern-queue-XXXXXX");
	assert_non_null(mkdtemp(x.dir));
	x.routes[0] = (struct conf_route){
		.title = text_any, .via = CONF_VIA_MX, .via_text = text_mx};
	x.routes[1] = (struct conf_route){.title = text_home,
		.via = CONF_VIA_MAILDIR,
		.via_text = text_maildir,
		.text = text_maildir};
	x.routes[2] = (struct conf_route){
		.title = text_void, .via = CONF_VIA_DISCARD, .via_text = text_void};
	x.routes[3] = (struct conf_route){
		.title = text_bad, .via = CONF_VIA_ERROR, .via_text = text_gone, .text = text_gone};
	x.routes[4] = (struct conf_route){.title = text_smart,
		.via = CONF_VIA_SMTP,
		.via_text = text_relay,
		.host = text_relay,
		.port = 587};
	x.conf.routes = x.routes;
	x.conf.route_count = 5;
	x.conf.hostname = text_own;
	x.conf.queue.lifetime_s = 1000;
	x.conf.queue.delay_warning_s = 400;
	x.conf.queue.retry_s[0] = 60;
	x.conf.queue.retry_s[1] = 300;
	x.conf.queue.retry_count = 2;
	open_core();
	return 0;
}

static inline int teardown(void **state)
{
	char command[256];

	close_core();
	snprintf(command, sizeof(command), "rm -r '%s'", x.dir);
	return system(command);
}

static inline void reopen(void)
{
	close_core();
	open_core();
}

static inline void relays(unsigned count, uint32_t capacity)
{
	for (unsigned i = 0; i < count; i++) {
		queue_core_peer_up(x.core, IPC_RELAY, i);
		queue_core_capacity(x.core, IPC_RELAY, i, capacity);
	}
	queue_core_peer_up(x.core, IPC_DELIVER, 0);
	queue_core_capacity(x.core, IPC_DELIVER, 0, capacity);
}

static inline struct base_id id_of(unsigned n)
{
	uint8_t random[5] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 1, 1};

	return base_id_make(START, random);
}

/* @rcpts: "a@b c@d/NOTIFY" with NOTIFY a digit. */
static inline struct base_id submit_with(unsigned n, const char *sender, const char *rcpts,
	const char *body, struct spool_file *file, uint64_t size)
{
	struct queue_client client = {.transaction = n};
	struct base_slice list = base_slice_text(rcpts), one;
	struct envelope e = {.arrived_ms = x.now,
		.sender = base_slice_text(sender),
		.session = BASE_SLICE("s"),
		.flags = x.stranger ? ENVELOPE_STRANGER : 0,
		.ret = x.stranger ? 1 : 0,
		.envid = base_slice_text(x.stranger ? "buy-this" : "")};
	struct envelope_rcpt r;
	struct base_buf b;
	struct base_id id = id_of(n);

	while (base_slice_split(&list, ' ', &one))
		e.rcpt_count++;
	base_buf_init(&b, 1 << 20);
	envelope_put(&b, &e);
	list = base_slice_text(rcpts);
	while (base_slice_split(&list, ' ', &one)) {
		r = (struct envelope_rcpt){
			.address = base_slice_first(one, base_slice_find(one, '/'))};
		if (r.address.len < one.len)
			r.notify = (uint8_t)(one.ptr[one.len - 1] - '0');
		envelope_put_rcpt(&b, &r);
	}
	queue_core_submit(
		x.core, &client, &id, base_buf_slice(&b), size, base_slice_text(body), file, x.now);
	base_buf_release(&b);
	return id;
}

static inline struct base_id submit(unsigned n, const char *sender, const char *rcpts)
{
	static const char body[] = "Subject: x\r\n\r\nhello\r\n";

	return submit_with(n, sender, rcpts, body, NULL, sizeof(body) - 1);
}

/* Turns until it wants to sleep. Returns how long. */
static inline int64_t turns(void)
{
	int64_t wait = 0;

	for (int i = 0; i < 1000 && wait == 0; i++)
		wait = queue_core_turn(x.core, x.now);
	assert_true(wait > 0);
	return wait;
}

static inline void settle(void)
{
	(void)turns();
	x.now += 5;
	(void)turns();
}

static inline struct sent *next_job(void)
{
	if (x.job_at >= x.job_count)
		fail_msg("no job at %zu: %s", x.job_at, x.events);
	return &x.jobs[x.job_at++];
}

static inline void no_more_jobs(void)
{
	assert_int_equal(x.job_at, x.job_count);
}

/* One outcome letter for each recipient: d f t(emporary) h(eld). */
static inline bool result(const struct sent *s, const char *outcomes)
{
	struct job_result r = {
		.host = BASE_SLICE("peer.example"), .rcpt_count = (uint32_t)strlen(outcomes)};
	struct base_buf b;
	bool good;

	base_buf_init(&b, 65536);
	job_result_put(&b, &r);
	for (uint32_t i = 0; i < r.rcpt_count; i++) {
		struct job_rcpt_result one = {.index = i, .code = outcomes[i] == 'd' ? 250 : 550};

		one.outcome = outcomes[i] == 'd' ? JOB_DELIVERED
			: outcomes[i] == 'f'     ? JOB_FAILED
			: outcomes[i] == 'h'     ? JOB_HELD
						 : JOB_DEFERRED;
		if (one.outcome != JOB_DELIVERED)
			one.reply = BASE_SLICE("5.1.1 nobody here");
		job_result_put_rcpt(&b, &one);
	}
	good = queue_core_result(x.core, s->role, s->peer, s->id, base_buf_slice(&b), x.now);
	base_buf_release(&b);
	return good;
}

static inline uint64_t stored(void)
{
	struct spool_stats st;
	struct base_error err;

	assert_int_equal(spool_stats(x.spool, &st, &err), 0);
	return st.messages;
}

static char admin_answer[65536];

static inline void on_part(void *arg, struct base_slice part)
{
	size_t len = strlen(admin_answer);

	snprintf(admin_answer + len, sizeof(admin_answer) - len, "%.*s", BASE_SLICE_ARGS(part));
}

static inline int admin(const char *verb, const struct base_id *id)
{
	struct base_slice words[] = {base_slice_text(verb), base_id_slice(id)};
	struct spool_admin *a;
	struct base_error err;
	int rc = spool_admin_begin(&a, x.spool, envelope_visit, words, 2, x.now, &err);

	admin_answer[0] = '\0';
	assert_int_equal(rc, 0);
	rc = queue_core_admin_before(x.core, a, x.now, &err);
	while (rc == 0 && (rc = spool_admin_step(a, on_part, NULL, &err)) > 0)
		rc = 0;
	if (rc == 0)
		rc = spool_commit(x.spool, &err);
	if (rc == 0)
		queue_core_admin_after(x.core, a);
	else
		spool_rollback(x.spool);
	spool_admin_free(&a);
	return rc;
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
