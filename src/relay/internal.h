/* relay/internal.h: what the deciding files of relay share
 * core.c effects and entry points; job.c jobs and results; dest.c destinations; session.c
 * connections; account.c pauses */
#ifndef RELAY_INTERNAL_H
#define RELAY_INTERNAL_H

#include "relay/core.h"

enum {
	RELAY_CONNECT_MS = 40000,
	RELAY_TLS_MS = 60000,
	RELAY_IDLE_MS = 30000,
	RELAY_QUIT_MS = 2000,
	RELAY_LIFETIME_MS = 300000,
	RELAY_CONN_MESSAGES_MAX = 1000,
	RELAY_DEST_KEEP_MS = 600000,
	RELAY_CLEAR_MS = 600000, /* how long a server's broken STARTTLS is remembered */
	RELAY_STALL_MS = 10000,
	RELAY_STALL_KEEP = 8,
	RELAY_SHORT_WAIT_MS = 3000,
};

/* Why the last try of a destination failed. */
struct relay_failure {
	enum job_outcome outcome;
	uint16_t code;
	char enhanced[12];
	char reply[256];
	char reason[192];
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	struct base_addr addr;
};

struct relay_dest {
	struct relay_dest *next; /* of its bucket */
	struct relay_core *core;
	uint64_t hash;
	uint32_t id;
	enum conf_via via;
	enum conf_tls_policy tls; /* never UNSET */
	uint16_t port;
	char *host, *path, *account; /* account "": none */
	/* via ACCOUNT: by the vault's URL; "": not asked yet */
	char real_host[ROUTE_DNS_NAME_MAX_BYTES];
	uint16_t real_port;
	bool implicit_tls;
	sasl_mechanism_mask mechanisms;
	struct relay_job *first, **last;
	struct relay_conn *idle; /* by next_idle, the last one used first */
	uint32_t waiting, conns, connecting;
	uint32_t delivered;  /* since the last trouble or pause: what growth counts */
	struct route_mx *mx; /* null: a socket path */
	bool resolving, resolved;
	int64_t resolved_until_ms;
	size_t target; /* next to try */
	uint32_t failures;
	int64_t backoff_until_ms, growth_from_ms, clear_until_ms, progress_ms, used_ms;
	struct relay_failure failure;
};

#define RELAY_BUCKETS 256

struct relay_core {
	struct relay_options options;
	char own_name[BASE_HOST_NAME_MAX_BYTES + 1];
	struct relay_dest *buckets[RELAY_BUCKETS];
	uint32_t dest_ids, conn_numbers;
	struct relay_conn *conns;
	uint32_t conn_count, job_count, waiting_count;
	bool draining;
	struct base_buf effects; /* of struct relay_effect */
	size_t effects_done;
	struct relay_account *accounts;
	size_t account_count;
	struct base_buf spare[8]; /* buffers for the wire, empty but with memory */
	size_t spare_count;
};

/* core.c */
void relay_effect_add(struct relay_core *core, const struct relay_effect *effect);

/* job.c */
struct relay_job *relay_job_new(struct base_slice parts, struct base_slice body, struct job *out);
/* The job is over: recipients without a result get @outcome. Emits RESULT. */
void relay_job_finish(struct relay_core *core, struct relay_job *job, struct relay_conn *conn,
	const struct relay_failure *failure);
/* The reply of the session is the result of recipient @i. */
void relay_job_note(struct relay_job *job, uint32_t i, enum job_outcome outcome,
	const struct smtp_client_reply *reply, bool local);
/* A recipient has no result yet. */
bool relay_job_is_open(const struct relay_job *job);
/* The recipients that still need a transaction, as many as @conn's server takes. False: none. */
bool relay_job_batch(struct relay_job *job, const struct smtp_client *smtp);

/* dest.c */
struct relay_dest *relay_dest_get(
	struct relay_core *core, const struct job *job, sasl_mechanism_mask mechanisms);
void relay_dest_push(struct relay_dest *d, struct relay_job *job, bool front);
struct relay_job *relay_dest_pop(struct relay_dest *d);
/* Give waiting jobs to connections, open one if that is allowed. */
void relay_dest_dispatch(struct relay_dest *d, const struct relay_now *now);
/* A connection failed before it was READY: the next target, or the end for all that wait. */
void relay_dest_target_failed(
	struct relay_dest *d, const struct relay_failure *failure, const struct relay_now *now);
void relay_dest_trouble(struct relay_dest *d, const struct relay_now *now);
void relay_dest_give_up(
	struct relay_dest *d, const struct relay_failure *failure, int64_t not_before_ms);
void relay_dest_tick(struct relay_dest *d, const struct relay_now *now);
void relay_dest_free(struct relay_dest *d);

/* session.c */
struct relay_conn *relay_conn_open(struct relay_dest *d, const struct base_addr *addr,
	const char *host, const struct relay_now *now);
void relay_conn_start(struct relay_conn *conn, struct relay_job *job, const struct relay_now *now);
void relay_conn_tick(struct relay_conn *conn, const struct relay_now *now);
void relay_conn_quit(struct relay_conn *conn, const struct relay_now *now);

/* account.c */
struct relay_account *relay_account_get(struct relay_core *core, const char *name);
/* Paused at this moment? Then @out_failure says so. */
bool relay_account_is_paused(struct relay_core *core, const char *name, const struct relay_now *now,
	struct relay_failure *out_failure, int64_t *out_until_ms);
void relay_account_pause(struct relay_core *core, const char *name, const char *reason,
	const struct smtp_client_reply *reply, const struct relay_now *now);
void relay_account_works(struct relay_core *core, const char *name);

void relay_failure_set(struct relay_failure *f, enum job_outcome outcome, uint16_t code,
	const char *enhanced, const char *reason);

#endif
