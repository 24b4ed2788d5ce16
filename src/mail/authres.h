/* mail/authres.h: the Authentication-Results field
 * Job      write ours, and tell whether a field that came with a message claims to be ours
 * Not      trust in other hosts' results
 * Trust    the field is hostile; in doubt it counts as ours, because a result lost does less harm
 *          than one believed
 * Memory   slices only; the writer appends
 * Spec     RFC 8601 sections 2.2, 2.7.4 and 5 */
#ifndef MAIL_AUTHRES_H
#define MAIL_AUTHRES_H

#include "base/buf.h"

/* Does the field with @body (behind the colon) bear the authserv-id @own_name? Letter case,
 * comments, folds, quotes, a version, a port and a dot at the end do not hide it, nor does the
 * other spelling of an internationalised label. A body that cannot be read counts when @own_name
 * occurs in it. */
bool mail_authres_claims(struct base_slice body, struct base_slice own_name);

/* Append "Authentication-Results: NAME; auth=pass smtp.auth=USER" with its CRLF, and smtp.mailfrom=
 * where @mail_from is not empty. Values are quoted where RFC 8601 wants it; what may not stand in a
 * header becomes '?' (8-bit too, unless @utf8); values are cut at 320 bytes. */
bool mail_authres_write(struct base_slice own_name, struct base_slice user,
	struct base_slice mail_from, bool utf8, struct base_buf *out);

#endif
