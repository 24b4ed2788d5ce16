#include "relay/internal.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

/* Pauses. An account that a server refused is left alone for a while, longer each time, so that no
 * wrong password locks somebody out; its mail is held, never sent another way. */

enum { PAUSE_FIRST_MS = 60 * 1000, PAUSE_MAX_MS = 3600 * 1000, ACCOUNTS_MAX = 10000 };

static struct relay_account *find(struct relay_core *core, const char *name)
{
	size_t i;

	for (i = 0; i < core->account_count; i++)
		if (!strcmp(core->accounts[i].name, name))
			return &core->accounts[i];
	return NULL;
}

struct relay_account *relay_account_get(struct relay_core *core, const char *name)
{
	struct relay_account *a = find(core, name);

	if (a || core->account_count == ACCOUNTS_MAX)
		return a;
	core->accounts = base_realloc(
		core->accounts, (core->account_count + 1) * sizeof(core->accounts[0]));
	a = &core->accounts[core->account_count++];
	*a = (struct relay_account){.name = base_strdup(name)};
	return a;
}

static void tell(struct relay_core *core, const struct relay_account *a)
{
	relay_effect_add(core,
		&(struct relay_effect){
			.kind = RELAY_ACCOUNT, .account = (size_t)(a - core->accounts)});
}

bool relay_account_is_paused(struct relay_core *core, const char *name, const struct relay_now *now,
	struct relay_failure *out_failure, int64_t *out_until_ms)
{
	const struct relay_account *a = name[0] ? find(core, name) : NULL;

	if (!a || now->wall_ms >= a->until_ms)
		return false;
	relay_failure_set(out_failure, JOB_HELD, a->code, "4.7.8", a->reason);
	*out_until_ms = a->until_ms;
	return true;
}

static void hold_jobs(struct relay_core *core, const char *name, const struct relay_account *a)
{
	struct relay_failure f;
	struct relay_dest *d;
	size_t b;

	relay_failure_set(&f, JOB_HELD, a->code, "4.7.8", a->reason);
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (!strcmp(d->account, name))
				relay_dest_give_up(d, &f, a->until_ms);
}

void relay_account_pause(struct relay_core *core, const char *name, const char *reason,
	const struct smtp_client_reply *reply, const struct relay_now *now)
{
	struct relay_account *a = relay_account_get(core, name);
	int64_t pause_ms = PAUSE_FIRST_MS;
	struct base_buf text;
	uint32_t i;

	if (!a)
		return;
	if (now->wall_ms >= a->until_ms) {
		for (i = 0; i < a->failures && pause_ms < PAUSE_MAX_MS; i++)
			pause_ms *= 2;
		a->failures++;
		a->until_ms = now->wall_ms + (pause_ms < PAUSE_MAX_MS ? pause_ms : PAUSE_MAX_MS);
	}
	base_buf_init(&text, sizeof(a->reason) - 1);
	(void)base_buf_append_text(&text, reason);
	if (reply->text_len && base_buf_printf(&text, ": %u ", reply->code))
		(void)base_escape_text(base_slice_make(reply->text, reply->text_len), 100, &text);
	a->code = reply->code;
	(void)snprintf(
		a->reason, sizeof(a->reason), "%.*s", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
	tell(core, a);
	hold_jobs(core, name, a);
}

void relay_account_works(struct relay_core *core, const char *name)
{
	struct relay_account *a = find(core, name);

	if (!a || !a->failures)
		return;
	a->failures = 0;
	a->until_ms = 0;
	a->reason[0] = '\0';
	tell(core, a);
}

void relay_core_account_retry(
	struct relay_core *core, struct base_slice account, const struct relay_now *now)
{
	size_t i, b;
	struct relay_dest *d;

	for (i = 0; i < core->account_count; i++) {
		struct relay_account *a = &core->accounts[i];

		if (account.len && !base_slice_equal_text(account, a->name))
			continue;
		if (a->until_ms) {
			a->until_ms = 0;
			tell(core, a);
		}
	}
	/* Whoever lifts a pause has changed something: no destination of it waits on either. */
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next)
			if (!account.len || base_slice_equal_text(account, d->account))
				d->backoff_until_ms = 0;
}

const struct relay_account *relay_core_account(const struct relay_core *core, size_t index)
{
	BASE_BUG_IF(index >= core->account_count);
	return &core->accounts[index];
}
