/* Refusals as the field writes them, and what is none. */
#include "base/test_support.h"
#include "wire/oauth_error.h"

#define REFUSES "the server refuses the token: "

static const struct {
	const char *name, *json, *words;
} rows[] = {
	{"Google",
		"{\"status\":\"401\",\"schemes\":\"bearer "
		"mac\",\"scope\":\"https://mail.google.com/\"}\n",
		REFUSES "401 invalid or expired (scope \"https://mail.google.com/\", schemes "
			"\"bearer mac\")"},
	{"RFC 7628",
		"{\"status\":\"invalid_token\",\"scope\":\"example_scope\","
		"\"openid-configuration\":\"https://example.com/.well-known/"
		"openid-configuration\"}",
		REFUSES "invalid_token invalid or expired (scope \"example_scope\", "
			"openid-configuration "
			"\"https://example.com/.well-known/openid-configuration\")"},
	{"RFC 7628 section 4.4",
		"{\"status\":\"invalid_token\",\"schemes\":\"bearer "
		"mac\",\"scope\":\"https://mail.example.com/\"}",
		REFUSES "invalid_token invalid or expired (scope \"https://mail.example.com/\", "
			"schemes \"bearer mac\")"},
	{"a number", "{\"status\":400}", REFUSES "400 not understood"},
	{"wrong scope", "{\"status\":\"insufficient_scope\"}",
		REFUSES "insufficient_scope not good for sending mail"},
	{"another word", "{\"status\":\"tired\",\"error\":\"x\",\"error_description\":\"y z\"}",
		REFUSES "status \"tired\" (error \"x\", error_description \"y z\")"},
	{"no status", "{\"scope\":\"s\"}", REFUSES "no status given (scope \"s\")"},
	{"a status that is none", "{\"status\":[1]}", REFUSES "no status given"},
	{"empty details are left out", "{\"status\":\"401\",\"scope\":\"\"}",
		REFUSES "401 invalid or expired"},
	{"controls", "{\"status\":\"a\\u001b[2J\\n\\\"b\",\"scope\":\"\\u00e9\"}",
		REFUSES "status \"a\\x1b[2J\\x0a\\\"b\" (scope \"\\xc3\\xa9\")"},
	{"nothing", "", REFUSES "no reason given"},
	{"no JSON", "go away\r\n", REFUSES "\"go away\\x0d\\x0a\""},
	{"cut", "{\"status\":\"401\",\"sch", REFUSES "\"{\\\"status\\\":\\\"401\\\",\\\"sch\""},
	{"an array", "[\"401\"]", REFUSES "\"[\\\"401\\\"]\""},
	{"twice", "{\"status\":\"401\",\"status\":\"400\"}",
		REFUSES "\"{\\\"status\\\":\\\"401\\\",\\\"status\\\":\\\"400\\\"}\""},
};

static void says_what_the_server_said(void **state)
{
	struct base_buf out;

	(void)state;
	base_buf_init(&out, WIRE_OAUTH_ERROR_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		base_buf_clear(&out);
		wire_oauth_error_words(base_slice_text(rows[i].json), &out);
		if (!base_slice_equal_text(base_buf_slice(&out), rows[i].words))
			fail_msg("%s: %s", rows[i].name, base_buf_text(&out));
	}
	base_buf_release(&out);
}

static void long_values_are_cut(void **state)
{
	static const char *const keys[] = {
		"status", "error", "error_description", "scope", "schemes", "openid-configuration"};
	struct base_buf json, out;

	(void)state;
	base_buf_init(&json, 1 << 20);
	base_buf_init(&out, WIRE_OAUTH_ERROR_MAX_BYTES);
	base_buf_append_byte(&json, '{');
	for (size_t i = 0; i < BASE_COUNT(keys); i++) {
		base_buf_printf(&json, "%s\"%s\":\"", i ? "," : "", keys[i]);
		for (size_t k = 0; k < 300; k++)
			base_buf_append_text(&json, "\xc3\xa9");
		base_buf_append_byte(&json, '"');
	}
	base_buf_append_byte(&json, '}');
	wire_oauth_error_words(base_buf_slice(&json), &out);
	assert_true(base_buf_ok(&out));
	assert_non_null(strstr(base_buf_text(&out), "...\" (error \""));
	/* Longer than any refusal: not read at all. */
	while (json.len <= 5000)
		base_buf_append_byte(&json, ' ');
	base_buf_clear(&out);
	wire_oauth_error_words(base_buf_slice(&json), &out);
	assert_true(out.len < 1000);
	base_buf_release(&json);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(says_what_the_server_said),
		cmocka_unit_test(long_values_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
