#include "loop/wait.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>

enum { POLL_MAX_MS = 1 << 30 }; /* what an int bears, and round again */

bool wait_until(int fd, short events, int64_t end_ms)
{
	struct pollfd p = {.fd = fd, .events = events};

	for (;;) {
		int64_t left = end_ms - base_clock_monotonic_ms();
		int n;

		if (left <= 0)
			return false;
		n = poll(&p, 1, left < POLL_MAX_MS ? (int)left : POLL_MAX_MS);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}
