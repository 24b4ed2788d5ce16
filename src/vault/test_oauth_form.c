/* Requests: forms, the authorization URL, assertions. */
#include "vault/test_oauth.h"

#include "vault/oauth_internal.h"
#include "vault/pem.h"
#include "vault/test_keys.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#define NOW_MS 1700000000999
#define T "\"token_endpoint\":\"https://as.example/token\",\"client_id\":\"the client\""

static uint8_t fresh[2 * VAULT_OAUTH_RANDOM_BYTES];

static struct base_slice renew(struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	const char *user, struct base_buf *out)
{
	struct base_error err = {0};

	base_buf_init_secret(out, VAULT_OAUTH_FORM_MAX_BYTES);
	if (vault_oauth_renew_form(p, t, base_slice_text(user), NOW_MS, fresh, out, &err) != 0)
		fail_msg("%s", err.text);
	return base_buf_slice(out);
}

static void strict_encoding(void **state)
{
	struct base_buf out;

	/* RFC 6749 appendix B. */
	base_buf_init(&out, 1000);
	vault_oauth_form_encode(BASE_SLICE(" %&+\xc2\xa3\xe2\x82\xac"), &out);
	assert_string_equal(base_buf_text(&out), "+%25%26%2B%C2%A3%E2%82%AC");
	base_buf_clear(&out);
	vault_oauth_form_encode(BASE_SLICE("aZ09-._~*=\r\n\"/\0"), &out);
	assert_string_equal(base_buf_text(&out), "aZ09-._%7E%2A%3D%0D%0A%22%2F%00");
	base_buf_release(&out);
}

static void refresh(void **state)
{
	struct vault_oauth_profile *p = profile_of(
		"{" T
		",\"refresh_token\":\"old+token\",\"client_secret\":\"s&e=c\",\"scope\":\"a b\","
		"\"extra\":{\"resource\":\"https://r/\"}}");
	struct vault_oauth_tokens t;
	struct base_slice form;
	struct base_buf out;

	form = renew(p, NULL, "u", &out);
	assert_string_equal(base_buf_text(&out),
		"grant_type=refresh_token&refresh_token=old%2Btoken&client_id=the+client"
		"&client_secret=s%26e%3Dc&scope=a+b&resource=https%3A%2F%2Fr%2F");
	base_buf_release(&out);
	/* A rotated token comes before the profile's. */
	vault_oauth_tokens_init(&t);
	form = renew(p, &t, "u", &out);
	assert_form(form, "refresh_token", "old+token");
	base_buf_release(&out);
	assert_true(base_secret_set(&t.refresh, BASE_SLICE("new")));
	form = renew(p, &t, "u", &out);
	assert_form(form, "refresh_token", "new");
	base_buf_release(&out);
	vault_oauth_tokens_release(&t);
	vault_oauth_profile_free(&p);
}

static void without_a_refresh_token(void **state)
{
	struct vault_oauth_profile *p = profile_of(
		"{" T ",\"authorization_endpoint\":\"https://a/\"}");
	struct base_error err = {0};
	struct vault_oauth_tokens t;
	struct base_buf out;

	vault_oauth_tokens_init(&t);
	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	assert_int_equal(vault_oauth_renew_form(p, &t, BASE_SLICE("u"), NOW_MS, fresh, &out, &err),
		BASE_ERROR_CONFIG);
	assert_non_null(strstr(err.text, "log in again"));
	base_buf_release(&out);
	vault_oauth_tokens_release(&t);
	vault_oauth_profile_free(&p);
}

static void a_form_has_an_end(void **state)
{
	struct vault_oauth_profile *p = profile_of("{" T ",\"client_secret\":\"s\"}");
	struct base_error err = {0};
	struct base_buf out;

	base_buf_init_secret(&out, 30);
	assert_int_equal(
		vault_oauth_renew_form(p, NULL, BASE_SLICE("u"), NOW_MS, fresh, &out, &err),
		BASE_ERROR_CONFIG);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

/* --- signatures --- */

static bool verify(enum oauth_algorithm algorithm, const char *key_pem, struct base_slice jws)
{
	size_t dot = base_slice_find_last(jws, '.');
	EVP_PKEY *key = vault_pem_key(base_slice_text(key_pem));
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	uint8_t raw[512], *sig = raw, *der = NULL;
	size_t len = base64url_bytes(base_slice_from(jws, dot + 1), raw, sizeof(raw));
	bool ok;

	if (algorithm == OAUTH_ES256) {
		ECDSA_SIG *pair = ECDSA_SIG_new();

		assert_int_equal(len, 64);
		ECDSA_SIG_set0(pair, BN_bin2bn(raw, 32, NULL), BN_bin2bn(raw + 32, 32, NULL));
		len = (size_t)i2d_ECDSA_SIG(pair, &der);
		sig = der;
		ECDSA_SIG_free(pair);
	}
	assert_int_equal(EVP_DigestVerifyInit(md, &how, EVP_sha256(), NULL, key), 1);
	if (algorithm == OAUTH_PS256) {
		EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING);
		EVP_PKEY_CTX_set_rsa_pss_saltlen(how, 32);
	}
	ok = EVP_DigestVerify(md, sig, len, jws.ptr, dot) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(md);
	EVP_PKEY_free(key);
	return ok;
}

#define RFC_PAYLOAD \
	"eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ij" \
	"p0cnVlfQ"
#define RFC_A2_INPUT "eyJhbGciOiJSUzI1NiJ9." RFC_PAYLOAD
#define RFC_A2_SIGNATURE \
	".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O" \
	"8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNP" \
	"vkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1p" \
	"hCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
#define RFC_A3_INPUT "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD
#define RFC_A3_SIGNATURE \
	".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"

static void signatures_of_rfc_7515(void **state)
{
	struct base_buf out;

	base_buf_init(&out, 4096);
	base_buf_append_text(&out, RFC_A2_INPUT);
	assert_true(vault_oauth_sign(OAUTH_RS256, base_slice_text(key_rsa), &out));
	assert_string_equal(base_buf_text(&out), RFC_A2_INPUT RFC_A2_SIGNATURE);
	/* ES256 is never the same twice: ours and the RFC's are looked at in the same way. */
	assert_true(verify(OAUTH_ES256, key_ec, BASE_SLICE(RFC_A3_INPUT RFC_A3_SIGNATURE)));
	/* A number that begins with zeros comes once in 128. */
	for (int i = 0; i < 500; i++) {
		base_buf_clear(&out);
		base_buf_append_text(&out, RFC_A3_INPUT);
		assert_true(vault_oauth_sign(OAUTH_ES256, base_slice_text(key_ec), &out));
		assert_int_equal(out.len, strlen(RFC_A3_INPUT RFC_A3_SIGNATURE));
		assert_true(verify(OAUTH_ES256, key_ec, base_buf_slice(&out)));
	}
	base_buf_clear(&out);
	assert_false(vault_oauth_sign(OAUTH_ES256, BASE_SLICE("no key"), &out));
	base_buf_release(&out);
}

static json_t *jwt_part(struct base_slice jwt, unsigned which)
{
	uint8_t bytes[4096];
	struct base_slice part;
	size_t len;

	for (unsigned i = 0; i <= which; i++)
		assert_true(base_slice_split(&jwt, '.', &part));
	len = base64url_bytes(part, bytes, sizeof(bytes));
	return json_loadb((const char *)bytes, len, 0, NULL);
}

static void assert_member(const json_t *json, const char *key, const char *expected)
{
	const char *value = json_string_value(json_object_get(json, key));

	if (!value != !expected || (value && expected && strcmp(value, expected) != 0))
		fail_msg("%s is %s", key, value ? value : "(none)");
}

static struct vault_oauth_profile *with_key(const char *json, const char *key, const char *cert)
{
	json_t *object = json_loads(json, 0, NULL);
	struct vault_oauth_profile *p;
	char *text;

	json_object_set_new(object, "private_key", json_string(key));
	if (cert)
		json_object_set_new(object, "certificate", json_string(cert));
	text = json_dumps(object, 0);
	p = profile_of(text);
	free(text);
	json_decref(object);
	return p;
}

static void a_client_proves_itself_by_its_key(void **state)
{
	struct vault_oauth_profile *p = with_key("{" T ",\"key_id\":\"k1\"}", key_ec, cert_ec);
	json_t *header, *claims;
	struct base_slice form;
	struct base_buf out;
	char *jwt;

	form = renew(p, NULL, "", &out);
	assert_form(form, "grant_type", "client_credentials");
	assert_form(form, "client_id", "the client");
	assert_form(form, "client_secret", NULL);
	assert_form(form, "client_assertion_type",
		"urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
	jwt = form_value(form, "client_assertion");
	assert_non_null(jwt);
	assert_true(verify(OAUTH_ES256, key_ec, base_slice_text(jwt)));
	header = jwt_part(base_slice_text(jwt), 0);
	assert_member(header, "alg", "ES256");
	assert_member(header, "typ", "JWT");
	assert_member(header, "kid", "k1");
	assert_member(header, "x5t", CERT_EC_X5T);
	assert_member(header, "x5t#S256", CERT_EC_X5T_S256);
	claims = jwt_part(base_slice_text(jwt), 1);
	assert_member(claims, "iss", "the client");
	assert_member(claims, "sub", "the client");
	assert_member(claims, "aud", "https://as.example/token");
	assert_member(claims, "scope", NULL);
	assert_int_equal(strlen(json_string_value(json_object_get(claims, "jti"))), 43);
	assert_int_equal(json_integer_value(json_object_get(claims, "iat")), NOW_MS / 1000);
	assert_int_equal(json_integer_value(json_object_get(claims, "nbf")), NOW_MS / 1000);
	assert_int_equal(json_integer_value(json_object_get(claims, "exp")), NOW_MS / 1000 + 300);
	json_decref(header);
	json_decref(claims);
	free(jwt);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

static void all_algorithms_verify(void **state)
{
	static const struct {
		const char *json, *key, *alg;
		enum oauth_algorithm algorithm;
	} rows[] = {
		{"{" T "}", key_rsa, "RS256", OAUTH_RS256},
		{"{" T ",\"algorithm\":\"PS256\"}", key_rsa, "PS256", OAUTH_PS256},
		{"{" T ",\"algorithm\":\"ES256\"}", key_ec, "ES256", OAUTH_ES256},
	};

	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct vault_oauth_profile *p = with_key(rows[i].json, rows[i].key, NULL);
		struct base_buf out;
		char *jwt = form_value(renew(p, NULL, "", &out), "client_assertion");
		json_t *header = jwt_part(base_slice_text(jwt), 0);

		assert_member(header, "alg", rows[i].alg);
		assert_member(header, "x5t", NULL);
		assert_true(verify(rows[i].algorithm, rows[i].key, base_slice_text(jwt)));
		jwt[10] ^= 1;
		assert_false(verify(rows[i].algorithm, rows[i].key, base_slice_text(jwt)));
		json_decref(header);
		free(jwt);
		base_buf_release(&out);
		vault_oauth_profile_free(&p);
	}
}

static void jwt_bearer(void **state)
{
	struct vault_oauth_profile *p = with_key(
		"{\"profile\":\"google\",\"client_id\":\"robot@x\","
		"\"grant\":\"jwt_bearer\"}",
		key_rsa, NULL);
	struct base_error err = {0};
	struct base_slice form;
	struct base_buf out;
	json_t *claims;
	char *jwt;

	form = renew(p, NULL, "anna@example.org", &out);
	assert_form(form, "grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer");
	assert_form(form, "client_id", NULL);
	assert_form(form, "client_assertion", NULL);
	jwt = form_value(form, "assertion");
	assert_true(verify(OAUTH_RS256, key_rsa, base_slice_text(jwt)));
	claims = jwt_part(base_slice_text(jwt), 1);
	assert_member(claims, "iss", "robot@x");
	assert_member(claims, "sub", "anna@example.org");
	assert_member(claims, "aud", "https://oauth2.googleapis.com/token");
	assert_member(claims, "scope", "https://mail.google.com/");
	json_decref(claims);
	free(jwt);
	base_buf_clear(&out);
	assert_int_equal(
		vault_oauth_renew_form(p, NULL, BASE_SLICE_EMPTY, NOW_MS, fresh, &out, &err),
		BASE_ERROR_CONFIG);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
	p = with_key("{" T ",\"grant\":\"jwt_bearer\",\"client_secret\":\"s\",\"issuer\":\"i\","
		     "\"subject\":\"j\",\"audience\":\"a\"}",
		key_rsa, NULL);
	form = renew(p, NULL, "anna@example.org", &out);
	assert_form(form, "client_id", "the client");
	assert_form(form, "client_secret", "s");
	jwt = form_value(form, "assertion");
	claims = jwt_part(base_slice_text(jwt), 1);
	assert_member(claims, "iss", "i");
	assert_member(claims, "sub", "j");
	assert_member(claims, "aud", "a");
	json_decref(claims);
	free(jwt);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

static void device(void **state)
{
	struct vault_oauth_profile *p = profile_of(
		"{\"profile\":\"microsoft\",\"client_id\":\"c\"}");
	struct vault_oauth_device d;
	struct base_error err = {0};
	struct base_buf out;
	char *jwt;

	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	assert_int_equal(vault_oauth_device_form(p, NOW_MS, fresh, &out, &err), 0);
	assert_string_equal(base_buf_text(&out),
		"client_id=c&scope=https%3A%2F%2Foutlook.office.com%2FSMTP.Send+offline_access");
	vault_oauth_device_init(&d);
	assert_true(base_secret_set(&d.code, BASE_SLICE("dev&code")));
	base_buf_clear(&out);
	assert_int_equal(vault_oauth_device_poll_form(p, &d, NOW_MS, fresh, &out, &err), 0);
	assert_string_equal(base_buf_text(&out),
		"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code"
		"&device_code=dev%26code&client_id=c");
	vault_oauth_device_release(&d);
	vault_oauth_profile_free(&p);
	/* A client with a key has to show it here too. */
	p = with_key("{" T ",\"device_authorization_endpoint\":\"https://d/\"}", key_ec, NULL);
	base_buf_clear(&out);
	assert_int_equal(vault_oauth_device_form(p, NOW_MS, fresh, &out, &err), 0);
	assert_form(base_buf_slice(&out), "client_id", "the client");
	jwt = form_value(base_buf_slice(&out), "client_assertion");
	assert_non_null(jwt);
	assert_true(verify(OAUTH_ES256, key_ec, base_slice_text(jwt)));
	free(jwt);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

/* --- authorization code --- */

/* RFC 7636 appendix B. */
static const uint8_t rfc_verifier[VAULT_OAUTH_RANDOM_BYTES] = {116, 24, 223, 180, 151, 153, 224, 37,
	79, 250, 96, 125, 216, 173, 187, 186, 22, 212, 37, 77, 105, 214, 191, 240, 91, 88, 5, 88,
	83, 132, 141, 121};

static void use_rfc_verifier(void)
{
	memcpy(fresh, rfc_verifier, sizeof(rfc_verifier));
	memset(fresh + VAULT_OAUTH_RANDOM_BYTES, 0xff, VAULT_OAUTH_RANDOM_BYTES);
}
#define STATE "__________________________________________8"

static void authorize_url(void **state)
{
	struct vault_oauth_profile *p = profile_of("{\"profile\":\"google\",\"client_id\":\"c\"}");
	struct base_error err = {0};
	struct base_slice query;
	struct base_buf url;

	use_rfc_verifier();
	base_buf_init(&url, 8192);
	assert_int_equal(vault_oauth_authorize_url(p, "http://127.0.0.1:4711/",
				 BASE_SLICE("a+b@example.org"), fresh, &url, &err),
		0);
	query = base_buf_slice(&url);
	assert_true(base_slice_starts_with(
		query, BASE_SLICE("https://accounts.google.com/o/oauth2/v2/auth?response_type=")));
	query = base_slice_from(query, base_slice_find(query, '?') + 1);
	assert_form(query, "response_type", "code");
	assert_form(query, "client_id", "c");
	assert_form(query, "redirect_uri", "http://127.0.0.1:4711/");
	assert_form(query, "scope", "https://mail.google.com/");
	assert_form(query, "state", STATE);
	assert_form(query, "code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
	assert_form(query, "code_challenge_method", "S256");
	assert_form(query, "login_hint", "a+b@example.org");
	assert_form(query, "access_type", "offline");
	assert_form(query, "prompt", "consent");
	vault_oauth_profile_free(&p);
	p = profile_of(
		"{\"profile\":\"google\",\"client_id\":\"c\",\"extra\":{\"prompt\":\"login\"}}");
	base_buf_clear(&url);
	assert_int_equal(vault_oauth_authorize_url(
				 p, "http://127.0.0.1:1/", BASE_SLICE_EMPTY, fresh, &url, &err),
		0);
	assert_form(base_buf_slice(&url), "prompt", "login");
	assert_form(base_buf_slice(&url), "access_type", "offline");
	vault_oauth_profile_free(&p);
	p = profile_of(
		"{" T ",\"authorization_endpoint\":\"https://a/x?y=z\",\"extra\":{\"prompt\":"
		"\"login\"}}");
	base_buf_clear(&url);
	assert_int_equal(vault_oauth_authorize_url(
				 p, "http://127.0.0.1:1/", BASE_SLICE_EMPTY, fresh, &url, &err),
		0);
	assert_non_null(strstr(base_buf_text(&url), "https://a/x?y=z&response_type=code&"));
	assert_form(base_buf_slice(&url), "prompt", "login");
	assert_form(base_buf_slice(&url), "access_type", NULL);
	assert_form(base_buf_slice(&url), "login_hint", NULL);
	vault_oauth_profile_free(&p);
	base_buf_release(&url);
}

static int code(struct vault_oauth_profile *p, const char *query, struct base_buf *out,
	struct base_error *err)
{
	*err = (struct base_error){0};
	base_buf_clear(out);
	return vault_oauth_code_form(
		p, base_slice_text(query), "http://127.0.0.1:4711/", fresh, NOW_MS, out, err);
}

static void a_code_buys_a_token(void **state)
{
	struct vault_oauth_profile *p = profile_of(
		"{" T ",\"client_secret\":\"s\",\"authorization_endpoint\":\"https://a/\"}");
	struct base_error err;
	struct base_buf out;

	use_rfc_verifier();
	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	assert_int_equal(
		code(p, "iss=x&code=4%2F0A+b%2Bc&state=" STATE, &out, &err), BASE_ERROR_PEER);
	assert_int_equal(code(p, "iss=x&code=4%2F0A%2Bc&state=" STATE "&scope=a+b", &out, &err), 0);
	assert_string_equal(base_buf_text(&out),
		"grant_type=authorization_code&code=4%2F0A%2Bc"
		"&redirect_uri=http%3A%2F%2F127.0.0.1%3A4711%2F"
		"&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
		"&client_id=the+client&client_secret=s");
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

static void bad_redirects(void **state)
{
	static const struct {
		const char *query, *why;
	} rows[] = {
		{"", "another state"},
		{"code=x", "another state"},
		{"code=x&state=", "another state"},
		{"code=x&state=_________________________________________8", "another state"},
		{"code=x&state=" STATE "8", "another state"},
		{"code=x&state=_________________________________________88", "another state"},
		/* An error of somebody else's login is nobody's business. */
		{"error=access_denied&state=x", "another state"},
		{"code=x&code=y&state=" STATE, "not one of"},
		{"code=x&state=x&state=" STATE, "not one of"},
		{"code=%zz&state=" STATE, "not one of"},
		{"code=x%4&state=" STATE, "not one of"},
		{"state=" STATE, "no code"},
		{"code=&state=" STATE, "no code"},
		{"code=a%00b&state=" STATE, "no code"},
		{"code=a%0Ab&state=" STATE, "no code"},
		{"error=access_denied&code=x&state=" STATE, "did not agree: access_denied"},
		{"error=a%1B%0a&error_description=no%20%22way%22&state=" STATE,
			"a\\x1b\\x0a: no \\\"way\\\""},
	};
	struct vault_oauth_profile *p = profile_of(
		"{" T ",\"authorization_endpoint\":\"https://a/\"}");
	struct base_error err;
	struct base_buf out;
	char *endless = base_alloc_zero(1, 10001);

	use_rfc_verifier();
	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		if (code(p, rows[i].query, &out, &err) != BASE_ERROR_PEER ||
			!strstr(err.text, rows[i].why))
			fail_msg("%s: %s", rows[i].query, err.text);
		assert_int_equal(out.len, 0);
	}
	memset(endless, 'a', 10000);
	assert_int_equal(code(p, endless, &out, &err), BASE_ERROR_PEER);
	assert_non_null(strstr(err.text, "not one of"));
	free(endless);
	base_buf_release(&out);
	vault_oauth_profile_free(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strict_encoding),
		cmocka_unit_test(refresh),
		cmocka_unit_test(without_a_refresh_token),
		cmocka_unit_test(a_form_has_an_end),
		cmocka_unit_test(signatures_of_rfc_7515),
		cmocka_unit_test(a_client_proves_itself_by_its_key),
		cmocka_unit_test(all_algorithms_verify),
		cmocka_unit_test(jwt_bearer),
		cmocka_unit_test(device),
		cmocka_unit_test(authorize_url),
		cmocka_unit_test(a_code_buys_a_token),
		cmocka_unit_test(bad_redirects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
