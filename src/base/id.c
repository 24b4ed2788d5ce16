#include "base/id.h"

#include <string.h>

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

struct base_id base_id_make(int64_t unix_ms, const uint8_t random[5])
{
	uint64_t high = (uint64_t)unix_ms, low = 0;
	struct base_id id;

	for (int i = 0; i < 5; i++)
		low = low << 8 | random[i];
	for (int i = 7; i >= 0; i--, high >>= 5)
		id.text[i] = alphabet[high & 31];
	for (int i = 15; i >= 8; i--, low >>= 5)
		id.text[i] = alphabet[low & 31];
	id.text[BASE_ID_CHARS] = '\0';
	return id;
}

bool base_id_parse(struct base_slice text, struct base_id *out)
{
	if (text.len != BASE_ID_CHARS)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!text.ptr[i] || !strchr(alphabet, text.ptr[i]))
			return false;
	memcpy(out->text, text.ptr, BASE_ID_CHARS);
	out->text[BASE_ID_CHARS] = '\0';
	return true;
}

struct base_slice base_id_slice(const struct base_id *id)
{
	return base_slice_make(id->text, strnlen(id->text, BASE_ID_CHARS));
}
