/* Stored forms and encoded credentials from anywhere: parsed within bounds, and what was decoded encodes
 * to the same bytes. Nothing expensive is computed. */
#include "vault/credentials.h"
#include "vault/verify_internal.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size), text = in, scheme = BASE_SLICE_EMPTY;
	struct vault_pbkdf2 pbkdf2;
	struct vault_argon2 argon2;
	struct vault_credentials c;
	struct base_buf out;
	bool right;

	(void)vault_stored_scheme(&text, &scheme);
	if (!base_slice_starts_with_nocase(scheme, BASE_SLICE("SCRAM")))
		(void)vault_digest_verify(scheme, text, BASE_SLICE("password"), &right);
	if (vault_pbkdf2_parse(scheme, text, &pbkdf2) == VAULT_FORM_GOOD)
		BASE_BUG_IF(pbkdf2.salt_len > sizeof(pbkdf2.salt) || !pbkdf2.iterations);
	if (vault_argon2_parse(text, &argon2) == VAULT_FORM_GOOD)
		BASE_BUG_IF(argon2.salt_len > sizeof(argon2.salt));
	(void)vault_crypt_cost_ok(text);
	vault_credentials_init(&c);
	if (vault_credentials_decode(in, &c)) {
		base_buf_init_secret(&out, VAULT_CREDENTIALS_ENCODED_MAX_BYTES);
		BASE_BUG_IF(!vault_credentials_encode(&c, &out));
		BASE_BUG_IF(out.len != size);
		base_buf_release(&out);
	}
	vault_credentials_release(&c);
	return 0;
}
