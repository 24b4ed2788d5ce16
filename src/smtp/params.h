/* smtp/params.h: the parameters behind the path of MAIL and RCPT
 * Job      SIZE, BODY, SMTPUTF8, RET, ENVID, AUTH of MAIL; NOTIFY, ORCPT of RCPT
 * Not      limits of size, trust in AUTH= (smtp/server.c)
 * Trust    input is hostile; xtext is judged after it was decoded
 * Memory   slices point into the input, or into @scratch for what was decoded
 * Spec     RFC 5321 section 4.1.2; RFC 1870, 6152, 6531, 3461, 4954 section 5, 6533 */
#ifndef SMTP_PARAMS_H
#define SMTP_PARAMS_H

#include "smtp/server.h"

/* Room that must be free in @scratch without growth, when the input points into the same buffer. */
#define SMTP_PARAMS_SCRATCH_BYTES SMTP_COMMAND_LINE_MAX_BYTES

enum smtp_params_result {
	SMTP_PARAMS_OK,
	SMTP_PARAMS_BAD,     /* 501 5.5.4: syntax, a value that cannot be, or one given twice */
	SMTP_PARAMS_UNKNOWN, /* 555 5.5.4: well formed, but not one of ours */
};

/* Fill all of @out but the sender. @out->auth is set as the client wrote it, decoded; whether it is
 * believed is the caller's to say. @out is in part written on failure. */
BASE_MUST_USE enum smtp_params_result smtp_params_mail(
	struct base_slice params, struct base_buf *scratch, struct smtp_mail *out);
/* The same for a lenient session: what is unknown is ignored, and AUTH= need be no mailbox. */
BASE_MUST_USE enum smtp_params_result smtp_params_mail_loose(
	struct base_slice params, struct base_buf *scratch, struct smtp_mail *out);
/* Fill all of @out but the address. @smtputf8: MAIL asked for it, so ORCPT may hold UTF-8. */
BASE_MUST_USE enum smtp_params_result smtp_params_rcpt(
	struct base_slice params, bool smtputf8, struct base_buf *scratch, struct smtp_rcpt *out);

#endif
