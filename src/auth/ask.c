/* What the exchange asks is put to the sources of credentials, one after another, until one knows. */
#include "auth/core_internal.h"
#include "base/digest.h"

#include <string.h>

void auth_ask_store(struct auth_core *core, struct auth_request *r)
{
	struct auth_queued *q = auth_effect_push(core, AUTH_EFFECT_LOOKUP);

	r->wait = AUTH_WAIT_STORE;
	q->effect.token = r->token;
	q->key = r->key;
	q->effect.label = auth_effect_keep(q, base_slice_text(r->label));
	q->effect.want_apps = r->question == SASL_SERVER_CHECK_PASSWORD;
}

static void ask_server(struct auth_core *core, struct auth_request *r)
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
uint32_t auth_source_scope(const struct auth_core *core, const struct auth_request *r)
{
	return UINT32_C(0x80000000) | core->sources[r->source].generation;
}

/* The salt that an unknown user's stand-in has hangs on the name, so the name loses what a known user's
 * lookup does not look at: a salt that changed with the spelling would tell who does not exist. */
static void stand_in_name(
	const struct auth_core *core, const struct auth_request *r, struct base_buf *out)
{
	struct base_slice name, label;
	struct vault_key key;

	if (auth_sources_have_store(core) &&
		vault_name_split_app(sasl_server_user(r->sasl), &name, &label) &&
		vault_key_make(name, core->options.default_domain, &key)) {
		base_buf_append_slice(out, vault_key_slice(&key));
		base_buf_append_byte(out, '/');
		base_buf_append_slice(out, label);
	} else {
		base_buf_append_slice(out, vault_key_slice(&r->whole_key));
	}
}

/* False: it cannot be asked. */
static bool ask_process(struct auth_core *core, struct auth_request *r, int64_t now_ms)
{
	enum base_hash hash = sasl_mechanism_info(r->mechanism)->hash;
	bool file = core->sources[r->source].kind == AUTH_SOURCE_FILE;
	uint8_t salt[SASL_SCRAM_SALT_BYTES];
	struct base_buf name;

	r->wait = AUTH_WAIT_SOURCE;
	if (r->question == SASL_SERVER_CHECK_PASSWORD)
		return auth_question_put(core, r, file ? AUTH_ASK_LOOKUP : AUTH_ASK_PASSWORD,
			file ? BASE_SLICE_EMPTY : sasl_server_password(r->sasl), BASE_SLICE_EMPTY,
			now_ms);
	if (r->question == SASL_SERVER_NEED_SECRET)
		return auth_question_put(core, r, AUTH_ASK_CRAM, sasl_server_cram_digest(r->sasl),
			sasl_server_cram_challenge(r->sasl), now_ms);
	base_buf_init(&name, 2 * SASL_NAME_MAX_BYTES);
	stand_in_name(core, r, &name);
	sasl_server_scram_salt(base_slice_make(core->mock_key, sizeof(core->mock_key)), hash,
		base_buf_slice(&name), salt);
	base_buf_release(&name);
	return auth_question_put(core, r, AUTH_ASK_SCRAM, base_slice_make(salt, sizeof(salt)),
		BASE_SLICE_EMPTY, now_ms);
}

enum sasl_server_result auth_accept_external(
	struct auth_request *r, struct base_slice user, struct base_buf *out)
{
	r->external = true;
	auth_text_copy(r->external_name, sizeof(r->external_name), user);
	return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_KNOWN, true, out);
}

void auth_note_attempt(struct auth_core *core, struct auth_request *r)
{
	uint8_t sum[BASE_HASH_MAX_BYTES];

	base_hmac(BASE_HASH_SHA256, base_slice_make(core->seed, sizeof(core->seed)),
		sasl_server_password(r->sasl), sum);
	memcpy(r->attempt, sum, sizeof(r->attempt));
	r->has_attempt = true;
}

/* No source knows the password: if one did not answer, nobody can tell; if none of them computed
 * anything, the default work is done. */
static enum sasl_server_result no_source_left(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, struct base_buf *out)
{
	if (!r->source_down && r->source_refused) {
		auth_note_attempt(core, r);
		return sasl_server_password_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN, false, out);
	}
	if (r->source_down ||
		!auth_task_login(core, r, BASE_SLICE_EMPTY, sasl_server_password(r->sasl), now_ms))
		return sasl_server_password_answer(
			r->sasl, SASL_CREDENTIALS_UNAVAILABLE, false, out);
	r->wait = AUTH_WAIT_WORKER;
	return SASL_SERVER_CHECK_PASSWORD;
}

enum sasl_server_result auth_scram_unknown(
	struct auth_core *core, struct auth_request *r, struct base_buf *out)
{
	struct base_buf name;

	base_buf_init(&name, 2 * SASL_NAME_MAX_BYTES);
	stand_in_name(core, r, &name);
	if (r->name_good)
		(void)sasl_server_user_replace(r->sasl, base_buf_slice(&name));
	base_buf_release(&name);
	return sasl_server_scram_answer(r->sasl, SASL_CREDENTIALS_UNKNOWN, NULL, out);
}

/* Nobody knows the user. */
static enum sasl_server_result answer_unknown(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, struct base_buf *out)
{
	if (r->question == SASL_SERVER_CHECK_PASSWORD)
		return no_source_left(core, r, now_ms, out);
	if (r->question == SASL_SERVER_NEED_SECRET)
		return sasl_server_secret_answer(r->sasl,
			r->source_down ? SASL_CREDENTIALS_UNAVAILABLE : SASL_CREDENTIALS_UNKNOWN,
			BASE_SLICE_EMPTY, out);
	if (r->source_down)
		return sasl_server_scram_answer(r->sasl, SASL_CREDENTIALS_UNAVAILABLE, NULL, out);
	return auth_scram_unknown(core, r, out);
}

/* Did this source say yes to this password a moment ago? */
static bool remembered(const struct auth_core *core, struct auth_request *r, int64_t now_ms)
{
	uint32_t scope;

	r->scope = auth_source_scope(core, r);
	return r->question == SASL_SERVER_CHECK_PASSWORD &&
		vault_cache_has(core->cache, vault_key_slice(&r->whole_key),
			sasl_server_password(r->sasl), now_ms, &scope) &&
		scope == r->scope;
}

/* Put the question to the first source at or after @from that answers for this user. */
enum sasl_server_result auth_ask_from(struct auth_core *core, struct auth_request *r, unsigned from,
	int64_t now_ms, struct base_buf *out)
{
	for (;; from++) {
		r->source = r->name_good ? auth_source_next(core, r, from) : core->source_count;
		if (r->source >= core->source_count)
			return answer_unknown(core, r, now_ms, out);
		from = r->source;
		if (!r->source_down)
			r->said[0] = '\0';
		switch (core->sources[from].kind) {
		case AUTH_SOURCE_STORE:
			auth_ask_store(core, r);
			return r->question;
		case AUTH_SOURCE_SERVER:
		case AUTH_SOURCE_CHECKER:
		case AUTH_SOURCE_FILE:
			break;
		}
		if (remembered(core, r, now_ms)) {
			r->cached = true;
			return auth_accept_external(r, vault_key_slice(&r->whole_key), out);
		}
		if (core->sources[from].kind == AUTH_SOURCE_SERVER) {
			ask_server(core, r);
			return r->question;
		}
		if (ask_process(core, r, now_ms))
			return r->question;
		r->source_down = true;
	}
}

enum sasl_server_result auth_ask(struct auth_core *core, struct auth_request *r,
	enum sasl_server_result question, int64_t now_ms, struct base_buf *out)
{
	r->question = question;
	r->stale = r->tried_label = r->source_down = r->source_refused = r->external = false;
	r->said[0] = '\0';
	r->label[0] = '\0';
	auth_request_forget_rows(r);
	r->name_good = vault_key_make(
		sasl_server_user(r->sasl), core->options.default_domain, &r->key);
	r->whole_key = r->key;
	return auth_ask_from(core, r, 0, now_ms, out);
}
