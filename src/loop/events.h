/* loop/events.h: the event store behind postern why
 * Job      keep what was decided, find it again by message, session, user, sender or time, and say it
 *          as JSON: {id, kind, events: [{time, what, result, reason, …}]}
 * Not      deciding what is an event: every log record but SYSTEM and DIALOGUE is one
 * Memory   records gather here until the caller flushes: EVENTS_BATCH_MAX at most, then they must be
 * Limits   answers are cut at EVENTS_ROWS_MAX rows; a store that fails loses events, never mail
 * Writer   the journal alone; a command opens it to read when no server runs */
#ifndef LOOP_EVENTS_H
#define LOOP_EVENTS_H

#include "base/buf.h"
#include "base/error.h"

#define EVENTS_BATCH_MAX 500
#define EVENTS_ROWS_MAX 1000
#define EVENTS_LAST_MAX 1000
#define EVENTS_KEEP_MS (30 * 86400 * 1000LL)     /* until events_limit() says otherwise */
#define EVENTS_SIZE_BYTES (1024LL * 1024 * 1024) /* the same */

struct events;
struct control_request;

/* @path: events.db. @write: made if absent. Without it: NOT_FOUND if absent. */
BASE_MUST_USE int events_open(
	const char *path, bool write, struct events **out, struct base_error *err);
/* Flushes first; what cannot be written is lost. Null is taken. */
void events_close(struct events **e);

/* Take a copy of the log record @record, if it is one for the store. False: the batch is full, flush and
 * come again. */
bool events_add(struct events *e, struct base_slice record);
size_t events_pending(const struct events *e);
/* Write the batch in one transaction. On an error the batch is lost all the same. */
BASE_MUST_USE int events_flush(struct events *e, struct base_error *err);
/* How long events are kept, and how large the store may be. */
void events_limit(struct events *e, int64_t keep_ms, uint64_t size);
/* The store is larger than it may be: prune soon. */
bool events_is_large(struct events *e);
/* Remove some of what is too old, or the oldest of what is too much, and give the file's free end back;
 * true: there may be more. A store that was too large gets a sixteenth below its size, so that not every
 * batch has to prune. */
bool events_prune(struct events *e, int64_t now_ms);
/* Rows and bytes of the store, about. */
void events_size(struct events *e, uint64_t *out_rows, uint64_t *out_bytes);

/* Append the answer to "why ID | user=U | sender=ADDR | last=N" (loop/control.h). NOT_FOUND: nothing is
 * known of it. What is pending is flushed before. */
BASE_MUST_USE int events_answer(struct events *e, const struct control_request *req,
	struct base_buf *out, struct base_error *err);

#endif
