/* The end of a request: what is proven is judged, failures wait for the grid, one line is logged.
 *
 * The grid starts at the client's last word, so the time from there to a failure is a multiple of
 * VAULT_THROTTLE_STEP_MS, whatever was computed in between. */
#include "auth/core_internal.h"

#include "base/digest.h"

#include <string.h>

static struct base_slice shown_user(const struct auth_request *r)
{
	if (r->external)
		return base_slice_text(r->external_name);
	if (r->user)
		return base_slice_text(r->user->name);
	if (r->name_good)
		return vault_key_slice(&r->key);
	return r->sasl ? base_slice_first(sasl_server_user(r->sasl), AUTH_TEXT_MAX_BYTES)
		       : BASE_SLICE_EMPTY;
}

static void log_login(
	struct auth_core *core, struct auth_request *r, const char *result, const char *reason)
{
	struct auth_queued *q = auth_effect_push(core, AUTH_EFFECT_LOGIN);
	struct auth_login *login = &q->effect.login;

	login->user = auth_effect_keep(q, shown_user(r));
	login->session = auth_effect_keep(q, base_slice_text(r->session));
	login->mechanism = base_slice_text(sasl_mechanism_info(r->mechanism)->name);
	if (r->source < core->source_count) /* else none of them decided */
		login->provider = auth_effect_keep(
			q, base_slice_text(core->sources[r->source].name));
	login->binding = base_slice_text(sasl_binding_name(r->binding));
	login->client = r->client;
	login->result = result;
	login->reason = reason;
	/* Its own words say more; the end of the text is kept, too. */
	if (reason && r->said[0])
		login->reason = (const char *)auth_effect_keep(
			q, base_slice_make(r->said, strlen(r->said) + 1))
					.ptr;
	login->cached = r->cached;
}

static void end_exchange(struct auth_core *core, struct auth_request *r)
{
	if (r->sasl)
		r->binding = sasl_server_binding(r->sasl);
	if (r->wait == AUTH_WAIT_WORKER)
		auth_tasks_forget(core, r->token);
}

void auth_request_reply(struct auth_core *core, struct auth_request *r)
{
	struct auth_conn *conn = r->conn;
	struct base_slice final = base_buf_slice(&r->final), user = shown_user(r);
	bool fits;

	/* The spelling of a source would tell that it knows the user. */
	if (!r->accepted && r->external)
		user = vault_key_slice(&r->whole_key);
	if (r->accepted)
		fits = wire_dovecot_server_ok(
			&conn->out, r->id, user, r->has_final ? &final : NULL);
	else
		fits = wire_dovecot_server_fail(&conn->out, r->id, user, r->fail, conn->wire.minor);
	if (!fits)
		conn->broken = true; /* it does not read what it is sent */
	auth_conn_told(core, conn);
	auth_request_free(core, r);
}

/* Almost always at the end: due times are the clients' last words and a few steps. */
static void put_due(struct auth_core *core, struct auth_request *r)
{
	struct auth_link *after = core->by_due.prev;

	while (after != &core->by_due &&
		AUTH_OF(after, struct auth_request, by_due)->due_ms > r->due_ms)
		after = after->prev;
	auth_list_push(after->next, &r->by_due);
}

static void answer_after(
	struct auth_core *core, struct auth_request *r, uint32_t delay_ms, int64_t now_ms)
{
	if (!delay_ms) {
		auth_request_reply(core, r);
		return;
	}
	r->due_ms = r->active_ms + delay_ms;
	if (r->due_ms < now_ms)
		r->due_ms += (now_ms - r->due_ms + VAULT_THROTTLE_STEP_MS - 1) /
			VAULT_THROTTLE_STEP_MS * VAULT_THROTTLE_STEP_MS;
	sasl_server_free(&r->sasl);
	r->wait = AUTH_WAIT_DELAY;
	put_due(core, r);
}

void auth_request_fail(struct auth_core *core, struct auth_request *r, enum wire_dovecot_fail fail,
	const char *reason, int64_t now_ms)
{
	bool counted = fail != WIRE_FAIL_TEMPORARY && fail != WIRE_FAIL_BASE64;
	struct base_slice attempt = r->has_attempt ? base_slice_make(r->attempt, sizeof(r->attempt))
						   : BASE_SLICE_EMPTY;
	uint32_t delay_ms = 0;

	end_exchange(core, r);
	r->accepted = false;
	r->fail = fail;
	if (counted)
		delay_ms = vault_throttle_failed(
			core->throttle, &r->client, vault_key_slice(&r->key), attempt, now_ms);
	if (fail == WIRE_FAIL_TEMPORARY)
		core->status.deferred++;
	else
		core->status.rejected++;
	log_login(core, r, fail == WIRE_FAIL_TEMPORARY ? "deferred" : "rejected", reason);
	answer_after(core, r, delay_ms, now_ms);
}

void auth_request_refuse(struct auth_core *core, struct auth_request *r, const char *reason)
{
	r->accepted = false;
	r->fail = WIRE_FAIL_REJECTED;
	core->status.rejected++;
	log_login(core, r, "rejected", reason);
	auth_request_reply(core, r);
}

static const struct vault_user *app_of(const struct auth_request *r)
{
	for (size_t i = 0; r->app_id && i < r->app_count; i++)
		if (r->apps[i].app_id == r->app_id)
			return &r->apps[i];
	return NULL;
}

static bool expired(const struct vault_user *u, int64_t wall_ms)
{
	return u && u->expires_ms && u->expires_ms <= wall_ms;
}

static bool mechanism_permitted(const struct auth_core *core, const struct auth_request *r)
{
	const struct vault_user *app = app_of(r), *u = app ? app : r->user;
	sasl_mechanism_mask mask = u->mechanisms ? u->mechanisms : core->options.mechanisms;

	if (sasl_mechanism_info(r->mechanism)->flags & SASL_SCRAM)
		return true; /* was judged when the keys were given out */
	return mask & SASL_MASK(r->mechanism);
}

/* The one who proved to be the user may act as nobody else. */
static bool authorised(const struct auth_core *core, const struct auth_request *r)
{
	const struct vault_key *own = r->external ? &r->whole_key : &r->key;
	struct base_slice authzid = sasl_server_authzid(r->sasl);
	struct vault_key key;

	return !authzid.len ||
		(vault_key_make(authzid, core->options.default_domain, &key) &&
			base_slice_equal(vault_key_slice(&key), vault_key_slice(own)));
}

void auth_request_succeed(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, int64_t wall_ms)
{
	const char *reason = NULL;
	enum wire_dovecot_fail fail = WIRE_FAIL_REJECTED;

	if (r->external) {
		if (!authorised(core, r)) {
			reason = "may not act as the identity that was asked for";
			fail = WIRE_FAIL_AUTHZ;
		}
	} else if (!r->user || r->stale) {
		reason = "the user was changed meanwhile";
	} else if (!authorised(core, r)) {
		reason = "may not act as the identity that was asked for";
		fail = WIRE_FAIL_AUTHZ;
	} else if (r->user->disabled) {
		reason = "the user is disabled";
		fail = WIRE_FAIL_DISABLED;
	} else if (expired(r->user, wall_ms) || expired(app_of(r), wall_ms)) {
		reason = "the password has expired";
		fail = WIRE_FAIL_EXPIRED;
	} else if (!mechanism_permitted(core, r)) {
		reason = "the mechanism is not allowed for this user";
	}
	if (reason) {
		auth_request_fail(core, r, fail, reason, now_ms);
		return;
	}
	end_exchange(core, r);
	r->accepted = true;
	core->status.ok++;
	core->status.cached += r->cached;
	log_login(core, r, "ok", NULL);
	answer_after(core, r,
		vault_throttle_succeeded(
			core->throttle, &r->client, vault_key_slice(&r->key), now_ms),
		now_ms);
}
