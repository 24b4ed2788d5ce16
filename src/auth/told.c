/* What store, other sources and workers say, and how the exchange goes on with it. */
#include "auth/core_internal.h"
#include "vault/verify.h"

#include <string.h>

static void *copy(const void *from, size_t size)
{
	void *to = size ? base_alloc(size) : NULL;

	if (to)
		memcpy(to, from, size);
	return to;
}

/* Whose keys and secret count: the user's, or those of the app password named behind "/". */
static const struct vault_user *source(const struct auth_request *r)
{
	if (!r->label[0])
		return r->user;
	return r->app_count ? &r->apps[0] : NULL;
}

static bool permitted(const struct auth_core *core, const struct auth_request *r)
{
	const struct vault_user *u = source(r);
	sasl_mechanism_mask mask = u && u->mechanisms ? u->mechanisms : core->options.mechanisms;
	const struct sasl_mechanism_info *info = sasl_mechanism_info(r->mechanism);

	if (mask & SASL_MASK(r->mechanism))
		return true;
	/* Who may use a mechanism may bind it to the channel as well. */
	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++)
		if (mask & SASL_MASK(m) &&
			sasl_mechanism_info((enum sasl_mechanism)m)->plus == r->mechanism &&
			info->flags & SASL_CHANNEL_BINDING)
			return true;
	return false;
}

static enum sasl_server_result answer_scram(
	struct auth_core *core, struct auth_request *r, struct base_buf *out)
{
	const struct vault_user *u = source(r);
	enum base_hash hash = sasl_mechanism_info(r->mechanism)->hash;
	bool known = u && u->scram[hash].iterations && permitted(core, r);

	if (!known)
		return auth_scram_unknown(core, r, out);
	if (r->label[0])
		r->app_id = u->app_id;
	return sasl_server_scram_answer(r->sasl, SASL_CREDENTIALS_KNOWN, &u->scram[hash], out);
}

static enum sasl_server_result answer_secret(
	struct auth_core *core, struct auth_request *r, struct base_buf *out)
{
	const struct vault_user *u = source(r);
	struct auth_queued *q;

	if (!u || !u->has_secret || !permitted(core, r))
		return sasl_server_secret_answer(
			r->sasl, SASL_CREDENTIALS_UNKNOWN, BASE_SLICE_EMPTY, out);
	if (r->label[0])
		r->app_id = u->app_id;
	q = auth_effect_push(core, AUTH_EFFECT_SECRET);
	q->effect.token = r->token;
	auth_effect_keep_user(q, u);
	r->wait = AUTH_WAIT_SECRET;
	return SASL_SERVER_NEED_SECRET;
}

static enum sasl_server_result accept_password(
	struct auth_request *r, int64_t app_id, struct base_buf *out)
{
	r->app_id = app_id;
	return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true, out);
}

/* Generated passwords are checked here: one hash each. */
static const struct vault_user *right_app(const struct auth_request *r, struct base_slice password)
{
	for (size_t i = 0; i < r->app_count; i++) {
		struct base_slice hash = base_slice_text(r->apps[i].hash);

		if (vault_verify_is_fast(hash) &&
			vault_verify(hash, password, NULL) == VAULT_VERIFY_RIGHT)
			return &r->apps[i];
	}
	return NULL;
}

static bool has_app(const struct auth_request *r, uint32_t scope)
{
	for (size_t i = 0; r->apps && i < r->app_count; i++)
		if ((uint32_t)r->apps[i].app_id == scope)
			return true;
	return false;
}

/* The store knows the user, so it alone decides. */
static enum sasl_server_result check_password(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, struct base_buf *out)
{
	struct base_slice password = sasl_server_password(r->sasl), stored = BASE_SLICE_EMPTY;
	const struct vault_user *app;
	uint32_t scope;

	app = right_app(r, password);
	if (app)
		return accept_password(r, app->app_id, out);
	if (!r->label[0]) {
		if (vault_cache_has(
			    core->cache, vault_key_slice(&r->key), password, now_ms, &scope) &&
			(scope == 0 || has_app(r, scope))) {
			r->cached = true;
			return accept_password(r, scope, out);
		}
		stored = base_slice_text(r->user->hash);
	}
	if (!auth_task_login(core, r, stored, password, now_ms))
		return sasl_server_password_answer(
			r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false, out);
	r->wait = AUTH_WAIT_WORKER;
	return SASL_SERVER_CHECK_PASSWORD;
}

/* "name/label" where there is no user of that whole name. */
static bool try_label(struct auth_core *core, struct auth_request *r)
{
	struct base_slice name, label;
	struct vault_key key;

	if (r->tried_label || !vault_name_split_app(sasl_server_user(r->sasl), &name, &label) ||
		!vault_key_make(name, core->options.default_domain, &key))
		return false;
	r->tried_label = true;
	r->key = key;
	auth_text_copy(r->label, sizeof(r->label), label);
	auth_ask_store(core, r);
	return true;
}

void auth_core_looked_up(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	const struct vault_user *user, const struct vault_user *apps, size_t app_count,
	int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);
	enum sasl_server_result result;
	struct base_buf out;

	if (!r || r->wait != AUTH_WAIT_STORE)
		return;
	if (state == SASL_CREDENTIALS_UNKNOWN && try_label(core, r))
		return;
	if (state == SASL_CREDENTIALS_UNAVAILABLE && r->question != SASL_SERVER_CHECK_PASSWORD) {
		auth_request_fail(core, r, WIRE_FAIL_TEMPORARY, "the vault cannot be read", now_ms);
		return;
	}
	if (state == SASL_CREDENTIALS_KNOWN) {
		r->user = copy(user, sizeof(*user));
		r->apps = copy(apps, app_count * sizeof(*apps));
		r->app_count = app_count;
	}
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	if (!r->user) {
		r->source_down |= state == SASL_CREDENTIALS_UNAVAILABLE;
		result = auth_ask_from(core, r, r->source + 1, now_ms, &out);
	} else if (r->question == SASL_SERVER_NEED_SCRAM) {
		result = answer_scram(core, r, &out);
	} else if (r->question == SASL_SERVER_NEED_SECRET) {
		result = answer_secret(core, r, &out);
	} else {
		result = check_password(core, r, now_ms, &out);
	}
	/* Still the same question: it was put to somebody. */
	if (result == r->question)
		base_buf_release(&out);
	else
		auth_request_go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_core_asked(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice user, int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);
	enum sasl_server_result result;
	struct base_buf out;

	if (!r || r->wait != AUTH_WAIT_SOURCE)
		return;
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	if (state == SASL_CREDENTIALS_KNOWN) {
		auth_text_copy(r->external_name, sizeof(r->external_name), user);
		auth_remember_external(core, r, now_ms);
		result = auth_accept_external(r, user, &out);
	} else {
		r->source_down |= state == SASL_CREDENTIALS_UNAVAILABLE;
		r->source_refused |= state == SASL_CREDENTIALS_UNKNOWN;
		result = auth_ask_from(core, r, r->source + 1, now_ms, &out);
	}
	if (result == r->question)
		base_buf_release(&out);
	else
		auth_request_go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_core_secret(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice secret, int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);
	struct base_buf out;

	if (!r || r->wait != AUTH_WAIT_SECRET)
		return;
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	auth_request_go_on(core, r, sasl_server_secret_answer(r->sasl, state, secret, &out), &out,
		now_ms, wall_ms);
}

/* Answers of workers */

/* The password was right: is there something of it that should be kept and is not? */
static void upgrade(struct auth_core *core, struct auth_request *r, bool wants_hash, int64_t now_ms)
{
	sasl_mechanism_mask mask = r->user->mechanisms ? r->user->mechanisms
						       : core->options.mechanisms;

	if (core->options.upgrade && (wants_hash || vault_user_missing(r->user, mask)))
		auth_task_upgrade(
			core, r, sasl_server_password(r->sasl), mask, !wants_hash, now_ms);
}

void auth_request_verified(struct auth_core *core, struct auth_request *r, unsigned result,
	bool wants_upgrade, int64_t now_ms, int64_t wall_ms)
{
	enum sasl_server_result next;
	struct base_buf out;

	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	r->wait = AUTH_WAIT_CLIENT; /* nobody is asked; follow() sets what comes */
	if (r->stale) {
		/* The password was changed while the old one was checked: begin anew. */
		next = SASL_SERVER_CHECK_PASSWORD;
	} else if (result == VAULT_VERIFY_RIGHT && r->user) {
		vault_cache_put(core->cache, vault_key_slice(&r->key),
			sasl_server_password(r->sasl), 0, now_ms);
		upgrade(core, r, wants_upgrade, now_ms);
		next = accept_password(r, 0, &out);
	} else if (result == VAULT_VERIFY_RIGHT && r->external) {
		auth_remember_external(core, r, now_ms);
		next = sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true, &out);
	} else if (result == VAULT_VERIFY_CANNOT) {
		next = sasl_server_password_answer(
			r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false, &out);
	} else {
		auth_note_attempt(core, r);
		next = sasl_server_password_answer(r->sasl,
			r->user || r->external ? SASL_CREDENTIALS_KNOWN : SASL_CREDENTIALS_UNKNOWN,
			false, &out);
	}
	auth_request_go_on(core, r, next, &out, now_ms, wall_ms);
}

void auth_request_defer(
	struct auth_core *core, struct auth_request *r, const char *reason, int64_t now_ms)
{
	r->wait = AUTH_WAIT_CLIENT;
	auth_request_fail(core, r, WIRE_FAIL_TEMPORARY, reason, now_ms);
}

void auth_core_user_changed(struct auth_core *core, struct base_slice key)
{
	vault_cache_drop_user(core->cache, key);
	auth_tasks_cancel_upgrades(core, key);
	for (struct auth_link *l = core->by_time.next; l != &core->by_time; l = l->next) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_time);

		if (r->name_good && base_slice_equal(vault_key_slice(&r->key), key))
			r->stale = true;
	}
}
