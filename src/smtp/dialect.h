/* smtp/dialect.h: a server session that speaks otherwise
 * Job      the words of every reply that the session chooses by itself, and where it is more lenient
 *          than RFC 5321, for programs that stand in for an older one
 * Not      the answers that the caller gives to questions: its own words
 * Memory   constant tables, borrowed for the life of a session */
#ifndef SMTP_DIALECT_H
#define SMTP_DIALECT_H

#include "smtp/server.h"

/* What a session says by itself: name, code, enhanced code, text. */
#define SMTP_SAYINGS(X) \
	X(NO_RCPT, 554, "5.5.1", "no valid recipients") \
	X(MAIL_TWICE, 503, "5.5.1", "a transaction is open already") \
	X(NOT_INSIDE, 503, "5.5.1", "not inside a transaction") \
	X(AUTH_INSIDE, 503, "5.5.1", "not inside a transaction") \
	X(BDAT_NEXT, 503, "5.5.1", "BDAT or RSET comes next") \
	X(MAIL_FIRST, 503, "5.5.1", "MAIL first") \
	X(MAIL_RCPT_FIRST, 503, "5.5.1", "MAIL and RCPT first") \
	X(EHLO_FIRST, 503, "5.5.1", "EHLO first") \
	X(TLS_FIRST, 530, "5.7.0", "must issue a STARTTLS command first") \
	X(AUTH_FIRST, 530, "5.7.0", "authentication required") \
	X(FOREIGN, 500, "5.5.2", "this is an SMTP server, goodbye") \
	X(NOT_IMPLEMENTED, 502, "5.5.1", "not implemented") \
	X(UNKNOWN, 500, "5.5.2", "command not recognized") \
	X(AUTH_NEEDS_TLS, 538, "5.7.11", "encryption is required for this mechanism") \
	X(AUTH_NONE, 503, "5.5.1", "authentication is not offered") \
	X(AUTH_MECHANISM, 504, "5.5.4", "mechanism not offered") \
	X(AUTH_TWICE, 503, "5.5.1", "already authenticated") \
	X(AUTH_SYNTAX, 501, "5.5.4", "syntax: AUTH mechanism [initial-response]") \
	X(AUTH_INITIAL, 501, "5.7.0", "this mechanism takes no initial response") \
	X(AUTH_BASE64, 501, "5.5.2", "cannot decode base64") \
	X(AUTH_CANCELLED, 501, "5.7.0", "authentication cancelled") \
	X(AUTH_LONG, 500, "5.5.6", "authentication exchange line is too long") \
	X(AUTH_AHEAD, 503, "5.5.0", "bytes were sent ahead of the challenge") \
	X(AUTH_OK, 235, "2.7.0", "authentication successful") \
	X(AUTH_MALFORMED, 501, "5.5.2", "malformed authentication message") \
	X(AUTH_DOWN, 454, "4.7.0", "temporary authentication failure") \
	X(AUTH_WEAK, 534, "5.7.9", "mechanism is too weak") \
	X(AUTH_REJECTED, 535, "5.7.8", "authentication credentials invalid") \
	X(AUTH_ENOUGH, 421, "4.7.0", "too many failed authentications") \
	X(BODY_NUL, 554, "5.6.0", "message holds a NUL") \
	X(BODY_BARE_CR, 554, "5.6.0", "message holds a CR without LF") \
	X(BODY_BARE_LF, 554, "5.6.0", "message holds a LF without CR") \
	X(TOO_LARGE, 552, "5.3.4", "message too large") \
	X(HELO_NAME, 501, "5.5.4", "a host name is needed") \
	X(TLS_TWICE, 503, "5.5.1", "TLS is active already") \
	X(TLS_NONE, 502, "5.5.1", "not offered") \
	X(PARAM_UNKNOWN, 555, "5.5.4", "parameter not recognized") \
	X(PARAM_BAD, 501, "5.5.4", "bad parameter") \
	X(MAIL_SYNTAX, 501, "5.5.4", "syntax: MAIL FROM:<address>") \
	X(SENDER_BAD, 501, "5.1.7", "bad sender address") \
	X(PARAM_EHLO, 555, "5.5.4", "parameters need EHLO") \
	X(RCPT_SYNTAX, 501, "5.5.4", "syntax: RCPT TO:<address>") \
	X(RCPT_BAD, 501, "5.1.3", "bad recipient address") \
	X(RCPT_MANY, 452, "4.5.3", "too many recipients") \
	X(OK, 250, "2.0.0", "ok") \
	X(RESET, 250, "2.0.0", "ok") \
	X(VRFY, 252, "2.0.0", "send some mail and see") \
	X(HELP, 214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT") \
	X(QUIT, 221, "2.0.0", "goodbye") \
	X(ERRORS, 421, "4.7.0", "too many errors, goodbye")

enum smtp_saying {
#define X(name, code, enhanced, text) SMTP_SAY_##name,
	SMTP_SAYINGS(X)
#undef X
		SMTP_SAY_COUNT
};

enum smtp_dialect_flags {
	/* As qmail-smtpd reads: a command ends at LF too; EHLO may be left out; MAIL may begin anew
	 * inside a transaction; addresses without brackets or domain and up to
	 * SMTP_LOOSE_PATH_MAX_BYTES; unknown parameters are ignored; AUTH= need be no mailbox; blanks
	 * behind a response of AUTH are dropped. */
	SMTP_DIALECT_LENIENT = 1u << 0,
	/* EHLO lists PIPELINING, 8BITMIME, SIZE and AUTH in this order, and nothing else but STARTTLS. */
	SMTP_DIALECT_SHORT_HELLO = 1u << 1,
	/* A bare LF in DATA ends the session at once instead of refusing the message at its end. */
	SMTP_DIALECT_BARE_LF_ENDS = 1u << 2,
	/* Not announced, as the caller cannot pass them on; ignored where they are used all the same. */
	SMTP_DIALECT_NO_DSN = 1u << 3,
	SMTP_DIALECT_NO_SMTPUTF8 = 1u << 4,
};

struct smtp_dialect {
	unsigned flags;
	const char *greeting; /* behind the host name: " ESMTP"; null: the usual one */
	/* A row with code 0: the usual words. Null: all usual. */
	const struct smtp_reply *words; /* SMTP_SAY_COUNT rows */
	bool name_in_goodbye;           /* the host name stands in place of the text of QUIT */
};

/* The usual words, or those of @dialect (may be null). */
struct smtp_reply smtp_dialect_say(const struct smtp_dialect *dialect, enum smtp_saying what);

#endif
