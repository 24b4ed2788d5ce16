/* spool/admin.h: what administrators ask of a queue
 * Job      queue list | show ID | cat ID | retry ID|--all | hold ID | release ID | remove ID | stats,
 *          executed on an open spool, answered in JSON (cat: the message's bytes)
 * Use      in the queue program for a running server; in the command for a stopped one
 * Memory   answers come in parts, a bounded number of messages at a time: a queue of a million costs
 *          no memory to list
 * JSON     list   [{id, sender, recipients: [{address, state, reason, attempts}], size, arrived, next,
 *                 account, reason}]; recipients are those still to be served; state is "waiting",
 *                 "deferred", "paused" (an account or TLS demand stands in the way) or "held" (by the
 *                 administrator); next, account and reason are null where there is none
 *          show   one such object, recipients that are finished included (state "done")
 *          retry, hold, release, remove   {"action": …, "count": messages changed}
 *          stats  {messages, bytes, fresh, deferred, parked, held, oldest, next}
 *          times are RFC 3339 UTC */
#ifndef SPOOL_ADMIN_H
#define SPOOL_ADMIN_H

#include "spool/spool.h"

/* How to read an envelope: give the sender, and call @rcpt for each recipient in order. False: broken.
 * envelope_visit() of loop/envelope.h is one. */
typedef bool (*spool_envelope_fn)(struct base_slice envelope, struct base_slice *out_sender,
	void (*rcpt)(void *arg, uint32_t index, struct base_slice address), void *arg);
/* A part of the answer, borrowed for the call. */
typedef void (*spool_admin_part_fn)(void *arg, struct base_slice part);

struct spool_admin; /* a command being answered */

/* Judge the words: "list", "hold", "ID", … (a word "queue" in front is skipped). PERMANENT: the words
 * make no command; @err says what would be right. The words are borrowed for the call. */
BASE_MUST_USE int spool_admin_begin(struct spool_admin **out, struct spool *s,
	spool_envelope_fn visit, const struct base_slice *words, size_t count, int64_t now_ms,
	struct base_error *err);
/* Go on answering: 1 there is more to come, 0 done, negative failed (NOT_FOUND: no such message).
 * Changes are made in the open turn of the spool: the caller commits before it tells of success. */
BASE_MUST_USE int spool_admin_step(
	struct spool_admin *a, spool_admin_part_fn part, void *arg, struct base_error *err);
void spool_admin_free(struct spool_admin **a);

/* What is being asked, so that a running queue can bring its memory in line. */
enum spool_admin_verb {
	SPOOL_ADMIN_LIST,
	SPOOL_ADMIN_SHOW,
	SPOOL_ADMIN_CAT,
	SPOOL_ADMIN_RETRY,
	SPOOL_ADMIN_HOLD,
	SPOOL_ADMIN_RELEASE,
	SPOOL_ADMIN_REMOVE,
	SPOOL_ADMIN_STATS,
	SPOOL_ADMIN_VERB_COUNT,
};
enum spool_admin_verb spool_admin_verb(const struct spool_admin *a);
const char *spool_admin_verb_name(enum spool_admin_verb verb);
/* Empty for --all, list and stats. */
struct base_slice spool_admin_id(const struct spool_admin *a);

/* The whole of it on a spool that nobody else uses: begin, all steps, commit. */
BASE_MUST_USE int spool_admin_run(struct spool *s, spool_envelope_fn visit,
	const struct base_slice *words, size_t count, int64_t now_ms, spool_admin_part_fn part,
	void *arg, struct base_error *err);

#endif
