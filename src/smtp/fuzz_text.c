/* Any cut gives the same message, the same faults and the same end; what comes out holds no bare CR
 * or LF and, stuffed again, reads back as itself. */
#include "smtp/text.h"
#include "base/buf.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct result {
	struct base_buf bytes;
	size_t used;
	uint8_t faults;
	bool ended;
};

static void run(struct base_slice in, bool dots, size_t step, struct result *out)
{
	struct smtp_text t;
	size_t at = 0;

	base_buf_init(&out->bytes, 1u << 24);
	out->ended = false;
	smtp_text_init(&t, dots);
	while (at < in.len && !out->ended) {
		struct base_slice part = base_slice_first(base_slice_from(in, at), step);
		struct base_slice bytes;
		size_t used;

		switch (smtp_text_push(&t, part, &used, &bytes)) {
		case SMTP_TEXT_MORE:
			BASE_BUG_IF(used != part.len);
			break;
		case SMTP_TEXT_BYTES:
			BASE_BUG_IF(bytes.len == 0 || bytes.ptr < part.ptr ||
				bytes.ptr + bytes.len > part.ptr + used);
			base_buf_append_slice(&out->bytes, bytes);
			break;
		case SMTP_TEXT_END:
			out->ended = true;
			break;
		}
		at += used;
	}
	out->used = at;
	if (!dots)
		smtp_text_finish(&t);
	out->faults = t.faults;
}

static void compare(struct result *a, struct result *b)
{
	BASE_BUG_IF(a->used != b->used || a->faults != b->faults || a->ended != b->ended);
	BASE_BUG_IF(!a->faults &&
		!base_slice_equal(base_buf_slice(&a->bytes), base_buf_slice(&b->bytes)));
}

static void check_clean(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++) {
		BASE_BUG_IF(s.ptr[i] == 0);
		BASE_BUG_IF(s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'));
		BASE_BUG_IF(s.ptr[i] == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n'));
	}
}

static void stuff_again(struct base_slice text)
{
	struct base_buf stuffed;
	struct result r;
	bool start = true;

	base_buf_init(&stuffed, 1u << 24);
	for (size_t i = 0; i < text.len; i++) {
		if (start && text.ptr[i] == '.')
			base_buf_append_byte(&stuffed, '.');
		base_buf_append_byte(&stuffed, text.ptr[i]);
		start = text.ptr[i] == '\n';
	}
	base_buf_append_text(&stuffed, ".\r\n");
	run(base_buf_slice(&stuffed), true, SIZE_MAX, &r);
	BASE_BUG_IF(!r.ended || r.faults || !base_slice_equal(base_buf_slice(&r.bytes), text));
	base_buf_release(&r.bytes);
	base_buf_release(&stuffed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in;
	struct result whole, cut, bytes;
	bool dots;

	if (size < 2)
		return 0;
	dots = data[0] & 1;
	in = base_slice_make(data + 2, size - 2);
	run(in, dots, SIZE_MAX, &whole);
	run(in, dots, 1 + (size_t)data[1] % 37, &cut);
	run(in, dots, 1, &bytes);
	compare(&whole, &cut);
	compare(&whole, &bytes);
	if (whole.ended && !whole.faults) {
		check_clean(base_buf_slice(&whole.bytes));
		stuff_again(base_buf_slice(&whole.bytes));
	}
	base_buf_release(&whole.bytes);
	base_buf_release(&cut.bytes);
	base_buf_release(&bytes.bytes);
	return 0;
}
