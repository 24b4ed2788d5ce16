/* cli/fetch.h: one HTTPS request from a command, by the program that makes them
 * Job      start postern-fetch on a socket, ask, wait; the same frames as auth's
 * Secrets  the form and the answer are secret buffers */
#ifndef CLI_FETCH_H
#define CLI_FETCH_H

#include "cli/cli.h"

struct cli_fetch; /* a running postern-fetch */

/* 0, or CONFIG: the program is missing. */
BASE_MUST_USE int cli_fetch_open(
	struct cli_fetch **out, const struct conf *conf, struct base_error *err);
/* POST @form (application/x-www-form-urlencoded), or GET where it is empty. @ca: PEM beside the system's and
 * tls { ca }'s. 0: a server answered, *out_status and @out_body (a secret buffer, appended) are set; or
 * TEMPORARY: nobody answered; CONFIG: the address or the certificate is refused. @err says why. */
BASE_MUST_USE int cli_fetch(struct cli_fetch *f, const char *url, struct base_slice form,
	struct base_slice ca, uint32_t timeout_ms, unsigned *out_status, struct base_buf *out_body,
	struct base_error *err);
void cli_fetch_close(struct cli_fetch **f);

#endif
