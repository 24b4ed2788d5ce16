/* smtp/client_internal.h: the client session, as the files of smtp/client*.c share it
 * client.c phases and replies; client_offer.c EHLO; client_auth.c AUTH; client_mail.c a transaction;
 * client_body.c the message text; client_facts.c what can be asked */
#ifndef SMTP_CLIENT_INTERNAL_H
#define SMTP_CLIENT_INTERNAL_H

#include "smtp/client.h"
#include "smtp/reply.h"

enum smtp_client_phase {
	SMTP_CLIENT_PHASE_GREETING, /* 220 is awaited */
	SMTP_CLIENT_PHASE_EHLO,     /* EHLO or LHLO was sent */
	SMTP_CLIENT_PHASE_HELO,     /* HELO was sent, because EHLO is not known */
	SMTP_CLIENT_PHASE_STARTTLS_SENT,
	SMTP_CLIENT_PHASE_TLS_WAIT,   /* the caller shakes hands */
	SMTP_CLIENT_PHASE_LOGIN_WAIT, /* the caller fetches credentials */
	SMTP_CLIENT_PHASE_AUTH,       /* an exchange runs */
	SMTP_CLIENT_PHASE_CANCEL,     /* "*" was sent */
	SMTP_CLIENT_PHASE_IDLE,       /* READY: no transaction */
	SMTP_CLIENT_PHASE_MAIL,       /* a transaction, struct smtp_transaction says where */
	SMTP_CLIENT_PHASE_RSET,
	SMTP_CLIENT_PHASE_QUIT,
	SMTP_CLIENT_PHASE_ENDED,  /* QUIT was answered */
	SMTP_CLIENT_PHASE_BROKEN, /* failed */
	SMTP_CLIENT_PHASE_COUNT,
};

/* What EHLO said; all of it is forgotten at the next EHLO. */
struct smtp_offer {
	unsigned extensions; /* enum smtp_client_extensions */
	uint64_t size_max;   /* 0: none named */
	sasl_mechanism_mask mechanisms;
	uint32_t mail_max, rcpt_max, rcpt_domain_max; /* LIMITS; 0: none */
};

/* One line of a reply to EHLO but the first, without the code. */
void smtp_offer_line(struct smtp_offer *offer, struct base_slice text);

/* Line ends and stuffing of a message on its way out. */
struct smtp_stuffer {
	bool dots;     /* DATA: stuff; BDAT: not */
	bool mid_line; /* the last byte written was not the LF of a line */
	bool held_cr;  /* a CR came last: not written yet */
};

/* All of @in is taken; @out grows by at most 2 * in.len + 2. */
void smtp_stuff(struct smtp_stuffer *s, struct base_slice in, struct base_buf *out);
/* End the last line if it is not ended. At most 2 bytes. */
void smtp_stuff_end(struct smtp_stuffer *s, struct base_buf *out);
/* True if smtp_stuff() and _end would copy @in as it is (without dots). */
bool smtp_stuff_is_clean(const struct smtp_stuffer *s, struct base_slice in, bool last);

enum smtp_rcpt_state {
	SMTP_RCPT_OPEN,    /* to be sent, or sent and not answered */
	SMTP_RCPT_LOCAL,   /* refused by us, see why in smtp_rcpt_refusal() */
	SMTP_RCPT_SURPLUS, /* beyond RCPTMAX */
	SMTP_RCPT_TOLD,    /* one of the two, and the event was given */
	SMTP_RCPT_ACCEPTED,
	SMTP_RCPT_REFUSED,
	SMTP_RCPT_ANSWERED, /* the final reply for it was given */
};

struct smtp_transaction {
	struct smtp_client_mail mail;
	const struct smtp_client_rcpt *rcpts;
	size_t rcpt_count;
	struct base_buf states;   /* one enum smtp_rcpt_state for each recipient */
	size_t told;              /* recipients before it have no event of ours due */
	size_t written, answered; /* recipients, local ones are passed over */
	size_t accepted;
	size_t final;       /* next recipient for MESSAGE_REPLY (LMTP, and fan-out) */
	uint32_t in_flight; /* commands without a reply */
	uint32_t chunks;    /* BDAT commands without a reply */
	bool rset_sent, rset_done, mail_sent, mail_done, mail_ok, data_sent, data_done;
	bool bdat;      /* the body goes in BDAT chunks */
	bool body_open; /* the body is asked for */
	bool body_sent; /* the end of the body is on the wire */
	bool doomed;    /* the stream is out of step: fail when all was told */
	bool fan_out;   /* the reply stands for every accepted recipient */
	bool over;      /* nothing more is written or awaited but what is in flight */
	uint64_t body_bytes;
	struct smtp_stuffer stuffer;
};

struct smtp_client {
	enum smtp_client_phase phase;
	enum smtp_client_tls tls;
	bool lmtp, auth, auth_if_offered, allow_plaintext;
	bool tls_active, verified, authenticated;
	bool unclean; /* MAIL was sent since the session or the last RSET began: RSET comes first */
	bool reply_local;
	uint32_t mails; /* MAIL commands sent */
	size_t rcpt_index;
	enum smtp_client_event due; /* MORE: none */
	struct smtp_offer offer;
	struct smtp_reply_reader reader;
	struct smtp_client_reply reply;
	struct smtp_client_failure failure;
	struct smtp_client_trace trace;
	char helo_name[BASE_HOST_NAME_MAX_BYTES + 1];
	char host[BASE_HOST_NAME_MAX_BYTES + 1]; /* of the server, as the caller names it */
	uint16_t port;
	struct base_buf hello; /* what the server said to the last EHLO */

	sasl_mechanism_mask allowed, tried;
	bool turned_down; /* the server would not have one that it offers */
	bool (*foreign_new)(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
		struct base_slice user, struct base_slice password,
		struct sasl_client_foreign *out);
	void *foreign_arg;
	enum sasl_mechanism mechanism;
	struct sasl_client *sasl;
	struct base_buf
		initial;   /* secret: the initial response, until it can no more be asked for */
	bool initial_held; /* it did not fit its line: it is sent when the server asks */
	bool initial_sent; /* it went with the command; a server may overlook it and ask */
	struct base_buf
		said;  /* secret: what a server may repeat of a login; each ends with a NUL */
	bool repeated; /* … and this reply did */
	struct base_buf auth_error; /* the JSON with which the last exchange was refused */
	uint32_t rounds;
	enum sasl_binding binding;
	uint8_t binding_data[SASL_BINDING_MAX_BYTES];
	size_t binding_len;

	struct smtp_transaction txn;
	struct base_buf scratch; /* a chunk whose line ends had to be mended */
};

#define SMTP_CLIENT_REPEATED "(what we sent, not shown)"

/* client.c */
void smtp_client_set_phase(struct smtp_client *c, enum smtp_client_phase to);
/* The session is over. @reply_counts: the peer's last reply is the cause. */
void smtp_client_fail(struct smtp_client *c, bool permanent, bool reply_counts, const char *reason);
void smtp_client_local_reply(
	struct smtp_client *c, uint16_t code, const char *enhanced, const char *text);
/* Tell the trace of the command that starts at @start of @out (its CRLF included).
 * @shown: what to show in its place, or null. */
void smtp_client_trace_sent(
	struct smtp_client *c, const struct base_buf *out, size_t start, const char *shown);
void smtp_client_write_line(struct smtp_client *c, struct base_buf *out, const char *line);
/* TLS is settled: log in, or be ready. */
void smtp_client_after_hello(struct smtp_client *c);

/* client_auth.c */
/* No login, although there are credentials: see auth_if_offered. */
bool smtp_auth_is_waived(const struct smtp_client *c);
void smtp_auth_start(struct smtp_client *c);
void smtp_auth_reply(struct smtp_client *c, struct base_slice line, struct base_buf *out);
void smtp_auth_forget(struct smtp_client *c);
/* Does the server repeat what it was sent, or the secret itself? */
bool smtp_auth_is_repeated(const struct smtp_client *c, struct base_slice line);

/* client_mail.c */
void smtp_transaction_reply(struct smtp_client *c, struct base_buf *out);
/* Write what may be written, and say what is due: MORE when the server has to speak. */
enum smtp_client_event smtp_transaction_next(struct smtp_client *c, struct base_buf *out);
enum smtp_client_stage smtp_transaction_stage(const struct smtp_transaction *t);

/* client_check.c: what may go on the wire */
bool smtp_check_address(struct base_slice address, bool utf8, bool empty_allowed);
bool smtp_check_parameter(struct base_slice value, size_t max);
/* Fill the local reply and return true if the message cannot go to this server at all. */
bool smtp_check_mail(struct smtp_client *c, const struct smtp_client_mail *mail);
/* Null: fine; else the text of a 5xx, with its enhanced code. */
const char *smtp_check_rcpt(
	const struct smtp_client_rcpt *rcpt, bool utf8, const char **out_enhanced);

#endif
