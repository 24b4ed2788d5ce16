/* Forms that one hash, or SCRAM's keys, decide:
 *
 *   {PLAIN} {CLEARTEXT}      the password itself
 *   {SHA} {SHA1} {SHA256} {SHA512} {LDAP-MD5} {PLAIN-MD5}      base64 or hexadecimal of the hash
 *   {SSHA} {SSHA256} {SSHA512} {SMD5}    hash of password and salt, then the salt
 *   {SCRAM-SHA-1} {SCRAM-SHA-256}        ITERATIONS,SALT,STORED,SERVER, the latter three in base64
 *
 * A ".b64" or ".hex" behind the name is taken and not needed: the length tells. */
#include "base/base64.h"
#include "sasl/scram.h"
#include "vault/verify_internal.h"

#include <string.h>

enum { SALT_MAX_BYTES = 64 };

static bool decode(
	struct base_slice text, size_t hash_len, uint8_t *out, size_t max, size_t *out_len)
{
	struct base_buf hex;
	bool good = false;

	if (text.len != 2 * hash_len)
		return vault_stored_base64(text, out, max, out_len);
	base_buf_init(&hex, max);
	if (base_hex_decode(text, &hex)) {
		memcpy(out, hex.ptr, hex.len);
		*out_len = hex.len;
		good = true;
	}
	base_buf_release(&hex);
	return good || vault_stored_base64(text, out, max, out_len);
}

static enum vault_form_result check_hash(enum base_hash hash, bool salted, struct base_slice text,
	struct base_slice password, bool *out_right)
{
	uint8_t stored[BASE_HASH_MAX_BYTES + SALT_MAX_BYTES], sum[BASE_HASH_MAX_BYTES];
	size_t len = base_hash_len(hash), stored_len;
	struct base_buf data;

	if (!decode(text, len, stored, sizeof(stored), &stored_len) || stored_len < len ||
		(stored_len > len) != salted)
		return VAULT_FORM_BROKEN;
	base_buf_init_secret(&data, password.len + SALT_MAX_BYTES);
	base_buf_append_slice(&data, password);
	base_buf_append(&data, stored + len, stored_len - len);
	base_hash(hash, base_buf_slice(&data), sum);
	base_buf_release(&data);
	*out_right = base_equal_constant_time(
		base_slice_make(sum, len), base_slice_make(stored, len));
	base_wipe(sum, sizeof(sum));
	return VAULT_FORM_GOOD;
}

enum vault_form_result vault_scram_parse(enum base_hash hash, struct base_slice text,
	struct sasl_scram_keys *out_keys, bool *out_server)
{
	size_t salt_len, stored_len, server_len = 0, len = base_hash_len(hash);
	struct base_slice part[3];
	uint64_t iterations;

	for (size_t i = 0; i < BASE_COUNT(part); i++)
		if (!base_slice_split(&text, ',', &part[i]))
			return VAULT_FORM_BROKEN;
	memset(out_keys, 0, sizeof(*out_keys));
	if (!base_slice_to_u64(part[0], &iterations) || iterations < 1 ||
		iterations > VAULT_ITERATIONS_MAX ||
		!vault_stored_base64(part[1], out_keys->salt, sizeof(out_keys->salt), &salt_len) ||
		!salt_len ||
		!vault_stored_base64(
			part[2], out_keys->stored_key, sizeof(out_keys->stored_key), &stored_len) ||
		stored_len != len)
		return VAULT_FORM_BROKEN;
	if (text.len &&
		(!vault_stored_base64(
			 text, out_keys->server_key, sizeof(out_keys->server_key), &server_len) ||
			server_len != len))
		return VAULT_FORM_BROKEN;
	out_keys->iterations = (uint32_t)iterations;
	out_keys->salt_len = (uint8_t)salt_len;
	*out_server = server_len != 0;
	return VAULT_FORM_GOOD;
}

static enum vault_form_result check_scram(
	enum base_hash hash, struct base_slice text, struct base_slice password, bool *out_right)
{
	struct sasl_scram_keys stored, keys;
	size_t len = base_hash_len(hash);
	bool server;

	if (vault_scram_parse(hash, text, &stored, &server) != VAULT_FORM_GOOD)
		return VAULT_FORM_BROKEN;
	*out_right = sasl_scram_derive(hash, password,
			     base_slice_make(stored.salt, stored.salt_len), stored.iterations,
			     &keys) &&
		base_equal_constant_time(base_slice_make(keys.stored_key, len),
			base_slice_make(stored.stored_key, len));
	base_wipe(&keys, sizeof(keys));
	base_wipe(&stored, sizeof(stored));
	return VAULT_FORM_GOOD;
}

/* Without ".b64", ".hex" and the like. */
static struct base_slice bare(struct base_slice scheme)
{
	return base_slice_first(scheme, base_slice_find(scheme, '.'));
}

static const struct scheme {
	const char *name;
	enum base_hash hash;
	bool salted, scram;
} schemes[] = {
	{"SHA", BASE_HASH_SHA1, false, false},
	{"SHA1", BASE_HASH_SHA1, false, false},
	{"SHA256", BASE_HASH_SHA256, false, false},
	{"SHA512", BASE_HASH_SHA512, false, false},
	{"PLAIN-MD5", BASE_HASH_MD5, false, false},
	{"LDAP-MD5", BASE_HASH_MD5, false, false},
	{"SSHA", BASE_HASH_SHA1, true, false},
	{"SSHA256", BASE_HASH_SHA256, true, false},
	{"SSHA512", BASE_HASH_SHA512, true, false},
	{"SMD5", BASE_HASH_MD5, true, false},
	{"SCRAM-SHA-1", BASE_HASH_SHA1, false, true},
	{"SCRAM-SHA-256", BASE_HASH_SHA256, false, true},
	{"SCRAM-SHA-512", BASE_HASH_SHA512, false, true},
};

static const struct scheme *find_scheme(struct base_slice name)
{
	for (size_t i = 0; i < BASE_COUNT(schemes); i++)
		if (base_slice_equal_text_nocase(name, schemes[i].name))
			return &schemes[i];
	return NULL;
}

bool vault_digest_scheme_known(struct base_slice scheme)
{
	return find_scheme(bare(scheme)) != NULL;
}

bool vault_scram_scheme(struct base_slice scheme, enum base_hash *out_hash)
{
	const struct scheme *found = find_scheme(scheme);

	if (!found || !found->scram)
		return false;
	*out_hash = found->hash;
	return true;
}

enum vault_form_result vault_digest_verify(struct base_slice scheme, struct base_slice text,
	struct base_slice password, bool *out_right)
{
	struct base_slice name = bare(scheme);
	const struct scheme *found = find_scheme(name);

	if (base_slice_equal_text_nocase(name, "PLAIN") ||
		base_slice_equal_text_nocase(name, "CLEARTEXT") ||
		base_slice_equal_text_nocase(name, "CLEAR")) {
		if (!text.len || scheme.len != name.len)
			return VAULT_FORM_BROKEN;
		*out_right = base_equal_constant_time(text, password);
		return VAULT_FORM_GOOD;
	}
	if (!found)
		return VAULT_FORM_OTHER;
	return found->scram ? check_scram(found->hash, text, password, out_right)
			    : check_hash(found->hash, found->salted, text, password, out_right);
}
