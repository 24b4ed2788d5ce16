#include "queue/test_support.h"

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
