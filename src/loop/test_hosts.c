#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "loop/hosts.h"

static void test_lookup(void **state)
{
	static struct route_dns_answer answer;
	struct hosts *h = hosts_new(BASE_SLICE("# head\n127.0.0.1 localhost\n"
					       "10.0.0.1\tmail.lan mail # comment other\n\n::1 ip6 "
					       "mail.lan\nbad line\n10.0.0.2 mail.lan"));
	static const struct row {
		const char *name;
		enum route_dns_type type;
		bool found;
		size_t count;
	} rows[] = {
		{"mail.lan", ROUTE_DNS_A, true, 2},
		{"MAIL.LAN", ROUTE_DNS_AAAA, true, 1},
		{"mail", ROUTE_DNS_A, true, 1},
		{"mail", ROUTE_DNS_AAAA, true, 0},
		{"other", ROUTE_DNS_A, false, 0},
		{"line", ROUTE_DNS_A, false, 0},
		{"localhost", ROUTE_DNS_A, true, 2},
	};
	size_t i;

	for (i = 0; i < BASE_COUNT(rows); i++) {
		if (hosts_find(h, rows[i].name, rows[i].type, &answer) != rows[i].found ||
			answer.count != rows[i].count)
			fail_msg("%s: %zu records", rows[i].name, answer.count);
		assert_int_equal(answer.status, rows[i].count ? ROUTE_DNS_FOUND : ROUTE_DNS_EMPTY);
	}
	hosts_free(&h);
	assert_null(h);
}

static void test_empty_file(void **state)
{
	static struct route_dns_answer answer;
	struct hosts *h = hosts_new(BASE_SLICE_EMPTY);

	assert_true(hosts_find(h, "localhost", ROUTE_DNS_A, &answer));
	hosts_free(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lookup),
		cmocka_unit_test(test_empty_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
