/* qmail/record_lines.h: how a trace looks
 * Job      bytes of one direction in, lines "PID < data" out, as recordio writes them
 * Not      what may be shown (mask.h)
 * Memory   one piece of at most RECORD_PIECE_MAX bytes */
#ifndef QMAIL_RECORD_LINES_H
#define QMAIL_RECORD_LINES_H

#include "base/buf.h"

#define RECORD_PIECE_MAX 256

struct record_lines {
	long pid;
	char mark; /* '<' from the client, '>' to it */
	uint8_t piece[RECORD_PIECE_MAX];
	size_t len;
};

void record_lines_init(struct record_lines *l, long pid, char mark);
/* Append to @out the lines of @in: a whole one ends in a blank, a piece of one in '+'. @hold: the
 * last one goes on at the next push, so it is not cut now. */
void record_lines_push(
	struct record_lines *l, struct base_slice in, bool hold, struct base_buf *out);
/* Append the rest and "[EOF]". */
void record_lines_end(struct record_lines *l, struct base_buf *out);

#endif
