/* base/macros.h: the few words that every file of Postern may use
 * Job      attributes, counting, and the two ways in which a process gives up
 * Not      error reporting (base/error.h); logging (loop/log.h) */
#ifndef BASE_MACROS_H
#define BASE_MACROS_H

#include <stddef.h>

#define BASE_MUST_USE __attribute__((warn_unused_result))
#define BASE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define BASE_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A bug in our own code: print where and abort. On in release builds too; never on peer input. */
#define BASE_BUG_IF(condition) \
	do { \
		if (__builtin_expect(!!(condition), 0)) \
			base_bug(__FILE__, __LINE__, #condition); \
	} while (0)

_Noreturn void base_bug(const char *file, int line, const char *condition);

/* Memory ran out: the process ends here, and its parent starts it again. Sizes that a peer chose
 * are limited before any allocation, so this is never a peer's doing. */
_Noreturn void base_out_of_memory(void);

/* malloc, calloc, realloc and strdup that end in base_out_of_memory(); never null for size > 0. */
BASE_MUST_USE void *base_alloc(size_t size);
BASE_MUST_USE void *base_alloc_zero(size_t count, size_t size);
BASE_MUST_USE void *base_realloc(void *ptr, size_t size);
BASE_MUST_USE char *base_strdup(const char *text);

/* Overwrite memory so that no optimiser leaves it out. */
void base_wipe(void *ptr, size_t len);

#endif
