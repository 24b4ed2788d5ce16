#include "provider/core.h"

static bool read_question(
	const struct ipc_frame *frame, struct provider_question *q, struct base_slice *out_title)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned kind = ipc_get_u8(&in), hash = ipc_get_u8(&in);

	*out_title = ipc_get_bytes(&in);
	*q = (struct provider_question){
		.kind = (enum ipc_ask)kind,
		.hash = (enum base_hash)hash,
		.name = ipc_get_bytes(&in),
	};
	q->secret = ipc_get_bytes(&in);
	q->challenge = ipc_get_bytes(&in);
	q->client = ipc_get_bytes(&in);
	return ipc_reader_done(&in) && kind < IPC_ASK_COUNT &&
		(kind != IPC_ASK_SCRAM || hash < BASE_HASH_COUNT);
}

bool provider_core_answer(const struct ipc_frame *frame, const char *title,
	struct provider_source *source, struct provider_answer *scratch, struct base_buf *reply)
{
	struct provider_question q;
	struct base_slice asked;

	if (frame->type != IPC_ASK || !read_question(frame, &q, &asked))
		return false;
	provider_answer_clear(scratch);
	/* After a reload auth and we may be of different opinions for a moment. */
	if (!source || !base_slice_equal_text(asked, title))
		provider_answer_set(
			scratch, IPC_ASKED_CANNOT, "this process serves another provider");
	else
		source->type->ask(source, &q, scratch);
	ipc_begin(reply, IPC_ASKED, frame->id);
	ipc_put_u8(reply, (uint8_t)scratch->result);
	ipc_put_bytes(reply, base_buf_slice(&scratch->name));
	ipc_put_bytes(reply, base_buf_slice(&scratch->stored));
	ipc_put_bytes(reply, base_buf_slice(&scratch->reason));
	provider_answer_clear(scratch);
	return true;
}
