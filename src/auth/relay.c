/* What relays ask: what an account is (ACCOUNT_WANT), and its secret for one exchange (SECRET_WANT). */
#include "auth/tokens.h"

#include "loop/account.h"

#include <string.h>

/* A PEM chain and a key go into one SECRET frame. */
enum { PAIR_MAX_BYTES = 60 * 1024 };

/* No sound relay leaves that much unread, not even after it asked for thousands of accounts at once; another
 * one must not fill our memory. */
enum { ANSWERS_MAX_BYTES = 64 << 20 };

static bool is_heard(const struct ipc_channel *ch)
{
	return ch && ipc_channel_pending(ch) <= ANSWERS_MAX_BYTES;
}

int auth_account_find(struct auth_shell *s, struct base_slice name, struct auth_account *out,
	struct base_error *err)
{
	const struct conf_account *section;
	int rc;

	if (!name.len || name.len >= sizeof(out->name) || base_slice_has(name, 0))
		return base_error_set(
			err, BASE_ERROR_NOT_FOUND, 0, "this is no name of an account");
	memcpy(out->name, name.ptr, name.len);
	out->name[name.len] = '\0';
	section = conf_account_find(role_conf(s->role), out->name);
	rc = vault_store_account_get(s->store, name, &out->row, err);
	if (rc != 0 && rc != BASE_ERROR_NOT_FOUND) {
		auth_shell_complain(s, "what the vault knows of an account cannot be read", err);
		return rc;
	}
	if (rc != 0 && !section)
		return base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
			"there is no account \"%s\" (see postern account list)", out->name);
	auth_merge(section, rc == 0 ? &out->row : NULL, &out->merged);
	if (!*out->merged.url)
		return base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
			"account \"%s\" has no url (see postern account add --url)", out->name);
	return 0;
}

/* The authorities of its own, appended. */
static int read_ca(struct auth_shell *s, const struct auth_account *a, struct base_buf *out,
	struct base_error *err)
{
	const struct conf_account *section = a->merged.section;
	const struct auth_section_files *files;
	int rc;

	if (!a->merged.ca)
		return 0;
	if (section && section->ca) {
		files = auth_section_files_of(s, a->name);
		if (!files || !files->ca.len)
			return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
				"its authorities in \"%s\" were not read (see the log)",
				section->ca);
		base_buf_append_slice(out, files->ca);
		return 0;
	}
	rc = vault_store_account_part_get(
		s->store, base_slice_text(a->name), VAULT_ACCOUNT_CA, out, err);
	if (rc != 0)
		auth_shell_complain(s, "authorities of an account cannot be read", err);
	return rc;
}

static void on_account_want(struct auth_shell *s, struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct account_info info = {.class = BASE_ERROR_PEER};
	struct auth_account a = {.name = ""};
	struct base_slice name;
	struct base_error err;
	struct base_buf ca;

	base_buf_init(&ca, ACCOUNT_CA_MAX_BYTES);
	if (auth_account_want_parse(frame->body, &name))
		info.class = auth_account_find(s, name, &a, &err);
	if (info.class == 0)
		info.class = read_ca(s, &a, &ca, &err);
	if (info.class == 0)
		info = (struct account_info){
			.url = base_slice_text(a.merged.url),
			.credential = (uint8_t)a.merged.credential,
			.mechanisms = a.merged.mechanisms,
			.ca = base_buf_slice(&ca),
			.pin = base_slice_text(a.merged.pin),
			.certificate = a.merged.certificate,
			.connections = a.merged.connections,
			.rate_count = a.merged.rate_count,
			.rate_s = a.merged.rate_s,
		};
	ipc_begin(&s->frame, IPC_ACCOUNT, frame->id);
	account_info_put(&s->frame, &info);
	(void)ipc_send(ch, &s->frame, NULL, 0);
	base_buf_clear(&s->frame);
	base_buf_release(&ca);
}

void auth_secret_send(struct auth_shell *s, unsigned relay, uint32_t id, int class,
	const char *user, struct base_slice secret, const char *reason)
{
	struct ipc_channel *ch = role_peer(s->role, IPC_RELAY, relay);

	if (!is_heard(ch))
		return;
	ipc_begin(&s->frame, IPC_SECRET, id);
	ipc_put_u8(&s->frame, (uint8_t) - class);
	ipc_put_text(&s->frame, class == 0 ? user : "");
	ipc_put_bytes(&s->frame, class == 0 ? secret : BASE_SLICE_EMPTY);
	ipc_put_text(&s->frame, class == 0 ? "" : reason);
	(void)ipc_send(ch, &s->frame, NULL, 0);
	base_buf_clear(&s->frame);
}

static int no_secret(const struct auth_account *a, struct base_error *err)
{
	return base_error_set(err, BASE_ERROR_NOT_FOUND, 0,
		"no secret is kept for account \"%s\" (see postern account add)", a->name);
}

/* One part of it; NOT_FOUND in words. */
static int read_part(struct auth_shell *s, const struct auth_account *a,
	enum vault_account_part part, struct base_buf *out, struct base_error *err)
{
	int rc = vault_store_account_part_get(s->store, base_slice_text(a->name), part, out, err);

	if (rc == BASE_ERROR_NOT_FOUND)
		return no_secret(a, err);
	if (rc != 0)
		auth_shell_complain(s, "an account's secret cannot be read", err);
	return rc;
}

/* u32 length and PEM chain, u32 length and PEM key. */
static int read_pair(struct auth_shell *s, const struct auth_account *a, struct base_buf *out,
	struct base_error *err)
{
	const struct conf_account *section = a->merged.section;
	const struct auth_section_files *files;
	struct base_buf chain, key;
	int rc = 0;

	if (!a->merged.certificate)
		return no_secret(a, err);
	base_buf_init_secret(&chain, PAIR_MAX_BYTES);
	base_buf_init_secret(&key, PAIR_MAX_BYTES);
	if (section && section->certificate) {
		files = auth_section_files_of(s, a->name);
		if (files && files->chain.len) {
			base_buf_append_slice(&chain, files->chain);
			base_buf_append_slice(&key, files->key);
		} else {
			rc = base_error_set(err, BASE_ERROR_TEMPORARY, 0,
				"certificate \"%s\" was not read (see the log)",
				section->certificate);
		}
	} else {
		rc = read_part(s, a, VAULT_ACCOUNT_CHAIN, &chain, err);
		if (rc == 0)
			rc = read_part(s, a, VAULT_ACCOUNT_KEY, &key, err);
	}
	if (rc == 0) {
		ipc_put_bytes(out, base_buf_slice(&chain));
		ipc_put_bytes(out, base_buf_slice(&key));
	}
	if (rc == 0 && (!base_buf_ok(out) || !base_buf_ok(&chain) || !base_buf_ok(&key)))
		rc = base_error_set(err, BASE_ERROR_CONFIG, 0,
			"certificate and key of account \"%s\" are longer than %d bytes", a->name,
			(int)PAIR_MAX_BYTES);
	base_buf_release(&chain);
	base_buf_release(&key);
	return rc;
}

/* What is known at once; a token comes later. */
static void answer_now(struct auth_shell *s, unsigned relay, uint32_t id,
	const struct auth_account *a, enum ipc_secret what)
{
	struct base_error err = {0};
	struct base_buf secret;
	int rc = 0;

	base_buf_init_secret(&secret, PAIR_MAX_BYTES);
	if (what == IPC_SECRET_CERTIFICATE)
		rc = read_pair(s, a, &secret, &err);
	else if (a->merged.credential == SASL_CREDENTIAL_PASSWORD && !a->merged.row)
		rc = no_secret(a, &err);
	else if (a->merged.credential == SASL_CREDENTIAL_PASSWORD)
		rc = read_part(s, a, VAULT_ACCOUNT_SECRET, &secret, &err);
	auth_secret_send(s, relay, id, rc, a->merged.user, base_buf_slice(&secret), err.text);
	base_buf_release(&secret);
}

static void on_secret_want(struct auth_shell *s, unsigned relay, struct ipc_frame *frame)
{
	struct auth_secret_want want;
	struct auth_account a = {.name = ""};
	struct base_error err;
	int rc;

	if (auth_secret_want_parse(frame->body, &want))
		rc = auth_account_find(s, want.account, &a, &err);
	else
		rc = base_error_set(&err, BASE_ERROR_PEER, 0, "the question cannot be read");
	if (rc != 0)
		auth_secret_send(s, relay, frame->id, rc, "", BASE_SLICE_EMPTY, err.text);
	else if (want.what == IPC_SECRET_LOGIN && a.merged.credential == SASL_CREDENTIAL_TOKEN)
		auth_tokens_want(s, &a, (struct auth_asker){relay, frame->id}, want.refused);
	else
		answer_now(s, relay, frame->id, &a, want.what);
}

void auth_relay_frame(
	struct auth_shell *s, unsigned relay, struct ipc_channel *ch, struct ipc_frame *frame)
{
	if (!is_heard(ch))
		return;
	if (frame->type == IPC_ACCOUNT_WANT)
		on_account_want(s, ch, frame);
	else if (frame->type == IPC_SECRET_WANT)
		on_secret_want(s, relay, frame);
}

void auth_account_changed(struct auth_shell *s, const char *name)
{
	unsigned count = role_peer_count(s->role, IPC_RELAY);

	ipc_begin(&s->frame, IPC_ACCOUNT_CHANGED, 0);
	ipc_put_text(&s->frame, name);
	for (unsigned i = 0; i < count; i++) {
		struct ipc_channel *ch = role_peer(s->role, IPC_RELAY, i);

		if (ch)
			(void)ipc_send(ch, &s->frame, NULL, 0);
	}
	base_buf_clear(&s->frame);
}

/* A section is told of when it is new, gone or another now. Its files, read anew, come after this. */
void auth_sections_changed(struct auth_shell *s, const struct conf *old, const struct conf *fresh)
{
	for (size_t i = 0; i < old->account_count; i++) {
		const struct conf_account *was = &old->accounts[i];
		const struct conf_account *is = conf_account_find(fresh, was->title);

		if (!is || !auth_section_same_files(was, is))
			auth_section_files_forget(s, was->title);
		if (!auth_section_same(was, is))
			auth_account_changed(s, was->title);
	}
	for (size_t i = 0; i < fresh->account_count; i++)
		if (!conf_account_find(old, fresh->accounts[i].title))
			auth_account_changed(s, fresh->accounts[i].title);
}
