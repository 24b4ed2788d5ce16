/* master/spawn.h: start a role program
 * Job      fork and exec with descriptor 3 as the master's channel and nothing else beside the standard
 *          three; the account, the limits */
#ifndef MASTER_SPAWN_H
#define MASTER_SPAWN_H

#include "loop/ipc.h"
#include "master/privilege.h"

/* Where the role programs are: beside this program. Null: cannot be found out. The caller frees it. */
char *spawn_directory(void);
/* @channel stays the caller's. Negative: it could not be forked; a program that is not there is seen
 * by its exit status 127. */
BASE_MUST_USE int spawn_role(const char *directory, enum ipc_role role, unsigned index, int channel,
	const struct account *account, pid_t *out_pid, struct base_error *err);

#endif
