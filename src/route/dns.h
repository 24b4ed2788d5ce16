/* route/dns.h: DNS answers as values
 * Job      read an answer packet: status, MX and address records
 * Not      asking (loop/resolver.c), deciding (route/mx.h)
 * Trust    the packet is hostile: any length, any compression, any count
 * Memory   the caller owns struct route_dns_answer; records beyond its size are dropped
 * Spec     RFC 1035 section 4, RFC 3596, RFC 7505 */
#ifndef ROUTE_DNS_H
#define ROUTE_DNS_H

#include "base/host.h"

#define ROUTE_DNS_RECORDS_MAX 64
#define ROUTE_DNS_NAME_MAX_BYTES 254 /* as text with its NUL */

enum route_dns_type {
	ROUTE_DNS_A = 1,
	ROUTE_DNS_MX = 15,
	ROUTE_DNS_TXT = 16,
	ROUTE_DNS_AAAA = 28,
};

enum route_dns_status {
	ROUTE_DNS_FOUND,   /* at least one record of the type */
	ROUTE_DNS_EMPTY,   /* the name exists, records of the type do not */
	ROUTE_DNS_NO_NAME, /* NXDOMAIN */
	ROUTE_DNS_FAILED,  /* SERVFAIL, a time-out, a packet that cannot be read */
	ROUTE_DNS_BOGUS,   /* DNSSEC says that the answer is forged */
};

struct route_dns_record {
	uint16_t preference; /* MX */
	bool bad_name;       /* MX: no host name could be made of it */
	/* MX; "" is the root: a null MX. TXT: its strings in one, cut, '?' for all but printable ASCII */
	char name[ROUTE_DNS_NAME_MAX_BYTES];
	struct base_addr addr; /* A, AAAA; port 0 */
};

struct route_dns_answer {
	enum route_dns_status status;
	bool secure;    /* set by the caller: DNSSEC validated it */
	uint32_t ttl_s; /* the least of the records */
	size_t count;
	struct route_dns_record records[ROUTE_DNS_RECORDS_MAX];
};

/* Read @packet, the answer to a question for @type. Sets all of @out. Owners of the records are not
 * compared: the resolver has followed CNAMEs and dropped what does not belong. */
void route_dns_parse(
	struct base_slice packet, enum route_dns_type type, struct route_dns_answer *out);
/* An answer without records. */
void route_dns_answer_set(struct route_dns_answer *out, enum route_dns_status status);

#endif
