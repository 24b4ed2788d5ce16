/* smtp/command.h: cut the client's bytes into lines, and a line into verb and argument
 * Job      one line, ended by CRLF and by nothing else; one verb and one argument slice out
 * Not      what a verb means (smtp/server.c); the message text (smtp/text.h)
 * Trust    input is hostile: any byte, any length, cut anywhere; results do not depend on the cut
 * Memory   the caller owns struct smtp_line and the buffer in which the line grows
 * Order    init, push until it is not MORE, read the buffer, clear the buffer, push again
 * Secrets  an AUTH line lies in the caller's buffer, which must be a secret one
 * Spec     RFC 5321 sections 2.3.8, 2.4 and 4.5.3.1.4; RFC 4954 section 4 */
#ifndef SMTP_COMMAND_H
#define SMTP_COMMAND_H

#include "base/buf.h"

enum smtp_line_result {
	SMTP_LINE_MORE,    /* all of @in was taken and no line has ended */
	SMTP_LINE_READY,   /* the buffer holds the line without its CRLF */
	SMTP_LINE_LONG,    /* a line passed its limit and has ended now; the buffer is empty */
	SMTP_LINE_NUL,     /* the line has ended; it holds a NUL */
	SMTP_LINE_BARE_CR, /* … a CR that no LF follows */
	SMTP_LINE_BARE_LF, /* … a LF that no CR precedes */
};

enum smtp_line_kind {
	SMTP_LINE_COMMAND,  /* limit by verb, see smtp_command_line_max() */
	SMTP_LINE_RESPONSE, /* inside an AUTH exchange */
};

struct smtp_line {
	bool skipping;   /* the limit was passed; bytes are dropped up to CRLF */
	bool skipped_cr; /* the last byte dropped was CR */
	bool auth;       /* after LONG: it was an AUTH command or response */
	bool lf;         /* set by the caller: LF alone ends a line too */
};

void smtp_line_init(struct smtp_line *l);
/* Give the reader more of the client's stream. @line must be empty when a line begins and hold what
 * the last push left there otherwise; max >= SMTP_AUTH_LINE_MAX_BYTES + 2.
 * @out_used: always set; at most one line is taken. */
BASE_MUST_USE enum smtp_line_result smtp_line_push(struct smtp_line *l, enum smtp_line_kind kind,
	struct base_slice in, size_t *out_used, struct base_buf *line);
/* Limit without CRLF of a command line that starts with @start (5 bytes are enough). */
size_t smtp_command_line_max(struct base_slice start);

enum smtp_verb {
	SMTP_VERB_UNKNOWN,
	SMTP_VERB_HELO,
	SMTP_VERB_EHLO,
	SMTP_VERB_STARTTLS,
	SMTP_VERB_AUTH,
	SMTP_VERB_MAIL,
	SMTP_VERB_RCPT,
	SMTP_VERB_DATA,
	SMTP_VERB_BDAT,
	SMTP_VERB_RSET,
	SMTP_VERB_NOOP,
	SMTP_VERB_VRFY,
	SMTP_VERB_EXPN,
	SMTP_VERB_HELP,
	SMTP_VERB_QUIT,
	SMTP_VERB_FOREIGN, /* HTTP, or a header field: no SMTP client sends it */
	SMTP_VERB_COUNT,
};

struct smtp_command {
	enum smtp_verb verb;
	struct base_slice argument; /* without blanks at both ends */
};

/* Never fails: what is no verb is UNKNOWN. Slices point into @line. */
struct smtp_command smtp_command_parse(struct base_slice line);
/* "EHLO"; "unknown", "foreign" for the two that are none. */
const char *smtp_verb_name(enum smtp_verb verb);
/* Take the next word (bytes up to a blank) off the front of @s; empty at the end. */
struct base_slice smtp_command_word(struct base_slice *s);

#endif
