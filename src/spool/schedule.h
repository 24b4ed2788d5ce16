/* spool/schedule.h: when the next attempt is made, when a sender is warned, when we give up
 * Job      pure functions of the configuration and the times of a message
 * Spec     RFC 5321 section 4.5.4.1 */
#ifndef SPOOL_SCHEDULE_H
#define SPOOL_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_SCHEDULE_RETRY_MAX 32

struct spool_schedule {
	int64_t retry_ms[SPOOL_SCHEDULE_RETRY_MAX]; /* after the first attempt, the second, …; the
							 * last one repeats */
	size_t retry_count;                         /* at least 1 */
	int64_t lifetime_ms;
	int64_t warning_ms; /* 0: no notice of delay */
};

/* Is it time to give up, now that an attempt has failed at @now_ms? */
bool spool_schedule_is_over(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms);
/* When to try again after attempt number @attempts (from 1) at @now_ms. @not_before_ms: what the
 * destination asked for, 0: nothing. Never beyond the end of the lifetime, where the last attempt is
 * made, and an attempt falls together with the notice of delay if that is still due (@warned false).
 * The wait is spread by up to a tenth, by @spread (any number that differs from message to message),
 * so that what failed together does not come again together. */
int64_t spool_schedule_next(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms,
	uint32_t attempts, int64_t not_before_ms, bool warned, uint32_t spread);
/* Is the notice of delay due? */
bool spool_schedule_is_late(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms);

#endif
