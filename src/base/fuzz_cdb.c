/* A constant database from anywhere: what is found lies within the file, and the walk ends. The first
 * byte says how long a key to look for; a record that the walk gives has a key that can be looked for. */
#include "base/cdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct base_slice file, struct base_slice part)
{
	BASE_BUG_IF(part.ptr < file.ptr || part.ptr > file.ptr + file.len ||
		part.len > (size_t)(file.ptr + file.len - part.ptr));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice file, key, found;
	size_t cursor = 0, last = 0;

	if (size < 1 || size - 1 < data[0])
		return 0;
	key = base_slice_make(data + 1, data[0]);
	file = base_slice_make(data + 1 + data[0], size - 1 - data[0]);
	if (base_cdb_find(file, key, &found) == BASE_CDB_FOUND)
		check_inside(file, found);
	while (base_cdb_next(file, &cursor, &key, &found) == BASE_CDB_FOUND) {
		BASE_BUG_IF(cursor <= last || cursor > file.len);
		last = cursor;
		check_inside(file, key);
		check_inside(file, found);
		(void)base_cdb_find(file, key, &found);
	}
	return 0;
}
