/* loop/file.h: a whole file as bytes
 * Job      read it, up to a limit; tell whether it changed
 * Time     blocks: for programs of one session, commands, and roles before their loop runs */
#ifndef LOOP_FILE_H
#define LOOP_FILE_H

#include "base/buf.h"
#include "base/error.h"

#include <sys/stat.h>

/* Append the file to @out (its maximum is the limit). @out_stat may be null. 0; NOT_FOUND: no such
 * file; CONFIG: it cannot be read, is no regular file, or is too large (err says which and names it). */
BASE_MUST_USE int file_read(
	const char *path, struct base_buf *out, struct stat *out_stat, struct base_error *err);
/* Another file, another time or another size than @then. */
bool file_changed(const struct stat *then, const struct stat *now);

#endif
