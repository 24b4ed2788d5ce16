/* user add | passwd | remove | list | show | test | needs; import is in admin_import.c */
#include "vault/admin_internal.h"
#include "vault/verify.h"

#include <string.h>

enum { WORD_VERB = 1, WORD_NAME = 2, WORD_OPTIONS = 3 };

/* One request on one user. */
struct call {
	const struct vault_admin_env *env;
	const struct vault_admin_request *req;
	struct vault_admin_effects *fx;
	struct base_buf *out;
	struct base_error *err;
	struct vault_admin_options o;
	struct vault_key key;
	struct base_slice name;
	struct vault_user user; /* whom it is about; with o.app: that app password */
};

static int refuse(struct call *c, enum base_error_class class, const char *reason)
{
	return vault_admin_refuse(c->err, class, "user", c->name, reason);
}

static int load_user(struct call *c)
{
	int rc = vault_store_user_get(c->env->store, &c->key, &c->user, c->err);

	return rc == BASE_ERROR_NOT_FOUND ? refuse(c, rc, "there is none of this name") : rc;
}

static int load_app(struct call *c)
{
	struct vault_user app;
	int rc = load_user(c);

	if (rc != 0 || !c->o.app.len)
		return rc;
	rc = vault_store_app_get(c->env->store, &c->user, c->o.app, &app, c->err);
	if (rc == BASE_ERROR_NOT_FOUND)
		return refuse(c, rc, "has no app password of this label");
	if (rc == 0)
		c->user = app;
	return rc;
}

/* For add: whom it is about must not be there. */
static int load_absent(struct call *c)
{
	struct vault_user user;
	int rc;

	if (c->o.app.len) {
		rc = load_user(c);
		if (rc != 0)
			return rc;
		rc = vault_store_app_get(c->env->store, &c->user, c->o.app, &user, c->err);
		return rc == BASE_ERROR_NOT_FOUND ? 0
			: rc != 0
			? rc
			: refuse(c, BASE_ERROR_EXISTS,
				  "has an app password of this label already; remove it first");
	}
	rc = vault_store_user_get(c->env->store, &c->key, &user, c->err);
	return rc == BASE_ERROR_NOT_FOUND ? 0
		: rc != 0
		? rc
		: refuse(c, BASE_ERROR_EXISTS, "exists already; \"user passwd\" changes it");
}

static sasl_mechanism_mask wanted(const struct call *c)
{
	if (c->o.has_mechanisms && c->o.mechanisms)
		return c->o.mechanisms;
	if (!c->o.has_mechanisms && c->user.mechanisms)
		return c->user.mechanisms;
	return c->env->mechanisms;
}

static void apply_options(struct call *c)
{
	struct vault_user *u = &c->user;

	if (c->o.has_mechanisms)
		u->mechanisms = c->o.mechanisms;
	if (c->o.has_limit)
		u->limit_per_hour = c->o.limit_per_hour;
	if (c->o.has_expires)
		u->expires_ms = c->o.expires_ms;
	if (c->o.disable)
		u->disabled = true;
	if (c->o.enable)
		u->disabled = false;
	u->changed_ms = c->env->now_ms;
}

static int put_all(struct call *c, const struct vault_credentials *credentials)
{
	struct vault_store *store = c->env->store;
	int rc = vault_store_begin(store, c->err);

	if (rc != 0)
		return rc;
	rc = vault_store_user_put(store, &c->user, &c->key, c->err);
	if (rc == 0 && credentials)
		rc = vault_store_credentials_put(
			store, &c->user, &c->key, credentials, false, c->env->now_ms, c->err);
	if (rc == 0 && c->o.has_send_as)
		rc = vault_store_send_as_put(
			store, &c->user, c->o.send_as, c->o.send_as_count, c->err);
	if (rc == 0)
		return vault_store_commit(store, c->err);
	vault_store_rollback(store);
	return rc;
}

static int decode(struct call *c, struct vault_credentials *credentials)
{
	if (!c->req->secret.len)
		return refuse(c, BASE_ERROR_PERMANENT, "a password is needed");
	if (!vault_credentials_decode(c->req->secret, credentials))
		return refuse(c, BASE_ERROR_PERMANENT, "the credentials cannot be read");
	if (vault_credentials_missing(credentials, wanted(c)))
		return refuse(c, BASE_ERROR_PERMANENT,
			"the credentials were made for other mechanisms; try again");
	return 0;
}

static int changed(struct call *c, const char *what)
{
	c->fx->changed = true;
	return vault_admin_json(
		vault_admin_done(base_slice_text(c->user.name), what), c->out, c->err);
}

/* The password's credentials out of the request, and the options, into the store. */
static int put_with_credentials(struct call *c, const char *what)
{
	struct vault_credentials credentials;
	int rc;

	vault_credentials_init(&credentials);
	rc = decode(c, &credentials);
	apply_options(c);
	if (rc == 0)
		rc = put_all(c, &credentials);
	vault_credentials_release(&credentials);
	return rc == 0 ? changed(c, what) : rc;
}

static int on_add(struct call *c)
{
	int rc = load_absent(c);

	if (rc != 0)
		return rc;
	if (c->o.app.len) {
		int64_t id = c->user.id;
		sasl_mechanism_mask mechanisms = c->user.mechanisms;

		memset(&c->user, 0, sizeof(c->user));
		c->user.id = id;
		c->user.mechanisms = mechanisms;
		memcpy(c->user.label, c->o.app.ptr, c->o.app.len);
	}
	memcpy(c->user.name, c->key.text, c->key.len + 1);
	c->user.created_ms = c->env->now_ms;
	return put_with_credentials(c, "added");
}

static int on_passwd(struct call *c)
{
	int rc = load_app(c);

	if (rc != 0)
		return rc;
	if (!c->req->secret.len) {
		if (!vault_admin_only_properties(&c->o))
			return refuse(c, BASE_ERROR_PERMANENT, "a password is needed");
		apply_options(c);
		rc = put_all(c, NULL);
		return rc == 0 ? changed(c, "changed") : rc;
	}
	return put_with_credentials(c, "changed");
}

static int on_remove(struct call *c)
{
	int rc = load_app(c);

	if (rc == 0)
		rc = vault_store_user_remove(c->env->store, &c->user, c->err);
	return rc == 0 ? changed(c, "removed") : rc;
}

static int on_needs(struct call *c)
{
	bool add = base_slice_equal_text(c->o.verb, "add"), app = c->o.app.len != 0;
	bool only_properties = !add && vault_admin_only_properties(&c->o);
	json_t *json;
	int rc;

	if (!add && !base_slice_equal_text(c->o.verb, "passwd"))
		return refuse(c, BASE_ERROR_PERMANENT, "verb=add or verb=passwd is expected");
	rc = add ? load_absent(c) : load_app(c);
	if (rc != 0)
		return rc;
	json = json_object();
	json_object_set_new(json, "mask", json_integer(wanted(c)));
	json_object_set_new(json, "password", json_boolean(!app && !only_properties));
	json_object_set_new(json, "generated", json_boolean(app && !only_properties));
	return vault_admin_json(json, c->out, c->err);
}

/* Listing */

static sasl_mechanism_mask usable(const struct vault_admin_env *env, const struct vault_user *u)
{
	sasl_mechanism_mask mask = u->mechanisms ? u->mechanisms : env->mechanisms;

	return mask & ~vault_user_missing(u, mask);
}

/* Bare names only: what is stored serves the -PLUS form as well. */
static sasl_mechanism_mask stored(const struct vault_user *u)
{
	sasl_mechanism_mask all = 0;

	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++)
		if (!(sasl_mechanism_info((enum sasl_mechanism)m)->flags & SASL_CHANNEL_BINDING))
			all |= SASL_MASK(m);
	return all & ~vault_user_missing(u, all);
}

struct listing {
	struct call *call;
	json_t *array;
	int rc;
};

static bool add_address(struct base_slice text, void *arg)
{
	json_array_append_new(arg, vault_admin_text(text));
	return true;
}

static int set_details(struct call *c, const struct vault_user *u, json_t *json)
{
	json_t *send_as = json_array();

	json_object_set_new(json, "created", vault_admin_time(u->created_ms));
	json_object_set_new(json, "changed", vault_admin_time(u->changed_ms));
	json_object_set_new(json, "expires", vault_admin_time(u->expires_ms));
	json_object_set_new(json, "limit",
		u->limit_per_hour ? json_sprintf("%u/hour", u->limit_per_hour) : json_null());
	json_object_set_new(json, "send_as", send_as);
	return vault_store_send_as_each(c->env->store, u, add_address, send_as, c->err);
}

static bool add_app(const struct vault_user *app, void *arg)
{
	struct listing *l = arg;
	json_t *json = json_object();

	json_object_set_new(json, "label", json_string(app->label));
	json_object_set_new(json, "mechanisms", vault_admin_mechanisms(usable(l->call->env, app)));
	l->rc = set_details(l->call, app, json);
	json_array_append_new(l->array, json);
	return l->rc == 0;
}

static int on_show(struct call *c)
{
	struct listing l = {c, NULL, 0};
	json_t *json;
	int rc = load_user(c);

	if (rc != 0)
		return rc;
	json = json_object();
	l.array = json_array();
	json_object_set_new(json, "name", json_string(c->user.name));
	json_object_set_new(json, "mechanisms", vault_admin_mechanisms(usable(c->env, &c->user)));
	json_object_set_new(json, "stored", vault_admin_mechanisms(stored(&c->user)));
	json_object_set_new(json, "disabled", json_boolean(c->user.disabled));
	rc = set_details(c, &c->user, json);
	json_object_set_new(json, "apps", l.array);
	if (rc == 0)
		rc = vault_store_app_each(c->env->store, &c->user, add_app, &l, c->err);
	if (rc == 0)
		rc = l.rc;
	if (rc == 0)
		return vault_admin_json(json, c->out, c->err);
	json_decref(json);
	return rc;
}

static bool add_label(const struct vault_user *app, void *arg)
{
	json_array_append_new(arg, json_string(app->label));
	return true;
}

static bool list_one(const struct vault_user *u, void *arg)
{
	struct listing *l = arg;
	struct call *c = l->call;
	json_t *json, *apps;

	if (c->o.without != SASL_MECHANISM_NONE &&
		!vault_user_missing(u, SASL_MASK(c->o.without)) &&
		(!u->mechanisms || u->mechanisms & SASL_MASK(c->o.without)))
		return true;
	json = json_object();
	apps = json_array();
	json_object_set_new(json, "name", json_string(u->name));
	json_object_set_new(json, "mechanisms", vault_admin_mechanisms(usable(c->env, u)));
	json_object_set_new(json, "disabled", json_boolean(u->disabled));
	json_object_set_new(json, "created", vault_admin_time(u->created_ms));
	json_object_set_new(json, "apps", apps);
	json_array_append_new(l->array, json);
	l->rc = vault_store_app_each(c->env->store, u, add_label, apps, c->err);
	return l->rc == 0;
}

static int on_list(struct call *c)
{
	struct listing l = {c, json_array(), 0};
	json_t *json = json_object();
	int rc;

	json_object_set_new(json, "users", l.array);
	rc = vault_store_user_each(c->env->store, list_one, &l, c->err);
	if (rc == 0)
		rc = l.rc;
	if (rc == 0)
		return vault_admin_json(json, c->out, c->err);
	json_decref(json);
	return rc;
}

/* Testing */

static int tested(const struct vault_admin_env *env, const struct vault_user *u, bool right,
	const char *label, struct base_buf *out, struct base_error *err)
{
	const char *reason = !right                             ? "wrong password"
		: u->disabled                                   ? "disabled"
		: u->expires_ms && u->expires_ms <= env->now_ms ? "expired"
								: NULL;
	json_t *json = json_object();

	json_object_set_new(json, "name", json_string(u->name));
	json_object_set_new(json, "result", json_string(reason ? "rejected" : "ok"));
	if (reason)
		json_object_set_new(json, "reason", json_string(reason));
	if (label)
		json_object_set_new(json, "app", json_string(label));
	return vault_admin_json(json, out, err);
}

struct search {
	struct base_slice password;
	struct vault_user found;
	bool is_found;
};

static bool try_app(const struct vault_user *app, void *arg)
{
	struct search *s = arg;

	if (vault_verify_is_fast(base_slice_text(app->hash)) &&
		vault_verify(base_slice_text(app->hash), s->password, NULL) == VAULT_VERIFY_RIGHT) {
		s->found = *app;
		s->is_found = true;
	}
	return !s->is_found;
}

static int on_test(struct call *c)
{
	struct search s = {.password = c->req->secret};
	int rc = load_user(c);

	if (rc != 0)
		return rc;
	if (!c->req->secret.len)
		return refuse(c, BASE_ERROR_PERMANENT, "a password is needed");
	rc = vault_store_app_each(c->env->store, &c->user, try_app, &s, c->err);
	if (rc != 0)
		return rc;
	if (s.is_found)
		return tested(c->env, &s.found, true, s.found.label, c->out, c->err);
	c->fx->verify = true;
	memcpy(c->fx->hash, c->user.hash, sizeof(c->fx->hash));
	return 0;
}

int vault_admin_tested(const struct vault_admin_env *env, const struct vault_admin_effects *fx,
	bool right, struct base_buf *out, struct base_error *err)
{
	struct vault_user user;
	struct vault_key key;
	int rc;

	BASE_BUG_IF(!vault_key_make(base_slice_text(fx->name), BASE_SLICE_EMPTY, &key));
	rc = vault_store_user_get(env->store, &key, &user, err);
	return rc != 0 ? rc : tested(env, &user, right, NULL, out, err);
}

int vault_admin_user(const struct vault_admin_env *env, const struct vault_admin_request *req,
	struct vault_admin_effects *fx, struct base_buf *out, struct base_error *err)
{
	static const struct {
		const char *verb;
		int (*run)(struct call *c);
	} verbs[] = {
		{"add", on_add},
		{"passwd", on_passwd},
		{"remove", on_remove},
		{"show", on_show},
		{"test", on_test},
		{"needs", on_needs},
	};
	struct call c = {.env = env, .req = req, .fx = fx, .out = out, .err = err};
	bool list = vault_admin_word_is(req, WORD_VERB, "list"),
	     import = vault_admin_word_is(req, WORD_VERB, "import");
	int rc;

	if (!list && !import && req->word_count <= WORD_NAME)
		return base_error_set(
			err, BASE_ERROR_PERMANENT, 0, "the name of a user is missing");
	rc = vault_admin_options_parse(req, list || import ? WORD_NAME : WORD_OPTIONS, &c.o, err);
	if (rc != 0)
		return rc;
	if (list)
		return on_list(&c);
	if (import)
		return vault_admin_import(env, req, &c.o, fx, out, err);
	c.name = req->words[WORD_NAME];
	if (!vault_key_make(c.name, env->default_domain, &c.key))
		return refuse(&c, BASE_ERROR_PERMANENT,
			"not a name; write 1 to 255 bytes of UTF-8 without controls");
	fx->is_user = true;
	memcpy(fx->name, c.key.text, c.key.len + 1);
	for (size_t i = 0; i < BASE_COUNT(verbs); i++)
		if (vault_admin_word_is(req, WORD_VERB, verbs[i].verb))
			return verbs[i].run(&c);
	return base_error_set(err, BASE_ERROR_PERMANENT, 0,
		"not a command on users; add, passwd, remove, list, show, test and import are");
}
