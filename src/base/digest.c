#include "base/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

static const EVP_MD *evp_of(enum base_hash hash)
{
	switch (hash) {
	case BASE_HASH_MD5:
		return EVP_md5();
	case BASE_HASH_SHA1:
		return EVP_sha1();
	case BASE_HASH_SHA256:
		return EVP_sha256();
	case BASE_HASH_SHA512:
		return EVP_sha512();
	case BASE_HASH_COUNT:
		break;
	}
	base_bug(__FILE__, __LINE__, "unknown hash");
}

size_t base_hash_len(enum base_hash hash)
{
	static const size_t lens[BASE_HASH_COUNT] = {
		[BASE_HASH_MD5] = 16,
		[BASE_HASH_SHA1] = 20,
		[BASE_HASH_SHA256] = 32,
		[BASE_HASH_SHA512] = 64,
	};

	BASE_BUG_IF(hash >= BASE_HASH_COUNT);
	return lens[hash];
}

void base_hash(enum base_hash hash, struct base_slice data, uint8_t *out)
{
	int ok = EVP_Digest(data.ptr, data.len, out, NULL, evp_of(hash), NULL);

	BASE_BUG_IF(ok != 1);
}

void base_hmac(enum base_hash hash, struct base_slice key, struct base_slice data, uint8_t *out)
{
	/* HMAC() takes a null key as "the key of last time". */
	const void *key_ptr = key.len ? (const void *)key.ptr : "";
	uint8_t *ok = HMAC(evp_of(hash), key_ptr, (int)key.len, data.ptr, data.len, out, NULL);

	BASE_BUG_IF(!ok);
}

void base_pbkdf2(enum base_hash hash, struct base_slice password, struct base_slice salt,
	uint32_t iterations, uint8_t *out, size_t out_len)
{
	int ok;

	BASE_BUG_IF(iterations == 0 || iterations > INT32_MAX);
	ok = PKCS5_PBKDF2_HMAC(password.len ? (const char *)password.ptr : "", (int)password.len,
		salt.ptr, (int)salt.len, (int)iterations, evp_of(hash), (int)out_len, out);
	BASE_BUG_IF(ok != 1);
}

bool base_seal(struct base_slice key, struct base_slice nonce, struct base_slice label,
	struct base_slice plain, struct base_buf *out)
{
	EVP_CIPHER_CTX *ctx;
	uint8_t *to, *text;
	int len, ok;

	BASE_BUG_IF(key.len != BASE_SEAL_KEY_BYTES || nonce.len != BASE_SEAL_NONCE_BYTES);
	to = base_buf_reserve(out, plain.len + BASE_SEAL_OVERHEAD_BYTES);
	if (!to)
		return false;
	for (size_t i = 0; i < nonce.len; i++)
		to[i] = nonce.ptr[i];
	text = to + nonce.len;
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		base_out_of_memory();
	ok = EVP_EncryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key.ptr, nonce.ptr) == 1 &&
		EVP_EncryptUpdate(ctx, NULL, &len, label.ptr, (int)label.len) == 1 &&
		EVP_EncryptUpdate(ctx, text, &len, plain.ptr, (int)plain.len) == 1 &&
		EVP_EncryptFinal_ex(ctx, text + plain.len, &len) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, text + plain.len) == 1;
	BASE_BUG_IF(!ok);
	EVP_CIPHER_CTX_free(ctx);
	base_buf_grew(out, plain.len + BASE_SEAL_OVERHEAD_BYTES);
	return true;
}

bool base_unseal(struct base_slice key, struct base_slice label, struct base_slice sealed,
	struct base_secret *out)
{
	EVP_CIPHER_CTX *ctx;
	const uint8_t *text, *tag;
	uint8_t tag_copy[16];
	size_t text_len;
	int len;
	bool good;

	BASE_BUG_IF(key.len != BASE_SEAL_KEY_BYTES);
	if (sealed.len < BASE_SEAL_OVERHEAD_BYTES)
		return false;
	text_len = sealed.len - BASE_SEAL_OVERHEAD_BYTES;
	if (text_len > out->cap)
		return false;
	text = sealed.ptr + BASE_SEAL_NONCE_BYTES;
	tag = text + text_len;
	for (size_t i = 0; i < sizeof(tag_copy); i++)
		tag_copy[i] = tag[i];
	ctx = EVP_CIPHER_CTX_new();
	if (!ctx)
		base_out_of_memory();
	base_secret_clear(out);
	good = EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL, key.ptr, sealed.ptr) == 1 &&
		EVP_DecryptUpdate(ctx, NULL, &len, label.ptr, (int)label.len) == 1 &&
		EVP_DecryptUpdate(ctx, out->ptr, &len, text, (int)text_len) == 1 &&
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, sizeof(tag_copy), tag_copy) == 1 &&
		EVP_DecryptFinal_ex(ctx, out->ptr + text_len, &len) == 1;
	EVP_CIPHER_CTX_free(ctx);
	if (!good) {
		base_secret_clear(out);
		return false;
	}
	out->len = text_len;
	return true;
}
