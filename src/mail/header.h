/* mail/header.h: the one parser of message headers
 * Job      cut bytes into header fields, split a field into name and body, find fields, skip
 * folding white space and comments; intake, notices and scans all stand on it, so that no two parts
 * of Postern see different fields in the same bytes Not      what a field means (mail/intake.h,
 * mail/authres.h); unstructured decoding Trust    hostile: any byte, any length, cut anywhere; each
 * call is linear in its input Memory   slices into the caller's bytes; no heap Spec     RFC 5322
 * sections 2.2, 2.2.3 and 3.2.2; obsolete: blanks before the colon, blank folds */
#ifndef MAIL_HEADER_H
#define MAIL_HEADER_H

#include "base/buf.h"

enum mail_header_result {
	MAIL_HEADER_FIELD,   /* a whole field with its folds and last CRLF lies in front */
	MAIL_HEADER_END,     /* the empty line lies in front: CRLF, two bytes */
	MAIL_HEADER_MORE,    /* cannot be told yet; at the end of a message the rest is a field */
	MAIL_HEADER_LONG,    /* the field passes the limit */
	MAIL_HEADER_BARE_LF, /* a line ended without CR: nobody agrees what follows */
};

/* Where does the field at the front of @in end? Never looks past that field.
 * @max       most bytes of one field; passed by an unfinished one too
 * @out_len   set for FIELD and END: bytes to take */
BASE_MUST_USE enum mail_header_result mail_header_cut(
	struct base_slice in, size_t max, size_t *out_len);

struct mail_field {
	struct base_slice raw;  /* all bytes, folds and last CRLF (if there) included */
	struct base_slice name; /* without the colon and blanks before it */
	struct base_slice body; /* behind the colon, without the last CRLF; folds stay in */
	bool has_8bit;
};

/* Split one whole field. False for one that starts with a blank, has no colon, a name with anything
 * but 0x21-0x7E in it, a NUL, or a CR or LF that is not part of CRLF. */
BASE_MUST_USE bool mail_field_parse(struct base_slice raw, struct mail_field *out);
/* ASCII case is ignored. */
bool mail_field_is(const struct mail_field *field, const char *name);

/* The first field named @name in @header (a whole header, the empty line may follow). */
BASE_MUST_USE bool mail_header_find(
	struct base_slice header, const char *name, struct mail_field *out);
/* Bytes of the header of @message with the empty line; all of it if it has none. A header that
 * mail_header_cut() cannot read ends where it became unreadable. */
size_t mail_header_length(struct base_slice message);

/* @s without folding white space and comments (nested, with quoted pairs) at its front.
 * @out_closed (may be null): false when a comment was never closed; then the result is empty. */
struct base_slice mail_cfws_skip(struct base_slice s, bool *out_closed);

/* Any byte >= 0x80? Eight at a time. */
bool mail_has_8bit(struct base_slice s);

#endif
