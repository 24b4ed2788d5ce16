/* loop/sandbox.h: what a role process cannot do any more
 * Job      no new privileges, no core, no ptrace, Landlock, seccomp, in that order and for good
 * Not      what a role needs: it says so in struct role_handlers
 * Limits   where the kernel lacks a layer the others still stand; sandbox_kernel() tells which, for one
 *          line in the master's log. Sanitizer and coverage builds leave the last two layers out.
 * Spec     landlock(7), seccomp(2), prctl(2) */
#ifndef LOOP_SANDBOX_H
#define LOOP_SANDBOX_H

#include "base/error.h"

#include <stdbool.h>

enum sandbox_flags {
	SANDBOX_CONNECT = 1u << 0, /* sockets to the network and to local sockets */
	SANDBOX_EXEC = 1u << 1,    /* foreign code: programs, modules; see below */
	SANDBOX_FILES = 1u << 2,   /* open, make, rename and remove files */
	SANDBOX_LOOK = 1u << 5, /* ask what a name is, links not followed; nothing can be opened */
	SANDBOX_CONNECT_LOCAL = 1u << 3, /* to local sockets only */
	/* To the network only. Of the local sockets those of our own commands are the account's too: who
	 * has taken over a role that may connect to them asks auth for what he likes. */
	SANDBOX_CONNECT_NET = 1u << 6,
	SANDBOX_GAIN = 1u << 4, /* no sandbox: set-id programs gain privileges */
};

/* With SANDBOX_EXEC it is not known what the code does, so files and sockets are bound by the account
 * alone; it can gain nothing, and what only attacks use is refused. A process that may start any program
 * would walk around a narrower fence. */
struct sandbox_path {
	const char *path;
	bool write;
};

struct sandbox_kernel {
	int landlock_abi; /* 0: none */
	bool seccomp;
};

/* What this kernel and this build offer. */
struct sandbox_kernel sandbox_kernel(void);

/* Shut the doors. @paths that do not exist are left out. With SANDBOX_FILES and Landlock, files outside
 * @paths cannot be opened either. Negative: a layer that the kernel has could not be set up. */
BASE_MUST_USE int sandbox_enter(unsigned flags, const struct sandbox_path *paths, size_t path_count,
	struct base_error *err);

#endif
