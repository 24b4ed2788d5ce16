#include "vault/store_key.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int give(
	const struct vault_store_options *o, int fd, const char *path, struct base_error *err)
{
	if (!o->chown || fchown(fd, o->uid, o->gid) == 0)
		return 0;
	return base_error_errno(
		err, BASE_ERROR_CONFIG, errno, "cannot give \"%s\" to the service account", path);
}

static int make_dir(const struct vault_store_options *o, struct base_error *err)
{
	if (mkdir(o->data_dir, 0700) == 0) {
		if (!o->chown || chown(o->data_dir, o->uid, o->gid) == 0)
			return 0;
		return base_error_errno(err, BASE_ERROR_CONFIG, errno,
			"cannot give \"%s\" to the service account", o->data_dir);
	}
	if (errno == EEXIST)
		return 0;
	return base_error_errno(
		err, BASE_ERROR_CONFIG, errno, "cannot create directory \"%s\"", o->data_dir);
}

int vault_store_files_make(
	const struct vault_store_options *o, const char *db_path, struct base_error *err)
{
	int fd, rc = make_dir(o, err);

	if (rc != 0)
		return rc;
	fd = open(db_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return errno == EEXIST ? 0
				       : base_error_errno(err, BASE_ERROR_CONFIG, errno,
						 "cannot create \"%s\"", db_path);
	rc = give(o, fd, db_path, err);
	close(fd);
	return rc;
}

int vault_store_key_load(const char *path, uint8_t out[BASE_SEAL_KEY_BYTES], struct base_error *err)
{
	uint8_t bytes[BASE_SEAL_KEY_BYTES + 1];
	struct stat st;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return base_error_errno(err,
			errno == ENOENT ? BASE_ERROR_NOT_FOUND : BASE_ERROR_CONFIG, errno,
			"cannot open the vault's key \"%s\"", path);
	got = read(fd, bytes, sizeof(bytes));
	if (fstat(fd, &st) != 0)
		st.st_mode = 0777;
	close(fd);
	if (got == BASE_SEAL_KEY_BYTES)
		memcpy(out, bytes, BASE_SEAL_KEY_BYTES);
	base_wipe(bytes, sizeof(bytes));
	if (got != BASE_SEAL_KEY_BYTES)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the vault's key \"%s\" is not %d bytes long: restore it from a backup",
			path, BASE_SEAL_KEY_BYTES);
	if (!S_ISREG(st.st_mode) || st.st_mode & 0077)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the vault's key \"%s\" can be read by others: chmod 600 it", path);
	return 0;
}

static int write_key(const struct vault_store_options *o, const char *path,
	const uint8_t key[BASE_SEAL_KEY_BYTES], struct base_error *err)
{
	int rc, fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return base_error_errno(
			err, BASE_ERROR_CONFIG, errno, "cannot create \"%s\"", path);
	rc = give(o, fd, path, err);
	if (rc == 0 &&
		(write(fd, key, BASE_SEAL_KEY_BYTES) != BASE_SEAL_KEY_BYTES || fsync(fd) != 0))
		rc = base_error_errno(
			err, BASE_ERROR_TEMPORARY, errno, "cannot write \"%s\"", path);
	close(fd);
	return rc;
}

static void sync_dir(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)fsync(fd);
	close(fd);
}

int vault_store_key_create(const struct vault_store_options *o, const char *path,
	uint8_t out[BASE_SEAL_KEY_BYTES], struct base_error *err)
{
	uint8_t key[BASE_SEAL_KEY_BYTES];
	char *temp = NULL;
	int rc;

	if (asprintf(&temp, "%s.%ld.new", path, (long)getpid()) < 0)
		base_out_of_memory();
	unlink(temp);
	base_random_fill(key, sizeof(key));
	rc = write_key(o, temp, key, err);
	if (rc == 0 && link(temp, path) != 0)
		rc = base_error_errno(err, errno == EEXIST ? BASE_ERROR_EXISTS : BASE_ERROR_CONFIG,
			errno, "cannot create the vault's key \"%s\"", path);
	unlink(temp);
	if (rc == 0) {
		sync_dir(o->data_dir);
		memcpy(out, key, sizeof(key));
	}
	base_wipe(key, sizeof(key));
	free(temp);
	return rc;
}
