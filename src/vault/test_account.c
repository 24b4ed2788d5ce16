/* The commands account …: what is taken, what is refused, and one list of vault and sections. */
#include "vault/test_support.h"

#include "vault/admin.h"
#include "vault/oauth.h"
#include "vault/test_keys.h"

#define NOW_MS 1795532400000
#define PIN_UPPER "0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF0123456789ABCDEF"
#define PIN "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct vault_admin_section sections[] = {
	{.name = "whole",
		.url = "smtps://whole.example.org:465",
		.user = "section",
		.pin = "sha256:section",
		.mechanisms = SASL_MASK(SASL_MECHANISM_PLAIN),
		.connections = 9,
		.rate_count = 5,
		.rate_s = 60,
		.has_ca = true,
		.has_certificate = true},
	{.name = "url-only", .url = "smtp://half.example.org"},
	{.name = "bare"},
};

struct answer {
	int rc;
	json_t *json;
	struct base_error err;
};

static json_t *token_of(const char *account, void *arg)
{
	return strcmp(account, "torn") == 0
		? NULL
		: json_pack("{s:s,s:s}", "state", "valid", "of", account);
}

static struct answer run(struct support_vault *v, const char *text, struct base_slice secret)
{
	struct base_slice words[16], rest = base_slice_text(text);
	struct vault_admin_request req = {words, 0, secret};
	struct vault_admin_env env = {.store = v->store,
		.now_ms = NOW_MS,
		.sections = sections,
		.section_count = BASE_COUNT(sections),
		.token = token_of};
	struct answer a = {0, NULL, {0}};
	struct base_buf out;

	while (req.word_count < 16 && base_slice_split(&rest, ' ', &words[req.word_count]))
		req.word_count++;
	base_buf_init(&out, 1 << 20);
	a.rc = vault_admin_run(&env, &req, &out, &a.err);
	if (a.rc == 0)
		a.json = json_loadb((const char *)out.ptr, out.len, 0, NULL);
	assert_int_equal(a.rc == 0, a.json != NULL);
	base_buf_release(&out);
	return a;
}

/* The parts of the next request: null ends. */
struct part {
	enum vault_account_part part;
	const char *value;
};

static struct answer run_parts(struct support_vault *v, const char *text, const struct part *parts)
{
	struct base_buf secret;
	struct answer a;

	base_buf_init_secret(&secret, 1 << 18);
	for (; parts->value; parts++)
		assert_true(vault_admin_account_secret_put(
			&secret, parts->part, base_slice_text(parts->value)));
	a = run(v, text, base_buf_slice(&secret));
	base_buf_release(&secret);
	return a;
}

#define PARTS(...) ((const struct part[]){__VA_ARGS__, {0, NULL}})
#define PASSWORD(text) PARTS({VAULT_ACCOUNT_SECRET, text})
#define NOTHING ((const struct part[]){{0, NULL}})

static void ok(struct support_vault *v, const char *text, const struct part *parts)
{
	struct answer a = run_parts(v, text, parts);

	if (a.rc != 0)
		fail_msg("%s: %s", text, a.err.text);
	json_decref(a.json);
}

static void refused(struct support_vault *v, const char *text, const struct part *parts, int class,
	const char *why)
{
	struct answer a = run_parts(v, text, parts);

	json_decref(a.json);
	if (a.rc != class || !strstr(a.err.text, why))
		fail_msg("%s: %d %s", text, a.rc, a.err.text);
}

#define BAD(text, parts, why) refused(v, text, parts, BASE_ERROR_PERMANENT, why)
#define URL "url=smtps://a.example.org:465 user=u"

static void assert_part(struct support_vault *v, const char *name, enum vault_account_part part,
	const char *expected)
{
	struct base_error err = {0};
	struct base_buf out;
	int rc;

	base_buf_init_secret(&out, VAULT_ACCOUNT_PART_MAX_BYTES);
	rc = vault_store_account_part_get(v->store, base_slice_text(name), part, &out, &err);
	assert_int_equal(rc, expected ? 0 : BASE_ERROR_NOT_FOUND);
	if (expected)
		assert_true(base_slice_equal_text(base_buf_slice(&out), expected));
	base_buf_release(&out);
}

static void life_of_an_account(void **state)
{
	struct support_vault *v = *state;
	struct answer a;

	ok(v, "account add google url=smtps://smtp.gmail.com:465 user=robot@example.org",
		PASSWORD("pw"));
	refused(v, "account add google " URL, PASSWORD("pw"), BASE_ERROR_EXISTS, "exists already");
	assert_part(v, "google", VAULT_ACCOUNT_SECRET, "pw");
	a = run_parts(v, "account add google " URL " replace=1", PASSWORD("pw2"));
	assert_string_equal(json_string_value(json_object_get(a.json, "done")), "changed");
	json_decref(a.json);
	a = run_parts(v, "account add new " URL " replace=1", PASSWORD("pw2"));
	assert_string_equal(json_string_value(json_object_get(a.json, "done")), "added");
	json_decref(a.json);
	assert_part(v, "google", VAULT_ACCOUNT_SECRET, "pw2");
	ok(v, "account remove google", NOTHING);
	refused(v, "account remove google", NOTHING, BASE_ERROR_NOT_FOUND, "none of this name");
	refused(v, "account remove whole", NOTHING, BASE_ERROR_NOT_FOUND, "section");
	refused(v, "account show google", NOTHING, BASE_ERROR_NOT_FOUND, "none of this name");
}

static void bad_options(void **state)
{
	struct support_vault *v = *state;
	char pin[300];

	BAD("account add x url=http://a user=r", PASSWORD("pw"), "smtp://");
	BAD("account add x user=r", PASSWORD("pw"), "smtp://");
	BAD("account add x url=smtp://a", PASSWORD("pw"), "--user");
	BAD("account add x url=smtp://a user=a\tb", PASSWORD("pw"), "--user");
	BAD("account add a/b " URL, PASSWORD("pw"), "not a name");
	BAD("account add x " URL " kind=magic", PASSWORD("pw"), "certificate");
	BAD("account add x " URL " connections=0", PASSWORD("pw"), "1 to 64");
	BAD("account add x " URL " connections=65", PASSWORD("pw"), "1 to 64");
	BAD("account add x " URL " connections=-1", PASSWORD("pw"), "1 to 64");
	BAD("account add x " URL " rate=10", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " rate=0/hour", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " rate=/hour", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " rate=1/week", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " rate=1/hour/2", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " rate=4294967296/day", PASSWORD("pw"), "100/hour");
	BAD("account add x " URL " pin=sha1:00", PASSWORD("pw"), "sha256:");
	BAD("account add x " URL " pin=sha256:", PASSWORD("pw"), "sha256:");
	BAD("account add x " URL " pin=sha256:" PIN "0", PASSWORD("pw"), "sha256:");
	BAD("account add x " URL " pin=sha256:" PIN "00", PASSWORD("pw"), "sha256:");
	snprintf(pin, sizeof(pin), "account add x " URL " pin=sha256:%.63sg", PIN);
	BAD(pin, PASSWORD("pw"), "sha256:");
	snprintf(pin, sizeof(pin), "account add x " URL " pin=sha256:%.63s", PIN);
	BAD(pin, PASSWORD("pw"), "sha256:");
	snprintf(pin, sizeof(pin), "account add x " URL " pin=sha256:%0200d", 0);
	BAD(pin, PASSWORD("pw"), "sha256:");
	snprintf(pin, sizeof(pin), "account add x " URL " pin=sha256:01:%s", &PIN[2]);
	BAD(pin, PASSWORD("pw"), "sha256:");
	BAD("account add x " URL " limit=1/hour", PASSWORD("pw"), "for users only");
	BAD("account add x " URL " app=y", PASSWORD("pw"), "for users only");
	BAD("account add x " URL " mechanisms=ROT13", PASSWORD("pw"), "ROT13");
	BAD("account add x " URL " mechanisms=XOAUTH2", PASSWORD("pw"), "password does not serve");
	BAD("account add x " URL " mechanisms=PLAIN,EXTERNAL", PASSWORD("pw"), "does not serve");
	BAD("account add x " URL " mechanisms=PLAIN kind=oauth", PASSWORD("{}"), "XOAUTH2 alone");
	BAD("account add x " URL " mechanisms=PLAIN kind=certificate", NOTHING, "EXTERNAL alone");
	/* Nothing of all that was kept. */
	refused(v, "account remove x", NOTHING, BASE_ERROR_NOT_FOUND, "none of this name");
}

static void all_options_are_kept(void **state)
{
	struct support_vault *v = *state;
	struct vault_account a;
	struct base_error err;
	char text[400];
	size_t len;

	ok(v,
		"account add x " URL " kind=password mechanisms=PLAIN,SCRAM-SHA-256,DIGEST-MD5"
		" connections=64 rate=7/minute pin=SHA256:" PIN,
		PASSWORD("pw"));
	assert_int_equal(vault_store_account_get(v->store, BASE_SLICE("x"), &a, &err), 0);
	assert_int_equal(a.mechanisms,
		SASL_MASK(SASL_MECHANISM_PLAIN) | SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256) |
			SASL_MASK(SASL_MECHANISM_DIGEST_MD5));
	assert_int_equal(a.connections, 64);
	assert_int_equal(a.rate_count, 7);
	assert_int_equal(a.rate_s, 60);
	assert_string_equal(a.pin, "sha256:" PIN);
	len = (size_t)snprintf(text, sizeof(text), "account add y " URL " pin=sha256:");
	for (size_t i = 0; i < 32; i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%.2s", i ? ":" : "", &PIN_UPPER[2 * i]);
	ok(v, text, PASSWORD("pw"));
	assert_int_equal(vault_store_account_get(v->store, BASE_SLICE("y"), &a, &err), 0);
	assert_string_equal(a.pin, "sha256:" PIN);
}

static void secrets_of_passwords(void **state)
{
	struct support_vault *v = *state;
	char *longest = base_alloc_zero(1, BASE_SECRET_PASSWORD_MAX_BYTES + 2);
	struct answer a;

	BAD("account add x " URL, NOTHING, "a password of 1 to 1024");
	memset(longest, 'x', BASE_SECRET_PASSWORD_MAX_BYTES + 1);
	BAD("account add x " URL, PASSWORD(longest), "a password of 1 to 1024");
	longest[BASE_SECRET_PASSWORD_MAX_BYTES] = '\0';
	ok(v, "account add x " URL, PASSWORD(longest));
	free(longest);
	BAD("account add y " URL, PARTS({VAULT_ACCOUNT_SECRET, "pw"}, {VAULT_ACCOUNT_SECRET, "pw"}),
		"not the secret of an account");
	BAD("account add y " URL, PARTS({VAULT_ACCOUNT_SECRET, "pw"}, {VAULT_ACCOUNT_TOKEN, "t"}),
		"kind oauth");
	a = run(v, "account add y " URL, BASE_SLICE("bare password"));
	assert_int_equal(a.rc, BASE_ERROR_PERMANENT);
	assert_null(strstr(a.err.text, "bare"));
	a = run(v, "account add y " URL, BASE_SLICE("\0\2\0\0\0a"));
	assert_int_equal(a.rc, BASE_ERROR_PERMANENT);
	a = run(v, "account add y " URL, BASE_SLICE("\0\2\0\0\0pw\1\0\0\0\0"));
	assert_int_equal(a.rc, BASE_ERROR_PERMANENT);
}

static void client_certificates(void **state)
{
	char broken[4096];
	struct support_vault *v = *state;

	BAD("account add c " URL " kind=certificate", NOTHING, "--cert and --key");
	BAD("account add c " URL " kind=certificate", PARTS({VAULT_ACCOUNT_CHAIN, cert_ec}),
		"together");
	BAD("account add c " URL, PARTS({VAULT_ACCOUNT_SECRET, "p"}, {VAULT_ACCOUNT_KEY, key_ec}),
		"together");
	BAD("account add c " URL " kind=certificate",
		PARTS({VAULT_ACCOUNT_CHAIN, cert_ec}, {VAULT_ACCOUNT_KEY, key_rsa}),
		"does not belong");
	BAD("account add c " URL " kind=certificate",
		PARTS({VAULT_ACCOUNT_CHAIN, "x"}, {VAULT_ACCOUNT_KEY, key_rsa}),
		"not a certificate");
	BAD("account add c " URL " kind=certificate",
		PARTS({VAULT_ACCOUNT_CHAIN, cert_ec}, {VAULT_ACCOUNT_KEY, key_encrypted}),
		"passphrase");
	BAD("account add c " URL " kind=certificate",
		PARTS({VAULT_ACCOUNT_CHAIN, cert_ec}, {VAULT_ACCOUNT_KEY, key_ec},
			{VAULT_ACCOUNT_SECRET, "pw"}),
		"no secret");
	BAD("account add c " URL, PARTS({VAULT_ACCOUNT_SECRET, "p"}, {VAULT_ACCOUNT_CA, key_ec}),
		"ca: not a certificate");
	snprintf(broken, sizeof(broken), "%s-----BEGIN CERTIFICATE-----\nAAAA\n%s", cert_ec,
		"-----END CERTIFICATE-----\n");
	BAD("account add c " URL, PARTS({VAULT_ACCOUNT_SECRET, "p"}, {VAULT_ACCOUNT_CA, broken}),
		"ca: not a certificate");
	ok(v, "account add c url=smtp://a kind=certificate mechanisms=EXTERNAL",
		PARTS({VAULT_ACCOUNT_KEY, key_ec}, {VAULT_ACCOUNT_CHAIN, cert_ec}));
	assert_part(v, "c", VAULT_ACCOUNT_CHAIN, cert_ec);
	assert_part(v, "c", VAULT_ACCOUNT_KEY, key_ec);
	ok(v, "account add p " URL,
		PARTS({VAULT_ACCOUNT_SECRET, "p"}, {VAULT_ACCOUNT_CA, cert_rsa},
			{VAULT_ACCOUNT_CHAIN, cert_rsa}, {VAULT_ACCOUNT_KEY, key_rsa}));
	assert_part(v, "p", VAULT_ACCOUNT_CA, cert_rsa);
	/* The section has the files. */
	ok(v, "account add whole kind=certificate", NOTHING);
}

#define PROFILE_REFRESH \
	"{\"profile\":\"google\",\"client_id\":\"c\",\"refresh_token\":\"r\",\"client_secret\":" \
	"\"s\"}"
#define PROFILE_PERSON "{\"profile\":\"microsoft\",\"client_id\":\"c\"}"

static void put_token(struct support_vault *v, const char *words, bool good, const char *why)
{
	struct vault_oauth_tokens t;
	struct base_buf secret, token;
	struct answer a;

	vault_oauth_tokens_init(&t);
	assert_true(base_secret_set(&t.refresh, BASE_SLICE("rrr")));
	base_buf_init_secret(&token, VAULT_OAUTH_STATE_MAX_BYTES);
	base_buf_init_secret(&secret, 1 << 17);
	vault_oauth_tokens_write(&t, &token);
	if (!good)
		base_buf_append_byte(&token, 'x');
	assert_true(vault_admin_account_secret_put(
		&secret, VAULT_ACCOUNT_SECRET, BASE_SLICE(PROFILE_PERSON)));
	assert_true(vault_admin_account_secret_put(
		&secret, VAULT_ACCOUNT_TOKEN, base_buf_slice(&token)));
	a = run(v, words, base_buf_slice(&secret));
	assert_int_equal(a.rc, good ? 0 : BASE_ERROR_PERMANENT);
	if (!good)
		assert_non_null(strstr(a.err.text, why));
	json_decref(a.json);
	base_buf_release(&token);
	base_buf_release(&secret);
	vault_oauth_tokens_release(&t);
}

static void oauth_accounts(void **state)
{
	struct support_vault *v = *state;

	BAD("account add g " URL " kind=oauth", NOTHING, "needs a profile");
	BAD("account add g " URL " kind=oauth", PASSWORD("pw"), "not JSON");
	BAD("account add g " URL " kind=oauth", PASSWORD("{}"), "token_endpoint");
	BAD("account add g " URL " kind=oauth", PASSWORD(PROFILE_PERSON), "has to log in");
	ok(v, "account add g " URL " kind=oauth mechanisms=XOAUTH2", PASSWORD(PROFILE_REFRESH));
	assert_part(v, "g", VAULT_ACCOUNT_SECRET, PROFILE_REFRESH);
	put_token(v, "account add m " URL " kind=oauth", false, "no token");
	put_token(v, "account add m " URL " kind=oauth", true, NULL);
	/* Replacing forgets the token of the account that was there. */
	ok(v, "account add m " URL " kind=password replace=1", PASSWORD("pw"));
	assert_part(v, "m", VAULT_ACCOUNT_TOKEN, NULL);
}

static void a_failed_replacement_leaves_the_old(void **state)
{
	struct support_vault *v = *state;

	ok(v, "account add g " URL, PASSWORD("old"));
	BAD("account add g " URL " replace=1",
		PARTS({VAULT_ACCOUNT_SECRET, "new"}, {VAULT_ACCOUNT_CA, "x"}), "ca:");
	assert_part(v, "g", VAULT_ACCOUNT_SECRET, "old");
}

static void what_a_section_says_may_be_left_out(void **state)
{
	struct support_vault *v = *state;

	ok(v, "account add whole", PASSWORD("pw"));
	BAD("account add url-only", PASSWORD("pw"), "--user");
	ok(v, "account add url-only user=me", PASSWORD("pw"));
	BAD("account add bare user=me", PASSWORD("pw"), "smtp://");
}

static void assert_json(const json_t *json, const char *expected)
{
	json_t *wanted = json_loads(expected, 0, NULL);
	char *text = json_dumps(json, JSON_COMPACT);

	assert_non_null(wanted);
	if (!json_equal(json, wanted))
		fail_msg("%s\nis not\n%s", text, expected);
	free(text);
	json_decref(wanted);
}

#define LISTED_WHOLE \
	"{\"name\": \"whole\", \"url\": \"smtps://whole.example.org:465\", \"user\": \"section\"," \
	" \"secret\": \"password\", \"source\": \"both\", \"mechanisms\": [\"PLAIN\"]," \
	" \"connections\": 9, \"rate\": \"5/minute\", \"pin\": \"sha256:section\", \"ca\": true," \
	" \"certificate\": true, \"created\": \"2026-11-24T15:00:00Z\", \"token\": null}"

static void one_list_of_vault_and_sections(void **state)
{
	struct support_vault *v = *state;
	struct answer a;

	ok(v, "account add whole url=smtp://b user=me mechanisms=LOGIN connections=2 rate=1/day",
		PASSWORD("pw"));
	ok(v, "account add g " URL " kind=oauth rate=3/hour", PASSWORD(PROFILE_REFRESH));
	a = run(v, "account list", BASE_SLICE_EMPTY);
	assert_json(a.json,
		"{\"accounts\": ["
		"{\"name\": \"g\", \"url\": \"smtps://a.example.org:465\", \"user\": \"u\","
		" \"secret\": \"oauth\", \"source\": \"vault\", \"mechanisms\": null,"
		" \"connections\": null, \"rate\": \"3/hour\", \"pin\": null, \"ca\": false,"
		" \"certificate\": false, \"created\": \"2026-11-24T15:00:00Z\","
		" \"token\": {\"state\": \"valid\", \"of\": \"g\"}}," LISTED_WHOLE ","
		"{\"name\": \"url-only\", \"url\": \"smtp://half.example.org\", \"user\": \"\","
		" \"secret\": null, \"source\": \"configuration\", \"mechanisms\": null,"
		" \"connections\": null, \"rate\": null, \"pin\": null, \"ca\": false,"
		" \"certificate\": false, \"created\": null, \"token\": null},"
		"{\"name\": \"bare\", \"url\": \"\", \"user\": \"\","
		" \"secret\": null, \"source\": \"configuration\", \"mechanisms\": null,"
		" \"connections\": null, \"rate\": null, \"pin\": null, \"ca\": false,"
		" \"certificate\": false, \"created\": null, \"token\": null}]}");
	json_decref(a.json);
	a = run(v, "account show whole", BASE_SLICE_EMPTY);
	assert_json(a.json, LISTED_WHOLE);
	json_decref(a.json);
	a = run(v, "account show bare", BASE_SLICE_EMPTY);
	assert_string_equal(json_string_value(json_object_get(a.json, "source")), "configuration");
	json_decref(a.json);
}

static void prepare_passes_the_parts_through(void **state)
{
	struct base_slice words[] = {BASE_SLICE("account"), BASE_SLICE("add"), BASE_SLICE("g")};
	struct vault_admin_request req = {words, 3, BASE_SLICE_EMPTY};
	struct base_error err = {0};
	struct base_secret none = {0};
	struct base_buf out;

	base_buf_init_secret(&out, 1 << 17);
	assert_int_equal(
		vault_admin_prepare(&req, 0, BASE_SLICE("\0\2\0\0\0pw"), NULL, &out, &none, &err),
		0);
	assert_true(base_slice_equal(base_buf_slice(&out), BASE_SLICE("\0\2\0\0\0pw")));
	base_buf_release(&out);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_set_up, support_tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(life_of_an_account),
		TEST(bad_options),
		TEST(all_options_are_kept),
		TEST(secrets_of_passwords),
		TEST(client_certificates),
		TEST(oauth_accounts),
		TEST(a_failed_replacement_leaves_the_old),
		TEST(what_a_section_says_may_be_left_out),
		TEST(one_list_of_vault_and_sections),
		TEST(prepare_passes_the_parts_through),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
