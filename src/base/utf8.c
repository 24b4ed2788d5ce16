#include "base/utf8.h"

size_t base_utf8_next(struct base_slice s, uint32_t *out_code_point)
{
	static const uint32_t lowest[5] = {0, 0, 0x80, 0x800, 0x10000};
	uint32_t code;
	size_t len;

	if (s.len == 0)
		return 0;
	code = s.ptr[0];
	if (code < 0x80) {
		*out_code_point = code;
		return 1;
	}
	if (code >= 0xc2 && code <= 0xdf) {
		len = 2;
		code &= 0x1f;
	} else if (code >= 0xe0 && code <= 0xef) {
		len = 3;
		code &= 0x0f;
	} else if (code >= 0xf0 && code <= 0xf4) {
		len = 4;
		code &= 0x07;
	} else {
		return 0;
	}
	if (s.len < len)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s.ptr[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s.ptr[i] & 0x3f);
	}
	if (code < lowest[len] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*out_code_point = code;
	return len;
}

bool base_utf8_valid(struct base_slice s)
{
	uint32_t code;

	while (s.len) {
		size_t len = base_utf8_next(s, &code);

		if (len == 0)
			return false;
		s = base_slice_from(s, len);
	}
	return true;
}

bool base_is_ascii(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] >= 0x80)
			return false;
	return true;
}
