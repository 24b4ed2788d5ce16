/* The table's check, the field readers and the request parser on bytes of another process. */
#include "loop/control.h"
#include "loop/ipc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_fields(struct base_slice body, const uint8_t *plan, size_t plan_len)
{
	struct ipc_reader r = ipc_reader_make(body);
	size_t before;

	for (size_t i = 0; i < plan_len; i++) {
		struct base_slice bytes = BASE_SLICE_EMPTY;

		before = r.rest.len;
		switch (plan[i] % 6) {
		case 0:
			(void)ipc_get_u8(&r);
			break;
		case 1:
			(void)ipc_get_u16(&r);
			break;
		case 2:
			(void)ipc_get_u32(&r);
			break;
		case 3:
			(void)ipc_get_u64(&r);
			break;
		case 4:
			(void)ipc_get_i64(&r);
			break;
		case 5:
			bytes = ipc_get_bytes(&r);
			break;
		}
		BASE_BUG_IF(r.rest.len > before);
		BASE_BUG_IF(bytes.len &&
			(bytes.ptr < body.ptr || bytes.ptr + bytes.len > body.ptr + body.len));
		BASE_BUG_IF(r.bad && ipc_reader_done(&r));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct control_request req;
	struct base_slice raw;

	if (size < 8)
		return 0;
	raw = base_slice_make(data + 8, size - 8);
	for (unsigned fds = 0; fds <= IPC_FDS_MAX; fds++)
		(void)ipc_frame_check((enum ipc_role)(data[0] % IPC_ROLE_COUNT),
			(enum ipc_role)(data[1] % IPC_ROLE_COUNT), raw, fds);
	read_fields(raw, data + 2, 6);
	if (control_request_parse(raw, &req)) {
		BASE_BUG_IF(req.word_count > CONTROL_WORDS_MAX);
		(void)control_word_is(&req, 0, "why");
		(void)control_option(&req, 0, "user", &raw);
	}
	return 0;
}
