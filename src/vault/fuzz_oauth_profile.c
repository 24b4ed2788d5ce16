/* A profile from anywhere: refused with a reason, or kept in a form that reads back the same and makes
 * requests of which no byte can end a field, a line or a header. */
#include "vault/oauth.h"
#include "vault/test_keys.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every other thing that is named is there; the rest is not. */
static int read_file(void *arg, const char *path, struct base_buf *out, struct base_error *err)
{
	static const struct {
		const char *path, *text;
	} files[] = {{"r", key_rsa}, {"e", key_ec}, {"cr", cert_rsa}, {"ce", cert_ec},
		{"s", key_rsa_small}, {"p", key_p384}, {"x", key_encrypted}};

	for (size_t i = 0; i < BASE_COUNT(files); i++)
		if (strcmp(path, files[i].path) == 0) {
			base_buf_append_text(out, files[i].text);
			return 0;
		}
	return base_error_set(err, BASE_ERROR_CONFIG, 0, "no such file");
}

static void check_form(struct base_slice form)
{
	for (size_t i = 0; i < form.len; i++)
		BASE_BUG_IF(!base_ascii_is_alnum(form.ptr[i]) && !strchr("-._+%&=", form.ptr[i]));
}

static void ask(const struct vault_oauth_profile *p)
{
	static const uint8_t random[2 * VAULT_OAUTH_RANDOM_BYTES];
	struct vault_oauth_device d;
	struct base_error err;
	struct base_buf out;

	base_buf_init_secret(&out, VAULT_OAUTH_FORM_MAX_BYTES);
	if (vault_oauth_renew_form(p, NULL, BASE_SLICE("u"), 1, random, &out, &err) == 0)
		check_form(base_buf_slice(&out));
	base_buf_clear(&out);
	if (vault_oauth_device_form(p, 1, random, &out, &err) == 0)
		check_form(base_buf_slice(&out));
	base_buf_clear(&out);
	vault_oauth_device_init(&d);
	if (vault_oauth_device_poll_form(p, &d, 1, random, &out, &err) == 0)
		check_form(base_buf_slice(&out));
	vault_oauth_device_release(&d);
	base_buf_clear(&out);
	if (vault_oauth_authorize_url(
		    p, "http://127.0.0.1:1/", BASE_SLICE("\r\n"), random, &out, &err) == 0)
		for (size_t i = 0; i < out.len; i++)
			BASE_BUG_IF(out.ptr[i] <= ' ' || out.ptr[i] > '~');
	base_buf_release(&out);
}

static void check(const struct vault_oauth_profile *p)
{
	struct vault_oauth_profile *again = NULL;
	struct base_error err;
	struct base_buf first, second;

	base_buf_init_secret(&first, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_init_secret(&second, VAULT_OAUTH_PROFILE_MAX_BYTES);
	vault_oauth_profile_write(p, &first);
	BASE_BUG_IF(!base_buf_ok(&first));
	BASE_BUG_IF(vault_oauth_profile_parse(
			    &again, base_buf_slice(&first), "again", NULL, NULL, NULL, &err) != 0);
	vault_oauth_profile_write(again, &second);
	BASE_BUG_IF(!base_slice_equal(base_buf_slice(&first), base_buf_slice(&second)));
	BASE_BUG_IF(vault_oauth_profile_grant(p) != vault_oauth_profile_grant(again));
	BASE_BUG_IF(strncmp(vault_oauth_token_endpoint(p), "https://", 8) != 0 &&
		strncasecmp(vault_oauth_token_endpoint(p), "https://", 8) != 0);
	vault_oauth_profile_free(&again);
	base_buf_release(&first);
	base_buf_release(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vault_oauth_profile *p = NULL;
	struct base_error err = {0};
	struct base_buf warnings;
	int rc;

	base_buf_init(&warnings, 65536);
	rc = vault_oauth_profile_parse(&p, base_slice_make(data, size), "FILE",
		size % 2 ? read_file : NULL, NULL, &warnings, &err);
	BASE_BUG_IF(rc != 0 && (rc != BASE_ERROR_CONFIG || !err.text[0] || p));
	if (rc == 0) {
		check(p);
		ask(p);
	}
	vault_oauth_profile_free(&p);
	base_buf_release(&warnings);
	return 0;
}
