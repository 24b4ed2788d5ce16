/* queue/core_internal.h: the things that the queue's core moves about
 *
 *	message ──< unit >── dest >── peer
 *
 * A message has units: recipients of it that go to one destination together. A dest has the units that
 * wait for it, and stands in the run list of its peer (a relay, or deliver) while it may send. */
#ifndef QUEUE_CORE_INTERNAL_H
#define QUEUE_CORE_INTERNAL_H

#include "queue/core.h"
#include "route/route.h"
#include "route/sender.h"
#include "spool/detail.h"
#include "spool/schedule.h"

enum {
	WINDOW_MESSAGES = 4096, /* in memory at most */
	WINDOW_BYTES = 16 * 1024 * 1024,
	UNIT_RCPTS_MAX = 100,
	TURN_MESSAGES = 256, /* new ones that make a turn due */
	TURN_BYTES = 4 * 1024 * 1024,
	LOAD_BATCH = 64,
	READY_LOW = 8,        /* fewer ready units, and parked ones are read */
	RESULT_WAIT_MS = 3,   /* results alone wait so long for company */
	RESULT_WAIT_MAX = 64, /* and not longer than so many */
	REPAIR_WAIT_MS = 200,
	RETRY_WAIT_MS = 200,    /* after a turn that failed without harm */
	LOOK_AROUND_MS = 30000, /* between two looks at the clock at most */
	CAPACITY_MAX = 1024,
	PEERS_MAX = 64,
	WORKS_MAX = 16,
};

/* NOTIFY of a recipient, as in the envelope: enum smtp_dsn_notify_flags, whose floor the queue does
 * not stand on. A test of the front's and this one's numbers is in test_core.c. */
enum notify_flags {
	NOTIFY_NEVER = 1u << 0,
	NOTIFY_SUCCESS = 1u << 1,
	NOTIFY_FAILURE = 1u << 2,
	NOTIFY_DELAY = 1u << 3,
};
enum { RET_FULL = 1 }; /* of enum smtp_dsn_ret */

enum unit_state {
	UNIT_NEW,   /* its message is not committed yet */
	UNIT_READY, /* in its dest's list */
	UNIT_SENT,  /* a job */
	UNIT_LATER, /* leaves memory: due at next_ms */
	UNIT_PARK,  /* leaves memory: due, no room */
	UNIT_HOLD,  /* leaves memory: held by the administrator */
	UNIT_DONE,  /* nobody is left in it */
};

struct unit_rcpt {
	uint32_t index;
	enum spool_rcpt_state state;
	char *reason; /* heap, null: none */
};

struct message;
struct dest;

struct unit {
	struct message *m;
	struct unit *next; /* of the message */
	struct unit *next_ready, *prev_ready;
	struct dest *dest; /* null for a unit that leaves or is done */
	enum unit_state state;
	uint32_t number;
	uint32_t attempts;
	unsigned flags; /* enum spool_work_flags */
	int64_t next_ms;
	uint64_t dest_hash;
	bool stored; /* a row of work exists */
	bool dirty;  /* and it is not (yet) this */
	uint32_t job_id;
	uint32_t rcpt_count, rcpt_cap;
	struct unit_rcpt *rcpts; /* ascending by index */
	struct unit_rcpt only;   /* room for one */
	char *account;           /* heap; for the administrator; null: none */
	char *sender_line;       /* heap; that gave its destination the account; null: none */
};

struct message {
	struct message *hash_next;
	struct message *touched_next;
	int64_t seq; /* 0: not added yet */
	struct base_id id;
	int64_t arrived_ms;
	uint64_t size;
	bool file;
	bool added;    /* to the spool, in a turn that was committed */
	bool has_rows; /* of work */
	bool touched;  /* in the list of this turn */
	bool held;
	bool gone;         /* removed by the administrator */
	bool never_stored; /* nothing of it had to be kept */
	bool asked;        /* @client waits for an answer */
	bool refusable;    /* nobody was promised it: dropped when the turn fails */
	bool quiet_end;    /* its end was told with its last delivery */
	struct queue_client client;
	struct unit *units;
	uint32_t disk_units; /* rows of work without a unit in memory */
	uint8_t *body;       /* null: read it when needed */
	size_t envelope_len;
	uint8_t envelope[];
};

struct dest {
	struct dest *hash_next;
	struct dest *next_run, *prev_run;
	bool running; /* in its peer's run list */
	uint64_t hash;
	enum conf_via via;
	enum conf_tls_policy tls;
	uint16_t port;
	struct base_slice host, path, account, route, via_text; /* in @text */
	enum ipc_role role;
	unsigned peer;
	struct unit *first, *last;
	uint32_t ready, sent, units;
	bool by_sender; /* its account comes from the sender table */
	bool parked;    /* the spool may have parked units for it */
	struct spool_key cursor;
	char *text;
};

struct peer {
	bool up;
	uint32_t capacity, sent;
	struct dest *first, *last; /* run list */
};

struct job_slot {
	struct unit *unit;
	uint16_t generation;
	enum ipc_role role;
	unsigned peer;
	uint32_t next_free;
};

struct route_plan { /* a route section, copied */
	enum conf_via via;
	enum conf_tls_policy tls;
	char *title, *via_text, *text, *host, *account;
	uint16_t port;
	bool by_sender; /* @account is what the sender table says */
};

struct query {
	struct queue_client client;
	struct base_id id;
};

struct queue_core {
	struct spool *spool;
	const struct queue_ports *ports;
	void *arg;
	int64_t now_ms;

	struct route_table *table;
	struct route_sender_table *senders;
	struct route_plan *plans;
	size_t plan_count;
	char *host_name;
	struct spool_schedule schedule;

	struct message **messages; /* by seq */
	size_t message_mask;
	uint32_t message_count; /* in memory, new ones too */
	uint64_t bytes;
	struct dest **dests;
	size_t dest_mask;
	uint32_t dest_count;
	struct peer relays[PEERS_MAX], deliver[PEERS_MAX];
	unsigned relay_count, deliver_count;
	struct job_slot *jobs;
	uint32_t job_cap, job_free, job_count;

	struct message *touched, **touched_last;
	uint32_t new_count, result_count;
	size_t new_bytes;
	int64_t results_since_ms;
	int64_t retry_at_ms; /* a turn or a repair failed */
	bool told_fault;
	struct query *queries;
	size_t query_count, query_cap;

	struct spool_key due_cursor;
	int64_t due_at_ms; /* when to look; INT64_MAX: never */
	bool due_more;
	struct spool_fresh fresh;
	bool parked_any;
	int64_t parked_sweep;
	char *works[WORKS_MAX]; /* accounts whose held mail is due; heap */
	uint32_t works_count;   /* WORKS_MAX + 1: more, so all */
	bool draining;
	struct base_buf scratch, detail;
};

/* message.c */
struct message *queue_message_new(
	struct queue_core *c, struct base_slice envelope, struct base_slice body);
void queue_message_free(struct queue_core *c, struct message *m);
void queue_message_forget_body(struct queue_core *c, struct message *m);
struct message *queue_message_find(struct queue_core *c, int64_t seq);
void queue_message_hash(struct queue_core *c, struct message *m);
void queue_message_touch(struct queue_core *c, struct message *m);
struct unit *queue_unit_new(struct message *m, uint32_t number);
/* Out of its message and destination, and freed. */
void queue_unit_free(struct queue_core *c, struct unit *u);
void queue_unit_add_rcpt(
	struct unit *u, uint32_t index, enum spool_rcpt_state state, struct base_slice reason);
void queue_unit_set_reason(struct unit_rcpt *r, struct base_slice reason);
/* Drop recipients whose index is in the unit at @k. */
void queue_unit_remove_rcpt(struct unit *u, uint32_t k);
bool queue_window_has_room(const struct queue_core *c);
/* Does anything differ from "all of it is being tried for the first time"? */
bool queue_message_needs_rows(const struct message *m);
/* Nobody is left in it, here or in the spool. */
bool queue_message_is_finished(const struct message *m);
/* Write the message's state into the turn. 0, negative, or EXISTS for a duplicate. */
BASE_MUST_USE int queue_message_stage(
	struct queue_core *c, struct message *m, struct base_error *err);
/* Every recipient can be read; checked once for each message that comes or is read back. */
BASE_MUST_USE bool queue_envelope_is_whole(struct base_slice bytes, struct envelope *out_head);
/* Walk the recipients of the envelope by ascending index. */
struct rcpt_walk {
	struct ipc_reader rest;
	uint32_t next, count;
};
void queue_rcpt_walk_begin(struct rcpt_walk *w, const struct message *m, struct envelope *out_head);
/* False: no such recipient (the envelope was checked when it came). @index must ascend. */
bool queue_rcpt_walk(struct rcpt_walk *w, uint32_t index, struct envelope_rcpt *out);

/* plan.c */
void queue_plan_set_conf(struct queue_core *c, const struct conf *conf);
void queue_plan_release(struct queue_core *c);
/* Make units of all recipients. What has no destination (discard, error, no route) is settled. */
void queue_plan_message(struct queue_core *c, struct message *m);
/* Give a unit read from the spool its destination; recipients that go elsewhere now become units of
 * their own. */
void queue_plan_unit(struct queue_core *c, struct unit *u);

/* sender.c */
/* Read the sender table from the spool; what was known stays where that fails. */
void queue_senders_load(struct queue_core *c);
/* Units that wait for a destination by sender are planned anew. */
void queue_senders_replan(struct queue_core *c);
/* Make due what is held because of accounts that work again; nothing else may be uncommitted. */
void queue_accounts_wake(struct queue_core *c);
void queue_accounts_forget(struct queue_core *c);

/* dest.c */
struct dest *queue_dest_get(
	struct queue_core *c, const struct route_plan *p, struct base_slice domain);
struct dest *queue_dest_find(struct queue_core *c, uint64_t hash);
bool queue_dest_has_room(const struct queue_core *c, const struct dest *d);
void queue_dest_attach(struct dest *d, struct unit *u);
void queue_dest_detach(struct queue_core *c, struct unit *u);
/* Into the ready list; @first: ahead of the others. */
void queue_dest_ready(struct queue_core *c, struct unit *u, bool first);
void queue_dest_unready(struct queue_core *c, struct unit *u);
/* Put it into its peer's run list, if it may run. */
void queue_dest_run(struct queue_core *c, struct dest *d);
struct peer *queue_peer(struct queue_core *c, enum ipc_role role, unsigned index);
void queue_dest_remap(struct queue_core *c);
/* Send what may be sent. */
void queue_pump(struct queue_core *c);
struct unit *queue_job_take(
	struct queue_core *c, enum ipc_role role, unsigned peer, uint32_t job_id);

/* settle.c */
/* What became of one recipient. */
struct verdict {
	uint32_t index;
	enum job_outcome outcome;
	uint16_t code;
	struct base_slice enhanced, reply, reason;
	bool dsn_relayed;
	const struct route_plan *plan; /* it was held by its route: told as such; else null */
};
/* Apply verdicts (ascending by index) to @u: forget who is done, put off who is not, make notices.
 * @r may be null: no attempt was made. */
void queue_settle(struct queue_core *c, struct unit *u, const struct job_result *r,
	const struct verdict *verdicts, size_t count);

/* bounce.c */
struct notice_rcpt {
	struct envelope_rcpt rcpt; /* borrowed from the message's envelope */
	struct verdict verdict;
	int action; /* enum mail_dsn_action */
};
/* Make one notice about @rcpts of @m, as a message of the same turn. */
void queue_bounce(struct queue_core *c, struct message *m, const struct unit *u,
	struct base_slice host, bool attempted, const struct notice_rcpt *rcpts, size_t count);

/* load.c */
/* Read what is due, parked or fresh, as far as there is room. */
void queue_load(struct queue_core *c);
/* Give the units of @m that are new in memory their places. */
void queue_place(struct queue_core *c, struct message *m);
/* Read one unit into memory. */
BASE_MUST_USE int queue_load_unit(
	struct queue_core *c, int64_t seq, uint32_t number, struct base_error *err);
/* After the clock jumped or the administrator moved rows. */
void queue_load_restart(struct queue_core *c);

void queue_error(struct queue_core *c, const char *what, const struct base_error *err);

#endif
