/* A daemon that says anything: the answer is the same however its bytes are cut. */
#include "wire/saslauthd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice whole_text = BASE_SLICE_EMPTY, text = BASE_SLICE_EMPTY;
	enum wire_saslauthd_reply whole, part = WIRE_SASLAUTHD_MORE;

	if (size > 4096)
		return 0;
	whole = wire_saslauthd_get(base_slice_make(data, size), &whole_text);
	for (size_t n = 0; n <= size && part == WIRE_SASLAUTHD_MORE; n++)
		part = wire_saslauthd_get(base_slice_make(data, n), &text);
	BASE_BUG_IF(part != whole);
	BASE_BUG_IF(whole == WIRE_SASLAUTHD_NO && !base_slice_equal(text, whole_text));
	return 0;
}
