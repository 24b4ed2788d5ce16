/* checkpassword/core.h: is what stood on descriptor 3 right, given what is stored
 * Job      the three strings as one login with up to three readings; one comparison for each
 * Not      where stored forms come from (sources.h), exit statuses (main.c)
 * Trust    the strings are a stranger's
 * Time     one password hash for each call of checkpassword_judge(), whether the user is known or
 *          not
 * Secrets  all borrowed; nothing is kept
 *
 * A third string that is not empty may be a timestamp beside a password, as POP3 servers send it
 * with PASS; or the challenge of CRAM-MD5; or that of APOP. Nothing in the bytes says which, so all
 * are tried:
 *
 *	password   string 2 is the password
 *	CRAM-MD5   digest = hex(HMAC-MD5(password, challenge))
 *	APOP       digest = hex(MD5(challenge password))
 *
 * where digest and challenge are strings 2 and 3, or in the legacy order 3 and 2. */
#ifndef CHECKPASSWORD_CORE_H
#define CHECKPASSWORD_CORE_H

#include "wire/checkpassword.h"

enum checkpassword_verdict {
	CHECKPASSWORD_RIGHT,
	CHECKPASSWORD_WRONG,   /* the source knows the user, and this is not the password */
	CHECKPASSWORD_UNKNOWN, /* the source does not know the user: ask the next */
	CHECKPASSWORD_CANNOT,  /* the source does not answer */
};

struct checkpassword_login {
	struct base_slice name, password;
	struct base_slice digest, challenge; /* challenge empty: a password it is */
};

/* @in is borrowed as long as @out is used. */
BASE_MUST_USE enum wire_checkpassword_result checkpassword_login_read(
	struct base_slice in, enum wire_checkpassword_order order, struct checkpassword_login *out);

/* Against a stored form (vault/verify.h; empty: no such user, and the default work is done) and the
 * clear password, where the source has it; else that is empty. RIGHT, WRONG or CANNOT. */
enum checkpassword_verdict checkpassword_judge(const struct checkpassword_login *login,
	struct base_slice password, struct base_slice stored, struct base_slice clear);
/* CRAM-MD5 and APOP alone. */
BASE_MUST_USE bool checkpassword_digest_right(
	const struct checkpassword_login *login, struct base_slice clear);

#endif
