#include "smtp/reply.h"

#include <string.h>

void smtp_reply_reader_init(struct smtp_reply_reader *r)
{
	*r = (struct smtp_reply_reader){.in_reply = false};
	base_buf_init(&r->line, SMTP_REPLY_LINE_MAX_BYTES + 2);
}

void smtp_reply_reader_release(struct smtp_reply_reader *r)
{
	base_buf_release(&r->line);
}

bool smtp_reply_reader_is_idle(const struct smtp_reply_reader *r)
{
	return !r->in_reply && (r->line_done || !r->line.len);
}

/* 1 to 3 digits at @at; returns where they end, or 0. */
static size_t digits_end(struct base_slice text, size_t at)
{
	size_t end = at;

	while (end < text.len && end - at < 3 && base_ascii_is_digit(text.ptr[end]))
		end++;
	return end > at ? end : 0;
}

struct base_slice smtp_reply_enhanced(uint16_t code, struct base_slice text)
{
	size_t end;

	if (text.len < 5 || text.ptr[0] != '0' + code / 100 || text.ptr[1] != '.')
		return BASE_SLICE_EMPTY;
	if (text.ptr[0] == '3') /* RFC 2034: there is no class 3 */
		return BASE_SLICE_EMPTY;
	end = digits_end(text, 2);
	if (!end || end >= text.len || text.ptr[end] != '.')
		return BASE_SLICE_EMPTY;
	end = digits_end(text, end + 1);
	if (!end || (end < text.len && text.ptr[end] != ' '))
		return BASE_SLICE_EMPTY;
	return base_slice_first(text, end);
}

/* Text beyond the room is dropped: the code decides, the words are for people. */
static void add_text(struct smtp_client_reply *reply, struct base_slice text, bool first)
{
	size_t room = sizeof(reply->text) - reply->text_len;

	if (!first && room) {
		reply->text[reply->text_len++] = '\n';
		room--;
	}
	if (text.len > room)
		text.len = room;
	if (text.len)
		memcpy(reply->text + reply->text_len, text.ptr, text.len);
	reply->text_len = (uint16_t)(reply->text_len + text.len);
}

static void add_enhanced(struct smtp_client_reply *reply, struct base_slice text)
{
	struct base_slice found = smtp_reply_enhanced(reply->code, text);

	if (!found.len || reply->enhanced[0] || found.len >= sizeof(reply->enhanced))
		return;
	memcpy(reply->enhanced, found.ptr, found.len);
	reply->enhanced[found.len] = '\0';
}

static enum smtp_reply_result take_line(
	struct smtp_reply_reader *r, struct base_slice line, struct smtp_client_reply *reply)
{
	struct base_slice text;
	bool first = !r->in_reply;
	uint16_t code;
	size_t i;

	if (line.len < 3 || line.ptr[0] < '2' || line.ptr[0] > '5')
		return SMTP_REPLY_BROKEN;
	for (i = 1; i < 3; i++)
		if (!base_ascii_is_digit(line.ptr[i]))
			return SMTP_REPLY_BROKEN;
	if (line.len > 3 && line.ptr[3] != ' ' && line.ptr[3] != '-')
		return SMTP_REPLY_BROKEN;
	code = (uint16_t)((line.ptr[0] - '0') * 100 + (line.ptr[1] - '0') * 10 +
		(line.ptr[2] - '0'));
	if (first) {
		reply->code = code;
		reply->enhanced[0] = '\0';
		reply->text_len = 0;
	} else if (code != reply->code) {
		return SMTP_REPLY_BROKEN;
	}
	r->several = !first;
	text = base_slice_from(line, 4);
	add_enhanced(reply, text);
	add_text(reply, text, first);
	r->in_reply = line.len > 3 && line.ptr[3] == '-';
	if (r->in_reply)
		return SMTP_REPLY_LINE;
	r->line_count = 0;
	r->byte_count = 0;
	return SMTP_REPLY_END;
}

/* Keep what fits, remember that there was more. */
static void hold(struct smtp_reply_reader *r, struct base_slice part)
{
	size_t room = base_buf_room(&r->line);

	if (part.len > room) {
		part.len = room;
		r->cut = true;
	}
	(void)base_buf_append_slice(&r->line, part);
}

enum smtp_reply_result smtp_reply_push(struct smtp_reply_reader *r, struct base_slice in,
	size_t *out_used, struct smtp_client_reply *reply, struct base_slice *out_line)
{
	struct base_slice line;
	size_t end, taken;

	*out_used = 0;
	if (r->line_done) {
		base_buf_clear(&r->line);
		r->line_done = false;
		r->cut = false;
	}
	end = base_slice_find(in, '\n');
	taken = end < in.len ? end + 1 : in.len;
	if (taken > SMTP_REPLY_MAX_BYTES - r->byte_count || r->line_count >= SMTP_REPLY_MAX_LINES)
		return SMTP_REPLY_ENDLESS;
	r->byte_count += (uint32_t)taken;
	*out_used = taken;
	line = base_slice_first(in, end);
	if (r->line.len || end == in.len) {
		hold(r, line);
		if (end == in.len)
			return SMTP_REPLY_MORE;
		line = base_buf_slice(&r->line);
	}
	r->line_count++;
	r->line_done = true;
	if (line.len > SMTP_REPLY_LINE_MAX_BYTES + 1)
		r->cut = true;
	while (!r->cut && line.len && line.ptr[line.len - 1] == '\r')
		line.len--;
	if (line.len > SMTP_REPLY_LINE_MAX_BYTES)
		line.len = SMTP_REPLY_LINE_MAX_BYTES;
	*out_line = line;
	return take_line(r, line, reply);
}
