/* Answers of token and device endpoints: what they mean, and what they cannot do. */
#include "vault/test_oauth.h"

#define NOW_MS 1700000000000
#define OK "\"access_token\":\"at\",\"token_type\":\"Bearer\""

static struct vault_oauth_tokens tokens;
static char reason[VAULT_OAUTH_REASON_MAX_BYTES];

static enum vault_oauth_result answer(unsigned status, struct base_slice body)
{
	memset(reason, 'x', sizeof(reason));
	reason[sizeof(reason) - 1] = '\0';
	vault_oauth_tokens_release(&tokens);
	vault_oauth_tokens_init(&tokens);
	assert_true(base_secret_set(&tokens.access, BASE_SLICE("before")));
	assert_true(base_secret_set(&tokens.refresh, BASE_SLICE("refresh-before")));
	tokens.until_ms = 77;
	return vault_oauth_answer(status, body, NOW_MS, &tokens, reason);
}

static void assert_untouched(void)
{
	assert_true(base_slice_equal_text(base_secret_slice(&tokens.access), "before"));
	assert_true(base_slice_equal_text(base_secret_slice(&tokens.refresh), "refresh-before"));
	assert_int_equal(tokens.until_ms, 77);
}

struct row {
	unsigned status;
	const char *body;
	enum vault_oauth_result result;
	const char *reason;
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum vault_oauth_result result = answer(
			rows[i].status, base_slice_text(rows[i].body));

		if (result != rows[i].result || !strstr(reason, rows[i].reason))
			fail_msg("%s: %d %s", rows[i].body, (int)result, reason);
		if (result != VAULT_OAUTH_OBTAINED)
			assert_untouched();
	}
}

/* Some providers repeat in their answer what they were sent. */
static void repeated_secrets(void **state)
{
	static const struct {
		const char *body, *hidden, *shown;
	} rows[] = {
		{"{\"error\":\"invalid_grant\",\"error_description\":\"refresh-before is used "
		 "up\"}",
			"refresh-before", "invalid_grant"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"\\u0072efresh-before\"}",
			"refresh-before", "invalid_grant"},
		{"{\"error\":\"invalid_client\",\"error_description\":\"not 'the "
		 "\\\"secret\\\"'\"}",
			"the ", "invalid_client"},
		{"{\"error\":\"no first-refresh\",\"error_description\":\"x\"}", "first-refresh",
			"repeats"},
		{"{\"access_token\":\"y\",\"token_type\":\"before\"}", "before", "repeats"},
		{"{\"error\":\"invalid_grant\",\"error_description\":\"none of it\"}", "before",
			"invalid_grant: none of it"},
		{"no json", "before", "500"},
	};
	struct vault_oauth_profile *p = profile_of(
		"{\"token_endpoint\":\"https://h/t\",\"client_id\":\"id\","
		"\"client_secret\":\"the \\\"secret\\\"\",\"refresh_token\":\"first-refresh\"}");

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice body = base_slice_text(rows[i].body);

		assert_int_not_equal(answer(500, body), VAULT_OAUTH_OBTAINED);
		vault_oauth_hide(p, &tokens, body, reason);
		if (strstr(reason, rows[i].hidden) || !strstr(reason, rows[i].shown))
			fail_msg("%s: %s", rows[i].body, reason);
	}
	/* Of a token that is longer than a reason its beginning would stand there. */
	{
		static char token[1000], body[1100];

		memset(token, 't', sizeof(token) - 1);
		snprintf(body, sizeof(body), "{\"error\":\"e\",\"error_description\":\"%s\"}",
			token);
		assert_int_equal(answer(400, base_slice_text(body)), VAULT_OAUTH_REFUSED);
		assert_true(base_secret_set(&tokens.refresh, base_slice_text(token)));
		vault_oauth_hide(p, &tokens, base_slice_text(body), reason);
		assert_null(strstr(reason, "tttt"));
	}
	vault_oauth_profile_free(&p);
}

static void errors(void **state)
{
	static const struct row rows[] = {
		{400,
			"{\"error\":\"invalid_grant\",\"error_description\":\"Token has been "
			"expired or revoked.\"}",
			VAULT_OAUTH_REFUSED, "invalid_grant: Token has been expired or revoked."},
		{401, "{\"error\":\"invalid_client\"}", VAULT_OAUTH_REFUSED, "invalid_client"},
		{400, "{\"error\":\"unauthorized_client\"}", VAULT_OAUTH_REFUSED,
			"unauthorized_client"},
		{400, "{\"error\":\"invalid_scope\"}", VAULT_OAUTH_REFUSED, "invalid_scope"},
		{400, "{\"error\":\"access_denied\"}", VAULT_OAUTH_REFUSED, "access_denied"},
		{400, "{\"error\":\"expired_token\"}", VAULT_OAUTH_REFUSED, "expired_token"},
		{400, "{\"error\":\"new_in_2031\"}", VAULT_OAUTH_REFUSED, "new_in_2031"},
		{400, "{\"error\":\"authorization_pending\"}", VAULT_OAUTH_PENDING,
			"authorization_pending"},
		{428, "{\"error\":\"authorization_pending\"}", VAULT_OAUTH_PENDING, ""},
		{400, "{\"error\":\"slow_down\"}", VAULT_OAUTH_SLOW_DOWN, ""},
		{429, "{\"error\":\"slow_down\"}", VAULT_OAUTH_SLOW_DOWN, ""},
		{200, "{\"error\":\"invalid_grant\"}", VAULT_OAUTH_REFUSED, "invalid_grant"},
		{200, "{\"error\":\"invalid_grant\"," OK "}", VAULT_OAUTH_REFUSED, ""},
		{400, "{\"error\":\"temporarily_unavailable\"}", VAULT_OAUTH_LATER, ""},
		{400, "{\"error\":\"server_error\"}", VAULT_OAUTH_LATER, ""},
		{500, "{\"error\":\"invalid_grant\"}", VAULT_OAUTH_LATER, "invalid_grant"},
		{429, "{\"error\":\"rate_limit_exceeded\"}", VAULT_OAUTH_LATER, "rate_limit"},
		{503, "", VAULT_OAUTH_LATER, "503"},
		{502, "<html><h1>Bad gateway</h1>", VAULT_OAUTH_LATER, "502"},
		{200, "<html>log in to the hotel</html>", VAULT_OAUTH_LATER, "no OAuth answer"},
		{400, "{\"error\":{\"code\":7}}", VAULT_OAUTH_LATER, "without an error"},
		{400, "{\"error\":\"\"}", VAULT_OAUTH_LATER, "without an error"},
		{400, "[\"error\"]", VAULT_OAUTH_LATER, "no OAuth answer"},
		{400, "{\"error\":\"a\",\"error\":\"b\"}", VAULT_OAUTH_LATER, "no OAuth answer"},
		{302, "", VAULT_OAUTH_LATER, "302"},
		{400, "{" OK "}", VAULT_OAUTH_LATER, "400"},
		{200, "{}", VAULT_OAUTH_LATER, "without a token"},
		{0, "", VAULT_OAUTH_LATER, "0"},
	};

	check(rows, BASE_COUNT(rows));
}

static void bad_tokens(void **state)
{
	static const struct row rows[] = {
		{200, "{\"access_token\":\"a\",\"token_type\":\"mac\"}", VAULT_OAUTH_REFUSED,
			"mac"},
		{200, "{\"access_token\":\"a\",\"token_type\":\"DPoP\"}", VAULT_OAUTH_REFUSED,
			"DPoP"},
		{200, "{\"access_token\":\"a b\",\"token_type\":\"Bearer\"}", VAULT_OAUTH_LATER,
			"cannot be one"},
		{200, "{\"access_token\":\"a\\u0001b\",\"token_type\":\"Bearer\"}",
			VAULT_OAUTH_LATER, "cannot be one"},
		{200, "{\"access_token\":\"a\\r\\nb\",\"token_type\":\"Bearer\"}",
			VAULT_OAUTH_LATER, "cannot be one"},
		{200, "{\"access_token\":\"\\u00e9\",\"token_type\":\"Bearer\"}", VAULT_OAUTH_LATER,
			"cannot be one"},
		{200, "{\"access_token\":\"a\\u0000b\",\"token_type\":\"Bearer\"}",
			VAULT_OAUTH_LATER, "no OAuth answer"},
		{200, "{\"access_token\":\"\",\"token_type\":\"Bearer\"}", VAULT_OAUTH_LATER,
			"cannot be one"},
		{200, "{\"access_token\":7,\"token_type\":\"Bearer\"}", VAULT_OAUTH_LATER,
			"cannot be one"},
		{200, "{" OK ",\"refresh_token\":\"r r\"}", VAULT_OAUTH_LATER, "cannot be one"},
		{200, "{" OK ",\"refresh_token\":7}", VAULT_OAUTH_LATER, "cannot be one"},
		{200, "{" OK ",\"access_token\":\"other\"}", VAULT_OAUTH_LATER, "no OAuth answer"},
		{200, "{" OK ",\"expires_in\":1,\"expires_in\":2}", VAULT_OAUTH_LATER,
			"no OAuth answer"},
		{200, "{" OK ",\"expires_in\":1e999}", VAULT_OAUTH_LATER, "no OAuth answer"},
		{200, "{" OK "} trailing", VAULT_OAUTH_LATER, "no OAuth answer"},
	};

	check(rows, BASE_COUNT(rows));
}

static void lives(void **state)
{
	static const struct {
		const char *json;
		int64_t life_s;
	} rows[] = {
		{"", 3600},
		{",\"expires_in\":null", 3600},
		{",\"expires_in\":0", 60},
		{",\"expires_in\":-1", 60},
		{",\"expires_in\":0.5", 60},
		{",\"expires_in\":-1e300", 60},
		{",\"expires_in\":\"soon\"", 60},
		{",\"expires_in\":\"-5\"", 60},
		{",\"expires_in\":true", 60},
		{",\"expires_in\":[]", 60},
		{",\"expires_in\":1", 1},
		{",\"expires_in\":3599", 3599},
		{",\"expires_in\":3599.9", 3599},
		{",\"expires_in\":\"3599\"", 3599},
		{",\"expires_in\":18446744073709551615", 365 * 86400},
		{",\"expires_in\":\"18446744073709551615\"", 365 * 86400},
		{",\"expires_in\":99999999999999999999999", 365 * 86400},
		{",\"expires_in\":1e300", 365 * 86400},
	};
	char body[300];

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		snprintf(body, sizeof(body), "{" OK "%s}", rows[i].json);
		if (answer(200, base_slice_text(body)) != VAULT_OAUTH_OBTAINED ||
			tokens.until_ms - NOW_MS != rows[i].life_s * 1000)
			fail_msg("%s: %s", body, reason);
		assert_int_equal(tokens.obtained_ms, NOW_MS);
		assert_string_equal(reason, "");
	}
}

static void rotation(void **state)
{
	static const char *const same[] = {
		"", ",\"refresh_token\":null", ",\"refresh_token\":\"\""};
	char body[200];

	assert_int_equal(answer(200, BASE_SLICE("{" OK ",\"refresh_token\":\"rotated\"}")),
		VAULT_OAUTH_OBTAINED);
	assert_true(base_slice_equal_text(base_secret_slice(&tokens.access), "at"));
	assert_true(base_slice_equal_text(base_secret_slice(&tokens.refresh), "rotated"));
	for (size_t i = 0; i < BASE_COUNT(same); i++) {
		snprintf(body, sizeof(body),
			"{\"token_type\":\"bEaReR\",\"access_token\":\"at\"%s}", same[i]);
		assert_int_equal(answer(201, base_slice_text(body)), VAULT_OAUTH_OBTAINED);
		assert_true(base_slice_equal_text(
			base_secret_slice(&tokens.refresh), "refresh-before"));
	}
}

static void the_longest_token(void **state)
{
	struct base_buf body;

	for (int over = 0; over < 2; over++) {
		base_buf_init(&body, 65536);
		base_buf_append_text(&body, "{\"token_type\":\"Bearer\",\"access_token\":\"");
		for (int i = 0; i < VAULT_OAUTH_TOKEN_MAX_BYTES + over; i++)
			base_buf_append_byte(&body, 'a');
		base_buf_append_text(&body, "\"}");
		assert_int_equal(answer(200, base_buf_slice(&body)),
			over ? VAULT_OAUTH_LATER : VAULT_OAUTH_OBTAINED);
		if (over)
			assert_untouched();
		else
			assert_int_equal(tokens.access.len, VAULT_OAUTH_TOKEN_MAX_BYTES);
		base_buf_release(&body);
	}
}

static void a_reason_is_escaped_and_bounded(void **state)
{
	struct base_buf body;

	assert_int_equal(answer(400,
				 BASE_SLICE("{\"error\":\"x\\u001b[2J\\n\",\"error_description\":"
					    "\"\\u202e\\\"AADSTS70008\\\": \\u00fcber\"}")),
		VAULT_OAUTH_REFUSED);
	assert_string_equal(
		reason, "x\\x1b[2J\\x0a: \\xe2\\x80\\xae\\\"AADSTS70008\\\": \\xc3\\xbcber");
	base_buf_init(&body, 65536);
	base_buf_append_text(&body, "{\"error\":\"");
	for (int i = 0; i < 5000; i++)
		base_buf_append_text(&body, "\\u0001");
	base_buf_append_text(&body, "\",\"error_description\":\"");
	for (int i = 0; i < 5000; i++)
		base_buf_append_text(&body, "\\u0002");
	base_buf_append_text(&body, "\"}");
	assert_int_equal(answer(400, base_buf_slice(&body)), VAULT_OAUTH_REFUSED);
	assert_int_equal(strlen(reason), VAULT_OAUTH_REASON_MAX_BYTES - 1);
	base_buf_release(&body);
}

static void nothing_of_a_good_answer_is_said(void **state)
{
	(void)answer(
		200, BASE_SLICE("{\"access_token\":\"SECRET bad\",\"token_type\":\"Bearer\"}"));
	assert_null(strstr(reason, "SECRET"));
	(void)answer(200, BASE_SLICE("{\"access_token\":\"SECRET\""));
	assert_null(strstr(reason, "SECRET"));
}

static void deep_nesting(void **state)
{
	struct base_buf body;

	base_buf_init(&body, 65536);
	for (int i = 0; i < 60000; i++)
		base_buf_append_byte(&body, '[');
	assert_int_equal(answer(200, base_buf_slice(&body)), VAULT_OAUTH_LATER);
	base_buf_release(&body);
}

/* --- device authorization --- */

#define D \
	"\"device_code\":\"dc\",\"user_code\":\"WDJB-MJHT\"," \
	"\"verification_uri\":\"https://as.example/device\""

static int device(
	unsigned status, const char *body, struct vault_oauth_device *d, struct base_error *err)
{
	*err = (struct base_error){0};
	vault_oauth_device_init(d);
	return vault_oauth_device_answer(status, base_slice_text(body), d, err);
}

static void device_codes(void **state)
{
	struct vault_oauth_device d;
	struct base_error err;

	assert_int_equal(device(200,
				 "{" D ",\"verification_uri_complete\":\"https://as.example/"
				 "device?c=1\",\"expires_in\":1800,\"interval\":7}",
				 &d, &err),
		0);
	assert_true(base_slice_equal_text(base_secret_slice(&d.code), "dc"));
	assert_string_equal(d.user_code, "WDJB-MJHT");
	assert_string_equal(d.uri, "https://as.example/device");
	assert_string_equal(d.complete_uri, "https://as.example/device?c=1");
	assert_int_equal(d.interval_s, 7);
	assert_int_equal(d.expires_s, 1800);
	vault_oauth_device_release(&d);
	assert_int_equal(
		device(200,
			"{\"device_code\":\"dc\",\"user_code\":\"A B\",\"verification_url\":"
			"\"https://www.google.com/device\",\"expires_in\":1e9,\"interval\":"
			"100000}",
			&d, &err),
		0);
	assert_string_equal(d.uri, "https://www.google.com/device");
	assert_string_equal(d.complete_uri, "");
	assert_int_equal(d.interval_s, 300);
	assert_int_equal(d.expires_s, 86400);
	vault_oauth_device_release(&d);
	assert_int_equal(device(200, "{" D "}", &d, &err), 0);
	assert_int_equal(d.interval_s, 5);
	vault_oauth_device_release(&d);
}

static void bad_device_codes(void **state)
{
	static const struct {
		unsigned status;
		const char *body;
		int class;
		const char *why;
	} rows[] = {
		{200,
			"{\"device_code\":\"d\",\"user_code\":\"\\u00e9\",\"verification_uri\":"
			"\"https://a/\"}",
			BASE_ERROR_PEER, "cannot be shown"},
		{200,
			"{\"device_code\":\"d\",\"user_code\":\"\\u001b[2J\",\"verification_uri\":"
			"\"https://a/\"}",
			BASE_ERROR_PEER, "cannot be shown"},
		{200,
			"{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_uri\":\"http://"
			"a/"
			"\"}",
			BASE_ERROR_PEER, "cannot be shown"},
		{200,
			"{\"device_code\":\"d\",\"user_code\":\"u\",\"verification_uri\":\"https://"
			"a/"
			" b\"}",
			BASE_ERROR_PEER, "cannot be shown"},
		{200, "{\"device_code\":\"d\",\"user_code\":\"u\"}", BASE_ERROR_PEER,
			"cannot be shown"},
		{200,
			"{\"device_code\":\"d "
			"d\",\"user_code\":\"u\",\"verification_uri\":\"https://"
			"a/\"}",
			BASE_ERROR_PEER, "cannot be shown"},
		{200, "{" D ",\"verification_uri_complete\":\"javascript:x\"}", BASE_ERROR_PEER,
			"cannot be shown"},
		{200, "{" D ",\"interval\":-1}", BASE_ERROR_PEER, "cannot be shown"},
		{200, "{" D ",\"device_code\":\"e\"}", BASE_ERROR_TEMPORARY, "no OAuth answer"},
		{400, "{\"error\":\"invalid_scope\",\"error_description\":\"no\"}",
			BASE_ERROR_PERMANENT, "invalid_scope: no"},
		{503, "<html>", BASE_ERROR_TEMPORARY, "503"},
	};
	struct vault_oauth_device d;
	struct base_error err;

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		if (device(rows[i].status, rows[i].body, &d, &err) != rows[i].class ||
			!strstr(err.text, rows[i].why))
			fail_msg("%s: %d %s", rows[i].body, (int)err.class, err.text);
		vault_oauth_device_release(&d);
	}
}

static int give_up(void **state)
{
	vault_oauth_tokens_release(&tokens);
	return 0;
}

static int begin(void **state)
{
	vault_oauth_tokens_init(&tokens);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(errors),
		cmocka_unit_test(repeated_secrets),
		cmocka_unit_test(bad_tokens),
		cmocka_unit_test(lives),
		cmocka_unit_test(rotation),
		cmocka_unit_test(the_longest_token),
		cmocka_unit_test(a_reason_is_escaped_and_bounded),
		cmocka_unit_test(nothing_of_a_good_answer_is_said),
		cmocka_unit_test(deep_nesting),
		cmocka_unit_test(device_codes),
		cmocka_unit_test(bad_device_codes),
	};

	return cmocka_run_group_tests(tests, begin, give_up);
}
