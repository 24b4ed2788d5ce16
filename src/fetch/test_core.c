#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fetch/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AUTH 7u

/* A core, and what it wanted done: letters in order, "A1" asked for IPv4 addresses of request 1, "a" for
 * IPv6, "S" start, "X" stop, "!" answer, "D" drop; answered and dropped ones are forgotten. */
struct bench {
	struct fetch_core *core;
	struct base_buf seen, reply;
	struct fetch_request *running[512]; /* by number */
	int class;                          /* of the last answer */
	char error[BASE_ERROR_TEXT_MAX_BYTES];
	uint16_t status;
	uint32_t id, retry_after_s;
	char body[64];
	size_t answers;
};

static void read_reply(struct bench *b)
{
	struct ipc_reader in;
	struct base_slice body, error;

	assert_null(ipc_frame_check(IPC_FETCH, IPC_AUTH, base_buf_slice(&b->reply), 0));
	in = ipc_reader_make(base_slice_from(base_buf_slice(&b->reply), sizeof(struct ipc_header)));
	b->class = -(int)ipc_get_u8(&in);
	b->status = ipc_get_u16(&in);
	body = ipc_get_bytes(&in);
	error = ipc_get_bytes(&in);
	b->retry_after_s = ipc_get_u32(&in);
	assert_true(ipc_reader_done(&in));
	snprintf(b->error, sizeof(b->error), "%.*s", BASE_SLICE_ARGS(error));
	snprintf(b->body, sizeof(b->body), "%.*s", BASE_SLICE_ARGS(body));
	b->answers++;
}

static void note(struct bench *b, enum fetch_effect_kind kind, struct fetch_request *r)
{
	static const char letters[FETCH_EFFECT_COUNT] = {'X', 'A', 'a', 'S', '!', 'D'};

	(void)base_buf_printf(&b->seen, "%s%c%u", b->seen.len ? " " : "", letters[kind], r->number);
	if (kind == FETCH_START)
		b->running[r->number] = r;
	if (kind == FETCH_ANSWER) {
		fetch_core_reply(r, &b->reply);
		b->id = r->id;
		read_reply(b);
	}
	if (kind == FETCH_ANSWER || kind == FETCH_DROP)
		fetch_core_forget(b->core, r);
}

static const char *seen(struct bench *b)
{
	enum fetch_effect_kind kind;
	struct fetch_request *r;

	base_buf_clear(&b->seen);
	while (fetch_core_effect(b->core, &kind, &r))
		note(b, kind, r);
	fetch_core_check(b->core);
	return base_buf_text(&b->seen);
}

static int set_up(void **state)
{
	struct bench *b = base_alloc_zero(1, sizeof(*b));

	b->core = fetch_core_new(true);
	base_buf_init(&b->seen, 65536);
	base_buf_init_secret(&b->reply, IPC_FRAME_MAX_BYTES);
	*state = b;
	return 0;
}

static int tear_down(void **state)
{
	struct bench *b = *state;

	fetch_core_free(&b->core);
	base_buf_release(&b->seen);
	base_buf_release(&b->reply);
	free(b);
	return 0;
}

static bool want_of(struct bench *b, unsigned asker, const char *url, size_t form,
	uint32_t limit_ms, int64_t now)
{
	static uint8_t zeros[IPC_FRAME_MAX_BYTES];
	struct base_buf body;
	struct ipc_frame frame = {.type = IPC_FETCH_WANT, .id = 40 + asker};
	bool fine;

	base_buf_init(&body, 2 * IPC_FRAME_MAX_BYTES);
	ipc_put_text(&body, url);
	ipc_put_bytes(&body, base_slice_make(zeros, form));
	ipc_put_text(&body, "");
	ipc_put_u32(&body, limit_ms);
	frame.body = base_buf_slice(&body);
	fine = fetch_core_want(b->core, asker, &frame, now);
	base_buf_release(&body);
	return fine;
}

static void want(struct bench *b, const char *url)
{
	assert_true(want_of(b, AUTH, url, 3, 5000, 1000));
}

static const struct base_addr *addr(const char *text)
{
	static struct base_addr a;

	assert_true(base_addr_parse(base_slice_text(text), &a));
	return &a;
}

static void found(struct bench *b, uint32_t number, const char *text, int64_t now)
{
	fetch_core_addresses(b->core, number, FETCH_DNS_FOUND, addr(text), 1, now);
}

static void none(struct bench *b, uint32_t number, enum fetch_dns dns)
{
	fetch_core_addresses(b->core, number, dns, NULL, 0, 1000);
}

static void done(struct bench *b, uint32_t number)
{
	struct fetch_request *r = b->running[number];

	base_buf_append_text(&r->body, "{}");
	fetch_core_done(b->core, r, 200, 9, NULL);
}

static void a_name_is_asked_for_and_connected_to(void **state)
{
	struct bench *b = *state;

	want(b, "https://Host.example/token");
	assert_string_equal(seen(b), "A1 a1");
	found(b, 1, "192.0.2.1", 1001);
	assert_string_equal(seen(b), "");
	found(b, 1, "2001:db8::1", 1002);
	assert_string_equal(seen(b), "S1");
	assert_int_equal(b->running[1]->addr_count, 2);
	assert_string_equal(b->running[1]->at.host, "host.example");
	assert_int_equal(b->running[1]->at.port, 443);
	assert_int_equal(b->running[1]->form.len, 3);
	done(b, 1);
	assert_string_equal(seen(b), "!1");
	assert_int_equal(b->class, 0);
	assert_int_equal(b->status, 200);
	assert_int_equal(b->id, 40 + AUTH);
	assert_int_equal(b->retry_after_s, 9);
	assert_string_equal(b->body, "{}");
	assert_true(fetch_core_is_idle(b->core));
}

static void an_address_is_not_asked_for(void **state)
{
	struct bench *b = *state;

	want(b, "https://[2001:DB8::1]:8443/");
	assert_string_equal(seen(b), "S1");
	assert_int_equal(b->running[1]->at.port, 8443);
	assert_true(base_addr_equal(&b->running[1]->addrs[0], addr("2001:db8::1")));
	assert_int_equal(b->running[1]->addr_count, 1);
}

static void without_a_route_there_is_one_question(void **state)
{
	struct bench *b = *state;

	fetch_core_free(&b->core);
	b->core = fetch_core_new(false);
	want(b, "https://a.example/");
	assert_string_equal(seen(b), "A1");
	found(b, 1, "192.0.2.1", 1001);
	assert_string_equal(seen(b), "S1");
}

static void a_slow_second_answer_is_not_waited_for(void **state)
{
	struct bench *b = *state;

	want(b, "https://a.example/");
	(void)seen(b);
	found(b, 1, "192.0.2.1", 1500);
	assert_int_equal(fetch_core_due_ms(b->core), 1500 + FETCH_SECOND_ANSWER_MS);
	fetch_core_tick(b->core, 1500 + FETCH_SECOND_ANSWER_MS - 1);
	assert_string_equal(seen(b), "");
	fetch_core_tick(b->core, 1500 + FETCH_SECOND_ANSWER_MS);
	assert_string_equal(seen(b), "S1");
	found(b, 1, "2001:db8::1", 3000); /* late: no harm */
	assert_string_equal(seen(b), "");
	assert_int_equal(b->running[1]->addr_count, 1);
}

static void names_that_cannot_be_found(void **state)
{
	static const struct row {
		enum fetch_dns first, second;
		const char *error;
	} rows[] = {
		{FETCH_DNS_NONE, FETCH_DNS_NONE,
			"\"a.example\" cannot be found: there is no such name in the DNS"},
		{FETCH_DNS_FAILED, FETCH_DNS_NONE,
			"\"a.example\" cannot be found: the DNS does not answer"},
		{FETCH_DNS_NONE, FETCH_DNS_FAILED,
			"\"a.example\" cannot be found: the DNS does not answer"},
	};
	struct bench *b = *state;
	uint32_t number = 0;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		want(b, "https://a.example/");
		(void)seen(b);
		number++;
		none(b, number, rows[i].first);
		none(b, number, rows[i].second);
		(void)seen(b);
		assert_int_equal(b->answers, i + 1);
		assert_int_equal(b->class, BASE_ERROR_TEMPORARY);
		assert_string_equal(b->error, rows[i].error);
	}
	want(b, "https://a.example/");
	(void)seen(b);
	none(b, 4, FETCH_DNS_FAILED);
	found(b, 4, "2001:db8::1", 1000);
	assert_string_equal(seen(b), "S4");
}

static void time_ends_every_phase(void **state)
{
	struct bench *b = *state;

	/* looked up */
	want(b, "https://a.example/");
	(void)seen(b);
	assert_int_equal(fetch_core_due_ms(b->core), 6000);
	fetch_core_tick(b->core, 5999);
	assert_string_equal(seen(b), "");
	fetch_core_tick(b->core, 6000);
	assert_string_equal(seen(b), "!1");
	assert_string_equal(b->error, "\"a.example\" cannot be found: the DNS does not answer");
	/* begun: it is broken off first, and what had come of it is not told */
	want(b, "https://192.0.2.1/");
	(void)seen(b);
	base_buf_append_text(&b->running[2]->body, "half");
	fetch_core_tick(b->core, 6000);
	assert_string_equal(seen(b), "X2 !2");
	assert_int_equal(b->class, BASE_ERROR_TEMPORARY);
	assert_string_equal(b->error, "\"192.0.2.1\" did not answer within 5.0 s");
	assert_string_equal(b->body, "");
	/* to be begun, and never was */
	want(b, "https://192.0.2.1/");
	fetch_core_tick(b->core, 6000);
	assert_string_equal(seen(b), "!3");
	assert_int_equal(fetch_core_due_ms(b->core), -1);
}

static void limits_of_time(void **state)
{
	struct bench *b = *state;

	assert_true(want_of(b, AUTH, "https://a.example/", 0, 0, 0));
	assert_int_equal(fetch_core_due_ms(b->core), FETCH_TIME_DEFAULT_MS);
	fetch_core_all_gone(b->core);
	(void)seen(b);
	assert_true(want_of(b, AUTH, "https://a.example/", 0, UINT32_MAX, 0));
	assert_int_equal(fetch_core_due_ms(b->core), FETCH_TIME_MAX_MS);
}

static void places_are_given_in_order(void **state)
{
	struct bench *b = *state;

	for (unsigned i = 0; i < FETCH_RUNNING_MAX + FETCH_WAITING_MAX; i++)
		want(b, "https://192.0.2.1/");
	(void)seen(b);
	assert_int_equal(b->answers, 0);
	assert_non_null(b->running[FETCH_RUNNING_MAX]);
	assert_null(b->running[FETCH_RUNNING_MAX + 1]);
	want(b, "https://192.0.2.1/");
	assert_string_equal(seen(b), "!257");
	assert_int_equal(b->class, BASE_ERROR_TEMPORARY);
	assert_string_equal(b->error, "too many HTTPS requests at once");
	done(b, 10);
	assert_string_equal(seen(b), "!10 S65");
	want(b, "https://192.0.2.1/"); /* there is room for one to wait */
	assert_string_equal(seen(b), "");
	fetch_core_tick(b->core, 6000);
	(void)seen(b);
	assert_true(fetch_core_is_idle(b->core));
	assert_int_equal(b->answers, FETCH_RUNNING_MAX + FETCH_WAITING_MAX + 2);
}

static void bytes_have_a_limit(void **state)
{
	enum { EACH = 100000 };
	struct bench *b = *state;
	size_t fit = FETCH_BYTES_MAX / EACH;

	for (size_t i = 0; i < fit; i++)
		assert_true(want_of(b, AUTH, "https://192.0.2.1/", EACH, 0, 0));
	(void)seen(b);
	assert_int_equal(b->answers, 0);
	assert_true(want_of(b, AUTH, "https://192.0.2.1/", EACH, 0, 0));
	(void)seen(b);
	assert_int_equal(b->answers, 1);
	assert_int_equal(b->class, BASE_ERROR_TEMPORARY);
	done(b, 1);
	(void)seen(b);
	assert_true(want_of(b, AUTH, "https://192.0.2.1/", EACH, 0, 0));
	(void)seen(b);
	assert_int_equal(b->answers, 2); /* of 1, not of the new one */
}

static void an_asker_that_is_gone_gets_nothing(void **state)
{
	struct bench *b = *state;

	want(b, "https://192.0.2.1/");
	want(b, "https://a.example/");
	want(b, "http://a.example/");
	assert_true(want_of(b, AUTH + 1, "https://192.0.2.1/", 0, 0, 0));
	fetch_core_asker_gone(b->core, AUTH + 2);
	assert_string_equal(seen(b), "S1 A2 a2 !3 S4");
	want(b, "https://192.0.2.1/");
	fetch_core_asker_gone(b->core, AUTH);
	assert_string_equal(seen(b), "X1 D1 D2 D5");
	found(b, 2, "192.0.2.1", 1000);
	assert_string_equal(seen(b), "");
	done(b, 4);
	assert_string_equal(seen(b), "!4");
}

static void gone_while_it_is_answered(void **state)
{
	struct bench *b = *state;

	want(b, "https://192.0.2.1/");
	(void)seen(b);
	fetch_core_tick(b->core, 6000);
	fetch_core_asker_gone(b->core, AUTH);
	assert_string_equal(seen(b), "X1 D1");
	assert_int_equal(b->answers, 0);
}

static void failures_of_the_shell(void **state)
{
	struct base_error err = {.class = BASE_ERROR_CONFIG, .text = "why"};
	struct bench *b = *state;

	want(b, "https://192.0.2.1/");
	(void)seen(b);
	base_buf_append_text(&b->running[1]->body, "half");
	fetch_core_done(b->core, b->running[1], 200, 5, &err);
	assert_string_equal(seen(b), "!1");
	assert_int_equal(b->class, BASE_ERROR_CONFIG);
	assert_string_equal(b->error, "why");
	assert_string_equal(b->body, "");
	assert_int_equal(b->status, 0);
	assert_int_equal(b->retry_after_s, 0);
}

static void a_wrong_address_is_refused(void **state)
{
	struct bench *b = *state;

	want(b, "http://a.example/\n?secret=x");
	assert_string_equal(seen(b), "!1");
	assert_int_equal(b->class, BASE_ERROR_CONFIG);
	assert_string_equal(b->error,
		"address \"http://a.example/\\x0a\" holds a character that must be written as %XX");
}

static void none_are_taken_at_the_end(void **state)
{
	struct bench *b = *state;

	want(b, "https://192.0.2.1/");
	(void)seen(b);
	fetch_core_drain(b->core);
	assert_false(fetch_core_is_idle(b->core));
	want(b, "https://192.0.2.1/");
	assert_string_equal(seen(b), "!2");
	assert_int_equal(b->class, BASE_ERROR_TEMPORARY);
	assert_string_equal(b->error, "the server ends");
	done(b, 1);
	(void)seen(b);
	assert_true(fetch_core_is_idle(b->core));
}

static void broken_frames_leave_nothing(void **state)
{
	struct bench *b = *state;
	struct base_buf body;
	struct ipc_frame frame = {.type = IPC_FETCH_WANT, .id = 1};

	base_buf_init(&body, 4096);
	ipc_put_text(&body, "https://192.0.2.1/");
	ipc_put_text(&body, "form");
	ipc_put_text(&body, "");
	ipc_put_u32(&body, 0);
	ipc_put_u8(&body, 0); /* one byte more */
	for (size_t len = 0; len <= body.len; len++) {
		frame.body = base_slice_first(base_buf_slice(&body), len);
		assert_int_equal(fetch_core_want(b->core, AUTH, &frame, 0), len == body.len - 1);
		fetch_core_all_gone(b->core);
		(void)seen(b);
		assert_true(fetch_core_is_idle(b->core));
	}
	base_buf_release(&body);
}

static void the_end_frees_what_is_there(void **state)
{
	struct bench *b = *state;

	want(b, "https://192.0.2.1/");
	want(b, "https://a.example/");
	want(b, "ftp://a.example/");
	/* tear_down() frees; the sanitizer build looks */
	assert_false(fetch_core_is_idle(b->core));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_name_is_asked_for_and_connected_to),
		TEST(an_address_is_not_asked_for),
		TEST(without_a_route_there_is_one_question),
		TEST(a_slow_second_answer_is_not_waited_for),
		TEST(names_that_cannot_be_found),
		TEST(time_ends_every_phase),
		TEST(limits_of_time),
		TEST(places_are_given_in_order),
		TEST(bytes_have_a_limit),
		TEST(an_asker_that_is_gone_gets_nothing),
		TEST(gone_while_it_is_answered),
		TEST(failures_of_the_shell),
		TEST(a_wrong_address_is_refused),
		TEST(none_are_taken_at_the_end),
		TEST(broken_frames_leave_nothing),
		TEST(the_end_frees_what_is_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
