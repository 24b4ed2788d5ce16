#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/core.h"
#include "relay/dnsbl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The core in a world of its own: a clock that the test turns, servers that answer every command, a
 * DNS of one zone, an auth that knows one password. The log of the world is compared with rows. */

struct server {
	const char *mode; /* see serve() */
	unsigned transactions;
	bool in_data;
};

struct world {
	struct relay_core *core;
	struct relay_now now;
	struct base_buf log;
	const char *mode;
	struct account_info info; /* of the account "acc"; any other name but "vault" is unknown */
	bool auth_silent;         /* no answers for now */
	const char *no_secret;    /* class and reason in place of a password: "6reason" */
	unsigned asked, secrets, refused_secrets, alerts, states;
	unsigned open_now, open_most, opened;
	unsigned delivered, deferred, failed, held;
	bool hang_results;
	char last_reason[256];
	int64_t last_not_before;
};

static void run(struct world *w);

static void test_urls(void **state)
{
	static const struct {
		const char *url, *host;
		unsigned port;
		bool implicit;
	} rows[] = {
		{"smtp://a.example", "a.example", 587, false},
		{"smtps://a.example", "a.example", 465, true},
		{"smtps://a.example:99", "a.example", 99, true},
		{"smtp://192.0.2.1:25/", "192.0.2.1", 25, false},
		{"smtp://[2001:db8::1]:25", "2001:db8::1", 25, false},
		{"http://a.example", NULL, 0, false},
		{"smtp://", NULL, 0, false},
		{"smtp://a.example:0", NULL, 0, false},
		{"smtp://a.example:99999", NULL, 0, false},
		{"smtp://[::1", NULL, 0, false},
		{"smtp://a b", NULL, 0, false},
		{"", NULL, 0, false},
	};
	struct base_slice host;
	uint16_t port;
	bool implicit;
	size_t i;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		bool ok = relay_url_parse(base_slice_text(rows[i].url), &implicit, &host, &port);

		if (ok != (rows[i].host != NULL) ||
			(ok &&
				(!base_slice_equal_text(host, rows[i].host) ||
					port != rows[i].port || implicit != rows[i].implicit)))
			fail_msg("%s", rows[i].url);
	}
}

static void setup(struct world *w, const char *mode)
{
	struct relay_options options = {
		.own_name = BASE_SLICE("me.example"), .allow_special = false};

	memset(w, 0, sizeof(*w));
	w->mode = mode;
	w->now = (struct relay_now){.mono_ms = 1000, .wall_ms = 1000000, .random = 7};
	w->core = relay_core_new(&options);
	w->info = (struct account_info){.url = BASE_SLICE("smtps://smart.example:465")};
	base_buf_init(&w->log, 1 << 20);
}

static void teardown(struct world *w)
{
	struct relay_effect e;

	while (relay_core_effect(w->core, &e))
		if (e.kind == RELAY_RESULT || e.kind == RELAY_DROP)
			relay_job_free(e.job);
	for (struct relay_conn *c = relay_core_conns(w->core); c; c = c->next)
		free(c->shell);
	relay_core_free(&w->core);
	base_buf_release(&w->log);
}

static bool give_job_rcpts(struct world *w, uint32_t id, enum conf_via via, const char *host,
	const char *account, unsigned rcpts)
{
	struct base_buf envelope, body;
	struct envelope e = {.session = BASE_SLICE("s"),
		.sender = BASE_SLICE("a@x.example"),
		.rcpt_count = rcpts};
	struct job job = {.message_id = BASE_SLICE("m"),
		.attempt = 1,
		.via = via,
		.host = base_slice_text(host),
		.port = via == CONF_VIA_SMTPS ? 465 : 25,
		.account = base_slice_text(account),
		.route = BASE_SLICE("*"),
		.size = 4,
		.message = BASE_SLICE("hi\r\n")};
	char address[32];
	unsigned i;
	bool ok;

	base_buf_init(&envelope, 1 << 20);
	base_buf_init(&body, 1 << 20);
	envelope_put(&envelope, &e);
	for (i = 0; i < rcpts; i++) {
		snprintf(address, sizeof(address), "r%u@y.example", i);
		envelope_put_rcpt(
			&envelope, &(struct envelope_rcpt){.address = base_slice_text(address)});
	}
	job.envelope = base_buf_slice(&envelope);
	job_put(&body, &job);
	base_buf_append_slice(&body, job.message);
	ok = relay_core_job(w->core, id, 0, BASE_SLICE_EMPTY, base_buf_slice(&body), -1, &w->now);
	base_buf_release(&envelope);
	base_buf_release(&body);
	return ok;
}

static void give_job(
	struct world *w, uint32_t id, enum conf_via via, const char *host, const char *account)
{
	assert_true(give_job_rcpts(w, id, via, host, account, 1));
}

static void say(struct world *w, struct relay_conn *conn, const char *text)
{
	relay_conn_input(conn, base_slice_text(text), &w->now);
}

/* One line of ours. Modes: "ok", "slow" (never answers the message), "535", "421-rcpt", "drop-idle",
 * "452-after-2", "greylist", "no-auth". */
static void serve_line(struct world *w, struct relay_conn *conn, struct base_slice line)
{
	struct server *s = conn->shell;
	const char *mode = s->mode;
	static unsigned rcpt;

	if (s->in_data) {
		if (!base_slice_equal_text(line, "."))
			return;
		s->in_data = false;
		s->transactions++;
		if (strcmp(mode, "slow"))
			say(w, conn, "250 2.0.0 taken\r\n");
		return;
	}
	if (base_slice_starts_with(line, BASE_SLICE("EHLO"))) {
		say(w, conn,
			strcmp(mode, "no-auth") ? "250-s\r\n250-PIPELINING\r\n250 AUTH PLAIN\r\n"
						: "250-s\r\n250 PIPELINING\r\n");
	} else if (base_slice_starts_with(line, BASE_SLICE("AUTH"))) {
		say(w, conn, strcmp(mode, "535") ? "235 ok\r\n" : "535 5.7.8 no\r\n");
	} else if (base_slice_starts_with(line, BASE_SLICE("MAIL"))) {
		rcpt = 0;
		if (!strcmp(mode, "drop-idle") && s->transactions)
			relay_conn_ended(conn, "closed", &w->now);
		else
			say(w, conn, "250 ok\r\n");
	} else if (base_slice_starts_with(line, BASE_SLICE("RCPT"))) {
		rcpt++;
		if (!strcmp(mode, "421-rcpt"))
			say(w, conn, "421 4.3.2 going down\r\n");
		else if (!strcmp(mode, "greylist"))
			say(w, conn, "451 4.7.1 later\r\n");
		else if (!strcmp(mode, "452-after-2") && rcpt > 2)
			say(w, conn, "452 4.5.3 too many\r\n");
		else
			say(w, conn, "250 ok\r\n");
	} else if (base_slice_equal_text(line, "DATA")) {
		if (!strcmp(mode, "greylist")) {
			say(w, conn, "554 no valid recipients\r\n");
			return;
		}
		s->in_data = true;
		say(w, conn, "354 go\r\n");
	} else if (base_slice_equal_text(line, "RSET")) {
		say(w, conn, "250 ok\r\n");
	} else if (base_slice_equal_text(line, "QUIT")) {
		say(w, conn, "221 bye\r\n");
	}
}

static void serve(struct world *w, struct relay_conn *conn)
{
	struct base_buf said;
	struct base_slice rest, line;

	base_buf_init(&said, 1 << 20);
	base_buf_append_slice(&said, base_buf_slice(&conn->out));
	base_buf_clear(&conn->out);
	relay_conn_written(conn, &w->now);
	rest = base_buf_slice(&said);
	while (conn->phase == RELAY_CONN_OPEN && base_slice_split(&rest, '\n', &line))
		serve_line(w, conn, base_slice_trim(line));
	base_buf_release(&said);
}

static void resolve(struct world *w, const struct relay_effect *e)
{
	static struct route_dns_answer answer;
	const char *name = e->question.name;

	route_dns_answer_set(&answer, ROUTE_DNS_EMPTY);
	answer.ttl_s = 300;
	if (!strcmp(name, "none.example"))
		answer.status = ROUTE_DNS_NO_NAME;
	else if (!strcmp(name, "fail.example"))
		answer.status = ROUTE_DNS_FAILED;
	else if (e->question.type == ROUTE_DNS_A) {
		answer.status = ROUTE_DNS_FOUND;
		answer.count = 1;
		answer.records[0] = (struct route_dns_record){.preference = 0};
		assert_true(base_addr_parse(BASE_SLICE("192.0.2.1"), &answer.records[0].addr));
		if (!strcmp(name, "two.example")) {
			answer.records[1] = answer.records[0];
			answer.records[1].addr.bytes[3] = 2;
			answer.count = 2;
		}
	}
	relay_core_answer(w->core, e->dest_id, e->question.id, &answer, &w->now);
}

static void connect_to(struct world *w, struct relay_conn *conn)
{
	struct server *s = base_alloc_zero(1, sizeof(*s));

	conn->shell = s;
	s->mode = w->mode;
	w->opened++;
	w->open_now++;
	if (w->open_now > w->open_most)
		w->open_most = w->open_now;
	if (!strcmp(w->mode, "refused") || (!strcmp(w->mode, "first-refused") && w->opened == 1)) {
		relay_conn_connected(conn, "cannot connect: connection refused", &w->now);
		return;
	}
	relay_conn_connected(conn, NULL, &w->now);
	if (conn->phase == RELAY_CONN_OPEN)
		say(w, conn, "220 hi\r\n");
}

static void take_result(struct world *w, const struct relay_effect *e)
{
	struct job_rcpt_result one;
	struct job_result head;
	struct ipc_reader rest;
	struct base_buf body;
	uint32_t i;

	base_buf_init(&body, 1 << 20);
	relay_job_report(e->job, &w->now, &body);
	assert_true(job_result_get(base_buf_slice(&body), &head, &rest));
	w->last_not_before = head.has_not_before ? head.not_before_ms : 0;
	for (i = 0; i < head.rcpt_count; i++) {
		assert_true(job_result_get_rcpt(&rest, &one));
		w->delivered += one.outcome == JOB_DELIVERED;
		w->deferred += one.outcome == JOB_DEFERRED;
		w->failed += one.outcome == JOB_FAILED;
		w->held += one.outcome == JOB_HELD;
		snprintf(w->last_reason, sizeof(w->last_reason), "%u %.*s %.*s|%.*s", one.code,
			BASE_SLICE_ARGS(one.enhanced), BASE_SLICE_ARGS(one.reply),
			BASE_SLICE_ARGS(one.reason));
	}
	base_buf_release(&body);
	relay_job_free(e->job);
}

static void start_tls(struct world *w, struct relay_conn *conn)
{
	struct relay_tls_done done = {.version = "TLSv1.3", .cipher = "X", .verified = true};

	if (!strcmp(w->mode, "bad-certificate")) {
		relay_conn_tls(conn, NULL, "TLS handshake failed: bad certificate", &w->now);
		return;
	}
	assert_true(relay_conn_must_verify(conn));
	relay_conn_tls(conn, &done, NULL, &w->now);
	if (conn->phase == RELAY_CONN_OPEN)
		say(w, conn, "220 hi\r\n");
}

static void tell_account(struct world *w, const struct relay_account *a)
{
	struct account_info info = w->info;
	struct base_buf body;

	w->asked++;
	if (w->auth_silent)
		return;
	if (!strcmp(a->name, "vault"))
		info = (struct account_info){.url = BASE_SLICE("smtps://h.example:1465")};
	else if (strcmp(a->name, "acc") != 0)
		info.class = BASE_ERROR_NOT_FOUND;
	base_buf_init(&body, 1 << 20);
	account_info_put(&body, &info);
	relay_core_account_told(w->core, a->id, base_buf_slice(&body), &w->now);
	base_buf_release(&body);
}

static void tell_secret(struct world *w, struct relay_conn *conn)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf body, pair;

	assert_non_null(relay_conn_account(conn));
	w->secrets++;
	w->refused_secrets += conn->asked_refused;
	if (w->auth_silent)
		return;
	base_buf_init(&body, 1 << 20);
	base_buf_init(&pair, 1 << 20);
	ipc_put_bytes(&pair, BASE_SLICE("chain"));
	ipc_put_bytes(&pair, BASE_SLICE("key"));
	ipc_put_u8(&body, w->no_secret ? (uint8_t)(w->no_secret[0] - '0') : 0);
	ipc_put_text(&body, w->no_secret ? "" : "u");
	if (conn->asked == IPC_SECRET_CERTIFICATE)
		ipc_put_bytes(&body, base_buf_slice(&pair));
	else
		ipc_put_text(&body, w->no_secret ? "" : conn->asked_refused ? "new" : "p");
	ipc_put_text(&body, w->no_secret ? w->no_secret + 1 : "");
	relay_core_secret(w->core, conn->number, base_buf_slice(&body),
		base_slice_make(random, sizeof(random)), &w->now);
	base_buf_release(&body);
	base_buf_release(&pair);
}

static void run(struct world *w)
{
	struct relay_effect e;

	while (relay_core_effect(w->core, &e)) {
		switch (e.kind) {
		case RELAY_ASK:
			resolve(w, &e);
			break;
		case RELAY_CONNECT:
			connect_to(w, e.conn);
			break;
		case RELAY_START_TLS:
			start_tls(w, e.conn);
			break;
		case RELAY_WANT_SECRET:
			if (e.conn->phase != RELAY_CONN_CLOSED)
				tell_secret(w, e.conn);
			break;
		case RELAY_WANT_ACCOUNT:
			tell_account(w, e.account);
			break;
		case RELAY_WRITE:
			if (e.conn->phase != RELAY_CONN_CLOSED)
				serve(w, e.conn);
			break;
		case RELAY_READ_BODY:
			fail_msg("no file was given");
			break;
		case RELAY_CLOSE:
			w->open_now--;
			free(e.conn->shell);
			relay_conn_free(e.conn);
			break;
		case RELAY_RESULT:
			take_result(w, &e);
			break;
		case RELAY_DROP:
			relay_job_free(e.job);
			break;
		case RELAY_ACCOUNT:
			w->states++;
			w->alerts += e.alert;
			break;
		}
	}
}

static void pass(struct world *w, int64_t ms)
{
	int64_t end = w->now.mono_ms + ms;

	while (w->now.mono_ms < end) {
		w->now.mono_ms += 500;
		w->now.wall_ms += 500;
		relay_core_tick(w->core, &w->now);
		run(w);
	}
}

/* rows: one kind of server, some jobs, what became of them */

static const struct row {
	const char *name, *mode;
	enum conf_via via;
	const char *host, *account;
	unsigned jobs, rcpts;
	int64_t pass_ms;
	unsigned delivered, deferred, failed, held, opened;
	const char *reason; /* of the last result */
} rows[] = {
	{"one", "ok", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 1, 0, 0, 0, 1,
		"250 2.0.0 2.0.0 taken|"},
	{"a hundred on eight connections", "ok", CONF_VIA_SMTP, "h.example", "", 100, 1, 0, 100, 0,
		0, 0, 8, "250 2.0.0 2.0.0 taken|"},
	{"ten on two connections at most", "ok", CONF_VIA_SMTPS, "h.example", "acc", 10, 1, 0, 10,
		0, 0, 0, 2, NULL},
	{"eight on one", "ok", CONF_VIA_SMTP, "h.example", "", 8, 1, 0, 8, 0, 0, 0, 1, NULL},
	{"mx without MX", "ok", CONF_VIA_MX, "h.example", "", 1, 1, 0, 1, 0, 0, 0, 1, NULL},
	{"no such domain", "ok", CONF_VIA_MX, "none.example", "", 2, 1, 0, 0, 0, 2, 0, 0,
		"550 5.1.2 |the domain does not exist"},
	{"lookup fails", "ok", CONF_VIA_MX, "fail.example", "", 1, 1, 0, 0, 1, 0, 0, 0, NULL},
	{"a named host that does not exist", "ok", CONF_VIA_SMTP, "none.example", "", 1, 1, 0, 0, 1,
		0, 0, 0, "451 4.4.4 |the host of the route has no address"},
	{"refused", "refused", CONF_VIA_SMTP, "h.example", "", 3, 1, 0, 0, 3, 0, 0, 1,
		"0 4.4.1 |cannot connect: connection refused (h.example 192.0.2.1:25)"},
	{"the second address works", "first-refused", CONF_VIA_SMTP, "two.example", "", 1, 1, 0, 1,
		0, 0, 0, 2, NULL},
	{"login", "ok", CONF_VIA_SMTPS, "h.example", "acc", 1, 1, 0, 1, 0, 0, 0, 1, NULL},
	{"wrong password: held, asked once", "535", CONF_VIA_SMTPS, "h.example", "acc", 5, 1, 20000,
		0, 0, 0, 5, 1, "535 4.7.8 |the server refused the login (PLAIN): 535 5.7.8 no"},
	{"an account that the vault knows", "ok", CONF_VIA_ACCOUNT, "", "vault", 2, 1, 0, 2, 0, 0,
		0, 1, NULL},
	{"an account that nobody knows", "ok", CONF_VIA_ACCOUNT, "", "other", 2, 1, 0, 0, 0, 0, 2,
		0, "0 4.7.8 |the account does not exist (see postern account add)"},
	{"no AUTH there: held", "no-auth", CONF_VIA_SMTPS, "h.example", "acc", 1, 1, 0, 0, 0, 0, 1,
		1, "0 4.7.8 |the server does not offer AUTH"},
	{"bad certificate: held", "bad-certificate", CONF_VIA_SMTPS, "h.example", "", 1, 1, 0, 0, 0,
		0, 1, 1, NULL},
	{"greylisted", "greylist", CONF_VIA_SMTP, "h.example", "", 2, 1, 0, 0, 2, 0, 0, 1,
		"451 4.7.1 4.7.1 later|"},
	{"421", "421-rcpt", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1, NULL},
	{"five recipients, two at a time", "452-after-2", CONF_VIA_SMTP, "h.example", "", 1, 5, 0,
		5, 0, 0, 0, 1, NULL},
	{"the final reply never comes", "slow", CONF_VIA_SMTP, "h.example", "", 1, 1, 700000, 0, 1,
		0, 0, 1, NULL},
};

static void test_rows(void **state)
{
	struct world w;
	size_t i;
	unsigned k;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];

		setup(&w, r->mode);
		for (k = 0; k < r->jobs; k++)
			assert_true(give_job_rcpts(&w, k, r->via, r->host, r->account, r->rcpts));
		run(&w);
		pass(&w, r->pass_ms);
		if (w.delivered != r->delivered || w.deferred != r->deferred ||
			w.failed != r->failed || w.held != r->held || w.opened != r->opened ||
			(r->reason && strcmp(r->reason, w.last_reason)))
			fail_msg("%s: delivered %u deferred %u failed %u held %u opened %u \"%s\"",
				r->name, w.delivered, w.deferred, w.failed, w.held, w.opened,
				w.last_reason);
		teardown(&w);
	}
}

/* An idle connection is used again, and closed after its time. */
static void test_reuse(void **state)
{
	struct world w;

	setup(&w, "ok");
	give_job(&w, 1, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	pass(&w, 5000);
	give_job(&w, 2, CONF_VIA_SMTP, "H.EXAMPLE", "");
	run(&w);
	assert_int_equal(w.opened, 1);
	assert_int_equal(w.delivered, 2);
	assert_int_equal(w.open_now, 1);
	pass(&w, 40000);
	assert_int_equal(w.open_now, 0);
	teardown(&w);
}

/* No connection is shared over the borders of account, host or port. */
static void test_borders(void **state)
{
	struct world w;

	setup(&w, "ok");
	give_job(&w, 1, CONF_VIA_SMTPS, "h.example", "");
	give_job(&w, 2, CONF_VIA_SMTPS, "h.example", "acc");
	give_job(&w, 3, CONF_VIA_SMTP, "h.example", "");
	give_job(&w, 4, CONF_VIA_SMTPS, "g.example", "acc");
	run(&w);
	assert_int_equal(w.opened, 4);
	assert_int_equal(w.delivered, 4);
	teardown(&w);
}

/* The server closed an idle connection: the job goes out on a new one, without delay. */
static void test_lost_idle(void **state)
{
	struct world w;

	setup(&w, "drop-idle");
	give_job(&w, 1, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	give_job(&w, 2, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.delivered, 2);
	assert_int_equal(w.opened, 2);
	teardown(&w);
}

/* Slow growth: with servers that keep a message, only one connection is opened, whatever waits. */
static void test_growth_waits_for_success(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "slow");
	for (i = 0; i < 50; i++)
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.open_most, 1);
	/* Nor do they hold up another destination. */
	w.mode = "ok";
	give_job(&w, 99, CONF_VIA_SMTP, "g.example", "");
	run(&w);
	assert_int_equal(w.delivered, 1);
	pass(&w, 30000); /* most of those that wait go back to queue */
	assert_true(w.deferred >= 40);
	teardown(&w);
}

/* A paused account is not asked again until the pause ends or is lifted. */
static void test_pause_and_retry(void **state)
{
	struct world w;

	setup(&w, "535");
	give_job(&w, 1, CONF_VIA_SMTPS, "h.example", "acc");
	run(&w);
	assert_int_equal(w.held, 1);
	assert_true(w.last_not_before > w.now.wall_ms);
	w.mode = "ok";
	give_job(&w, 2, CONF_VIA_SMTPS, "h.example", "acc");
	run(&w);
	assert_int_equal(w.held, 2);
	assert_int_equal(w.opened, 1);
	relay_core_account_retry(w.core, BASE_SLICE("acc"), &w.now);
	give_job(&w, 3, CONF_VIA_SMTPS, "h.example", "acc");
	run(&w);
	assert_int_equal(w.delivered, 1);
	teardown(&w);
}

/* A destination in back-off answers at once, and works again when its server does. */
static void test_back_off(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "refused");
	for (i = 0; i < 4; i++) {
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		pass(&w, 3000);
	}
	assert_int_equal(w.deferred, 4);
	assert_true(w.opened < 4 || w.last_not_before > 0);
	w.mode = "ok";
	pass(&w, 60000);
	give_job(&w, 9, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.delivered, 1);
	teardown(&w);
}

static void test_drain(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "slow");
	for (i = 0; i < 3; i++)
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	relay_core_drain(w.core, &w.now);
	run(&w);
	assert_false(relay_core_is_idle(w.core));
	pass(&w, 700000);
	assert_true(relay_core_is_idle(w.core));
	assert_int_equal(
		w.deferred, 1); /* the one that was under way; the others are queue's again */
	teardown(&w);
}

/* Zones that list addresses. */

static struct route_dns_answer address(const char *text)
{
	struct route_dns_answer a = {.status = ROUTE_DNS_FOUND, .count = 1};

	assert_true(base_addr_parse(base_slice_text(text), &a.records[0].addr));
	return a;
}

static void assert_tell(struct relay_dnsbl_step s, unsigned front, uint32_t id,
	enum relay_dnsbl_state state, const char *text)
{
	assert_int_equal(s.kind, RELAY_DNSBL_TELL);
	assert_int_equal(s.front, front);
	assert_int_equal(s.id, id);
	assert_int_equal(s.state, state);
	assert_string_equal(s.text, text);
}

static void test_zones(void **state)
{
	static const enum route_dns_status none[] = {ROUTE_DNS_NO_NAME, ROUTE_DNS_EMPTY};
	static const enum route_dns_status broken[] = {ROUTE_DNS_FAILED, ROUTE_DNS_BOGUS};
	const struct base_slice name = BASE_SLICE("2.0.0.127.bl.example");
	struct relay_dnsbl *d = relay_dnsbl_new();
	struct route_dns_answer a = address("127.0.0.9"), t = {.status = ROUTE_DNS_FOUND};
	struct relay_dnsbl_step s = relay_dnsbl_want(d, 1, 70, name, 0);

	assert_int_equal(s.kind, RELAY_DNSBL_ASK);
	assert_int_equal(s.type, ROUTE_DNS_A);
	assert_string_equal(s.name, "2.0.0.127.bl.example");
	s = relay_dnsbl_answer(d, s.key, &a);
	assert_int_equal(s.kind, RELAY_DNSBL_ASK);
	assert_int_equal(s.type, ROUTE_DNS_TXT);
	t.count = 1;
	strcpy(t.records[0].name, "why");
	assert_tell(relay_dnsbl_answer(d, s.key, &t), 1, 70, RELAY_DNSBL_LISTED, "why");
	assert_int_equal(relay_dnsbl_answer(d, s.key, &t).kind, RELAY_DNSBL_WAIT);
	assert_int_equal(relay_dnsbl_due_ms(d, 0), -1);
	/* Listed without a reason. */
	s = relay_dnsbl_want(d, 0, 1, name, 0);
	s = relay_dnsbl_answer(d, s.key, &a);
	route_dns_answer_set(&t, ROUTE_DNS_FAILED);
	assert_tell(relay_dnsbl_answer(d, s.key, &t), 0, 1, RELAY_DNSBL_LISTED, "");
	/* Not of 127.0.0.0/8. */
	a = address("192.0.2.1");
	s = relay_dnsbl_want(d, 0, 2, name, 0);
	assert_tell(relay_dnsbl_answer(d, s.key, &a), 0, 2, RELAY_DNSBL_NOT_LISTED, "");
	for (size_t i = 0; i < 2; i++) {
		route_dns_answer_set(&a, none[i]);
		s = relay_dnsbl_want(d, 0, 3, name, 0);
		assert_tell(relay_dnsbl_answer(d, s.key, &a), 0, 3, RELAY_DNSBL_NOT_LISTED, "");
		route_dns_answer_set(&a, broken[i]);
		s = relay_dnsbl_want(d, 0, 4, name, 0);
		assert_tell(relay_dnsbl_answer(d, s.key, &a), 0, 4, RELAY_DNSBL_NO_ANSWER, "");
	}
	assert_tell(relay_dnsbl_want(d, 0, 5, BASE_SLICE("a b.example"), 0), 0, 5,
		RELAY_DNSBL_NO_ANSWER, "");
	relay_dnsbl_free(&d);
}

static void test_zones_that_are_slow(void **state)
{
	const struct base_slice name = BASE_SLICE("2.0.0.127.bl.example");
	struct relay_dnsbl *d = relay_dnsbl_new();
	struct route_dns_answer a = address("127.0.0.9");
	struct relay_dnsbl_step first = relay_dnsbl_want(d, 0, 1, name, 1000), second, s;

	second = relay_dnsbl_want(d, 0, 2, name, 3000);
	(void)relay_dnsbl_answer(d, second.key, &a);
	assert_int_equal(relay_dnsbl_due_ms(d, 2000), 4000);
	assert_int_equal(relay_dnsbl_tick(d, 5999).kind, RELAY_DNSBL_WAIT);
	assert_tell(relay_dnsbl_tick(d, 6000), 0, 1, RELAY_DNSBL_NO_ANSWER, "");
	assert_int_equal(relay_dnsbl_answer(d, first.key, &a).kind, RELAY_DNSBL_WAIT);
	/* The reason is late, the listing is not. */
	assert_tell(relay_dnsbl_tick(d, 8000), 0, 2, RELAY_DNSBL_LISTED, "");
	/* A front that is gone is told nothing. */
	s = relay_dnsbl_want(d, 0, 3, name, 9000);
	(void)relay_dnsbl_want(d, 1, 4, name, 9000);
	relay_dnsbl_front_gone(d, 0);
	assert_int_equal(relay_dnsbl_answer(d, s.key, &a).kind, RELAY_DNSBL_WAIT);
	assert_tell(relay_dnsbl_tick(d, 20000), 1, 4, RELAY_DNSBL_NO_ANSWER, "");
	for (uint32_t i = 0; i < RELAY_DNSBL_OPEN_MAX; i++)
		assert_int_equal(relay_dnsbl_want(d, 0, i, name, 0).kind, RELAY_DNSBL_ASK);
	assert_tell(relay_dnsbl_want(d, 0, 7777, name, 0), 0, 7777, RELAY_DNSBL_NO_ANSWER, "");
	relay_dnsbl_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_reuse),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_lost_idle),
		cmocka_unit_test(test_growth_waits_for_success),
		cmocka_unit_test(test_pause_and_retry),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_zones_that_are_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
