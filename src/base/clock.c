#include "base/clock.h"
#include "base/macros.h"

#include <errno.h>
#include <sys/random.h>
#include <time.h>

static int64_t read_clock(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int64_t base_clock_wall_ms(void)
{
	return read_clock(CLOCK_REALTIME);
}

int64_t base_clock_monotonic_ms(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

void base_random_fill(void *out, size_t len)
{
	uint8_t *to = out;

	while (len) {
		ssize_t got = getrandom(to, len, 0);

		if (got < 0) {
			BASE_BUG_IF(errno != EINTR);
			continue;
		}
		to += got;
		len -= (size_t)got;
	}
}
