/* Constant databases made by hand, then damaged in every way we could think of. */
#include "base/test_support.h"

#include "base/cdb.h"
#include "base/test_cdb.h"

#include <stdio.h>

static const struct test_record records[] = {
	{BASE_SLICE_INIT("one"), BASE_SLICE_INIT("Hello")},
	{BASE_SLICE_INIT("two"), BASE_SLICE_INIT("Goodbye")},
	{BASE_SLICE_INIT(""), BASE_SLICE_INIT("the empty key")},
	{BASE_SLICE_INIT("nothing"), BASE_SLICE_INIT("")},
	{BASE_SLICE_INIT("one"), BASE_SLICE_INIT("again")},
	{BASE_SLICE_INIT("!example.org-"), BASE_SLICE_INIT("example.org\1sys")},
	{BASE_SLICE_INIT("anna"), BASE_SLICE_INIT("$1$x")},
};

static enum base_cdb_result find(
	struct base_slice file, const char *key, struct base_slice *out_data)
{
	return base_cdb_find(file, base_slice_text(key), out_data);
}

static void finds(void **state)
{
	struct base_buf made;
	struct base_slice file, data = BASE_SLICE("untouched");

	test_cdb_make(&made, records, BASE_COUNT(records));
	file = exact_copy(base_buf_slice(&made));
	for (size_t i = 0; i < BASE_COUNT(records); i++) {
		if (i == 4)
			continue;
		assert_int_equal(base_cdb_find(file, records[i].key, &data), BASE_CDB_FOUND);
		assert_true(base_slice_equal(data, records[i].data));
	}
	data = BASE_SLICE("untouched");
	assert_int_equal(find(file, "three", &data), BASE_CDB_MISSING);
	assert_int_equal(find(file, "On", &data), BASE_CDB_MISSING);
	assert_int_equal(find(file, "one\1", &data), BASE_CDB_MISSING);
	assert_slice_equal(data, "untouched");
	free_copy(file);
	base_buf_release(&made);
}

/* Forty keys of one table: most are not in their first slot, and some walk round its end. */
static void collisions(void **state)
{
	char keys[40][16];
	struct test_record same[BASE_COUNT(keys)];
	struct base_buf made;
	struct base_slice file, data;
	size_t count = 0;

	for (unsigned i = 0; count < BASE_COUNT(keys); i++) {
		snprintf(keys[count], sizeof(keys[count]), "user%u", i);
		if (test_cdb_hash(base_slice_text(keys[count])) % 256 != 7)
			continue;
		same[count].key = same[count].data = base_slice_text(keys[count]);
		count++;
	}
	test_cdb_make(&made, same, count - 1);
	file = exact_copy(base_buf_slice(&made));
	for (size_t i = 0; i + 1 < count; i++) {
		assert_int_equal(base_cdb_find(file, same[i].key, &data), BASE_CDB_FOUND);
		assert_true(base_slice_equal(data, same[i].key));
	}
	assert_int_equal(base_cdb_find(file, same[count - 1].key, &data), BASE_CDB_MISSING);
	free_copy(file);
	base_buf_release(&made);
}

static void steps(void **state)
{
	struct base_buf made;
	struct base_slice file, key, data;
	size_t cursor = 0;

	test_cdb_make(&made, records, BASE_COUNT(records));
	file = exact_copy(base_buf_slice(&made));
	for (size_t i = 0; i < BASE_COUNT(records); i++) {
		assert_int_equal(base_cdb_next(file, &cursor, &key, &data), BASE_CDB_FOUND);
		assert_true(base_slice_equal(key, records[i].key));
		assert_true(base_slice_equal(data, records[i].data));
	}
	assert_int_equal(base_cdb_next(file, &cursor, &key, &data), BASE_CDB_MISSING);
	assert_int_equal(base_cdb_next(file, &cursor, &key, &data), BASE_CDB_MISSING);
	free_copy(file);
	base_buf_release(&made);
}

static void empty(void **state)
{
	struct base_buf made;
	struct base_slice key, data;
	size_t cursor = 0;

	test_cdb_make(&made, NULL, 0);
	assert_int_equal(made.len, BASE_CDB_HEADER_BYTES);
	assert_int_equal(find(base_buf_slice(&made), "one", &data), BASE_CDB_MISSING);
	assert_int_equal(
		base_cdb_next(base_buf_slice(&made), &cursor, &key, &data), BASE_CDB_MISSING);
	base_buf_release(&made);
}

/* Cut anywhere: never FOUND with bytes that are not the record's, and no read beyond the end. */
static void cut(void **state)
{
	struct base_buf made;

	test_cdb_make(&made, records, BASE_COUNT(records));
	for (size_t len = 0; len < made.len; len++) {
		struct base_slice file = exact_copy(base_slice_make(made.ptr, len)), key, data;
		enum base_cdb_result result = find(file, "anna", &data);
		size_t cursor = 0, count = 0;

		if (len < BASE_CDB_HEADER_BYTES)
			assert_int_equal(result, BASE_CDB_BROKEN);
		if (result == BASE_CDB_FOUND)
			assert_slice_equal(data, "$1$x");
		while (base_cdb_next(file, &cursor, &key, &data) == BASE_CDB_FOUND)
			assert_true(++count <= BASE_COUNT(records));
		free_copy(file);
	}
	base_buf_release(&made);
}

/* One change to the pair or the slot of "anna", and what must come of it. */
struct damage {
	const char *name;
	enum { TABLE, SLOTS, RECORD, KEY_LEN, DATA_LEN } where;
	size_t value;
	enum base_cdb_result expected;
};

static const struct damage damages[] = {
	{"table beyond the end", TABLE, 0xfffffff0, BASE_CDB_BROKEN},
	{"table in the header", TABLE, 8, BASE_CDB_BROKEN},
	{"table at zero", TABLE, 0, BASE_CDB_BROKEN},
	{"too many slots", SLOTS, 0x20000001, BASE_CDB_BROKEN},
	{"most slots", SLOTS, 0xffffffff, BASE_CDB_BROKEN},
	{"no slots", SLOTS, 0, BASE_CDB_MISSING},
	{"record beyond the end", RECORD, 0xffffffff, BASE_CDB_BROKEN},
	{"record in the header", RECORD, 1, BASE_CDB_BROKEN},
	{"record unset", RECORD, 0, BASE_CDB_MISSING},
	{"another record", RECORD, BASE_CDB_HEADER_BYTES, BASE_CDB_MISSING},
	{"key too long", KEY_LEN, 0xffffffff, BASE_CDB_BROKEN},
	{"key of another length", KEY_LEN, 3, BASE_CDB_MISSING},
	{"data too long", DATA_LEN, 0xfffffffc, BASE_CDB_BROKEN},
};

static void damaged(void **state)
{
	uint32_t hash = test_cdb_hash(BASE_SLICE("anna"));

	for (size_t i = 0; i < BASE_COUNT(damages); i++) {
		const struct damage *d = &damages[i];
		size_t pair = 8 * (hash % 256), slots, slot, record;
		struct base_buf made;
		struct base_slice file, data;

		test_cdb_make(&made, records, BASE_COUNT(records));
		slots = test_cdb_get(&made, pair + 4);
		slot = test_cdb_get(&made, pair) + 8 * ((hash >> 8) % slots);
		record = test_cdb_get(&made, slot + 4);
		switch (d->where) {
		case TABLE:
			test_cdb_set(&made, pair, d->value);
			break;
		case SLOTS:
			test_cdb_set(&made, pair + 4, d->value);
			break;
		case RECORD:
			test_cdb_set(&made, slot + 4, d->value);
			break;
		case KEY_LEN:
			test_cdb_set(&made, record, d->value);
			break;
		case DATA_LEN:
			test_cdb_set(&made, record + 4, d->value);
			break;
		}
		file = exact_copy(base_buf_slice(&made));
		if (find(file, "anna", &data) != d->expected)
			fail_msg("%s", d->name);
		free_copy(file);
		base_buf_release(&made);
	}
}

/* A table without an empty slot, each of which points to a record of the same hash and another key. */
static void table_loop(void **state)
{
	static const struct test_record one[] = {{BASE_SLICE_INIT("anna"), BASE_SLICE_INIT("x")}};
	struct base_buf made;
	struct base_slice file, data;
	uint32_t hash = test_cdb_hash(BASE_SLICE("anna"));
	size_t table;

	test_cdb_make(&made, one, 1);
	table = test_cdb_get(&made, 8 * (hash % 256));
	for (unsigned slot = 0; slot < 2; slot++) {
		test_cdb_set(&made, table + 8 * slot, hash);
		test_cdb_set(&made, table + 8 * slot + 4, BASE_CDB_HEADER_BYTES);
	}
	made.ptr[BASE_CDB_HEADER_BYTES + 8] = 'A';
	file = exact_copy(base_buf_slice(&made));
	assert_int_equal(find(file, "anna", &data), BASE_CDB_MISSING);
	free_copy(file);
	base_buf_release(&made);
}

static void next_damaged(void **state)
{
	static const struct {
		size_t at, value;
	} rows[] = {
		{0, 0},
		{0, 2047},
		{0, 0xffffffff},
		{BASE_CDB_HEADER_BYTES, 0xffffffff},
		{BASE_CDB_HEADER_BYTES + 4, 0xffffffff},
		{0, BASE_CDB_HEADER_BYTES + 7},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_buf made;
		struct base_slice file, key, data;
		size_t cursor = 0;

		test_cdb_make(&made, records, BASE_COUNT(records));
		test_cdb_set(&made, rows[i].at, rows[i].value);
		file = exact_copy(base_buf_slice(&made));
		assert_int_equal(base_cdb_next(file, &cursor, &key, &data), BASE_CDB_BROKEN);
		assert_int_equal(cursor, 0);
		/* A cursor from nowhere. */
		cursor = 0xfffffffff;
		assert_int_equal(base_cdb_next(file, &cursor, &key, &data), BASE_CDB_BROKEN);
		free_copy(file);
		base_buf_release(&made);
	}
}

/* As a program beside tinycdb's "cdb": -c writes the records above to standard output, -d FILE dumps,
 * -q FILE KEY looks one up (status 100: none). */
static int as_program(int argc, char **argv)
{
	struct base_buf file;
	struct base_slice key, data;
	size_t cursor = 0;
	FILE *in;

	if (strcmp(argv[1], "-c") == 0) {
		test_cdb_make(&file, records, BASE_COUNT(records));
		fwrite(file.ptr, 1, file.len, stdout);
		base_buf_release(&file);
		return 0;
	}
	in = argc > 2 ? fopen(argv[2], "rb") : NULL;
	if (!in)
		return 111;
	base_buf_init(&file, 64 << 20);
	for (int c = getc(in); c != EOF; c = getc(in))
		base_buf_append_byte(&file, (uint8_t)c);
	fclose(in);
	if (strcmp(argv[1], "-q") == 0 && argc > 3) {
		if (find(base_buf_slice(&file), argv[3], &data) != BASE_CDB_FOUND)
			return 100;
		fwrite(data.ptr, 1, data.len, stdout);
	} else {
		while (base_cdb_next(base_buf_slice(&file), &cursor, &key, &data) ==
			BASE_CDB_FOUND) {
			printf("+%zu,%zu:", key.len, data.len);
			fwrite(key.ptr, 1, key.len, stdout);
			printf("->");
			fwrite(data.ptr, 1, data.len, stdout);
			putchar('\n');
		}
		putchar('\n');
	}
	base_buf_release(&file);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),
		cmocka_unit_test(collisions),
		cmocka_unit_test(steps),
		cmocka_unit_test(empty),
		cmocka_unit_test(cut),
		cmocka_unit_test(damaged),
		cmocka_unit_test(table_loop),
		cmocka_unit_test(next_damaged),
	};

	if (argc > 1)
		return as_program(argc, argv);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
