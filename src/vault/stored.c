/* What a stored form is, told by its shape alone.
 *
 * crypt(3)'s forms end in a sum of a length that the method decides, so a form that was cut, or a
 * password that happens to begin with a "$", is told from a hash. Without a "$" or "_" only DES's
 * thirteen signs are a hash: a password of exactly that shape would be taken for one, and match
 * nothing, which is the safe side. */
#include "vault/stored.h"

#include "base/base64.h"
#include "vault/credentials.h"
#include "vault/verify_internal.h"

#include <string.h>

static bool is_sign(uint8_t byte)
{
	return base_ascii_is_alnum(byte) || byte == '.' || byte == '/';
}

static bool all_signs(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_sign(s.ptr[i]))
			return false;
	return true;
}

static enum vault_stored_kind crypt_kind(struct base_slice text)
{
	static const struct {
		const char *prefix;
		size_t sum_len;
	} methods[] = {
		{"$1$", 22},
		{"$apr1$", 22},
		{"$2a$", 53},
		{"$2b$", 53},
		{"$2x$", 53},
		{"$2y$", 53},
		{"$3$", 32},
		{"$5$", 43},
		{"$6$", 86},
		{"$7$", 43},
		{"$y$", 43},
		{"$gy$", 43},
		{"$sha1$", 28},
		{"$md5$", 22},
		{"$md5,", 22},
	};

	for (size_t i = 0; i < BASE_COUNT(methods); i++) {
		struct base_slice prefix = base_slice_text(methods[i].prefix), sum;
		size_t last;

		if (!base_slice_starts_with(text, prefix))
			continue;
		last = base_slice_find_last(text, '$');
		sum = base_slice_from(text, last + 1);
		/* Something stands between the prefix and the sum, if only another "$". */
		return last >= prefix.len && sum.len == methods[i].sum_len && all_signs(sum) &&
				vault_crypt_cost_ok(text)
			? VAULT_STORED_HASH
			: VAULT_STORED_BROKEN;
	}
	if (text.ptr[0] == '_')
		return text.len == 20 && all_signs(base_slice_from(text, 1)) ? VAULT_STORED_HASH
									     : VAULT_STORED_BARE;
	return text.len == 13 && all_signs(text) ? VAULT_STORED_HASH : VAULT_STORED_BARE;
}

static bool is_locked(struct base_slice text)
{
	return text.ptr[0] == '*' || text.ptr[0] == '!' || base_slice_equal_text(text, "x");
}

/* Behind a scheme of crypt(3)'s, or behind none. */
static enum vault_stored_kind plain_kind(struct base_slice scheme, struct base_slice text)
{
	struct vault_pbkdf2 pbkdf2;
	struct vault_argon2 argon2;

	switch (vault_pbkdf2_parse(scheme, text, &pbkdf2)) {
	case VAULT_FORM_GOOD:
		return VAULT_STORED_HASH;
	case VAULT_FORM_BROKEN:
		return VAULT_STORED_BROKEN;
	case VAULT_FORM_OTHER:
		break;
	}
	if (!vault_crypt_scheme_known(scheme))
		return VAULT_STORED_SCHEME;
	if (is_locked(text))
		return VAULT_STORED_LOCKED;
	switch (vault_argon2_parse(text, &argon2)) {
	case VAULT_FORM_GOOD:
		return VAULT_STORED_HASH;
	case VAULT_FORM_BROKEN:
		return VAULT_STORED_BROKEN;
	case VAULT_FORM_OTHER:
		break;
	}
	return crypt_kind(text);
}

static enum vault_stored_kind digest_kind(struct base_slice scheme, struct base_slice text)
{
	struct sasl_scram_keys keys;
	enum base_hash hash;
	bool there;

	if (vault_scram_scheme(scheme, &hash)) {
		enum vault_form_result result = vault_scram_parse(hash, text, &keys, &there);

		base_wipe(&keys, sizeof(keys));
		return result == VAULT_FORM_GOOD ? VAULT_STORED_HASH : VAULT_STORED_BROKEN;
	}
	return vault_digest_verify(scheme, text, BASE_SLICE("-"), &there) == VAULT_FORM_GOOD
		? VAULT_STORED_HASH
		: VAULT_STORED_BROKEN;
}

enum vault_stored_kind vault_stored_kind(struct base_slice stored)
{
	struct base_slice scheme = BASE_SLICE_EMPTY, text = stored, password;
	enum vault_stored_kind kind;

	if (base_slice_has(stored, '\0'))
		return VAULT_STORED_BROKEN;
	(void)vault_stored_scheme(&text, &scheme);
	if (!text.len)
		return VAULT_STORED_EMPTY;
	if (vault_stored_clear(stored, &password))
		return password.len <= VAULT_PASSWORD_MAX_BYTES ? VAULT_STORED_CLEAR
								: VAULT_STORED_BROKEN;
	if (stored.len > VAULT_HASH_MAX_BYTES)
		return scheme.len ? VAULT_STORED_BROKEN : VAULT_STORED_BARE;
	if (vault_digest_scheme_known(scheme))
		return digest_kind(scheme, text);
	kind = plain_kind(scheme, text);
	return kind == VAULT_STORED_BARE && scheme.len ? VAULT_STORED_BROKEN : kind;
}

const char *vault_stored_reason(enum vault_stored_kind kind)
{
	switch (kind) {
	case VAULT_STORED_CLEAR:
	case VAULT_STORED_HASH:
		break;
	case VAULT_STORED_EMPTY:
		return "there is no password";
	case VAULT_STORED_LOCKED:
		return "the password is locked";
	case VAULT_STORED_BARE:
		return "the password is no hash that is known; clear text needs {PLAIN}";
	case VAULT_STORED_SCHEME:
		return "the {SCHEME} of the password is not known";
	case VAULT_STORED_BROKEN:
		return "the stored password is damaged, too costly or too long";
	}
	return NULL;
}

bool vault_stored_clear(struct base_slice stored, struct base_slice *out_password)
{
	struct base_slice scheme, text = stored;

	if (!vault_stored_scheme(&text, &scheme) || !text.len ||
		(!base_slice_equal_text_nocase(scheme, "PLAIN") &&
			!base_slice_equal_text_nocase(scheme, "CLEARTEXT") &&
			!base_slice_equal_text_nocase(scheme, "CLEAR")))
		return false;
	*out_password = text;
	return true;
}

bool vault_stored_scram(
	struct base_slice stored, enum base_hash hash, struct sasl_scram_keys *out_keys)
{
	struct base_slice scheme, text = stored;
	struct sasl_scram_keys keys;
	enum base_hash found;
	bool server, good;

	if (!vault_stored_scheme(&text, &scheme) || !vault_scram_scheme(scheme, &found) ||
		found != hash)
		return false;
	good = vault_scram_parse(hash, text, &keys, &server) == VAULT_FORM_GOOD && server;
	if (good)
		*out_keys = keys;
	base_wipe(&keys, sizeof(keys));
	return good;
}

void vault_stored_scram_put(
	enum base_hash hash, const struct sasl_scram_keys *keys, struct base_buf *out)
{
	static const char *const names[BASE_HASH_COUNT] = {
		[BASE_HASH_SHA1] = "{SCRAM-SHA-1}",
		[BASE_HASH_SHA256] = "{SCRAM-SHA-256}",
		[BASE_HASH_SHA512] = "{SCRAM-SHA-512}",
	};
	size_t len = base_hash_len(hash);

	BASE_BUG_IF(!names[hash]);
	base_buf_append_text(out, names[hash]);
	base_buf_printf(out, "%u,", keys->iterations);
	base64_encode(base_slice_make(keys->salt, keys->salt_len), out);
	base_buf_append_byte(out, ',');
	base64_encode(base_slice_make(keys->stored_key, len), out);
	base_buf_append_byte(out, ',');
	base64_encode(base_slice_make(keys->server_key, len), out);
}
