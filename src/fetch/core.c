/* The life of a request:
 *
 *           want           a place        addresses          done
 *   (frame) ----> WAITING ---------> ASKING ---------> RUNNING ----> OVER --> answered, forgotten
 *               |    |                 |                  |            ^
 *               |    | deadline        | deadline, no     | deadline   |
 *               +----+-----------------+-- such name -----+-- STOP ----+   (refused ones go there at once)
 *
 * WAITING  nothing has happened; a name that is an address skips ASKING
 * ASKING   takes a place; questions > 0
 * RUNNING  takes a place; the shell has it, or is about to
 * OVER     class, status and error say how it ended; ANSWER or DROP is due, STOP before it where the shell
 *          had it
 * An asker that is gone has its requests OVER with DROP. set_phase() alone writes the phase. */
#include "fetch/core.h"

#include "base/escape.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DUE(kind) (1u << FETCH_##kind)

struct fetch_core {
	struct fetch_request *first, **last;
	size_t places, waiting, bytes;
	uint32_t number;
	bool ip6, draining;
};

static bool has_place(enum fetch_phase phase)
{
	return phase == FETCH_ASKING || phase == FETCH_RUNNING;
}

static void set_phase(struct fetch_core *core, struct fetch_request *r, enum fetch_phase to)
{
	static const unsigned from[FETCH_PHASE_COUNT] = {
		[FETCH_ASKING] = 1u << FETCH_WAITING,
		[FETCH_RUNNING] = 1u << FETCH_WAITING | 1u << FETCH_ASKING,
		[FETCH_OVER] = 1u << FETCH_WAITING | 1u << FETCH_ASKING | 1u << FETCH_RUNNING,
	};

	BASE_BUG_IF(!(from[to] & 1u << r->phase));
	core->waiting -= r->phase == FETCH_WAITING;
	core->places -= has_place(r->phase);
	core->places += has_place(to);
	r->phase = to;
}

void fetch_core_check(const struct fetch_core *core)
{
	size_t places = 0, waiting = 0, bytes = 0;

	for (const struct fetch_request *r = core->first; r; r = r->next) {
		places += has_place(r->phase);
		waiting += r->phase == FETCH_WAITING;
		bytes += r->form.len + r->ca.len;
		BASE_BUG_IF((r->phase == FETCH_ASKING) != (r->questions > 0));
		BASE_BUG_IF(r->phase == FETCH_RUNNING && r->addr_count == 0);
		BASE_BUG_IF((r->phase == FETCH_OVER) != !!(r->due & (DUE(ANSWER) | DUE(DROP))));
	}
	BASE_BUG_IF(places != core->places || waiting != core->waiting || bytes != core->bytes);
	BASE_BUG_IF(places > FETCH_RUNNING_MAX || waiting > FETCH_WAITING_MAX);
	BASE_BUG_IF(waiting && places < FETCH_RUNNING_MAX);
}

static void check(const struct fetch_core *core)
{
#if defined(BASE_CHECKS)
	fetch_core_check(core);
#else
	(void)core;
#endif
}

struct fetch_core *fetch_core_new(bool ip6)
{
	struct fetch_core *core = base_alloc_zero(1, sizeof(*core));

	core->last = &core->first;
	core->ip6 = ip6;
	return core;
}

static void request_free(struct fetch_request *r)
{
	base_buf_release(&r->form);
	base_buf_release(&r->ca);
	base_buf_release(&r->body);
	free(r->url);
	free(r);
}

void fetch_core_free(struct fetch_core **corep)
{
	struct fetch_core *core = *corep;
	struct fetch_request *r;

	if (!core)
		return;
	while ((r = core->first)) {
		core->first = r->next;
		request_free(r);
	}
	free(core);
	*corep = NULL;
}

static void over(struct fetch_core *core, struct fetch_request *r)
{
	r->due = r->phase == FETCH_RUNNING && !(r->due & DUE(START)) ? DUE(STOP) : 0;
	r->due |= DUE(ANSWER);
	r->questions = 0;
	set_phase(core, r, FETCH_OVER);
}

static void fail(struct fetch_core *core, struct fetch_request *r, enum base_error_class class,
	const char *text)
{
	r->class = (int)class;
	snprintf(r->error, sizeof(r->error), "%s", text);
	over(core, r);
}

static void fail_at_host(struct fetch_core *core, struct fetch_request *r, const char *what)
{
	char text[BASE_ERROR_TEXT_MAX_BYTES];

	snprintf(text, sizeof(text), "\"%s\" %s", r->at.host, what);
	fail(core, r, BASE_ERROR_TEMPORARY, text);
}

static void run(struct fetch_core *core, struct fetch_request *r)
{
	r->questions = 0;
	r->due = DUE(START);
	set_phase(core, r, FETCH_RUNNING);
}

/* Give the free places to those that wait longest. */
static void advance(struct fetch_core *core)
{
	struct fetch_request *r;

	for (r = core->first; r && core->waiting && core->places < FETCH_RUNNING_MAX; r = r->next) {
		if (r->phase != FETCH_WAITING)
			continue;
		if (r->at.addr.family != BASE_ADDR_NONE) {
			r->addrs[r->addr_count++] = r->at.addr;
			run(core, r);
			continue;
		}
		r->due = core->ip6 ? DUE(ASK_IP4) | DUE(ASK_IP6) : DUE(ASK_IP4);
		r->questions = core->ip6 ? 2 : 1;
		set_phase(core, r, FETCH_ASKING);
	}
	check(core);
}

static struct fetch_request *request_new(struct fetch_core *core, unsigned asker, uint32_t id)
{
	struct fetch_request *r = base_alloc_zero(1, sizeof(*r));

	if (++core->number == 0)
		core->number = 1;
	r->number = core->number;
	r->asker = asker;
	r->id = id;
	r->phase = FETCH_WAITING;
	base_buf_init_secret(&r->form, IPC_FRAME_MAX_BYTES);
	base_buf_init(&r->ca, IPC_FRAME_MAX_BYTES);
	base_buf_init_secret(&r->body, IPC_FETCH_BODY_MAX_BYTES);
	*core->last = r;
	core->last = &r->next;
	core->waiting++;
	return r;
}

static void refuse_url(
	struct fetch_core *core, struct fetch_request *r, struct base_slice url, const char *why)
{
	enum { SHOWN_MAX = 200 };
	struct base_buf text;

	/* What stands behind '?' may be a secret that somebody put into the wrong place. */
	base_buf_init(&text, BASE_ERROR_TEXT_MAX_BYTES - 1);
	(void)base_buf_append_text(&text, "address \"");
	(void)base_escape_log(base_slice_first(url, base_slice_find(url, '?')), SHOWN_MAX, &text);
	(void)base_buf_printf(&text, "\" %s", why);
	fail(core, r, BASE_ERROR_CONFIG, base_buf_ok(&text) ? base_buf_text(&text) : why);
	base_buf_release(&text);
}

/* Take the request, or have it answered with why not. */
static void judge(struct fetch_core *core, struct fetch_request *r, struct base_slice url,
	struct base_slice form, struct base_slice ca)
{
	enum fetch_url_result result = fetch_url_read(url, &r->at);

	if (result != FETCH_URL_OK) {
		refuse_url(core, r, url, fetch_url_reason(result));
	} else if (core->draining) {
		fail(core, r, BASE_ERROR_TEMPORARY, "the server ends");
	} else if (core->waiting > FETCH_WAITING_MAX ||
		form.len + ca.len > FETCH_BYTES_MAX - core->bytes) {
		fail(core, r, BASE_ERROR_TEMPORARY, "too many HTTPS requests at once");
	} else {
		r->url = base_slice_dup(url);
		(void)base_buf_append_slice(&r->form, form);
		(void)base_buf_append_slice(&r->ca, ca);
		core->bytes += form.len + ca.len;
	}
}

bool fetch_core_want(
	struct fetch_core *core, unsigned asker, const struct ipc_frame *frame, int64_t now_ms)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice url = ipc_get_bytes(&in), form = ipc_get_bytes(&in);
	struct base_slice ca = ipc_get_bytes(&in);
	uint32_t limit_ms = ipc_get_u32(&in);
	struct fetch_request *r;

	if (!ipc_reader_done(&in))
		return false;
	if (limit_ms == 0)
		limit_ms = FETCH_TIME_DEFAULT_MS;
	else if (limit_ms > FETCH_TIME_MAX_MS)
		limit_ms = FETCH_TIME_MAX_MS;
	r = request_new(core, asker, frame->id);
	r->limit_ms = limit_ms;
	r->deadline_ms = now_ms + limit_ms;
	judge(core, r, url, form, ca);
	advance(core);
	return true;
}

static struct fetch_request *find(const struct fetch_core *core, uint32_t number)
{
	struct fetch_request *r = core->first;

	while (r && r->number != number)
		r = r->next;
	return r;
}

void fetch_core_addresses(struct fetch_core *core, uint32_t number, enum fetch_dns dns,
	const struct base_addr *addrs, size_t count, int64_t now_ms)
{
	struct fetch_request *r = find(core, number);

	if (!r || r->phase != FETCH_ASKING)
		return;
	for (size_t i = 0; dns == FETCH_DNS_FOUND && i < count; i++)
		if (r->addr_count < FETCH_ADDRS_MAX)
			r->addrs[r->addr_count++] = addrs[i];
	if (dns == FETCH_DNS_FAILED)
		r->dns_failed = true;
	if (--r->questions > 0) {
		if (r->addr_count)
			r->second_ms = now_ms + FETCH_SECOND_ANSWER_MS;
		return;
	}
	if (r->addr_count) {
		run(core, r);
	} else {
		fail_at_host(core, r,
			r->dns_failed ? "cannot be found: the DNS does not answer"
				      : "cannot be found: there is no such name in the DNS");
	}
	advance(core);
}

void fetch_core_done(struct fetch_core *core, struct fetch_request *r, uint16_t status,
	uint32_t retry_after_s, const struct base_error *err)
{
	BASE_BUG_IF(r->phase != FETCH_RUNNING);
	if (err) {
		base_buf_clear(&r->body);
		fail(core, r, err->class, err->text);
	} else {
		r->status = status;
		r->retry_after_s = retry_after_s;
		over(core, r);
	}
	r->due &= ~DUE(STOP); /* it ended by itself */
	advance(core);
}

static void drop(struct fetch_core *core, struct fetch_request *r)
{
	if (r->phase != FETCH_OVER)
		over(core, r);
	r->due = (r->due & DUE(STOP)) | DUE(DROP);
}

void fetch_core_asker_gone(struct fetch_core *core, unsigned asker)
{
	for (struct fetch_request *r = core->first; r; r = r->next)
		if (r->asker == asker)
			drop(core, r);
	advance(core);
}

void fetch_core_all_gone(struct fetch_core *core)
{
	for (struct fetch_request *r = core->first; r; r = r->next)
		drop(core, r);
	check(core);
}

void fetch_core_drain(struct fetch_core *core)
{
	core->draining = true;
}

bool fetch_core_is_idle(const struct fetch_core *core)
{
	return !core->first;
}

static void expire(struct fetch_core *core, struct fetch_request *r)
{
	char what[64];

	switch (r->phase) {
	case FETCH_WAITING:
		fail(core, r, BASE_ERROR_TEMPORARY, "too many HTTPS requests at once");
		break;
	case FETCH_ASKING:
		fail_at_host(core, r, "cannot be found: the DNS does not answer");
		break;
	case FETCH_RUNNING:
		snprintf(what, sizeof(what), "did not answer within %.1f s",
			(double)r->limit_ms / 1000);
		fail_at_host(core, r, what);
		base_buf_clear(&r->body);
		break;
	case FETCH_OVER:
	case FETCH_PHASE_COUNT:
		break;
	}
}

void fetch_core_tick(struct fetch_core *core, int64_t now_ms)
{
	for (struct fetch_request *r = core->first; r; r = r->next) {
		if (r->phase == FETCH_OVER)
			continue;
		if (now_ms >= r->deadline_ms)
			expire(core, r);
		else if (r->phase == FETCH_ASKING && r->second_ms && now_ms >= r->second_ms)
			run(core, r);
	}
	advance(core);
}

int64_t fetch_core_due_ms(const struct fetch_core *core)
{
	int64_t due = -1, at;

	for (const struct fetch_request *r = core->first; r; r = r->next) {
		if (r->phase == FETCH_OVER)
			continue;
		at = r->deadline_ms;
		if (r->phase == FETCH_ASKING && r->second_ms && r->second_ms < at)
			at = r->second_ms;
		if (due < 0 || at < due)
			due = at;
	}
	return due;
}

bool fetch_core_effect(
	struct fetch_core *core, enum fetch_effect_kind *out_kind, struct fetch_request **out)
{
	for (struct fetch_request *r = core->first; r; r = r->next) {
		if (!r->due)
			continue;
		*out_kind = (enum fetch_effect_kind)__builtin_ctz(r->due);
		*out = r;
		/* The last word stays due: it is what makes the request OVER, until it is forgotten. */
		if (!(*out_kind == FETCH_ANSWER || *out_kind == FETCH_DROP))
			r->due &= ~(1u << *out_kind);
		return true;
	}
	return false;
}

void fetch_core_reply(const struct fetch_request *r, struct base_buf *out)
{
	ipc_begin(out, IPC_FETCHED, r->id);
	ipc_put_u8(out, (uint8_t)-r->class);
	ipc_put_u16(out, r->status);
	ipc_put_bytes(out, base_buf_slice(&r->body));
	ipc_put_text(out, r->error);
	ipc_put_u32(out, r->retry_after_s);
}

void fetch_core_forget(struct fetch_core *core, struct fetch_request *r)
{
	struct fetch_request **at = &core->first;

	BASE_BUG_IF(r->phase != FETCH_OVER || r->transfer);
	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	if (core->last == &r->next)
		core->last = at;
	core->bytes -= r->form.len + r->ca.len;
	request_free(r);
	check(core);
}
