/* auth/relay.h: accounts of the shell: what relays ask and are told
 * Secrets  they go from the vault into a frame and nowhere else */
#ifndef AUTH_RELAY_H
#define AUTH_RELAY_H

#include "auth/frames.h"
#include "auth/merged.h"
#include "auth/shell.h"

struct auth_account {
	char name[VAULT_NAME_MAX_BYTES + 1];
	struct vault_account row;
	struct auth_merged merged; /* borrows row, and the configuration */
};

/* By section and vault. 0; NOT_FOUND: neither knows it, or no url is known; else the vault's error. */
BASE_MUST_USE int auth_account_find(struct auth_shell *s, struct base_slice name,
	struct auth_account *out, struct base_error *err);
void auth_relay_frame(
	struct auth_shell *s, unsigned relay, struct ipc_channel *ch, struct ipc_frame *frame);
/* Answer a SECRET_WANT. */
void auth_secret_send(struct auth_shell *s, unsigned relay, uint32_t id, int class,
	const char *user, struct base_slice secret, const char *reason);
/* Tell all relays. */
void auth_account_changed(struct auth_shell *s, const char *name);
/* The same for what differs between two configurations. */
void auth_sections_changed(struct auth_shell *s, const struct conf *old, const struct conf *fresh);

#endif
