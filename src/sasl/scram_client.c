/* SCRAM, client side; the messages are drawn in scram_server.c.
 *
 * text grows to  gs2-header | bare "," server-first "," client-final-without-proof. */
#include "sasl/client_internal.h"
#include "sasl/scram_internal.h"

#include "base/base64.h"

#include <string.h>

enum { SALT_MAX_BYTES = 255 };

static enum base_hash hash_of(const struct sasl_client *c)
{
	return sasl_mechanism_info(c->mechanism)->hash;
}

/* Append the gs2-header and keep the binding. Null, or why it cannot be had. */
static const char *header(struct sasl_client *c, const struct sasl_client_options *options)
{
	struct base_slice data = options->binding_data;

	if (sasl_mechanism_info(c->mechanism)->flags & SASL_CHANNEL_BINDING) {
		/* Empty data would be a binding in name only. */
		if (options->binding == SASL_BINDING_NONE || data.len == 0 ||
			data.len > sizeof(c->scram.binding))
			return "no channel binding to be had for a -PLUS mechanism";
		memcpy(c->scram.binding, data.ptr, data.len);
		c->scram.binding_len = (uint8_t)data.len;
		base_buf_append_text(&c->text, "p=");
		base_buf_append_text(&c->text, sasl_binding_name(options->binding));
	} else {
		base_buf_append_byte(&c->text, options->tls && !options->plus_offered ? 'y' : 'n');
	}
	base_buf_append_byte(&c->text, ',');
	if (c->authzid.len > 0) {
		base_buf_append_text(&c->text, "a=");
		sasl_scram_name_encode(base_secret_slice(&c->authzid), &c->text);
	}
	base_buf_append_byte(&c->text, ',');
	return NULL;
}

enum sasl_client_result sasl_scram_client_begin(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out)
{
	const char *problem = header(c, options);

	BASE_BUG_IF(options->random.len < SASL_CLIENT_RANDOM_MIN_BYTES ||
		options->random.len > SASL_CLIENT_RANDOM_BYTES);
	if (problem)
		return sasl_client_fail(c, problem);
	c->scram.bare_at = c->text.len;
	base_buf_append_text(&c->text, "n=");
	sasl_scram_name_encode(base_secret_slice(&c->user), &c->text);
	base_buf_append_text(&c->text, ",r=");
	c->scram.nonce_at = c->text.len;
	base64_encode(options->random, &c->text);
	c->scram.nonce_len = c->text.len - c->scram.nonce_at;
	BASE_BUG_IF(!base_buf_ok(&c->text));
	base_buf_append_slice(out, base_buf_slice(&c->text));
	return SASL_CLIENT_RESPONSE;
}

struct server_first {
	struct base_slice nonce;
	uint64_t iterations;
	size_t salt_len;
	uint8_t salt[SALT_MAX_BYTES];
};

static bool decode_salt(struct base_slice text, struct server_first *out)
{
	struct base_buf salt;
	bool good;

	base_buf_init(&salt, sizeof(out->salt));
	good = base64_decode(text, &salt, NULL) == BASE64_OK && salt.len > 0;
	if (good) {
		memcpy(out->salt, salt.ptr, salt.len);
		out->salt_len = salt.len;
	}
	base_buf_release(&salt);
	return good;
}

/* Null, or what is wrong with the server's first message. */
static const char *parse_server_first(
	const struct sasl_client *c, struct base_slice message, struct server_first *out)
{
	struct sasl_scram_reader r = sasl_scram_reader_make(message);
	struct base_slice own = base_slice_first(
		base_slice_from(base_buf_slice(&c->text), c->scram.nonce_at), c->scram.nonce_len);
	struct base_slice salt, iterations;

	if (!sasl_scram_attr_take(&r, 'r', &out->nonce) || !sasl_scram_attr_take(&r, 's', &salt) ||
		!sasl_scram_attr_take(&r, 'i', &iterations) ||
		!sasl_scram_extensions_skip(&r, "rsi"))
		return "server's first SCRAM message is broken";
	if (!sasl_scram_nonce_valid(out->nonce) || !base_slice_starts_with(out->nonce, own) ||
		out->nonce.len == own.len)
		return "server's nonce does not extend ours";
	if (!decode_salt(salt, out))
		return "server's salt is broken";
	if (iterations.ptr[0] == '0' || !base_slice_to_u64(iterations, &out->iterations))
		return "server's iteration count is no number";
	if (out->iterations < SASL_CLIENT_ITERATIONS_MIN)
		return "server's iteration count is too low to be safe";
	if (out->iterations > SASL_CLIENT_ITERATIONS_MAX)
		return "server's iteration count is too high";
	return NULL;
}

/* Append "c=…,r=…" to text. */
static void without_proof(struct sasl_client *c, struct base_slice nonce)
{
	struct base_buf plain;

	base_buf_init_secret(&plain, c->scram.bare_at + c->scram.binding_len);
	base_buf_append(&plain, c->text.ptr, c->scram.bare_at);
	base_buf_append(&plain, c->scram.binding, c->scram.binding_len);
	base_buf_append_text(&c->text, "c=");
	base64_encode(base_buf_slice(&plain), &c->text);
	base_buf_append_text(&c->text, ",r=");
	base_buf_append_slice(&c->text, nonce);
	base_buf_release(&plain);
}

/* Append the proof to @out, and keep the signature that the server must give. */
static void prove(struct sasl_client *c, const struct server_first *m, struct base_buf *out)
{
	enum base_hash hash = hash_of(c);
	size_t hash_len = base_hash_len(hash);
	struct base_slice auth_message = base_slice_from(
		base_buf_slice(&c->text), c->scram.bare_at);
	struct sasl_scram_secrets keys;
	uint8_t proof[BASE_HASH_MAX_BYTES];

	sasl_scram_secrets_derive(hash, base_secret_slice(&c->password),
		base_slice_make(m->salt, m->salt_len), (uint32_t)m->iterations, &keys);
	base_hmac(hash, base_slice_make(keys.stored_key, hash_len), auth_message, proof);
	for (size_t i = 0; i < hash_len; i++)
		proof[i] ^= keys.client_key[i];
	base64_encode(base_slice_make(proof, hash_len), out);
	base_hmac(
		hash, base_slice_make(keys.server_key, hash_len), auth_message, c->scram.signature);
	base_wipe(&keys, sizeof(keys));
	base_wipe(proof, sizeof(proof));
}

enum sasl_client_result sasl_scram_client_server_first(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	struct server_first m;
	const char *problem = parse_server_first(c, challenge, &m);
	size_t final_at;

	if (problem)
		return sasl_client_fail(c, problem);
	base_buf_append_byte(&c->text, ',');
	base_buf_append_slice(&c->text, challenge);
	base_buf_append_byte(&c->text, ',');
	final_at = c->text.len;
	without_proof(c, m.nonce);
	if (!base_buf_ok(&c->text))
		return sasl_client_fail(c, "server's first SCRAM message is too long");
	base_buf_append_slice(out, base_slice_from(base_buf_slice(&c->text), final_at));
	base_buf_append_text(out, ",p=");
	prove(c, &m, out);
	/* All that is left to do is to compare. */
	base_secret_clear(&c->password);
	return SASL_CLIENT_RESPONSE;
}

enum sasl_client_result sasl_scram_client_server_final(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	struct sasl_scram_reader r = sasl_scram_reader_make(challenge);
	size_t hash_len = base_hash_len(hash_of(c));
	struct base_slice text;
	struct base_secret signature;
	bool equal;

	(void)out;
	/* "e=…" ends here too: what the server calls it changes nothing for us. */
	if (!sasl_scram_attr_take(&r, 'v', &text) || !sasl_scram_extensions_skip(&r, "v"))
		return sasl_client_fail(c, "server's last SCRAM message holds no signature");
	base_secret_init(&signature, hash_len);
	equal = base64_decode_secret(text, &signature) == BASE64_OK &&
		base_equal_constant_time(base_secret_slice(&signature),
			base_slice_make(c->scram.signature, hash_len));
	base_secret_release(&signature);
	if (!equal)
		return sasl_client_fail(c, "server could not prove that it knows the password");
	return SASL_CLIENT_RESPONSE;
}
