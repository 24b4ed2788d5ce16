/* auth/core.h: what auth decides
 * Job      connections that speak the Dovecot protocol, one SASL exchange for each request, who may log
 *          in, when a failure is answered, which worker does what, what goes to the log
 * Not      sockets, the database, the clock, frames: the shell (main.c) does the effects
 * Trust    every connection is hostile within what its socket's mode lets in
 * Order    call with an event and the time, then take effects until there are none; answer those that
 *          ask; auth_core_wake() says when auth_core_tick() is due
 * Limits   AUTH_OPEN_MAX requests for each connection: the oldest is forgotten for a new one; a request
 *          that nobody continues ends after AUTH_IDLE_MS; a password waits at most AUTH_WORKER_WAIT_MS
 *          for a worker
 * Secrets  connection buffers, tasks and exchanges are wiped when given up
 *
 * Time is monotonic milliseconds except where an argument is called wall_ms. */
#ifndef AUTH_CORE_H
#define AUTH_CORE_H

#include "base/host.h"
#include "vault/cache.h"
#include "vault/store.h"
#include "vault/throttle.h"

#define AUTH_OPEN_MAX 4096
#define AUTH_IDLE_MS 150000
#define AUTH_WORKER_WAIT_MS 8000
#define AUTH_VERSION_WAIT_MS 200
#define AUTH_RANDOM_BYTES 128 /* what a core is seeded with */

struct auth_core;
struct auth_conn;

/* A source of credentials. Only the store serves other mechanisms than PLAIN and LOGIN. */
struct auth_source {
	const char *name;
	bool store;                 /* the vault; else asked by EFFECT_ASK */
	const char *const *domains; /* empty: every user; else those of these domains */
	size_t domain_count;
};
#define AUTH_SOURCES_MAX 16

struct auth_options {
	sasl_mechanism_mask mechanisms;    /* auth { mechanisms } */
	const struct auth_source *sources; /* asked in this order; copied; none: the store alone */
	size_t source_count;
	struct base_slice host_name, default_domain; /* copied */
	bool upgrade;
	int64_t cache_ttl_ms;
};

/* @random: fresh; all nonces are drawn from it. @pid: what the handshake tells. */
struct auth_core *auth_core_new(const struct auth_options *options, const uint8_t mock_key[32],
	const uint8_t random[AUTH_RANDOM_BYTES], uint32_t pid);
void auth_core_free(struct auth_core **core);
/* A new configuration; exchanges go on. */
void auth_core_configure(struct auth_core *core, const struct auth_options *options);

/* Connections. @owner is the shell's; the connection lives until auth_core_closed(). @front: it is one
 * of our own fronts. */
struct auth_conn *auth_core_open(struct auth_core *core, void *owner, bool front, int64_t now_ms);
void auth_core_input(struct auth_core *core, struct auth_conn *conn, struct base_slice bytes,
	int64_t now_ms, int64_t wall_ms);
/* Its requests are forgotten; no effect names it any more. */
void auth_core_closed(struct auth_core *core, struct auth_conn *conn, int64_t now_ms);
void *auth_conn_owner(const struct auth_conn *conn);
/* What is to be written; the shell consumes it. */
struct base_buf *auth_conn_output(struct auth_conn *conn);

/* Workers. A worker that went down loses nothing: what it had goes to another, or waits. */
void auth_core_worker_up(struct auth_core *core, unsigned worker, int64_t now_ms);
void auth_core_worker_down(struct auth_core *core, unsigned worker, int64_t now_ms);
void auth_core_verified(struct auth_core *core, unsigned worker, uint32_t task, unsigned result,
	bool wants_upgrade, int64_t now_ms, int64_t wall_ms);
void auth_core_hashed(struct auth_core *core, unsigned worker, uint32_t task,
	struct base_slice credentials, int64_t now_ms);
/* A check for somebody else than a login (user test); answered by EFFECT_TESTED with @ticket. */
void auth_core_test(struct auth_core *core, uint32_t ticket, struct base_slice stored,
	struct base_slice password, int64_t now_ms);

/* Answers of the store. @state: known, unknown or unavailable. */
void auth_core_looked_up(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	const struct vault_user *user, const struct vault_user *apps, size_t app_count,
	int64_t now_ms, int64_t wall_ms);
void auth_core_secret(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice secret, int64_t now_ms, int64_t wall_ms);
/* Of EFFECT_ASK: accepted (KNOWN, with the name that the source gave), refused, or no answer. */
void auth_core_asked(struct auth_core *core, uint32_t token, enum sasl_credentials_state state,
	struct base_slice user, int64_t now_ms, int64_t wall_ms);
/* A user's password, state or app passwords changed, or the user is gone. */
void auth_core_user_changed(struct auth_core *core, struct base_slice key);
/* Forget an address's failures. True: there were some. */
bool auth_core_unban(struct auth_core *core, const struct base_addr *addr);

/* When auth_core_tick() is due; INT64_MAX: never. */
int64_t auth_core_wake(const struct auth_core *core);
void auth_core_tick(struct auth_core *core, int64_t now_ms);

/* One finished login, for the log. No secrets. */
struct auth_login {
	struct base_slice user, mechanism, session, provider, binding;
	struct base_addr client;
	const char *result; /* "ok", "rejected", "deferred" */
	const char *reason; /* for people; null when ok */
	bool cached;
};

enum auth_effect_kind {
	AUTH_EFFECT_OUTPUT, /* conn has bytes to write */
	AUTH_EFFECT_CLOSE,  /* conn broke the protocol (reason): close, then auth_core_closed() */
	AUTH_EFFECT_LOOKUP, /* token: find key (and label, if not empty); with apps if want_apps */
	AUTH_EFFECT_SECRET, /* token: the recoverable secret of user */
	AUTH_EFFECT_ASK, /* token: is password that of name, says source? login.client, .session */
	AUTH_EFFECT_VERIFY,  /* worker, task: stored, password */
	AUTH_EFFECT_HASH,    /* worker, task: mechanisms, password */
	AUTH_EFFECT_UPGRADE, /* user, key: store credentials; keep_hash: not their hash */
	AUTH_EFFECT_TESTED,  /* ticket: result (enum vault_verify_result) */
	AUTH_EFFECT_LOGIN,   /* login */
};

/* Slices and pointers are valid until the next call. */
struct auth_effect {
	enum auth_effect_kind kind;
	struct auth_conn *conn;
	uint32_t token, task, ticket;
	unsigned worker, result;
	const struct vault_key *key;
	struct base_slice label, stored, password, credentials, name, source;
	bool want_apps, keep_hash;
	sasl_mechanism_mask mechanisms;
	const struct vault_user *user;
	const char *reason;
	struct auth_login login;
};

/* Take the next effect; false: there are none. */
bool auth_core_effect(struct auth_core *core, struct auth_effect *out);

struct auth_status {
	uint64_t connections, open, waiting, ok, rejected, deferred, cached;
};
struct auth_status auth_core_status(const struct auth_core *core);

#endif
