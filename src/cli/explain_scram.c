/* SCRAM's four messages (RFC 5802 section 7): client-first, server-first, client-final,
 * server-final. Proof and signature are computed anew where the password is known. */
#include "base/base64.h"
#include "cli/explain_internal.h"
#include "sasl/client.h"
#include "sasl/prep.h"

#include <string.h>

/* The value of attribute @name, which stands next in @rest. */
static bool take(struct base_slice *rest, char name, struct base_slice *out)
{
	struct base_slice part;

	if (!base_slice_split(rest, ',', &part) || part.len < 2 || part.ptr[0] != (uint8_t)name ||
		part.ptr[1] != '=')
		return false;
	*out = base_slice_from(part, 2);
	return true;
}

static void broken(struct explain_line *l, const char *what)
{
	explain_mistake(l, EXPLAIN_SCRAM_SYNTAX, "%s", what);
}

/* "=2C" and "=3D" back to what they stand for. */
static void decode_name(struct base_slice in, struct base_buf *out, struct explain_line *l)
{
	for (size_t i = 0; i < in.len; i++) {
		struct base_slice code = base_slice_first(base_slice_from(in, i), 3);

		if (in.ptr[i] != '=') {
			base_buf_append_byte(out, in.ptr[i]);
			continue;
		}
		if (!base_slice_equal_text(code, "=2C") && !base_slice_equal_text(code, "=3D")) {
			explain_mistake(
				l, EXPLAIN_SCRAM_NAME, "at position %zu of the name", i + 1);
			return;
		}
		base_buf_append_byte(out, code.ptr[1] == '2' ? ',' : '=');
		i += 2;
	}
}

static void say_name(const struct explain *e, const char *before, struct base_slice in,
	bool is_user, struct explain_line *l)
{
	struct base_buf name;

	base_buf_init(&name, EXPLAIN_MESSAGE_MAX);
	decode_name(in, &name, l);
	explain_say(l, "%s", before);
	explain_quote(l, base_buf_slice(&name), 256);
	if (is_user && explain_knows_password(e) &&
		!base_slice_equal(base_buf_slice(&name), base_buf_slice(&e->user)))
		explain_say(l, " (not the user that was given)");
	base_buf_release(&name);
}

static void judge_flag(const struct explain *e, struct base_slice flag, struct explain_line *l)
{
	bool plus = sasl_mechanism_info(e->x.mechanism)->flags & SASL_CHANNEL_BINDING;
	enum sasl_mechanism twin = sasl_mechanism_info(e->x.mechanism)->plus;
	bool p = base_slice_starts_with(flag, BASE_SLICE("p="));
	bool y = base_slice_equal_text(flag, "y");

	if (!p && !y && !base_slice_equal_text(flag, "n"))
		broken(l, "it begins with n, y or p=");
	else if (plus && !p)
		explain_mistake(l, EXPLAIN_SCRAM_PLUS, "%s", y ? "here is y" : "here is n");
	if (y && twin != SASL_MECHANISM_NONE &&
		explain_offers(e, base_slice_text(sasl_mechanism_info(twin)->name)))
		explain_mistake(l, EXPLAIN_SCRAM_DOWNGRADE, "%s was offered",
			sasl_mechanism_info(twin)->name);
	if (p) {
		explain_say(l, ", bound by ");
		explain_quote(l, base_slice_from(flag, 2), 64);
	} else {
		explain_say(l, y ? ", y: could bind, but saw no -PLUS" : ", n: no channel binding");
	}
}

static void client_first(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct explain_scram *s = &e->x.scram;
	struct base_slice rest = m, flag, authzid, user, nonce;

	explain_say(l, "client-first: ");
	if (!base_slice_split(&rest, ',', &flag) || !base_slice_split(&rest, ',', &authzid)) {
		broken(l, "the header n,, is missing");
		return;
	}
	base_buf_append(&s->header, m.ptr, (size_t)(rest.ptr - m.ptr));
	base_buf_append_slice(&s->first_bare, rest);
	if (base_slice_starts_with(rest, BASE_SLICE("m=")))
		broken(l, "m= demands what nobody knows");
	if (!take(&rest, 'n', &user) || !take(&rest, 'r', &nonce) || nonce.len == 0 ||
		user.len == 0) {
		broken(l, "n=USER,r=NONCE follow the header");
		return;
	}
	base_buf_append_slice(&s->nonce, nonce);
	say_name(e, "user ", user, true, l);
	if (authzid.len && base_slice_starts_with(authzid, BASE_SLICE("a=")))
		say_name(e, ", to act as ", base_slice_from(authzid, 2), false, l);
	else if (authzid.len)
		broken(l, "a=NAME or nothing stands between the commas");
	judge_flag(e, flag, l);
	explain_say(l, ", and a nonce (r=)");
}

static void server_first(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct explain_scram *s = &e->x.scram;
	struct base_slice rest = m, nonce, salt, rounds;

	explain_say(l, "server-first: ");
	base_buf_append_slice(&s->server_first, m);
	if (!take(&rest, 'r', &nonce) || !take(&rest, 's', &salt) || !take(&rest, 'i', &rounds) ||
		!base_slice_to_u64(rounds, &s->rounds)) {
		broken(l, "it is r=NONCE,s=SALT,i=NUMBER");
		return;
	}
	if (s->nonce.len &&
		(!base_slice_starts_with(nonce, base_buf_slice(&s->nonce)) ||
			nonce.len == s->nonce.len))
		explain_mistake(l, EXPLAIN_SCRAM_NONCE, "%s", "");
	base_buf_clear(&s->nonce);
	base_buf_append_slice(&s->nonce, nonce);
	if (base64_decode(salt, &s->salt, NULL) != BASE64_OK || s->salt.len == 0)
		broken(l, "the salt is no base64");
	explain_say(l, "both nonces (r=), the user's salt (s=), %llu rounds of PBKDF2 (i=)",
		(unsigned long long)s->rounds);
	if (s->rounds < SASL_CLIENT_ITERATIONS_MIN)
		explain_mistake(
			l, EXPLAIN_SCRAM_FEW, "here are %llu", (unsigned long long)s->rounds);
	if (s->rounds > SASL_CLIENT_ITERATIONS_MAX)
		explain_mistake(
			l, EXPLAIN_SCRAM_MANY, "here are %llu", (unsigned long long)s->rounds);
}

/* Compute proof and server signature for the password that was given. */
static bool compute(struct explain *e, struct base_slice without_proof, uint8_t *out_proof)
{
	struct explain_scram *s = &e->x.scram;
	enum base_hash hash = sasl_mechanism_info(e->x.mechanism)->hash;
	size_t len = base_hash_len(hash);
	uint8_t salted[BASE_HASH_MAX_BYTES], key[BASE_HASH_MAX_BYTES], stored[BASE_HASH_MAX_BYTES];
	struct base_secret password;
	struct base_buf message;
	bool ready = explain_knows_password(e) && s->salt.len && s->first_bare.len && s->rounds &&
		s->rounds <= SASL_CLIENT_ITERATIONS_MAX;

	if (!ready || (e->rounds_left && *e->rounds_left < s->rounds))
		return false;
	if (e->rounds_left)
		*e->rounds_left -= s->rounds;
	base_secret_init(&password, 4096);
	ready = sasl_prep(base_buf_slice(&e->password), false, &password) && password.len;
	if (ready) {
		base_buf_init(&message, 3u * EXPLAIN_MESSAGE_MAX);
		base_buf_printf(&message, "%.*s,", BASE_SLICE_ARGS(base_buf_slice(&s->first_bare)));
		base_buf_printf(
			&message, "%.*s,", BASE_SLICE_ARGS(base_buf_slice(&s->server_first)));
		base_buf_append_slice(&message, without_proof);
		base_pbkdf2(hash, base_secret_slice(&password), base_buf_slice(&s->salt),
			(uint32_t)s->rounds, salted, len);
		base_hmac(hash, base_slice_make(salted, len), BASE_SLICE("Client Key"), key);
		base_hash(hash, base_slice_make(key, len), stored);
		base_hmac(hash, base_slice_make(stored, len), base_buf_slice(&message), out_proof);
		for (size_t i = 0; i < len; i++)
			out_proof[i] ^= key[i];
		base_hmac(hash, base_slice_make(salted, len), BASE_SLICE("Server Key"), key);
		base_hmac(hash, base_slice_make(key, len), base_buf_slice(&message), s->signature);
		base_buf_release(&message);
	}
	base_secret_release(&password);
	base_wipe(salted, sizeof(salted));
	base_wipe(key, sizeof(key));
	base_wipe(stored, sizeof(stored));
	return ready;
}

static void judge_binding(
	const struct explain *e, struct base_slice binding, struct explain_line *l)
{
	struct base_slice header = base_buf_slice(&e->x.scram.header);
	bool bound = base_slice_starts_with(header, BASE_SLICE("p="));
	struct base_buf decoded;

	if (header.len == 0)
		return;
	base_buf_init(&decoded, EXPLAIN_MESSAGE_MAX);
	if (base64_decode(binding, &decoded, NULL) != BASE64_OK ||
		!base_slice_starts_with(base_buf_slice(&decoded), header) ||
		(decoded.len > header.len) != bound)
		explain_mistake(
			l, EXPLAIN_SCRAM_BINDING, "%s", bound ? "and the binding's data" : "");
	base_buf_release(&decoded);
}

static void judge_proof(
	struct explain *e, struct base_slice m, struct base_slice proof, struct explain_line *l)
{
	struct explain_scram *s = &e->x.scram;
	size_t len = base_hash_len(sasl_mechanism_info(e->x.mechanism)->hash);
	uint8_t right[BASE_HASH_MAX_BYTES];
	struct base_buf sent;

	base_buf_init(&sent, EXPLAIN_MESSAGE_MAX);
	if (base64_decode(proof, &sent, NULL) != BASE64_OK || sent.len != len) {
		broken(l, "the proof p= does not have the length of the hash");
	} else if (compute(e, base_slice_first(m, m.len - proof.len - 3), right)) {
		s->signature_known = true;
		s->proof_right = memcmp(sent.ptr, right, len) == 0;
		explain_say(l,
			s->proof_right ? "; the proof matches the password"
				       : "; the proof does not match the password");
	} else if (explain_knows_password(e)) {
		explain_say(l, "; the proof cannot be checked");
	}
	base_wipe(right, sizeof(right));
	base_buf_release(&sent);
}

static void client_final(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct base_slice rest = m, binding, nonce, part;

	explain_say(l, "client-final: channel binding (c=), both nonces (r=), the proof (p=)");
	if (!take(&rest, 'c', &binding) || !take(&rest, 'r', &nonce)) {
		broken(l, "it begins with c=, then r=");
		return;
	}
	judge_binding(e, binding, l);
	if (e->x.scram.nonce.len && !base_slice_equal(nonce, base_buf_slice(&e->x.scram.nonce)))
		explain_mistake(l, EXPLAIN_SCRAM_NONCE_SAME, "%s", "");
	part = BASE_SLICE_EMPTY;
	while (base_slice_split(&rest, ',', &part))
		continue;
	if (!base_slice_starts_with(part, BASE_SLICE("p=")))
		broken(l, "p= is missing at the end");
	else
		judge_proof(e, m, base_slice_from(part, 2), l);
}

static void server_final(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct explain_scram *s = &e->x.scram;
	size_t len = base_hash_len(sasl_mechanism_info(e->x.mechanism)->hash);
	struct base_buf sent;

	e->x.server_final = true;
	explain_say(l,
		"server-final: v= proves that the server knows the password's keys, and is no "
		"impostor");
	base_buf_init(&sent, EXPLAIN_MESSAGE_MAX);
	if (base64_decode(base_slice_from(m, 2), &sent, NULL) != BASE64_OK || sent.len != len) {
		broken(l, "v= does not have the length of the hash");
	} else if (s->signature_known && memcmp(sent.ptr, s->signature, len) == 0) {
		explain_say(l, "; it matches the password");
	} else if (s->signature_known) {
		explain_say(l, "; it does not match the password");
		if (s->proof_right)
			explain_mistake(l, EXPLAIN_SCRAM_SIGNATURE, "%s", "");
	}
	base_buf_release(&sent);
}

void explain_scram_server(struct explain *e, struct base_slice m, struct explain_line *l)
{
	if (base_slice_starts_with(m, BASE_SLICE("v="))) {
		server_final(e, m, l);
	} else if (base_slice_starts_with(m, BASE_SLICE("e="))) {
		explain_say(l, "server-final: refused, ");
		explain_quote(l, base_slice_from(m, 2), 64);
	} else {
		server_first(e, m, l);
	}
}

void explain_scram_client(struct explain *e, struct base_slice m, struct explain_line *l)
{
	if (e->x.server_final) {
		explain_say(l,
			m.len ? "something behind the server's proof"
			      : "empty: the client has checked the server's proof");
		if (m.len)
			explain_mistake(l, EXPLAIN_SCRAM_LAST, "%s", "");
	} else if (e->x.scram.server_first.len) {
		e->x.odd = !base_slice_starts_with(m, BASE_SLICE("c="));
		client_final(e, m, l);
	} else {
		e->x.odd = m.len < 2 || !memchr("nyp", m.ptr[0], 3) ||
			(m.ptr[1] != ',' && m.ptr[1] != '=');
		client_first(e, m, l);
	}
}
