#include "loop/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

static int too_large(const char *path, const struct base_buf *out, struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_CONFIG, EFBIG,
		"\"%s\" is larger than %zu bytes, which nothing of its kind needs", path, out->max);
}

/* The file may grow or shrink while it is read: what counts is where it ends. */
static int read_all(int fd, const char *path, struct base_buf *out, struct base_error *err)
{
	for (;;) {
		size_t room = base_buf_room(out);
		uint8_t *to = base_buf_reserve(out, room < READ_BYTES ? room : READ_BYTES);
		uint8_t one;
		ssize_t n = room ? read(fd, to, room < READ_BYTES ? room : READ_BYTES)
				 : read(fd, &one, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return base_error_errno(
				err, BASE_ERROR_CONFIG, errno, "cannot read \"%s\"", path);
		if (n == 0)
			return 0;
		if (room == 0)
			return too_large(path, out, err);
		base_buf_grew(out, (size_t)n);
	}
}

int file_read(const char *path, struct base_buf *out, struct stat *out_stat, struct base_error *err)
{
	/* Not blocking: a FIFO in the file's place must not hold us. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), rc;
	struct stat st;

	if (fd < 0)
		return base_error_errno(err,
			errno == ENOENT || errno == ENOTDIR ? BASE_ERROR_NOT_FOUND
							    : BASE_ERROR_CONFIG,
			errno, "cannot open \"%s\"", path);
	if (fstat(fd, &st) != 0)
		rc = base_error_errno(err, BASE_ERROR_CONFIG, errno, "cannot read \"%s\"", path);
	else if (!S_ISREG(st.st_mode))
		rc = base_error_set(
			err, BASE_ERROR_CONFIG, EINVAL, "\"%s\" is not a regular file", path);
	else
		rc = read_all(fd, path, out, err);
	close(fd);
	if (rc == 0 && out_stat)
		*out_stat = st;
	return rc;
}

bool file_changed(const struct stat *then, const struct stat *now)
{
	return then->st_dev != now->st_dev || then->st_ino != now->st_ino ||
		then->st_size != now->st_size || then->st_mtim.tv_sec != now->st_mtim.tv_sec ||
		then->st_mtim.tv_nsec != now->st_mtim.tv_nsec;
}
