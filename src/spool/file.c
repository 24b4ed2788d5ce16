/* A body's life, by what exists when the process dies there:
 *
 *	made       an unnamed file (or tmp/NAME): gone with its last descriptor (or swept at start)
 *	kept       spool/ID, no row: the commit did not come; swept at start
 *	committed  spool/ID and the row: the message
 *	removed    spool/ID, no row: the commit of the removal came first; unlinked, or swept at start
 *
 * A row without its file cannot be: the name is made durable before the row is, and goes after it. */
#include "spool/file.h"

#include "base/id.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int open_folder(int at, const char *name, int *out_fd, struct base_error *err)
{
	struct stat above, st;

	if (mkdirat(at, name, 0700) == 0) {
		/* Made by root on behalf of the service account, which owns the folder above. */
		if (geteuid() == 0 && fstat(at, &above) == 0 && above.st_uid != 0 &&
			fchownat(at, name, above.st_uid, above.st_gid, AT_SYMLINK_NOFOLLOW) != 0)
			return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
				"cannot give folder \"%s\" of the spool away", name);
	} else if (errno != EEXIST) {
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
			"cannot make folder \"%s\" of the spool", name);
	}
	*out_fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (*out_fd < 0 || fstat(*out_fd, &st) != 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
			"cannot open folder \"%s\" of the spool", name);
	return 0;
}

static int empty_temp(struct spool_dir *d, struct base_error *err)
{
	int fd = openat(d->temp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot read spool/tmp");
	}
	while ((e = readdir(dir)))
		if (e->d_name[0] != '.')
			unlinkat(d->temp_fd, e->d_name, 0);
	closedir(dir);
	return 0;
}

int spool_dir_open(struct spool_dir *d, int data_fd, bool named, struct base_error *err)
{
	int rc;

	*d = (struct spool_dir){.fd = -1, .temp_fd = -1, .named = named};
	rc = open_folder(data_fd, "spool", &d->fd, err);
	if (rc == 0)
		rc = open_folder(d->fd, "tmp", &d->temp_fd, err);
	if (rc == 0)
		rc = empty_temp(d, err);
	if (rc != 0)
		spool_dir_close(d);
	return rc;
}

void spool_dir_close(struct spool_dir *d)
{
	if (d->fd >= 0)
		close(d->fd);
	if (d->temp_fd >= 0)
		close(d->temp_fd);
	d->fd = d->temp_fd = -1;
}

int spool_dir_sync(struct spool_dir *d, struct base_error *err)
{
	if (!d->dirty)
		return 0;
	if (fsync(d->fd) != 0)
		return base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot sync folder \"spool\"");
	d->dirty = false;
	return 0;
}

static int make_named(struct spool_dir *d, struct spool_file *out, struct base_error *err)
{
	snprintf(out->name, sizeof(out->name), "%llu", (unsigned long long)++d->names);
	out->fd = openat(
		d->temp_fd, out->name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out->fd >= 0)
		return 0;
	out->name[0] = '\0';
	return base_error_errno(
		err, BASE_ERROR_TEMPORARY, errno, "cannot make a file in spool/tmp");
}

int spool_dir_make(struct spool_dir *d, struct spool_file *out, struct base_error *err)
{
	spool_file_init(out);
	if (!d->named) {
		out->fd = openat(d->fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
		if (out->fd >= 0)
			return 0;
		/* EISDIR: a kernel that does not know the flag; the others: this file system. */
		if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL && errno != ENOENT)
			return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
				"cannot make a file in \"spool\"");
		d->named = true;
	}
	return make_named(d, out, err);
}

static int give_name(struct spool_dir *d, struct spool_file *f, const char *id)
{
	char link[64];

	if (f->name[0]) {
		if (renameat(d->temp_fd, f->name, d->fd, id) != 0)
			return -1;
		f->name[0] = '\0';
		return 0;
	}
	snprintf(link, sizeof(link), "/proc/self/fd/%d", f->fd);
	return linkat(AT_FDCWD, link, d->fd, id, AT_SYMLINK_FOLLOW);
}

int spool_dir_keep(struct spool_dir *d, struct spool_file *f, const char *id, uint64_t size,
	struct base_error *err)
{
	struct stat st;

	if (fstat(f->fd, &st) != 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot look at a body");
	if ((uint64_t)st.st_size != size)
		return base_error_set(err, BASE_ERROR_PEER, 0,
			"body of message \"%s\" has %lld bytes, not the %llu announced", id,
			(long long)st.st_size, (unsigned long long)size);
	if (fsync(f->fd) != 0)
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno,
			"cannot sync the body of message \"%s\"", id);
	d->dirty = true;
	if (give_name(d, f, id) == 0)
		return 0;
	return base_error_errno(err, errno == EEXIST ? BASE_ERROR_EXISTS : BASE_ERROR_TEMPORARY,
		errno, "cannot name the body of message \"%s\"", id);
}

void spool_dir_drop(struct spool_dir *d, struct spool_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	if (f->name[0])
		unlinkat(d->temp_fd, f->name, 0);
	spool_file_init(f);
}

int spool_dir_read(struct spool_dir *d, const char *id, int *out_fd, struct base_error *err)
{
	int fd = openat(d->fd, id, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return base_error_errno(err,
			errno == ENOENT ? BASE_ERROR_NOT_FOUND : BASE_ERROR_TEMPORARY, errno,
			"cannot open the body of message \"%s\"", id);
	*out_fd = fd;
	return 0;
}

void spool_dir_remove(struct spool_dir *d, const char *id)
{
	(void)unlinkat(d->fd, id, 0);
}

int spool_dir_sweep(
	struct spool_dir *d, spool_dir_owned_fn owned, void *arg, struct base_error *err)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct base_id id;
	bool keep;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return base_error_errno(err, BASE_ERROR_TEMPORARY, errno, "cannot read \"spool\"");
	}
	while (rc == 0 && (e = readdir(dir))) {
		/* What bears no message's name was not put here by us, and stays. */
		if (!base_id_parse(base_slice_text(e->d_name), &id))
			continue;
		keep = true;
		rc = owned(arg, base_id_slice(&id), &keep, err);
		if (rc == 0 && !keep)
			spool_dir_remove(d, id.text);
	}
	closedir(dir);
	return rc;
}
