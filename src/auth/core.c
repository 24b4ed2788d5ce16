/* Connections, time, configuration. */
#include "auth/core.h"

#include "auth/core_internal.h"
#include "base/digest.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
	CACHE_SLOTS = 8192,
	THROTTLE_SLOTS = 8192,
	IN_MAX_BYTES = 2 * WIRE_DOVECOT_LINE_MAX_BYTES,
	OUT_MAX_BYTES = 8 * 1024 * 1024,
	KEEP_BYTES = 4096,
};

static void take_text(
	char out[AUTH_TEXT_MAX_BYTES + 1], struct base_slice text, struct base_slice *out_slice)
{
	struct base_slice part = base_slice_first(text, AUTH_TEXT_MAX_BYTES);

	if (part.len)
		memcpy(out, part.ptr, part.len);
	out[part.len] = '\0';
	*out_slice = base_slice_make(out, part.len);
}

static void take_options(struct auth_core *core, const struct auth_options *options)
{
	core->options = *options;
	take_text(core->host_name, options->host_name, &core->options.host_name);
	take_text(core->default_domain, options->default_domain, &core->options.default_domain);
	core->options.sources = NULL; /* the copies count */
	auth_sources_take(core, options);
	core->options.mechanisms &= auth_sources_serve(core);
}

struct auth_core *auth_core_new(const struct auth_options *options, const uint8_t mock_key[32],
	const uint8_t random[AUTH_RANDOM_BYTES], uint32_t pid)
{
	struct auth_core *core = base_alloc_zero(1, sizeof(*core));

	static_assert(AUTH_RANDOM_BYTES >= 32 + VAULT_CACHE_KEY_BYTES + VAULT_THROTTLE_KEY_BYTES,
		"seed and keys");
	auth_list_init(&core->questions);
	take_options(core, options);
	memcpy(core->mock_key, mock_key, sizeof(core->mock_key));
	memcpy(core->seed, random, sizeof(core->seed));
	core->cache = vault_cache_new(CACHE_SLOTS, random + 32, options->cache_ttl_ms);
	core->throttle = vault_throttle_new(THROTTLE_SLOTS, random + 32 + VAULT_CACHE_KEY_BYTES);
	core->pid = pid;
	auth_list_init(&core->conns);
	auth_list_init(&core->by_time);
	auth_list_init(&core->by_due);
	auth_list_init(&core->waiting);
	auth_list_init(&core->given);
	auth_fair_init(&core->turns);
	return core;
}

void auth_core_free(struct auth_core **core_at)
{
	struct auth_core *core = *core_at;

	if (!core)
		return;
	while (!auth_list_empty(&core->conns))
		auth_core_closed(core, AUTH_OF(core->conns.next, struct auth_conn, in_core), 0);
	auth_tasks_free(core);
	auth_questions_free(core);
	auth_effects_free(core);
	vault_cache_free(&core->cache);
	vault_throttle_free(&core->throttle);
	auth_sources_free(core);
	base_wipe(core, sizeof(*core));
	free(core);
	*core_at = NULL;
}

/* Which of @options each source of now will be, by name and kind; AUTH_SOURCES_MAX: none. */
static void map_sources(const struct auth_core *core, const struct auth_options *options,
	unsigned map[AUTH_SOURCES_MAX + 1])
{
	for (unsigned i = 0; i <= AUTH_SOURCES_MAX; i++) {
		map[i] = AUTH_SOURCES_MAX;
		for (unsigned k = 0; i < core->source_count && k < options->source_count; k++)
			if (options->sources[k].kind == core->sources[i].kind &&
				strcmp(options->sources[k].name, core->sources[i].name) == 0)
				map[i] = k;
	}
}

void auth_core_configure(struct auth_core *core, const struct auth_options *options, int64_t now_ms)
{
	unsigned map[AUTH_SOURCES_MAX + 1];

	map_sources(core, options, map);
	take_options(core, options);
	for (struct auth_link *l = core->by_time.next; l != &core->by_time; l = l->next) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_time);

		r->source = map[r->source < AUTH_SOURCES_MAX ? r->source : AUTH_SOURCES_MAX];
	}
	auth_questions_remap(core, map, now_ms);
	vault_cache_set_ttl(core->cache, options->cache_ttl_ms);
	/* The numbers of sources may mean others now. */
	vault_cache_drop_all(core->cache);
}

/* 32 bytes that nobody can guess and that never come again: a keyed hash of a counter. */
void auth_core_draw(struct auth_core *core, uint8_t out[32])
{
	uint8_t sum[BASE_HASH_MAX_BYTES];

	core->drawn++;
	base_hmac(BASE_HASH_SHA256, base_slice_make(core->seed, sizeof(core->seed)),
		base_slice_make(&core->drawn, sizeof(core->drawn)), sum);
	memcpy(out, sum, 32);
	base_wipe(sum, sizeof(sum));
}

/* Handshake */

static unsigned mech_flags(const struct sasl_mechanism_info *info)
{
	unsigned flags = 0;

	if (info->flags & SASL_PLAINTEXT)
		flags |= WIRE_MECH_PLAINTEXT;
	if (info->flags & SASL_MUTUAL)
		flags |= WIRE_MECH_MUTUAL_AUTH;
	if (info->flags & SASL_CHANNEL_BINDING)
		flags |= WIRE_MECH_CHANNEL_BINDING;
	if (info->flags & SASL_NEEDS_SECRET)
		flags |= WIRE_MECH_DICTIONARY | WIRE_MECH_ACTIVE;
	return flags;
}

/* Strongest first. */
static void send_list(struct auth_core *core, struct auth_conn *conn)
{
	uint8_t cookie[32];

	conn->list_due_ms = 0;
	for (unsigned m = SASL_MECHANISM_SERVER_COUNT - 1; m > SASL_MECHANISM_NONE; m--) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)m);

		if (core->options.mechanisms & SASL_MASK(m) &&
			(!(info->flags & SASL_CHANNEL_BINDING) ||
				conn->wire.minor >= WIRE_DOVECOT_MINOR_BINDING))
			wire_dovecot_server_mech(
				&conn->out, base_slice_text(info->name), mech_flags(info));
	}
	auth_core_draw(core, cookie);
	wire_dovecot_server_end(&conn->out, core->pid, conn->number, cookie);
	auth_conn_told(core, conn);
}

struct auth_conn *auth_core_open(struct auth_core *core, void *owner, bool front, int64_t now_ms)
{
	struct auth_conn *conn = base_alloc_zero(1, sizeof(*conn));

	conn->owner = owner;
	conn->front = front;
	conn->number = ++core->next_conn;
	wire_dovecot_server_init(&conn->wire);
	base_buf_init_secret(&conn->in, IN_MAX_BYTES);
	base_buf_init_secret(&conn->out, OUT_MAX_BYTES);
	base_buf_init_secret(&conn->scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	auth_list_init(&conn->requests);
	auth_list_push(&core->conns, &conn->in_core);
	conn->list_due_ms = now_ms + AUTH_VERSION_WAIT_MS;
	core->status.connections++;
	wire_dovecot_server_version(&conn->out);
	auth_conn_told(core, conn);
	return conn;
}

void auth_core_closed(struct auth_core *core, struct auth_conn *conn, int64_t now_ms)
{
	while (!auth_list_empty(&conn->requests))
		auth_request_free(core, AUTH_OF(conn->requests.next, struct auth_request, by_conn));
	auth_effect_drop_conn(core, conn);
	auth_list_remove(&conn->in_core);
	base_buf_release(&conn->in);
	base_buf_release(&conn->out);
	base_buf_release(&conn->scratch);
	core->status.connections--;
	free(conn);
}

void *auth_conn_owner(const struct auth_conn *conn)
{
	return conn->owner;
}

struct base_buf *auth_conn_output(struct auth_conn *conn)
{
	return &conn->out;
}

static void close_conn(struct auth_core *core, struct auth_conn *conn, const char *reason)
{
	struct auth_queued *q = auth_effect_push(core, AUTH_EFFECT_CLOSE);

	conn->broken = true;
	q->effect.conn = conn;
	q->effect.reason = reason;
}

static void on_cancel(struct auth_core *core, struct auth_conn *conn)
{
	struct auth_request *r = auth_request_find(conn, conn->wire.id);

	/* One that failed already keeps its appointment: a cancel does not tell what came out. */
	if (!r || r->wait == AUTH_WAIT_DELAY)
		return;
	auth_request_free(core, r);
	if (conn->wire.minor >= WIRE_DOVECOT_MINOR_CANCELLED) {
		wire_dovecot_server_cancelled(&conn->out, conn->wire.id);
		auth_conn_told(core, conn);
	}
}

/* False: the connection is over. */
static bool on_event(struct auth_core *core, struct auth_conn *conn,
	enum wire_dovecot_server_event event, int64_t now_ms, int64_t wall_ms)
{
	switch (event) {
	case WIRE_SERVER_MORE:
		break;
	case WIRE_SERVER_VERSION:
		if (conn->list_due_ms)
			send_list(core, conn);
		break;
	case WIRE_SERVER_AUTH:
		if (conn->list_due_ms)
			send_list(core, conn);
		auth_request_begin(core, conn, now_ms, wall_ms);
		break;
	case WIRE_SERVER_CONT:
		auth_request_cont(core, conn, now_ms, wall_ms);
		break;
	case WIRE_SERVER_CANCEL:
		on_cancel(core, conn);
		break;
	case WIRE_SERVER_BAD:
		auth_request_bad(core, conn, now_ms);
		break;
	case WIRE_SERVER_BROKEN:
		close_conn(core, conn, conn->wire.broken);
		return false;
	}
	if (conn->broken)
		close_conn(core, conn, "replies are not read");
	return !conn->broken;
}

/* Take whole lines from @in; gives how many bytes are over. */
static size_t take_lines(struct auth_core *core, struct auth_conn *conn, struct base_slice in,
	int64_t now_ms, int64_t wall_ms)
{
	size_t used_all = 0;

	for (;;) {
		size_t used;
		enum wire_dovecot_server_event event = wire_dovecot_server_next(
			&conn->wire, base_slice_from(in, used_all), &used, &conn->scratch);

		used_all += used;
		if (!on_event(core, conn, event, now_ms, wall_ms) || event == WIRE_SERVER_MORE)
			return used_all;
	}
}

void auth_core_input(struct auth_core *core, struct auth_conn *conn, struct base_slice bytes,
	int64_t now_ms, int64_t wall_ms)
{
	/* Without a half line from before, nothing is copied but the half line that is left. */
	if (!conn->broken && !conn->in.len) {
		size_t used = take_lines(core, conn, bytes, now_ms, wall_ms);

		bytes = base_slice_from(bytes, used);
	}
	while (!conn->broken && bytes.len) {
		struct base_slice part = base_slice_first(bytes, base_buf_room(&conn->in));
		size_t used;

		base_buf_append_slice(&conn->in, part);
		bytes = base_slice_from(bytes, part.len);
		used = take_lines(core, conn, base_buf_slice(&conn->in), now_ms, wall_ms);
		base_buf_consume(&conn->in, used);
	}
	if (!conn->in.len)
		base_buf_release(&conn->in);
	if (conn->scratch.cap > KEEP_BYTES)
		base_buf_release(&conn->scratch);
	else
		base_buf_clear(&conn->scratch);
}

/* Time */

static int64_t least(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

int64_t auth_core_wake(const struct auth_core *core)
{
	int64_t wake = least(auth_tasks_wake(core), auth_questions_wake(core));

	if (!auth_list_empty(&core->by_due))
		wake = least(wake, AUTH_OF(core->by_due.next, struct auth_request, by_due)->due_ms);
	if (!auth_list_empty(&core->by_time))
		wake = least(wake,
			AUTH_OF(core->by_time.next, struct auth_request, by_time)->active_ms +
				AUTH_IDLE_MS);
	for (const struct auth_link *l = core->conns.next; l != &core->conns; l = l->next) {
		const struct auth_conn *conn = AUTH_OF(l, struct auth_conn, in_core);

		if (conn->list_due_ms)
			wake = least(wake, conn->list_due_ms);
	}
	return wake;
}

void auth_core_tick(struct auth_core *core, int64_t now_ms, int64_t wall_ms)
{
	while (!auth_list_empty(&core->by_due)) {
		struct auth_request *r = AUTH_OF(core->by_due.next, struct auth_request, by_due);

		if (r->due_ms > now_ms)
			break;
		auth_request_reply(core, r);
	}
	while (!auth_list_empty(&core->by_time)) {
		struct auth_request *r = AUTH_OF(core->by_time.next, struct auth_request, by_time);

		if (r->active_ms + AUTH_IDLE_MS > now_ms)
			break;
		auth_request_free(core, r);
	}
	for (struct auth_link *l = core->conns.next; l != &core->conns; l = l->next) {
		struct auth_conn *conn = AUTH_OF(l, struct auth_conn, in_core);

		if (conn->list_due_ms && conn->list_due_ms <= now_ms)
			send_list(core, conn);
	}
	auth_questions_tick(core, now_ms, wall_ms);
	auth_tasks_tick(core, now_ms);
}

bool auth_core_unban(struct auth_core *core, const struct base_addr *addr)
{
	return vault_throttle_forget(core->throttle, addr);
}

struct auth_status auth_core_status(const struct auth_core *core)
{
	struct auth_status status = core->status;

	status.waiting = core->waiting_count;
	return status;
}
