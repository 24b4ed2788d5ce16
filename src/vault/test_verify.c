/* Known hashes of other systems, and what must never be right. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "vault/credentials.h"
#include "vault/verify_internal.h"

#include <stdlib.h>
#include <string.h>

struct row {
	const char *name, *stored, *password;
	bool upgrade;
};

static const struct row right[] = {
	{"yescrypt", "$y$j9T$abcdefgh$Q/pi/4em3AhK7wvHGCV4vLOJGMV4nSPmHVjMtEZzz/7", "tanstaaf",
		false},
	{"sha256crypt", "$5$saltsalt$AHEKnDWlz30naxZICwx9iP.q/8kkh.5vY4KFHIo4Rn8", "tanstaaf",
		true},
	{"sha512crypt",
		"$6$saltsalt$JfDkfKepJJ8OUWRByLbPk38gXHsXisVEzfbhJNOdQONUSHJpsMS04wE7S46k63uz"
		"hSh1G0j2QJ1gqfWqZChQE.",
		"tanstaaf", true},
	{"bcrypt", "$2b$04$abcdefghijklmnopqrstuumJUK7dJmoK7yMfXBMkeTJL1Y.du7qIG", "tanstaaf",
		true},
	{"md5crypt", "$1$saltsalt$roN2lUfEbZqZad1NpG.Zy1", "tanstaaf", true},
	{"des", "ab/TdqTfG5VbQ", "tanstaaf", true},
	{"bsdi des", "_J9..saltUr0DPw0DcsA", "tanstaaf", true},
	{"nthash", "$3$$c001daf1b0072a380269a809bb16d2b4", "tanstaaf", true},
	{"sha1crypt", "$sha1$1000$abcdefgh$G7Fhjb9ciNeXKid6nF4dz02Opmay", "tanstaaf", true},
	/* from Apache's htpasswd */
	{"apr1", "$apr1$KMJkJA.p$c7uifQK6w1.QzCTHXyllH/", "tanstaaf", true},
	{"apr1 long", "$apr1$uPNciGSr$p5IXRT2WQXikr74lRP3GJ0", "a much longer passphrase with 33 b",
		true},
	{"scheme crypt", "{CRYPT}ab/TdqTfG5VbQ", "tanstaaf", true},
	{"scheme blf", "{BLF-CRYPT}$2b$04$abcdefghijklmnopqrstuumJUK7dJmoK7yMfXBMkeTJL1Y.du7qIG",
		"tanstaaf", true},
	{"plain", "{PLAIN}a b{}c", "a b{}c", true},
	{"cleartext", "{CLEARTEXT}x", "x", true},
	/* RFC 6070 */
	{"pbkdf2 dovecot", "{PBKDF2}$1$salt$4096$4b007901b765489abead49d926f721d065a429c1",
		"password", true},
	{"pbkdf2 passlib", "$pbkdf2$4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE", "password", true},
	{"pbkdf2 ldap", "{PBKDF2}4096$c2FsdA$SwB5AbdlSJq.rUnZJvch0GWkKcE", "password", true},
	/* PBKDF2-HMAC-SHA256 of RFC 7914 section 11 cut to one hash */
	{"pbkdf2 sha256", "$pbkdf2-sha256$80000$TmFDbA$TdzY9guYviGDDO5e8icB.WQaRBjQTAQUrv8Ih2s0q1Y",
		"Password", true},
	{"sha", "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "password", true},
	{"sha hex", "{SHA1.HEX}5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8", "password", true},
	{"plain md5", "{PLAIN-MD5}5f4dcc3b5aa765d61d8327deb882cf99", "password", true},
	{"ldap md5", "{LDAP-MD5}X03MO1qnZdYdgyfeuILPmQ==", "password", true},
	/* RFC 7677 */
	{"scram",
		"{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,"
		"WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,"
		"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
		"pencil", true},
#ifdef VAULT_HAVE_ARGON2
	/* from the reference implementation's own tests */
	{"argon2id",
		"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi"
		"/4",
		"password", false},
	{"argon2id two lanes",
		"$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg"
		"2f/5U52iv1cDc",
		"password", false},
	{"argon2i",
		"$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+"
		"sCcFanM2xBT63UP2sghkUoHLIUpWRS8",
		"password", false},
	{"argon2 scheme",
		"{ARGON2ID}$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7"
		"TKyQwu9U1bMCHGi/4",
		"password", false},
#endif
};

/* Every one with password "password"; none may be right, none may crash. */
static const char *const wrong[] = {
	"*",
	"!",
	"!!",
	"*0",
	"*1",
	"x",
	"!$y$j9T$abcdefgh$Q/pi/4em3AhK7wvHGCV4vLOJGMV4nSPmHVjMtEZzz/7",
	"$9$bad",
	"$",
	"$$",
	"$y$",
	"$y$j",
	"$y$j9T$",
	"$y$jzT$abcdefgh$aaaa",
	"$2b$31$abcdefghijklmnopqrstuu",
	"$2b$",
	"$6$rounds=999999999$salt$",
	"$6$",
	"$sha1$4294967295$abcdefgh$",
	"$7$zzzzzzzz",
	"{",
	"{}",
	"{}x",
	"{NOPE}password",
	"{PLAIN}",
	"{CRYPT}",
	"{CRYPT}*",
	"{PLAIN.b64}password",
	"{SHA}",
	"{SHA}AAAA",
	"{SHA}!!!!",
	"{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
	"{SHA256}",
	"{PBKDF2}",
	"{PBKDF2}$1$",
	"{PBKDF2}$1$salt$0$4b007901b765489abead49d926f721d065a429c1",
	"{PBKDF2}$1$salt$99999999999$4b007901b765489abead49d926f721d065a429c1",
	"{PBKDF2}$1$salt$1$4b00",
	"{PBKDF2}$1$$1$4b007901b765489abead49d926f721d065a429c1",
	"$pbkdf2$",
	"$pbkdf2-sha256$1$c2FsdA$AAAA",
	"$pbkdf2-sha256$-1$c2FsdA$AAAA",
	"{SCRAM-SHA-256}",
	"{SCRAM-SHA-256}4096,AAAA",
	"{SCRAM-SHA-256}0,AAAA,AAAA,AAAA",
	"$apr1$",
	"$apr1$saltsalt$",
	"$apr1$saltsalt9$c7uifQK6w1.QzCTHXyllH/",
	"$argon2id$",
	"$argon2id$v=19$m=256,t=2,p=1$",
	"$argon2id$v=19$m=1,t=2,p=1$c29tZXNhbHQ$AAAA",
	("$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/"
	 "uIPnA4rEsF5h7TKyQwu9U1bMCHGi/"
	 "4"),
	"$argon2id$v=19$m=256,t=0,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"$argon2id$v=19$m=256,t=2,p=99$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
	"password",
};

static void right_ones(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(right); i++) {
		const struct row *r = &right[i];
		char *exact = base_alloc(strlen(r->stored));
		struct base_slice stored = base_slice_make(exact, strlen(r->stored));
		bool upgrade = false;

		memcpy(exact, r->stored, strlen(r->stored));
		if (vault_verify(stored, base_slice_text(r->password), &upgrade) !=
				VAULT_VERIFY_RIGHT ||
			upgrade != r->upgrade)
			fail_msg("%s", r->name);
		if (vault_verify(stored, BASE_SLICE("Tanstaaf"), &upgrade) != VAULT_VERIFY_WRONG ||
			upgrade)
			fail_msg("%s takes a wrong password", r->name);
		free(exact);
	}
}

static void wrong_ones(void **state)
{
	for (size_t i = 0; i < BASE_COUNT(wrong); i++)
		if (vault_verify(base_slice_text(wrong[i]), BASE_SLICE("password"), NULL) !=
			VAULT_VERIFY_WRONG)
			fail_msg("%s", wrong[i]);
	assert_int_equal(
		vault_verify(BASE_SLICE_EMPTY, BASE_SLICE("password"), NULL), VAULT_VERIFY_WRONG);
}

static void passwords_out_of_bounds(void **state)
{
	char *exact = base_alloc(600);
	struct base_slice stored = BASE_SLICE("{PLAIN}password");

	memset(exact, 'p', 600);
	assert_int_equal(vault_verify(stored, BASE_SLICE_EMPTY, NULL), VAULT_VERIFY_WRONG);
	assert_int_equal(vault_verify(stored, BASE_SLICE("password\0"), NULL), VAULT_VERIFY_WRONG);
	assert_int_equal(vault_verify(stored, BASE_SLICE("password\0x"), NULL), VAULT_VERIFY_WRONG);
	assert_int_equal(
		vault_verify(stored, base_slice_make(exact, 512), NULL), VAULT_VERIFY_WRONG);
	assert_int_equal(
		vault_verify(stored, base_slice_make(exact, 600), NULL), VAULT_VERIFY_WRONG);
	free(exact);
}

static void derived_credentials_verify_and_travel(void **state)
{
	static const uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = "some random bytes, fixed";
	sasl_mechanism_mask all = SASL_MASK(SASL_MECHANISM_PLAIN) |
		SASL_MASK(SASL_MECHANISM_SCRAM_SHA_1) |
		SASL_MASK(SASL_MECHANISM_SCRAM_SHA_512_PLUS);
	struct vault_credentials c, back;
	struct base_buf encoded;

	vault_credentials_init(&c);
	vault_credentials_init(&back);
	base_buf_init_secret(&encoded, VAULT_CREDENTIALS_ENCODED_MAX_BYTES);
	assert_int_equal(vault_credentials_derive(BASE_SLICE("geheim"), all, random, &c, NULL), 0);
	assert_int_equal(strncmp(c.hash, "$y$j9T$", 7), 0);
	assert_int_equal(c.scram[BASE_HASH_SHA256].iterations, 0);
	assert_int_equal(c.scram[BASE_HASH_SHA512].iterations, 4096);
	assert_int_equal(c.secret.len, 0);
	assert_int_equal(vault_credentials_missing(&c, all), 0);
	assert_int_equal(vault_credentials_missing(&c, all | SASL_MASK(SASL_MECHANISM_CRAM_MD5)),
		SASL_MASK(SASL_MECHANISM_CRAM_MD5));
	assert_int_equal(vault_verify(base_slice_text(c.hash), BASE_SLICE("geheim"), NULL),
		VAULT_VERIFY_RIGHT);
	assert_true(vault_credentials_encode(&c, &encoded));
	assert_true(vault_credentials_decode(base_buf_slice(&encoded), &back));
	assert_string_equal(back.hash, c.hash);
	assert_memory_equal(back.scram, c.scram, sizeof(c.scram));
	for (size_t cut = 0; cut < encoded.len; cut++) {
		uint8_t *exact = base_alloc(cut ? cut : 1);

		memcpy(exact, encoded.ptr, cut);
		assert_false(vault_credentials_decode(base_slice_make(exact, cut), &back));
		free(exact);
	}
	base_buf_append_byte(&encoded, 0);
	assert_false(vault_credentials_decode(base_buf_slice(&encoded), &back));
	vault_credentials_release(&c);
	vault_credentials_release(&back);
	base_buf_release(&encoded);
}

static void secret_only_for_cram_md5(void **state)
{
	static const uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = "r";
	struct vault_credentials c;

	vault_credentials_init(&c);
	assert_int_equal(vault_credentials_derive(BASE_SLICE("geheim"),
				 SASL_MASK(SASL_MECHANISM_CRAM_MD5), random, &c, NULL),
		0);
	assert_true(base_slice_equal_text(base_secret_slice(&c.secret), "geheim"));
	vault_credentials_release(&c);
}

static void bad_passwords_are_refused(void **state)
{
	static const uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES] = "r";
	char text[600] = {0};
	const struct base_slice bad[] = {BASE_SLICE_EMPTY, BASE_SLICE("a\0b"), BASE_SLICE("a\nb"),
		BASE_SLICE("\xff\xfe"), base_slice_make(text, 512)};
	struct vault_credentials c;
	struct base_error err;

	memset(text, 'p', sizeof(text));
	for (size_t i = 0; i < BASE_COUNT(bad); i++) {
		vault_credentials_init(&c);
		assert_int_equal(vault_credentials_derive(
					 bad[i], SASL_MASK(SASL_MECHANISM_PLAIN), random, &c, &err),
			BASE_ERROR_PERMANENT);
		assert_null(strstr(err.text, "ppp"));
		vault_credentials_release(&c);
	}
	vault_credentials_init(&c);
	assert_int_equal(vault_credentials_derive(base_slice_make(text, 511),
				 SASL_MASK(SASL_MECHANISM_PLAIN), random, &c, NULL),
		0);
	assert_int_equal(vault_verify(base_slice_text(c.hash), base_slice_make(text, 511), NULL),
		VAULT_VERIFY_RIGHT);
	vault_credentials_release(&c);
}

static void generated_passwords_are_fast(void **state)
{
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];
	struct vault_credentials c;
	struct base_secret password;

	for (size_t i = 0; i < sizeof(random); i++)
		random[i] = (uint8_t)(i * 11);
	vault_credentials_init(&c);
	base_secret_init(&password, 64);
	assert_int_equal(vault_credentials_generate(SASL_MASK(SASL_MECHANISM_SCRAM_SHA_256), random,
				 &c, &password, NULL),
		0);
	assert_int_equal(password.len, VAULT_APP_PASSWORD_CHARS);
	assert_true(vault_verify_is_fast(base_slice_text(c.hash)));
	assert_int_equal(vault_verify(base_slice_text(c.hash), base_secret_slice(&password), NULL),
		VAULT_VERIFY_RIGHT);
	assert_int_equal(c.scram[BASE_HASH_SHA256].iterations, 4096);
	base_secret_release(&password);
	vault_credentials_release(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(right_ones),
		cmocka_unit_test(wrong_ones),
		cmocka_unit_test(passwords_out_of_bounds),
		cmocka_unit_test(derived_credentials_verify_and_travel),
		cmocka_unit_test(secret_only_for_cram_md5),
		cmocka_unit_test(bad_passwords_are_refused),
		cmocka_unit_test(generated_passwords_are_fast),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
