#include <sys/time.h>

#include "loop/unbound_loop.h"

#include "base/macros.h"

#include <stdlib.h>

/* An event is active between add and del. While it is active it has a poll handle, a timer, or both;
 * handles are closed at del, and freed when libuv is done with them. An event that does not persist
 * is inactive before its callback runs, as libevent has it; one that does keeps its time-out. */

struct base {
	struct ub_event_base super;
	uv_loop_t *loop;
};

struct event {
	struct ub_event super;
	struct base *base;
	int fd;
	short bits;
	void (*cb)(int, short, void *);
	void *arg;
	uv_poll_t *poll;
	uv_timer_t *timer;
	uint64_t timeout_ms;
};

static struct event *event_of(struct ub_event *e)
{
	return (struct event *)(void *)e;
}

static void on_closed(uv_handle_t *handle)
{
	free(handle);
}

static void stop(struct event *e)
{
	if (e->poll) {
		uv_poll_stop(e->poll);
		uv_close((uv_handle_t *)e->poll, on_closed);
		e->poll = NULL;
	}
	if (e->timer) {
		uv_timer_stop(e->timer);
		uv_close((uv_handle_t *)e->timer, on_closed);
		e->timer = NULL;
	}
}

static void on_timer(uv_timer_t *timer);

static void fire(struct event *e, short what)
{
	if (!(e->bits & UB_EV_PERSIST))
		stop(e);
	else if (e->timer)
		uv_timer_start(e->timer, on_timer, e->timeout_ms, 0);
	e->cb(e->fd, what, e->arg);
}

static void on_timer(uv_timer_t *timer)
{
	fire(timer->data, UB_EV_TIMEOUT);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
	struct event *e = poll->data;
	short what = 0;

	if (status < 0 || events & UV_READABLE)
		what |= UB_EV_READ;
	if (status < 0 || events & UV_WRITABLE)
		what |= UB_EV_WRITE;
	what &= e->bits;
	if (what)
		fire(e, what);
}

static uint64_t to_ms(const struct timeval *tv)
{
	return (uint64_t)tv->tv_sec * 1000 + (uint64_t)(tv->tv_usec + 999) / 1000;
}

static void start_timer(struct event *e, const struct timeval *tv)
{
	e->timeout_ms = to_ms(tv);
	e->timer = base_alloc(sizeof(*e->timer));
	uv_timer_init(e->base->loop, e->timer);
	e->timer->data = e;
	uv_timer_start(e->timer, on_timer, e->timeout_ms, 0);
}

static void on_add_bits(struct ub_event *ev, short bits)
{
	event_of(ev)->bits |= bits;
}

static void on_del_bits(struct ub_event *ev, short bits)
{
	event_of(ev)->bits &= (short)~bits;
}

static void on_set_fd(struct ub_event *ev, int fd)
{
	event_of(ev)->fd = fd;
}

static void on_free(struct ub_event *ev)
{
	stop(event_of(ev));
	free(ev);
}

static int on_add(struct ub_event *ev, struct timeval *tv)
{
	struct event *e = event_of(ev);
	int events = (e->bits & UB_EV_READ ? UV_READABLE : 0) |
		(e->bits & UB_EV_WRITE ? UV_WRITABLE : 0);

	stop(e);
	if (e->fd >= 0 && events) {
		e->poll = base_alloc(sizeof(*e->poll));
		if (uv_poll_init(e->base->loop, e->poll, e->fd) != 0) {
			free(e->poll);
			e->poll = NULL;
			return -1;
		}
		e->poll->data = e;
		uv_poll_start(e->poll, events, on_poll);
	}
	if (tv && (e->bits & UB_EV_TIMEOUT))
		start_timer(e, tv);
	return 0;
}

static int on_del(struct ub_event *ev)
{
	stop(event_of(ev));
	return 0;
}

static int on_add_timer(struct ub_event *ev, struct ub_event_base *base,
	void (*cb)(int, short, void *), void *arg, struct timeval *tv)
{
	struct event *e = event_of(ev);

	stop(e);
	e->cb = cb;
	e->arg = arg;
	start_timer(e, tv);
	return 0;
}

static int on_signal_unused(struct ub_event *ev, struct timeval *tv)
{
	return 0;
}

static void on_winsock_unused(struct ub_event *ev)
{
}

static void on_wouldblock_unused(struct ub_event *ev, int bit)
{
}

static struct ub_event_vmt event_vmt = {
	.add_bits = on_add_bits,
	.del_bits = on_del_bits,
	.set_fd = on_set_fd,
	.free = on_free,
	.add = on_add,
	.del = on_del,
	.add_timer = on_add_timer,
	.del_timer = on_del,
	.add_signal = on_signal_unused,
	.del_signal = on_del,
	.winsock_unregister_wsaevent = on_winsock_unused,
	.winsock_tcp_wouldblock = on_wouldblock_unused,
};

static struct ub_event *on_new_event(
	struct ub_event_base *base, int fd, short bits, void (*cb)(int, short, void *), void *arg)
{
	struct event *e = base_alloc_zero(1, sizeof(*e));

	e->super.magic = UB_EVENT_MAGIC;
	e->super.vmt = &event_vmt;
	e->base = (struct base *)(void *)base;
	e->fd = fd;
	e->bits = bits;
	e->cb = cb;
	e->arg = arg;
	return &e->super;
}

static struct ub_event *on_new_signal(
	struct ub_event_base *base, int number, void (*cb)(int, short, void *), void *arg)
{
	return on_new_event(base, -1, UB_EV_SIGNAL, cb, arg);
}

static struct ub_event *on_new_winsock(
	struct ub_event_base *base, void *wsaevent, void (*cb)(int, short, void *), void *arg)
{
	return NULL;
}

static void on_base_free(struct ub_event_base *base)
{
}

static int on_dispatch(struct ub_event_base *base)
{
	return -1;
}

static int on_loopexit(struct ub_event_base *base, struct timeval *tv)
{
	return 0;
}

static struct ub_event_base_vmt base_vmt = {
	.free = on_base_free,
	.dispatch = on_dispatch,
	.loopexit = on_loopexit,
	.new_event = on_new_event,
	.new_signal = on_new_signal,
	.winsock_register_wsaevent = on_new_winsock,
};

struct ub_event_base *loop_unbound_base_new(uv_loop_t *loop)
{
	struct base *b = base_alloc_zero(1, sizeof(*b));

	b->super.magic = UB_EVENT_MAGIC;
	b->super.vmt = &base_vmt;
	b->loop = loop;
	return &b->super;
}

void loop_unbound_base_free(struct ub_event_base **base)
{
	free(*base);
	*base = NULL;
}
