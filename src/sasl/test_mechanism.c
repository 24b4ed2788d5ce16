#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "sasl/client.h"

#include <string.h>

#define M(name) SASL_MASK(SASL_MECHANISM_##name)

static void names_are_found(void **state)
{
	(void)state;
	for (int i = SASL_MECHANISM_NONE + 1; i < SASL_MECHANISM_COUNT; i++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)i);
		char lower[32];
		size_t len = strlen(info->name);

		assert_true(len > 0 && len < sizeof(lower));
		for (size_t k = 0; k <= len; k++)
			lower[k] = (char)base_ascii_lower((uint8_t)info->name[k]);
		assert_int_equal(sasl_mechanism_parse(base_slice_text(info->name)), i);
		assert_int_equal(sasl_mechanism_parse(base_slice_text(lower)), i);
		assert_true(sasl_mechanism_name_valid(base_slice_text(info->name)));
		if (info->plus != SASL_MECHANISM_NONE) {
			assert_true(sasl_mechanism_info(info->plus)->flags & SASL_CHANNEL_BINDING);
			assert_int_equal(sasl_mechanism_info(info->plus)->hash, info->hash);
		}
	}
	assert_string_equal(sasl_mechanism_info(SASL_MECHANISM_NONE)->name, "");
}

static void other_names_are_not(void **state)
{
	static const struct {
		const char *name;
		bool valid;
	} rows[] = {
		{"", false},
		{"evil", true},
		{"__proto__", true},
		{"NTLM", true},
		{"PLAI", true},
		{"PLAINX", true},
		{"PLAIN ", false},
		{"PL\tAIN", false},
		{"SCRAM-SHA-256-PLUS-X", true},
		{"SCRAM-SHA-256-PLUS-XX", false},
		{"A.B", false},
		{"\xc3\xa9", false},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		struct base_slice name = base_slice_text(rows[i].name);

		assert_int_equal(sasl_mechanism_parse(name), SASL_MECHANISM_NONE);
		assert_int_equal(sasl_mechanism_name_valid(name), rows[i].valid);
	}
	assert_int_equal(sasl_mechanism_parse(base_slice_make("PLAIN\0", 6)), SASL_MECHANISM_NONE);
}

static void bindings_are_exact(void **state)
{
	(void)state;
	for (int i = SASL_BINDING_NONE + 1; i < SASL_BINDING_COUNT; i++)
		assert_int_equal(sasl_binding_parse(
					 base_slice_text(sasl_binding_name((enum sasl_binding)i))),
			i);
	assert_int_equal(sasl_binding_parse(BASE_SLICE("")), SASL_BINDING_NONE);
	assert_int_equal(sasl_binding_parse(BASE_SLICE("TLS-EXPORTER")), SASL_BINDING_NONE);
	assert_int_equal(sasl_binding_parse(BASE_SLICE("tls-exporter ")), SASL_BINDING_NONE);
}

static void strongest_is_chosen(void **state)
{
	static const struct {
		const char *name;
		sasl_mechanism_mask offered, allowed, tried;
		bool binding, plaintext_ok;
		enum sasl_mechanism expected;
	} rows[] = {
		{"nothing offered", 0, ~0u, 0, true, true, SASL_MECHANISM_NONE},
		{"plain text not allowed", M(PLAIN) | M(LOGIN), ~0u, 0, true, false,
			SASL_MECHANISM_NONE},
		{"plain text allowed", M(PLAIN) | M(LOGIN), ~0u, 0, true, true,
			SASL_MECHANISM_PLAIN},
		{"challenge before plain", M(PLAIN) | M(CRAM_MD5), ~0u, 0, false, true,
			SASL_MECHANISM_CRAM_MD5},
		{"not allowed by the account", M(PLAIN) | M(CRAM_MD5), M(PLAIN), 0, false, true,
			SASL_MECHANISM_PLAIN},
		{"already tried", M(PLAIN) | M(CRAM_MD5), ~0u, M(CRAM_MD5), false, true,
			SASL_MECHANISM_PLAIN},
		{"no binding", M(SCRAM_SHA_256_PLUS) | M(SCRAM_SHA_1), ~0u, 0, false, true,
			SASL_MECHANISM_SCRAM_SHA_1},
		{"only PLUS and no binding", M(SCRAM_SHA_256_PLUS), ~0u, 0, false, true,
			SASL_MECHANISM_NONE},
		{"binding", M(SCRAM_SHA_256_PLUS) | M(SCRAM_SHA_256), ~0u, 0, true, true,
			SASL_MECHANISM_SCRAM_SHA_256_PLUS},
		{"binding before a longer hash", M(SCRAM_SHA_1_PLUS) | M(SCRAM_SHA_512), ~0u, 0,
			true, true, SASL_MECHANISM_SCRAM_SHA_1_PLUS},
		{"demanded PLUS is not offered", M(SCRAM_SHA_256) | M(PLAIN), M(SCRAM_SHA_256_PLUS),
			0, true, true, SASL_MECHANISM_NONE},
		{"by strength, not by number", M(DIGEST_MD5) | M(SCRAM_SHA_1), ~0u, 0, false, true,
			SASL_MECHANISM_SCRAM_SHA_1},
		{"DIGEST-MD5 is historic", M(DIGEST_MD5) | M(LOGIN), ~0u, 0, false, true,
			SASL_MECHANISM_LOGIN},
		{"and better than a password in clear", M(DIGEST_MD5) | M(PLAIN), ~0u, 0, false,
			false, SASL_MECHANISM_DIGEST_MD5},
		{"foreign only where allowed", M(DIGEST_MD5) | M(CRAM_MD5), ~M(DIGEST_MD5), 0,
			false, true, SASL_MECHANISM_CRAM_MD5},
		{"OAUTHBEARER before XOAUTH2", M(XOAUTH2) | M(OAUTHBEARER), ~0u, 0, true, true,
			SASL_MECHANISM_OAUTHBEARER},
		{"tokens as plain text", M(XOAUTH2) | M(OAUTHBEARER) | M(EXTERNAL), ~0u, 0, true,
			false, SASL_MECHANISM_NONE},
		{"a binding without TLS that is verified", M(SCRAM_SHA_1_PLUS) | M(XOAUTH2), ~0u, 0,
			true, false, SASL_MECHANISM_SCRAM_SHA_1_PLUS},
		{"a certificate has one", M(EXTERNAL) | M(PLAIN) | M(GSSAPI), M(EXTERNAL), 0, true,
			true, SASL_MECHANISM_EXTERNAL},
	};

	(void)state;
	for (size_t i = 0; i < BASE_COUNT(rows); i++) {
		enum sasl_mechanism found = sasl_client_choose(rows[i].offered, rows[i].allowed,
			rows[i].tried, rows[i].binding, rows[i].plaintext_ok);

		if (found != rows[i].expected)
			fail_msg(
				"%s: chose \"%s\"", rows[i].name, sasl_mechanism_info(found)->name);
	}
}

/* Each mechanism serves one kind of credential, none is as strong as another, and a server has none of
 * a client's. */
static void credentials_part_the_mechanisms(void **state)
{
	sasl_mechanism_mask all = 0, strengths = 0,
			    server = M(LOGIN) | M(PLAIN) | M(CRAM_MD5) | M(SCRAM_SHA_1) |
		M(SCRAM_SHA_1_PLUS) | M(SCRAM_SHA_256) | M(SCRAM_SHA_256_PLUS) | M(SCRAM_SHA_512) |
		M(SCRAM_SHA_512_PLUS);

	(void)state;
	for (int i = 0; i < SASL_CREDENTIAL_COUNT; i++) {
		sasl_mechanism_mask mask = sasl_mechanism_mask_of((enum sasl_credential)i);

		assert_int_equal(all & mask, 0);
		all |= mask;
	}
	assert_int_equal(all, SASL_MASK(SASL_MECHANISM_COUNT) - 1 - M(NONE));
	for (int i = SASL_MECHANISM_NONE + 1; i < SASL_MECHANISM_COUNT; i++) {
		unsigned strength = sasl_mechanism_info((enum sasl_mechanism)i)->strength;

		assert_int_equal(strengths & (1u << strength), 0);
		strengths |= 1u << strength;
	}
	assert_int_equal(sasl_mechanism_mask_of(SASL_CREDENTIAL_PASSWORD), server | M(DIGEST_MD5));
	assert_int_equal(
		sasl_mechanism_mask_of(SASL_CREDENTIAL_TOKEN), M(XOAUTH2) | M(OAUTHBEARER));
	assert_int_equal(sasl_mechanism_mask_of(SASL_CREDENTIAL_CERTIFICATE), M(EXTERNAL));
	assert_int_equal(sasl_mechanism_mask_of(SASL_CREDENTIAL_TICKET), M(GSSAPI));
	assert_int_equal(SASL_MASK_SERVER & ~M(NONE), server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(other_names_are_not),
		cmocka_unit_test(bindings_are_exact),
		cmocka_unit_test(strongest_is_chosen),
		cmocka_unit_test(credentials_part_the_mechanisms),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
