/* Standard error is shared with other processes, so it cannot be made non-blocking; each kind of file
 * has its own way to write without waiting. Plain files and terminals do not make us wait long. */
#include "journal/output.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static ssize_t write_some(struct base_slice s)
{
	struct iovec iov = {(void *)(uintptr_t)s.ptr, s.len};
	struct stat st;
	ssize_t n;

	if (fstat(STDERR_FILENO, &st) != 0)
		return write(STDERR_FILENO, s.ptr, s.len);
	if (S_ISSOCK(st.st_mode))
		return send(STDERR_FILENO, s.ptr, s.len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (S_ISFIFO(st.st_mode)) {
		n = pwritev2(STDERR_FILENO, &iov, 1, -1, RWF_NOWAIT);
		if (n >= 0 || (errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS))
			return n;
	}
	return write(STDERR_FILENO, s.ptr, s.len);
}

size_t output_write(struct base_slice lines, bool *out_full)
{
	size_t done = 0;
	ssize_t n;

	*out_full = false;
	while (done < lines.len) {
		n = write_some(base_slice_from(lines, done));
		if (n > 0) {
			done += (size_t)n;
		} else if (n < 0 && errno == EINTR) {
			continue;
		} else if (n < 0 && errno == EAGAIN) {
			*out_full = true;
			return done;
		} else {
			return lines.len;
		}
	}
	return done;
}
