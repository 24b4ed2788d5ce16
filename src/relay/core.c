#include "relay/internal.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

enum { EFFECTS_MAX_BYTES = 16 << 20 };

struct relay_core *relay_core_new(const struct relay_options *options)
{
	struct relay_core *core = base_alloc_zero(1, sizeof(*core));

	base_buf_init(&core->effects, EFFECTS_MAX_BYTES);
	relay_core_configure(core, options);
	return core;
}

void relay_core_configure(struct relay_core *core, const struct relay_options *options)
{
	size_t len = options->own_name.len;

	core->options = *options;
	if (len > sizeof(core->own_name) - 1)
		len = 0;
	memcpy(core->own_name, options->own_name.ptr, len);
	core->own_name[len] = '\0';
	core->options.own_name = base_slice_text(core->own_name);
}

void relay_core_free(struct relay_core **core_ptr)
{
	struct relay_core *core = *core_ptr;
	struct relay_effect e;
	struct relay_dest *d;
	struct relay_job *job;
	size_t i;

	if (!core)
		return;
	while (relay_core_effect(core, &e)) /* jobs that are on their way out */
		if (e.kind == RELAY_RESULT || e.kind == RELAY_DROP)
			relay_job_free(e.job);
	while (core->conns) {
		relay_job_free(core->conns->job);
		relay_conn_free(core->conns);
	}
	for (i = 0; i < RELAY_BUCKETS; i++)
		while ((d = core->buckets[i])) {
			core->buckets[i] = d->next;
			while ((job = relay_dest_pop(d)))
				relay_job_free(job);
			relay_dest_free(d);
		}
	for (i = 0; i < core->account_count; i++)
		relay_account_free(core->accounts[i]);
	free(core->accounts);
	while (core->spare_count)
		base_buf_release(&core->spare[--core->spare_count]);
	base_buf_release(&core->effects);
	free(core);
	*core_ptr = NULL;
}

/* effects */

void relay_effect_add(struct relay_core *core, const struct relay_effect *effect)
{
	BASE_BUG_IF(!base_buf_append(&core->effects, effect, sizeof(*effect)));
}

bool relay_core_effect(struct relay_core *core, struct relay_effect *out)
{
	size_t at = core->effects_done * sizeof(*out);

	if (at == core->effects.len) {
		base_buf_clear(&core->effects);
		core->effects_done = 0;
		return false;
	}
	memcpy(out, core->effects.ptr + at, sizeof(*out));
	core->effects_done++;
	return true;
}

/* jobs */

bool relay_core_is_crowded(const struct relay_core *core)
{
	return core->job_count > RELAY_JOBS_MAX * 3 / 4;
}

bool relay_core_conns_are_crowded(const struct relay_core *core)
{
	return core->conn_count > RELAY_CONNS_MAX * 3 / 4;
}

static bool via_is_ours(const struct job *job)
{
	switch (job->via) {
	case CONF_VIA_MX:
	case CONF_VIA_SMTP:
	case CONF_VIA_SMTPS:
		return job->host.len > 0;
	case CONF_VIA_ACCOUNT:
		return job->account.len > 0;
	case CONF_VIA_LMTP:
		return job->host.len > 0 || job->path.len > 0;
	case CONF_VIA_SENDER: /* queue has made an account of it */
	case CONF_VIA_MAILDIR:
	case CONF_VIA_DISCARD:
	case CONF_VIA_ERROR:
		return false;
	}
	return false;
}

static bool names_are_clean(const struct job *job)
{
	return !base_slice_has(job->host, 0) && !base_slice_has(job->path, 0) &&
		!base_slice_has(job->account, 0);
}

/* One spelling for each destination. */
static void complete(struct job *job, char host[ROUTE_DNS_NAME_MAX_BYTES])
{
	if (job->via == CONF_VIA_ACCOUNT) { /* auth says where that is */
		job->host = BASE_SLICE_EMPTY;
		job->port = 0;
	}
	if (!base_is_ascii(job->host) && relay_domain_to_ascii(job->host, host))
		job->host = base_slice_text(host);
}

/* A job that need not wait, because it is known that it would fail. */
static bool refuse_early(
	struct relay_core *core, struct relay_job *job, const struct relay_now *now)
{
	struct relay_dest *d = job->dest;
	struct relay_failure f;
	int64_t until;

	if (d->account && relay_account_is_paused(d->account, now, &f, &until)) {
		job->not_before_ms = until;
		relay_job_finish(core, job, NULL, &f);
		return true;
	}
	if (relay_dest_is_slow(d, now, &f)) {
		job->not_before_ms = now->wall_ms + d->slow_until_ms - now->mono_ms;
		relay_job_finish(core, job, NULL, &f);
		return true;
	}
	if (!d->conns && d->failures && d->backoff_until_ms - now->mono_ms > RELAY_SHORT_WAIT_MS) {
		job->not_before_ms = now->wall_ms + d->backoff_until_ms - now->mono_ms;
		relay_job_finish(core, job, NULL, &d->failure);
		return true;
	}
	return false;
}

bool relay_core_job(struct relay_core *core, uint32_t id, unsigned queue, struct base_slice parts,
	struct base_slice body, int fd, const struct relay_now *now)
{
	char host[ROUTE_DNS_NAME_MAX_BYTES];
	struct relay_failure f;
	struct relay_job *job;
	struct job raw;

	job = relay_job_new(parts, body, &raw);
	if (!job)
		return false;
	complete(&raw, host);
	if (!via_is_ours(&raw) || !names_are_clean(&raw) || (!raw.file && fd >= 0)) {
		relay_job_free(job);
		return false;
	}
	job->id = id;
	job->queue = queue;
	job->fd = fd;
	job->arrived_ms = now->mono_ms;
	core->job_count++;
	job->dest = relay_dest_get(core, &raw);
	if (!job->dest) {
		relay_failure_set(&f, JOB_DEFERRED, 451, "4.3.1", "there are too many accounts");
		relay_job_finish(core, job, NULL, &f);
	} else if (raw.file && fd < 0) { /* the kernel had no number for it */
		relay_failure_set(&f, JOB_DEFERRED, 451, "4.3.1",
			"this server is out of descriptors (see ulimit -n)");
		relay_job_finish(core, job, NULL, &f);
	} else if (!refuse_early(core, job, now)) {
		relay_dest_push(job->dest, job, false);
		relay_dest_dispatch(job->dest, now);
	}
	return true;
}

static void forget_waiting(struct relay_core *core, bool all, unsigned queue)
{
	struct relay_job *job, *kept;
	struct relay_dest *d;
	size_t b;

	for (b = 0; b < RELAY_BUCKETS; b++)
		for (d = core->buckets[b]; d; d = d->next) {
			for (kept = NULL; (job = relay_dest_pop(d));) {
				if (all || job->queue == queue) {
					relay_limit_refund(job);
					core->job_count--;
					relay_effect_add(core,
						&(struct relay_effect){
							.kind = RELAY_DROP, .job = job});
				} else {
					job->next = kept;
					kept = job;
				}
			}
			while ((job = kept)) {
				kept = job->next;
				relay_dest_push(d, job, true);
			}
		}
}

void relay_core_queue_gone(struct relay_core *core, unsigned queue)
{
	struct relay_conn *conn;

	forget_waiting(core, false, queue);
	/* The next process numbers its jobs anew: a result that reached it would be taken for that of
	 * another message. */
	for (conn = core->conns; conn; conn = conn->next)
		if (conn->job && conn->job->queue == queue)
			conn->job->queue = RELAY_NO_QUEUE;
}

/* time */

static bool dest_is_stale(const struct relay_dest *d, const struct relay_now *now)
{
	return !d->first && !d->conns && !d->resolving && now->mono_ms >= d->backoff_until_ms &&
		now->mono_ms - d->used_ms > RELAY_DEST_KEEP_MS;
}

/* Connections that are closed hang on their destination until the shell frees them. */
static bool dest_has_conn(const struct relay_core *core, const struct relay_dest *d)
{
	const struct relay_conn *conn;

	for (conn = core->conns; conn; conn = conn->next)
		if (conn->dest == d)
			return true;
	return false;
}

void relay_core_tick(struct relay_core *core, const struct relay_now *now)
{
	struct relay_dest **at, *d;
	struct relay_conn *conn;
	size_t b;

	for (conn = core->conns; conn; conn = conn->next)
		relay_conn_tick(conn, now);
	for (b = 0; b < RELAY_BUCKETS; b++)
		for (at = &core->buckets[b]; (d = *at);) {
			relay_dest_tick(d, now);
			if (!d->waiting && !d->conns && now->mono_ms - d->used_ms > RELAY_IDLE_MS)
				d->delivered = 0;
			if (dest_is_stale(d, now) && !dest_has_conn(core, d)) {
				*at = d->next;
				relay_dest_free(d);
			} else {
				at = &d->next;
			}
		}
}

void relay_core_drain(struct relay_core *core, const struct relay_now *now)
{
	struct relay_conn *conn;

	core->draining = true;
	forget_waiting(core, true, 0);
	for (conn = core->conns; conn; conn = conn->next) {
		if (conn->ready)
			relay_conn_quit(conn, now);
		else if (!conn->reached)
			relay_conn_ended(conn, "the server stops", now);
	}
}

bool relay_core_is_idle(const struct relay_core *core)
{
	return !core->conn_count && !core->job_count;
}

bool relay_core_needs_tick(const struct relay_core *core)
{
	return core->conn_count || core->waiting_count;
}

const struct relay_options *relay_core_options(const struct relay_core *core)
{
	return &core->options;
}

struct relay_conn *relay_core_conns(struct relay_core *core)
{
	return core->conns;
}

struct relay_conn *relay_core_conn(struct relay_core *core, uint32_t number)
{
	struct relay_conn *conn = core->conns;

	while (conn && conn->number != number)
		conn = conn->next;
	return conn;
}
