#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/client.h"

#include <string.h>

/* Logins whose lengths, exchanges or words do not fit the scripts of test_client.c. */

enum { OUT_MAX = 1 << 20 };

/* An initial response that does not fit a command line waits for an empty challenge. */
static void test_long_initial_response(void **state)
{
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.allow_plaintext_without_tls = true};
	struct smtp_client *c = smtp_client_new(&options);
	static char password[500];
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf out;
	size_t used;

	memset(password, 'x', sizeof(password));
	base_buf_init_secret(&out, OUT_MAX);
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("220 hi\r\n"), &used, &out), SMTP_CLIENT_MORE);
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("250-srv\r\n250 AUTH PLAIN\r\n"), &used, &out),
		SMTP_CLIENT_CREDENTIALS);
	base_buf_clear(&out);
	smtp_client_credentials(c, BASE_SLICE("tim"), base_slice_make(password, sizeof(password)),
		base_slice_make(random, sizeof(random)), &out);
	assert_string_equal(base_buf_text(&out), "AUTH PLAIN\r\n");
	base_buf_clear(&out);
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("334 \r\n"), &used, &out), SMTP_CLIENT_MORE);
	assert_true(out.len > 600);
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("235 ok\r\n"), &used, &out), SMTP_CLIENT_READY);
	smtp_client_free(&c);
	base_buf_release(&out);
}

struct repeated {
	const char *mechanism;
	enum sasl_credential credential;
	const char *challenges, *reply; /* of the server; what it says last */
};

static void never_the_secret(void *arg, bool sent, struct base_slice line)
{
	static const char *const forms[] = {"s3cret-word", "czNjcmV0LXdvcmQ=", "czNjcmV0LXdvcm"};

	for (size_t i = 0; i < BASE_COUNT(forms); i++)
		assert_null(memmem(line.ptr, line.len, forms[i], strlen(forms[i])));
}

/* The password in clear, or what was said some rounds ago: it comes neither into a report nor into a trace. */
static void test_repeated_secret(void **state)
{
	static const struct repeated rows[] = {
		{"PLAIN", SASL_CREDENTIAL_PASSWORD, "", "535 5.7.8 robot, s3cret-word: no"},
		{"PLAIN", SASL_CREDENTIAL_PASSWORD, "", "454-4.7.0 s3cret-word\r\n454 4.7.0 later"},
		{"PLAIN", SASL_CREDENTIAL_PASSWORD, "", "535 5.7.8 czNjcmV0LXdvcmQ="},
		{"PLAIN", SASL_CREDENTIAL_PASSWORD, "334 !\r\n", "501 5.7.0 s3cret-word"},
		{"LOGIN", SASL_CREDENTIAL_PASSWORD, "334 UGFzc3dvcmQ6\r\n",
			"535 5.7.8 czNjcmV0LXdvcmQ="},
		{"CRAM-MD5", SASL_CREDENTIAL_PASSWORD, "334 PDFAeD4=\r\n", "535 5.7.8 s3cret-word"},
		{"XOAUTH2", SASL_CREDENTIAL_TOKEN, "", "535 5.7.8 s3cret-word"},
		{"XOAUTH2", SASL_CREDENTIAL_TOKEN, "334 e30=\r\n", "535 5.7.8 s3cret-word"},
		{"XOAUTH2", SASL_CREDENTIAL_TOKEN, "334 e30=\r\n",
			"535 5.7.8 dXNlcj1yb2JvdAFhdXRoPUJlYXJlciBzM2NyZXQtd29yZAEB"},
		{"OAUTHBEARER", SASL_CREDENTIAL_TOKEN, "334 e30=\r\n", "535 5.7.8 s3cret-word"},
	};
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf in, out;
	size_t used;

	base_buf_init(&in, OUT_MAX);
	base_buf_init_secret(&out, OUT_MAX);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
			.auth = true,
			.credential = rows[i].credential,
			.allow_plaintext_without_tls = true};
		struct smtp_client *c = smtp_client_new(&options);
		const struct smtp_client_reply *reply;

		smtp_client_set_trace(c, (struct smtp_client_trace){never_the_secret, NULL});
		base_buf_clear(&in);
		base_buf_printf(&in, "220 hi\r\n250-srv\r\n250 AUTH %s\r\n", rows[i].mechanism);
		assert_int_equal(smtp_client_push(c, base_buf_slice(&in), &used, &out),
			SMTP_CLIENT_CREDENTIALS);
		smtp_client_credentials(c, BASE_SLICE("robot"), BASE_SLICE("s3cret-word"),
			base_slice_make(random, sizeof(random)), &out);
		base_buf_clear(&in);
		base_buf_printf(&in, "%s%s\r\n", rows[i].challenges, rows[i].reply);
		assert_int_equal(
			smtp_client_push(c, base_buf_slice(&in), &used, &out), SMTP_CLIENT_FAILED);
		reply = smtp_client_reply(c);
		never_the_secret(NULL, false, base_slice_make(reply->text, reply->text_len));
		base_buf_clear(&out);
		smtp_client_free(&c);
	}
	base_buf_release(&in);
	base_buf_release(&out);
}

/* 8 KiB of token never fit the command's line; all of it crosses in the one line that the server asks for. */
static void test_long_token(void **state)
{
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.credential = SASL_CREDENTIAL_TOKEN,
		.host = BASE_SLICE("smtp.example.com"),
		.port = 587,
		.allow_plaintext_without_tls = true};
	static const size_t lengths[] = {
		1, 300, 1025, 4096, SASL_CLIENT_TOKEN_MAX_BYTES, SASL_CLIENT_TOKEN_MAX_BYTES + 1};
	static char token[SASL_CLIENT_TOKEN_MAX_BYTES + 1];
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf out;
	size_t used;

	memset(token, 'x', sizeof(token));
	for (size_t i = 0; i < BASE_COUNT(lengths); i++) {
		struct smtp_client *c = smtp_client_new(&options);
		struct base_slice text;

		base_buf_init_secret(&out, SMTP_CLIENT_OUT_ROOM_BYTES);
		assert_int_equal(smtp_client_push(c,
					 BASE_SLICE("220 hi\r\n250-srv\r\n"
						    "250 AUTH OAUTHBEARER\r\n"),
					 &used, &out),
			SMTP_CLIENT_CREDENTIALS);
		base_buf_clear(&out);
		smtp_client_credentials(c, BASE_SLICE("user@example.com"),
			base_slice_make(token, lengths[i]), base_slice_make(random, sizeof(random)),
			&out);
		if (lengths[i] > SASL_CLIENT_TOKEN_MAX_BYTES) {
			assert_int_equal(out.len, 0);
			assert_int_equal(smtp_client_push(c, BASE_SLICE_EMPTY, &used, &out),
				SMTP_CLIENT_FAILED);
		} else {
			if (lengths[i] > 300) {
				assert_string_equal(base_buf_text(&out), "AUTH OAUTHBEARER\r\n");
				base_buf_clear(&out);
				assert_int_equal(
					smtp_client_push(c, BASE_SLICE("334 \r\n"), &used, &out),
					SMTP_CLIENT_MORE);
				assert_true(base_buf_ok(&out));
			}
			text = base_buf_slice(&out);
			assert_true(text.len > lengths[i] * 4 / 3 && text.len <= 12288);
			assert_int_equal(base_slice_find(text, '\n'), text.len - 1);
			assert_int_equal(smtp_client_push(c, BASE_SLICE("235 ok\r\n"), &used, &out),
				SMTP_CLIENT_READY);
		}
		smtp_client_free(&c);
		base_buf_release(&out);
	}
}

struct foreign {
	unsigned made, freed;
	enum sasl_mechanism cannot; /* one that is not in this build */
	bool proven;
};

static enum sasl_client_result foreign_step(void *arg, struct base_slice in, struct base_buf *out)
{
	if (base_slice_equal_text(in, "bad"))
		return SASL_CLIENT_ABORT;
	base_buf_append_text(out, "answer");
	return SASL_CLIENT_RESPONSE;
}

static enum sasl_client_result foreign_finish(void *arg)
{
	return ((struct foreign *)arg)->proven ? SASL_CLIENT_DONE : SASL_CLIENT_NOT_PROVEN;
}

static const char *foreign_reason(void *arg)
{
	return "a reason from outside";
}

static void foreign_free(void *arg)
{
	((struct foreign *)arg)->freed++;
}

static bool foreign_new(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
	struct base_slice user, struct base_slice password, struct sasl_client_foreign *out)
{
	struct foreign *f = arg;

	assert_true(base_slice_equal_text(host, "smtp.example.com"));
	assert_true(base_slice_equal_text(user, "tim"));
	if (mechanism == f->cannot)
		return false;
	assert_true(base_slice_equal_text(
		password, mechanism == SASL_MECHANISM_GSSAPI ? "" : "tanstaaftanstaaf"));
	f->made++;
	*out = (struct sasl_client_foreign){
		foreign_step, foreign_finish, foreign_reason, foreign_free, f};
	return true;
}

/* DIGEST-MD5 and GSSAPI are somebody else's; the session carries them and gives them back. */
static void test_foreign(void **state)
{
	static const struct {
		const char *name, *auth, *says, *expected, *reason;
		enum sasl_credential credential;
		sasl_mechanism_mask foreign;
		enum sasl_mechanism cannot;
		bool proven;
		enum smtp_client_event event;
		unsigned made;
	} rows[] = {
		{"server first", "AUTH DIGEST-MD5", "334 QQ==\r\n334 Qg==\r\n235 ok\r\n",
			"AUTH DIGEST-MD5\r\nYW5zd2Vy\r\nYW5zd2Vy\r\n", NULL,
			SASL_CREDENTIAL_PASSWORD, SASL_MASK(SASL_MECHANISM_DIGEST_MD5), 0, true,
			SMTP_CLIENT_READY, 1},
		{"client first", "AUTH GSSAPI", "334 \r\n334 Qg==\r\n235 ok\r\n",
			"AUTH GSSAPI YW5zd2Vy\r\nYW5zd2Vy\r\nYW5zd2Vy\r\n", NULL,
			SASL_CREDENTIAL_TICKET, SASL_MASK(SASL_MECHANISM_GSSAPI), 0, true,
			SMTP_CLIENT_READY, 1},
		{"no proof", "AUTH DIGEST-MD5", "334 QQ==\r\n235 ok\r\n",
			"AUTH DIGEST-MD5\r\nYW5zd2Vy\r\n", "a reason from outside",
			SASL_CREDENTIAL_PASSWORD, SASL_MASK(SASL_MECHANISM_DIGEST_MD5), 0, false,
			SMTP_CLIENT_FAILED, 1},
		{"given up", "AUTH DIGEST-MD5", "334 YmFk\r\n501 ok\r\n",
			"AUTH DIGEST-MD5\r\n*\r\n", "a reason from outside",
			SASL_CREDENTIAL_PASSWORD, SASL_MASK(SASL_MECHANISM_DIGEST_MD5), 0, true,
			SMTP_CLIENT_FAILED, 1},
		{"535", "AUTH DIGEST-MD5", "535 no\r\n", "AUTH DIGEST-MD5\r\n",
			"the server refused the login", SASL_CREDENTIAL_PASSWORD,
			SASL_MASK(SASL_MECHANISM_DIGEST_MD5), 0, true, SMTP_CLIENT_FAILED, 1},
		{"cannot be made: the next", "AUTH DIGEST-MD5 LOGIN", "", "AUTH LOGIN\r\n", NULL,
			SASL_CREDENTIAL_PASSWORD, SASL_MASK(SASL_MECHANISM_DIGEST_MD5),
			SASL_MECHANISM_DIGEST_MD5, true, SMTP_CLIENT_MORE, 0},
		{"cannot be made: none", "AUTH DIGEST-MD5", "", "",
			"no mechanism that the account allows is offered", SASL_CREDENTIAL_PASSWORD,
			SASL_MASK(SASL_MECHANISM_DIGEST_MD5), SASL_MECHANISM_DIGEST_MD5, true,
			SMTP_CLIENT_FAILED, 0},
		{"not named by the caller", "AUTH DIGEST-MD5 LOGIN", "", "AUTH LOGIN\r\n", NULL,
			SASL_CREDENTIAL_PASSWORD, SASL_MASK(SASL_MECHANISM_GSSAPI), 0, true,
			SMTP_CLIENT_MORE, 0},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct foreign f = {.cannot = rows[i].cannot, .proven = rows[i].proven};
		struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
			.auth = true,
			.credential = rows[i].credential,
			.host = BASE_SLICE("smtp.example.com"),
			.foreign_new = foreign_new,
			.foreign_arg = &f,
			.foreign = rows[i].foreign,
			.allow_plaintext_without_tls = true};
		struct smtp_client *c = smtp_client_new(&options);
		uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
		struct base_slice in = base_slice_text(rows[i].says);
		enum smtp_client_event event;
		struct base_buf out, hello;
		size_t used;

		base_buf_init_secret(&out, OUT_MAX);
		base_buf_init(&hello, 1024);
		base_buf_printf(&hello, "220 hi\r\n250-srv\r\n250 %s\r\n", rows[i].auth);
		assert_int_equal(smtp_client_push(c, base_buf_slice(&hello), &used, &out),
			SMTP_CLIENT_CREDENTIALS);
		base_buf_clear(&out);
		smtp_client_credentials(c, BASE_SLICE("tim"),
			rows[i].credential == SASL_CREDENTIAL_TICKET
				? BASE_SLICE("")
				: BASE_SLICE("tanstaaftanstaaf"),
			base_slice_make(random, sizeof(random)), &out);
		event = smtp_client_push(c, in, &used, &out);
		if (event != rows[i].event ||
			!base_slice_equal_text(base_buf_slice(&out), rows[i].expected))
			fail_msg("%s: event %d, \"%s\"", rows[i].name, event, base_buf_text(&out));
		if (rows[i].reason)
			assert_string_equal(smtp_client_failure(c)->reason, rows[i].reason);
		smtp_client_free(&c);
		assert_int_equal(f.made, rows[i].made);
		assert_int_equal(f.freed, f.made);
		base_buf_release(&hello);
		base_buf_release(&out);
	}
}

/* A mechanism that would go on for ever is stopped by the session: the 101st challenge gets "*". */
static void test_rounds_have_an_end(void **state)
{
	struct foreign f = {.proven = true};
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.host = BASE_SLICE("smtp.example.com"),
		.foreign_new = foreign_new,
		.foreign_arg = &f,
		.foreign = SASL_MASK(SASL_MECHANISM_DIGEST_MD5)};
	struct smtp_client *c = smtp_client_new(&options);
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf out;
	size_t used;

	base_buf_init_secret(&out, OUT_MAX);
	assert_int_equal(
		smtp_client_push(
			c, BASE_SLICE("220 hi\r\n250-srv\r\n250 AUTH DIGEST-MD5\r\n"), &used, &out),
		SMTP_CLIENT_CREDENTIALS);
	smtp_client_credentials(c, BASE_SLICE("tim"), BASE_SLICE("tanstaaftanstaaf"),
		base_slice_make(random, sizeof(random)), &out);
	for (unsigned i = 1; i <= 101; i++) {
		base_buf_clear(&out);
		assert_int_equal(smtp_client_push(c, BASE_SLICE("334 QQ==\r\n"), &used, &out),
			SMTP_CLIENT_MORE);
		assert_string_equal(base_buf_text(&out), i <= 100 ? "YW5zd2Vy\r\n" : "*\r\n");
	}
	/* And nothing that comes then is taken for a login. */
	assert_int_equal(
		smtp_client_push(c, BASE_SLICE("235 ok\r\n"), &used, &out), SMTP_CLIENT_FAILED);
	assert_true(smtp_client_failure(c)->account);
	assert_false(smtp_client_failure(c)->refused);
	smtp_client_free(&c);
	assert_int_equal(f.freed, 1);
	base_buf_release(&out);
}

/* What the server offers in its own words, of the last EHLO only, and bounded. */
static void test_hello(void **state)
{
	struct smtp_client_options options = {
		.helo_name = BASE_SLICE("me.example"), .tls = SMTP_CLIENT_TLS_MAY};
	struct smtp_client *c = smtp_client_new(&options);
	struct base_buf out, in;
	size_t used;

	base_buf_init(&out, OUT_MAX);
	base_buf_init(&in, OUT_MAX);
	assert_int_equal(smtp_client_hello(c).len, 0);
	assert_int_equal(smtp_client_push(c,
				 BASE_SLICE("220 hi\r\n250-srv\r\n250-X-ODD  words\r\n"
					    "250 STARTTLS\r\n220 go\r\n"),
				 &used, &out),
		SMTP_CLIENT_STARTTLS);
	/* Still to be read while the caller shakes hands. */
	assert_true(base_slice_equal_text(smtp_client_hello(c), "X-ODD  words\nSTARTTLS"));
	assert_int_equal(smtp_client_extensions(c), 0);
	smtp_client_tls_done(c, SASL_BINDING_NONE, BASE_SLICE_EMPTY, true, &out);
	assert_int_equal(smtp_client_hello(c).len, 0);
	base_buf_append_text(&in, "250-srv\r\n");
	for (unsigned i = 0; i < 100; i++)
		base_buf_printf(&in, "250-X-%0100u\r\n", i);
	base_buf_append_text(&in, "250 SIZE 1\r\n");
	assert_int_equal(smtp_client_push(c, base_buf_slice(&in), &used, &out), SMTP_CLIENT_READY);
	assert_int_equal(smtp_client_hello(c).len, SMTP_CLIENT_HELLO_MAX_BYTES);
	assert_int_equal(smtp_client_extensions(c), SMTP_EXT_SIZE);
	smtp_client_free(&c);
	base_buf_release(&out);
	base_buf_release(&in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_long_initial_response),
		cmocka_unit_test(test_repeated_secret),
		cmocka_unit_test(test_long_token),
		cmocka_unit_test(test_foreign),
		cmocka_unit_test(test_rounds_have_an_end),
		cmocka_unit_test(test_hello),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
