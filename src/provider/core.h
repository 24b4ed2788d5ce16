/* provider/core.h: what a provider process answers
 * Job      ASK frames in, ASKED frames out; the title in the frame must be this process's own
 * Not      asking (source.h)
 * Trust    the frame comes from auth: broken ones are not answered
 * Secrets  passwords stay in the frame, which the loop wipes; @reply must be a secret buffer */
#ifndef PROVIDER_CORE_H
#define PROVIDER_CORE_H

#include "provider/source.h"

/* Ask @source and build the answer in @reply. @scratch is used and cleared.
 * False: the frame is broken or none of ours, nothing to send. */
bool provider_core_answer(const struct ipc_frame *frame, const char *title,
	struct provider_source *source, struct provider_answer *scratch, struct base_buf *reply);

#endif
