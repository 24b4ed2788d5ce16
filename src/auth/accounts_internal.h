/* auth/accounts_internal.h: one OAuth account
 *
 *            put (with a token that still lives) -> VALID
 *   NONE ----------> OBTAINING <---- renewal due, or dropped ---- VALID
 *                     |  |  ^                                      ^
 *     answer: a token |  |  +--- retry due, or told to ---+        |
 *                     |  |                                |        |
 *                     |  +-- answer: no, or none --> REFUSED LATER |
 *                     +--------------------------------------------+
 *
 * In every state there may be a token that can be given: a renewal that fails ahead of time takes nothing
 * away. Who waits is answered by looking at the state, in accounts_effects.c, and nowhere else. */
#ifndef AUTH_ACCOUNTS_INTERNAL_H
#define AUTH_ACCOUNTS_INTERNAL_H

#include "auth/accounts.h"

#define TOKEN_GIVEN_MAX 64
#define TOKEN_NAME_MAX_BYTES 255

/* What the log was told since it worked last; the worse is told after the better. */
enum token_alerted { TOKEN_ALERTED_NOT, TOKEN_ALERTED_LATER, TOKEN_ALERTED_REFUSED };

struct token_waiter {
	struct token_waiter *next;
	struct auth_asker asker;
	int64_t until_ms;
	bool hopeless; /* the server refuses what was just obtained */
};

struct token_given {
	struct auth_asker asker;
	uint32_t generation; /* 0: free */
};

struct token_account {
	struct token_account *next;
	struct token_account *next_named; /* of those whose names have the same hash */
	struct token_account *next_touched, *next_waiting;
	bool touched; /* effects may be due */
	bool waiting; /* for fetch: it is away, or has no place */
	bool removed; /* to be freed when those who wait were told */
	char name[TOKEN_NAME_MAX_BYTES + 1], user[TOKEN_NAME_MAX_BYTES + 1];
	struct vault_oauth_profile *profile; /* null: it cannot be read, reason says why */
	struct vault_oauth_tokens tokens;
	enum auth_token_state state;
	int64_t obtained_ms; /* monotonic */
	uint32_t generation; /* of the token; counts those of this process */
	bool dropped;        /* because a server refused it; the last time: */
	int64_t dropped_ms;  /* monotonic */
	int64_t renew_ms;    /* VALID: wall clock */
	int64_t retry_ms;    /* REFUSED, LATER: monotonic */
	uint32_t failures;   /* in a row, for the back-off */
	bool failing;        /* since the last success */
	char reason[VAULT_OAUTH_REASON_MAX_BYTES];
	/* OBTAINING */
	bool fetch_due;       /* fetch is to be asked */
	uint32_t fetch_id;    /* 0: it is not being asked; token_set_fetch() alone writes it */
	int64_t fetch_end_ms; /* monotonic; when it should have answered long ago */
	unsigned asked_again; /* because fetch ended meanwhile */
	/* The vault is behind. */
	bool unsaved, save_tried;
	int64_t save_ms;
	char save_reason[VAULT_OAUTH_REASON_MAX_BYTES];
	/* What is to be told. */
	enum token_alerted alerted;
	bool save_alerted; /* of the vault's */
	bool changed_due;
	unsigned logs_due; /* 1u << enum auth_token_log */
	struct token_waiter *waiters, **waiters_end;
	size_t waiter_count;
	struct token_given given[TOKEN_GIVEN_MAX]; /* who got what, the last ones */
	unsigned given_next;
};

enum { TOKEN_NAMED_COUNT = 4096 };

struct auth_accounts {
	struct token_account *first;
	struct token_account *named[TOKEN_NAMED_COUNT];
	struct token_account *touched;
	struct token_account *waiting, **waiting_end; /* the one that waits longest first */
	unsigned fetching;                            /* accounts with a fetch_id */
	uint8_t seed[AUTH_TOKEN_SEED_BYTES];
	uint64_t drawn;
	uint32_t next_fetch;
	bool fetch_up;
	struct base_buf bytes; /* secret: what the slices of the last effect lie in */
};

/* accounts.c */
struct token_account *token_find(
	const struct auth_accounts *accounts, const char *name); /* or null */
void token_touch(struct auth_accounts *accounts, struct token_account *a);
/* Can it be given now? */
bool token_usable(const struct token_account *a, struct auth_now now);
int64_t token_next_ms(const struct token_account *a, struct auth_now now); /* wall clock; 0 */
void token_draw(struct auth_accounts *accounts, uint8_t out[VAULT_OAUTH_RANDOM_BYTES]);
uint64_t token_jitter(struct auth_accounts *accounts);
/* fetch is there, or has a place: who waits longest for it looks again. */
void token_fetch_has_place(struct auth_accounts *accounts);
/* No place now: see token_fetch_has_place(). */
void token_fetch_wait(struct auth_accounts *accounts, struct token_account *a);
/* @id: of the request; 0: there is none. */
void token_set_fetch(struct auth_accounts *accounts, struct token_account *a, uint32_t id);
void token_free(struct auth_accounts *accounts, struct token_account *a);

/* accounts_events.c */
void token_begin(struct auth_accounts *accounts, struct token_account *a);
void token_fail(struct auth_accounts *accounts, struct token_account *a,
	enum vault_oauth_result result, const char *reason, uint32_t retry_after_s,
	struct auth_now now);

#endif
