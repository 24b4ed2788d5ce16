/* SCRAM, server side (RFC 5802, RFC 7677).
 *
 *   client-first   flag "," ["a=" authzid] "," "n=" user ",r=" nonce      gs2-header, then bare
 *   server-first   "r=" nonce our-nonce ",s=" salt ",i=" iterations
 *   client-final   "c=" base64(gs2-header binding-data) ",r=" whole-nonce ",p=" proof
 *   server-final   "v=" signature          answered by an empty response, as 235 carries nothing
 *
 * text grows to  gs2-header | bare "," server-first "," client-final-without-proof  out of the very
 * octets that went over the line; from bare_at on it is AuthMessage.
 *
 * An unknown user gets a salt that is the same for ever and keys that fit no password; both are
 * made for known users too, so that the work is the same. */
#include "sasl/scram_internal.h"
#include "sasl/server_internal.h"

#include "base/base64.h"

#include <assert.h>
#include <string.h>

static enum base_hash hash_of(const struct sasl_server *s)
{
	return sasl_mechanism_info(s->mechanism)->hash;
}

static struct base_slice text_slice(const struct sasl_server *s, size_t at, size_t len)
{
	return base_slice_first(base_slice_from(base_buf_slice(&s->text), at), len);
}

void sasl_scram_server_init(struct sasl_server *s, const struct sasl_server_options *options)
{
	struct base_buf nonce;

	base_buf_init(&nonce, sizeof(s->scram.nonce));
	base64_encode(options->random, &nonce);
	BASE_BUG_IF(!base_buf_ok(&nonce));
	memcpy(s->scram.nonce, nonce.ptr, nonce.len);
	s->scram.nonce_len = (uint8_t)nonce.len;
	base_buf_release(&nonce);
}

/* Channel binding names are letters, digits, '.' and '-' (RFC 5056). */
static bool binding_name_valid(struct base_slice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!base_ascii_is_alnum(name.ptr[i]) && name.ptr[i] != '.' && name.ptr[i] != '-')
			return false;
	return name.len > 0;
}

struct client_first {
	char flag;
	struct base_slice binding_name; /* of flag 'p' */
	struct base_slice authzid;      /* still encoded; null where there is none */
	bool has_authzid;
	struct base_slice header; /* with the second comma */
	struct base_slice bare, user, nonce;
};

/* "n" | "y" | "p=" name, then ",", then ["a=" authzid] and ",". */
static bool parse_header(struct base_slice message, struct client_first *out)
{
	size_t comma = base_slice_find(message, ',');
	struct base_slice flag = base_slice_first(message, comma);
	struct base_slice rest = base_slice_from(message, comma + 1);
	struct base_slice authzid;

	if (comma == message.len || flag.len == 0)
		return false;
	out->flag = (char)flag.ptr[0];
	if (out->flag == 'p') {
		out->binding_name = base_slice_from(flag, 2);
		if (flag.len < 3 || flag.ptr[1] != '=' || !binding_name_valid(out->binding_name))
			return false;
	} else if (flag.len != 1 || (out->flag != 'n' && out->flag != 'y')) {
		return false;
	}
	comma = base_slice_find(rest, ',');
	if (comma == rest.len)
		return false;
	authzid = base_slice_first(rest, comma);
	out->has_authzid = authzid.len > 0;
	if (out->has_authzid && !base_slice_starts_with(authzid, BASE_SLICE("a=")))
		return false;
	out->authzid = base_slice_from(authzid, 2);
	out->bare = base_slice_from(rest, comma + 1);
	out->header = base_slice_first(message, message.len - out->bare.len);
	return true;
}

static bool parse_first(struct base_slice message, struct client_first *out)
{
	struct sasl_scram_reader r;

	if (!parse_header(message, out))
		return false;
	r = sasl_scram_reader_make(out->bare);
	return sasl_scram_attr_take(&r, 'n', &out->user) &&
		sasl_scram_attr_take(&r, 'r', &out->nonce) && sasl_scram_nonce_valid(out->nonce) &&
		sasl_scram_extensions_skip(&r, "nr");
}

/* Null, or why the client's channel binding flag cannot be had here. */
static const char *judge_flag(struct sasl_server *s, const struct client_first *m)
{
	bool plus = sasl_mechanism_info(s->mechanism)->flags & SASL_CHANNEL_BINDING;

	if (m->flag != 'p') {
		if (plus)
			return "no channel binding under a -PLUS name";
		/* The client believes that we have none, so somebody cut it out of our list. */
		if (m->flag == 'y' && s->plus_offered)
			return "client did not see the -PLUS names that were offered";
		return NULL;
	}
	/* Under a bare name too: there are clients that do so, and it binds just as well. */
	s->binding = sasl_binding_parse(m->binding_name);
	if (s->binding == SASL_BINDING_NONE)
		return "unknown channel binding type";
	if (!s->tls)
		return "channel binding without TLS";
	return NULL;
}

typedef const char *take_fn(struct sasl_server *s, struct base_slice raw);

/* Decode =2C and =3D, then keep it. @out_grammar: the encoding itself was broken. */
static const char *take_name(
	struct sasl_server *s, struct base_slice encoded, take_fn *take, bool *out_grammar)
{
	struct base_buf name;
	const char *problem;

	base_buf_init_secret(&name, SASL_NAME_MAX_BYTES);
	*out_grammar = !sasl_scram_name_decode(encoded, &name);
	problem = *out_grammar ? "name too long or wrongly encoded"
			       : take(s, base_buf_slice(&name));
	base_buf_release(&name);
	return problem;
}

enum sasl_server_result sasl_scram_server_client_first(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	struct sasl_server_scram *scram = &s->scram;
	struct client_first m;
	const char *problem;
	bool grammar;

	(void)out;
	if (!parse_first(response, &m))
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "broken client-first message");
	problem = judge_flag(s, &m);
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	problem = take_name(s, m.user, sasl_server_take_user, &grammar);
	if (!problem && m.has_authzid)
		problem = take_name(s, m.authzid, sasl_server_take_authzid, &grammar);
	if (problem)
		return sasl_server_fail(
			s, grammar ? SASL_SERVER_MALFORMED : SASL_SERVER_REJECTED, problem);
	scram->flag = m.flag;
	scram->bare_at = m.header.len;
	scram->client_nonce_at = (size_t)(m.nonce.ptr - response.ptr);
	scram->client_nonce_len = m.nonce.len;
	base_buf_append_slice(&s->text, response);
	return SASL_SERVER_NEED_SCRAM;
}

/* HMAC(key, label NUL hash-name NUL name), as long as the hash. */
static void derived_bytes(struct base_slice key, enum base_hash hash, struct base_slice name,
	const char *label, uint8_t *out)
{
	static const char *const names[BASE_HASH_COUNT] = {
		[BASE_HASH_MD5] = "MD5",
		[BASE_HASH_SHA1] = "SHA-1",
		[BASE_HASH_SHA256] = "SHA-256",
		[BASE_HASH_SHA512] = "SHA-512",
	};
	struct base_buf message;

	base_buf_init_secret(&message, SASL_NAME_MAX_BYTES + 64);
	base_buf_append_text(&message, label);
	base_buf_append_byte(&message, '\0');
	base_buf_append_text(&message, names[hash]);
	base_buf_append_byte(&message, '\0');
	base_buf_append_slice(&message, base_slice_first(name, SASL_NAME_MAX_BYTES));
	BASE_BUG_IF(!base_buf_ok(&message));
	base_hmac(hash, key, base_buf_slice(&message), out);
	base_buf_release(&message);
}

static void mock_bytes(const struct sasl_server *s, const char *label, uint8_t *out)
{
	derived_bytes(base_slice_make(s->mock_key, sizeof(s->mock_key)), hash_of(s),
		base_secret_slice(&s->user), label, out);
}

void sasl_server_scram_salt(struct base_slice mock_key, enum base_hash hash, struct base_slice name,
	uint8_t out[SASL_SCRAM_SALT_BYTES])
{
	uint8_t salt[BASE_HASH_MAX_BYTES];

	derived_bytes(mock_key, hash, name, "salt", salt);
	memcpy(out, salt, SASL_SCRAM_SALT_BYTES);
}

static void mock_keys(const struct sasl_server *s, struct sasl_scram_keys *out)
{
	uint8_t salt[BASE_HASH_MAX_BYTES];

	static_assert(SASL_SCRAM_SALT_BYTES <= 20, "SHA-1 gives no more");
	mock_bytes(s, "salt", salt);
	mock_bytes(s, "stored key", out->stored_key);
	mock_bytes(s, "server key", out->server_key);
	memcpy(out->salt, salt, SASL_SCRAM_SALT_BYTES);
	out->salt_len = SASL_SCRAM_SALT_BYTES;
	out->iterations = SASL_SCRAM_ITERATIONS;
}

/* Append "r=…,s=…,i=…" to text, and the same to @out. */
static void server_first(
	struct sasl_server *s, const struct sasl_scram_keys *keys, struct base_buf *out)
{
	struct sasl_server_scram *scram = &s->scram;
	size_t at;

	base_buf_append_byte(&s->text, ',');
	at = s->text.len;
	base_buf_append_text(&s->text, "r=");
	scram->nonce_at = s->text.len;
	/* Byte by byte: a slice of the buffer would not survive its growth. */
	for (size_t i = 0; i < scram->client_nonce_len; i++)
		base_buf_append_byte(&s->text, s->text.ptr[scram->client_nonce_at + i]);
	base_buf_append(&s->text, scram->nonce, scram->nonce_len);
	scram->full_nonce_len = s->text.len - scram->nonce_at;
	base_buf_append_text(&s->text, ",s=");
	base64_encode(base_slice_make(keys->salt, keys->salt_len), &s->text);
	base_buf_printf(&s->text, ",i=%u", (unsigned)keys->iterations);
	BASE_BUG_IF(!base_buf_ok(&s->text));
	base_buf_append_slice(out, base_slice_from(base_buf_slice(&s->text), at));
}

enum sasl_server_result sasl_scram_server_keys(
	struct sasl_server *s, bool known, const struct sasl_scram_keys *keys, struct base_buf *out)
{
	struct sasl_scram_keys used;

	mock_keys(s, &used);
	if (known && keys && keys->salt_len > 0 && keys->salt_len <= sizeof(keys->salt) &&
		keys->iterations > 0) {
		s->scram.known = true;
		used = *keys;
	}
	memcpy(s->scram.stored_key, used.stored_key, sizeof(used.stored_key));
	memcpy(s->scram.server_key, used.server_key, sizeof(used.server_key));
	server_first(s, &used, out);
	base_wipe(&used, sizeof(used));
	return SASL_SERVER_CHALLENGE;
}

struct client_final {
	struct base_slice binding, nonce, proof;
	struct base_slice without_proof;
};

/* c=, r=, extensions, and p= at the very end. */
static bool parse_final(struct base_slice message, struct client_final *out)
{
	struct sasl_scram_reader r = sasl_scram_reader_make(message);
	char name;

	if (!sasl_scram_attr_take(&r, 'c', &out->binding) ||
		!sasl_scram_attr_take(&r, 'r', &out->nonce))
		return false;
	do {
		if (sasl_scram_attr_next(&r, &name, &out->proof) != SASL_SCRAM_ATTR ||
			!sasl_scram_extension_allowed(name, "cr"))
			return false;
	} while (name != 'p');
	if (r.more || out->proof.len == 0)
		return false;
	/* What is signed ends before the ",p=". */
	out->without_proof = base_slice_first(
		message, (size_t)(out->proof.ptr - message.ptr) - strlen(",p="));
	return true;
}

/* A proof is exactly as long as the hash. */
static bool decode_proof(struct sasl_server *s, struct base_slice text)
{
	struct base_secret proof;
	bool good;

	base_secret_init(&proof, base_hash_len(hash_of(s)));
	good = base64_decode_secret(text, &proof) == BASE64_OK && proof.len == proof.cap;
	if (good)
		memcpy(s->scram.proof, proof.ptr, proof.len);
	base_secret_release(&proof);
	return good;
}

/* c= must be the very header of the first message, and the binding data of our own side. */
static bool binding_matches(const struct sasl_server *s, struct base_slice data)
{
	const struct sasl_server_scram *scram = &s->scram;
	struct base_buf plain, expected;
	bool equal;

	base_buf_init(&plain, SASL_RESPONSE_MAX_BYTES + SASL_BINDING_MAX_BYTES);
	base_buf_init(&expected, base64_encoded_len(plain.max));
	base_buf_append_slice(&plain, text_slice(s, 0, scram->bare_at));
	base_buf_append_slice(&plain, data);
	base64_encode(base_buf_slice(&plain), &expected);
	equal = base_buf_ok(&plain) && base_buf_ok(&expected) &&
		base_equal_constant_time(base_buf_slice(&expected),
			text_slice(s, scram->binding_at, scram->binding_len));
	base_buf_release(&plain);
	base_buf_release(&expected);
	return equal;
}

/* Is the proof one of the stored key? Also make our own signature, before anything is decided. */
static bool prove(const struct sasl_server *s, uint8_t out_signature[BASE_HASH_MAX_BYTES])
{
	enum base_hash hash = hash_of(s);
	size_t hash_len = base_hash_len(hash);
	struct base_slice stored_key = base_slice_make(s->scram.stored_key, hash_len);
	struct base_slice auth_message = base_slice_from(
		base_buf_slice(&s->text), s->scram.bare_at);
	uint8_t client_key[BASE_HASH_MAX_BYTES], found[BASE_HASH_MAX_BYTES];
	bool equal;

	base_hmac(hash, stored_key, auth_message, client_key);
	for (size_t i = 0; i < hash_len; i++)
		client_key[i] ^= s->scram.proof[i];
	base_hash(hash, base_slice_make(client_key, hash_len), found);
	base_hmac(
		hash, base_slice_make(s->scram.server_key, hash_len), auth_message, out_signature);
	equal = base_equal_constant_time(base_slice_make(found, hash_len), stored_key);
	base_wipe(client_key, sizeof(client_key));
	base_wipe(found, sizeof(found));
	return equal;
}

static enum sasl_server_result verify(
	struct sasl_server *s, struct base_slice data, struct base_buf *out)
{
	uint8_t signature[BASE_HASH_MAX_BYTES];
	bool bound = binding_matches(s, data);
	bool proven = prove(s, signature);
	const char *problem = NULL;

	if (!bound)
		problem = "channel binding or header differs";
	else if (!s->scram.known)
		problem = "unknown user or no keys for this mechanism";
	else if (!proven)
		problem = "wrong password";
	if (!problem) {
		base_buf_append_text(out, "v=");
		base64_encode(base_slice_make(signature, base_hash_len(hash_of(s))), out);
	}
	base_wipe(signature, sizeof(signature));
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	return SASL_SERVER_CHALLENGE;
}

enum sasl_server_result sasl_scram_server_client_final(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	struct sasl_server_scram *scram = &s->scram;
	struct client_final m;

	if (!parse_final(response, &m) || !decode_proof(s, m.proof))
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "broken client-final message");
	if (!base_slice_equal(m.nonce, text_slice(s, scram->nonce_at, scram->full_nonce_len)))
		return sasl_server_fail(s, SASL_SERVER_REJECTED, "nonce is not the one given");
	base_buf_append_byte(&s->text, ',');
	scram->binding_at = s->text.len + (size_t)(m.binding.ptr - response.ptr);
	scram->binding_len = m.binding.len;
	base_buf_append_slice(&s->text, m.without_proof);
	BASE_BUG_IF(!base_buf_ok(&s->text));
	if (scram->flag == 'p')
		return SASL_SERVER_NEED_BINDING;
	return verify(s, BASE_SLICE_EMPTY, out);
}

enum sasl_server_result sasl_scram_server_binding(
	struct sasl_server *s, bool available, struct base_slice data, struct base_buf *out)
{
	/* Empty data would be no binding at all, and would match a client without one. */
	if (!available || data.len == 0 || data.len > SASL_BINDING_MAX_BYTES)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, "no channel binding data");
	return verify(s, data, out);
}

enum sasl_server_result sasl_scram_server_empty(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	(void)out;
	if (response.len > 0)
		return sasl_server_fail(
			s, SASL_SERVER_MALFORMED, "data where an empty response ends SCRAM");
	return SASL_SERVER_SUCCESS;
}
