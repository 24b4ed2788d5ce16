/* A sasldb written here by libdb, in the form that saslpasswd2 writes; the integration tests have files
 * of the real one. */
#include "base/test_support.h"

#include "vault/sasldb.h"

#include <stdio.h>
#include <unistd.h>

#ifdef VAULT_HAVE_SASLDB

#include <db.h>

static const struct {
	const char *key;
	size_t key_len;
	const char *data;
	size_t data_len;
} written[] = {
#define ROW(key, data) \
	{ \
		key, sizeof(key) - 1, data, sizeof(data) - 1 \
	}
	ROW("anna\0example.org\0userPassword", "tanstaaf"),
	ROW("anna\0example.org\0cmusaslsecretOTP", "other"),
	ROW("bob\0\0userPassword", "no realm"),
	ROW("carl\0example.org\0userPassword", ""),
	ROW("dora\0example.org\0userPassword", "nul\0inside"),
	ROW("not a key", "x"),
	ROW("x\0y\0z\0userPassword", "reached by a NUL in the name"),
	ROW("emil@home\0example.org\0userPassword", "secret:1"),
#undef ROW
};

static char path[] = "/tmp/postern-sasldb-XXXXXX";
static char none[64];

static int set_up(void **state)
{
	char *at = mkdtemp(path);
	static char file[64];
	DB *db;

	assert_non_null(at);
	snprintf(file, sizeof(file), "%s/sasldb2", at);
	snprintf(none, sizeof(none), "%s/none", at);
	assert_int_equal(db_create(&db, NULL, 0), 0);
	assert_int_equal(db->open(db, NULL, file, NULL, DB_HASH, DB_CREATE, 0600), 0);
	for (size_t i = 0; i < BASE_COUNT(written); i++) {
		DBT key = {.data = (void *)written[i].key, .size = (u_int32_t)written[i].key_len};
		DBT data = {
			.data = (void *)written[i].data, .size = (u_int32_t)written[i].data_len};

		assert_int_equal(db->put(db, NULL, &key, &data, 0), 0);
	}
	assert_int_equal(db->close(db, 0), 0);
	*state = file;
	return 0;
}

static int tear_down(void **state)
{
	unlink(*state);
	rmdir(path);
	return 0;
}

static const struct {
	const char *name, *realm;
	enum vault_file_result expected;
	const char *stored, *out_name;
} rows[] = {
	{"anna@example.org", "", VAULT_FILE_KNOWN, "{PLAIN}tanstaaf", "anna@example.org"},
	{"anna", "example.org", VAULT_FILE_KNOWN, "{PLAIN}tanstaaf", "anna@example.org"},
	{"anna", "", VAULT_FILE_UNKNOWN, "", NULL},
	{"Anna@example.org", "", VAULT_FILE_UNKNOWN, "", NULL},
	{"anna@other.org", "example.org", VAULT_FILE_UNKNOWN, "", NULL},
	{"emil@home@example.org", "", VAULT_FILE_KNOWN, "{PLAIN}secret:1", "emil@home@example.org"},
	{"bob", "", VAULT_FILE_KNOWN, "{PLAIN}no realm", "bob@"},
	{"carl@example.org", "", VAULT_FILE_REFUSED, "", NULL},
	{"dora@example.org", "", VAULT_FILE_BROKEN, "", NULL},
	{"", "example.org", VAULT_FILE_UNKNOWN, "", NULL},
	{"@example.org", "", VAULT_FILE_UNKNOWN, "", NULL},
};

static void finds(void **state)
{
	struct vault_file_entry e;

	vault_file_entry_init(&e);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_error err = {0};
		enum vault_file_result result = vault_sasldb_find(*state,
			base_slice_text(rows[i].name), base_slice_text(rows[i].realm), &e, &err);

		if (result != rows[i].expected)
			fail_msg("%s: %d %s", rows[i].name, result, err.text);
		assert_string_equal(base_buf_text(&e.stored), rows[i].stored);
		if (rows[i].out_name)
			assert_string_equal(base_buf_text(&e.name), rows[i].out_name);
		assert_int_equal(err.class != 0, result == VAULT_FILE_BROKEN);
	}
	/* A NUL in a name would reach into what stands behind it. */
	assert_int_equal(
		vault_sasldb_find(*state, BASE_SLICE("x\0y@z"), BASE_SLICE_EMPTY, &e, NULL),
		VAULT_FILE_UNKNOWN);
	vault_file_entry_release(&e);
}

struct count {
	unsigned users, refused, stop_after;
};

static bool count_one(const struct vault_file_entry *e, void *arg)
{
	struct count *c = arg;

	assert_true(e->name.len > 0);
	assert_int_equal(e->reason == NULL, e->stored.len != 0);
	c->users++;
	c->refused += e->reason != NULL;
	return c->users != c->stop_after;
}

static void steps(void **state)
{
	struct count all = {0}, two = {.stop_after = 2};

	assert_int_equal(vault_sasldb_each(*state, count_one, &all, NULL), 0);
	assert_int_equal(all.users, 5);
	assert_int_equal(all.refused, 2);
	assert_int_equal(vault_sasldb_each(*state, count_one, &two, NULL), 0);
	assert_int_equal(two.users, 2);
}

static void no_such_file(void **state)
{
	struct vault_file_entry e;
	struct base_error err = {0};
	FILE *f;

	vault_file_entry_init(&e);
	assert_int_equal(
		vault_sasldb_find(none, BASE_SLICE("anna@e.org"), BASE_SLICE_EMPTY, &e, &err),
		VAULT_FILE_BROKEN);
	assert_int_equal(err.class, BASE_ERROR_NOT_FOUND);
	assert_int_equal(access(none, F_OK), -1);
	assert_int_equal(vault_sasldb_each(none, count_one, NULL, &err), BASE_ERROR_NOT_FOUND);
	/* Something else under that name. */
	f = fopen(none, "w");
	assert_non_null(f);
	for (unsigned i = 0; i < 3000; i++)
		fputs("anna:secret\n", f);
	fclose(f);
	assert_int_equal(
		vault_sasldb_find(none, BASE_SLICE("anna@e.org"), BASE_SLICE_EMPTY, &e, &err),
		VAULT_FILE_BROKEN);
	assert_int_equal(err.class, BASE_ERROR_CONFIG);
	unlink(none);
	vault_file_entry_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds),
		cmocka_unit_test(steps),
		cmocka_unit_test(no_such_file),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}

#else

static void lacking(void **state)
{
	struct base_error err = {0};
	struct vault_file_entry e;

	vault_file_entry_init(&e);
	assert_false(vault_sasldb_available());
	assert_int_equal(vault_sasldb_find("/x", BASE_SLICE("a"), BASE_SLICE_EMPTY, &e, &err),
		VAULT_FILE_BROKEN);
	assert_int_equal(err.class, BASE_ERROR_CONFIG);
	vault_file_entry_release(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(lacking)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
