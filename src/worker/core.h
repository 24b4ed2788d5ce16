/* worker/core.h: what a worker answers
 * Job      VERIFY and HASH frames in, VERIFIED and HASHED frames out
 * Time     a password hash's: that is what workers are for
 * Secrets  passwords stay in the frame, which the loop wipes; @reply must be a secret buffer */
#ifndef WORKER_CORE_H
#define WORKER_CORE_H

#include "loop/ipc.h"
#include "vault/credentials.h"

/* Build the answer in @reply. @random: VAULT_CREDENTIALS_RANDOM_BYTES fresh bytes.
 * False: the frame is broken, nothing to send. */
bool worker_core_answer(
	const struct ipc_frame *frame, const uint8_t *random, struct base_buf *reply);

#endif
