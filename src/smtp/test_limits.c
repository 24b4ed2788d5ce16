#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/test_session.h"

/* What is too large, too many or too clever: generated input, beside the rows of test_server.c. */

static const struct test_setup small = {
	.announced = "PLAIN LOGIN CRAM-MD5",
	.size_max_bytes = 1000,
	.recipients_max = 3,
};
static const struct test_setup large = {.announced = "PLAIN LOGIN CRAM-MD5"};

#define START "EHLO c\r\nMAIL FROM:<a@x.y>\r\nRCPT TO:<b@x.y>\r\n"

static void open_transaction(struct test_session *t, const struct test_setup *setup)
{
	test_session_init(t, setup);
	test_feed(t, BASE_SLICE(START), 0, 0);
	base_buf_clear(&t->sent);
	base_buf_clear(&t->log);
}

static void assert_sent(struct test_session *t, const char *want)
{
	assert_string_equal(base_buf_text(&t->sent), want);
	base_buf_clear(&t->sent);
}

/* ---- what others took for the end of a message ---- */

static const struct {
	struct base_slice bytes;
	const char *reply;
} no_ends[] = {
#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}
#define NUL_REPLY "554 5.6.0 message holds a NUL\r\n"
#define CR_REPLY "554 5.6.0 message holds a CR without LF\r\n"
#define LF_REPLY "554 5.6.0 message holds a LF without CR\r\n"
#define QUEUED "250 2.0.0 queued\r\n"
	{S("\n.\n"), LF_REPLY},
	{S("\n.\r"), CR_REPLY},
	{S("\r.\n"), CR_REPLY},
	{S("\r.\r"), CR_REPLY},
	{S("\n.\r\n"), LF_REPLY},
	{S("\r.\r\n"), CR_REPLY},
	{S("\r\n\0.\r\n"), NUL_REPLY},
	{S("\r\n.\r"), CR_REPLY},
	{S("\r\n.\n"), LF_REPLY},
	{S("\r\n.\r\r\n"), CR_REPLY},
	{S("\r\r\n.\r\r\n"), CR_REPLY},
	{S("\r\n.\0\r\n"), NUL_REPLY},
	{S("\r\n.\t\r\n"), QUEUED},
	{S("\r\n. \r\n"), QUEUED},
	{S("\n\n.\n\n"), LF_REPLY},
	{S("\r\n..\r\n"), QUEUED},
	{S("\r\n.\r.\r\n"), CR_REPLY},
};

#define SMUGGLED "MAIL FROM:<evil@x.y>\r\nRCPT TO:<e@x.y>\r\nDATA\r\nsmuggled"

static void smuggle(size_t i, size_t size, size_t cut)
{
	struct test_session t;
	struct base_buf in;

	base_buf_init(&in, 4096);
	base_buf_append_text(&in, "DATA\r\nSubject: x\r\n\r\nhi");
	base_buf_append_slice(&in, no_ends[i].bytes);
	base_buf_append_text(&in, SMUGGLED "\r\n.\r\nNOOP\r\n");
	open_transaction(&t, &small);
	test_feed(&t, base_buf_slice(&in), size, cut);
	assert_true(base_slice_starts_with(base_buf_slice(&t.sent), BASE_SLICE("354 go\r\n")));
	base_buf_consume(&t.sent, 8);
	assert_true(
		base_slice_starts_with(base_buf_slice(&t.sent), base_slice_text(no_ends[i].reply)));
	base_buf_consume(&t.sent, strlen(no_ends[i].reply));
	assert_sent(&t, "250 2.0.0 ok\r\n");
	assert_int_equal(t.messages, no_ends[i].reply[0] == '2');
	test_session_release(&t);
	base_buf_release(&in);
}

static void only_crlf_dot_crlf_ends(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(no_ends); i++) {
		smuggle(i, 0, 0);
		smuggle(i, 1, 0);
		for (size_t cut = 1; cut < 60; cut++)
			smuggle(i, 0, cut);
	}
}

static void the_same_by_bdat(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(no_ends); i++) {
		struct test_session t;
		struct base_buf in;
		size_t len = 2 + no_ends[i].bytes.len + strlen(SMUGGLED);

		base_buf_init(&in, 4096);
		base_buf_printf(&in, "BDAT %zu LAST\r\nhi", len);
		base_buf_append_slice(&in, no_ends[i].bytes);
		base_buf_append_text(&in, SMUGGLED "NOOP\r\n");
		for (size_t size = 0; size < 3; size++) {
			open_transaction(&t, &small);
			test_feed(&t, base_buf_slice(&in), size, 0);
			assert_true(base_slice_ends_with_nocase(
				base_buf_slice(&t.sent), BASE_SLICE("\r\n250 2.0.0 ok\r\n")));
			assert_true(base_slice_starts_with(
				base_buf_slice(&t.sent), base_slice_text(no_ends[i].reply)));
			assert_int_equal(t.messages, no_ends[i].reply[0] == '2');
			test_session_release(&t);
		}
		base_buf_release(&in);
	}
}

/* ---- sizes ---- */

static void message_of(size_t len, bool bdat, const char *want)
{
	struct test_session t;
	struct base_buf in;

	base_buf_init(&in, 1u << 20);
	if (bdat)
		base_buf_printf(&in, "BDAT %zu LAST\r\n", len);
	else
		base_buf_append_text(&in, "DATA\r\n");
	for (size_t i = 0; i < len - 2; i++)
		base_buf_append_byte(&in, i % 80 == 79 ? '.' : 'x');
	base_buf_append_text(&in, bdat ? "\r\n" : "\r\n.\r\n");
	for (size_t size = 0; size < 4; size++) {
		open_transaction(&t, &small);
		test_feed(&t, base_buf_slice(&in), size, 0);
		if (!bdat)
			base_buf_consume(&t.sent, 8);
		assert_sent(&t, want);
		test_push(&t, BASE_SLICE("RCPT TO:<b@x.y>\r\n"));
		assert_sent(&t, "503 5.5.1 MAIL first\r\n");
		test_session_release(&t);
	}
	base_buf_release(&in);
}

static void size_is_counted(void **state)
{
	(void)state;
	for (int bdat = 0; bdat < 2; bdat++) {
		message_of(1000, bdat, QUEUED);
		message_of(1001, bdat, "552 5.3.4 message too large\r\n");
		message_of(9000, bdat, "552 5.3.4 message too large\r\n");
	}
}

static void the_added_line_end_counts(void **state)
{
	struct test_session t;
	uint8_t text[1000];

	(void)state;
	memset(text, 'x', sizeof(text));
	open_transaction(&t, &small);
	test_push(&t, BASE_SLICE("BDAT 999 LAST\r\n"));
	test_push(&t, base_slice_make(text, 999));
	assert_sent(&t, "552 5.3.4 message too large\r\n");
	test_session_release(&t);
}

static void a_large_chunk_is_refused_at_its_end(void **state)
{
	struct test_session t;
	uint8_t text[1500];

	(void)state;
	memset(text, 'x', sizeof(text));
	open_transaction(&t, &small);
	test_push(&t, BASE_SLICE("BDAT 1500\r\n"));
	test_push(&t, base_slice_make(text, 1499));
	assert_sent(&t, "");
	test_push(&t, BASE_SLICE("xBDAT 0 LAST\r\n"));
	assert_sent(&t, "552 5.3.4 message too large\r\n503 5.5.1 MAIL and RCPT first\r\n");
	test_session_release(&t);
}

static void long_text_lines_pass(void **state)
{
	struct test_session t;
	struct base_buf in;

	(void)state;
	base_buf_init(&in, 1u << 20);
	base_buf_append_text(&in, "DATA\r\n");
	for (size_t i = 0; i < 100000; i++)
		base_buf_append_byte(&in, 'x');
	base_buf_append_text(&in, "\r\n.\r\n");
	open_transaction(&t, &large);
	test_feed(&t, base_buf_slice(&in), 4096, 0);
	assert_sent(&t, "354 go\r\n" QUEUED);
	assert_int_equal(t.log.len, strlen("data message:") + 100002);
	test_session_release(&t);
	base_buf_release(&in);
}

/* ---- lines ---- */

/* @start, then 'A's up to @len bytes, then CRLF and NOOP. */
static void line_of(const char *start, size_t len, const char *want)
{
	struct test_session t;
	struct base_buf in;

	base_buf_init(&in, 1u << 20);
	base_buf_append_text(&in, start);
	while (in.len < len)
		base_buf_append_byte(&in, 'A');
	base_buf_append_text(&in, "\r\nNOOP\r\n");
	for (size_t size = 0; size < 3; size++) {
		test_session_init(&t, &large);
		test_push(&t, BASE_SLICE("EHLO c\r\n"));
		base_buf_clear(&t.sent);
		test_feed(&t, base_buf_slice(&in), size, 0);
		assert_sent(&t, want);
		assert_false(smtp_server_holds_bytes(&t.server, &t.line));
		test_session_release(&t);
	}
	base_buf_release(&in);
}

#define OK "250 2.0.0 ok\r\n"
#define LONG "500 5.5.2 line too long\r\n" OK
#define HELO_BAD "501 5.5.4 a host name is needed\r\n" OK

static void command_lines(void **state)
{
	(void)state;
	line_of("HELO ", 260, "250 mx.test\r\n" OK);
	line_of("HELO ", 261, HELO_BAD);
	line_of("HELO ", 510, HELO_BAD);
	line_of("HELO ", 512, HELO_BAD);
	line_of("HELO ", 2048, HELO_BAD);
	line_of("HELO ", 2049, LONG);
	line_of("HELO ", 12290, LONG);
	line_of("HELO ", 1000000, LONG);
	line_of("NOOP ", 2048, OK OK);
	line_of("MAIL FROM:<a@x.y> ", 4096, "501 5.5.4 bad parameter\r\n" OK);
	line_of("mail FROM:<a@x.y> ", 4097, LONG);
	line_of("AUTH ", 12288, "504 5.5.4 mechanism not offered\r\n" OK);
	line_of("AUTH ", 12289, "500 5.5.6 line too long\r\n" OK);
	line_of("auth ", 65536, "500 5.5.6 line too long\r\n" OK);
}

static void auth_responses(void **state)
{
	(void)state;
	for (size_t extra = 0; extra < 3; extra++) {
		static const size_t lens[] = {12288, 12289, 65536};
		struct test_session t;
		uint8_t *text = malloc(lens[extra]);

		memset(text, 'A', lens[extra]);
		test_session_init(&t, &large);
		test_push(&t, BASE_SLICE("EHLO c\r\nAUTH PLAIN\r\n"));
		base_buf_clear(&t.sent);
		test_feed(&t, base_slice_make(text, lens[extra]), 1000, 0);
		assert_true(
			extra == 2 || smtp_server_holds_bytes(&t.server, &t.line) == (extra == 0));
		test_push(&t, BASE_SLICE("\r\nNOOP\r\n"));
		assert_sent(&t,
			extra == 0 ? "535 5.7.8 authentication credentials invalid\r\n" OK
				   : "500 5.5.6 authentication exchange line is too long\r\n" OK);
		test_session_release(&t);
		free(text);
	}
}

/* ---- floods ---- */

static void repeat(struct test_session *t, struct base_slice what, size_t count)
{
	struct base_buf in;

	base_buf_init(&in, 1u << 26);
	for (size_t i = 0; i < count; i++)
		base_buf_append_slice(&in, what);
	test_push(t, base_buf_slice(&in));
	base_buf_release(&in);
}

static void tiny_chunks_end_in_421(void **state)
{
	struct test_session t;

	(void)state;
	open_transaction(&t, &large);
	repeat(&t, BASE_SLICE("BDAT 1\r\nx"), 100000);
	assert_true(t.closed);
	assert_non_null(strstr(base_buf_text(&t.sent), "552 5.3.0 too many small chunks\r\n503 "));
	assert_true(base_slice_ends_with_nocase(
		base_buf_slice(&t.sent), BASE_SLICE("421 4.7.0 too many errors, goodbye\r\n")));
	test_session_release(&t);
}

static void large_chunks_have_no_limit(void **state)
{
	struct test_session t;
	struct base_buf chunk;

	(void)state;
	base_buf_init(&chunk, 4096);
	base_buf_append_text(&chunk, "BDAT 1024\r\n");
	for (size_t i = 0; i < 1024; i++)
		base_buf_append_byte(&chunk, i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x');
	open_transaction(&t, &large);
	repeat(&t, base_buf_slice(&chunk), 3000);
	test_push(&t, BASE_SLICE("BDAT 0 LAST\r\n"));
	assert_int_equal(t.messages, 1);
	test_session_release(&t);
	base_buf_release(&chunk);
}

static void pipelined_noops_fill_no_buffer(void **state)
{
	struct test_session t;

	(void)state;
	test_session_init(&t, &large);
	base_buf_clear(&t.out);
	repeat(&t, BASE_SLICE("NOOP\r\n"), 100000);
	assert_int_equal(t.sent.len, 100000 * strlen(OK));
	assert_true(base_buf_ok(&t.out));
	test_session_release(&t);
}

static void refused_rcpts_have_a_long_limit(void **state)
{
	struct test_session t;

	(void)state;
	test_session_init(&t, &large);
	test_push(&t, BASE_SLICE("EHLO c\r\n"));
	repeat(&t, BASE_SLICE("RCPT TO:<a@x.y>\r\n"), 1500);
	assert_false(t.closed);
	repeat(&t, BASE_SLICE("RCPT TO:<a@x.y>\r\n"), 1000);
	assert_true(t.closed);
	test_session_release(&t);
}

static void a_message_forgives_faults(void **state)
{
	struct test_session t;

	(void)state;
	test_session_init(&t, &large);
	for (int i = 0; i < 5; i++) {
		repeat(&t, BASE_SLICE("FOO\r\n"), 15);
		test_push(&t, BASE_SLICE(START "DATA\r\n.\r\n"));
		assert_false(t.closed);
	}
	assert_int_equal(smtp_server_counts(&t.server)->bad_commands, 75);
	assert_int_equal(smtp_server_counts(&t.server)->messages_ok, 5);
	test_session_release(&t);
}

static void one_session_many_mechanisms(void **state)
{
	struct test_setup setup = large;
	struct test_session t;

	(void)state;
	test_session_init(&t, &setup);
	t.server.auth_failures_max = 0;
	test_push(&t, BASE_SLICE("EHLO c\r\n"));
	for (int i = 0; i < 1000; i++) {
		test_push(&t, BASE_SLICE("AUTH CRAM-MD5\r\n"));
		test_push(&t, BASE_SLICE("QUJD\r\n"));
		test_push(&t, BASE_SLICE("QUJD\r\n"));
		test_push(&t, BASE_SLICE("AUTH PLAIN AAAA\r\n"));
		test_push(&t, BASE_SLICE("AUTH LOGIN\r\nQUJD\r\nQUJD\r\n"));
	}
	assert_int_equal(smtp_server_counts(&t.server)->auth_failures, 3000);
	test_push(&t, BASE_SLICE("AUTH PLAIN AHUAcA==\r\n"));
	assert_true(smtp_server_is_authenticated(&t.server));
	test_session_release(&t);
}

static void bye_in_any_phase(void **state)
{
	static const char *const parts[] = {
		"",
		"EHLO c\r\n",
		"EHL",
		START,
		START "DATA\r\n",
		START "DATA\r\nx",
		START "BDAT 9\r\nx",
		START "BDAT 1\r\nx",
		"EHLO c\r\nAUTH PLAIN\r\n",
		"EHLO c\r\nAUTH PLAIN\r\nxx",
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(parts); i++) {
		struct test_session t;

		test_session_init(&t, &large);
		test_push(&t, base_slice_text(parts[i]));
		base_buf_clear(&t.sent);
		smtp_server_bye(&t.server, SMTP_REPLY(421, "4.3.2", "draining"), &t.out);
		smtp_server_bye(&t.server, SMTP_REPLY(421, "4.3.2", "draining"), &t.out);
		test_push(&t, BASE_SLICE("NOOP\r\n"));
		assert_true(t.closed);
		assert_sent(&t, "421 4.3.2 draining\r\n");
		assert_string_equal(smtp_server_phase_name(&t.server), "closed");
		test_session_release(&t);
	}
}

static void replies_are_one_clean_line(void **state)
{
	struct test_session t;
	char text[600];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text, "a\r\n250 b\x80\t", 10);
	text[sizeof(text) - 1] = '\0';
	test_session_init(&t, &large);
	base_buf_clear(&t.out);
	smtp_server_bye(&t.server, SMTP_REPLY(421, "4.3.2", text), &t.out);
	test_push(&t, BASE_SLICE_EMPTY);
	assert_int_equal(t.sent.len, 10 + 400 + 2);
	assert_memory_equal(t.sent.ptr, "421 4.3.2 a??250 b??xxx", 23);
	test_session_release(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_crlf_dot_crlf_ends),
		cmocka_unit_test(the_same_by_bdat),
		cmocka_unit_test(size_is_counted),
		cmocka_unit_test(the_added_line_end_counts),
		cmocka_unit_test(a_large_chunk_is_refused_at_its_end),
		cmocka_unit_test(long_text_lines_pass),
		cmocka_unit_test(command_lines),
		cmocka_unit_test(auth_responses),
		cmocka_unit_test(tiny_chunks_end_in_421),
		cmocka_unit_test(large_chunks_have_no_limit),
		cmocka_unit_test(pipelined_noops_fill_no_buffer),
		cmocka_unit_test(refused_rcpts_have_a_long_limit),
		cmocka_unit_test(a_message_forgives_faults),
		cmocka_unit_test(one_session_many_mechanisms),
		cmocka_unit_test(bye_in_any_phase),
		cmocka_unit_test(replies_are_one_clean_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
