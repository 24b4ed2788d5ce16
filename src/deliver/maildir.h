/* deliver/maildir.h: messages into maildirs, durably, several with few syncs
 * Job      make the maildir where it is missing, write below tmp/, sync, move to new/, sync the
 * folder Not      which maildir and under what name (deliver/core.h) Order    begin any number of
 * files, then settle or abandon them all. A message is seen in new/ whole or not at all; settled
 * without an error means: on stable storage Speed    begin starts the disk on the data, settle
 * waits for all of it: on a journaling file system the first sync of a batch does the work of the
 * others */
#ifndef DELIVER_MAILDIR_H
#define DELIVER_MAILDIR_H

#include "base/buf.h"
#include "base/error.h"

/* Where the message's bytes are: inline, or in a file from its beginning. */
struct maildir_source {
	struct base_slice bytes;
	int fd;        /* -1: inline */
	uint64_t size; /* of the file */
};

struct maildir_file {
	int fd, tmp, new;
	char *path, *temp_name, *name;
	struct base_error err; /* class NONE unless something failed */
};

/* Write the message below tmp/. @prefix_len: the part of @path that is not made (but its last
 * folder is, by maildir_prepare()). On failure @out holds nothing. */
BASE_MUST_USE int maildir_begin(const char *path, size_t prefix_len, const char *name,
	struct base_slice head, const struct maildir_source *source, struct maildir_file *out,
	struct base_error *err);
/* Sync, publish, sync the folders. Each file's err says what became of it; all are released, and
 * what failed left nothing behind. */
void maildir_settle(struct maildir_file *files, size_t count);
/* Remove what was begun. */
void maildir_abandon(struct maildir_file *files, size_t count);
/* Make the folder @prefix and its missing parents, before the sandbox closes. */
BASE_MUST_USE int maildir_prepare(const char *prefix, struct base_error *err);

#endif
