/* loop/envelope.h: a message's envelope as it travels from front to queue and rests in the spool
 * Job      one codec; version 1 below
 * Trust    decoding checks every length and that no address holds CR, LF or NUL
 *
 * Bytes: u8 version (1), u8 flags (enum envelope_flags), u8 ret (enum smtp_dsn_ret), i64 arrived unix
 * ms, text session id, text user, text client address, text sender, text envid, text auth, u32
 * recipient count, then for each: text address, u8 notify, text orcpt. A long envelope is cut anywhere
 * into SUBMIT_ENVELOPE frames; the recipient count is that of the whole. */
#ifndef LOOP_ENVELOPE_H
#define LOOP_ENVELOPE_H

#include "base/buf.h"
#include "loop/ipc.h"

#define ENVELOPE_VERSION 1

enum envelope_flags {
	ENVELOPE_8BIT = 1u << 0,       /* the message holds bytes >= 0x80 */
	ENVELOPE_SMTPUTF8 = 1u << 1,   /* SMTPUTF8 was asked for */
	ENVELOPE_AUTH_GIVEN = 1u << 2, /* @auth is trusted and to be passed on */
	ENVELOPE_HEADER_8BIT = 1u << 3,
	ENVELOPE_STRANGER = 1u << 4, /* nobody logged in: the sender is only said to be who it is */
};

struct envelope {
	unsigned flags;
	uint8_t ret;
	int64_t arrived_ms;
	struct base_slice session, user, client, sender, envid, auth;
	uint32_t rcpt_count;
};

struct envelope_rcpt {
	struct base_slice address;
	uint8_t notify; /* enum smtp_dsn_notify_flags */
	struct base_slice orcpt;
};

/* Head first, then exactly rcpt_count recipients. Overflow marks the buffer. */
void envelope_put(struct base_buf *out, const struct envelope *e);
void envelope_put_rcpt(struct base_buf *out, const struct envelope_rcpt *rcpt);
/* Decode the head and leave @out_rest at the first recipient; false: broken. Slices borrow @bytes. */
BASE_MUST_USE bool envelope_get(
	struct base_slice bytes, struct envelope *out, struct ipc_reader *out_rest);
BASE_MUST_USE bool envelope_get_rcpt(struct ipc_reader *rest, struct envelope_rcpt *out);
/* Sender and recipients of a whole envelope, for spool/admin.h. False: broken (some recipients may
 * have been given). */
BASE_MUST_USE bool envelope_visit(struct base_slice bytes, struct base_slice *out_sender,
	void (*rcpt)(void *arg, uint32_t index, struct base_slice address), void *arg);

#endif
