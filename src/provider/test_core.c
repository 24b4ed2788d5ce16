/* Frames in, frames out, by a source that answers as it was asked. */
#include "provider/test_support.h"

#include "provider/core.h"

struct seen {
	struct provider_source base;
	unsigned count;
	char text[128];
};

static void seen_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	struct seen *seen = (struct seen *)s;

	seen->count++;
	snprintf(seen->text, sizeof(seen->text), "%d %d %.*s %.*s %.*s %.*s", q->kind, q->hash,
		BASE_SLICE_ARGS(q->name), BASE_SLICE_ARGS(q->secret), BASE_SLICE_ARGS(q->challenge),
		BASE_SLICE_ARGS(q->client));
	base_buf_append_text(&a->name, "Tim");
	base_buf_append_text(&a->stored, "{PLAIN}x");
	provider_answer_set(a, IPC_ASKED_FOUND, "because");
}

static const struct provider_source_type seen_type = {.name = "seen", .ask = seen_ask};

static void put_ask(struct base_buf *b, unsigned kind, unsigned hash, const char *title)
{
	ipc_begin(b, IPC_ASK, 7);
	ipc_put_u8(b, (uint8_t)kind);
	ipc_put_u8(b, (uint8_t)hash);
	ipc_put_text(b, title);
	ipc_put_text(b, "tim");
	ipc_put_text(b, "geheim");
	ipc_put_text(b, "<1@x>");
	ipc_put_text(b, "192.0.2.7");
}

static struct ipc_frame frame_of(const struct base_buf *b)
{
	return (struct ipc_frame){.type = IPC_ASK,
		.id = 7,
		.body = base_slice_from(base_buf_slice(b), sizeof(struct ipc_header))};
}

static void answers(void **state)
{
	struct seen seen = {.base = {&seen_type}};
	struct provider_answer scratch;
	struct base_buf in, out;
	struct ipc_frame frame;
	struct ipc_reader reader;

	provider_answer_init(&scratch);
	base_buf_init_secret(&in, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	put_ask(&in, IPC_ASK_CRAM, 0, "flat");
	frame = frame_of(&in);
	assert_true(provider_core_answer(&frame, "flat", &seen.base, &scratch, &out));
	assert_string_equal(seen.text, "1 0 tim geheim <1@x> 192.0.2.7");
	assert_null(ipc_frame_check(IPC_PROVIDER, IPC_AUTH, base_buf_slice(&out), 0));
	reader = ipc_reader_make(base_slice_from(base_buf_slice(&out), sizeof(struct ipc_header)));
	assert_int_equal(ipc_get_u8(&reader), IPC_ASKED_FOUND);
	assert_slice_equal(ipc_get_bytes(&reader), "Tim");
	assert_slice_equal(ipc_get_bytes(&reader), "{PLAIN}x");
	assert_slice_equal(ipc_get_bytes(&reader), "because");
	assert_true(ipc_reader_done(&reader));
	/* Another's title: not asked. */
	assert_true(provider_core_answer(&frame, "other", &seen.base, &scratch, &out));
	reader = ipc_reader_make(base_slice_from(base_buf_slice(&out), sizeof(struct ipc_header)));
	assert_int_equal(ipc_get_u8(&reader), IPC_ASKED_CANNOT);
	assert_int_equal(ipc_get_bytes(&reader).len, 0);
	assert_int_equal(ipc_get_bytes(&reader).len, 0);
	assert_int_equal(seen.count, 1);
	provider_answer_release(&scratch);
	base_buf_release(&in);
	base_buf_release(&out);
}

static void broken_frames_are_not_answered(void **state)
{
	struct seen seen = {.base = {&seen_type}};
	struct provider_answer scratch;
	struct base_buf in, out;
	struct ipc_frame frame;
	struct base_slice whole;

	provider_answer_init(&scratch);
	base_buf_init_secret(&in, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	put_ask(&in, IPC_ASK_COUNT, 0, "flat");
	frame = frame_of(&in);
	assert_false(provider_core_answer(&frame, "flat", &seen.base, &scratch, &out));
	put_ask(&in, IPC_ASK_SCRAM, BASE_HASH_COUNT, "flat");
	frame = frame_of(&in);
	assert_false(provider_core_answer(&frame, "flat", &seen.base, &scratch, &out));
	put_ask(&in, IPC_ASK_SCRAM, BASE_HASH_SHA1, "flat");
	whole = frame_of(&in).body;
	for (size_t n = 0; n < whole.len; n++) {
		struct base_slice cut = exact_copy(base_slice_first(whole, n));

		frame.body = cut;
		assert_false(provider_core_answer(&frame, "flat", &seen.base, &scratch, &out));
		free_copy(cut);
	}
	frame.body = whole;
	frame.type = IPC_VERIFY;
	assert_false(provider_core_answer(&frame, "flat", &seen.base, &scratch, &out));
	assert_int_equal(seen.count, 0);
	provider_answer_release(&scratch);
	base_buf_release(&in);
	base_buf_release(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers),
		cmocka_unit_test(broken_frames_are_not_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
