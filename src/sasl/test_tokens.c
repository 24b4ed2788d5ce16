/* Tokens, certificates and exchanges from outside: what goes out, what a refusal leaves, and that a
 * success behind a refusal is not believed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/base64.h"
#include "sasl/client_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}
#define XOAUTH2 SASL_MECHANISM_XOAUTH2
#define OAUTHBEARER SASL_MECHANISM_OAUTHBEARER
#define EXTERNAL SASL_MECHANISM_EXTERNAL

static_assert(SASL_CLIENT_TOKEN_MAX_BYTES >= 8192, "tokens of 8 KiB are in the field");

static const struct {
	const char *name;
	enum sasl_mechanism mechanism;
	struct base_slice user, secret, host;
	uint16_t port;
	const char *base64;     /* the initial response as published */
	struct base_slice text; /* or as it is */
} good_rows[] = {
	{"XOAUTH2, Google's example", XOAUTH2, S("someuser@example.com"),
		S("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg"), S(""), 0,
		"dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbG"
		"NrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ==",
		S("")},
	{"OAUTHBEARER, RFC 7628 section 4.1", OAUTHBEARER, S("user@example.com"),
		S("vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="), S("server.example.com"), 587,
		"bixhPXVzZXJAZXhhbXBsZS5jb20sAWhvc3Q9c2VydmVyLmV4YW1wbGUuY29tAXBvcnQ9NTg3AWF1dGg9Qm"
		"VhcmVyIHZGOWRmdDRxbVRjMk52YjNSbGNrQmhiSFJoZG1semRHRXVZMjl0Q2c9PQEB",
		S("")},
	{"no host, no port", OAUTHBEARER, S("u"), S("t"), S(""), 0, NULL,
		S("n,a=u,\1auth=Bearer t\1\1")},
	{"host, no port", OAUTHBEARER, S("u"), S("t"), S("h"), 0, NULL,
		S("n,a=u,\1host=h\1auth=Bearer t\1\1")},
	{"comma and equals sign in the user", OAUTHBEARER, S("a,b=c"), S("t"), S(""), 65535, NULL,
		S("n,a=a=2Cb=3Dc,\1port=65535\1auth=Bearer t\1\1")},
	{"XOAUTH2 has no such signs", XOAUTH2, S("a,b=c"), S("t"), S("h"), 1, NULL,
		S("user=a,b=c\1auth=Bearer t\1\1")},
	{"UTF-8", XOAUTH2, S("\xc3\xa9@example.com"), S("t"), S(""), 0, NULL,
		S("user=\xc3\xa9@example.com\1auth=Bearer t\1\1")},
	{"all that a token may hold", XOAUTH2, S("u"), S("!aZ09-._~+/=~"), S(""), 0, NULL,
		S("user=u\1auth=Bearer !aZ09-._~+/=~\1\1")},
	{"EXTERNAL, as the certificate says", EXTERNAL, S(""), S(""), S(""), 0, NULL, S("")},
	{"EXTERNAL, as somebody", EXTERNAL, S("\xc3\xa9 b,="), S("not looked at"), S(""), 0, NULL,
		S("\xc3\xa9 b,=")},
};

static struct sasl_client_options options_of(
	enum sasl_mechanism mechanism, struct base_slice user, struct base_slice secret)
{
	return (struct sasl_client_options){
		.mechanism = mechanism, .user = user, .password = secret};
}

static void initial_responses(void **state)
{
	struct base_buf out, want;

	(void)state;
	base_buf_init(&out, SASL_CLIENT_RESPONSE_MAX_BYTES);
	base_buf_init(&want, SASL_CLIENT_RESPONSE_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(good_rows); i++) {
		struct sasl_client_options o = options_of(
			good_rows[i].mechanism, good_rows[i].user, good_rows[i].secret);
		struct sasl_client *c;

		o.host = good_rows[i].host;
		o.port = good_rows[i].port;
		base_buf_clear(&out);
		base_buf_clear(&want);
		if (good_rows[i].base64)
			assert_int_equal(
				base64_decode(base_slice_text(good_rows[i].base64), &want, NULL),
				BASE64_OK);
		else
			base_buf_append_slice(&want, good_rows[i].text);
		if (sasl_client_begin(&c, &o, &out) != SASL_CLIENT_RESPONSE ||
			!base_slice_equal(base_buf_slice(&out), base_buf_slice(&want)))
			fail_msg("%s: %s \"%s\"", good_rows[i].name, sasl_client_reason(c),
				base_buf_text(&out));
		assert_int_equal(sasl_client_finish(c), SASL_CLIENT_DONE);
		assert_int_equal(sasl_client_error(c).len, 0);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
	base_buf_release(&want);
}

static const struct {
	const char *name;
	enum sasl_mechanism mechanism;
	struct base_slice user, secret, host, authzid;
} bad_rows[] = {
	{"no token", XOAUTH2, S("u"), S(""), S(""), S("")},
	{"no user", XOAUTH2, S(""), S("t"), S(""), S("")},
	{"no user", OAUTHBEARER, S(""), S("t"), S(""), S("")},
	{"NUL in the user", XOAUTH2, S("u\0"), S("t"), S(""), S("")},
	{"a pair in the user", XOAUTH2, S("u\1auth=Bearer x\1"), S("t"), S(""), S("")},
	{"a pair in the user", OAUTHBEARER, S("u,\1auth=Bearer x\1"), S("t"), S(""), S("")},
	{"a line in the user", OAUTHBEARER, S("u\r\n"), S("t"), S(""), S("")},
	{"user in Latin 1", XOAUTH2, S("\xe9"), S("t"), S(""), S("")},
	{"a pair in the token", OAUTHBEARER, S("u"), S("t\1auth=x"), S(""), S("")},
	{"a blank in the token", XOAUTH2, S("u"), S("t x"), S(""), S("")},
	{"a line end behind the token", XOAUTH2, S("u"), S("t\n"), S(""), S("")},
	{"NUL in the token", XOAUTH2, S("u"), S("t\0"), S(""), S("")},
	{"UTF-8 in the token", XOAUTH2, S("u"), S("\xc3\xa9"), S(""), S("")},
	{"a pair in the host", OAUTHBEARER, S("u"), S("t"), S("h\1auth=x"), S("")},
	{"a blank in the host", OAUTHBEARER, S("u"), S("t"), S("h h"), S("")},
	{"another identity", OAUTHBEARER, S("u"), S("t"), S(""), S("boss")},
	{"another identity", EXTERNAL, S("u"), S(""), S(""), S("boss")},
	{"NUL in EXTERNAL", EXTERNAL, S("u\0v"), S(""), S(""), S("")},
	{"EXTERNAL in Latin 1", EXTERNAL, S("\xe9"), S(""), S(""), S("")},
	{"an exchange that nobody brought", SASL_MECHANISM_DIGEST_MD5, S("u"), S("t"), S(""),
		S("")},
	{"an exchange that nobody brought", SASL_MECHANISM_GSSAPI, S(""), S(""), S(""), S("")},
};

static void what_cannot_be_carried_is_not_sent(void **state)
{
	struct base_buf out;

	(void)state;
	base_buf_init(&out, SASL_CLIENT_RESPONSE_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(bad_rows); i++) {
		struct sasl_client_options o = options_of(
			bad_rows[i].mechanism, bad_rows[i].user, bad_rows[i].secret);
		struct sasl_client *c;

		o.host = bad_rows[i].host;
		o.authzid = bad_rows[i].authzid;
		if (sasl_client_begin(&c, &o, &out) != SASL_CLIENT_ABORT)
			fail_msg("row %zu: %s", i, bad_rows[i].name);
		assert_int_equal(out.len, 0);
		assert_true(sasl_client_reason(c)[0] != '\0');
		assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void lengths_are_bounded(void **state)
{
	static uint8_t huge[2 * SASL_CLIENT_TOKEN_MAX_BYTES];
	struct sasl_client *c;
	struct base_buf out;

	(void)state;
	memset(huge, 'x', sizeof(huge));
	base_buf_init(&out, SASL_CLIENT_RESPONSE_MAX_BYTES);
	for (int k = 0; k < 2; k++) {
		struct sasl_client_options o = options_of(k ? XOAUTH2 : OAUTHBEARER,
			base_slice_make(huge, SASL_NAME_MAX_BYTES),
			base_slice_make(huge, SASL_CLIENT_TOKEN_MAX_BYTES));

		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		sasl_client_free(&c);
		o.password.len++;
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		sasl_client_free(&c);
		o.password.len--;
		o.user.len++;
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		sasl_client_free(&c);
	}
	/* More than a line of AUTH holds is no response, not a part of one. */
	{
		struct sasl_client_options o = options_of(OAUTHBEARER,
			base_slice_make(huge, SASL_NAME_MAX_BYTES),
			base_slice_make(huge, SASL_CLIENT_TOKEN_MAX_BYTES));

		memset(huge, ',', SASL_NAME_MAX_BYTES);
		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		assert_string_equal(sasl_client_reason(c), "response too long");
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

/* 334 with reasons, an answer that says nothing, and then whatever the server says is a refusal. */
static void refusals(void **state)
{
	static const struct {
		const char *name;
		enum sasl_mechanism mechanism;
		struct base_slice challenge, answer, kept;
	} rows[] = {
		{"Google", XOAUTH2,
			S("{\"status\":\"401\",\"schemes\":\"bearer mac\",\"scope\":\"x\"}\n"),
			S(""),
			S("{\"status\":\"401\",\"schemes\":\"bearer mac\",\"scope\":\"x\"}\n")},
		{"RFC 7628 section 4.4", OAUTHBEARER, S("{\"status\":\"invalid_token\"}"), S("\1"),
			S("{\"status\":\"invalid_token\"}")},
		{"without a word", OAUTHBEARER, S(""), S("\1"), S("")},
		{"any bytes", XOAUTH2, S("\0\1\r\n\xff"), S(""), S("\0\1\r\n\xff")},
		{"the token itself", XOAUTH2, S("no: to/ken+/= is bad"), S(""), S("")},
		{"the token as JSON writes it", OAUTHBEARER, S("{\"t\":\"to\\/ken+\\/=\"}"),
			S("\1"), S("")},
		{"the token as JSON may write it too", XOAUTH2,
			S("{\"t\":\"\\u0074o\\/ke\\u006E+\\u002f=\"}"), S(""), S("")},
		{"escapes that are none", XOAUTH2, S("\\u00\\u00zz\\u0"), S(""),
			S("\\u00\\u00zz\\u0")},
	};
	struct base_buf out;

	(void)state;
	base_buf_init(&out, SASL_CLIENT_RESPONSE_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_client_options o = options_of(rows[i].mechanism,
			BASE_SLICE("someuser@example.com"), BASE_SLICE("to/ken+/="));

		for (int again = 0; again < 2; again++) {
			struct sasl_client *c;

			base_buf_clear(&out);
			assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
			base_buf_clear(&out);
			assert_int_equal(
				sasl_client_push(c, rows[i].challenge, &out), SASL_CLIENT_RESPONSE);
			if (!base_slice_equal(base_buf_slice(&out), rows[i].answer) ||
				!base_slice_equal(sasl_client_error(c), rows[i].kept))
				fail_msg("%s: kept \"%.*s\"", rows[i].name,
					BASE_SLICE_ARGS(sasl_client_error(c)));
			assert_true(sasl_client_reason(c)[0] != '\0');
			base_buf_clear(&out);
			if (again)
				assert_int_equal(sasl_client_push(c, rows[i].challenge, &out),
					SASL_CLIENT_ABORT);
			assert_int_equal(out.len, 0);
			assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
			assert_true(base_slice_equal(sasl_client_error(c), rows[i].kept));
			sasl_client_free(&c);
		}
	}
	base_buf_release(&out);
}

static void reasons_are_cut(void **state)
{
	static uint8_t huge[SASL_CHALLENGE_MAX_BYTES + 1];
	struct sasl_client_options o = options_of(XOAUTH2, BASE_SLICE("u"), BASE_SLICE("t"));
	struct sasl_client *c;
	struct base_buf out;

	(void)state;
	memset(huge, 'x', sizeof(huge));
	base_buf_init(&out, 256);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
	assert_int_equal(sasl_client_push(c, base_slice_make(huge, SASL_CHALLENGE_MAX_BYTES), &out),
		SASL_CLIENT_RESPONSE);
	assert_int_equal(sasl_client_error(c).len, SASL_CLIENT_ERROR_MAX_BYTES);
	sasl_client_free(&c);
	base_buf_clear(&out);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
	assert_int_equal(
		sasl_client_push(c, base_slice_make(huge, sizeof(huge)), &out), SASL_CLIENT_ABORT);
	sasl_client_free(&c);
	base_buf_release(&out);
}

static void external_takes_no_challenge(void **state)
{
	struct sasl_client_options o = options_of(EXTERNAL, BASE_SLICE("u"), BASE_SLICE_EMPTY);
	struct sasl_client *c;
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
	assert_int_equal(sasl_client_push(c, BASE_SLICE("who?"), &out), SASL_CLIENT_ABORT);
	assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
	sasl_client_free(&c);
	base_buf_release(&out);
}

/* an exchange from outside */

struct foreign {
	unsigned steps, freed;
	bool proven;
};

static enum sasl_client_result step(void *arg, struct base_slice in, struct base_buf *out)
{
	struct foreign *f = arg;

	f->steps++;
	base_buf_append_text(out, "answer to ");
	base_buf_append_slice(out, in);
	return base_slice_equal_text(in, "bad") ? SASL_CLIENT_ABORT : SASL_CLIENT_RESPONSE;
}

static enum sasl_client_result finish(void *arg)
{
	return ((struct foreign *)arg)->proven ? SASL_CLIENT_DONE : SASL_CLIENT_NOT_PROVEN;
}

static const char *reason(void *arg)
{
	return "a reason from outside";
}

static void release(void *arg)
{
	((struct foreign *)arg)->freed++;
}

static void foreign_exchanges_are_asked_and_freed(void **state)
{
	struct foreign f = {0};
	const struct sasl_client_foreign object = {step, finish, reason, release, &f};
	struct sasl_client_options o = {.mechanism = SASL_MECHANISM_DIGEST_MD5, .foreign = &object};
	struct sasl_client *c;
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_WAIT);
	assert_int_equal(f.steps, 0);
	assert_int_equal(sasl_client_push(c, BASE_SLICE("a"), &out), SASL_CLIENT_RESPONSE);
	assert_true(base_slice_equal_text(base_buf_slice(&out), "answer to a"));
	f.proven = true;
	assert_int_equal(sasl_client_finish(c), SASL_CLIENT_DONE);
	assert_int_equal(f.freed, 0);
	sasl_client_free(&c);
	assert_int_equal(f.freed, 1);

	f = (struct foreign){0};
	o.mechanism = SASL_MECHANISM_GSSAPI;
	base_buf_clear(&out);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
	assert_true(base_slice_equal_text(base_buf_slice(&out), "answer to "));
	base_buf_clear(&out);
	assert_int_equal(sasl_client_push(c, BASE_SLICE("bad"), &out), SASL_CLIENT_ABORT);
	/* What it had written is not sent, and it is gone at once. */
	assert_int_equal(out.len, 0);
	assert_int_equal(f.freed, 1);
	assert_string_equal(sasl_client_reason(c), "a reason from outside");
	assert_int_equal(sasl_client_push(c, BASE_SLICE("a"), &out), SASL_CLIENT_ABORT);
	assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
	sasl_client_free(&c);
	assert_int_equal(f.freed, 1);

	f = (struct foreign){0};
	base_buf_clear(&out);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
	assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
	assert_string_equal(sasl_client_reason(c), "a reason from outside");
	sasl_client_free(&c);
	assert_int_equal(f.freed, 1);

	/* Brought where it is not wanted: taken all the same. */
	f = (struct foreign){0};
	o.mechanism = SASL_MECHANISM_PLAIN;
	base_buf_clear(&out);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
	sasl_client_free(&c);
	assert_int_equal(f.freed, 1);
	assert_int_equal(f.steps, 0);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(initial_responses),
		cmocka_unit_test(what_cannot_be_carried_is_not_sent),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(refusals),
		cmocka_unit_test(reasons_are_cut),
		cmocka_unit_test(external_takes_no_challenge),
		cmocka_unit_test(foreign_exchanges_are_asked_and_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
