/* master/memory_file.h: bytes that a frame hands over by descriptor */
#ifndef MASTER_MEMORY_FILE_H
#define MASTER_MEMORY_FILE_H

#include "base/error.h"
#include "base/slice.h"

/* A memory file with @bytes, sealed against every change. */
BASE_MUST_USE int memory_file_make(
	const char *name, struct base_slice bytes, int *out_fd, struct base_error *err);

#endif
