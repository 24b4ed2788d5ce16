/* Work for workers; who waits is served in turn by client. A worker has AUTH_WORKER_DEPTH tasks at a time, so that it
 * need not wait for us between two; what a dead one had is given out once more, and then given up, in
 * case it was the task that killed it. */
#include "auth/core_internal.h"
#include "vault/verify.h"

#include <stdlib.h>
#include <string.h>

static void task_free(struct auth_core *core, struct auth_task *t)
{
	if (t->worker < 0) {
		auth_fair_remove(&core->turns, t->bucket, &t->in_bucket);
		core->waiting_count--;
	} else {
		core->workers[t->worker].count--;
	}
	auth_list_remove(&t->in_core);
	base_secret_release(&t->password);
	base_wipe(t, sizeof(*t));
	free(t);
}

/* @client: null, who is nobody's. */
static struct auth_task *task_new(struct auth_core *core, enum auth_task_kind kind,
	const struct base_addr *client, struct base_slice stored, struct base_slice password,
	int64_t now_ms)
{
	struct auth_task *t;

	if (core->waiting_count >= AUTH_TASKS_MAX)
		return NULL;
	t = base_alloc_zero(1, sizeof(*t));
	t->bucket = client ? auth_fair_bucket(core, client) : 0;
	if (!auth_fair_push(&core->turns, t->bucket, &t->in_bucket)) {
		free(t);
		return NULL;
	}
	t->kind = kind;
	t->number = ++core->next_task;
	t->worker = -1;
	t->until_ms = now_ms + AUTH_WORKER_WAIT_MS;
	stored = base_slice_first(stored, VAULT_HASH_MAX_BYTES);
	if (stored.len)
		memcpy(t->stored, stored.ptr, stored.len);
	base_secret_init(&t->password, password.len ? password.len : 1);
	BASE_BUG_IF(!base_secret_set(&t->password, password));
	auth_list_push(&core->waiting, &t->in_core);
	core->waiting_count++;
	return t;
}

static void give(struct auth_core *core, struct auth_task *t, unsigned worker)
{
	bool hash = t->kind == AUTH_TASK_UPGRADE;
	struct auth_queued *q = auth_effect_push(
		core, hash ? AUTH_EFFECT_HASH : AUTH_EFFECT_VERIFY);

	q->effect.worker = worker;
	q->effect.task = t->number;
	q->effect.stored = auth_effect_keep(q, base_slice_text(t->stored));
	q->effect.password = auth_effect_keep(q, base_secret_slice(&t->password));
	q->effect.mechanisms = t->mechanisms;
	auth_fair_remove(&core->turns, t->bucket, &t->in_bucket);
	auth_list_remove(&t->in_core);
	auth_list_push(&core->given, &t->in_core);
	t->worker = (int)worker;
	core->waiting_count--;
	core->workers[worker].count++;
}

static int idlest(const struct auth_core *core)
{
	int best = -1;

	for (unsigned i = 0; i < AUTH_WORKERS_MAX; i++)
		if (core->workers[i].up && core->workers[i].count < AUTH_WORKER_DEPTH &&
			(best < 0 || core->workers[i].count < core->workers[best].count))
			best = (int)i;
	return best;
}

static void give_out(struct auth_core *core)
{
	struct auth_link *link;
	int worker;

	while ((worker = idlest(core)) >= 0 && (link = auth_fair_next(&core->turns)))
		give(core, AUTH_OF(link, struct auth_task, in_bucket), (unsigned)worker);
}

bool auth_task_login(struct auth_core *core, struct auth_request *r, struct base_slice stored,
	struct base_slice password, int64_t now_ms)
{
	struct auth_task *t = task_new(core, AUTH_TASK_LOGIN, &r->client, stored, password, now_ms);

	if (!t)
		return false;
	t->token = r->token;
	give_out(core);
	return true;
}

/* Only when there is time: logins go first. */
void auth_task_upgrade(struct auth_core *core, const struct auth_request *r,
	struct base_slice password, sasl_mechanism_mask mechanisms, bool keep_hash, int64_t now_ms)
{
	struct auth_task *t;

	if (core->waiting_count > 16)
		return;
	t = task_new(core, AUTH_TASK_UPGRADE, NULL, BASE_SLICE_EMPTY, password, now_ms);
	if (!t)
		return;
	t->key = r->key;
	t->user = *r->user;
	t->mechanisms = mechanisms;
	t->keep_hash = keep_hash;
	give_out(core);
}

void auth_core_test(struct auth_core *core, uint32_t ticket, struct base_slice stored,
	struct base_slice password, int64_t now_ms)
{
	struct auth_task *t = password.len <= BASE_SECRET_PASSWORD_MAX_BYTES
		? task_new(core, AUTH_TASK_TEST, NULL, stored, password, now_ms)
		: NULL;
	struct auth_queued *q;

	if (t) {
		t->token = ticket;
		give_out(core);
		return;
	}
	q = auth_effect_push(core, AUTH_EFFECT_TESTED);
	q->effect.ticket = ticket;
	q->effect.result = VAULT_VERIFY_CANNOT;
}

/* Those that a worker has stay there as cancelled: its answer frees them. */
static void cancel(struct auth_core *core, struct auth_task *t)
{
	if (t->worker < 0)
		task_free(core, t);
	else
		t->cancelled = true;
}

static struct auth_task *next_of(struct auth_link *head, struct auth_link **at)
{
	struct auth_link *l = *at;

	if (l == head)
		return NULL;
	*at = l->next;
	return AUTH_OF(l, struct auth_task, in_core);
}

#define EACH_TASK(head, t, at) \
	for (struct auth_link *at = (head)->next; (t = next_of((head), &at));)

void auth_tasks_forget(struct auth_core *core, uint32_t token)
{
	struct auth_link *lists[] = {&core->waiting, &core->given};
	struct auth_task *t;

	for (size_t i = 0; i < BASE_COUNT(lists); i++)
		EACH_TASK(lists[i], t, at)
	if (t->kind == AUTH_TASK_LOGIN && t->token == token)
		cancel(core, t);
}

void auth_tasks_cancel_upgrades(struct auth_core *core, struct base_slice key)
{
	struct auth_link *lists[] = {&core->waiting, &core->given};
	struct auth_task *t;

	for (size_t i = 0; i < BASE_COUNT(lists); i++)
		EACH_TASK(lists[i], t, at)
	if (t->kind == AUTH_TASK_UPGRADE && base_slice_equal(vault_key_slice(&t->key), key))
		cancel(core, t);
}

static void give_up(struct auth_core *core, struct auth_task *t, const char *reason, int64_t now_ms)
{
	enum auth_task_kind kind = t->kind;
	uint32_t token = t->token;
	bool cancelled = t->cancelled;
	struct auth_request *r;
	struct auth_queued *q;

	task_free(core, t);
	if (cancelled || kind == AUTH_TASK_UPGRADE)
		return;
	if (kind == AUTH_TASK_TEST) {
		q = auth_effect_push(core, AUTH_EFFECT_TESTED);
		q->effect.ticket = token;
		q->effect.result = VAULT_VERIFY_CANNOT;
		return;
	}
	r = auth_request_by_token(core, token);
	if (r && r->wait == AUTH_WAIT_WORKER)
		auth_request_defer(core, r, reason, now_ms);
}

void auth_core_worker_up(struct auth_core *core, unsigned worker, int64_t now_ms)
{
	if (worker >= AUTH_WORKERS_MAX)
		return;
	core->workers[worker].up = true;
	give_out(core);
}

void auth_core_worker_down(struct auth_core *core, unsigned worker, int64_t now_ms)
{
	struct auth_task *t;

	if (worker >= AUTH_WORKERS_MAX)
		return;
	core->workers[worker].up = false;
	EACH_TASK(&core->given, t, at)
	{
		if (t->worker != (int)worker)
			continue;
		if (t->cancelled || t->retried ||
			!auth_fair_push(&core->turns, t->bucket, &t->in_bucket)) {
			give_up(core, t, "the worker died", now_ms);
			continue;
		}
		t->retried = true;
		t->worker = -1;
		core->workers[worker].count--;
		core->waiting_count++;
		auth_list_remove(&t->in_core);
		auth_list_push(&core->waiting, &t->in_core);
	}
	give_out(core);
}

static struct auth_task *task_of(struct auth_core *core, unsigned worker, uint32_t number)
{
	struct auth_task *t;

	EACH_TASK(&core->given, t, at)
	if (t->number == number && t->worker == (int)worker)
		return t;
	return NULL;
}

void auth_core_verified(struct auth_core *core, unsigned worker, uint32_t task, unsigned result,
	bool wants_upgrade, int64_t now_ms, int64_t wall_ms)
{
	struct auth_task *t = task_of(core, worker, task);
	struct auth_request *r = NULL;
	struct auth_queued *q;

	if (!t || t->kind == AUTH_TASK_UPGRADE)
		return;
	if (!t->cancelled && t->kind == AUTH_TASK_TEST) {
		q = auth_effect_push(core, AUTH_EFFECT_TESTED);
		q->effect.ticket = t->token;
		q->effect.result = result;
	} else if (!t->cancelled) {
		r = auth_request_by_token(core, t->token);
	}
	task_free(core, t);
	if (r && r->wait == AUTH_WAIT_WORKER)
		auth_request_verified(core, r, result, wants_upgrade, now_ms, wall_ms);
	give_out(core);
}

void auth_core_hashed(struct auth_core *core, unsigned worker, uint32_t task,
	struct base_slice credentials, int64_t now_ms)
{
	struct auth_task *t = task_of(core, worker, task);
	struct auth_queued *q;

	if (!t || t->kind != AUTH_TASK_UPGRADE)
		return;
	if (!t->cancelled && credentials.len) {
		q = auth_effect_push(core, AUTH_EFFECT_UPGRADE);
		q->key = t->key;
		auth_effect_keep_user(q, &t->user);
		q->effect.credentials = auth_effect_keep(q, credentials);
		q->effect.keep_hash = t->keep_hash;
	}
	task_free(core, t);
	give_out(core);
}

/* Given ones have their time too: a worker may hang. */
void auth_tasks_tick(struct auth_core *core, int64_t now_ms)
{
	struct auth_link *lists[] = {&core->waiting, &core->given};
	struct auth_task *t;

	for (size_t i = 0; i < BASE_COUNT(lists); i++)
		EACH_TASK(lists[i], t, at)
		{
			struct auth_request *r;

			if (t->until_ms > now_ms)
				continue;
			if (t->worker < 0) {
				give_up(core, t, "no worker had time", now_ms);
				continue;
			}
			if (t->cancelled)
				continue;
			r = t->kind == AUTH_TASK_LOGIN ? auth_request_by_token(core, t->token)
						       : NULL;
			t->cancelled = true;
			if (r && r->wait == AUTH_WAIT_WORKER)
				auth_request_defer(core, r, "the worker takes too long", now_ms);
		}
}

int64_t auth_tasks_wake(const struct auth_core *core)
{
	const struct auth_link *heads[] = {&core->waiting, &core->given};
	int64_t wake = INT64_MAX;

	for (size_t i = 0; i < BASE_COUNT(heads); i++)
		for (const struct auth_link *l = heads[i]->next; l != heads[i]; l = l->next) {
			const struct auth_task *t = AUTH_OF(l, struct auth_task, in_core);

			if (!t->cancelled && t->until_ms < wake)
				wake = t->until_ms;
		}
	return wake;
}

void auth_tasks_free(struct auth_core *core)
{
	struct auth_link *lists[] = {&core->waiting, &core->given};
	struct auth_task *t;

	for (size_t i = 0; i < BASE_COUNT(lists); i++)
		EACH_TASK(lists[i], t, at)
	task_free(core, t);
}
