/* loop/role_internal.h: a role process from inside, for role.c and role_peers.c */
#ifndef LOOP_ROLE_INTERNAL_H
#define LOOP_ROLE_INTERNAL_H

#include "loop/role.h"

struct peer {
	struct role *role;
	enum ipc_role kind;
	unsigned index;
	struct ipc_channel *ch;
	uint32_t generation;
	int64_t wanted_at_ms; /* when to ask the master for a new one; 0: no need */
};

struct role {
	const struct role_handlers *h;
	void *state;
	uv_loop_t loop;
	uv_prepare_t before_wait;
	uv_timer_t drain_timer, want_timer, log_timer;
	struct ipc_channel *master;
	struct conf *conf;
	unsigned index, count;
	unsigned sandbox;
	char instance[64];
	struct peer **peers[IPC_ROLE_COUNT];
	unsigned peer_counts[IPC_ROLE_COUNT];
	bool draining;
	bool stopping;
	int status;
};

void role_peers_init(struct role *r);
/* A PEER frame of the master. */
void role_peers_take(struct role *r, struct ipc_frame *frame);
void role_peers_release(struct role *r);

#endif
