/* vault/name.h: names of users
 * Job      what a name may be, and the key under which it is stored and compared
 * Trust    hostile bytes
 *
 * ASCII case is ignored, all else is compared byte by byte (SASLprep came before). */
#ifndef VAULT_NAME_H
#define VAULT_NAME_H

#include "base/buf.h"

#define VAULT_NAME_MAX_BYTES 255

struct vault_key {
	char text[VAULT_NAME_MAX_BYTES + 1]; /* NUL-ended, ASCII lower case, with a domain */
	size_t len;
};

/* False: empty, too long, not UTF-8, or a control in it. @default_domain (may be empty) is appended
 * after "@" where the name has no "@". */
BASE_MUST_USE bool vault_key_make(
	struct base_slice name, struct base_slice default_domain, struct vault_key *out);
struct base_slice vault_key_slice(const struct vault_key *key);
/* "NAME/LABEL" (the last "/") names an app password where the mechanism hides the password.
 * False: no such form. */
bool vault_name_split_app(
	struct base_slice name, struct base_slice *out_name, struct base_slice *out_label);
/* 1 to 64 of letters, digits, "._-". */
bool vault_label_valid(struct base_slice label);

#endif
