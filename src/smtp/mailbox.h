/* smtp/mailbox.h: the syntax of mailboxes and paths
 * Job      "<local@domain>" after MAIL FROM: and RCPT TO:, and a bare mailbox; limits of length
 * Not      whether a mailbox exists or may be used (front/, auth/, route/)
 * Trust    input is hostile; nothing is interpreted: '%', '!' and quoted bytes stay what they are
 * Memory   slices point into the input
 * Spec     RFC 5321 sections 4.1.2, 4.1.3, 4.5.3.1; RFC 6531 section 3.3; source routes are checked
 *          and dropped (RFC 5321 appendix C) */
#ifndef SMTP_MAILBOX_H
#define SMTP_MAILBOX_H

#include "base/macros.h"
#include "base/slice.h"

#define SMTP_LOCAL_MAX_BYTES 64
#define SMTP_DOMAIN_MAX_BYTES 255
#define SMTP_MAILBOX_MAX_BYTES 254 /* a path of 256 without its angle brackets */

enum smtp_path_kind {
	SMTP_PATH_REVERSE, /* MAIL: "<>" is allowed */
	SMTP_PATH_FORWARD, /* RCPT: "<postmaster>" is allowed, in any case */
};

enum smtp_mailbox_result {
	SMTP_MAILBOX_OK,
	SMTP_MAILBOX_BAD,      /* not of this syntax, or a part is too long */
	SMTP_MAILBOX_BAD_UTF8, /* bytes above 0x7F that are no UTF-8 */
};

struct smtp_mailbox {
	struct base_slice whole;  /* local@domain; empty for <>; "postmaster" as sent */
	struct base_slice local;  /* with its quotes, if any */
	struct base_slice domain; /* empty for <> and postmaster */
	bool eight_bit;           /* needs SMTPUTF8 */
	bool qualified;           /* the domain has a dot, or is an address literal, or is empty */
};

/* All of @in is one Mailbox. UTF-8 is let through and marked. */
BASE_MUST_USE enum smtp_mailbox_result smtp_mailbox_parse(
	struct base_slice in, struct smtp_mailbox *out);
/* A path at the front of @in: "<…>", then the end or a blank. @out_rest: what follows, trimmed. */
BASE_MUST_USE enum smtp_mailbox_result smtp_path_parse(struct base_slice in,
	enum smtp_path_kind kind, struct smtp_mailbox *out, struct base_slice *out_rest);

/* The same for a lenient session: what smtp_path_parse() takes; else anything printable up to
 * SMTP_LOOSE_PATH_MAX_BYTES, with or without brackets and domain. */
BASE_MUST_USE enum smtp_mailbox_result smtp_path_parse_loose(struct base_slice in,
	enum smtp_path_kind kind, struct smtp_mailbox *out, struct base_slice *out_rest);

#endif
