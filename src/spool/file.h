/* spool/file.h: bodies too large for a row, as files of one folder
 * Job      make an unnamed file, give it its name, open, remove, sweep
 * Not      when (the engine calls these around its transaction)
 * Errors   as in spool/spool.h; NO_SPACE for a full disk */
#ifndef SPOOL_FILE_H
#define SPOOL_FILE_H

#include "spool/spool.h"

struct spool_dir {
	int fd;         /* data/spool */
	int temp_fd;    /* data/spool/tmp */
	bool named;     /* the file system has no unnamed files */
	uint64_t names; /* given in temp_fd so far */
	bool dirty;     /* names changed since the last spool_dir_sync() */
};

/* Open or make the folder "spool" below @data_fd, and empty its tmp. */
BASE_MUST_USE int spool_dir_open(
	struct spool_dir *d, int data_fd, bool named, struct base_error *err);
void spool_dir_close(struct spool_dir *d);
/* Make names durable, if any changed. */
BASE_MUST_USE int spool_dir_sync(struct spool_dir *d, struct base_error *err);

BASE_MUST_USE int spool_dir_make(
	struct spool_dir *d, struct spool_file *out, struct base_error *err);
/* Sync @f, check that it is @size bytes long, name it @id. @f stays the caller's. */
BASE_MUST_USE int spool_dir_keep(struct spool_dir *d, struct spool_file *f, const char *id,
	uint64_t size, struct base_error *err);
void spool_dir_drop(struct spool_dir *d, struct spool_file *f);
BASE_MUST_USE int spool_dir_read(
	struct spool_dir *d, const char *id, int *out_fd, struct base_error *err);
/* Absent is fine. */
void spool_dir_remove(struct spool_dir *d, const char *id);

/* Remove every body for which @owned says no. */
typedef int (*spool_dir_owned_fn)(
	void *arg, struct base_slice id, bool *out_owned, struct base_error *err);
BASE_MUST_USE int spool_dir_sweep(
	struct spool_dir *d, spool_dir_owned_fn owned, void *arg, struct base_error *err);

#endif
