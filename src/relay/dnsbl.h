/* relay/dnsbl.h: does a DNS zone list an address?
 * Job      front's questions in; questions to the DNS and answers to front out: an A record of
 *          127.0.0.0/8 lists the name, the TXT record beside it says why
 * Not      asking (resolver.h), frames (main.c)
 * Trust    the DNS is hostile; a front may end at any time
 * Memory   at most RELAY_DNSBL_OPEN_MAX open questions; more get no answer
 * Time     monotonic milliseconds; each question is over after RELAY_DNSBL_WAIT_MS
 * Spec     RFC 5782 section 2 */
#ifndef RELAY_DNSBL_H
#define RELAY_DNSBL_H

#include "route/dns.h"

#define RELAY_DNSBL_OPEN_MAX 1024
#define RELAY_DNSBL_WAIT_MS 5000

enum relay_dnsbl_state { RELAY_DNSBL_NOT_LISTED, RELAY_DNSBL_LISTED, RELAY_DNSBL_NO_ANSWER };

struct relay_dnsbl;

/* What is to be done now; texts live until the next call. */
struct relay_dnsbl_step {
	enum { RELAY_DNSBL_WAIT, RELAY_DNSBL_ASK, RELAY_DNSBL_TELL } kind;
	/* ASK: relay_dnsbl_answer() with this key */
	uint32_t key;
	const char *name;
	enum route_dns_type type;
	/* TELL: the question is over */
	unsigned front;
	uint32_t id;
	enum relay_dnsbl_state state;
	const char *text; /* of the TXT record; "": none */
};

struct relay_dnsbl *relay_dnsbl_new(void);
void relay_dnsbl_free(struct relay_dnsbl **d);
/* Front @front asks about @name under its number @id. */
struct relay_dnsbl_step relay_dnsbl_want(
	struct relay_dnsbl *d, unsigned front, uint32_t id, struct base_slice name, int64_t now_ms);
/* An answer that came too late makes no step. */
struct relay_dnsbl_step relay_dnsbl_answer(
	struct relay_dnsbl *d, uint32_t key, const struct route_dns_answer *answer);
/* Call until WAIT. */
struct relay_dnsbl_step relay_dnsbl_tick(struct relay_dnsbl *d, int64_t now_ms);
/* The front ended: nobody waits for its answers. */
void relay_dnsbl_front_gone(struct relay_dnsbl *d, unsigned front);
/* Milliseconds until the next tick is due; negative: none is. */
int64_t relay_dnsbl_due_ms(const struct relay_dnsbl *d, int64_t now_ms);

#endif
