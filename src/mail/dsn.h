/* mail/dsn.h: delivery status notifications
 * Job      build the whole message that tells a sender what became of his
 * Not      who is told and when (queue/: NOTIFY, null senders, delays), sending
 * Trust    addresses, ORCPT, ENVID, remote replies and the returned header are strangers' bytes:
 *          each is bounded and cannot leave its field; the boundary holds random bytes
 * Memory   appends to the caller's buffer; a returned message may be added by the caller in pieces
 *          between mail_dsn_head() and mail_dsn_tail(), so that it is never held whole
 * Spec     RFC 3464, 6522, 3461 section 6, 3834, 6533 */
#ifndef MAIL_DSN_H
#define MAIL_DSN_H

#include "base/buf.h"
#include "base/host.h"
#include "base/id.h"

enum mail_dsn_action {
	MAIL_DSN_FAILED,
	MAIL_DSN_DELAYED,
	MAIL_DSN_DELIVERED, /* into a mailbox */
	MAIL_DSN_RELAYED,   /* to a server that does not do DSN: nobody will tell more */
	MAIL_DSN_EXPANDED,
	MAIL_DSN_ACTION_COUNT,
};

struct mail_dsn_recipient {
	struct base_slice address; /* as delivered to */
	struct base_slice orcpt;   /* "rfc822;xtext" as the client sent it; empty: none */
	enum mail_dsn_action action;
	struct base_slice status;      /* "5.1.1"; empty or malformed: x.0.0 by action */
	struct base_slice diagnostic;  /* what the other side, or we, said; may be several lines */
	bool remote_said;              /* @diagnostic is an SMTP reply: Diagnostic-Code: smtp */
	uint16_t code;                 /* of that reply, which @diagnostic is without; 0: unknown */
	struct base_slice remote_host; /* name or address literal of that server; empty: none */
	int64_t last_attempt_ms;       /* 0: none was made */
};

struct mail_dsn {
	struct base_slice host_name; /* ours */
	struct base_slice sender;    /* whom to tell; never empty */
	struct base_slice envid;     /* xtext as the client sent it; empty: none */
	struct base_id original_id;  /* queue id of the message spoken of */
	struct base_id dsn_id;       /* queue id of this notice: Message-ID and boundary */
	int64_t arrived_ms;
	int64_t now_ms;
	int64_t retry_until_ms; /* for delays: when we shall give up; 0: not said */
	const struct mail_dsn_recipient *recipients;
	size_t recipient_count;     /* at least one */
	struct base_slice original; /* its header, or the whole message if @return_full; what lies
	                             * behind the header is not returned unless @return_full */
	bool original_8bit;         /* set when bytes >= 0x80 are among those that the caller adds
	                             * himself; those in @original are seen here */
	bool return_full;           /* RET=FULL; heed the spec: only for failures */
	bool smtputf8;              /* the message spoken of came with SMTPUTF8 */
};

/* True: the notice itself holds UTF-8 addresses or header fields and must travel with SMTPUTF8. */
bool mail_dsn_needs_smtputf8(const struct mail_dsn *dsn);
/* The whole notice, CRLF lines. False when @out is full. */
bool mail_dsn_build(const struct mail_dsn *dsn, struct base_buf *out);

/* The same in three steps: head, the bytes of the original (CRLF lines), tail. */
bool mail_dsn_head(const struct mail_dsn *dsn, struct base_buf *out);
bool mail_dsn_tail(const struct mail_dsn *dsn, struct base_buf *out);

/* "failed", "delayed" …: the Action field's words. */
const char *mail_dsn_action_name(enum mail_dsn_action action);

#endif
