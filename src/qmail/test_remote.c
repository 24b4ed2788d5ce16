#include "base/test_support.h"
#include "qmail/remote.h"

#include <stdio.h>
#include <unistd.h>

/* plan */

static const char *const plan_authsenders = "anna@example.org:smart.example:587|anna|p|w:1\n"
					    "@example.org:mx2.example;465|org|secret\n"
					    "@route.example:other.example\n"
					    "@mx.example:|u|p\n"
					    "@none.example:\n"
					    "@wrong.example:relay|u\n";
static const char *const plan_smtproutes = "dest.example:relay.example:26\n"
					   ".dest.example:sub.example\n"
					   "auth.example:relay.example|u|p\n"
					   "plain.example:relay.example -u p w\n"
					   "byport.example::2525\n"
					   "wrong.example:relay:x\n"
					   "v6.example:[2001:db8::1]:587\n";

static const struct plan_row {
	const char *host, *sender;
	const char *why; /* null: there is a plan */
	const char *relay;
	bool routed;
	uint16_t port;
	const char *user, *password;
} plan_rows[] = {
	{"dest.example", "x@y.example", 0, "relay.example", true, 26, 0, 0},
	{"DEST.example", "", 0, "relay.example", true, 26, 0, 0},
	{"a.dest.example", "x@y.example", 0, "sub.example", true, 0, 0, 0},
	{"other.example", "x@y.example", 0, "other.example", false, 0, 0, 0},
	{"auth.example", "x@y.example", 0, "relay.example", true, 0, "u", "p"},
	{"plain.example", "x@y.example", 0, "relay.example", true, 0, "u", "p w"},
	{"byport.example", "x@y.example", 0, "byport.example", false, 2525, 0, 0},
	{"v6.example", "x@y.example", 0, "2001:db8::1", true, 587, 0, 0},
	/* authsenders replace host, port and credentials */
	{"auth.example", "anna@example.org", 0, "smart.example", true, 587, "anna", "p|w:1"},
	{"auth.example", "Bert@Example.ORG", 0, "mx2.example", true, 465, "org", "secret"},
	{"auth.example", "x@route.example", 0, "other.example", true, 0, 0, 0},
	{"auth.example", "x@mx.example", 0, "auth.example", false, 0, "u", "p"},
	{"auth.example", "x@none.example", 0, "relay.example", true, 0, "u", "p"},
	{"auth.example", "x@wrong.example",
		"ZUnable to use control/authsenders: the line for this message is wrong: a user "
		"without a password. (#4.3.0)\n",
		0, false, 0, 0, 0},
	{"wrong.example", "x@y.example",
		"ZUnable to use control/smtproutes: the line for this message is wrong: the port "
		"is no number from 1 to 65535. (#4.3.0)\n",
		0, false, 0, 0, 0},
};

static void check_plan(const struct plan_row *row)
{
	struct remote_control c = {.file = {{NULL, 0}}};
	struct remote_plan plan;
	struct base_buf why;
	bool ok;

	c.file[REMOTE_FILE_ME] = BASE_SLICE("me.example\n");
	c.file[REMOTE_FILE_AUTHSENDERS] = base_slice_text(plan_authsenders);
	c.file[REMOTE_FILE_SMTPROUTES] = base_slice_text(plan_smtproutes);
	base_buf_init(&why, 4096);
	ok = remote_plan_make(
		&c, base_slice_text(row->host), base_slice_text(row->sender), &plan, &why);
	if (ok != (row->why == NULL) || (!ok && strcmp(base_buf_text(&why), row->why) != 0))
		fail_msg("%s %s: %s", row->host, row->sender, base_buf_text(&why));
	if (ok &&
		(!base_slice_equal_text(plan.host, row->relay) || plan.routed != row->routed ||
			plan.port != row->port || plan.credentials != (row->user != NULL) ||
			!base_slice_equal_text(plan.user, row->user) ||
			!base_slice_equal_text(plan.password, row->password)))
		fail_msg("%s %s: %.*s port %u user %.*s", row->host, row->sender,
			BASE_SLICE_ARGS(plan.host), plan.port, BASE_SLICE_ARGS(plan.user));
	base_buf_release(&why);
}

static void plans(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(plan_rows); i++)
		check_plan(&plan_rows[i]);
}

/* names, addresses, seconds */

static const struct source_row {
	const char *helohost, *outgoingip, *domainips, *sender;
	const char *why;
	const char *helo, *ip, *interface;
} source_rows[] = {
	{0, 0, 0, "a@b", 0, "me.example", "", ""},
	{"helo.example \n", 0, 0, "a@b", 0, "helo.example", "", ""},
	{0, "192.0.2.1\n", 0, "a@b", 0, "me.example", "192.0.2.1", ""},
	{0, "0.0.0.0\n", 0, "a@b", 0, "me.example", "", ""},
	{0, "192.0.2.256\n", 0, "a@b", "Zinvalid ipaddr in control/outgoingip (#4.3.0)\n", 0, 0, 0},
	{0, "192.0.2.1\n", "b:192.0.2.2|b.example\nc:192.0.2.3\n", "a@b", 0, "b.example",
		"192.0.2.2", ""},
	{0, "192.0.2.1\n", "b:192.0.2.2|b.example\nc:192.0.2.3\n", "a@C", 0, "me.example",
		"192.0.2.3", ""},
	{0, "192.0.2.1\n", "b:192.0.2.2|b.example\n", "a@d", 0, "me.example", "192.0.2.1", ""},
	{0, "192.0.2.1\n", "b:2001:db8::1%eth0|b.example\n", "a@b", 0, "b.example", "2001:db8::1",
		"eth0"},
	{0, 0, ":192.0.2.9|all.example\nb:192.0.2.2\n", "", 0, "all.example", "192.0.2.9", ""},
	{0, 0, "b:192.0.2.2\n:192.0.2.9|all.example\n", "a@b", 0, "me.example", "192.0.2.2", ""},
	{0, 0, "b:|b.example\n", "a@b", 0, "b.example", "", ""},
	{0, 0, "b:nowhere\n", "a@b", "Zinvalid ipaddr in control/domainips (#4.3.0)\n", 0, 0, 0},
};

static void check_source(const struct source_row *row)
{
	struct remote_control c = {.file = {{NULL, 0}}};
	struct remote_plan plan;
	struct base_buf why, ip;
	bool ok;

	c.file[REMOTE_FILE_ME] = BASE_SLICE("me.example\n");
	c.file[REMOTE_FILE_HELOHOST] = base_slice_text(row->helohost);
	c.file[REMOTE_FILE_OUTGOINGIP] = base_slice_text(row->outgoingip);
	c.file[REMOTE_FILE_DOMAINIPS] = base_slice_text(row->domainips);
	base_buf_init(&why, 4096);
	base_buf_init(&ip, 100);
	ok = remote_plan_make(&c, BASE_SLICE("h"), base_slice_text(row->sender), &plan, &why);
	assert_int_equal(ok, row->why == NULL);
	if (!ok) {
		assert_string_equal(base_buf_text(&why), row->why);
	} else {
		if (plan.source.family != BASE_ADDR_NONE)
			base_addr_format(&plan.source, &ip);
		assert_string_equal(base_buf_text(&ip), row->ip);
		assert_true(base_slice_equal_text(plan.interface, row->interface));
		assert_true(base_slice_equal_text(plan.helo, row->helo));
	}
	base_buf_release(&why);
	base_buf_release(&ip);
}

static void sources(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(source_rows); i++)
		check_source(&source_rows[i]);
}

static void names_are_needed_and_seconds_have_defaults(void **state)
{
	struct remote_control c = {.file = {{NULL, 0}}};
	struct remote_plan plan;
	struct base_buf why;

	(void)state;
	base_buf_init(&why, 4096);
	assert_false(remote_plan_make(&c, BASE_SLICE("h"), BASE_SLICE(""), &plan, &why));
	assert_string_equal(base_buf_text(&why), "ZUnable to read control files. (#4.3.0)\n");
	c.file[REMOTE_FILE_HELOHOST] = BASE_SLICE("helo.example\n");
	assert_true(remote_plan_make(&c, BASE_SLICE("h"), BASE_SLICE(""), &plan, &why));
	assert_int_equal(plan.connect_s, 60);
	assert_int_equal(plan.reply_s, 1200);
	c.file[REMOTE_FILE_TIMEOUTCONNECT] = BASE_SLICE("5\n");
	c.file[REMOTE_FILE_TIMEOUTREMOTE] = BASE_SLICE("99999999999\n");
	assert_true(remote_plan_make(&c, BASE_SLICE("h"), BASE_SLICE(""), &plan, &why));
	assert_int_equal(plan.connect_s, 5);
	assert_int_equal(plan.reply_s, 1000000);
	base_buf_release(&why);
}

/* TLS */

static void tls_policies(void **state)
{
	static const char policy[] = "none.example:none\nmay.example:may\nrequire.example:require\n"
				     "verify.example:verify\nmx.none.example:none\n";
	static const struct {
		const char *host, *mx;
		uint16_t port;
		bool credentials;
		enum smtp_client_tls mode;
		bool verify, plaintext;
	} rows[] = {
		{"x.example", "x.example", 0, false, SMTP_CLIENT_TLS_MAY, false, false},
		{"x.example", "x.example", 0, true, SMTP_CLIENT_TLS_REQUIRE, true, false},
		{"none.example", "none.example", 0, false, SMTP_CLIENT_TLS_NONE, false, false},
		{"none.example", "none.example", 587, true, SMTP_CLIENT_TLS_NONE, false, true},
		{"may.example", "may.example", 0, false, SMTP_CLIENT_TLS_MAY, false, false},
		{"MAY.example", "may.example", 0, true, SMTP_CLIENT_TLS_REQUIRE, true, false},
		{"require.example", "require.example", 0, false, SMTP_CLIENT_TLS_REQUIRE, false,
			false},
		{"require.example", "require.example", 0, true, SMTP_CLIENT_TLS_REQUIRE, false,
			true},
		{"verify.example", "verify.example", 0, false, SMTP_CLIENT_TLS_REQUIRE, true,
			false},
		{"verify.example", "verify.example", 0, true, SMTP_CLIENT_TLS_REQUIRE, true, false},
		{"x.example", "x.example", 465, true, SMTP_CLIENT_TLS_IMPLICIT, true, false},
		{"x.example", "x.example", 465, false, SMTP_CLIENT_TLS_IMPLICIT, false, false},
		{"require.example", "require.example", 465, true, SMTP_CLIENT_TLS_IMPLICIT, false,
			true},
		/* an MX has a policy only where its domain has none */
		{"x.example", "mx.none.example", 0, false, SMTP_CLIENT_TLS_NONE, false, false},
		{"verify.example", "mx.none.example", 0, false, SMTP_CLIENT_TLS_REQUIRE, true,
			false},
		/* and for a password only if it is one of the domain's own names */
		{"x.example", "mx.none.example", 0, true, SMTP_CLIENT_TLS_REQUIRE, true, false},
		{"none.example", "x.none.example", 0, true, SMTP_CLIENT_TLS_NONE, false, true},
		{"None.Example", "mx.none.example", 0, true, SMTP_CLIENT_TLS_NONE, false, true},
	};
	struct remote_control c = {.file = {{NULL, 0}}};
	struct base_buf why;

	(void)state;
	base_buf_init(&why, 4096);
	c.file[REMOTE_FILE_TLSPOLICY] = base_slice_text(policy);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct remote_plan plan = {.host = base_slice_text(rows[i].host),
			.port = rows[i].port,
			.credentials = rows[i].credentials};
		struct remote_tls tls;

		assert_true(remote_plan_tls(&c, &plan, rows[i].mx, &tls, &why));
		if (tls.mode != rows[i].mode || tls.verify != rows[i].verify ||
			tls.allow_plaintext != rows[i].plaintext)
			fail_msg("row %zu: mode %d verify %d plaintext %d", i, (int)tls.mode,
				tls.verify, tls.allow_plaintext);
	}
	c.file[REMOTE_FILE_TLSPOLICY] = BASE_SLICE("x.example:perhaps\n");
	{
		struct remote_plan plan = {.host = BASE_SLICE("x.example")};
		struct remote_tls tls;

		assert_false(remote_plan_tls(&c, &plan, "x.example", &tls, &why));
		assert_true(why.ptr[0] == 'Z');
	}
	base_buf_release(&why);
}

static void names_in_certificates(void **state)
{
	static const struct {
		const char *host, *mx;
		bool routed, credentials;
		const char *want;
	} rows[] = {
		{"relay.example", "relay.example", true, true, "relay.example"},
		{"relay.example.", "relay.example", true, true, "relay.example"},
		{"192.0.2.1", "192.0.2.1", true, true, "192.0.2.1"},
		{"[192.0.2.1]", "[192.0.2.1]", false, false, "192.0.2.1"},
		{"[IPv6:::1]", "[IPv6:::1]", false, false, "::1"},
		{"example.org", "mx.other.example", false, false, "mx.other.example"},
		{"example.org", "mx.other.example", false, true, "example.org"},
		{"example.org", "mx.Example.org", false, true, "mx.Example.org"},
		{"example.org.", "mx.example.org", false, true, "mx.example.org"},
		{"example.org", "mxexample.org", false, true, "example.org"},
		{"example.org", "example.org", false, true, "example.org"},
	};
	char name[ROUTE_DNS_NAME_MAX_BYTES];

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct remote_plan plan = {.host = base_slice_text(rows[i].host),
			.routed = rows[i].routed,
			.credentials = rows[i].credentials};

		remote_plan_tls_name(&plan, rows[i].mx, name);
		assert_string_equal(name, rows[i].want);
	}
}

static void addresses_are_quoted(void **state)
{
	static const struct {
		const char *address, *want;
	} rows[] = {
		{"anna@example.org", "anna@example.org"},
		{"a.b+c=d@example.org", "a.b+c=d@example.org"},
		{"", ""},
		{"postmaster", "postmaster"},
		{"a b@example.org", "\"a b\"@example.org"},
		{"a@b@example.org", "\"a@b\"@example.org"},
		{"a\"b\\c@example.org", "\"a\\\"b\\\\c\"@example.org"},
		{".a@x", "\".a\"@x"},
		{"a.@x", "\"a.\"@x"},
		{"a..b@x", "\"a..b\"@x"},
		{"@x", "\"\"@x"},
		{"a>b@x", "\"a>b\"@x"},
		{"\xc3\xa4@x", "\xc3\xa4@x"},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf out;

		base_buf_init(&out, 1000);
		remote_address_quote(base_slice_text(rows[i].address), &out);
		assert_string_equal(base_buf_text(&out), rows[i].want);
		base_buf_release(&out);
	}
}

/* reports */

static void reports_leave_in_order(void **state)
{
	static const char want[] = "r\0hno\n\0slater\n\0Kdone\n";
	struct remote_report r;

	(void)state;
	remote_report_init(&r, 3);
	remote_report_rcpt(&r, 2, 's', "later\n");
	assert_int_equal(r.out.len, 0);
	remote_report_rcpt(&r, 0, 'r', NULL);
	remote_report_rcpt(&r, 0, 'h', "twice\n");
	remote_report_rcpt(&r, 1, 'h', "no\n");
	remote_report_message(&r, "Kdone\n");
	remote_report_message(&r, "Zagain\n");
	assert_int_equal(r.out.len, sizeof(want));
	assert_memory_equal(r.out.ptr, want, sizeof(want));
	remote_report_release(&r);
}

static void an_early_end_leaves_the_rest_out(void **state)
{
	static const char want[] = "r\0Zlost\n";
	struct remote_report r;

	(void)state;
	remote_report_init(&r, 3);
	remote_report_rcpt(&r, 0, 'r', NULL);
	remote_report_rcpt(&r, 2, 'h', "not told\n");
	remote_report_message(&r, "Zlost\n");
	remote_report_rcpt(&r, 1, 'r', NULL);
	assert_int_equal(r.out.len, sizeof(want));
	assert_memory_equal(r.out.ptr, want, sizeof(want));
	remote_report_release(&r);
}

static void strangers_text_is_tame(void **state)
{
	static uint8_t big[3 * REMOTE_REPLY_MAX_BYTES];
	struct base_buf out;

	(void)state;
	base_buf_init(&out, 1 << 20);
	remote_report_said(BASE_SLICE("550-a\0Kb\r\t\x1b[2J\x7f\n550 \xc3\xa4"), &out);
	assert_string_equal(base_buf_text(&out), "550-a?Kb???[2J?\n550 \xc3\xa4\n");
	base_buf_clear(&out);
	remote_report_said(BASE_SLICE_EMPTY, &out);
	assert_int_equal(out.len, 0);
	memset(big, 'x', sizeof(big));
	remote_report_said(base_slice_make(big, sizeof(big)), &out);
	assert_int_equal(out.len, REMOTE_REPLY_MAX_BYTES + 1);
	base_buf_clear(&out);
	big[100] = '\n';
	remote_report_said(base_slice_make(big, sizeof(big)), &out);
	assert_int_equal(out.len, 101);
	base_buf_clear(&out);
	remote_report_word(BASE_SLICE("a b\n\xc3\0c"), &out);
	assert_string_equal(base_buf_text(&out), "a?b???c");
	base_buf_release(&out);
}

/* the message */

static int file_with(const char *text)
{
	FILE *f = tmpfile();
	int fd;

	assert_non_null(f);
	fd = dup(fileno(f));
	fclose(f);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void facts(void **state)
{
	static const struct {
		const char *text;
		uint64_t size;
		bool has_8bit;
	} rows[] = {
		{"", 0, false},
		{"a\n", 3, false},
		{"a\r\nb\n", 6, false},
		{"\xc3\xa4\n\n", 6, true},
		{"partial\nline", 0, false},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct remote_message m;
		struct remote_message_facts f;
		int fd = file_with(rows[i].text);

		remote_message_init(&m, fd);
		f = remote_message_scan(&m);
		assert_int_equal(f.size_bytes, rows[i].size);
		assert_int_equal(f.has_8bit, rows[i].has_8bit);
		remote_message_fill(&m);
		assert_true(m.ended);
		assert_int_equal(m.len, strlen(rows[i].text));
		remote_message_release(&m);
		close(fd);
	}
}

static void a_pipe_has_no_facts(void **state)
{
	struct remote_message m;
	int fds[2];

	(void)state;
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], "a\n", 2), 2);
	close(fds[1]);
	remote_message_init(&m, fds[0]);
	assert_int_equal(remote_message_scan(&m).size_bytes, 0);
	remote_message_fill(&m);
	assert_true(m.ended && m.len == 2 && m.last_byte == '\n');
	remote_message_release(&m);
	close(fds[0]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plans),
		cmocka_unit_test(sources),
		cmocka_unit_test(names_are_needed_and_seconds_have_defaults),
		cmocka_unit_test(tls_policies),
		cmocka_unit_test(names_in_certificates),
		cmocka_unit_test(addresses_are_quoted),
		cmocka_unit_test(reports_leave_in_order),
		cmocka_unit_test(an_early_end_leaves_the_rest_out),
		cmocka_unit_test(strangers_text_is_tame),
		cmocka_unit_test(facts),
		cmocka_unit_test(a_pipe_has_no_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
