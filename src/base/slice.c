#include "base/slice.h"
#include "base/macros.h"

#include <string.h>

struct base_slice base_slice_make(const void *ptr, size_t len)
{
	return (struct base_slice){ptr, len};
}

struct base_slice base_slice_text(const char *text)
{
	return text ? base_slice_make(text, strlen(text)) : BASE_SLICE_EMPTY;
}

bool base_slice_equal(struct base_slice a, struct base_slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool base_slice_equal_text(struct base_slice a, const char *text)
{
	return base_slice_equal(a, base_slice_text(text));
}

uint8_t base_ascii_lower(uint8_t byte)
{
	return byte >= 'A' && byte <= 'Z' ? (uint8_t)(byte + ('a' - 'A')) : byte;
}

bool base_ascii_is_digit(uint8_t byte)
{
	return byte >= '0' && byte <= '9';
}

bool base_ascii_is_alnum(uint8_t byte)
{
	uint8_t lower = base_ascii_lower(byte);

	return base_ascii_is_digit(byte) || (lower >= 'a' && lower <= 'z');
}

bool base_slice_equal_nocase(struct base_slice a, struct base_slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (base_ascii_lower(a.ptr[i]) != base_ascii_lower(b.ptr[i]))
			return false;
	return true;
}

bool base_slice_equal_text_nocase(struct base_slice a, const char *text)
{
	return base_slice_equal_nocase(a, base_slice_text(text));
}

bool base_slice_starts_with(struct base_slice s, struct base_slice prefix)
{
	return s.len >= prefix.len && base_slice_equal(base_slice_first(s, prefix.len), prefix);
}

bool base_slice_starts_with_nocase(struct base_slice s, struct base_slice prefix)
{
	return s.len >= prefix.len &&
		base_slice_equal_nocase(base_slice_first(s, prefix.len), prefix);
}

bool base_slice_ends_with_nocase(struct base_slice s, struct base_slice suffix)
{
	return s.len >= suffix.len &&
		base_slice_equal_nocase(base_slice_from(s, s.len - suffix.len), suffix);
}

size_t base_slice_find(struct base_slice s, uint8_t byte)
{
	const uint8_t *hit = s.len ? memchr(s.ptr, byte, s.len) : NULL;

	return hit ? (size_t)(hit - s.ptr) : s.len;
}

size_t base_slice_find_last(struct base_slice s, uint8_t byte)
{
	const uint8_t *hit = s.len ? memrchr(s.ptr, byte, s.len) : NULL;

	return hit ? (size_t)(hit - s.ptr) : s.len;
}

bool base_slice_has(struct base_slice s, uint8_t byte)
{
	return base_slice_find(s, byte) < s.len;
}

struct base_slice base_slice_from(struct base_slice s, size_t start)
{
	if (start >= s.len)
		return BASE_SLICE_EMPTY;
	return base_slice_make(s.ptr + start, s.len - start);
}

struct base_slice base_slice_first(struct base_slice s, size_t len)
{
	return base_slice_make(s.ptr, len < s.len ? len : s.len);
}

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

struct base_slice base_slice_trim(struct base_slice s)
{
	while (s.len && is_blank(s.ptr[0]))
		s = base_slice_from(s, 1);
	while (s.len && is_blank(s.ptr[s.len - 1]))
		s.len--;
	return s;
}

bool base_slice_split(struct base_slice *s, uint8_t separator, struct base_slice *out_head)
{
	size_t at;

	if (s->len == 0)
		return false;
	at = base_slice_find(*s, separator);
	*out_head = base_slice_first(*s, at);
	*s = base_slice_from(*s, at + 1);
	return true;
}

struct base_slice base_slice_word(struct base_slice *s)
{
	struct base_slice word;
	size_t len = 0;

	*s = base_slice_trim(*s);
	while (len < s->len && s->ptr[len] != ' ' && s->ptr[len] != '\t')
		len++;
	word = base_slice_first(*s, len);
	*s = base_slice_from(*s, len);
	return word;
}

bool base_slice_to_u64(struct base_slice s, uint64_t *out_value)
{
	uint64_t value = 0;

	if (s.len == 0)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		uint64_t digit = (uint64_t)(s.ptr[i] - '0');

		if (!base_ascii_is_digit(s.ptr[i]) || value > (UINT64_MAX - digit) / 10)
			return false;
		value = value * 10 + digit;
	}
	*out_value = value;
	return true;
}

char *base_slice_dup(struct base_slice s)
{
	char *text = base_alloc(s.len + 1);

	BASE_BUG_IF(base_slice_has(s, 0));
	if (s.len)
		memcpy(text, s.ptr, s.len);
	text[s.len] = '\0';
	return text;
}
