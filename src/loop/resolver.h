/* loop/resolver.h: asking the DNS
 * Job      questions to libunbound on the role's loop, and the names of /etc/hosts
 * Order    open before the sandbox: /etc/resolv.conf and /etc/hosts are read there, once
 * Test     POSTERN_RESOLVER=ADDRESS:PORT asks that server instead of those of resolv.conf */
#ifndef LOOP_RESOLVER_H
#define LOOP_RESOLVER_H

#include "base/error.h"
#include "route/dns.h"

#include <uv.h>

struct resolver;

/* @answer is borrowed for the call. */
typedef void (*resolver_fn)(
	void *arg, uint32_t id, unsigned question, const struct route_dns_answer *answer);

BASE_MUST_USE int resolver_open(
	struct resolver **out, uv_loop_t *loop, resolver_fn fn, void *arg, struct base_error *err);
/* Outstanding questions are forgotten. */
void resolver_close(struct resolver **r);
/* Another server than the system's is asked: a test. */
bool resolver_is_private(const struct resolver *r);
/* @fn is called once, perhaps before this returns. @hosts: names of /etc/hosts count. */
void resolver_ask(struct resolver *r, uint32_t id, unsigned question, const char *name,
	enum route_dns_type type, bool hosts);

#endif
