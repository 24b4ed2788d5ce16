/* cli/send.h: one message to one server, by the client engine
 * Job      connect, TLS, drive smtp/client.h, tell what became of each recipient
 * Not      the command line (send.c)
 * Secrets  the password is borrowed for the session; the trace has secrets masked by the engine */
#ifndef CLI_SEND_H
#define CLI_SEND_H

#include "cli/cli.h"
#include "loop/tls.h"
#include "smtp/client.h"

enum send_tls { SEND_TLS_NONE, SEND_TLS_STARTTLS, SEND_TLS_IMPLICIT };

struct send_job {
	const char *host;
	const char *port;
	enum send_tls tls;
	bool insecure; /* take any certificate, plaintext passwords too */
	bool trace;
	struct base_slice ca; /* PEM of further authorities */
	bool auth;
	sasl_mechanism_mask mechanisms; /* 0: all */
	struct base_slice user, password;
	struct smtp_client_mail mail;
	const struct smtp_client_rcpt *rcpts;
	size_t rcpt_count;
	struct base_slice message;
};

/* CLI_OK: all were accepted; CLI_FAILED: somebody was refused; CLI_TEMPORARY: later it may work. */
int send_run(const struct cli *cli, const struct send_job *job);

#endif
