/* queue/core.h: what the queue decides
 * Job      messages in, jobs out, results in: who gets what when; one transaction per turn
 * Not      sockets, frames, the clock, random bytes (queue/main.c and its files); SQL (spool/)
 * Use      events are told as they come; then queue_core_turn() once per turn of the loop. Nothing is
 *          answered, and nothing delivered, before the turn in which it was committed
 * Memory   a window of messages at work; the rest stands in the spool and is read when it is due
 * Time     wall clock in milliseconds, given by the caller */
#ifndef QUEUE_CORE_H
#define QUEUE_CORE_H

#include "base/id.h"
#include "loop/conf.h"
#include "loop/job.h"
#include "spool/admin.h"
#include "spool/spool.h"

/* Who waits for an answer. */
struct queue_client {
	unsigned front;
	uint32_t generation; /* of the front's channel */
	uint32_t transaction;
};

enum queue_event_kind {
	QUEUE_EVENT_ROUTE, /* decided without a delivery */
	QUEUE_EVENT_DELIVERY,
	QUEUE_EVENT_BOUNCE,
	QUEUE_EVENT_DONE,
};

/* One line for the journal. Empty slices and zeros are left out. All borrowed. */
struct queue_event {
	enum queue_event_kind kind;
	struct base_slice message, session, user, sender, recipient;
	struct base_slice route, via, sender_line, account, host, address, tls, mechanism;
	bool verified, reused;
	uint32_t connection;
	uint16_t code;
	struct base_slice enhanced, reply, reason;
	const char *result; /* "delivered", "deferred", … */
	uint32_t attempt;
	int64_t next_ms, duration_ms;
	uint64_t size;
	struct base_slice notice; /* id of the notice made */
	bool end;                 /* the message has left the queue with this */
};

/* What the shell does for the core. None of these may call back into it. */
struct queue_ports {
	/* False: it could not be sent; the peer is as good as gone. */
	bool (*job)(void *arg, enum ipc_role role, unsigned index, uint32_t job_id,
		const struct job *job, int fd);
	/* @class: BASE_ERROR_NONE when it is durable. */
	void (*submitted)(void *arg, const struct queue_client *client, const struct base_id *id,
		enum base_error_class class);
	void (*known)(
		void *arg, const struct queue_client *client, const struct base_id *id, bool known);
	void (*event)(void *arg, const struct queue_event *event);
	void (*random)(void *arg, void *out, size_t len);
	/* Something failed: log it. */
	void (*error)(void *arg, const char *what, const struct base_error *err);
};

struct queue_core;

/* @spool, @ports and @arg stay the caller's and live longer. @conf is copied as far as needed. */
struct queue_core *queue_core_new(struct spool *spool, const struct queue_ports *ports, void *arg,
	const struct conf *conf, int64_t now_ms);
/* What is not committed is forgotten. */
void queue_core_free(struct queue_core **core);
/* New routes and times hold for what is planned from now on. */
void queue_core_set_conf(struct queue_core *core, const struct conf *conf);

/* A message. @envelope and @body are copied. @file: the body; taken, null for an inline one.
 * The answer comes by submitted(), at the latest at the end of the turn. */
void queue_core_submit(struct queue_core *core, const struct queue_client *client,
	const struct base_id *id, struct base_slice envelope, uint64_t size, struct base_slice body,
	struct spool_file *file, int64_t now_ms);
/* Is it stored? Answered by known(). */
void queue_core_query(
	struct queue_core *core, const struct queue_client *client, const struct base_id *id);
/* So much waits for the end of the turn that it should come now. */
bool queue_core_wants_turn(const struct queue_core *core);

void queue_core_peer_up(struct queue_core *core, enum ipc_role role, unsigned index);
/* Its outstanding jobs are due again at once. */
void queue_core_peer_down(struct queue_core *core, enum ipc_role role, unsigned index);
void queue_core_capacity(
	struct queue_core *core, enum ipc_role role, unsigned index, uint32_t jobs);
/* A JOB_RESULT body. False: the peer broke the protocol. */
BASE_MUST_USE bool queue_core_result(struct queue_core *core, enum ipc_role role, unsigned index,
	uint32_t job_id, struct base_slice body, int64_t now_ms);

/* End the turn: commit, answer, send jobs, read what is due. Returns in how many milliseconds the next
 * turn should come at the latest (0: at once; there is more to do). */
int64_t queue_core_turn(struct queue_core *core, int64_t now_ms);

/* Around the steps of a command that changes messages: before it, so that the spool tells all that
 * memory knows (negative: it cannot now); after it, so that memory follows the spool. */
BASE_MUST_USE int queue_core_admin_before(struct queue_core *core, const struct spool_admin *a,
	int64_t now_ms, struct base_error *err);
void queue_core_admin_after(struct queue_core *core, const struct spool_admin *a);

/* An account works again, or may: what is held because of it is due with the next turn. Empty: any. */
void queue_core_account_works(struct queue_core *core, struct base_slice account);

/* Around a change of the sender table in the spool, like the two above. After it, what waits goes as the
 * table says now, and what had no line (SPOOL_WORK_NO_LINE, made due by the caller) is tried. */
BASE_MUST_USE int queue_core_senders_before(
	struct queue_core *core, int64_t now_ms, struct base_error *err);
void queue_core_senders_after(struct queue_core *core);

/* No new jobs from now on; messages are still stored. */
void queue_core_drain(struct queue_core *core);
/* No job is outstanding and nothing waits for a commit. */
bool queue_core_is_idle(const struct queue_core *core);

struct queue_core_stats {
	uint32_t messages, jobs, destinations;
	uint64_t bytes;
	bool faulty;
};
void queue_core_stats(const struct queue_core *core, struct queue_core_stats *out);

#endif
