/* The other roles: channels that come, break, and come again.
 *
 * A channel may end for two reasons. The peer died: the master brings a new one unasked, with the peer's
 * next process. Or one side broke the table while both live: then nothing comes, and after WANT_PEER_MS
 * the master is asked. Asking in vain does no harm: the generation tells what was lost. */
#include "loop/role_internal.h"

#include "base/clock.h"
#include "loop/log.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PEERS_MAX = 256, /* of one role */
	WANT_PEER_MS = 500,
};

struct ipc_channel *role_peer(struct role *r, enum ipc_role peer, unsigned index)
{
	if (index >= r->peer_counts[peer] || !r->peers[peer][index])
		return NULL;
	return r->peers[peer][index]->ch;
}

unsigned role_peer_count(const struct role *r, enum ipc_role peer)
{
	return r->peer_counts[peer];
}

static struct peer *peer_slot(struct role *r, enum ipc_role kind, unsigned index)
{
	struct peer *p;

	if (index >= r->peer_counts[kind]) {
		r->peers[kind] = base_realloc(r->peers[kind], (index + 1) * sizeof(struct peer *));
		for (unsigned i = r->peer_counts[kind]; i <= index; i++)
			r->peers[kind][i] = NULL;
		r->peer_counts[kind] = index + 1;
	}
	p = r->peers[kind][index];
	if (!p) {
		p = base_alloc_zero(1, sizeof(*p));
		*p = (struct peer){.role = r, .kind = kind, .index = index};
		r->peers[kind][index] = p;
	}
	return p;
}

static void on_want_timer(uv_timer_t *timer)
{
	struct role *r = timer->data;
	int64_t now = base_clock_monotonic_ms(), next = 0;
	struct base_buf b;

	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	for (unsigned k = 0; k < IPC_ROLE_COUNT; k++) {
		for (unsigned i = 0; i < r->peer_counts[k]; i++) {
			struct peer *p = r->peers[k][i];

			if (!p || p->ch || p->wanted_at_ms == 0)
				continue;
			if (p->wanted_at_ms > now) {
				next = p->wanted_at_ms;
				continue;
			}
			p->wanted_at_ms = 0;
			ipc_begin(&b, IPC_WANT_PEER, p->generation);
			ipc_put_u8(&b, (uint8_t)p->kind);
			ipc_put_u32(&b, p->index);
			if (r->master)
				(void)ipc_send(r->master, &b, NULL, 0);
		}
	}
	base_buf_release(&b);
	if (next)
		uv_timer_start(timer, on_want_timer, (uint64_t)(next - now) + 1, 0);
}

/* The channel is gone or about to go. */
static void lose(struct peer *p)
{
	struct role *r = p->role;

	p->ch = NULL;
	/* After close() only the log is still alive. */
	if (r->stopping && p->kind != IPC_JOURNAL)
		return;
	if (p->kind == IPC_JOURNAL && r->h->role != IPC_JOURNAL)
		log_set_journal(NULL, ipc_role_name(r->h->role));
	else if (r->h->peer_gone)
		r->h->peer_gone(r, p->kind, p->index);
}

static void on_peer_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct peer *p = arg;

	if (!p->role->stopping && p->role->h->peer_frame)
		p->role->h->peer_frame(p->role, p->kind, p->index, ch, frame);
}

static void on_peer_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct peer *p = arg;
	struct role *r = p->role;

	if (strcmp(why, "the other side closed") != 0)
		log_write(LOG_LEVEL_WARNING, "connection to %s %u ends: %s", ipc_role_name(p->kind),
			p->index, why);
	p->wanted_at_ms = base_clock_monotonic_ms() + WANT_PEER_MS;
	if (!uv_is_active((uv_handle_t *)&r->want_timer))
		uv_timer_start(&r->want_timer, on_want_timer, WANT_PEER_MS + 1, 0);
	lose(p);
}

void role_peers_take(struct role *r, struct ipc_frame *frame)
{
	static const struct ipc_handlers handlers = {
		.frame = on_peer_frame,
		.closed = on_peer_closed,
	};
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned kind = ipc_get_u8(&in), index = ipc_get_u32(&in), stream = ipc_get_u8(&in);
	int fd = frame->fds[0];
	struct peer *p;

	if (!ipc_reader_done(&in) || kind >= IPC_ROLE_COUNT || index >= PEERS_MAX)
		return;
	frame->fds[0] = -1;
	if (stream) {
		if (r->h->peer)
			r->h->peer(r, (enum ipc_role)kind, index, NULL, fd);
		else
			close(fd);
		return;
	}
	p = peer_slot(r, (enum ipc_role)kind, index);
	if (p->ch) {
		struct ipc_channel *old = p->ch;

		lose(p);
		ipc_channel_free(&old);
	}
	p->generation = frame->id;
	p->wanted_at_ms = 0;
	p->ch = ipc_channel_new(&r->loop, fd, r->h->role, p->kind, &handlers, p);
	if (p->kind == IPC_JOURNAL)
		log_set_journal(p->ch, ipc_role_name(r->h->role));
	else if (r->h->peer)
		r->h->peer(r, p->kind, index, p->ch, -1);
}

void role_peers_init(struct role *r)
{
	uv_timer_init(&r->loop, &r->want_timer);
	r->want_timer.data = r;
}

void role_peers_release(struct role *r)
{
	for (unsigned k = 0; k < IPC_ROLE_COUNT; k++) {
		for (unsigned i = 0; i < r->peer_counts[k]; i++) {
			if (!r->peers[k][i])
				continue;
			ipc_channel_free(&r->peers[k][i]->ch);
			free(r->peers[k][i]);
		}
		free(r->peers[k]);
	}
}
