/* cli/explain_read.h: transcripts of many kinds, cut into lines of a dialogue
 * Job      which kind it is; of each line whose it is and what was said
 * Not      what it means (explain.h)
 * Trust    any bytes
 * Memory   nothing is kept; slices point into the input */
#ifndef CLI_EXPLAIN_READ_H
#define CLI_EXPLAIN_READ_H

#include "cli/explain.h"

enum explain_format {
	EXPLAIN_FORMAT_BARE,     /* no marks: typed, or openssl s_client */
	EXPLAIN_FORMAT_MARKS,    /* "C: …" and "S: …" */
	EXPLAIN_FORMAT_RECORDIO, /* "123 < … " and "123 > … ", a piece ends in "+" */
	EXPLAIN_FORMAT_SWAKS, /* " -> …", "<-  …", "<** …"; " ~> …", "<~  …" over TLS */
};

/* The kind that most lines are of. */
enum explain_format explain_format_guess(struct base_slice transcript);

struct explain_read {
	enum explain_who who; /* BARE: NOBODY, the caller guesses */
	uint64_t pid;         /* RECORDIO: whose session; else 0 */
	bool piece;           /* RECORDIO: the line goes on in the next one of its side */
	bool noise;           /* no line of the dialogue */
	bool tls;             /* from here on, it ran over TLS */
	struct base_slice text;
};

/* @line: without LF; a CR at its end is dropped. */
struct explain_read explain_read(enum explain_format format, struct base_slice line);

#endif
