#include "relay/test_world.h"

#include "relay/dnsbl.h"

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
	{"an address is named once", "refused", CONF_VIA_SMTP, "192.0.2.7", "", 1, 1, 0, 0, 1, 0, 0,
		1, "0 4.4.1 |cannot connect: connection refused (192.0.2.7:25)"},
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
	{"421 in the greeting", "421-greeting", CONF_VIA_SMTP, "h.example", "", 2, 1, 0, 0, 2, 0, 0,
		1, "421 4.3.2 4.3.2 busy|the server closes the session (h.example 192.0.2.1:25)"},
	{"554 in the greeting is no bounce", "554-greeting", CONF_VIA_SMTP, "h.example", "", 1, 1,
		0, 0, 1, 0, 0, 1, NULL},
	{"it closes before it greets", "drop-greeting", CONF_VIA_SMTP, "two.example", "", 1, 1, 0,
		0, 1, 0, 0, 2, NULL},
	{"421 to MAIL", "421-mail", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1, NULL},
	{"421 to DATA", "421-data", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1, NULL},
	{"421 in the text", "421-body", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1,
		NULL},
	{"421 to the dot", "421-dot", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1, NULL},
	{"4xx to the dot", "451-dot", CONF_VIA_SMTP, "h.example", "", 1, 2, 0, 0, 2, 0, 0, 1,
		"451 4.3.0 4.3.0 not now|"},
	{"5xx to the dot", "554-dot", CONF_VIA_SMTP, "h.example", "", 1, 2, 0, 0, 0, 2, 0, 1,
		"554 5.6.0 5.6.0 never|"},
	{"it closes after the dot: said, and tried again", "drop-dot", CONF_VIA_SMTP, "h.example",
		"", 1, 1, 0, 0, 1, 0, 0, 1,
		"0 4.4.2 |the server closed the connection after the final dot; the message may "
		"have arrived all the same (h.example 192.0.2.1:25)"},
	{"recipients have replies of their own", "mixed-rcpt", CONF_VIA_SMTP, "h.example", "", 1, 3,
		0, 1, 1, 1, 0, 1, "550 5.1.1 5.1.1 nobody|"},
	{"a reply without end", "endless", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0, 1,
		NULL},
	{"a line without end", "endless-line", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 0, 1, 0, 0,
		1, NULL},
	{"a line of 64 KiB does no harm", "64k", CONF_VIA_SMTP, "h.example", "", 1, 1, 0, 1, 0, 0,
		0, 1, NULL},
	{"4xx to MAIL: the next waits", "452-mail", CONF_VIA_SMTP, "h.example", "", 2, 1, 0, 0, 1,
		0, 0, 1, "452 4.3.1 4.3.1 full|"},
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

/* However busy it is, a connection is given up after five minutes, between two messages. */
static void test_lifetime(void **state)
{
	struct world w;

	setup(&w, "ok");
	for (uint32_t i = 0; i < 70; i++) {
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		pass(&w, 10000);
	}
	assert_int_equal(w.delivered, 70);
	assert_int_equal(w.opened, 3);
	assert_int_equal(w.open_most, 1);
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

/* What a running delivery failed of is what the next are told: never that they were delivered. */
static void test_back_off_after_deliveries(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "421-rcpt");
	for (i = 0; i < 4; i++) {
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		pass(&w, i < 3 ? 4500 : 0); /* longer than the first waits, not than the last */
	}
	give_job(&w, 9, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.opened, 4);
	assert_int_equal(w.delivered, 0);
	assert_int_equal(w.deferred, 5);
	assert_non_null(strstr(w.last_reason, "421 4.3.2 4.3.2 going down"));
	assert_true(w.last_not_before > w.now.wall_ms);
	teardown(&w);
}

/* A connection that breaks in the middle of a text has not brought the message anywhere. */
static void test_broken_texts(void **state)
{
	static const char *const modes[] = {"drop-body", "421-body"};
	struct world w;

	for (size_t i = 0; i < BASE_COUNT(modes); i++) {
		setup(&w, modes[i]);
		w.file_size = 1 << 20;
		give_job(&w, 1, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		assert_int_equal(w.deferred, 1);
		if (strstr(w.last_reason, "may have arrived"))
			fail_msg("%s: %s", modes[i], w.last_reason);
		w.mode = "ok";
		pass(&w, 2000);
		give_job(&w, 2, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		assert_int_equal(w.delivered, 1);
		teardown(&w);
	}
}

/* A server that puts off MAIL gets fewer connections, and after a while. */
static void test_mail_put_off(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "452-mail");
	for (i = 0; i < 4; i++)
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.deferred, 1);
	assert_true(w.last_not_before >= w.now.wall_ms + 1000);
	pass(&w, 500);
	assert_int_equal(w.deferred, 1);
	w.mode = "ok";
	pass(&w, 1500);
	assert_int_equal(w.delivered, 3);
	teardown(&w);
}

/* A tarpit with all that queue may have outstanding leaves room for others, at once and later. */
static void test_tarpit(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "tarpit");
	for (i = 0; i < RELAY_JOBS_MAX; i++)
		give_job(&w, i, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	assert_int_equal(w.open_most, 1);
	w.mode = "ok";
	for (i = 0; i < 20; i++)
		give_job(&w, 1000 + i, CONF_VIA_SMTP, "g.example", "");
	run(&w);
	assert_int_equal(w.delivered, 20);
	/* And its jobs do not use up what queue may have outstanding. */
	pass(&w, 11000);
	assert_true(w.deferred >= RELAY_JOBS_MAX - 9);
	assert_non_null(strstr(w.last_reason, "the destination is slow"));
	teardown(&w);
}

enum { CROWD = RELAY_JOBS_MAX * 3 / 4, STALL_KEEP = 8 };

/* As many tarpits as jobs may be outstanding: they are not the queue's end, nor the connections'. */
static void test_many_tarpits(void **state)
{
	char host[32];
	struct world w;
	unsigned i, k, given = 0;

	setup(&w, "tarpit");
	for (i = 0; i < 280; i++) {
		snprintf(host, sizeof(host), "h%u.example", i);
		give_job(&w, i, CONF_VIA_SMTP, host, "");
	}
	run(&w);
	pass(&w, 11000);
	assert_int_equal(w.deferred, 280 - CROWD); /* a quarter of the slots is free */
	assert_non_null(strstr(w.last_reason, "the destination is slow"));
	assert_true(w.last_not_before > w.now.wall_ms);
	w.mode = "ok";
	give_job(&w, 999, CONF_VIA_SMTP, "g.example", "");
	run(&w);
	assert_int_equal(w.delivered, 1);
	teardown(&w);
	/* Queue fills what is free, always with other tarpits: never are all connections taken for long. */
	setup(&w, "tarpit");
	for (k = 0; k < 12; k++) {
		w.mode = "tarpit";
		for (; given - w.deferred < RELAY_JOBS_MAX - 1; given++) {
			snprintf(host, sizeof(host), "h%u.example", given);
			give_job(&w, given, CONF_VIA_SMTP, host, "");
			run(&w);
		}
		pass(&w, 5000);
		w.mode = "ok";
		snprintf(host, sizeof(host), "g%u.example", k);
		give_job(&w, 100000 + k, CONF_VIA_SMTP, host, "");
		run(&w);
		pass(&w, 5500);
		assert_int_equal(w.delivered, k + 1);
	}
	teardown(&w);
}

/* Those that stall are answered at once while it is crowded; one that greets late is served. */
static void test_slow_servers_in_a_crowd(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "tarpit");
	for (i = 0; i < CROWD + 1; i++) {
		give_job(&w, i, CONF_VIA_SMTP, i ? "h.example" : "first.example", "");
		run(&w);
		pass(&w, i ? 0 : 500);
	}
	pass(&w, 9500);
	assert_int_equal(w.deferred, 1);
	give_job(&w, 300, CONF_VIA_SMTP, "first.example", "");
	run(&w);
	assert_int_equal(w.deferred, 2);
	assert_true(w.last_not_before > w.now.wall_ms);
	pass(&w, 1000);
	assert_int_equal(w.deferred, 2 + CROWD - STALL_KEEP);
	give_job(&w, 301, CONF_VIA_SMTP, "first.example", ""); /* no crowd: it may wait */
	run(&w);
	assert_int_equal(w.deferred, 2 + CROWD - STALL_KEEP);
	turn(&w, "ok");
	relay_conn_input(relay_core_conn(w.core, 1), BASE_SLICE("220 at last\r\n"), &w.now);
	run(&w);
	assert_int_equal(w.delivered, 1);
	give_job(&w, 302, CONF_VIA_SMTP, "first.example", "");
	run(&w);
	assert_int_equal(w.delivered, 2);
	teardown(&w);
}

/* Behind the login too: little time for MAIL, RCPT and DATA, all of it for a message's reply. */
static void test_tarpits_behind_the_greeting(void **state)
{
	static const struct {
		const char *mode;
		bool crowd, given_up;
	} rows_of[] = {
		{"tarpit-mail", true, true},
		{"tarpit-rcpt", true, true},
		{"tarpit-data", true, true},
		{"slow", true, false},
		{"tarpit-mail", false, false},
	};
	char host[32];
	struct world w;
	unsigned i, jobs;

	for (size_t k = 0; k < BASE_COUNT(rows_of); k++) {
		setup(&w, rows_of[k].mode);
		jobs = rows_of[k].crowd ? 250 : 20;
		for (i = 0; i < jobs; i++) {
			snprintf(host, sizeof(host), "h%u.example", i);
			give_job(&w, i, CONF_VIA_SMTP, host, "");
		}
		run(&w);
		pass(&w, 29000);
		assert_int_equal(w.deferred, 0);
		pass(&w, 2500);
		/* Until there is room again. */
		if ((w.deferred == 250 - CROWD) != rows_of[k].given_up)
			fail_msg("%zu: %u", k, w.deferred);
		if (!rows_of[k].given_up)
			assert_int_equal(w.deferred, 0);
		teardown(&w);
	}
}

/* A greeting that drips has no more time than one that does not come. */
static void test_a_dripping_greeting(void **state)
{
	struct relay_conn *conn;
	struct world w;

	setup(&w, "tarpit");
	give_job(&w, 1, CONF_VIA_SMTP, "h.example", "");
	run(&w);
	for (unsigned i = 0; i < 31; i++) {
		conn = relay_core_conn(w.core, 1);
		if (conn)
			relay_conn_input(conn, BASE_SLICE("220-wait\r\n"), &w.now);
		pass(&w, 10000);
	}
	assert_int_equal(w.deferred, 1);
	assert_int_equal(w.open_now, 0);
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
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_borders),
		cmocka_unit_test(test_lost_idle),
		cmocka_unit_test(test_growth_waits_for_success),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_back_off_after_deliveries),
		cmocka_unit_test(test_broken_texts),
		cmocka_unit_test(test_mail_put_off),
		cmocka_unit_test(test_tarpit),
		cmocka_unit_test(test_many_tarpits),
		cmocka_unit_test(test_slow_servers_in_a_crowd),
		cmocka_unit_test(test_tarpits_behind_the_greeting),
		cmocka_unit_test(test_a_dripping_greeting),
		cmocka_unit_test(test_drain),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_zones_that_are_slow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
