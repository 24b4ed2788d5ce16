/* One request: what the exchange asks is put to the client, the store or a worker. */
#include "auth/core_internal.h"
#include "base/digest.h"
#include "vault/verify.h"

#include <stdlib.h>
#include <string.h>

enum { CHALLENGE_MAX_BYTES = 12288 };	/* more than a line may hold in base64 is refused there */

static void copy_text(char *out, size_t size, struct base_slice text)
{
	struct base_slice part = base_slice_first(text, size - 1);

	if (part.len)
		memcpy(out, part.ptr, part.len);
	out[part.len] = '\0';
}

struct auth_request *auth_request_find(struct auth_conn *conn, uint32_t id)
{
	for (struct auth_link *l = conn->requests.next; l != &conn->requests; l = l->next) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_conn);

		if (r->id == id)
			return r;
	}
	return NULL;
}

struct auth_request *auth_request_by_token(struct auth_core *core, uint32_t token)
{
	for (struct auth_link *l = core->by_time.prev; l != &core->by_time; l = l->prev) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_time);

		if (r->token == token)
			return r;
	}
	return NULL;
}

static void forget_rows(struct auth_request *r)
{
	if (r->user)
		base_wipe(r->user, sizeof(*r->user));
	if (r->apps)
		base_wipe(r->apps, r->app_count * sizeof(*r->apps));
	free(r->user);
	free(r->apps);
	r->user = NULL;
	r->apps = NULL;
	r->app_count = 0;
}

void auth_request_free(struct auth_core *core, struct auth_request *r)
{
	if (r->wait == AUTH_WAIT_WORKER)
		auth_tasks_forget(core, r->token);
	auth_list_remove(&r->by_conn);
	auth_list_remove(&r->by_time);
	auth_list_remove(&r->by_due);
	r->conn->open--;
	core->status.open--;
	sasl_server_free(&r->sasl);
	forget_rows(r);
	base_buf_release(&r->final);
	base_wipe(r, sizeof(*r));
	free(r);
}

static void touch(struct auth_core *core, struct auth_request *r, int64_t now_ms)
{
	r->active_ms = now_ms;
	auth_list_remove(&r->by_time);
	auth_list_push(&core->by_time, &r->by_time);
}

/* Questions */

static void ask_store(struct auth_core *core, struct auth_request *r)
{
	struct auth_queued *q = auth_effect_push(core, AUTH_EFFECT_LOOKUP);

	r->wait = AUTH_WAIT_STORE;
	q->effect.token = r->token;
	q->key = r->key;
	q->effect.label = auth_effect_keep(q, base_slice_text(r->label));
	q->effect.want_apps = r->question == SASL_SERVER_CHECK_PASSWORD;
}

static void ask_source(struct auth_core *core, struct auth_request *r)
{
	struct auth_queued *q = auth_effect_push(core, AUTH_EFFECT_ASK);
	struct base_slice user = sasl_server_user(r->sasl), domain = core->options.default_domain;
	struct base_buf name;

	base_buf_init(&name, VAULT_NAME_MAX_BYTES + 1);
	base_buf_append_slice(&name, user);
	if (domain.len && !base_slice_has(user, '@')) {
		base_buf_append_byte(&name, '@');
		base_buf_append_slice(&name, domain);
	}
	r->wait = AUTH_WAIT_SOURCE;
	q->effect.token = r->token;
	q->effect.source = auth_effect_keep(q, base_slice_text(core->sources[r->source].name));
	q->effect.name = auth_effect_keep(q, base_buf_slice(&name));
	q->effect.login.session = auth_effect_keep(q, base_slice_text(r->session));
	q->effect.password = auth_effect_keep(q, sasl_server_password(r->sasl));
	q->effect.login.client = r->client;
	base_buf_release(&name);
}

/* What a cached success of another source is kept under; 0 and small numbers are the vault's. */
static uint32_t source_scope(const struct auth_request *r)
{
	return UINT32_C(0x80000000) | r->source;
}

static enum sasl_server_result accept_external(struct auth_request *r, struct base_slice user,
	struct base_buf *out)
{
	r->external = true;
	copy_text(r->external_name, sizeof(r->external_name), user);
	return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true, out);
}

static void note_attempt(struct auth_core *core, struct auth_request *r);

/* No source knows the password: if one did not answer, nobody can tell; if none of them computed
 * anything, the default work is done. */
static enum sasl_server_result no_source_left(struct auth_core *core, struct auth_request *r,
	int64_t now_ms, struct base_buf *out)
{
	if (!r->source_down && r->source_refused) {
		note_attempt(core, r);
		return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN, false, out);
	}
	if (r->source_down || !auth_task_login(core, r, BASE_SLICE_EMPTY,
				      sasl_server_password(r->sasl), now_ms))
		return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false,
			out);
	r->wait = AUTH_WAIT_WORKER;
	return SASL_SERVER_CHECK_PASSWORD;
}

/* Put the question to the first source at or after @from that answers for this user. */
static enum sasl_server_result ask_from(struct auth_core *core, struct auth_request *r, unsigned from,
	int64_t now_ms, struct base_buf *out)
{
	bool password = r->question == SASL_SERVER_CHECK_PASSWORD;
	uint32_t scope;

	r->source = r->name_good ? auth_source_next(core, r, from, !password) : core->source_count;
	if (r->source < core->source_count) {
		if (core->sources[r->source].store) {
			ask_store(core, r);
			return r->question;
		}
		if (vault_cache_has(core->cache, vault_key_slice(&r->key),
			    sasl_server_password(r->sasl), now_ms, &scope) &&
		    scope == source_scope(r)) {
			r->cached = true;
			return accept_external(r, vault_key_slice(&r->key), out);
		}
		ask_source(core, r);
		return r->question;
	}
	if (password)
		return no_source_left(core, r, now_ms, out);
	if (r->question == SASL_SERVER_NEED_SCRAM)
		return sasl_server_scram_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN, NULL, out);
	return sasl_server_secret_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN, BASE_SLICE_EMPTY, out);
}

static enum sasl_server_result lookup(struct auth_core *core, struct auth_request *r,
	enum sasl_server_result question, int64_t now_ms, struct base_buf *out)
{
	r->question = question;
	r->stale = r->tried_label = r->source_down = r->source_refused = false;
	r->label[0] = '\0';
	forget_rows(r);
	r->name_good = vault_key_make(sasl_server_user(r->sasl), core->options.default_domain, &r->key);
	return ask_from(core, r, 0, now_ms, out);
}

static enum sasl_server_result ask_binding(struct auth_core *core, struct auth_request *r,
	struct base_buf *out)
{
	const char *name = sasl_binding_name(sasl_server_binding(r->sasl));
	struct auth_conn *conn = r->conn;

	if (conn->wire.minor < WIRE_DOVECOT_MINOR_BINDING || !r->tls ||
	    !wire_dovecot_server_cont(&conn->out, r->id, BASE_SLICE_EMPTY, base_slice_text(name),
		    true, conn->wire.minor))
		return sasl_server_binding_answer(r->sasl, false, BASE_SLICE_EMPTY, out);
	r->wait = AUTH_WAIT_BINDING;
	auth_conn_told(core, conn);
	return SASL_SERVER_NEED_BINDING;
}

/* A challenge goes to the client, unless it is SCRAM's last word and may go with OK. */
static enum sasl_server_result send_challenge(struct auth_core *core, struct auth_request *r,
	struct base_buf *out)
{
	struct auth_conn *conn = r->conn;

	if (r->final_resp_ok && sasl_server_challenge_is_final(r->sasl)) {
		r->has_final = true;
		base_buf_init_secret(&r->final, CHALLENGE_MAX_BYTES);
		base_buf_append_slice(&r->final, base_buf_slice(out));
		base_buf_clear(out);
		return sasl_server_push(r->sasl, BASE_SLICE_EMPTY, out);
	}
	r->wait = AUTH_WAIT_CLIENT;
	if (!wire_dovecot_server_cont(&conn->out, r->id, base_buf_slice(out), BASE_SLICE_EMPTY,
		    false, conn->wire.minor))
		return SASL_SERVER_MALFORMED;
	auth_conn_told(core, conn);
	return SASL_SERVER_CHALLENGE;
}

/* Follow the exchange until somebody else has to say something. Each round leaves the state that it
 * began in, so there are as many rounds as an exchange has steps. */
static void follow(struct auth_core *core, struct auth_request *r, enum sasl_server_result result,
	struct base_buf *out, int64_t now_ms, int64_t wall_ms)
{
	for (;;) {
		enum sasl_server_result was = result;

		switch (result) {
		case SASL_SERVER_CHALLENGE:
			result = send_challenge(core, r, out);
			break;
		case SASL_SERVER_CHECK_PASSWORD:
		case SASL_SERVER_NEED_SECRET:
		case SASL_SERVER_NEED_SCRAM:
			result = lookup(core, r, result, now_ms, out);
			break;
		case SASL_SERVER_NEED_BINDING:
			result = ask_binding(core, r, out);
			break;
		case SASL_SERVER_SUCCESS:
			auth_request_succeed(core, r, now_ms, wall_ms);
			return;
		case SASL_SERVER_REJECTED:
		case SASL_SERVER_MALFORMED:
			auth_request_fail(core, r, WIRE_FAIL_REJECTED, sasl_server_reason(r->sasl),
				now_ms);
			return;
		case SASL_SERVER_UNAVAILABLE:
			auth_request_fail(core, r, WIRE_FAIL_TEMPORARY,
				"the source of credentials does not answer", now_ms);
			return;
		}
		if (result == was)
			return;
	}
}

/* @result is what the exchange said to an answer; @out took its challenge and is released here. */
static void go_on(struct auth_core *core, struct auth_request *r, enum sasl_server_result result,
	struct base_buf *out, int64_t now_ms, int64_t wall_ms)
{
	follow(core, r, result, out, now_ms, wall_ms);
	base_buf_release(out);
}

/* Requests of the client */

static struct auth_request *request_new(struct auth_core *core, struct auth_conn *conn,
	int64_t now_ms)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	struct auth_request *r = auth_request_find(conn, conn->wire.id);

	if (r)
		auth_request_free(core, r);
	else if (conn->open >= AUTH_OPEN_MAX)
		auth_request_free(core, AUTH_OF(conn->requests.next, struct auth_request, by_conn));
	r = base_alloc_zero(1, sizeof(*r));
	r->conn = conn;
	r->id = conn->wire.id;
	r->token = ++core->next_token;
	r->final_resp_ok = said->final_resp_ok;
	r->tls = said->secured;
	r->active_ms = now_ms;
	copy_text(r->session, sizeof(r->session), said->session);
	if (!base_addr_parse(said->remote_ip, &r->client))
		r->client = (struct base_addr){BASE_ADDR_NONE, 0, {0}};
	r->client.port = said->remote_port;
	base_addr_unmap(&r->client);
	auth_list_push(&conn->requests, &r->by_conn);
	auth_list_push(&core->by_time, &r->by_time);
	conn->open++;
	core->status.open++;
	return r;
}

static bool is_offered(const struct auth_core *core, const struct auth_conn *conn,
	enum sasl_mechanism m)
{
	bool plus = sasl_mechanism_info(m)->flags & SASL_CHANNEL_BINDING;

	return m != SASL_MECHANISM_NONE && core->options.mechanisms & SASL_MASK(m) &&
		(!plus || conn->wire.minor >= WIRE_DOVECOT_MINOR_BINDING);
}

/* Did the client of this request see the -PLUS form of the mechanism? Our front says so; of other
 * servers that can bind it is taken for granted once TLS is up. */
static bool plus_offered(const struct auth_core *core, const struct auth_conn *conn,
	enum sasl_mechanism m)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	enum sasl_mechanism plus = sasl_mechanism_info(m)->plus;

	if (conn->front)
		return said->plus_offered;
	return said->secured_tls && conn->wire.minor >= WIRE_DOVECOT_MINOR_BINDING &&
		plus != SASL_MECHANISM_NONE && core->options.mechanisms & SASL_MASK(plus);
}

void auth_request_begin(struct auth_core *core, struct auth_conn *conn, int64_t now_ms,
	int64_t wall_ms)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	struct auth_request *r = request_new(core, conn, now_ms);
	struct sasl_server_options options;
	uint8_t random[32];
	struct base_buf out;
	enum sasl_server_result result;

	r->mechanism = sasl_mechanism_parse(said->mechanism);
	if (!is_offered(core, conn, r->mechanism)) {
		auth_request_refuse(core, r, "the mechanism is not offered");
		return;
	}
	auth_core_draw(core, random);
	options = (struct sasl_server_options){
		.mechanism = r->mechanism,
		.host_name = core->options.host_name,
		.random = base_slice_make(random, SASL_SERVER_RANDOM_BYTES),
		.now_ms = wall_ms,
		.plus_offered = plus_offered(core, conn, r->mechanism),
		.tls = r->tls,
		.mock_key = base_slice_make(core->mock_key, sizeof(core->mock_key)),
	};
	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	result = sasl_server_begin(&r->sasl, &options, said->has_initial ? &said->initial : NULL,
		&out);
	go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_request_cont(struct auth_core *core, struct auth_conn *conn, int64_t now_ms,
	int64_t wall_ms)
{
	struct wire_dovecot_server *w = &conn->wire;
	struct auth_request *r = auth_request_find(conn, w->id);
	enum sasl_server_result result;
	struct base_buf out;

	/* Of a request that is over, or one that waits for somebody else: it says nothing new. */
	if (!r || (r->wait != AUTH_WAIT_CLIENT && r->wait != AUTH_WAIT_BINDING))
		return;
	touch(core, r, now_ms);
	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	if (r->wait == AUTH_WAIT_BINDING)
		result = sasl_server_binding_answer(r->sasl, w->has_binding && w->binding.len > 0,
			w->binding, &out);
	else if (w->out_of_band)
		result = SASL_SERVER_MALFORMED;
	else
		result = sasl_server_push(r->sasl, w->response, &out);
	go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_request_bad(struct auth_core *core, struct auth_conn *conn, int64_t now_ms)
{
	struct auth_request *r = auth_request_find(conn, conn->wire.id);

	if (!r)
		r = request_new(core, conn, now_ms);
	else if (r->wait == AUTH_WAIT_DELAY)
		return;
	auth_request_fail(core, r, WIRE_FAIL_BASE64, "not base64", now_ms);
}

/* Answers of the store */

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
	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_COUNT; m++)
		if (mask & SASL_MASK(m) &&
		    sasl_mechanism_info((enum sasl_mechanism)m)->plus == r->mechanism &&
		    info->flags & SASL_CHANNEL_BINDING)
			return true;
	return false;
}

static enum sasl_server_result answer_scram(struct auth_core *core, struct auth_request *r,
	struct base_buf *out)
{
	const struct vault_user *u = source(r);
	enum base_hash hash = sasl_mechanism_info(r->mechanism)->hash;
	bool known = u && u->scram[hash].iterations && permitted(core, r);

	if (known && r->label[0])
		r->app_id = u->app_id;
	return sasl_server_scram_answer(r->sasl,
		known ? SASL_CREDENTIALS_KNOWN : SASL_CREDENTIALS_UNKNOWN,
		known ? &u->scram[hash] : NULL, out);
}

static enum sasl_server_result answer_secret(struct auth_core *core, struct auth_request *r,
	struct base_buf *out)
{
	const struct vault_user *u = source(r);
	struct auth_queued *q;

	if (!u || !u->has_secret || !permitted(core, r))
		return sasl_server_secret_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN,
			BASE_SLICE_EMPTY, out);
	if (r->label[0])
		r->app_id = u->app_id;
	q = auth_effect_push(core, AUTH_EFFECT_SECRET);
	q->effect.token = r->token;
	auth_effect_keep_user(q, u);
	r->wait = AUTH_WAIT_SECRET;
	return SASL_SERVER_NEED_SECRET;
}

static enum sasl_server_result accept_password(struct auth_request *r, int64_t app_id,
	struct base_buf *out)
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
	for (size_t i = 0; i < r->app_count; i++)
		if ((uint32_t)r->apps[i].app_id == scope)
			return true;
	return false;
}

/* The store knows the user, so it alone decides. */
static enum sasl_server_result check_password(struct auth_core *core, struct auth_request *r,
	int64_t now_ms, struct base_buf *out)
{
	struct base_slice password = sasl_server_password(r->sasl), stored = BASE_SLICE_EMPTY;
	const struct vault_user *app;
	uint32_t scope;

	app = right_app(r, password);
	if (app)
		return accept_password(r, app->app_id, out);
	if (!r->label[0]) {
		if (vault_cache_has(core->cache, vault_key_slice(&r->key), password, now_ms,
			    &scope) && (scope == 0 || has_app(r, scope))) {
			r->cached = true;
			return accept_password(r, scope, out);
		}
		stored = base_slice_text(r->user->hash);
	}
	if (!auth_task_login(core, r, stored, password, now_ms))
		return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false,
			out);
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
	copy_text(r->label, sizeof(r->label), label);
	ask_store(core, r);
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
	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	if (r->question == SASL_SERVER_NEED_SCRAM) {
		result = answer_scram(core, r, &out);
	} else if (r->question == SASL_SERVER_NEED_SECRET) {
		result = answer_secret(core, r, &out);
	} else if (r->user) {
		result = check_password(core, r, now_ms, &out);
	} else {
		r->source_down |= state == SASL_CREDENTIALS_UNAVAILABLE;
		result = ask_from(core, r, r->source + 1, now_ms, &out);
	}
	/* Still the same question: it was put to somebody. */
	if (result == r->question)
		base_buf_release(&out);
	else
		go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_core_asked(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice user, int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);
	enum sasl_server_result result;
	struct vault_key key;
	struct base_buf out;

	if (!r || r->wait != AUTH_WAIT_SOURCE)
		return;
	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	if (state == SASL_CREDENTIALS_KNOWN) {
		/* Under another name it is asked again: the cache keeps no names. */
		if (vault_key_make(user, BASE_SLICE_EMPTY, &key) &&
		    base_slice_equal(vault_key_slice(&key), vault_key_slice(&r->key)))
			vault_cache_put(core->cache, vault_key_slice(&r->key),
				sasl_server_password(r->sasl), source_scope(r), now_ms);
		result = accept_external(r, user, &out);
	} else {
		r->source_down |= state == SASL_CREDENTIALS_UNAVAILABLE;
		r->source_refused |= state == SASL_CREDENTIALS_UNKNOWN;
		result = ask_from(core, r, r->source + 1, now_ms, &out);
	}
	if (result == r->question)
		base_buf_release(&out);
	else
		go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_core_secret(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice secret, int64_t now_ms, int64_t wall_ms)
{
	struct auth_request *r = auth_request_by_token(core, token);
	struct base_buf out;

	if (!r || r->wait != AUTH_WAIT_SECRET)
		return;
	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	go_on(core, r, sasl_server_secret_answer(r->sasl, state, secret, &out), &out, now_ms,
		wall_ms);
}

/* Answers of workers */

static void note_attempt(struct auth_core *core, struct auth_request *r)
{
	uint8_t sum[BASE_HASH_MAX_BYTES];

	base_hmac(BASE_HASH_SHA256, base_slice_make(core->seed, sizeof(core->seed)),
		sasl_server_password(r->sasl), sum);
	memcpy(r->attempt, sum, sizeof(r->attempt));
	r->has_attempt = true;
}

/* The password was right: is there something of it that should be kept and is not? */
static void upgrade(struct auth_core *core, struct auth_request *r, bool wants_hash, int64_t now_ms)
{
	sasl_mechanism_mask mask = r->user->mechanisms ? r->user->mechanisms :
		core->options.mechanisms;

	if (core->options.upgrade && (wants_hash || vault_user_missing(r->user, mask)))
		auth_task_upgrade(core, r, sasl_server_password(r->sasl), mask, !wants_hash, now_ms);
}

void auth_request_verified(struct auth_core *core, struct auth_request *r, unsigned result,
	bool wants_upgrade, int64_t now_ms, int64_t wall_ms)
{
	enum sasl_server_result next;
	struct base_buf out;

	base_buf_init_secret(&out, CHALLENGE_MAX_BYTES);
	r->wait = AUTH_WAIT_CLIENT;	/* nobody is asked; follow() sets what comes */
	if (r->stale) {
		/* The password was changed while the old one was checked: begin anew. */
		next = SASL_SERVER_CHECK_PASSWORD;
	} else if (result == VAULT_VERIFY_RIGHT && r->user) {
		vault_cache_put(core->cache, vault_key_slice(&r->key),
			sasl_server_password(r->sasl), 0, now_ms);
		upgrade(core, r, wants_upgrade, now_ms);
		next = accept_password(r, 0, &out);
	} else if (result == VAULT_VERIFY_CANNOT) {
		next = sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false,
			&out);
	} else {
		note_attempt(core, r);
		next = sasl_server_password_answer(r->sasl,
			r->user ? SASL_CREDENTIALS_KNOWN : SASL_CREDENTIALS_UNKNOWN, false, &out);
	}
	go_on(core, r, next, &out, now_ms, wall_ms);
}

void auth_request_defer(struct auth_core *core, struct auth_request *r, const char *reason,
	int64_t now_ms)
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
