/* master/server.h: the running server, shared by the files of the master's shell */
#ifndef MASTER_SERVER_H
#define MASTER_SERVER_H

#include "loop/conf.h"
#include "master/certificate.h"
#include "master/core.h"
#include "master/doors.h"
#include "master/privilege.h"

struct server;

struct child {
	struct server *server;
	unsigned number; /* in the core's table */
	pid_t pid;       /* 0: no process */
	struct ipc_channel *ch;
	bool wants_auth;       /* asked for a stream and has none yet */
	int64_t auth_again_ms; /* not before */
};

struct server {
	uv_loop_t loop;
	struct master_core core;
	struct child children[MASTER_CHILDREN_MAX];
	char *conf_path;
	struct conf *conf;
	struct account account;
	struct doors doors;
	struct certificate certificate;
	int counters_fd;
	char *directory; /* of the role programs */
	char instance[32];
	struct ipc_channel *journal;
	bool auth_away_logged;
	uv_timer_t wake, watch, auth_retry;
	uv_prepare_t before_wait;
	uv_signal_t signals[4];
	bool over;
};

/* main.c: as many processes of providers as the configuration wants. */
void server_plan_providers(struct server *s);

/* children.c: do what the core says until it has nothing to say, and set the timer for the next time. */
void server_run_core(struct server *s);
void server_reap(struct server *s);
/* Frames to roles; a channel that is gone takes nothing. */
void child_send_conf(struct child *c, bool first);
void child_send_tls(struct child *c);
void child_send_listener(struct child *c, const struct door *door, bool gone);
bool child_has_role(const struct child *c, enum ipc_role role);
/* relay_ctrl.c: the directories of listeners, to a front. */
void child_send_relay_ctrl(struct child *c);
/* account_files.c: certificates, keys and authorities of account sections, to auth. */
void child_send_account_files(struct child *c);

/* auth_stream.c: streams between fronts and auth, or auth { service }. */
void auth_stream_wanted(struct child *front);
/* Answer those who wait, as far as it is possible now. */
void auth_stream_serve(struct server *s);

/* reload.c */
void server_reload(struct server *s);
void server_look_at_certificate(struct server *s);
void server_log_findings(const char *path, const struct conf_findings *findings);

#endif
