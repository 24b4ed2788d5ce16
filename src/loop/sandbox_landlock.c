/* Landlock by its system calls: glibc has no wrappers, and the headers may be older than the kernel,
 * so the rights are written here with the ABI that brought them. */
#include "loop/sandbox_internal.h"

#include "base/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FS_EXECUTE (1ull << 0)
#define FS_WRITE_FILE (1ull << 1)
#define FS_READ_FILE (1ull << 2)
#define FS_READ_DIR (1ull << 3)
#define FS_REFER (1ull << 13)     /* ABI 2 */
#define FS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define FS_ABI1 ((1ull << 13) - 1)

#define NET_BIND_TCP (1ull << 0) /* ABI 4 */
#define NET_CONNECT_TCP (1ull << 1)

#define SCOPE_ABSTRACT_UNIX_SOCKET (1ull << 0) /* ABI 6 */
#define SCOPE_SIGNAL (1ull << 1)

enum { CREATE_RULESET_VERSION = 1, RULE_PATH_BENEATH = 1 };

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

struct path_beneath_attr {
	uint64_t allowed;
	int32_t parent_fd;
} __attribute__((packed));

int sandbox_landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, CREATE_RULESET_VERSION);

	return abi > 0 ? (int)abi : 0;
}

static struct ruleset_attr rights_of(int abi, unsigned flags)
{
	struct ruleset_attr attr = {.fs = FS_ABI1};

	if (abi >= 2)
		attr.fs |= FS_REFER;
	if (abi >= 3)
		attr.fs |= FS_TRUNCATE;
	if (abi >= 5)
		attr.fs |= FS_IOCTL_DEV;
	if (abi >= 4)
		attr.net = NET_BIND_TCP |
			(flags & (SANDBOX_CONNECT | SANDBOX_CONNECT_NET) ? 0 : NET_CONNECT_TCP);
	if (abi >= 6)
		attr.scoped = SCOPE_ABSTRACT_UNIX_SOCKET | SCOPE_SIGNAL;
	return attr;
}

static int add_path(
	int ruleset, uint64_t handled, const struct sandbox_path *path, struct base_error *err)
{
	uint64_t file_rights = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE |
		FS_IOCTL_DEV;
	struct path_beneath_attr rule = {.allowed = path->write
			? handled & ~FS_EXECUTE
			: handled & (FS_READ_FILE | FS_READ_DIR)};
	struct stat st;
	int rc = 0;

	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0;
	if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
		rule.allowed &= file_rights;
	if (rule.allowed &&
		syscall(SYS_landlock_add_rule, ruleset, RULE_PATH_BENEATH, &rule, 0) != 0)
		rc = base_error_errno(
			err, BASE_ERROR_PERMANENT, errno, "sandbox: path \"%s\"", path->path);
	close(rule.parent_fd);
	return rc;
}

int sandbox_landlock_enter(int abi, unsigned flags, const struct sandbox_path *paths,
	size_t path_count, struct base_error *err)
{
	struct ruleset_attr attr = rights_of(abi, flags);
	size_t size = abi >= 6 ? sizeof(attr) : abi >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
	int rc = 0;

	if (ruleset < 0)
		return base_error_errno(err, BASE_ERROR_PERMANENT, errno, "sandbox: landlock");
	for (size_t i = 0; (flags & SANDBOX_FILES) && rc == 0 && i < path_count; i++)
		rc = add_path(ruleset, attr.fs, &paths[i], err);
	if (rc == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) != 0)
		rc = base_error_errno(err, BASE_ERROR_PERMANENT, errno, "sandbox: landlock");
	close(ruleset);
	return rc;
}
