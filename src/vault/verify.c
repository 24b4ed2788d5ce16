/* The order of trial: a {SCHEME} says what follows; without one, argon2, PBKDF2 and Apache's MD5 are
 * known by their prefixes, and all else goes to crypt(3).
 *
 * Whatever makes a stored text unusable costs as much as a yescrypt of the default cost, so that the
 * time says nothing about why. */
#include "vault/verify.h"

#include "base/secret.h"
#include "vault/credentials.h"
#include "vault/verify_internal.h"

#include <crypt.h>
#include <string.h>

/* Nobody's password: what is computed when there is nothing to compare with. */
static const char DEFAULT_WORK[] =
	"$y$j9T$/Uk1Ko/7f6HC.RYHJlpMe/$UPSXUOVKAbj/ACrdPz0Iu8VObJkHdHy7rkN7qPrS6Y.";

static bool rounds_ok(struct base_slice text, uint64_t most)
{
	struct base_slice number;
	uint64_t value;

	return base_slice_split(&text, '$', &number) && base_slice_to_u64(number, &value) &&
		value <= most;
}

/* "$2b$12$…": "12". "$y$j9T$…": N is 2^(1 + place of the second sign). */
bool vault_crypt_cost_ok(struct base_slice s)
{
	static const char itoa64[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const char rounds[] = "rounds=";
	const char *place;

	if (s.len < 4 || s.ptr[0] != '$')
		return true;
	if (s.ptr[1] == '2')
		return s.len > 7 && s.ptr[3] == '$' &&
			rounds_ok(base_slice_from(s, 4), VAULT_BCRYPT_COST_MAX);
	if (base_slice_starts_with(s, BASE_SLICE("$sha1$")))
		return rounds_ok(base_slice_from(s, 6), VAULT_ITERATIONS_MAX);
	if (base_slice_starts_with(s, BASE_SLICE("$y$")) ||
		base_slice_starts_with(s, BASE_SLICE("$gy$"))) {
		size_t at = s.ptr[1] == 'y' ? 4 : 5;

		if (s.len <= at)
			return false;
		place = memchr(itoa64, s.ptr[at], sizeof(itoa64) - 1);
		return place && place - itoa64 <= 16;
	}
	if (base_slice_starts_with(s, BASE_SLICE("$7$"))) {
		place = memchr(itoa64, s.ptr[3], sizeof(itoa64) - 1);
		return place && place - itoa64 <= 18;
	}
	for (size_t i = 0; i + sizeof(rounds) - 1 < s.len; i++)
		if (memcmp(s.ptr + i, rounds, sizeof(rounds) - 1) == 0)
			return rounds_ok(
				base_slice_from(s, i + sizeof(rounds) - 1), VAULT_ITERATIONS_MAX);
	return true;
}

static enum vault_verify_result with_crypt(const char *stored, struct base_slice password)
{
	struct crypt_data *data = base_alloc_zero(1, sizeof(*data));
	struct base_secret memory;
	char phrase[VAULT_PASSWORD_MAX_BYTES + 1];
	const char *made;
	bool right;

	if (password.len)
		memcpy(phrase, password.ptr, password.len);
	phrase[password.len] = '\0';
	made = crypt_r(phrase, stored, data);
	/* A failure may be null or a "*0": neither is equal to what is stored, even if that is "*0". */
	right = made && made[0] != '*' &&
		base_equal_constant_time(base_slice_text(made), base_slice_text(stored));
	base_wipe(phrase, sizeof(phrase));
	memory = (struct base_secret){(uint8_t *)data, sizeof(*data), sizeof(*data)};
	base_secret_release(&memory);
	return right ? VAULT_VERIFY_RIGHT : VAULT_VERIFY_WRONG;
}

static enum vault_verify_result default_work(struct base_slice password)
{
	struct base_slice phrase = base_slice_first(password, VAULT_PASSWORD_MAX_BYTES);

	(void)with_crypt(DEFAULT_WORK, phrase);
	return VAULT_VERIFY_WRONG;
}

static bool password_usable(struct base_slice password)
{
	return password.len > 0 && password.len <= VAULT_PASSWORD_MAX_BYTES &&
		!base_slice_has(password, '\0');
}

bool vault_crypt_scheme_known(struct base_slice scheme)
{
	static const char *const names[] = {"", "CRYPT", "DES-CRYPT", "MD5-CRYPT", "MD5",
		"SHA256-CRYPT", "SHA512-CRYPT", "BLF-CRYPT", "YESCRYPT", "ARGON2I", "ARGON2ID",
		"ARGON2"};

	for (size_t i = 0; i < BASE_COUNT(names); i++)
		if (base_slice_equal_text_nocase(scheme, names[i]))
			return true;
	return false;
}

static enum vault_verify_result verify_crypt(
	struct base_slice text, struct base_slice password, bool *out_upgrade)
{
	char stored[VAULT_HASH_MAX_BYTES + 1];

	/* "*" and "!" are how a passwd file locks an account; DES settings begin with neither. */
	if (!text.len || text.len > VAULT_HASH_MAX_BYTES || text.ptr[0] == '*' ||
		text.ptr[0] == '!' || base_slice_has(text, '\0') || !vault_crypt_cost_ok(text))
		return default_work(password);
	memcpy(stored, text.ptr, text.len);
	stored[text.len] = '\0';
	*out_upgrade = !base_slice_starts_with(text, BASE_SLICE("$y$")) &&
		!base_slice_starts_with(text, BASE_SLICE("$gy$")) &&
		!base_slice_starts_with(text, BASE_SLICE("$7$"));
	return with_crypt(stored, password);
}

static enum vault_verify_result verify_form(
	struct base_slice stored, struct base_slice password, bool *out_upgrade)
{
	struct base_slice scheme = BASE_SLICE_EMPTY, text = stored;
	struct vault_pbkdf2 pbkdf2;
	struct vault_argon2 argon2;
	bool right = false;

	*out_upgrade = true;
	(void)vault_stored_scheme(&text, &scheme);
	switch (vault_digest_verify(scheme, text, password, &right)) {
	case VAULT_FORM_GOOD:
		return right ? VAULT_VERIFY_RIGHT : VAULT_VERIFY_WRONG;
	case VAULT_FORM_BROKEN:
		return default_work(password);
	case VAULT_FORM_OTHER:
		break;
	}
	switch (vault_pbkdf2_parse(scheme, text, &pbkdf2)) {
	case VAULT_FORM_GOOD:
		return vault_pbkdf2_verify(&pbkdf2, password);
	case VAULT_FORM_BROKEN:
		return default_work(password);
	case VAULT_FORM_OTHER:
		break;
	}
	if (!vault_crypt_scheme_known(scheme))
		return default_work(password);
	switch (vault_apr1_verify(text, password, &right)) {
	case VAULT_FORM_GOOD:
		return right ? VAULT_VERIFY_RIGHT : VAULT_VERIFY_WRONG;
	case VAULT_FORM_BROKEN:
		return default_work(password);
	case VAULT_FORM_OTHER:
		break;
	}
	switch (vault_argon2_parse(text, &argon2)) {
	case VAULT_FORM_GOOD:
		*out_upgrade = false;
		return vault_argon2_verify(&argon2, password);
	case VAULT_FORM_BROKEN:
		return default_work(password);
	case VAULT_FORM_OTHER:
		break;
	}
	return verify_crypt(text, password, out_upgrade);
}

enum vault_verify_result vault_verify(
	struct base_slice stored, struct base_slice password, bool *out_upgrade)
{
	enum vault_verify_result result;
	bool upgrade = false;

	if (!stored.len || !password_usable(password))
		return default_work(password);
	result = verify_form(stored, password, &upgrade);
	if (out_upgrade)
		*out_upgrade = upgrade && result == VAULT_VERIFY_RIGHT;
	return result;
}

bool vault_verify_is_fast(struct base_slice stored)
{
	return base_slice_starts_with_nocase(stored, BASE_SLICE("{SSHA256}"));
}
