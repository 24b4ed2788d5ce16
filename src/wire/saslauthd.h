/* wire/saslauthd.h: the protocol of saslauthd's socket, client side
 * Job      one request out, one reply in
 * Trust    the daemon is another program: a reply of any length, cut anywhere
 * Secrets  @out must be a secret buffer
 * Spec     counted strings: u16 big-endian and that many bytes, no NUL; login, password, service,
 *          realm and, for the newer daemons, the client's address "ip;port"; older ones ignore it */
#ifndef WIRE_SASLAUTHD_H
#define WIRE_SASLAUTHD_H

#include "base/buf.h"

#define WIRE_SASLAUTHD_STRING_MAX_BYTES 256
#define WIRE_SASLAUTHD_REPLY_MAX_BYTES 1024

struct wire_saslauthd_request {
	struct base_slice login, password, service, realm, client;
};
/* False: a string is longer than the daemon takes; nothing is appended. */
BASE_MUST_USE bool wire_saslauthd_put(const struct wire_saslauthd_request *r, struct base_buf *out);

enum wire_saslauthd_reply {
	WIRE_SASLAUTHD_MORE, /* not whole yet */
	WIRE_SASLAUTHD_OK,
	WIRE_SASLAUTHD_NO,     /* *out_text: the daemon's words behind "NO" */
	WIRE_SASLAUTHD_BROKEN, /* too long, or neither OK nor NO */
};
/* @in: everything received so far. */
BASE_MUST_USE enum wire_saslauthd_reply wire_saslauthd_get(
	struct base_slice in, struct base_slice *out_text);

#endif
