#include "loop/envelope.h"

/* The bytes are drawn in the header. Bounds below are generous: smtp/ is stricter, and the spool may
 * hold envelopes of an older smtp/. What they keep out is a field that could break a line or pass a
 * buffer further down. */
enum {
	SESSION_MAX_BYTES = 64,
	USER_MAX_BYTES = 1024,
	CLIENT_MAX_BYTES = 128,
	ADDRESS_MAX_BYTES = 1024,
	ENVID_MAX_BYTES = 512,
	ORCPT_MAX_BYTES = 1024,
	RCPT_LEAST_BYTES = 4 + 1 + 4,
};

void envelope_put(struct base_buf *out, const struct envelope *e)
{
	ipc_put_u8(out, ENVELOPE_VERSION);
	ipc_put_u8(out, (uint8_t)e->flags);
	ipc_put_u8(out, e->ret);
	ipc_put_i64(out, e->arrived_ms);
	ipc_put_bytes(out, e->session);
	ipc_put_bytes(out, e->user);
	ipc_put_bytes(out, e->client);
	ipc_put_bytes(out, e->sender);
	ipc_put_bytes(out, e->envid);
	ipc_put_bytes(out, e->auth);
	ipc_put_u32(out, e->rcpt_count);
}

void envelope_put_rcpt(struct base_buf *out, const struct envelope_rcpt *rcpt)
{
	ipc_put_bytes(out, rcpt->address);
	ipc_put_u8(out, rcpt->notify);
	ipc_put_bytes(out, rcpt->orcpt);
}

/* A text that can stand on one line of any protocol. */
static bool get_text(struct ipc_reader *r, size_t max, struct base_slice *out)
{
	*out = ipc_get_bytes(r);
	if (r->bad || out->len > max)
		return false;
	return !base_slice_has(*out, '\r') && !base_slice_has(*out, '\n') &&
		!base_slice_has(*out, '\0');
}

bool envelope_get(struct base_slice bytes, struct envelope *out, struct ipc_reader *out_rest)
{
	struct ipc_reader r = ipc_reader_make(bytes);
	struct envelope e = {0};

	if (ipc_get_u8(&r) != ENVELOPE_VERSION)
		return false;
	e.flags = ipc_get_u8(&r);
	e.ret = ipc_get_u8(&r);
	e.arrived_ms = ipc_get_i64(&r);
	if (!get_text(&r, SESSION_MAX_BYTES, &e.session) ||
		!get_text(&r, USER_MAX_BYTES, &e.user) ||
		!get_text(&r, CLIENT_MAX_BYTES, &e.client) ||
		!get_text(&r, ADDRESS_MAX_BYTES, &e.sender) ||
		!get_text(&r, ENVID_MAX_BYTES, &e.envid) ||
		!get_text(&r, ADDRESS_MAX_BYTES, &e.auth))
		return false;
	e.rcpt_count = ipc_get_u32(&r);
	if (r.bad || e.rcpt_count > r.rest.len / RCPT_LEAST_BYTES)
		return false;
	*out = e;
	*out_rest = r;
	return true;
}

bool envelope_get_rcpt(struct ipc_reader *rest, struct envelope_rcpt *out)
{
	struct envelope_rcpt rcpt = {0};

	if (!get_text(rest, ADDRESS_MAX_BYTES, &rcpt.address) || rcpt.address.len == 0)
		return false;
	rcpt.notify = ipc_get_u8(rest);
	if (!get_text(rest, ORCPT_MAX_BYTES, &rcpt.orcpt))
		return false;
	*out = rcpt;
	return true;
}

bool envelope_visit(struct base_slice bytes, struct base_slice *out_sender,
	void (*rcpt)(void *arg, uint32_t index, struct base_slice address), void *arg)
{
	struct envelope e;
	struct envelope_rcpt r;
	struct ipc_reader rest;
	uint32_t i;

	if (!envelope_get(bytes, &e, &rest))
		return false;
	for (i = 0; i < e.rcpt_count; i++) {
		if (!envelope_get_rcpt(&rest, &r))
			return false;
		rcpt(arg, i, r.address);
	}
	*out_sender = e.sender;
	return ipc_reader_done(&rest);
}
