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

static void release(struct maildir_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	close(f->tmp);
	close(f->new);
	free(f->path);
	free(f->temp_name);
	free(f->name);
	f->path = f->temp_name = f->name = NULL;
	f->fd = f->tmp = f->new = -1;
}

/* Another file of this process never has the same name below tmp/; what a crash left there is
 * cleaned up by readers, as they do for all writers. */
static char *temp_name(const char *name)
{
	static unsigned long long counter;
	struct base_buf b;
	char *text;

	base_buf_init(&b, 512);
	base_buf_printf(&b, "%s.%ld.%llu", name, (long)getpid(), counter++);
	text = base_slice_dup(base_buf_slice(&b));
	base_buf_release(&b);
	return text;
}

/* Write the message and set the disk to work on it. O_EXCL, so that no link or pipe that waits
 * under this name is followed. Returns an errno value. */
static int fill(struct maildir_file *f, struct base_slice head, const struct maildir_source *source)
{
	int rc;

	f->fd = openat(
		f->tmp, f->temp_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (f->fd < 0)
		return errno;
	rc = write_message(f->fd, head, source);
	if (rc != 0)
		unlinkat(f->tmp, f->temp_name, 0);
	else
		(void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
	return rc;
}

int maildir_begin(const char *path, size_t prefix_len, const char *name, struct base_slice head,
	const struct maildir_source *source, struct maildir_file *out, struct base_error *err)
{
	struct maildir_file f = {.fd = -1, .tmp = -1, .new = -1};
	int rc = open_maildir(path, &f.tmp, &f.new);

	if (rc == ENOENT) {
		rc = make_maildir(path, prefix_len, err);
		if (rc != 0)
			return rc;
		rc = open_maildir(path, &f.tmp, &f.new);
	}
	if (rc != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, rc, "cannot open maildir \"%s\"", path);
	f.path = base_strdup(path);
	f.temp_name = temp_name(name);
	f.name = base_strdup(name);
	rc = fill(&f, head, source);
	if (rc != 0) {
		release(&f);
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, rc, "cannot write below \"%s/tmp\"", path);
	}
	*out = f;
	return 0;
}

static void sync_data(struct maildir_file *f)
{
	int rc = fsync(f->fd) != 0 ? errno : 0;

	/* Network file systems say only at close() that the disk is full. */
	if (close(f->fd) != 0 && rc == 0)
		rc = errno;
	f->fd = -1;
	if (rc == 0)
		return;
	base_error_errno(&f->err, BASE_ERROR_TEMPORARY, rc,
		"cannot sync a message below \"%s/tmp\"", f->path);
	unlinkat(f->tmp, f->temp_name, 0);
}

static void publish(struct maildir_file *f)
{
	if (renameat(f->tmp, f->temp_name, f->new, f->name) == 0)
		return;
	base_error_errno(&f->err, BASE_ERROR_TEMPORARY, errno,
		"cannot move a message to \"%s/new\"", f->path);
	unlinkat(f->tmp, f->temp_name, 0);
}

/* All were renamed before the first folder is synced: one sync per folder will do. */
static void sync_folder(struct maildir_file *files, size_t index)
{
	struct maildir_file *f = &files[index];

	for (size_t i = 0; i < index; i++) {
		if (strcmp(files[i].path, f->path) == 0 && files[i].err.class == BASE_ERROR_NONE)
			return;
	}
	if (fsync(f->new) != 0)
		base_error_errno(
			&f->err, BASE_ERROR_TEMPORARY, errno, "cannot sync \"%s/new\"", f->path);
}

/* Between the renames and the syncs a crash may lose a name, but then nobody was told of it. */
void maildir_settle(struct maildir_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++)
		sync_data(&files[i]);
	for (size_t i = 0; i < count; i++)
		if (files[i].err.class == BASE_ERROR_NONE)
			publish(&files[i]);
	for (size_t i = 0; i < count; i++)
		if (files[i].err.class == BASE_ERROR_NONE)
			sync_folder(files, i);
	for (size_t i = 0; i < count; i++)
		release(&files[i]);
}

void maildir_abandon(struct maildir_file *files, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		unlinkat(files[i].tmp, files[i].temp_name, 0);
		release(&files[i]);
	}
}
