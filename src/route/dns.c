#include "route/dns.h"

#include <string.h>

enum {
	HEADER_BYTES = 12,
	RCODE_OK = 0,
	RCODE_NO_NAME = 3,
	POINTERS_MAX =
		32, /* each must lead backwards, so this is never reached by an honest name */
	TTL_MAX_S = 86400,
};

struct reader {
	struct base_slice packet;
	size_t at;
	bool bad;
};

static uint16_t get16(struct reader *r)
{
	const uint8_t *p;

	if (r->bad || r->packet.len - r->at < 2) {
		r->bad = true;
		return 0;
	}
	p = r->packet.ptr + r->at;
	r->at += 2;
	return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(struct reader *r)
{
	uint32_t high = get16(r);

	return high << 16 | get16(r);
}

static bool label_byte_ok(uint8_t b)
{
	return base_ascii_is_alnum(b) || b == '-' || b == '_';
}

/* Append a label to @name (with its dots); false when it does not fit or is no host name's. */
static bool add_label(char *name, size_t *len, struct base_slice label)
{
	size_t i;

	if (*len + (*len > 0) + label.len + 1 > ROUTE_DNS_NAME_MAX_BYTES)
		return false;
	for (i = 0; i < label.len; i++)
		if (!label_byte_ok(label.ptr[i]))
			return false;
	if (*len)
		name[(*len)++] = '.';
	memcpy(name + *len, label.ptr, label.len);
	*len += label.len;
	name[*len] = '\0';
	return true;
}

/* Read a name at the reader's place and leave the reader behind it. @name null: only skip.
 * False: the bytes are no name (the reader is bad), or no host name (@name is then ""). */
static bool get_name(struct reader *r, char *name)
{
	const uint8_t *bytes = r->packet.ptr;
	size_t at = r->at, end = r->packet.len, len = 0, back;
	unsigned pointers = 0;
	bool jumped = false, ok = true;
	uint8_t size;

	if (name)
		name[0] = '\0';
	while (!r->bad) {
		if (at >= end)
			break;
		size = bytes[at];
		if ((size & 0xC0) == 0xC0) {
			if (at + 1 >= end || ++pointers > POINTERS_MAX)
				break;
			back = (size_t)(size & 0x3F) << 8 | bytes[at + 1];
			if (!jumped)
				r->at = at + 2;
			if (back >= at)
				break;
			jumped = true;
			at = back;
			continue;
		}
		if (size & 0xC0 || at + 1 + size > end)
			break;
		if (size == 0) {
			if (!jumped)
				r->at = at + 1;
			if (name && !ok)
				name[0] = '\0';
			return ok;
		}
		if (name && ok)
			ok = add_label(name, &len, base_slice_make(bytes + at + 1, size));
		at += 1u + size;
	}
	r->bad = true;
	return false;
}

static void take_mx(struct reader *r, struct route_dns_record *out)
{
	out->preference = get16(r);
	out->bad_name = !get_name(r, out->name);
}

static void take_txt(struct reader *r, struct route_dns_record *out)
{
	size_t len = 0;

	while (!r->bad && r->at < r->packet.len) {
		const uint8_t *p = r->packet.ptr + r->at;
		size_t size = *p;

		if (r->packet.len - r->at - 1 < size) {
			r->bad = true;
			return;
		}
		for (size_t i = 1; i <= size && len + 1 < ROUTE_DNS_NAME_MAX_BYTES; i++)
			out->name[len++] = p[i] >= 0x20 && p[i] < 0x7f ? (char)p[i] : '?';
		r->at += size + 1;
	}
	out->name[len] = '\0';
}

static void take_addr(struct reader *r, enum route_dns_type type, struct route_dns_record *out)
{
	size_t len = type == ROUTE_DNS_A ? 4 : 16;

	out->addr.family = type == ROUTE_DNS_A ? BASE_ADDR_IP4 : BASE_ADDR_IP6;
	memcpy(out->addr.bytes, r->packet.ptr + r->at, len);
	r->at += len;
}

/* One resource record; kept if it is of the wanted type. */
static void take_record(struct reader *r, enum route_dns_type type, struct route_dns_answer *out)
{
	struct route_dns_record *record = &out->records[out->count];
	struct reader data;
	uint16_t got, class, len;
	uint32_t ttl;

	(void)get_name(r, NULL);
	got = get16(r);
	class = get16(r);
	ttl = get32(r);
	len = get16(r);
	if (r->bad || r->packet.len - r->at < len) {
		r->bad = true;
		return;
	}
	/* Names in the data may point back, but nothing may be read beyond the data's own end. */
	data = (struct reader){base_slice_first(r->packet, r->at + len), r->at, false};
	r->at += len;
	if (got != (uint16_t)type || class != 1 || out->count == ROUTE_DNS_RECORDS_MAX)
		return;
	*record = (struct route_dns_record){.preference = 0};
	if (type == ROUTE_DNS_MX)
		take_mx(&data, record);
	else if (type == ROUTE_DNS_TXT)
		take_txt(&data, record);
	else if (len == (type == ROUTE_DNS_A ? 4 : 16))
		take_addr(&data, type, record);
	else
		data.bad = true;
	if (data.bad || data.at != r->at)
		return;
	if (ttl < out->ttl_s)
		out->ttl_s = ttl;
	out->count++;
}

void route_dns_answer_set(struct route_dns_answer *out, enum route_dns_status status)
{
	out->status = status;
	out->secure = false;
	out->ttl_s = 0;
	out->count = 0;
}

void route_dns_parse(
	struct base_slice packet, enum route_dns_type type, struct route_dns_answer *out)
{
	struct reader r = {packet, HEADER_BYTES, packet.len < HEADER_BYTES};
	uint16_t questions, answers;
	unsigned rcode;

	route_dns_answer_set(out, ROUTE_DNS_FAILED);
	if (r.bad)
		return;
	rcode = packet.ptr[3] & 0x0F;
	if (rcode != RCODE_OK) {
		if (rcode == RCODE_NO_NAME)
			out->status = ROUTE_DNS_NO_NAME;
		return;
	}
	questions = (uint16_t)(packet.ptr[4] << 8 | packet.ptr[5]);
	answers = (uint16_t)(packet.ptr[6] << 8 | packet.ptr[7]);
	out->ttl_s = TTL_MAX_S;
	while (questions-- && !r.bad) {
		(void)get_name(&r, NULL);
		(void)get32(&r);
	}
	while (answers-- && !r.bad)
		take_record(&r, type, out);
	if (r.bad)
		route_dns_answer_set(out, ROUTE_DNS_FAILED);
	else
		out->status = out->count ? ROUTE_DNS_FOUND : ROUTE_DNS_EMPTY;
}
