/* Accounts: what auth says of them, logins that fail, pauses, limits. */
#include "relay/test_world.h"

#define TOKEN_REASON \
	"the server refused the login (XOAUTH2): 535 5.7.8 no; the server refuses the token: "

static void give_acc(struct world *w, uint32_t id)
{
	give_job(w, id, CONF_VIA_ACCOUNT, "", "acc");
	run(w);
}

/* rows: one kind of server, one kind of account, what becomes of two messages */

static const struct row {
	const char *name, *mode, *url;
	enum sasl_credential credential;
	unsigned delivered, deferred, held, opened, alerts;
	const char *reason; /* a part of the last one */
	const char *peer;   /* of the result; null: not looked at */
} rows[] = {
	{"password", "ok", "smtps://h.example", SASL_CREDENTIAL_PASSWORD, 2, 0, 0, 1, 0, "250",
		"h.example 192.0.2.1:465 TLSv1.3 X verified PLAIN reused"},
	{"token", "ok", "smtps://h.example", SASL_CREDENTIAL_TOKEN, 2, 0, 0, 1, 0, "250",
		"h.example 192.0.2.1:465 TLSv1.3 X verified XOAUTH2 reused"},
	{"certificate", "ok", "smtps://h.example", SASL_CREDENTIAL_CERTIFICATE, 2, 0, 0, 1, 0,
		"250", "h.example 192.0.2.1:465 TLSv1.3 X verified EXTERNAL reused"},
	{"STARTTLS", "ok", "smtp://h.example:2525", SASL_CREDENTIAL_PASSWORD, 2, 0, 0, 1, 0, "250",
		"h.example 192.0.2.1:2525 TLSv1.3 X verified PLAIN reused"},
	{"an address", "ok", "smtps://192.0.2.7", SASL_CREDENTIAL_PASSWORD, 2, 0, 0, 1, 0, "250",
		"192.0.2.7 192.0.2.7:465 TLSv1.3 X verified PLAIN reused"},
	{"STARTTLS is not offered", "strip", "smtp://h.example", SASL_CREDENTIAL_PASSWORD, 0, 0, 2,
		1, 0, "the server does not offer STARTTLS", "h.example 192.0.2.1:587  "},
	{"STARTTLS is refused", "starttls-refused", "smtp://h.example", SASL_CREDENTIAL_PASSWORD, 0,
		0, 2, 1, 0, "454 4.7.0 4.7.0 TLS is away|", NULL},
	{"words behind STARTTLS", "inject", "smtp://h.example", SASL_CREDENTIAL_PASSWORD, 0, 0, 2,
		1, 0, "", NULL},
	{"another one's certificate", "bad-certificate", "smtps://h.example",
		SASL_CREDENTIAL_PASSWORD, 0, 0, 2, 1, 0,
		"0 4.7.5 |TLS handshake failed: certificate is for a.example, not h.example "
		"(h.example 192.0.2.1:465)",
		"h.example 192.0.2.1:465  "},
	{"no AUTH", "no-auth", "smtps://h.example", SASL_CREDENTIAL_PASSWORD, 0, 0, 2, 1, 1,
		"the server does not offer AUTH", NULL},
	{"535", "535", "smtps://h.example", SASL_CREDENTIAL_PASSWORD, 0, 0, 2, 1, 1,
		"535 4.7.8 |the server refused the login (PLAIN): 535 5.7.8 no",
		"h.example 192.0.2.1:465 TLSv1.3 X verified PLAIN"},
	{"535 for EXTERNAL", "535", "smtps://h.example", SASL_CREDENTIAL_CERTIFICATE, 0, 0, 2, 1, 1,
		"the server refused the login (EXTERNAL): 535 5.7.8 no", NULL},
	{"454 is no refusal", "454", "smtps://h.example", SASL_CREDENTIAL_PASSWORD, 0, 2, 0, 1, 0,
		"454 4.7.0 4.7.0 later|the server cannot log us in now (h.example 192.0.2.1:465)",
		"h.example 192.0.2.1:465 TLSv1.3 X verified PLAIN"},
	{"421 to AUTH", "421-auth", "smtps://h.example", SASL_CREDENTIAL_PASSWORD, 0, 2, 0, 1, 0,
		"421 4.7.0", NULL},
	{"a token that ended early", "old-token", "smtps://h.example", SASL_CREDENTIAL_TOKEN, 2, 0,
		0, 2, 0, "250", NULL},
	{"tokens that are refused", "535-token", "smtps://h.example", SASL_CREDENTIAL_TOKEN, 0, 0,
		2, 2, 1, TOKEN_REASON "401", NULL},
};

static void test_rows(void **state)
{
	struct world w;
	size_t i;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];

		setup(&w, r->mode);
		w.info.url = base_slice_text(r->url);
		w.info.credential = (uint8_t)r->credential;
		w.info.certificate = r->credential == SASL_CREDENTIAL_CERTIFICATE;
		give_job(&w, 1, CONF_VIA_ACCOUNT, "", "acc");
		give_job(&w, 2, CONF_VIA_ACCOUNT, "", "acc");
		run(&w);
		if (w.delivered != r->delivered || w.deferred != r->deferred || w.held != r->held ||
			w.failed || w.opened != r->opened || w.alerts != r->alerts ||
			!strstr(w.last_reason, r->reason) ||
			(r->peer && strcmp(r->peer, w.last_peer) != 0))
			fail_msg("%s: delivered %u deferred %u held %u opened %u alerts %u \"%s\" "
				 "\"%s\"",
				r->name, w.delivered, w.deferred, w.held, w.opened, w.alerts,
				w.last_reason, w.last_peer);
		if (!w.delivered)
			assert_int_equal(w.mails, 0);
		assert_int_equal(w.asked, 1);
		assert_int_equal(w.certificates, w.info.certificate);
		teardown(&w);
	}
}

/* Where the host is the route's and only the login the account's, all the same holds. */
static void test_a_route_with_an_account(void **state)
{
	struct world w;

	setup(&w, "ok");
	w.info.pin = BASE_SLICE(
		"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff");
	give_job(&w, 1, CONF_VIA_SMTP, "g.example", "acc");
	run(&w);
	assert_int_equal(w.delivered, 1);
	assert_string_equal(w.last_peer, "g.example 192.0.2.1:25 TLSv1.3 X pinned verified PLAIN");
	teardown(&w);
	setup(&w, "strip");
	give_job(&w, 1, CONF_VIA_SMTP, "g.example", "acc");
	run(&w);
	assert_int_equal(w.held, 1);
	assert_int_equal(w.mails, 0);
	teardown(&w);
}

/* what auth says */

static void test_an_account_is_asked_for_again(void **state)
{
	struct world w;

	setup(&w, "ok");
	give_acc(&w, 1);
	pass(&w, 300000);
	give_acc(&w, 2);
	assert_int_equal(w.asked, 1);
	pass(&w, 400000);
	/* It is asked, and the old answer serves until the new one comes. */
	w.auth_silent = true;
	give_acc(&w, 3);
	assert_int_equal(w.asked, 2);
	assert_int_equal(w.opened, 3);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	assert_int_equal(w.asked, 3);
	assert_int_equal(w.delivered, 3);
	teardown(&w);
}

/* No answer: the mail waits, goes back after a while, and goes out when there is one. */
static void test_auth_is_away(void **state)
{
	struct world w;

	setup(&w, "ok");
	w.auth_silent = true;
	give_acc(&w, 1);
	pass(&w, 10000);
	assert_int_equal(w.held + w.deferred, 0);
	pass(&w, 30000);
	assert_int_equal(w.held, 1);
	assert_non_null(strstr(w.last_reason, "not available now"));
	assert_true(w.last_not_before > w.now.wall_ms);
	give_acc(&w, 2);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.asked, 2);
	teardown(&w);
}

/* auth ended after a change and before it could tell: the new secret does not go to the old server. */
static void test_auth_was_away(void **state)
{
	struct relay_conn *conn;
	struct world w;

	setup(&w, "ok");
	give_acc(&w, 1);
	pass(&w, 40000); /* the connection has ended */
	w.auth_silent = true;
	give_acc(&w, 2); /* asks the old one for a secret */
	assert_int_equal(w.secrets, 2);
	assert_non_null(strstr(w.last_peer, "smart.example"));
	w.info.url = BASE_SLICE("smtps://h.example:77");
	relay_core_auth_back(w.core);
	run(&w);
	assert_int_equal(w.asked, 2);
	assert_int_equal(w.secrets, 2); /* nor does it ask the new one */
	give_acc(&w, 3);
	assert_int_equal(w.secrets, 2);
	assert_int_equal(w.opened, 2);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	assert_int_equal(w.delivered, 3);
	assert_non_null(strstr(w.last_peer, "h.example 192.0.2.1:77"));
	teardown(&w);
	/* Nothing has changed: the connection that was being made goes on, and used ones stay. */
	setup(&w, "ok");
	w.auth_silent = true;
	give_acc(&w, 1);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	w.auth_silent = true;
	pass(&w, 40000);
	give_acc(&w, 2);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	assert_int_equal(w.delivered, 2);
	assert_int_equal(w.opened, 2);
	relay_core_auth_back(w.core);
	run(&w);
	give_acc(&w, 3);
	assert_int_equal(w.delivered, 3);
	assert_int_equal(w.opened, 2);
	/* It does not say: mail waits no longer than without a description. */
	w.auth_silent = true;
	relay_core_auth_back(w.core);
	give_acc(&w, 4);
	pass(&w, 30500);
	assert_int_equal(w.held, 1);
	conn = relay_core_conns(w.core);
	assert_true(!conn || !conn->job);
	teardown(&w);
}

/* Connections made for what the account was are not used for what it is. */
static void test_a_changed_account(void **state)
{
	static const struct {
		const char *url, *pin, *ca;
		uint32_t mechanisms, connections;
		bool changed, other; /* auth says so; a new connection is made */
	} next[] = {
		{"smtps://smart.example:465", "", "", 0, 0, false, false},
		{"smtps://smart.example:465", "", "", 0, 2, false, false},
		{"smtps://smart.example:465", "", "", 0, 2, true, true},
		{"smtps://h.example:465", "", "", 0, 2, false, true},
		{"smtps://h.example:466", "", "", 0, 2, false, true},
		{"smtp://h.example:466", "", "", 0, 2, false, true},
		{"smtp://h.example:466", "", "PEM", 0, 2, false, true},
		{"smtp://h.example:466", "", "PEM", SASL_MASK(SASL_MECHANISM_PLAIN), 2, false,
			true},
		{"smtp://h.example:466",
			"sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff",
			"PEM", SASL_MASK(SASL_MECHANISM_PLAIN), 2, false, true},
	};
	struct world w;
	unsigned opened = 1;

	setup(&w, "ok");
	give_acc(&w, 0);
	for (size_t i = 0; i < BASE_COUNT(next); i++) {
		w.info.url = base_slice_text(next[i].url);
		w.info.pin = base_slice_text(next[i].pin);
		w.info.ca = base_slice_text(next[i].ca);
		w.info.mechanisms = next[i].mechanisms;
		w.info.connections = next[i].connections;
		if (next[i].changed)
			relay_core_account_changed(w.core, BASE_SLICE("acc"), &w.now);
		else /* as if ten minutes had passed, without the idle time */
			relay_core_account(w.core, 0)->state_until_ms = 0;
		give_acc(&w, (uint32_t)i + 1);
		give_acc(&w, 100 + (uint32_t)i);
		opened += next[i].other;
		if (w.opened != opened)
			fail_msg("%zu: %u connections, not %u", i, w.opened, opened);
		assert_int_equal(w.open_now, 1);
	}
	assert_int_equal(w.delivered, 1 + 2 * BASE_COUNT(next));
	teardown(&w);
}

/* It changes while a connection is being made, or a message under way. */
static void test_a_change_in_between(void **state)
{
	struct relay_effect e;
	struct world w;

	setup(&w, "ok");
	give_job(&w, 1, CONF_VIA_ACCOUNT, "", "acc");
	w.auth_silent = false;
	while (relay_core_effect(w.core, &e) && e.kind != RELAY_ASK) {
		struct base_buf body;

		assert_int_equal(e.kind, RELAY_WANT_ACCOUNT);
		base_buf_init(&body, 1000);
		account_info_put(&body, &w.info);
		relay_core_account_told(w.core, e.account->id, base_buf_slice(&body), &w.now);
		base_buf_release(&body);
	}
	/* Its host is being looked up when it becomes another one. */
	w.info.url = BASE_SLICE("smtps://h.example:77");
	relay_core_account_changed(w.core, BASE_SLICE_EMPTY, &w.now);
	{
		struct route_dns_answer none;

		route_dns_answer_set(&none, ROUTE_DNS_EMPTY);
		relay_core_answer(w.core, e.dest_id, e.question.id, &none, &w.now);
	}
	run(&w);
	pass(&w, 2000);
	assert_int_equal(w.delivered + w.deferred, 1);
	if (w.delivered)
		assert_non_null(strstr(w.last_peer, "192.0.2.1:77"));
	teardown(&w);
	/* The final reply is awaited: the message is finished there, the next goes elsewhere. */
	setup(&w, "slow");
	give_acc(&w, 1);
	give_acc(&w, 2);
	w.mode = "ok";
	w.info.url = BASE_SLICE("smtps://h.example:77");
	w.auth_silent = true;
	relay_core_account_changed(w.core, BASE_SLICE("acc"), &w.now);
	run(&w);
	turn(&w, "slow"); /* it answers QUIT */
	relay_conn_input(relay_core_conn(w.core, 1), BASE_SLICE("250 taken\r\n"), &w.now);
	run(&w);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.mails, 1);
	w.auth_silent = false;
	relay_core_auth_back(w.core);
	run(&w);
	pass(&w, 1000);
	assert_int_equal(w.delivered, 2);
	assert_int_equal(w.opened, 2);
	assert_non_null(strstr(w.last_peer, "192.0.2.1:77"));
	teardown(&w);
}

/* auth is another process: whatever it sends, relay lives, and nothing goes out. */
static void test_answers_that_cannot_be_used(void **state)
{
	static const struct {
		const char *url, *pin, *why;
		uint8_t credential;
	} bad[] = {
		{"http://h.example", "", "URL", 0},
		{"", "", "URL", 0},
		{"smtps://a\nb", "", "URL", 0},
		{"smtps://h.example", "", "credential", SASL_CREDENTIAL_COUNT},
		{"smtps://h.example", "", "credential", 255},
		{"smtps://h.example", "", "ticket", SASL_CREDENTIAL_TICKET},
		{"smtps://h.example", "sha256:00", "pin", 0},
		{"smtps://h.example", "md5:", "pin", 0},
	};
	struct base_buf body;
	uint32_t generation;
	struct world w;

	base_buf_init(&body, 1 << 20);
	for (size_t i = 0; i < BASE_COUNT(bad); i++) {
		setup(&w, "ok");
		w.info = (struct account_info){.url = base_slice_text(bad[i].url),
			.pin = base_slice_text(bad[i].pin),
			.credential = bad[i].credential};
		give_acc(&w, 1);
		if (w.held != 1 || w.opened || !strstr(w.last_reason, bad[i].why))
			fail_msg("%zu: %s", i, w.last_reason);
		give_acc(&w, 2); /* the answer holds for a while */
		assert_int_equal(w.asked, 1);
		pass(&w, 61000);
		w.info = (struct account_info){.url = BASE_SLICE("smtps://h.example")};
		give_acc(&w, 3);
		assert_int_equal(w.delivered, 1);
		teardown(&w);
	}
	/* Cut anywhere, and with bytes behind it. */
	account_info_put(&body,
		&(struct account_info){.url = BASE_SLICE("smtps://h.example"),
			.ca = BASE_SLICE("PEM"),
			.rate_count = UINT32_MAX,
			.rate_s = UINT32_MAX,
			.connections = UINT32_MAX});
	base_buf_append_byte(&body, 0);
	for (size_t len = 0; len <= body.len; len++) {
		setup(&w, "ok");
		w.auth_silent = true;
		give_acc(&w, 1);
		relay_core_account_told(
			w.core, 0, base_slice_make(body.ptr, len), &w.now); /* not asked for */
		relay_core_account_told(w.core, 9, base_slice_make(body.ptr, len), &w.now);
		relay_core_account_told(w.core, UINT32_MAX, BASE_SLICE_EMPTY, &w.now);
		relay_core_account_told(w.core, 1, base_slice_make(body.ptr, len), &w.now);
		w.auth_silent = false;
		run(&w);
		assert_int_equal(w.delivered, len == body.len - 1);
		assert_int_equal(w.held, len != body.len - 1);
		generation = relay_core_account(w.core, 0)->generation;
		relay_core_account_told(w.core, 1, base_slice_make(body.ptr, len / 2), &w.now);
		run(&w);
		assert_int_equal(relay_core_account(w.core, 0)->generation, generation);
		teardown(&w);
	}
	base_buf_release(&body);
}

static void test_secrets_that_cannot_be_used(void **state)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_slice r = base_slice_make(random, sizeof(random));
	struct base_buf body;
	struct world w;

	base_buf_init(&body, 1 << 20);
	ipc_put_u8(&body, 0);
	ipc_put_text(&body, "u");
	ipc_put_text(&body, "p");
	ipc_put_text(&body, "");
	base_buf_append_byte(&body, 0);
	for (int certificate = 0; certificate < 2; certificate++)
		for (size_t len = 0; len <= body.len; len++) {
			bool good = len == body.len - 1 && !certificate;

			setup(&w, "ok");
			w.info.certificate = certificate;
			give_job(&w, 1, CONF_VIA_ACCOUNT, "", "acc");
			while (!w.secrets) {
				struct relay_effect e;

				assert_true(relay_core_effect(w.core, &e));
				if (e.kind == RELAY_WANT_SECRET) {
					w.secrets++;
					relay_core_secret(w.core, 77,
						base_slice_make(body.ptr, len), r, &w.now);
					relay_core_secret(w.core, e.conn->number,
						base_slice_make(body.ptr, len), r, &w.now);
					relay_core_secret(w.core, e.conn->number,
						base_slice_make(body.ptr, len), r, &w.now);
					break;
				}
				world_carry_out(&w, &e);
			}
			run(&w);
			if (w.delivered != good || w.held != !good)
				fail_msg("%d %zu: %s", certificate, len, w.last_reason);
			teardown(&w);
		}
	base_buf_release(&body);
}

/* logins that fail */

static void test_pause_and_retry(void **state)
{
	struct world w;

	setup(&w, "535");
	give_acc(&w, 1);
	assert_int_equal(w.held, 1);
	assert_true(w.last_not_before > w.now.wall_ms);
	w.mode = "ok";
	give_acc(&w, 2);
	assert_int_equal(w.held, 2);
	assert_int_equal(w.opened, 1);
	/* Another account, and mail without one, are not concerned. */
	give_job(&w, 3, CONF_VIA_ACCOUNT, "", "vault");
	give_job(&w, 4, CONF_VIA_SMTP, "smart.example", "");
	run(&w);
	assert_int_equal(w.delivered, 2);
	relay_core_account_retry(w.core, BASE_SLICE("vault"), &w.now);
	give_acc(&w, 5);
	assert_int_equal(w.held, 3);
	relay_core_account_retry(w.core, BASE_SLICE("acc"), &w.now);
	give_acc(&w, 6);
	assert_int_equal(w.delivered, 3);
	assert_int_equal(w.alerts, 2); /* paused, and used again */
	teardown(&w);
	/* A change of the account does it too. */
	setup(&w, "535");
	give_acc(&w, 1);
	w.mode = "ok";
	relay_core_account_changed(w.core, BASE_SLICE("acc"), &w.now);
	give_acc(&w, 2);
	assert_int_equal(w.delivered, 1);
	teardown(&w);
}

/* One line in the log when it stops, whatever comes after; each reason once. */
static void test_alerts(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "535");
	for (i = 0; i < 4; i++) {
		give_acc(&w, i);
		assert_int_equal(w.opened, i + 1);
		assert_int_equal(w.alerts, 1);
		/* Longer each time. */
		assert_true(w.last_not_before - w.now.wall_ms == (INT64_C(60000) << i));
		pass(&w, INT64_C(60000) << i);
	}
	assert_int_equal(w.states, 4);
	w.mode = "535-numbered"; /* the same, in words of the moment */
	give_acc(&w, 10);
	assert_int_equal(w.alerts, 1);
	assert_non_null(strstr(w.paused, "new text"));
	pass(&w, 3600000);
	w.mode = "535-other";
	give_acc(&w, 11);
	assert_int_equal(w.alerts, 2);
	pass(&w, 3600000);
	w.mode = "no-auth";
	give_acc(&w, 12);
	assert_int_equal(w.alerts, 3);
	pass(&w, 3600000);
	w.mode = "ok";
	give_acc(&w, 13);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.alerts, 4);
	assert_string_equal(w.paused, "");
	teardown(&w);
}

/* auth has none: its words are the reason, and nothing is sent. */
static void test_no_secret(void **state)
{
	static const struct {
		const char *secret, *why;
	} rows_of[] = {
		{"6", "0 4.7.8 |no password is kept for it (see postern account add)"},
		{"1", "0 4.7.8 |its password is not available now"},
		{"1the token could not be renewed: invalid_grant",
			"0 4.7.8 |the token could not be renewed: invalid_grant"},
		{"3a\nb\x1b[m", "0 4.7.8 |a?b?[m"},
		{"3it said \"no\\x0a\"", "0 4.7.8 |it said \"no\\x0a\""},
	};
	char long_words[513];
	struct world w;

	for (size_t i = 0; i < BASE_COUNT(rows_of); i++) {
		setup(&w, "ok");
		w.no_secret = rows_of[i].secret;
		give_acc(&w, 1);
		give_acc(&w, 2);
		assert_int_equal(w.held, 2);
		assert_int_equal(w.alerts, 1);
		assert_int_equal(w.opened, 1);
		assert_string_equal(w.last_reason, rows_of[i].why);
		teardown(&w);
	}
	/* As long as they are in account list. */
	setup(&w, "ok");
	long_words[0] = '2';
	memset(long_words + 1, 'x', 511);
	long_words[512] = '\0';
	w.no_secret = long_words;
	give_acc(&w, 1);
	assert_int_equal(strlen(strchr(w.last_reason, '|') + 1), 511);
	assert_int_equal(strlen(w.paused), 511);
	teardown(&w);
	/* That there is no token, auth says in the log itself; and so it does when there is one again. */
	setup(&w, "ok");
	w.info.credential = SASL_CREDENTIAL_TOKEN;
	w.no_secret = "2invalid_grant";
	give_acc(&w, 1);
	assert_string_equal(w.last_reason, "0 4.7.8 |invalid_grant");
	assert_int_equal(w.states, 1);
	w.no_secret = NULL;
	pass(&w, 61000);
	give_acc(&w, 2);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.states, 2);
	assert_int_equal(w.alerts, 0);
	teardown(&w);
	setup(&w, "ok");
	w.no_secret = "6";
	w.info.certificate = true;
	give_acc(&w, 1);
	assert_string_equal(w.last_reason, "0 4.7.8 |no client certificate is kept for it");
	teardown(&w);
}

/* After a pause one connection tries; the rest follow only if it works. */
static void test_slow_start(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "535");
	give_acc(&w, 0);
	pass(&w, 61000);
	for (i = 1; i < 60; i++) {
		give_job(&w, i, CONF_VIA_SMTPS, i % 2 ? "a.example" : "b.example", "acc");
		give_job(&w, 100 + i, CONF_VIA_ACCOUNT, "", "acc");
	}
	run(&w);
	assert_int_equal(w.opened, 2); /* one for all */
	assert_int_equal(w.held, 119);
	pass(&w, 121000);
	w.mode = "ok";
	w.open_most = 0;
	for (i = 1; i < 60; i++)
		give_job(&w, 200 + i, CONF_VIA_SMTPS, i % 2 ? "a.example" : "b.example", "acc");
	run(&w);
	assert_int_equal(w.delivered, 59);
	assert_int_equal(w.held, 119);
	teardown(&w);
}

static void test_tokens(void **state)
{
	char token[8192];
	struct world w;

	/* The second asks anew at once; those that were waiting follow; the next login is normal. */
	setup(&w, "old-token");
	w.info.credential = SASL_CREDENTIAL_TOKEN;
	for (uint32_t i = 0; i < 30; i++)
		give_job(&w, i, CONF_VIA_ACCOUNT, "", "acc");
	run(&w);
	assert_int_equal(w.delivered, 30);
	assert_int_equal(w.refused_secrets, 1);
	assert_int_equal(w.states, 0);
	teardown(&w);
	/* Both are refused: paused. After it, it is asked as usual. */
	setup(&w, "535-token");
	w.info.credential = SASL_CREDENTIAL_TOKEN;
	give_acc(&w, 1);
	assert_int_equal(w.secrets, 2);
	assert_int_equal(w.refused_secrets, 1);
	assert_int_equal(w.held, 1);
	w.mode = "ok";
	pass(&w, 61000);
	give_acc(&w, 2);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.refused_secrets, 1);
	teardown(&w);
	/* As long as they may be. */
	memset(token, 't', sizeof(token));
	setup(&w, "ok");
	w.info.credential = SASL_CREDENTIAL_TOKEN;
	w.token = base_slice_make(token, sizeof(token));
	give_acc(&w, 1);
	assert_int_equal(w.delivered, 1);
	teardown(&w);
}

/* A server that took the login says to a command that there is none: not the message's fault. */
static void test_logins_that_are_lost(void **state)
{
	static const struct {
		const char *mode, *reason;
	} rows_of[] = {
		{"530-mail",
			"530 4.7.8 |the server accepted the login, then refused mail for want "
			"of one (PLAIN): 530 5.7.0 login first"},
		{"535-mail",
			"535 4.7.8 |the server accepted the login, then refused mail for want "
			"of one (PLAIN): 535 5.7.8 who?"},
		{"525-rcpt",
			"525 4.7.8 |the server accepted the login, then refused mail for want "
			"of one (PLAIN): 525 5.7.13 disabled"},
		{"534-data",
			"534 4.7.8 |the server accepted the login, then refused mail for want "
			"of one (PLAIN): 534 5.7.9 too weak"},
		{"538-dot",
			"538 4.7.8 |the server accepted the login, then refused mail for want "
			"of one (PLAIN): 538 5.7.11 not in clear"},
	};
	struct world w;

	for (size_t i = 0; i < BASE_COUNT(rows_of); i++) {
		/* On a new connection: the account is paused, all that waits for it is held. */
		setup(&w, rows_of[i].mode);
		assert_true(give_job_rcpts(&w, 1, CONF_VIA_ACCOUNT, "", "acc", 3));
		give_job(&w, 2, CONF_VIA_ACCOUNT, "", "acc");
		run(&w);
		if (w.held != 4 || w.failed || w.deferred || w.opened != 1 || w.alerts != 1 ||
			strcmp(w.last_reason, rows_of[i].reason) != 0)
			fail_msg("%s: held %u failed %u deferred %u opened %u \"%s\"",
				rows_of[i].mode, w.held, w.failed, w.deferred, w.opened,
				w.last_reason);
		assert_true(w.last_not_before > w.now.wall_ms);
		teardown(&w);
		/* On a used one: a new one takes it. */
		setup(&w, "ok");
		give_acc(&w, 1);
		turn(&w, rows_of[i].mode);
		give_acc(&w, 2);
		if (w.delivered != 2 || w.opened != 2 || w.states)
			fail_msg("%s: %s", rows_of[i].mode, w.last_reason);
		/* Which says the same: then it is the account. */
		turn(&w, rows_of[i].mode);
		w.mode = rows_of[i].mode;
		give_acc(&w, 3);
		assert_int_equal(w.held, 1);
		assert_int_equal(w.opened, 3);
		teardown(&w);
		/* Without an account it is the message's, as ever. */
		setup(&w, rows_of[i].mode);
		give_job(&w, 1, CONF_VIA_SMTP, "h.example", "");
		run(&w);
		assert_int_equal(w.failed, 1);
		teardown(&w);
	}
	setup(&w, "550-rcpt");
	give_acc(&w, 1);
	assert_int_equal(w.failed, 1);
	assert_int_equal(w.states, 0);
	teardown(&w);
}

/* The login alone proves nothing there: pauses grow, and the log is told once. */
static void test_a_lost_login_again_and_again(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "530-mail");
	for (i = 0; i < 4; i++) {
		give_acc(&w, i);
		assert_int_equal(w.opened, i + 1);
		assert_int_equal(w.alerts, 1);
		assert_true(w.last_not_before - w.now.wall_ms == (INT64_C(60000) << i));
		pass(&w, INT64_C(60000) << i);
	}
	w.mode = "ok";
	give_acc(&w, 10);
	assert_int_equal(w.delivered, 1);
	assert_int_equal(w.alerts, 2);
	assert_string_equal(w.paused, "");
	teardown(&w);
	/* A token may have ended: another one is asked for, once. */
	setup(&w, "530-mail");
	w.info.credential = SASL_CREDENTIAL_TOKEN;
	give_acc(&w, 1);
	assert_int_equal(w.secrets, 2);
	assert_int_equal(w.refused_secrets, 1);
	assert_int_equal(w.held, 1);
	assert_int_equal(w.opened, 2);
	teardown(&w);
	/* It closes behind the refusal. */
	setup(&w, "530-mail-bye");
	give_acc(&w, 1);
	assert_int_equal(w.held, 1);
	assert_non_null(strstr(w.last_reason, "530 5.7.0 login first"));
	teardown(&w);
	/* Many connections that all grow too old: nothing is lost, nothing counts as a refusal. */
	setup(&w, "ok");
	w.info.connections = 4;
	for (i = 0; i < 60; i++)
		give_job(&w, i, CONF_VIA_ACCOUNT, "", "acc");
	run(&w);
	assert_int_equal(w.open_most, 4);
	turn(&w, "530-mail");
	for (i = 0; i < 60; i++)
		give_job(&w, 100 + i, CONF_VIA_ACCOUNT, "", "acc");
	run(&w);
	pass(&w, 5000);
	assert_int_equal(w.delivered, 120);
	assert_int_equal(w.states, 0);
	teardown(&w);
}

/* limits */

static void test_connections(void **state)
{
	struct world w;
	unsigned i;

	for (unsigned limit = 0; limit < 4; limit++) {
		unsigned most = limit ? limit : ACCOUNT_CONNECTIONS_DEFAULT;

		setup(&w, "ok");
		w.info.connections = limit;
		for (i = 0; i < 300; i++)
			give_job(&w, i, CONF_VIA_SMTPS, i % 2 ? "a.example" : "b.example", "acc");
		run(&w);
		pass(&w, 40000);
		assert_int_equal(w.delivered, 300);
		assert_true(w.open_most <= most);
		assert_int_equal(w.open_now, 0);
		teardown(&w);
	}
	/* An idle connection makes room for another destination's. */
	setup(&w, "ok");
	w.info.connections = 1;
	give_job(&w, 1, CONF_VIA_SMTPS, "a.example", "acc");
	run(&w);
	give_job(&w, 2, CONF_VIA_SMTPS, "b.example", "acc");
	run(&w);
	pass(&w, 1000);
	assert_int_equal(w.delivered, 2);
	assert_int_equal(w.open_most, 1);
	teardown(&w);
}

/* Nor does a busy destination keep the only connection for itself, and nor does another one. */
static void test_connections_go_round(void **state)
{
	static const char *const hosts[] = {"a.example", "b.example", "c.example", "d.example"};
	struct world w;

	for (size_t h = 0; h < BASE_COUNT(hosts); h++) {
		setup(&w, "ok");
		w.info.connections = 1;
		w.watched = 9999;
		for (uint32_t i = 0; i < 100; i++)
			for (size_t k = 0; k < BASE_COUNT(hosts); k++)
				if (k != h)
					give_job(&w, 1 + i, CONF_VIA_SMTPS, hosts[k], "acc");
		give_job(&w, 9999, CONF_VIA_SMTPS, hosts[h], "acc");
		run(&w);
		assert_int_equal(w.delivered, 301);
		assert_int_equal(w.open_most, 1);
		assert_in_range(w.watched_at, 1, 3 * RELAY_GROWTH_MESSAGES + 1);
		teardown(&w);
	}
}

static void test_rate(void **state)
{
	struct world w;
	int64_t first;
	unsigned i;

	setup(&w, "ok");
	w.info.rate_count = 10;
	w.info.rate_s = 3600;
	for (i = 0; i < 200; i++)
		give_job(&w, i, CONF_VIA_ACCOUNT, "", "acc");
	run(&w);
	assert_int_equal(w.delivered, 10);
	assert_int_equal(w.deferred, 190); /* they do not wait here */
	/* The next is due after a tenth of the hour, no sooner; nobody else waits. */
	give_job(&w, 300, CONF_VIA_ACCOUNT, "", "vault");
	run(&w);
	assert_int_equal(w.delivered, 11);
	pass(&w, 359000);
	give_acc(&w, 301);
	assert_int_equal(w.delivered, 11);
	assert_string_equal(w.last_reason, "451 4.7.0 |the account's rate of 10/hour is used up");
	assert_true(w.last_not_before > w.now.wall_ms);
	assert_true(w.last_not_before <= w.now.wall_ms + 3600000);
	pass(&w, 1000);
	give_acc(&w, 302);
	assert_int_equal(w.delivered, 12);
	give_acc(&w, 303);
	assert_int_equal(w.delivered, 12);
	/* It fills up, and no further. */
	pass(&w, 2 * 3600 * 1000);
	for (i = 0; i < 20; i++)
		give_acc(&w, 400 + i);
	assert_int_equal(w.delivered, 22);
	teardown(&w);
	/* The first that is sent back comes again when the next is due. */
	setup(&w, "ok");
	w.info.rate_count = 1;
	w.info.rate_s = 60;
	give_acc(&w, 1);
	give_acc(&w, 2);
	first = w.last_not_before;
	assert_true(first == w.now.wall_ms + 60000);
	pass(&w, 60000);
	give_acc(&w, 2);
	assert_int_equal(w.delivered, 2);
	teardown(&w);
}

/* What was not sent is not counted, and a used-up rate is no trouble of the destination. */
static void test_rate_counts_what_is_sent(void **state)
{
	struct world w;
	unsigned i;

	setup(&w, "refused");
	w.info.rate_count = 3;
	w.info.rate_s = 86400;
	for (i = 0; i < 5; i++) {
		give_acc(&w, i);
		pass(&w, 40000);
	}
	assert_null(strstr(w.last_reason, "rate"));
	w.mode = "ok";
	for (i = 0; i < 5; i++)
		give_acc(&w, 10 + i);
	assert_int_equal(w.delivered, 3);
	assert_non_null(strstr(w.last_reason, "3/day"));
	relay_core_account_changed(w.core, BASE_SLICE("acc"), &w.now);
	w.info.rate_count = 0;
	give_acc(&w, 20);
	assert_int_equal(w.delivered, 4);
	teardown(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_a_route_with_an_account),
		cmocka_unit_test(test_an_account_is_asked_for_again),
		cmocka_unit_test(test_auth_is_away),
		cmocka_unit_test(test_auth_was_away),
		cmocka_unit_test(test_a_changed_account),
		cmocka_unit_test(test_a_change_in_between),
		cmocka_unit_test(test_answers_that_cannot_be_used),
		cmocka_unit_test(test_secrets_that_cannot_be_used),
		cmocka_unit_test(test_pause_and_retry),
		cmocka_unit_test(test_alerts),
		cmocka_unit_test(test_no_secret),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_logins_that_are_lost),
		cmocka_unit_test(test_a_lost_login_again_and_again),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_connections_go_round),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_rate_counts_what_is_sent),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
