/* auth/frames.h: the bodies of frames about accounts, read
 * Trust    a relay or fetch that was broken into may send anything that the table of frames lets through
 * Memory   slices borrow the body */
#ifndef AUTH_FRAMES_H
#define AUTH_FRAMES_H

#include "auth/accounts.h"
#include "loop/ipc.h"

struct auth_secret_want {
	struct base_slice account;
	enum ipc_secret what;
	bool refused;
};

/* False: it is no such body; nothing is written. */
BASE_MUST_USE bool auth_account_want_parse(struct base_slice body, struct base_slice *out_account);
BASE_MUST_USE bool auth_secret_want_parse(struct base_slice body, struct auth_secret_want *out);
BASE_MUST_USE bool auth_fetched_parse(struct base_slice body, struct auth_fetch_answer *out);

#endif
