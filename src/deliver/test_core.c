#include "deliver/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define HOST BASE_SLICE("mail.example.org")

static void path_rows(void **state)
{
	static const struct {
		const char *template, *address, *path;
		enum deliver_path_result result;
	} rows[] = {
		{"/m/{user}", "anna@example.org", "/m/anna", DELIVER_PATH_OK},
		{"/m/{user}", "Anna@example.org", "/m/Anna", DELIVER_PATH_OK},
		{"/m/{user}", "postmaster", "/m/postmaster", DELIVER_PATH_OK},
		{"/m/{domain}/{user}", "postmaster", "/m/mail.example.org/postmaster",
			DELIVER_PATH_OK},
		{"/m/{domain}/{user}/Maildir", "a@EXAMPLE.org", "/m/example.org/a/Maildir",
			DELIVER_PATH_OK},
		{"/m/{address}", "A@B.c", "/m/A@b.c", DELIVER_PATH_OK},
		{"/m/all", "a@b", "/m/all", DELIVER_PATH_OK},
		{"/m/{user}", "\"a b\"@c", "/m/a b", DELIVER_PATH_OK},
		{"/m/{user}", "\"a\\\"b@c\"@d", "/m/a\"b@c", DELIVER_PATH_OK},
		{"/m/{user}", "b\xc3\xb6@c", "/m/b\xc3\xb6", DELIVER_PATH_OK},
		{"/m/{user}", "a/b@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", "\"../x\"@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", "\"..\"@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", ".a@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", "\"\"@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", "@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{address}", "@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{user}", "\"a\x01\"@c", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{domain}", "a@../etc", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{domain}", "a@..", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{domain}", "a@", NULL, DELIVER_PATH_NO_MAILBOX},
		{"/m/{User}", "a@b", NULL, DELIVER_PATH_BAD_TEMPLATE},
		{"/m/{user", "a@b", NULL, DELIVER_PATH_BAD_TEMPLATE},
		{"/m/}{user}", "a@b", NULL, DELIVER_PATH_BAD_TEMPLATE},
		{"m/{user}", "a@b", NULL, DELIVER_PATH_BAD_TEMPLATE},
		{"", "a@b", NULL, DELIVER_PATH_BAD_TEMPLATE},
	};
	struct base_buf out;

	base_buf_init(&out, DELIVER_PATH_MAX_BYTES + 1024);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		enum deliver_path_result result;

		base_buf_clear(&out);
		result = deliver_path(base_slice_text(rows[i].template),
			base_slice_text(rows[i].address), HOST, &out);
		if (result != rows[i].result)
			fail_msg("%s %s: %d", rows[i].template, rows[i].address, (int)result);
		if (result == DELIVER_PATH_OK)
			assert_string_equal(base_buf_text(&out), rows[i].path);
		else
			assert_int_equal(out.len, 0);
	}
	base_buf_release(&out);
}

static void prefix_rows(void **state)
{
	static const char *const rows[][2] = {
		{"/m/{user}", "/m"},
		{"/m/x/box-{user}/y", "/m/x"},
		{"/{user}", "/"},
		{"/m/all", "/m/all"},
		{"{user}", ""},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++)
		assert_true(base_slice_equal_text(
			deliver_path_prefix(base_slice_text(rows[i][0])), rows[i][1]));
}

static void names(void **state)
{
	struct base_buf a, b;

	base_buf_init(&a, DELIVER_NAME_MAX_BYTES);
	base_buf_init(&b, DELIVER_NAME_MAX_BYTES);
	assert_true(deliver_name(INT64_C(1795531961042), BASE_SLICE("0123456789abcdef"),
		BASE_SLICE("a@b"), BASE_SLICE("mail/x:y.example"), &a));
	assert_true(base_slice_starts_with(
		base_buf_slice(&a), BASE_SLICE("1795531961.M42000Q0123456789abcdefR")));
	assert_true(
		base_slice_ends_with_nocase(base_buf_slice(&a), BASE_SLICE(".mail_x_y.example")));
	assert_true(deliver_name(INT64_C(1795531961042), BASE_SLICE("0123456789abcdef"),
		BASE_SLICE("c@b"), BASE_SLICE("mail/x:y.example"), &b));
	assert_false(base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	base_buf_release(&a);
	base_buf_release(&b);
}

static void heads(void **state)
{
	struct base_buf out;

	base_buf_init(&out, 4096);
	assert_true(deliver_head(BASE_SLICE_EMPTY, BASE_SLICE("a@b"), &out));
	assert_string_equal(base_buf_text(&out), "Return-Path: <>\nDelivered-To: a@b\n");
	base_buf_clear(&out);
	assert_true(deliver_head(BASE_SLICE("x\nEvil: 1"), BASE_SLICE("a\r\n@b"), &out));
	assert_string_equal(base_buf_text(&out), "Return-Path: <x?Evil: 1>\nDelivered-To: a??@b\n");
	base_buf_release(&out);
}

static void line_ends_any_cut(void **state)
{
	static const char *const rows[][2] = {
		{"", ""},
		{"a\r\nb\r\n", "a\nb\n"},
		{"\r\n\r\n", "\n\n"},
		{"a\rb\r\r\nc\nd\r", "a\rb\r\nc\nd\r"},
		{"\r", "\r"},
		{"\r\r", "\r\r"},
	};
	struct base_buf out;

	base_buf_init(&out, 4096);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		for (size_t step = 1; step <= 4; step++) {
			struct base_slice in = base_slice_text(rows[i][0]);
			struct deliver_lines lines = {0};

			base_buf_clear(&out);
			while (in.len) {
				assert_true(deliver_lines_push(
					&lines, base_slice_first(in, step), &out));
				in = base_slice_from(in, step);
			}
			assert_true(deliver_lines_end(&lines, &out));
			assert_string_equal(base_buf_text(&out), rows[i][1]);
		}
	}
	base_buf_release(&out);
}

static void verdicts(void **state)
{
	struct base_error err = {.class = BASE_ERROR_NO_SPACE, .text = "full"};

	assert_int_equal(deliver_verdict(3, NULL).outcome, JOB_DELIVERED);
	assert_int_equal(deliver_verdict(3, NULL).index, 3);
	assert_int_equal(deliver_verdict(0, &err).code, 452);
	assert_int_equal(deliver_verdict(0, &err).outcome, JOB_DEFERRED);
	err.class = BASE_ERROR_TEMPORARY;
	assert_int_equal(deliver_verdict(0, &err).outcome, JOB_DEFERRED);
	err.class = BASE_ERROR_PERMANENT;
	assert_int_equal(deliver_verdict(0, &err).outcome, JOB_FAILED);
	assert_int_equal(deliver_path_verdict(0, DELIVER_PATH_NO_MAILBOX).outcome, JOB_FAILED);
	assert_int_equal(deliver_path_verdict(0, DELIVER_PATH_BAD_TEMPLATE).outcome, JOB_DEFERRED);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(path_rows),
		cmocka_unit_test(prefix_rows),
		cmocka_unit_test(names),
		cmocka_unit_test(heads),
		cmocka_unit_test(line_ends_any_cut),
		cmocka_unit_test(verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
