#include "base/base64.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t base64_encoded_len(size_t len)
{
	return (len + 2) / 3 * 4;
}

bool base64_encode(struct base_slice in, struct base_buf *out)
{
	size_t len = base64_encoded_len(in.len);
	uint8_t *to = base_buf_reserve(out, len);
	size_t i, at = 0;

	if (!to)
		return false;
	for (i = 0; i + 2 < in.len; i += 3) {
		uint32_t v = (uint32_t)in.ptr[i] << 16 | (uint32_t)in.ptr[i + 1] << 8 |
			in.ptr[i + 2];

		to[at++] = (uint8_t)alphabet[v >> 18];
		to[at++] = (uint8_t)alphabet[v >> 12 & 63];
		to[at++] = (uint8_t)alphabet[v >> 6 & 63];
		to[at++] = (uint8_t)alphabet[v & 63];
	}
	if (i < in.len) {
		bool two = i + 1 < in.len;
		uint32_t v = (uint32_t)in.ptr[i] << 16 | (two ? (uint32_t)in.ptr[i + 1] << 8 : 0);

		to[at++] = (uint8_t)alphabet[v >> 18];
		to[at++] = (uint8_t)alphabet[v >> 12 & 63];
		to[at++] = two ? (uint8_t)alphabet[v >> 6 & 63] : '=';
		to[at++] = '=';
	}
	BASE_BUG_IF(at != len);
	base_buf_grew(out, len);
	return true;
}

/* Value of one character, or 255. Arithmetic only: no table that the cache could betray. */
static uint8_t value_of(uint8_t c)
{
	unsigned value = 255;

	value = c >= 'A' && c <= 'Z' ? (unsigned)(c - 'A') : value;
	value = c >= 'a' && c <= 'z' ? (unsigned)(c - 'a' + 26) : value;
	value = c >= '0' && c <= '9' ? (unsigned)(c - '0' + 52) : value;
	value = c == '+' ? 62 : value;
	value = c == '/' ? 63 : value;
	return (uint8_t)value;
}

/* First byte that cannot be, or in.len when the text is good. */
static size_t find_bad(struct base_slice in)
{
	size_t pad = 0;

	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '=') {
			if (i + 2 < in.len || in.len % 4 != 0 || i + 2 < 4)
				return i;
			pad++;
		} else if (value_of(in.ptr[i]) == 255 || pad > 0) {
			return i;
		}
	}
	if (in.len % 4 != 0)
		return in.len - 1;
	if (pad == 1 && (value_of(in.ptr[in.len - 2]) & 3) != 0)
		return in.len - 2;
	if (pad == 2 && (value_of(in.ptr[in.len - 3]) & 15) != 0)
		return in.len - 3;
	return in.len;
}

static size_t decoded_len(struct base_slice in)
{
	size_t len = in.len / 4 * 3;

	if (in.len >= 1 && in.ptr[in.len - 1] == '=')
		len--;
	if (in.len >= 2 && in.ptr[in.len - 2] == '=')
		len--;
	return len;
}

static void decode_checked(struct base_slice in, uint8_t *to, size_t len)
{
	size_t at = 0;

	for (size_t i = 0; i < in.len; i += 4) {
		uint32_t v = 0;

		for (size_t k = 0; k < 4; k++)
			v = v << 6 | (in.ptr[i + k] == '=' ? 0 : value_of(in.ptr[i + k]));
		for (int shift = 16; shift >= 0 && at < len; shift -= 8)
			to[at++] = (uint8_t)(v >> shift);
	}
}

enum base64_result base64_decode(struct base_slice in, struct base_buf *out, size_t *out_offset)
{
	size_t bad = find_bad(in);
	size_t len;
	uint8_t *to;

	if (bad < in.len) {
		if (out_offset)
			*out_offset = bad;
		return BASE64_BAD;
	}
	len = decoded_len(in);
	to = base_buf_reserve(out, len);
	if (!to)
		return BASE64_TOO_LONG;
	decode_checked(in, to, len);
	base_buf_grew(out, len);
	return BASE64_OK;
}

enum base64_result base64_decode_secret(struct base_slice in, struct base_secret *out)
{
	size_t len;

	if (find_bad(in) < in.len)
		return BASE64_BAD;
	len = decoded_len(in);
	if (len > out->cap)
		return BASE64_TOO_LONG;
	base_secret_clear(out);
	decode_checked(in, out->ptr, len);
	out->len = len;
	return BASE64_OK;
}

bool base_hex_encode(struct base_slice in, struct base_buf *out)
{
	static const char digits[] = "0123456789abcdef";
	uint8_t *to = base_buf_reserve(out, in.len * 2);

	if (!to)
		return false;
	for (size_t i = 0; i < in.len; i++) {
		to[2 * i] = (uint8_t)digits[in.ptr[i] >> 4];
		to[2 * i + 1] = (uint8_t)digits[in.ptr[i] & 15];
	}
	base_buf_grew(out, in.len * 2);
	return true;
}

int base_hex_value(uint8_t c)
{
	uint8_t lower = base_ascii_lower(c);

	if (base_ascii_is_digit(c))
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

bool base_hex_decode(struct base_slice in, struct base_buf *out)
{
	uint8_t *to;

	if (in.len % 2 != 0)
		return false;
	for (size_t i = 0; i < in.len; i++)
		if (base_hex_value(in.ptr[i]) < 0)
			return false;
	to = base_buf_reserve(out, in.len / 2);
	if (!to)
		return false;
	for (size_t i = 0; i < in.len / 2; i++)
		to[i] = (uint8_t)(base_hex_value(in.ptr[2 * i]) * 16 +
			base_hex_value(in.ptr[2 * i + 1]));
	base_buf_grew(out, in.len / 2);
	return true;
}
