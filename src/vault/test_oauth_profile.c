/* OAuth profiles: what is taken, what is refused, what is kept. */
#include "vault/test_oauth.h"

#include "vault/test_keys.h"

#define G "\"profile\":\"google\",\"client_id\":\"c\""
#define M "\"profile\":\"microsoft\",\"client_id\":\"c\""
#define T "\"token_endpoint\":\"https://as.example/token\",\"client_id\":\"c\""

static void bad(const char *json, const char *why)
{
	struct vault_oauth_profile *p = NULL;
	struct base_error err = {0};

	assert_int_equal(vault_oauth_profile_parse(
				 &p, base_slice_text(json), "FILE", NULL, NULL, NULL, &err),
		BASE_ERROR_CONFIG);
	assert_null(p);
	if (!strstr(err.text, why) || strncmp(err.text, "FILE: ", 6) != 0)
		fail_msg("%s: %s", json, err.text);
}

/* As it is kept; parsing and writing it again changes nothing. */
static json_t *kept(struct vault_oauth_profile *p)
{
	struct vault_oauth_profile *again = NULL;
	struct base_buf first, second;
	struct base_error err = {0};
	json_t *json;

	base_buf_init_secret(&first, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_init_secret(&second, VAULT_OAUTH_PROFILE_MAX_BYTES);
	vault_oauth_profile_write(p, &first);
	assert_true(base_buf_ok(&first));
	if (vault_oauth_profile_parse(
		    &again, base_buf_slice(&first), "vault", NULL, NULL, NULL, &err) != 0)
		fail_msg("%s", err.text);
	vault_oauth_profile_write(again, &second);
	assert_true(base_slice_equal(base_buf_slice(&first), base_buf_slice(&second)));
	assert_int_equal(vault_oauth_profile_grant(p), vault_oauth_profile_grant(again));
	json = json_loadb((const char *)first.ptr, first.len, 0, NULL);
	vault_oauth_profile_free(&again);
	base_buf_release(&first);
	base_buf_release(&second);
	return json;
}

static void assert_kept(const char *json, const char *key, const char *expected)
{
	struct vault_oauth_profile *p = profile_of(json);
	json_t *written = kept(p);
	const char *value = json_string_value(json_object_get(written, key));

	if (!value != !expected || (value && expected && strcmp(value, expected) != 0))
		fail_msg("%s: %s is %s", json, key, value ? value : "(none)");
	json_decref(written);
	vault_oauth_profile_free(&p);
}

static void google(void **state)
{
	struct vault_oauth_profile *p = profile_of("{" G "}");

	assert_int_equal(vault_oauth_profile_grant(p), VAULT_OAUTH_AUTHORIZATION_CODE);
	assert_string_equal(vault_oauth_token_endpoint(p), "https://oauth2.googleapis.com/token");
	assert_string_equal(
		vault_oauth_device_endpoint(p), "https://oauth2.googleapis.com/device/code");
	assert_false(vault_oauth_has_refresh_token(p));
	vault_oauth_profile_free(&p);
	assert_kept("{" G "}", "authorization_endpoint",
		"https://accounts.google.com/o/oauth2/v2/auth");
	assert_kept("{" G "}", "scope", "https://mail.google.com/");
	assert_kept("{" G ",\"scope\":\"mine\"}", "scope", "mine");
	assert_kept("{" G ",\"refresh_token\":\"r\"}", "grant", "refresh_token");
	assert_kept("{" G ",\"grant\":\"device_code\"}", "grant", "device_code");
}

static void microsoft(void **state)
{
	struct vault_oauth_profile *p = profile_of("{" M "}");

	assert_int_equal(vault_oauth_profile_grant(p), VAULT_OAUTH_DEVICE_CODE);
	assert_string_equal(vault_oauth_token_endpoint(p),
		"https://login.microsoftonline.com/common/oauth2/v2.0/token");
	vault_oauth_profile_free(&p);
	assert_kept("{" M ",\"tenant\":\"contoso.com\"}", "device_authorization_endpoint",
		"https://login.microsoftonline.com/contoso.com/oauth2/v2.0/devicecode");
	assert_kept("{" M ",\"tenant\":\"contoso.com\"}", "authorization_endpoint",
		"https://login.microsoftonline.com/contoso.com/oauth2/v2.0/authorize");
	assert_kept("{" M "}", "scope", "https://outlook.office.com/SMTP.Send offline_access");
	assert_kept("{" M ",\"client_secret\":\"s\",\"tenant\":\"t\",\"grant\":"
		    "\"client_credentials\"}",
		"scope", "https://outlook.office365.com/.default");
	bad("{" M ",\"client_secret\":\"s\",\"grant\":\"client_credentials\"}", "tenant");
	bad("{" M ",\"client_secret\":\"s\",\"tenant\":\"common\",\"grant\":"
	    "\"client_credentials\"}",
		"tenant");
	bad("{" M ",\"client_secret\":\"s\",\"tenant\":\"Organizations\",\"grant\":\"client_"
	    "credentials\"}",
		"tenant");
	bad("{" M ",\"tenant\":\"a/b\"}", "tenant");
	bad("{" M ",\"tenant\":\"\"}", "tenant");
}

static void grants_are_inferred(void **state)
{
	assert_kept("{" T ",\"refresh_token\":\"r\",\"authorization_endpoint\":\"https://a/\"}",
		"grant", "refresh_token");
	assert_kept("{" T ",\"device_authorization_endpoint\":\"https://d/\",\"authorization_"
		    "endpoint\":\"https://a/\"}",
		"grant", "device_code");
	assert_kept(
		"{" T ",\"authorization_endpoint\":\"https://a/\"}", "grant", "authorization_code");
	assert_kept("{" T ",\"client_secret\":\"s\"}", "grant", "client_credentials");
	bad("{" T "}", "client_secret");
	bad("{" T ",\"grant\":\"refresh_token\"}", "refresh_token");
	bad("{" T ",\"grant\":\"device_code\"}", "device_authorization_endpoint");
	bad("{" T ",\"grant\":\"authorization_code\"}", "authorization_endpoint");
	bad("{" T ",\"grant\":\"jwt_bearer\"}", "private_key");
	bad("{" T ",\"grant\":\"password\"}", "jwt_bearer");
}

static void bad_profiles(void **state)
{
	static char long_text[VAULT_OAUTH_PROFILE_MAX_BYTES + 2];

	bad("", "not JSON");
	bad("[]", "not a JSON object");
	bad("{" T ",\"client_id\":\"d\"}", "twice");
	bad("{\"client_id\":\"c\",\"client_secret\":\"s\"}", "token_endpoint");
	bad("{\"token_endpoint\":\"https://a/\",\"client_secret\":\"s\"}", "client_id");
	bad("{\"token_endpoint\":\"http://a/\"}", "http: is refused");
	bad("{\"token_endpoint\":\"HTTP://a/\"}", "https://host/path");
	bad("{\"token_endpoint\":\"https://\"}", "https://");
	bad("{\"token_endpoint\":\"https://user@a/\"}", "https://");
	bad("{\"token_endpoint\":\"https://a/ b\"}", "https://");
	bad("{\"token_endpoint\":\"https://a/#b\"}", "https://");
	bad("{\"token_endpoint\":\"https://a\\u0000/\"}", "not JSON");
	bad("{\"token_endpoint\":7}", "a text");
	bad("{" T ",\"client_secret\":\"a\\nb\"}", "control characters");
	bad("{" T ",\"client_secret\":\"\"}", "empty");
	bad("{" T ",\"refresh_token\":\"a b\"}", "not a token");
	bad("{" T ",\"profile\":\"yahoo\"}", "google and microsoft");
	bad("{" T ",\"extra\":[]}", "object of texts");
	bad("{" T ",\"extra\":{\"a\":1}}", "a text");
	bad("{" T ",\"extra\":{\"client_id\":\"x\"}}", "writes itself");
	memset(long_text, ' ', sizeof(long_text) - 1);
	memcpy(long_text, "{" T ",\"client_secret\":\"s\"}",
		strlen("{" T ",\"client_secret\":\"s\"}"));
	bad(long_text, "too long");
}

static int read_file(void *arg, const char *path, struct base_buf *out, struct base_error *err)
{
	static const struct {
		const char *path, *text;
	} files[] = {{"/k/rsa", key_rsa}, {"/k/ec", key_ec}, {"/k/small", key_rsa_small},
		{"/k/p384", key_p384}, {"/k/locked", key_encrypted}, {"/c/rsa", cert_rsa},
		{"/c/ec", cert_ec}, {"/c/latin", "-----\xe9"}};

	for (size_t i = 0; i < BASE_COUNT(files); i++)
		if (strcmp(path, files[i].path) == 0) {
			base_buf_append_text(out, files[i].text);
			return 0;
		}
	return base_error_set(err, BASE_ERROR_CONFIG, 2, "cannot open \"%s\": not there", path);
}

static int parse_files(const char *json, struct vault_oauth_profile **out, struct base_error *err)
{
	*out = NULL;
	return vault_oauth_profile_parse(
		out, base_slice_text(json), "FILE", read_file, NULL, NULL, err);
}

static void files_are_read_and_kept(void **state)
{
	struct vault_oauth_profile *p;
	struct base_error err = {0};
	json_t *json;

	assert_int_equal(parse_files("{" T ",\"private_key\":\"/k/ec\",\"certificate\":\"/c/ec\","
				     "\"ca\":\"/c/rsa\",\"key_id\":\"kid\"}",
				 &p, &err),
		0);
	assert_true(base_slice_equal_text(vault_oauth_ca(p), cert_rsa));
	json = kept(p);
	assert_string_equal(json_string_value(json_object_get(json, "private_key")), key_ec);
	assert_string_equal(json_string_value(json_object_get(json, "certificate")), cert_ec);
	assert_string_equal(json_string_value(json_object_get(json, "ca")), cert_rsa);
	assert_string_equal(json_string_value(json_object_get(json, "algorithm")), "ES256");
	json_decref(json);
	vault_oauth_profile_free(&p);
	assert_int_equal(parse_files("{" T ",\"private_key\":\"/k/rsa\"}", &p, &err), 0);
	json = kept(p);
	assert_string_equal(json_string_value(json_object_get(json, "algorithm")), "RS256");
	json_decref(json);
	vault_oauth_profile_free(&p);
}

static void bad_files(void **state)
{
	static const struct {
		const char *json, *why;
	} rows[] = {
		{"\"private_key\":\"/nowhere\"", "private_key: cannot open \"/nowhere\""},
		{"\"private_key\":\"/c/ec\"", "not a private key"},
		{"\"private_key\":\"/k/locked\"", "passphrase"},
		{"\"private_key\":\"/k/small\"", "2048"},
		{"\"private_key\":\"/k/p384\"", "P-256"},
		{"\"private_key\":\"/k/ec\",\"certificate\":\"/c/rsa\"", "does not belong"},
		{"\"private_key\":\"/k/ec\",\"certificate\":\"/k/ec\"", "not a certificate"},
		{"\"certificate\":\"/c/ec\",\"client_secret\":\"s\"", "needs private_key"},
		{"\"private_key\":\"/k/ec\",\"algorithm\":\"RS256\"", "RS256 and PS256 want RSA"},
		{"\"private_key\":\"/k/rsa\",\"algorithm\":\"ES256\"", "ES256 an EC key"},
		{"\"private_key\":\"/k/rsa\",\"algorithm\":\"none\"", "PS256"},
		{"\"private_key\":\"/k/rsa\",\"client_secret\":\"s\"", "one of both"},
		{"\"ca\":\"/k/rsa\"", "not a certificate"},
		{"\"ca\":\"/c/latin\"", "not a text file"},
		{"\"ca\":true", "path of a PEM file"},
	};
	struct vault_oauth_profile *p;
	struct base_error err;
	char json[500];

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		snprintf(json, sizeof(json), "{" T ",%s}", rows[i].json);
		if (parse_files(json, &p, &err) != BASE_ERROR_CONFIG ||
			!strstr(err.text, rows[i].why))
			fail_msg("%s: %s", json, err.text);
		assert_null(p);
	}
}

static void what_is_kept_has_to_fit(void **state)
{
	struct vault_oauth_profile *p = NULL;
	struct base_error err = {0};
	struct base_buf json;

	/* Fits as a file, but not with what escaping and the built-in profile add. */
	base_buf_init(&json, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_append_text(&json, "{" G ",\"extra\":{");
	for (int i = 0; i < 15; i++)
		base_buf_printf(&json, "%s\"e%d\":\"%02047d\"", i ? "," : "", i, 0);
	base_buf_append_text(&json, "},\"client_secret\":\"");
	while (json.len < VAULT_OAUTH_PROFILE_MAX_BYTES - 2)
		base_buf_append_byte(&json, 'x');
	base_buf_append_text(&json, "\"}");
	assert_int_equal(vault_oauth_profile_parse(
				 &p, base_buf_slice(&json), "FILE", NULL, NULL, NULL, &err),
		BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "too long with"));
	base_buf_release(&json);
}

static void unknown_keys_warn(void **state)
{
	struct vault_oauth_profile *p = NULL;
	struct base_error err = {0};
	struct base_buf warnings;

	base_buf_init(&warnings, 4096);
	assert_int_equal(
		vault_oauth_profile_parse(&p,
			BASE_SLICE("{" G ",\"redirect\\u001b_uri\":\"x\",\"tenant\":\"t\"}"),
			"FILE", NULL, NULL, &warnings, &err),
		0);
	assert_non_null(strstr(base_buf_text(&warnings),
		"FILE: \"redirect\\x1b_uri\": not a key of a profile; ignored\n"));
	assert_non_null(strstr(base_buf_text(&warnings), "microsoft only"));
	vault_oauth_profile_free(&p);
	base_buf_release(&warnings);
}

static void builtin_profiles_want_a_client_id_only(void **state)
{
	static const char *const names[] = {"google", "microsoft"};

	assert_null(vault_oauth_builtin(""));
	assert_null(vault_oauth_builtin("Google"));
	for (size_t i = 0; i < BASE_COUNT(names); i++) {
		json_t *json = json_loads(vault_oauth_builtin(names[i]), 0, NULL);
		char *text;
		struct vault_oauth_profile *p;

		json_object_set_new(json, "client_id", json_string("c"));
		text = json_dumps(json, 0);
		p = profile_of(text);
		assert_true(vault_oauth_grant_is_interactive(vault_oauth_profile_grant(p)));
		vault_oauth_profile_free(&p);
		free(text);
		json_decref(json);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(google),
		cmocka_unit_test(microsoft),
		cmocka_unit_test(grants_are_inferred),
		cmocka_unit_test(bad_profiles),
		cmocka_unit_test(files_are_read_and_kept),
		cmocka_unit_test(bad_files),
		cmocka_unit_test(what_is_kept_has_to_fit),
		cmocka_unit_test(unknown_keys_warn),
		cmocka_unit_test(builtin_profiles_want_a_client_id_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
