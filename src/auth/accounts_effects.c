/* What follows from the state of an account, in this order: the vault learns of a token before anybody
 * gets it, the log and the relays hear that it works (or not), who waits is answered, fetch is asked. */
#include "auth/accounts_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { FETCH_GRACE_MS = 10000 };

static bool step_save(struct auth_accounts *accounts, struct token_account *a, struct auth_now now,
	struct auth_token_effect *out)
{
	if (!a->unsaved || (a->save_tried && now.mono_ms < a->save_ms))
		return false;
	base_buf_clear(&accounts->bytes);
	vault_oauth_tokens_write(&a->tokens, &accounts->bytes);
	a->save_tried = true;
	a->save_ms = now.mono_ms + AUTH_TOKEN_SAVE_AGAIN_MS; /* if nobody says how it went */
	out->kind = AUTH_TOKEN_SAVE;
	out->secret = base_buf_slice(&accounts->bytes);
	return true;
}

static bool step_log(struct token_account *a, struct auth_now now, struct auth_token_effect *out)
{
	for (unsigned what = 0; what <= AUTH_TOKEN_LOG_SAVED; what++) {
		if (!(a->logs_due & (1u << what)))
			continue;
		a->logs_due &= ~(1u << what);
		out->kind = AUTH_TOKEN_LOG;
		out->what = (enum auth_token_log)what;
		out->reason = what == AUTH_TOKEN_LOG_NOT_SAVED ? a->save_reason : a->reason;
		out->next_ms = token_next_ms(a, now);
		return true;
	}
	return false;
}

static void note_given(struct token_account *a, struct auth_asker asker)
{
	a->given[a->given_next] = (struct token_given){asker, a->generation};
	a->given_next = (a->given_next + 1) % TOKEN_GIVEN_MAX;
}

static const char *say(struct auth_accounts *accounts, const char *format, ...) BASE_PRINTF(2, 3);

static const char *say(struct auth_accounts *accounts, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	base_buf_clear(&accounts->bytes);
	base_buf_vprintf(&accounts->bytes, format, args);
	va_end(args);
	return base_buf_text(&accounts->bytes);
}

/* What is there to say to @w? False: nothing yet. */
static bool answer(struct auth_accounts *accounts, struct token_account *a,
	const struct token_waiter *w, struct auth_now now, struct auth_token_effect *out)
{
	int64_t retry_s = (a->retry_ms - now.mono_ms) / 1000 + 1;

	if (a->removed) {
		out->class = BASE_ERROR_TEMPORARY;
		out->reason = "the account was changed meanwhile";
	} else if (w->hopeless) {
		out->class = BASE_ERROR_TEMPORARY;
		out->reason = say(accounts,
			"the server refuses the token that was renewed for it less than %d s ago",
			AUTH_TOKEN_FRESH_MS / 1000);
	} else if (token_usable(a, now)) {
		out->class = 0;
		out->secret = base_secret_slice(&a->tokens.access);
		out->until_ms = a->tokens.until_ms;
		note_given(a, w->asker);
	} else if (a->state == AUTH_TOKEN_REFUSED) {
		out->class = BASE_ERROR_CONFIG;
		out->reason = a->reason;
	} else if (a->state == AUTH_TOKEN_LATER) {
		out->class = BASE_ERROR_TEMPORARY;
		out->reason = say(accounts, "%s; tried again in %" PRId64 " s", a->reason,
			retry_s > 0 ? retry_s : 0);
	} else if (now.mono_ms >= w->until_ms) {
		out->class = BASE_ERROR_TEMPORARY;
		out->reason = accounts->fetch_up
			? "its token is still being obtained"
			: "its token is still being obtained: the program that makes HTTPS "
			  "requests is away";
	} else {
		return false;
	}
	return true;
}

static bool step_answer(struct auth_accounts *accounts, struct token_account *a,
	struct auth_now now, struct auth_token_effect *out)
{
	for (struct token_waiter **at = &a->waiters; *at; at = &(*at)->next) {
		struct token_waiter *w = *at;

		if (!answer(accounts, a, w, now, out))
			continue;
		out->kind = AUTH_TOKEN_ANSWER;
		out->asker = w->asker;
		*at = w->next;
		if (!*at)
			a->waiters_end = at;
		a->waiter_count--;
		free(w);
		return true;
	}
	return false;
}

/* Nobody can be given anything, and nothing is under way: it is time. */
static void begin_if_wanted(
	struct auth_accounts *accounts, struct token_account *a, struct auth_now now)
{
	if (a->state == AUTH_TOKEN_NONE ||
		(a->state == AUTH_TOKEN_VALID && a->waiters && !token_usable(a, now)))
		token_begin(accounts, a);
}

static bool step_fetch(struct auth_accounts *accounts, struct token_account *a, struct auth_now now,
	struct auth_token_effect *out)
{
	uint8_t random[VAULT_OAUTH_RANDOM_BYTES];
	struct base_error err = {0};
	int rc;

	if (!a->fetch_due)
		return false;
	if (!accounts->fetch_up || accounts->fetching == AUTH_TOKEN_FETCHES_MAX) {
		token_fetch_wait(accounts, a);
		return false;
	}
	a->fetch_due = false;
	token_draw(accounts, random);
	base_buf_clear(&accounts->bytes);
	rc = vault_oauth_renew_form(a->profile, &a->tokens, base_slice_text(a->user), now.wall_ms,
		random, &accounts->bytes, &err);
	base_wipe(random, sizeof(random));
	if (rc == 0 && !base_buf_ok(&accounts->bytes))
		rc = base_error_set(
			&err, BASE_ERROR_CONFIG, 0, "its request for a token is too long");
	if (rc != 0) {
		token_fail(accounts, a, VAULT_OAUTH_REFUSED, err.text, 0, now);
		return false;
	}
	if (++accounts->next_fetch == 0)
		accounts->next_fetch = 1;
	token_set_fetch(accounts, a, accounts->next_fetch);
	a->fetch_end_ms = now.mono_ms + AUTH_TOKEN_FETCH_MS + FETCH_GRACE_MS;
	out->kind = AUTH_TOKEN_FETCH;
	out->id = a->fetch_id;
	out->secret = base_buf_slice(&accounts->bytes);
	out->url = vault_oauth_token_endpoint(a->profile);
	out->ca = vault_oauth_ca(a->profile);
	return true;
}

static bool step(struct auth_accounts *accounts, struct token_account *a, struct auth_now now,
	struct auth_token_effect *out)
{
	*out = (struct auth_token_effect){.name = a->name};
	if (a->removed)
		return step_answer(accounts, a, now, out);
	if (step_save(accounts, a, now, out) || step_log(a, now, out))
		return true;
	if (a->changed_due) {
		a->changed_due = false;
		out->kind = AUTH_TOKEN_CHANGED;
		return true;
	}
	if (step_answer(accounts, a, now, out))
		return true;
	begin_if_wanted(accounts, a, now);
	return step_fetch(accounts, a, now, out);
}

bool auth_accounts_effect(
	struct auth_accounts *accounts, struct auth_now now, struct auth_token_effect *out)
{
	base_buf_clear(&accounts->bytes);
	while (accounts->touched) {
		struct token_account *a = accounts->touched;
		enum auth_token_state before;

		do {
			before = a->state;
			if (step(accounts, a, now, out))
				return true;
			/* A request that could not be made is a failure, and has effects of its own. */
		} while (a->state != before);
		accounts->touched = a->next_touched;
		a->touched = false;
		if (a->removed)
			token_free(accounts, a);
	}
	return false;
}
