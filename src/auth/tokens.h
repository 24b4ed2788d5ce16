/* auth/tokens.h: the shell around auth/accounts.h: the vault, fetch, the clock, the log
 * Order    open after the store; auth_tokens_pump() after what is not done here */
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include "auth/accounts.h"
#include "auth/relay.h"

#include <jansson.h>

/* Take every OAuth account of the vault. */
void auth_tokens_open(struct auth_shell *s);
/* A last try to write what the vault does not have yet. */
void auth_tokens_close(struct auth_shell *s);
/* The account was added, replaced or removed in the vault. */
void auth_tokens_account_changed(struct auth_shell *s, const char *name);
/* Another configuration: sections may say other user names. */
void auth_tokens_configure(struct auth_shell *s, const struct conf *fresh);

/* Answered by auth_secret_send(), or auth_account_token_answer() for a command; perhaps at once. */
void auth_tokens_want(struct auth_shell *s, const struct auth_account *account,
	struct auth_asker asker, bool refused);
void auth_tokens_relay_gone(struct auth_shell *s, unsigned relay);
void auth_tokens_fetch(struct auth_shell *s, bool up);
void auth_tokens_frame(struct auth_shell *s, struct ipc_frame *frame);
/* Null: all. False: none of them fails. */
bool auth_tokens_retry(struct auth_shell *s, const char *name);
void auth_tokens_pump(struct auth_shell *s);

/* control_account.c */
void auth_account_token(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply);
void auth_account_retry(
	struct auth_shell *s, const struct control_request *req, struct control_reply *reply);
void auth_account_token_answer(struct auth_shell *s, const struct auth_token_effect *e);
void auth_account_tickets_drop(struct auth_shell *s);
/* "token" of account list; null: it is no OAuth account. */
json_t *auth_account_token_json(const char *name, void *shell);
/* What status tells of tokens. */
void auth_account_status(struct auth_shell *s, json_t *out);

#endif
