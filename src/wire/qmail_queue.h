/* wire/qmail_queue.h: the seam of qmail-queue
 * Job      the envelope on descriptor 1; what an exit status means
 * Not      the message on descriptor 0, processes (qmail/)
 * Spec     F<sender> \0 (T<recipient> \0)* \0 ; an envelope left without its last NUL is not queued */
#ifndef WIRE_QMAIL_QUEUE_H
#define WIRE_QMAIL_QUEUE_H

#include "base/buf.h"

#define WIRE_QMAIL_ADDRESS_MAX_BYTES 1003

/* False: an address holds a NUL or is too long; nothing is appended. */
BASE_MUST_USE bool wire_qmail_queue_sender(struct base_slice sender, struct base_buf *out);
BASE_MUST_USE bool wire_qmail_queue_rcpt(struct base_slice rcpt, struct base_buf *out);
void wire_qmail_queue_end(struct base_buf *out);

struct wire_qmail_queue_reply {
	uint16_t code;
	const char *enhanced; /* "4.3.0" */
	const char *text;     /* modern words */
	const char *original; /* the words of the original, without code, "qq crashed (#4.3.0)" */
};
/* @status: the exit status; @crashed: killed by a signal. For 0 the text is "ok". */
struct wire_qmail_queue_reply wire_qmail_queue_reply(int status, bool crashed);

#endif
