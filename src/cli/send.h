/* cli/send.h: one message to one server
 * Job      drive transactions on a session of client_session.h, tell what became of each recipient
 * Files    send.c the command, the envelope and the message; send_login.c server, TLS and credentials;
 *          send_session.c the transactions
 * Secrets  password, token and key are borrowed for the session */
#ifndef CLI_SEND_H
#define CLI_SEND_H

#include "cli/cli.h"
#include "cli/client_session.h"
#include "loop/account.h"

#define SEND_PEM_MAX_BYTES ((size_t)1 << 20)

struct send_job {
	struct cli_client_options server;
	bool trace;
	struct smtp_client_mail mail;
	const struct smtp_client_rcpt *rcpts;
	size_t rcpt_count;
	struct base_slice message;
};

/* CLI_OK: all were accepted; CLI_FAILED: somebody was refused; CLI_TEMPORARY: later it may work. */
int send_run(const struct cli *cli, const struct send_job *job);

/* What struct cli_client_options borrows. */
struct send_login {
	char host[BASE_HOST_NAME_MAX_BYTES + 1];
	uint8_t pin[ACCOUNT_PIN_BYTES];
	struct base_buf ca, chain;
	struct base_buf key; /* secret */
	struct base_secret secret;
};

void send_login_init(struct send_login *login);
void send_login_release(struct send_login *login);
/* --server --tls --ca --insecure --pin --cert --key --auth --user --password-stdin --token-stdin: judge
 * them; no file is read yet. An exit status. */
int send_login_parse(
	const struct cli *cli, struct send_login *login, struct cli_client_options *out);
/* Read the files, then the secret: it is the first line of standard input, the message may be the
 * rest. */
int send_login_read(
	const struct cli *cli, struct send_login *login, struct cli_client_options *out);
/* "-" is standard input. */
int send_read_file(const struct cli *cli, const char *path, struct base_buf *out);

#endif
