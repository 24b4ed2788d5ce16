/* master/core.h: which role process is to be started, introduced, drained or killed, and when
 * Job      the table of children; what happens and the time in, effects out
 * Not      processes, sockets, configuration (the files beside it)
 * Order    init, add …, then after every event take effects by next() until there is none, and come
 *          back after wait_ms()
 * Memory   one struct, no heap */
#ifndef MASTER_CORE_H
#define MASTER_CORE_H

#include "loop/ipc.h"

#define MASTER_CHILDREN_MAX 160
#define MASTER_BACKOFF_MAX_MS 1000
/* A child that lived this long did not die of its start. */
#define MASTER_PROVEN_MS 1000
/* The server is announced without a provider or fetch that is not READY after so long, or that died once. */
#define MASTER_PATIENCE_MS 3000

enum master_child_state {
	MASTER_CHILD_DOWN,     /* no process; to be started at due_ms */
	MASTER_CHILD_STARTING, /* a process, not READY yet */
	MASTER_CHILD_UP,
	MASTER_CHILD_LEAVING, /* told to drain */
	MASTER_CHILD_GONE,    /* no process, none wanted */
};

/* The shutdown, in order. A phase ends when its roles are gone. */
enum master_phase {
	MASTER_PHASE_RUN,
	MASTER_PHASE_FRONTS,  /* sessions end; everything behind them still works */
	MASTER_PHASE_RELAYS,  /* deliveries end; queue still takes their results */
	MASTER_PHASE_REST,    /* queue, auth and those that it asks */
	MASTER_PHASE_JOURNAL, /* the last lines are written */
	MASTER_PHASE_OVER,
	MASTER_PHASE_COUNT,
};

enum master_effect_kind {
	MASTER_SPAWN, /* child a; answer with spawned() or exited() */
	MASTER_PEER,  /* a pair of sockets for children a and b */
	MASTER_READY, /* everything is up, for the first time */
	MASTER_DRAIN, /* child a, within limit_ms */
	MASTER_KILL,  /* child a */
	MASTER_END,   /* nothing left to wait for */
};

struct master_effect {
	enum master_effect_kind kind;
	unsigned a, b;
	uint32_t limit_ms;
	uint32_t generation; /* PEER */
};

struct master_child {
	enum ipc_role role;
	unsigned index;
	enum master_child_state state;
	int64_t started_ms;
	int64_t due_ms;
	unsigned failures; /* deaths in a row soon after the start */
	bool drain_due, kill_due, killed;
	bool surplus;        /* one more than are wanted: GONE when it has ended */
	int64_t leave_by_ms; /* of a surplus one; 0: none was told to leave */
};

struct master_core {
	struct master_child children[MASTER_CHILDREN_MAX];
	unsigned count;
	enum master_phase phase;
	int64_t deadline_ms;
	bool announced;
	bool ended;
	uint32_t generation;
	/* For a < b: a new pair is due; the generation of the last one. */
	bool peer_due[MASTER_CHILDREN_MAX][MASTER_CHILDREN_MAX];
	uint32_t generations[MASTER_CHILDREN_MAX][MASTER_CHILDREN_MAX];
};

void master_core_init(struct master_core *core);
/* @count processes of @role. */
void master_core_add(struct master_core *core, enum ipc_role role, unsigned count, int64_t now_ms);
/* From now on @count processes of @role are wanted: missing ones are added, surplus ones leave. */
void master_core_want(struct master_core *core, enum ipc_role role, unsigned count, int64_t now_ms);
/* Index into children, or count if there is no such child. */
unsigned master_core_find(const struct master_core *core, enum ipc_role role, unsigned index);
bool master_core_alive(const struct master_core *core, unsigned child);

void master_core_spawned(struct master_core *core, unsigned child, int64_t now_ms);
void master_core_said_ready(struct master_core *core, unsigned child);
/* Also when it could not be started. */
void master_core_exited(struct master_core *core, unsigned child, int64_t now_ms);
/* @child lost the channel of @generation to its peer. */
void master_core_want_peer(struct master_core *core, unsigned child, enum ipc_role role,
	unsigned index, uint32_t generation);
void master_core_stop(struct master_core *core, int64_t now_ms);

bool master_core_next(struct master_core *core, int64_t now_ms, struct master_effect *out);
/* Until next() may have something by time alone; -1: not by time. */
int64_t master_core_wait_ms(const struct master_core *core, int64_t now_ms);

#endif
