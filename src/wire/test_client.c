/* What a server may say, and what a client makes of it. */
#include "wire/test_support.h"

#define HELLO "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t12\nCUID\t1\nCOOKIE\tab\nDONE\n"
#define HELLO_SEEN "mech PLAIN 2\ndone minor=2\n"

struct row {
	const char *name;
	struct base_slice in;
	const char *expected;
};

static bool events(void *codec, struct base_slice in, size_t *out_used, struct base_buf *scratch,
	struct base_buf *out)
{
	struct wire_dovecot_client *c = codec;
	size_t used;

	for (*out_used = 0;; *out_used += used) {
		enum wire_dovecot_client_event e = wire_dovecot_client_next(
			c, base_slice_from(in, *out_used), &used, scratch);

		switch (e) {
		case WIRE_CLIENT_MORE:
			*out_used += used;
			return true;
		case WIRE_CLIENT_MECH:
			base_buf_printf(out, "mech %.*s %u\n", BASE_SLICE_ARGS(c->mech_name),
				c->mech_flags);
			break;
		case WIRE_CLIENT_DONE:
			base_buf_printf(out, "done minor=%u\n", c->minor);
			break;
		case WIRE_CLIENT_OK:
			base_buf_printf(out, "ok %u", c->id);
			support_field(out, "user", c->user);
			base_buf_append_text(out, c->has_resp ? " resp=" : "");
			base_escape_log(c->resp, 100, out);
			base_buf_append_byte(out, '\n');
			break;
		case WIRE_CLIENT_FAIL:
			base_buf_printf(out, "fail %u %d", c->id, c->fail);
			support_field(out, "user", c->user);
			base_buf_append_byte(out, '\n');
			break;
		case WIRE_CLIENT_CONT:
			base_buf_printf(out, "cont %u", c->id);
			support_field(out, "resp", c->resp);
			support_field(out, "binding", c->binding);
			base_buf_append_text(out, c->out_of_band ? " oob\n" : "\n");
			break;
		case WIRE_CLIENT_BROKEN:
			*out_used += used;
			base_buf_append_text(out, "broken\n");
			return false;
		}
	}
}

static void check(const struct row *r, size_t step)
{
	struct wire_dovecot_client c;
	struct base_buf out;

	wire_dovecot_client_init(&c);
	base_buf_init(&out, 1 << 20);
	support_run(events, &c, r->in, step, &out);
	if (strcmp(base_buf_text(&out), r->expected) != 0)
		fail_msg("%s by %zu: %s", r->name, step, base_buf_text(&out));
	base_buf_release(&out);
}

static void replies(void **state)
{
	const struct row rows[] = {
		{"old servers", BASE_SLICE("VERSION\t1\t1\nMECH\tPLAIN\nDONE\n"),
			"mech PLAIN 0\ndone minor=1\n"},
		{"flags",
			BASE_SLICE(
				"VERSION\t1\t3\nMECH\tX\tanonymous\tmutual-auth\tchannel-binding\t"
				"private\tnew\nDONE\n"),
			"mech X 225\ndone minor=3\n"},
		{"another order, unknown words, empty lines",
			BASE_SLICE("SPID\t1\n\nHELLO\nVERSION\t1\t9\t"
				   "x\nCOOKIE\nMECH\tA\nDONE\n"),
			"mech A 0\ndone minor=9\n"},
		{"fields missing", BASE_SLICE("SPID\nCUID\nMECH\nMECH\t\n" HELLO), HELLO_SEEN},
		{"no version", BASE_SLICE("MECH\tA\nDONE\n"), "mech A 0\nbroken\n"},
		{"no mechanism", BASE_SLICE("VERSION\t1\t1\nDONE\n"), "broken\n"},
		{"bare version", BASE_SLICE("VERSION\n"), "broken\n"},
		{"version of one number", BASE_SLICE("VERSION\t1\n"), "broken\n"},
		{"another major", BASE_SLICE("VERSION\t2\t0\n"), "broken\n"},
		{"twice", BASE_SLICE("VERSION\t1\t0\nVERSION\t1\t0\n"), "broken\n"},
		{"reply before done", BASE_SLICE("VERSION\t1\t0\nOK\t1\tuser=a\n"), "broken\n"},
		{"nothing after broken", BASE_SLICE("VERSION\n" HELLO), "broken\n"},
		{"ok", BASE_SLICE(HELLO "OK\t1\tuser=anna\tx\tresp=dj1h\n"),
			HELLO_SEEN "ok 1 user=anna resp=v=a\n"},
		{"escapes in a user",
			BASE_SLICE(HELLO "OK\t1\tuser=a\1tb\1nc\0011d\1re\0010f\1xg\1\n"),
			HELLO_SEEN "ok 1 user=a\\x09b\\x0ac\\x01d\\x0de\\x00fxg\n"},
		{"ok without a user",
			BASE_SLICE(HELLO "OK\t1\nOK\t2\tuser\nOK\t3\tuser=\nOK\t4\tuser=a\n"),
			HELLO_SEEN "fail 1 1\nfail 2 1\nfail 3 1\nok 4 user=a\n"},
		{"ok with two users", BASE_SLICE(HELLO "OK\t1\tuser=a\tuser=b\n"),
			HELLO_SEEN "fail 1 1\n"},
		{"ok with bad base64", BASE_SLICE(HELLO "OK\t1\tuser=a\tresp=!\n"),
			HELLO_SEEN "fail 1 1\n"},
		{"bad numbers", BASE_SLICE(HELLO "OK\t0\tuser=a\n"), HELLO_SEEN "broken\n"},
		{"no number", BASE_SLICE(HELLO "OK\n"), HELLO_SEEN "broken\n"},
		{"number too large", BASE_SLICE(HELLO "FAIL\t4294967296\n"), HELLO_SEEN "broken\n"},
		{"largest number", BASE_SLICE(HELLO "FAIL\t4294967295\n"),
			HELLO_SEEN "fail 4294967295 0\n"},
		{"fail codes",
			BASE_SLICE(HELLO "FAIL\t1\tuser=a\nFAIL\t2\tcode=temp_fail\nFAIL\t3\ttemp\n"
					 "FAIL\t4\tcode=authz_fail\nFAIL\t5\tauthz\nFAIL\t6\tcode="
					 "user_disabled\n"
					 "FAIL\t7\tuser_disabled\nFAIL\t8\tpass_expired\tuser="
					 "b\nFAIL\t9\tcode=invalid_base64\n"
					 "FAIL\t10\tcode=news\treason=x\n"),
			HELLO_SEEN
			"fail 1 0 user=a\nfail 2 1\nfail 3 1\nfail 4 2\nfail 5 2\nfail 6 3\n"
			"fail 7 3\nfail 8 4 user=b\nfail 9 5\nfail 10 0\n"},
		{"challenges", BASE_SLICE(HELLO "CONT\t1\tYWJj\nCONT\t2\t\nCONT\t3\nCONT\t4\t!\n"),
			HELLO_SEEN "cont 1 resp=abc\ncont 2\ncont 3\nfail 4 1\n"},
		{"binding",
			BASE_SLICE(HELLO "CONT\t1\tYWJj\tchannel_binding=tls-exporter\n"
					 "CONT\t2\t#\tchannel_binding=tls-unique\nCONT\t3\t#\n"),
			HELLO_SEEN
			"cont 1 resp=abc binding=tls-exporter\ncont 2 binding=tls-unique oob\n"
			"fail 3 1\n"},
		{"after cancel", BASE_SLICE(HELLO "CANCELLED\t1\nOK\t1\tuser=a\n"),
			HELLO_SEEN "ok 1 user=a\n"},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		check(&rows[i], rows[i].in.len);
		check(&rows[i], 1);
		check(&rows[i], 7);
	}
}

static void lines_have_a_limit(void **state)
{
	struct wire_dovecot_client c;
	struct base_buf in, out;

	base_buf_init(&in, 1 << 20);
	base_buf_init(&out, 1 << 20);
	base_buf_append_text(&in, HELLO "X\t");
	while (in.len < sizeof(HELLO) - 1 + WIRE_DOVECOT_LINE_MAX_BYTES - 1)
		base_buf_append_byte(&in, 'x');
	base_buf_append_text(&in, "\nFAIL\t1\n");
	wire_dovecot_client_init(&c);
	support_run(events, &c, base_buf_slice(&in), 1000, &out);
	assert_string_equal(base_buf_text(&out), HELLO_SEEN "fail 1 0\n");
	base_buf_clear(&out);
	in.ptr[sizeof(HELLO) - 1 + WIRE_DOVECOT_LINE_MAX_BYTES - 1] = 'x';
	wire_dovecot_client_init(&c);
	support_run(events, &c, base_buf_slice(&in), 1000, &out);
	assert_string_equal(base_buf_text(&out), HELLO_SEEN "broken\n");
	base_buf_release(&in);
	base_buf_release(&out);
}

static void requests(void **state)
{
	const struct base_slice empty = BASE_SLICE_EMPTY, initial = BASE_SLICE("\0a\0b");
	struct wire_dovecot_auth auth = {.mechanism = BASE_SLICE("PLAIN")};
	struct base_buf out;

	base_buf_init_secret(&out, 1 << 20);
	wire_dovecot_client_hello(&out, 77);
	assert_true(wire_dovecot_client_auth(&out, 1, &auth));
	auth = (struct wire_dovecot_auth){.mechanism = BASE_SLICE("X\tY"),
		.nologin = true,
		.no_penalty = true,
		.final_resp_ok = true,
		.secured = true,
		.plus_offered = true,
		.local_ip = BASE_SLICE("10.0.0.1"),
		.local_port = 587,
		.remote_ip = BASE_SLICE("::1"),
		.remote_port = 1,
		.local_name = BASE_SLICE("a\tsecured\n"),
		.session = BASE_SLICE("s"),
		.initial = &initial};
	assert_true(wire_dovecot_client_auth(&out, 2, &auth));
	auth = (struct wire_dovecot_auth){.mechanism = BASE_SLICE("PLAIN"), .initial = &empty};
	assert_true(wire_dovecot_client_auth(&out, 3, &auth));
	assert_true(wire_dovecot_client_cont(&out, 3, BASE_SLICE("abc"), NULL, false));
	assert_true(wire_dovecot_client_cont(&out, 3, empty, NULL, false));
	assert_true(wire_dovecot_client_cont(&out, 3, BASE_SLICE("abc"), &initial, false));
	assert_true(wire_dovecot_client_cont(&out, 3, empty, &initial, true));
	assert_true(wire_dovecot_client_cancel(&out, 3));
	assert_string_equal(base_buf_text(&out),
		"VERSION\t1\t3\nCPID\t77\n"
		"AUTH\t1\tPLAIN\tservice=smtp\n"
		"AUTH\t2\tX\1tY\tservice=smtp\tnologin\tno-penalty\tfinal-resp-ok\tsecured="
		"tls\tlip=10.0.0.1\t"
		"lport=587\trip=::1\trport=1\tlocal_name=a\1tsecured\1n\tsession=s\tpostern_plus="
		"1\t"
		"resp=AGEAYg==\n"
		"AUTH\t3\tPLAIN\tservice=smtp\tresp==\n"
		"CONT\t3\tYWJj\nCONT\t3\t\nCONT\t3\tYWJj\tchannel_binding=AGEAYg==\n"
		"CONT\t3\t#\tchannel_binding=AGEAYg==\nCANCEL\t3\n");
	base_buf_release(&out);
}

static void too_long_a_request_is_not_begun(void **state)
{
	char *text = base_alloc(20000);
	struct base_slice data = base_slice_make(text, 12200);
	struct wire_dovecot_auth auth = {.mechanism = BASE_SLICE("PLAIN"), .initial = &data};
	struct base_buf out;

	memset(text, 1, 20000);
	base_buf_init_secret(&out, 1 << 20);
	assert_true(wire_dovecot_client_auth(&out, 1, &auth));
	base_buf_clear(&out);
	data.len = 12280;
	assert_false(wire_dovecot_client_auth(&out, 1, &auth));
	assert_false(wire_dovecot_client_cont(&out, 1, base_slice_make(text, 20000), NULL, false));
	assert_int_equal(out.len, 0);
	assert_true(base_buf_ok(&out));
	base_buf_release(&out);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(replies),
		cmocka_unit_test(lines_have_a_limit),
		cmocka_unit_test(requests),
		cmocka_unit_test(too_long_a_request_is_not_begun),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
