/* The vault: one user, its app passwords, and the secret that digests need. The same rules as a
 * server's: the vault that knows a user decides alone; "name/label" names one app password, where
 * there is no user of that whole name; disabled and expired never log in. */
#include "checkpassword/sources.h"

#include "base/clock.h"
#include "sasl/prep.h"
#include "vault/store.h"
#include "vault/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { BUSY_MS = 5000, APPS_MAX = 64 };

struct row {
	struct vault_store *store;
	struct vault_user user, app;
	bool labelled, has_app;
	struct base_secret password; /* prepared, as all that is stored is */
	struct base_slice try;
	int64_t now_ms;
	bool app_right;
};

static bool expired(const struct vault_user *u, int64_t now_ms)
{
	return u->expires_ms && u->expires_ms <= now_ms;
}

static int open_store(struct checkpassword_asker *a, struct vault_store **out)
{
	struct vault_store_options options = {.data_dir = a->conf->data, .busy_ms = BUSY_MS};
	struct base_buf path;
	int rc = 0;

	/* Opening makes what is missing, and that is not ours to do. */
	base_buf_init(&path, 4096);
	base_buf_printf(&path, "%s/vault.db", a->conf->data);
	if (access(base_buf_text(&path), F_OK) != 0)
		rc = base_error_errno(&a->why, BASE_ERROR_CONFIG, errno, "cannot open \"%s\"",
			base_buf_text(&path));
	base_buf_release(&path);
	return rc ? rc : vault_store_open(out, &options, &a->why);
}

/* 0, NOT_FOUND, or the store's error. */
static int find(struct checkpassword_asker *a, struct row *r, struct base_slice name)
{
	struct base_slice domain = base_slice_text(a->conf->auth.default_domain), user, label;
	struct vault_key key;
	int rc = BASE_ERROR_NOT_FOUND;

	if (vault_key_make(name, domain, &key))
		rc = vault_store_user_get(r->store, &key, &r->user, &a->why);
	if (rc != BASE_ERROR_NOT_FOUND || !vault_name_split_app(name, &user, &label) ||
		!vault_key_make(user, domain, &key))
		return rc;
	r->labelled = true;
	rc = vault_store_user_get(r->store, &key, &r->user, &a->why);
	if (rc != 0)
		return rc;
	rc = vault_store_app_get(r->store, &r->user, label, &r->app, &a->why);
	r->has_app = rc == 0;
	return rc == BASE_ERROR_NOT_FOUND ? 0 : rc;
}

static bool try_app(const struct vault_user *app, void *arg)
{
	struct row *r = arg;

	r->app_right |= !expired(app, r->now_ms) &&
		vault_verify(base_slice_text(app->hash), r->try, NULL) == VAULT_VERIFY_RIGHT;
	return !r->app_right;
}

static int try_apps(struct checkpassword_asker *a, struct row *r)
{
	if (!r->labelled)
		return vault_store_app_each(r->store, &r->user, try_app, r, &a->why);
	if (r->has_app)
		(void)try_app(&r->app, r);
	return 0;
}

static enum checkpassword_verdict judge(struct checkpassword_asker *a, struct row *r)
{
	const struct vault_user *owner = !r->labelled ? &r->user : r->has_app ? &r->app : NULL;
	enum checkpassword_verdict verdict = CHECKPASSWORD_CANNOT;
	struct base_slice hash = r->labelled ? BASE_SLICE_EMPTY : base_slice_text(r->user.hash);
	struct base_secret clear;
	int rc = try_apps(a, r);

	base_secret_init(&clear, BASE_SECRET_PASSWORD_MAX_BYTES);
	if (rc == 0 && a->login->challenge.len && owner && owner->has_secret &&
		!expired(owner, r->now_ms))
		rc = vault_store_user_secret(r->store, owner, &clear, &a->why);
	if (rc == 0 || rc == BASE_ERROR_NOT_FOUND) {
		/* The user's own expiry was for its own password. */
		if (expired(&r->user, r->now_ms))
			hash = BASE_SLICE_EMPTY;
		a->worked = true;
		verdict = checkpassword_judge(a->login, r->try, hash, base_secret_slice(&clear));
		if (r->app_right)
			verdict = CHECKPASSWORD_RIGHT;
		if (verdict == CHECKPASSWORD_CANNOT)
			base_error_set(&a->why, BASE_ERROR_TEMPORARY, 0,
				"the vault holds a form that this build cannot check");
		if (verdict == CHECKPASSWORD_RIGHT &&
			(r->user.disabled || expired(&r->user, r->now_ms)))
			verdict = CHECKPASSWORD_WRONG;
	}
	base_secret_release(&clear);
	return verdict;
}

enum checkpassword_verdict checkpassword_ask_store(struct checkpassword_asker *a)
{
	struct row *r = base_alloc_zero(1, sizeof(*r));
	enum checkpassword_verdict verdict = CHECKPASSWORD_CANNOT;
	struct base_secret name;
	int rc;

	r->now_ms = base_clock_wall_ms();
	base_secret_init(&name, WIRE_CHECKPASSWORD_MAX_BYTES * 4);
	base_secret_init(&r->password, WIRE_CHECKPASSWORD_MAX_BYTES * 4);
	/* What cannot be prepared is nobody's name and nobody's password. */
	if (sasl_prep(a->login->password, false, &r->password))
		r->try = base_secret_slice(&r->password);
	rc = open_store(a, &r->store);
	if (rc == 0) {
		rc = sasl_prep(a->login->name, false, &name) ? find(a, r, base_secret_slice(&name))
							     : BASE_ERROR_NOT_FOUND;
		if (rc == 0)
			verdict = judge(a, r);
		else if (rc == BASE_ERROR_NOT_FOUND)
			verdict = CHECKPASSWORD_UNKNOWN;
		vault_store_close(&r->store);
	}
	base_secret_release(&name);
	base_secret_release(&r->password);
	base_wipe(r, sizeof(*r));
	free(r);
	return verdict;
}
