/* route/mx.h: from a destination to the addresses to try, in order
 * Job      asks for MX and addresses, sorts, refuses what must not be reached; says why there is none
 * Not      asking the DNS (loop/resolver.c), connecting
 * Trust    answers are strangers': they may name loopback, private networks, ourselves, anything
 * Limits   5 hosts, 4 addresses of each, 10 addresses in all
 * Random   equals are shuffled by a number given at begin
 * Order    begin; ask what route_mx_next() gives until it gives nothing; answer in any order; when
 *          the state is not ASKING it stays
 * Spec     RFC 5321 section 5.1, RFC 7505, RFC 3463 */
#ifndef ROUTE_MX_H
#define ROUTE_MX_H

#include "base/macros.h"
#include "route/dns.h"

#define ROUTE_MX_HOSTS_MAX 5
#define ROUTE_MX_TARGETS_MAX 10
#define ROUTE_MX_PER_HOST_MAX 4

struct route_mx_options {
	struct base_slice destination; /* domain, host name, address, or address literal */
	struct base_slice own_name;    /* ours: MX at or above our own preference are a loop */
	bool mx;            /* a mail domain; false: a host that the administrator named */
	bool allow_special; /* loopback and private addresses may be reached */
	bool ip6;           /* this machine reaches IPv6 */
	uint16_t port;      /* of the targets */
	uint64_t random;
};

enum route_mx_state {
	ROUTE_MX_ASKING,
	ROUTE_MX_READY,  /* there is at least one target */
	ROUTE_MX_FAILED, /* route_mx.failure says why */
};

struct route_mx_failure {
	bool permanent;
	uint16_t code;        /* 451, 550, 556 … for the DSN */
	const char *enhanced; /* "5.1.10" */
	const char *reason;   /* our words */
};

struct route_mx_question {
	unsigned id; /* for the answer */
	enum route_dns_type type;
	const char *name; /* borrows the machine */
};

struct route_mx_target {
	struct base_addr addr;
	const char *host; /* its name, for SNI, certificates and logs; borrows the machine */
};

struct route_mx_host {
	char name[ROUTE_DNS_NAME_MAX_BYTES];
	uint16_t preference;
	uint64_t key; /* order among equals */
	bool has_no_address, failed;
	bool had_special; /* an address that must not be reached was left out */
	size_t count;
	struct base_addr addrs[2 * ROUTE_MX_PER_HOST_MAX]; /* IPv4 from the front, then IPv6 */
	size_t count6;
};

struct route_mx {
	enum route_mx_state state;
	struct route_mx_failure failure;
	uint32_t ttl_s; /* how long the targets hold */
	size_t target_count;
	struct route_mx_target targets[ROUTE_MX_TARGETS_MAX];
	/* private */
	bool allow_special, ip6;
	uint16_t port;
	uint64_t random;
	char destination[ROUTE_DNS_NAME_MAX_BYTES];
	char own_name[ROUTE_DNS_NAME_MAX_BYTES];
	unsigned asked, answered; /* bits by question id */
	bool mx_open;             /* the MX question is to be answered */
	size_t host_count;
	struct route_mx_host hosts[ROUTE_MX_HOSTS_MAX];
};

/* @options is copied. The state may be READY or FAILED at once (an address, a bad name).
 * The object must not be moved while targets are used. */
void route_mx_begin(struct route_mx *m, const struct route_mx_options *options);
/* The next question that nobody asked yet. */
bool route_mx_next(struct route_mx *m, struct route_mx_question *out);
/* An answer to a question asked once; others are ignored. */
void route_mx_answer(struct route_mx *m, unsigned id, const struct route_dns_answer *answer);

#endif
