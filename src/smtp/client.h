/* smtp/client.h: one SMTP or LMTP session, client side
 * Job      the server's bytes in; commands and events out: greeting, EHLO, STARTTLS, AUTH, then any
 *          number of transactions, pipelined where the server offers it
 * Not      sockets, TLS, DNS, pools, what to send next (relay/, cli/)
 * Trust    the server is hostile: any byte, endless lines, endless replies
 * Memory   the caller owns struct smtp_client; half lines wait in it, bounded
 * Order    init, start, push until MORE; ask events are answered; then transaction after transaction
 * Secrets  AUTH by sasl/client.h inside; wiped when the exchange ends; AUTH lines pass through @out:
 *          where credentials are given it must be a secret buffer
 * Spec     RFC 5321, 3207, 4954, 2920, 1870, 6152, 6531, 3030, 3461, 9422, 2033 (LMTP) */
#ifndef SMTP_CLIENT_H
#define SMTP_CLIENT_H

#include "base/buf.h"
#include "base/secret.h"
#include "sasl/client.h"
#include "smtp/server.h"

enum smtp_client_extensions {
	SMTP_EXT_PIPELINING = 1u << 0,
	SMTP_EXT_SIZE = 1u << 1,
	SMTP_EXT_8BITMIME = 1u << 2,
	SMTP_EXT_SMTPUTF8 = 1u << 3,
	SMTP_EXT_CHUNKING = 1u << 4,
	SMTP_EXT_ENHANCED = 1u << 5,
	SMTP_EXT_DSN = 1u << 6,
	SMTP_EXT_AUTH = 1u << 7,
	SMTP_EXT_STARTTLS = 1u << 8,
	SMTP_EXT_LIMITS = 1u << 9,
};

enum smtp_client_tls {
	SMTP_CLIENT_TLS_NONE,     /* never STARTTLS */
	SMTP_CLIENT_TLS_MAY,      /* STARTTLS when offered; TLS failure: the caller decides */
	SMTP_CLIENT_TLS_REQUIRE,  /* not offered or refused: FAILED, temporary */
	SMTP_CLIENT_TLS_IMPLICIT, /* the caller did TLS before start */
};

struct smtp_client_options {
	struct base_slice helo_name; /* borrowed for the session */
	bool lmtp;
	enum smtp_client_tls tls;
	bool auth; /* credentials exist: AUTH before any MAIL, or FAILED */
	/* auth: where no mechanism that the credential serves is offered, be ready all the same. Only for a
	 * certificate, which TLS shows by itself (many servers take it without AUTH), and only in verified
	 * TLS. */
	bool auth_if_offered;
	enum sasl_credential credential; /* of this kind */
	sasl_mechanism_mask
		mechanisms;     /* allowed by the account; 0: all that the credential serves */
	struct base_slice host; /* of the server, for OAUTHBEARER and FOREIGN mechanisms; copied */
	uint16_t port;
	/* Makes the exchange of a FOREIGN mechanism; false: not in this build, the mechanism is passed
	 * over. Null: none of them is spoken. */
	bool (*foreign_new)(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
		struct base_slice user, struct base_slice password,
		struct sasl_client_foreign *out);
	void *foreign_arg;
	sasl_mechanism_mask foreign;      /* those that foreign_new can make */
	bool allow_plaintext_without_tls; /* only by the explicit word of the user for loopback tests */
};

/* A server's reply, complete. Text lines are joined by LF, bounded, raw: escape before showing. */
#define SMTP_CLIENT_REPLY_TEXT_MAX_BYTES 1024
struct smtp_client_reply {
	uint16_t code;     /* 200 to 599 */
	char enhanced[12]; /* "5.7.8" or "" */
	uint16_t text_len;
	char text[SMTP_CLIENT_REPLY_TEXT_MAX_BYTES];
};

struct smtp_client_rcpt {
	struct base_slice address;
	unsigned notify;
	struct base_slice orcpt; /* xtext form */
};

struct smtp_client_mail {
	struct base_slice sender;
	uint64_t size_bytes;
	bool body_8bit; /* message holds bytes >= 0x80 */
	bool smtputf8;  /* addresses or headers need it */
	enum smtp_dsn_ret ret;
	struct base_slice envid;
	bool auth_identity; /* pass on @auth; else AUTH=<> to a server we logged in to */
	struct base_slice auth;
};

enum smtp_client_event {
	SMTP_CLIENT_MORE,
	SMTP_CLIENT_STARTTLS, /* ? server said 220 and nothing behind it: handshake, smtp_client_tls_done() */
	SMTP_CLIENT_CREDENTIALS, /* ? smtp_client_credentials(); may take long (asks auth) */
	SMTP_CLIENT_READY, /* logged in (if asked to): smtp_client_send_mail() or smtp_client_quit() */
	SMTP_CLIENT_MAIL_REPLY,    /* reply to MAIL is in smtp_client_reply() */
	SMTP_CLIENT_RCPT_REPLY,    /* reply for smtp_client_rcpt_index() */
	SMTP_CLIENT_BODY,          /* ? give body bytes with smtp_client_body() */
	SMTP_CLIENT_MESSAGE_REPLY, /* SMTP: final reply. LMTP: one per accepted recipient, by index */
	SMTP_CLIENT_DONE,   /* the transaction is over (all refused, or replied): READY again */
	SMTP_CLIENT_FAILED, /* session is over: smtp_client_failure() says what and how */
	SMTP_CLIENT_CLOSED, /* QUIT was answered */
};

enum smtp_client_stage {
	SMTP_STAGE_GREETING,
	SMTP_STAGE_HELLO,
	SMTP_STAGE_STARTTLS,
	SMTP_STAGE_TLS,
	SMTP_STAGE_AUTH,
	SMTP_STAGE_MAIL,
	SMTP_STAGE_RCPT,
	SMTP_STAGE_DATA,
	SMTP_STAGE_BODY,
	SMTP_STAGE_FINAL,
	SMTP_STAGE_QUIT,
	SMTP_STAGE_COUNT
};

struct smtp_client_failure {
	enum smtp_client_stage stage;
	bool permanent; /* else try again later */
	bool account;   /* credentials are at fault: pause the account, bounce nothing */
	bool refused; /* account: the server said no to the login (535 and the like); false where it
		       * has no mechanism for us, or broke the one it has */
	bool maybe_delivered; /* broke after the final dot was sent */
	const char *reason;   /* our words; the peer's are in smtp_client_reply() */
};

/* What must be free in @out at every call that takes it: the longest AUTH response and a command. */
#define SMTP_CLIENT_OUT_ROOM_BYTES 20480

struct smtp_client;
struct smtp_client *smtp_client_new(const struct smtp_client_options *options);
void smtp_client_free(struct smtp_client **client);

/* Give the session more of the server's stream, or nothing, to let it go on after an answer.
 * Call it until it says MORE with all input taken. At STARTTLS and FAILED all input was taken.
 * A small body may be asked for (BODY) before the replies to MAIL and RCPT came: BDAT is pipelined. */
BASE_MUST_USE enum smtp_client_event smtp_client_push(
	struct smtp_client *c, struct base_slice in, size_t *out_used, struct base_buf *out);
/* The connection ended or timed out; FAILED (or CLOSED) follows. @reason: our words. */
enum smtp_client_event smtp_client_eof(struct smtp_client *c, const char *reason);

/* The handshake is done. Implicit TLS: before the first push. @verified: the name was checked. */
void smtp_client_tls_done(struct smtp_client *c, enum sasl_binding binding,
	struct base_slice binding_data, bool verified, struct base_buf *out);
/* @password: or the token; empty for a certificate or a ticket. @random: SASL_CLIENT_RANDOM_BYTES. An empty
 * user is the certificate's or the ticket's own; a null one says that the credentials are not to be had now
 * (FAILED, temporary, account). */
void smtp_client_credentials(struct smtp_client *c, struct base_slice user,
	struct base_slice password, struct base_slice random, struct base_buf *out);

/* In READY. Recipients and slices are borrowed until DONE or FAILED. Writes MAIL, RCPTs (pipelined if
 * offered), RSET first where the session has carried a MAIL before and no RSET since. What cannot go to this server is
 * refused before the wire, with a reply of our own: CR, LF, NUL or blanks in an address (5.1.3, 5.1.7),
 * a message larger than its SIZE (5.3.4), 8-bit text without 8BITMIME (5.6.3), SMTPUTF8 needed but not
 * offered (5.6.7), recipients beyond its RCPTMAX (452 4.5.3). Bare CR and LF of the body become CRLF. */
void smtp_client_send_mail(struct smtp_client *c, const struct smtp_client_mail *mail,
	const struct smtp_client_rcpt *rcpts, size_t rcpt_count, struct base_buf *out);
/* After BODY: append stuffed bytes (or a BDAT chunk) to @out, at most what fits. @out_used: taken.
 * @last with an empty rest ends the message. The next BODY event comes from smtp_client_push() with
 * empty input once the caller has room again. */
void smtp_client_body(struct smtp_client *c, struct base_slice bytes, bool last, size_t *out_used,
	struct base_buf *out);
/* The body cannot be had (read error): the connection is unusable after this; FAILED follows. */
void smtp_client_body_abort(struct smtp_client *c);
void smtp_client_quit(struct smtp_client *c, struct base_buf *out);
void smtp_client_rset(
	struct smtp_client *c, struct base_buf *out); /* READY again after its reply */

/* How many of the first recipients may go in one transaction by LIMITS, and at most 100 where the
 * server does not say (RFC 5321 section 4.5.3.1.8). At least 1. */
size_t smtp_client_rcpt_fit(
	const struct smtp_client *c, const struct smtp_client_rcpt *rcpts, size_t rcpt_count);
/* LIMITS MAILMAX is used up: quit after this transaction. */
bool smtp_client_is_spent(const struct smtp_client *c);
/* What is waited for now: the caller's time-outs hang on it (RFC 5321 section 4.5.3.2). */
enum smtp_client_stage smtp_client_stage(const struct smtp_client *c);
const char *smtp_client_stage_name(enum smtp_client_stage stage); /* "greeting" */

/* Code 0: the last event came without a reply. */
const struct smtp_client_reply *smtp_client_reply(const struct smtp_client *c);
/* The reply is of our own making: nothing was sent. */
bool smtp_client_reply_is_local(const struct smtp_client *c);
size_t smtp_client_rcpt_index(const struct smtp_client *c);
const struct smtp_client_failure *smtp_client_failure(const struct smtp_client *c);
unsigned smtp_client_extensions(const struct smtp_client *c);
uint64_t smtp_client_size_max(const struct smtp_client *c);
sasl_mechanism_mask smtp_client_mechanisms(const struct smtp_client *c); /* offered now */
enum sasl_mechanism smtp_client_mechanism(const struct smtp_client *c);  /* used for login */
bool smtp_client_is_authenticated(const struct smtp_client *c);
/* The JSON with which the server refused a token; empty: there was none. */
struct base_slice smtp_client_auth_error(const struct smtp_client *c);
/* The lines of the last reply to EHLO behind the first, joined by LF, raw, cut at
 * SMTP_CLIENT_HELLO_MAX_BYTES: what a server offers in its own words, for probe. */
#define SMTP_CLIENT_HELLO_MAX_BYTES 4096
struct base_slice smtp_client_hello(const struct smtp_client *c);
/* Trace of lines sent and received with secrets masked, for send --trace: null for none. */
struct smtp_client_trace {
	void (*line_fn)(void *arg, bool sent, struct base_slice line);
	void *arg;
};
void smtp_client_set_trace(struct smtp_client *c, struct smtp_client_trace trace);

#endif
