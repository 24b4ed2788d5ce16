/* front/front.h: the shell of postern-front: what its files share
 * One struct front a process. conn.c moves bytes of one connection and carries out the effects of its
 * session; auth_link.c speaks to auth; queue_link.c to queue; listen.c accepts; main.c joins them to
 * the role. */
#ifndef FRONT_FRONT_H
#define FRONT_FRONT_H

#include "front/core.h"
#include "loop/counters.h"
#include "loop/role.h"
#include "loop/tls.h"

#include <uv.h>

#define FRONT_READ_BYTES 65536
#define FRONT_PENDING_MAX 4096 /* open requests at auth, and transactions at queue */
#define FRONT_AUTH_WAIT_MS 30000
#define FRONT_QUEUE_WAIT_MS 60000
#define FRONT_REFUSED_TLS_MAX 64 /* refused connections that get a handshake to read why */
#define FRONT_WORK_SPARE_MAX 64

struct front;

struct front_conn {
	struct front_session session;
	struct front *front;
	struct front_listener *listener;
	struct front_conn *next, *prev; /* in front->conns, the longest inactive first */
	struct tls_session *tls;
	struct front_work *work; /* null while idle */
	uv_poll_t poll;
	int64_t active_ms;         /* monotonic: when the running time-out began */
	uint64_t body_seen;        /* body bytes when it began */
	int64_t asked_ms;          /* monotonic: when auth or queue was asked */
	const char *refusal;       /* greet with this and close */
	struct front_dnsbl *dnsbl; /* open questions; null: none was put */
	int fd;
	int file_fd;     /* -1: none */
	uint8_t polling; /* events asked of uv_poll */
	uint8_t binding; /* enum front_bindings wanted with the next CONT, 0: none */
	bool handshake;
	bool counted;
	bool closing;    /* uv_close() is under way */
	bool busy;       /* conn_run() is on the stack */
	bool queue_asks; /* WAIT_QUEUE lost its queue: SUBMIT_QUERY is due */
};

/* Numbers for open questions: a slot and a generation, so that a late answer finds nobody. */
struct front_pending {
	struct front_conn *slots[FRONT_PENDING_MAX];
	uint32_t generations[FRONT_PENDING_MAX];
	uint32_t next;
};
/* 0: all are taken. */
uint32_t front_pending_add(struct front_pending *p, struct front_conn *c);
struct front_conn *front_pending_find(const struct front_pending *p, uint32_t id);
void front_pending_remove(struct front_pending *p, uint32_t id);

struct front_door { /* a listening socket */
	struct front_door *next;
	struct front *front;
	char *name;
	struct front_listener *listener; /* null: the configuration does not know it (any more) */
	uv_poll_t poll;
	int fd;
	int relay_ctrl_fd;    /* -1: none */
	bool relay_ctrl_told; /* a complaint about it was logged */
	bool polling;
	bool closing;
};

struct front_auth_link {
	int fd; /* -1: no stream */
	uv_poll_t *poll;
	int polling; /* events asked of it */
	bool ready;  /* the handshake is done */
	struct wire_dovecot_client codec;
	struct front_mechanisms coming; /* collected until DONE */
	struct base_buf in, out, scratch;
	struct front_pending pending;
};

struct front {
	struct role *role;
	struct counters *counters;
	struct tls_context *tls;
	struct front_mechanisms mechanisms;
	struct front_door *doors;
	struct front_conn *conns, *conns_last;
	uint32_t conn_count, refused_tls;
	struct front_auth_link auth;
	struct front_pending queue_pending, dnsbl_pending;
	unsigned dnsbl_turn;   /* of the relays */
	struct base_buf frame; /* for building frames */
	struct front_work *spare[FRONT_WORK_SPARE_MAX];
	size_t spare_count;
	uint8_t pseudonym_key[BASE_HASH_MAX_BYTES];
	uint8_t random[512];
	size_t random_used;
	uv_timer_t tick, accept_again;
	bool accept_paused;
	bool accepting; /* since auth is there, or did not come in time */
	int64_t started_ms;
	bool draining;
	uint8_t read[FRONT_READ_BYTES];
};

void front_random(struct front *f, void *out, size_t len);

/* conn.c */
void front_conn_new(struct front *f, struct front_listener *l, int fd,
	const struct base_addr *client, bool counted, bool may_relay, const char *refusal);
/* Go on after an answer changed the session: effects, unread bytes, writing. */
void front_conn_run(struct front_conn *c);
void front_conn_lost(struct front_conn *c, const char *why);
void front_conn_tick(struct front *f);
void front_conn_drain_all(struct front *f);
struct front_work *front_conn_work(struct front_conn *c);
/* A bit of enum front_bindings; 0: no binding of this name is known. */
unsigned front_binding_parse(struct base_slice name);
/* The wanted binding's bytes; 0: it cannot be had. */
size_t front_conn_binding(struct front_conn *c, uint8_t out[TLS_BINDING_MAX_BYTES]);

/* auth_link.c */
void front_auth_attach(struct front *f, int fd);
void front_auth_begin(struct front_conn *c);
void front_auth_continue(struct front_conn *c);
void front_auth_cancel(struct front_conn *c);
void front_auth_tick(struct front *f, int64_t now_ms);
void front_auth_close(struct front *f);

/* queue_link.c */
void front_queue_want_file(struct front_conn *c);
void front_queue_submit(struct front_conn *c);
void front_queue_abort(struct front_conn *c);
void front_queue_frame(struct front *f, struct ipc_frame *frame);
void front_queue_back(struct front *f);
void front_queue_gone(struct front *f);

/* listen.c */
void front_listen_add(struct front *f, const char *name, int fd);
void front_listen_remove(struct front *f, const char *name);
/* Begin to accept: before, connections wait in the kernel's backlog. */
void front_listen_begin(struct front *f);
void front_listen_reload(struct front *f, const struct conf *conf);
void front_listen_announce(struct front *f);
void front_listen_close_all(struct front *f);
/* A descriptor became free. */
void front_listen_resume(struct front *f);

/* relay_ctrl.c: who may relay by the address it comes from */
void front_relay_ctrl_take(struct front *f, struct ipc_frame *frame);
void front_relay_ctrl_close(struct front_door *d);
bool front_relay_ctrl_allows(struct front_door *d, const struct base_addr *client);

/* dnsbl.c: zones that are asked about strangers */
void front_dnsbl_ask(struct front_conn *c);
void front_dnsbl_forget(struct front_conn *c);
void front_dnsbl_frame(struct front *f, struct ipc_frame *frame);
void front_dnsbl_gone(struct front *f, unsigned relay);
void front_dnsbl_tick(struct front *f, int64_t now_ms);

/* record.c: log records of a session */
void front_record_session(struct front_conn *c);
void front_record_message(struct front_conn *c, unsigned class);
void front_record_dialogue(struct front_conn *c);

#endif
