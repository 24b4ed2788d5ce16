/* A profile made whole: what the built-in ones bring, the grant, and whether the parts go together. */
#include "base/escape.h"
#include "vault/oauth_internal.h"
#include "vault/pem.h"

struct complete {
	struct vault_oauth_profile *p;
	const struct oauth_say *say;
	bool has_grant;
};

int vault_oauth_refuse(const struct oauth_say *say, const char *key, const char *reason)
{
	return base_error_set(say->err, BASE_ERROR_CONFIG, 0, "%s: %s: %s", say->what, key, reason);
}

void vault_oauth_warn(const struct oauth_say *say, const char *key, const char *reason)
{
	if (!say->warnings)
		return;
	base_buf_printf(say->warnings, "%s: \"", say->what);
	base_escape_log(base_slice_text(key), 60, say->warnings);
	base_buf_printf(say->warnings, "\": %s\n", reason);
}

static int refuse(struct complete *x, const char *key, const char *reason)
{
	return vault_oauth_refuse(x->say, key, reason);
}

static void fill(struct vault_oauth_profile *p, enum oauth_text which, const char *text)
{
	if (!p->texts[which])
		p->texts[which] = base_strdup(text);
}

static void fill_tenant(struct vault_oauth_profile *p, enum oauth_text which, const char *last)
{
	struct base_buf url;

	base_buf_init(&url, 512);
	base_buf_printf(&url, "https://login.microsoftonline.com/%s/oauth2/v2.0/%s",
		p->texts[OAUTH_TENANT], last);
	fill(p, which, base_buf_text(&url));
	base_buf_release(&url);
}

static bool names_one(const char *tenant)
{
	static const char *const many[] = {"common", "organizations", "consumers"};

	for (size_t i = 0; tenant && i < BASE_COUNT(many); i++)
		if (base_slice_equal_text_nocase(base_slice_text(tenant), many[i]))
			return false;
	return tenant != NULL;
}

/* A token of one's own lasts with a tenant that is one only. */
static int fill_microsoft(struct complete *x)
{
	struct vault_oauth_profile *p = x->p;
	bool own = x->has_grant && p->grant == VAULT_OAUTH_CLIENT_CREDENTIALS;

	if (own && !names_one(p->texts[OAUTH_TENANT]))
		return refuse(x, "tenant",
			"with grant client_credentials your own is needed: its domain or its id");
	fill(p, OAUTH_TENANT, "common");
	fill_tenant(p, OAUTH_AUTHORIZATION_ENDPOINT, "authorize");
	fill_tenant(p, OAUTH_TOKEN_ENDPOINT, "token");
	fill_tenant(p, OAUTH_DEVICE_ENDPOINT, "devicecode");
	fill(p, OAUTH_SCOPE,
		own ? "https://outlook.office365.com/.default"
		    : "https://outlook.office.com/SMTP.Send offline_access");
	return 0;
}

static int fill_builtin(struct complete *x)
{
	struct vault_oauth_profile *p = x->p;

	switch (p->builtin) {
	case OAUTH_GOOGLE:
		fill(p, OAUTH_AUTHORIZATION_ENDPOINT,
			"https://accounts.google.com/o/oauth2/v2/auth");
		fill(p, OAUTH_TOKEN_ENDPOINT, "https://oauth2.googleapis.com/token");
		fill(p, OAUTH_DEVICE_ENDPOINT, "https://oauth2.googleapis.com/device/code");
		fill(p, OAUTH_SCOPE, "https://mail.google.com/");
		break;
	case OAUTH_MICROSOFT:
		return fill_microsoft(x);
	case OAUTH_NO_BUILTIN:
	case OAUTH_BUILTIN_COUNT:
		break;
	}
	if (p->texts[OAUTH_TENANT])
		vault_oauth_warn(x->say, "tenant", "means something with profile microsoft only");
	return 0;
}

/* Google's device flow gives no scope for mail. */
static enum vault_oauth_grant infer_grant(const struct vault_oauth_profile *p)
{
	if (vault_oauth_has_refresh_token(p))
		return VAULT_OAUTH_REFRESH_TOKEN;
	if (p->texts[OAUTH_DEVICE_ENDPOINT] && p->builtin != OAUTH_GOOGLE)
		return VAULT_OAUTH_DEVICE_CODE;
	if (p->texts[OAUTH_AUTHORIZATION_ENDPOINT])
		return VAULT_OAUTH_AUTHORIZATION_CODE;
	return VAULT_OAUTH_CLIENT_CREDENTIALS;
}

static int check_key(struct complete *x)
{
	struct vault_oauth_profile *p = x->p;
	struct base_slice key = base_buf_slice(&p->pems[OAUTH_PRIVATE_KEY]),
			  certificate = base_buf_slice(&p->pems[OAUTH_CERTIFICATE]);
	enum oauth_algorithm can = vault_oauth_key_algorithm(key);

	if (!key.len && certificate.len)
		return refuse(x, "certificate", "needs private_key beside it");
	if (!key.len) {
		p->algorithm = OAUTH_NONE;
		return 0;
	}
	if (can == OAUTH_NONE)
		return refuse(x, "private_key",
			"RSA of 2048 bits and more, or EC on the curve P-256, can be used");
	if (p->algorithm == OAUTH_NONE)
		p->algorithm = can;
	if ((p->algorithm == OAUTH_ES256) != (can == OAUTH_ES256))
		return refuse(x, "algorithm",
			"does not go with private_key; RS256 and PS256 want RSA, ES256 an EC key");
	if (certificate.len && vault_pem_pair(certificate, key) != VAULT_PEM_PAIR_OK)
		return refuse(x, "certificate", vault_pem_pair_words(VAULT_PEM_OTHER_KEY));
	return 0;
}

static int check_grant(struct complete *x)
{
	const struct vault_oauth_profile *p = x->p;
	bool secret = p->secrets[OAUTH_CLIENT_SECRET].len > 0, key = p->algorithm != OAUTH_NONE;

	if (secret && key && p->grant != VAULT_OAUTH_JWT_BEARER)
		return refuse(x, "client_secret", "private_key takes its place; give one of both");
	switch (p->grant) {
	case VAULT_OAUTH_REFRESH_TOKEN:
		return vault_oauth_has_refresh_token(p)
			? 0
			: refuse(x, "refresh_token", "missing; grant refresh_token needs it");
	case VAULT_OAUTH_DEVICE_CODE:
		return p->texts[OAUTH_DEVICE_ENDPOINT]
			? 0
			: refuse(x, "device_authorization_endpoint",
				  "missing; grant device_code needs it");
	case VAULT_OAUTH_AUTHORIZATION_CODE:
		return p->texts[OAUTH_AUTHORIZATION_ENDPOINT]
			? 0
			: refuse(x, "authorization_endpoint",
				  "missing; grant authorization_code needs it");
	case VAULT_OAUTH_CLIENT_CREDENTIALS:
		return secret || key
			? 0
			: refuse(x, "client_secret",
				  "missing; grant client_credentials needs it, or private_key");
	case VAULT_OAUTH_JWT_BEARER:
		return key ? 0
			   : refuse(x, "private_key", "missing; grant jwt_bearer signs with it");
	case VAULT_OAUTH_GRANT_COUNT:
		break;
	}
	return 0;
}

int vault_oauth_complete(struct vault_oauth_profile *p, bool has_grant, const struct oauth_say *say)
{
	struct complete x = {p, say, has_grant};
	int rc = fill_builtin(&x);

	if (rc != 0)
		return rc;
	if (!p->texts[OAUTH_TOKEN_ENDPOINT])
		return refuse(&x, "token_endpoint",
			"missing; write the provider's https:// address, or a \"profile\"");
	if (!p->texts[OAUTH_CLIENT_ID])
		return refuse(&x, "client_id", "missing; the provider gave it to you for Postern");
	if (!has_grant)
		p->grant = infer_grant(p);
	rc = check_key(&x);
	return rc == 0 ? check_grant(&x) : rc;
}
