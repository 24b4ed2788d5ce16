/* Where recipients go: routes of the configuration become destinations. */
#include "queue/core_internal.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>

enum { SENDER_SHOWN_BYTES = 320 };

static char *copy_text(const char *text)
{
	return text ? base_strdup(text) : NULL;
}

void queue_plan_release(struct queue_core *c)
{
	for (size_t i = 0; i < c->plan_count; i++) {
		free(c->plans[i].title);
		free(c->plans[i].via_text);
		free(c->plans[i].text);
		free(c->plans[i].host);
		free(c->plans[i].account);
	}
	free(c->plans);
	c->plans = NULL;
	c->plan_count = 0;
	route_table_free(&c->table);
	free(c->host_name);
	c->host_name = NULL;
}

static void copy_plan(struct route_plan *p, const struct conf_route *r)
{
	*p = (struct route_plan){
		.via = r->via,
		.tls = r->tls,
		.title = base_strdup(r->title),
		.via_text = copy_text(r->via_text),
		.text = copy_text(r->text),
		.host = copy_text(r->host),
		.account = copy_text(r->account),
		.port = r->port,
	};
	/* Host and port of an account are known to those who have its secret. */
	if (r->via == CONF_VIA_ACCOUNT && !p->account)
		p->account = copy_text(r->text);
}

void queue_plan_set_conf(struct queue_core *c, const struct conf *conf)
{
	struct base_slice *titles = base_alloc((conf->route_count + 1) * sizeof(*titles));

	queue_plan_release(c);
	c->host_name = base_strdup(conf->hostname);
	c->plan_count = conf->route_count;
	c->plans = base_alloc_zero(conf->route_count + 1, sizeof(*c->plans));
	for (size_t i = 0; i < conf->route_count; i++) {
		copy_plan(&c->plans[i], &conf->routes[i]);
		titles[i] = base_slice_text(c->plans[i].title);
	}
	c->table = route_table_new(titles, conf->route_count);
	free(titles);
	c->schedule = (struct spool_schedule){
		.lifetime_ms = conf->queue.lifetime_s * 1000,
		.warning_ms = conf->queue.delay_warning_s * 1000,
	};
	for (size_t i = 0; i < conf->queue.retry_count && i < SPOOL_SCHEDULE_RETRY_MAX; i++)
		c->schedule.retry_ms[c->schedule.retry_count++] = conf->queue.retry_s[i] * 1000;
	if (c->schedule.retry_count == 0)
		c->schedule.retry_ms[c->schedule.retry_count++] = 300 * 1000;
}

/* Recipients whose fate the route alone decides: one unit that is settled at once. */
struct settled {
	struct verdict *verdicts;
	size_t count, cap;
};

/* One message, or one unit of it, being planned. What its sender's line is, is asked once. */
struct planning {
	struct queue_core *c;
	struct message *m;
	struct envelope e;
	struct rcpt_walk w;
	struct settled settled;
	bool asked, has_line;
	struct route_sender line;
	struct route_plan by_sender;
	char reason[SPOOL_DETAIL_REASON_MAX_BYTES];
};

/* Where a recipient goes. */
struct target {
	const struct route_plan *plan; /* null: it is settled */
	struct base_slice domain;
	struct verdict verdict; /* of one who is settled; JOB_HELD: waits without a destination */
};

static void plan_begin(struct planning *pl, struct queue_core *c, struct message *m)
{
	pl->c = c;
	pl->m = m;
	pl->settled = (struct settled){0};
	pl->asked = false;
	queue_rcpt_walk_begin(&pl->w, m, &pl->e);
}

/* ---- what needs no destination ---- */

/* The recipient's fate is known from the route alone, for good: true, with the verdict. */
static bool settle_now(const struct route_plan *p, struct base_slice domain, struct verdict *out)
{
	if (!p) {
		*out = (struct verdict){.outcome = JOB_FAILED,
			.code = 550,
			.enhanced = BASE_SLICE("5.1.2"),
			.reason = BASE_SLICE("no route for this domain")};
		return true;
	}
	if (p->via == CONF_VIA_DISCARD) {
		*out = (struct verdict){.outcome = JOB_DELIVERED,
			.code = 250,
			.enhanced = BASE_SLICE("2.0.0"),
			.reason = BASE_SLICE("discarded")};
		return true;
	}
	if (p->via == CONF_VIA_ERROR) {
		*out = (struct verdict){.outcome = JOB_FAILED,
			.code = 550,
			.enhanced = BASE_SLICE("5.7.1"),
			.reason = base_slice_text(
				p->text && p->text[0] ? p->text : "refused by configuration")};
		return true;
	}
	if (p->via == CONF_VIA_MX && domain.len == 0) {
		*out = (struct verdict){.outcome = JOB_FAILED,
			.code = 550,
			.enhanced = BASE_SLICE("5.1.3"),
			.reason = BASE_SLICE("the address has no domain")};
		return true;
	}
	return false;
}

static const struct route_plan *find_plan(
	const struct queue_core *c, struct base_slice address, struct base_slice *out_domain)
{
	struct base_slice own = base_slice_text(c->host_name);
	size_t at = route_find(c->table, address, own);

	*out_domain = route_domain(address, own);
	return at == ROUTE_NONE ? NULL : &c->plans[at];
}

static void tell_route(struct planning *pl, const struct envelope_rcpt *rcpt,
	const struct route_plan *p, const struct verdict *v)
{
	const struct envelope *e = &pl->e;
	struct queue_event event = {
		.kind = QUEUE_EVENT_ROUTE,
		.message = base_id_slice(&pl->m->id),
		.session = e->session,
		.user = e->user,
		.sender = e->sender,
		.recipient = rcpt->address,
		.route = base_slice_text(p ? p->title : NULL),
		.via = base_slice_text(p ? p->via_text : NULL),
		.reason = v->reason,
		.enhanced = v->enhanced,
		.code = v->code,
		.result = job_outcome_name(v->outcome),
		.end = e->rcpt_count == 1,
	};

	pl->c->ports->event(pl->c->arg, &event);
}

/* ---- by sender ---- */

static void ask_senders(struct planning *pl)
{
	struct queue_core *c = pl->c;
	struct envelope_rcpt first = {0};
	struct rcpt_walk w;
	struct envelope e;
	struct base_buf text;

	pl->asked = true;
	queue_rcpt_walk_begin(&w, pl->m, &e);
	(void)queue_rcpt_walk(&w, 0, &first);
	pl->has_line = route_sender_find(
		c->senders, e.sender, first.address, base_slice_text(c->host_name), &pl->line);
	if (pl->has_line)
		return;
	base_buf_init(&text, sizeof(pl->reason));
	base_buf_append_text(&text, "no account for sender \"");
	base_escape_text(e.sender.len ? e.sender : BASE_SLICE("<>"), SENDER_SHOWN_BYTES, &text);
	base_buf_append_text(&text, "\" (see postern sender add)");
	snprintf(pl->reason, sizeof(pl->reason), "%s", base_buf_text(&text));
	base_buf_release(&text);
}

/* The route is by sender: his account's plan, or he waits. */
static void take_account(struct planning *pl, const struct route_plan *p, struct target *t)
{
	char *account;

	if (!pl->asked)
		ask_senders(pl);
	if (!pl->has_line) {
		t->plan = NULL;
		t->verdict = (struct verdict){.outcome = JOB_HELD,
			.enhanced = BASE_SLICE("4.3.5"),
			.reason = base_slice_text(pl->reason),
			.plan = p};
		return;
	}
	/* Read only, as all of a plan. */
	account = (char *)(uintptr_t)pl->line.account.ptr;
	pl->by_sender = *p;
	pl->by_sender.via = CONF_VIA_ACCOUNT;
	pl->by_sender.text = pl->by_sender.account = account;
	pl->by_sender.by_sender = true;
	t->plan = &pl->by_sender;
}

static void find_target(struct planning *pl, const struct envelope_rcpt *rcpt, struct target *t)
{
	const struct route_plan *p = find_plan(pl->c, rcpt->address, &t->domain);

	t->plan = p;
	if (settle_now(p, t->domain, &t->verdict)) {
		tell_route(pl, rcpt, p, &t->verdict);
		t->plan = NULL;
	} else if (p->via == CONF_VIA_SENDER) {
		take_account(pl, p, t);
	}
}

/* ---- units ---- */

/* The unit of @m that @index may join, made if there is none. */
static struct unit *unit_for(
	struct message *m, struct dest *d, uint32_t index, const struct unit * not )
{
	struct unit *u;

	for (u = m->units; u; u = u->next)
		if (u != not &&u->dest == d && u->state == UNIT_NEW &&
			u->rcpt_count < UNIT_RCPTS_MAX && u->rcpt_count &&
			u->rcpts[u->rcpt_count - 1].index < index)
			return u;
	u = queue_unit_new(m, index);
	queue_dest_attach(d, u);
	return u;
}

static void note_line(struct planning *pl, struct unit *u)
{
	free(u->sender_line);
	u->sender_line = u->dest && u->dest->by_sender ? base_slice_dup(pl->line.line) : NULL;
}

static void settled_put(struct planning *pl, struct verdict v, uint32_t index)
{
	struct settled *s = &pl->settled;

	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->verdicts = base_realloc(s->verdicts, s->cap * sizeof(*s->verdicts));
	}
	v.index = index;
	s->verdicts[s->count++] = v;
}

/* @like: the unit that they come from; null: none. */
static void settled_apply(struct planning *pl, const struct unit *like)
{
	struct settled *s = &pl->settled;
	struct unit *u;

	if (s->count == 0)
		return;
	u = queue_unit_new(pl->m, s->verdicts[0].index);
	if (like) {
		u->attempts = like->attempts;
		u->flags = like->flags;
	}
	for (size_t i = 0; i < s->count; i++)
		queue_unit_add_rcpt(u, s->verdicts[i].index, SPOOL_RCPT_WAITING, BASE_SLICE_EMPTY);
	queue_settle(pl->c, u, NULL, s->verdicts, s->count);
	free(s->verdicts);
}

static void choose_places(struct queue_core *c, struct message *m)
{
	bool room = queue_window_has_room(c);

	for (struct unit *u = m->units; u; u = u->next) {
		if (u->state != UNIT_NEW || (room && queue_dest_has_room(c, u->dest)))
			continue;
		u->dest->parked = true;
		u->dest_hash = u->dest->hash;
		queue_dest_detach(c, u);
		u->state = UNIT_PARK;
	}
}

void queue_plan_message(struct queue_core *c, struct message *m)
{
	struct envelope_rcpt rcpt;
	struct planning pl;
	struct target t;
	struct unit *u;

	plan_begin(&pl, c, m);
	for (uint32_t i = 0; i < pl.e.rcpt_count && queue_rcpt_walk(&pl.w, i, &rcpt); i++) {
		find_target(&pl, &rcpt, &t);
		if (!t.plan) {
			settled_put(&pl, t.verdict, i);
			continue;
		}
		u = unit_for(m, queue_dest_get(c, t.plan, t.domain), i, NULL);
		if (u->rcpt_count == 0)
			note_line(&pl, u);
		queue_unit_add_rcpt(u, i, SPOOL_RCPT_WAITING, BASE_SLICE_EMPTY);
	}
	choose_places(c, m);
	settled_apply(&pl, NULL);
}

/* Move recipient @k of @u to the unit for @d. */
static void move_rcpt(struct planning *pl, struct unit *u, uint32_t k, struct dest *d)
{
	struct unit_rcpt r = u->rcpts[k];
	struct unit *to = unit_for(u->m, d, r.index, u);

	if (to->rcpt_count == 0)
		note_line(pl, to);
	to->attempts = u->attempts;
	to->flags = u->flags;
	queue_unit_add_rcpt(to, r.index, r.state, base_slice_text(r.reason));
	queue_unit_remove_rcpt(u, k);
	queue_message_touch(pl->c, u->m);
}

/* All in @u wait without a destination. */
static void hold_unit(struct planning *pl, struct unit *u, struct verdict v)
{
	struct verdict *list = base_alloc(u->rcpt_count * sizeof(*list));
	uint32_t count = u->rcpt_count;

	for (uint32_t k = 0; k < count; k++) {
		list[k] = v;
		list[k].index = u->rcpts[k].index;
	}
	queue_settle(pl->c, u, NULL, list, count);
	free(list);
}

static void unit_is_planned(
	struct planning *pl, struct unit *u, bool waits, const struct verdict *held)
{
	if (u->rcpt_count == 0) {
		queue_dest_detach(pl->c, u);
		u->state = UNIT_DONE;
		queue_message_touch(pl->c, u->m);
	} else if (waits) {
		hold_unit(pl, u, *held);
	} else {
		note_line(pl, u);
	}
	settled_apply(pl, u);
}

/* The first who stays decides what @u is, be it a destination or waiting without one; whoever differs
 * leaves for a unit that is numbered by himself. So a number is never given twice: it is that of a
 * recipient who has not left his unit but for good. */
void queue_plan_unit(struct queue_core *c, struct unit *u)
{
	struct verdict held = {0};
	struct envelope_rcpt rcpt;
	struct planning pl;
	struct target t;
	struct dest *d;
	bool waits = false;
	uint32_t k = 0, index;

	plan_begin(&pl, c, u->m);
	while (k < u->rcpt_count) {
		index = u->rcpts[k].index;
		if (!queue_rcpt_walk(&pl.w, index, &rcpt)) {
			queue_unit_remove_rcpt(u, k);
			continue;
		}
		find_target(&pl, &rcpt, &t);
		if (!t.plan && t.verdict.outcome == JOB_HELD && !u->dest) {
			waits = true;
			held = t.verdict;
			k++;
			continue;
		}
		if (!t.plan) {
			queue_unit_remove_rcpt(u, k);
			settled_put(&pl, t.verdict, index);
			continue;
		}
		d = queue_dest_get(c, t.plan, t.domain);
		if (!u->dest && !waits)
			queue_dest_attach(d, u);
		if (u->dest == d)
			k++;
		else
			move_rcpt(&pl, u, k, d);
	}
	unit_is_planned(&pl, u, waits, &held);
}
