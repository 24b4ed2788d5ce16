/* Commands through the control socket: user …, account … (see control_account.c too), unban, status. */
#include "auth/tokens.h"
#include "base/clock.h"
#include "loop/conf_account.h"
#include "loop/log.h"
#include "vault/admin.h"
#include "vault/verify.h"

#include <jansson.h>
#include <stdlib.h>

enum { ANSWER_MAX_BYTES = 64 * 1024 * 1024 };

/* A user test whose password a worker is checking. */
struct auth_ticket {
	struct auth_ticket *next;
	uint32_t number;
	struct control_reply *reply;
	struct vault_admin_effects fx;
};

static void forget_imported(const char *name, void *arg)
{
	struct auth_shell *s = arg;

	auth_core_user_changed(s->core, base_slice_text(name));
}

static struct vault_admin_env make_env(struct auth_shell *s)
{
	const struct conf *conf = role_conf(s->role);

	return (struct vault_admin_env){
		.store = s->store,
		.now_ms = base_clock_wall_ms(),
		.default_domain = base_slice_text(conf->auth.default_domain),
		.mechanisms = conf->auth.mechanisms,
		.token = auth_account_token_json,
		.imported = forget_imported,
		.arg = s,
	};
}

static void log_change(const struct control_request *req, const struct vault_admin_effects *fx)
{
	struct log_record record;
	struct base_buf action;

	base_buf_init(&action, 128);
	base_buf_append_slice(&action, base_slice_first(req->words[0], 16));
	base_buf_append_byte(&action, ' ');
	base_buf_append_slice(&action, base_slice_first(req->words[1], 16));
	log_begin(&record, LOG_LEVEL_INFO, LOG_KIND_ADMIN);
	log_put(&record, LOG_KEY_ACTION, base_buf_slice(&action));
	if (fx->name[0])
		log_put_text(&record, fx->is_user ? LOG_KEY_USER : LOG_KEY_ACCOUNT, fx->name);
	log_commit(&record);
	base_buf_release(&action);
}

static void wait_for_test(struct auth_shell *s, const struct control_request *req,
	const struct vault_admin_effects *fx, struct control_reply *reply)
{
	struct auth_ticket *t = base_alloc_zero(1, sizeof(*t));

	*t = (struct auth_ticket){
		.next = s->tickets, .number = ++s->next_ticket, .reply = reply, .fx = *fx};
	s->tickets = t;
	auth_core_test(s->core, t->number, base_slice_text(t->fx.hash), req->secret,
		base_clock_monotonic_ms());
	auth_shell_pump(s);
}

static struct auth_ticket *take_ticket(struct auth_shell *s, uint32_t number)
{
	for (struct auth_ticket **at = &s->tickets; *at; at = &(*at)->next) {
		struct auth_ticket *t = *at;

		if (t->number == number) {
			*at = t->next;
			return t;
		}
	}
	return NULL;
}

void auth_control_tested(struct auth_shell *s, uint32_t ticket, unsigned result)
{
	struct auth_ticket *t = take_ticket(s, ticket);
	struct vault_admin_env env = make_env(s);
	struct base_error err = {0};
	struct base_buf out;
	int rc;

	if (!t)
		return;
	base_buf_init(&out, ANSWER_MAX_BYTES);
	if (result == VAULT_VERIFY_CANNOT)
		rc = base_error_set(&err, BASE_ERROR_TEMPORARY, 0,
			"the password cannot be checked now: no worker answered");
	else
		rc = vault_admin_tested(&env, &t->fx, result == VAULT_VERIFY_RIGHT, &out, &err);
	if (rc == 0)
		control_json(t->reply, base_buf_slice(&out));
	control_end(t->reply, rc == 0 ? NULL : &err);
	base_buf_release(&out);
	base_wipe(t, sizeof(*t));
	free(t);
}

void auth_tickets_drop(struct auth_shell *s)
{
	while (s->tickets)
		auth_control_tested(s, s->tickets->number, VAULT_VERIFY_CANNOT);
}

/* Nobody goes on with what is no longer so. */
static void took_effect(struct auth_shell *s, const struct control_request *req,
	const struct vault_admin_effects *fx)
{
	log_change(req, fx);
	if (!fx->name[0])
		return;
	if (fx->is_user) {
		auth_core_user_changed(s->core, base_slice_text(fx->name));
		return;
	}
	auth_tokens_account_changed(s, fx->name);
	auth_account_changed(s, fx->name);
}

static void on_vault(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply)
{
	struct vault_admin_request request = {req->words, req->word_count, req->secret};
	struct vault_admin_section *sections = conf_account_sections(role_conf(s->role));
	struct vault_admin_env env = make_env(s);
	struct vault_admin_effects fx;
	struct base_error err = {0};
	struct base_buf out;
	int rc;

	env.sections = sections;
	env.section_count = role_conf(s->role)->account_count;
	base_buf_init(&out, ANSWER_MAX_BYTES);
	rc = vault_admin_execute(&env, &request, &fx, &out, &err);
	if (rc == 0 && fx.changed)
		took_effect(s, req, &fx);
	if (rc == 0 && fx.verify) {
		wait_for_test(s, req, &fx, reply);
	} else {
		if (rc == 0)
			control_json(reply, base_buf_slice(&out));
		control_end(reply, rc == 0 ? NULL : &err);
	}
	base_wipe(&fx, sizeof(fx));
	base_buf_release(&out);
	free(sections);
}

static void on_unban(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply)
{
	struct base_error err;
	struct base_addr addr;

	if (req->word_count < 2 || !base_addr_parse(req->words[1], &addr)) {
		base_error_set(&err, BASE_ERROR_PERMANENT, 0,
			"not an address; write 192.0.2.1 or 2001:db8::1");
		control_end(reply, &err);
		return;
	}
	base_addr_unmap(&addr);
	if (auth_core_unban(s->core, &addr))
		control_json(reply, BASE_SLICE("{\"done\":\"forgotten\"}"));
	else
		control_json(reply, BASE_SLICE("{\"done\":\"nothing was known\"}"));
	control_end(reply, NULL);
}

static void on_status(struct auth_shell *s, struct control_reply *reply)
{
	struct auth_status status = auth_core_status(s->core);
	struct vault_counts counts = {0};
	json_t *json = json_object();

	(void)!vault_store_counts(s->store, &counts, NULL);
	json_object_set_new(json, "users", json_integer((json_int_t)counts.users));
	json_object_set_new(json, "apps", json_integer((json_int_t)counts.apps));
	json_object_set_new(json, "accounts_kept", json_integer((json_int_t)counts.accounts));
	json_object_set_new(json, "connections", json_integer((json_int_t)status.connections));
	json_object_set_new(json, "open", json_integer((json_int_t)status.open));
	json_object_set_new(json, "waiting", json_integer((json_int_t)status.waiting));
	json_object_set_new(json, "logins_ok", json_integer((json_int_t)status.ok));
	json_object_set_new(json, "logins_cached", json_integer((json_int_t)status.cached));
	json_object_set_new(json, "logins_rejected", json_integer((json_int_t)status.rejected));
	json_object_set_new(json, "logins_deferred", json_integer((json_int_t)status.deferred));
	auth_account_status(s, json);
	control_end_json(reply, json);
}

void auth_control_request(
	struct role *r, const struct control_request *req, struct control_reply *reply)
{
	struct auth_shell *s = role_state(r);
	struct base_error err;

	if (control_word_is(req, 0, "account") && control_word_is(req, 1, "token")) {
		auth_account_token(s, req, reply);
	} else if (control_word_is(req, 0, "account") && control_word_is(req, 1, "retry")) {
		auth_account_retry(s, req, reply);
	} else if (control_word_is(req, 0, "user") || control_word_is(req, 0, "account")) {
		on_vault(s, req, reply);
	} else if (control_word_is(req, 0, "unban")) {
		on_unban(s, req, reply);
	} else if (control_word_is(req, 0, "status")) {
		on_status(s, reply);
	} else {
		base_error_set(&err, BASE_ERROR_PERMANENT, 0,
			"not a command of auth, or not available in this build");
		control_end(reply, &err);
	}
}
