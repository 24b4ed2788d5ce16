#include "base/test_support.h"
#include "cli/redirect.h"

#include <stdio.h>

#define HOST "127.0.0.1:1234"
#define FIELD "Host: " HOST "\r\n"
#define GET(target) "GET " target " HTTP/1.1\r\n" FIELD "\r\n"

struct row {
	const char *name;
	const char *in;
	size_t len;
	enum redirect_result result;
	const char *query;
};
#define ROW(name, in, result, query) \
	{ \
		name, in, sizeof(in) - 1, REDIRECT_##result, query \
	}

static const struct row rows[] = {
	ROW("a browser",
		"GET /?code=4%2F0A&state=x_-1 HTTP/1.1\r\nHost: " HOST
		"\r\nUser-Agent: Mozilla/5.0 (X11; Linux)\r\nAccept: */*\r\n"
		"Accept-Language: de,en;q=0.5\r\nConnection: keep-alive\r\n\r\n",
		QUERY, "code=4%2F0A&state=x_-1"),
	ROW("least", GET("/?a"), QUERY, "a"),
	ROW("what follows is not looked at", GET("/?a=b") "\n\0GET", QUERY, "a=b"),
	ROW("fields in any case, blanks", "GET /?a=b HTTP/1.1\r\nhOST:\t" HOST " \r\n\r\n", QUERY,
		"a=b"),
	ROW("no body is no body", "GET /?a=b HTTP/1.1\r\n" FIELD "Content-Length: 0\r\n\r\n", QUERY,
		"a=b"),
	ROW("icon", GET("/favicon.ico"), ELSEWHERE, NULL),
	ROW("root", GET("/"), ELSEWHERE, NULL),
	ROW("empty query", GET("/?"), ELSEWHERE, NULL),
	ROW("other path", GET("/x?code=1"), ELSEWHERE, NULL),
	ROW("double slash", GET("//?code=1"), ELSEWHERE, NULL),
	ROW("post", "POST /?a=b HTTP/1.1\r\n" FIELD "\r\n", METHOD, NULL),
	ROW("head", "HEAD /?a=b HTTP/1.1\r\n" FIELD "\r\n", METHOD, NULL),
	ROW("lower case", "get /?a=b HTTP/1.1\r\n" FIELD "\r\n", METHOD, NULL),
	ROW("absolute form", GET("http://127.0.0.1:1234/?a=b"), BAD, NULL),
	ROW("fragment", GET("/?a=b#c"), BAD, NULL),
	ROW("8 bit", GET("/?a=\xc3\xa4"), BAD, NULL),
	ROW("tab", GET("/?a=\tb"), BAD, NULL),
	ROW("old", "GET /?a=b HTTP/1.0\r\n" FIELD "\r\n", BAD, NULL),
	ROW("older", "GET /?a=b\r\n" FIELD "\r\n", BAD, NULL),
	ROW("two blanks", "GET  /?a=b HTTP/1.1\r\n" FIELD "\r\n", BAD, NULL),
	ROW("blank behind", "GET /?a=b HTTP/1.1 \r\n" FIELD "\r\n", BAD, NULL),
	ROW("no host", "GET /?a=b HTTP/1.1\r\n\r\n", BAD, NULL),
	ROW("two hosts", "GET /?a=b HTTP/1.1\r\n" FIELD FIELD "\r\n", BAD, NULL),
	ROW("another host", "GET /?a=b HTTP/1.1\r\nHost: evil.example:1234\r\n\r\n", BAD, NULL),
	ROW("another port", "GET /?a=b HTTP/1.1\r\nHost: 127.0.0.1:12345\r\n\r\n", BAD, NULL),
	ROW("body", "GET /?a=b HTTP/1.1\r\n" FIELD "Content-Length: 3\r\n\r\nabc", BAD, NULL),
	ROW("chunks", "GET /?a=b HTTP/1.1\r\n" FIELD "Transfer-Encoding: chunked\r\n\r\n", BAD,
		NULL),
	ROW("folded", "GET /?a=b HTTP/1.1\r\n" FIELD " more\r\n\r\n", BAD, NULL),
	ROW("no colon", "GET /?a=b HTTP/1.1\r\n" FIELD "what\r\n\r\n", BAD, NULL),
	ROW("blank before the colon", "GET /?a=b HTTP/1.1\r\nHost : " HOST "\r\n\r\n", BAD, NULL),
	ROW("bare LF", "GET /?a=b HTTP/1.1\n" FIELD "\r\n\r\n", BAD, NULL),
	ROW("bare LF in a field", "GET /?a=b HTTP/1.1\r\n" FIELD "A: b\nC: d\r\n\r\n", BAD, NULL),
	ROW("bare CR", "GET /?a=b HTTP/1.1\r\n" FIELD "A: b\rc\r\n\r\n", BAD, NULL),
	ROW("NUL", "GET /?a=b HTTP/1.1\r\n" FIELD "A: \0\r\n\r\n", BAD, NULL),
	ROW("empty", "\r\n\r\n", BAD, NULL),
	ROW("TLS", "\x16\x03\x01\x02\0\x01", MORE, NULL),
	ROW("nothing", "", MORE, NULL),
	ROW("not ended", "GET /?a=b HTTP/1.1\r\n" FIELD, MORE, NULL),
};

static void test_requests(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		const struct row *r = &rows[i];
		struct base_slice whole = base_slice_make(r->in, r->len);
		bool ended = false;

		/* Byte by byte, each piece ending where its memory ends. */
		for (size_t len = 0; len <= whole.len && !ended; len++) {
			struct base_slice part = exact_copy(base_slice_first(whole, len));
			struct base_slice query = BASE_SLICE_EMPTY;
			enum redirect_result result = redirect_request(part, HOST, &query);

			ended = result != REDIRECT_MORE;
			if (ended || len == whole.len) {
				if (result != r->result)
					print_error("%s\n", r->name);
				assert_int_equal(result, r->result);
				assert_true(base_slice_equal(query, base_slice_text(r->query)));
			}
			free_copy(part);
		}
	}
}

static void test_limits(void **state)
{
	struct base_slice query;
	struct base_buf b;

	base_buf_init(&b, 65536);
	base_buf_append_text(&b, "GET /?");
	while (b.len < REDIRECT_REQUEST_MAX_BYTES - 1)
		base_buf_append_byte(&b, 'a');
	assert_int_equal(redirect_request(base_buf_slice(&b), HOST, &query), REDIRECT_MORE);
	base_buf_append_byte(&b, 'a');
	assert_int_equal(redirect_request(base_buf_slice(&b), HOST, &query), REDIRECT_LONG);
	base_buf_append_text(&b, " HTTP/1.1\r\n" FIELD "\r\n");
	assert_int_equal(redirect_request(base_buf_slice(&b), HOST, &query), REDIRECT_LONG);

	base_buf_clear(&b);
	base_buf_append_text(&b, "GET /?");
	for (size_t i = 0; i < REDIRECT_QUERY_MAX_BYTES; i++)
		base_buf_append_byte(&b, 'a');
	base_buf_append_text(&b, " HTTP/1.1\r\n" FIELD "\r\n");
	assert_int_equal(redirect_request(base_buf_slice(&b), HOST, &query), REDIRECT_QUERY);
	assert_int_equal(query.len, REDIRECT_QUERY_MAX_BYTES);
	base_buf_clear(&b);
	base_buf_append_text(&b, "GET /?");
	for (size_t i = 0; i < REDIRECT_QUERY_MAX_BYTES + 1; i++)
		base_buf_append_byte(&b, 'a');
	base_buf_append_text(&b, " HTTP/1.1\r\n" FIELD "\r\n");
	assert_int_equal(redirect_request(base_buf_slice(&b), HOST, &query), REDIRECT_LONG);
	base_buf_release(&b);
}

static void test_pasted(void **state)
{
	static const struct {
		const char *line, *query;
	} lines[] = {
		{"http://127.0.0.1:1234/?code=1&state=2\r\n", "code=1&state=2"},
		{"  http://127.0.0.1:1234/?code=1#_=_  ", "code=1"},
		{"?code=1", "code=1"},
		{"code=1&state=2", "code=1&state=2"},
		{"http://127.0.0.1:1234/?a=b?c", "a=b?c"},
		{"", NULL},
		{"?", NULL},
		{"http://127.0.0.1:1234/", NULL},
		{"what is this", NULL},
		{"code=1 state=2", NULL},
		{"code=\x1b[31m", NULL},
	};

	for (size_t i = 0; i < BASE_COUNT(lines); i++) {
		struct base_slice query = BASE_SLICE_EMPTY;

		assert_int_equal(redirect_pasted(base_slice_text(lines[i].line), &query),
			lines[i].query != NULL);
		assert_true(base_slice_equal(query, base_slice_text(lines[i].query)));
	}
}

static void test_state(void **state)
{
	static const char url[] = "https://p.example/auth?client_id=c&state=S1_-&scope=x";
	static const struct {
		const char *query;
		bool matches;
	} queries[] = {
		{"code=1&state=S1_-", true},
		{"state=S1_-", true},
		{"state=S1_-&error=access_denied", true},
		{"code=1&state=S1_", false},
		{"code=1&state=s1_-", false},
		{"code=1&state=S1_-x", false},
		{"code=1&state=", false},
		{"code=1", false},
		{"code=1&xstate=S1_-", false},
		{"state=S1_-&state=S1_-", false},
		{"state=other&state=S1_-", false},
		{"", false},
	};

	for (size_t i = 0; i < BASE_COUNT(queries); i++)
		assert_int_equal(redirect_state_matches(
					 base_slice_text(queries[i].query), base_slice_text(url)),
			queries[i].matches);
	assert_false(redirect_state_matches(
		base_slice_text("state="), base_slice_text("https://p.example/?state=")));
	assert_false(redirect_state_matches(
		base_slice_text("code=1"), base_slice_text("https://p.example/?a=b")));
	assert_false(redirect_state_matches(
		base_slice_text("state=a"), base_slice_text("https://p.example/")));
}

static void test_page(void **state)
{
	struct base_buf page;
	struct base_slice rest;
	const char *text, *body;
	char length[64];

	base_buf_init(&page, 4096);
	redirect_page(REDIRECT_QUERY, "Done.", &page);
	text = base_buf_text(&page);
	body = strstr(text, "\r\n\r\n");
	assert_non_null(body);
	rest = base_slice_text(body + 4);
	snprintf(length, sizeof(length), "\r\nContent-Length: %zu\r\n", rest.len);
	assert_memory_equal(text, "HTTP/1.1 200 OK\r\n", 17);
	assert_non_null(strstr(text, length));
	assert_non_null(strstr(body, "Done."));
	base_buf_clear(&page);
	redirect_page(REDIRECT_METHOD, "No.", &page);
	assert_non_null(strstr(base_buf_text(&page), "405 Method Not Allowed\r\nAllow: GET\r\n"));
	base_buf_release(&page);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_pasted),
		cmocka_unit_test(test_state),
		cmocka_unit_test(test_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
