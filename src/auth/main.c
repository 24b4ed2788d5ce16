/* postern-auth: the only one that sees credentials. Effects of the core are done here; a password is
 * never hashed in this process. */
#include "auth/tokens.h"
#include "base/clock.h"
#include "loop/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STORE_BUSY_MS = 2000, COMPLAIN_EVERY_MS = 10000, APPS_MAX = 64 };

void auth_shell_complain(struct auth_shell *s, const char *what, const struct base_error *err)
{
	int64_t now = base_clock_monotonic_ms();

	if (s->complained_ms && now - s->complained_ms < COMPLAIN_EVERY_MS)
		return;
	s->complained_ms = now;
	log_error(LOG_LEVEL_ERROR, what, err);
}

/* Effects */

struct apps {
	struct vault_user *items;
	size_t count;
};

static bool collect_app(const struct vault_user *app, void *arg)
{
	struct apps *apps = arg;

	apps->items = base_realloc(apps->items, (apps->count + 1) * sizeof(*app));
	apps->items[apps->count++] = *app;
	return apps->count < APPS_MAX;
}

static int look_up(struct auth_shell *s, const struct auth_effect *e, struct vault_user *user,
	struct apps *apps, struct base_error *err)
{
	struct vault_user app;
	int rc = vault_store_user_get(s->store, e->key, user, err);

	if (rc == 0 && e->label.len) {
		rc = vault_store_app_get(s->store, user, e->label, &app, err);
		if (rc == 0)
			(void)collect_app(&app, apps);
	} else if (rc == 0 && e->want_apps) {
		rc = vault_store_app_each(s->store, user, collect_app, apps, err);
	}
	return rc;
}

static void do_lookup(struct auth_shell *s, const struct auth_effect *e)
{
	struct apps apps = {NULL, 0};
	struct vault_user user;
	struct base_error err;
	int rc = look_up(s, e, &user, &apps, &err);
	enum sasl_credentials_state state = rc == 0 ? SASL_CREDENTIALS_KNOWN
		: rc == BASE_ERROR_NOT_FOUND        ? SASL_CREDENTIALS_UNKNOWN
						    : SASL_CREDENTIALS_UNAVAILABLE;

	if (state == SASL_CREDENTIALS_UNAVAILABLE)
		auth_shell_complain(s, "logins get 454 until the vault answers", &err);
	auth_core_looked_up(s->core, e->token, state, &user, apps.items, apps.count,
		base_clock_monotonic_ms(), base_clock_wall_ms());
	base_wipe(&user, sizeof(user));
	if (apps.items)
		base_wipe(apps.items, apps.count * sizeof(*apps.items));
	free(apps.items);
}

static void do_secret(struct auth_shell *s, const struct auth_effect *e)
{
	struct base_secret secret;
	struct base_error err;
	int rc;

	base_secret_init(&secret, BASE_SECRET_PASSWORD_MAX_BYTES);
	rc = vault_store_user_secret(s->store, e->user, &secret, &err);
	if (rc != 0 && rc != BASE_ERROR_NOT_FOUND)
		auth_shell_complain(s, "logins get 454 until the vault answers", &err);
	auth_core_secret(s->core, e->token,
		rc == 0                              ? SASL_CREDENTIALS_KNOWN
			: rc == BASE_ERROR_NOT_FOUND ? SASL_CREDENTIALS_UNKNOWN
						     : SASL_CREDENTIALS_UNAVAILABLE,
		base_secret_slice(&secret), base_clock_monotonic_ms(), base_clock_wall_ms());
	base_secret_release(&secret);
}

/* A channel that breaks here is reported by peer_gone(), and the task goes to another worker. */
static void send_task(struct auth_shell *s, const struct auth_effect *e)
{
	struct ipc_channel *ch = role_peer(s->role, IPC_WORKER, e->worker);

	if (e->kind == AUTH_EFFECT_VERIFY) {
		ipc_begin(&s->frame, IPC_VERIFY, e->task);
		ipc_put_bytes(&s->frame, e->stored);
	} else {
		ipc_begin(&s->frame, IPC_HASH, e->task);
		ipc_put_u32(&s->frame, e->mechanisms);
	}
	ipc_put_bytes(&s->frame, e->password);
	if (ch)
		(void)ipc_send(ch, &s->frame, NULL, 0);
	base_buf_clear(&s->frame);
}

static void do_upgrade(struct auth_shell *s, const struct auth_effect *e)
{
	struct vault_credentials c;
	struct base_error err;

	vault_credentials_init(&c);
	if (vault_credentials_decode(e->credentials, &c)) {
		if (e->keep_hash)
			c.hash[0] = '\0';
		if (vault_store_credentials_put(
			    s->store, e->user, e->key, &c, true, base_clock_wall_ms(), &err) != 0)
			auth_shell_complain(s, "a password was not upgraded", &err);
	}
	vault_credentials_release(&c);
}

static void do_login(const struct auth_login *login)
{
	struct log_record record;

	log_begin(&record,
		strcmp(login->result, "deferred") == 0 ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO,
		LOG_KIND_LOGIN);
	if (login->session.len)
		log_put(&record, LOG_KEY_SESSION, login->session);
	if (login->client.family != BASE_ADDR_NONE)
		log_put_addr(&record, LOG_KEY_CLIENT, &login->client);
	log_put(&record, LOG_KEY_USER, login->user);
	log_put(&record, LOG_KEY_MECH, login->mechanism);
	if (login->binding.len)
		log_put(&record, LOG_KEY_BINDING, login->binding);
	if (login->provider.len)
		log_put(&record, LOG_KEY_PROVIDER, login->provider);
	log_put_text(&record, LOG_KEY_RESULT, login->result);
	if (login->reason)
		log_put_text(&record, LOG_KEY_REASON, login->reason);
	log_commit(&record);
}

static void on_timer(uv_timer_t *timer)
{
	struct auth_shell *s = timer->data;

	auth_core_tick(s->core, base_clock_monotonic_ms(), base_clock_wall_ms());
	auth_shell_pump(s);
}

static void set_timer(struct auth_shell *s)
{
	int64_t wake = auth_core_wake(s->core), wait;

	if (wake == INT64_MAX) {
		uv_timer_stop(&s->timer);
		return;
	}
	uv_update_time(role_loop(s->role));
	wait = wake - base_clock_monotonic_ms();
	uv_timer_start(&s->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void do_effect(struct auth_shell *s, const struct auth_effect *e)
{
	switch (e->kind) {
	case AUTH_EFFECT_OUTPUT:
		auth_client_flush(auth_conn_owner(e->conn));
		break;
	case AUTH_EFFECT_CLOSE:
		auth_client_close(auth_conn_owner(e->conn), e->reason);
		break;
	case AUTH_EFFECT_LOOKUP:
		do_lookup(s, e);
		break;
	case AUTH_EFFECT_SECRET:
		do_secret(s, e);
		break;
	case AUTH_EFFECT_ASK:
		auth_provider_ask(s, e);
		break;
	case AUTH_EFFECT_QUESTION:
		auth_process_ask(s, e);
		break;
	case AUTH_EFFECT_VERIFY:
	case AUTH_EFFECT_HASH:
		send_task(s, e);
		break;
	case AUTH_EFFECT_UPGRADE:
		do_upgrade(s, e);
		break;
	case AUTH_EFFECT_TESTED:
		auth_control_tested(s, e->ticket, e->result);
		break;
	case AUTH_EFFECT_LOGIN:
		do_login(&e->login);
		break;
	}
}

void auth_shell_pump(struct auth_shell *s)
{
	struct auth_effect e;

	while (auth_core_effect(s->core, &e))
		do_effect(s, &e);
	set_timer(s);
	if (role_draining(s->role) && auth_core_status(s->core).open == 0)
		role_stop(s->role, 0);
}

/* Role */

/* @sources: AUTH_SOURCES_MAX; borrowed by what is returned. */
static struct auth_options make_options(const struct conf *conf, struct auth_source *sources)
{
	size_t count = 0;

	for (size_t i = 0; i < conf->auth.providers.count && count < AUTH_SOURCES_MAX; i++) {
		const struct conf_provider *p = conf_provider_find(
			conf, conf->auth.providers.items[i]);

		if (p)
			sources[count++] = auth_process_source(conf, p);
	}
	return (struct auth_options){
		.sources = sources,
		.source_count = count,
		.mechanisms = conf->auth.mechanisms,
		.host_name = base_slice_text(conf->hostname),
		.default_domain = base_slice_text(conf->auth.default_domain),
		.upgrade = conf->auth.upgrade,
		.cache_ttl_ms = conf->auth.cache_ttl_s * 1000,
	};
}

static bool has_outside(const struct conf *conf)
{
	for (size_t i = 0; i < conf->auth.providers.count; i++) {
		const struct conf_provider *p = conf_provider_find(
			conf, conf->auth.providers.items[i]);

		if (p && p->type == CONF_PROVIDER_DOVECOT)
			return true;
	}
	return false;
}

static int on_open(struct role *r, struct base_error *err)
{
	struct auth_shell *s = role_state(r);
	struct vault_store_options store = {
		.data_dir = role_conf(r)->data, .busy_ms = STORE_BUSY_MS};
	struct auth_source sources[AUTH_SOURCES_MAX];
	struct auth_options options = make_options(role_conf(r), sources);
	uint8_t random[AUTH_RANDOM_BYTES];
	int rc = vault_store_open(&s->store, &store, err);

	if (rc != 0)
		return rc;
	s->role = r;
	base_random_fill(random, sizeof(random));
	s->core = auth_core_new(
		&options, vault_store_mock_key(s->store), random, (uint32_t)getpid());
	base_wipe(random, sizeof(random));
	base_buf_init_secret(&s->frame, IPC_FRAME_MAX_BYTES);
	uv_timer_init(role_loop(r), &s->timer);
	uv_timer_init(role_loop(r), &s->token_timer);
	s->timer.data = s->token_timer.data = s;
	auth_tokens_open(s);
	s->may_connect = has_outside(role_conf(r));
	if (s->may_connect)
		role_set_sandbox(r, ROLE_MAY_CONNECT_LOCAL);
	return 0;
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct auth_shell *s = role_state(r);
	struct auth_source sources[AUTH_SOURCES_MAX];
	struct auth_options options = make_options(conf, sources);

	if (has_outside(conf) && !s->may_connect)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"the first provider of type \"dovecot\" needs a restart: auth may not "
			"connect "
			"anywhere until then");
	auth_core_configure(s->core, &options, base_clock_monotonic_ms());
	auth_providers_take(s, conf);
	auth_tokens_configure(s, conf);
	auth_sections_changed(s, role_conf(r), conf);
	return 0;
}

static void on_peer(
	struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd)
{
	struct auth_shell *s = role_state(r);

	if (peer == IPC_FRONT && fd >= 0) {
		auth_client_new(s, fd, true);
	} else if (peer == IPC_WORKER && ch) {
		auth_core_worker_up(s->core, index, base_clock_monotonic_ms());
		auth_shell_pump(s);
	} else if (peer == IPC_PROVIDER && ch) {
		auth_core_provider_up(s->core, index, base_clock_monotonic_ms());
		auth_shell_pump(s);
	} else if (peer == IPC_FETCH && ch) {
		auth_tokens_fetch(s, true);
	} else if (fd >= 0) {
		close(fd);
	}
}

static void on_peer_gone(struct role *r, enum ipc_role peer, unsigned index)
{
	struct auth_shell *s = role_state(r);

	if (peer == IPC_RELAY)
		auth_tokens_relay_gone(s, index);
	if (peer == IPC_FETCH)
		auth_tokens_fetch(s, false);
	if (peer == IPC_WORKER)
		auth_core_worker_down(s->core, index, base_clock_monotonic_ms());
	else if (peer == IPC_PROVIDER)
		auth_core_provider_down(
			s->core, index, base_clock_monotonic_ms(), base_clock_wall_ms());
	else
		return;
	auth_shell_pump(s);
}

static void on_worker_frame(struct auth_shell *s, unsigned index, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	int64_t now = base_clock_monotonic_ms();

	if (frame->type == IPC_VERIFIED) {
		unsigned result = ipc_get_u8(&in);
		bool upgrade = ipc_get_u8(&in) != 0;

		auth_core_verified(
			s->core, index, frame->id, result, upgrade, now, base_clock_wall_ms());
	} else if (frame->type == IPC_HASHED) {
		auth_core_hashed(s->core, index, frame->id, ipc_get_bytes(&in), now);
	}
	auth_shell_pump(s);
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct auth_shell *s = role_state(r);

	if (peer == IPC_RELAY)
		auth_relay_frame(s, index, ch, frame);
	else if (peer == IPC_FETCH)
		auth_tokens_frame(s, frame);
	else if (peer == IPC_WORKER)
		on_worker_frame(s, index, frame);
	else if (peer == IPC_PROVIDER)
		auth_process_frame(s, index, frame);
}

static void on_master_frame(struct role *r, struct ipc_frame *frame)
{
	struct auth_shell *s = role_state(r);
	struct base_slice name;
	char *text;

	if (frame->type != IPC_ACCOUNT_CERTIFICATE || !auth_section_files_take(s, frame, &name))
		return;
	text = base_slice_dup(name);
	auth_account_changed(s, text);
	free(text);
}

static void on_listener(struct role *r, enum ipc_listener kind, const char *name, int fd)
{
	switch (kind) {
	case IPC_LISTENER_AUTH_SERVICE:
		auth_door_open(role_state(r), name, fd);
		return;
	case IPC_LISTENER_CONTROL:
		control_serve(r, fd, auth_control_request);
		return;
	case IPC_LISTENER_SMTP:
		break;
	}
	close(fd);
}

static void on_listener_gone(struct role *r, enum ipc_listener kind, const char *name)
{
	if (kind == IPC_LISTENER_AUTH_SERVICE)
		auth_door_close(role_state(r), name);
}

static void on_start(struct role *r)
{
	auth_providers_take(role_state(r), role_conf(r));
	auth_tokens_pump(role_state(r));
}

static void on_drain(struct role *r, uint32_t limit_ms)
{
	struct auth_shell *s = role_state(r);

	auth_door_close(s, NULL);
	auth_shell_pump(s);
}

static void on_close(struct role *r)
{
	struct auth_shell *s = role_state(r);

	if (!s->core)
		return;
	auth_door_close(s, NULL);
	auth_clients_close_all(s);
	auth_tickets_drop(s);
	auth_account_tickets_drop(s);
	auth_tokens_close(s);
	auth_providers_close_all(s);
	auth_section_files_release(s);
	auth_core_free(&s->core);
	vault_store_close(&s->store);
	base_buf_release(&s->frame);
	uv_close((uv_handle_t *)&s->timer, NULL);
	uv_close((uv_handle_t *)&s->token_timer, NULL);
}

static const struct role_handlers handlers = {
	.role = IPC_AUTH,
	.open = on_open,
	.start = on_start,
	.reload = on_reload,
	.peer = on_peer,
	.peer_gone = on_peer_gone,
	.peer_frame = on_peer_frame,
	.listener = on_listener,
	.listener_gone = on_listener_gone,
	.master_frame = on_master_frame,
	.drain = on_drain,
	.close = on_close,
};

int main(int argc, char **argv)
{
	struct auth_shell shell = {0};

	return role_main(argc, argv, &handlers, &shell);
}
