#include "relay/dnsbl.h"

#include <stdlib.h>
#include <string.h>

/* The longest that waits is the first: all wait equally long. */
struct open {
	struct open *next;
	uint32_t key;
	unsigned front;
	uint32_t id;
	int64_t until_ms;
	bool listed; /* and its TXT record is asked for */
	char name[ROUTE_DNS_NAME_MAX_BYTES];
};

struct relay_dnsbl {
	struct open *first, **last;
	unsigned count;
	uint32_t keys;
	char name[ROUTE_DNS_NAME_MAX_BYTES]; /* of the last step */
	char text[ROUTE_DNS_NAME_MAX_BYTES];
};

static const struct relay_dnsbl_step nothing = {.kind = RELAY_DNSBL_WAIT};

struct relay_dnsbl *relay_dnsbl_new(void)
{
	struct relay_dnsbl *d = base_alloc_zero(1, sizeof(*d));

	d->last = &d->first;
	return d;
}

static void drop(struct relay_dnsbl *d, struct open **at)
{
	struct open *o = *at;

	*at = o->next;
	if (d->last == &o->next)
		d->last = at;
	free(o);
	d->count--;
}

void relay_dnsbl_free(struct relay_dnsbl **dp)
{
	struct relay_dnsbl *d = *dp;

	*dp = NULL;
	if (!d)
		return;
	while (d->first)
		drop(d, &d->first);
	free(d);
}

static struct relay_dnsbl_step tell(
	unsigned front, uint32_t id, enum relay_dnsbl_state state, const char *text)
{
	return (struct relay_dnsbl_step){
		.kind = RELAY_DNSBL_TELL, .front = front, .id = id, .state = state, .text = text};
}

static struct relay_dnsbl_step ask(
	struct relay_dnsbl *d, const struct open *o, enum route_dns_type type)
{
	memcpy(d->name, o->name, sizeof(d->name));
	return (struct relay_dnsbl_step){
		.kind = RELAY_DNSBL_ASK, .key = o->key, .name = d->name, .type = type};
}

struct relay_dnsbl_step relay_dnsbl_want(
	struct relay_dnsbl *d, unsigned front, uint32_t id, struct base_slice name, int64_t now_ms)
{
	struct open *o;

	if (d->count == RELAY_DNSBL_OPEN_MAX || name.len >= sizeof(o->name) ||
		!base_host_name_valid(name, true, false))
		return tell(front, id, RELAY_DNSBL_NO_ANSWER, "");
	o = base_alloc_zero(1, sizeof(*o));
	o->key = ++d->keys;
	o->front = front;
	o->id = id;
	o->until_ms = now_ms + RELAY_DNSBL_WAIT_MS;
	memcpy(o->name, name.ptr, name.len);
	*d->last = o;
	d->last = &o->next;
	d->count++;
	return ask(d, o, ROUTE_DNS_A);
}

/* Zones list by 127.0.0.0/8; anything else is the answer of somebody who answers everything. */
static bool lists(const struct route_dns_answer *answer)
{
	for (size_t i = 0; answer->status == ROUTE_DNS_FOUND && i < answer->count; i++)
		if (answer->records[i].addr.family == BASE_ADDR_IP4 &&
			answer->records[i].addr.bytes[0] == 127)
			return true;
	return false;
}

static bool failed(const struct route_dns_answer *answer)
{
	return answer->status == ROUTE_DNS_FAILED || answer->status == ROUTE_DNS_BOGUS;
}

struct relay_dnsbl_step relay_dnsbl_answer(
	struct relay_dnsbl *d, uint32_t key, const struct route_dns_answer *answer)
{
	struct relay_dnsbl_step step;
	struct open **at = &d->first, *o;

	while (*at && (*at)->key != key)
		at = &(*at)->next;
	o = *at;
	if (!o)
		return nothing;
	if (!o->listed && lists(answer)) {
		o->listed = true;
		return ask(d, o, ROUTE_DNS_TXT);
	}
	d->text[0] = '\0';
	if (o->listed && answer->status == ROUTE_DNS_FOUND)
		memcpy(d->text, answer->records[0].name, sizeof(d->text));
	step = tell(o->front, o->id,
		o->listed                ? RELAY_DNSBL_LISTED
			: failed(answer) ? RELAY_DNSBL_NO_ANSWER
					 : RELAY_DNSBL_NOT_LISTED,
		d->text);
	drop(d, at);
	return step;
}

/* Listed is listed, even if the reason is not known in time. */
struct relay_dnsbl_step relay_dnsbl_tick(struct relay_dnsbl *d, int64_t now_ms)
{
	struct open *o = d->first;
	struct relay_dnsbl_step step;

	if (!o || o->until_ms > now_ms)
		return nothing;
	step = tell(o->front, o->id, o->listed ? RELAY_DNSBL_LISTED : RELAY_DNSBL_NO_ANSWER, "");
	drop(d, &d->first);
	return step;
}

void relay_dnsbl_front_gone(struct relay_dnsbl *d, unsigned front)
{
	struct open **at = &d->first;

	while (*at) {
		if ((*at)->front == front)
			drop(d, at);
		else
			at = &(*at)->next;
	}
}

int64_t relay_dnsbl_due_ms(const struct relay_dnsbl *d, int64_t now_ms)
{
	if (!d->first)
		return -1;
	return d->first->until_ms > now_ms ? d->first->until_ms - now_ms : 0;
}
