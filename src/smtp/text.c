/* Where the reader is, between two bytes:
 *
 *   EMPTY    the line has no byte yet: at the start, and after CRLF
 *   LINE     inside a line
 *   CR       inside a line, the last byte was CR (already handed out)
 *   DOT      a line began with '.', and that byte was taken
 *   DOT_CR   a line began with '.' CR, and both were taken
 *
 * EMPTY '.' DOT CR DOT_CR LF is the end. DOT and any other byte: the dot was stuffing and is gone.
 * DOT_CR and any other byte: that CR is bare. A bare LF does not end a line, so "LF.CRLF" is no end
 * either. The common path looks at no byte by itself: it jumps from LF to LF with memchr(). */
#include "smtp/text.h"

#include <string.h>

enum place { EMPTY, LINE, CR, DOT, DOT_CR };

void smtp_text_init(struct smtp_text *t, bool dots)
{
	*t = (struct smtp_text){.place = EMPTY, .dots = dots};
}

bool smtp_text_line_is_empty(const struct smtp_text *t)
{
	return t->place == EMPTY;
}

void smtp_text_finish(struct smtp_text *t)
{
	if (t->place == CR)
		t->faults |= SMTP_TEXT_BARE_CR;
	t->place = EMPTY;
}

/* The first byte of a push, where the last push stopped in the middle of something. Returns how many
 * bytes of the message it was (0 or 1), or -1 for the end of the message. */
static int resume(struct smtp_text *t, uint8_t byte)
{
	switch ((enum place)t->place) {
	case EMPTY:
	case LINE:
		return 0;
	case CR:
		if (byte == '\n') {
			t->place = EMPTY;
			return 1;
		}
		t->faults |= SMTP_TEXT_BARE_CR;
		break;
	case DOT:
		if (byte == '\r') {
			t->place = DOT_CR;
			return 1;
		}
		break;
	case DOT_CR:
		if (byte == '\n') {
			t->place = EMPTY;
			return -1;
		}
		t->faults |= SMTP_TEXT_BARE_CR;
		break;
	}
	t->place = LINE;
	return 0;
}

/* Take the line, or the part of one, at the front of [p, end). Not called at a stuffed dot. */
static const uint8_t *take_line(struct smtp_text *t, const uint8_t *p, const uint8_t *end)
{
	const uint8_t *lf = memchr(p, '\n', (size_t)(end - p));
	const uint8_t *stop = lf ? lf : end;
	const uint8_t *cr = memchr(p, '\r', (size_t)(stop - p));

	if (cr && cr + 1 != stop)
		t->faults |= SMTP_TEXT_BARE_CR;
	if (!lf) {
		t->place = end[-1] == '\r' ? CR : LINE;
		return end;
	}
	if (cr && lf[-1] == '\r') {
		t->place = EMPTY;
	} else {
		t->faults |= SMTP_TEXT_BARE_LF;
		t->place = LINE;
	}
	return lf + 1;
}

/* From @p on, whole lines and a last part, up to a line that begins with a dot. */
static const uint8_t *take_lines(struct smtp_text *t, const uint8_t *p, const uint8_t *end)
{
	while (p < end && !(t->dots && t->place == EMPTY && *p == '.'))
		p = take_line(t, p, end);
	return p;
}

enum smtp_text_result smtp_text_push(
	struct smtp_text *t, struct base_slice in, size_t *out_used, struct base_slice *out_bytes)
{
	const uint8_t *start = in.ptr, *p = in.ptr, *end = in.ptr + in.len;

	*out_used = 0;
	while (p < end) {
		int taken = resume(t, *p);

		if (taken < 0) {
			*out_used = (size_t)(p + 1 - in.ptr);
			return SMTP_TEXT_END;
		}
		p += taken;
		/* The CR behind a lone dot is no byte of the message: if it proves to be bare, the
		 * message is refused anyway. */
		if (t->place == DOT_CR) {
			start = p;
			*out_used = (size_t)(p - in.ptr);
			continue;
		}
		p = take_lines(t, p, end);
		if (memchr(start, 0, (size_t)(p - start)))
			t->faults |= SMTP_TEXT_NUL;
		if (p < end)
			t->place = DOT;
		*out_used = (size_t)(p - in.ptr) + (p < end);
		if (p > start && !t->faults) {
			*out_bytes = base_slice_make(start, (size_t)(p - start));
			return SMTP_TEXT_BYTES;
		}
		p = in.ptr + *out_used;
		start = p;
	}
	return SMTP_TEXT_MORE;
}
