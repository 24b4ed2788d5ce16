#include "auth/tokens.h"

#include "base/clock.h"
#include "loop/log.h"

#include <stdlib.h>
#include <string.h>

static struct auth_now now_of(void)
{
	return (struct auth_now){base_clock_monotonic_ms(), base_clock_wall_ms()};
}

/* The user name that a section or the vault says. */
static const char *user_of(const struct conf *conf, const struct vault_account *row)
{
	const struct conf_account *section = conf_account_find(conf, row->name);

	return section && section->user ? section->user : row->user;
}

static void load(struct auth_shell *s, const struct vault_account *row)
{
	struct base_slice name = base_slice_text(row->name);
	struct base_buf profile, tokens;
	struct base_error err = {0};
	int rc;

	base_buf_init_secret(&profile, VAULT_OAUTH_PROFILE_MAX_BYTES);
	base_buf_init_secret(&tokens, VAULT_OAUTH_STATE_MAX_BYTES);
	rc = vault_store_account_part_get(s->store, name, VAULT_ACCOUNT_SECRET, &profile, &err);
	if (rc == 0 && row->has_token)
		rc = vault_store_account_part_get(
			s->store, name, VAULT_ACCOUNT_TOKEN, &tokens, &err);
	if (rc == 0 || rc == BASE_ERROR_NOT_FOUND)
		auth_accounts_put(s->accounts, row->name, user_of(role_conf(s->role), row),
			base_buf_slice(&profile), base_buf_slice(&tokens), now_of());
	else
		auth_shell_complain(s, "an account's profile cannot be read", &err);
	base_buf_release(&profile);
	base_buf_release(&tokens);
}

struct rows {
	struct vault_account *items;
	size_t count;
};

static bool collect(const struct vault_account *row, void *arg)
{
	struct rows *rows = arg;

	if (row->kind != VAULT_ACCOUNT_OAUTH)
		return true;
	rows->items = base_realloc(rows->items, (rows->count + 1) * sizeof(*row));
	rows->items[rows->count++] = *row;
	return true;
}

void auth_tokens_open(struct auth_shell *s)
{
	uint8_t seed[AUTH_TOKEN_SEED_BYTES];
	struct rows rows = {NULL, 0};
	struct base_error err;

	base_random_fill(seed, sizeof(seed));
	s->accounts = auth_accounts_new(seed);
	base_wipe(seed, sizeof(seed));
	if (vault_store_account_each(s->store, collect, &rows, &err) != 0)
		auth_shell_complain(s, "accounts cannot be read", &err);
	for (size_t i = 0; i < rows.count; i++)
		load(s, &rows.items[i]);
	free(rows.items);
}

void auth_tokens_account_changed(struct auth_shell *s, const char *name)
{
	struct vault_account row;
	struct base_error err;
	int rc = vault_store_account_get(s->store, base_slice_text(name), &row, &err);

	if (rc == 0 && row.kind == VAULT_ACCOUNT_OAUTH)
		load(s, &row);
	else if (rc == 0 || rc == BASE_ERROR_NOT_FOUND)
		auth_accounts_remove(s->accounts, name, now_of());
	else
		auth_shell_complain(s, "a changed account cannot be read", &err);
	auth_tokens_pump(s);
}

static void rename_user(struct auth_shell *s, const struct conf *fresh, const char *name)
{
	struct vault_account row;

	if (vault_store_account_get(s->store, base_slice_text(name), &row, NULL) == 0)
		auth_accounts_user(s->accounts, name, user_of(fresh, &row));
}

void auth_tokens_configure(struct auth_shell *s, const struct conf *fresh)
{
	const struct conf *old = role_conf(s->role);

	for (size_t i = 0; i < old->account_count; i++)
		rename_user(s, fresh, old->accounts[i].title);
	for (size_t i = 0; i < fresh->account_count; i++)
		rename_user(s, fresh, fresh->accounts[i].title);
}

void auth_tokens_want(struct auth_shell *s, const struct auth_account *account,
	struct auth_asker asker, bool refused)
{
	const char *name = account->name;

	if (!auth_accounts_want(s->accounts, name, asker, refused, now_of())) {
		/* The vault could not be read when it was time. */
		load(s, &account->row);
		if (!auth_accounts_want(s->accounts, name, asker, refused, now_of())) {
			struct auth_token_effect e = {
				.kind = AUTH_TOKEN_ANSWER,
				.name = name,
				.asker = asker,
				.class = BASE_ERROR_TEMPORARY,
				.reason = "the vault does not answer",
			};

			if (asker.relay == AUTH_ASKER_COMMAND)
				auth_account_token_answer(s, &e);
			else
				auth_secret_send(s, asker.relay, asker.id, e.class, "",
					BASE_SLICE_EMPTY, e.reason);
			return;
		}
	}
	auth_tokens_pump(s);
}

void auth_tokens_relay_gone(struct auth_shell *s, unsigned relay)
{
	auth_accounts_relay_gone(s->accounts, relay);
}

void auth_tokens_fetch(struct auth_shell *s, bool up)
{
	if (up)
		auth_accounts_fetch_up(s->accounts, now_of());
	else
		auth_accounts_fetch_down(s->accounts, now_of());
	auth_tokens_pump(s);
}

void auth_tokens_frame(struct auth_shell *s, struct ipc_frame *frame)
{
	struct auth_fetch_answer answer;

	if (frame->type != IPC_FETCHED)
		return;
	if (!auth_fetched_parse(frame->body, &answer))
		answer = (struct auth_fetch_answer){.class = BASE_ERROR_PEER,
			.error = BASE_SLICE("the answer to the HTTPS request cannot be read")};
	auth_accounts_fetched(s->accounts, frame->id, &answer, now_of());
	auth_tokens_pump(s);
}

bool auth_tokens_retry(struct auth_shell *s, const char *name)
{
	bool any = auth_accounts_retry(s->accounts, name, now_of());

	auth_tokens_pump(s);
	return any;
}

/* Effects */

static void do_save(struct auth_shell *s, const struct auth_token_effect *e)
{
	struct base_error err;
	int rc = vault_store_account_part_put(
		s->store, base_slice_text(e->name), VAULT_ACCOUNT_TOKEN, e->secret, &err);

	auth_accounts_saved(s->accounts, e->name, rc == 0 ? NULL : err.text, now_of());
}

static void do_log(const struct auth_token_effect *e)
{
	static const struct {
		enum log_level level;
		const char *text;
	} lines[] = {
		[AUTH_TOKEN_LOG_REFUSED] = {LOG_LEVEL_WARNING,
			"no token is given to it, its mail waits; a person must act"},
		[AUTH_TOKEN_LOG_LATER] = {LOG_LEVEL_WARNING,
			"no token can be had for it now, its mail waits; tried again by itself"},
		[AUTH_TOKEN_LOG_WORKS] = {LOG_LEVEL_INFO, "it has a token again"},
		[AUTH_TOKEN_LOG_NOT_SAVED] = {LOG_LEVEL_WARNING,
			"its new token cannot be kept in the vault: it is used, written again "
			"every "
			"10 s, and lost if the server ends before"},
		[AUTH_TOKEN_LOG_SAVED] = {LOG_LEVEL_INFO,
			"its new token is kept in the vault at last"},
	};
	bool bad = lines[e->what].level == LOG_LEVEL_WARNING;
	struct log_record record;
	struct base_buf text;

	base_buf_init(&text, LOG_VALUE_MAX_BYTES);
	base_buf_printf(&text, "account \"%s\": %s", e->name, lines[e->what].text);
	if (e->what == AUTH_TOKEN_LOG_REFUSED)
		base_buf_printf(&text,
			": postern account add %s --oauth google|microsoft|FILE --replace",
			e->name);
	log_begin(&record, lines[e->what].level, LOG_KIND_SYSTEM);
	log_put(&record, LOG_KEY_TEXT, base_buf_slice(&text));
	log_put_text(&record, LOG_KEY_ACCOUNT, e->name);
	if (bad)
		log_put_text(&record, LOG_KEY_REASON, e->reason);
	if (bad && e->next_ms)
		log_put_i64(&record, LOG_KEY_NEXT, e->next_ms);
	log_commit(&record);
	base_buf_release(&text);
}

static void do_answer(struct auth_shell *s, const struct auth_token_effect *e)
{
	struct auth_account a = {.name = ""};
	struct base_error err;
	int rc = e->class;

	if (e->asker.relay == AUTH_ASKER_COMMAND) {
		auth_account_token_answer(s, e);
		return;
	}
	if (rc == 0)
		rc = auth_account_find(s, base_slice_text(e->name), &a, &err);
	auth_secret_send(s, e->asker.relay, e->asker.id, rc, rc == 0 ? a.merged.user : "",
		e->secret, e->class ? e->reason : err.text);
}

/* A channel that breaks here is reported by peer_gone(), and the request is made again. */
static void do_fetch(struct auth_shell *s, const struct auth_token_effect *e)
{
	struct ipc_channel *ch = role_peer(s->role, IPC_FETCH, 0);

	ipc_begin(&s->frame, IPC_FETCH_WANT, e->id);
	ipc_put_text(&s->frame, e->url);
	ipc_put_bytes(&s->frame, e->secret);
	ipc_put_bytes(&s->frame, e->ca);
	ipc_put_u32(&s->frame, AUTH_TOKEN_FETCH_MS);
	if (ch)
		(void)ipc_send(ch, &s->frame, NULL, 0);
	base_buf_clear(&s->frame);
}

static void do_effect(struct auth_shell *s, const struct auth_token_effect *e)
{
	switch (e->kind) {
	case AUTH_TOKEN_SAVE:
		do_save(s, e);
		break;
	case AUTH_TOKEN_LOG:
		do_log(e);
		break;
	case AUTH_TOKEN_CHANGED:
		auth_account_changed(s, e->name);
		break;
	case AUTH_TOKEN_ANSWER:
		do_answer(s, e);
		break;
	case AUTH_TOKEN_FETCH:
		do_fetch(s, e);
		break;
	}
}

static void on_timer(uv_timer_t *timer)
{
	struct auth_shell *s = timer->data;

	auth_accounts_tick(s->accounts, now_of());
	auth_tokens_pump(s);
}

void auth_tokens_pump(struct auth_shell *s)
{
	struct auth_token_effect e;
	int64_t wake, wait;

	/* A handler of what is sent below may come back here. */
	if (s->pumping)
		return;
	s->pumping = true;
	while (auth_accounts_effect(s->accounts, now_of(), &e))
		do_effect(s, &e);
	s->pumping = false;
	wake = auth_accounts_wake_ms(s->accounts, now_of());
	if (wake == INT64_MAX) {
		uv_timer_stop(&s->token_timer);
		return;
	}
	uv_update_time(role_loop(s->role));
	wait = wake - base_clock_monotonic_ms();
	uv_timer_start(&s->token_timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

void auth_tokens_close(struct auth_shell *s)
{
	struct auth_now last = now_of();
	struct auth_token_effect e;

	if (!s->accounts)
		return;
	last.mono_ms += AUTH_TOKEN_SAVE_AGAIN_MS;
	auth_accounts_tick(s->accounts, last);
	while (auth_accounts_effect(s->accounts, last, &e))
		if (e.kind == AUTH_TOKEN_SAVE)
			do_save(s, &e);
	auth_accounts_free(&s->accounts);
}
