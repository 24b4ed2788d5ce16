/* base/clock.h: the clock and the source of randomness, for shells only
 * Engines and cores take time and random bytes as arguments; a test reads the object files for it. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

int64_t base_clock_wall_ms(void);
int64_t base_clock_monotonic_ms(void);
void base_random_fill(void *out, size_t len);

#endif
