/* cli/spool.h: requests to the queue, through a running server or on its files */
#ifndef CLI_SPOOL_H
#define CLI_SPOOL_H

#include "cli/cli.h"
#include "spool/spool.h"

/* The same on an open spool: what it changed is committed by it. @out is appended to. */
typedef int (*cli_spool_fn)(struct spool *s, const struct conf *conf,
	const struct control_request *request, struct base_buf *out, struct base_error *err);

/* Execute @r. @out is cleared first, then has the answer. Waits up to 20 s for a server that starts, and
 * for other commands. */
int cli_spool_ask(const struct conf *conf, const struct cli_request *r, cli_spool_fn on_files,
	struct base_buf *out, struct base_error *err);

/* sender add, list, remove, test on the files. */
int cli_sender_on_files(struct spool *s, const struct conf *conf,
	const struct control_request *request, struct base_buf *out, struct base_error *err);

#endif
