/* front/dnsbl.c: questions about strangers' addresses to relay, which speaks to the DNS
 *
 * Every zone of a listener is asked as soon as a client connects; the answers are awaited only when a
 * RCPT needs them. relay gives up after five seconds; should it die meanwhile, nobody is listed. */
#include "front/front.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

/* relay's own limit, and a moment for the way. */
enum { DNSBL_WAIT_MS = 6000, TEXT_MAX_BYTES = 200 };

struct front_dnsbl {
	struct {
		uint32_t id;    /* 0: answered */
		unsigned relay; /* index of the one that was asked */
	} asked[CONF_DNSBL_MAX];
	int64_t since_ms;
};

/* "9.2.0.192.zone"; nibbles for IPv6. */
static void question(const struct base_addr *addr, const char *zone, struct base_buf *out)
{
	if (addr->family == BASE_ADDR_IP4) {
		for (int i = 3; i >= 0; i--)
			base_buf_printf(out, "%u.", addr->bytes[i]);
	} else {
		for (int i = 15; i >= 0; i--)
			base_buf_printf(out, "%x.%x.", addr->bytes[i] & 15u, addr->bytes[i] >> 4u);
	}
	base_buf_append_text(out, zone);
}

/* A relay that is there, each in its turn. Null: none is. */
static struct ipc_channel *next_relay(struct front *f, unsigned *out_index)
{
	unsigned count = role_peer_count(f->role, IPC_RELAY);

	for (unsigned i = 0; i < count; i++) {
		struct ipc_channel *ch = role_peer(f->role, IPC_RELAY, f->dnsbl_turn++ % count);

		if (!ch)
			continue;
		*out_index = (f->dnsbl_turn - 1) % count;
		return ch;
	}
	return NULL;
}

static void log_zone(struct front_conn *c, size_t zone, const char *text, enum log_level level)
{
	struct log_record r;

	log_begin(&r, level, LOG_KIND_SYSTEM);
	log_put_text(&r, LOG_KEY_TEXT, text);
	if (c->session.id.text[0])
		log_put_id(&r, LOG_KEY_SESSION, &c->session.id);
	log_put_text(&r, LOG_KEY_LISTENER, c->listener->title);
	log_put_addr(&r, LOG_KEY_CLIENT, &c->session.client);
	log_put_text(&r, LOG_KEY_HOST, c->listener->dnsbl.items[zone]);
	log_commit(&r);
}

static void no_answer(struct front_conn *c, size_t zone)
{
	log_zone(c, zone, "a zone of dnsbl did not answer; the client is not held for listed",
		LOG_LEVEL_WARNING);
	front_session_dnsbl(&c->session, c->work, NULL);
}

static bool ask(struct front_conn *c, size_t zone)
{
	struct front *f = c->front;
	unsigned relay = 0;
	struct ipc_channel *ch = next_relay(f, &relay);
	uint32_t id = ch ? front_pending_add(&f->dnsbl_pending, c) : 0;
	struct base_buf name;
	bool sent;

	if (id == 0)
		return false;
	base_buf_init(&name, 300);
	question(&c->session.client, c->listener->dnsbl.items[zone], &name);
	ipc_begin(&f->frame, IPC_DNSBL_WANT, id);
	ipc_put_bytes(&f->frame, base_buf_slice(&name));
	base_buf_release(&name);
	sent = ipc_send(ch, &f->frame, NULL, 0);
	if (!sent) {
		front_pending_remove(&f->dnsbl_pending, id);
		return false;
	}
	c->dnsbl->asked[zone].id = id;
	c->dnsbl->asked[zone].relay = relay;
	return true;
}

void front_dnsbl_ask(struct front_conn *c)
{
	size_t count = c->listener->dnsbl.count;

	if (count == 0 || c->refusal || c->session.admission.may_relay)
		return;
	c->dnsbl = base_alloc_zero(1, sizeof(*c->dnsbl));
	c->dnsbl->since_ms = (int64_t)uv_now(role_loop(c->front->role));
	c->session.admission.dnsbl_open = (uint8_t)count;
	for (size_t i = 0; i < count; i++)
		if (!ask(c, i))
			no_answer(c, i);
}

void front_dnsbl_forget(struct front_conn *c)
{
	if (!c->dnsbl)
		return;
	for (size_t i = 0; i < c->listener->dnsbl.count; i++)
		front_pending_remove(&c->front->dnsbl_pending, c->dnsbl->asked[i].id);
	free(c->dnsbl);
	c->dnsbl = NULL;
}

/* The question of @zone is over, with or without an answer. */
static void settle(struct front_conn *c, size_t zone)
{
	front_pending_remove(&c->front->dnsbl_pending, c->dnsbl->asked[zone].id);
	c->dnsbl->asked[zone].id = 0;
}

static void is_listed(struct front_conn *c, size_t zone, struct base_slice says)
{
	struct base_buf text;

	log_zone(c, zone, "client is listed by a zone of dnsbl; its recipients get 554 5.7.1",
		LOG_LEVEL_INFO);
	base_buf_init(&text, 1024);
	base_buf_printf(&text, "blocked by %s", c->listener->dnsbl.items[zone]);
	if (says.len) {
		base_buf_append_text(&text, ", see ");
		base_escape_text(says, TEXT_MAX_BYTES, &text);
	}
	front_session_dnsbl(&c->session, c->work, base_buf_text(&text));
	base_buf_release(&text);
}

void front_dnsbl_frame(struct front *f, struct ipc_frame *frame)
{
	enum { NOT_LISTED, LISTED, NO_ANSWER };
	struct front_conn *c = front_pending_find(&f->dnsbl_pending, frame->id);
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned state = ipc_get_u8(&in);
	struct base_slice says = ipc_get_bytes(&in);
	size_t zone = 0;

	if (frame->type != IPC_DNSBL || !c || !ipc_reader_done(&in))
		return;
	while (c->dnsbl->asked[zone].id != frame->id)
		zone++;
	settle(c, zone);
	if (state == LISTED)
		is_listed(c, zone, says);
	else if (state == NOT_LISTED)
		front_session_dnsbl(&c->session, c->work, NULL);
	else
		no_answer(c, zone);
	front_conn_run(c);
}

/* Open questions that were put to @relay (or to any, if it is null) and are older than @than_ms. */
static void give_up(struct front *f, const unsigned *relay, int64_t than_ms)
{
	for (size_t i = 0; i < FRONT_PENDING_MAX; i++) {
		struct front_conn *c = f->dnsbl_pending.slots[i];
		size_t zone = 0;

		if (!c || c->dnsbl->since_ms > than_ms)
			continue;
		while ((c->dnsbl->asked[zone].id - 1) % FRONT_PENDING_MAX != i ||
			!c->dnsbl->asked[zone].id)
			zone++;
		if (relay && c->dnsbl->asked[zone].relay != *relay)
			continue;
		settle(c, zone);
		no_answer(c, zone);
		front_conn_run(c);
	}
}

void front_dnsbl_gone(struct front *f, unsigned relay)
{
	give_up(f, &relay, INT64_MAX);
}

void front_dnsbl_tick(struct front *f, int64_t now_ms)
{
	if (f->dnsbl_turn)
		give_up(f, NULL, now_ms - DNSBL_WAIT_MS);
}
