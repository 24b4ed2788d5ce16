#include "spool/detail.h"

enum { VERSION = 1, HEAD_BYTES = 7, RCPT_BYTES = 7 };

const char *spool_rcpt_state_name(enum spool_rcpt_state state)
{
	static const char *const names[SPOOL_RCPT_STATE_COUNT] = {
		[SPOOL_RCPT_WAITING] = "waiting",
		[SPOOL_RCPT_DEFERRED] = "deferred",
		[SPOOL_RCPT_PAUSED] = "paused",
	};

	BASE_BUG_IF((unsigned)state >= SPOOL_RCPT_STATE_COUNT);
	return names[state];
}

static void put_number(struct base_buf *out, uint32_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		base_buf_append_byte(out, (uint8_t)(v >> (8 * i)));
}

static void put_text(struct base_buf *out, struct base_slice text, size_t max)
{
	text = base_slice_first(text, max);
	put_number(out, (uint32_t)text.len, 2);
	base_buf_append_slice(out, text);
}

void spool_detail_put_account(struct base_buf *out, struct base_slice account)
{
	base_buf_append_byte(out, VERSION);
	put_text(out, account, SPOOL_DETAIL_ACCOUNT_MAX_BYTES);
}

void spool_detail_put(struct base_buf *out, struct base_slice account, uint32_t count)
{
	spool_detail_put_account(out, account);
	put_number(out, count, 4);
}

void spool_detail_put_rcpt(struct base_buf *out, const struct spool_rcpt *rcpt)
{
	put_number(out, rcpt->index, 4);
	base_buf_append_byte(out, (uint8_t)rcpt->state);
	put_text(out, rcpt->reason, SPOOL_DETAIL_REASON_MAX_BYTES);
}

/* The caller has checked that @bytes are there. */
static uint32_t get_number(struct base_slice *s, unsigned bytes)
{
	uint32_t v = 0;

	for (unsigned i = 0; i < bytes; i++)
		v |= (uint32_t)s->ptr[i] << (8 * i);
	*s = base_slice_from(*s, bytes);
	return v;
}

bool spool_detail_get(struct base_slice bytes, struct spool_detail *out)
{
	struct base_slice account;
	uint32_t count;
	size_t len;

	if (bytes.len < HEAD_BYTES || bytes.ptr[0] != VERSION)
		return false;
	bytes = base_slice_from(bytes, 1);
	len = get_number(&bytes, 2);
	if (len > SPOOL_DETAIL_ACCOUNT_MAX_BYTES || bytes.len < len + 4)
		return false;
	account = base_slice_first(bytes, len);
	bytes = base_slice_from(bytes, len);
	count = get_number(&bytes, 4);
	if (count > bytes.len / RCPT_BYTES)
		return false;
	*out = (struct spool_detail){.account = account, .count = count, .rest = bytes};
	return true;
}

bool spool_detail_get_rcpt(struct spool_detail *d, struct spool_rcpt *out)
{
	struct base_slice in = d->rest;
	struct spool_rcpt r;
	uint8_t state;
	size_t len;

	if (in.len < RCPT_BYTES)
		return false;
	r.index = get_number(&in, 4);
	state = (uint8_t)get_number(&in, 1);
	len = get_number(&in, 2);
	if (state >= SPOOL_RCPT_STATE_COUNT || in.len < len)
		return false;
	r.state = (enum spool_rcpt_state)state;
	r.reason = base_slice_first(in, len);
	d->rest = base_slice_from(in, len);
	*out = r;
	return true;
}
