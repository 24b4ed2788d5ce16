/* spool/spool.h: the durable queue
 * Job      keep accepted messages, and what is still to do for each, so that nothing answered is lost
 * Not      what to do with a message (queue/core.h), when (spool/schedule.h), what administrators ask
 *          (spool/admin.h); bytes of envelopes are opaque here
 * Engine   the functions below are one engine's, sqlite.c; nothing in this header says so
 * Order    open; then in each turn of the queue: any mixture of changes, then one commit, which makes
 *          all of them durable or none. Reads see the changes of the open turn.
 * Owner    an open spool has one owner at a time, and everything in it is leased to that owner: what a
 *          crashed one was working on belongs to the next as soon as it opens the spool
 * Errors   0 or a negative base_error_class with @err filled; NO_SPACE when the disk is full.
 *          A failed change has undone the whole turn: the caller refuses what it has promised nobody
 *          yet and states the rest again later. After a failed commit see spool_repair().
 *
 * A message is a row with its envelope and, up to SPOOL_INLINE_MAX_BYTES, its body; a larger body is a
 * file named by the message's id. A message without work is fresh: nothing has been tried, and all of
 * it is due. What remains after a first try, or had to wait for room in memory, is work: a part of a
 * message's recipients that go to one destination, keyed (message, unit). */
#ifndef SPOOL_SPOOL_H
#define SPOOL_SPOOL_H

#include "base/buf.h"
#include "base/error.h"

#define SPOOL_INLINE_MAX_BYTES (64 * 1024)
#define SPOOL_ID_MAX_BYTES 32

struct spool;

struct spool_options {
	const char *data_dir; /* holds spool.db and spool/; made if absent */
	const char *owner;    /* who opens it, for a message to the one who is turned away */
	unsigned wait_ms;     /* how long to wait for another owner; 0: 20 s */
	const char *vfs;      /* tests only; null otherwise */
	bool named_files;     /* tests only: behave as if there were no unnamed files */
};

struct spool_message {
	int64_t seq; /* the spool's own number, rising in order of arrival */
	struct base_slice id;
	int64_t arrived_ms;
	uint64_t size;
	bool file;
	struct base_slice envelope;
	struct base_slice body; /* empty if @file */
};

enum spool_ready {
	SPOOL_TIMED,  /* due at next_ms */
	SPOOL_PARKED, /* due; waits until its destination has room */
	SPOOL_HELD,   /* by the administrator */
};

enum spool_work_flags {
	SPOOL_WORK_WARNED = 1u << 0,  /* the notice of delay was decided upon */
	SPOOL_WORK_NO_LINE = 1u << 1, /* no line of the sender table: due when that changes */
	SPOOL_WORK_PAUSED = 1u << 2,  /* its account is paused or missing: due when that changes */
};

struct spool_work {
	int64_t seq;
	uint32_t unit; /* the lowest recipient index it was made for */
	enum spool_ready ready;
	int64_t next_ms;
	uint64_t dest; /* the destination's hash, 0: not known */
	uint32_t attempts;
	unsigned flags;
	struct base_slice detail; /* spool/detail.h */
};

struct spool_key {
	int64_t next_ms;
	int64_t seq;
	uint32_t unit;
};

/* Opens, makes what is missing, sweeps files that no message owns. TEMPORARY when another owner does
 * not let go in time. */
BASE_MUST_USE int spool_open(
	struct spool **out, const struct spool_options *options, struct base_error *err);
/* Open changes are undone. */
void spool_close(struct spool **s);

/* ---- changes of a turn ---- */

enum spool_sync {
	SPOOL_SYNC,  /* the commit returns with all of it on stable storage */
	SPOOL_WRITE, /* it survives the end of this process, and is synced by the
					 * next SYNC turn; for turns that add no message and remove
					 * no file */
};
/* Begin the turn, if it is not begun. The first change does it with SPOOL_SYNC. */
BASE_MUST_USE int spool_begin(struct spool *s, enum spool_sync sync, struct base_error *err);

/* EXISTS: a message of that id is stored or was added in this turn; nothing was undone.
 * @m's slices are borrowed for the call. */
BASE_MUST_USE int spool_add(
	struct spool *s, const struct spool_message *m, int64_t *out_seq, struct base_error *err);
/* Insert or replace. */
BASE_MUST_USE int spool_work_put(
	struct spool *s, const struct spool_work *w, struct base_error *err);
/* Absent work is fine. */
BASE_MUST_USE int spool_work_drop(
	struct spool *s, int64_t seq, uint32_t unit, struct base_error *err);
/* The message, its work, and (after the commit) its file. @has_work false: the caller knows that
 * there is none. */
BASE_MUST_USE int spool_remove(struct spool *s, int64_t seq, struct base_slice id, bool file,
	bool has_work, struct base_error *err);
/* Change all work of a message. @only: change no others; -1 for any. @out_count may be null. */
BASE_MUST_USE int spool_work_set_ready(struct spool *s, int64_t seq, int only, enum spool_ready to,
	int64_t next_ms, uint64_t *out_count, struct base_error *err);
/* All timed work of all messages is due at @now_ms. */
BASE_MUST_USE int spool_retry_all(
	struct spool *s, int64_t now_ms, uint64_t *out_count, struct base_error *err);

/* The same for what has @flag (NO_LINE or PAUSED). @account: of that one only; empty: any. */
BASE_MUST_USE int spool_retry_flagged(struct spool *s, unsigned flag, struct base_slice account,
	int64_t now_ms, uint64_t *out_count, struct base_error *err);

bool spool_has_changes(const struct spool *s);
/* End the turn. */
BASE_MUST_USE int spool_commit(struct spool *s, struct base_error *err);
void spool_rollback(struct spool *s);

/* A commit failed, and until a later one has synced nobody knows whether the messages added in it
 * would come back after a crash. They have been refused, so they must not: nothing may be delivered
 * and no change is taken (all answer TEMPORARY) until spool_repair() returned 0, which strikes them
 * out in a transaction of its own. Call it again after a while until it does. */
bool spool_is_faulty(const struct spool *s);
BASE_MUST_USE int spool_repair(struct spool *s, struct base_error *err);

/* Housekeeping that may take some milliseconds: call it after the answers of a turn went out. */
BASE_MUST_USE int spool_maintain(struct spool *s, struct base_error *err);

/* ---- bodies in files ---- */

struct spool_file {
	int fd;        /* -1: none */
	char name[40]; /* "" while it has none */
};
void spool_file_init(struct spool_file *f);
/* An empty file outside the queue; its descriptor may be lent to others. */
BASE_MUST_USE int spool_file_make(struct spool *s, struct spool_file *out, struct base_error *err);
/* Sync it and give it the message's name; spool_add() of that id with @file must follow in this turn.
 * Takes @f in any case. @size must be the file's. */
BASE_MUST_USE int spool_file_keep(struct spool *s, struct spool_file *f, struct base_slice id,
	uint64_t size, struct base_error *err);
/* Close and forget. */
void spool_file_drop(struct spool *s, struct spool_file *f);
/* Open a kept body for reading; the caller closes it. */
BASE_MUST_USE int spool_file_open(
	struct spool *s, struct base_slice id, int *out_fd, struct base_error *err);

/* Append the first @max bytes of a kept body. */
BASE_MUST_USE int spool_file_head(struct spool *s, struct base_slice id, size_t max,
	struct base_buf *out, struct base_error *err);

/* ---- reads ---- */

/* NOT_FOUND (with @err untouched) when there is none. */
BASE_MUST_USE int spool_find(
	struct spool *s, struct base_slice id, int64_t *out_seq, struct base_error *err);
/* @out's slices are valid until the next call with @s. Without @body that slice is empty. */
BASE_MUST_USE int spool_load(
	struct spool *s, int64_t seq, bool body, struct spool_message *out, struct base_error *err);
/* The message after @after in order of arrival: 0 and *out_seq, or NOT_FOUND. */
BASE_MUST_USE int spool_next(
	struct spool *s, int64_t after, int64_t *out_seq, struct base_error *err);
/* Rows of work of a message. */
BASE_MUST_USE int spool_work_count(
	struct spool *s, int64_t seq, int64_t *out_count, struct base_error *err);
/* @out->detail is valid until the next call with @s. NOT_FOUND as above. */
BASE_MUST_USE int spool_work_load(struct spool *s, int64_t seq, uint32_t unit,
	struct spool_work *out, struct base_error *err);
/* The first work of @seq with unit >= @from; for stepping through all of it. NOT_FOUND at the end. */
BASE_MUST_USE int spool_work_next(struct spool *s, int64_t seq, uint32_t from,
	struct spool_work *out, struct base_error *err);

/* Timed work due by @now_ms, soonest first, behind *@cursor, which moves on. At most @max. */
BASE_MUST_USE int spool_due(struct spool *s, struct spool_key *cursor, int64_t now_ms,
	struct spool_key *out, size_t max, size_t *out_count, struct base_error *err);
/* When is the next timed work behind @cursor due? INT64_MAX: never. */
BASE_MUST_USE int spool_due_time(
	struct spool *s, const struct spool_key *cursor, int64_t *out_ms, struct base_error *err);
/* Parked work of @dest, behind *@cursor. */
BASE_MUST_USE int spool_parked(struct spool *s, uint64_t dest, struct spool_key *cursor,
	struct spool_key *out, size_t max, size_t *out_count, struct base_error *err);
/* The next destination with parked work, of hash above *@dest (as a signed number; start with
 * INT64_MIN): 0 with *@dest set, or NOT_FOUND. */
BASE_MUST_USE int spool_parked_dest(struct spool *s, int64_t *dest, struct base_error *err);
struct spool_fresh {
	char id[SPOOL_ID_MAX_BYTES + 1]; /* looked at up to here; "" at the start */
	bool done;
};
/* Messages that were fresh when the spool was opened, at most @max found and 512 looked at a time. */
BASE_MUST_USE int spool_fresh_next(struct spool *s, struct spool_fresh *cursor, int64_t *out_seqs,
	size_t max, size_t *out_count, struct base_error *err);

struct spool_stats {
	uint64_t messages;
	uint64_t bytes; /* known only if bytes_known */
	bool bytes_known;
	uint64_t fresh, timed, parked, held; /* messages; then units of work */
	int64_t oldest_ms;                   /* 0: none */
	int64_t next_ms;                     /* INT64_MAX: none */
};
BASE_MUST_USE int spool_stats(struct spool *s, struct spool_stats *out, struct base_error *err);

#endif
