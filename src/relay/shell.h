/* relay/shell.h: the doing half of relay
 * main.c frames, effects, start and end; net.c sockets and TLS */
#ifndef RELAY_SHELL_H
#define RELAY_SHELL_H

#include "loop/role.h"
#include "loop/tls.h"
#include "relay/core.h"
#include "relay/dnsbl.h"
#include "loop/resolver.h"

#define RELAY_READ_BYTES 32768

/* A job that comes in parts. */
struct relay_parts {
	struct relay_parts *next;
	unsigned queue;
	uint32_t id;
	struct base_buf bytes;
};

struct relay_shell {
	struct role *role;
	struct relay_core *core;
	struct tls_context *tls;
	unsigned tls_number; /* another one for each that is made */
	struct resolver *resolver;
	struct relay_dnsbl *dnsbl;
	uv_timer_t tick, dnsbl_tick, end_tick;
	bool may_connect_local; /* the sandbox lets us */
	bool ending;  /* another process is to take over: as if the master had said DRAIN */
	bool running; /* effects are being carried out */
	uint64_t random;
	struct relay_parts *parts;
	unsigned parts_count;
	struct base_buf frame;
	uint8_t piece[RELAY_BODY_PIECE_BYTES]; /* of a message file */
	uint8_t input[RELAY_READ_BYTES];
};

struct relay_now relay_shell_now(struct relay_shell *s);
/* Carry out what the core wants. Nested calls do nothing: the outer one goes on. */
void relay_shell_run(struct relay_shell *s);

/* net.c */
void relay_net_connect(struct relay_shell *s, struct relay_conn *conn);
void relay_net_start_tls(struct relay_shell *s, struct relay_conn *conn);
void relay_net_write(struct relay_shell *s, struct relay_conn *conn);
void relay_net_close(struct relay_conn *conn);
/* What the shell keeps for it. */
void relay_net_forget_account(struct relay_account *a);

#endif
