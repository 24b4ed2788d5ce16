#include "vault/admin.h"

#include "base/escape.h"
#include "base/time.h"
#include "vault/admin_internal.h"
#include "vault/verify.h"

#include <stdlib.h>
#include <string.h>

bool vault_admin_word_is(const struct vault_admin_request *req, size_t index, const char *text)
{
	return index < req->word_count && base_slice_equal_text(req->words[index], text);
}

int vault_admin_refuse(struct base_error *err, enum base_error_class class, const char *what,
	struct base_slice name, const char *reason)
{
	struct base_buf shown;
	int rc;

	base_buf_init(&shown, 1024);
	base_escape_log(name, 200, &shown);
	rc = base_error_set(err, class, 0, "%s \"%s\": %s", what, base_buf_text(&shown), reason);
	base_buf_release(&shown);
	return rc;
}

int vault_admin_json(json_t *json, struct base_buf *out, struct base_error *err)
{
	char *text = json_dumps(json, JSON_COMPACT);
	bool fits = text && base_buf_append_text(out, text);

	json_decref(json);
	free(text);
	return fits ? 0 : base_error_set(err, BASE_ERROR_TEMPORARY, 0, "the answer is too long");
}

json_t *vault_admin_time(int64_t unix_ms)
{
	struct base_buf text;
	json_t *json;

	if (unix_ms == 0)
		return json_null();
	base_buf_init(&text, 64);
	base_time_rfc3339(unix_ms, false, &text);
	json = json_string(base_buf_text(&text));
	base_buf_release(&text);
	return json;
}

json_t *vault_admin_text(struct base_slice text)
{
	return json_stringn(text.len ? (const char *)text.ptr : "", text.len);
}

json_t *vault_admin_mechanisms(sasl_mechanism_mask mask)
{
	json_t *list = json_array();

	for (unsigned m = SASL_MECHANISM_COUNT - 1; m > SASL_MECHANISM_NONE; m--)
		if (mask & SASL_MASK(m))
			json_array_append_new(list,
				json_string(sasl_mechanism_info((enum sasl_mechanism)m)->name));
	return list;
}

json_t *vault_admin_done(struct base_slice name, const char *done)
{
	json_t *json = json_object();

	json_object_set_new(json, "name", vault_admin_text(name));
	json_object_set_new(json, "done", json_string(done));
	return json;
}

int vault_admin_execute(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	memset(fx, 0, sizeof(*fx));
	if (vault_admin_word_is(req, 0, "user"))
		return vault_admin_user(env, req, fx, out, err);
	if (vault_admin_word_is(req, 0, "account"))
		return vault_admin_account(env, req, fx, out, err);
	return base_error_set(err, BASE_ERROR_PERMANENT, 0,
		"not a command of the vault: \"user\" or \"account\" is expected");
}

int vault_admin_run(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct base_buf *out, struct base_error *err)
{
	struct vault_admin_effects fx;
	int rc = vault_admin_execute(env, req, &fx, out, err);

	if (rc != 0 || !fx.verify)
		return rc;
	switch (vault_verify(base_slice_text(fx.hash), req->secret, NULL)) {
	case VAULT_VERIFY_WRONG:
		return vault_admin_tested(env, &fx, false, out, err);
	case VAULT_VERIFY_RIGHT:
		return vault_admin_tested(env, &fx, true, out, err);
	case VAULT_VERIFY_CANNOT:
		break;
	}
	return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "the password cannot be checked");
}

static int encode(struct vault_credentials *c, struct base_buf *out, struct base_error *err)
{
	return vault_credentials_encode(c, out)
		? 0
		: base_error_set(err, BASE_ERROR_PERMANENT, 0, "the credentials are too long");
}

int vault_admin_prepare(const struct vault_admin_request *req, sasl_mechanism_mask mask,
	struct base_slice password, const uint8_t *random, struct base_buf *out_secret,
	struct base_secret *out_generated, struct base_error *err)
{
	bool add = vault_admin_word_is(req, 1, "add"),
	     passwd = vault_admin_word_is(req, 1, "passwd");
	struct vault_admin_options o;
	struct vault_credentials c;
	int rc;

	if (!vault_admin_word_is(req, 0, "user") || (!add && !passwd)) {
		base_buf_append_slice(out_secret, password);
		return base_buf_ok(out_secret)
			? 0
			: base_error_set(err, BASE_ERROR_PERMANENT, 0, "the password is too long");
	}
	rc = vault_admin_options_parse(req, 3, &o, err);
	if (rc != 0)
		return rc;
	if (!password.len && passwd && vault_admin_only_properties(&o))
		return 0;
	vault_credentials_init(&c);
	if (o.app.len && !password.len)
		rc = vault_credentials_generate(mask, random, &c, out_generated, err);
	else
		rc = vault_credentials_derive(password, mask, random, &c, err);
	if (rc == 0)
		rc = encode(&c, out_secret, err);
	vault_credentials_release(&c);
	return rc;
}
