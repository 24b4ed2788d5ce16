/* Every decoder of base/ on the same bytes: what was decoded encodes back to the same. */
#include "base/base64.h"
#include "base/escape.h"
#include "base/host.h"
#include "base/time.h"
#include "base/utf8.h"
#include "base/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size);
	struct base_network net;
	struct base_addr addr;
	struct base_buf a, b;
	uint64_t bytes;
	int64_t number;

	base_buf_init(&a, 1 << 20);
	base_buf_init(&b, 1 << 20);
	if (base64_decode(in, &a, NULL) == BASE64_OK) {
		BASE_BUG_IF(!base64_encode(base_buf_slice(&a), &b));
		BASE_BUG_IF(!base_slice_equal(base_buf_slice(&b), in));
	}
	base_buf_clear(&a);
	base_buf_clear(&b);
	if (base_xtext_decode(in, &a, NULL)) {
		struct base_buf c;

		base_buf_init(&c, 1 << 20);
		BASE_BUG_IF(!base_xtext_encode(base_buf_slice(&a), &b));
		BASE_BUG_IF(!base_xtext_decode(base_buf_slice(&b), &c, NULL));
		BASE_BUG_IF(!base_slice_equal(base_buf_slice(&a), base_buf_slice(&c)));
		base_buf_release(&c);
	}
	base_buf_clear(&a);
	if (base_addr_parse_port(in, &addr) || base_addr_parse(in, &addr)) {
		struct base_addr again;

		base_addr_format(&addr, &a);
		BASE_BUG_IF(!base_addr_parse(base_buf_slice(&a), &again));
		BASE_BUG_IF(!base_addr_equal(&addr, &again));
	}
	base_buf_clear(&a);
	base_escape_log_value(in, 100, &a);
	base_escape_header(in, true, 100, &a);
	for (size_t i = 0; i < a.len; i++)
		BASE_BUG_IF(a.ptr[i] == '\n' || a.ptr[i] == '\r' || a.ptr[i] == 0);
	if (!base_network_parse(in, &net) && base_host_name_valid(in, true, true))
		BASE_BUG_IF(!base_utf8_valid(in));
	if (base_time_parse(in, &number) || base_duration_parse(in, &number))
		BASE_BUG_IF(number < INT64_C(-70000000000000));
	if (base_size_parse(in, &bytes))
		BASE_BUG_IF(size == 0);
	base_buf_release(&a);
	base_buf_release(&b);
	return 0;
}
