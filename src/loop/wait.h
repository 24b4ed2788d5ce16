/* loop/wait.h: wait for one descriptor until a point in time, for code that may block */
#ifndef LOOP_WAIT_H
#define LOOP_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* @events as poll(2) takes them; @end_ms by base_clock_monotonic_ms(). False: the time is over, or @fd is
 * none. */
bool wait_until(int fd, short events, int64_t end_ms);

#endif
