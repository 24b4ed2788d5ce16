/* Addresses of any bytes: what is written can be cut at its NULs into exactly what was taken. */
#include "wire/qmail_queue.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice rest = base_slice_make(data, size), address, field;
	size_t written = 0, fields = 0;
	struct base_buf out;

	base_buf_init(&out, 16384);
	while (base_slice_split(&rest, '\n', &address)) {
		bool ok = written ? wire_qmail_queue_rcpt(address, &out)
				  : wire_qmail_queue_sender(address, &out);

		BASE_BUG_IF(ok && base_slice_has(address, '\0'));
		written += ok;
	}
	rest = base_buf_slice(&out);
	while (base_slice_split(&rest, '\0', &field)) {
		BASE_BUG_IF(field.len == 0 || field.ptr[0] != (fields ? 'T' : 'F'));
		fields++;
	}
	BASE_BUG_IF(fields != written);
	base_buf_release(&out);
	(void)wire_qmail_queue_reply(size ? data[0] : 0, size > 1 && data[1] & 1);
	return 0;
}
