/* What the core asks of its shell: jobs to peers, answers to fronts, lines to the journal. */
#include "queue/shell.h"

#include "base/clock.h"
#include "loop/log.h"

#include <stdio.h>
#include <unistd.h>

enum { JOB_PART_BYTES = 64 * 1024, FRAME_SPARE_BYTES = 64 };

/* A job that no frame takes whole: parts ahead, the rest as JOB. */
static bool send_long(struct queue_shell *q, struct ipc_channel *ch, uint32_t job_id,
	const struct job *job, int fd)
{
	struct base_slice rest;
	bool sent;

	if (!job->file)
		base_buf_append_slice(&q->job, job->message);
	rest = base_buf_slice(&q->job);
	while (rest.len > JOB_PART_BYTES) {
		ipc_begin(&q->frame, IPC_JOB_ENVELOPE, job_id);
		ipc_put_bytes(&q->frame, base_slice_first(rest, JOB_PART_BYTES));
		if (!ipc_send(ch, &q->frame, NULL, 0))
			return false;
		rest = base_slice_from(rest, JOB_PART_BYTES);
	}
	ipc_begin(&q->frame, IPC_JOB, job_id);
	base_buf_append_slice(&q->frame, rest);
	sent = ipc_send(ch, &q->frame, job->file ? &fd : NULL, job->file ? 1 : 0);
	base_buf_release(&q->job);
	return sent;
}

static bool send_job(void *arg, enum ipc_role role, unsigned index, uint32_t job_id,
	const struct job *job, int fd)
{
	struct queue_shell *q = arg;
	struct ipc_channel *ch = role_peer(q->role, role, index);
	size_t body = job->file ? 0 : job->message.len;
	struct base_slice parts[2];
	bool sent = false;

	base_buf_clear(&q->job);
	job_put(&q->job, job);
	if (ch && q->job.len + body + FRAME_SPARE_BYTES > IPC_FRAME_MAX_BYTES) {
		sent = send_long(q, ch, job_id, job, fd);
	} else if (ch) {
		ipc_begin(&q->frame, IPC_JOB, job_id);
		base_buf_append_slice(&q->frame, base_buf_slice(&q->job));
		parts[0] = base_buf_slice(&q->frame);
		parts[1] = job->file ? BASE_SLICE_EMPTY : job->message;
		sent = ipc_send_parts(
			ch, parts, job->file ? 1 : 2, job->file ? &fd : NULL, job->file ? 1 : 0);
	}
	if (fd >= 0)
		close(fd);
	return sent;
}

static void submitted(void *arg, const struct queue_client *client, const struct base_id *id,
	enum base_error_class class)
{
	struct queue_shell *q = arg;
	struct ipc_channel *ch = queue_front_channel(q, client);

	if (!ch)
		return;
	ipc_begin(&q->frame, IPC_SUBMITTED, client->transaction);
	ipc_put_u8(&q->frame, (uint8_t) - (int)class);
	ipc_put_text(&q->frame, id->text);
	ipc_send(ch, &q->frame, NULL, 0);
}

static void known(
	void *arg, const struct queue_client *client, const struct base_id *id, bool is_known)
{
	struct queue_shell *q = arg;
	struct ipc_channel *ch = queue_front_channel(q, client);

	if (!ch)
		return;
	ipc_begin(&q->frame, IPC_SUBMIT_KNOWN, client->transaction);
	ipc_put_u8(&q->frame, is_known ? 1 : 0);
	ipc_put_text(&q->frame, id->text);
	ipc_send(ch, &q->frame, NULL, 0);
}

static void fill_random(void *arg, void *out, size_t len)
{
	base_random_fill(out, len);
}

static void on_error(void *arg, const char *what, const struct base_error *err)
{
	log_error(LOG_LEVEL_ERROR, what, err);
}

static void put(struct log_record *r, enum log_key key, struct base_slice value)
{
	if (value.len)
		log_put(r, key, value);
}

static void put_connection(struct log_record *r, const struct queue_event *e)
{
	char connection[32];

	put(r, LOG_KEY_HOST, e->host);
	put(r, LOG_KEY_ADDRESS, e->address);
	put(r, LOG_KEY_TLS, e->tls);
	if (e->tls.len)
		log_put_text(r, LOG_KEY_VERIFIED, e->verified ? "yes" : "no");
	put(r, LOG_KEY_MECH, e->mechanism);
	if (e->connection) {
		snprintf(connection, sizeof(connection), "%s %u", e->reused ? "reused" : "new",
			e->connection);
		log_put_text(r, LOG_KEY_CONNECTION, connection);
	}
}

static void on_event(void *arg, const struct queue_event *e)
{
	static const enum log_kind kinds[] = {
		[QUEUE_EVENT_ROUTE] = LOG_KIND_ROUTE,
		[QUEUE_EVENT_DELIVERY] = LOG_KIND_DELIVERY,
		[QUEUE_EVENT_BOUNCE] = LOG_KIND_BOUNCE,
		[QUEUE_EVENT_DONE] = LOG_KIND_DONE,
	};
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, kinds[e->kind]);
	put(&r, LOG_KEY_MESSAGE, e->message);
	put(&r, LOG_KEY_SESSION, e->session);
	put(&r, LOG_KEY_USER, e->user);
	log_put(&r, LOG_KEY_SENDER, e->sender);
	put(&r, LOG_KEY_RECIPIENT, e->recipient);
	if (e->size)
		log_put_u64(&r, LOG_KEY_SIZE, e->size);
	put(&r, LOG_KEY_ROUTE, e->route);
	put(&r, LOG_KEY_VIA, e->via);
	put(&r, LOG_KEY_SENDER_LINE, e->sender_line);
	put(&r, LOG_KEY_ACCOUNT, e->account);
	put_connection(&r, e);
	if (e->code)
		log_put_u64(&r, LOG_KEY_CODE, e->code);
	put(&r, LOG_KEY_ENHANCED, e->enhanced);
	put(&r, LOG_KEY_REPLY, e->reply);
	if (e->result)
		log_put_text(&r, LOG_KEY_RESULT, e->result);
	if (e->attempt)
		log_put_u64(&r, LOG_KEY_ATTEMPT, e->attempt);
	if (e->next_ms)
		log_put_i64(&r, LOG_KEY_NEXT, e->next_ms);
	if (e->duration_ms)
		log_put_i64(&r, LOG_KEY_DELAY, e->duration_ms);
	put(&r, LOG_KEY_REASON, e->reason);
	/* The notice is a message of its own, found by its id. */
	put(&r, LOG_KEY_ACTION, e->notice);
	if (e->end)
		log_put_text(&r, LOG_KEY_END, "done");
	log_commit(&r);
}

const struct queue_ports queue_shell_ports = {
	.job = send_job,
	.submitted = submitted,
	.known = known,
	.event = on_event,
	.random = fill_random,
	.error = on_error,
};
