#include "relay/internal.h"

#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* A job is one heap block: the struct, its arrays, and behind them the bytes of the frame that all
 * its slices point into. */

enum {
	TEXTS_MAX_BYTES = 64 * 1024,
	RCPTS_MAX = 4000,
	REPORT_MAX_BYTES = 96 * 1024,
	RECORD_BYTES = 40
};

static size_t aligned(size_t n)
{
	return (n + 15) & ~(size_t)15;
}

static struct relay_job *job_alloc(uint32_t rcpts, size_t byte_count)
{
	size_t head = aligned(sizeof(struct relay_job));
	size_t rcpt = aligned(rcpts * sizeof(struct smtp_client_rcpt));
	size_t result = aligned(rcpts * sizeof(struct relay_rcpt_result));
	size_t index = aligned(rcpts * sizeof(uint32_t));
	uint8_t *block = base_alloc(head + 2 * rcpt + result + index + byte_count);
	struct relay_job *job = (void *)block;

	memset(block, 0, head + 2 * rcpt + result + index);
	job->rcpts = (void *)(block + head);
	job->batch = (void *)(block + head + rcpt);
	job->results = (void *)(block + head + 2 * rcpt);
	job->batch_index = (void *)(block + head + 2 * rcpt + result);
	job->bytes = block + head + 2 * rcpt + result + index;
	job->rcpt_count = rcpts;
	job->fd = -1;
	base_buf_init(&job->texts, TEXTS_MAX_BYTES);
	return job;
}

/* How many recipients does the envelope name? 0: the job cannot be read. */
static uint32_t count_rcpts(struct base_slice bytes)
{
	struct ipc_reader rest;
	struct envelope e;
	struct job job;

	if (!job_get(bytes, &job) || !envelope_get(job.envelope, &e, &rest) ||
		e.rcpt_count > RCPTS_MAX)
		return 0;
	return e.rcpt_count;
}

static bool fill(struct relay_job *job, struct base_slice bytes, struct job *out)
{
	struct envelope_rcpt rcpt;
	struct ipc_reader rest;
	bool utf8;
	uint32_t i;

	if (!job_get(bytes, out) || !envelope_get(out->envelope, &job->envelope, &rest))
		return false;
	utf8 = job->envelope.flags & ENVELOPE_HEADER_8BIT || !base_is_ascii(job->envelope.sender);
	for (i = 0; i < job->rcpt_count; i++) {
		if (!envelope_get_rcpt(&rest, &rcpt))
			return false;
		job->rcpts[i] = (struct smtp_client_rcpt){
			.address = rcpt.address, .notify = rcpt.notify, .orcpt = rcpt.orcpt};
		utf8 |= !base_is_ascii(rcpt.address);
	}
	job->needs_utf8 = utf8;
	job->message = out->message;
	job->message_id = out->message_id;
	job->size = out->size;
	return true;
}

struct relay_job *relay_job_new(struct base_slice parts, struct base_slice body, struct job *out)
{
	size_t len = parts.len + body.len;
	uint8_t *joined = NULL;
	struct base_slice bytes = body;
	struct relay_job *job;
	uint32_t rcpts;

	if (parts.len) {
		joined = base_alloc(len);
		memcpy(joined, parts.ptr, parts.len);
		if (body.len)
			memcpy(joined + parts.len, body.ptr, body.len);
		bytes = base_slice_make(joined, len);
	}
	rcpts = count_rcpts(bytes);
	if (!rcpts) {
		free(joined);
		return NULL;
	}
	job = job_alloc(rcpts, len);
	memcpy(job->bytes, bytes.ptr, len);
	free(joined);
	if (!fill(job, base_slice_make(job->bytes, len), out))
		relay_job_free(job), job = NULL;
	return job;
}

void relay_job_free(struct relay_job *job)
{
	if (!job)
		return;
	base_buf_release(&job->texts);
	free(job);
}

/* The same reply for many recipients is kept once. */
static void keep_text(struct relay_job *job, struct relay_rcpt_result *r, struct base_slice text)
{
	struct base_buf *b = &job->texts;

	if (text.len <= b->len &&
		base_slice_equal(base_slice_from(base_buf_slice(b), b->len - text.len), text)) {
		r->reply_at = (uint32_t)(b->len - text.len);
	} else {
		r->reply_at = (uint32_t)b->len;
		if (!base_buf_append_slice(b, text))
			text.len = 0;
	}
	r->reply_len = (uint32_t)text.len;
}

void relay_job_note(struct relay_job *job, uint32_t i, enum job_outcome outcome,
	const struct smtp_client_reply *reply, bool local)
{
	struct relay_rcpt_result *r = &job->results[i];

	r->done = true;
	r->outcome = outcome;
	r->code = reply->code;
	r->local = local;
	memcpy(r->enhanced, reply->enhanced, sizeof(r->enhanced));
	keep_text(job, r, base_slice_make(reply->text, reply->text_len));
}

static void note_failure(struct relay_job *job, uint32_t i, const struct relay_failure *f)
{
	struct relay_rcpt_result *r = &job->results[i];

	r->done = true;
	r->outcome = f->outcome;
	r->code = f->code;
	memcpy(r->enhanced, f->enhanced, sizeof(r->enhanced));
	keep_text(job, r, base_slice_text(f->reply));
	r->reason = f->reason;
}

void relay_job_finish(struct relay_core *core, struct relay_job *job, const struct relay_peer *peer,
	const struct relay_failure *failure)
{
	uint32_t i;
	size_t at = 0;

	BASE_BUG_IF(failure && failure->outcome == JOB_DELIVERED);
	for (i = 0; failure && i < job->rcpt_count; i++)
		if (!job->results[i].done)
			note_failure(job, i, failure);
	if (failure) { /* its texts end with it: the reason moves behind the replies */
		at = job->texts.len;
		(void)base_buf_append(&job->texts, failure->reason, strlen(failure->reason) + 1);
	}
	for (i = 0; failure && i < job->rcpt_count; i++)
		if (job->results[i].reason == failure->reason)
			job->results[i].reason = at < job->texts.len
				? (const char *)job->texts.ptr + at
				: NULL;
	if (!peer && failure)
		peer = &failure->peer;
	if (peer)
		job->peer = *peer;
	relay_limit_refund(job);
	core->job_count--;
	relay_effect_add(core, &(struct relay_effect){.kind = RELAY_RESULT, .job = job});
}

bool relay_job_is_open(const struct relay_job *job)
{
	uint32_t i;

	for (i = 0; i < job->rcpt_count; i++)
		if (!job->results[i].done)
			return true;
	return false;
}

bool relay_job_batch(struct relay_job *job, const struct smtp_client *smtp)
{
	uint32_t i, count = 0;

	for (i = 0; i < job->rcpt_count; i++) {
		if (job->results[i].done)
			continue;
		job->results[i].accepted = false;
		job->batch[count] = job->rcpts[i];
		job->batch_index[count++] = i;
	}
	job->batch_count = count ? (uint32_t)smtp_client_rcpt_fit(smtp, job->batch, count) : 0;
	job->offset = 0;
	return job->batch_count > 0;
}

static void report_peer(struct job_result *head, const struct relay_peer *peer,
	struct base_buf *address, struct base_buf *tls)
{
	head->host = base_slice_text(peer->host);
	if (peer->path[0])
		(void)base_buf_append_text(address, peer->path);
	else if (peer->addr.family != BASE_ADDR_NONE)
		(void)base_addr_format_port(&peer->addr, address);
	head->address = base_buf_slice(address);
	if (peer->tls_version)
		(void)base_buf_printf(tls, "%s %s%s", peer->tls_version, peer->tls_cipher,
			peer->pinned ? " pinned" : "");
	head->tls = base_buf_slice(tls);
	head->verified = peer->tls_version && peer->verified;
	if (peer->mechanism)
		head->mechanism = base_slice_text(peer->mechanism);
	head->reused = peer->reused;
	head->connection = peer->connection;
}

void relay_job_report(
	const struct relay_job *job, const struct relay_now *now, struct base_buf *out)
{
	struct job_result head = {.rcpt_count = job->rcpt_count};
	struct base_buf address, tls;
	struct base_slice texts = base_buf_slice(&job->texts);
	size_t text_max = REPORT_MAX_BYTES / job->rcpt_count;
	uint32_t i;

	/* Many recipients share a frame: their texts get shorter. */
	text_max = text_max > RECORD_BYTES ? text_max - RECORD_BYTES : 0;
	base_buf_init(&address, 128);
	base_buf_init(&tls, 128);
	report_peer(&head, &job->peer, &address, &tls);
	head.duration_ms = job->started_ms ? now->mono_ms - job->started_ms : 0;
	head.has_not_before = job->not_before_ms != 0;
	head.not_before_ms = job->not_before_ms;
	job_result_put(out, &head);
	for (i = 0; i < job->rcpt_count; i++) {
		const struct relay_rcpt_result *r = &job->results[i];
		struct base_slice text = base_slice_first(base_slice_from(texts, r->reply_at),
			r->reply_len < text_max ? r->reply_len : text_max);
		struct job_rcpt_result one = {.index = i,
			.outcome = r->outcome,
			.code = r->code,
			.enhanced = base_slice_text(r->enhanced),
			.reason = base_slice_text(r->reason),
			.dsn_relayed = r->dsn_relayed};

		if (one.reason.len > text_max - text.len)
			one.reason.len = text_max - text.len;
		if (r->local)
			one.reason = text;
		else
			one.reply = text;
		job_result_put_rcpt(out, &one);
	}
	base_buf_release(&address);
	base_buf_release(&tls);
}
