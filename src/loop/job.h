/* loop/job.h: a delivery job from queue to relay or deliver, and its result
 * Job      one codec for both directions
 *
 * JOB body: text message id, u32 attempt (from 1), u8 via (enum conf_via), u8 tls policy, text host,
 * u16 port, text path (maildir path template, LMTP socket), text account, text route title, u64 size,
 * bytes envelope (loop/envelope.h, holding only this job's recipients), u8 file(1)/inline(0), bytes
 * message (inline only). A body too long for one frame is cut anywhere: the parts go ahead as the
 * `bytes` of JOB_ENVELOPE frames with the same id, and the rest of it is the body of JOB.
 *
 * JOB_RESULT body: text host (the peer that answered, or ""), text address, text tls ("TLSv1.3 cipher"
 * or ""), u8 verified, text mechanism, u8 reused connection, u32 connection number, i64 duration ms,
 * u8 not_before set, i64 not_before unix ms (back-off wish), u32 count, then for each recipient: u32
 * index in the job, u8 outcome, u16 code, text enhanced, text reply (the peer's words, raw), text
 * reason (our words), u8 relayed with DSN (the next hop takes over notices). */
#ifndef LOOP_JOB_H
#define LOOP_JOB_H

#include "loop/conf.h"
#include "loop/envelope.h"

struct job {
	struct base_slice message_id;
	uint32_t attempt;
	enum conf_via via;
	enum conf_tls_policy tls;
	struct base_slice host; /* MX: the recipient domain */
	uint16_t port;
	struct base_slice path;
	struct base_slice account;
	struct base_slice route;
	uint64_t size;
	struct base_slice envelope;
	bool file; /* the message comes as a descriptor */
	struct base_slice message;
};

enum job_outcome {
	JOB_DELIVERED, /* accepted by the next hop or written durably */
	JOB_DEFERRED,  /* try again later */
	JOB_FAILED,    /* for good: a notice is due */
	JOB_HELD,      /* an account or TLS demand stands in the way: waits, never bounced before
				 * the message's lifetime ends */
	JOB_OUTCOME_COUNT,
};

struct job_rcpt_result {
	uint32_t index;
	enum job_outcome outcome;
	uint16_t code;
	struct base_slice enhanced, reply, reason;
	bool dsn_relayed;
};

struct job_result {
	struct base_slice host, address, tls, mechanism;
	bool verified, reused;
	uint32_t connection;
	int64_t duration_ms;
	bool has_not_before;
	int64_t not_before_ms;
	uint32_t rcpt_count;
};

/* Everything before the message bytes (so that callers can send parts without a copy). */
void job_put(struct base_buf *out, const struct job *job);
BASE_MUST_USE bool job_get(struct base_slice body, struct job *out);
void job_result_put(struct base_buf *out, const struct job_result *r);
void job_result_put_rcpt(struct base_buf *out, const struct job_rcpt_result *r);
BASE_MUST_USE bool job_result_get(
	struct base_slice body, struct job_result *out, struct ipc_reader *out_rest);
BASE_MUST_USE bool job_result_get_rcpt(struct ipc_reader *rest, struct job_rcpt_result *out);
const char *job_outcome_name(enum job_outcome outcome); /* "delivered" */

#endif
