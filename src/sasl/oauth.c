/* Bearer tokens, client side only.
 *
 *	XOAUTH2      user=USER ^A auth=Bearer TOKEN ^A ^A
 *	OAUTHBEARER  n,a=USER, ^A host=HOST ^A port=PORT ^A auth=Bearer TOKEN ^A ^A   (RFC 7628 section 3.1)
 *
 * where ^A is the byte 1. A server that takes the token says success at once. One that does not sends
 * its reasons as JSON in a challenge, wants an answer that says nothing (one byte 1; XOAUTH2: empty),
 * and only then refuses (section 3.2.3). */
#include "sasl/client_internal.h"

#include "base/base64.h"
#include "sasl/scram_internal.h"

#include <string.h>

enum { HOST_MAX_BYTES = 255 };

static bool is_visible(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x21 || s.ptr[i] > 0x7e)
			return false;
	return true;
}

static bool has_control(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (s.ptr[i] < 0x20 || s.ptr[i] == 0x7f)
			return true;
	return false;
}

bool sasl_oauth_token_valid(struct base_slice token)
{
	return token.len > 0 && is_visible(token);
}

static void oauthbearer(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out)
{
	base_buf_append_text(out, "n,a=");
	sasl_scram_name_encode(base_secret_slice(&c->user), out);
	base_buf_append_text(out, ",\1");
	if (options->host.len > 0) {
		base_buf_append_text(out, "host=");
		base_buf_append_slice(out, options->host);
		base_buf_append_byte(out, 1);
	}
	if (options->port)
		base_buf_printf(out, "port=%u\1", options->port);
}

enum sasl_client_result sasl_oauth_client_begin(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out)
{
	/* A byte 1 would begin a pair of its own: somebody else's auth= perhaps. */
	if (has_control(base_secret_slice(&c->user)))
		return sasl_client_fail(c, "user name with control characters");
	if (options->host.len > HOST_MAX_BYTES || !is_visible(options->host))
		return sasl_client_fail(c, "server's name is none that can be sent with a token");
	if (c->mechanism == SASL_MECHANISM_OAUTHBEARER) {
		oauthbearer(c, options, out);
	} else {
		base_buf_append_text(out, "user=");
		base_buf_append_slice(out, base_secret_slice(&c->user));
		base_buf_append_byte(out, 1);
	}
	base_buf_append_text(out, "auth=Bearer ");
	base_buf_append_slice(out, base_secret_slice(&c->password));
	base_buf_append_text(out, "\1\1");
	return SASL_CLIENT_RESPONSE;
}

/* "\\u0041" at the front: its byte, or -1. */
static int escaped_byte(struct base_slice s)
{
	int high, low;

	if (s.len < 6 || memcmp(s.ptr, "\\u00", 4) != 0)
		return -1;
	high = base_hex_value(s.ptr[4]);
	low = base_hex_value(s.ptr[5]);
	return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Does the server repeat the token? JSON may have written any of its characters with a backslash, and who
 * reads it reads the token. */
static bool repeats_token(const struct sasl_client *c, struct base_slice json)
{
	struct base_slice token = base_secret_slice(&c->password);
	struct base_buf plain;
	bool found;
	int byte;

	base_buf_init_secret(&plain, SASL_CHALLENGE_MAX_BYTES);
	for (size_t i = 0; i < json.len; i++) {
		byte = escaped_byte(base_slice_from(json, i));
		if (byte >= 0) {
			base_buf_append_byte(&plain, (uint8_t)byte);
			i += 5;
		} else if (json.ptr[i] != '\\') {
			base_buf_append_byte(&plain, json.ptr[i]);
		}
	}
	found = (json.len && memmem(json.ptr, json.len, token.ptr, token.len)) ||
		(plain.len && memmem(plain.ptr, plain.len, token.ptr, token.len));
	base_buf_release(&plain);
	return found;
}

enum sasl_client_result sasl_oauth_client_refusal(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	if (!repeats_token(c, challenge))
		base_buf_append_slice(
			&c->error, base_slice_first(challenge, SASL_CLIENT_ERROR_MAX_BYTES));
	base_secret_clear(&c->password);
	c->reason = "server refuses the token";
	if (c->mechanism == SASL_MECHANISM_OAUTHBEARER)
		base_buf_append_byte(out, 1);
	return SASL_CLIENT_RESPONSE;
}
