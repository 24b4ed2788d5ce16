/* The queue of effects. Each owns copies of what it names, because the request may be gone when the
 * shell takes it. */
#include "auth/core_internal.h"

#include <stdlib.h>

enum { KEPT_SMALL_BYTES = 2048, KEPT_MAX_BYTES = 8192 };

static void queued_free(struct auth_queued **queued)
{
	struct auth_queued *q = *queued;

	if (!q)
		return;
	base_buf_release(&q->bytes);
	if (q->user)
		base_wipe(q->user, sizeof(*q->user));
	free(q->user);
	base_wipe(q, sizeof(*q));
	free(q);
	*queued = NULL;
}

struct auth_queued *auth_effect_push(struct auth_core *core, enum auth_effect_kind kind)
{
	struct auth_queued *q = base_alloc_zero(1, sizeof(*q));

	q->effect.kind = kind;
	q->effect.key = &q->key;
	base_buf_init_secret(&q->bytes, KEPT_MAX_BYTES);
	if (core->last)
		core->last->next = q;
	else
		core->first = q;
	core->last = q;
	return q;
}

struct base_slice auth_effect_keep(struct auth_queued *q, struct base_slice bytes)
{
	size_t start = q->bytes.len;

	/* All at once, so that slices given before stay where they are. */
	if (!q->bytes.cap)
		BASE_BUG_IF(!base_buf_reserve(&q->bytes,
			bytes.len > KEPT_SMALL_BYTES / 2 ? KEPT_MAX_BYTES : KEPT_SMALL_BYTES));
	if (bytes.len > q->bytes.cap - start)
		return BASE_SLICE_EMPTY;
	base_buf_append_slice(&q->bytes, bytes);
	return base_slice_from(base_buf_slice(&q->bytes), start);
}

void auth_effect_keep_user(struct auth_queued *q, const struct vault_user *user)
{
	q->user = base_alloc(sizeof(*user));
	*q->user = *user;
	q->effect.user = q->user;
}

void auth_effect_drop_conn(struct auth_core *core, const struct auth_conn *conn)
{
	struct auth_queued **at = &core->first;

	core->last = NULL;
	while (*at) {
		struct auth_queued *q = *at;

		if (q->effect.conn == conn) {
			*at = q->next;
			queued_free(&q);
			continue;
		}
		core->last = q;
		at = &q->next;
	}
}

bool auth_core_effect(struct auth_core *core, struct auth_effect *out)
{
	struct auth_queued *q = core->first;

	queued_free(&core->taken);
	if (!q)
		return false;
	core->first = q->next;
	if (!core->first)
		core->last = NULL;
	core->taken = q;
	if (q->effect.kind == AUTH_EFFECT_OUTPUT)
		q->effect.conn->output_told = false;
	*out = q->effect;
	return true;
}

void auth_effects_free(struct auth_core *core)
{
	struct auth_effect ignored;

	while (auth_core_effect(core, &ignored))
		;
}

void auth_conn_told(struct auth_core *core, struct auth_conn *conn)
{
	if (conn->output_told || !conn->out.len)
		return;
	conn->output_told = true;
	auth_effect_push(core, AUTH_EFFECT_OUTPUT)->effect.conn = conn;
}
