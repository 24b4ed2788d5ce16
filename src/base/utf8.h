/* base/utf8.h: is it UTF-8
 * Spec     RFC 3629: no overlong form, no surrogate, nothing above U+10FFFF */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "base/slice.h"

bool base_utf8_valid(struct base_slice s);
/* Length in bytes of the valid character at the front of @s, 0 if there is none. */
size_t base_utf8_next(struct base_slice s, uint32_t *out_code_point);
bool base_is_ascii(struct base_slice s);

#endif
