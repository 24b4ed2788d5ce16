/* SASLprep by libidn.
 *
 * libidn's stringprep() would decode and encode on the heap and free without wiping, so only its
 * core, stringprep_4i(), is called, on our own array of code points. Its normalisation step still
 * frees one unwiped block; that happens for text with non-ASCII characters only. */
#include "sasl/prep.h"

#include "base/utf8.h"

#include <stringprep.h>

enum { UTF8_CHAR_MAX_BYTES = 4 };

static bool is_printable_ascii(struct base_slice in)
{
	for (size_t i = 0; i < in.len; i++)
		if (in.ptr[i] < 0x20 || in.ptr[i] > 0x7e)
			return false;
	return true;
}

/* False: not UTF-8, a NUL (libidn takes it for an end), or too long. */
static bool decode(struct base_slice in, uint32_t *points, size_t max, size_t *out_count)
{
	size_t count = 0;

	while (in.len > 0) {
		uint32_t point;
		size_t used = base_utf8_next(in, &point);

		if (used == 0 || point == 0 || count == max)
			return false;
		points[count++] = point;
		in = base_slice_from(in, used);
	}
	*out_count = count;
	return true;
}

static size_t encode_char(uint32_t point, uint8_t out[UTF8_CHAR_MAX_BYTES])
{
	if (point < 0x80) {
		out[0] = (uint8_t)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (uint8_t)(0xc0 | point >> 6);
		out[1] = (uint8_t)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (uint8_t)(0xe0 | point >> 12);
		out[1] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
		out[2] = (uint8_t)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | point >> 18);
	out[1] = (uint8_t)(0x80 | (point >> 12 & 0x3f));
	out[2] = (uint8_t)(0x80 | (point >> 6 & 0x3f));
	out[3] = (uint8_t)(0x80 | (point & 0x3f));
	return 4;
}

static bool encode(const uint32_t *points, size_t count, struct base_secret *out)
{
	uint8_t bytes[UTF8_CHAR_MAX_BYTES];
	bool fits = true;

	for (size_t i = 0; i < count && fits; i++) {
		size_t len = encode_char(points[i], bytes);

		fits = base_secret_append(out, base_slice_make(bytes, len));
	}
	base_wipe(bytes, sizeof(bytes));
	return fits;
}

bool sasl_prep(struct base_slice in, bool stored, struct base_secret *out)
{
	/* One more than the limit: libidn wants to see room behind its result. */
	uint32_t points[SASL_PREP_MAX_CHARS + 1];
	Stringprep_profile_flags flags = stored ? STRINGPREP_NO_UNASSIGNED : 0;
	size_t count;
	bool good;

	base_secret_clear(out);
	if (is_printable_ascii(in))
		return base_secret_set(out, in);
	good = decode(in, points, SASL_PREP_MAX_CHARS, &count) &&
		stringprep_4i(points, &count, BASE_COUNT(points), flags, stringprep_saslprep) ==
			STRINGPREP_OK &&
		encode(points, count, out);
	base_wipe(points, sizeof(points));
	if (!good)
		base_secret_clear(out);
	return good;
}
