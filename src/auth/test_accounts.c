/* The life of tokens: hours in microseconds, a provider that says what the test wants. */
#include "auth/accounts.h"

#include "auth/frames.h"
#include "base/test_support.h"

#include <stdio.h>
#include <time.h>

#define PROFILE \
	"{\"token_endpoint\": \"https://login.example.org/token\", \"client_id\": \"postern\", " \
	"\"refresh_token\": \"r0\"}"
#define ANSWERS_MAX 2048
#define HOUR_MS (3600 * 1000LL)

struct answered {
	struct auth_asker asker;
	int class;
	char secret[64], reason[400];
};

struct sim {
	struct auth_accounts *accounts;
	struct auth_now now;
	struct answered answers[ANSWERS_MAX];
	size_t answer_count;
	/* What the vault has, and whether it can be written. */
	uint8_t saved[VAULT_OAUTH_STATE_MAX_BYTES];
	size_t saved_len;
	unsigned saves;
	bool vault_down, vault_silent;
	unsigned logs[AUTH_TOKEN_LOG_SAVED + 1];
	char log_reason[400];
	int64_t log_next_ms;
	unsigned changed;
	/* Requests that were not answered yet: ids, and the form of the last one. */
	uint32_t asked[256];
	char asked_of[256][64];
	size_t asked_count;
	unsigned fetches;
	char form[2048];
	char order[64]; /* first letters of the effects' kinds */
};

static void note(struct sim *s, char letter)
{
	size_t len = strlen(s->order);

	if (len + 1 < sizeof(s->order)) {
		s->order[len] = letter;
		s->order[len + 1] = '\0';
	}
}

static void text_of(char *out, size_t size, struct base_slice s)
{
	snprintf(out, size, "%.*s", BASE_SLICE_ARGS(s));
}

static void on_save(struct sim *s, const struct auth_token_effect *e)
{
	char name[64];

	note(s, 's');
	s->saves++;
	snprintf(name, sizeof(name), "%s", e->name);
	if (s->vault_silent)
		return;
	if (!s->vault_down) {
		assert_true(e->secret.len <= sizeof(s->saved));
		memcpy(s->saved, e->secret.ptr, e->secret.len);
		s->saved_len = e->secret.len;
	}
	auth_accounts_saved(s->accounts, name, s->vault_down ? "the disk is full" : NULL, s->now);
}

static void on_answer(struct sim *s, const struct auth_token_effect *e)
{
	struct answered *a = &s->answers[s->answer_count++];

	note(s, 'a');
	assert_true(s->answer_count < ANSWERS_MAX);
	a->asker = e->asker;
	a->class = e->class;
	text_of(a->secret, sizeof(a->secret), e->secret);
	snprintf(a->reason, sizeof(a->reason), "%s", e->reason ? e->reason : "");
}

static void run(struct sim *s)
{
	struct auth_token_effect e;

	while (auth_accounts_effect(s->accounts, s->now, &e)) {
		switch (e.kind) {
		case AUTH_TOKEN_SAVE:
			on_save(s, &e);
			break;
		case AUTH_TOKEN_LOG:
			note(s, 'l');
			s->logs[e.what]++;
			snprintf(s->log_reason, sizeof(s->log_reason), "%s", e.reason);
			s->log_next_ms = e.next_ms;
			break;
		case AUTH_TOKEN_CHANGED:
			note(s, 'c');
			s->changed++;
			break;
		case AUTH_TOKEN_ANSWER:
			on_answer(s, &e);
			break;
		case AUTH_TOKEN_FETCH:
			note(s, 'f');
			assert_string_equal(e.url, "https://login.example.org/token");
			snprintf(s->asked_of[s->asked_count], sizeof(s->asked_of[0]), "%s", e.name);
			s->asked[s->asked_count++] = e.id;
			assert_true(s->asked_count < BASE_COUNT(s->asked));
			s->fetches++;
			text_of(s->form, sizeof(s->form), e.secret);
			break;
		}
	}
}

static void put(struct sim *s, const char *name, struct base_slice tokens)
{
	auth_accounts_put(
		s->accounts, name, "anna@example.org", BASE_SLICE(PROFILE), tokens, s->now);
	run(s);
}

static struct sim *begin(void)
{
	static struct sim sim;
	static const uint8_t seed[AUTH_TOKEN_SEED_BYTES] = {7};

	auth_accounts_free(&sim.accounts);
	memset(&sim, 0, sizeof(sim));
	sim.accounts = auth_accounts_new(seed);
	sim.now = (struct auth_now){1000000, 1800000000000};
	auth_accounts_fetch_up(sim.accounts, sim.now);
	return &sim;
}

static void step(struct sim *s, int64_t ms)
{
	s->now.mono_ms += ms;
	s->now.wall_ms += ms;
	auth_accounts_tick(s->accounts, s->now);
	run(s);
}

/* Sleep as the shell does until something was to be done @at_most_ms later, and give how long it took. */
static int64_t sleep_until_asked(struct sim *s, int64_t at_most_ms)
{
	int64_t start = s->now.mono_ms;
	size_t before = s->fetches;

	while (s->fetches == before && s->now.mono_ms - start < at_most_ms) {
		int64_t wait = auth_accounts_wake_ms(s->accounts, s->now) - s->now.mono_ms;

		assert_true(wait > 0);
		step(s, wait);
	}
	return s->now.mono_ms - start;
}

static void want_as(struct sim *s, const char *name, struct auth_asker asker, bool refused)
{
	assert_true(auth_accounts_want(s->accounts, name, asker, refused, s->now));
	run(s);
}

static void want(struct sim *s, uint32_t id)
{
	want_as(s, "google", (struct auth_asker){0, id}, false);
}

static void answer_raw(struct sim *s, uint32_t id, int class, unsigned status, const char *body,
	const char *error, uint32_t retry_after_s)
{
	struct auth_fetch_answer answer = {
		class, status, base_slice_text(body), base_slice_text(error), retry_after_s};

	auth_accounts_fetched(s->accounts, id, &answer, s->now);
	run(s);
}

/* The oldest request. */
static void answer(struct sim *s, unsigned status, const char *body)
{
	uint32_t id = s->asked[0];

	assert_true(s->asked_count > 0);
	memmove(s->asked, s->asked + 1, sizeof(s->asked) - sizeof(s->asked[0]));
	memmove(s->asked_of, s->asked_of + 1, sizeof(s->asked_of) - sizeof(s->asked_of[0]));
	s->asked_count--;
	answer_raw(s, id, 0, status, body, "", 0);
}

static void give(struct sim *s, const char *access, const char *refresh)
{
	char body[512];

	snprintf(body, sizeof(body),
		"{\"access_token\": \"%s\", \"token_type\": \"Bearer\", \"expires_in\": "
		"3600%s%s%s}",
		access, refresh ? ", \"refresh_token\": \"" : "", refresh ? refresh : "",
		refresh ? "\"" : "");
	answer(s, 200, body);
}

static void refuse(struct sim *s)
{
	answer(s, 400,
		"{\"error\": \"invalid_grant\", \"error_description\": \"Token has been "
		"revoked\"}");
}

static const struct answered *last(const struct sim *s)
{
	assert_true(s->answer_count > 0);
	return &s->answers[s->answer_count - 1];
}

static struct auth_token_view view(struct sim *s)
{
	struct auth_token_view v;

	assert_true(auth_accounts_view(s->accounts, "google", s->now, &v));
	return v;
}

static unsigned warnings(const struct sim *s)
{
	return s->logs[AUTH_TOKEN_LOG_REFUSED] + s->logs[AUTH_TOKEN_LOG_LATER] +
		s->logs[AUTH_TOKEN_LOG_NOT_SAVED];
}

/* Obtained at once, unused; given at once; renewed ahead of its end though nobody asks. */
static void test_life(void **state)
{
	struct sim *s = begin();
	int64_t waited;

	put(s, "google", BASE_SLICE_EMPTY);
	assert_int_equal(s->fetches, 1);
	assert_non_null(strstr(s->form, "refresh_token=r0"));
	assert_int_equal(view(s).state, AUTH_TOKEN_OBTAINING);
	give(s, "a1", NULL);
	assert_int_equal(view(s).state, AUTH_TOKEN_VALID);
	assert_true(view(s).usable);
	assert_int_equal(view(s).until_ms, s->now.wall_ms + HOUR_MS);
	want(s, 5);
	assert_int_equal(last(s)->class, 0);
	assert_int_equal(last(s)->asker.id, 5);
	assert_string_equal(last(s)->secret, "a1");
	/* A fifth of an hour, at most 10 minutes, less up to half of it. */
	waited = sleep_until_asked(s, HOUR_MS);
	assert_in_range(waited, HOUR_MS - 600 * 1000, HOUR_MS - 299 * 1000);
	want(s, 6);
	assert_string_equal(last(s)->secret, "a1");
	give(s, "a2", NULL);
	want(s, 7);
	assert_string_equal(last(s)->secret, "a2");
	assert_int_equal(s->fetches, 2);
	assert_int_equal(warnings(s) + s->logs[AUTH_TOKEN_LOG_WORKS] + s->changed, 0);
}

/* Many accounts of one start are not renewed at the same time. */
static void test_jitter(void **state)
{
	struct sim *s = begin();
	int64_t first = INT64_MAX, last_ms = 0;
	char name[16];

	for (unsigned i = 0; i < 40; i++) {
		struct auth_token_view v;

		snprintf(name, sizeof(name), "account%u", i);
		put(s, name, BASE_SLICE_EMPTY);
		give(s, "a", NULL);
		assert_true(auth_accounts_view(s->accounts, name, s->now, &v));
		first = v.next_ms < first ? v.next_ms : first;
		last_ms = v.next_ms > last_ms ? v.next_ms : last_ms;
	}
	assert_true(last_ms - first > 120 * 1000);
}

/* All who ask while it is obtained wait for one request, and get its result. */
static void test_many_wait(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	for (uint32_t i = 0; i < AUTH_TOKEN_WAITING_MAX + 5; i++)
		want_as(s, "google", (struct auth_asker){i % 2, i}, false);
	/* More than so many do not wait. */
	assert_int_equal(s->answer_count, 5);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	assert_int_equal(s->fetches, 1);
	auth_accounts_relay_gone(s->accounts, 1);
	give(s, "a1", NULL);
	assert_int_equal(s->answer_count, 5 + AUTH_TOKEN_WAITING_MAX / 2);
	for (size_t i = 5; i < s->answer_count; i++) {
		assert_int_equal(s->answers[i].asker.relay, 0);
		assert_string_equal(s->answers[i].secret, "a1");
	}
	/* In the order in which they asked. */
	for (size_t i = 6; i < s->answer_count; i++)
		assert_true(s->answers[i].asker.id > s->answers[i - 1].asker.id);
	want(s, 1);
	assert_string_equal(last(s)->secret, "a1");
}

/* After a long stop all accounts are due: fetch is not given more than it takes. */
static void test_many_accounts(void **state)
{
	struct sim *s = begin();
	char name[16];
	unsigned most = 0;

	for (unsigned i = 0; i < AUTH_TOKEN_FETCHES_MAX + 40; i++) {
		snprintf(name, sizeof(name), "account%u", i);
		put(s, name, BASE_SLICE_EMPTY);
		most = s->asked_count > most ? (unsigned)s->asked_count : most;
	}
	while (s->asked_count)
		give(s, "a", NULL);
	assert_int_equal(most, AUTH_TOKEN_FETCHES_MAX);
	assert_int_equal(s->fetches, AUTH_TOKEN_FETCHES_MAX + 40);
	/* One that is gone leaves its place. */
	s = begin();
	for (unsigned i = 0; i < AUTH_TOKEN_FETCHES_MAX + 1; i++) {
		snprintf(name, sizeof(name), "account%u", i);
		put(s, name, BASE_SLICE_EMPTY);
	}
	auth_accounts_remove(s->accounts, "account0", s->now);
	run(s);
	assert_int_equal(s->fetches, AUTH_TOKEN_FETCHES_MAX + 1);
}

/* A rotated refresh token is in the vault before anybody gets the access token. */
/* Ids of what fetch is asked meanwhile, at @asked; returns how many. */
static size_t collect(struct sim *s, uint32_t *asked, char (*names)[64])
{
	struct auth_token_effect e;
	char name[64];
	size_t count = 0;

	while (auth_accounts_effect(s->accounts, s->now, &e)) {
		snprintf(name, sizeof(name), "%s", e.name);
		if (e.kind == AUTH_TOKEN_SAVE) {
			auth_accounts_saved(s->accounts, name, NULL, s->now);
		} else if (e.kind == AUTH_TOKEN_FETCH) {
			snprintf(names[count], sizeof(names[0]), "%s", name);
			asked[count++] = e.id;
		}
	}
	return count;
}

/* auth does nothing else meanwhile: what is done for one answer must not grow with the square of those who
 * wait. It took 10 s with so many; the limit is for a slow machine with a sanitizer. */
static void test_thousands_of_accounts(void **state)
{
	enum { COUNT = 10000, ROUNDS = 20, CPU_MAX_S = 20 };
	static uint32_t asked[AUTH_TOKEN_FETCHES_MAX + ROUNDS + 1];
	static char names[AUTH_TOKEN_FETCHES_MAX + ROUNDS + 1][64];
	struct auth_fetch_answer yes = {.status = 200,
		.body = BASE_SLICE("{\"access_token\": \"a\", \"token_type\": \"Bearer\"}")};
	struct sim *s = begin();
	char name[32];
	clock_t before;
	size_t count;

	for (unsigned i = 0; i < COUNT; i++) {
		snprintf(name, sizeof(name), "a%u", i);
		auth_accounts_put(s->accounts, name, "anna@example.org", BASE_SLICE(PROFILE),
			BASE_SLICE_EMPTY, s->now);
	}
	before = clock();
	count = collect(s, asked, names);
	assert_int_equal(count, AUTH_TOKEN_FETCHES_MAX);
	for (unsigned i = 0; i < ROUNDS; i++) {
		auth_accounts_fetched(s->accounts, asked[i], &yes, s->now);
		assert_int_equal(collect(s, asked + count, names + count), 1);
		count++;
	}
	assert_true((clock() - before) / CLOCKS_PER_SEC < CPU_MAX_S);
}

/* Who waits longest is asked for next, whatever came between: no account starves. */
static void test_waiting_in_turn(void **state)
{
	static uint32_t asked[2 * AUTH_TOKEN_FETCHES_MAX];
	static char names[2 * AUTH_TOKEN_FETCHES_MAX][64];
	struct auth_fetch_answer no = {.status = 503, .body = BASE_SLICE("")};
	struct sim *s = begin();
	char name[32];

	for (unsigned i = 0; i < AUTH_TOKEN_FETCHES_MAX; i++) {
		snprintf(name, sizeof(name), "a%u", i);
		auth_accounts_put(s->accounts, name, "anna@example.org", BASE_SLICE(PROFILE),
			BASE_SLICE_EMPTY, s->now);
	}
	assert_int_equal(collect(s, asked, names), AUTH_TOKEN_FETCHES_MAX);
	for (unsigned i = 0; i < 3; i++) {
		snprintf(name, sizeof(name), "late%u", i);
		auth_accounts_put(s->accounts, name, "anna@example.org", BASE_SLICE(PROFILE),
			BASE_SLICE_EMPTY, s->now);
		assert_int_equal(collect(s, asked + AUTH_TOKEN_FETCHES_MAX, names), 0);
	}
	/* One of those that wait is taken away, and one that is asked for is made anew. */
	auth_accounts_remove(s->accounts, "late1", s->now);
	auth_accounts_fetched(s->accounts, asked[0], &no, s->now);
	assert_int_equal(collect(s, asked + AUTH_TOKEN_FETCHES_MAX, names), 1);
	assert_string_equal(names[0], "late0");
	auth_accounts_fetched(s->accounts, asked[1], &no, s->now);
	assert_int_equal(collect(s, asked + AUTH_TOKEN_FETCHES_MAX, names), 1);
	assert_string_equal(names[0], "late2");
	/* All are asked for again by another fetch. */
	auth_accounts_fetch_down(s->accounts, s->now);
	assert_int_equal(collect(s, asked, names), 0);
	auth_accounts_fetch_up(s->accounts, s->now);
	assert_int_equal(collect(s, asked, names), AUTH_TOKEN_FETCHES_MAX);
	auth_accounts_fetch_up(s->accounts, s->now);
	assert_int_equal(collect(s, asked, names), 0);
}

static void test_rotation(void **state)
{
	struct sim *s = begin();
	struct vault_oauth_tokens t;

	put(s, "google", BASE_SLICE_EMPTY);
	want(s, 1);
	s->order[0] = '\0';
	give(s, "a1", "r1");
	assert_string_equal(s->order, "sa");
	vault_oauth_tokens_init(&t);
	assert_true(vault_oauth_tokens_read(base_slice_make(s->saved, s->saved_len), &t));
	assert_slice_equal(base_secret_slice(&t.refresh), "r1");
	assert_slice_equal(base_secret_slice(&t.access), "a1");
	vault_oauth_tokens_release(&t);
	sleep_until_asked(s, HOUR_MS);
	assert_non_null(strstr(s->form, "refresh_token=r1"));
	/* An answer without one leaves it. */
	give(s, "a2", NULL);
	sleep_until_asked(s, HOUR_MS);
	assert_non_null(strstr(s->form, "refresh_token=r1"));
}

static void test_restart(void **state)
{
	struct sim *s = begin();
	uint8_t kept[VAULT_OAUTH_STATE_MAX_BYTES];
	struct base_slice tokens;

	put(s, "google", BASE_SLICE_EMPTY);
	give(s, "a1", "r1");
	memcpy(kept, s->saved, s->saved_len);
	tokens = base_slice_make(kept, s->saved_len);
	/* At once: it is there and nobody is asked. */
	s = begin();
	put(s, "google", tokens);
	want(s, 1);
	assert_string_equal(last(s)->secret, "a1");
	assert_int_equal(s->fetches, 0);
	assert_in_range(sleep_until_asked(s, HOUR_MS), HOUR_MS - 600 * 1000, HOUR_MS - 299 * 1000);
	/* After its end: the refresh token is there. */
	s = begin();
	s->now.wall_ms += 2 * HOUR_MS;
	put(s, "google", tokens);
	assert_int_equal(s->fetches, 1);
	assert_non_null(strstr(s->form, "refresh_token=r1"));
	/* What cannot be read is as nothing. */
	s = begin();
	put(s, "google", BASE_SLICE("\x01rubbish"));
	assert_int_equal(s->fetches, 1);
	assert_non_null(strstr(s->form, "refresh_token=r0"));
}

/* The vault cannot write: the token is used, the log has a line, and it is written in the end. */
static void test_vault_down(void **state)
{
	struct sim *s = begin();

	s->vault_down = true;
	put(s, "google", BASE_SLICE_EMPTY);
	want(s, 1);
	s->order[0] = '\0';
	give(s, "a1", "r1");
	assert_string_equal(s->order, "sla");
	assert_string_equal(s->log_reason, "the disk is full");
	for (int i = 0; i < 5; i++)
		step(s, AUTH_TOKEN_SAVE_AGAIN_MS);
	assert_int_equal(s->saves, 6);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_NOT_SAVED], 1);
	s->vault_down = false;
	step(s, AUTH_TOKEN_SAVE_AGAIN_MS);
	assert_int_equal(s->saves, 7);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_SAVED], 1);
	assert_true(s->saved_len > 0);
	step(s, 10 * AUTH_TOKEN_SAVE_AGAIN_MS);
	assert_int_equal(s->saves, 7);
}

/* invalid_grant: one line, back-off to an hour, everybody gets the reason at once; then it works again. */
static void test_refused(void **state)
{
	struct sim *s = begin();
	int64_t waited = 0;

	put(s, "google", BASE_SLICE_EMPTY);
	want(s, 1);
	refuse(s);
	assert_int_equal(view(s).state, AUTH_TOKEN_REFUSED);
	assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
	assert_string_equal(last(s)->reason, "invalid_grant: Token has been revoked");
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_REFUSED], 1);
	assert_string_equal(s->log_reason, "invalid_grant: Token has been revoked");
	assert_in_range(s->log_next_ms - s->now.wall_ms, 45000, 60000);
	for (int i = 0; i < 12; i++) {
		want(s, 2);
		assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
		waited = sleep_until_asked(s, 2 * HOUR_MS);
		want(s, 3);
		refuse(s);
		assert_int_equal(last(s)->asker.id, 3);
	}
	assert_in_range(waited, HOUR_MS * 3 / 4, HOUR_MS);
	assert_int_equal(warnings(s), 1);
	assert_int_equal(s->fetches, 13);
	assert_int_equal(s->changed, 0);
	sleep_until_asked(s, 2 * HOUR_MS);
	s->order[0] = '\0';
	give(s, "a1", "r1");
	assert_string_equal(s->order, "slc");
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_WORKS], 1);
	assert_string_equal(view(s).reason, "");
	/* The next time it is worth a line again, and the back-off starts anew. */
	sleep_until_asked(s, HOUR_MS);
	refuse(s);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_REFUSED], 2);
	assert_in_range(sleep_until_asked(s, HOUR_MS), 45000, 60000);
}

/* A renewal that fails ahead of time takes nothing away until the token ends. */
static void test_later(void **state)
{
	struct sim *s = begin();
	unsigned tries = 0;

	put(s, "google", BASE_SLICE_EMPTY);
	give(s, "a1", NULL);
	sleep_until_asked(s, HOUR_MS);
	while (s->now.wall_ms < view(s).until_ms) {
		answer(s, 503, "<html>");
		want(s, 1);
		if (last(s)->class == 0)
			assert_string_equal(last(s)->secret, "a1");
		tries++;
		sleep_until_asked(s, HOUR_MS);
	}
	assert_in_range(tries, 4, 12);
	answer(s, 503, "<html>");
	want(s, 2);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	assert_non_null(strstr(last(s)->reason, "503"));
	assert_non_null(strstr(last(s)->reason, "tried again in "));
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_LATER], 1);
	assert_int_equal(warnings(s), 1);
	/* Then it says no, which is worse, and worth another line. */
	sleep_until_asked(s, HOUR_MS);
	refuse(s);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_REFUSED], 1);
	sleep_until_asked(s, HOUR_MS);
	answer(s, 503, "<html>");
	assert_int_equal(warnings(s), 2);
	sleep_until_asked(s, HOUR_MS);
	give(s, "a2", NULL);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_WORKS], 1);
	assert_int_equal(s->changed, 1);
}

static void test_retry_after(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	answer_raw(s, s->asked[0], 0, 429, "{\"error\": \"temporarily_unavailable\"}", "", 90);
	s->asked_count = 0;
	assert_int_equal(view(s).state, AUTH_TOKEN_LATER);
	assert_int_equal(sleep_until_asked(s, HOUR_MS), 90000);
	/* At most an hour. */
	answer_raw(s, s->asked[0], 0, 429, "{}", "", UINT32_MAX);
	assert_int_equal(sleep_until_asked(s, 2 * HOUR_MS), HOUR_MS);
}

/* Nobody at all answers: words of fetch, escaped. */
static void test_no_answer(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	answer_raw(s, s->asked[0], BASE_ERROR_TEMPORARY, 0, "",
		"login.example.org: certificate \xff\r\n", 0);
	want(s, 1);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	assert_non_null(strstr(last(s)->reason, "login.example.org: certificate"));
	assert_null(strchr(last(s)->reason, '\n'));
	assert_null(strchr(last(s)->reason, '\xff'));
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_LATER], 1);
	/* Answers that nobody waits for. */
	answer_raw(s, s->asked[0], 0, 200, "{\"access_token\": \"x\", \"token_type\": \"Bearer\"}",
		"", 0);
	answer_raw(s, 0, 0, 200, "{\"access_token\": \"x\", \"token_type\": \"Bearer\"}", "", 0);
	assert_false(view(s).usable);
}

/* An endpoint that hangs: who waits is told after 25 s, others are not touched. */
static void test_hang(void **state)
{
	struct sim *s = begin();
	int64_t start;

	put(s, "google", BASE_SLICE_EMPTY);
	put(s, "other", BASE_SLICE_EMPTY);
	want(s, 1);
	want_as(s, "other", (struct auth_asker){0, 2}, false);
	assert_int_equal(s->answer_count, 0);
	assert_string_equal(s->asked_of[1], "other");
	answer_raw(s, s->asked[1], 0, 200, "{\"access_token\": \"b1\", \"token_type\": \"Bearer\"}",
		"", 0);
	assert_int_equal(s->answer_count, 1);
	assert_string_equal(last(s)->secret, "b1");
	start = s->now.mono_ms;
	while (s->answer_count == 1)
		step(s, auth_accounts_wake_ms(s->accounts, s->now) - s->now.mono_ms);
	assert_int_equal(s->now.mono_ms - start, AUTH_TOKEN_WAIT_MS);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	/* fetch says nothing at all: given up in the end. */
	while (view(s).state == AUTH_TOKEN_OBTAINING)
		step(s, auth_accounts_wake_ms(s->accounts, s->now) - s->now.mono_ms);
	assert_int_equal(s->now.mono_ms - start, AUTH_TOKEN_FETCH_MS + 10000);
	assert_int_equal(view(s).state, AUTH_TOKEN_LATER);
}

/* fetch is away, comes, is restarted: what was asked is asked again; but not for ever. */
static void test_fetch_away(void **state)
{
	struct sim *s = begin();
	uint32_t old;

	auth_accounts_fetch_down(s->accounts, s->now);
	put(s, "google", BASE_SLICE_EMPTY);
	want(s, 1);
	assert_int_equal(s->fetches, 0);
	step(s, 1000);
	auth_accounts_fetch_up(s->accounts, s->now);
	run(s);
	assert_int_equal(s->fetches, 1);
	old = s->asked[0];
	auth_accounts_fetch_down(s->accounts, s->now);
	run(s);
	auth_accounts_fetch_up(s->accounts, s->now);
	run(s);
	assert_int_equal(s->fetches, 2);
	assert_int_not_equal(s->asked[1], old);
	/* The old answer counts no more. */
	answer_raw(s, old, 0, 200, "{\"access_token\": \"x\", \"token_type\": \"Bearer\"}", "", 0);
	assert_int_equal(s->answer_count, 0);
	for (int i = 0; i < 10; i++) {
		auth_accounts_fetch_down(s->accounts, s->now);
		run(s);
		auth_accounts_fetch_up(s->accounts, s->now);
		run(s);
	}
	assert_int_equal(s->fetches, 4);
	assert_int_equal(view(s).state, AUTH_TOKEN_LATER);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	assert_in_range(sleep_until_asked(s, HOUR_MS), 3000, 5000);
	/* Away for longer than anybody waits. */
	auth_accounts_fetch_down(s->accounts, s->now);
	want(s, 9);
	step(s, AUTH_TOKEN_WAIT_MS);
	assert_int_equal(last(s)->asker.id, 9);
	assert_non_null(strstr(last(s)->reason, "is away"));
}

/* The server refuses the token: it is dropped and renewed once; a new one that is refused as well is the
 * server's word. */
static void test_refused_by_server(void **state)
{
	static const struct auth_asker one = {0, 1}, two = {0, 2}, three = {1, 1}, four = {0, 4};
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	give(s, "a1", "r1");
	want_as(s, "google", one, false);
	want_as(s, "google", two, false);
	want_as(s, "google", three, false);
	assert_int_equal(s->answer_count, 3);
	want_as(s, "google", one, true);
	assert_int_equal(s->answer_count, 3);
	assert_int_equal(s->fetches, 2);
	assert_false(view(s).usable);
	/* Another connection finds the same meanwhile, and others later: one that is known to have the old
	 * token, and one that comes in place of somebody's. */
	want_as(s, "google", two, true);
	give(s, "a2", "r2");
	assert_int_equal(s->answer_count, 5);
	assert_string_equal(s->answers[3].secret, "a2");
	assert_string_equal(s->answers[4].secret, "a2");
	want_as(s, "google", three, true);
	want_as(s, "google", four, true);
	assert_int_equal(s->fetches, 2);
	assert_string_equal(s->answers[5].secret, "a2");
	assert_string_equal(s->answers[6].secret, "a2");
	/* The new one is refused too. */
	step(s, AUTH_TOKEN_FRESH_MS - 1);
	want_as(s, "google", one, true);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	assert_non_null(strstr(last(s)->reason, "refuses"));
	assert_int_equal(s->fetches, 2);
	assert_int_equal(warnings(s), 0);
	/* It is still there for others. */
	want_as(s, "google", two, false);
	assert_string_equal(last(s)->secret, "a2");
	/* The same after a while is worth another try. */
	step(s, 1);
	want_as(s, "google", one, true);
	assert_int_equal(s->fetches, 3);
	give(s, "a3", NULL);
	assert_string_equal(last(s)->secret, "a3");
	step(s, AUTH_TOKEN_FRESH_MS);
	want_as(s, "google", one, true);
	assert_int_equal(s->fetches, 4);
	/* While it is renewed and the provider says no: the last reason, at once. */
	refuse(s);
	assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
	want_as(s, "google", one, true);
	assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
	assert_int_equal(s->fetches, 4);
}

/* A new process of a relay counts its connections from 1 again: what the old one had says nothing. */
static void test_relay_restarted(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	give(s, "a1", NULL);
	want(s, 1);
	step(s, AUTH_TOKEN_FRESH_MS);
	want_as(s, "google", (struct auth_asker){0, 2}, true);
	give(s, "a2", NULL);
	auth_accounts_relay_gone(s->accounts, 0);
	step(s, AUTH_TOKEN_FRESH_MS);
	want_as(s, "google", (struct auth_asker){0, 1}, true);
	assert_int_equal(s->fetches, 3);
}

static void test_retry(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	assert_false(auth_accounts_retry(s->accounts, NULL, s->now));
	for (int i = 0; i < 5; i++) {
		refuse(s);
		sleep_until_asked(s, HOUR_MS);
	}
	refuse(s);
	assert_false(auth_accounts_retry(s->accounts, "other", s->now));
	assert_true(auth_accounts_retry(s->accounts, "google", s->now));
	run(s);
	assert_int_equal(s->fetches, 7);
	refuse(s);
	assert_int_equal(warnings(s), 1);
	assert_in_range(sleep_until_asked(s, HOUR_MS), 45000, 60000);
	refuse(s);
	assert_true(auth_accounts_retry(s->accounts, NULL, s->now));
	run(s);
	give(s, "a1", NULL);
	assert_int_equal(s->changed, 1);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_WORKS], 1);
}

/* Another profile, or the end of the account, while people wait. */
static void test_change(void **state)
{
	struct sim *s = begin();
	uint32_t old;

	put(s, "google", BASE_SLICE_EMPTY);
	want(s, 1);
	old = s->asked[0];
	auth_accounts_put(s->accounts, "google", "anna@example.org",
		BASE_SLICE("{\"token_endpoint\": \"https://login.example.org/token\", "
			   "\"client_id\": \"postern\", \"refresh_token\": \"other\"}"),
		BASE_SLICE_EMPTY, s->now);
	run(s);
	assert_int_equal(s->fetches, 2);
	assert_non_null(strstr(s->form, "refresh_token=other"));
	answer_raw(s, old, 0, 200, "{\"access_token\": \"x\", \"token_type\": \"Bearer\"}", "", 0);
	assert_int_equal(s->answer_count, 0);
	auth_accounts_remove(s->accounts, "google", s->now);
	assert_false(auth_accounts_want(
		s->accounts, "google", (struct auth_asker){0, 2}, false, s->now));
	run(s);
	assert_int_equal(last(s)->class, BASE_ERROR_TEMPORARY);
	answer_raw(s, s->asked[1], 0, 200, "{\"access_token\": \"x\", \"token_type\": \"Bearer\"}",
		"", 0);
	assert_int_equal(auth_accounts_wake_ms(s->accounts, s->now), INT64_MAX);
	put(s, "google", BASE_SLICE_EMPTY);
	assert_int_equal(s->fetches, 3);
}

/* Profiles with which nothing can be obtained: refused, with words; nobody is asked. */
static void test_hopeless_profiles(void **state)
{
	struct sim *s = begin();

	auth_accounts_put(s->accounts, "google", "u", BASE_SLICE("{]"), BASE_SLICE_EMPTY, s->now);
	run(s);
	want(s, 1);
	assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
	assert_true(last(s)->reason[0] != '\0');
	assert_int_equal(view(s).next_ms, 0);
	assert_false(auth_accounts_retry(s->accounts, NULL, s->now));
	/* A person has to log in first. */
	auth_accounts_put(s->accounts, "google", "u",
		BASE_SLICE(
			"{\"token_endpoint\": \"https://login.example.org/token\", "
			"\"device_authorization_endpoint\": \"https://login.example.org/device\", "
			"\"client_id\": \"postern\"}"),
		BASE_SLICE_EMPTY, s->now);
	run(s);
	want(s, 2);
	assert_int_equal(last(s)->class, BASE_ERROR_CONFIG);
	assert_int_equal(s->fetches, 0);
	assert_int_equal(s->logs[AUTH_TOKEN_LOG_REFUSED], 2);
}

/* Tokens that hardly live are given all the same, and the provider is not flooded. */
static void test_short_life(void **state)
{
	struct sim *s = begin();
	int64_t start = s->now.mono_ms;

	put(s, "google", BASE_SLICE_EMPTY);
	while (s->now.mono_ms - start < 600 * 1000) {
		want(s, 1);
		answer(s, 200,
			"{\"access_token\": \"a\", \"token_type\": \"Bearer\", \"expires_in\": 3}");
		assert_int_equal(last(s)->class, 0);
		sleep_until_asked(s, HOUR_MS);
	}
	assert_in_range(s->fetches, 10, 62);
}

/* The wall clock is set: forward, the token is renewed soon; back, it is not given for ever. */
static void test_clock(void **state)
{
	struct sim *s = begin();

	put(s, "google", BASE_SLICE_EMPTY);
	give(s, "a1", NULL);
	s->now.wall_ms += 2 * HOUR_MS;
	step(s, 60000);
	assert_int_equal(s->fetches, 2);
	give(s, "a2", NULL);
	step(s, AUTH_TOKEN_FRESH_MS);
	s->now.wall_ms -= 24 * HOUR_MS;
	want(s, 1);
	assert_int_equal(s->fetches, 3);
	give(s, "a3", NULL);
	assert_string_equal(last(s)->secret, "a3");
}

/* Whatever comes in whatever order: nobody is answered twice, nobody is forgotten, a rotated token is in
 * the vault before it is given, and no account is asked for twice at the same time. */
static void test_random(void **state)
{
	static const char *const names[] = {"google", "b", "c"};
	uint32_t seed, asked, next_id = 0;

	for (seed = 1; seed < 200; seed++) {
		struct sim *s = begin();
		uint32_t x = seed * 2654435761u;
		size_t wanted = 0;

		for (unsigned i = 0; i < BASE_COUNT(names); i++)
			put(s, names[i], BASE_SLICE_EMPTY);
		for (int i = 0; i < 400; i++) {
			x = x * 1664525 + 1013904223;
			asked = s->asked_count ? s->asked[(x >> 4) % s->asked_count] : 0;
			switch ((x >> 16) % 9) {
			case 0:
			case 1:
				wanted += auth_accounts_want(s->accounts, names[x % 3],
					(struct auth_asker){0, ++next_id}, x & 8, s->now);
				break;
			case 2:
				answer_raw(s, asked, 0, 200,
					"{\"access_token\": \"t\", \"token_type\": \"Bearer\", "
					"\"expires_in\": 100, \"refresh_token\": \"r\"}",
					"", 0);
				break;
			case 3:
				answer_raw(
					s, asked, 0, 400, "{\"error\": \"invalid_grant\"}", "", 0);
				break;
			case 4:
				answer_raw(s, asked, BASE_ERROR_TEMPORARY, 0, "", "down", 0);
				break;
			case 5:
				auth_accounts_fetch_down(s->accounts, s->now);
				break;
			case 6:
				auth_accounts_fetch_up(s->accounts, s->now);
				break;
			case 7:
				s->vault_down = x & 16;
				break;
			default:
				step(s, (x >> 20) % 40000);
				break;
			}
			run(s);
			if (s->asked_count > 32)
				s->asked_count = 0;
			if (s->answer_count > ANSWERS_MAX - 64)
				break;
		}
		auth_accounts_fetch_up(s->accounts, s->now);
		step(s, AUTH_TOKEN_WAIT_MS);
		step(s, AUTH_TOKEN_WAIT_MS);
		assert_int_equal(s->answer_count, wanted);
	}
}

/* Bodies of frames, whole and cut at every byte. */
static void test_frames(void **state)
{
	struct base_buf b;
	struct auth_secret_want w;
	struct auth_fetch_answer f;
	struct base_slice name;

	base_buf_init(&b, 1024);
	ipc_put_text(&b, "google");
	assert_true(auth_account_want_parse(base_buf_slice(&b), &name));
	assert_slice_equal(name, "google");
	ipc_put_u8(&b, IPC_SECRET_CERTIFICATE);
	ipc_put_u8(&b, 1);
	assert_false(auth_account_want_parse(base_buf_slice(&b), &name));
	assert_true(auth_secret_want_parse(base_buf_slice(&b), &w));
	assert_int_equal(w.what, IPC_SECRET_CERTIFICATE);
	assert_true(w.refused);
	for (size_t len = 0; len < b.len; len++)
		assert_false(auth_secret_want_parse(base_slice_make(b.ptr, len), &w));
	b.ptr[b.len - 2] = IPC_SECRET_COUNT;
	assert_false(auth_secret_want_parse(base_buf_slice(&b), &w));
	base_buf_clear(&b);
	ipc_put_u8(&b, -BASE_ERROR_CONFIG);
	ipc_put_u16(&b, 503);
	ipc_put_text(&b, "body");
	ipc_put_text(&b, "error");
	ipc_put_u32(&b, 7);
	assert_true(auth_fetched_parse(base_buf_slice(&b), &f));
	assert_int_equal(f.class, BASE_ERROR_CONFIG);
	assert_int_equal(f.status, 503);
	assert_slice_equal(f.body, "body");
	assert_slice_equal(f.error, "error");
	assert_int_equal(f.retry_after_s, 7);
	for (size_t len = 0; len < b.len; len++)
		assert_false(auth_fetched_parse(base_slice_make(b.ptr, len), &f));
	base_buf_append_byte(&b, 0);
	assert_false(auth_fetched_parse(base_buf_slice(&b), &f));
	base_buf_release(&b);
}

static int end(void **state)
{
	struct sim *s = begin();

	auth_accounts_free(&s->accounts);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_life),
		cmocka_unit_test(test_jitter),
		cmocka_unit_test(test_many_wait),
		cmocka_unit_test(test_many_accounts),
		cmocka_unit_test(test_thousands_of_accounts),
		cmocka_unit_test(test_waiting_in_turn),
		cmocka_unit_test(test_rotation),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_vault_down),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_hang),
		cmocka_unit_test(test_fetch_away),
		cmocka_unit_test(test_refused_by_server),
		cmocka_unit_test(test_relay_restarted),
		cmocka_unit_test(test_retry),
		cmocka_unit_test(test_change),
		cmocka_unit_test(test_hopeless_profiles),
		cmocka_unit_test(test_short_life),
		cmocka_unit_test(test_clock),
		cmocka_unit_test(test_random),
		cmocka_unit_test(test_frames),
	};

	return cmocka_run_group_tests(tests, NULL, end);
}
