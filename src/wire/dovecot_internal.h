/* wire/dovecot_internal.h: what both ends of the Dovecot authentication protocol share */
#ifndef WIRE_DOVECOT_INTERNAL_H
#define WIRE_DOVECOT_INTERNAL_H

#include "wire/dovecot.h"

enum wire_line_result { WIRE_LINE_MORE, WIRE_LINE_GOT, WIRE_LINE_LONG };

/* Take the first line of @in without its LF. @out_used is the line with its LF when GOT, else 0. */
enum wire_line_result wire_line_take(
	struct base_slice in, struct base_slice *out_line, size_t *out_used);
/* "NAME=value" gives its value; a bare "NAME" gives the empty one. False: another field. */
bool wire_field_is(struct base_slice field, const char *name, struct base_slice *out_value);
/* Take the next field of @rest as a number from 1 to 2^32 - 1. */
bool wire_field_id(struct base_slice *rest, uint32_t *out_id);
/* Append TAB, @name, "=" and the escaped @value; nothing when @value is empty. */
void wire_field_put(struct base_buf *out, const char *name, struct base_slice value);
/* Decode into @scratch and give the place; the caller reserved the room for the whole line. */
bool wire_value_unescape(struct base_slice in, struct base_buf *scratch, struct base_slice *out);
bool wire_value_base64(struct base_slice in, struct base_buf *scratch, struct base_slice *out);

/* Where an append began, so that a line that is too long can be taken back. */
struct wire_mark {
	size_t len;
	bool overflow;
};
struct wire_mark wire_mark_set(const struct base_buf *out);
/* End the line with LF. False: longer than a line may be or than @out takes; all is taken back. */
bool wire_mark_end(struct base_buf *out, struct wire_mark mark);

#endif
