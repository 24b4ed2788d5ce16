/* base/escape.h: strangers' bytes made safe for a log line, a reply or a header field
 * Job      bounded, one line, reversible enough for a person to see what was sent
 * Trust    input is hostile: controls, escapes of terminals, right-to-left marks, any length */
#ifndef BASE_ESCAPE_H
#define BASE_ESCAPE_H

#include "base/buf.h"

/* The limit for one value in a log line unless a caller has a reason. */
#define BASE_ESCAPE_LOG_MAX_BYTES 256

/* Append @s without quotes: printable ASCII as it is; '"' and '\' behind a '\'; all else, UTF-8 too,
 * as \xHH. At most @max input bytes are shown, then "...". */
bool base_escape_log(struct base_slice s, size_t max, struct base_buf *out);
/* The same between double quotes when it is empty or holds anything but [A-Za-z0-9._:@/+-]. */
bool base_escape_log_value(struct base_slice s, size_t max, struct base_buf *out);
/* Append @s as it may stand inside a header comment or Received clause: letters, digits and
 * "._-+@:/=[]" as they are (UTF-8 too if @utf8 and valid), anything else as '?'. */
bool base_escape_header(struct base_slice s, bool utf8, size_t max, struct base_buf *out);
/* Append @s as the text of an SMTP reply or DSN diagnostic: controls and 8-bit become '?'. */
bool base_escape_text(struct base_slice s, size_t max, struct base_buf *out);

#endif
