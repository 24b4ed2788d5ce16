/* CRAM-MD5 (RFC 2195) and DIGEST-MD5 (RFC 2831): digests computed anew where the password is known. */
#include "base/base64.h"
#include "cli/explain_internal.h"

#include <stdio.h>
#include <string.h>

static void hex_md5(struct base_slice data, char out[33])
{
	uint8_t sum[BASE_HASH_MAX_BYTES];

	base_hash(BASE_HASH_MD5, data, sum);
	for (size_t i = 0; i < 16; i++)
		snprintf(out + 2 * i, 3, "%02x", sum[i]);
}

void explain_cram_server(struct explain *e, struct base_slice m, struct explain_line *l)
{
	size_t at = base_slice_find(m, '@');

	base_buf_clear(&e->x.challenge);
	base_buf_append_slice(&e->x.challenge, m);
	explain_say(l, "the challenge, used once: ");
	explain_quote(l, m, 200);
	if (m.len < 5 || m.ptr[0] != '<' || m.ptr[m.len - 1] != '>' || at == m.len)
		explain_mistake(l, EXPLAIN_CRAM_CHALLENGE, "%s", "");
}

static bool is_digest(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (base_hex_value(s.ptr[i]) < 0 || base_ascii_lower(s.ptr[i]) != s.ptr[i])
			return false;
	return s.len == 32;
}

void explain_cram_client(struct explain *e, struct base_slice m, struct explain_line *l)
{
	size_t blank = base_slice_find_last(m, ' ');
	struct base_slice user = base_slice_first(m, blank), digest = base_slice_from(m, blank + 1);
	uint8_t sum[BASE_HASH_MAX_BYTES];
	char right[33];

	e->x.odd = !is_digest(digest) || user.len == 0;
	if (e->x.odd) {
		explain_say(l, "no digest of CRAM-MD5's");
		explain_mistake(l, EXPLAIN_CRAM_RESPONSE, "%s", "");
	} else {
		explain_say(l, "user ");
		explain_quote(l, user, 256);
		explain_say(l, ", and the digest: HMAC-MD5 of the challenge under the password");
	}
	if (!explain_knows_password(e) || e->x.challenge.len == 0)
		return;
	base_hmac(
		BASE_HASH_MD5, base_buf_slice(&e->password), base_buf_slice(&e->x.challenge), sum);
	for (size_t i = 0; i < 16; i++)
		snprintf(right + 2 * i, 3, "%02x", sum[i]);
	if (!base_slice_equal(user, base_buf_slice(&e->user)))
		explain_say(l, "; not the user that was given");
	explain_say(l,
		base_slice_equal_text(digest, right) ? "; the digest matches the password"
						     : "; the digest does not match the password");
}

/* The value of directive @name of "a=1,b=\"2\"", without its quotes; empty if it is not there. */
static struct base_slice directive(struct base_slice m, const char *name)
{
	while (m.len) {
		size_t eq = base_slice_find(m, '='), end;
		struct base_slice key = base_slice_trim(base_slice_first(m, eq)), value;

		m = base_slice_from(m, eq + 1);
		if (m.len && m.ptr[0] == '"') {
			m = base_slice_from(m, 1);
			end = base_slice_find(m, '"');
			value = base_slice_first(m, end);
			m = base_slice_from(m, end + 1);
			m = base_slice_from(m, base_slice_find(m, ',') + 1);
		} else {
			end = base_slice_find(m, ',');
			value = base_slice_first(m, end);
			m = base_slice_from(m, end + 1);
		}
		if (base_slice_equal_text_nocase(key, name))
			return value;
	}
	return BASE_SLICE_EMPTY;
}

void explain_digest_server(struct explain *e, struct base_slice m, struct explain_line *l)
{
	if (base_slice_starts_with(m, BASE_SLICE("rspauth="))) {
		e->x.server_final = true;
		explain_say(l, "rspauth=: the server knows the password too");
		if (e->x.rspauth[0])
			explain_say(l,
				base_slice_equal_text(base_slice_from(m, 8), e->x.rspauth)
					? "; it matches the password"
					: "; it does not match the password");
		return;
	}
	base_buf_clear(&e->x.challenge);
	base_buf_append_slice(&e->x.challenge, m);
	explain_say(l, "the challenge: ");
	explain_quote(l, m, 400);
}

/* RFC 2831 section 2.1.2.1, for qop=auth. @verb: "AUTHENTICATE" of the client, "" of the server. */
static void compute(const struct explain *e, struct base_slice m, const char *verb, char out[33])
{
	struct base_slice user = directive(m, "username"), realm = directive(m, "realm");
	struct base_slice authzid = directive(m, "authzid");
	uint8_t inner[BASE_HASH_MAX_BYTES];
	char ha1[33], ha2[33];
	struct base_buf b;

	base_buf_init_secret(&b, 4u * EXPLAIN_MESSAGE_MAX);
	base_buf_append_slice(&b, user);
	base_buf_append_byte(&b, ':');
	base_buf_append_slice(&b, realm);
	base_buf_append_byte(&b, ':');
	base_buf_append_slice(&b, base_buf_slice(&e->password));
	base_hash(BASE_HASH_MD5, base_buf_slice(&b), inner);
	base_buf_clear(&b);
	base_buf_append(&b, inner, 16);
	base_buf_printf(&b, ":%.*s", BASE_SLICE_ARGS(directive(m, "nonce")));
	base_buf_printf(&b, ":%.*s", BASE_SLICE_ARGS(directive(m, "cnonce")));
	if (authzid.len)
		base_buf_printf(&b, ":%.*s", BASE_SLICE_ARGS(authzid));
	hex_md5(base_buf_slice(&b), ha1);
	base_buf_clear(&b);
	base_buf_printf(&b, "%s:%.*s", verb, BASE_SLICE_ARGS(directive(m, "digest-uri")));
	hex_md5(base_buf_slice(&b), ha2);
	base_buf_clear(&b);
	base_buf_printf(&b, "%s:%.*s:%.*s", ha1, BASE_SLICE_ARGS(directive(m, "nonce")),
		BASE_SLICE_ARGS(directive(m, "nc")));
	base_buf_printf(&b, ":%.*s:auth:%s", BASE_SLICE_ARGS(directive(m, "cnonce")), ha2);
	hex_md5(base_buf_slice(&b), out);
	base_buf_release(&b);
	base_wipe(inner, sizeof(inner));
	base_wipe(ha1, sizeof(ha1));
}

void explain_digest_client(struct explain *e, struct base_slice m, struct explain_line *l)
{
	struct base_slice user = directive(m, "username"), qop = directive(m, "qop");
	char right[33];

	if (e->x.server_final) {
		explain_say(l,
			m.len ? "something behind the server's proof"
			      : "empty: the client has checked the server's proof");
		return;
	}
	e->x.odd = user.len == 0;
	explain_say(l, "user ");
	explain_quote(l, user, 256);
	explain_say(l, " for ");
	explain_quote(l, directive(m, "digest-uri"), 128);
	explain_say(l, ", and the digest (response=)");
	if (!explain_knows_password(e))
		return;
	if (qop.len && !base_slice_equal_text(qop, "auth")) {
		explain_say(l, "; the digest cannot be checked");
		return;
	}
	compute(e, m, "AUTHENTICATE", right);
	compute(e, m, "", e->x.rspauth);
	if (!base_slice_equal(user, base_buf_slice(&e->user)))
		explain_say(l, "; not the user that was given");
	explain_say(l,
		base_slice_equal_text(directive(m, "response"), right)
			? "; the digest matches the password"
			: "; the digest does not match the password");
}
