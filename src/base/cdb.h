/* base/cdb.h: read constant databases
 * Job      find a key's records, or step through all, in the bytes of a whole file
 * Not      opening the file (loop/file.h); writing one
 * Trust    the file may be cut, damaged or hostile: every position and length is checked, and the
 *          walk through a table is bounded by its size
 * Memory   none: slices point into the file's bytes
 * Spec     cdb: 256 pairs (position, slots), records (key length, data length, key, data), tables of
 *          (hash, position); all numbers u32, little-endian; hash starts at 5381, h = (h + (h << 5)) ^ c */
#ifndef BASE_CDB_H
#define BASE_CDB_H

#include "base/macros.h"
#include "base/slice.h"

#define BASE_CDB_HEADER_BYTES 2048

enum base_cdb_result {
	BASE_CDB_FOUND,
	BASE_CDB_MISSING, /* no (further) record */
	BASE_CDB_BROKEN,  /* not a constant database, or damaged where we looked */
};

/* The first record of @key. @file: the whole file, borrowed. *out_data is set only when FOUND. */
BASE_MUST_USE enum base_cdb_result base_cdb_find(
	struct base_slice file, struct base_slice key, struct base_slice *out_data);
/* The record at *cursor in the order of the file; begin with 0. MISSING: there are no more. */
BASE_MUST_USE enum base_cdb_result base_cdb_next(struct base_slice file, size_t *cursor,
	struct base_slice *out_key, struct base_slice *out_data);

#endif
