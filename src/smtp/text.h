/* smtp/text.h: the bytes of a message on their way in
 * Job      find the end of DATA, take stuffing dots away, note what a message must not hold
 * Not      sizes, counting and replies (smtp/server_body.c)
 * Trust    input is hostile: any byte, cut anywhere; results do not depend on the cut
 * Memory   no copy: what is handed out borrows from the input
 * Limits   lines may have any length: a message is stored and passed on byte for byte, so a long line
 *          hurts nobody here, while refusing it loses mail of real programs (RFC 6409 leaves it to
 *          policy); its size is bounded by that of the message
 * Spec     RFC 5321 sections 2.3.8, 4.1.1.4 and 4.5.2; RFC 3030 section 2 */
#ifndef SMTP_TEXT_H
#define SMTP_TEXT_H

#include "base/macros.h"
#include "base/slice.h"

enum smtp_text_faults {
	SMTP_TEXT_NUL = 1u << 0,
	SMTP_TEXT_BARE_CR = 1u << 1,
	SMTP_TEXT_BARE_LF = 1u << 2,
};

enum smtp_text_result {
	SMTP_TEXT_MORE,  /* all of @in was taken, nothing is handed out */
	SMTP_TEXT_BYTES, /* @out_bytes holds bytes of the message */
	SMTP_TEXT_END,   /* CRLF.CRLF was taken (never where dots mean nothing) */
};

struct smtp_text {
	uint8_t place;  /* private: enum in text.c */
	uint8_t faults; /* enum smtp_text_faults, all that were met so far */
	bool dots;      /* DATA; false for BDAT */
};

void smtp_text_init(struct smtp_text *t, bool dots);
/* @out_used  always set: bytes taken, as many as one result can cover
 * @out_bytes set with BYTES: borrows from @in, never empty
 * After a fault nothing more is handed out, but the end is still found. */
BASE_MUST_USE enum smtp_text_result smtp_text_push(
	struct smtp_text *t, struct base_slice in, size_t *out_used, struct base_slice *out_bytes);
/* No byte yet, or the last two were CRLF. */
bool smtp_text_line_is_empty(const struct smtp_text *t);
/* BDAT: no more bytes come. A CR at the very end is a fault; an unended line counts as ended. */
void smtp_text_finish(struct smtp_text *t);

#endif
