#include "master/server.h"

#include "base/clock.h"
#include "loop/log.h"

#include <string.h>

void server_log_findings(const char *path, const struct conf_findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct conf_finding *f = &findings->items[i];

		log_write(f->warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s:%u: %s", path,
			f->line, f->text);
	}
}

static void keep_what_needs_a_restart(const struct server *s, const struct conf *conf)
{
	if (strcmp(s->conf->data, conf->data) != 0 || strcmp(s->conf->run, conf->run) != 0)
		log_write(LOG_LEVEL_WARNING,
			"data and run change with a restart only; the roles still "
			"have the old files open");
	if (strcmp(s->conf->user ? s->conf->user : "", conf->user ? conf->user : "") != 0)
		log_write(LOG_LEVEL_WARNING, "user changes with a restart only");
}

static void send_tls_to_fronts(struct server *s)
{
	for (unsigned i = 0; i < s->core.count; i++) {
		if (child_has_role(&s->children[i], IPC_FRONT) && s->children[i].ch)
			child_send_tls(&s->children[i]);
	}
}

static void read_certificate(struct server *s)
{
	struct base_error err;

	if (certificate_reload(&s->certificate, s->conf, &s->account, base_clock_wall_ms(), &err) ==
		0) {
		send_tls_to_fronts(s);
		return;
	}
	log_write(LOG_LEVEL_ERROR, "%s; the old certificate is still served (see tls)", err.text);
}

/* Configuration first, so that a role knows the section of a listener that comes. */
static void tell_roles(struct server *s)
{
	for (unsigned i = 0; i < s->core.count; i++) {
		struct child *c = &s->children[i];
		enum ipc_role role = s->core.children[i].role;

		if (!c->ch)
			continue;
		child_send_conf(c, false);
		for (size_t j = 0; j < s->doors.gone_count; j++) {
			if (door_is_for(&s->doors.gone[j], role))
				child_send_listener(c, &s->doors.gone[j], true);
		}
		for (size_t j = 0; j < s->doors.count; j++) {
			if (s->doors.items[j].fresh && door_is_for(&s->doors.items[j], role))
				child_send_listener(c, &s->doors.items[j], false);
		}
		if (role == IPC_FRONT)
			child_send_relay_ctrl(c);
		if (role == IPC_AUTH)
			child_send_account_files(c);
	}
}

void server_reload(struct server *s)
{
	struct conf_findings findings = {0};
	struct conf *conf;

	if (s->core.phase != MASTER_PHASE_RUN)
		return;
	conf = conf_load(s->conf_path, &findings);
	server_log_findings(s->conf_path, &findings);
	conf_findings_release(&findings);
	if (!conf) {
		log_write(LOG_LEVEL_ERROR, "\"%s\" is refused; the old configuration stays",
			s->conf_path);
		return;
	}
	keep_what_needs_a_restart(s, conf);
	conf_free(&s->conf);
	s->conf = conf;
	log_set_json(conf->log_format == CONF_LOG_JSON);
	s->auth_away_logged = false;
	doors_change(&s->doors, conf, &s->account);
	tell_roles(s);
	server_plan_providers(s);
	read_certificate(s);
	log_write(LOG_LEVEL_INFO, "configuration \"%s\" read again", s->conf_path);
	auth_stream_serve(s);
}

void server_look_at_certificate(struct server *s)
{
	bool rotated = certificate_rotate(&s->certificate, base_clock_wall_ms());

	if (certificate_changed(&s->certificate)) {
		log_write(LOG_LEVEL_INFO, "certificate \"%s\" changed", s->certificate.chain_path);
		read_certificate(s);
	} else if (rotated) {
		send_tls_to_fronts(s);
	}
}
