/* mail/intake.h: a submitted message on its way in, as a stream
 * Job      the one pass over header fields: Received and Authentication-Results put on top, forged
 *          Authentication-Results of ours, Bcc, Resent-Bcc, Return-Path and Content-Length dropped,
 *          Date and Message-ID added at the end of the header where missing; all else byte for byte
 * Not      SMTP transparency, line endings (smtp/ gives CRLF lines), storage
 * Trust    the message is hostile; every loop and field is bounded
 * Memory   one field at a time in the caller's hold buffer; the body passes through
 * Spec     RFC 5322, RFC 6409 section 8, RFC 8601, RFC 3848, RFC 6531 section 3.7.3 */
#ifndef MAIL_INTAKE_H
#define MAIL_INTAKE_H

#include "base/buf.h"
#include "base/host.h"
#include "base/id.h"

#define MAIL_FIELD_MAX_BYTES 65536 /* one header field with its folds */
#define MAIL_HEADER_MAX_BYTES 262144
#define MAIL_HOPS_MAX 100 /* Received fields: more is a loop, 554 5.4.6 */

/* How the message came, for Received and Authentication-Results. Slices are borrowed until begin
 * returns. */
struct mail_origin {
	struct base_slice host_name; /* ours; authserv-id too */
	struct base_slice helo;      /* as sent; made safe here */
	struct base_addr client;
	bool show_client; /* else @client_pseudonym stands in its place */
	struct base_slice client_pseudonym;
	bool esmtp, tls, authenticated, smtputf8;
	struct base_slice tls_version; /* "TLSv1.3", empty without TLS */
	struct base_slice tls_cipher;
	struct base_slice user; /* login, for smtp.auth= (and Received if show_user) */
	bool show_user;
	struct base_slice user_pseudonym;
	struct base_slice
		mail_auth;         /* AUTH= of MAIL where trusted, for smtp.mailfrom=; else empty */
	struct base_id message_id; /* queue id */
	int64_t now_ms;
};

enum mail_intake_flags {
	MAIL_INTAKE_FIXUP = 1u << 0, /* add Date and Message-ID, drop Bcc … (submission); else only
					 * trace fields and forged results */
};

enum mail_intake_result {
	MAIL_INTAKE_OK,
	MAIL_INTAKE_FIELD_TOO_LONG,  /* 552 5.3.4 */
	MAIL_INTAKE_HEADER_TOO_LONG, /* 552 5.3.4 */
	MAIL_INTAKE_LOOP,            /* 554 5.4.6 */
	MAIL_INTAKE_BAD_HEADER,  /* first line blank-led, no colon, two From/Date/…: 554 5.6.0 */
	MAIL_INTAKE_8BIT_HEADER, /* 8-bit in a header without SMTPUTF8: 554 5.6.7 (flag below) */
	MAIL_INTAKE_RESULT_COUNT,
};

struct mail_intake {
	unsigned flags;
	bool smtputf8;
	int phase; /* private from here */
	uint32_t hops;
	uint32_t seen; /* which single fields were met */
	uint64_t header_bytes;
	bool has_8bit; /* a byte >= 0x80 was met anywhere in the message */
	bool header_8bit;
	char own_name[256];
	char message_id[BASE_ID_CHARS + 1];
	int64_t now_ms;
};

/* Writes Received and, for an authenticated client, Authentication-Results to @out. */
void mail_intake_begin(struct mail_intake *m, unsigned flags, const struct mail_origin *origin,
	struct base_buf *out);
/* Any cut. @hold: the caller's buffer (max >= MAIL_FIELD_MAX_BYTES + 1024) in which an unfinished
 * field waits between calls; empty in the body. What passes is appended to @out (grows by at most
 * in.len + hold.len + 512). After anything but OK only mail_intake_begin() is allowed. */
BASE_MUST_USE enum mail_intake_result mail_intake_push(
	struct mail_intake *m, struct base_slice in, struct base_buf *hold, struct base_buf *out);
/* The message ended; writes what is still due (a header without body gets its empty line only if it
 * had one). */
BASE_MUST_USE enum mail_intake_result mail_intake_end(
	struct mail_intake *m, struct base_buf *hold, struct base_buf *out);
/* The SMTP reply for a result: code, enhanced code and text, in that order. OK gives 250. */
struct mail_intake_reply {
	uint16_t code;
	const char *enhanced;
	const char *text;
};
struct mail_intake_reply mail_intake_reply(enum mail_intake_result result);

#endif
