#include "smtp/reply.h"

#include <stdlib.h>
#include <string.h>

/* The first byte says how the rest is cut; replies must not depend on it. */
static size_t run(const uint8_t *data, size_t len, size_t step, struct smtp_client_reply *last)
{
	struct smtp_reply_reader reader;
	struct smtp_client_reply reply = {.code = 0};
	struct base_slice line;
	size_t at = 0, used, offer, count = 0;

	memset(last, 0, sizeof(*last));
	smtp_reply_reader_init(&reader);
	while (at < len) {
		offer = len - at < step ? len - at : step;
		switch (smtp_reply_push(
			&reader, base_slice_make(data + at, offer), &used, &reply, &line)) {
		case SMTP_REPLY_MORE:
			break;
		case SMTP_REPLY_LINE:
			BASE_BUG_IF(line.len < 3 || line.len > SMTP_REPLY_LINE_MAX_BYTES);
			break;
		case SMTP_REPLY_END:
			BASE_BUG_IF(reply.code < 200 || reply.code > 599);
			BASE_BUG_IF(reply.text_len > sizeof(reply.text));
			count++;
			*last = reply;
			memset(last->text + last->text_len, 0, sizeof(last->text) - last->text_len);
			memset(last->enhanced + strlen(last->enhanced), 0,
				sizeof(last->enhanced) - strlen(last->enhanced));
			break;
		case SMTP_REPLY_BROKEN:
		case SMTP_REPLY_ENDLESS:
			at = len;
			used = 0;
			break;
		}
		at += used;
	}
	smtp_reply_reader_release(&reader);
	return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_client_reply whole, cut;

	if (!size)
		return 0;
	BASE_BUG_IF(run(data + 1, size - 1, size, &whole) !=
		run(data + 1, size - 1, (size_t)data[0] + 1, &cut));
	BASE_BUG_IF(memcmp(&whole, &cut, sizeof(whole)));
	return 0;
}
