/* CRAM-MD5 (RFC 2195): the server sends "<random.time@host>", the client answers its name, a space
 * and the HMAC-MD5 of that challenge under the password, in lower-case hexadecimal. */
#include "sasl/client_internal.h"
#include "sasl/server_internal.h"

#include "base/base64.h"

#include <string.h>

enum { CHALLENGE_RANDOM_BYTES = 16, DIGEST_BYTES = 16, DIGEST_CHARS = 2 * DIGEST_BYTES };

static void digest_text(
	struct base_slice secret, struct base_slice challenge, char out[DIGEST_CHARS])
{
	static const char hex[] = "0123456789abcdef";
	uint8_t digest[DIGEST_BYTES];

	base_hmac(BASE_HASH_MD5, secret, challenge, digest);
	for (size_t i = 0; i < DIGEST_BYTES; i++) {
		out[2 * i] = hex[digest[i] >> 4];
		out[2 * i + 1] = hex[digest[i] & 15];
	}
	base_wipe(digest, sizeof(digest));
}

void sasl_cram_md5_server_init(struct sasl_server *s, const struct sasl_server_options *options)
{
	base_buf_append_byte(&s->text, '<');
	base_hex_encode(base_slice_first(options->random, CHALLENGE_RANDOM_BYTES), &s->text);
	base_buf_printf(&s->text, ".%lld@", (long long)(options->now_ms / 1000));
	base_buf_append_slice(&s->text, options->host_name);
	base_buf_append_byte(&s->text, '>');
}

static bool is_digest(struct base_slice text)
{
	if (text.len != DIGEST_CHARS)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!base_ascii_is_digit(text.ptr[i]) && (text.ptr[i] < 'a' || text.ptr[i] > 'f'))
			return false;
	return true;
}

enum sasl_server_result sasl_cram_md5_server_digest(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	/* The last one: a name may hold spaces, a digest may not. */
	size_t space = base_slice_find_last(response, ' ');
	struct base_slice digest = base_slice_from(response, space + 1);
	const char *problem;

	(void)out;
	if (space == 0 || space == response.len || !is_digest(digest))
		return sasl_server_fail(s, SASL_SERVER_MALFORMED,
			"not a user name, a space and 32 hexadecimal digits");
	problem = sasl_server_take_user(s, base_slice_first(response, space));
	if (problem)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, problem);
	memcpy(s->cram_md5.digest, digest.ptr, sizeof(s->cram_md5.digest));
	return SASL_SERVER_NEED_SECRET;
}

enum sasl_server_result sasl_cram_md5_server_secret(
	struct sasl_server *s, bool known, struct base_slice secret)
{
	char expected[DIGEST_CHARS];
	bool equal;

	/* An unknown user costs an HMAC too, under a key that nobody has. */
	if (!known || secret.len == 0) {
		known = false;
		secret = base_slice_make(s->mock_key, sizeof(s->mock_key));
	}
	digest_text(secret, base_buf_slice(&s->text), expected);
	equal = base_equal_constant_time(base_slice_make(expected, sizeof(expected)),
		base_slice_make(s->cram_md5.digest, sizeof(s->cram_md5.digest)));
	base_wipe(expected, sizeof(expected));
	if (!known)
		return sasl_server_fail(
			s, SASL_SERVER_REJECTED, "unknown user or no recoverable password");
	if (!equal)
		return sasl_server_fail(s, SASL_SERVER_REJECTED, "wrong password");
	return SASL_SERVER_SUCCESS;
}

struct base_slice sasl_server_cram_challenge(const struct sasl_server *s)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_SECRET);
	return base_buf_slice(&s->text);
}

struct base_slice sasl_server_cram_digest(const struct sasl_server *s)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_SECRET);
	return base_slice_make(s->cram_md5.digest, sizeof(s->cram_md5.digest));
}

enum sasl_client_result sasl_cram_md5_client_digest(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	char digest[DIGEST_CHARS];

	/* A constant challenge would make the answer replayable; an empty one surely is. */
	if (challenge.len == 0)
		return sasl_client_fail(c, "server sent an empty CRAM-MD5 challenge");
	digest_text(base_secret_slice(&c->password), challenge, digest);
	base_buf_append_slice(out, base_secret_slice(&c->user));
	base_buf_append_byte(out, ' ');
	base_buf_append(out, digest, sizeof(digest));
	base_wipe(digest, sizeof(digest));
	return SASL_CLIENT_RESPONSE;
}
