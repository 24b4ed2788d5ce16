/* What happens to OAuth accounts; what follows from it is derived in accounts_effects.c. */
#include "auth/accounts_internal.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ASKED_AGAIN_MAX = 3, RETRY_AFTER_MAX_MS = 3600 * 1000, LOOK_MS = 60000 };

static void set_reason(char *out, size_t size, const char *reason)
{
	snprintf(out, size, "%s", reason);
}

void token_begin(struct auth_accounts *accounts, struct token_account *a)
{
	a->state = AUTH_TOKEN_OBTAINING;
	a->fetch_due = true;
	token_set_fetch(accounts, a, 0);
	a->asked_again = 0;
}

void token_fail(struct auth_accounts *accounts, struct token_account *a,
	enum vault_oauth_result result, const char *reason, uint32_t retry_after_s,
	struct auth_now now)
{
	bool refused = result == VAULT_OAUTH_REFUSED;
	int64_t wait, asked_for = (int64_t)retry_after_s * 1000;

	a->state = refused ? AUTH_TOKEN_REFUSED : AUTH_TOKEN_LATER;
	a->fetch_due = false;
	token_set_fetch(accounts, a, 0);
	a->failures++;
	a->failing = true;
	wait = vault_oauth_retry_ms(result, a->failures, token_jitter(accounts));
	if (asked_for > RETRY_AFTER_MAX_MS)
		asked_for = RETRY_AFTER_MAX_MS;
	a->retry_ms = now.mono_ms + (asked_for > wait ? asked_for : wait);
	set_reason(a->reason, sizeof(a->reason), reason);
	/* A renewal that failed ahead of time for a while is nobody's concern yet. */
	if (a->alerted < (refused ? TOKEN_ALERTED_REFUSED : TOKEN_ALERTED_LATER) &&
		(refused || !token_usable(a, now))) {
		a->alerted = refused ? TOKEN_ALERTED_REFUSED : TOKEN_ALERTED_LATER;
		a->logs_due |= 1u << (refused ? AUTH_TOKEN_LOG_REFUSED : AUTH_TOKEN_LOG_LATER);
	}
	token_touch(accounts, a);
}

/* Which token it was that @asker was given last; 0: not known any more. */
static uint32_t given_generation(const struct token_account *a, struct auth_asker asker)
{
	uint32_t found = 0;

	for (size_t i = 0; i < TOKEN_GIVEN_MAX; i++) {
		const struct token_given *g = &a->given[i];

		if (g->generation > found && g->asker.relay == asker.relay &&
			g->asker.id == asker.id)
			found = g->generation;
	}
	return found;
}

/* The server refuses what @asker has. An older token than the present one says nothing; a token is dropped
 * and renewed for a refusal once in a while: who comes meanwhile gets the new one, and the refusal of that
 * is the server's word. */
static bool is_hopeless(struct auth_accounts *accounts, struct token_account *a,
	struct auth_asker asker, struct auth_now now)
{
	uint32_t generation = given_generation(a, asker);

	if (!a->tokens.access.len || (generation && generation != a->generation))
		return false;
	if (a->dropped && now.mono_ms - a->dropped_ms < AUTH_TOKEN_FRESH_MS)
		return generation != 0;
	a->dropped = true;
	a->dropped_ms = now.mono_ms;
	base_secret_clear(&a->tokens.access);
	if (a->state == AUTH_TOKEN_VALID)
		token_begin(accounts, a);
	return false;
}

bool auth_accounts_want(struct auth_accounts *accounts, const char *name, struct auth_asker asker,
	bool refused, struct auth_now now)
{
	struct token_account *a = token_find(accounts, name);
	struct token_waiter *w;

	if (!a)
		return false;
	w = base_alloc_zero(1, sizeof(*w));
	w->asker = asker;
	w->hopeless = refused && is_hopeless(accounts, a, asker, now);
	w->until_ms = a->waiter_count < AUTH_TOKEN_WAITING_MAX ? now.mono_ms + AUTH_TOKEN_WAIT_MS
							       : now.mono_ms;
	*a->waiters_end = w;
	a->waiters_end = &w->next;
	a->waiter_count++;
	token_touch(accounts, a);
	return true;
}

void auth_accounts_relay_gone(struct auth_accounts *accounts, unsigned relay)
{
	for (struct token_account *a = accounts->first; a; a = a->next) {
		struct token_waiter **at = &a->waiters;

		while (*at) {
			struct token_waiter *w = *at;

			if (w->asker.relay != relay) {
				at = &w->next;
				continue;
			}
			*at = w->next;
			a->waiter_count--;
			free(w);
		}
		a->waiters_end = at;
		/* The next process counts its connections anew. */
		for (size_t i = 0; i < TOKEN_GIVEN_MAX; i++)
			if (a->given[i].asker.relay == relay)
				a->given[i].generation = 0;
	}
}

void auth_accounts_fetch_up(struct auth_accounts *accounts, struct auth_now now)
{
	accounts->fetch_up = true;
	token_fetch_has_place(accounts);
}

void auth_accounts_fetch_down(struct auth_accounts *accounts, struct auth_now now)
{
	accounts->fetch_up = false;
	for (struct token_account *a = accounts->first; a; a = a->next) {
		if (!a->fetch_id)
			continue;
		token_set_fetch(accounts, a, 0);
		if (a->asked_again++ < ASKED_AGAIN_MAX) {
			a->fetch_due = true;
			token_touch(accounts, a);
			continue;
		}
		token_fail(accounts, a, VAULT_OAUTH_LATER,
			"the program that makes HTTPS requests ends again and again", 0, now);
	}
}

static void obtained(struct auth_accounts *accounts, struct token_account *a, struct auth_now now)
{
	a->state = AUTH_TOKEN_VALID;
	a->obtained_ms = now.mono_ms;
	a->generation++;
	a->renew_ms = vault_oauth_renew_at(&a->tokens, token_jitter(accounts));
	if (a->alerted)
		a->logs_due |= 1u << AUTH_TOKEN_LOG_WORKS;
	a->changed_due = a->failing;
	a->alerted = TOKEN_ALERTED_NOT;
	a->failing = false;
	a->failures = 0;
	a->reason[0] = '\0';
	a->unsaved = true;
	a->save_tried = false;
	a->save_ms = now.mono_ms;
	token_touch(accounts, a);
}

/* Words of fetch, which may hold a server's. */
static void no_answer(struct auth_accounts *accounts, struct token_account *a,
	const struct auth_fetch_answer *answer, struct auth_now now)
{
	struct base_buf words;
	const char *text;

	base_buf_init(&words, 4 * VAULT_OAUTH_REASON_MAX_BYTES);
	base_escape_text(answer->error, VAULT_OAUTH_REASON_MAX_BYTES - 1, &words);
	text = words.len ? base_buf_text(&words) : NULL;
	token_fail(accounts, a, VAULT_OAUTH_LATER, text ? text : "no answer", answer->retry_after_s,
		now);
	base_buf_release(&words);
}

void auth_accounts_fetched(struct auth_accounts *accounts, uint32_t id,
	const struct auth_fetch_answer *answer, struct auth_now now)
{
	char reason[VAULT_OAUTH_REASON_MAX_BYTES] = "";
	struct token_account *a = accounts->first;
	enum vault_oauth_result result;

	while (a && (a->fetch_id != id || id == 0))
		a = a->next;
	if (!a)
		return;
	token_set_fetch(accounts, a, 0);
	token_fetch_has_place(accounts);
	if (answer->class != 0) {
		no_answer(accounts, a, answer, now);
		return;
	}
	result = vault_oauth_answer(answer->status, answer->body, now.wall_ms, &a->tokens, reason);
	switch (result) {
	case VAULT_OAUTH_OBTAINED:
		obtained(accounts, a, now);
		return;
	case VAULT_OAUTH_REFUSED:
		break;
	case VAULT_OAUTH_LATER:
	case VAULT_OAUTH_PENDING: /* said of device codes only */
	case VAULT_OAUTH_SLOW_DOWN:
		result = VAULT_OAUTH_LATER;
		break;
	}
	vault_oauth_hide(a->profile, &a->tokens, answer->body, reason);
	token_fail(accounts, a, result, reason, answer->retry_after_s, now);
}

void auth_accounts_saved(
	struct auth_accounts *accounts, const char *name, const char *failure, struct auth_now now)
{
	struct token_account *a = token_find(accounts, name);

	if (!a || !a->unsaved)
		return;
	if (failure) {
		a->save_ms = now.mono_ms + AUTH_TOKEN_SAVE_AGAIN_MS;
		set_reason(a->save_reason, sizeof(a->save_reason), failure);
		if (!a->save_alerted)
			a->logs_due |= 1u << AUTH_TOKEN_LOG_NOT_SAVED;
		a->save_alerted = true;
	} else {
		a->unsaved = false;
		if (a->save_alerted)
			a->logs_due |= 1u << AUTH_TOKEN_LOG_SAVED;
		a->save_alerted = false;
	}
	token_touch(accounts, a);
}

bool auth_accounts_retry(struct auth_accounts *accounts, const char *name, struct auth_now now)
{
	bool any = false;

	for (struct token_account *a = accounts->first; a; a = a->next) {
		bool failed = a->state == AUTH_TOKEN_REFUSED || a->state == AUTH_TOKEN_LATER;

		if (!failed || !a->profile || a->removed || (name && strcmp(a->name, name) != 0))
			continue;
		a->failures = 0;
		token_begin(accounts, a);
		token_touch(accounts, a);
		any = true;
	}
	return any;
}

static int64_t earlier(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* Monotonic; when something of this account is due. */
static int64_t account_due_ms(const struct token_account *a, struct auth_now now)
{
	int64_t due = INT64_MAX;

	switch (a->state) {
	case AUTH_TOKEN_NONE:
		due = a->removed ? INT64_MAX : now.mono_ms;
		break;
	case AUTH_TOKEN_OBTAINING:
		due = a->fetch_id ? a->fetch_end_ms : INT64_MAX;
		break;
	case AUTH_TOKEN_VALID:
		due = now.mono_ms + (a->renew_ms - now.wall_ms);
		break;
	case AUTH_TOKEN_REFUSED:
	case AUTH_TOKEN_LATER:
		due = a->profile ? a->retry_ms : INT64_MAX;
		break;
	case AUTH_TOKEN_STATE_COUNT:
		break;
	}
	if (a->unsaved && a->save_tried)
		due = earlier(due, a->save_ms);
	for (const struct token_waiter *w = a->waiters; w; w = w->next)
		due = earlier(due, w->until_ms);
	return due;
}

int64_t auth_accounts_wake_ms(const struct auth_accounts *accounts, struct auth_now now)
{
	/* The wall clock may be set: it is looked at from time to time. */
	int64_t look = now.mono_ms + LOOK_MS, due = INT64_MAX;

	for (const struct token_account *a = accounts->first; a; a = a->next)
		due = earlier(due, account_due_ms(a, now));
	return accounts->first ? earlier(due, look) : due;
}

static void tick_one(struct auth_accounts *accounts, struct token_account *a, struct auth_now now)
{
	switch (a->state) {
	case AUTH_TOKEN_OBTAINING:
		if (a->fetch_id && now.mono_ms >= a->fetch_end_ms)
			token_fail(accounts, a, VAULT_OAUTH_LATER,
				"the program that makes HTTPS requests does not answer", 0, now);
		break;
	case AUTH_TOKEN_VALID:
		if (now.wall_ms >= a->renew_ms)
			token_begin(accounts, a);
		break;
	case AUTH_TOKEN_REFUSED:
	case AUTH_TOKEN_LATER:
		if (a->profile && now.mono_ms >= a->retry_ms)
			token_begin(accounts, a);
		break;
	case AUTH_TOKEN_NONE: /* begins by itself */
	case AUTH_TOKEN_STATE_COUNT:
		break;
	}
	token_touch(accounts, a);
}

void auth_accounts_tick(struct auth_accounts *accounts, struct auth_now now)
{
	for (struct token_account *a = accounts->first; a; a = a->next)
		if (account_due_ms(a, now) <= now.mono_ms)
			tick_one(accounts, a, now);
	token_fetch_has_place(accounts);
}
