/* qmail/smtpd_core.h: what postern-smtpd decides about its one session
 * Job      joins the SMTP engine, SASL, the control files and the two partners (a checkpassword program
 *          or the running server's auth; qmail-queue or the running server's queue) into a session
 * Not      descriptors, processes, files, environment, the clock (smtpd_main.c and its neighbours)
 * Trust    the client is hostile; checkers and queues may fail in every way
 * Memory   one struct smtpd; its buffers are bounded; a message streams through @message
 * Order    init; then smtpd_next() again and again: it says what is wanted. SMTPD_READ wants the
 *          client's next bytes; every other want but FLUSH, ABORT and IDENTITY is owed the answer named
 *          beside it. Before anything that takes time the shell writes @out.
 * Secrets  line, question and response are wiped; the log shows names only, made safe */
#ifndef QMAIL_SMTPD_CORE_H
#define QMAIL_SMTPD_CORE_H

#include "base/id.h"
#include "base/secret.h"
#include "mail/intake.h"
#include "qmail/smtpd_recipients.h"
#include "sasl/server.h"
#include "smtp/dialect.h"
#include "smtp/server.h"
#include "wire/checkpassword.h"
#include "wire/qmail_queue.h"

#define SMTPD_MESSAGE_CHUNK_BYTES 32768 /* so much is collected before it is written */
#define SMTPD_RCPTS_MAX_BYTES (4 * 1024 * 1024)
#define SMTPD_HOPS_MAX 100

enum smtpd_auth { SMTPD_AUTH_NONE, SMTPD_AUTH_CHECKER, SMTPD_AUTH_SERVER };
enum smtpd_log { SMTPD_LOG_NONE, SMTPD_LOG_SPAMCONTROL, SMTPD_LOG_POSTERN };

/* A control file: its bytes, or that there is none. */
struct smtpd_file {
	bool exists;
	struct base_slice bytes;
};

/* From command line, environment and control files. Borrowed for the life of the session. */
struct smtpd_options {
	struct base_slice greeting;    /* control/smtpgreeting: in 220, 250 and 221 */
	struct base_slice host_name;   /* TCPLOCALHOST: in Received and CRAM-MD5's challenge */
	struct base_slice local_ip;    /* "" where unknown */
	struct base_slice local_host;  /* what "@[local_ip]" stands for; "" for nothing */
	struct base_slice remote_ip;   /* "unknown" */
	struct base_slice remote_host; /* "unknown" */
	struct base_slice remote_info; /* "" */
	bool relay;                    /* RELAYCLIENT is set … */
	struct base_slice suffix;      /* … to this */
	struct smtpd_file rcpthosts, badmailfrom, recipients;
	struct smtpd_file morercpthosts; /* a cdb */
	bool closed;                     /* no rcpthosts means nobody, not everybody */
	uint64_t databytes;              /* 0: unlimited */
	uint32_t recipients_max;         /* 0: unlimited */
	uint16_t auth_failures_max;      /* 0: unlimited */
	bool compat;
	bool own_queue; /* Postern's: its own trace fields and envelope */

	enum smtpd_auth auth;
	bool auth_broken; /* the command line is wrong: AUTH is answered by 454 */
	bool auth_required, legacy_announcement;
	bool tls_offer;
	enum wire_checkpassword_order cram_order;
	/* words after AUTH, by smtpd_offer() */
	char announce_clear[256], announce_tls[256], announce_bound[256], withheld[128];

	enum smtpd_log log;
	long pid;
	const char *reply_mailbox; /* $REPLY_MAILBOX and the like; null: none */
	const char *reply_nogateway, *reply_badmailfrom;
	bool recipients_450;
	struct base_id session;
	struct base_slice mock_key; /* 32 random bytes */
};

/* Which mechanisms $SMTPAUTH names; null: it is not set. */
struct smtpd_smtpauth {
	bool set;
	uint32_t mask; /* sasl_mechanism_mask */
	bool required;
};
struct smtpd_smtpauth smtpd_smtpauth_parse(const char *value);
/* Fill the words after AUTH. @mask: what may be offered; @clear: plain-text mechanisms need no TLS. */
void smtpd_offer(struct smtpd_options *o, uint32_t mask, bool clear);

enum smtpd_want {
	SMTPD_READ,          /* smtpd_next() with more bytes, smtpd_timeout() or smtpd_lost() */
	SMTPD_FLUSH,         /* write @out, then go on */
	SMTPD_TLS,           /* drop what was read, handshake: smtpd_tls_done(), or smtpd_lost() */
	SMTPD_CHECK,         /* give @question to the checker: smtpd_checked() */
	SMTPD_PAUSE,         /* wait for pause_ms: smtpd_paused() */
	SMTPD_AUTH_BEGIN,    /* @mechanism, @response if has_response: smtpd_auth_…() */
	SMTPD_AUTH_CONTINUE, /* @response: smtpd_auth_…() */
	SMTPD_AUTH_CANCEL,   /* forget the exchange */
	SMTPD_IDENTITY,      /* smtpd_user() changed: the environment of children */
	SMTPD_ASK,           /* look up ask.key in ask: smtpd_asked() */
	SMTPD_OPEN,          /* begin a message: smtpd_opened() */
	SMTPD_WRITE,         /* append @message to it: smtpd_written() */
	SMTPD_COMMIT,        /* @envelope ends it: smtpd_queued() or smtpd_stored() */
	SMTPD_ABORT,         /* forget it */
	SMTPD_CLOSE,         /* the session is over */
};

struct smtpd_now {
	int64_t wall_ms;
	uint8_t random[SASL_SERVER_RANDOM_BYTES];
};

struct smtpd {
	const struct smtpd_options *options;
	struct smtp_dialect dialect;
	struct smtp_reply words[SMTP_SAY_COUNT];
	struct smtp_server smtp;

	enum smtpd_want want;
	bool abort_due, identity_due, cancel_due;
	struct base_buf line; /* secret: the engine's */
	struct base_buf out;  /* replies */
	struct base_buf log;  /* lines for descriptor 2 */

	/* login */
	struct sasl_server *sasl;
	struct base_buf question; /* secret: for descriptor 3 */
	struct base_secret response;
	bool has_response;
	bool exchange; /* one is open at the running server */
	char mechanism[24];
	struct base_buf user, tried; /* who logged in; who tried to */
	bool authenticated;
	uint32_t pause_ms;
	unsigned failures;
	const char *tls_version, *tls_cipher; /* null without TLS */
	bool tls_bindings;

	/* transaction */
	bool bad_sender;
	bool open;              /* the queue holds a message of ours that has no end */
	bool refused;           /* the body is being refused */
	bool last;              /* after this write comes the commit */
	struct base_buf sender; /* as it goes into the envelope */
	struct base_buf rcpt;   /* the one being judged, the same way */
	struct base_buf envid;
	struct base_buf envelope; /* of qmail-queue, or the recipients for Postern's queue */
	struct base_buf message;
	struct base_buf hold;
	uint32_t rcpt_count;
	unsigned envelope_flags;
	uint8_t ret;
	uint8_t notify;
	struct base_buf orcpt;
	struct mail_intake intake;
	struct base_id message_id;
	uint64_t message_bytes;
	struct smtpd_recipients recipients;
	struct smtpd_ask ask;

	/* counting hops in a message for qmail-queue */
	bool in_body, line_start, line_wanted;
	uint8_t line_len;
	char line_front[16];
	unsigned hops;

	uint32_t bad_before; /* refused commands, to see which one was */
	bool quit;
	const char *end; /* why it ended, for the log */
};

/* Begins with 220. */
void smtpd_init(struct smtpd *s, const struct smtpd_options *options);
/* In place of the session: 421 and the end. @original: the words with --compat. */
void smtpd_refuse(struct base_buf *out, bool compat, const char *text, const char *original);
void smtpd_release(struct smtpd *s);

/* @in: the client's bytes, borrowed; @out_used: taken, offer the rest again. */
BASE_MUST_USE enum smtpd_want smtpd_next(
	struct smtpd *s, struct base_slice in, size_t *out_used, const struct smtpd_now *now);

/* Texts are static. @bindings: channel bindings can be had. */
void smtpd_tls_done(struct smtpd *s, const char *version, const char *cipher, bool bindings);

enum smtpd_check { SMTPD_ACCEPTED, SMTPD_REJECTED, SMTPD_UNAVAILABLE, SMTPD_MALFORMED };
void smtpd_checked(struct smtpd *s, enum smtpd_check result);
void smtpd_paused(struct smtpd *s);
void smtpd_auth_challenge(struct smtpd *s, struct base_slice challenge);
void smtpd_auth_done(struct smtpd *s, enum smtpd_check result, struct base_slice user);

void smtpd_asked(struct smtpd *s, enum smtpd_answer answer);
void smtpd_opened(struct smtpd *s, bool ok, const struct smtpd_now *now);
void smtpd_written(struct smtpd *s);
/* qmail-queue ended. @broken: what we wrote did not reach it whole. */
void smtpd_queued(
	struct smtpd *s, int status, bool crashed, bool broken, long pid, int64_t wall_ms);
/* Postern's queue answered. class: 0 or an enum base_error_class. */
void smtpd_stored(struct smtpd *s, int class);

void smtpd_timeout(struct smtpd *s);
void smtpd_lost(struct smtpd *s, const char *why);

/* Who logged in; empty: nobody. */
struct base_slice smtpd_user(const struct smtpd *s);
/* The envelope of Postern's queue, whole. */
void smtpd_envelope(const struct smtpd *s, int64_t arrived_ms, struct base_buf *out);
/* 0 only after QUIT. */
int smtpd_exit_code(const struct smtpd *s);
/* "ESMTPSA" and the like, as Received has it. */
const char *smtpd_protocol(const struct smtpd *s);

/* smtpd_words.c */
enum smtpd_saying {
	SMTPD_SAY_MAIL_OK,
	SMTPD_SAY_RCPT_OK,
	SMTPD_SAY_DATA_OK,
	SMTPD_SAY_BAD_SENDER,
	SMTPD_SAY_NO_GATEWAY,
	SMTPD_SAY_NO_MAILBOX,
	SMTPD_SAY_NO_MAILBOX_450,
	SMTPD_SAY_NO_RECIPIENTS,
	SMTPD_SAY_NO_CONTROLS,
	SMTPD_SAY_ADDRESS_LONG,
	SMTPD_SAY_NO_QUEUE,
	SMTPD_SAY_HOPS,
	SMTPD_SAY_TIMEOUT,
	SMTPD_SAY_COUNT
};
struct smtp_reply smtpd_say(const struct smtpd *s, enum smtpd_saying what);
/* The dialect of the engine, with the original's words if --compat. */
void smtpd_words_fill(struct smtpd *s);

/* smtpd_trace.c */
/* @line_end: "\n" for qmail-queue, "\r\n" for Postern's. */
void smtpd_received_write(
	const struct smtpd *s, int64_t wall_ms, const char *line_end, struct base_buf *out);

/* smtpd_log.c: lines are appended to s->log. */
enum smtpd_event {
	SMTPD_EVENT_AUTH_OK,
	SMTPD_EVENT_AUTH_FAILED,
	SMTPD_EVENT_AUTH_MISSING,
	SMTPD_EVENT_RCPT_AUTH,
	SMTPD_EVENT_RCPT_RELAY,
	SMTPD_EVENT_RCPT_HOSTS,
	SMTPD_EVENT_RCPT_CDB,
	SMTPD_EVENT_RCPT_PROGRAM,
	SMTPD_EVENT_RCPT_WILD,
	SMTPD_EVENT_BAD_SENDER,
	SMTPD_EVENT_NO_GATEWAY,
	SMTPD_EVENT_NO_MAILBOX,
	SMTPD_EVENT_TOO_LARGE,
	SMTPD_EVENT_MESSAGE,
	SMTPD_EVENT_NO_MESSAGE,
	SMTPD_EVENT_END,
	SMTPD_EVENT_COUNT
};
void smtpd_log_event(struct smtpd *s, enum smtpd_event event, const char *detail);

#endif
