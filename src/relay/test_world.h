/* The core in a world of its own: a clock that the test turns, servers that answer every command, a DNS
 * of one zone, an auth that knows the accounts "acc" and "vault". */
#ifndef RELAY_TEST_WORLD_H
#define RELAY_TEST_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "relay/core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct world {
	struct relay_core *core;
	struct relay_now now;
	const char *mode;         /* of servers that are met from now on: test_world.c lists them */
	struct account_info info; /* of "acc" */
	bool auth_silent;         /* no answers for now */
	const char *no_secret;    /* class and reason in place of a secret: "6reason" */
	struct base_slice token;  /* empty: "p", and "new" after a refusal */
	unsigned asked, secrets, refused_secrets, certificates; /* auth was */
	unsigned alerts, states;                                /* of accounts; queue was told */
	char paused[640];                                       /* the last reason */
	uint64_t file_size; /* of messages from now on; 0: they come inline */
	unsigned open_now, open_most, opened;
	unsigned delivered, deferred, failed, held;
	uint32_t watched; /* a job, and how many were delivered when it came back */
	unsigned watched_at;
	unsigned mails, clear_logins, nameless_mails; /* seen by servers */
	char last_reason[700];
	char last_peer[400]; /* host, address, tls, verified, mechanism, reused */
	int64_t last_not_before;
};

void setup(struct world *w, const char *mode);
void teardown(struct world *w);
bool give_job_rcpts(struct world *w, uint32_t id, enum conf_via via, const char *host,
	const char *account, unsigned rcpts);
void give_job(
	struct world *w, uint32_t id, enum conf_via via, const char *host, const char *account);
/* Carry out what the core wants, until it wants nothing. */
void run(struct world *w);
/* One effect alone. */
void world_carry_out(struct world *w, const struct relay_effect *e);
void pass(struct world *w, int64_t ms);
/* The servers of the connections that are open now behave like that from here on. */
void turn(struct world *w, const char *mode);

#endif
