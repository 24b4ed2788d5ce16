#include "base/buf.h"
#include "base/error.h"
#include "loop/account.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read can be written, and is the same then. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size);
	struct account_info info, again;
	uint8_t pin[ACCOUNT_PIN_BYTES];
	uint32_t count, seconds;
	struct base_buf b;

	(void)!account_pin_parse(in, pin);
	(void)!account_rate_parse(in, &count, &seconds);
	if (!account_info_get(in, &info))
		return 0;
	base_buf_init(&b, size + 64);
	account_info_put(&b, &info);
	BASE_BUG_IF(!account_info_get(base_buf_slice(&b), &again));
	BASE_BUG_IF(!base_slice_equal(info.url, again.url) || !base_slice_equal(info.ca, again.ca));
	base_buf_release(&b);
	return 0;
}
