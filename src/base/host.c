#include "base/host.h"
#include "base/utf8.h"

#include <arpa/inet.h>
#include <string.h>

/* Copy to a NUL-ended text for inet_pton(); false when too long or with a NUL inside. */
static bool to_text(struct base_slice s, char *out, size_t size)
{
	if (s.len == 0 || s.len >= size || base_slice_has(s, 0))
		return false;
	memcpy(out, s.ptr, s.len);
	out[s.len] = '\0';
	return true;
}

bool base_addr_parse(struct base_slice text, struct base_addr *out)
{
	struct base_addr addr = {0};
	char copy[INET6_ADDRSTRLEN + 1];

	if (!to_text(text, copy, sizeof(copy)))
		return false;
	if (inet_pton(AF_INET, copy, addr.bytes) == 1)
		addr.family = BASE_ADDR_IP4;
	else if (inet_pton(AF_INET6, copy, addr.bytes) == 1)
		addr.family = BASE_ADDR_IP6;
	else
		return false;
	*out = addr;
	return true;
}

bool base_addr_parse_port(struct base_slice text, struct base_addr *out)
{
	struct base_slice host, port;
	struct base_addr addr;
	uint64_t number;
	bool bracket = text.len && text.ptr[0] == '[';
	size_t colon = base_slice_find_last(text, ':');

	if (colon == text.len)
		return false;
	host = base_slice_first(text, colon);
	port = base_slice_from(text, colon + 1);
	if (bracket) {
		if (host.len < 2 || host.ptr[host.len - 1] != ']')
			return false;
		host = base_slice_from(base_slice_first(host, host.len - 1), 1);
	}
	if (port.len > 5 || !base_slice_to_u64(port, &number) || number == 0 || number > 65535)
		return false;
	if (!base_addr_parse(host, &addr) || bracket != (addr.family == BASE_ADDR_IP6))
		return false;
	addr.port = (uint16_t)number;
	*out = addr;
	return true;
}

bool base_addr_parse_literal(struct base_slice text, struct base_addr *out)
{
	struct base_slice inside;
	struct base_addr addr;
	bool ip6;

	if (text.len < 3 || text.ptr[0] != '[' || text.ptr[text.len - 1] != ']')
		return false;
	inside = base_slice_from(base_slice_first(text, text.len - 1), 1);
	ip6 = base_slice_starts_with_nocase(inside, BASE_SLICE("IPv6:"));
	if (ip6)
		inside = base_slice_from(inside, 5);
	if (!base_addr_parse(inside, &addr) || ip6 != (addr.family == BASE_ADDR_IP6))
		return false;
	*out = addr;
	return true;
}

bool base_addr_format(const struct base_addr *addr, struct base_buf *out)
{
	char text[INET6_ADDRSTRLEN];

	if (addr->family == BASE_ADDR_NONE)
		return base_buf_append_text(out, "unknown");
	inet_ntop(addr->family == BASE_ADDR_IP4 ? AF_INET : AF_INET6, addr->bytes, text,
		sizeof(text));
	return base_buf_append_text(out, text);
}

bool base_addr_format_port(const struct base_addr *addr, struct base_buf *out)
{
	bool ip6 = addr->family == BASE_ADDR_IP6;

	return base_buf_append_text(out, ip6 ? "[" : "") && base_addr_format(addr, out) &&
		base_buf_printf(out, "%s:%u", ip6 ? "]" : "", addr->port);
}

bool base_addr_format_literal(const struct base_addr *addr, struct base_buf *out)
{
	bool ip6 = addr->family == BASE_ADDR_IP6;

	return base_buf_append_text(out, ip6 ? "[IPv6:" : "[") && base_addr_format(addr, out) &&
		base_buf_append_byte(out, ']');
}

void base_addr_unmap(struct base_addr *addr)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (addr->family != BASE_ADDR_IP6 || memcmp(addr->bytes, mapped, sizeof(mapped)) != 0)
		return;
	memmove(addr->bytes, addr->bytes + 12, 4);
	memset(addr->bytes + 4, 0, 12);
	addr->family = BASE_ADDR_IP4;
}

static struct base_addr unmapped(const struct base_addr *addr)
{
	struct base_addr copy = *addr;

	base_addr_unmap(&copy);
	return copy;
}

bool base_addr_equal(const struct base_addr *a, const struct base_addr *b)
{
	struct base_addr x = unmapped(a), y = unmapped(b);

	return x.family == y.family && memcmp(x.bytes, y.bytes, sizeof(x.bytes)) == 0;
}

static bool in_any(const struct base_addr *addr, const char *const *networks, size_t count)
{
	struct base_addr plain = unmapped(addr);
	struct base_network net;

	for (size_t i = 0; i < count; i++) {
		bool good = base_network_parse(base_slice_text(networks[i]), &net);

		BASE_BUG_IF(!good);
		if (base_network_has(&net, &plain))
			return true;
	}
	return false;
}

bool base_addr_is_loopback(const struct base_addr *addr)
{
	static const char *const networks[] = {"127.0.0.0/8", "::1"};

	return in_any(addr, networks, BASE_COUNT(networks));
}

bool base_addr_is_special(const struct base_addr *addr)
{
	static const char *const networks[] = {"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10",
		"127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24", "192.168.0.0/16",
		"198.18.0.0/15", "224.0.0.0/3", "::/127", "64:ff9b:1::/48", "fc00::/7", "fe80::/10",
		"ff00::/8"};

	return in_any(addr, networks, BASE_COUNT(networks));
}

struct base_addr base_addr_client_key(const struct base_addr *addr)
{
	struct base_addr key = unmapped(addr);

	key.port = 0;
	if (key.family == BASE_ADDR_IP6)
		memset(key.bytes + 8, 0, 8);
	return key;
}

/* The first @bits bits of both are the same. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	unsigned whole = bits / 8, rest = bits % 8;
	uint8_t mask = (uint8_t)(0xff00 >> rest);

	return memcmp(a, b, whole) == 0 && (rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0);
}

bool base_network_parse(struct base_slice text, struct base_network *out)
{
	size_t slash = base_slice_find(text, '/');
	struct base_network net;
	uint64_t bits;
	unsigned width;

	if (!base_addr_parse(base_slice_first(text, slash), &net.addr))
		return false;
	width = net.addr.family == BASE_ADDR_IP4 ? 32 : 128;
	bits = width;
	if (slash < text.len &&
		(!base_slice_to_u64(base_slice_from(text, slash + 1), &bits) || bits > width))
		return false;
	for (unsigned i = (unsigned)bits; i < width; i++)
		if (net.addr.bytes[i / 8] & (0x80 >> i % 8))
			return false;
	net.prefix_bits = (uint8_t)bits;
	*out = net;
	return true;
}

bool base_network_has(const struct base_network *net, const struct base_addr *addr)
{
	struct base_addr plain = unmapped(addr);

	return plain.family == net->addr.family &&
		same_prefix(plain.bytes, net->addr.bytes, net->prefix_bits);
}

static bool label_valid(struct base_slice label, bool utf8)
{
	if (label.len == 0 || label.len > 63 || label.ptr[0] == '-' ||
		label.ptr[label.len - 1] == '-')
		return false;
	for (size_t i = 0; i < label.len; i++) {
		uint8_t c = label.ptr[i];

		if (!base_ascii_is_alnum(c) && c != '-' && !(utf8 && c >= 0x80))
			return false;
	}
	return true;
}

bool base_host_name_valid(struct base_slice name, bool dots, bool utf8)
{
	struct base_slice rest = name, label;
	size_t labels = 0;

	if (name.len == 0 || name.len > BASE_HOST_NAME_MAX_BYTES || name.ptr[name.len - 1] == '.')
		return false;
	if (utf8 && !base_utf8_valid(name))
		return false;
	while (base_slice_split(&rest, '.', &label)) {
		if (!label_valid(label, utf8))
			return false;
		labels++;
	}
	return !dots || labels >= 2;
}
