/* base/test_cdb.h: a writer of constant databases, for tests */
#ifndef BASE_TEST_CDB_H
#define BASE_TEST_CDB_H

#include "base/buf.h"

struct test_record {
	struct base_slice key, data;
};
/* In initialisers of static rows, where a compound literal is no constant. */
#define BASE_SLICE_INIT(literal) \
	{ \
		(const uint8_t *)(literal), sizeof(literal) - 1 \
	}

static inline void test_cdb_put(struct base_buf *out, size_t value)
{
	for (unsigned i = 0; i < 4; i++)
		base_buf_append_byte(out, (uint8_t)(value >> 8 * i));
}

static inline void test_cdb_set(struct base_buf *out, size_t at, size_t value)
{
	for (unsigned i = 0; i < 4; i++)
		out->ptr[at + i] = (uint8_t)(value >> 8 * i);
}

static inline uint32_t test_cdb_get(const struct base_buf *b, size_t at)
{
	return (uint32_t)b->ptr[at] | (uint32_t)b->ptr[at + 1] << 8 |
		(uint32_t)b->ptr[at + 2] << 16 | (uint32_t)b->ptr[at + 3] << 24;
}

static inline uint32_t test_cdb_hash(struct base_slice key)
{
	uint32_t hash = 5381;

	for (size_t i = 0; i < key.len; i++)
		hash = hash * 33 ^ key.ptr[i];
	return hash;
}

/* One table for each hash % 256, with twice as many slots as records. */
static inline void test_cdb_put_table(struct base_buf *out, unsigned table,
	const struct test_record *records, const size_t *places, size_t count)
{
	size_t begin = out->len, slots = 0;

	for (size_t i = 0; i < count; i++)
		slots += test_cdb_hash(records[i].key) % 256 == table ? 2 : 0;
	test_cdb_set(out, 8 * table, begin);
	test_cdb_set(out, 8 * table + 4, slots);
	for (size_t i = 0; i < 2 * slots; i++)
		test_cdb_put(out, 0);
	for (size_t i = 0; i < count; i++) {
		uint32_t hash = test_cdb_hash(records[i].key);
		size_t slot;

		if (hash % 256 != table)
			continue;
		for (slot = (hash >> 8) % slots; test_cdb_get(out, begin + 8 * slot + 4);)
			slot = (slot + 1) % slots;
		test_cdb_set(out, begin + 8 * slot, hash);
		test_cdb_set(out, begin + 8 * slot + 4, places[i]);
	}
}

/* Initialises @out; at most 64 records. */
static inline void test_cdb_make(
	struct base_buf *out, const struct test_record *records, size_t count)
{
	size_t places[64];

	BASE_BUG_IF(count > BASE_COUNT(places));
	base_buf_init(out, 1 << 20);
	for (size_t i = 0; i < 2048 / 4; i++)
		test_cdb_put(out, 0);
	for (size_t i = 0; i < count; i++) {
		places[i] = out->len;
		test_cdb_put(out, records[i].key.len);
		test_cdb_put(out, records[i].data.len);
		base_buf_append_slice(out, records[i].key);
		base_buf_append_slice(out, records[i].data);
	}
	for (unsigned table = 0; table < 256; table++)
		test_cdb_put_table(out, table, records, places, count);
	BASE_BUG_IF(!base_buf_ok(out));
}

#endif
