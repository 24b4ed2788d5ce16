/* auth/core_internal.h: the objects of auth's core
 *
 * One request:
 *
 *   AUTH -> [exchange] -> CHALLENGE  -> wait CLIENT -> CONT -> [exchange]
 *                      -> question   -> wait STORE (a user's row), then STORE again (the secret) or
 *                                       WORKER (the password), or SOURCE (another
 *                                       provider, and perhaps WORKER with what it has
 *                                       stored), source after source, then [exchange]
 *                      -> binding    -> wait BINDING -> CONT # -> [exchange]
 *                      -> the end    -> wait DELAY until the grid says so, then OK or FAIL
 *
 * A request is in the list of its connection, in the list by last activity, and while it is in DELAY in
 * the list of due replies. */
#ifndef AUTH_CORE_INTERNAL_H
#define AUTH_CORE_INTERNAL_H

#include "auth/core.h"
#include "sasl/server.h"
#include "wire/dovecot_server.h"

#define AUTH_WORKERS_MAX 64
#define AUTH_WORKER_DEPTH 2 /* tasks that one worker has at a time */
#define AUTH_TASKS_MAX 4096
#define AUTH_TEXT_MAX_BYTES 255
#define AUTH_QUESTION_MAX_BYTES 6144
#define AUTH_FAIR_BUCKETS 64
#define AUTH_WAITING_PER_BUCKET 1024
#define AUTH_CHALLENGE_MAX_BYTES 12288 /* what makes too long a line is refused there */

enum auth_wait {
	AUTH_WAIT_CLIENT,
	AUTH_WAIT_BINDING,
	AUTH_WAIT_STORE,
	AUTH_WAIT_SECRET,
	AUTH_WAIT_WORKER,
	AUTH_WAIT_SOURCE,
	AUTH_WAIT_DELAY,
};

struct auth_link {
	struct auth_link *prev, *next;
};

/* Those who wait, by client; fair.c. */
struct auth_bucket {
	struct auth_link in_ring, items;
	unsigned count;
};
struct auth_fair {
	struct auth_link ring; /* buckets with items, perhaps; who is next */
	struct auth_bucket buckets[AUTH_FAIR_BUCKETS];
};

struct auth_request {
	struct auth_link by_conn, by_time, by_due;
	struct auth_conn *conn;
	uint32_t token, id;
	enum auth_wait wait;
	struct sasl_server *sasl;
	enum sasl_mechanism mechanism;
	bool final_resp_ok, tls;
	bool stale;       /* the user changed after the row was read */
	bool tried_label; /* "name/label" was split */
	bool cached, name_good, has_attempt;
	enum sasl_server_result question; /* what STORE, SECRET and WORKER are asked for */
	uint8_t attempt[32];              /* keyed hash of a wrong password */
	int64_t active_ms;                /* last word of the client */
	int64_t due_ms;                   /* DELAY */
	struct base_addr client;
	char session[AUTH_TEXT_MAX_BYTES + 1];
	struct vault_key key, whole_key; /* whole: "name/label" is not split */
	char label[VAULT_LABEL_MAX_BYTES + 1];
	struct vault_user *user; /* null: unknown */
	struct vault_user *apps;
	size_t app_count;
	unsigned source;                  /* which of the core's is asked */
	bool source_down, source_refused; /* one of those before */
	bool external;                    /* known to another than the store, under this name: */
	char external_name[AUTH_TEXT_MAX_BYTES + 1];
	uint32_t scope;        /* of a cached success there, from before it was asked */
	char said[96];         /* what it said for the log */
	int64_t app_id;        /* the app password that was right; 0: the user's own */
	struct base_buf final; /* SCRAM's v=, to go with OK */
	bool has_final;
	enum sasl_binding binding;
	/* The reply, in DELAY. */
	bool accepted;
	enum wire_dovecot_fail fail;
	const char *reason;
};

struct auth_conn {
	struct auth_link in_core;
	void *owner;
	struct wire_dovecot_server wire;
	struct base_buf in, out, scratch;
	struct auth_link requests; /* oldest first */
	size_t open;
	uint32_t number;
	int64_t list_due_ms; /* 0: the list was sent */
	bool front;          /* one of our own, which says postern_plus=1 */
	bool broken, output_told;
};

enum auth_task_kind { AUTH_TASK_LOGIN, AUTH_TASK_UPGRADE, AUTH_TASK_TEST };

struct auth_task {
	struct auth_link in_core; /* waiting, or given to a worker */
	struct auth_link in_bucket;
	unsigned bucket;
	enum auth_task_kind kind;
	uint32_t number;
	int worker; /* -1: waits */
	bool cancelled, retried;
	int64_t until_ms;
	uint32_t token; /* LOGIN: request; TEST: ticket */
	char stored[VAULT_HASH_MAX_BYTES + 1];
	struct base_secret password;
	/* UPGRADE */
	struct vault_key key;
	struct vault_user user;
	sasl_mechanism_mask mechanisms;
	bool keep_hash;
};

/* To a process of a provider; questions.c. */
struct auth_question {
	struct auth_link in_core;
	struct auth_link in_bucket; /* of its source's waiting ones */
	unsigned bucket, source;
	uint32_t number, token;
	int process; /* -1: waits */
	bool cancelled, retried;
	int64_t until_ms, limit_ms; /* limit: not shortened because all processes were down */
	enum auth_ask ask;
	enum base_hash hash;
	struct base_addr client;
	struct base_buf bytes; /* secret: name, secret, challenge */
	size_t name_len, secret_len;
};

struct auth_process {
	bool up;
	struct auth_question *question;
};

/* An effect that waits to be taken, with what it owns. */
struct auth_queued {
	struct auth_queued *next;
	struct auth_effect effect;
	struct vault_key key;
	struct vault_user *user; /* a copy, or null */
	struct base_buf bytes;   /* secret: what the slices of effect lie in */
};

struct auth_named_source {
	char name[64];
	enum auth_source_kind kind;
	bool cram, scram;
	unsigned first, processes;
	uint32_t generation; /* of what it says: a cached success of an older one counts no more */
	char *domains;       /* each with a space behind it; empty: all */
	struct auth_fair waiting;
};

struct auth_worker {
	bool up;
	unsigned count; /* tasks it has */
};

struct auth_core {
	struct auth_options options;
	char host_name[AUTH_TEXT_MAX_BYTES + 1], default_domain[AUTH_TEXT_MAX_BYTES + 1];
	struct auth_named_source sources[AUTH_SOURCES_MAX];
	unsigned source_count;
	uint8_t mock_key[32];
	uint8_t seed[32];
	uint64_t drawn;
	uint32_t pid, next_conn, next_token, next_task, next_question, next_generation;
	struct vault_cache *cache;
	struct vault_throttle *throttle;
	struct auth_link conns, by_time, by_due, waiting, given;
	struct auth_fair turns; /* of the waiting ones */
	struct auth_link questions;
	struct auth_process processes[AUTH_PROCESSES_MAX];
	size_t waiting_count;
	struct auth_worker workers[AUTH_WORKERS_MAX];
	struct auth_queued *first, *last, *taken;
	struct auth_status status;
};

/* list.c */
void auth_list_init(struct auth_link *head);
bool auth_list_empty(const struct auth_link *head);
void auth_list_push(struct auth_link *head, struct auth_link *link); /* at the end */
void auth_list_remove(struct auth_link *link);                       /* twice is fine */
#define AUTH_OF(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))

/* fair.c */
void auth_fair_init(struct auth_fair *fair);
unsigned auth_fair_bucket(const struct auth_core *core, const struct base_addr *client);
/* False: too many of this bucket wait. */
bool auth_fair_push(struct auth_fair *fair, unsigned bucket, struct auth_link *link);
void auth_fair_remove(struct auth_fair *fair, unsigned bucket, struct auth_link *link);
/* Whose turn it is; still linked. Null: nobody waits. */
struct auth_link *auth_fair_next(struct auth_fair *fair);

/* core.c */
void auth_core_draw(struct auth_core *core, uint8_t out[32]);

/* effects.c */
struct auth_queued *auth_effect_push(struct auth_core *core, enum auth_effect_kind kind);
/* Copy @bytes into what @q owns and give the slice; at most 8 KiB in all. */
struct base_slice auth_effect_keep(struct auth_queued *q, struct base_slice bytes);
void auth_effect_keep_user(struct auth_queued *q, const struct vault_user *user);
void auth_effect_drop_conn(struct auth_core *core, const struct auth_conn *conn);
void auth_effects_free(struct auth_core *core);
void auth_conn_told(struct auth_core *core, struct auth_conn *conn); /* OUTPUT, once */

/* sources.c */
void auth_sources_take(struct auth_core *core, const struct auth_options *options);
void auth_sources_free(struct auth_core *core);
/* The first at or after @from that answers for @r and its question; source_count: none. */
unsigned auth_source_next(
	const struct auth_core *core, const struct auth_request *r, unsigned from);
/* Is the user of this key one of its domains? */
bool auth_source_serves(const struct auth_core *core, unsigned source, struct base_slice key);
bool auth_sources_have_store(const struct auth_core *core);
/* Mechanisms that one of them serves. */
sasl_mechanism_mask auth_sources_serve(const struct auth_core *core);

/* questions.c */
/* False: too many wait. */
bool auth_question_put(struct auth_core *core, struct auth_request *r, enum auth_ask ask,
	struct base_slice secret, struct base_slice challenge, int64_t now_ms);
void auth_questions_forget(struct auth_core *core, uint32_t token);
void auth_questions_tick(struct auth_core *core, int64_t now_ms, int64_t wall_ms);
int64_t auth_questions_wake(const struct auth_core *core);
void auth_questions_remap(
	struct auth_core *core, const unsigned map[AUTH_SOURCES_MAX + 1], int64_t now_ms);
void auth_questions_free(struct auth_core *core);

/* said.c */
void auth_request_said(struct auth_core *core, struct auth_request *r, const struct auth_said *said,
	int64_t now_ms, int64_t wall_ms);
void auth_remember_external(struct auth_core *core, const struct auth_request *r, int64_t now_ms);

/* request.c */
void auth_request_begin(
	struct auth_core *core, struct auth_conn *conn, int64_t now_ms, int64_t wall_ms);
void auth_request_cont(
	struct auth_core *core, struct auth_conn *conn, int64_t now_ms, int64_t wall_ms);
void auth_request_bad(struct auth_core *core, struct auth_conn *conn, int64_t now_ms);
struct auth_request *auth_request_find(struct auth_conn *conn, uint32_t id);
struct auth_request *auth_request_by_token(struct auth_core *core, uint32_t token);
void auth_request_free(struct auth_core *core, struct auth_request *r);
void auth_request_verified(struct auth_core *core, struct auth_request *r, unsigned result,
	bool wants_upgrade, int64_t now_ms, int64_t wall_ms);
/* No worker had time. */
void auth_request_defer(
	struct auth_core *core, struct auth_request *r, const char *reason, int64_t now_ms);

/* @result is what the exchange said to an answer; @out took its challenge and is released here. */
void auth_request_go_on(struct auth_core *core, struct auth_request *r,
	enum sasl_server_result result, struct base_buf *out, int64_t now_ms, int64_t wall_ms);
void auth_request_forget_rows(struct auth_request *r);
void auth_text_copy(char *out, size_t size, struct base_slice text); /* cut, NUL-ended */

/* ask.c: each gives the same question back when it was put to somebody. */
enum sasl_server_result auth_ask(struct auth_core *core, struct auth_request *r,
	enum sasl_server_result question, int64_t now_ms, struct base_buf *out);
enum sasl_server_result auth_ask_from(struct auth_core *core, struct auth_request *r, unsigned from,
	int64_t now_ms, struct base_buf *out);
void auth_ask_store(struct auth_core *core, struct auth_request *r);
enum sasl_server_result auth_scram_unknown(
	struct auth_core *core, struct auth_request *r, struct base_buf *out);
enum sasl_server_result auth_accept_external(
	struct auth_request *r, struct base_slice user, struct base_buf *out);
void auth_note_attempt(struct auth_core *core, struct auth_request *r);
/* What a cached success of another source is kept under; 0 and small numbers are the vault's. */
uint32_t auth_source_scope(const struct auth_core *core, const struct auth_request *r);

/* answer.c */
void auth_request_succeed(
	struct auth_core *core, struct auth_request *r, int64_t now_ms, int64_t wall_ms);
/* Count it and answer on the grid; TEMPORARY and BASE64 are not counted and answered at once. */
void auth_request_fail(struct auth_core *core, struct auth_request *r, enum wire_dovecot_fail fail,
	const char *reason, int64_t now_ms);
/* Answer at once and count nothing: what is refused says nothing about a user. */
void auth_request_refuse(struct auth_core *core, struct auth_request *r, const char *reason);
void auth_request_reply(struct auth_core *core, struct auth_request *r);

/* tasks.c */
/* False: too many wait. */
bool auth_task_login(struct auth_core *core, struct auth_request *r, struct base_slice stored,
	struct base_slice password, int64_t now_ms);
void auth_task_upgrade(struct auth_core *core, const struct auth_request *r,
	struct base_slice password, sasl_mechanism_mask mechanisms, bool keep_hash, int64_t now_ms);
void auth_tasks_forget(struct auth_core *core, uint32_t token);
void auth_tasks_cancel_upgrades(struct auth_core *core, struct base_slice key);
void auth_tasks_tick(struct auth_core *core, int64_t now_ms);
int64_t auth_tasks_wake(const struct auth_core *core);
void auth_tasks_free(struct auth_core *core);

#endif
