/* base/error.h: what a floor with I/O says when it fails
 * Job      class, code and a text for the administrator, filled where the failure is seen
 * Use      functions return 0 or a negative BASE_ERROR_* class; whoever handles it logs it, once
 * Text     what failed, the thing in quotes, the reason; lower case, no full stop, no secret */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "base/macros.h"

enum base_error_class {
	BASE_ERROR_NONE = 0,
	BASE_ERROR_TEMPORARY = -1, /* try again later: SMTP 4xx */
	BASE_ERROR_PERMANENT = -2, /* trying again will not help: SMTP 5xx */
	BASE_ERROR_CONFIG = -3,    /* the administrator must change something */
	BASE_ERROR_PEER = -4,      /* the other side broke the protocol */
	BASE_ERROR_NO_SPACE = -5,  /* disk or inodes are used up: SMTP 452 4.3.1 */
	BASE_ERROR_NOT_FOUND = -6, /* the thing asked for does not exist */
	BASE_ERROR_EXISTS = -7,    /* it is there already */
};

#define BASE_ERROR_TEXT_MAX_BYTES 512

struct base_error {
	enum base_error_class class;
	int code; /* errno, SQLite or OpenSSL code; 0 if none */
	char text[BASE_ERROR_TEXT_MAX_BYTES];
};

/* Fill @err (may be null) and return @class, so that "return base_error_set(…)" ends a function. */
int base_error_set(struct base_error *err, enum base_error_class class, int code,
	const char *format, ...) BASE_PRINTF(4, 5);

/* As above for errno @code: the class is NO_SPACE for ENOSPC and EDQUOT, else @class; ": strerror"
 * is added to the text. */
int base_error_errno(struct base_error *err, enum base_error_class class, int code,
	const char *format, ...) BASE_PRINTF(4, 5);

#endif
