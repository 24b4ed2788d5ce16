/* loop/unbound_loop.h: libunbound's event interface on a libuv loop
 * Job      the event base that ub_ctx_create_ub_event() asks for: descriptors and timers
 * Not      asking (resolver.c)
 * Why      in this mode libunbound has neither thread nor child process, so the sandbox can forbid both */
#ifndef LOOP_UNBOUND_LOOP_H
#define LOOP_UNBOUND_LOOP_H

#include <stddef.h>
#include <unbound-event.h>
#include <uv.h>

/* Lives as long as the context that uses it. */
struct ub_event_base *loop_unbound_base_new(uv_loop_t *loop);
void loop_unbound_base_free(struct ub_event_base **base);

#endif
