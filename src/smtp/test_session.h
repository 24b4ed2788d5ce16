/* smtp/test_session.h: a caller of the server session for tests
 * Plays the client's bytes, cut as the test wants, against a small scripted caller, and keeps what
 * was sent and what happened as text. Each push gets an exact-size copy on the heap, so that a read
 * past the end is seen. In the client's bytes the byte 0x1f means: wait here until all was taken. */
#ifndef SMTP_TEST_SESSION_H
#define SMTP_TEST_SESSION_H

#include "smtp/server.h"

#include <stdlib.h>
#include <string.h>

#define PAUSE "\x1f"

struct test_setup {
	unsigned flags;
	const char *announced; /* before TLS */
	const char *needs_tls;
	const char *announced_tls;
	bool tls_fails;
	uint64_t size_max_bytes;
	uint32_t recipients_max;
};

struct test_session {
	const struct test_setup *setup;
	struct smtp_server server;
	struct base_buf line, out;
	struct base_buf sent; /* all replies */
	struct base_buf log;  /* all events */
	struct base_buf message;
	struct base_secret secret;
	unsigned auth_step;
	unsigned messages;
	bool full_disk; /* sender was full@… */
	bool closed;
	bool quiet; /* no log of events and messages */
};

static inline void test_log(struct test_session *t, const char *word, struct base_slice text)
{
	if (t->quiet)
		return;
	base_buf_append_text(&t->log, t->log.len ? " " : "");
	base_buf_append_text(&t->log, word);
	base_buf_append_slice(&t->log, text);
}

static inline void test_session_init(struct test_session *t, const struct test_setup *setup)
{
	struct smtp_server_options options = {
		.host_name = BASE_SLICE("mx.test"),
		.flags = setup->flags,
		.size_max_bytes = setup->size_max_bytes,
		.recipients_max = setup->recipients_max,
		.auth_failures_max = 3,
	};

	*t = (struct test_session){.setup = setup};
	base_buf_init_secret(&t->line, SMTP_AUTH_LINE_MAX_BYTES + 2);
	base_buf_init(&t->out, 4 * SMTP_OUT_ROOM_BYTES + SMTP_AUTH_LINE_MAX_BYTES);
	base_buf_init(&t->sent, 1u << 26);
	base_buf_init(&t->log, 1u << 26);
	base_buf_init(&t->message, 1u << 26);
	base_secret_init(&t->secret, SMTP_AUTH_RESPONSE_MAX_BYTES);
	smtp_server_init(&t->server, &options);
	smtp_server_set_mechanisms(
		&t->server, base_slice_text(setup->announced), base_slice_text(setup->needs_tls));
	smtp_server_greet(&t->server, &t->out);
}

static inline void test_session_release(struct test_session *t)
{
	base_buf_release(&t->line);
	base_buf_release(&t->out);
	base_buf_release(&t->sent);
	base_buf_release(&t->log);
	base_buf_release(&t->message);
	base_secret_release(&t->secret);
}

static inline void test_flush(struct test_session *t)
{
	base_buf_append_slice(&t->sent, base_buf_slice(&t->out));
	base_buf_clear(&t->out);
}

/* The one good login is PLAIN "\0u\0p", LOGIN "u" "p"; "down" as response: backend is down. All
 * other mechanisms send two challenges and then want "ok". */
static inline void test_auth(struct test_session *t, bool given)
{
	struct base_slice name = smtp_server_auth_mechanism(&t->server, &t->line);
	struct base_slice response = base_secret_slice(&t->secret);
	bool login = base_slice_equal_text(name, "LOGIN");
	enum smtp_auth_outcome outcome = SMTP_AUTH_REJECTED;

	if (base_slice_equal_text(response, "down")) {
		outcome = SMTP_AUTH_UNAVAILABLE;
	} else if (base_slice_equal_text(name, "PLAIN")) {
		if (!given) {
			smtp_server_auth_challenge(&t->server, BASE_SLICE_EMPTY, &t->out);
			return;
		}
		if (base_slice_equal(response, BASE_SLICE("\0u\0p")))
			outcome = SMTP_AUTH_OK;
	} else {
		if (given)
			t->auth_step++;
		if (t->auth_step < 2) {
			struct base_slice prompt = t->auth_step ? BASE_SLICE("Password:")
								: BASE_SLICE("Username:");
			smtp_server_auth_challenge(&t->server, prompt, &t->out);
			return;
		}
		if (base_slice_equal_text(response, login ? "p" : "ok"))
			outcome = SMTP_AUTH_OK;
	}
	smtp_server_auth_done(&t->server, outcome, &t->out);
}

static inline void test_ask_auth(struct test_session *t, const char *word)
{
	bool given = smtp_server_auth_response(&t->server, &t->line, &t->secret);

	test_log(t, word, given ? base_secret_slice(&t->secret) : BASE_SLICE("(none)"));
	test_auth(t, given);
	base_secret_clear(&t->secret);
}

static inline void test_mail(struct test_session *t)
{
	const struct smtp_mail *mail = smtp_server_mail(&t->server);
	struct smtp_reply reply = SMTP_REPLY(250, "2.1.0", "ok");

	test_log(t, "mail:", mail->sender);
	if (mail->auth_given)
		test_log(t, "auth=", mail->auth);
	if (mail->envid.len)
		test_log(t, "envid=", mail->envid);
	t->full_disk = base_slice_starts_with(mail->sender, BASE_SLICE("full@"));
	if (base_slice_starts_with(mail->sender, BASE_SLICE("no@")))
		reply = SMTP_REPLY(550, "5.7.1", "no");
	smtp_server_mail_answer(&t->server, reply, &t->out);
}

static inline void test_rcpt(struct test_session *t)
{
	const struct smtp_rcpt *rcpt = smtp_server_rcpt(&t->server);
	struct smtp_reply reply = SMTP_REPLY(250, "2.1.5", "ok");

	test_log(t, "rcpt:", rcpt->address);
	if (rcpt->orcpt.len)
		test_log(t, "orcpt=", rcpt->orcpt);
	if (base_slice_starts_with(rcpt->address, BASE_SLICE("no@")))
		reply = SMTP_REPLY(550, "5.1.1", "no");
	if (base_slice_starts_with(rcpt->address, BASE_SLICE("end@")))
		reply = SMTP_REPLY(421, "4.3.2", "end");
	smtp_server_rcpt_answer(&t->server, reply, &t->out);
}

static inline void test_body(struct test_session *t)
{
	if (t->full_disk)
		smtp_server_body_refuse(&t->server, SMTP_REPLY(452, "4.3.1", "disk full"));
	else if (!t->quiet)
		base_buf_append_slice(&t->message, smtp_server_body(&t->server));
}

static inline void test_message(struct test_session *t)
{
	struct smtp_reply reply = SMTP_REPLY(250, "2.0.0", "queued");

	t->messages++;
	test_log(t, "message:", base_buf_slice(&t->message));
	if (base_slice_starts_with(base_buf_slice(&t->message), BASE_SLICE("Reject")))
		reply = SMTP_REPLY(554, "5.7.1", "rejected");
	base_buf_clear(&t->message);
	smtp_server_message_answer(&t->server, reply, &t->out);
}

/* True: go on with the rest of the input. */
static inline bool test_event(struct test_session *t, enum smtp_server_event event)
{
	switch (event) {
	case SMTP_SERVER_MORE:
		return false;
	case SMTP_SERVER_FULL:
		test_flush(t);
		break;
	case SMTP_SERVER_HELLO:
		test_log(t, "hello:", smtp_server_helo(&t->server));
		break;
	case SMTP_SERVER_STARTTLS:
		test_log(t, "starttls", BASE_SLICE_EMPTY);
		if (t->setup->tls_fails) {
			smtp_server_tls_unavailable(&t->server, &t->out);
			break;
		}
		smtp_server_tls_done(&t->server);
		smtp_server_set_mechanisms(
			&t->server, base_slice_text(t->setup->announced_tls), BASE_SLICE_EMPTY);
		break;
	case SMTP_SERVER_AUTH:
		t->auth_step = 0;
		test_log(t, "auth:", smtp_server_auth_mechanism(&t->server, &t->line));
		test_ask_auth(t, "initial:");
		break;
	case SMTP_SERVER_AUTH_RESPONSE:
		test_ask_auth(t, "response:");
		break;
	case SMTP_SERVER_AUTH_CANCEL:
		test_log(t, "cancel", BASE_SLICE_EMPTY);
		break;
	case SMTP_SERVER_MAIL:
		test_mail(t);
		break;
	case SMTP_SERVER_RCPT:
		test_rcpt(t);
		break;
	case SMTP_SERVER_DATA:
		test_log(t, "data", BASE_SLICE_EMPTY);
		smtp_server_data_answer(&t->server, SMTP_REPLY(354, "", "go"), &t->out);
		break;
	case SMTP_SERVER_BODY:
		test_body(t);
		break;
	case SMTP_SERVER_BODY_END:
		test_message(t);
		break;
	case SMTP_SERVER_RESET:
		base_buf_clear(&t->message);
		test_log(t, "reset", BASE_SLICE_EMPTY);
		break;
	case SMTP_SERVER_CLOSE:
		test_log(t, "close", BASE_SLICE_EMPTY);
		t->closed = true;
		return false;
	}
	smtp_server_check(&t->server);
	return true;
}

/* Push all of @in, as one segment that arrived at once. */
static inline void test_push(struct test_session *t, struct base_slice in)
{
	uint8_t *copy = malloc(in.len ? in.len : 1);
	size_t at = 0, used;
	bool more = true;

	if (in.len)
		memcpy(copy, in.ptr, in.len);
	while (more && !t->closed) {
		enum smtp_server_event event = smtp_server_push(&t->server,
			base_slice_make(copy + at, in.len - at), &used, &t->line, &t->out);

		at += used;
		more = test_event(t, event);
	}
	test_flush(t);
	free(copy);
}

/* Push @in in pieces of @size bytes (0: cut once, at @cut), stopping at each pause. */
static inline void test_feed(struct test_session *t, struct base_slice in, size_t size, size_t cut)
{
	size_t at = 0;

	while (at < in.len && !t->closed) {
		struct base_slice rest = base_slice_from(in, at);
		size_t pause = base_slice_find(rest, 0x1f);
		size_t len = pause;

		if (size && len > size)
			len = size;
		if (!size && at < cut && at + len > cut)
			len = cut - at;
		test_push(t, base_slice_first(rest, len));
		at += len;
		if (len == pause && at < in.len)
			at++;
	}
}

#endif
