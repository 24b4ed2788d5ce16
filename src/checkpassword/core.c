#include "checkpassword/core.h"

#include "base/base64.h"
#include "base/digest.h"
#include "vault/verify.h"

enum { DIGEST_BYTES = 16, APOP_MAX_BYTES = WIRE_CHECKPASSWORD_MAX_BYTES + 2048 };

enum wire_checkpassword_result checkpassword_login_read(
	struct base_slice in, enum wire_checkpassword_order order, struct checkpassword_login *out)
{
	struct wire_checkpassword plain, digest;
	enum wire_checkpassword_result result = wire_checkpassword_get(
		in, WIRE_CHECKPASSWORD_STANDARD, &plain);

	if (result == WIRE_CHECKPASSWORD_OK)
		result = wire_checkpassword_get(in, order, &digest);
	if (result != WIRE_CHECKPASSWORD_OK)
		return result;
	*out = (struct checkpassword_login){
		.name = plain.login,
		.password = plain.secret,
		.digest = digest.secret,
		.challenge = plain.challenge.len ? digest.challenge : BASE_SLICE_EMPTY,
	};
	return result;
}

static bool is_hex_of(const uint8_t sum[DIGEST_BYTES], struct base_slice digest)
{
	struct base_buf hex;
	bool equal;

	base_buf_init_secret(&hex, 2 * DIGEST_BYTES);
	base_hex_encode(base_slice_make(sum, DIGEST_BYTES), &hex);
	equal = base_equal_constant_time(base_buf_slice(&hex), digest);
	base_buf_release(&hex);
	return equal;
}

bool checkpassword_digest_right(const struct checkpassword_login *login, struct base_slice clear)
{
	uint8_t cram[DIGEST_BYTES], apop[DIGEST_BYTES];
	struct base_buf text;
	bool known = clear.len > 0, right;

	if (!login->challenge.len)
		return false;
	/* Unknown users cost the same. */
	if (!known)
		clear = BASE_SLICE("a password that nobody has");
	base_buf_init_secret(&text, APOP_MAX_BYTES);
	base_buf_append_slice(&text, login->challenge);
	base_buf_append_slice(&text, clear);
	base_hmac(BASE_HASH_MD5, clear, login->challenge, cram);
	base_hash(BASE_HASH_MD5, base_buf_slice(&text), apop);
	right = is_hex_of(cram, login->digest);
	right |= is_hex_of(apop, login->digest) && base_buf_ok(&text);
	base_buf_release(&text);
	base_wipe(cram, sizeof(cram));
	base_wipe(apop, sizeof(apop));
	return known && right;
}

enum checkpassword_verdict checkpassword_judge(const struct checkpassword_login *login,
	struct base_slice password, struct base_slice stored, struct base_slice clear)
{
	enum vault_verify_result plain = vault_verify(stored, password, NULL);
	bool digest = checkpassword_digest_right(login, clear);

	if (digest || (plain == VAULT_VERIFY_RIGHT && stored.len))
		return CHECKPASSWORD_RIGHT;
	return plain == VAULT_VERIFY_CANNOT ? CHECKPASSWORD_CANNOT : CHECKPASSWORD_WRONG;
}
