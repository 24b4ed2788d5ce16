/* relay/internal.h: what the deciding files of relay share
 * core.c effects and entry points; job.c jobs and results; dest.c destinations; conn.c connections as
 * things; session.c what happens on them; delivery.c jobs on them; account.c accounts and their pauses;
 * limits.c their rates and connections; told.c what auth says */
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
	RELAY_STALL_PAUSE_MS = 30000,
	RELAY_CROWDED_WAIT_MS = 30000,
	RELAY_SHORT_WAIT_MS = 3000,
	RELAY_ACCOUNT_KEEP_MS = 600000,   /* what auth said of an account is believed */
	RELAY_ACCOUNT_MISSING_MS = 60000, /* the same where it is not to be had */
	RELAY_ACCOUNT_WAIT_MS = 30000,    /* jobs wait for auth's answer at most */
};

/* Why the last try of a destination failed. */
struct relay_failure {
	enum job_outcome outcome;
	uint16_t code;
	char enhanced[12];
	char reply[256];
	char reason[512];
	struct relay_peer peer;
};

struct relay_dest {
	struct relay_dest *next; /* of its bucket */
	struct relay_core *core;
	uint64_t hash;
	uint32_t id;
	enum conf_via via;
	enum conf_tls_policy tls; /* never UNSET */
	uint16_t port;
	char *host, *path;             /* host "" with via ACCOUNT */
	struct relay_account *account; /* null: none */
	uint32_t generation;           /* of the account when the targets were looked up */
	struct relay_job *first, **last;
	struct relay_conn *idle;     /* by next_idle, the last one used first */
	uint32_t waiting, uncharged; /* uncharged: of those that wait */
	uint32_t conns, connecting;
	uint32_t last_conn;  /* number of the one opened last */
	uint32_t delivered;  /* since the last trouble or pause: what growth counts */
	struct route_mx *mx; /* null: a socket path */
	bool resolving, resolved;
	int64_t resolved_until_ms;
	size_t target; /* next to try */
	uint32_t failures;
	int64_t backoff_until_ms, growth_from_ms, clear_until_ms, progress_ms, used_ms;
	int64_t slow_until_ms; /* all was given back: while it is crowded, nothing waits here until then */
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
	struct relay_account **accounts;
	size_t account_count;
	struct base_buf spare[8]; /* buffers for the wire, empty but with memory */
	size_t spare_count;
};

/* core.c */
/* Nearly all that queue may have outstanding is here: others need room. */
bool relay_core_is_crowded(const struct relay_core *core);
bool relay_core_conns_are_crowded(const struct relay_core *core);
void relay_effect_add(struct relay_core *core, const struct relay_effect *effect);

/* job.c */
struct relay_job *relay_job_new(struct base_slice parts, struct base_slice body, struct job *out);
/* The job is over: recipients without a result get that of @failure (null: there are none). Emits RESULT.
 * @peer: who was spoken to; null: the one of the failure. */
void relay_job_finish(struct relay_core *core, struct relay_job *job, const struct relay_peer *peer,
	const struct relay_failure *failure);
/* The reply of the session is the result of recipient @i. */
void relay_job_note(struct relay_job *job, uint32_t i, enum job_outcome outcome,
	const struct smtp_client_reply *reply, bool local);
/* A recipient has no result yet. */
bool relay_job_is_open(const struct relay_job *job);
/* The recipients that still need a transaction, as many as @conn's server takes. False: none. */
bool relay_job_batch(struct relay_job *job, const struct smtp_client *smtp);

/* dest.c */
/* Null: there are too many accounts. */
struct relay_dest *relay_dest_get(struct relay_core *core, const struct job *job);
void relay_dest_push(struct relay_dest *d, struct relay_job *job, bool front);
struct relay_job *relay_dest_pop(struct relay_dest *d);
/* Give waiting jobs to connections, open one if that is allowed. */
void relay_dest_dispatch(struct relay_dest *d, const struct relay_now *now);
/* Take @job, which waits behind *at, out of the list. */
void relay_dest_remove(struct relay_dest *d, struct relay_job **at);
/* A connection failed before it was READY: the next target, or the end for all that wait. */
void relay_dest_target_failed(
	struct relay_dest *d, const struct relay_failure *failure, const struct relay_now *now);
/* Back off, longer each time. @failure is what new jobs are told meanwhile. */
void relay_dest_trouble(
	struct relay_dest *d, const struct relay_failure *failure, const struct relay_now *now);
void relay_dest_give_up(
	struct relay_dest *d, const struct relay_failure *failure, int64_t not_before_ms);
/* Is this one of those that stall while others need room? Then new jobs go back at once. */
bool relay_dest_is_slow(
	const struct relay_dest *d, const struct relay_now *now, struct relay_failure *out_failure);
void relay_dest_tick(struct relay_dest *d, const struct relay_now *now);
void relay_dest_free(struct relay_dest *d);

/* conn.c */
/* Put its question for a secret, if there is one and its account is known for sure. */
void relay_conn_want_secret(struct relay_conn *conn);
struct relay_conn *relay_conn_open(struct relay_dest *d, const struct base_addr *addr,
	const char *host, const struct relay_now *now);
void relay_conn_quit(struct relay_conn *conn, const struct relay_now *now);
/* Close it: idle ones at once, others when their job is done. */
void relay_conn_retire(struct relay_conn *conn, const struct relay_now *now);
bool relay_conn_is_retired(const struct relay_conn *conn);
/* It is not used any more; the shell closes it. */
void relay_conn_close(struct relay_conn *conn);
/* The same where all went well: whoever waited for its place may have it. */
void relay_conn_end(struct relay_conn *conn, const struct relay_now *now);
void relay_conn_leave_idle(struct relay_conn *conn);
void relay_conn_set_deadline(struct relay_conn *conn, int64_t ms, const struct relay_now *now);
/* Its buffer has memory only while bytes wait in it. */
void relay_conn_lend_out(struct relay_conn *conn);
void relay_conn_return_out(struct relay_conn *conn);
/* @f: deferred because of @what, with who the peer is; @more: added to @what, or null. */
void relay_conn_describe(
	struct relay_failure *f, const struct relay_conn *conn, const char *what, const char *more);
void relay_conn_copy_reply(struct relay_failure *f, const struct smtp_client_reply *reply);
void relay_conn_note_mechanism(struct relay_conn *conn);

/* delivery.c: the session's events once it is READY; _body: true: all of the text was given. */
void relay_conn_start(struct relay_conn *conn, struct relay_job *job, const struct relay_now *now);
void relay_delivery_ready(struct relay_conn *conn, const struct relay_now *now);
void relay_delivery_mail_reply(struct relay_conn *conn);
void relay_delivery_rcpt_reply(struct relay_conn *conn);
bool relay_delivery_body(struct relay_conn *conn);
void relay_delivery_message_reply(struct relay_conn *conn);
void relay_delivery_done(struct relay_conn *conn, const struct relay_now *now);
/* conn->no_login has come: the job, where it is not done, and the account. Closes the connection. */
void relay_delivery_login_lost(struct relay_conn *conn, const struct relay_now *now);

/* session.c */
/* Give the session @in, or let it go on. Nested calls do nothing: the outer one goes on. */
void relay_conn_drive(struct relay_conn *conn, struct base_slice in, const struct relay_now *now);
void relay_conn_tick(struct relay_conn *conn, const struct relay_now *now);
/* A client certificate has come, or none. @certificate: u32 length and chain, u32 length and key. */
void relay_conn_certificate(struct relay_conn *conn, struct base_slice certificate, const char *why,
	const struct relay_now *now);
/* @why null: these credentials. */
void relay_conn_secret(struct relay_conn *conn, struct base_slice user, struct base_slice secret,
	struct base_slice random, const char *why, const struct relay_now *now);

/* account.c */
/* Null: there are too many. */
struct relay_account *relay_account_get(struct relay_core *core, struct base_slice name);
void relay_account_free(struct relay_account *a);
/* Paused at this moment? Then @out_failure says so. */
bool relay_account_is_paused(const struct relay_account *a, const struct relay_now *now,
	struct relay_failure *out_failure, int64_t *out_until_ms);

/* Why an account is to be left alone. */
struct relay_refusal {
	const char *words, *mechanism;         /* mechanism null: none was tried */
	const struct smtp_client_reply *reply; /* null: the server has no part in it */
	struct base_slice token_error;         /* the server's JSON */
	const struct relay_peer *peer;
	bool told; /* auth has put it into the log itself */
};
void relay_account_pause(struct relay_core *core, struct relay_account *a,
	const struct relay_refusal *refusal, const struct relay_now *now);
/* The server took a token no more: the next login asks auth for another one. False: this one was that. */
bool relay_account_renews(struct relay_account *a, const struct relay_conn *conn);
/* A login went well. */
void relay_account_works(
	struct relay_core *core, struct relay_account *a, const struct relay_now *now);
/* Is it known what the account is? Else auth is asked. With MISSING, @out_failure is set. */
enum relay_account_state relay_account_look(struct relay_core *core, struct relay_account *a,
	const struct relay_now *now, struct relay_failure *out_failure);
/* Let the destinations of @a go on, first the one that has gone longest without a connection. */
void relay_account_dispatch(
	struct relay_core *core, const struct relay_account *a, const struct relay_now *now);
/* Connections that were made for what it was before are closed. */
void relay_account_retire(
	struct relay_core *core, const struct relay_account *a, const struct relay_now *now);

/* limits.c */
/* Jobs at @d that go beyond their account's rate are given back. */
void relay_limit_admit(struct relay_dest *d, const struct relay_now *now);
/* Nothing was sent for @job: its account may send another. */
void relay_limit_refund(struct relay_job *job);
bool relay_limit_has_room(const struct relay_dest *d);
/* Another destination of the account wants a connection, and there is none left. */
bool relay_limit_is_wanted_elsewhere(const struct relay_dest *d);
/* Close an idle connection of another destination of the same account. */
void relay_limit_make_room(struct relay_dest *d, const struct relay_now *now);

void relay_failure_set(struct relay_failure *f, enum job_outcome outcome, uint16_t code,
	const char *enhanced, const char *reason);

#endif
