/* A request is five counted strings, a reply one. What follows the reply is not looked at: there is
 * one request on a connection. */
#include "wire/saslauthd.h"

enum { COUNT_BYTES = 2 };

bool wire_saslauthd_put(const struct wire_saslauthd_request *r, struct base_buf *out)
{
	struct base_slice fields[] = {r->login, r->password, r->service, r->realm, r->client};
	size_t total = 0;

	for (size_t i = 0; i < BASE_COUNT(fields); i++) {
		if (fields[i].len > WIRE_SASLAUTHD_STRING_MAX_BYTES)
			return false;
		total += COUNT_BYTES + fields[i].len;
	}
	if (total > base_buf_room(out))
		return false;
	for (size_t i = 0; i < BASE_COUNT(fields); i++) {
		base_buf_append_byte(out, (uint8_t)(fields[i].len >> 8));
		base_buf_append_byte(out, (uint8_t)fields[i].len);
		base_buf_append_slice(out, fields[i]);
	}
	return true;
}

enum wire_saslauthd_reply wire_saslauthd_get(struct base_slice in, struct base_slice *out_text)
{
	struct base_slice text;
	size_t len;

	if (in.len < COUNT_BYTES)
		return WIRE_SASLAUTHD_MORE;
	len = (size_t)in.ptr[0] << 8 | in.ptr[1];
	if (len > WIRE_SASLAUTHD_REPLY_MAX_BYTES - COUNT_BYTES || len < 2)
		return WIRE_SASLAUTHD_BROKEN;
	if (in.len - COUNT_BYTES < len)
		return WIRE_SASLAUTHD_MORE;
	text = base_slice_first(base_slice_from(in, COUNT_BYTES), len);
	if (base_slice_starts_with(text, BASE_SLICE("OK")))
		return WIRE_SASLAUTHD_OK;
	if (!base_slice_starts_with(text, BASE_SLICE("NO")))
		return WIRE_SASLAUTHD_BROKEN;
	*out_text = base_slice_trim(base_slice_from(text, 2));
	return WIRE_SASLAUTHD_NO;
}
