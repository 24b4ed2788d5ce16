/* base/xtext.h: the xtext encoding of MAIL and RCPT parameters
 * Job      0x21-0x7E except '+' and '=' stand for themselves, everything else is "+HH"
 * Trust    decoding takes hostile input; the decoded bytes may hold CR, LF or NUL: check them after
 * Spec     RFC 3461 section 4; RFC 4954 section 5 */
#ifndef BASE_XTEXT_H
#define BASE_XTEXT_H

#include "base/buf.h"

/* Append @in with upper-case "+HH" where needed. False when it does not fit. */
bool base_xtext_encode(struct base_slice in, struct base_buf *out);
/* Append the decoded bytes; hexadecimal digits of either case. False, with nothing appended, for a
 * byte outside xtext, a broken "+HH", or no room. @out_offset (may be null): the first bad byte. */
BASE_MUST_USE bool base_xtext_decode(
	struct base_slice in, struct base_buf *out, size_t *out_offset);

#endif
