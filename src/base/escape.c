#include "base/escape.h"
#include "base/utf8.h"

#include <string.h>

bool base_escape_log(struct base_slice s, size_t max, struct base_buf *out)
{
	static const char digits[] = "0123456789abcdef";
	struct base_slice shown = base_slice_first(s, max);
	bool fits = true;

	for (size_t i = 0; i < shown.len && fits; i++) {
		uint8_t c = shown.ptr[i];
		uint8_t coded[4] = {'\\', 'x', (uint8_t)digits[c >> 4], (uint8_t)digits[c & 15]};

		if (c == '"' || c == '\\')
			fits = base_buf_append_byte(out, '\\') && base_buf_append_byte(out, c);
		else if (c >= 0x20 && c <= 0x7e)
			fits = base_buf_append_byte(out, c);
		else
			fits = base_buf_append(out, coded, sizeof(coded));
	}
	if (fits && shown.len < s.len)
		fits = base_buf_append_text(out, "...");
	return fits;
}

static bool is_plain(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!base_ascii_is_alnum(s.ptr[i]) && !(s.ptr[i] && strchr("._:@/+-", s.ptr[i])))
			return false;
	return s.len > 0;
}

bool base_escape_log_value(struct base_slice s, size_t max, struct base_buf *out)
{
	if (s.len <= max && is_plain(s))
		return base_buf_append_slice(out, s);
	return base_buf_append_byte(out, '"') && base_escape_log(s, max, out) &&
		base_buf_append_byte(out, '"');
}

bool base_escape_header(struct base_slice s, bool utf8, size_t max, struct base_buf *out)
{
	bool keep_utf8 = utf8 && base_utf8_valid(s);
	struct base_slice shown = base_slice_first(s, max);
	bool fits = true;

	for (size_t i = 0; i < shown.len && fits; i++) {
		uint8_t c = shown.ptr[i];
		bool keep = base_ascii_is_alnum(c) || (c && c < 0x80 && strchr("._-+@:/=[]", c)) ||
			(keep_utf8 && c >= 0x80);

		fits = base_buf_append_byte(out, keep ? c : '?');
	}
	return fits;
}

bool base_escape_text(struct base_slice s, size_t max, struct base_buf *out)
{
	struct base_slice shown = base_slice_first(s, max);
	bool fits = true;

	for (size_t i = 0; i < shown.len && fits; i++) {
		uint8_t c = shown.ptr[i];

		fits = base_buf_append_byte(out, c >= 0x20 && c <= 0x7e ? c : '?');
	}
	return fits;
}
