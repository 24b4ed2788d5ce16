#include "smtp/client_internal.h"

#include <stdio.h>
#include <string.h>

/* The message on its way out. Whatever came in, only CRLF ends a line on the wire and a dot at the
 * front of a line is doubled (RFC 5321 sections 2.3.8 and 4.5.2): a bare CR or LF becomes CRLF, so no
 * two servers can disagree on where the message ends.
 *
 * The work is done a line at a time: everything up to the next LF is good as it stands unless it
 * holds a CR elsewhere than before that LF. */

static void put(struct smtp_stuffer *s, struct base_slice run, struct base_buf *out)
{
	if (!run.len)
		return;
	if (s->dots && !s->mid_line && run.ptr[0] == '.')
		(void)base_buf_append_byte(out, '.');
	(void)base_buf_append_slice(out, run);
	s->mid_line = true;
}

static void put_end(struct smtp_stuffer *s, struct base_buf *out)
{
	(void)base_buf_append(out, "\r\n", 2);
	s->mid_line = false;
	s->held_cr = false;
}

/* @line has no LF; every CR in it ends a line, but the last one if it ends @line is only held. */
static void put_line(struct smtp_stuffer *s, struct base_slice line, struct base_buf *out)
{
	size_t cr;

	while (line.len) {
		if (s->held_cr)
			put_end(s, out);
		cr = base_slice_find(line, '\r');
		put(s, base_slice_first(line, cr), out);
		s->held_cr = cr < line.len;
		line = base_slice_from(line, cr + 1);
	}
}

/* Length of the bytes at the front of @in that may be copied as they stand: whole lines, none of
 * which starts with a dot where that matters. */
static size_t clean_prefix(const struct smtp_stuffer *s, struct base_slice in)
{
	const uint8_t *at = in.ptr, *end = in.ptr + in.len, *lf;

	while (at < end && !(s->dots && *at == '.')) {
		lf = memchr(at, '\n', (size_t)(end - at));
		if (!lf || lf == at || lf[-1] != '\r')
			break;
		if (memchr(at, '\r', (size_t)(lf - at - 1)))
			break;
		at = lf + 1;
	}
	return (size_t)(at - in.ptr);
}

void smtp_stuff(struct smtp_stuffer *s, struct base_slice in, struct base_buf *out)
{
	size_t clean, lf;

	while (in.len) {
		if (!s->mid_line && !s->held_cr) {
			clean = clean_prefix(s, in);
			(void)base_buf_append(out, in.ptr, clean);
			in = base_slice_from(in, clean);
			if (!in.len)
				return;
		}
		lf = base_slice_find(in, '\n');
		put_line(s, base_slice_first(in, lf), out);
		if (lf < in.len)
			put_end(s, out);
		in = base_slice_from(in, lf + 1);
	}
}

void smtp_stuff_end(struct smtp_stuffer *s, struct base_buf *out)
{
	if (s->held_cr || s->mid_line)
		put_end(s, out);
}

bool smtp_stuff_is_clean(const struct smtp_stuffer *s, struct base_slice in, bool last)
{
	return last && !s->dots && !s->mid_line && !s->held_cr && clean_prefix(s, in) == in.len;
}

static void finish(struct smtp_client *c, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;
	char shown[64];
	size_t start;

	t->body_open = false;
	t->body_sent = true;
	if (!t->bdat) {
		smtp_stuff_end(&t->stuffer, out);
		start = out->len;
		(void)base_buf_append_text(out, ".\r\n");
		(void)snprintf(shown, sizeof(shown), "[%llu bytes of message]",
			(unsigned long long)t->body_bytes);
		smtp_client_trace_sent(c, out, start, shown);
		smtp_client_trace_sent(c, out, start, NULL);
		t->in_flight++;
	}
}

/* One chunk for each call. A chunk that is not the last may end inside a line. */
static void chunk(struct smtp_client *c, struct base_slice bytes, bool last, struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;
	char command[48];
	struct base_slice text = bytes;

	base_buf_clear(&c->scratch);
	if (!smtp_stuff_is_clean(&t->stuffer, bytes, last)) {
		smtp_stuff(&t->stuffer, bytes, &c->scratch);
		if (last)
			smtp_stuff_end(&t->stuffer, &c->scratch);
		text = base_buf_slice(&c->scratch);
	}
	if (!text.len && !last)
		return;
	(void)snprintf(command, sizeof(command), "BDAT %zu%s\r\n", text.len, last ? " LAST" : "");
	smtp_client_write_line(c, out, command);
	(void)base_buf_append_slice(out, text);
	t->chunks++;
	t->in_flight++;
}

void smtp_client_body(struct smtp_client *c, struct base_slice bytes, bool last, size_t *out_used,
	struct base_buf *out)
{
	struct smtp_transaction *t = &c->txn;
	size_t room = base_buf_room(out);

	*out_used = 0;
	BASE_BUG_IF(c->phase != SMTP_CLIENT_PHASE_MAIL || !t->body_open);
	if (room < SMTP_CLIENT_OUT_ROOM_BYTES)
		return;
	room = (room - 256) / 2;
	if (bytes.len > room) {
		bytes.len = room;
		last = false;
	}
	t->body_bytes += bytes.len;
	*out_used = bytes.len;
	if (t->bdat)
		chunk(c, bytes, last, out);
	else
		smtp_stuff(&t->stuffer, bytes, out);
	if (last)
		finish(c, out);
}

void smtp_client_body_abort(struct smtp_client *c)
{
	if (c->phase == SMTP_CLIENT_PHASE_MAIL)
		smtp_client_fail(c, false, false, "the message cannot be read");
}
