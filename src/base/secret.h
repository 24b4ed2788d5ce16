/* base/secret.h: memory for passwords, tokens, keys and every message built from them
 * Job      fixed capacity, never moved, never printed, wiped whole when given up
 * Memory   one heap block of exactly the capacity, kept out of core files where the kernel allows it
 * Order    init, append or set, read through base_secret_slice(), clear, release */
#ifndef BASE_SECRET_H
#define BASE_SECRET_H

#include "base/macros.h"
#include "base/slice.h"

/* The longest password Postern takes, in bytes after SASLprep; longer ones are refused, not cut. */
#define BASE_SECRET_PASSWORD_MAX_BYTES 1024

struct base_secret {
	uint8_t *ptr;
	size_t len;
	size_t cap;
};

void base_secret_init(struct base_secret *s, size_t capacity);
/* Wipe the whole capacity, keep the memory. */
void base_secret_clear(struct base_secret *s);
/* Wipe and free. Safe on a zeroed or released object. */
void base_secret_release(struct base_secret *s);

/* False: it does not fit, nothing was changed. */
BASE_MUST_USE bool base_secret_append(struct base_secret *s, struct base_slice bytes);
BASE_MUST_USE bool base_secret_set(struct base_secret *s, struct base_slice bytes);

/* Borrowed until the secret changes. */
struct base_slice base_secret_slice(const struct base_secret *s);

/* Compare in time that depends on the lengths only. Different lengths are unequal. */
BASE_MUST_USE bool base_equal_constant_time(struct base_slice a, struct base_slice b);

#endif
