#include "qmail/record_lines.h"

void record_lines_init(struct record_lines *l, long pid, char mark)
{
	*l = (struct record_lines){.pid = pid, .mark = mark};
}

static void put(struct record_lines *l, char end, struct base_buf *out)
{
	base_buf_printf(out, "%ld %c ", l->pid, l->mark);
	base_buf_append(out, l->piece, l->len);
	base_buf_append_byte(out, (uint8_t)end);
	base_buf_append_byte(out, '\n');
	l->len = 0;
}

void record_lines_push(
	struct record_lines *l, struct base_slice in, bool hold, struct base_buf *out)
{
	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] == '\n') {
			put(l, ' ', out);
			continue;
		}
		if (l->len == RECORD_PIECE_MAX)
			put(l, '+', out);
		l->piece[l->len++] = in.ptr[i];
	}
	if (l->len && !hold)
		put(l, '+', out);
}

void record_lines_end(struct record_lines *l, struct base_buf *out)
{
	if (l->len)
		put(l, '+', out);
	base_buf_printf(out, "%ld %c [EOF]\n", l->pid, l->mark);
}
