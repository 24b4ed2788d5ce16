/* mail/received.h: the trace field
 * Job      write Received for a message that has just come
 * Trust    HELO and login are the peer's bytes: what may not stand there becomes '?', so that the
 *          field stays one field and no comment can be closed or opened
 * Spec     RFC 5321 section 4.4, RFC 3848 and RFC 6531 section 3.7.3 (with), RFC 8314 section 4.3
 */
#ifndef MAIL_RECEIVED_H
#define MAIL_RECEIVED_H

#include "mail/intake.h"

bool mail_received_write(const struct mail_origin *origin, struct base_buf *out);
/* "ESMTPSA" and the like: the value of the with clause. */
const char *mail_received_with(const struct mail_origin *origin);

#endif
