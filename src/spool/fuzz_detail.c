#include "spool/detail.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct spool_detail d;
	struct spool_rcpt r;
	struct base_buf b;

	if (!spool_detail_get(base_slice_make(data, size), &d))
		return 0;
	base_buf_init(&b, size + 64);
	spool_detail_put(&b, d.account, d.count);
	while (spool_detail_get_rcpt(&d, &r)) {
		if (r.reason.len > SPOOL_DETAIL_REASON_MAX_BYTES)
			goto out;
		spool_detail_put_rcpt(&b, &r);
	}
	BASE_BUG_IF(b.len != size - d.rest.len || memcmp(b.ptr, data, b.len) != 0);
out:
	base_buf_release(&b);
	return 0;
}
