/* The secret of account add: its parts, and whether they are what they have to be. */
#include "vault/admin_internal.h"
#include "vault/oauth.h"
#include "vault/pem.h"

#include <assert.h>
#include <string.h>

static_assert(VAULT_OAUTH_PROFILE_MAX_BYTES <= VAULT_ACCOUNT_PART_MAX_BYTES, "a profile is a part");
static_assert(VAULT_OAUTH_STATE_MAX_BYTES <= VAULT_ACCOUNT_PART_MAX_BYTES, "tokens are a part");
static_assert(VAULT_PEM_MAX_BYTES <= VAULT_ACCOUNT_PART_MAX_BYTES, "a certificate is a part");

bool vault_admin_account_secret_put(
	struct base_buf *out, enum vault_account_part part, struct base_slice value)
{
	uint32_t len = (uint32_t)value.len;
	size_t before = out->len;

	if (value.len > VAULT_ACCOUNT_PART_MAX_BYTES)
		return false;
	if (base_buf_append_byte(out, (uint8_t)part) && base_buf_append(out, &len, sizeof(len)) &&
		base_buf_append_slice(out, value))
		return true;
	base_buf_truncate(out, before);
	return false;
}

static int refuse(struct base_error *err, const char *reason)
{
	return base_error_set(err, BASE_ERROR_PERMANENT, 0, "%s", reason);
}

static int split(struct base_slice in, struct vault_admin_parts *out, struct base_error *err)
{
	static const char broken[] = "what came is not the secret of an account";
	uint32_t len;

	memset(out, 0, sizeof(*out));
	while (in.len) {
		uint8_t part = in.ptr[0];

		if (in.len < 1 + sizeof(len) || part >= VAULT_ACCOUNT_PART_COUNT)
			return refuse(err, broken);
		memcpy(&len, in.ptr + 1, sizeof(len));
		in = base_slice_from(in, 1 + sizeof(len));
		if (!len || len > in.len || len > VAULT_ACCOUNT_PART_MAX_BYTES || out->of[part].len)
			return refuse(err, broken);
		out->of[part] = base_slice_first(in, len);
		in = base_slice_from(in, len);
	}
	return 0;
}

static int check_password(const struct vault_admin_parts *p, struct base_error *err)
{
	struct base_slice password = p->of[VAULT_ACCOUNT_SECRET];

	if (!password.len || password.len > BASE_SECRET_PASSWORD_MAX_BYTES)
		return refuse(err, "an account needs a password of 1 to 1024 bytes");
	return p->of[VAULT_ACCOUNT_TOKEN].len
		? refuse(err, "a token belongs to an account of the kind oauth only")
		: 0;
}

/* A refresh token is what lasts; without one, and without a key of its own, it would not get far. */
static int check_token(
	const struct vault_oauth_profile *profile, struct base_slice token, struct base_error *err)
{
	enum vault_oauth_grant grant = vault_oauth_profile_grant(profile);
	struct vault_oauth_tokens t;
	bool ok;

	if (!token.len)
		return vault_oauth_grant_is_interactive(grant) &&
				!vault_oauth_has_refresh_token(profile)
			? refuse(err,
				  "a person has to log in to the provider first: the profile's"
				  " grant asks for that, and no token came with it")
			: 0;
	vault_oauth_tokens_init(&t);
	ok = vault_oauth_tokens_read(token, &t);
	vault_oauth_tokens_release(&t);
	return ok ? 0 : refuse(err, "what came beside the profile is no token");
}

static int check_profile(const struct vault_admin_parts *p, struct base_error *err)
{
	struct vault_oauth_profile *profile = NULL;
	int rc;

	if (!p->of[VAULT_ACCOUNT_SECRET].len)
		return refuse(err, "an account of the kind oauth needs a profile");
	rc = vault_oauth_profile_parse(
		&profile, p->of[VAULT_ACCOUNT_SECRET], "the OAuth profile", NULL, NULL, NULL, err);
	if (rc != 0)
		return BASE_ERROR_PERMANENT;
	rc = check_token(profile, p->of[VAULT_ACCOUNT_TOKEN], err);
	vault_oauth_profile_free(&profile);
	return rc;
}

static int check_certificate(
	const struct vault_admin_parts *p, bool has_certificate, struct base_error *err)
{
	if (p->of[VAULT_ACCOUNT_SECRET].len || p->of[VAULT_ACCOUNT_TOKEN].len)
		return refuse(err,
			"an account of the kind certificate has no secret but the key of its"
			" certificate");
	return p->of[VAULT_ACCOUNT_CHAIN].len || has_certificate
		? 0
		: refuse(err,
			  "an account of the kind certificate needs one; give --cert and --key, or"
			  " name them in its section");
}

static int check_pem(const struct vault_admin_parts *p, struct base_error *err)
{
	struct base_slice ca = p->of[VAULT_ACCOUNT_CA], chain = p->of[VAULT_ACCOUNT_CHAIN],
			  key = p->of[VAULT_ACCOUNT_KEY];
	enum vault_pem_pair pair;

	if (ca.len && !vault_pem_certificates(ca, NULL))
		return base_error_set(err, BASE_ERROR_PERMANENT, 0, "ca: %s",
			vault_pem_pair_words(VAULT_PEM_NO_CERTIFICATE));
	if (!chain.len && !key.len)
		return 0;
	if (!chain.len || !key.len)
		return refuse(err, "a client certificate and its key come together only");
	pair = vault_pem_pair(chain, key);
	return pair == VAULT_PEM_PAIR_OK
		? 0
		: base_error_set(err, BASE_ERROR_PERMANENT, 0, "client certificate: %s",
			  vault_pem_pair_words(pair));
}

int vault_admin_parts_take(struct base_slice secret, enum vault_account_kind kind,
	bool has_certificate, struct vault_admin_parts *out, struct base_error *err)
{
	int rc = split(secret, out, err);

	if (rc != 0)
		return rc;
	switch (kind) {
	case VAULT_ACCOUNT_PASSWORD:
		rc = check_password(out, err);
		break;
	case VAULT_ACCOUNT_OAUTH:
		rc = check_profile(out, err);
		break;
	case VAULT_ACCOUNT_CERTIFICATE:
		rc = check_certificate(out, has_certificate, err);
		break;
	}
	return rc == 0 ? check_pem(out, err) : rc;
}
