#include "base/time.h"

#include <time.h>

static void split(int64_t unix_ms, struct tm *out)
{
	time_t seconds = (time_t)(unix_ms / 1000);

	gmtime_r(&seconds, out);
}

bool base_time_rfc5322(int64_t unix_ms, struct base_buf *out)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {
		"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	struct tm tm;

	split(unix_ms, &tm);
	return base_buf_printf(out, "%s, %d %s %d %02d:%02d:%02d +0000", days[tm.tm_wday],
		tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

bool base_time_rfc3339(int64_t unix_ms, bool millis, struct base_buf *out)
{
	struct tm tm;

	split(unix_ms, &tm);
	if (!base_buf_printf(out, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1,
		    tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec))
		return false;
	if (millis && !base_buf_printf(out, ".%03d", (int)(unix_ms % 1000)))
		return false;
	return base_buf_append_byte(out, 'Z');
}

/* @digits decimal digits from the front of @s, then @after (0: nothing). */
static bool take(struct base_slice *s, size_t digits, char after, int *out)
{
	uint64_t value;
	size_t len = digits + (after ? 1 : 0);

	if (s->len < len || !base_slice_to_u64(base_slice_first(*s, digits), &value))
		return false;
	if (after && s->ptr[digits] != (uint8_t)after)
		return false;
	*s = base_slice_from(*s, len);
	*out = (int)value;
	return true;
}

bool base_time_parse(struct base_slice text, int64_t *out_unix_ms)
{
	struct tm tm = {0}, back;
	time_t seconds;

	if (!take(&text, 4, '-', &tm.tm_year) || !take(&text, 2, '-', &tm.tm_mon) ||
		!take(&text, 2, 0, &tm.tm_mday))
		return false;
	if (text.len) {
		if (text.ptr[0] != 'T')
			return false;
		text = base_slice_from(text, 1);
		if (!take(&text, 2, ':', &tm.tm_hour) || !take(&text, 2, ':', &tm.tm_min) ||
			!take(&text, 2, 'Z', &tm.tm_sec) || text.len)
			return false;
	}
	tm.tm_year -= 1900;
	tm.tm_mon -= 1;
	back = tm;
	seconds = timegm(&back);
	/* timegm() turns 31 June into 1 July; a date that moved was none. */
	if (back.tm_mday != tm.tm_mday || back.tm_mon != tm.tm_mon || back.tm_hour != tm.tm_hour ||
		back.tm_min != tm.tm_min || back.tm_sec != tm.tm_sec)
		return false;
	*out_unix_ms = (int64_t)seconds * 1000;
	return true;
}

static const struct {
	char letter;
	int64_t seconds;
} units[] = {{'d', 86400}, {'h', 3600}, {'m', 60}, {'s', 1}};

bool base_duration_parse(struct base_slice text, int64_t *out_seconds)
{
	const int64_t most = INT64_C(100) * 366 * 86400;
	int64_t factor = 1;
	uint64_t value;

	for (size_t i = 0; i < BASE_COUNT(units); i++) {
		if (text.len && text.ptr[text.len - 1] == (uint8_t)units[i].letter) {
			factor = units[i].seconds;
			text.len--;
			break;
		}
	}
	if (!base_slice_to_u64(text, &value) || value > (uint64_t)(most / factor))
		return false;
	*out_seconds = (int64_t)value * factor;
	return true;
}

bool base_duration_format(int64_t seconds, struct base_buf *out)
{
	for (size_t i = 0; i < BASE_COUNT(units); i++)
		if (seconds && seconds % units[i].seconds == 0)
			return base_buf_printf(out, "%lld%c",
				(long long)(seconds / units[i].seconds), units[i].letter);
	return base_buf_append_text(out, "0s");
}

bool base_size_parse(struct base_slice text, uint64_t *out_bytes)
{
	static const char letters[] = "KMGT";
	uint64_t value, factor = 1;

	for (size_t i = 0; i < 4 && text.len; i++) {
		if (base_ascii_lower(text.ptr[text.len - 1]) ==
			base_ascii_lower((uint8_t)letters[i])) {
			factor = UINT64_C(1) << (10 * (i + 1));
			text.len--;
			break;
		}
	}
	if (!base_slice_to_u64(text, &value) || value > UINT64_MAX / factor)
		return false;
	*out_bytes = value * factor;
	return true;
}
