/* Frames of a relay and a fetch that somebody took over, in any order and at any time: nobody is answered
 * twice or forgotten, and what was obtained is in the vault before it is given. */
#include "auth/accounts.h"
#include "auth/frames.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {"a", "b"};
static const char *const profiles[] = {
	"{\"token_endpoint\": \"https://h/t\", \"client_id\": \"c\", \"refresh_token\": \"r\"}",
	"{\"token_endpoint\": \"https://h/t\", \"client_id\": \"c\", \"client_secret\": \"s\", "
	"\"grant\": \"client_credentials\"}",
};

struct world {
	struct auth_accounts *accounts;
	struct auth_now now;
	uint32_t last_asked;
	size_t wanted, answered;
	bool vault_down;
};

static void run(struct world *w)
{
	struct auth_token_effect e;

	while (auth_accounts_effect(w->accounts, w->now, &e)) {
		struct auth_token_view view;
		char name[8];

		BASE_BUG_IF(!e.name || strlen(e.name) >= sizeof(name));
		memcpy(name, e.name, strlen(e.name) + 1);
		switch (e.kind) {
		case AUTH_TOKEN_SAVE:
			BASE_BUG_IF(!e.secret.len);
			auth_accounts_saved(w->accounts, name, w->vault_down ? "x" : NULL, w->now);
			break;
		case AUTH_TOKEN_ANSWER:
			w->answered++;
			BASE_BUG_IF((e.class == 0) != (e.secret.len > 0));
			BASE_BUG_IF(e.class != 0 && !e.reason);
			break;
		case AUTH_TOKEN_FETCH:
			BASE_BUG_IF(!auth_accounts_view(w->accounts, name, w->now, &view) ||
				view.state != AUTH_TOKEN_OBTAINING);
			w->last_asked = e.id;
			break;
		case AUTH_TOKEN_LOG:
		case AUTH_TOKEN_CHANGED:
			break;
		}
	}
}

static void put(struct world *w, unsigned which)
{
	auth_accounts_put(w->accounts, names[which & 1], "u",
		base_slice_text(profiles[which >> 1 & 1]), BASE_SLICE_EMPTY, w->now);
}

/* The body of a SECRET_WANT. */
static void want(struct world *w, struct base_slice body, uint32_t id)
{
	struct auth_secret_want want;
	struct base_slice name;

	(void)!auth_account_want_parse(body, &name);
	if (!auth_secret_want_parse(body, &want) || want.account.len != 1)
		return;
	w->wanted += auth_accounts_want(w->accounts, names[want.account.ptr[0] & 1],
		(struct auth_asker){id & 1, id}, want.refused, w->now);
}

static void fetched(struct world *w, struct base_slice body)
{
	struct auth_fetch_answer answer;

	if (auth_fetched_parse(body, &answer))
		auth_accounts_fetched(w->accounts, w->last_asked, &answer, w->now);
}

static void event(struct world *w, unsigned what, unsigned how, struct base_slice body)
{
	switch (what % 10) {
	case 0:
	case 1:
		want(w, body, how);
		break;
	case 2:
	case 3:
		fetched(w, body);
		break;
	case 4:
		auth_accounts_fetch_up(w->accounts, w->now);
		break;
	case 5:
		auth_accounts_fetch_down(w->accounts, w->now);
		break;
	case 6:
		put(w, how);
		break;
	case 7:
		auth_accounts_remove(w->accounts, names[how & 1], w->now);
		break;
	case 8:
		w->vault_down = how & 1;
		(void)auth_accounts_retry(w->accounts, how & 2 ? names[0] : NULL, w->now);
		break;
	default:
		w->now.mono_ms += how * 1000;
		w->now.wall_ms += (how & 7) == 7 ? -(int64_t)how * 100000 : (int64_t)how * 1000;
		auth_accounts_tick(w->accounts, w->now);
		break;
	}
	run(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[AUTH_TOKEN_SEED_BYTES];
	struct world w = {.accounts = auth_accounts_new(seed), .now = {100000, 1800000000000}};
	struct base_slice in = base_slice_make(data, size);

	put(&w, 0);
	put(&w, 3);
	/* u8 event, u8 argument, u16 length of the body (high byte first), body */
	while (in.len >= 4) {
		size_t len = (size_t)in.ptr[2] << 8 | in.ptr[3];

		event(&w, in.ptr[0], in.ptr[1], base_slice_first(base_slice_from(in, 4), len));
		in = base_slice_from(in, 4 + len);
	}
	auth_accounts_fetch_up(w.accounts, w.now);
	for (int i = 0; i < 3; i++) {
		w.now.mono_ms += AUTH_TOKEN_WAIT_MS;
		w.now.wall_ms += AUTH_TOKEN_WAIT_MS;
		auth_accounts_tick(w.accounts, w.now);
		run(&w);
	}
	BASE_BUG_IF(w.answered != w.wanted);
	auth_accounts_free(&w.accounts);
	return 0;
}
