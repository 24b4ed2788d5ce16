/* loop/events_internal.h: the rows of the event store, whatever holds them
 * A row is the events of one subject (a message, or a session without one) from one batch. */
#ifndef LOOP_EVENTS_INTERNAL_H
#define LOOP_EVENTS_INTERNAL_H

#include "loop/events.h"

struct events_db;

struct events_row {
	int64_t at; /* unix ms * 1000, then counted up: unique, ascending */
	struct base_slice message, session, user, sender; /* empty: none */
	struct base_slice records;                        /* entries as in an EVENT frame's body */
};

enum events_by {
	EVENTS_BY_MESSAGE,
	EVENTS_BY_SESSION,
	EVENTS_BY_SESSION_ALONE, /* rows of the session that are not a message's */
	EVENTS_BY_USER,
	EVENTS_BY_SENDER,
	EVENTS_BY_TIME, /* the key is not looked at */
	EVENTS_BY_COUNT,
};

/* False: enough. The row is borrowed for the call. */
typedef bool (*events_row_fn)(void *arg, const struct events_row *row);

BASE_MUST_USE int events_db_open(
	const char *path, bool write, struct events_db **out, struct base_error *err);
void events_db_close(struct events_db **db);
int64_t events_db_last(struct events_db *db); /* the highest at */
BASE_MUST_USE int events_db_begin(struct events_db *db, struct base_error *err);
BASE_MUST_USE int events_db_insert(
	struct events_db *db, const struct events_row *row, struct base_error *err);
/* @keep false: roll back. */
BASE_MUST_USE int events_db_end(struct events_db *db, bool keep, struct base_error *err);
/* Rows newest first, at most @limit. */
BASE_MUST_USE int events_db_select(struct events_db *db, enum events_by by, struct base_slice key,
	unsigned limit, events_row_fn fn, void *arg, struct base_error *err);
/* Remove at most @max rows, the oldest first, with at < @before. Returns how many. */
unsigned events_db_remove(struct events_db *db, int64_t before, unsigned max);
/* Give at most @max_pages that are free to the file system, where the file is longer than @size. True:
 * there are more. Never true for a file made before Postern could do that: its free pages are used
 * again, and it does not grow. */
bool events_db_shrink(struct events_db *db, uint64_t size, unsigned max_pages);
/* @out_rows may be null: counting takes time. */
void events_db_size(struct events_db *db, uint64_t *out_rows, uint64_t *out_bytes);

#endif
