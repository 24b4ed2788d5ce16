/* PBKDF2 as others store it:
 *
 *   $pbkdf2$ROUNDS$SALT$SUM  $pbkdf2-sha256$…  $pbkdf2-sha512$…   salt and sum in base64 without
 *                                                padding, "." for "+" (passlib)
 *   {PBKDF2}ROUNDS$SALT$SUM  {PBKDF2-SHA256}…  {PBKDF2-SHA512}…   the same behind a scheme
 *   {PBKDF2}$1$SALT$ROUNDS$HEX                    SHA-1, the salt's text itself, 20 bytes (Dovecot)
 *   pbkdf2_sha256$ROUNDS$SALT$BASE64              the salt's text itself (Django) */
#include "base/base64.h"
#include "vault/verify_internal.h"

#include <string.h>

static bool take_rounds(struct base_slice text, uint32_t *out)
{
	uint64_t rounds;

	if (!base_slice_to_u64(text, &rounds) || rounds < 1 || rounds > VAULT_ITERATIONS_MAX)
		return false;
	*out = (uint32_t)rounds;
	return true;
}

static bool take_plain_salt(struct base_slice text, struct vault_pbkdf2 *out)
{
	if (!text.len || text.len > sizeof(out->salt))
		return false;
	memcpy(out->salt, text.ptr, text.len);
	out->salt_len = text.len;
	return true;
}

static bool three(struct base_slice text, struct base_slice part[3])
{
	return base_slice_split(&text, '$', &part[0]) && base_slice_split(&text, '$', &part[1]) &&
		text.len && ((part[2] = text), !base_slice_has(text, '$'));
}

/* ROUNDS$SALT$SUM */
static enum vault_form_result parse_passlib(struct base_slice text, struct vault_pbkdf2 *out)
{
	struct base_slice part[3];

	if (!three(text, part) || !take_rounds(part[0], &out->iterations) ||
		!vault_stored_base64(part[1], out->salt, sizeof(out->salt), &out->salt_len) ||
		!vault_stored_base64(part[2], out->sum, sizeof(out->sum), &out->sum_len))
		return VAULT_FORM_BROKEN;
	return out->sum_len == base_hash_len(out->hash) ? VAULT_FORM_GOOD : VAULT_FORM_BROKEN;
}

/* SALT$ROUNDS$HEX */
static enum vault_form_result parse_dovecot(struct base_slice text, struct vault_pbkdf2 *out)
{
	struct base_slice part[3];
	struct base_buf sum;
	enum vault_form_result result = VAULT_FORM_BROKEN;

	out->hash = BASE_HASH_SHA1;
	if (!three(text, part) || !take_plain_salt(part[0], out) ||
		!take_rounds(part[1], &out->iterations))
		return VAULT_FORM_BROKEN;
	base_buf_init(&sum, sizeof(out->sum));
	if (base_hex_decode(part[2], &sum) && sum.len == base_hash_len(BASE_HASH_SHA1)) {
		memcpy(out->sum, sum.ptr, sum.len);
		out->sum_len = sum.len;
		result = VAULT_FORM_GOOD;
	}
	base_buf_release(&sum);
	return result;
}

static enum vault_form_result parse_django(struct base_slice text, struct vault_pbkdf2 *out)
{
	struct base_slice part[3];

	if (!three(text, part) || !take_rounds(part[0], &out->iterations) ||
		!take_plain_salt(part[1], out) ||
		!vault_stored_base64(part[2], out->sum, sizeof(out->sum), &out->sum_len))
		return VAULT_FORM_BROKEN;
	return out->sum_len == base_hash_len(out->hash) ? VAULT_FORM_GOOD : VAULT_FORM_BROKEN;
}

enum vault_form_result vault_pbkdf2_parse(
	struct base_slice scheme, struct base_slice text, struct vault_pbkdf2 *out)
{
	static const struct {
		const char *scheme, *prefix;
		enum base_hash hash;
		enum vault_form_result (*parse)(struct base_slice, struct vault_pbkdf2 *);
	} forms[] = {
		{"PBKDF2", "$1$", BASE_HASH_SHA1, parse_dovecot},
		{"PBKDF2", "", BASE_HASH_SHA1, parse_passlib},
		{"PBKDF2-SHA256", "", BASE_HASH_SHA256, parse_passlib},
		{"PBKDF2-SHA512", "", BASE_HASH_SHA512, parse_passlib},
		{"", "$pbkdf2$", BASE_HASH_SHA1, parse_passlib},
		{"", "$pbkdf2-sha1$", BASE_HASH_SHA1, parse_passlib},
		{"", "$pbkdf2-sha256$", BASE_HASH_SHA256, parse_passlib},
		{"", "$pbkdf2-sha512$", BASE_HASH_SHA512, parse_passlib},
		{"", "pbkdf2_sha256$", BASE_HASH_SHA256, parse_django},
		{"", "pbkdf2_sha1$", BASE_HASH_SHA1, parse_django},
	};

	for (size_t i = 0; i < BASE_COUNT(forms); i++) {
		struct base_slice prefix = base_slice_text(forms[i].prefix);

		if (!base_slice_equal_text_nocase(scheme, forms[i].scheme) ||
			!base_slice_starts_with(text, prefix))
			continue;
		memset(out, 0, sizeof(*out));
		out->hash = forms[i].hash;
		return forms[i].parse(base_slice_from(text, prefix.len), out);
	}
	return VAULT_FORM_OTHER;
}

enum vault_verify_result vault_pbkdf2_verify(
	const struct vault_pbkdf2 *p, struct base_slice password)
{
	uint8_t sum[BASE_HASH_MAX_BYTES];
	bool right;

	base_pbkdf2(p->hash, password, base_slice_make(p->salt, p->salt_len), p->iterations, sum,
		p->sum_len);
	right = base_equal_constant_time(
		base_slice_make(sum, p->sum_len), base_slice_make(p->sum, p->sum_len));
	base_wipe(sum, sizeof(sum));
	return right ? VAULT_VERIFY_RIGHT : VAULT_VERIFY_WRONG;
}
