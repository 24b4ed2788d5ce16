/* vault/verify_internal.h: the stored forms, one parser each */
#ifndef VAULT_VERIFY_INTERNAL_H
#define VAULT_VERIFY_INTERNAL_H

#include "base/digest.h"
#include "sasl/scram.h"
#include "vault/verify.h"

/* Costs in a stored text above these are refused: a login may not hold a worker for minutes. */
#define VAULT_ITERATIONS_MAX 10000000u
#define VAULT_BCRYPT_COST_MAX 16
#define VAULT_ARGON2_KIB_MAX (1024u * 1024u)
#define VAULT_ARGON2_PASSES_MAX 64
#define VAULT_ARGON2_LANES_MAX 64

enum vault_form_result {
	VAULT_FORM_OTHER,  /* not this form */
	VAULT_FORM_BROKEN, /* it begins like this form and is not right */
	VAULT_FORM_GOOD,
};

struct vault_pbkdf2 {
	enum base_hash hash;
	uint32_t iterations;
	uint8_t salt[256];
	size_t salt_len;
	uint8_t sum[BASE_HASH_MAX_BYTES];
	size_t sum_len;
};
/* @scheme: what stood in braces before @text, or empty. */
enum vault_form_result vault_pbkdf2_parse(
	struct base_slice scheme, struct base_slice text, struct vault_pbkdf2 *out);
enum vault_verify_result vault_pbkdf2_verify(
	const struct vault_pbkdf2 *p, struct base_slice password);

struct vault_argon2 {
	int type; /* argon2_type */
	uint32_t version, kib, passes, lanes;
	uint8_t salt[256];
	size_t salt_len;
	uint8_t sum[256];
	size_t sum_len;
};
enum vault_form_result vault_argon2_parse(struct base_slice text, struct vault_argon2 *out);
enum vault_verify_result vault_argon2_verify(
	const struct vault_argon2 *a, struct base_slice password);

/* {PLAIN}, {SHA…}, {SSHA…}, {MD5…}, {SCRAM-…}: @out_right is set when GOOD. */
enum vault_form_result vault_digest_verify(struct base_slice scheme, struct base_slice text,
	struct base_slice password, bool *out_right);

/* @scheme, without braces, is one of these; ".b64" and the like may follow. */
bool vault_digest_scheme_known(struct base_slice scheme);
/* … is one of crypt(3)'s, argon2's among them, or empty. */
bool vault_crypt_scheme_known(struct base_slice scheme);
/* The three parts of ITERATIONS,SALT,STORED[,SERVER] in @out_keys; the server key is zero and
 * *out_server false where it is missing. */
enum vault_form_result vault_scram_parse(enum base_hash hash, struct base_slice text,
	struct sasl_scram_keys *out_keys, bool *out_server);
/* What stands behind SCRAM-… as a scheme. */
bool vault_scram_scheme(struct base_slice scheme, enum base_hash *out_hash);

/* $apr1$SALT$SUM of Apache: MD5-crypt under another name, which crypt(3) does not know. */
enum vault_form_result vault_apr1_verify(
	struct base_slice text, struct base_slice password, bool *out_right);

/* crypt(3)'s settings: is the cost in it bearable? */
bool vault_crypt_cost_ok(struct base_slice stored);

/* base64 as it is found in stored forms: padding may be missing, '.' may stand for '+'. */
bool vault_stored_base64(struct base_slice in, uint8_t *out, size_t max, size_t *out_len);
/* Cut "{SCHEME}" off the front of @text; false: there is none. */
bool vault_stored_scheme(struct base_slice *text, struct base_slice *out_scheme);

#endif
