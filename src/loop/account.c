#include "loop/account.h"

#include "base/base64.h"
#include "loop/ipc.h"

enum { RATE_COUNT_MAX = 1000000 };

void account_info_put(struct base_buf *out, const struct account_info *info)
{
	ipc_put_u8(out, (uint8_t)-info->class);
	if (info->class != 0)
		return;
	ipc_put_bytes(out, info->url);
	ipc_put_u8(out, info->credential);
	ipc_put_u32(out, info->mechanisms);
	ipc_put_bytes(out, info->ca);
	ipc_put_bytes(out, info->pin);
	ipc_put_u8(out, info->certificate);
	ipc_put_u32(out, info->connections);
	ipc_put_u32(out, info->rate_count);
	ipc_put_u32(out, info->rate_s);
}

bool account_info_get(struct base_slice body, struct account_info *out)
{
	struct ipc_reader r = ipc_reader_make(body);
	struct account_info a = {.class = -(int)ipc_get_u8(&r)};

	if (a.class == 0) {
		a.url = ipc_get_bytes(&r);
		a.credential = ipc_get_u8(&r);
		a.mechanisms = ipc_get_u32(&r);
		a.ca = ipc_get_bytes(&r);
		a.pin = ipc_get_bytes(&r);
		a.certificate = ipc_get_u8(&r) != 0;
		a.connections = ipc_get_u32(&r);
		a.rate_count = ipc_get_u32(&r);
		a.rate_s = ipc_get_u32(&r);
	}
	if (!ipc_reader_done(&r))
		return false;
	*out = a;
	return true;
}

bool account_rate_parse(struct base_slice text, uint32_t *out_count, uint32_t *out_seconds)
{
	static const struct {
		const char *name;
		uint32_t seconds;
	} units[] = {{"second", 1}, {"minute", 60}, {"hour", 3600}, {"day", 86400}};
	size_t slash = base_slice_find(text, '/');
	uint64_t count;

	if (slash == text.len ||
		!base_slice_to_u64(base_slice_trim(base_slice_first(text, slash)), &count) ||
		count == 0 || count > RATE_COUNT_MAX)
		return false;
	for (size_t i = 0; i < BASE_COUNT(units); i++)
		if (base_slice_equal_text(
			    base_slice_trim(base_slice_from(text, slash + 1)), units[i].name)) {
			*out_count = (uint32_t)count;
			*out_seconds = units[i].seconds;
			return true;
		}
	return false;
}

bool account_pin_parse(struct base_slice text, uint8_t out[ACCOUNT_PIN_BYTES])
{
	struct base_slice name = BASE_SLICE("sha256:");
	size_t digits = 0;

	if (!base_slice_starts_with_nocase(text, name))
		return false;
	text = base_slice_from(text, name.len);
	for (size_t i = 0; i < text.len; i++) {
		int digit = base_hex_value(text.ptr[i]);

		if (text.ptr[i] == ':' && digits && digits % 2 == 0 && i + 1 < text.len)
			continue;
		if (digit < 0 || digits == 2 * (size_t)ACCOUNT_PIN_BYTES)
			return false;
		if (digits % 2 == 0)
			out[digits / 2] = (uint8_t)(digit << 4);
		else
			out[digits / 2] |= (uint8_t)digit;
		digits++;
	}
	return digits == 2 * (size_t)ACCOUNT_PIN_BYTES;
}
