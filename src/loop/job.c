#include "loop/job.h"

/* The bytes are drawn in the header. A job comes from queue, a result from relay or deliver: both are
 * ours, neither is trusted. Texts that end up in a log or a notice are escaped there; here only sizes
 * and enums are judged, and the names that a command line is built from. */
enum {
	NAME_MAX_BYTES = 255,
	PATH_MAX_BYTES = 4096,
	ACCOUNT_MAX_BYTES = 512,
	REPLY_MAX_BYTES = 65536,
	RCPT_LEAST_BYTES = 4 + 1 + 2 + 4 + 4 + 4 + 1,
};

const char *job_outcome_name(enum job_outcome outcome)
{
	static const char *const names[JOB_OUTCOME_COUNT] = {
		[JOB_DELIVERED] = "delivered",
		[JOB_DEFERRED] = "deferred",
		[JOB_FAILED] = "failed",
		[JOB_HELD] = "held",
	};

	BASE_BUG_IF((unsigned)outcome >= JOB_OUTCOME_COUNT);
	return names[outcome];
}

void job_put(struct base_buf *out, const struct job *job)
{
	ipc_put_bytes(out, job->message_id);
	ipc_put_u32(out, job->attempt);
	ipc_put_u8(out, (uint8_t)job->via);
	ipc_put_u8(out, (uint8_t)job->tls);
	ipc_put_bytes(out, job->host);
	ipc_put_u16(out, job->port);
	ipc_put_bytes(out, job->path);
	ipc_put_bytes(out, job->account);
	ipc_put_bytes(out, job->route);
	ipc_put_u64(out, job->size);
	ipc_put_bytes(out, job->envelope);
	ipc_put_u8(out, job->file ? 1 : 0);
	if (!job->file)
		ipc_put_u32(out, (uint32_t)job->message.len);
}

static bool get_bounded(struct ipc_reader *r, size_t max, struct base_slice *out)
{
	*out = ipc_get_bytes(r);
	return !r->bad && out->len <= max;
}

static bool get_name(struct ipc_reader *r, size_t max, struct base_slice *out)
{
	return get_bounded(r, max, out) && !base_slice_has(*out, '\r') &&
		!base_slice_has(*out, '\n') && !base_slice_has(*out, '\0');
}

static bool get_flag(struct ipc_reader *r, bool *out)
{
	uint8_t v = ipc_get_u8(r);

	*out = v == 1;
	return !r->bad && v <= 1;
}

bool job_get(struct base_slice body, struct job *out)
{
	struct ipc_reader r = ipc_reader_make(body);
	struct job job = {0};
	uint8_t via, tls;

	if (!get_name(&r, NAME_MAX_BYTES, &job.message_id))
		return false;
	job.attempt = ipc_get_u32(&r);
	via = ipc_get_u8(&r);
	tls = ipc_get_u8(&r);
	if (via > CONF_VIA_ERROR || tls > CONF_POLICY_VERIFY)
		return false;
	job.via = (enum conf_via)via;
	job.tls = (enum conf_tls_policy)tls;
	if (!get_name(&r, NAME_MAX_BYTES, &job.host))
		return false;
	job.port = ipc_get_u16(&r);
	if (!get_name(&r, PATH_MAX_BYTES, &job.path) ||
		!get_name(&r, ACCOUNT_MAX_BYTES, &job.account) ||
		!get_name(&r, NAME_MAX_BYTES, &job.route))
		return false;
	job.size = ipc_get_u64(&r);
	job.envelope = ipc_get_bytes(&r);
	if (!get_flag(&r, &job.file))
		return false;
	if (!job.file) {
		job.message = ipc_get_bytes(&r);
		if (job.message.len != job.size)
			return false;
	}
	if (!ipc_reader_done(&r))
		return false;
	*out = job;
	return true;
}

void job_result_put(struct base_buf *out, const struct job_result *r)
{
	ipc_put_bytes(out, r->host);
	ipc_put_bytes(out, r->address);
	ipc_put_bytes(out, r->tls);
	ipc_put_u8(out, r->verified ? 1 : 0);
	ipc_put_bytes(out, r->mechanism);
	ipc_put_u8(out, r->reused ? 1 : 0);
	ipc_put_u32(out, r->connection);
	ipc_put_i64(out, r->duration_ms);
	ipc_put_u8(out, r->has_not_before ? 1 : 0);
	ipc_put_i64(out, r->not_before_ms);
	ipc_put_u32(out, r->rcpt_count);
}

void job_result_put_rcpt(struct base_buf *out, const struct job_rcpt_result *r)
{
	ipc_put_u32(out, r->index);
	ipc_put_u8(out, (uint8_t)r->outcome);
	ipc_put_u16(out, r->code);
	ipc_put_bytes(out, r->enhanced);
	ipc_put_bytes(out, r->reply);
	ipc_put_bytes(out, r->reason);
	ipc_put_u8(out, r->dsn_relayed ? 1 : 0);
}

bool job_result_get(struct base_slice body, struct job_result *out, struct ipc_reader *out_rest)
{
	struct ipc_reader rd = ipc_reader_make(body);
	struct job_result r = {0};

	if (!get_bounded(&rd, NAME_MAX_BYTES, &r.host) ||
		!get_bounded(&rd, NAME_MAX_BYTES, &r.address) ||
		!get_bounded(&rd, NAME_MAX_BYTES, &r.tls) || !get_flag(&rd, &r.verified) ||
		!get_bounded(&rd, NAME_MAX_BYTES, &r.mechanism) || !get_flag(&rd, &r.reused))
		return false;
	r.connection = ipc_get_u32(&rd);
	r.duration_ms = ipc_get_i64(&rd);
	if (!get_flag(&rd, &r.has_not_before))
		return false;
	r.not_before_ms = ipc_get_i64(&rd);
	r.rcpt_count = ipc_get_u32(&rd);
	if (rd.bad || r.rcpt_count > rd.rest.len / RCPT_LEAST_BYTES)
		return false;
	*out = r;
	*out_rest = rd;
	return true;
}

bool job_result_get_rcpt(struct ipc_reader *rest, struct job_rcpt_result *out)
{
	struct job_rcpt_result r = {0};
	uint8_t outcome;

	r.index = ipc_get_u32(rest);
	outcome = ipc_get_u8(rest);
	if (rest->bad || outcome >= JOB_OUTCOME_COUNT)
		return false;
	r.outcome = (enum job_outcome)outcome;
	r.code = ipc_get_u16(rest);
	if (!get_bounded(rest, NAME_MAX_BYTES, &r.enhanced) ||
		!get_bounded(rest, REPLY_MAX_BYTES, &r.reply) ||
		!get_bounded(rest, REPLY_MAX_BYTES, &r.reason) || !get_flag(rest, &r.dsn_relayed))
		return false;
	*out = r;
	return true;
}
