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
#define AUTH_DOWN_WAIT_MS 1500
#define AUTH_VERSION_WAIT_MS 200
#define AUTH_RANDOM_BYTES 128 /* what a core is seeded with */

struct auth_core;
struct auth_conn;

/* A source of credentials. */
enum auth_source_kind {
	AUTH_SOURCE_STORE,   /* the vault: all mechanisms */
	AUTH_SOURCE_SERVER,  /* another server of the Dovecot protocol, asked by EFFECT_ASK */
	AUTH_SOURCE_CHECKER, /* says yes or no to a password; by EFFECT_QUESTION, as what follows */
	AUTH_SOURCE_FILE,    /* says what is stored */
};
struct auth_source {
	const char *name;
	enum auth_source_kind kind;
	bool cram, scram;           /* CHECKER, FILE: serves these mechanisms too */
	unsigned first, processes;  /* CHECKER, FILE: the processes that answer for it */
	const char *const *domains; /* empty: every user; else those of these domains */
	size_t domain_count;
};
#define AUTH_SOURCES_MAX 16
#define AUTH_PROCESSES_MAX 64

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
void auth_core_configure(
	struct auth_core *core, const struct auth_options *options, int64_t now_ms);

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
/* Processes of providers that block. One that went down loses nothing, once: its question goes to
 * another, or waits. Questions wait at most AUTH_WORKER_WAIT_MS, and AUTH_DOWN_WAIT_MS while none of
 * their source's processes is up. */
void auth_core_provider_up(struct auth_core *core, unsigned process, int64_t now_ms);
void auth_core_provider_down(
	struct auth_core *core, unsigned process, int64_t now_ms, int64_t wall_ms);
/* The numbers of both are those of ASK and ASKED frames. */
enum auth_ask {
	AUTH_ASK_PASSWORD,
	AUTH_ASK_CRAM,
	AUTH_ASK_APOP, /* never asked here */
	AUTH_ASK_LOOKUP,
	AUTH_ASK_SCRAM,
};
enum auth_said_result {
	AUTH_SAID_REFUSED,
	AUTH_SAID_RIGHT,
	AUTH_SAID_FOUND,
	AUTH_SAID_UNKNOWN,
	AUTH_SAID_CANNOT,
};
#define AUTH_SAID_COUNT (AUTH_SAID_CANNOT + 1)
struct auth_said {
	enum auth_said_result result;
	struct base_slice name;   /* as the source spells it; empty: as asked */
	struct base_slice stored; /* FOUND */
	struct base_slice reason; /* for the log */
};
void auth_core_said(struct auth_core *core, unsigned process, uint32_t task,
	const struct auth_said *said, int64_t now_ms, int64_t wall_ms);
/* What is remembered of this source is no longer true. */
void auth_core_source_changed(struct auth_core *core, struct base_slice name);
/* A user's password, state or app passwords changed, or the user is gone. */
void auth_core_user_changed(struct auth_core *core, struct base_slice key);
/* Forget an address's failures. True: there were some. */
bool auth_core_unban(struct auth_core *core, const struct base_addr *addr);

/* When auth_core_tick() is due; INT64_MAX: never. */
int64_t auth_core_wake(const struct auth_core *core);
void auth_core_tick(struct auth_core *core, int64_t now_ms, int64_t wall_ms);

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
	AUTH_EFFECT_QUESTION, /* process worker, task: ask (hash) source about name, password (or digest,
			       * or salt), challenge; login.client */
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
	struct base_slice label, stored, password, credentials, name, source, challenge;
	enum auth_ask ask;
	enum base_hash hash;
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
