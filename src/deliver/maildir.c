#include "deliver/maildir.h"
#include "deliver/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CHUNK_BYTES = 64 * 1024 };

/* Make @path and what is missing of its parents behind @fixed bytes. A folder that is there is
 * fine, whatever it is; what cannot be used is found when it is opened. */
static int make_folders(const char *path, size_t fixed, struct base_error *err)
{
	char *copy = base_strdup(path);
	int rc = 0;

	for (char *p = copy + (fixed ? fixed : 1); rc == 0; p++) {
		char was = *p;

		if (was != '/' && was != '\0')
			continue;
		*p = '\0';
		if (mkdir(copy, 0700) != 0 && errno != EEXIST)
			rc = base_error_errno(
			        err, BASE_ERROR_TEMPORARY, errno, "cannot make \"%s\"", copy);
		*p = was;
		if (was == '\0')
			break;
	}
	free(copy);
	return rc;
}

int maildir_prepare(const char *prefix, struct base_error *err)
{
	struct stat st;

	if (stat(prefix, &st) == 0)
		return 0;
	return make_folders(prefix, 0, err);
}

static int make_maildir(const char *path, size_t prefix_len, struct base_error *err)
{
	static const char *const parts[] = {"tmp", "new", "cur"};
	struct base_buf part;
	int rc = make_folders(path, prefix_len, err);

	base_buf_init(&part, DELIVER_PATH_MAX_BYTES + 8);
	for (size_t i = 0; rc == 0 && i < BASE_COUNT(parts); i++) {
		base_buf_clear(&part);
		base_buf_printf(&part, "%s/%s", path, parts[i]);
		if (mkdir(base_buf_text(&part), 0700) != 0 && errno != EEXIST)
			rc = base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
			        "cannot make \"%s\"", base_buf_text(&part));
	}
	base_buf_release(&part);
	return rc;
}

/* O_EXCL, so that no link or pipe that waits under this name is followed. A file left by a crash
 * under the same name is ours and worth nothing. */
static int open_temp(int dir, const char *name)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(dir, name, flags, 0600);

	if (fd < 0 && errno == EEXIST && unlinkat(dir, name, 0) == 0)
		fd = openat(dir, name, flags, 0600);
	return fd;
}

static int write_all(int fd, struct base_slice bytes)
{
	while (bytes.len) {
		ssize_t n = write(fd, bytes.ptr, bytes.len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno;
		bytes = base_slice_from(bytes, (size_t)n);
	}
	return 0;
}

static int write_file(int fd, const struct maildir_source *source, struct base_buf *chunk)
{
	uint8_t *raw = base_alloc(CHUNK_BYTES);
	struct deliver_lines lines = {0};
	uint64_t at = 0;
	int rc = 0;

	while (rc == 0 && at < source->size) {
		uint64_t left = source->size - at;
		ssize_t n = pread(source->fd, raw, left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES,
		        (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			rc = n < 0 ? errno : EIO;
			break;
		}
		at += (uint64_t)n;
		deliver_lines_push(&lines, base_slice_make(raw, (size_t)n), chunk);
		if (at == source->size)
			deliver_lines_end(&lines, chunk);
		rc = write_all(fd, base_buf_slice(chunk));
		base_buf_clear(chunk);
	}
	free(raw);
	return rc;
}

/* Returns an errno value. An inline message goes out in one write. */
static int write_message(int fd, struct base_slice head, const struct maildir_source *source)
{
	struct deliver_lines lines = {0};
	struct base_buf out;
	int rc;

	base_buf_init(&out, head.len + source->bytes.len + CHUNK_BYTES + 16);
	base_buf_append_slice(&out, head);
	if (source->fd < 0) {
		deliver_lines_push(&lines, source->bytes, &out);
		deliver_lines_end(&lines, &out);
	}
	rc = write_all(fd, base_buf_slice(&out));
	base_buf_clear(&out);
	if (rc == 0 && source->fd >= 0)
		rc = write_file(fd, source, &out);
	base_buf_release(&out);
	return rc;
}

/* Between the rename and the sync of new/ a crash may lose the name, but then 0 was not returned.
 */
static int store(int tmp, int new, const char *path, const char *name, struct base_slice head,
        const struct maildir_source *source, struct base_error *err)
{
	int fd = open_temp(tmp, name), rc;

	if (fd < 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
		        "cannot create \"%s/tmp/%s\"", path, name);
	rc = write_message(fd, head, source);
	if (rc == 0 && fsync(fd) != 0)
		rc = errno;
	/* Network file systems say only here that the disk is full. */
	if (close(fd) != 0 && rc == 0)
		rc = errno;
	if (rc != 0) {
		unlinkat(tmp, name, 0);
		return base_error_errno(
		        err, BASE_ERROR_TEMPORARY, rc, "cannot write \"%s/tmp/%s\"", path, name);
	}
	if (renameat(tmp, name, new, name) != 0) {
		rc = errno;
		unlinkat(tmp, name, 0);
		return base_error_errno(
		        err, BASE_ERROR_TEMPORARY, rc, "cannot move to \"%s/new/%s\"", path, name);
	}
	if (fsync(new) != 0)
		return base_error_errno(
		        err, BASE_ERROR_TEMPORARY, errno, "cannot sync \"%s/new\"", path);
	return 0;
}

/* Two folders: what is written, and what readers look at. Returns an errno value. */
static int open_maildir(const char *path, int *tmp, int *new)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;
	int dir = open(path, flags), rc = 0;

	if (dir < 0)
		return errno;
	*tmp = openat(dir, "tmp", flags | O_NOFOLLOW);
	*new = *tmp >= 0 ? openat(dir, "new", flags | O_NOFOLLOW) : -1;
	if (*new < 0) {
		rc = errno;
		if (*tmp >= 0)
			close(*tmp);
	}
	close(dir);
	return rc;
}

int maildir_write(const char *path, size_t prefix_len, const char *name, struct base_slice head,
        const struct maildir_source *source, struct base_error *err)
{
	int tmp, new, rc;

	rc = open_maildir(path, &tmp, &new);
	if (rc == ENOENT) {
		rc = make_maildir(path, prefix_len, err);
		if (rc != 0)
			return rc;
		rc = open_maildir(path, &tmp, &new);
	}
	if (rc != 0)
		return base_error_errno(
		        err, BASE_ERROR_TEMPORARY, rc, "cannot open maildir \"%s\"", path);
	rc = store(tmp, new, path, name, head, source, err);
	close(new);
	close(tmp);
	return rc;
}
