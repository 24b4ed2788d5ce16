/* qmail/smtpd_wire.h: the client's two descriptors
 * Job      read and write, with a time-out, in clear or by TLS
 * Limits   the descriptors may be shared with others: they stay blocking until TLS begins */
#ifndef QMAIL_SMTPD_WIRE_H
#define QMAIL_SMTPD_WIRE_H

#include "base/buf.h"
#include "loop/tls.h"

enum smtpd_wire_result { SMTPD_WIRE_OK, SMTPD_WIRE_EOF, SMTPD_WIRE_TIMEOUT, SMTPD_WIRE_FAILED };

struct smtpd_wire {
	int in, out;
	int timeout_ms;
	struct tls_session *tls; /* null: in clear */
};

/* Append what has come, at least a byte. */
BASE_MUST_USE enum smtpd_wire_result smtpd_wire_read(struct smtpd_wire *w, struct base_buf *to);
/* All of @from, which is empty then. */
BASE_MUST_USE enum smtpd_wire_result smtpd_wire_write(struct smtpd_wire *w, struct base_buf *from);
BASE_MUST_USE enum smtpd_wire_result smtpd_wire_start_tls(
	struct smtpd_wire *w, struct tls_context *context);

#endif
