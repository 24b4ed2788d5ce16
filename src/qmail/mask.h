/* qmail/mask.h: which bytes of a dialogue a trace may show
 * Job      both directions in, in the order in which they pass; what may be shown out, with marks
 *          such as "<28 bytes>" in place of passwords, tokens and responses
 * Not      how a trace looks (record_lines.h); whether the dialogue is right
 * Trust    both sides are strangers: SMTP, POP3 or nothing known, any byte, cut anywhere
 * Memory   fixed; what is undecided (a line's first word, at most MASK_HELD_MAX bytes) is held
 * Order    init, push …, end once for each direction
 * Secrets  a byte that is masked is counted and forgotten
 * Rule     when in doubt, mask: what is hidden without need, --show-secrets shows
 * Spec     RFC 4954 section 4; RFC 1939 section 7, RFC 5034 section 4; RFC 3207, RFC 2595 */
#ifndef QMAIL_MASK_H
#define QMAIL_MASK_H

#include "base/buf.h"

enum mask_side { MASK_CLIENT, MASK_SERVER };

#define MASK_HELD_MAX 32

/* Where the client's line is. */
enum mask_place {
	MASK_PLACE_START,     /* nothing is decided; what has come is held */
	MASK_PLACE_SHOWN,     /* shown to its end */
	MASK_PLACE_MECHANISM, /* behind "AUTH": the next word is held, shown if it names a mechanism */
	MASK_PLACE_GAP,       /* blanks before what is masked */
	MASK_PLACE_HIDDEN,    /* counted to its end */
	MASK_PLACE_BODY,      /* of a message */
};

struct mask {
	bool show; /* everything as it is */
	bool tls;  /* from now on both directions are bytes of TLS */
	enum mask_place place;
	uint8_t head
		[MASK_HELD_MAX]; /* of the client's line; in START and MECHANISM not yet shown */
	size_t head_len;
	size_t hidden;        /* bytes counted in this line */
	uint8_t hidden_first; /* the first of them */
	bool cr;              /* the last byte counted was a CR, which is not in `hidden` */
	bool gap;             /* MECHANISM: the blank behind "AUTH" has come */
	bool is_auth;         /* the line is an AUTH command */
	bool in_body;         /* the server said 354 */
	bool in_exchange;     /* between AUTH, or a challenge, and the final reply */
	bool distrust;        /* an exchange failed: only lines that are commands are shown */
	bool starttls;        /* was asked for */
	uint8_t dot;          /* bytes of a line of one dot that have come; past it: 3 */
	size_t owed;          /* replies that the server owes; those before AUTH's in an exchange */
	uint64_t chunk;       /* bytes of BDAT that are left */
	uint8_t reply[5];     /* of the server's line */
	size_t reply_len;
};

void mask_init(struct mask *m, bool show_secrets);
/* Append to @out what may be shown of @in. */
void mask_push(struct mask *m, enum mask_side side, struct base_slice in, struct base_buf *out);
/* The line that runs in this direction is not shown to where it stands: do not cut it now. */
bool mask_is_holding(const struct mask *m, enum mask_side side);
/* No more bytes come from this side: append what was held or counted. */
void mask_end(struct mask *m, enum mask_side side, struct base_buf *out);

#endif
