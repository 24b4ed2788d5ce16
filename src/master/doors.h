/* master/doors.h: the sockets that the master listens on and gives to roles
 * Job      bind all that a configuration asks for; after a reload bind what is new, keep what stays,
 *          close what is gone
 * Not      accepting: the roles do
 * Order    doors_open() at the start (all or nothing), doors_change() at a reload (what can be) */
#ifndef MASTER_DOORS_H
#define MASTER_DOORS_H

#include "loop/conf.h"
#include "master/privilege.h"

struct door {
	enum ipc_listener kind;
	char *name;               /* title; "auth", "queue", "journal", "auth_service" */
	struct base_addr address; /* SMTP */
	char *path;               /* the others */
	unsigned mode;
	int fd;     /* -1: could not be bound */
	bool fresh; /* since the last doors_change(): roles do not have it yet */
	bool kept;  /* of an old door: its socket lives on under the same name */
};

struct doors {
	struct door *items;
	size_t count;
	struct door *gone; /* of the last change: roles must close them; fd is -1 */
	size_t gone_count;
};

BASE_MUST_USE int doors_open(struct doors *d, const struct conf *conf,
	const struct account *account, struct base_error *err);
/* Failures are logged and leave that door out. */
void doors_change(struct doors *d, const struct conf *conf, const struct account *account);
void doors_gone_clear(struct doors *d);
/* Does this door belong to @role? */
bool door_is_for(const struct door *door, enum ipc_role role);
/* Stop listening here (roles hold theirs); socket files are removed if @unlink_paths. */
void doors_close(struct doors *d, const struct account *account, bool unlink_paths);

#endif
