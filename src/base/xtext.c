#include "base/xtext.h"

#include "base/base64.h"

static bool stands_for_itself(uint8_t c)
{
	return c >= 0x21 && c <= 0x7e && c != '+' && c != '=';
}

bool base_xtext_encode(struct base_slice in, struct base_buf *out)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t before = out->len;

	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];
		uint8_t coded[3] = {'+', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};
		bool fits = stands_for_itself(c) ? base_buf_append_byte(out, c)
						 : base_buf_append(out, coded, 3);

		if (!fits) {
			base_buf_truncate(out, before);
			return false;
		}
	}
	return true;
}

bool base_xtext_decode(struct base_slice in, struct base_buf *out, size_t *out_offset)
{
	size_t before = out->len;
	size_t i = 0;

	while (i < in.len) {
		uint8_t c = in.ptr[i];
		size_t taken = 1;

		if (c == '+') {
			int high = i + 1 < in.len ? base_hex_value(in.ptr[i + 1]) : -1;
			int low = i + 2 < in.len ? base_hex_value(in.ptr[i + 2]) : -1;

			if (high < 0 || low < 0)
				goto bad;
			c = (uint8_t)(high << 4 | low);
			taken = 3;
		} else if (!stands_for_itself(c)) {
			goto bad;
		}
		if (!base_buf_append_byte(out, c))
			goto bad;
		i += taken;
	}
	return true;
bad:
	base_buf_truncate(out, before);
	if (out_offset)
		*out_offset = i;
	return false;
}
