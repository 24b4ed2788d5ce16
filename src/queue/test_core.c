/* The core with a real spool and scripted peers: each test tells events and turns, and looks at what
 * was answered, sent and stored. */
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
	char host[128], rcpts[512], body[256], sender[128], path[128];
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

static bool on_job(void *arg, enum ipc_role role, unsigned index, uint32_t job_id,
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

static void on_submitted(void *arg, const struct queue_client *client, const struct base_id *id,
	enum base_error_class class)
{
	assert_true(x.answer_count < JOBS);
	memcpy(x.answers[x.answer_count].id, id->text, 17);
	x.answers[x.answer_count++].class = class;
}

static void on_known(
	void *arg, const struct queue_client *client, const struct base_id *id, bool known)
{
	x.known = known;
}

static void on_event(void *arg, const struct queue_event *e)
{
	static const char *const names[] = {"route", "delivery", "bounce", "done"};
	size_t len = strlen(x.events);

	snprintf(x.events + len, sizeof(x.events) - len, "%s %.*s %s%s|", names[e->kind],
		BASE_SLICE_ARGS(e->recipient), e->result ? e->result : "", e->end ? " end" : "");
}

static void on_random(void *arg, void *out, size_t len)
{
	memset(out, 0, len);
	memcpy(out, &x.random, sizeof(x.random) < len ? sizeof(x.random) : len);
	x.random++;
}

static void on_error(void *arg, const char *what, const struct base_error *err)
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

static void open_core(void)
{
	struct spool_options o = {.data_dir = x.dir, .owner = "test", .vfs = "fault"};
	struct base_error err;

	if (spool_open(&x.spool, &o, &err) != 0)
		fail_msg("%s", err.text);
	x.core = queue_core_new(x.spool, &ports, NULL, &x.conf, x.now);
}

static void close_core(void)
{
	queue_core_free(&x.core);
	spool_close(&x.spool);
}

static int setup(void **state)
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

static int teardown(void **state)
{
	char command[256];

	close_core();
	snprintf(command, sizeof(command), "rm -r '%s'", x.dir);
	return system(command);
}

static void reopen(void)
{
	close_core();
	open_core();
}

static void relays(unsigned count, uint32_t capacity)
{
	for (unsigned i = 0; i < count; i++) {
		queue_core_peer_up(x.core, IPC_RELAY, i);
		queue_core_capacity(x.core, IPC_RELAY, i, capacity);
	}
	queue_core_peer_up(x.core, IPC_DELIVER, 0);
	queue_core_capacity(x.core, IPC_DELIVER, 0, capacity);
}

static struct base_id id_of(unsigned n)
{
	uint8_t random[5] = {(uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n, 1, 1};

	return base_id_make(START, random);
}

/* @rcpts: "a@b c@d/NOTIFY" with NOTIFY a digit. */
static struct base_id submit_with(unsigned n, const char *sender, const char *rcpts,
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

static struct base_id submit(unsigned n, const char *sender, const char *rcpts)
{
	static const char body[] = "Subject: x\r\n\r\nhello\r\n";

	return submit_with(n, sender, rcpts, body, NULL, sizeof(body) - 1);
}

/* Turns until it wants to sleep. Returns how long. */
static int64_t turns(void)
{
	int64_t wait = 0;

	for (int i = 0; i < 1000 && wait == 0; i++)
		wait = queue_core_turn(x.core, x.now);
	assert_true(wait > 0);
	return wait;
}

static void settle(void)
{
	(void)turns();
	x.now += 5;
	(void)turns();
}

static struct sent *next_job(void)
{
	assert_true(x.job_at < x.job_count);
	return &x.jobs[x.job_at++];
}

static void no_more_jobs(void)
{
	assert_int_equal(x.job_at, x.job_count);
}

/* One outcome letter for each recipient: d f t(emporary) h(eld). */
static bool result(const struct sent *s, const char *outcomes)
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

static uint64_t stored(void)
{
	struct spool_stats st;
	struct base_error err;

	assert_int_equal(spool_stats(x.spool, &st, &err), 0);
	return st.messages;
}

static char admin_answer[65536];

static void on_part(void *arg, struct base_slice part)
{
	size_t len = strlen(admin_answer);

	snprintf(admin_answer + len, sizeof(admin_answer) - len, "%.*s", BASE_SLICE_ARGS(part));
}

static int admin(const char *verb, const struct base_id *id)
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

/* ---- tests ---- */

static void accepted_sent_delivered(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net");
	assert_int_equal(x.answer_count, 0);
	(void)queue_core_turn(x.core, x.now);
	assert_int_equal(x.answer_count, 1);
	assert_int_equal(x.answers[0].class, 0);
	assert_int_equal(stored(), 1);
	s = next_job();
	assert_int_equal(s->role, IPC_RELAY);
	assert_string_equal(s->host, "example.net");
	assert_string_equal(s->rcpts, "b@example.net");
	assert_string_equal(s->sender, "a@example.org");
	assert_string_equal(s->body, "Subject: x\r\n\r\nhello\r\n");
	assert_true(result(s, "d"));
	assert_false(result(s, "d"));
	assert_false(queue_core_is_idle(x.core));
	settle();
	assert_int_equal(stored(), 0);
	assert_true(queue_core_is_idle(x.core));
	assert_string_equal(x.events, "delivery b@example.net delivered end|");
	no_more_jobs();
}

static void recipients_are_grouped(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org",
		"b@example.net c@EXAMPLE.net d@home.example e@example.com "
		"f@example.net");
	(void)turns();
	assert_int_equal(x.job_count, 3);
	for (int i = 0; i < 3; i++) {
		s = next_job();
		if (s->role == IPC_DELIVER)
			assert_string_equal(s->rcpts, "d@home.example");
		else if (s->rcpt_count == 3)
			assert_string_equal(s->rcpts, "b@example.net,c@EXAMPLE.net,f@example.net");
		else
			assert_string_equal(s->rcpts, "e@example.com");
	}
}

static void partly_delivered_is_remembered(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net c@example.net d@example.com");
	(void)turns();
	s = x.jobs[0].rcpt_count == 2 ? &x.jobs[0] : &x.jobs[1];
	assert_true(result(s, "dt"));
	settle();
	assert_int_equal(stored(), 1);
	/* A crash now: the delivered one is not tried again, the outstanding one is. */
	reopen();
	relays(1, 10);
	x.job_at = x.job_count;
	(void)turns();
	assert_string_equal(next_job()->rcpts, "d@example.com");
	no_more_jobs();
	x.now += 70 * 1000;
	(void)turns();
	s = next_job();
	assert_string_equal(s->rcpts, "c@example.net");
	assert_true(result(s, "d"));
	assert_true(result(s - 1, "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void deferred_comes_back_in_time(void **state)
{
	int64_t wait;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net");
	(void)turns();
	assert_true(result(next_job(), "t"));
	settle();
	no_more_jobs();
	wait = turns();
	assert_true(wait > 1000 && wait <= 66 * 1000);
	x.now += 50 * 1000;
	(void)turns();
	no_more_jobs();
	x.now += 20 * 1000;
	(void)turns();
	assert_string_equal(next_job()->body, "Subject: x\r\n\r\nhello\r\n");
	no_more_jobs();
}

static void failure_makes_a_notice(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net c@example.net/1");
	(void)turns();
	assert_true(result(next_job(), "ff"));
	settle();
	s = next_job();
	assert_string_equal(s->sender, "");
	assert_string_equal(s->rcpts, "a@example.org");
	assert_non_null(strstr(x.body, "Diagnostic-Code: smtp; 550 5.1.1 nobody here\r\n"));
	assert_non_null(strstr(x.body, "b@example.net"));
	assert_null(strstr(x.body, "c@example.net"));
	/* The notice fails too: that is the end of it. */
	assert_true(result(s, "f"));
	settle();
	no_more_jobs();
	assert_int_equal(stored(), 0);
	assert_null(strstr(strstr(x.events, "bounce") + 1, "bounce"));
}

/* Whoever is named as the sender may have nothing to do with it. */
static void a_stranger_sends_nothing_by_way_of_notices(void **state)
{
	relays(1, 10);
	x.stranger = true;
	submit(1, "victim@example.com", "a@example.net/2 b@example.net/4 c@example.net/2");
	submit(2, "victim@example.com", "d@example.net/2");
	x.stranger = false;
	(void)turns();
	assert_true(result(next_job(), "dfd"));
	assert_true(result(next_job(), "d"));
	settle();
	assert_string_equal(next_job()->rcpts, "victim@example.com");
	assert_non_null(strstr(x.body, "nobody here"));
	assert_null(strstr(x.body, "Subject: x"));
	assert_null(strstr(x.body, "hello"));
	assert_null(strstr(x.body, "buy-this"));
	assert_null(strstr(x.body, "a@example.net"));
	no_more_jobs();
	assert_non_null(strstr(x.events, "bounce  not made"));
}

static void notify_is_heeded(void **state)
{
	relays(1, 10);
	/* NEVER, SUCCESS, FAILURE, nothing */
	submit(1, "a@example.org", "b@example.net/1 c@example.net/2 d@example.net/4 e@example.net");
	(void)turns();
	assert_true(result(next_job(), "dddd"));
	settle();
	(void)next_job();
	assert_non_null(strstr(x.body, "c@example.net"));
	assert_null(strstr(x.body, "b@example.net"));
	assert_null(strstr(x.body, "d@example.net"));
	assert_null(strstr(x.body, "e@example.net"));
}

static void time_runs_out(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net");
	(void)turns();
	s = next_job();
	for (int i = 0; i < 40 && x.now < START + 990 * 1000; i++) {
		if (strcmp(s->sender, "") != 0)
			assert_true(result(s, "h"));
		else
			assert_true(result(s, "d"));
		settle();
		while (x.job_at == x.job_count) {
			x.now += 20 * 1000;
			(void)turns();
		}
		s = next_job();
	}
	/* One warning on the way, then the last attempt at the end of the lifetime. */
	assert_non_null(strstr(x.events, "bounce  delayed"));
	assert_null(strstr(strstr(x.events, "bounce  delayed") + 1, "bounce  delayed"));
	while (strcmp(s->sender, "") == 0 || x.now < START + 1000 * 1000) {
		(void)result(s, *s->sender ? "h" : "d");
		settle();
		x.now += 20 * 1000;
		(void)turns();
		if (x.job_at < x.job_count)
			s = next_job();
		assert_true(x.now < START + 2000 * 1000);
	}
	(void)result(s, "h");
	settle();
	assert_non_null(strstr(x.events, "bounce  failed"));
	s = next_job();
	assert_string_equal(s->sender, "");
	assert_true(result(s, "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void decided_by_the_route(void **state)
{
	relays(1, 10);
	submit(1, "a@example.org", "b@void.example");
	(void)turns();
	assert_int_equal(x.answers[0].class, 0);
	assert_int_equal(stored(), 0);
	no_more_jobs();
	submit(2, "a@example.org", "b@bad.example c@bad.example d@void.example");
	(void)turns();
	assert_int_equal(x.answer_count, 2);
	assert_string_equal(next_job()->rcpts, "a@example.org");
	assert_non_null(strstr(x.body, "gone away"));
	assert_non_null(strstr(x.body, "c@bad.example"));
	no_more_jobs();
	assert_int_equal(stored(), 1);
	submit(3, "a@example.org", "b@bad.example e@smart.example");
	(void)turns();
	assert_int_equal(x.job_count, 3);
}

static void null_sender_gets_no_notice(void **state)
{
	relays(1, 10);
	submit(1, "", "b@bad.example");
	(void)turns();
	assert_int_equal(stored(), 0);
	no_more_jobs();
}

static void lost_relay_gives_back(void **state)
{
	relays(2, 10);
	submit(1, "a@example.org", "b@smart.example");
	submit(2, "a@example.org", "c@smart.example");
	(void)turns();
	assert_int_equal(x.job_count, 2);
	assert_int_equal(x.jobs[0].peer, x.jobs[1].peer);
	x.job_at = 2;
	queue_core_peer_down(x.core, IPC_RELAY, x.jobs[0].peer);
	(void)turns();
	no_more_jobs();
	queue_core_peer_up(x.core, IPC_RELAY, x.jobs[0].peer);
	queue_core_capacity(x.core, IPC_RELAY, x.jobs[0].peer, 10);
	(void)turns();
	assert_int_equal(x.job_count, 4);
	assert_string_equal(x.jobs[2].body, "Subject: x\r\n\r\nhello\r\n");
	assert_true(result(&x.jobs[2], "d"));
	assert_true(result(&x.jobs[3], "d"));
	assert_false(result(&x.jobs[0], "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void one_slow_destination_holds_up_nobody(void **state)
{
	size_t slow = 0, other = 0;

	relays(1, 8);
	for (unsigned i = 0; i < 5000; i++) {
		submit(i, "a@example.org", "b@slow.example");
		if (queue_core_wants_turn(x.core))
			(void)queue_core_turn(x.core, x.now);
	}
	(void)turns();
	for (unsigned i = 0; i < 3; i++)
		submit(6000 + i, "a@example.org", "b@quick.example");
	(void)turns();
	assert_int_equal(x.answer_count, 5003);
	assert_int_equal(stored(), 5003);
	for (size_t i = 0; i < x.job_count; i++)
		if (strcmp(x.jobs[i].host, "slow.example") == 0)
			slow++;
		else
			other++;
	assert_true(slow >= 2 && slow < 8);
	assert_true(other >= 2);
	/* And all of it is delivered in the end, the parked ones too. */
	for (int i = 0; x.job_at < x.job_count; i++) {
		assert_true(result(next_job(), "d"));
		if (i % 4 == 0)
			settle();
	}
	settle();
	while (x.job_at < x.job_count) {
		assert_true(result(next_job(), "d"));
		settle();
	}
	assert_int_equal(stored(), 0);
	assert_int_equal(x.job_count, 5003);
}

static void parked_survives_a_restart(void **state)
{
	for (unsigned i = 0; i < 4200; i++) {
		char rcpt[64];

		snprintf(rcpt, sizeof(rcpt), "b@d%u.example", i % 7);
		submit(i, "a@example.org", rcpt);
		if (queue_core_wants_turn(x.core))
			(void)queue_core_turn(x.core, x.now);
	}
	(void)queue_core_turn(x.core, x.now);
	assert_int_equal(stored(), 4200);
	reopen();
	relays(2, 100);
	(void)turns();
	while (x.job_at < x.job_count) {
		while (x.job_at < x.job_count)
			assert_true(result(next_job(), "d"));
		settle();
	}
	assert_int_equal(x.job_count, 4200);
	assert_int_equal(stored(), 0);
}

static void same_id_twice_is_answered_as_stored(void **state)
{
	struct queue_client client = {0};
	struct base_id id, other = id_of(9);

	id = submit(1, "a@example.org", "b@example.net");
	submit(1, "a@example.org", "b@example.net");
	queue_core_query(x.core, &client, &id);
	assert_int_equal(x.known, -1);
	(void)turns();
	assert_int_equal(x.known, 1);
	submit(1, "a@example.org", "b@example.net");
	(void)turns();
	assert_int_equal(x.answer_count, 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(x.answers[i].class, 0);
	assert_int_equal(stored(), 1);
	queue_core_query(x.core, &client, &other);
	(void)turns();
	assert_int_equal(x.known, 0);
}

static void files_travel_as_descriptors(void **state)
{
	struct spool_file f;
	struct base_error err;

	relays(1, 10);
	assert_int_equal(spool_file_make(x.spool, &f, &err), 0);
	assert_int_equal(write(f.fd, "Subject: y\r\n\r\nlong", 18), 18);
	submit_with(1, "a@example.org", "b@example.net", "", &f, 18);
	(void)turns();
	assert_int_equal(x.answers[0].class, 0);
	assert_true(next_job()->file);
	assert_true(result(&x.jobs[0], "f"));
	settle();
	assert_string_equal(next_job()->rcpts, "a@example.org");
	assert_non_null(strstr(x.body, "Subject: y"));
	assert_int_equal(stored(), 1);
	/* A front that lies about the size is refused. */
	assert_int_equal(spool_file_make(x.spool, &f, &err), 0);
	submit_with(2, "a@example.org", "b@example.net", "", &f, 5);
	(void)turns();
	assert_int_equal(x.answers[1].class, BASE_ERROR_PEER);
}

static void broken_envelopes_are_refused(void **state)
{
	struct queue_client client = {0};
	struct base_id id = id_of(1);

	queue_core_submit(
		x.core, &client, &id, BASE_SLICE("nonsense"), 1, BASE_SLICE("x"), NULL, x.now);
	assert_int_equal(x.answers[0].class, BASE_ERROR_PEER);
	(void)turns();
	assert_int_equal(stored(), 0);
}

static void hold_release_remove(void **state)
{
	struct base_id id, two;

	id = submit(1, "a@example.org", "b@example.net c@example.com");
	(void)turns();
	assert_int_equal(admin("hold", &id), 0);
	relays(1, 10);
	(void)turns();
	no_more_jobs();
	assert_int_equal(admin("show", &id), 0);
	assert_non_null(strstr(admin_answer, "\"held\""));
	assert_int_equal(admin("release", &id), 0);
	(void)turns();
	assert_int_equal(x.job_count, 2);
	/* Held while it is being sent: what is delivered is, what is not stays held. */
	assert_int_equal(admin("hold", &id), 0);
	assert_true(result(&x.jobs[0], "d"));
	assert_true(result(&x.jobs[1], "t"));
	settle();
	x.now += 70 * 1000;
	x.job_at = 2;
	(void)turns();
	no_more_jobs();
	assert_int_equal(admin("release", &id), 0);
	(void)turns();
	assert_string_equal(x.jobs[2].rcpts, x.jobs[1].rcpts);
	/* Removed while it is being sent. */
	assert_int_equal(admin("remove", &id), 0);
	assert_int_equal(stored(), 0);
	assert_true(result(&x.jobs[2], "t"));
	settle();
	x.job_at = x.job_count;
	two = submit(2, "a@example.org", "b@example.net");
	(void)turns();
	assert_true(result(next_job(), "t"));
	settle();
	assert_int_equal(admin("retry", &two), 0);
	(void)turns();
	assert_string_equal(next_job()->rcpts, "b@example.net");
}

static void routes_may_change(void **state)
{
	submit(1, "a@example.org", "b@example.net c@example.net");
	(void)turns();
	relays(1, 10);
	(void)turns();
	assert_true(result(next_job(), "tt"));
	settle();
	x.routes[2].title = text_any;
	x.routes[0].title = text_void;
	queue_core_set_conf(x.core, &x.conf);
	/* The first section now is for void.example and goes by MX, the third discards all else. */
	x.now += 70 * 1000;
	(void)turns();
	settle();
	no_more_jobs();
	assert_int_equal(stored(), 0);
	x.routes[2].title = text_void;
	x.routes[0].title = text_any;
}

static void a_job_that_cannot_be_sent_stays(void **state)
{
	relays(1, 10);
	x.refuse_jobs = true;
	submit(1, "a@example.org", "b@example.net");
	(void)queue_core_turn(x.core, x.now);
	no_more_jobs();
	x.refuse_jobs = false;
	(void)queue_core_turn(x.core, x.now);
	assert_string_equal(next_job()->rcpts, "b@example.net");
}

static void results_that_break_the_rules(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net c@example.net");
	(void)turns();
	s = next_job();
	assert_false(queue_core_result(x.core, IPC_RELAY, 0, s->id, BASE_SLICE("x"), x.now));
	assert_false(queue_core_result(x.core, IPC_DELIVER, 0, s->id, BASE_SLICE("x"), x.now));
	assert_false(result(s, "ddd"));
	(void)turns();
	/* It is tried again: nobody said that it was delivered. */
	s = next_job();
	assert_int_equal(s->rcpt_count, 2);
	assert_true(result(s, "d"));
	settle();
	x.now += 70 * 1000;
	(void)turns();
	assert_string_equal(next_job()->rcpts, "c@example.net");
}

static void results_for_a_former_process(void **state)
{
	relays(1, 10);
	submit(1, "a@example.org", "b@example.net");
	(void)turns();
	reopen();
	relays(1, 10);
	(void)turns();
	assert_int_equal(x.job_count, 2);
	/* A relay that outlived the queue may still speak of the job that it had. */
	assert_false(result(&x.jobs[0], "d"));
	settle();
	assert_int_equal(stored(), 1);
	assert_true(result(&x.jobs[1], "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void a_faulty_spool_delivers_nothing(void **state)
{
	struct sent *s;

	relays(1, 10);
	submit(1, "a@example.org", "b@example.net");
	submit(2, "a@example.org", "b@example.net");
	(void)turns();
	s = next_job();
	(void)next_job();
	assert_true(result(s, "d"));
	x.now += 1;
	fault_arm(1, 0, true);
	submit(3, "a@example.org", "c@example.net");
	(void)queue_core_turn(x.core, x.now);
	assert_int_equal(x.answer_count, 3);
	assert_int_equal(x.answers[2].class, BASE_ERROR_TEMPORARY);
	/* Nothing goes out, nothing is taken, results are remembered. */
	submit(4, "a@example.org", "c@example.net");
	assert_true(result(s + 1, "t"));
	for (int i = 0; i < 5; i++) {
		x.now += 300;
		assert_true(queue_core_turn(x.core, x.now) > 0);
	}
	assert_int_equal(x.answers[3].class, BASE_ERROR_TEMPORARY);
	no_more_jobs();
	fault_arm(0, 0, false);
	x.now += 300;
	(void)turns();
	submit(5, "a@example.org", "d@example.net");
	settle();
	assert_int_equal(x.answers[4].class, 0);
	assert_string_equal(next_job()->rcpts, "d@example.net");
	no_more_jobs();
	/* 1 was delivered, 3 and 4 were refused. */
	assert_int_equal(stored(), 2);
	reopen();
	assert_int_equal(stored(), 2);
}

static void a_full_disk_is_told_and_got_over(void **state)
{
	relays(1, 10);
	fault_arm(0, 1, true);
	submit(1, "a@example.org", "b@example.net b@bad.example");
	(void)queue_core_turn(x.core, x.now);
	assert_int_equal(x.answers[0].class, BASE_ERROR_NO_SPACE);
	assert_non_null(strstr(x.events, "full"));
	x.now += 300;
	(void)queue_core_turn(x.core, x.now);
	no_more_jobs();
	fault_arm(0, 0, false);
	x.now += 300;
	(void)turns();
	submit(2, "a@example.org", "c@example.net");
	(void)turns();
	assert_int_equal(x.answers[1].class, 0);
	/* The notice about the refused one went with it. */
	assert_string_equal(next_job()->rcpts, "c@example.net");
	no_more_jobs();
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(accepted_sent_delivered),
		CASE(recipients_are_grouped),
		CASE(partly_delivered_is_remembered),
		CASE(deferred_comes_back_in_time),
		CASE(failure_makes_a_notice),
		CASE(a_stranger_sends_nothing_by_way_of_notices),
		CASE(notify_is_heeded),
		CASE(time_runs_out),
		CASE(decided_by_the_route),
		CASE(null_sender_gets_no_notice),
		CASE(lost_relay_gives_back),
		CASE(one_slow_destination_holds_up_nobody),
		CASE(parked_survives_a_restart),
		CASE(same_id_twice_is_answered_as_stored),
		CASE(files_travel_as_descriptors),
		CASE(broken_envelopes_are_refused),
		CASE(hold_release_remove),
		CASE(routes_may_change),
		CASE(a_job_that_cannot_be_sent_stays),
		CASE(results_that_break_the_rules),
		CASE(results_for_a_former_process),
		CASE(a_faulty_spool_delivers_nothing),
		CASE(a_full_disk_is_told_and_got_over),
	};

	fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
