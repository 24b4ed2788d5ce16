/* The session core with a scripted client, auth and queue: what goes out, and which effects. */
#include "base/test_support.h"

#include "front/core.h"

struct play {
	struct front_session s;
	struct front_work w;
	struct front_listener listener;
	struct front_now now;
};

static const struct front_mechanisms offered = {.known = true};

static void start(struct play *p, enum conf_tls_mode tls, enum conf_auth_mode auth)
{
	struct base_addr client;
	struct front_mechanisms m = offered;
	const uint8_t random[5] = {1, 2, 3, 4, 5};

	memset(p, 0, sizeof(*p));
	m.mask = conf_mechanism_parse(BASE_SLICE("PLAIN")) |
		conf_mechanism_parse(BASE_SLICE("LOGIN")) |
		conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256")) |
		conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256-PLUS"));
	m.plaintext = conf_mechanism_parse(BASE_SLICE("PLAIN")) |
		conf_mechanism_parse(BASE_SLICE("LOGIN"));
	m.binding = conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256-PLUS"));
	p->listener.references = 1;
	p->listener.title = (char *)"test";
	p->listener.auth = auth;
	p->listener.tls = tls;
	p->listener.mechanisms = m.mask;
	p->listener.trace_client = true;
	p->listener.options = (struct smtp_server_options){
		.host_name = BASE_SLICE("mail.example.org"),
		.flags = (tls == CONF_TLS_STARTTLS ? SMTP_SERVER_TLS_OFFER : 0) |
			(auth == CONF_AUTH_REQUIRED ? SMTP_SERVER_AUTH_REQUIRED : 0),
		.size_max_bytes = 10 * 1024 * 1024,
		.recipients_max = 3,
		.auth_failures_max = 3,
	};
	front_listener_announce(&p->listener, &m);
	p->now.wall_ms = 1795531961000;
	p->now.pseudonym_key = BASE_SLICE("0123456789abcdef0123456789abcdef");
	assert_true(base_addr_parse(BASE_SLICE("192.0.2.7"), &client));
	front_work_init(&p->w);
	if (tls == CONF_TLS_IMPLICIT)
		front_session_tls(
			&p->s, "TLSv1.3", "TLS_AES_256_GCM_SHA384", FRONT_BINDING_EXPORTER);
	front_session_begin(&p->s, &p->w, &p->listener, &client, base_id_make(1, random), NULL);
}

static void end(struct play *p)
{
	front_session_release(&p->s);
	front_work_release(&p->w);
}

/* Give bytes; what the core leaves is returned. */
static struct base_slice say(struct play *p, const char *text)
{
	size_t used;

	base_buf_clear(&p->w.out);
	p->w.effects = 0;
	front_session_input(&p->s, &p->w, base_slice_text(text), &used, &p->now);
	return base_slice_from(base_slice_text(text), used);
}

static void assert_reply(struct play *p, const char *start)
{
	assert_true(p->w.out.len >= strlen(start));
	assert_memory_equal(p->w.out.ptr, start, strlen(start));
}

static void log_in(struct play *p)
{
	say(p, "EHLO c.example.org\r\n");
	say(p, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
	assert_int_equal(p->s.wait, FRONT_WAIT_AUTH);
	assert_true(p->w.effects & FRONT_AUTH_BEGIN);
	assert_string_equal(p->w.mechanism, "PLAIN");
	assert_true(p->w.has_initial);
	assert_int_equal(p->w.secret.len, 21);
	base_buf_clear(&p->w.out);
	front_session_auth_done(&p->s, &p->w, FRONT_AUTH_OK, BASE_SLICE("tim@example.org"));
	assert_reply(p, "235 2.7.0");
	assert_int_equal(p->w.secret.len, 0);
	assert_string_equal(p->s.user, "tim@example.org");
}

static void message_from_login_to_queue(void **state)
{
	struct play p;
	struct base_buf envelope;
	struct envelope e;
	struct ipc_reader rest;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	assert_reply(&p, "220 mail.example.org");
	log_in(&p);
	say(&p,
		"MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.net>\r\nRCPT "
		"TO:<b@example.net>\r\nDATA\r\n");
	assert_true(p.w.in_transaction);
	assert_int_equal(p.w.rcpt_count, 2);
	say(&p, "Subject: x\r\n\r\nhello\r\n.\r\n");
	assert_int_equal(p.s.wait, FRONT_WAIT_QUEUE);
	assert_true(p.w.effects & FRONT_SUBMIT);
	assert_int_equal(p.w.out.len, 0); /* no word before queue has spoken */
	assert_int_equal(p.w.message_size, p.w.message.len);
	base_buf_init(&envelope, 10000);
	front_session_envelope(&p.s, &p.w, 5, &envelope);
	base_buf_append_slice(&envelope, base_buf_slice(&p.w.rcpts));
	assert_true(envelope_get(base_buf_slice(&envelope), &e, &rest));
	assert_slice_equal(e.sender, "tim@example.org");
	assert_slice_equal(e.user, "tim@example.org");
	assert_slice_equal(e.client, "192.0.2.7");
	assert_int_equal(e.rcpt_count, 2);
	base_buf_release(&envelope);
	front_session_submitted(&p.s, &p.w, 0);
	assert_reply(&p, "250 2.0.0 queued as ");
	assert_false(p.w.in_transaction);
	assert_false(p.w.effects & FRONT_SUBMIT_ABORT);
	end(&p);
}

static void every_class_of_failure_has_its_code(void **state)
{
	static const struct {
		int class;
		const char *reply;
	} rows[] = {{BASE_ERROR_TEMPORARY, "451 4.3.0"}, {BASE_ERROR_NO_SPACE, "452 4.3.1"}};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct play p;

		start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
		log_in(&p);
		say(&p,
			"MAIL FROM:<tim@example.org>\r\nRCPT "
			"TO:<a@example.net>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n");
		base_buf_clear(&p.w.out);
		front_session_submitted(&p.s, &p.w, (unsigned)-rows[i].class);
		assert_reply(&p, rows[i].reply);
		say(&p, "RCPT TO:<a@example.net>\r\n"); /* nothing of the transaction is left */
		assert_reply(&p, "503");
		end(&p);
	}
}

static void a_long_message_waits_for_a_file(void **state)
{
	struct play p;
	char line[1002];
	int count = 0;

	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	log_in(&p);
	say(&p,
		"MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\nSubject: "
		"x\r\n\r\n");
	while (p.s.wait == FRONT_WAIT_NONE && count < 100) {
		say(&p, line);
		count++;
	}
	assert_int_equal(p.s.wait, FRONT_WAIT_FILE);
	assert_true(p.w.effects & FRONT_WANT_FILE);
	assert_in_range(count, 60, 67);
	p.w.effects = 0;
	front_session_file(&p.s, &p.w, 0);
	assert_true(p.w.effects & FRONT_FILE_WRITE);
	base_buf_clear(&p.w.message);
	say(&p, ".\r\n");
	assert_true(p.w.effects & FRONT_SUBMIT);
	assert_in_range(p.w.message_size, count * 1000, count * 1000 + 1000);
	front_session_submitted(&p.s, &p.w, 0);
	assert_false(p.w.file);
	end(&p);
}

static void no_file_means_452_after_the_whole_body(void **state)
{
	struct play p;
	char line[1002];

	memset(line, 'x', 998);
	memcpy(line + 998, "\r\n", 3);
	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	log_in(&p);
	say(&p,
		"MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\nSubject: "
		"x\r\n\r\n");
	for (int i = 0; i < 100 && p.s.wait == FRONT_WAIT_NONE; i++)
		say(&p, line);
	front_session_file(&p.s, &p.w, (unsigned)-BASE_ERROR_NO_SPACE);
	say(&p, line);
	assert_int_equal(p.w.out.len, 0);
	assert_int_equal(p.w.message.len, 0);
	say(&p, ".\r\n");
	assert_reply(&p, "452 4.3.1");
	assert_false(p.w.in_transaction);
	end(&p);
}

static void relaying_needs_a_login(void **state)
{
	static char *accepted[] = {(char *)"example.org"};
	struct play p;

	start(&p, CONF_TLS_STARTTLS, CONF_AUTH_OPTIONAL);
	p.listener.accept = (struct conf_strings){.items = accepted, .count = 1};
	say(&p, "EHLO c.example.net\r\nMAIL FROM:<x@example.net>\r\n");
	say(&p, "RCPT TO:<a@example.com>\r\n");
	assert_reply(&p, "550 5.7.1");
	say(&p, "RCPT TO:<a@EXAMPLE.org>\r\n");
	assert_reply(&p, "250 2.1.5");
	say(&p, "RCPT TO:<\"a@example.com\"@example.org.evil.test>\r\n");
	assert_reply(&p, "550 5.7.1");
	/* A dot in front: all names below, not the name itself. */
	accepted[0] = (char *)".example.org";
	say(&p, "RCPT TO:<a@x.example.ORG>\r\n");
	assert_reply(&p, "250 2.1.5");
	say(&p, "RCPT TO:<a@example.org>\r\n");
	assert_reply(&p, "550 5.7.1");
	say(&p, "RCPT TO:<a@xexample.org>\r\n");
	assert_reply(&p, "550 5.7.1");
	end(&p);
}

/* A session whose client's address is known for something. */
static void start_with(struct play *p, enum conf_auth_mode auth, struct front_admission admission)
{
	struct base_addr client;
	struct base_id id;

	start(p, CONF_TLS_STARTTLS, auth);
	client = p->s.client;
	id = p->s.id;
	p->s.admission = admission;
	front_session_begin(&p->s, &p->w, &p->listener, &client, id, NULL);
}

static void an_address_may_stand_for_a_login(void **state)
{
	struct play p;
	struct base_buf envelope;
	struct envelope e;
	struct ipc_reader rest;

	start_with(&p, CONF_AUTH_REQUIRED, (struct front_admission){.may_relay = true});
	say(&p, "EHLO c.example.org\r\nMAIL FROM:<x@example.net>\r\n");
	say(&p, "RCPT TO:<a@example.com>\r\nDATA\r\n");
	assert_reply(&p, "250 2.1.5");
	say(&p, "Subject: x\r\n\r\nhello\r\n.\r\n");
	assert_true(p.w.effects & FRONT_SUBMIT);
	assert_null(strstr(base_buf_text(&p.w.message), "ESMTPA"));
	assert_non_null(strstr(base_buf_text(&p.w.message), "with ESMTP"));
	assert_non_null(strstr(base_buf_text(&p.w.message), "\r\nDate: "));
	base_buf_init(&envelope, 10000);
	front_session_envelope(&p.s, &p.w, 5, &envelope);
	base_buf_append_slice(&envelope, base_buf_slice(&p.w.rcpts));
	assert_true(envelope_get(base_buf_slice(&envelope), &e, &rest));
	assert_int_equal(e.user.len, 0);
	assert_true(e.flags & ENVELOPE_STRANGER); /* the sender is only said to be who it is */
	base_buf_release(&envelope);
	end(&p);
}

static char *accepted_domain[] = {(char *)"example.org"};

static void start_stranger(struct play *p, unsigned zones)
{
	start_with(p, CONF_AUTH_OPTIONAL, (struct front_admission){.dnsbl_open = (uint8_t)zones});
	p->listener.accept = (struct conf_strings){.items = accepted_domain, .count = 1};
	say(p, "EHLO c.example.net\r\nMAIL FROM:<x@example.net>\r\n");
}

static void a_recipient_waits_for_the_zones(void **state)
{
	struct base_slice left;
	struct play p;

	start_stranger(&p, 2);
	assert_true(p.w.in_transaction); /* MAIL did not wait */
	left = say(&p, "RCPT TO:<a@example.com>\r\nRCPT TO:<a@example.org>\r\nNOOP\r\n");
	assert_reply(&p, "550 5.7.1"); /* refused anyway */
	assert_int_equal(p.s.wait, FRONT_WAIT_DNSBL);
	assert_slice_equal(left, "NOOP\r\n");
	base_buf_clear(&p.w.out);
	front_session_dnsbl(&p.s, &p.w, NULL);
	assert_int_equal(p.s.wait, FRONT_WAIT_DNSBL);
	front_session_dnsbl(&p.s, &p.w, NULL);
	assert_int_equal(p.s.wait, FRONT_WAIT_NONE);
	assert_reply(&p, "250 2.1.5");
	assert_true(p.w.effects & FRONT_WRITE);
	end(&p);
	/* The first that lists is enough; answers that come late change nothing. */
	start_stranger(&p, 2);
	say(&p, "RCPT TO:<a@example.org>\r\n");
	base_buf_clear(&p.w.out);
	front_session_dnsbl(&p.s, &p.w, "blocked by zone, see why");
	assert_reply(&p, "554 5.7.1 blocked by zone, see why\r\n");
	front_session_dnsbl(&p.s, &p.w, "blocked by another");
	front_session_dnsbl(&p.s, &p.w, NULL);
	say(&p, "RCPT TO:<b@example.org>\r\n");
	assert_reply(&p, "554 5.7.1 blocked by zone");
	say(&p, "RCPT TO:<postmaster@example.org>\r\n");
	assert_reply(&p, "250 2.1.5");
	end(&p);
	/* Time is up while it waits: as if no zone listed it. */
	start_stranger(&p, 1);
	say(&p, "RCPT TO:<a@example.org>\r\n");
	base_buf_clear(&p.w.out);
	front_session_timeout(&p.s, &p.w);
	assert_reply(&p, "250 2.1.5");
	assert_false(p.s.closing);
	front_session_dnsbl(&p.s, &p.w, NULL);
	end(&p);
	/* The client left. */
	start_stranger(&p, 1);
	say(&p, "RCPT TO:<a@example.org>\r\n");
	front_session_lost(&p.s, &p.w, "disconnect");
	assert_false(p.w.in_transaction);
	end(&p);
}

static void a_login_is_not_judged_by_its_address(void **state)
{
	struct play p;

	start_with(&p, CONF_AUTH_OPTIONAL, (struct front_admission){.dnsbl_open = 1});
	p.listener.accept = (struct conf_strings){.items = accepted_domain, .count = 1};
	p.listener.plaintext_without_tls = true;
	front_listener_announce(&p.listener, &(struct front_mechanisms){0});
	front_session_dnsbl(&p.s, NULL, "blocked");
	log_in(&p);
	say(&p, "MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.org>\r\n");
	assert_non_null(strstr(base_buf_text(&p.w.out), "250 2.1.5"));
	end(&p);
}

static void auth_that_is_down_is_454_and_no_failure(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	say(&p, "EHLO c.example.org\r\n");
	for (int i = 0; i < 10; i++) {
		say(&p, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
		base_buf_clear(&p.w.out);
		front_session_auth_done(&p.s, &p.w, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		assert_reply(&p, "454 4.7.0");
	}
	assert_false(p.s.closing);
	for (int i = 0; i < 3; i++) {
		say(&p, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
		base_buf_clear(&p.w.out);
		front_session_auth_done(&p.s, &p.w, FRONT_AUTH_REJECTED, BASE_SLICE_EMPTY);
		assert_reply(&p, "535 5.7.8");
	}
	assert_true(p.s.closing);
	assert_non_null(strstr(base_buf_text(&p.w.out), "421 4.7.0"));
	end(&p);
}

static void an_unfinished_login_is_told(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	say(&p, "EHLO c.example.org\r\n");
	say(&p, "AUTH PLAIN\r\n");
	front_session_auth_challenge(&p.s, &p.w, BASE_SLICE_EMPTY);
	say(&p, "*\r\n");
	assert_string_equal(p.s.login_end, "the client gave up the login with \"*\"");
	assert_string_equal(p.s.mechanism, "PLAIN");
	say(&p, "AUTH PLAIN\r\n");
	assert_null(p.s.login_end);
	front_session_auth_challenge(&p.s, &p.w, BASE_SLICE_EMPTY);
	say(&p, "?\r\n");
	assert_string_equal(p.s.login_end, "the client's response cannot be used");
	say(&p, "AUTH PLAIN\r\n");
	front_session_auth_challenge(&p.s, &p.w, BASE_SLICE_EMPTY);
	front_session_lost(&p.s, &p.w, "disconnect");
	assert_string_equal(p.s.login_end, "the client left in the middle of the login");
	end(&p);
}

static void a_user_name_that_no_line_can_hold_is_nobody(void **state)
{
	static const uint8_t longest[513] = {'x', 'y'};
	const struct base_slice names[] = {BASE_SLICE("tim\0evil"), BASE_SLICE("tim\nevil"),
		BASE_SLICE("tim\x7f"), BASE_SLICE(""), base_slice_make(longest, sizeof(longest))};
	struct play p;

	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
		say(&p, "EHLO c.example.org\r\n");
		say(&p, "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
		base_buf_clear(&p.w.out);
		front_session_auth_done(&p.s, &p.w, FRONT_AUTH_OK, names[i]);
		assert_reply(&p, "454");
		assert_null(p.s.user);
		end(&p);
	}
}

static void starttls_forgets_the_login(void **state)
{
	struct play p;
	struct base_slice left;

	start(&p, CONF_TLS_STARTTLS, CONF_AUTH_REQUIRED);
	p.listener.plaintext_without_tls = true;
	front_listener_announce(&p.listener, &(struct front_mechanisms){0});
	log_in(&p);
	left = say(&p, "STARTTLS\r\nMAIL FROM:<tim@example.org>\r\n");
	assert_int_equal(p.s.wait, FRONT_WAIT_TLS);
	assert_true(p.w.effects & FRONT_START_TLS);
	assert_reply(&p, "220");
	assert_int_equal(left.len, 0); /* dropped with the 220, not kept for later */
	front_session_tls(&p.s, "TLSv1.3", "x", FRONT_BINDING_EXPORTER);
	assert_null(p.s.user);
	say(&p, "MAIL FROM:<tim@example.org>\r\n");
	assert_true(p.w.out.ptr[0] == '5');
	end(&p);
}

static void time_is_up(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	base_buf_clear(&p.w.out);
	front_session_timeout(&p.s, &p.w);
	assert_reply(&p, "421 4.4.2");
	assert_true(p.w.effects & FRONT_CLOSE);
	end(&p);
	/* The request is open at auth until CANCEL has named it. */
	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	say(&p, "EHLO c.example.org\r\nAUTH PLAIN AGEAYg==\r\n");
	p.s.auth_id = 7;
	base_buf_clear(&p.w.out);
	front_session_timeout(&p.s, &p.w);
	assert_reply(&p, "454 4.7.0");
	assert_int_equal(p.s.auth_id, 7);
	assert_true(p.w.effects & FRONT_AUTH_CANCEL);
	end(&p);
	/* A message that may be stored gets no 4xx. */
	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	log_in(&p);
	say(&p,
		"MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\nSubject: "
		"x\r\n\r\nx\r\n.\r\n");
	base_buf_clear(&p.w.out);
	front_session_timeout(&p.s, &p.w);
	assert_int_equal(p.w.out.len, 0);
	assert_true(p.w.effects & FRONT_CLOSE);
	end(&p);
}

static void drain_lets_a_message_end(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	log_in(&p);
	say(&p, "MAIL FROM:<tim@example.org>\r\nRCPT TO:<a@example.net>\r\nDATA\r\n");
	base_buf_clear(&p.w.out);
	front_session_drain(&p.s, &p.w);
	assert_int_equal(p.w.out.len, 0);
	say(&p, "Subject: x\r\n\r\nx\r\n.\r\n");
	front_session_submitted(&p.s, &p.w, 0);
	assert_non_null(strstr(base_buf_text(&p.w.out), "250 2.0.0"));
	assert_non_null(strstr(base_buf_text(&p.w.out), "421 4.3.2"));
	end(&p);
}

static void idle_only_when_nothing_is_held(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	log_in(&p);
	say(&p, "NOOP\r\n");
	base_buf_clear(&p.w.out);
	p.w.effects = 0;
	assert_true(front_session_is_idle(&p.s, &p.w));
	say(&p, "NO");
	assert_false(front_session_is_idle(&p.s, &p.w));
	say(&p, "OP\r\nMAIL FROM:<tim@example.org>\r\n");
	base_buf_clear(&p.w.out);
	p.w.effects = 0;
	assert_false(front_session_is_idle(&p.s, &p.w));
	end(&p);
}

static void the_dialogue_hides_responses(void **state)
{
	struct play p;

	start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
	p.listener.dialogue = true;
	log_in(&p);
	assert_null(strstr(base_buf_text(&p.w.dialogue), "AHRpbQ"));
	assert_non_null(strstr(base_buf_text(&p.w.dialogue),
		"C: AUTH PLAIN (initial response, 28 characters, not shown)"));
	assert_non_null(strstr(base_buf_text(&p.w.dialogue), "S: 235 2.7.0"));
	end(&p);
}

/* Cut at every byte: no part of a line may pass for something else than it is. */
static void the_dialogue_hides_them_in_pieces(void **state)
{
	static const char login[] = "AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n";
	char head[sizeof(login)];
	struct play p;

	for (size_t at = 1; at < sizeof(login) - 1; at++) {
		start(&p, CONF_TLS_IMPLICIT, CONF_AUTH_REQUIRED);
		p.listener.dialogue = true;
		say(&p, "EHLO c.example.org\r\n");
		snprintf(head, sizeof(head), "%.*s", (int)at, login);
		say(&p, head);
		say(&p, login + at);
		assert_int_equal(p.s.wait, FRONT_WAIT_AUTH);
		assert_non_null(strstr(base_buf_text(&p.w.dialogue),
			"C: AUTH PLAIN (initial response, 28 characters, not shown)\n"));
		assert_null(strstr(strstr(base_buf_text(&p.w.dialogue), "C: AUTH") + 1, "C: "));
		front_session_auth_challenge(&p.s, &p.w, BASE_SLICE("x"));
		base_buf_clear(&p.w.dialogue);
		say(&p, "dGFu");
		say(&p, "c3RhYWY=\r\n");
		assert_non_null(strstr(
			base_buf_text(&p.w.dialogue), "C: (response, 12 characters, not shown)\n"));
		assert_null(strstr(base_buf_text(&p.w.dialogue), "c3RhYWY"));
		end(&p);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(message_from_login_to_queue),
		cmocka_unit_test(every_class_of_failure_has_its_code),
		cmocka_unit_test(a_long_message_waits_for_a_file),
		cmocka_unit_test(no_file_means_452_after_the_whole_body),
		cmocka_unit_test(relaying_needs_a_login),
		cmocka_unit_test(an_address_may_stand_for_a_login),
		cmocka_unit_test(a_recipient_waits_for_the_zones),
		cmocka_unit_test(a_login_is_not_judged_by_its_address),
		cmocka_unit_test(auth_that_is_down_is_454_and_no_failure),
		cmocka_unit_test(an_unfinished_login_is_told),
		cmocka_unit_test(a_user_name_that_no_line_can_hold_is_nobody),
		cmocka_unit_test(starttls_forgets_the_login),
		cmocka_unit_test(time_is_up),
		cmocka_unit_test(drain_lets_a_message_end),
		cmocka_unit_test(idle_only_when_nothing_is_held),
		cmocka_unit_test(the_dialogue_hides_responses),
		cmocka_unit_test(the_dialogue_hides_them_in_pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
