/* Derivation, and the encoded form:
 *
 *   u8 1 (version), u16 length and bytes of hash, u8 count of SCRAM keys, each: u8 enum base_hash,
 *   u32 iterations, u8 length and bytes of salt, stored key, server key; u16 length and bytes of secret
 *
 * Numbers are big-endian. Nothing may follow. */
#include "vault/credentials.h"

#include "base/base64.h"
#include "sasl/prep.h"

#include <assert.h>
#include <crypt.h>
#include <string.h>

enum { FORM_VERSION = 1, SALT_RANDOM_BYTES = 16 };

static const enum base_hash scram_hashes[] = {BASE_HASH_SHA1, BASE_HASH_SHA256, BASE_HASH_SHA512};

void vault_credentials_init(struct vault_credentials *c)
{
	memset(c, 0, sizeof(*c));
	base_secret_init(&c->secret, BASE_SECRET_PASSWORD_MAX_BYTES);
}

void vault_credentials_release(struct vault_credentials *c)
{
	base_secret_release(&c->secret);
	base_wipe(c, sizeof(*c));
}

static bool mask_wants_hash(sasl_mechanism_mask mask, enum base_hash hash)
{
	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)m);

		if (mask & SASL_MASK(m) && info->flags & SASL_SCRAM && info->hash == hash)
			return true;
	}
	return false;
}

static bool mask_wants_secret(sasl_mechanism_mask mask)
{
	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++)
		if (mask & SASL_MASK(m) &&
			sasl_mechanism_info((enum sasl_mechanism)m)->flags & SASL_NEEDS_SECRET)
			return true;
	return false;
}

static int bad_password(struct base_error *err, const char *why)
{
	return base_error_set(err, BASE_ERROR_PERMANENT, 0, "the password %s", why);
}

static int prepare(struct base_slice password, struct base_secret *out, struct base_error *err)
{
	if (!password.len)
		return bad_password(err, "is empty");
	if (base_slice_has(password, '\0'))
		return bad_password(err, "holds a NUL byte");
	if (password.len > VAULT_PASSWORD_MAX_BYTES)
		return bad_password(err, "is longer than 511 bytes");
	if (!sasl_prep(password, true, out))
		return bad_password(err, "holds characters that SASLprep (RFC 4013) forbids");
	if (!out->len || out->len > VAULT_PASSWORD_MAX_BYTES)
		return bad_password(err, "is empty or too long after SASLprep (RFC 4013)");
	return 0;
}

static int hash_slow(struct base_slice password, const uint8_t *random, struct vault_credentials *c,
	struct base_error *err)
{
	struct crypt_data *data;
	struct base_secret memory;
	char setting[CRYPT_GENSALT_OUTPUT_SIZE], phrase[VAULT_PASSWORD_MAX_BYTES + 1];
	const char *made;
	int rc = 0;

	if (!crypt_gensalt_rn(
		    "$y$", 0, (const char *)random, SALT_RANDOM_BYTES, setting, sizeof(setting)))
		return base_error_set(
			err, BASE_ERROR_TEMPORARY, 0, "this system's crypt(3) knows no yescrypt");
	data = base_alloc_zero(1, sizeof(*data));
	memcpy(phrase, password.ptr, password.len);
	phrase[password.len] = '\0';
	made = crypt_r(phrase, setting, data);
	if (!made || made[0] == '*' || strlen(made) > VAULT_HASH_MAX_BYTES)
		rc = base_error_set(err, BASE_ERROR_TEMPORARY, 0, "cannot hash the password");
	else
		memcpy(c->hash, made, strlen(made) + 1);
	base_wipe(phrase, sizeof(phrase));
	memory = (struct base_secret){(uint8_t *)data, sizeof(*data), sizeof(*data)};
	base_secret_release(&memory);
	return rc;
}

static int derive_scram(struct base_slice prepared, sasl_mechanism_mask mechanisms,
	const uint8_t *salts, struct vault_credentials *c, struct base_error *err)
{
	for (size_t i = 0; i < BASE_COUNT(scram_hashes); i++) {
		struct base_slice salt = base_slice_make(
			salts + i * SASL_SCRAM_SALT_BYTES, SASL_SCRAM_SALT_BYTES);

		if (mask_wants_hash(mechanisms, scram_hashes[i]) &&
			!sasl_scram_derive(scram_hashes[i], prepared, salt, SASL_SCRAM_ITERATIONS,
				&c->scram[scram_hashes[i]]))
			return bad_password(err, "cannot be prepared for SCRAM");
	}
	return 0;
}

static int keep_secret(
	struct base_slice prepared, sasl_mechanism_mask mechanisms, struct vault_credentials *c)
{
	base_secret_clear(&c->secret);
	if (mask_wants_secret(mechanisms))
		BASE_BUG_IF(!base_secret_set(&c->secret, prepared));
	return 0;
}

int vault_credentials_derive(struct base_slice password, sasl_mechanism_mask mechanisms,
	const uint8_t *random, struct vault_credentials *c, struct base_error *err)
{
	struct base_secret prepared;
	int rc;

	base_secret_init(&prepared, BASE_SECRET_PASSWORD_MAX_BYTES);
	rc = prepare(password, &prepared, err);
	if (rc == 0)
		rc = hash_slow(base_secret_slice(&prepared), random, c, err);
	if (rc == 0)
		rc = derive_scram(base_secret_slice(&prepared), mechanisms,
			random + SALT_RANDOM_BYTES, c, err);
	if (rc == 0)
		rc = keep_secret(base_secret_slice(&prepared), mechanisms, c);
	base_secret_release(&prepared);
	return rc;
}

static void make_password(const uint8_t *random, char out[VAULT_APP_PASSWORD_CHARS])
{
	static const char signs[] = "abcdefghijkmnpqrstuvwxyz23456789";

	static_assert(sizeof(signs) - 1 == 32, "five bits for each sign");
	for (size_t i = 0, r = 0; i < VAULT_APP_PASSWORD_CHARS; i++)
		out[i] = i % 6 == 5 ? '-' : signs[random[r++] & 31];
}

static void hash_fast(struct base_slice password, const uint8_t *salt, struct vault_credentials *c)
{
	static const char scheme[] = "{SSHA256}";
	uint8_t sum[32 + SALT_RANDOM_BYTES];
	struct base_buf data, text;

	base_buf_init_secret(&data, 256);
	base_buf_append_slice(&data, password);
	base_buf_append(&data, salt, SALT_RANDOM_BYTES);
	base_hash(BASE_HASH_SHA256, base_buf_slice(&data), sum);
	memcpy(sum + 32, salt, SALT_RANDOM_BYTES);
	base_buf_release(&data);
	base_buf_init(&text, VAULT_HASH_MAX_BYTES);
	base_buf_append_text(&text, scheme);
	base64_encode(base_slice_make(sum, sizeof(sum)), &text);
	memcpy(c->hash, text.ptr, text.len);
	c->hash[text.len] = '\0';
	base_buf_release(&text);
	base_wipe(sum, sizeof(sum));
}

int vault_credentials_generate(sasl_mechanism_mask mechanisms, const uint8_t *random,
	struct vault_credentials *c, struct base_secret *out_password, struct base_error *err)
{
	char text[VAULT_APP_PASSWORD_CHARS] = {0};
	struct base_slice password = base_slice_make(text, sizeof(text));
	int rc;

	make_password(random + SALT_RANDOM_BYTES + 3 * SASL_SCRAM_SALT_BYTES, text);
	hash_fast(password, random, c);
	rc = derive_scram(password, mechanisms, random + SALT_RANDOM_BYTES, c, err);
	if (rc == 0)
		rc = keep_secret(password, mechanisms, c);
	if (rc == 0)
		BASE_BUG_IF(!base_secret_set(out_password, password));
	base_wipe(text, sizeof(text));
	return rc;
}

sasl_mechanism_mask vault_credentials_missing(
	const struct vault_credentials *c, sasl_mechanism_mask mask)
{
	sasl_mechanism_mask missing = 0;

	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)m);
		bool there = info->flags & SASL_SCRAM     ? c->scram[info->hash].iterations != 0
			: info->flags & SASL_NEEDS_SECRET ? c->secret.len != 0
							  : c->hash[0] != '\0';

		if (mask & SASL_MASK(m) && !there)
			missing |= SASL_MASK(m);
	}
	return missing;
}

static void put_number(struct base_buf *out, uint32_t value, unsigned bytes)
{
	while (bytes--)
		base_buf_append_byte(out, (uint8_t)(value >> 8 * bytes));
}

bool vault_credentials_encode(const struct vault_credentials *c, struct base_buf *out)
{
	uint8_t count = 0;

	for (size_t i = 0; i < BASE_COUNT(scram_hashes); i++)
		count = (uint8_t)(count + (c->scram[scram_hashes[i]].iterations != 0));
	put_number(out, FORM_VERSION, 1);
	put_number(out, (uint32_t)strlen(c->hash), 2);
	base_buf_append_text(out, c->hash);
	put_number(out, count, 1);
	for (size_t i = 0; i < BASE_COUNT(scram_hashes); i++) {
		const struct sasl_scram_keys *k = &c->scram[scram_hashes[i]];

		if (!k->iterations)
			continue;
		put_number(out, scram_hashes[i], 1);
		put_number(out, k->iterations, 4);
		put_number(out, k->salt_len, 1);
		base_buf_append(out, k->salt, k->salt_len);
		base_buf_append(out, k->stored_key, base_hash_len(scram_hashes[i]));
		base_buf_append(out, k->server_key, base_hash_len(scram_hashes[i]));
	}
	put_number(out, (uint32_t)c->secret.len, 2);
	base_buf_append_slice(out, base_secret_slice(&c->secret));
	return base_buf_ok(out);
}

static bool get_number(struct base_slice *in, unsigned bytes, uint32_t *out)
{
	uint32_t value = 0;

	if (in->len < bytes)
		return false;
	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | in->ptr[i];
	*in = base_slice_from(*in, bytes);
	*out = value;
	return true;
}

static bool get_bytes(struct base_slice *in, size_t len, void *out)
{
	if (in->len < len)
		return false;
	if (len)
		memcpy(out, in->ptr, len);
	*in = base_slice_from(*in, len);
	return true;
}

static bool get_scram(struct base_slice *in, struct vault_credentials *c)
{
	uint32_t hash, iterations, salt_len;
	struct sasl_scram_keys *k;

	if (!get_number(in, 1, &hash) || hash >= BASE_HASH_COUNT || hash == BASE_HASH_MD5 ||
		c->scram[hash].iterations || !get_number(in, 4, &iterations) || !iterations ||
		!get_number(in, 1, &salt_len))
		return false;
	k = &c->scram[hash];
	if (!salt_len || salt_len > sizeof(k->salt))
		return false;
	k->iterations = iterations;
	k->salt_len = (uint8_t)salt_len;
	return get_bytes(in, salt_len, k->salt) &&
		get_bytes(in, base_hash_len((enum base_hash)hash), k->stored_key) &&
		get_bytes(in, base_hash_len((enum base_hash)hash), k->server_key);
}

static bool decode(struct base_slice in, struct vault_credentials *c)
{
	uint32_t version, len, count;

	if (!get_number(&in, 1, &version) || version != FORM_VERSION || !get_number(&in, 2, &len) ||
		len > VAULT_HASH_MAX_BYTES || !get_bytes(&in, len, c->hash) ||
		strlen(c->hash) != len || !get_number(&in, 1, &count))
		return false;
	while (count--)
		if (!get_scram(&in, c))
			return false;
	return get_number(&in, 2, &len) && len == in.len && len <= c->secret.cap &&
		base_secret_set(&c->secret, in);
}

bool vault_credentials_decode(struct base_slice in, struct vault_credentials *c)
{
	vault_credentials_release(c);
	vault_credentials_init(c);
	if (decode(in, c))
		return true;
	vault_credentials_release(c);
	vault_credentials_init(c);
	return false;
}
