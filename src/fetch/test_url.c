#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fetch/url.h"

#include <string.h>

static void test_rows(void **state)
{
	static const struct row {
		const char *text;
		enum fetch_url_result result;
		const char *host;
		uint16_t port;
		enum base_addr_family family;
	} rows[] = {
		{"https://a.example", FETCH_URL_OK, "a.example", 443, BASE_ADDR_NONE},
		{"https://a.example/token", FETCH_URL_OK, "a.example", 443, BASE_ADDR_NONE},
		{"HTTPS://A.Example:8443/t?a=b&c=%20", FETCH_URL_OK, "a.example", 8443,
			BASE_ADDR_NONE},
		{"https://a.example?x=/", FETCH_URL_OK, "a.example", 443, BASE_ADDR_NONE},
		{"https://a.example/x:99/@", FETCH_URL_OK, "a.example", 443, BASE_ADDR_NONE},
		{"https://localhost:1/", FETCH_URL_OK, "localhost", 1, BASE_ADDR_NONE},
		{"https://xn--bcher-kva.example/", FETCH_URL_OK, "xn--bcher-kva.example", 443,
			BASE_ADDR_NONE},
		{"https://192.0.2.1:65535/", FETCH_URL_OK, "192.0.2.1", 65535, BASE_ADDR_IP4},
		{"https://[2001:DB8::1]/", FETCH_URL_OK, "2001:db8::1", 443, BASE_ADDR_IP6},
		{"https://[::1]:444/", FETCH_URL_OK, "::1", 444, BASE_ADDR_IP6},
		{"", FETCH_URL_SCHEME, NULL, 0, 0},
		{"a.example/token", FETCH_URL_SCHEME, NULL, 0, 0},
		{"//a.example/", FETCH_URL_SCHEME, NULL, 0, 0},
		{"https:/a.example/", FETCH_URL_SCHEME, NULL, 0, 0},
		{"https:a.example/", FETCH_URL_SCHEME, NULL, 0, 0},
		{"httpss://a.example/", FETCH_URL_SCHEME, NULL, 0, 0},
		{"ftp://a.example/", FETCH_URL_SCHEME, NULL, 0, 0},
		{"http://a.example/", FETCH_URL_CLEAR, NULL, 0, 0},
		{"HttP://a.example/", FETCH_URL_CLEAR, NULL, 0, 0},
		{" https://a.example/", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example/ ", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example/\r\nX: y", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example\\@b.example/", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://b\303\274cher.example/", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example/{}", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example/[x]", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://a.example/?[", FETCH_URL_BYTES, NULL, 0, 0},
		{"https://user@a.example/", FETCH_URL_USER, NULL, 0, 0},
		{"https://user:pass@a.example/", FETCH_URL_USER, NULL, 0, 0},
		{"https://@/", FETCH_URL_USER, NULL, 0, 0},
		{"https://", FETCH_URL_HOST, NULL, 0, 0},
		{"https:///token", FETCH_URL_HOST, NULL, 0, 0},
		{"https://:443/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://a..example/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://a.example./", FETCH_URL_HOST, NULL, 0, 0},
		{"https://-a.example/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://a%2eexample/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://a,b/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://127.1/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://2130706433/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://0x7f.0.0.0x1/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://192.0.2.256/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[192.0.2.1]/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://2001:db8::1/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[2001:db8::1/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[::1]x/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[]/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[a.example]/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://[fe80::1%25eth0]/", FETCH_URL_HOST, NULL, 0, 0},
		{"https://a.example:/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://a.example:0/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://a.example:65536/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://a.example:+443/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://a.example:443:443/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://[::1]:x/", FETCH_URL_PORT, NULL, 0, 0},
		{"https://a.example/#x", FETCH_URL_FRAGMENT, NULL, 0, 0},
		{"https://a.example#@b.example/", FETCH_URL_FRAGMENT, NULL, 0, 0},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct fetch_url url = {.host = "before"};
		enum fetch_url_result result = fetch_url_read(base_slice_text(rows[i].text), &url);

		if (result != rows[i].result)
			fail_msg("%s: %d, not %d", rows[i].text, result, rows[i].result);
		assert_int_equal(!fetch_url_reason(result), result == FETCH_URL_OK);
		assert_string_equal(url.host, rows[i].host ? rows[i].host : "before");
		assert_int_equal(url.port, rows[i].port);
		assert_int_equal(url.addr.family, rows[i].family);
	}
}

static void test_limits(void **state)
{
	char text[FETCH_URL_MAX_BYTES + 2] = "https://a.example/";
	struct fetch_url url;
	size_t at = strlen(text);

	memset(text + at, 'x', sizeof(text) - at);
	assert_int_equal(
		fetch_url_read(base_slice_make(text, FETCH_URL_MAX_BYTES), &url), FETCH_URL_OK);
	assert_int_equal(fetch_url_read(base_slice_make(text, FETCH_URL_MAX_BYTES + 1), &url),
		FETCH_URL_LONG);
	text[at] = 0; /* a NUL ends no address */
	assert_int_equal(fetch_url_read(base_slice_make(text, at + 1), &url), FETCH_URL_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
