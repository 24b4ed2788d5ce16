/* The client against servers that are wrong, hostile or not who they say they are. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/test_support.h"

#include "sasl/client_internal.h"

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}
/* What support_random becomes as the client's nonce. */
#define NONCE "MDEyMzQ1Njc4OWFiY2RlZmdo"

static struct sasl_client_options options_of(enum sasl_mechanism mechanism)
{
	return (struct sasl_client_options){
		.mechanism = mechanism,
		.user = BASE_SLICE("tim"),
		.password = BASE_SLICE("secret"),
		.random = support_random_slice(SASL_CLIENT_RANDOM_BYTES),
	};
}

static enum sasl_client_result push(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	uint8_t *copy = malloc(challenge.len ? challenge.len : 1);
	enum sasl_client_result result;

	if (challenge.len)
		memcpy(copy, challenge.ptr, challenge.len);
	base_buf_clear(out);
	result = sasl_client_push(c, base_slice_make(copy, challenge.len), out);
	free(copy);
	return result;
}

struct row {
	struct base_slice challenge;
	enum sasl_client_result expected;
};

static const struct row server_first_rows[] = {
	{S("r=" NONCE "x,s=QSXCR+Q6sek8bf92,i=4096"), SASL_CLIENT_RESPONSE},
	{S("r=" NONCE "x,s=AA==,i=4097"), SASL_CLIENT_RESPONSE},
	{S("r=" NONCE "x,s=AA==,i=1000000"), SASL_CLIENT_RESPONSE},
	{S("r=" NONCE "x,s=AA==,i=4096,x=y,Z="), SASL_CLIENT_RESPONSE},
	{S("r=" NONCE ",s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=xDEyMzQ1Njc4OWFiY2RlZmdox,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=x" NONCE ",s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=MDEyMzQ1Njc4OWFiY2RlZmd,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "\x7f,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE " ,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x\0,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=A,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=A A==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i="), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=0"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=1"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4095"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=04096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=+4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=-1"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i= 4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096 "), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=0x1000"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096.0"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=1000001"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4294967295"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4294971392"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=18446744073709555712"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=1000000000000000000000000000000"), SASL_CLIENT_ABORT},
	{S("m=x,r=" NONCE "x,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096,m=x"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096,i=8192"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096,s=AA=="), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096,r=" NONCE "y"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA==,i=4096,"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,x=y,s=AA==,i=4096"), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,i=4096,s=AA=="), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x,s=AA=="), SASL_CLIENT_ABORT},
	{S("r=" NONCE "x"), SASL_CLIENT_ABORT},
	{S("r="), SASL_CLIENT_ABORT},
	{S("r"), SASL_CLIENT_ABORT},
	{S(","), SASL_CLIENT_ABORT},
	{S(""), SASL_CLIENT_ABORT},
	{S("e=unknown-user"), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_ABORT},
};

static void scram_first_challenges(void **state)
{
	struct sasl_client_options o = options_of(SASL_MECHANISM_SCRAM_SHA_256);
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(server_first_rows); i++) {
		enum sasl_client_result result;
		struct sasl_client *c;

		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		assert_true(base_slice_equal_text(base_buf_slice(&out), "n,,n=tim,r=" NONCE));
		result = push(c, server_first_rows[i].challenge, &out);
		if (result != server_first_rows[i].expected)
			fail_msg("row %zu: %d (%s)", i, result, sasl_client_reason(c));
		if (result == SASL_CLIENT_ABORT) {
			assert_true(sasl_client_reason(c)[0] != '\0');
			assert_int_equal(out.len, 0);
			assert_int_equal(push(c, BASE_SLICE("v=AAAA"), &out), SASL_CLIENT_ABORT);
		}
		/* No signature was seen, so no success is believed. */
		assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

#define AS_RFC_5802 "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096"

static const struct row server_final_rows[] = {
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_RESPONSE},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,x=y"), SASL_CLIENT_RESPONSE},
	{S(""), SASL_CLIENT_ABORT},
	{S("v"), SASL_CLIENT_ABORT},
	{S("v="), SASL_CLIENT_ABORT},
	{S("v=AAAA"), SASL_CLIENT_ABORT},
	{S("v=smF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKR="), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ"), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQA"), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsA=="), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=\0"), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,"), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,m=x"), SASL_CLIENT_ABORT},
	{S("v=AAAA,v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_ABORT},
	{S("v=rmF9pqV8S7suAoZWja4dJRkFsKQ=,v=AAAA"), SASL_CLIENT_ABORT},
	{S("x=y,v=rmF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_ABORT},
	{S("V=rmF9pqV8S7suAoZWja4dJRkFsKQ="), SASL_CLIENT_ABORT},
	{S("e=other-error"), SASL_CLIENT_ABORT},
	{S(AS_RFC_5802), SASL_CLIENT_ABORT},
};

static void scram_last_challenges(void **state)
{
	struct sasl_client_options o = options_of(SASL_MECHANISM_SCRAM_SHA_1);
	struct base_buf out;

	(void)state;
	o.user = BASE_SLICE("user");
	o.password = BASE_SLICE("pencil");
	o.random = BASE_SLICE("\x7f\x29\x28\xf9\xdd\xa5\x6d\xb1\x60\x38\xd4\x6f\xf6\xa9\x31\x75"
			      "\xac\x0b");
	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(server_final_rows); i++) {
		enum sasl_client_result result;
		struct sasl_client *c;
		bool good = server_final_rows[i].expected == SASL_CLIENT_RESPONSE;

		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		assert_int_equal(push(c, BASE_SLICE(AS_RFC_5802), &out), SASL_CLIENT_RESPONSE);
		result = push(c, server_final_rows[i].challenge, &out);
		if (result != server_final_rows[i].expected)
			fail_msg("row %zu: %d (%s)", i, result, sasl_client_reason(c));
		assert_int_equal(out.len, 0);
		assert_int_equal(
			sasl_client_finish(c), good ? SASL_CLIENT_DONE : SASL_CLIENT_NOT_PROVEN);
		if (good) {
			assert_int_equal(push(c, BASE_SLICE_EMPTY, &out), SASL_CLIENT_ABORT);
			assert_int_equal(sasl_client_finish(c), SASL_CLIENT_NOT_PROVEN);
		}
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void success_before_its_time_is_not_believed(void **state)
{
	static const struct {
		enum sasl_mechanism mechanism;
		unsigned challenges;
		enum sasl_client_result expected;
	} rows[] = {
		{SASL_MECHANISM_PLAIN, 0, SASL_CLIENT_DONE},
		{SASL_MECHANISM_LOGIN, 0, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_LOGIN, 1, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_LOGIN, 2, SASL_CLIENT_DONE},
		{SASL_MECHANISM_LOGIN, 3, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_CRAM_MD5, 0, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_CRAM_MD5, 1, SASL_CLIENT_DONE},
		{SASL_MECHANISM_CRAM_MD5, 2, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_PLAIN, 1, SASL_CLIENT_NOT_PROVEN},
		{SASL_MECHANISM_SCRAM_SHA_512, 0, SASL_CLIENT_NOT_PROVEN},
	};
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_client_options o = options_of(rows[i].mechanism);
		enum sasl_client_result result;
		struct sasl_client *c;

		result = sasl_client_begin(&c, &o, &out);
		assert_int_not_equal(result, SASL_CLIENT_ABORT);
		for (unsigned k = 0; k < rows[i].challenges; k++)
			result = push(c, BASE_SLICE("challenge"), &out);
		if (sasl_client_finish(c) != rows[i].expected)
			fail_msg("row %zu", i);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void what_cannot_be_carried_is_not_sent(void **state)
{
	static const struct {
		const char *name;
		enum sasl_mechanism mechanism;
		struct base_slice user, password, authzid;
		bool good;
	} rows[] = {
		{"plain", SASL_MECHANISM_PLAIN, S("tim"), S("x"), S(""), true},
		{"no user", SASL_MECHANISM_PLAIN, S(""), S("x"), S(""), false},
		{"no password", SASL_MECHANISM_PLAIN, S("tim"), S(""), S(""), false},
		{"NUL in the user", SASL_MECHANISM_PLAIN, S("t\0m"), S("x"), S(""), false},
		{"NUL in the password", SASL_MECHANISM_PLAIN, S("tim"), S("x\0"), S(""), false},
		{"NUL in the authzid", SASL_MECHANISM_PLAIN, S("tim"), S("x"), S("b\0"), false},
		{"latin 1", SASL_MECHANISM_PLAIN, S("tim"), S("\xe9"), S(""), false},
		{"emoji in PLAIN", SASL_MECHANISM_PLAIN, S("tim"), S("\xf0\x9f\x98\x80"), S(""),
			true},
		{"emoji in SCRAM", SASL_MECHANISM_SCRAM_SHA_256, S("tim"), S("\xf0\x9f\x98\x80"),
			S(""), false},
		{"control in SCRAM", SASL_MECHANISM_SCRAM_SHA_256, S("tim"), S("a\x07"), S(""),
			false},
		{"nothing left in SCRAM", SASL_MECHANISM_SCRAM_SHA_256, S("\xc2\xad"), S("x"),
			S(""), false},
		{"NUL in LOGIN", SASL_MECHANISM_LOGIN, S("tim"), S("x\0"), S(""), false},
		{"authzid in LOGIN", SASL_MECHANISM_LOGIN, S("tim"), S("x"), S("boss"), false},
		{"own authzid in LOGIN", SASL_MECHANISM_LOGIN, S("tim"), S("x"), S("tim"), true},
		{"authzid in CRAM-MD5", SASL_MECHANISM_CRAM_MD5, S("tim"), S("x"), S("boss"),
			false},
		{"PLUS without a binding", SASL_MECHANISM_SCRAM_SHA_256_PLUS, S("tim"), S("x"),
			S(""), false},
	};
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_client_options o = options_of(rows[i].mechanism);
		enum sasl_client_result result;
		struct sasl_client *c;

		o.user = rows[i].user;
		o.password = rows[i].password;
		o.authzid = rows[i].authzid;
		base_buf_clear(&out);
		result = sasl_client_begin(&c, &o, &out);
		if ((result != SASL_CLIENT_ABORT) != rows[i].good)
			fail_msg("%s: %s", rows[i].name, sasl_client_reason(c));
		if (!rows[i].good) {
			assert_int_equal(out.len, 0);
			assert_true(sasl_client_reason(c)[0] != '\0');
		}
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void empty_binding_data_is_no_binding(void **state)
{
	struct sasl_client_options o = options_of(SASL_MECHANISM_SCRAM_SHA_256_PLUS);
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	for (size_t len = 0; len <= SASL_BINDING_MAX_BYTES + 1; len++) {
		static const uint8_t data[SASL_BINDING_MAX_BYTES + 1];
		struct sasl_client *c;

		o.binding = SASL_BINDING_TLS_EXPORTER;
		o.binding_data = base_slice_make(data, len);
		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out),
			len == 0 || len > SASL_BINDING_MAX_BYTES ? SASL_CLIENT_ABORT
								 : SASL_CLIENT_RESPONSE);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void lengths_are_bounded(void **state)
{
	static const enum sasl_mechanism all[] = {SASL_MECHANISM_PLAIN, SASL_MECHANISM_LOGIN,
		SASL_MECHANISM_CRAM_MD5, SASL_MECHANISM_SCRAM_SHA_256};
	size_t len = 100000;
	uint8_t *huge = malloc(len);
	struct base_buf out;
	struct sasl_client *c;

	(void)state;
	memset(huge, 'x', len);
	base_buf_init(&out, SASL_RESPONSE_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(all); i++) {
		struct sasl_client_options o = options_of(all[i]);

		o.user = base_slice_make(huge, SASL_NAME_MAX_BYTES + 1);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		sasl_client_free(&c);
		o = options_of(all[i]);
		o.password = base_slice_make(huge, BASE_SECRET_PASSWORD_MAX_BYTES + 1);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		sasl_client_free(&c);
		o.user = base_slice_make(huge, SASL_NAME_MAX_BYTES);
		o.password = base_slice_make(huge, BASE_SECRET_PASSWORD_MAX_BYTES);
		base_buf_clear(&out);
		assert_int_not_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_ABORT);
		assert_int_equal(push(c, base_slice_make(huge, len), &out), SASL_CLIENT_ABORT);
		sasl_client_free(&c);
	}
	/* A challenge of the greatest length fits what is kept of the dialogue. */
	{
		struct sasl_client_options o = options_of(SASL_MECHANISM_SCRAM_SHA_256);
		const char *front = "r=" NONCE "x,s=AA==,i=4096,x=";

		memset(huge, '=', SASL_NAME_MAX_BYTES);
		o.user = base_slice_make(huge, SASL_NAME_MAX_BYTES);
		o.authzid = o.user;
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		memset(huge, 'x', len);
		memcpy(huge, front, strlen(front));
		assert_int_equal(push(c, base_slice_make(huge, SASL_CHALLENGE_MAX_BYTES), &out),
			SASL_CLIENT_RESPONSE);
		sasl_client_free(&c);
	}
	base_buf_release(&out);
	free(huge);
}

static void flags_tell_what_was_seen(void **state)
{
	static const struct {
		bool tls, plus;
		const char *expected;
	} rows[] = {
		{false, false, "n,,n=tim,r=" NONCE},
		{false, true, "n,,n=tim,r=" NONCE},
		{true, false, "y,,n=tim,r=" NONCE},
		{true, true, "n,,n=tim,r=" NONCE},
	};
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct sasl_client_options o = options_of(SASL_MECHANISM_SCRAM_SHA_256);
		struct sasl_client *c;

		o.tls = rows[i].tls;
		o.plus_offered = rows[i].plus;
		base_buf_clear(&out);
		assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_RESPONSE);
		assert_true(base_slice_equal_text(base_buf_slice(&out), rows[i].expected));
		sasl_client_free(&c);
	}
	base_buf_release(&out);
}

static void empty_cram_md5_challenge_is_refused(void **state)
{
	struct sasl_client_options o = options_of(SASL_MECHANISM_CRAM_MD5);
	struct sasl_client *c;
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 256);
	assert_int_equal(sasl_client_begin(&c, &o, &out), SASL_CLIENT_WAIT);
	assert_int_equal(push(c, BASE_SLICE_EMPTY, &out), SASL_CLIENT_ABORT);
	sasl_client_free(&c);
	base_buf_release(&out);
}

static void object_is_small(void **state)
{
	(void)state;
	assert_true(sizeof(struct sasl_client) < 1024);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scram_first_challenges),
		cmocka_unit_test(scram_last_challenges),
		cmocka_unit_test(success_before_its_time_is_not_believed),
		cmocka_unit_test(what_cannot_be_carried_is_not_sent),
		cmocka_unit_test(empty_binding_data_is_no_binding),
		cmocka_unit_test(lengths_are_bounded),
		cmocka_unit_test(flags_tell_what_was_seen),
		cmocka_unit_test(empty_cram_md5_challenge_is_refused),
		cmocka_unit_test(object_is_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
