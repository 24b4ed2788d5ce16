/* Commands on a vault in a directory of its own, and the store behind them. */
#include "vault/test_support.h"

#include "base/clock.h"
#include "vault/admin.h"
#include "vault/verify.h"

#include <jansson.h>
#include <sys/stat.h>

#define NOW_MS 1795532400000

static const sasl_mechanism_mask usual = SASL_MASK(SASL_MECHANISM_PLAIN) |
	SASL_MASK(SASL_MECHANISM_LOGIN) | SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256) |
	SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256_PLUS);

struct answer {
	int rc;
	json_t *json;
	struct base_error err;
};

static size_t split(const char *words, struct base_slice *out)
{
	struct base_slice rest = base_slice_text(words);
	size_t count = 0;

	while (count < 16 && base_slice_split(&rest, ' ', &out[count]))
		count++;
	return count;
}

static struct answer run(struct support_vault *v, const char *text, struct base_slice secret)
{
	struct base_slice words[16];
	struct vault_admin_request req = {words, split(text, words), secret};
	struct vault_admin_env env = {v->store, NOW_MS, BASE_SLICE("example.org"), usual};
	struct answer a = {0, NULL, {0}};
	struct base_buf out;

	base_buf_init(&out, 1 << 20);
	a.rc = vault_admin_run(&env, &req, &out, &a.err);
	if (a.rc == 0)
		a.json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
	assert_int_equal(a.rc == 0, a.json != NULL);
	base_buf_release(&out);
	return a;
}

static void ok(struct support_vault *v, const char *text, const char *secret)
{
	struct answer a = run(v, text, base_slice_text(secret));

	if (a.rc != 0)
		fail_msg("%s: %s", text, a.err.text);
	json_decref(a.json);
}

static void refused(
	struct support_vault *v, const char *text, const char *secret, int class, const char *why)
{
	struct answer a = run(v, text, base_slice_text(secret));

	if (a.rc != class || !strstr(a.err.text, why))
		fail_msg("%s: %d %s", text, a.rc, a.err.text);
}

/* As a command does it: needs, prepare, request. */
static struct answer change(struct support_vault *v, const char *verb, const char *rest,
	const char *password, char *out_generated)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct base_slice words[16];
	struct vault_admin_request req = {words, 0, BASE_SLICE_EMPTY};
	struct base_secret generated;
	struct base_buf secret;
	struct answer a;
	char text[256], *space;

	snprintf(text, sizeof(text), "user needs %s", rest);
	space = strchr(text + 11, ' ');
	snprintf(text, sizeof(text), "user needs %.*s verb=%s%s",
		space ? (int)(space - text - 11) : (int)strlen(rest), rest, verb,
		strchr(rest, ' ') ? strchr(rest, ' ') : "");
	a = run(v, text, BASE_SLICE_EMPTY);
	if (a.rc != 0)
		return a;
	base_random_fill(random, sizeof(random));
	base_buf_init_secret(&secret, VAULT_CREDENTIALS_ENCODED_MAX_BYTES);
	base_secret_init(&generated, 128);
	snprintf(text, sizeof(text), "user %s %s", verb, rest);
	req.word_count = split(text, words);
	a.rc = vault_admin_prepare(&req,
		(sasl_mechanism_mask)json_integer_value(json_object_get(a.json, "mask")),
		base_slice_text(password), random, &secret, &generated, &a.err);
	json_decref(a.json);
	a.json = NULL;
	if (a.rc == 0)
		a = run(v, text, base_buf_slice(&secret));
	if (out_generated)
		snprintf(
			out_generated, 64, "%.*s", (int)generated.len, (const char *)generated.ptr);
	base_secret_release(&generated);
	base_buf_release(&secret);
	return a;
}

static void change_ok(
	struct support_vault *v, const char *verb, const char *rest, const char *password)
{
	struct answer a = change(v, verb, rest, password, NULL);

	if (a.rc != 0)
		fail_msg("%s %s: %s", verb, rest, a.err.text);
	json_decref(a.json);
}

static void expect_test(
	struct support_vault *v, const char *name, const char *password, const char *result)
{
	struct answer a;
	char text[128];

	snprintf(text, sizeof(text), "user test %s", name);
	a = run(v, text, base_slice_text(password));
	assert_int_equal(a.rc, 0);
	assert_string_equal(json_string_value(json_object_get(a.json, "result")), result);
	json_decref(a.json);
}

static void life_of_a_user(void **state)
{
	struct support_vault *v = *state;
	struct answer a;

	change_ok(v, "add", "Anna send-as=anna@other.example send-as=@third.example limit=100/hour",
		"geheim");
	expect_test(v, "anna@example.org", "geheim", "ok");
	expect_test(v, "ANNA", "Geheim", "rejected");
	a = change(v, "add", "anna", "x", NULL);
	assert_int_equal(a.rc, BASE_ERROR_EXISTS);
	a = run(v, "user show anna", BASE_SLICE_EMPTY);
	assert_string_equal(json_string_value(json_object_get(a.json, "name")), "anna@example.org");
	assert_string_equal(json_string_value(json_object_get(a.json, "limit")), "100/hour");
	assert_int_equal(json_array_size(json_object_get(a.json, "send_as")), 2);
	assert_int_equal(json_array_size(json_object_get(a.json, "mechanisms")), 4);
	assert_string_equal(
		json_string_value(json_object_get(a.json, "created")), "2026-11-24T15:00:00Z");
	json_decref(a.json);
	change_ok(v, "passwd", "anna", "neu");
	expect_test(v, "anna", "geheim", "rejected");
	expect_test(v, "anna", "neu", "ok");
	change_ok(v, "passwd", "anna disable=1", "");
	expect_test(v, "anna", "neu", "rejected");
	change_ok(v, "passwd", "anna enable=1 send-as=", "");
	expect_test(v, "anna", "neu", "ok");
	ok(v, "user remove anna", "");
	refused(v, "user show anna", "", BASE_ERROR_NOT_FOUND, "none of this name");
	refused(v, "user remove anna", "", BASE_ERROR_NOT_FOUND, "none of this name");
}

static void life_of_an_app_password(void **state)
{
	struct support_vault *v = *state;
	char generated[64], other[64];
	struct answer a;

	change_ok(v, "add", "anna", "geheim");
	a = change(v, "add", "anna app=printer expires=2026-12-31 limit=5", "", generated);
	assert_int_equal(a.rc, 0);
	json_decref(a.json);
	assert_int_equal(strlen(generated), VAULT_APP_PASSWORD_CHARS);
	expect_test(v, "anna", generated, "ok");
	expect_test(v, "anna", "geheim", "ok");
	a = change(v, "add", "anna app=printer", "", other);
	assert_int_equal(a.rc, BASE_ERROR_EXISTS);
	a = change(v, "passwd", "anna app=printer", "", other);
	assert_int_equal(a.rc, 0);
	json_decref(a.json);
	expect_test(v, "anna", generated, "rejected");
	expect_test(v, "anna", other, "ok");
	a = run(v, "user list", BASE_SLICE_EMPTY);
	assert_string_equal(
		json_string_value(json_array_get(
			json_object_get(
				json_array_get(json_object_get(a.json, "users"), 0), "apps"),
			0)),
		"printer");
	json_decref(a.json);
	ok(v, "user remove anna app=printer", "");
	expect_test(v, "anna", other, "rejected");
	expect_test(v, "anna", "geheim", "ok");
	refused(v, "user remove anna app=printer", "", BASE_ERROR_NOT_FOUND, "label");
}

static void secrets_are_kept_only_where_chosen_and_sealed(void **state)
{
	struct support_vault *v = *state;
	struct vault_user user;
	struct vault_key key;
	struct base_secret secret;
	struct base_error err;
	char path[128], command[512];

	base_secret_init(&secret, 1024);
	change_ok(v, "add", "anna", "einGeheimnis1");
	change_ok(v, "add", "bert mechanisms=cram-md5,PLAIN", "einGeheimnis2");
	assert_true(vault_key_make(BASE_SLICE("anna"), BASE_SLICE("example.org"), &key));
	assert_int_equal(vault_store_user_get(v->store, &key, &user, &err), 0);
	assert_int_equal(
		vault_store_user_secret(v->store, &user, &secret, &err), BASE_ERROR_NOT_FOUND);
	assert_true(vault_key_make(BASE_SLICE("bert"), BASE_SLICE("example.org"), &key));
	assert_int_equal(vault_store_user_get(v->store, &key, &user, &err), 0);
	assert_int_equal(vault_store_user_secret(v->store, &user, &secret, &err), 0);
	assert_true(base_slice_equal_text(base_secret_slice(&secret), "einGeheimnis2"));
	base_secret_release(&secret);
	snprintf(path, sizeof(path), "%s/vault.db", v->dir);
	snprintf(command, sizeof(command), "! cat %s %s-wal | grep -q -a einGeheimnis", path, path);
	assert_int_equal(system(command), 0);
}

static void a_new_password_leaves_nothing_of_the_old(void **state)
{
	struct support_vault *v = *state;
	struct answer a;

	change_ok(v, "add", "anna mechanisms=SCRAM-SHA-256,CRAM-MD5,PLAIN", "alt");
	change_ok(v, "passwd", "anna mechanisms=PLAIN", "neu");
	a = run(v, "user show anna", BASE_SLICE_EMPTY);
	assert_int_equal(json_array_size(json_object_get(a.json, "stored")), 2); /* and LOGIN */
	json_decref(a.json);
}

static void list_without_a_mechanism(void **state)
{
	struct support_vault *v = *state;
	struct answer a;
	json_t *users;

	change_ok(v, "add", "anna", "x");
	change_ok(v, "add", "bert mechanisms=PLAIN", "x");
	a = run(v, "user list without=SCRAM-SHA-256", BASE_SLICE_EMPTY);
	users = json_object_get(a.json, "users");
	assert_int_equal(json_array_size(users), 1);
	assert_string_equal(json_string_value(json_object_get(json_array_get(users, 0), "name")),
		"bert@example.org");
	json_decref(a.json);
	refused(v, "user list without=ROT13", "", BASE_ERROR_PERMANENT, "not a mechanism");
}

static void bad_words(void **state)
{
	struct support_vault *v = *state;

	refused(v, "", "", BASE_ERROR_PERMANENT, "not a command");
	refused(v, "user", "", BASE_ERROR_PERMANENT, "missing");
	refused(v, "user dance anna", "", BASE_ERROR_PERMANENT, "not a command");
	refused(v, "user add anna mechanisms=ROT13", "", BASE_ERROR_PERMANENT, "ROT13");
	refused(v, "user add anna send-as=nobody", "", BASE_ERROR_PERMANENT, "not an address");
	refused(v, "user add anna limit=many", "", BASE_ERROR_PERMANENT, "100/hour");
	refused(v, "user add anna expires=soon", "", BASE_ERROR_PERMANENT, "2027-01-31");
	refused(v, "user add anna colour=red", "", BASE_ERROR_PERMANENT, "colour");
	refused(v, "user add anna", "rubbish", BASE_ERROR_PERMANENT, "credentials");
	refused(v, "user add anna", "", BASE_ERROR_PERMANENT, "password is needed");
	refused(v, "user add a\tb", "", BASE_ERROR_PERMANENT, "not a name");
	refused(v, "user needs nobody verb=passwd", "", BASE_ERROR_NOT_FOUND, "none of this name");
	refused(v, "user needs anna verb=add app=x", "", BASE_ERROR_NOT_FOUND, "none of this name");
}

static void everything_is_there_after_reopening(void **state)
{
	struct support_vault *v = *state;
	uint8_t mock[VAULT_MOCK_KEY_BYTES];

	change_ok(v, "add", "anna", "geheim");
	memcpy(mock, vault_store_mock_key(v->store), sizeof(mock));
	vault_store_close(&v->store);
	support_open(v);
	assert_memory_equal(mock, vault_store_mock_key(v->store), sizeof(mock));
	expect_test(v, "anna", "geheim", "ok");
}

static void files_are_private(void **state)
{
	static const char *const names[] = {"vault.db", "vault.key", "vault.db-wal"};
	struct support_vault *v = *state;
	struct stat st;
	char path[128];

	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", v->dir, names[i]);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 0777, 0600);
	}
}

static void a_lost_or_foreign_key_is_noticed(void **state)
{
	struct support_vault *v = *state;
	struct vault_store_options options = {.data_dir = v->dir, .busy_ms = 100};
	struct base_error err;
	char path[128];
	FILE *file;

	vault_store_close(&v->store);
	snprintf(path, sizeof(path), "%s/vault.key", v->dir);
	unlink(path);
	assert_int_equal(vault_store_open(&v->store, &options, &err), BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "missing"));
	file = fopen(path, "w");
	chmod(path, 0600);
	fputs("0123456789abcdef0123456789abcdef", file);
	fclose(file);
	assert_int_equal(vault_store_open(&v->store, &options, &err), BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "does not open"));
	chmod(path, 0644);
	assert_int_equal(vault_store_open(&v->store, &options, &err), BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "chmod 600"));
}

static void upgraded_credentials_keep_the_rest(void **state)
{
	static const uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = "r";
	struct support_vault *v = *state;
	struct vault_credentials c;
	struct vault_user user;
	struct vault_key key;
	char hash[VAULT_HASH_MAX_BYTES + 1];

	change_ok(v, "add", "anna", "geheim");
	assert_true(vault_key_make(BASE_SLICE("anna@example.org"), BASE_SLICE_EMPTY, &key));
	assert_int_equal(vault_store_user_get(v->store, &key, &user, NULL), 0);
	memcpy(hash, user.hash, sizeof(hash));
	vault_credentials_init(&c);
	assert_int_equal(vault_credentials_derive(BASE_SLICE("geheim"),
				 SASL_MASK(SASL_MECHANISM_SCRAM_SHA_1), random, &c, NULL),
		0);
	c.hash[0] = '\0';
	assert_int_equal(
		vault_store_credentials_put(v->store, &user, &key, &c, true, NOW_MS, NULL), 0);
	assert_int_equal(vault_store_user_get(v->store, &key, &user, NULL), 0);
	assert_string_equal(user.hash, hash);
	assert_int_equal(user.scram[BASE_HASH_SHA1].iterations, 4096);
	assert_int_equal(user.scram[BASE_HASH_SHA256].iterations, 4096);
	vault_credentials_release(&c);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, support_set_up, support_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(life_of_a_user),
		TEST(life_of_an_app_password),
		TEST(secrets_are_kept_only_where_chosen_and_sealed),
		TEST(a_new_password_leaves_nothing_of_the_old),
		TEST(list_without_a_mechanism),
		TEST(bad_words),
		TEST(everything_is_there_after_reopening),
		TEST(files_are_private),
		TEST(a_lost_or_foreign_key_is_noticed),
		TEST(upgraded_credentials_keep_the_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
