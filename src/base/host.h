/* base/host.h: host addresses and host names as values
 * Job      parse, print, compare and classify; no resolver
 * Trust    hostile text; bounded
 * Spec     RFC 5321 section 4.1.3 (literals), RFC 5952 (IPv6 text), RFC 1123 section 2.1 (names) */
#ifndef BASE_HOST_H
#define BASE_HOST_H

#include "base/buf.h"

enum base_addr_family { BASE_ADDR_NONE, BASE_ADDR_IP4, BASE_ADDR_IP6 };

struct base_addr {
	enum base_addr_family family;
	uint16_t port;     /* host byte order; 0 where there is none */
	uint8_t bytes[16]; /* network byte order; IPv4 in the first four */
};

struct base_network {
	struct base_addr addr;
	uint8_t prefix_bits;
};

#define BASE_HOST_NAME_MAX_BYTES 255

/* "192.0.2.1", "2001:db8::1" (no brackets, no zone). */
BASE_MUST_USE bool base_addr_parse(struct base_slice text, struct base_addr *out);
/* "192.0.2.1:25", "[2001:db8::1]:25"; the port is demanded, 1 to 65535. */
BASE_MUST_USE bool base_addr_parse_port(struct base_slice text, struct base_addr *out);
/* "[192.0.2.1]", "[IPv6:2001:db8::1]" as in a mailbox or HELO. */
BASE_MUST_USE bool base_addr_parse_literal(struct base_slice text, struct base_addr *out);
bool base_addr_format(const struct base_addr *addr, struct base_buf *out);
bool base_addr_format_port(const struct base_addr *addr, struct base_buf *out);
bool base_addr_format_literal(const struct base_addr *addr, struct base_buf *out);

/* The port is not compared; an IPv4-mapped IPv6 address equals its IPv4 address. */
bool base_addr_equal(const struct base_addr *a, const struct base_addr *b);
/* ::ffff:192.0.2.1 becomes 192.0.2.1; everything else stays. */
void base_addr_unmap(struct base_addr *addr);
bool base_addr_is_loopback(const struct base_addr *addr);
/* Loopback, private, link-local, unique-local, unspecified, multicast, 100.64/10: not to be reached
 * because a DNS answer said so. */
bool base_addr_is_special(const struct base_addr *addr);
/* What counts as one client: the address, or the /64 of an IPv6 address. */
struct base_addr base_addr_client_key(const struct base_addr *addr);

/* "10.0.0.0/8", "2001:db8::/32", or an address alone. Bits beyond the prefix must be zero. */
BASE_MUST_USE bool base_network_parse(struct base_slice text, struct base_network *out);
bool base_network_has(const struct base_network *net, const struct base_addr *addr);

/* Letters, digits and hyphens in labels of 1 to 63, at most 255 in all, no dot at the end; non-ASCII
 * UTF-8 labels only if @utf8. @dots: at least one dot is demanded (a fully qualified name). */
bool base_host_name_valid(struct base_slice name, bool dots, bool utf8);

#endif
