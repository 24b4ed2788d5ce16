/* user import: what each stored form becomes, what is left alone, and entries that are broken. */
#include "vault/test_support.h"

#include "base/clock.h"
#include "vault/admin.h"
#include "vault/verify.h"

#include <jansson.h>

#define NOW_MS 1795532400000
#define MD5 "$1$saltsalt$roN2lUfEbZqZad1NpG.Zy1" /* tanstaaf */
#define SCRAM \
	"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==," \
	"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=," \
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

static const sasl_mechanism_mask mask = SASL_MASK(SASL_MECHANISM_PLAIN) |
	SASL_MASK(SASL_MECHANISM_CRAM_MD5) | SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256);

static char told[512], argument[] = "arg";

static void imported(const char *name, void *arg)
{
	assert_string_equal(arg, "arg");
	strncat(told, name, sizeof(told) - strlen(told) - 2);
	strcat(told, " ");
}

static void put(struct base_buf *out, const char *name, const char *stored)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct vault_credentials c;

	if (!stored) {
		assert_true(vault_admin_import_put(out, base_slice_text(name), NULL));
		return;
	}
	base_random_fill(random, sizeof(random));
	vault_credentials_init(&c);
	assert_int_equal(
		vault_admin_import_credentials(base_slice_text(stored), mask, random, &c, NULL), 0);
	assert_true(vault_admin_import_put(out, base_slice_text(name), &c));
	vault_credentials_release(&c);
}

/* The results, joined by blanks. */
static int import(struct support_vault *v, const char *option, struct base_slice entries,
	char *out_results, size_t size)
{
	struct base_slice words[] = {
		BASE_SLICE("user"), BASE_SLICE("import"), base_slice_text(option)};
	struct vault_admin_request req = {words, option[0] ? 3 : 2, entries};
	struct vault_admin_env env = {.store = v->store,
		.now_ms = NOW_MS,
		.default_domain = BASE_SLICE("example.org"),
		.mechanisms = mask,
		.imported = imported,
		.arg = argument};
	struct base_error err = {0};
	struct base_buf out;
	json_t *json, *one;
	size_t i;
	int rc;

	told[0] = out_results[0] = '\0';
	base_buf_init(&out, 1 << 20);
	rc = vault_admin_run(&env, &req, &out, &err);
	if (rc == 0) {
		json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
		assert_int_equal(json_integer_value(json_object_get(json, "mask")), mask);
		json_array_foreach(json_object_get(json, "results"), i, one)
		{
			size_t len = strlen(out_results);

			snprintf(out_results + len, size - len, "%s%s", len ? " " : "",
				json_string_value(one));
		}
		json_decref(json);
	}
	base_buf_release(&out);
	return rc;
}

static struct vault_user user_of(struct support_vault *v, const char *name)
{
	struct vault_user user;
	struct vault_key key;

	assert_true(vault_key_make(base_slice_text(name), BASE_SLICE_EMPTY, &key));
	assert_int_equal(vault_store_user_get(v->store, &key, &user, NULL), 0);
	return user;
}

static void forms(void **state)
{
	struct support_vault *v = *state;
	struct vault_user user;
	struct base_buf entries;
	char results[1024];

	base_buf_init_secret(&entries, 1 << 20);
	put(&entries, "Anna", "{PLAIN}geheim");
	put(&entries, "bob@other.org", MD5);
	put(&entries, "carl", SCRAM);
	assert_int_equal(import(v, "", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "added added added");
	assert_string_equal(told, "anna@example.org bob@other.org carl@example.org ");
	user = user_of(v, "anna@example.org");
	assert_int_equal(vault_user_missing(&user, mask), 0);
	assert_int_equal(user.created_ms, NOW_MS);
	assert_int_equal(vault_verify(base_slice_text(user.hash), BASE_SLICE("geheim"), NULL),
		VAULT_VERIFY_RIGHT);
	user = user_of(v, "bob@other.org");
	assert_string_equal(user.hash, MD5);
	assert_int_equal(vault_user_missing(&user, mask),
		SASL_MASK(SASL_MECHANISM_CRAM_MD5) | SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256));
	user = user_of(v, "carl@example.org");
	assert_int_equal(vault_user_missing(&user, mask), SASL_MASK(SASL_MECHANISM_CRAM_MD5));
	assert_int_equal(user.scram[BASE_HASH_SHA256].iterations, 4096);
	assert_int_equal(vault_verify(base_slice_text(user.hash), BASE_SLICE("pencil"), NULL),
		VAULT_VERIFY_RIGHT);
	base_buf_release(&entries);
}

static void existing(void **state)
{
	struct support_vault *v = *state;
	struct base_buf entries;
	char results[1024];

	base_buf_init_secret(&entries, 1 << 20);
	put(&entries, "anna", "{PLAIN}geheim");
	assert_int_equal(import(v, "", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "added");
	base_buf_clear(&entries);
	put(&entries, "ANNA@example.org", MD5);
	put(&entries, "bob", MD5);
	assert_int_equal(
		import(v, "dry-run=1", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "exists added");
	assert_string_equal(told, "");
	assert_int_equal(import(v, "", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "exists added");
	assert_string_equal(told, "bob@example.org ");
	assert_true(user_of(v, "anna@example.org").has_secret);
	assert_int_equal(
		import(v, "replace=1", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "changed changed");
	assert_string_equal(user_of(v, "anna@example.org").hash, MD5);
	assert_false(user_of(v, "anna@example.org").has_secret);
	/* Names alone are enough to ask, and not to import. */
	base_buf_clear(&entries);
	put(&entries, "anna", NULL);
	put(&entries, "zoe", NULL);
	assert_int_equal(
		import(v, "dry-run=1", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "exists added");
	assert_int_equal(import(v, "", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results, "a password is needed a password is needed");
	base_buf_release(&entries);
}

static void broken(void **state)
{
	struct support_vault *v = *state;
	struct vault_credentials c;
	struct base_buf entries;
	char results[1024];

	assert_int_equal(import(v, "", BASE_SLICE_EMPTY, results, sizeof(results)), 0);
	assert_string_equal(results, "");
	base_buf_init_secret(&entries, 1 << 20);
	put(&entries, "good", MD5);
	for (size_t len = 1; len < entries.len; len++) {
		assert_int_equal(
			import(v, "", base_slice_make(entries.ptr, len), results, sizeof(results)),
			BASE_ERROR_PERMANENT);
		assert_string_equal(told, "");
	}
	/* One bad entry leaves the others alone; a cut one takes all with it. */
	put(&entries, "bad\1name", MD5);
	vault_credentials_init(&c);
	strcpy(c.hash, "clear text");
	assert_true(vault_admin_import_put(&entries, BASE_SLICE("bare"), &c));
	c.hash[0] = '\0';
	assert_true(vault_admin_import_put(&entries, BASE_SLICE("none"), &c));
	vault_credentials_release(&c);
	assert_int_equal(import(v, "", base_slice_make(entries.ptr, entries.len - 1), results,
				 sizeof(results)),
		BASE_ERROR_PERMANENT);
	assert_int_equal(import(v, "", base_buf_slice(&entries), results, sizeof(results)), 0);
	assert_string_equal(results,
		"added not a name; 1 to 255 bytes of UTF-8 without controls are "
		"the stored password is no hash that is known "
		"the stored password is no hash that is known");
	assert_string_equal(told, "good@example.org ");
	base_buf_release(&entries);
}

static void refused_forms(void **state)
{
	static const char *const stored[] = {
		"secret", "", "{PLAIN}", "*", "{NOPE}x", "$1$x", "{PLAIN}\xff\xfe"};
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = {0};

	for (size_t i = 0; i < BASE_COUNT(stored); i++) {
		struct vault_credentials c;
		struct base_error err = {0};

		vault_credentials_init(&c);
		if (vault_admin_import_credentials(base_slice_text(stored[i]), mask, random, &c,
			    &err) != BASE_ERROR_PERMANENT)
			fail_msg("%s", stored[i]);
		assert_true(err.text[0]);
		vault_credentials_release(&c);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, support_set_up, support_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(forms),
		TEST(existing),
		TEST(broken),
		cmocka_unit_test(refused_forms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
