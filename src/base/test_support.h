/* base/test_support.h: what unit tests of every floor share
 * cmocka with the headers it wants before it, and inputs that end at the end of their memory, so that
 * a reader that goes one byte too far is caught by the sanitizer. */
#ifndef BASE_TEST_SUPPORT_H
#define BASE_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

/* A heap copy of exactly the length; free(ptr). */
static inline struct base_slice exact_copy(struct base_slice s)
{
	uint8_t *ptr = malloc(s.len ? s.len : 1);

	assert_non_null(ptr);
	if (s.len)
		memcpy(ptr, s.ptr, s.len);
	return base_slice_make(ptr, s.len);
}

static inline void free_copy(struct base_slice s)
{
	free((void *)s.ptr);
}

#define assert_slice_equal(slice, literal) \
	do { \
		struct base_slice got_ = (slice); \
		assert_int_equal(got_.len, sizeof(literal) - 1); \
		assert_memory_equal(got_.len ? got_.ptr : (const uint8_t *)"", literal, got_.len); \
	} while (0)

#endif
