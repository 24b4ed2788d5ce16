/* mail/scan.h: what must the next hop know to take this message
 * Job      one pass over a message that came by another door than mail/intake.h (which counts the
 *          same on the way): 8-bit bytes in the header mean SMTPUTF8, elsewhere 8BITMIME
 * Trust    any bytes, any cut
 * Spec     RFC 6152, RFC 6531 section 3.2 */
#ifndef MAIL_SCAN_H
#define MAIL_SCAN_H

#include "base/slice.h"

struct mail_scan {
	bool header_8bit; /* SMTPUTF8 is needed */
	bool body_8bit;   /* 8BITMIME is needed; so it is if header_8bit */
	bool in_body;     /* private from here */
	bool line_has_bytes;
	bool after_cr;
};

void mail_scan_init(struct mail_scan *s);
void mail_scan_push(struct mail_scan *s, struct base_slice in);

#endif
