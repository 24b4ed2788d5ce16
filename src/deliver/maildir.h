/* deliver/maildir.h: a message into a maildir, durably
 * Job      make the maildir where it is missing, write below tmp/, sync, move to new/, sync the
 * folder Not      which maildir and under what name (deliver/core.h) Order    a message is seen in
 * new/ whole or not at all; 0 means: on stable storage */
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

/* @prefix is the part of @path that is not made (but its last folder is, by maildir_prepare()). */
BASE_MUST_USE int maildir_write(const char *path, size_t prefix_len, const char *name,
        struct base_slice head, const struct maildir_source *source, struct base_error *err);
/* Make the folder @prefix and its missing parents, before the sandbox closes. */
BASE_MUST_USE int maildir_prepare(const char *prefix, struct base_error *err);

#endif
