/* base/id.h: names of sessions and messages
 * Job      16 characters of [0-9a-z] without i, l, o, u: 40 bits of time, then 40 random bits, so
 *          that they sort by time, need no counter and cannot be guessed in time to matter */
#ifndef BASE_ID_H
#define BASE_ID_H

#include "base/slice.h"

#define BASE_ID_CHARS 16

struct base_id {
	char text[BASE_ID_CHARS + 1]; /* NUL-ended */
};

/* @random: 5 fresh random bytes. */
struct base_id base_id_make(int64_t unix_ms, const uint8_t random[5]);
bool base_id_parse(struct base_slice text, struct base_id *out);
struct base_slice base_id_slice(const struct base_id *id);

#endif
