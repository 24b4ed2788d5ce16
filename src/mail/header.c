#include "mail/header.h"

#include <string.h>

/* A line ends at CRLF and nowhere else. A field ends at the line end that no blank follows, so the
 * byte behind it must be seen first: until then the answer is MORE. */
enum mail_header_result mail_header_cut(struct base_slice in, size_t max, size_t *out_len)
{
	size_t at = 0;

	if (in.len >= 2 && in.ptr[0] == '\r' && in.ptr[1] == '\n') {
		*out_len = 2;
		return MAIL_HEADER_END;
	}
	while (at < in.len) {
		const uint8_t *lf = memchr(in.ptr + at, '\n', in.len - at);

		if (!lf)
			break;
		at = (size_t)(lf - in.ptr) + 1;
		if (at > max)
			return MAIL_HEADER_LONG;
		if (at < 2 || lf[-1] != '\r')
			return MAIL_HEADER_BARE_LF;
		if (at == in.len)
			return MAIL_HEADER_MORE;
		if (in.ptr[at] != ' ' && in.ptr[at] != '\t') {
			*out_len = at;
			return MAIL_HEADER_FIELD;
		}
	}
	return in.len > max ? MAIL_HEADER_LONG : MAIL_HEADER_MORE;
}

bool mail_has_8bit(struct base_slice s)
{
	const uint64_t high = UINT64_C(0x8080808080808080);
	uint64_t any = 0;

	while (s.len >= 64) {
		uint64_t words[8];

		memcpy(words, s.ptr, sizeof(words));
		any = words[0] | words[1] | words[2] | words[3] | words[4] | words[5] | words[6] |
			words[7];
		if (any & high)
			return true;
		s.ptr += 64;
		s.len -= 64;
	}
	any = 0;
	for (size_t i = 0; i < s.len; i++)
		any |= s.ptr[i];
	return (any & 0x80) != 0;
}

/* Every CR is followed by LF, every LF led by CR, and there is no NUL. */
static bool is_clean_text(struct base_slice s)
{
	size_t at = 0;

	if (base_slice_has(s, 0))
		return false;
	while (at < s.len) {
		const uint8_t *cr = memchr(s.ptr + at, '\r', s.len - at);
		size_t end = cr ? (size_t)(cr - s.ptr) : s.len;

		if (memchr(s.ptr + at, '\n', end - at))
			return false;
		if (!cr)
			break;
		if (end + 1 == s.len || cr[1] != '\n')
			return false;
		at = end + 2;
	}
	return true;
}

bool mail_field_parse(struct base_slice raw, struct mail_field *out)
{
	size_t colon = base_slice_find(raw, ':');
	size_t name_len = colon;

	if (colon == raw.len || !is_clean_text(raw))
		return false;
	while (name_len && (raw.ptr[name_len - 1] == ' ' || raw.ptr[name_len - 1] == '\t'))
		name_len--;
	if (name_len == 0)
		return false;
	for (size_t i = 0; i < name_len; i++)
		if (raw.ptr[i] < 0x21 || raw.ptr[i] > 0x7e)
			return false;
	out->raw = raw;
	out->name = base_slice_first(raw, name_len);
	out->body = base_slice_from(raw, colon + 1);
	if (out->body.len >= 2 && out->body.ptr[out->body.len - 1] == '\n')
		out->body.len -= 2;
	out->has_8bit = mail_has_8bit(out->body);
	return true;
}

bool mail_field_is(const struct mail_field *field, const char *name)
{
	return base_slice_equal_text_nocase(field->name, name);
}

/* The next field of a header that is all there. False at its end or where it is unreadable. */
static bool next_raw(struct base_slice *rest, struct base_slice *out_raw)
{
	size_t len = 0;

	switch (mail_header_cut(*rest, SIZE_MAX, &len)) {
	case MAIL_HEADER_FIELD:
		break;
	case MAIL_HEADER_MORE:
		len = rest->len;
		break;
	case MAIL_HEADER_END:
	case MAIL_HEADER_LONG:
	case MAIL_HEADER_BARE_LF:
		return false;
	}
	*out_raw = base_slice_first(*rest, len);
	*rest = base_slice_from(*rest, len);
	return out_raw->len > 0;
}

bool mail_header_find(struct base_slice header, const char *name, struct mail_field *out)
{
	struct base_slice raw;
	struct mail_field field;

	while (next_raw(&header, &raw)) {
		if (mail_field_parse(raw, &field) && mail_field_is(&field, name)) {
			*out = field;
			return true;
		}
	}
	return false;
}

size_t mail_header_length(struct base_slice message)
{
	struct base_slice rest = message, raw;
	size_t len;

	while (next_raw(&rest, &raw))
		;
	len = message.len - rest.len;
	if (rest.len >= 2 && rest.ptr[0] == '\r' && rest.ptr[1] == '\n')
		len += 2;
	return len;
}

struct base_slice mail_cfws_skip(struct base_slice s, bool *out_closed)
{
	size_t depth = 0, i;

	for (i = 0; i < s.len; i++) {
		uint8_t c = s.ptr[i];

		if (c == '(')
			depth++;
		else if (depth && c == ')')
			depth--;
		else if (depth && c == '\\')
			i++;
		else if (!depth && c != ' ' && c != '\t' && c != '\r' && c != '\n')
			break;
	}
	if (out_closed)
		*out_closed = depth == 0;
	return base_slice_from(s, i);
}
