/* provider/found.h: what sources that are files answer, once the user was looked for
 * Time     SCRAM's keys are derived for everybody, also for those who do not exist or have none to
 *          be derived, so that the time tells nothing; PASSWORD does a hash's work for everybody
 * Secrets  @entry->stored is read, keys are wiped */
#ifndef PROVIDER_FOUND_H
#define PROVIDER_FOUND_H

#include "provider/source.h"
#include "vault/file.h"

/* @where: "\"/etc/users\"", for the reason; BROKEN with @why (may be null) in place of the
 * entry's. */
void provider_answer_found(enum vault_file_result result, const struct vault_file_entry *entry,
	const struct provider_question *q, const char *where, const char *why,
	struct provider_answer *a);

#endif
