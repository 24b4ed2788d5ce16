/* auth/accounts.h: the tokens of OAuth accounts: when they are obtained, and who waits for them
 * Job      for each account one token, renewed ahead of its end even if nobody uses it; who asks meanwhile
 *          waits; failures are tried again with back-off, and until then everybody gets the last reason
 * Not      what requests and answers say (vault/oauth.h); HTTPS (fetch/); vault, frames, the log and the
 *          clock: the shell does the effects
 * Trust    answers are hostile; one account's endpoint holds up no other account
 * Order    call with an event and the time, then take effects until there are none; auth_accounts_wake_ms()
 *          says when auth_accounts_tick() is due
 * Limits   one request at a time for each account, AUTH_TOKEN_FETCHES_MAX in all; AUTH_TOKEN_WAITING_MAX wait
 *          for one account, AUTH_TOKEN_WAIT_MS at most
 * Secrets  profiles and tokens; slices of effects are valid until the next call */
#ifndef AUTH_ACCOUNTS_H
#define AUTH_ACCOUNTS_H

#include "base/buf.h"
#include "base/error.h"
#include "vault/oauth.h"

#define AUTH_TOKEN_WAIT_MS 25000
#define AUTH_TOKEN_WAITING_MAX 1024
#define AUTH_TOKEN_FETCH_MS 20000 /* what fetch is given for a request */
/* Less than what fetch takes at a time: after a long stop many accounts are due at once. */
#define AUTH_TOKEN_FETCHES_MAX 128
/* A token is renewed because a server refuses it at most once in so long; and one so young is given even if
 * it hardly lives. */
#define AUTH_TOKEN_FRESH_MS 10000
#define AUTH_TOKEN_SAVE_AGAIN_MS 10000
#define AUTH_TOKEN_SEED_BYTES 32

struct auth_accounts;

struct auth_now {
	int64_t mono_ms, wall_ms;
};

enum auth_token_state {
	AUTH_TOKEN_NONE,      /* nothing was obtained yet */
	AUTH_TOKEN_OBTAINING, /* fetch is asked, or will be as soon as it is there */
	AUTH_TOKEN_VALID,
	AUTH_TOKEN_REFUSED, /* a person must act; tried again all the same */
	AUTH_TOKEN_LATER,   /* nobody answers, or not now */
	AUTH_TOKEN_STATE_COUNT,
};
const char *auth_token_state_name(enum auth_token_state state); /* "obtaining" */

/* @seed: fresh random bytes; all jitter and nonces are drawn from it. */
struct auth_accounts *auth_accounts_new(const uint8_t seed[AUTH_TOKEN_SEED_BYTES]);
void auth_accounts_free(struct auth_accounts **accounts);

/* There is an OAuth account, or it is another one now: what was known of it is forgotten, those who wait
 * go on. @profile, @tokens (may be empty): as the vault keeps them. */
void auth_accounts_put(struct auth_accounts *accounts, const char *name, const char *user,
	struct base_slice profile, struct base_slice tokens, struct auth_now now);
/* Those who wait are told so. Nothing happens if there is none. */
void auth_accounts_remove(struct auth_accounts *accounts, const char *name, struct auth_now now);
/* Another user name, the same secret. */
void auth_accounts_user(struct auth_accounts *accounts, const char *name, const char *user);

/* Who asks: a connection of a relay, or a command (relay is AUTH_ASKER_COMMAND). */
#define AUTH_ASKER_COMMAND (~0u)
struct auth_asker {
	unsigned relay;
	uint32_t id;
};
/* Answered by one ANSWER effect. @refused: the server refused what @asker was given last. False: there is
 * no such account. */
BASE_MUST_USE bool auth_accounts_want(struct auth_accounts *accounts, const char *name,
	struct auth_asker asker, bool refused, struct auth_now now);
/* Nobody there waits any more. */
void auth_accounts_relay_gone(struct auth_accounts *accounts, unsigned relay);

/* fetch came, or came back: what is due is asked, and what was asked before is asked again. */
void auth_accounts_fetch_up(struct auth_accounts *accounts, struct auth_now now);
void auth_accounts_fetch_down(struct auth_accounts *accounts, struct auth_now now);
struct auth_fetch_answer {
	int class; /* 0: a server answered */
	unsigned status;
	struct base_slice body, error;
	uint32_t retry_after_s; /* 0: not said */
};
/* Of the FETCH effect with @id; an answer that nobody waits for is dropped. */
void auth_accounts_fetched(struct auth_accounts *accounts, uint32_t id,
	const struct auth_fetch_answer *answer, struct auth_now now);
/* Of a SAVE effect. @failure: null, or why it could not be written. */
void auth_accounts_saved(
	struct auth_accounts *accounts, const char *name, const char *failure, struct auth_now now);
/* Forget the back-off and try now; null: all. True: there was one that failed. */
bool auth_accounts_retry(struct auth_accounts *accounts, const char *name, struct auth_now now);

/* Monotonic; INT64_MAX: never. */
int64_t auth_accounts_wake_ms(const struct auth_accounts *accounts, struct auth_now now);
void auth_accounts_tick(struct auth_accounts *accounts, struct auth_now now);

enum auth_token_effect_kind {
	AUTH_TOKEN_SAVE, /* name: keep secret in the vault and call auth_accounts_saved() before the next
			     * effect is taken: who gets a token has to find it there after a crash */
	AUTH_TOKEN_LOG,     /* name: what, reason, next_ms */
	AUTH_TOKEN_CHANGED, /* name: works again: relays are to lift its pause */
	AUTH_TOKEN_ANSWER,  /* name, asker: class, secret and until_ms, or reason */
	AUTH_TOKEN_FETCH, /* id: post secret to url, within AUTH_TOKEN_FETCH_MS, trusting ca too */
};
/* What is worth a line: the turn of an account, not each try. */
enum auth_token_log {
	AUTH_TOKEN_LOG_REFUSED,
	AUTH_TOKEN_LOG_LATER, /* and what it had has ended */
	AUTH_TOKEN_LOG_WORKS, /* again, after one of these */
	AUTH_TOKEN_LOG_NOT_SAVED,
	AUTH_TOKEN_LOG_SAVED, /* at last */
};
struct auth_token_effect {
	enum auth_token_effect_kind kind;
	const char *name;
	struct auth_asker asker;
	int class;                /* 0, TEMPORARY; CONFIG: a person must act */
	struct base_slice secret; /* token, form or tokens */
	const char *reason;
	enum auth_token_log what;
	int64_t until_ms, next_ms; /* wall clock; 0: not known */
	uint32_t id;
	const char *url;
	struct base_slice ca;
};
BASE_MUST_USE bool auth_accounts_effect(
	struct auth_accounts *accounts, struct auth_now now, struct auth_token_effect *out);

/* What people are shown. */
struct auth_token_view {
	const char *name;
	enum auth_token_state state;
	bool usable;               /* a token can be given, whatever the state */
	int64_t until_ms, next_ms; /* wall clock; 0: none */
	const char *reason;        /* of the last failure; "" */
};
/* False: there is no such account. Text is borrowed until the next call that changes something. */
BASE_MUST_USE bool auth_accounts_view(const struct auth_accounts *accounts, const char *name,
	struct auth_now now, struct auth_token_view *out);
typedef void (*auth_token_view_fn)(const struct auth_token_view *view, void *arg);
void auth_accounts_each(const struct auth_accounts *accounts, struct auth_now now,
	auth_token_view_fn fn, void *arg);

#endif
