/* Assertions: JWTs (RFC 7519) in compact form, signed (RFC 7515, RFC 7518 sections 3.3 to 3.5). */
#include "base/base64.h"
#include "vault/oauth_internal.h"
#include "vault/pem.h"

#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

enum { LIFE_S = 300, RSA_BITS_MIN = 2048, P256_BYTES = 32, SIGNATURE_MAX_BYTES = 2048 };

void vault_oauth_base64url(struct base_slice in, struct base_buf *out)
{
	size_t from = out->len;

	if (!base64_encode(in, out))
		return;
	while (out->len > from && out->ptr[out->len - 1] == '=')
		base_buf_truncate(out, out->len - 1);
	for (size_t i = from; i < out->len; i++)
		if (out->ptr[i] == '+')
			out->ptr[i] = '-';
		else if (out->ptr[i] == '/')
			out->ptr[i] = '_';
}

enum oauth_algorithm vault_oauth_key_algorithm(struct base_slice pem)
{
	EVP_PKEY *key = vault_pem_key(pem);
	enum oauth_algorithm can = OAUTH_NONE;
	char curve[32] = "";
	size_t len = 0;

	if (key && EVP_PKEY_is_a(key, "RSA") && EVP_PKEY_get_bits(key) >= RSA_BITS_MIN)
		can = OAUTH_RS256;
	else if (key && EVP_PKEY_is_a(key, "EC") &&
		EVP_PKEY_get_group_name(key, curve, sizeof(curve), &len) == 1 &&
		strcmp(curve, "prime256v1") == 0)
		can = OAUTH_ES256;
	ERR_clear_error();
	EVP_PKEY_free(key);
	return can;
}

static void set(json_t *json, const char *key, struct base_slice text)
{
	if (text.len)
		json_object_set_new(json, key, json_stringn((const char *)text.ptr, text.len));
}

static void set_base64url(json_t *json, const char *key, struct base_slice bytes)
{
	struct base_buf text;

	base_buf_init(&text, 128);
	vault_oauth_base64url(bytes, &text);
	set(json, key, base_buf_slice(&text));
	base_buf_release(&text);
}

/* Takes @json. */
static void append_json(json_t *json, struct base_buf *out)
{
	char *text = json_dumps(json, JSON_COMPACT);
	struct base_slice bytes = base_slice_text(text);

	json_decref(json);
	if (!text)
		base_out_of_memory();
	vault_oauth_base64url(bytes, out);
	base_wipe(text, bytes.len);
	free(text);
}

/* RFC 7515 sections 4.1.7 and 4.1.8: by which certificate the key is known. */
static void set_thumbprints(json_t *json, struct base_slice pem)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	X509 *certificate = NULL;
	unsigned len = 0;

	if (!pem.len || !vault_pem_certificates(pem, &certificate))
		return;
	if (X509_digest(certificate, EVP_sha1(), digest, &len) == 1)
		set_base64url(json, "x5t", base_slice_make(digest, len));
	if (X509_digest(certificate, EVP_sha256(), digest, &len) == 1)
		set_base64url(json, "x5t#S256", base_slice_make(digest, len));
	X509_free(certificate);
}

static json_t *header(const struct vault_oauth_profile *p)
{
	json_t *json = json_object();

	set(json, "alg", base_slice_text(vault_oauth_algorithm_names[p->algorithm]));
	set(json, "typ", BASE_SLICE("JWT"));
	set(json, "kid", base_slice_text(p->texts[OAUTH_KEY_ID]));
	set_thumbprints(json, base_buf_slice(&p->pems[OAUTH_CERTIFICATE]));
	return json;
}

static json_t *claims(const struct oauth_assertion *a)
{
	json_t *json = json_object();
	int64_t now_s = a->now_ms / 1000;

	set(json, "iss", base_slice_text(a->issuer));
	set(json, "sub", a->subject);
	set(json, "aud", base_slice_text(a->audience));
	set(json, "scope", base_slice_text(a->scope));
	set_base64url(json, "jti", base_slice_make(a->random, VAULT_OAUTH_RANDOM_BYTES));
	json_object_set_new(json, "iat", json_integer(now_s));
	json_object_set_new(json, "nbf", json_integer(now_s));
	json_object_set_new(json, "exp", json_integer(now_s + LIFE_S));
	return json;
}

/* DER's two numbers as 32 bytes each (RFC 7518 section 3.4). */
static bool raw_signature(uint8_t *signature, size_t *len)
{
	const unsigned char *der = signature;
	ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)*len);
	bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), signature, P256_BYTES) == P256_BYTES &&
		BN_bn2binpad(ECDSA_SIG_get0_s(sig), signature + P256_BYTES, P256_BYTES) ==
			P256_BYTES;

	ECDSA_SIG_free(sig);
	*len = 2 * P256_BYTES;
	return ok;
}

static bool digest_sign(enum oauth_algorithm algorithm, EVP_PKEY *key, struct base_slice text,
	uint8_t *out, size_t *len)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	EVP_PKEY_CTX *how = NULL;
	bool ok = md && EVP_DigestSignInit(md, &how, EVP_sha256(), NULL, key) == 1;

	if (ok && algorithm == OAUTH_PS256)
		ok = EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) == 1 &&
			EVP_PKEY_CTX_set_rsa_pss_saltlen(how, RSA_PSS_SALTLEN_DIGEST) == 1;
	ok = ok && EVP_DigestSign(md, out, len, text.ptr, text.len) == 1;
	EVP_MD_CTX_free(md);
	return ok && (algorithm != OAUTH_ES256 || raw_signature(out, len));
}

bool vault_oauth_sign(enum oauth_algorithm algorithm, struct base_slice pem, struct base_buf *out)
{
	uint8_t signature[SIGNATURE_MAX_BYTES];
	size_t len = sizeof(signature);
	EVP_PKEY *key = vault_pem_key(pem);
	bool ok = key && base_buf_ok(out) && (size_t)EVP_PKEY_get_size(key) <= sizeof(signature) &&
		digest_sign(algorithm, key, base_buf_slice(out), signature, &len);

	ERR_clear_error();
	EVP_PKEY_free(key);
	if (!ok)
		return false;
	base_buf_append_byte(out, '.');
	vault_oauth_base64url(base_slice_make(signature, len), out);
	return base_buf_ok(out);
}

int vault_oauth_assertion(const struct vault_oauth_profile *p, const struct oauth_assertion *a,
	struct base_buf *out, struct base_error *err)
{
	vault_oauth_json_wiped();
	append_json(header(p), out);
	base_buf_append_byte(out, '.');
	append_json(claims(a), out);
	if (vault_oauth_sign(p->algorithm, base_buf_slice(&p->pems[OAUTH_PRIVATE_KEY]), out))
		return 0;
	return base_error_set(err, BASE_ERROR_CONFIG, 0,
		"the profile's private_key cannot sign with %s",
		vault_oauth_algorithm_names[p->algorithm]);
}
