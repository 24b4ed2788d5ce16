/* Where recipients go: routes of the configuration become destinations. */
#include "queue/core_internal.h"

#include <stdlib.h>
#include <string.h>

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

static void copy_plan(struct route_plan *p, const struct conf *conf, const struct conf_route *r)
{
	const struct conf_account *account = NULL;

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
	if (r->via != CONF_VIA_ACCOUNT || p->host)
		return;
	account = conf_account_find(conf, r->account ? r->account : r->text);
	if (account) {
		p->host = copy_text(account->host);
		p->port = account->port;
	}
}

void queue_plan_set_conf(struct queue_core *c, const struct conf *conf)
{
	struct base_slice *titles = base_alloc((conf->route_count + 1) * sizeof(*titles));

	queue_plan_release(c);
	c->host_name = base_strdup(conf->hostname);
	c->plan_count = conf->route_count;
	c->plans = base_alloc_zero(conf->route_count + 1, sizeof(*c->plans));
	for (size_t i = 0; i < conf->route_count; i++) {
		copy_plan(&c->plans[i], conf, &conf->routes[i]);
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

/* ---- what needs no destination ---- */

/* The recipient's fate is known from the route alone: true, with the verdict. */
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

static void tell_route(struct queue_core *c, const struct message *m, const struct envelope *e,
	const struct envelope_rcpt *rcpt, const struct route_plan *p, const struct verdict *v)
{
	struct queue_event event = {
		.kind = QUEUE_EVENT_ROUTE,
		.message = base_id_slice(&m->id),
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

	c->ports->event(c->arg, &event);
}

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

/* Recipients whose fate the route alone decides: one unit that is done as soon as it is settled. */
struct settled {
	struct verdict *verdicts;
	size_t count, cap;
};

static void settled_put(struct settled *s, struct verdict v, uint32_t index)
{
	if (s->count == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 8;
		s->verdicts = base_realloc(s->verdicts, s->cap * sizeof(*s->verdicts));
	}
	v.index = index;
	s->verdicts[s->count++] = v;
}

static void settled_apply(struct queue_core *c, struct message *m, struct settled *s)
{
	struct unit *u;

	if (s->count == 0)
		return;
	u = queue_unit_new(m, s->verdicts[0].index);
	for (size_t i = 0; i < s->count; i++)
		queue_unit_add_rcpt(u, s->verdicts[i].index, SPOOL_RCPT_WAITING, BASE_SLICE_EMPTY);
	queue_settle(c, u, NULL, s->verdicts, s->count);
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
	struct envelope e;
	struct rcpt_walk w;
	struct envelope_rcpt rcpt;
	const struct route_plan *p;
	struct settled settled = {0};
	struct base_slice domain;
	struct verdict v;

	queue_rcpt_walk_begin(&w, m, &e);
	for (uint32_t i = 0; i < e.rcpt_count && queue_rcpt_walk(&w, i, &rcpt); i++) {
		p = find_plan(c, rcpt.address, &domain);
		if (settle_now(p, domain, &v)) {
			tell_route(c, m, &e, &rcpt, p, &v);
			settled_put(&settled, v, i);
			continue;
		}
		queue_unit_add_rcpt(unit_for(m, queue_dest_get(c, p, domain), i, NULL), i,
			SPOOL_RCPT_WAITING, BASE_SLICE_EMPTY);
	}
	choose_places(c, m);
	settled_apply(c, m, &settled);
}

/* Move recipient @k of @u to the unit for @d. */
static void move_rcpt(struct queue_core *c, struct unit *u, uint32_t k, struct dest *d)
{
	struct unit_rcpt r = u->rcpts[k];
	struct unit *to = unit_for(u->m, d, r.index, u);

	to->attempts = u->attempts;
	to->flags = u->flags;
	queue_unit_add_rcpt(to, r.index, r.state, base_slice_text(r.reason));
	queue_unit_remove_rcpt(u, k);
	queue_message_touch(c, u->m);
}

void queue_plan_unit(struct queue_core *c, struct unit *u)
{
	struct message *m = u->m;
	const struct route_plan *p;
	struct envelope e;
	struct rcpt_walk w;
	struct envelope_rcpt rcpt;
	struct settled settled = {0};
	struct base_slice domain;
	struct dest *d;
	struct verdict v;
	uint32_t k = 0, index;

	queue_rcpt_walk_begin(&w, m, &e);
	while (k < u->rcpt_count) {
		index = u->rcpts[k].index;
		if (!queue_rcpt_walk(&w, index, &rcpt)) {
			queue_unit_remove_rcpt(u, k);
			continue;
		}
		p = find_plan(c, rcpt.address, &domain);
		if (settle_now(p, domain, &v)) {
			tell_route(c, m, &e, &rcpt, p, &v);
			queue_unit_remove_rcpt(u, k);
			settled_put(&settled, v, index);
			continue;
		}
		d = queue_dest_get(c, p, domain);
		if (!u->dest)
			queue_dest_attach(d, u);
		if (u->dest == d)
			k++;
		else
			move_rcpt(c, u, k, d);
	}
	if (u->rcpt_count == 0) {
		queue_dest_detach(c, u);
		u->state = UNIT_DONE;
		queue_message_touch(c, m);
	}
	settled_apply(c, m, &settled);
}
