/* route/sender_admin.h: what administrators ask of the sender table
 * Job      sender add LINE account=NAME [replace=1] | list | remove LINE | test ADDR [recipient=ADDR],
 *          executed on an open spool, answered in JSON
 * Use      in the queue program for a running server; in the command for a stopped one
 * JSON     add     {"address", "account", "done": "added"|"changed"}
 *          remove  {"address", "account", "done": "removed"}
 *          list    {"senders": [{"address", "account", "created"}]}
 *          test    {"sender", "address": the line that wins, "account"}; both null where none does
 *          times are RFC 3339 UTC */
#ifndef ROUTE_SENDER_ADMIN_H
#define ROUTE_SENDER_ADMIN_H

#include "base/buf.h"
#include "base/error.h"
#include "spool/spool.h"

struct route_sender_table;

/* All lines of the spool as a table. */
BASE_MUST_USE int route_sender_table_read(
	struct spool *s, struct route_sender_table **out, struct base_error *err);

struct route_sender_request {
	const struct base_slice *words; /* a word "sender" in front is skipped */
	size_t word_count;
	struct base_slice host_name; /* the domain of addresses without one */
	int64_t now_ms;              /* wall clock */
};

/* @words are a command of this kind. */
bool route_sender_admin_knows(const struct base_slice *words, size_t count);
bool route_sender_admin_changes(const struct base_slice *words, size_t count);
/* Changes are made in the open turn of the spool, and what waited for a line is due: the caller commits
 * before it tells of success, and rolls back after an error. @out is appended to.
 * 0; PERMANENT: wrong words, @err says what would be right; EXISTS, NOT_FOUND; or the spool's error. */
BASE_MUST_USE int route_sender_admin_run(struct spool *s, const struct route_sender_request *req,
	struct base_buf *out, struct base_error *err);

#endif
