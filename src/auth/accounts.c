/* The table of OAuth accounts: who is in it, with what, and what people are shown. */
#include "auth/accounts_internal.h"

#include "base/digest.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const state_names[AUTH_TOKEN_STATE_COUNT] = {
	[AUTH_TOKEN_NONE] = "none",
	[AUTH_TOKEN_OBTAINING] = "obtaining",
	[AUTH_TOKEN_VALID] = "valid",
	[AUTH_TOKEN_REFUSED] = "refused",
	[AUTH_TOKEN_LATER] = "later",
};

const char *auth_token_state_name(enum auth_token_state state)
{
	return state_names[state];
}

struct auth_accounts *auth_accounts_new(const uint8_t seed[AUTH_TOKEN_SEED_BYTES])
{
	struct auth_accounts *accounts = base_alloc_zero(1, sizeof(*accounts));

	memcpy(accounts->seed, seed, sizeof(accounts->seed));
	accounts->waiting_end = &accounts->waiting;
	base_buf_init_secret(&accounts->bytes, VAULT_OAUTH_FORM_MAX_BYTES);
	return accounts;
}

static struct token_account **named(const struct auth_accounts *accounts, const char *name)
{
	uint32_t hash = 2166136261; /* FNV-1a: names are the administrator's */

	for (; *name; name++)
		hash = (hash ^ (uint8_t)*name) * 16777619;
	return (struct token_account **)&accounts->named[hash % TOKEN_NAMED_COUNT];
}

static void stop_waiting(struct auth_accounts *accounts, struct token_account *a)
{
	struct token_account **at = &accounts->waiting;

	if (!a->waiting)
		return;
	while (*at != a)
		at = &(*at)->next_waiting;
	*at = a->next_waiting;
	if (!*at)
		accounts->waiting_end = at;
	a->waiting = false;
}

void token_free(struct auth_accounts *accounts, struct token_account *a)
{
	struct token_account **at = &accounts->first;

	while (*at != a)
		at = &(*at)->next;
	*at = a->next;
	at = named(accounts, a->name);
	while (*at != a)
		at = &(*at)->next_named;
	*at = a->next_named;
	at = &accounts->touched;
	while (*at && *at != a)
		at = &(*at)->next_touched;
	if (*at)
		*at = a->next_touched;
	stop_waiting(accounts, a);
	token_set_fetch(accounts, a, 0);
	for (struct token_waiter *w = a->waiters, *next; w; w = next) {
		next = w->next;
		free(w);
	}
	vault_oauth_profile_free(&a->profile);
	vault_oauth_tokens_release(&a->tokens);
	free(a);
}

void auth_accounts_free(struct auth_accounts **accounts)
{
	if (!*accounts)
		return;
	while ((*accounts)->first)
		token_free(*accounts, (*accounts)->first);
	base_buf_release(&(*accounts)->bytes);
	base_wipe(*accounts, sizeof(**accounts));
	free(*accounts);
	*accounts = NULL;
}

void token_draw(struct auth_accounts *accounts, uint8_t out[VAULT_OAUTH_RANDOM_BYTES])
{
	static_assert(VAULT_OAUTH_RANDOM_BYTES == 32, "one hash");
	uint64_t number = ++accounts->drawn;

	base_hmac(BASE_HASH_SHA256, base_slice_make(accounts->seed, sizeof(accounts->seed)),
		base_slice_make(&number, sizeof(number)), out);
}

uint64_t token_jitter(struct auth_accounts *accounts)
{
	uint8_t bytes[VAULT_OAUTH_RANDOM_BYTES];
	uint64_t out;

	token_draw(accounts, bytes);
	memcpy(&out, bytes, sizeof(out));
	return out;
}

void token_touch(struct auth_accounts *accounts, struct token_account *a)
{
	if (a->touched)
		return;
	a->touched = true;
	a->next_touched = accounts->touched;
	accounts->touched = a;
}

void token_set_fetch(struct auth_accounts *accounts, struct token_account *a, uint32_t id)
{
	accounts->fetching -= a->fetch_id != 0;
	accounts->fetching += id != 0;
	a->fetch_id = id;
}

void token_fetch_wait(struct auth_accounts *accounts, struct token_account *a)
{
	if (a->waiting)
		return;
	a->waiting = true;
	a->next_waiting = NULL;
	*accounts->waiting_end = a;
	accounts->waiting_end = &a->next_waiting;
}

/* As many as there are places, not all that wait: with thousands of accounts each answer would cost each of
 * them a look, and the logins that auth is for would wait. */
void token_fetch_has_place(struct auth_accounts *accounts)
{
	unsigned places = AUTH_TOKEN_FETCHES_MAX - accounts->fetching;
	struct token_account *a;

	while (places && accounts->fetch_up && (a = accounts->waiting)) {
		stop_waiting(accounts, a);
		if (!a->fetch_due)
			continue;
		token_touch(accounts, a);
		places--;
	}
}

struct token_account *token_find(const struct auth_accounts *accounts, const char *name)
{
	struct token_account *a = *named(accounts, name);

	while (a && (a->removed || strcmp(a->name, name) != 0))
		a = a->next_named;
	return a;
}

bool token_usable(const struct token_account *a, struct auth_now now)
{
	if (!a->tokens.access.len)
		return false;
	/* One that was just obtained is as good as it gets, however short it lives. */
	return vault_oauth_is_usable(&a->tokens, now.wall_ms) ||
		(now.mono_ms - a->obtained_ms < AUTH_TOKEN_FRESH_MS &&
			now.wall_ms < a->tokens.until_ms);
}

int64_t token_next_ms(const struct token_account *a, struct auth_now now)
{
	if (a->state == AUTH_TOKEN_VALID)
		return a->renew_ms;
	if ((a->state == AUTH_TOKEN_REFUSED || a->state == AUTH_TOKEN_LATER) && a->profile)
		return now.wall_ms + a->retry_ms - now.mono_ms;
	return 0;
}

/* Everything but its name and those who wait. */
static void reset(struct auth_accounts *accounts, struct token_account *a)
{
	vault_oauth_profile_free(&a->profile);
	vault_oauth_tokens_release(&a->tokens);
	vault_oauth_tokens_init(&a->tokens);
	a->state = AUTH_TOKEN_NONE;
	a->failures = 0;
	a->reason[0] = '\0';
	a->fetch_due = false;
	token_set_fetch(accounts, a, 0);
	a->unsaved = a->save_tried = a->dropped = false;
	a->alerted = TOKEN_ALERTED_NOT;
	a->failing = a->save_alerted = a->changed_due = false;
	a->logs_due = 0;
	memset(a->given, 0, sizeof(a->given));
}

static struct token_account *add(struct auth_accounts *accounts, const char *name)
{
	struct token_account *a = base_alloc_zero(1, sizeof(*a));

	snprintf(a->name, sizeof(a->name), "%s", name);
	a->waiters_end = &a->waiters;
	a->next = accounts->first;
	accounts->first = a;
	a->next_named = *named(accounts, a->name);
	*named(accounts, a->name) = a;
	vault_oauth_tokens_init(&a->tokens);
	return a;
}

/* A token of before this process: how long it is there says the wall clock. */
static void take_tokens(struct auth_accounts *accounts, struct token_account *a,
	struct base_slice tokens, struct auth_now now)
{
	int64_t age;

	if (!tokens.len || !vault_oauth_tokens_read(tokens, &a->tokens))
		return;
	age = now.wall_ms - a->tokens.obtained_ms;
	if (age < 0 || age > AUTH_TOKEN_FRESH_MS)
		age = AUTH_TOKEN_FRESH_MS;
	a->obtained_ms = now.mono_ms - age;
	a->generation++;
	if (!token_usable(a, now))
		return;
	a->state = AUTH_TOKEN_VALID;
	a->renew_ms = vault_oauth_renew_at(&a->tokens, token_jitter(accounts));
}

void auth_accounts_put(struct auth_accounts *accounts, const char *name, const char *user,
	struct base_slice profile, struct base_slice tokens, struct auth_now now)
{
	struct token_account *a = token_find(accounts, name);
	struct base_error err = {0};

	if (!a)
		a = add(accounts, name);
	reset(accounts, a);
	snprintf(a->user, sizeof(a->user), "%s", user);
	if (vault_oauth_profile_parse(
		    &a->profile, profile, "the profile in the vault", NULL, NULL, NULL, &err) == 0)
		take_tokens(accounts, a, tokens, now);
	else
		token_fail(accounts, a, VAULT_OAUTH_REFUSED, err.text, 0, now);
	token_touch(accounts, a);
	if (!a->profile)
		token_fetch_has_place(
			accounts); /* what it was asking for before is not asked any more */
}

void auth_accounts_remove(struct auth_accounts *accounts, const char *name, struct auth_now now)
{
	struct token_account *a = token_find(accounts, name);

	if (!a)
		return;
	reset(accounts, a);
	a->removed = true;
	token_touch(accounts, a);
	token_fetch_has_place(accounts);
}

void auth_accounts_user(struct auth_accounts *accounts, const char *name, const char *user)
{
	struct token_account *a = token_find(accounts, name);

	if (a)
		snprintf(a->user, sizeof(a->user), "%s", user);
}

static struct auth_token_view view_of(const struct token_account *a, struct auth_now now)
{
	return (struct auth_token_view){
		.name = a->name,
		.state = a->state,
		.usable = token_usable(a, now),
		.until_ms = a->tokens.access.len ? a->tokens.until_ms : 0,
		.next_ms = token_next_ms(a, now),
		.reason = a->reason,
	};
}

bool auth_accounts_view(const struct auth_accounts *accounts, const char *name, struct auth_now now,
	struct auth_token_view *out)
{
	const struct token_account *a = token_find(accounts, name);

	if (!a)
		return false;
	*out = view_of(a, now);
	return true;
}

void auth_accounts_each(
	const struct auth_accounts *accounts, struct auth_now now, auth_token_view_fn fn, void *arg)
{
	for (const struct token_account *a = accounts->first; a; a = a->next) {
		struct auth_token_view view = view_of(a, now);

		if (!a->removed)
			fn(&view, arg);
	}
}
