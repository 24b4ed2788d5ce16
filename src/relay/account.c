#include "relay/internal.h"

#include "base/escape.h"
#include "wire/oauth_error.h"

#include <stdlib.h>
#include <string.h>

/* Accounts.
 *
 *	UNKNOWN -auth's answer-> KNOWN or MISSING     any -ACCOUNT_CHANGED-> UNKNOWN
 *	KNOWN for RELAY_ACCOUNT_KEEP_MS: then auth is asked again, and the old answer serves meanwhile
 *	MISSING for RELAY_ACCOUNT_MISSING_MS: then it is asked before anything else happens
 *	KNOWN, and auth was away: the same, for it may have ended between a change and its telling; a new
 *	password must not go to the old server
 *
 * Pauses: an account that a server refused is left alone for a while, longer each time, so that no wrong
 * password locks somebody out; its mail is held, never sent another way. After a pause one connection
 * tries first (limits.c). A token may have ended before its time: the first refusal asks for another one
 * at once, the second pauses. */

enum { PAUSE_FIRST_MS = 60 * 1000, PAUSE_MAX_MS = 3600 * 1000, ACCOUNTS_MAX = 10000 };

static struct relay_account *find(struct relay_core *core, struct base_slice name)
{
	size_t i;

	for (i = 0; i < core->account_count; i++)
		if (base_slice_equal_text(name, core->accounts[i]->name))
			return core->accounts[i];
	return NULL;
}

struct relay_account *relay_account_get(struct relay_core *core, struct base_slice name)
{
	struct relay_account *a = find(core, name);

	if (a || core->account_count == ACCOUNTS_MAX)
		return a;
	a = base_alloc_zero(1, sizeof(*a));
	a->name = base_slice_dup(name);
	base_buf_init(&a->ca, ACCOUNT_CA_MAX_BYTES);
	core->accounts = base_realloc(
		core->accounts, (core->account_count + 1) * sizeof(core->accounts[0]));
	core->accounts[core->account_count++] = a;
	a->id = (uint32_t)core->account_count;
	return a;
}

void relay_account_free(struct relay_account *a)
{
	free(a->name);
	base_buf_release(&a->ca);
	free(a);
}

struct relay_account *relay_core_account(const struct relay_core *core, size_t index)
{
	return index < core->account_count ? core->accounts[index] : NULL;
}

/* what it is */

static void ask(struct relay_core *core, struct relay_account *a)
{
	if (a->asking)
		return;
	a->asking = true;
	relay_effect_add(core, &(struct relay_effect){.kind = RELAY_WANT_ACCOUNT, .account = a});
}

enum relay_account_state relay_account_look(struct relay_core *core, struct relay_account *a,
	const struct relay_now *now, struct relay_failure *out_failure)
{
	bool old = now->mono_ms >= a->state_until_ms;

	if (a->state == RELAY_ACCOUNT_MISSING && !old) {
		relay_failure_set(out_failure, JOB_HELD, 0, "4.7.8", a->missing);
		return RELAY_ACCOUNT_MISSING;
	}
	if (a->state != RELAY_ACCOUNT_KNOWN || a->unsure || old)
		ask(core, a);
	return a->state == RELAY_ACCOUNT_KNOWN && !a->unsure ? RELAY_ACCOUNT_KNOWN
							     : RELAY_ACCOUNT_UNKNOWN;
}

void relay_core_auth_back(struct relay_core *core)
{
	struct relay_conn *conn;
	size_t i;

	for (i = 0; i < core->account_count; i++) {
		struct relay_account *a = core->accounts[i];

		a->unsure = a->state == RELAY_ACCOUNT_KNOWN;
		a->asking = a->asking && !a->unsure;
		if (a->unsure)
			ask(core, a);
		else if (a->asking)
			relay_effect_add(core,
				&(struct relay_effect){.kind = RELAY_WANT_ACCOUNT, .account = a});
	}
	for (conn = core->conns; conn; conn = conn->next)
		relay_conn_want_secret(conn);
}

void relay_account_dispatch(
	struct relay_core *core, const struct relay_account *a, const struct relay_now *now)
{
	struct relay_dest *d, *first = NULL;
	size_t b;

	for (b = 0; a->dests > 1 && b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (d->account == a && d->waiting && !d->conns &&
				(!first || d->last_conn < first->last_conn))
				first = d;
	if (first)
		relay_dest_dispatch(first, now);
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (d->account == a)
				relay_dest_dispatch(d, now);
}

void relay_account_retire(
	struct relay_core *core, const struct relay_account *a, const struct relay_now *now)
{
	struct relay_conn *conn;

	for (conn = core->conns; conn; conn = conn->next)
		if (conn->dest->account == a && relay_conn_is_retired(conn))
			relay_conn_retire(conn, now);
}

/* pauses */

static void tell(struct relay_core *core, struct relay_account *a, bool alert)
{
	relay_effect_add(
		core, &(struct relay_effect){.kind = RELAY_ACCOUNT, .account = a, .alert = alert});
}

bool relay_account_is_paused(const struct relay_account *a, const struct relay_now *now,
	struct relay_failure *out_failure, int64_t *out_until_ms)
{
	if (now->wall_ms >= a->until_ms)
		return false;
	relay_failure_set(out_failure, JOB_HELD, a->code, "4.7.8", a->reason);
	*out_until_ms = a->until_ms;
	return true;
}

static void hold_jobs(
	struct relay_core *core, const struct relay_account *a, const struct relay_peer *peer)
{
	struct relay_failure f;
	struct relay_dest *d;
	size_t b;

	relay_failure_set(&f, JOB_HELD, a->code, "4.7.8", a->reason);
	if (peer)
		f.peer = *peer;
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (d->account == a) {
				d->delivered = 0;
				relay_dest_give_up(d, &f, a->until_ms);
			}
}

/* With the peer's words, or for comparing without them: those may differ each time. */
static void put_reason(const struct relay_refusal *r, bool peers_words, char *out, size_t size)
{
	struct base_buf text, token;

	base_buf_init(&text, 4096);
	base_buf_init(&token, WIRE_OAUTH_ERROR_MAX_BYTES);
	(void)base_buf_append_text(&text, r->words);
	if (r->mechanism)
		(void)base_buf_printf(&text, " (%s)", r->mechanism);
	if (r->reply && r->reply->code)
		(void)base_buf_printf(
			&text, ": %u %s", r->reply->code, peers_words ? "" : r->reply->enhanced);
	if (r->reply && r->reply->code && peers_words)
		(void)base_escape_text(
			base_slice_make(r->reply->text, r->reply->text_len), 120, &text);
	if (r->token_error.len) {
		wire_oauth_error_words(r->token_error, &token);
		(void)base_buf_printf(&text, "; %.*s", BASE_SLICE_ARGS(base_buf_slice(&token)));
	}
	(void)snprintf(out, size, "%.*s", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
	base_buf_release(&token);
}

void relay_account_pause(struct relay_core *core, struct relay_account *a,
	const struct relay_refusal *refusal, const struct relay_now *now)
{
	int64_t pause_ms = PAUSE_FIRST_MS;
	char about[sizeof(a->told)];
	uint32_t i;
	bool news;

	if (now->wall_ms >= a->until_ms) {
		for (i = 0; i < a->failures && pause_ms < PAUSE_MAX_MS; i++)
			pause_ms *= 2;
		a->failures++;
		a->until_ms = now->wall_ms + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
	}
	put_reason(refusal, true, a->reason, sizeof(a->reason));
	put_reason(refusal, false, about, sizeof(about));
	news = !refusal->told && strcmp(about, a->told) != 0;
	if (news)
		memcpy(a->told, about, sizeof(about));
	a->code = refusal->reply ? refusal->reply->code : 0;
	a->token_refused = false;
	tell(core, a, news);
	hold_jobs(core, a, refusal->peer);
}

bool relay_account_renews(struct relay_account *a, const struct relay_conn *conn)
{
	if (a->credential != SASL_CREDENTIAL_TOKEN || conn->asked_refused)
		return false;
	a->token_refused = true;
	return true;
}

void relay_account_works(
	struct relay_core *core, struct relay_account *a, const struct relay_now *now)
{
	bool waited = a->failures || a->token_refused, told = a->told[0] != '\0';

	a->token_refused = a->unproven = false;
	if (a->failures) {
		a->failures = 0;
		a->until_ms = 0;
		a->code = 0;
		a->reason[0] = a->told[0] = '\0';
		tell(core, a, told);
	}
	if (waited) /* one has tried for all */
		relay_account_dispatch(core, a, now);
}

static void lift(struct relay_core *core, struct relay_account *a, const struct relay_now *now)
{
	struct relay_dest *d;
	size_t b;

	if (a->until_ms) {
		a->until_ms = 0;
		tell(core, a, false);
	}
	/* Whoever lifts a pause has changed something: no destination of it waits on either. */
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (d->account == a)
				d->backoff_until_ms = d->slow_until_ms = 0;
	if (a->state == RELAY_ACCOUNT_MISSING)
		a->state_until_ms = now->mono_ms;
}

void relay_core_account_retry(
	struct relay_core *core, struct base_slice account, const struct relay_now *now)
{
	struct relay_dest *d;
	size_t i, b;

	for (i = 0; i < core->account_count; i++)
		if (!account.len || base_slice_equal_text(account, core->accounts[i]->name))
			lift(core, core->accounts[i], now);
	for (b = 0; !account.len && b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			d->backoff_until_ms = d->slow_until_ms = 0;
}

static void change(struct relay_core *core, struct relay_account *a, const struct relay_now *now)
{
	a->state = RELAY_ACCOUNT_UNKNOWN;
	a->unsure = false;
	/* Its user may be another one: nobody logs in as two. */
	a->generation++;
	relay_account_retire(core, a, now);
	/* What fails from now on is news, and the waiting begins anew. */
	a->told[0] = '\0';
	a->token_refused = a->unproven = false;
	if (a->failures > 1)
		a->failures = 1;
	lift(core, a, now);
	relay_account_dispatch(core, a, now);
}

void relay_core_account_changed(
	struct relay_core *core, struct base_slice account, const struct relay_now *now)
{
	size_t i;

	for (i = 0; i < core->account_count; i++)
		if (!account.len || base_slice_equal_text(account, core->accounts[i]->name))
			change(core, core->accounts[i], now);
}
