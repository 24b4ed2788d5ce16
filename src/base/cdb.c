/* All numbers are u32 and little-endian, so no sum of two of them overflows the 64 bits of size_t.
 *
 *   0      256 pairs: position of a table, its slots
 *   2048   records: key length, data length, key, data
 *   …      tables: slots of (hash, position of the record; 0: empty)
 *
 * Table 0 is written first, so its position is where the records end, even when it has no slots.
 * A key's table is hash % 256, and its first slot hash / 256 % slots; an empty slot ends the search. */
#include "base/cdb.h"

#include <assert.h>
#include <string.h>

static_assert(sizeof(size_t) >= 8, "positions and lengths are added without checks");

static uint32_t number(struct base_slice file, size_t at)
{
	const uint8_t *p = file.ptr + at;

	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t hash_of(struct base_slice key)
{
	uint32_t hash = 5381;

	for (size_t i = 0; i < key.len; i++)
		hash = (hash + (hash << 5)) ^ key.ptr[i];
	return hash;
}

/* The record at @at, which must end at @end or before. */
static bool read_record(struct base_slice file, size_t at, size_t end, struct base_slice *out_key,
	struct base_slice *out_data)
{
	size_t key_len, data_len;

	if (at < BASE_CDB_HEADER_BYTES || at > end || end - at < 8)
		return false;
	key_len = number(file, at);
	data_len = number(file, at + 4);
	if (end - at - 8 < key_len + data_len)
		return false;
	*out_key = base_slice_make(file.ptr + at + 8, key_len);
	*out_data = base_slice_make(file.ptr + at + 8 + key_len, data_len);
	return true;
}

enum base_cdb_result base_cdb_find(
	struct base_slice file, struct base_slice key, struct base_slice *out_data)
{
	uint32_t hash = hash_of(key);
	size_t table, slots, slot;

	if (file.len < BASE_CDB_HEADER_BYTES)
		return BASE_CDB_BROKEN;
	table = number(file, 8 * (hash % 256));
	slots = number(file, 8 * (hash % 256) + 4);
	if (!slots)
		return BASE_CDB_MISSING;
	if (table < BASE_CDB_HEADER_BYTES || table > file.len || (file.len - table) / 8 < slots)
		return BASE_CDB_BROKEN;
	slot = (hash >> 8) % slots;
	for (size_t i = 0; i < slots; i++) {
		size_t at = table + 8 * slot, record = number(file, at + 4);
		struct base_slice found, data;

		if (!record)
			return BASE_CDB_MISSING;
		if (number(file, at) == hash) {
			if (!read_record(file, record, file.len, &found, &data))
				return BASE_CDB_BROKEN;
			if (base_slice_equal(found, key)) {
				*out_data = data;
				return BASE_CDB_FOUND;
			}
		}
		slot = slot + 1 == slots ? 0 : slot + 1;
	}
	return BASE_CDB_MISSING;
}

enum base_cdb_result base_cdb_next(struct base_slice file, size_t *cursor,
	struct base_slice *out_key, struct base_slice *out_data)
{
	size_t at = *cursor ? *cursor : BASE_CDB_HEADER_BYTES, end;

	if (file.len < BASE_CDB_HEADER_BYTES)
		return BASE_CDB_BROKEN;
	end = number(file, 0);
	if (end < BASE_CDB_HEADER_BYTES || end > file.len)
		return BASE_CDB_BROKEN;
	if (at == end)
		return BASE_CDB_MISSING;
	if (!read_record(file, at, end, out_key, out_data))
		return BASE_CDB_BROKEN;
	*cursor = at + 8 + out_key->len + out_data->len;
	return BASE_CDB_FOUND;
}
