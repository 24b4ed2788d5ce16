/* Which word counts where a section and the vault both speak. */
#include "auth/merged.h"

#include "base/test_support.h"

/* The configuration owns its texts; these are nobody's to change. */
#define TEXT(literal) ((char *)(uintptr_t)(literal))

static struct vault_account row_of(enum vault_account_kind kind)
{
	struct vault_account row = {
		.name = "x",
		.url = "smtps://vault.example.org",
		.user = "vault",
		.kind = kind,
		.mechanisms = SASL_MASK(SASL_MECHANISM_PLAIN),
		.pin = "sha256:aa",
		.connections = 2,
		.rate_count = 10,
		.rate_s = 60,
	};

	return row;
}

static void test_section_wins(void **state)
{
	struct conf_account section = {
		.title = TEXT("x"),
		.url = TEXT("smtp://section.example.org"),
		.user = TEXT("section"),
		.mechanisms = SASL_MASK(SASL_MECHANISM_XOAUTH2),
		.pin = TEXT("sha256:bb"),
		.connections = 8,
		.rate_count = 100,
		.rate_s = 3600,
	};
	struct vault_account row = row_of(VAULT_ACCOUNT_OAUTH);
	struct auth_merged m;

	auth_merge(&section, &row, &m);
	assert_string_equal(m.url, "smtp://section.example.org");
	assert_string_equal(m.user, "section");
	assert_string_equal(m.pin, "sha256:bb");
	assert_int_equal(m.mechanisms, SASL_MASK(SASL_MECHANISM_XOAUTH2));
	assert_int_equal(m.connections, 8);
	assert_int_equal(m.rate_count, 100);
	assert_int_equal(m.rate_s, 3600);
	assert_int_equal(m.credential, SASL_CREDENTIAL_TOKEN);
	assert_false(m.certificate || m.ca);
}

static void test_vault_fills(void **state)
{
	struct conf_account section = {
		.title = TEXT("x"), .url = TEXT("smtp://section.example.org")};
	struct vault_account row = row_of(VAULT_ACCOUNT_PASSWORD);
	struct auth_merged m;

	row.has_ca = true;
	auth_merge(&section, &row, &m);
	assert_string_equal(m.url, "smtp://section.example.org");
	assert_string_equal(m.user, "vault");
	assert_string_equal(m.pin, "sha256:aa");
	assert_int_equal(m.mechanisms, SASL_MASK(SASL_MECHANISM_PLAIN));
	assert_int_equal(m.connections, 2);
	assert_int_equal(m.rate_count, 10);
	assert_int_equal(m.rate_s, 60);
	assert_int_equal(m.credential, SASL_CREDENTIAL_PASSWORD);
	assert_true(m.ca);
	auth_merge(NULL, &row, &m);
	assert_string_equal(m.url, "smtps://vault.example.org");
	auth_merge(&section, NULL, &m);
	assert_string_equal(m.user, "");
	assert_string_equal(m.pin, "");
	assert_int_equal(m.credential, SASL_CREDENTIAL_PASSWORD);
	assert_int_equal(m.rate_count, 0);
}

static void test_credential(void **state)
{
	struct conf_account section = {.title = TEXT("x"), .url = TEXT("u")};
	struct vault_account row = row_of(VAULT_ACCOUNT_CERTIFICATE);
	struct auth_merged m;

	row.mechanisms = 0;
	auth_merge(&section, &row, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_CERTIFICATE);
	/* A certificate beside a password proves the client to TLS, not to AUTH. */
	row = row_of(VAULT_ACCOUNT_PASSWORD);
	row.has_certificate = true;
	auth_merge(&section, &row, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_PASSWORD);
	assert_true(m.certificate);
	/* Unless mechanisms say so. */
	section.mechanisms = SASL_MASK(SASL_MECHANISM_EXTERNAL);
	auth_merge(&section, &row, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_CERTIFICATE);
	row.has_certificate = false;
	auth_merge(&section, &row, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_PASSWORD);
	/* A section alone. */
	section.mechanisms = 0;
	section.certificate = section.key = TEXT("f");
	auth_merge(&section, NULL, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_CERTIFICATE);
	assert_true(m.certificate);
	section.mechanisms = SASL_MASK(SASL_MECHANISM_GSSAPI);
	auth_merge(&section, NULL, &m);
	assert_int_equal(m.credential, SASL_CREDENTIAL_TICKET);
}

static void test_same(void **state)
{
	struct conf_account a = {.title = TEXT("x"), .url = TEXT("u"), .user = TEXT("n")}, b = a;

	assert_true(auth_section_same(&a, &b));
	assert_true(auth_section_same(NULL, NULL));
	assert_false(auth_section_same(&a, NULL));
	assert_false(auth_section_same(NULL, &a));
	b.line = 7;
	assert_true(auth_section_same(&a, &b));
	b.ca = b.url;
	assert_false(auth_section_same(&a, &b));
	assert_false(auth_section_same_files(&a, &b));
	b = a;
	b.user = NULL;
	assert_false(auth_section_same(&a, &b));
	assert_true(auth_section_same_files(&a, &b));
	b = a;
	b.connections = 1;
	assert_false(auth_section_same(&a, &b));
	b = a;
	b.rate_s = 1;
	assert_false(auth_section_same(&a, &b));
	b = a;
	b.mechanisms = 1;
	assert_false(auth_section_same(&a, &b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_section_wins),
		cmocka_unit_test(test_vault_fills),
		cmocka_unit_test(test_credential),
		cmocka_unit_test(test_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
