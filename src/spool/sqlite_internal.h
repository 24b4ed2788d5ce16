/* spool/sqlite_internal.h: the open database, for tables beside messages and work (sqlite_sender.c) */
#ifndef SPOOL_SQLITE_INTERNAL_H
#define SPOOL_SQLITE_INTERNAL_H

#include "spool/spool.h"

#include <sqlite3.h>

/* What callers borrowed from the last read is given back. */
sqlite3 *spool_sqlite(struct spool *s);
/* Fill @err from a failed SQLite call and return its class. */
int spool_sqlite_report(struct spool *s, int rc, const char *what, struct base_error *err);
/* The same for a change: the turn is undone. */
int spool_sqlite_fail_turn(struct spool *s, int rc, const char *what, struct base_error *err);

#endif
