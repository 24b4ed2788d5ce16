/* What other programs say to auth, and what they are told. */
#include "wire/test_support.h"

struct row {
	const char *name;
	struct base_slice in;
	const char *expected;
};

static void describe(const struct wire_dovecot_server *s, struct base_buf *out)
{
	const struct wire_dovecot_request *r = &s->request;

	base_buf_printf(out, "auth %u", s->id);
	support_field(out, "mech", r->mechanism);
	support_field(out, "service", r->service);
	support_field(out, "lip", r->local_ip);
	support_field(out, "rip", r->remote_ip);
	if (r->local_port)
		base_buf_printf(out, " lport=%u", (unsigned)r->local_port);
	if (r->remote_port)
		base_buf_printf(out, " rport=%u", (unsigned)r->remote_port);
	support_field(out, "name", r->local_name);
	support_field(out, "session", r->session);
	base_buf_printf(out, "%s%s%s%s%s%s", r->secured ? " secured" : "",
		r->secured_tls ? " tls" : "", r->plus_offered ? " plus" : "",
		r->final_resp_ok ? " final" : "", r->no_penalty ? " no-penalty" : "",
		r->has_initial ? " initial=" : "");
	base_escape_log(r->initial, 100, out);
	base_buf_append_byte(out, '\n');
}

static bool events(void *codec, struct base_slice in, size_t *out_used, struct base_buf *scratch,
	struct base_buf *out)
{
	struct wire_dovecot_server *s = codec;
	size_t used;

	for (*out_used = 0;; *out_used += used) {
		enum wire_dovecot_server_event e = wire_dovecot_server_next(
			s, base_slice_from(in, *out_used), &used, scratch);

		switch (e) {
		case WIRE_SERVER_MORE:
			*out_used += used;
			return true;
		case WIRE_SERVER_VERSION:
			base_buf_printf(out, "version %u\n", s->minor);
			break;
		case WIRE_SERVER_AUTH:
			describe(s, out);
			break;
		case WIRE_SERVER_CONT:
			base_buf_printf(out, "cont %u", s->id);
			support_field(out, "resp", s->response);
			support_field(out, "binding", s->binding);
			base_buf_append_text(out, s->out_of_band ? " oob\n" : "\n");
			break;
		case WIRE_SERVER_CANCEL:
			base_buf_printf(out, "cancel %u\n", s->id);
			break;
		case WIRE_SERVER_BAD:
			base_buf_printf(out, "bad %u\n", s->id);
			break;
		case WIRE_SERVER_BROKEN:
			*out_used += used;
			base_buf_append_text(out, "broken\n");
			return false;
		}
	}
}

static void check(const struct row *r, size_t step)
{
	struct wire_dovecot_server s;
	struct base_buf out;

	wire_dovecot_server_init(&s);
	base_buf_init(&out, 1 << 20);
	support_run(events, &s, r->in, step, &out);
	if (strcmp(base_buf_text(&out), r->expected) != 0)
		fail_msg("%s by %zu: %s", r->name, step, base_buf_text(&out));
	base_buf_release(&out);
}

static void requests(void **state)
{
	const struct row rows[] = {
		{"as Postfix does",
			BASE_SLICE(
				"VERSION\t1\t0\nCPID\t99\nAUTH\t1\tplain\tservice=smtp\t"
				"nologin\tlip=10.0.0.1\trip=192.0.2.7\tsecured\tresp=AGEAYg==\n"),
			"version 0\nauth 1 mech=plain service=smtp lip=10.0.0.1 rip=192.0.2.7 "
			"secured "
			"initial=\\x00a\\x00b\n"},
		{"Postfix with empty addresses",
			BASE_SLICE("VERSION\t1\t0\nCPID\t99\nAUTH\t1\tLOGIN\t"
				   "service=smtp\tnologin\tlip=\trip=\n"),
			"version 0\nauth 1 mech=LOGIN service=smtp\n"},
		{"as Exim does",
			BASE_SLICE("VERSION\t1\t0\nCPID\t5\nAUTH\t1\tLOGIN\tservice=smtp\tsecured\t"
				   "rip=1.2.3.4\tlip=5.6.7.8\tnologin\tresp=\n"),
			"version 0\nauth 1 mech=LOGIN service=smtp lip=5.6.7.8 rip=1.2.3.4 "
			"secured\n"},
		{"as Dovecot does",
			BASE_SLICE("VERSION\t1\t3\nCPID\t5\nAUTH\t7\tX\tprotocol=smtp\tlport=587\t"
				   "rport=70000\tsecured=tls\tsession=a\1tb\tfinal-resp-ok\tno-"
				   "penalty\tresp=\n"),
			"version 3\nauth 7 mech=X service=smtp lport=587 session=a\\x09b secured "
			"tls final "
			"no-penalty initial=\n"},
		{"as our front does",
			BASE_SLICE("VERSION\t1\t3\nAUTH\t1\tX\tservice=smtp\tpostern_plus=1\t"
				   "local_name=mx\n"),
			"version 3\nauth 1 mech=X service=smtp name=mx plus\n"},
		{"empty response by version",
			BASE_SLICE("VERSION\t1\t1\nAUTH\t1\tX\tresp=\nAUTH\t2\tX\tresp"
				   "==\nAUTH\t3\tX\n"),
			"version 1\nauth 1 mech=X\nauth 2 mech=X initial=\nauth 3 mech=X\n"},
		{"nothing comes out of a response",
			BASE_SLICE("AUTH\t1\tPLAIN\tresp=AGEAYg==\tsecured=tls\n"
				   "AUTH\t2\tPLAIN\tresp=!\nAUTH\t3\nAUTH\t4\tPLAIN\tresp= AAAA\n"),
			"bad 1\nbad 2\nbad 3\nbad 4\n"},
		{"old clients hand on a stranger's line",
			BASE_SLICE("VERSION\t1\t1\nCONT\t1\tAAAA\t"
				   "channel_binding="
				   "AAAA\nCONT\t2\tYWJj\nCONT\t3\t\nCONT\t4\nCONT\t5\t#\n"),
			"version 1\nbad 1\ncont 2 resp=abc\ncont 3\ncont 4\nbad 5\n"},
		{"binding",
			BASE_SLICE("VERSION\t1\t3\nCONT\t1\tYWJj\tchannel_binding=eHg=\tx\n"
				   "CONT\t2\t#\tchannel_binding=eHg=\nCONT\t3\t#"
				   "\nCONT\t4\tYWJj\tchannel_binding=!\n"
				   "CONT\t5\tYWJj\tchannel_binding=eA==\tchannel_binding=eA==\n"),
			"version 3\ncont 1 resp=abc binding=xx\ncont 2 binding=xx oob\nbad 3\nbad "
			"4\nbad 5\n"},
		{"cancel", BASE_SLICE("CANCEL\t1\nCANCEL\t2\tx\n"), "cancel 1\ncancel 2\n"},
		{"bad numbers", BASE_SLICE("AUTH\t0\tPLAIN\n"), "broken\n"},
		{"no number", BASE_SLICE("AUTH\n"), "broken\n"},
		{"negative", BASE_SLICE("CANCEL\t-1\n"), "broken\n"},
		{"versions", BASE_SLICE("VERSION\t1\t2\nVERSION\t1\t2\n"), "version 2\nbroken\n"},
		{"another major", BASE_SLICE("VERSION\t2\t0\n"), "broken\n"},
		{"bare version", BASE_SLICE("VERSION\n"), "broken\n"},
		{"a master", BASE_SLICE("REQUEST\t1\t2\t3\tcookie\n"), "broken\n"},
		{"unknown words and empty lines", BASE_SLICE("\nNEWS\t1\n\t\nCPID\nCANCEL\t9\n"),
			"cancel 9\n"},
		{"strange bytes", BASE_SLICE("AUTH\t1\tP\0\r\1\tx\1\n"),
			"auth 1 mech=P\\x00\\x0d\n"},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		check(&rows[i], rows[i].in.len);
		check(&rows[i], 1);
		check(&rows[i], 7);
	}
}

static void golden_handshake(void **state)
{
	static const uint8_t cookie[WIRE_DOVECOT_COOKIE_BYTES] = {0xab, 0xcd};
	struct base_buf out;

	base_buf_init(&out, 4096);
	wire_dovecot_server_version(&out);
	wire_dovecot_server_mech(&out, BASE_SLICE("PLAIN"), WIRE_MECH_PLAINTEXT);
	wire_dovecot_server_mech(&out, BASE_SLICE("SCRAM-SHA-256-PLUS"),
		WIRE_MECH_MUTUAL_AUTH | WIRE_MECH_CHANNEL_BINDING);
	wire_dovecot_server_end(&out, 12, 3, cookie);
	assert_string_equal(base_buf_text(&out),
		"VERSION\t1\t4\nMECH\tPLAIN\tplaintext\n"
		"MECH\tSCRAM-SHA-256-PLUS\tmutual-auth\tchannel-binding\nSPID\t12\nCUID\t3\n"
		"COOKIE\tabcd0000000000000000000000000000\nDONE\n");
	base_buf_release(&out);
}

static void replies(void **state)
{
	const struct base_slice final = BASE_SLICE("v=a"), none = BASE_SLICE_EMPTY;
	struct base_buf out;

	base_buf_init(&out, 1 << 20);
	assert_true(wire_dovecot_server_ok(&out, 1, BASE_SLICE("a\tb"), NULL));
	assert_true(wire_dovecot_server_ok(&out, 2, BASE_SLICE("a"), &final));
	assert_true(wire_dovecot_server_fail(&out, 3, none, WIRE_FAIL_REJECTED, 0));
	assert_true(wire_dovecot_server_fail(&out, 4, BASE_SLICE("a\n"), WIRE_FAIL_TEMPORARY, 0));
	assert_true(wire_dovecot_server_fail(&out, 5, none, WIRE_FAIL_DISABLED, 2));
	assert_true(wire_dovecot_server_fail(&out, 6, none, WIRE_FAIL_BASE64, 0));
	assert_true(wire_dovecot_server_cont(&out, 7, none, none, false, 0));
	assert_true(wire_dovecot_server_cont(&out, 8, final, none, false, 0));
	assert_true(wire_dovecot_server_cont(&out, 9, none, BASE_SLICE("tls-exporter"), true, 3));
	assert_true(wire_dovecot_server_cancelled(&out, 10));
	assert_string_equal(base_buf_text(&out),
		"OK\t1\tuser=a\1tb\nOK\t2\tuser=a\tresp=dj1h\nFAIL\t3\n"
		"FAIL\t4\tuser=a\1n\tcode=temp_fail\ttemp\nFAIL\t5\tcode=user_disabled\n"
		"FAIL\t6\tcode=invalid_base64\nCONT\t7\t\nCONT\t8\tdj1h\n"
		"CONT\t9\t#\tchannel_binding=tls-exporter\nCANCELLED\t10\n");
	base_buf_release(&out);
}

static void lines_have_a_limit(void **state)
{
	struct wire_dovecot_server s;
	struct base_buf in, out;

	base_buf_init(&in, 1 << 20);
	base_buf_init(&out, 1 << 20);
	base_buf_append_text(&in, "AUTH\t1\tPLAIN\tx=");
	while (in.len < WIRE_DOVECOT_LINE_MAX_BYTES - 1)
		base_buf_append_byte(&in, 'x');
	base_buf_append_byte(&in, '\n');
	wire_dovecot_server_init(&s);
	support_run(events, &s, base_buf_slice(&in), 999, &out);
	assert_string_equal(base_buf_text(&out), "auth 1 mech=PLAIN\n");
	base_buf_clear(&out);
	in.ptr[in.len - 1] = 'x';
	wire_dovecot_server_init(&s);
	support_run(events, &s, base_buf_slice(&in), 999, &out);
	assert_string_equal(base_buf_text(&out), "broken\n");
	base_buf_release(&in);
	base_buf_release(&out);
}

static void escapes_come_back(void **state)
{
	uint8_t all[256];
	struct base_buf escaped, back;

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	base_buf_init(&escaped, 1024);
	base_buf_init(&back, 1024);
	assert_true(wire_dovecot_escape(base_slice_make(all, sizeof(all)), &escaped));
	assert_int_equal(escaped.len, 256 + 5);
	for (size_t i = 0; i < escaped.len; i++)
		assert_true(escaped.ptr[i] != '\t' && escaped.ptr[i] != '\n' &&
			escaped.ptr[i] != '\r' && escaped.ptr[i] != '\0');
	assert_true(wire_dovecot_unescape(base_buf_slice(&escaped), &back));
	assert_int_equal(back.len, sizeof(all));
	assert_memory_equal(back.ptr, all, sizeof(all));
	base_buf_release(&escaped);
	base_buf_release(&back);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests),
		cmocka_unit_test(golden_handshake),
		cmocka_unit_test(replies),
		cmocka_unit_test(lines_have_a_limit),
		cmocka_unit_test(escapes_come_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
