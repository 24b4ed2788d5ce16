/* cli/client_session.h: one session with a server by the client engine, for commands
 * Job      connect, TLS, log in, then whatever the hooks do; tells each step and, in words, what failed
 * Not      a command line, what is printed (send.c, account_test.c)
 * Secrets  the secret is borrowed for the session; the trace has secrets masked by the engine
 * Order    fill the options, init, run once, look at the failure, release */
#ifndef CLI_CLIENT_SESSION_H
#define CLI_CLIENT_SESSION_H

#include "cli/connection.h"
#include "smtp/client.h"

enum cli_tls { CLI_TLS_NONE, CLI_TLS_STARTTLS, CLI_TLS_IMPLICIT };

struct cli_client_options {
	const char *host;
	uint16_t port;
	enum cli_tls tls;
	bool insecure;                /* take any certificate, plaintext passwords too */
	struct base_slice ca;         /* PEM of further authorities */
	const uint8_t *pin;           /* TLS_PIN_BYTES: this public key and no other; null: none */
	struct base_slice chain, key; /* client certificate, PEM; empty: none */
	bool auth;
	bool auth_if_offered; /* without a mechanism that serves the credential go on unauthenticated */
	enum sasl_credential credential;
	sasl_mechanism_mask mechanisms; /* 0: all that the credential serves */
	struct base_slice user,
		secret; /* password or token; empty where the credential is neither */
	uint32_t connect_ms, reply_ms;
};

enum cli_client_step {
	CLI_STEP_RESOLVED,
	CLI_STEP_CONNECTED,
	CLI_STEP_TLS,
	CLI_STEP_OFFER,     /* EHLO is over: what is offered is known, the mechanism chosen */
	CLI_STEP_LOGGED_IN, /* or ready without, where that was not asked for */
	CLI_STEP_COUNT
};

struct cli_client;

struct cli_client_hooks {
	void *arg;
	/* Lines as they pass, masked; null: nobody looks. */
	void (*line)(void *arg, bool sent, struct base_slice line);
	/* A step was made; null: nobody looks. */
	void (*step)(void *arg, struct cli_client *c, enum cli_client_step step);
	/* READY, DONE, a reply or BODY: write what follows to c->out by c->engine. READY after
	 * CLI_STEP_LOGGED_IN. */
	void (*event)(void *arg, struct cli_client *c, enum smtp_client_event event);
};

/* What ended the session early. */
enum cli_client_end {
	CLI_END_NONE, /* it went as it should, to QUIT */
	CLI_END_RESOLVE,
	CLI_END_CONNECT,
	CLI_END_SETUP,       /* the files given: authorities, client certificate */
	CLI_END_TLS,         /* no handshake */
	CLI_END_CERTIFICATE, /* the server's does not verify, or is not the pinned one */
	CLI_END_SMTP,        /* smtp_client_failure() of the engine says what */
};

struct cli_client {
	const struct cli_client_options *options;
	const struct cli_client_hooks *hooks;
	struct cli_connection connection;
	struct tls_context *context;
	struct smtp_client *engine;
	struct base_buf out; /* secret */
	char helo[CLI_HELO_MAX_BYTES];
	size_t address_count; /* that the host's name has */
	bool quitting, lost;
	enum cli_client_end end;
	bool permanent;     /* trying again will not help */
	char failure[1200]; /* words, safe to print: what failed and why, with the server's reply */
};

/* @options and @hooks are borrowed until release. */
void cli_client_init(struct cli_client *c, const struct cli_client_options *options,
	const struct cli_client_hooks *hooks);
/* The whole session. True: it ended by QUIT; else c->end, c->permanent and c->failure are set. */
bool cli_client_run(struct cli_client *c);
void cli_client_quit(struct cli_client *c);
void cli_client_release(struct cli_client *c);

/* Mechanisms that a library speaks for us, and this build has. */
sasl_mechanism_mask cli_client_foreign(void);

/* "250 2.0.0 text" of the last reply, safe to print, appended; nothing where there was none. */
void cli_client_reply(const struct cli_client *c, struct base_buf *out);
/* "TLSv1.3 TLS_AES_256_GCM_SHA384, certificate verified", or not and why; appended. */
void cli_client_tls_words(const struct cli_client *c, struct base_buf *out);
/* "SCRAM-SHA-256: the strongest of PLAIN, SCRAM-SHA-256 that a password serves"; appended. */
void cli_client_mechanism_words(const struct cli_client *c, struct base_buf *out);
/* Names of a mask, strongest last, joined by ", "; "none". */
void cli_mechanism_names(sasl_mechanism_mask mask, struct base_buf *out);

#endif
