/* The store's accounts: parts, replacing, and vaults of version 1. */
#include "vault/test_support.h"

#include "base/clock.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>

static struct base_buf part; /* of the last read() */

static int read_part(struct support_vault *v, const char *name, enum vault_account_part which)
{
	struct base_error err = {0};

	base_buf_release(&part);
	base_buf_init_secret(&part, VAULT_ACCOUNT_PART_MAX_BYTES);
	return vault_store_account_part_get(v->store, base_slice_text(name), which, &part, &err);
}

static int write_part(
	struct support_vault *v, const char *name, enum vault_account_part which, const char *value)
{
	struct base_error err = {0};

	return vault_store_account_part_put(
		v->store, base_slice_text(name), which, base_slice_text(value), &err);
}

static struct vault_account account(const char *name)
{
	struct vault_account a = {.kind = VAULT_ACCOUNT_OAUTH,
		.mechanisms = SASL_MASK(SASL_MECHANISM_XOAUTH2),
		.connections = 7,
		.rate_count = 100,
		.rate_s = 3600,
		.created_ms = 1700000000123};

	snprintf(a.name, sizeof(a.name), "%s", name);
	snprintf(a.url, sizeof(a.url), "smtps://smtp.example.org:465");
	snprintf(a.user, sizeof(a.user), "robot@example.org");
	snprintf(a.pin, sizeof(a.pin), "sha256:abc");
	return a;
}

static void put(struct support_vault *v, const char *name, bool replace, int expected)
{
	struct vault_account a = account(name);
	struct base_error err = {0};

	assert_int_equal(vault_store_account_put(v->store, &a, replace, &err), expected);
}

static struct vault_account get(struct support_vault *v, const char *name)
{
	struct vault_account a;
	struct base_error err = {0};

	if (vault_store_account_get(v->store, base_slice_text(name), &a, &err) != 0)
		fail_msg("%s", err.text);
	return a;
}

static void an_account_comes_back_as_it_was_put(void **state)
{
	struct support_vault *v = *state;
	struct vault_account a = account("google"), b;

	put(v, "google", false, 0);
	vault_store_close(&v->store);
	support_open(v);
	b = get(v, "google");
	assert_string_equal(b.name, a.name);
	assert_string_equal(b.url, a.url);
	assert_string_equal(b.user, a.user);
	assert_string_equal(b.pin, a.pin);
	assert_int_equal(b.kind, a.kind);
	assert_int_equal(b.mechanisms, a.mechanisms);
	assert_int_equal(b.connections, a.connections);
	assert_int_equal(b.rate_count, a.rate_count);
	assert_int_equal(b.rate_s, a.rate_s);
	assert_int_equal(b.created_ms, a.created_ms);
	assert_false(b.has_ca || b.has_certificate || b.has_token);
	put(v, "google", false, BASE_ERROR_EXISTS);
}

static void parts_come_and_go(void **state)
{
	static const char *const values[] = {"secret", "ca", "chain", "key", "token"};
	struct support_vault *v = *state;
	struct vault_account a;

	put(v, "google", false, 0);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++)
		assert_int_equal(read_part(v, "google", i), BASE_ERROR_NOT_FOUND);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++)
		assert_int_equal(write_part(v, "google", i, values[i]), 0);
	vault_store_close(&v->store);
	support_open(v);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++) {
		assert_int_equal(read_part(v, "google", i), 0);
		assert_true(base_slice_equal_text(base_buf_slice(&part), values[i]));
	}
	a = get(v, "google");
	assert_true(a.has_ca && a.has_certificate && a.has_token);
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_TOKEN, "token 2"), 0);
	assert_int_equal(read_part(v, "google", VAULT_ACCOUNT_TOKEN), 0);
	assert_true(base_slice_equal_text(base_buf_slice(&part), "token 2"));
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_TOKEN, ""), 0);
	assert_int_equal(read_part(v, "google", VAULT_ACCOUNT_TOKEN), BASE_ERROR_NOT_FOUND);
	assert_false(get(v, "google").has_token);
	assert_int_equal(write_part(v, "none", VAULT_ACCOUNT_TOKEN, "x"), BASE_ERROR_NOT_FOUND);
}

static void replacing_and_removing_drop_all_parts(void **state)
{
	struct support_vault *v = *state;
	struct base_error err = {0};

	put(v, "google", false, 0);
	put(v, "other", false, 0);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++) {
		assert_int_equal(write_part(v, "google", i, "x"), 0);
		assert_int_equal(write_part(v, "other", i, "y"), 0);
	}
	put(v, "google", true, 0);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++) {
		assert_int_equal(read_part(v, "google", i), BASE_ERROR_NOT_FOUND);
		assert_int_equal(read_part(v, "other", i), 0);
	}
	assert_int_equal(vault_store_account_remove(v->store, BASE_SLICE("other"), &err), 0);
	put(v, "other", false, 0);
	assert_int_equal(read_part(v, "other", VAULT_ACCOUNT_KEY), BASE_ERROR_NOT_FOUND);
}

static void a_rolled_back_replacement_leaves_the_old(void **state)
{
	struct support_vault *v = *state;
	struct base_error err = {0};

	put(v, "google", false, 0);
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_SECRET, "old"), 0);
	assert_int_equal(vault_store_begin(v->store, &err), 0);
	put(v, "google", true, 0);
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_SECRET, "new"), 0);
	vault_store_rollback(v->store);
	assert_int_equal(read_part(v, "google", VAULT_ACCOUNT_SECRET), 0);
	assert_true(base_slice_equal_text(base_buf_slice(&part), "old"));
}

static void long_parts(void **state)
{
	struct support_vault *v = *state;
	char *text = base_alloc_zero(1, VAULT_ACCOUNT_PART_MAX_BYTES + 2);

	put(v, "google", false, 0);
	memset(text, 'x', VAULT_ACCOUNT_PART_MAX_BYTES + 1);
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_SECRET, text), BASE_ERROR_PERMANENT);
	text[VAULT_ACCOUNT_PART_MAX_BYTES] = '\0';
	assert_int_equal(write_part(v, "google", VAULT_ACCOUNT_SECRET, text), 0);
	assert_int_equal(read_part(v, "google", VAULT_ACCOUNT_SECRET), 0);
	assert_int_equal(part.len, VAULT_ACCOUNT_PART_MAX_BYTES);
	free(text);
}

/* @sql on the file, past the store. */
static void sql(struct support_vault *v, const char *text)
{
	sqlite3 *db = NULL;
	char path[128], *why = NULL;

	snprintf(path, sizeof(path), "%s/vault.db", v->dir);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, text, NULL, NULL, &why) != SQLITE_OK)
		fail_msg("%s", why);
	sqlite3_close(db);
}

static void a_sealed_part_cannot_be_moved(void **state)
{
	struct support_vault *v = *state;

	put(v, "a", false, 0);
	put(v, "b", false, 0);
	assert_int_equal(write_part(v, "a", VAULT_ACCOUNT_SECRET, "mine"), 0);
	assert_int_equal(write_part(v, "a", VAULT_ACCOUNT_KEY, "mine"), 0);
	sql(v,
		"INSERT INTO account_part SELECT 'b', part, value FROM account_part;"
		"UPDATE account_part SET part = 4 WHERE account = 'a' AND part = 3");
	assert_int_equal(read_part(v, "a", VAULT_ACCOUNT_SECRET), 0);
	assert_int_equal(read_part(v, "b", VAULT_ACCOUNT_SECRET), BASE_ERROR_CONFIG);
	assert_int_equal(read_part(v, "b", VAULT_ACCOUNT_KEY), BASE_ERROR_CONFIG);
	assert_int_equal(read_part(v, "a", VAULT_ACCOUNT_TOKEN), BASE_ERROR_CONFIG);
	assert_int_equal(part.len, 0);
}

static bool file_has(struct support_vault *v, const char *file, const char *text)
{
	static uint8_t bytes[1 << 20];
	char path[128];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", v->dir, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return false;
	got = read(fd, bytes, sizeof(bytes));
	close(fd);
	return got > 0 && memmem(bytes, (size_t)got, text, strlen(text)) != NULL;
}

static void all_parts_but_the_ca_are_sealed(void **state)
{
	struct support_vault *v = *state;

	put(v, "google", false, 0);
	for (unsigned i = 0; i < VAULT_ACCOUNT_PART_COUNT; i++)
		assert_int_equal(write_part(v, "google", i,
					 i == VAULT_ACCOUNT_CA ? "PUBLICLYKNOWN" : "HIDDENWORDS"),
			0);
	vault_store_close(&v->store);
	assert_true(file_has(v, "vault.db", "PUBLICLYKNOWN"));
	assert_false(file_has(v, "vault.db", "HIDDENWORDS"));
	assert_false(file_has(v, "vault.db-wal", "HIDDENWORDS"));
	support_open(v);
}

/* As the first version of Postern made it. */
static const char version_1[] =
	"PRAGMA journal_mode = WAL;"
	"CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
	"CREATE TABLE user (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, name TEXT NOT NULL,"
	" disabled INTEGER NOT NULL, created BIGINT NOT NULL, changed BIGINT NOT NULL,"
	" expires BIGINT NOT NULL, mechanisms BIGINT NOT NULL, limit_per_hour BIGINT NOT NULL,"
	" hash TEXT NOT NULL DEFAULT '', secret BLOB);"
	"CREATE TABLE app (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES user(id)"
	" ON DELETE CASCADE, label TEXT NOT NULL, created BIGINT NOT NULL, changed BIGINT NOT NULL,"
	" expires BIGINT NOT NULL, mechanisms BIGINT NOT NULL, limit_per_hour BIGINT NOT NULL,"
	" hash TEXT NOT NULL DEFAULT '', secret BLOB, UNIQUE (user_id, label));"
	"CREATE TABLE scram (user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,"
	" app_id INTEGER NOT NULL, hash INTEGER NOT NULL, iterations BIGINT NOT NULL,"
	" salt BLOB NOT NULL, stored_key BLOB NOT NULL, server_key BLOB NOT NULL,"
	" PRIMARY KEY (user_id, app_id, hash)) WITHOUT ROWID;"
	"CREATE TABLE send_as (user_id INTEGER NOT NULL REFERENCES user(id) ON DELETE CASCADE,"
	" app_id INTEGER NOT NULL, address TEXT NOT NULL,"
	" PRIMARY KEY (user_id, app_id, address)) WITHOUT ROWID;"
	"CREATE TABLE account (name TEXT PRIMARY KEY, url TEXT NOT NULL, username TEXT NOT NULL,"
	" created BIGINT NOT NULL, secret BLOB NOT NULL) WITHOUT ROWID;"
	"PRAGMA user_version = 1;"
	"INSERT INTO user (key, name, disabled, created, changed, expires, mechanisms,"
	" limit_per_hour) VALUES ('anna', 'Anna', 0, 5, 6, 0, 0, 0);";

static const uint8_t old_key[BASE_SEAL_KEY_BYTES] = "0123456789abcdef0123456789abcde";

static void sealed_hex(const char *label, const char *plain, size_t len, char *out, size_t size)
{
	uint8_t nonce[BASE_SEAL_NONCE_BYTES] = {1};
	struct base_buf sealed;

	base_buf_init(&sealed, 256);
	assert_true(base_seal(base_slice_make(old_key, sizeof(old_key)),
		base_slice_make(nonce, sizeof(nonce)), base_slice_text(label),
		base_slice_make(plain, len), &sealed));
	for (size_t i = 0; i < sealed.len; i++)
		snprintf(out + 2 * i, size - 2 * i, "%02x", sealed.ptr[i]);
	base_buf_release(&sealed);
}

static void make_version_1(struct support_vault *v)
{
	char path[128], rows[2048], mock[256], good[256], bad[256];
	int fd;

	vault_store_close(&v->store);
	snprintf(path, sizeof(path), "%s/vault.db", v->dir);
	unlink(path);
	snprintf(path, sizeof(path), "%s/vault.key", v->dir);
	unlink(path);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, old_key, sizeof(old_key)), sizeof(old_key));
	close(fd);
	sealed_hex("meta:mock", (const char *)old_key, VAULT_MOCK_KEY_BYTES, mock, sizeof(mock));
	sealed_hex("account:google", "geheim", 6, good, sizeof(good));
	sealed_hex("account:elsewhere", "geheim", 6, bad, sizeof(bad));
	snprintf(rows, sizeof(rows),
		"INSERT INTO meta VALUES ('mock', x'%s');"
		"INSERT INTO account VALUES ('google', 'smtp://a:587', 'robot', 77, x'%s');"
		"INSERT INTO account VALUES ('torn', 'smtp://b', 'robot', 78, x'%s');",
		mock, good, bad);
	sql(v, version_1);
	sql(v, rows);
}

static void a_vault_of_version_1_keeps_its_accounts(void **state)
{
	struct support_vault *v = *state;
	struct vault_counts counts;
	struct base_error err = {0};
	struct vault_account a;

	make_version_1(v);
	for (int round = 0; round < 2; round++) {
		support_open(v);
		a = get(v, "google");
		assert_string_equal(a.url, "smtp://a:587");
		assert_string_equal(a.user, "robot");
		assert_int_equal(a.kind, VAULT_ACCOUNT_PASSWORD);
		assert_int_equal(a.mechanisms, 0);
		assert_int_equal(a.created_ms, 77);
		assert_string_equal(a.pin, "");
		assert_false(a.has_ca || a.has_certificate || a.has_token);
		assert_int_equal(read_part(v, "google", VAULT_ACCOUNT_SECRET), 0);
		assert_true(base_slice_equal_text(base_buf_slice(&part), "geheim"));
		/* One whose password does not open stands in nobody's way. */
		assert_int_equal(read_part(v, "torn", VAULT_ACCOUNT_SECRET), BASE_ERROR_CONFIG);
		assert_int_equal(vault_store_counts(v->store, &counts, &err), 0);
		assert_int_equal(counts.users, 1);
		assert_int_equal(counts.accounts, 2);
		vault_store_close(&v->store);
	}
	support_open(v);
}

static void a_later_version_is_left_alone(void **state)
{
	struct vault_store_options options = {.busy_ms = 1000};
	struct support_vault *v = *state;
	struct base_error err = {0};

	vault_store_close(&v->store);
	sql(v, "PRAGMA user_version = 3");
	options.data_dir = v->dir;
	assert_int_equal(vault_store_open(&v->store, &options, &err), BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "another version"));
	sql(v, "PRAGMA user_version = 2");
	support_open(v);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_set_up, support_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_account_comes_back_as_it_was_put),
		TEST(parts_come_and_go),
		TEST(replacing_and_removing_drop_all_parts),
		TEST(a_rolled_back_replacement_leaves_the_old),
		TEST(long_parts),
		TEST(a_sealed_part_cannot_be_moved),
		TEST(all_parts_but_the_ca_are_sealed),
		TEST(a_vault_of_version_1_keeps_its_accounts),
		TEST(a_later_version_is_left_alone),
	};
	int failed = cmocka_run_group_tests(tests, NULL, NULL);

	base_buf_release(&part);
	return failed;
}
