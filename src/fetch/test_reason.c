#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "fetch/reason.h"

#include <errno.h>
#include <string.h>

static void test_rows(void **state)
{
	static const struct row {
		struct fetch_failure failure;
		enum base_error_class class;
		const char *text;
	} rows[] = {
		{{CURLE_PEER_FAILED_VERIFICATION, 0,
			 "SSL certificate problem: certificate has expired", false},
			BASE_ERROR_CONFIG,
			"cannot verify the certificate of \"a.example\": certificate has expired"},
		{{CURLE_PEER_FAILED_VERIFICATION, 0,
			 "SSL: no alternative certificate subject name matches target host name "
			 "'a.example'",
			 false},
			BASE_ERROR_CONFIG,
			"cannot verify the certificate of \"a.example\": it is for another name"},
		{{CURLE_PEER_FAILED_VERIFICATION, 0,
			 "SSL: certificate subject name '\033[2J' does not match target host name",
			 false},
			BASE_ERROR_CONFIG,
			"cannot verify the certificate of \"a.example\": it is for another name"},
		{{CURLE_PEER_FAILED_VERIFICATION, 0, "SSL: \033[2J", false}, BASE_ERROR_CONFIG,
			"cannot verify the certificate of \"a.example\": \\x1b[2J"},
		{{CURLE_PEER_FAILED_VERIFICATION, 0, "", false}, BASE_ERROR_CONFIG,
			"cannot verify the certificate of \"a.example\": it is not trusted"},
		{{CURLE_SSL_CONNECT_ERROR, 0, "error:0A00010B:SSL routines::wrong version number",
			 false},
			BASE_ERROR_TEMPORARY,
			"TLS with \"a.example\" port 443 failed: wrong version number"},
		{{CURLE_SSL_CONNECT_ERROR, 0, "", false}, BASE_ERROR_TEMPORARY,
			"TLS with \"a.example\" port 443 failed: no reason given"},
		{{CURLE_COULDNT_CONNECT, ECONNREFUSED, "Failed to connect", false},
			BASE_ERROR_TEMPORARY,
			"cannot connect to \"a.example\" port 443: Connection refused"},
		{{CURLE_COULDNT_CONNECT, 0, "Failed to connect", false}, BASE_ERROR_TEMPORARY,
			"cannot connect to \"a.example\" port 443"},
		{{CURLE_OPERATION_TIMEDOUT, 0, "", false}, BASE_ERROR_TEMPORARY,
			"\"a.example\" port 443 cannot be connected to in time"},
		{{CURLE_OPERATION_TIMEDOUT, 0, "", true}, BASE_ERROR_TEMPORARY,
			"\"a.example\" port 443 did not answer in time"},
		{{CURLE_GOT_NOTHING, 0, "", true}, BASE_ERROR_TEMPORARY,
			"\"a.example\" port 443 closed the connection without an answer"},
		{{CURLE_RECV_ERROR, 0, "", true}, BASE_ERROR_TEMPORARY,
			"\"a.example\" port 443 broke the connection"},
		{{CURLE_UNSUPPORTED_PROTOCOL, 0, "", true}, BASE_ERROR_PEER,
			"\"a.example\" port 443 does not speak proper HTTP"},
		{{CURLE_BAD_FUNCTION_ARGUMENT, 0, "", true}, BASE_ERROR_TEMPORARY,
			"HTTPS with \"a.example\" port 443 failed: A libcurl function was given a "
			"bad argument"},
	};
	struct fetch_url at = {.host = "a.example", .port = 443};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_error err = {0};

		fetch_reason(&rows[i].failure, &at, &err);
		assert_string_equal(err.text, rows[i].text);
		assert_int_equal(err.class, rows[i].class);
	}
}

static void test_long_words_are_cut(void **state)
{
	char text[CURL_ERROR_SIZE] = "SSL: ";
	struct fetch_url at = {.port = 443};
	struct base_error err = {0};

	memset(text + 5, '\1', sizeof(text) - 6);
	memset(at.host, 'a', sizeof(at.host) - 1);
	fetch_reason(&(struct fetch_failure){CURLE_SSL_CONNECT_ERROR, 0, text, false}, &at, &err);
	assert_int_equal(err.class, BASE_ERROR_TEMPORARY);
	assert_true(strlen(err.text) < BASE_ERROR_TEXT_MAX_BYTES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_long_words_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
