#include "spool/schedule.h"

#include "base/macros.h"

bool spool_schedule_is_over(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms)
{
	return now_ms - arrived_ms >= s->lifetime_ms;
}

bool spool_schedule_is_late(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms)
{
	return s->warning_ms > 0 && s->warning_ms < s->lifetime_ms &&
		now_ms - arrived_ms >= s->warning_ms;
}

int64_t spool_schedule_next(const struct spool_schedule *s, int64_t arrived_ms, int64_t now_ms,
	uint32_t attempts, int64_t not_before_ms, bool warned, uint32_t spread)
{
	int64_t wait_ms, next_ms, end_ms = arrived_ms + s->lifetime_ms;
	int64_t warning_ms = arrived_ms + s->warning_ms;
	size_t step = attempts ? attempts - 1 : 0;

	BASE_BUG_IF(s->retry_count == 0 || s->retry_count > SPOOL_SCHEDULE_RETRY_MAX);
	wait_ms = s->retry_ms[step < s->retry_count ? step : s->retry_count - 1];
	next_ms = now_ms + wait_ms + wait_ms / 10 * (int64_t)(spread % 1024) / 1024;
	if (!warned && s->warning_ms > 0 && warning_ms > now_ms && next_ms > warning_ms)
		next_ms = warning_ms;
	if (next_ms < not_before_ms)
		next_ms = not_before_ms;
	if (next_ms > end_ms)
		next_ms = end_ms;
	/* The clock was set back, or the message is as good as over: not at once, in any case. */
	return next_ms > now_ms ? next_ms : now_ms + 1;
}
