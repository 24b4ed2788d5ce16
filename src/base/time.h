/* base/time.h: time as a value
 * Job      milliseconds since 1970 UTC as text, durations as numbers
 * Not      the clock (base/clock.h, for shells only) */
#ifndef BASE_TIME_H
#define BASE_TIME_H

#include "base/buf.h"

/* "Tue, 24 Nov 2026 14:52:41 +0000" (RFC 5322 section 3.3), always UTC. */
bool base_time_rfc5322(int64_t unix_ms, struct base_buf *out);
/* "2026-11-24T14:52:41Z", with ".123" before the Z if @millis (RFC 3339). */
bool base_time_rfc3339(int64_t unix_ms, bool millis, struct base_buf *out);
/* "2026-11-24" or a full RFC 3339 UTC time, to milliseconds. */
BASE_MUST_USE bool base_time_parse(struct base_slice text, int64_t *out_unix_ms);

/* "90s", "5m", "4h", "5d", or digits alone for seconds. At most 100 years. */
BASE_MUST_USE bool base_duration_parse(struct base_slice text, int64_t *out_seconds);
/* The shortest such text: 14400 gives "4h". */
bool base_duration_format(int64_t seconds, struct base_buf *out);
/* "512", "64K", "1G" (powers of 1024), to bytes. */
BASE_MUST_USE bool base_size_parse(struct base_slice text, uint64_t *out_bytes);

#endif
