/* Any bytes as an ASK frame: an answer that the table of frames takes, or none. */
#include "provider/core.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void echo_ask(
	struct provider_source *s, const struct provider_question *q, struct provider_answer *a)
{
	base_buf_append_slice(&a->name, q->name);
	base_buf_append_slice(&a->stored, q->secret);
	provider_answer_set(a, IPC_ASKED_FOUND, "%zu %zu", q->challenge.len, q->client.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct provider_source_type type = {.name = "echo", .ask = echo_ask};
	struct provider_source source = {&type};
	struct ipc_frame frame = {.type = IPC_ASK, .id = 7, .body = base_slice_make(data, size)};
	struct provider_answer scratch;
	struct base_buf out;

	provider_answer_init(&scratch);
	base_buf_init_secret(&out, IPC_FRAME_MAX_BYTES);
	if (size <= 16384 && provider_core_answer(&frame, "t", &source, &scratch, &out))
		BASE_BUG_IF(
			ipc_frame_check(IPC_PROVIDER, IPC_AUTH, base_buf_slice(&out), 0) != NULL);
	base_buf_release(&out);
	provider_answer_release(&scratch);
	return 0;
}
