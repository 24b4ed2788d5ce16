/* master/places.h: the directories in which the roles work, and whose they are
 * Job      data/, run/ and the fixed part of maildir routes: made where absent, given to the account
 * Limits   directories that exist are not given away but for data/ and run/ */
#ifndef MASTER_PLACES_H
#define MASTER_PLACES_H

#include "loop/conf.h"
#include "master/privilege.h"

/* As root without `user` in the configuration and without an account of our own, the roles are to be
 * "nobody". Where nobody cannot reach or write what the configuration names (a home directory, a
 * temporary directory of root's), they stay root's instead, without any capability and in the same
 * sandbox, with a warning: @account is changed to that. */
BASE_MUST_USE int places_prepare(
	const struct conf *conf, struct account *account, struct base_error *err);

#endif
