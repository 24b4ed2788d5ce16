/* master/privilege.h: the account of the roles, and what root keeps of root
 * Job      find the account, give data/ and run/ to it, drop what the master does not need, become the
 *          account in a new child
 * Limits   started as another user than root there is nothing to change, and nothing is */
#ifndef MASTER_PRIVILEGE_H
#define MASTER_PRIVILEGE_H

#include "base/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct account {
	bool change; /* started as root, and the roles are not to be */
	bool gain;   /* set-id programs may gain privileges (run_as) */
	char name[64];
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	int group_count;
};

/* @wanted: `user` of the configuration, or null or empty: postern, else nobody (with a log line). */
BASE_MUST_USE int account_find(const char *wanted, struct account *out, struct base_error *err);
/* Make the directory if it is absent; as root: it belongs to the account, and so do the plain files in
 * it that root made (only if the directory was root's, so that nobody else chose them). */
BASE_MUST_USE int account_directory(
	const struct account *a, const char *path, mode_t mode, struct base_error *err);
/* Can the account enter the directory? If not, @err names the part of the path that stands in the way. */
BASE_MUST_USE int account_reaches(
	const struct account *a, const char *path, struct base_error *err);
/* File system actions between these two are the account's. */
void account_files_begin(const struct account *a);
void account_files_end(const struct account *a);
/* Keep only the capabilities to bind ports, read keys and start and end roles. @other_sockets: also
 * to connect to the sockets of other programs (auth { service }). */
BASE_MUST_USE int account_drop(const struct account *a, bool other_sockets, struct base_error *err);
/* In a child between fork and exec: 0 or errno. Calls only what is safe there. */
int account_become(const struct account *a);

#endif
