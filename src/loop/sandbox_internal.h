/* loop/sandbox_internal.h: the two layers that have files of their own */
#ifndef LOOP_SANDBOX_INTERNAL_H
#define LOOP_SANDBOX_INTERNAL_H

#include "loop/sandbox.h"

/* Sanitizers and coverage need files, ptrace and more at the end of the process. */
#if defined(__SANITIZE_ADDRESS__) || defined(SANDBOX_OFF)
#define SANDBOX_FILTERS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define SANDBOX_FILTERS 0
#else
#define SANDBOX_FILTERS 1
#endif
#else
#define SANDBOX_FILTERS 1
#endif

int sandbox_landlock_abi(void); /* 0: none */
BASE_MUST_USE int sandbox_landlock_enter(int abi, unsigned flags, const struct sandbox_path *paths,
	size_t path_count, struct base_error *err);
bool sandbox_seccomp_built(void);
BASE_MUST_USE int sandbox_seccomp_enter(unsigned flags, struct base_error *err);

#endif
