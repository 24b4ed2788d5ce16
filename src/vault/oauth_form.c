/* Forms of the token and device endpoints. */
#include "vault/oauth_internal.h"

#include <string.h>

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

void vault_oauth_form_encode(struct base_slice value, struct base_buf *out)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < value.len; i++) {
		uint8_t byte = value.ptr[i];

		if (base_ascii_is_alnum(byte) || byte == '-' || byte == '.' || byte == '_') {
			base_buf_append_byte(out, byte);
		} else if (byte == ' ') {
			base_buf_append_byte(out, '+');
		} else {
			base_buf_append_byte(out, '%');
			base_buf_append_byte(out, (uint8_t)digits[byte >> 4]);
			base_buf_append_byte(out, (uint8_t)digits[byte & 15]);
		}
	}
}

void vault_oauth_field(struct base_buf *out, const char *name, struct base_slice value)
{
	if (out->len && out->ptr[out->len - 1] != '?')
		base_buf_append_byte(out, '&');
	vault_oauth_form_encode(base_slice_text(name), out);
	base_buf_append_byte(out, '=');
	vault_oauth_form_encode(value, out);
}

void vault_oauth_extra_fields(const struct vault_oauth_profile *p, struct base_buf *out)
{
	for (size_t i = 0; i < p->extra_count; i++)
		vault_oauth_field(out, p->extra[i].name, base_slice_text(p->extra[i].value));
}

int vault_oauth_form_end(const struct base_buf *out, struct base_error *err)
{
	return base_buf_ok(out)
		? 0
		: base_error_set(err, BASE_ERROR_CONFIG, 0, "the OAuth request is too long");
}

/* Only a key that is not the grant's own proves the client. */
static int append_proof(const struct vault_oauth_profile *p, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err)
{
	struct oauth_assertion a = {.issuer = p->texts[OAUTH_CLIENT_ID],
		.subject = base_slice_text(p->texts[OAUTH_CLIENT_ID]),
		.audience = p->texts[OAUTH_TOKEN_ENDPOINT],
		.now_ms = now_ms,
		.random = random};
	struct base_buf jwt;
	int rc;

	if (p->secrets[OAUTH_CLIENT_SECRET].len)
		vault_oauth_field(
			out, "client_secret", base_secret_slice(&p->secrets[OAUTH_CLIENT_SECRET]));
	if (p->algorithm == OAUTH_NONE || p->grant == VAULT_OAUTH_JWT_BEARER)
		return 0;
	base_buf_init_secret(&jwt, VAULT_OAUTH_FORM_MAX_BYTES);
	rc = vault_oauth_assertion(p, &a, &jwt, err);
	vault_oauth_field(out, "client_assertion_type", BASE_SLICE(ASSERTION_TYPE));
	vault_oauth_field(out, "client_assertion", base_buf_slice(&jwt));
	base_buf_release(&jwt);
	return rc;
}

int vault_oauth_client_fields(const struct vault_oauth_profile *p, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], bool scope, struct base_buf *out,
	struct base_error *err)
{
	int rc;

	/* RFC 7521 section 4.1: of jwt_bearer the client is nobody unless it proves itself. */
	if (p->grant != VAULT_OAUTH_JWT_BEARER || p->secrets[OAUTH_CLIENT_SECRET].len)
		vault_oauth_field(out, "client_id", base_slice_text(p->texts[OAUTH_CLIENT_ID]));
	rc = append_proof(p, now_ms, random, out, err);
	if (scope && p->texts[OAUTH_SCOPE])
		vault_oauth_field(out, "scope", base_slice_text(p->texts[OAUTH_SCOPE]));
	vault_oauth_extra_fields(p, out);
	return rc != 0 ? rc : vault_oauth_form_end(out, err);
}

static int refresh_fields(const struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	struct base_buf *out, struct base_error *err)
{
	struct base_slice token = t && t->refresh.len
		? base_secret_slice(&t->refresh)
		: base_secret_slice(&p->secrets[OAUTH_REFRESH]);

	if (!token.len)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"there is no refresh token: log in again with postern account add --oauth"
			" and --replace");
	vault_oauth_field(out, "grant_type", BASE_SLICE("refresh_token"));
	vault_oauth_field(out, "refresh_token", token);
	return 0;
}

static int bearer_fields(const struct vault_oauth_profile *p, struct base_slice user,
	int64_t now_ms, const uint8_t *random, struct base_buf *out, struct base_error *err)
{
	const char *const *texts = (const char *const *)p->texts;
	struct oauth_assertion a = {
		.issuer = texts[OAUTH_ISSUER] ? texts[OAUTH_ISSUER] : texts[OAUTH_CLIENT_ID],
		.subject = texts[OAUTH_SUBJECT] ? base_slice_text(texts[OAUTH_SUBJECT]) : user,
		.audience = texts[OAUTH_AUDIENCE] ? texts[OAUTH_AUDIENCE]
						  : texts[OAUTH_TOKEN_ENDPOINT],
		/* Google reads it here, others in the form. */
		.scope = texts[OAUTH_SCOPE],
		.now_ms = now_ms,
		.random = random};
	struct base_buf jwt;
	int rc;

	if (!a.subject.len)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"jwt_bearer needs to know for whom: give the account a user, or the"
			" profile a \"subject\"");
	base_buf_init_secret(&jwt, VAULT_OAUTH_FORM_MAX_BYTES);
	rc = vault_oauth_assertion(p, &a, &jwt, err);
	vault_oauth_field(
		out, "grant_type", BASE_SLICE("urn:ietf:params:oauth:grant-type:jwt-bearer"));
	vault_oauth_field(out, "assertion", base_buf_slice(&jwt));
	base_buf_release(&jwt);
	return rc;
}

int vault_oauth_renew_form(const struct vault_oauth_profile *p, const struct vault_oauth_tokens *t,
	struct base_slice user, int64_t now_ms, const uint8_t random[VAULT_OAUTH_RANDOM_BYTES],
	struct base_buf *out, struct base_error *err)
{
	int rc = 0;

	switch (p->grant) {
	case VAULT_OAUTH_REFRESH_TOKEN:
	case VAULT_OAUTH_DEVICE_CODE:
	case VAULT_OAUTH_AUTHORIZATION_CODE:
		rc = refresh_fields(p, t, out, err);
		break;
	case VAULT_OAUTH_CLIENT_CREDENTIALS:
		vault_oauth_field(out, "grant_type", BASE_SLICE("client_credentials"));
		break;
	case VAULT_OAUTH_JWT_BEARER:
		rc = bearer_fields(p, user, now_ms, random, out, err);
		break;
	case VAULT_OAUTH_GRANT_COUNT:
		break;
	}
	return rc != 0 ? rc : vault_oauth_client_fields(p, now_ms, random, true, out, err);
}

/* RFC 8628 section 3.1: the client proves itself here as it does for a token. */
int vault_oauth_device_form(const struct vault_oauth_profile *p, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err)
{
	return vault_oauth_client_fields(p, now_ms, random, true, out, err);
}

int vault_oauth_device_poll_form(const struct vault_oauth_profile *p,
	const struct vault_oauth_device *d, int64_t now_ms,
	const uint8_t random[VAULT_OAUTH_RANDOM_BYTES], struct base_buf *out,
	struct base_error *err)
{
	vault_oauth_field(
		out, "grant_type", BASE_SLICE("urn:ietf:params:oauth:grant-type:device_code"));
	vault_oauth_field(out, "device_code", base_secret_slice(&d->code));
	return vault_oauth_client_fields(p, now_ms, random, false, out, err);
}
