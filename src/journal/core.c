#include "journal/core.h"

#include "loop/log.h"

#include <string.h>

void journal_core_init(struct journal_core *core)
{
	memset(core, 0, sizeof(*core));
	base_buf_init(&core->out, JOURNAL_OUT_MAX_BYTES);
}

void journal_core_release(struct journal_core *core)
{
	base_buf_release(&core->out);
}

static uint64_t mix(uint64_t h, struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		h = (h ^ s.ptr[i]) * 1099511628211ull;
	return h;
}

/* Everything but the time; 0 for records that are never counted together. */
static uint64_t identity(struct base_slice record)
{
	struct log_event event;

	if (!log_event_parse(record, &event) || event.kind != LOG_KIND_SYSTEM ||
		event.level > LOG_LEVEL_WARNING)
		return 0;
	return mix(14695981039346656037ull + event.level, event.fields) | 1;
}

static void append_line(struct journal_core *core, struct base_slice line)
{
	if (base_buf_room(&core->out) < line.len + 1) {
		core->lost++;
		return;
	}
	base_buf_append_slice(&core->out, line);
	base_buf_append_byte(&core->out, '\n');
	core->lines++;
}

/* The kept line once more, with how often it was meant. */
static void tell(struct journal_core *core, struct journal_repeat *r)
{
	struct base_slice line = base_slice_make(r->line, r->len);
	struct base_buf text;

	if (r->count) {
		base_buf_init(&text, JOURNAL_LINE_KEPT_BYTES + 64);
		if (core->json && line.len && line.ptr[line.len - 1] == '}') {
			base_buf_append_slice(&text, base_slice_first(line, line.len - 1));
			base_buf_printf(&text, ", \"count\": %u}", r->count);
		} else {
			base_buf_append_slice(&text, line);
			base_buf_printf(&text, " count=%u", r->count);
		}
		append_line(core, base_buf_slice(&text));
		base_buf_release(&text);
	}
	r->hash = 0;
	core->watched--;
}

/* The slot of a record like this one, or a free or the oldest one. */
static struct journal_repeat *slot(struct journal_core *core, uint64_t hash)
{
	struct journal_repeat *best = &core->repeats[0];

	for (size_t i = 0; i < JOURNAL_REPEAT_SLOTS; i++) {
		struct journal_repeat *r = &core->repeats[i];

		if (r->hash == hash)
			return r;
		if (best->hash != 0 && (r->hash == 0 || r->until_ms < best->until_ms))
			best = r;
	}
	return best;
}

/* Is it to be counted only? */
static bool is_repeat(
	struct journal_core *core, struct journal_repeat *r, uint64_t hash, int64_t now_ms)
{
	if (r->hash == hash && now_ms < r->until_ms) {
		if (r->seen++ < JOURNAL_REPEAT_SHOWN)
			return false;
		r->count++;
		return true;
	}
	if (r->hash != 0)
		tell(core, r);
	return false;
}

void journal_core_record(struct journal_core *core, struct base_slice record, int64_t now_ms)
{
	uint64_t hash = identity(record);
	struct journal_repeat *r = hash ? slot(core, hash) : NULL;
	size_t before, len;

	if (r && is_repeat(core, r, hash, now_ms))
		return;
	before = core->out.len;
	if (!(core->json ? log_format_json(record, &core->out)
			 : log_format_text(record, &core->out))) {
		core->broken++;
		return;
	}
	len = core->out.len - before;
	if (!base_buf_append_byte(&core->out, '\n') || !base_buf_ok(&core->out)) {
		base_buf_truncate(&core->out, before);
		core->out.overflow = false;
		core->lost++;
		return;
	}
	core->lines++;
	if (!r || r->hash == hash)
		return;
	/* Too long to be told again: printed every time. */
	if (len > sizeof(r->line))
		return;
	r->hash = hash;
	r->until_ms = now_ms + JOURNAL_REPEAT_MS;
	r->seen = 1;
	r->count = 0;
	r->len = (uint16_t)len;
	memcpy(r->line, core->out.ptr + before, len);
	core->watched++;
}

void journal_core_tick(struct journal_core *core, int64_t now_ms, bool all)
{
	struct base_buf line;

	for (size_t i = 0; i < JOURNAL_REPEAT_SLOTS && core->watched; i++) {
		struct journal_repeat *r = &core->repeats[i];

		if (r->hash != 0 && (all || now_ms >= r->until_ms))
			tell(core, r);
	}
	if (core->lost == core->lost_told || base_buf_room(&core->out) < 256)
		return;
	base_buf_init(&line, 256);
	if (core->json)
		base_buf_append_text(&line,
			"{\"level\": \"warning\", \"kind\": \"system\", "
			"\"text\": \"log lines lost\", \"count\": ");
	else
		base_buf_append_text(&line, "warning: log lines lost count=");
	base_buf_printf(&line, "%llu%s", (unsigned long long)(core->lost - core->lost_told),
		core->json ? "}" : "");
	core->lost_told = core->lost;
	append_line(core, base_buf_slice(&line));
	base_buf_release(&line);
}

int64_t journal_core_wait_ms(const struct journal_core *core, int64_t now_ms)
{
	int64_t first = INT64_MAX;

	for (size_t i = 0; i < JOURNAL_REPEAT_SLOTS && core->watched; i++) {
		const struct journal_repeat *r = &core->repeats[i];

		if (r->hash != 0 && r->until_ms < first)
			first = r->until_ms;
	}
	if (core->lost != core->lost_told && now_ms + 1000 < first)
		first = now_ms + 1000;
	if (first == INT64_MAX)
		return -1;
	return first > now_ms ? first - now_ms : 0;
}
