/* deliver/core.h: what deliver decides
 * Job      a recipient and a path template in; the maildir's path, the message's file name, the
 * lines put before it and the verdict on what went wrong out Not      files (deliver/maildir.h),
 * frames and the loop (deliver/main.c); discard: and error: routes are decided in queue Trust
 * addresses are strangers' bytes: none may leave the folder that the route names Memory   the
 * caller's buffers On disk  messages are kept as mailbox readers of Unix expect them: lines end in
 * LF alone. A CRLF becomes LF; nothing else of the message is changed */
#ifndef DELIVER_CORE_H
#define DELIVER_CORE_H

#include "base/buf.h"
#include "loop/job.h"

#define DELIVER_PATH_MAX_BYTES 1024
#define DELIVER_NAME_MAX_BYTES 200 /* of a message's file, below NAME_MAX with room for flags */

enum deliver_path_result {
	DELIVER_PATH_OK,
	DELIVER_PATH_NO_MAILBOX,   /* the address cannot name a folder: 550 5.1.1 */
	DELIVER_PATH_BAD_TEMPLATE, /* the route's fault: 451 4.3.5 */
};

/* The maildir of @address: @template with {user} (local part, without quotes), {domain} (lower
 * case) and {address} (both) put in. A value must not be empty, start with a dot, hold '/' or a
 * control, or be longer than a file name may. @host_name is the domain of an address without one.
 */
BASE_MUST_USE enum deliver_path_result deliver_path(struct base_slice template,
	struct base_slice address, struct base_slice host_name, struct base_buf *out);
/* The part of @template that is the same for everybody: up to the last '/' before the first '{', or
 * all of it. This is what the sandbox leaves open; it is never made below its own parent. */
struct base_slice deliver_path_prefix(struct base_slice template);

/* A file name that stays the same when the same message is delivered again to the same recipient,
 * so that a repetition after a crash replaces the first copy as long as no reader has moved it. */
bool deliver_name(int64_t arrived_ms, struct base_slice message_id, struct base_slice address,
	struct base_slice host_name, struct base_buf *out);
/* "Return-Path: <sender>" and "Delivered-To: recipient", LF lines. */
bool deliver_head(struct base_slice sender, struct base_slice address, struct base_buf *out);

/* CRLF to LF over any cut. */
struct deliver_lines {
	bool after_cr;
};
/* Append the converted bytes of @in; room for in.len + 1 is needed. */
bool deliver_lines_push(struct deliver_lines *l, struct base_slice in, struct base_buf *out);
/* A CR that waited at the very end. */
bool deliver_lines_end(struct deliver_lines *l, struct base_buf *out);

/* The verdict of one recipient. @err null: delivered. Texts are static or borrowed from @err. */
struct job_rcpt_result deliver_verdict(uint32_t index, const struct base_error *err);
/* For an address or template that deliver_path() refused. */
struct job_rcpt_result deliver_path_verdict(uint32_t index, enum deliver_path_result result);

#endif
