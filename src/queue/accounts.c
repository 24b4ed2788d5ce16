/* Accounts that relays have paused: kept for the administrator, who asks here. */
#include "queue/shell.h"

#include "base/time.h"

#include <jansson.h>
#include <stdlib.h>

enum { ACCOUNTS_MAX = 4096 };

struct queue_account {
	struct queue_account *next;
	unsigned relay;
	int64_t until_ms;
	char *name, *reason;
};

static void drop(struct queue_account **at)
{
	struct queue_account *a = *at;

	*at = a->next;
	free(a->name);
	free(a->reason);
	free(a);
}

static struct queue_account **find(struct queue_shell *q, unsigned relay, struct base_slice name)
{
	struct queue_account **at = &q->accounts;

	while (*at && ((*at)->relay != relay || !base_slice_equal_text(name, (*at)->name)))
		at = &(*at)->next;
	return at;
}

static void remember(struct queue_shell *q, unsigned relay, struct base_slice name, int64_t until,
	struct base_slice reason)
{
	struct queue_account **at = find(q, relay, name), *a;

	if (*at)
		drop(at);
	else if (q->account_count == ACCOUNTS_MAX)
		return;
	else
		q->account_count++;
	a = base_alloc_zero(1, sizeof(*a));
	a->relay = relay;
	a->until_ms = until;
	a->name = base_slice_dup(name);
	a->reason = base_slice_dup(reason);
	a->next = q->accounts;
	q->accounts = a;
}

static void forget(struct queue_shell *q, unsigned relay, struct base_slice name)
{
	struct queue_account **at = find(q, relay, name);

	if (!*at)
		return;
	drop(at);
	q->account_count--;
}

/* What of it is worth a line in the log, relay knows and writes. */
void queue_accounts_state(struct queue_shell *q, unsigned relay, struct base_slice body)
{
	struct ipc_reader in = ipc_reader_make(body);
	struct base_slice account = ipc_get_bytes(&in), reason;
	bool paused = ipc_get_u8(&in) != 0;
	int64_t until = ipc_get_i64(&in);

	reason = ipc_get_bytes(&in);
	if (!ipc_reader_done(&in) || base_slice_has(account, '\0') || base_slice_has(reason, '\0'))
		return;
	if (paused) {
		remember(q, relay, account, until, reason);
		return;
	}
	if (account.len)
		forget(q, relay, account);
	else
		queue_accounts_relay_gone(q, relay);
	queue_core_account_works(q->core, account);
}

void queue_accounts_relay_gone(struct queue_shell *q, unsigned relay)
{
	struct queue_account **at = &q->accounts;

	while (*at) {
		if ((*at)->relay != relay) {
			at = &(*at)->next;
			continue;
		}
		drop(at);
		q->account_count--;
	}
}

void queue_accounts_close(struct queue_shell *q)
{
	while (q->accounts)
		drop(&q->accounts);
	q->account_count = 0;
}

static json_t *json_of(const struct queue_account *a)
{
	json_t *o = json_object(), *name = json_string(a->name), *reason = json_string(a->reason);
	struct base_buf until;

	base_buf_init(&until, 64);
	json_object_set_new(o, "name", name ? name : json_null());
	json_object_set_new(o, "paused", json_true());
	json_object_set_new(o, "until",
		base_time_rfc3339(a->until_ms, false, &until) ? json_string(base_buf_text(&until))
							      : json_null());
	json_object_set_new(o, "reason", reason ? reason : json_null());
	base_buf_release(&until);
	return o;
}

void queue_accounts_answer(const struct queue_shell *q, struct control_reply *reply)
{
	json_t *o = json_object(), *list = json_array();

	for (const struct queue_account *a = q->accounts; a; a = a->next)
		json_array_append_new(list, json_of(a));
	json_object_set_new(o, "accounts", list);
	control_end_json(reply, o);
}
