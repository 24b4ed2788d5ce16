/* auth/shell.h: what the files of auth's shell share
 * Job      sockets, frames, the store and the clock around auth/core.h */
#ifndef AUTH_SHELL_H
#define AUTH_SHELL_H

#include "auth/core.h"
#include "loop/control.h"
#include "loop/role.h"

#define AUTH_SERVICE_CLIENTS_MAX 2000

struct auth_client;
struct auth_door;
struct auth_ticket;
struct auth_provider;
struct auth_files;
struct auth_accounts;
struct auth_token_ticket;

struct auth_shell {
	struct role *role;
	struct auth_core *core;
	struct vault_store *store;
	uv_timer_t timer;
	struct base_buf frame; /* secret: frames are built here */
	struct auth_client *clients;
	size_t client_count;
	struct auth_door *doors;
	struct auth_ticket *tickets;
	struct auth_provider *providers;
	struct auth_accounts *accounts; /* tokens.c */
	uv_timer_t token_timer;
	bool pumping; /* effects of accounts are being done */
	struct auth_token_ticket *token_tickets;
	struct auth_files *files; /* of sections account NAME { } */
	bool may_connect;         /* the sandbox lets us */
	uint32_t next_ticket;
	int64_t complained_ms; /* when the store's failure was last logged */
};

/* main.c: take all effects, then set the timer. After every call into the core. */
void auth_shell_pump(struct auth_shell *s);
/* Handle an error of the store: log it, not more often than every few seconds. */
void auth_shell_complain(struct auth_shell *s, const char *what, const struct base_error *err);

/* streams.c */
/* Take @fd, a connected stream. */
void auth_client_new(struct auth_shell *s, int fd, bool front);
/* Write what the core has for this client. */
void auth_client_flush(struct auth_client *client);
void auth_client_close(struct auth_client *client, const char *reason);
/* Take @fd, a listening socket. */
void auth_door_open(struct auth_shell *s, const char *name, int fd);
void auth_door_close(struct auth_shell *s, const char *name); /* null: all */
void auth_clients_close_all(struct auth_shell *s);

/* provider.c: providers of type "dovecot" */
/* Connect to those that @conf asks, let go of the others. */
void auth_providers_take(struct auth_shell *s, const struct conf *conf);
void auth_providers_close_all(struct auth_shell *s);
/* Answered by auth_core_asked(), perhaps at once. */
void auth_provider_ask(struct auth_shell *s, const struct auth_effect *e);

/* processes.c: providers with processes of their own */
struct auth_source auth_process_source(const struct conf *conf, const struct conf_provider *p);
void auth_process_ask(struct auth_shell *s, const struct auth_effect *e);
void auth_process_frame(struct auth_shell *s, unsigned index, struct ipc_frame *frame);

/* section_files.c: what the master read for sections account NAME { } */
struct auth_section_files {
	struct base_slice chain, key, ca; /* PEM; empty: it names none */
};
/* Null: nothing was read. */
const struct auth_section_files *auth_section_files_of(struct auth_shell *s, const char *name);
/* An ACCOUNT_CERTIFICATE frame. True: something changed. */
bool auth_section_files_take(
	struct auth_shell *s, struct ipc_frame *frame, struct base_slice *out_name);
void auth_section_files_forget(struct auth_shell *s, const char *name);
void auth_section_files_release(struct auth_shell *s);

/* control.c */
void auth_control_request(
	struct role *r, const struct control_request *req, struct control_reply *reply);
void auth_control_tested(struct auth_shell *s, uint32_t ticket, unsigned result);
void auth_tickets_drop(struct auth_shell *s);

#endif
