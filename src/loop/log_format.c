/* A record as a line: `level: text key=value …` or a JSON object. Records come from other processes
 * and hold strangers' bytes: everything is bounded, checked and escaped here. */
#include "loop/log.h"

#include "base/escape.h"
#include "base/time.h"
#include "base/utf8.h"
#include "loop/ipc.h"

#include <stdio.h>
#include <string.h>

enum {
	FIELDS_MAX = 64,
	VALUE_SHOWN_MAX_BYTES = 1024,
};

static const char *const key_names[LOG_KEY_COUNT] = {
#define X(name, text) [LOG_KEY_##name] = (text),
	LOG_KEYS(X)
#undef X
};

static const char *const kind_names[LOG_KIND_COUNT] = {
#define X(name, text) [LOG_KIND_##name] = (text),
	LOG_KINDS(X)
#undef X
};

static const char *const level_names[LOG_LEVEL_COUNT] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

const char *log_key_name(enum log_key key)
{
	BASE_BUG_IF((unsigned)key >= LOG_KEY_COUNT);
	return key_names[key];
}

const char *log_kind_name(enum log_kind kind)
{
	BASE_BUG_IF((unsigned)kind >= LOG_KIND_COUNT);
	return kind_names[kind];
}

const char *log_level_name(enum log_level level)
{
	BASE_BUG_IF((unsigned)level >= LOG_LEVEL_COUNT);
	return level_names[level];
}

bool log_event_parse(struct base_slice body, struct log_event *out)
{
	struct ipc_reader r = ipc_reader_make(body);
	uint8_t level = ipc_get_u8(&r), kind = ipc_get_u8(&r);
	int64_t time_ms = ipc_get_i64(&r);

	if (r.bad || level >= LOG_LEVEL_COUNT || kind >= LOG_KIND_COUNT)
		return false;
	out->level = (enum log_level)level;
	out->kind = (enum log_kind)kind;
	out->time_ms = time_ms;
	out->fields = r.rest;
	return true;
}

bool log_event_next(struct log_event *e, struct log_field *out)
{
	struct ipc_reader r = ipc_reader_make(e->fields);
	uint8_t key = ipc_get_u8(&r), type = ipc_get_u8(&r);
	struct log_field field = {.is_number = type != 0};

	if (type > 2 || key >= LOG_KEY_COUNT)
		return false;
	field.key = (enum log_key)key;
	if (field.is_number)
		field.number = ipc_get_i64(&r);
	else
		field.bytes = ipc_get_bytes(&r);
	if (r.bad)
		return false;
	e->fields = r.rest;
	*out = field;
	return true;
}

/* All fields in the order of the list; fields of one key keep theirs. */
struct fields {
	struct log_field items[FIELDS_MAX];
	size_t count;
};

static bool collect(struct base_slice record, struct log_event *out_event, struct fields *out)
{
	struct log_field field;
	size_t at;

	out->count = 0;
	if (!log_event_parse(record, out_event))
		return false;
	while (out->count < FIELDS_MAX && log_event_next(out_event, &field)) {
		at = out->count++;
		while (at > 0 && out->items[at - 1].key > field.key) {
			out->items[at] = out->items[at - 1];
			at--;
		}
		out->items[at] = field;
	}
	return true;
}

static const struct log_field *find(const struct fields *fields, enum log_key key)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (fields->items[i].key == key)
			return &fields->items[i];
	}
	return NULL;
}

/* A time as a process gave it; the calendar is not asked for the year 292 million. */
static void put_time(int64_t unix_ms, bool millis, struct base_buf *out)
{
	const int64_t year_10000 = 253402300800000;

	if (unix_ms < 0 || unix_ms >= year_10000)
		unix_ms = 0;
	base_time_rfc3339(unix_ms, millis, out);
}

void log_format_time(int64_t unix_ms, struct base_buf *out)
{
	put_time(unix_ms, true, out);
}

/* Marks that turn the direction of text around on a terminal. */
static bool is_direction_mark(uint32_t c)
{
	return c == 0x061c || c == 0x200e || c == 0x200f || (c >= 0x2028 && c <= 0x202e) ||
		(c >= 0x2066 && c <= 0x2069);
}

/* Words for people: one line, UTF-8 as it is, anything that could act on a terminal as '?'. */
static void put_words(struct base_slice s, struct base_buf *out)
{
	uint32_t code_point;
	size_t len;

	while (s.len) {
		len = base_utf8_next(s, &code_point);
		if (len == 0 || code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0) ||
			is_direction_mark(code_point))
			base_buf_append_byte(out, '?');
		else
			base_buf_append(out, s.ptr, len);
		s = base_slice_from(s, len ? len : 1);
	}
}

static void put_plain(const struct log_field *field, struct base_buf *out)
{
	if (field && !field->is_number)
		put_words(field->bytes, out);
}

/* `C: EHLO example.org`, then what it means on a line of its own. */
static void format_dialogue(const struct fields *fields, struct base_buf *out)
{
	const struct log_field *direction = find(fields, LOG_KEY_DIRECTION);
	const struct log_field *line = find(fields, LOG_KEY_LINE);
	const struct log_field *explain = find(fields, LOG_KEY_EXPLAIN);

	if (line) {
		put_plain(direction, out);
		base_buf_append_text(out, direction ? ": " : "");
		put_plain(line, out);
	}
	if (explain) {
		base_buf_append_text(out, line ? "\n   # " : "   # ");
		put_plain(explain, out);
	}
}

/* Several stand in every line; printf() is the slow way to write them. */
static void put_number(int64_t number, struct base_buf *out)
{
	uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
	char digits[24];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + rest % 10);
		rest /= 10;
	} while (rest);
	if (number < 0)
		digits[--at] = '-';
	base_buf_append(out, digits + at, sizeof(digits) - at);
}

static void put_value_text(const struct log_field *field, struct base_buf *out)
{
	if (!field->is_number)
		base_escape_log_value(field->bytes, VALUE_SHOWN_MAX_BYTES, out);
	else if (field->key == LOG_KEY_NEXT)
		put_time(field->number, false, out);
	else
		put_number(field->number, out);
}

bool log_format_text(struct base_slice record, struct base_buf *out)
{
	struct log_event event;
	struct fields fields;

	if (!collect(record, &event, &fields))
		return false;
	if (event.kind == LOG_KIND_DIALOGUE) {
		format_dialogue(&fields, out);
		return true;
	}
	base_buf_append_text(out, level_names[event.level]);
	base_buf_append_byte(out, ':');
	for (size_t i = 0; i < fields.count; i++) {
		base_buf_append_byte(out, ' ');
		if (fields.items[i].key == LOG_KEY_TEXT && !fields.items[i].is_number) {
			put_words(fields.items[i].bytes, out);
			continue;
		}
		base_buf_append_text(out, key_names[fields.items[i].key]);
		base_buf_append_byte(out, '=');
		put_value_text(&fields.items[i], out);
	}
	return true;
}

void log_json_string(struct base_slice s, struct base_buf *out)
{
	uint32_t code_point;
	size_t len;

	base_buf_append_byte(out, '"');
	while (s.len) {
		len = base_utf8_next(s, &code_point);
		/* Many JSON readers refuse a NUL even when it is escaped. */
		if (len == 0 || code_point == 0) {
			base_buf_printf(out, "\\\\x%02x", s.ptr[0]);
			len = 1;
		} else if (code_point == '"' || code_point == '\\') {
			base_buf_append_byte(out, '\\');
			base_buf_append_byte(out, s.ptr[0]);
		} else if (code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0)) {
			base_buf_printf(out, "\\u%04x", (unsigned)code_point);
		} else {
			base_buf_append(out, s.ptr, len);
		}
		s = base_slice_from(s, len);
	}
	base_buf_append_byte(out, '"');
}

static void put_value_json(const struct log_field *field, struct base_buf *out)
{
	if (!field->is_number) {
		log_json_string(base_slice_first(field->bytes, VALUE_SHOWN_MAX_BYTES), out);
	} else if (field->key == LOG_KEY_NEXT) {
		base_buf_append_byte(out, '"');
		put_time(field->number, false, out);
		base_buf_append_byte(out, '"');
	} else {
		put_number(field->number, out);
	}
}

static void put_fields_json(const struct fields *fields, struct base_buf *out)
{
	size_t i = 0, end;

	while (i < fields->count) {
		end = i + 1;
		while (end < fields->count && fields->items[end].key == fields->items[i].key)
			end++;
		base_buf_printf(out, ", \"%s\": ", key_names[fields->items[i].key]);
		if (end - i > 1)
			base_buf_append_byte(out, '[');
		for (size_t j = i; j < end; j++) {
			if (j > i)
				base_buf_append_text(out, ", ");
			put_value_json(&fields->items[j], out);
		}
		if (end - i > 1)
			base_buf_append_byte(out, ']');
		i = end;
	}
}

bool log_format_json(struct base_slice record, struct base_buf *out)
{
	struct log_event event;
	struct fields fields;

	if (!collect(record, &event, &fields))
		return false;
	base_buf_append_text(out, "{\"time\": \"");
	put_time(event.time_ms, true, out);
	base_buf_printf(out, "\", \"level\": \"%s\", \"kind\": \"%s\"", level_names[event.level],
		kind_names[event.kind]);
	put_fields_json(&fields, out);
	base_buf_append_byte(out, '}');
	return true;
}

bool log_format_json_fields(struct base_slice record, struct base_buf *out)
{
	struct log_event event;
	struct fields fields;

	if (!collect(record, &event, &fields))
		return false;
	put_fields_json(&fields, out);
	return true;
}
