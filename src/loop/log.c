/* Records on their way to the journal.
 *
 * commit -> `pending` (entries of u16 length and record) -> after LOG_GATHER_MS, or at once for errors
 * and warnings, or when a frame is nearly full: one or more EVENT frames. A process has one log, hence the one static object. */
#include "loop/log.h"

#include "base/clock.h"
#include "loop/ipc.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	FRAME_BODY_MAX_BYTES = 16384,
	JOURNAL_LAG_MAX_BYTES = 4 * 1024 *
		1024, /* the journal hangs: records are counted, not kept */
	RECORD_FIXED_BYTES = 10,
};

static struct {
	struct ipc_channel *journal;
	bool had_journal;
	bool json;
	char role[16];
	enum log_level least;
	struct base_buf pending;
	struct base_buf spare; /* memory of the last record, for the next */
	uint64_t lost;
} state = {
	.least = LOG_LEVEL_INFO,
	.pending = {.max = LOG_PENDING_MAX_BYTES},
};

void log_set_level(enum log_level least)
{
	state.least = least;
}

void log_set_json(bool json)
{
	state.json = json;
}

void log_set_journal(struct ipc_channel *journal, const char *role_name)
{
	state.journal = journal;
	if (journal)
		state.had_journal = true;
	snprintf(state.role, sizeof(state.role), "%s", role_name ? role_name : "");
	log_flush();
}

static void write_all(struct base_slice line)
{
	ssize_t n;

	while (line.len) {
		n = write(STDERR_FILENO, line.ptr, line.len);
		if (n <= 0)
			return;
		line = base_slice_from(line, (size_t)n);
	}
}

static void write_stderr(struct base_slice record)
{
	struct base_buf line;
	bool good;

	base_buf_init(&line, 64 * 1024);
	good = state.json ? log_format_json(record, &line) : log_format_text(record, &line);
	if (good && base_buf_append_byte(&line, '\n'))
		write_all(base_buf_slice(&line));
	base_buf_release(&line);
}

bool log_frame_next(struct base_slice *body, struct base_slice *out_record)
{
	uint16_t len;

	if (body->len < sizeof(len))
		return false;
	memcpy(&len, body->ptr, sizeof(len));
	if (body->len - sizeof(len) < len)
		return false;
	*out_record = base_slice_make(body->ptr + sizeof(len), len);
	*body = base_slice_from(*body, sizeof(len) + len);
	return true;
}

/* Length of the leading entries of @entries that one frame takes. */
static size_t frame_part(struct base_slice entries)
{
	struct base_slice rest = entries, record;
	size_t part = 0;

	while (log_frame_next(&rest, &record) && entries.len - rest.len <= FRAME_BODY_MAX_BYTES)
		part = entries.len - rest.len;
	return part;
}

static void count_lost(struct base_slice entries)
{
	struct base_slice record;

	while (log_frame_next(&entries, &record))
		state.lost++;
}

void log_flush(void)
{
	struct base_slice rest = base_buf_slice(&state.pending);
	struct base_slice parts[2];
	struct ipc_header header = {.type = IPC_EVENT};
	uint64_t lost;

	if (!state.journal || rest.len == 0)
		return;
	parts[0] = base_slice_make(&header, sizeof(header));
	while (rest.len) {
		parts[1] = base_slice_first(rest, frame_part(rest));
		if (ipc_channel_pending(state.journal) > JOURNAL_LAG_MAX_BYTES)
			count_lost(parts[1]);
		else if (!ipc_send_parts(state.journal, parts, 2, NULL, 0))
			break; /* it is gone: the rest waits for the next one */
		rest = base_slice_from(rest, parts[1].len);
	}
	base_buf_consume(&state.pending, state.pending.len - rest.len);
	if (state.lost && ipc_channel_pending(state.journal) == 0) {
		lost = state.lost;
		state.lost = 0;
		log_write(LOG_LEVEL_WARNING, "the journal was too slow; records lost: %llu",
			(unsigned long long)lost);
	}
}

bool log_waits(void)
{
	return state.journal && state.pending.len > 0;
}

void log_end(void)
{
	struct base_slice rest, record;

	log_flush();
	rest = base_buf_slice(&state.pending);
	while (log_frame_next(&rest, &record))
		write_stderr(record);
	base_buf_release(&state.pending);
	base_buf_release(&state.spare);
	state.journal = NULL;
	state.had_journal = false;
}

void log_begin(struct log_record *r, enum log_level level, enum log_kind kind)
{
	/* The level never changes between begin and commit, so a record that nobody wants has no room. */
	if (level > state.least && kind != LOG_KIND_DIALOGUE) {
		base_buf_init(&r->frame, 0);
		return;
	}
	r->frame = state.spare;
	state.spare = (struct base_buf){0};
	r->frame.max = LOG_RECORD_MAX_BYTES;
	base_buf_clear(&r->frame);
	ipc_put_u8(&r->frame, (uint8_t)level);
	ipc_put_u8(&r->frame, (uint8_t)kind);
	ipc_put_i64(&r->frame, base_clock_wall_ms());
}

void log_put(struct log_record *r, enum log_key key, struct base_slice value)
{
	uint32_t len;

	value = base_slice_first(value, LOG_VALUE_MAX_BYTES);
	if (base_buf_room(&r->frame) < 2 + sizeof(len) + value.len)
		return;
	len = (uint32_t)value.len;
	ipc_put_u8(&r->frame, (uint8_t)key);
	ipc_put_u8(&r->frame, 0);
	base_buf_append(&r->frame, &len, sizeof(len));
	base_buf_append_slice(&r->frame, value);
}

void log_put_text(struct log_record *r, enum log_key key, const char *value)
{
	log_put(r, key, base_slice_text(value));
}

void log_put_id(struct log_record *r, enum log_key key, const struct base_id *id)
{
	log_put(r, key, base_id_slice(id));
}

void log_put_addr(struct log_record *r, enum log_key key, const struct base_addr *addr)
{
	struct base_buf text;

	if (r->frame.max == 0)
		return;
	base_buf_init(&text, 64);
	if (base_addr_format(addr, &text))
		log_put(r, key, base_buf_slice(&text));
	base_buf_release(&text);
}

static void put_number(struct log_record *r, enum log_key key, uint8_t type, int64_t value)
{
	if (base_buf_room(&r->frame) < 2 + sizeof(value))
		return;
	ipc_put_u8(&r->frame, (uint8_t)key);
	ipc_put_u8(&r->frame, type);
	ipc_put_i64(&r->frame, value);
}

void log_put_u64(struct log_record *r, enum log_key key, uint64_t value)
{
	put_number(r, key, 1, (int64_t)value);
}

void log_put_i64(struct log_record *r, enum log_key key, int64_t value)
{
	put_number(r, key, 2, value);
}

void log_put_ratio(struct log_record *r, enum log_key key, uint64_t part, uint64_t whole)
{
	char text[48];

	if (part == whole) {
		log_put_u64(r, key, part);
		return;
	}
	snprintf(text, sizeof(text), "%llu/%llu", (unsigned long long)part,
		(unsigned long long)whole);
	log_put_text(r, key, text);
}

static void keep(const struct base_buf *record, bool urgent)
{
	uint16_t len = (uint16_t)record->len;

	if (base_buf_room(&state.pending) < sizeof(len) + len) {
		write_stderr(base_buf_slice(record));
		return;
	}
	base_buf_append(&state.pending, &len, sizeof(len));
	base_buf_append_slice(&state.pending, base_buf_slice(record));
	if (urgent || state.pending.len > FRAME_BODY_MAX_BYTES - LOG_RECORD_MAX_BYTES)
		log_flush();
}

void log_commit(struct log_record *r)
{
	if (r->frame.max == 0)
		return;
	BASE_BUG_IF(r->frame.len < RECORD_FIXED_BYTES);
	if (state.had_journal)
		keep(&r->frame, r->frame.ptr[0] <= LOG_LEVEL_WARNING);
	else
		write_stderr(base_buf_slice(&r->frame));
	base_buf_release(&state.spare);
	state.spare = r->frame;
	r->frame = (struct base_buf){0};
}

static void write_text(enum log_level level, const char *text)
{
	struct log_record r;

	log_begin(&r, level, LOG_KIND_SYSTEM);
	log_put_text(&r, LOG_KEY_TEXT, text);
	if (state.role[0])
		log_put_text(&r, LOG_KEY_ROLE, state.role);
	log_commit(&r);
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LOG_VALUE_MAX_BYTES];
	va_list args;

	if (level > state.least)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	write_text(level, text);
}

void log_error(enum log_level level, const char *what, const struct base_error *err)
{
	log_write(level, "%s: %s", what, err->text);
}
