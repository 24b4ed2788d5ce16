#include "route/control.h"

#include "base/test_support.h"

#include <stdio.h>

static void one_line_files(void **state)
{
	(void)state;
	assert_slice_equal(
		route_control_line(BASE_SLICE("mail.example \t\r\nmore\n")), "mail.example");
	assert_slice_equal(route_control_line(BASE_SLICE("mail.example")), "mail.example");
	assert_slice_equal(route_control_line(BASE_SLICE("\nsecond\n")), "");
	assert_slice_equal(route_control_line(BASE_SLICE_EMPTY), "");
	assert_int_equal(route_control_number(BASE_SLICE("60\n"), 5), 60);
	assert_int_equal(route_control_number(BASE_SLICE("60 seconds\n"), 5), 60);
	assert_int_equal(route_control_number(BASE_SLICE("0\r\n"), 5), 0);
	assert_int_equal(route_control_number(BASE_SLICE("sixty\n"), 5), 5);
	assert_int_equal(route_control_number(BASE_SLICE("-1\n"), 5), 5);
	assert_int_equal(route_control_number(BASE_SLICE("99999999999999999999\n"), 5), 5);
	assert_int_equal(route_control_number(BASE_SLICE_EMPTY, 5), 5);
}

static void lists(void **state)
{
	struct base_slice rest = BASE_SLICE("# no\n\none\t \r\n two\n  \n#\nthree"), line;
	unsigned number = 0;

	(void)state;
	assert_true(route_control_next(&rest, &number, &line));
	assert_slice_equal(line, "one");
	assert_int_equal(number, 3);
	assert_true(route_control_next(&rest, &number, &line));
	assert_slice_equal(line, " two");
	assert_true(route_control_next(&rest, &number, &line));
	assert_slice_equal(line, "three");
	assert_int_equal(number, 7);
	assert_false(route_control_next(&rest, &number, &line));
}

static const struct line_row {
	const char *line;
	enum route_control_result result;
	const char *key, *host;
	uint16_t port;
	const char *user, *password; /* null: no credentials */
} line_rows[] = {
	{"example.org:relay.example", ROUTE_CONTROL_FOUND, "example.org", "relay.example", 0, 0, 0},
	{"example.org:relay.example:26", ROUTE_CONTROL_FOUND, "example.org", "relay.example", 26, 0,
		0},
	{"example.org:relay.example;26", ROUTE_CONTROL_FOUND, "example.org", "relay.example", 26, 0,
		0},
	{"example.org:relay.example:", ROUTE_CONTROL_FOUND, "example.org", "relay.example", 0, 0,
		0},
	{"example.org:", ROUTE_CONTROL_FOUND, "example.org", "", 0, 0, 0},
	{":relay", ROUTE_CONTROL_FOUND, "", "relay", 0, 0, 0},
	{"::26", ROUTE_CONTROL_FOUND, "", "", 26, 0, 0},
	{":;26", ROUTE_CONTROL_FOUND, "", "", 26, 0, 0},
	{":", ROUTE_CONTROL_FOUND, "", "", 0, 0, 0},
	{"a: relay ", ROUTE_CONTROL_FOUND, "a", "relay", 0, 0, 0},
	{"a:under_score.example", ROUTE_CONTROL_FOUND, "a", "under_score.example", 0, 0, 0},
	{"a:[192.0.2.1]", ROUTE_CONTROL_FOUND, "a", "192.0.2.1", 0, 0, 0},
	{"a:192.0.2.1:587", ROUTE_CONTROL_FOUND, "a", "192.0.2.1", 587, 0, 0},
	{"a:[2001:db8::1]:587", ROUTE_CONTROL_FOUND, "a", "2001:db8::1", 587, 0, 0},
	{"a:[IPv6:2001:db8::1];587", ROUTE_CONTROL_FOUND, "a", "2001:db8::1", 587, 0, 0},
	{"a:[2001:db8::1]", ROUTE_CONTROL_FOUND, "a", "2001:db8::1", 0, 0, 0},
	{"a:2001:db8::1", ROUTE_CONTROL_FOUND, "a", "2001:db8::1", 0, 0, 0},
	{"a:2001:db8::1;587", ROUTE_CONTROL_FOUND, "a", "2001:db8::1", 587, 0, 0},
	/* credentials */
	{"a:relay:587|u|p", ROUTE_CONTROL_FOUND, "a", "relay", 587, "u", "p"},
	{"a:relay|u|p|q:r|", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u", "p|q:r|"},
	{"a:relay|u@d|p w", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u@d", "p w"},
	{"a:relay|-u|-p", ROUTE_CONTROL_FOUND, "a", "relay", 0, "-u", "-p"},
	{"a:relay |u|p", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u", "p"},
	{"a:relay|u:v|#p", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u:v", "#p"},
	{"a:|u|p", ROUTE_CONTROL_FOUND, "a", "", 0, "u", "p"},
	{":relay:587|u|p", ROUTE_CONTROL_FOUND, "", "relay", 587, "u", "p"},
	{"a:relay;465|u|p", ROUTE_CONTROL_FOUND, "a", "relay", 465, "u", "p"},
	{"a:[::1]:587|u|p", ROUTE_CONTROL_FOUND, "a", "::1", 587, "u", "p"},
	{"a:relay:587 u p", ROUTE_CONTROL_FOUND, "a", "relay", 587, "u", "p"},
	{"a:relay \t -u \t p:|w", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u", "p:|w"},
	{"a:relay u|v p", ROUTE_CONTROL_FOUND, "a", "relay", 0, "u|v", "p"},
	{"a: u p", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0}, /* relay u, user p */
	/* no line, or a wrong one */
	{"@example.com|generic|passwd", ROUTE_CONTROL_MISSING, 0, 0, 0, 0, 0},
	{"example.org", ROUTE_CONTROL_MISSING, 0, 0, 0, 0, 0},
	{"a:relay:0", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay:65536", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay:smtp", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay:25x|u|p", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay:25:26", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:[192.0.2.1", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:[relay]", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:[192.0.2.1]25", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:2001:db8::zz;25", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:re\001lay", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:user@relay", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay|u", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay|u|", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay||p", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay|", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay u", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
	{"a:relay - p", ROUTE_CONTROL_BROKEN, 0, 0, 0, 0, 0},
};

static void check_line(const struct line_row *row)
{
	struct base_slice line = exact_copy(base_slice_text(row->line));
	struct route_control_relay r = {0};
	const char *why = NULL;
	enum route_control_result result = route_control_relay_parse(line, &r, &why);

	if (result != row->result)
		fail_msg("%s: result %d (%s)", row->line, (int)result, why ? why : "-");
	if ((result == ROUTE_CONTROL_BROKEN) != (why != NULL))
		fail_msg("%s: no reason", row->line);
	if (result == ROUTE_CONTROL_FOUND &&
		(!base_slice_equal_text(r.key, row->key) ||
			!base_slice_equal_text(r.host, row->host) || r.port != row->port ||
			r.credentials != (row->user != NULL) ||
			!base_slice_equal_text(r.user, row->user) ||
			!base_slice_equal_text(r.password, row->password)))
		fail_msg("%s: key %.*s host %.*s port %u user %.*s password %.*s", row->line,
			BASE_SLICE_ARGS(r.key), BASE_SLICE_ARGS(r.host), r.port,
			BASE_SLICE_ARGS(r.user), BASE_SLICE_ARGS(r.password));
	free_copy(line);
}

static void relay_lines(void **state)
{
	struct route_control_relay r;
	const char *why = NULL;

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(line_rows); i++)
		check_line(&line_rows[i]);
	assert_int_equal(route_control_relay_parse(BASE_SLICE("a:relay|u\0|p"), &r, &why),
		ROUTE_CONTROL_BROKEN);
	assert_int_equal(route_control_relay_parse(BASE_SLICE("a:relay|u|p\0x"), &r, &why),
		ROUTE_CONTROL_BROKEN);
}

#define SMTPROUTES \
	"# comment:nowhere\n" \
	"example.org:one\r\n" \
	".example.org:two\n" \
	"Upper.Example:three:26\n" \
	"nomap\n" \
	"empty.example:\n" \
	"twice.example:first\n" \
	"twice.example:second\n" \
	"wrong.example:relay:no\n" \
	"[192.0.2.1]:literal\n"
#define AUTHSENDERS \
	"anna@example.org:whole|a|1\n" \
	"@example.org:domain|b|2\n" \
	".example.org:sub|c|3\n" \
	".com:com:587|d|4\n" \
	".doe@example.net:doe\n" \
	"wrong@example.net:relay|u\n"

static const struct find_row {
	const char *file, *subject;
	enum route_control_result result;
	const char *host;
} smtproutes_rows[] =
	{
		{SMTPROUTES, "example.org", ROUTE_CONTROL_FOUND, "one"},
		{SMTPROUTES, "EXAMPLE.org", ROUTE_CONTROL_FOUND, "one"},
		{SMTPROUTES, "a.example.org", ROUTE_CONTROL_FOUND, "two"},
		{SMTPROUTES, "a.b.Example.ORG", ROUTE_CONTROL_FOUND, "two"},
		{SMTPROUTES, "upper.example", ROUTE_CONTROL_FOUND, "three"},
		{SMTPROUTES, "xexample.org", ROUTE_CONTROL_MISSING, ""},
		{SMTPROUTES, "nomap", ROUTE_CONTROL_MISSING, ""},
		{SMTPROUTES, "org", ROUTE_CONTROL_MISSING, ""},
		{SMTPROUTES, "empty.example", ROUTE_CONTROL_FOUND, ""},
		{SMTPROUTES, "twice.example", ROUTE_CONTROL_FOUND, "second"},
		{SMTPROUTES, "wrong.example", ROUTE_CONTROL_BROKEN, ""},
		{SMTPROUTES, "[192.0.2.1]", ROUTE_CONTROL_FOUND, "literal"},
		{SMTPROUTES, "# comment", ROUTE_CONTROL_MISSING, ""},
		{SMTPROUTES, "", ROUTE_CONTROL_MISSING, ""},
		{SMTPROUTES ":default\n", "other.example", ROUTE_CONTROL_FOUND, "default"},
		{SMTPROUTES ":default\n", "example.org", ROUTE_CONTROL_FOUND, "one"},
		{SMTPROUTES ":default\n", "", ROUTE_CONTROL_FOUND, "default"},
		{"@b:no\n", "a@b", ROUTE_CONTROL_MISSING, ""},
		{"", "example.org", ROUTE_CONTROL_MISSING, ""},
},
  authsenders_rows[] = {
	  {AUTHSENDERS, "anna@example.org", ROUTE_CONTROL_FOUND, "whole"},
	  {AUTHSENDERS, "ANNA@EXAMPLE.ORG", ROUTE_CONTROL_FOUND, "whole"},
	  {AUTHSENDERS, "bert@example.org", ROUTE_CONTROL_FOUND, "domain"},
	  {AUTHSENDERS, "bert@a.example.org", ROUTE_CONTROL_FOUND, "sub"},
	  {AUTHSENDERS, "bert@a.b.example.com", ROUTE_CONTROL_FOUND, "com"},
	  {AUTHSENDERS, "john.doe@example.net", ROUTE_CONTROL_FOUND, "doe"},
	  {AUTHSENDERS, "doe@example.net", ROUTE_CONTROL_MISSING, ""},
	  {AUTHSENDERS, "xanna@example.org", ROUTE_CONTROL_FOUND, "domain"},
	  {AUTHSENDERS, "wrong@example.net", ROUTE_CONTROL_BROKEN, ""},
	  {AUTHSENDERS, "", ROUTE_CONTROL_MISSING, ""},
	  {AUTHSENDERS ":default|u|p\n", "", ROUTE_CONTROL_FOUND, "default"},
	  {AUTHSENDERS ":default|u|p\n", "a@b", ROUTE_CONTROL_FOUND, "default"},
	  {"@example.com|generic|passwd\n", "a@example.com", ROUTE_CONTROL_MISSING, ""},
	  {"anna:local\n", "anna", ROUTE_CONTROL_FOUND, "local"},
};

static void check_find(const struct find_row *row, bool sender)
{
	struct base_slice file = exact_copy(base_slice_text(row->file));
	struct base_slice subject = exact_copy(base_slice_text(row->subject));
	struct route_control_relay r = {0};
	const char *why = NULL;
	enum route_control_result result = sender
		? route_control_authsender(file, subject, &r, &why)
		: route_control_smtproute(file, subject, &r, &why);

	if (result != row->result || !base_slice_equal_text(r.host, row->host))
		fail_msg("%s: result %d, host %.*s", row->subject, (int)result,
			BASE_SLICE_ARGS(r.host));
	free_copy(file);
	free_copy(subject);
}

static void lookups(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(smtproutes_rows); i++)
		check_find(&smtproutes_rows[i], false);
	for (size_t i = 0; i < BASE_COUNT(authsenders_rows); i++)
		check_find(&authsenders_rows[i], true);
}

static void tls_policies(void **state)
{
	static const char text[] = "a.example:none\nB.Example: MAY\r\nc.example:require\n"
				   "d.example:verify\ne.example:perhaps\nf.example\n"
				   "[::1]:none\n192.0.2.1:may\ng.example:none\ng.example:verify\n"
				   ":none\n";
	static const struct {
		const char *host;
		enum route_control_result result;
		enum route_control_tls tls;
	} rows[] = {
		{"a.example", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_NONE},
		{"A.EXAMPLE.", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_NONE},
		{"b.example", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_MAY},
		{"c.example", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_REQUIRE},
		{"d.example", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_VERIFY},
		{"e.example", ROUTE_CONTROL_BROKEN, ROUTE_CONTROL_TLS_UNSET},
		{"f.example", ROUTE_CONTROL_BROKEN, ROUTE_CONTROL_TLS_UNSET},
		{"g.example", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_VERIFY},
		{"x.a.example", ROUTE_CONTROL_MISSING, ROUTE_CONTROL_TLS_UNSET},
		{"::1", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_NONE},
		{"0:0::1", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_NONE},
		{"192.0.2.1", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_MAY},
		{"[192.0.2.1]", ROUTE_CONTROL_FOUND, ROUTE_CONTROL_TLS_MAY},
		{"", ROUTE_CONTROL_MISSING, ROUTE_CONTROL_TLS_UNSET},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		enum route_control_tls tls = ROUTE_CONTROL_TLS_UNSET;
		const char *why = NULL;
		enum route_control_result result = route_control_tlspolicy(
			base_slice_text(text), base_slice_text(rows[i].host), &tls, &why);

		if (result != rows[i].result || tls != rows[i].tls)
			fail_msg("%s: result %d, tls %d", rows[i].host, (int)result, (int)tls);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_line_files),
		cmocka_unit_test(lists),
		cmocka_unit_test(relay_lines),
		cmocka_unit_test(lookups),
		cmocka_unit_test(tls_policies),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
