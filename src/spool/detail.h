/* spool/detail.h: the inside of a piece of work
 * Job      which recipients it is for, and what was last said of each
 * Trust    read back from our own database; still every length is checked
 * Memory   appends to a buffer; reading borrows
 *
 * Bytes, numbers little-endian: u8 version (1), u16 length and bytes of the account's name, u32 count,
 * then for each recipient: u32 index in the envelope, u8 state, u16 length and bytes of the reason. */
#ifndef SPOOL_DETAIL_H
#define SPOOL_DETAIL_H

#include "base/buf.h"

#define SPOOL_DETAIL_REASON_MAX_BYTES 512 /* longer reasons are cut */
#define SPOOL_DETAIL_ACCOUNT_MAX_BYTES 256

enum spool_rcpt_state {
	SPOOL_RCPT_WAITING, /* not tried yet */
	SPOOL_RCPT_DEFERRED,
	SPOOL_RCPT_PAUSED, /* an account or TLS demand stands in the way */
	SPOOL_RCPT_STATE_COUNT,
};

struct spool_rcpt {
	uint32_t index;
	enum spool_rcpt_state state;
	struct base_slice reason;
};

const char *spool_rcpt_state_name(enum spool_rcpt_state state);

/* What the bytes of any work of this account begin with. */
void spool_detail_put_account(struct base_buf *out, struct base_slice account);
/* Head, then exactly @count recipients. */
void spool_detail_put(struct base_buf *out, struct base_slice account, uint32_t count);
void spool_detail_put_rcpt(struct base_buf *out, const struct spool_rcpt *rcpt);

struct spool_detail {
	struct base_slice account;
	uint32_t count;
	struct base_slice rest; /* recipients not read yet */
};
BASE_MUST_USE bool spool_detail_get(struct base_slice bytes, struct spool_detail *out);
/* False: broken, or none left. */
BASE_MUST_USE bool spool_detail_get_rcpt(struct spool_detail *d, struct spool_rcpt *out);

#endif
