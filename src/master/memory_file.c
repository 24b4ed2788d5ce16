#include "master/memory_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int memory_file_make(const char *name, struct base_slice bytes, int *out_fd, struct base_error *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	ssize_t n;

	if (fd < 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "memory file \"%s\"", name);
	while (bytes.len) {
		n = write(fd, bytes.ptr, bytes.len);
		if (n <= 0)
			break;
		bytes = base_slice_from(bytes, (size_t)n);
	}
	if (bytes.len ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) !=
			0) {
		close(fd);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "memory file \"%s\"", name);
	}
	*out_fd = fd;
	return 0;
}
