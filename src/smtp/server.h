/* smtp/server.h: one SMTP submission session, server side
 * Job      the client's bytes in; replies and events out; every rule of RFC 5321, 4954, 6409 and the
 *          extensions that it announces
 * Not      sockets, TLS, credentials, storage, headers (front/, auth/, queue/, mail/)
 * Trust    input is hostile: any byte, any length, cut anywhere
 * Memory   the caller owns struct smtp_server (at most SMTP_SERVER_SIZE_MAX_BYTES); no heap of its
 *          own: a half line waits in the caller's @line buffer, which may be lent only while
 *          smtp_server_holds_bytes() is true
 * Order    init, smtp_server_greet(), then push until MORE; each event that asks is answered before
 *          the next push; nothing pipelined behind a question is looked at before its answer
 * Secrets  AUTH lines pass through @line, which must be a secret buffer
 * Spec     RFC 5321, 3207, 4954, 2920, 1870, 6152, 6531, 3030, 2034, 3461, 9422, 6409 */
#ifndef SMTP_SERVER_H
#define SMTP_SERVER_H

#include "base/buf.h"
#include "base/host.h"
#include "base/secret.h"

#define SMTP_SERVER_SIZE_MAX_BYTES 768
#define SMTP_COMMAND_LINE_MAX_BYTES 4096  /* MAIL and RCPT with all parameters; others 2048 */
#define SMTP_AUTH_LINE_MAX_BYTES 12288    /* RFC 4954 section 4; without CRLF */
#define SMTP_AUTH_RESPONSE_MAX_BYTES 9216 /* what such a line decodes to */
#define SMTP_OUT_ROOM_BYTES 4096          /* free in @out before a command is looked at */
#define SMTP_PATH_MAX_BYTES 256
#define SMTP_LOOSE_PATH_MAX_BYTES 900 /* see smtp/dialect.h */
#define SMTP_HELO_MAX_BYTES 255
#define SMTP_ENVID_MAX_BYTES 100 /* RFC 3461 section 4.4, encoded */
#define SMTP_ORCPT_MAX_BYTES 500
#define SMTP_BAD_COMMANDS_MAX 20 /* then 421 4.7.0 and the end */

enum smtp_server_flags {
	SMTP_SERVER_TLS_OFFER = 1u << 0,    /* announce STARTTLS */
	SMTP_SERVER_TLS_ACTIVE = 1u << 1,   /* implicit TLS, or set by smtp_server_tls_done() */
	SMTP_SERVER_TLS_REQUIRED = 1u << 2, /* 530 5.7.0 for all but EHLO, STARTTLS, NOOP, QUIT … */
	SMTP_SERVER_AUTH_REQUIRED = 1u << 3, /* 530 5.7.0 at MAIL until authenticated */
	SMTP_SERVER_AUTH_LEGACY = 1u << 4,   /* also announce "AUTH=…" */
	SMTP_SERVER_REQUIRE_FQDN = 1u
		<< 5, /* envelope domains must be qualified: 554 (RFC 6409 4.2) */
	SMTP_SERVER_TRUST_AUTH_PARAM = 1u << 6, /* keep MAIL AUTH= of an authenticated client */
};

struct smtp_dialect; /* smtp/dialect.h */

/* What the caller configures. Strings are borrowed for the life of the session. */
struct smtp_server_options {
	struct base_slice host_name;
	unsigned flags;
	uint64_t size_max_bytes; /* 0: unlimited */
	uint32_t recipients_max;
	uint16_t auth_failures_max;         /* then 421 4.7.0 */
	const struct smtp_dialect *dialect; /* null: none */
};

/* MAIL parameters (RFC 5321 4.1.1.2 and the extensions). Slices point into the @line buffer. */
enum smtp_body { SMTP_BODY_7BIT, SMTP_BODY_8BITMIME };
enum smtp_dsn_ret { SMTP_DSN_RET_NONE, SMTP_DSN_RET_FULL, SMTP_DSN_RET_HDRS };
enum smtp_dsn_notify_flags {
	SMTP_DSN_NOTIFY_NEVER = 1u << 0,
	SMTP_DSN_NOTIFY_SUCCESS = 1u << 1,
	SMTP_DSN_NOTIFY_FAILURE = 1u << 2,
	SMTP_DSN_NOTIFY_DELAY = 1u << 3,
}; /* 0: parameter absent */

struct smtp_mail {
	struct base_slice sender; /* local@domain without <>, source route dropped; empty for <> */
	uint64_t size_bytes;      /* SIZE=, 0 if absent */
	enum smtp_body body;
	bool smtputf8;
	enum smtp_dsn_ret ret;
	struct base_slice envid; /* xtext as sent; verified to decode without controls */
	bool auth_given;
	struct base_slice
		auth; /* decoded AUTH= mailbox; empty for <>, for an untrusted client too */
};

struct smtp_rcpt {
	struct base_slice address; /* local@domain, or "postmaster" alone */
	unsigned notify;           /* enum smtp_dsn_notify_flags */
	struct base_slice orcpt;   /* "rfc822;…" as sent (xtext), verified to decode */
};

/* Events. Those marked ? wait for the named answer; until it comes push() takes no bytes. */
enum smtp_server_event {
	SMTP_SERVER_MORE, /* all input was taken, or a question is still open */
	SMTP_SERVER_FULL, /* less than SMTP_OUT_ROOM_BYTES free in @out: write it, then push again */
	SMTP_SERVER_HELLO,    /* EHLO or HELO was accepted; smtp_server_helo() changed */
	SMTP_SERVER_STARTTLS, /* ? 220 is in @out: write it, drop everything read, handshake,
				 * then smtp_server_tls_done(); or smtp_server_tls_unavailable() BEFORE
				 * the reply is written: see there */
	SMTP_SERVER_AUTH,     /* ? mechanism and initial response are set: smtp_server_auth_*() */
	SMTP_SERVER_AUTH_RESPONSE, /* ? a decoded response is set: smtp_server_auth_*() */
	SMTP_SERVER_AUTH_CANCEL, /* the client sent "*" or broke the exchange; the reply is in @out */
	SMTP_SERVER_MAIL,        /* ? smtp_server_mail_answer() */
	SMTP_SERVER_RCPT,        /* ? smtp_server_rcpt_answer() */
	SMTP_SERVER_DATA, /* ? DATA, or the first BDAT: smtp_server_data_answer(); after an acceptance
				 * BODY events follow */
	SMTP_SERVER_BODY, /* smtp_server_body() holds bytes of the message: CRLF lines, unstuffed;
				 * borrowed until the next call */
	SMTP_SERVER_BODY_END, /* ? the message is complete and clean: smtp_server_message_answer() */
	SMTP_SERVER_RESET, /* the transaction ended without a message (RSET, EHLO, refused body, an
				 * error in BDAT): forget sender, recipients and body */
	SMTP_SERVER_CLOSE, /* write @out, then close; no further push; ends a transaction too */
};

struct smtp_server; /* complete type below, so that callers can embed it; fields are private */

/* Words of a reply that the caller chooses: "250 2.1.0 ok". One line, no CRLF, at most 400 bytes;
 * anything but printable ASCII becomes '?'. */
struct smtp_reply {
	uint16_t code;        /* 200 to 599 */
	const char *enhanced; /* "2.1.0"; null or "": none */
	const char *text;
};
#define SMTP_REPLY(c, e, t) ((struct smtp_reply){(c), (e), (t)})

void smtp_server_init(struct smtp_server *s, const struct smtp_server_options *options);
/* 220. To refuse the client in its place: smtp_server_bye() with a 421 (or 554). */
void smtp_server_greet(struct smtp_server *s, struct base_buf *out);
/* Append a last reply (421, say, draining or idle) and end the session; the caller then writes and
 * closes. Does nothing after CLOSE. */
void smtp_server_bye(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);

/* Give the session more of the client's stream.
 * @in        borrowed for this call
 * @out_used  always set: bytes taken; offer the rest again after the event was handled
 * @line      secret buffer, max >= SMTP_AUTH_LINE_MAX_BYTES + 2; the session keeps half lines here
 * @out       replies are appended; max >= 2 * SMTP_OUT_ROOM_BYTES
 * Call it again, with empty input if there is no more, until it says MORE: events that follow an
 * answer (RESET, AUTH_CANCEL, CLOSE) come that way. */
BASE_MUST_USE enum smtp_server_event smtp_server_push(struct smtp_server *s, struct base_slice in,
	size_t *out_used, struct base_buf *line, struct base_buf *out);
/* @line must be kept and passed again with its content: it holds half a line, or the words of a
 * question that is still open. Else any buffer will do for the next push; it is emptied first. */
bool smtp_server_holds_bytes(const struct smtp_server *s, const struct base_buf *line);

/* Mechanisms to announce and accept now, as the words after AUTH ("PLAIN LOGIN"); empty: none.
 * Borrowed until changed. The caller sets it before greet, after TLS, and when its backend changes.
 * @plaintext_needs_tls: names for which 538 5.7.11 is given instead of 504 while TLS is absent. */
void smtp_server_set_mechanisms(
	struct smtp_server *s, struct base_slice announced, struct base_slice plaintext_needs_tls);

/* STARTTLS: after the handshake the session is new but for its counters: nothing of before remains.
 * Answering unavailable at the event replaces 220 by 454 4.7.0. */
void smtp_server_tls_done(struct smtp_server *s);
void smtp_server_tls_unavailable(struct smtp_server *s, struct base_buf *out);

/* AUTH questions. The mechanism is in upper case, and known to be among those announced; it stays
 * readable until the next AUTH command (for the log). */
struct base_slice smtp_server_auth_mechanism(
	const struct smtp_server *s, const struct base_buf *line);
/* Decoded into the caller's secret, capacity >= SMTP_AUTH_RESPONSE_MAX_BYTES. False: the client gave
 * none (no initial response). The base64 is known to be good. */
bool smtp_server_auth_response(
	const struct smtp_server *s, const struct base_buf *line, struct base_secret *out);
/* With AUTH_CANCEL: the client ended the exchange itself, by "*". */
bool smtp_server_auth_given_up(const struct smtp_server *s);
/* 334. If the client had sent bytes ahead of a challenge that it could not know, the exchange is
 * refused instead (503, then AUTH_CANCEL and CLOSE follow). LOGIN, and an empty challenge, may be
 * answered ahead. @out too full for it: 454 and AUTH_CANCEL follow. */
void smtp_server_auth_challenge(
	struct smtp_server *s, struct base_slice challenge, struct base_buf *out);
enum smtp_auth_outcome {
	SMTP_AUTH_OK,          /* 235 2.7.0 */
	SMTP_AUTH_REJECTED,    /* 535 5.7.8 */
	SMTP_AUTH_MALFORMED,   /* 501 5.5.2 */
	SMTP_AUTH_UNAVAILABLE, /* 454 4.7.0; not counted as a failure */
	SMTP_AUTH_TOO_WEAK,    /* 534 5.7.9 */
};
/* True: the failure limit is reached, 421 is appended too; the next event is CLOSE. */
bool smtp_server_auth_done(
	struct smtp_server *s, enum smtp_auth_outcome outcome, struct base_buf *out);
bool smtp_server_is_authenticated(const struct smtp_server *s);

/* Transaction questions. A reply with code < 400 accepts; 421 ends the session (CLOSE follows). */
void smtp_server_mail_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);
void smtp_server_rcpt_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);
/* code 354 lets the body come (BDAT: no reply is written then); >= 400 refuses: the body of BDAT is
 * read and dropped, and the transaction ends with RESET. */
void smtp_server_data_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);
/* While body bytes come: the storage failed. The body is read to its true end, then @reply given and
 * RESET emitted instead of BODY_END. The words of @reply are borrowed until then (and those of a
 * refusal in smtp_server_data_answer() too): static text. */
void smtp_server_body_refuse(struct smtp_server *s, struct smtp_reply reply);
/* After BODY_END. The transaction is over whatever the code; no RESET event follows. */
void smtp_server_message_answer(
	struct smtp_server *s, struct smtp_reply reply, struct base_buf *out);

/* What the last event left; slices point into @line (or @in for BODY), valid until the next push. */
const struct smtp_mail *smtp_server_mail(const struct smtp_server *s);
const struct smtp_rcpt *smtp_server_rcpt(const struct smtp_server *s);
struct base_slice smtp_server_body(const struct smtp_server *s);
/* Empty before EHLO, and where a lenient session went on without. */
struct base_slice smtp_server_helo(const struct smtp_server *s);
/* For Received and the log. */
bool smtp_server_is_esmtp(const struct smtp_server *s);
bool smtp_server_is_smtputf8(const struct smtp_server *s); /* of this transaction */
uint64_t smtp_server_body_bytes(const struct smtp_server *s);
struct smtp_server_counts {
	uint32_t commands, bad_commands, mail, rcpt_ok, rcpt, messages_ok, messages;
	uint16_t auth_failures;
};
const struct smtp_server_counts *smtp_server_counts(const struct smtp_server *s);
/* Name of the phase, for logs; the verb of the last command line, never its argument. */
const char *smtp_server_phase_name(const struct smtp_server *s);
const char *smtp_server_verb_name(const struct smtp_server *s);
const char *smtp_server_event_name(enum smtp_server_event event);
/* The truths that hold between calls; aborts on a bug. Called by itself in debug and fuzz builds. */
void smtp_server_check(const struct smtp_server *s);

#include "smtp/server_internal.h"

#endif
