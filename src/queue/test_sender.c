/* Routes by sender: who has no line waits, who has one goes by his account, and what waits follows the
 * table when it changes. */
#include "queue/test_support.h"
#include "route/sender_admin.h"

static char text_sender[] = "sender", text_account[] = "account:fixed", text_fixed[] = "fixed";

static int setup_senders(void **state)
{
	if (setup(state) != 0)
		return -1;
	x.routes[0].via = CONF_VIA_SENDER;
	x.routes[0].via_text = text_sender;
	x.routes[0].tls = CONF_POLICY_VERIFY;
	queue_core_set_conf(x.core, &x.conf);
	return 0;
}

/* "add LINE account=NAME", as the shell does it. */
static int try_senders(const char *text, struct base_error *err)
{
	struct base_slice words[8], rest = base_slice_text(text);
	struct route_sender_request req = {.words = words, .now_ms = x.now};
	struct base_buf out;
	int rc = queue_core_senders_before(x.core, x.now, err);

	base_buf_init(&out, 65536);
	while (base_slice_split(&rest, ' ', &words[req.word_count]))
		req.word_count++;
	if (rc == 0)
		rc = route_sender_admin_run(x.spool, &req, &out, err);
	if (rc == 0)
		rc = spool_commit(x.spool, err);
	if (rc == 0)
		queue_core_senders_after(x.core);
	else
		spool_rollback(x.spool);
	base_buf_release(&out);
	return rc;
}

static void senders(const char *text)
{
	struct base_error err;

	if (try_senders(text, &err) != 0)
		fail_msg("%s: %s", text, err.text);
}

static const char *shown(const struct base_id *id)
{
	assert_int_equal(admin("show", id), 0);
	return admin_answer;
}

static void the_line_gives_the_account(void **state)
{
	struct sent *s;

	relays(1, 10);
	senders("add anna@example.org account=one");
	senders("add @example.org account=two");
	submit(1, "Anna@example.org", "b@example.net");
	submit(2, "bert@example.org", "b@example.net c@example.com");
	(void)turns();
	s = next_job();
	assert_int_equal(s->via, CONF_VIA_ACCOUNT);
	assert_string_equal(s->account, "one");
	assert_string_equal(s->host, "");
	assert_true(result(s, "d"));
	s = next_job();
	assert_string_equal(s->account, "two");
	/* One account is one destination, whatever the recipients' domains. */
	assert_string_equal(s->rcpts, "b@example.net,c@example.com");
	assert_true(result(s, "dd"));
	no_more_jobs();
	settle();
	assert_int_equal(stored(), 0);
	assert_non_null(strstr(x.events, "delivery b@example.net delivered by=anna@example.org"));
	assert_non_null(strstr(x.events, "delivery c@example.com delivered by=@example.org"));
}

static void no_line_waits(void **state)
{
	struct base_id id;

	relays(1, 10);
	id = submit(1, "anna@example.org", "b@example.net");
	(void)turns();
	assert_int_equal(x.answers[0].class, 0);
	no_more_jobs();
	assert_int_equal(stored(), 1);
	assert_non_null(strstr(shown(&id),
		"no account for sender \\\"anna@example.org\\\" (see postern sender add)"));
	assert_non_null(strstr(admin_answer, "\"state\":\"paused\""));
	assert_non_null(strstr(admin_answer, "\"account\":null"));
	assert_string_equal(x.events, "route b@example.net held|");
	/* Tried again in time, and told each time. */
	x.now += 70 * 1000;
	(void)turns();
	settle();
	no_more_jobs();
	assert_string_equal(x.events, "route b@example.net held|route b@example.net held|");
	/* A line for somebody else changes nothing; his own does, at once. */
	senders("add bert@example.org account=two");
	(void)turns();
	settle();
	no_more_jobs();
	senders("add anna@example.org account=one");
	(void)turns();
	assert_string_equal(next_job()->account, "one");
	assert_true(result(&x.jobs[0], "d"));
	settle();
	assert_int_equal(stored(), 0);
	no_more_jobs();
}

static void the_table_is_there_after_a_restart(void **state)
{
	submit(1, "anna@example.org", "b@example.net");
	submit(2, "bert@example.org", "b@example.net");
	(void)turns();
	senders("add anna@example.org account=one");
	reopen();
	relays(1, 10);
	(void)turns();
	assert_string_equal(next_job()->account, "one");
	no_more_jobs();
	senders("add * account=rest");
	(void)turns();
	assert_string_equal(next_job()->account, "rest");
}

static void lifetime_ends_for_who_waits(void **state)
{
	relays(1, 10);
	submit(1, "anna@example.org", "b@example.net");
	(void)turns();
	x.now += 500 * 1000;
	(void)turns();
	settle();
	/* The notice of delay waits for a line, too. */
	no_more_jobs();
	assert_int_equal(stored(), 2);
	senders("add <> account=notices");
	(void)turns();
	assert_string_equal(next_job()->account, "notices");
	assert_string_equal(x.jobs[0].rcpts, "anna@example.org");
	assert_non_null(strstr(x.body, "no account for sender"));
	assert_true(result(&x.jobs[0], "d"));
	x.now += 600 * 1000;
	(void)turns();
	settle();
	assert_string_equal(next_job()->account, "notices");
	assert_non_null(strstr(x.body, "5.4.7"));
	assert_non_null(strstr(x.body, "in the time that we try"));
	assert_true(result(&x.jobs[1], "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void notices_go_by_their_own_rule(void **state)
{
	relays(1, 10);
	senders("add @example.org account=one");
	senders("add * account=rest");
	submit(1, "", "anna@example.org");
	submit(2, "", "carl@example.com");
	(void)turns();
	assert_string_equal(next_job()->account, "one");
	assert_string_equal(next_job()->account, "rest");
	senders("remove *");
	submit(3, "", "carl@example.com");
	(void)turns();
	settle();
	no_more_jobs();
	assert_non_null(strstr(x.events, "route carl@example.com held"));
}

/* Planned, and waiting for a relay: still goes as the table says when it goes. */
static void what_is_ready_follows_the_table(void **state)
{
	struct base_id id;

	senders("add anna@example.org account=one");
	submit(1, "anna@example.org", "b@example.net");
	id = submit(2, "anna@example.org", "b@smart.example c@example.net");
	(void)turns();
	senders("add anna@example.org account=two replace=1");
	(void)turns();
	senders("remove anna@example.org");
	(void)turns();
	relays(1, 10);
	(void)turns();
	assert_string_equal(next_job()->rcpts, "b@smart.example");
	no_more_jobs();
	assert_true(result(&x.jobs[0], "d"));
	settle();
	assert_non_null(strstr(shown(&id), "no account for sender"));
	senders("add anna@example.org account=three");
	(void)turns();
	assert_string_equal(next_job()->account, "three");
	assert_string_equal(next_job()->account, "three");
	assert_true(result(&x.jobs[1], "d"));
	assert_true(result(&x.jobs[2], "d"));
	settle();
	assert_int_equal(stored(), 0);
}

/* Some of a message's recipients wait and some do not, and routes change between the attempts: nobody is
 * lost, and nobody is served twice. */
static void waiting_recipients_part_and_meet(void **state)
{
	relays(1, 10);
	submit(1, "anna@example.org", "a@smart.example b@one.example c@two.example d@one.example");
	settle();
	assert_string_equal(next_job()->rcpts, "a@smart.example");
	assert_true(result(&x.jobs[0], "t"));
	settle();
	no_more_jobs();
	/* The first of those who wait is to be relayed now, so the unit is his. */
	x.routes[4].title = (char[]){"one.example"};
	queue_core_set_conf(x.core, &x.conf);
	x.now += 70 * 1000;
	settle();
	assert_string_equal(next_job()->rcpts, "b@one.example,d@one.example");
	no_more_jobs();
	assert_true(result(&x.jobs[1], "tt"));
	settle();
	/* And back, a wait for all. */
	x.routes[4].title = text_smart;
	queue_core_set_conf(x.core, &x.conf);
	x.now += 400 * 1000;
	settle();
	assert_string_equal(next_job()->rcpts, "a@smart.example");
	no_more_jobs();
	assert_true(result(&x.jobs[2], "d"));
	settle();
	/* The second of a unit is to be relayed, the first waits. */
	x.routes[4].title = (char[]){"two.example"};
	queue_core_set_conf(x.core, &x.conf);
	reopen();
	relays(1, 10);
	x.now += 360 * 1000;
	settle();
	assert_string_equal(next_job()->rcpts, "c@two.example");
	assert_true(result(&x.jobs[3], "d"));
	settle();
	senders("add anna@example.org account=one");
	settle();
	while (x.job_at < x.job_count) {
		struct sent *s = next_job();

		assert_string_equal(s->account, "one");
		assert_true(result(s, s->rcpt_count == 2 ? "dd" : "d"));
	}
	settle();
	no_more_jobs();
	assert_int_equal(stored(), 0);
	x.routes[4].title = text_smart;
	for (const char *rcpt = "abcd"; *rcpt; rcpt++) {
		char want[32];
		int times = 0;

		snprintf(want, sizeof(want), "delivery %c@", *rcpt);
		for (const char *at = x.events; (at = strstr(at, want)) != NULL; at++)
			times += strncmp(strchr(strchr(at, '@'), ' ') + 1, "delivered", 9) == 0;
		assert_int_equal(times, 1);
	}
}

static void the_second_leaves_the_one_who_waits(void **state)
{
	struct base_id id;

	relays(1, 10);
	id = submit(1, "anna@example.org", "b@one.example c@two.example");
	settle();
	no_more_jobs();
	x.routes[4].title = (char[]){"two.example"};
	queue_core_set_conf(x.core, &x.conf);
	x.now += 70 * 1000;
	settle();
	assert_string_equal(next_job()->rcpts, "c@two.example");
	assert_true(result(&x.jobs[0], "t"));
	settle();
	assert_non_null(strstr(shown(&id), "nobody here"));
	assert_non_null(strstr(admin_answer, "no account for sender"));
	x.routes[4].title = text_smart;
	queue_core_set_conf(x.core, &x.conf);
	reopen();
	relays(1, 10);
	settle();
	no_more_jobs();
	senders("add anna@example.org account=one");
	settle();
	assert_string_equal(next_job()->rcpts, "b@one.example");
	assert_int_equal(admin("retry", &id), 0);
	settle();
	assert_string_equal(next_job()->rcpts, "c@two.example");
	assert_true(result(&x.jobs[1], "d"));
	assert_true(result(&x.jobs[2], "d"));
	settle();
	assert_int_equal(stored(), 0);
}

static void an_account_has_one_relay(void **state)
{
	char sender[64], line[96];
	unsigned fixed = 0;

	relays(4, 100);
	for (unsigned n = 0; n < 6; n++) {
		snprintf(line, sizeof(line), "add @d%u.example account=a%u", n, n % 3);
		senders(line);
	}
	/* Beside them routes that name one themselves. */
	x.routes[4].account = text_fixed;
	x.routes[5] = (struct conf_route){.title = text_own,
		.via = CONF_VIA_ACCOUNT,
		.via_text = text_account,
		.text = text_fixed,
		.account = text_fixed};
	x.routes[6] = x.routes[7] = x.routes[4];
	x.routes[6].title = (char[]){"six.example"};
	x.routes[7].title = (char[]){"seven.example"};
	x.routes[6].port = 26;
	x.routes[7].port = 27;
	x.conf.route_count = 8;
	queue_core_set_conf(x.core, &x.conf);
	for (unsigned n = 0; n < 6; n++) {
		snprintf(sender, sizeof(sender), "x@d%u.example", n);
		submit(n, sender, "b@example.net");
	}
	submit(10, "x@d0.example",
		"b@smart.example c@mail.example.org d@six.example e@seven.example");
	(void)turns();
	assert_int_equal(x.job_count, 10);
	for (size_t i = 0; i < x.job_count; i++)
		for (size_t k = 0; k < i; k++)
			if (strcmp(x.jobs[i].account, x.jobs[k].account) == 0)
				assert_int_equal(x.jobs[i].peer, x.jobs[k].peer);
	for (size_t i = 0; i < x.job_count; i++)
		fixed += strcmp(x.jobs[i].account, "fixed") == 0;
	assert_int_equal(fixed, 4);
}

static void held_mail_goes_when_its_account_works(void **state)
{
	relays(1, 10);
	senders("add anna@example.org account=one");
	senders("add bert@example.org account=two");
	submit(1, "anna@example.org", "b@example.net");
	submit(2, "bert@example.org", "b@example.net");
	submit(3, "anna@example.org", "c@example.net");
	(void)turns();
	assert_int_equal(x.job_count, 3);
	for (int i = 0; i < 3; i++)
		assert_true(result(
			&x.jobs[i], strcmp(x.jobs[i].rcpts, "c@example.net") == 0 ? "t" : "h"));
	settle();
	x.job_at = 3;
	queue_core_account_works(x.core, BASE_SLICE("on"));
	queue_core_account_works(x.core, BASE_SLICE("three"));
	settle();
	no_more_jobs();
	queue_core_account_works(x.core, BASE_SLICE("one"));
	queue_core_account_works(x.core, BASE_SLICE("one"));
	settle();
	assert_string_equal(next_job()->sender, "anna@example.org");
	no_more_jobs();
	assert_true(result(&x.jobs[3], "h"));
	settle();
	/* Any. */
	queue_core_account_works(x.core, BASE_SLICE_EMPTY);
	settle();
	assert_int_equal(x.job_count, 6);
	/* Deferred only from now on: no account is in the way. */
	assert_true(result(&x.jobs[4], "t"));
	assert_true(result(&x.jobs[5], "t"));
	settle();
	x.job_at = 6;
	for (char name[] = "a"; name[0] <= 'z'; name[0]++)
		queue_core_account_works(x.core, base_slice_text(name));
	settle();
	no_more_jobs();
}

static void a_change_that_failed_is_none(void **state)
{
	struct base_error err;

	relays(1, 10);
	senders("add bert@example.org account=two");
	submit(1, "anna@example.org", "b@example.net");
	settle();
	fault_arm(1, 0, true);
	assert_int_equal(
		try_senders("add anna@example.org account=one", &err), BASE_ERROR_TEMPORARY);
	assert_int_equal(try_senders("remove bert@example.org", &err), BASE_ERROR_TEMPORARY);
	x.now += 300;
	(void)queue_core_turn(x.core, x.now);
	fault_arm(0, 0, false);
	x.now += 70 * 1000;
	settle();
	no_more_jobs();
	for (int restarted = 0; restarted < 2; restarted++) {
		submit(2 + 2 * (unsigned)restarted, "anna@example.org", "b@example.net");
		submit(3 + 2 * (unsigned)restarted, "bert@example.org", "b@example.net");
		settle();
		assert_string_equal(next_job()->account, "two");
		assert_true(result(&x.jobs[restarted], "d"));
		settle();
		no_more_jobs();
		reopen();
		relays(1, 10);
	}
	senders("add anna@example.org account=one");
	settle();
	assert_int_equal(x.job_count, 5);
}

static void who_waits_may_be_held_and_released(void **state)
{
	struct base_id id;

	relays(1, 10);
	id = submit(1, "anna@example.org", "b@example.net");
	(void)turns();
	assert_int_equal(admin("hold", &id), 0);
	senders("add anna@example.org account=one");
	(void)turns();
	settle();
	no_more_jobs();
	assert_int_equal(admin("release", &id), 0);
	(void)turns();
	assert_string_equal(next_job()->account, "one");
}

#define SENDERS(f) cmocka_unit_test_setup_teardown(f, setup_senders, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SENDERS(the_line_gives_the_account),
		SENDERS(no_line_waits),
		SENDERS(the_table_is_there_after_a_restart),
		SENDERS(lifetime_ends_for_who_waits),
		SENDERS(notices_go_by_their_own_rule),
		SENDERS(what_is_ready_follows_the_table),
		SENDERS(waiting_recipients_part_and_meet),
		SENDERS(the_second_leaves_the_one_who_waits),
		SENDERS(an_account_has_one_relay),
		SENDERS(held_mail_goes_when_its_account_works),
		SENDERS(a_change_that_failed_is_none),
		SENDERS(who_waits_may_be_held_and_released),
	};

	fault_install();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
