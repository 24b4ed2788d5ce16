#include "qmail/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* What qmail-rspawn reads: for each recipient in order "r", "h<text>" or "s<text>", then "K<text>",
 * "Z<text>" or "D<text>" for the message; each ends with NUL, so no text may hold one. */

enum { REPORT_MAX_BYTES = 1 << 22, WRITE_AT_BYTES = 32768 };

void remote_report_init(struct remote_report *r, size_t rcpt_count)
{
	*r = (struct remote_report){.rcpt_count = rcpt_count};
	base_buf_init(&r->out, REPORT_MAX_BYTES);
	r->rcpts = base_alloc_zero(rcpt_count ? rcpt_count : 1, sizeof(r->rcpts[0]));
}

void remote_report_release(struct remote_report *r)
{
	for (size_t i = 0; i < r->rcpt_count; i++)
		free(r->rcpts[i].text);
	free(r->rcpts);
	r->rcpts = NULL;
	r->rcpt_count = 0;
	base_buf_release(&r->out);
}

static void put(struct remote_report *r, char kind, const char *text)
{
	if (kind)
		(void)base_buf_append_byte(&r->out, (uint8_t)kind);
	(void)base_buf_append_text(&r->out, text ? text : "");
	(void)base_buf_append_byte(&r->out, '\0');
}

void remote_report_rcpt(struct remote_report *r, size_t index, char kind, const char *text)
{
	BASE_BUG_IF(index >= r->rcpt_count);
	if (r->complete || r->rcpts[index].kind)
		return;
	r->rcpts[index].kind = kind;
	r->rcpts[index].text = text ? base_strdup(text) : NULL;
	for (; r->told < r->rcpt_count && r->rcpts[r->told].kind; r->told++) {
		struct remote_rcpt_report *told = &r->rcpts[r->told];

		put(r, told->kind, told->text);
		free(told->text);
		told->text = NULL;
	}
	if (r->out.len > WRITE_AT_BYTES)
		(void)remote_report_write(r, STDOUT_FILENO);
}

void remote_report_message(struct remote_report *r, const char *text)
{
	if (r->complete)
		return;
	put(r, 0, text);
	r->complete = true;
}

void remote_report_said(struct base_slice raw, struct base_buf *out)
{
	bool cut = raw.len > REMOTE_REPLY_MAX_BYTES;
	struct base_slice shown = base_slice_first(raw, REMOTE_REPLY_MAX_BYTES);
	size_t line_end = base_slice_find_last(shown, '\n');

	if (cut && line_end < shown.len)
		shown.len = line_end + 1;
	for (size_t i = 0; i < shown.len; i++) {
		uint8_t b = shown.ptr[i];

		(void)base_buf_append_byte(out, (b < 0x20 && b != '\n') || b == 0x7f ? '?' : b);
	}
	if (shown.len && shown.ptr[shown.len - 1] != '\n')
		(void)base_buf_append_byte(out, '\n');
}

void remote_report_word(struct base_slice raw, struct base_buf *out)
{
	raw = base_slice_first(raw, REMOTE_REPLY_MAX_BYTES);
	for (size_t i = 0; i < raw.len; i++) {
		uint8_t b = raw.ptr[i];

		(void)base_buf_append_byte(out, b <= ' ' || b >= 0x7f ? '?' : b);
	}
}

bool remote_report_write(struct remote_report *r, int fd)
{
	size_t at = 0;
	bool ok = true;

	while (ok && at < r->out.len) {
		ssize_t n = write(fd, r->out.ptr + at, r->out.len - at);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			ok = false;
	}
	base_buf_clear(&r->out);
	return ok;
}
