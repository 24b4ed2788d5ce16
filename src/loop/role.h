/* loop/role.h: what every role program stands on
 * Job      start-up in the one right order, configuration, peers, listeners, drain, sandbox, signals
 * Not      what a role does
 * Order    role_main() does: descriptor 3 is the master; read CONF; h->open (files, databases: before
 *          the sandbox closes the doors); no-new-privs, Landlock, seccomp; h->start; READY; then loop:
 *          PEER, LISTENER, CONF (reload), DRAIN reach the handlers
 * A role ends by role_stop(); it exits 0 when drained, 1 on an error, at once if the master is gone. */
#ifndef LOOP_ROLE_H
#define LOOP_ROLE_H

#include "base/id.h"
#include "loop/conf.h"
#include "loop/ipc.h"

struct role;

enum role_sandbox_flags {
	ROLE_MAY_CONNECT = 1u << 0, /* relay: TCP and UDP to the network, and local sockets */
	/* Foreign code (programs, PAM modules): files and sockets as the account may; nothing gained, and
	 * some system calls refused. */
	ROLE_MAY_EXEC = 1u << 1,
	ROLE_MAY_FILES = 1u << 2,         /* open files below role_paths(); else no openat at all */
	ROLE_MAY_CONNECT_LOCAL = 1u << 3, /* sockets in the file system only */
	/* Only where a section says run_as: no sandbox, and set-id programs work. No core, no ptrace. */
	ROLE_MAY_GAIN = 1u << 4,
	ROLE_MAY_LOOK = 1u << 5,        /* front: fstatat(), links not followed; no opening */
	ROLE_MAY_CONNECT_NET = 1u << 6, /* fetch: the network, no local sockets */
};

struct role_path {
	char *path; /* heap; role.c frees it */
	bool write;
};

struct role_handlers {
	enum ipc_role role;
	unsigned sandbox; /* enum role_sandbox_flags; role_set_sandbox() overrides */
	/* Paths reachable after the sandbox; fill at most @max, return how many. Optional. */
	size_t (*paths)(struct role *r, struct role_path *out, size_t max);
	/* Negative: the role exits 1 with err logged; the master starts it again with back-off. */
	int (*open)(struct role *r, struct base_error *err);
	void (*start)(struct role *r);
	/* A new configuration; the old one is role_conf() until this returns 0. */
	int (*reload)(struct role *r, const struct conf *conf, struct base_error *err);
	/* A peer is there (again; then peer_gone() came before): seqpacket peers have @ch already made with h->peer_frame; a stream
	 * peer (front <-> auth) brings @fd, owned by the handler. */
	void (*peer)(
		struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd);
	void (*peer_frame)(struct role *r, enum ipc_role peer, unsigned index,
		struct ipc_channel *ch, struct ipc_frame *frame);
	void (*peer_gone)(struct role *r, enum ipc_role peer, unsigned index);
	/* @fd is listening, owned by the handler. CONTROL listeners are served by loop/control.h. */
	void (*listener)(struct role *r, enum ipc_listener kind, const char *name, int fd);
	void (*listener_gone)(struct role *r, enum ipc_listener kind, const char *name);
	/* Frames of the master that are the role's own business: TLS, COUNTERS. */
	void (*master_frame)(struct role *r, struct ipc_frame *frame);
	/* Stop taking new work; call role_stop() when idle. The loop ends by itself after @limit_ms. */
	void (*drain)(struct role *r, uint32_t limit_ms);
	/* Release everything (leak checks of the sanitizer build look at this). */
	void (*close)(struct role *r);
};

/* Never returns to main() before the role ended; returns the exit status. */
int role_main(int argc, char **argv, const struct role_handlers *handlers, void *state);

uv_loop_t *role_loop(struct role *r);
void *role_state(struct role *r);
enum ipc_role role_kind(const struct role *r);
const struct conf *role_conf(const struct role *r);
unsigned role_index(const struct role *r); /* 0 … role_count() - 1 */
unsigned role_count(const struct role *r);
const char *role_instance(const struct role *r); /* base_id of this run of the server */
struct ipc_channel *role_master(struct role *r);
/* Null while the peer is away. */
struct ipc_channel *role_peer(struct role *r, enum ipc_role peer, unsigned index);
unsigned role_peer_count(const struct role *r, enum ipc_role peer); /* highest index + 1 seen */
bool role_draining(const struct role *r);
/* Front: ask the master for a stream to auth: at the start, and whenever the last one ended. It arrives
 * by peer(), one for one question. */
void role_want_auth(struct role *r);
/* Tell the master and the log that what it sent (TLS, …) cannot be used. */
void role_refuse(struct role *r, const struct base_error *err);
/* Only in open(): what this process needs hangs on its configuration. @flags: enum role_sandbox_flags. */
void role_set_sandbox(struct role *r, unsigned flags);
void role_stop(struct role *r, int status);

#endif
