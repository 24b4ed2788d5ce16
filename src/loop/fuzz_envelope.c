#include "loop/envelope.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What decodes is written again: the same bytes come out. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct envelope e;
	struct envelope_rcpt r;
	struct ipc_reader rest;
	struct base_buf b;
	uint32_t i;

	if (!envelope_get(base_slice_make(data, size), &e, &rest))
		return 0;
	base_buf_init(&b, size + 64);
	envelope_put(&b, &e);
	for (i = 0; i < e.rcpt_count; i++) {
		if (!envelope_get_rcpt(&rest, &r))
			goto out;
		envelope_put_rcpt(&b, &r);
	}
	BASE_BUG_IF(!base_buf_ok(&b) || b.len != size - rest.rest.len);
	BASE_BUG_IF(memcmp(b.ptr, data, b.len) != 0);
out:
	base_buf_release(&b);
	return 0;
}
