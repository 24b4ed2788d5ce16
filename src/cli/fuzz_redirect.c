/* Whatever connects to the loopback redirect: the outcome is the same however the bytes were cut, and a query
 * that is found is visible ASCII and lies in the bytes. */
#include "base/macros.h"
#include "cli/redirect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_query(struct base_slice in, struct base_slice query)
{
	BASE_BUG_IF(query.len == 0 || query.len > REDIRECT_QUERY_MAX_BYTES);
	BASE_BUG_IF(query.ptr < in.ptr || query.ptr + query.len > in.ptr + in.len);
	for (size_t i = 0; i < query.len; i++)
		BASE_BUG_IF(query.ptr[i] <= ' ' || query.ptr[i] >= 0x7f);
	(void)redirect_state_matches(query, BASE_SLICE("https://p.example/?state=a"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size), query, again;
	enum redirect_result whole = redirect_request(in, "127.0.0.1:1", &query), part;

	if (whole == REDIRECT_QUERY)
		check_query(in, query);
	for (size_t len = 0; len < size && len < 2048; len++) {
		part = redirect_request(base_slice_first(in, len), "127.0.0.1:1", &again);
		BASE_BUG_IF(part != REDIRECT_MORE && part != whole);
		BASE_BUG_IF(part == REDIRECT_QUERY && !base_slice_equal(query, again));
	}
	if (redirect_pasted(in, &query))
		check_query(in, query);
	return 0;
}
