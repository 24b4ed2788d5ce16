#include "loop/local.h"

#include "base/macros.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Fill @addr so that it names @path. A path that does not fit is reached through its directory's
 * descriptor; *out_dir (or -1) must stay open until the address was used. */
static int name_path(
	const char *path, struct sockaddr_un *addr, int *out_dir, struct base_error *err)
{
	const char *slash = strrchr(path, '/');
	char *dir;

	*addr = (struct sockaddr_un){.sun_family = AF_UNIX};
	*out_dir = -1;
	if (strlen(path) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, path, strlen(path) + 1);
		return 0;
	}
	if (!slash || strlen(slash) > 64)
		return base_error_set(
			err, BASE_ERROR_CONFIG, 0, "socket \"%s\": the name is too long", path);
	dir = base_strdup(path);
	dir[slash - path + 1] = 0;
	*out_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	if (*out_dir < 0)
		return base_error_errno(err,
			errno == ENOENT ? BASE_ERROR_NOT_FOUND : BASE_ERROR_CONFIG, errno,
			"socket \"%s\"", path);
	snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d%s", *out_dir, slash);
	return 0;
}

int local_connect(const char *path, int type, bool nonblocking, int *out_fd, struct base_error *err)
{
	struct sockaddr_un addr;
	int fd, dir, saved, rc;

	rc = name_path(path, &addr, &dir, err);
	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	saved = errno;
	if (fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0) {
		saved = errno;
		close(fd);
		fd = -1;
	}
	if (dir >= 0)
		close(dir);
	if (fd < 0)
		return base_error_errno(err,
			saved == ENOENT || saved == ECONNREFUSED ? BASE_ERROR_NOT_FOUND
								 : BASE_ERROR_TEMPORARY,
			saved, "cannot connect to \"%s\"", path);
	if (!nonblocking)
		fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK);
	*out_fd = fd;
	return 0;
}

/* Remove a socket that nobody listens on. */
static int make_room(const char *path, int type, struct base_error *err)
{
	struct stat st;
	int fd = -1, rc;

	if (lstat(path, &st) != 0)
		return errno == ENOENT
			? 0
			: base_error_errno(err, BASE_ERROR_CONFIG, errno, "socket \"%s\"", path);
	if (!S_ISSOCK(st.st_mode))
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"\"%s\" exists and is no socket; remove it or name another path", path);
	rc = local_connect(path, type, true, &fd, NULL);
	if (rc == 0)
		close(fd);
	if (rc != BASE_ERROR_NOT_FOUND)
		return base_error_set(err, BASE_ERROR_EXISTS, 0,
			"socket \"%s\" is in use: another server listens on it", path);
	if (unlink(path) != 0 && errno != ENOENT)
		return base_error_errno(err, BASE_ERROR_CONFIG, errno,
			"cannot replace the stale socket \"%s\"", path);
	return 0;
}

int local_listen(const char *path, int type, unsigned mode, int *out_fd, struct base_error *err)
{
	struct sockaddr_un addr;
	mode_t mask;
	int fd, dir, rc;

	rc = make_room(path, type, err);
	if (rc == 0)
		rc = name_path(path, &addr, &dir, err);
	if (rc != 0)
		return rc;
	fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	/* Born with its mode: nobody gets in before, and no name is looked up a second time, where
	 * another file could stand by then. */
	mask = umask(~mode & 0777);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 || listen(fd, 128) != 0)
		rc = base_error_errno(
			err, BASE_ERROR_CONFIG, errno, "cannot listen on socket \"%s\"", path);
	umask(mask);
	if (dir >= 0)
		close(dir);
	if (rc != 0) {
		if (fd >= 0)
			close(fd);
		return rc;
	}
	*out_fd = fd;
	return 0;
}
