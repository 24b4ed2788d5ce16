/* Any bytes as a refusal: the words are one line of printable ASCII, and not many. */
#include "wire/oauth_error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_buf out;

	base_buf_init(&out, WIRE_OAUTH_ERROR_MAX_BYTES);
	wire_oauth_error_words(base_slice_make(data, size), &out);
	BASE_BUG_IF(!base_buf_ok(&out) || out.len == 0);
	for (size_t i = 0; i < out.len; i++)
		BASE_BUG_IF(out.ptr[i] < 0x20 || out.ptr[i] > 0x7e);
	base_buf_release(&out);
	return 0;
}
