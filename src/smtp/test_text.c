#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "smtp/text.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

struct result {
	struct base_buf bytes;
	size_t used;
	unsigned faults;
	bool ended;
};

/* Push @in in pieces of @size bytes, each an exact-size copy. */
static void run(struct base_slice in, bool dots, size_t size, struct result *out)
{
	struct smtp_text t;
	size_t at = 0;

	base_buf_init(&out->bytes, 1u << 22);
	out->ended = false;
	smtp_text_init(&t, dots);
	while (at < in.len && !out->ended) {
		struct base_slice part = base_slice_first(base_slice_from(in, at), size);
		uint8_t *copy = malloc(part.len);
		size_t done = 0, used;
		struct base_slice bytes;
		bool more = true;

		memcpy(copy, part.ptr, part.len);
		while (more && !out->ended) {
			switch (smtp_text_push(
				&t, base_slice_make(copy + done, part.len - done), &used, &bytes)) {
			case SMTP_TEXT_MORE:
				assert_int_equal(done + used, part.len);
				more = false;
				break;
			case SMTP_TEXT_BYTES:
				assert_true(bytes.len > 0 && bytes.len <= used);
				base_buf_append_slice(&out->bytes, bytes);
				break;
			case SMTP_TEXT_END:
				out->ended = true;
				break;
			}
			done += used;
		}
		free(copy);
		at += done;
	}
	out->used = at;
	if (!out->ended && !dots)
		smtp_text_finish(&t);
	out->faults = t.faults;
}

#define S(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

static const struct {
	const char *name;
	struct base_slice in, out;
	unsigned faults;
	bool ended;
	size_t left;
} rows[] = {
	{"empty", S(".\r\nNOOP"), S(""), 0, true, 4},
	{"one line", S("a\r\n.\r\n"), S("a\r\n"), 0, true, 0},
	{"no end", S("a\r\n.\r"), S("a\r\n"), 0, false, 0},
	{"stuffing", S("..\r\n.a\r\n..b\r\nc.\r\n.\r\n"), S(".\r\na\r\n.b\r\nc.\r\n"), 0, true, 0},
	{"only dots", S("...\r\n....\r\n.\r\n"), S("..\r\n...\r\n"), 0, true, 0},
	{"empty lines", S("\r\n\r\n.\r\n"), S("\r\n\r\n"), 0, true, 0},
	{"high bytes", S("\xff\xfe\r\n.\r\n"), S("\xff\xfe\r\n"), 0, true, 0},
	{"nul", S("a\0b\r\n.\r\n"), S(""), SMTP_TEXT_NUL, true, 0},
	{"nul behind a dot", S(".\0\r\n.\r\n"), S(""), SMTP_TEXT_NUL, true, 0},
	{"bare lf", S("\n.\r\n.\r\n"), S(""), SMTP_TEXT_BARE_LF, true, 0},
	{"bare lf behind a dot", S(".\n.\r\n.\r\n"), S(""), SMTP_TEXT_BARE_LF, true, 0},
	{"bare cr", S("\ra\r\n.\r\n"), S(""), SMTP_TEXT_BARE_CR, true, 0},
	{"cr cr lf", S("\r\r\n.\r\n"), S(""), SMTP_TEXT_BARE_CR, true, 0},
	{"dot cr cr lf", S(".\r\r\n.\r\n"), S(""), SMTP_TEXT_BARE_CR, true, 0},
	{"dot cr a", S(".\ra\r\n.\r\n"), S(""), SMTP_TEXT_BARE_CR, true, 0},
	{"dot cr dot", S(".\r.\r\n.\r\n"), S(""), SMTP_TEXT_BARE_CR, true, 0},
	{"all of it", S("\r\0\n.\n.\r\n.\r\nx"), S(""),
		SMTP_TEXT_NUL | SMTP_TEXT_BARE_CR | SMTP_TEXT_BARE_LF, true, 1},
};

static void rows_in_all_pieces(void **state)
{
	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		for (size_t size = 1; size <= rows[i].in.len; size++) {
			struct result r;

			run(rows[i].in, true, size, &r);
			assert_int_equal(r.faults, rows[i].faults);
			assert_int_equal(r.ended, rows[i].ended);
			assert_int_equal(rows[i].in.len - r.used, rows[i].left);
			if (!r.faults)
				assert_true(
					base_slice_equal(base_buf_slice(&r.bytes), rows[i].out));
			base_buf_release(&r.bytes);
		}
	}
}

static void chunks_have_no_dots(void **state)
{
	static const struct base_slice in = S("..\r\n.\r\n.x\r\n\r\n.");

	(void)state;
	for (size_t size = 1; size <= in.len; size++) {
		struct result r;

		run(in, false, size, &r);
		assert_int_equal(r.faults, 0);
		assert_true(base_slice_equal(base_buf_slice(&r.bytes), in));
		base_buf_release(&r.bytes);
	}
}

/* A dot, CR or LF at each place around the ends of the usual buffers. */
static void edges_of_buffers(void **state)
{
	static const size_t sizes[] = {4096, 8192};

	(void)state;
	for (size_t k = 0; k < BASE_COUNT(sizes); k++) {
		for (size_t pad = sizes[k] - 6; pad < sizes[k] + 3; pad++) {
			struct base_buf in, want;
			struct result r;

			base_buf_init(&in, 1u << 16);
			base_buf_init(&want, 1u << 16);
			for (size_t i = 0; i < pad; i++)
				base_buf_append_byte(&in, 'x');
			base_buf_append_slice(&want, base_buf_slice(&in));
			base_buf_append_text(&in, "\r\n..\r\n.y\r\nz\r\n.\r\n");
			base_buf_append_text(&want, "\r\n.\r\ny\r\nz\r\n");
			run(base_buf_slice(&in), true, sizes[k], &r);
			assert_true(r.ended && !r.faults && r.used == in.len);
			assert_true(
				base_slice_equal(base_buf_slice(&r.bytes), base_buf_slice(&want)));
			base_buf_release(&in);
			base_buf_release(&want);
			base_buf_release(&r.bytes);
		}
	}
}

/* Whole lines without dots come as one slice: nothing is cut without need. */
static void one_slice_for_many_lines(void **state)
{
	static const struct base_slice in = S("a\r\nb\r\n\r\nc\r\n.\r\n");
	struct smtp_text t;
	struct base_slice bytes;
	size_t used;

	(void)state;
	smtp_text_init(&t, true);
	assert_int_equal(smtp_text_push(&t, in, &used, &bytes), SMTP_TEXT_BYTES);
	assert_true(bytes.ptr == in.ptr);
	assert_int_equal(bytes.len, in.len - 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_in_all_pieces),
		cmocka_unit_test(chunks_have_no_dots),
		cmocka_unit_test(edges_of_buffers),
		cmocka_unit_test(one_slice_for_many_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
