/* The layers in the order in which they are put on: dumpable off and no core files, no new privileges,
 * Landlock (files; where the ABI has it TCP, and abstract sockets and signals of others), seccomp. */
#include "loop/sandbox.h"

#include "loop/sandbox_internal.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

struct sandbox_kernel sandbox_kernel(void)
{
	struct sandbox_kernel k = {0};

#if SANDBOX_FILTERS
	unsigned action = SECCOMP_RET_ERRNO;

	k.landlock_abi = sandbox_landlock_abi();
	k.seccomp = sandbox_seccomp_built() &&
		syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) == 0;
#endif
	return k;
}

static int close_small_doors(unsigned flags, struct base_error *err)
{
	struct rlimit no_core = {0, 0};

	if (setrlimit(RLIMIT_CORE, &no_core) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
		(!(flags & SANDBOX_GAIN) && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0))
		return base_error_errno(err, BASE_ERROR_PERMANENT, errno, "sandbox");
	return 0;
}

int sandbox_enter(
	unsigned flags, const struct sandbox_path *paths, size_t path_count, struct base_error *err)
{
	struct sandbox_kernel k = sandbox_kernel();
	int rc = close_small_doors(flags, err);

	if (rc != 0 || (flags & SANDBOX_GAIN))
		return rc;
	if (k.landlock_abi > 0 && !(flags & SANDBOX_EXEC))
		rc = sandbox_landlock_enter(k.landlock_abi, flags, paths, path_count, err);
	if (rc == 0 && k.seccomp)
		rc = sandbox_seccomp_enter(flags, err);
	return rc;
}
