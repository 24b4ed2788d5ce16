/* spool/sender.h: the sender table, durable
 * Job      lines (an address, a domain, …) and the account of each, in spool.db beside the messages
 * Not      what a line means and which one wins (route/sender.h): texts are opaque here
 * Order    changes belong to the turn like those of messages: the caller commits */
#ifndef SPOOL_SENDER_H
#define SPOOL_SENDER_H

#include "spool/spool.h"

struct spool_sender {
	struct base_slice line, account;
	int64_t created_ms;
};

/* EXISTS: the line is there, and @replace is false; nothing was undone. *out_replaced: it was there. */
BASE_MUST_USE int spool_sender_put(struct spool *s, const struct spool_sender *line, bool replace,
	bool *out_replaced, struct base_error *err);
/* NOT_FOUND: there is no such line (@err untouched). */
BASE_MUST_USE int spool_sender_remove(
	struct spool *s, struct base_slice line, struct base_error *err);
/* All of them in the order of their texts; @fn borrows for its call. */
BASE_MUST_USE int spool_sender_each(struct spool *s,
	void (*fn)(void *arg, const struct spool_sender *line), void *arg, struct base_error *err);

#endif
