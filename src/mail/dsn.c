#include "mail/dsn.h"
#include "mail/header.h"

#include "base/escape.h"
#include "base/time.h"
#include "base/utf8.h"
#include "base/xtext.h"

#include <string.h>

enum {
	ADDRESS_MAX_BYTES = 512,
	DIAGNOSTIC_MAX_BYTES = 2000,
	ORCPT_MAX_BYTES = 512,
	ENVID_MAX_BYTES = 128,
	REFERENCE_MAX_BYTES = 512,
	FOLD_BYTES = 72,
	TEXT_RECIPIENTS_MAX = 50, /* named in the part for people; the rest is counted */
};

static const struct action {
	const char *name;
	const char *status;
	const char *says; /* behind the address, in the part for people */
} actions[MAIL_DSN_ACTION_COUNT] = {
	[MAIL_DSN_FAILED] = {"failed", "5.0.0", "could not be delivered"},
	[MAIL_DSN_DELAYED] = {"delayed", "4.0.0", "not delivered yet, will be tried again"},
	[MAIL_DSN_DELIVERED] = {"delivered", "2.0.0", "delivered"},
	[MAIL_DSN_RELAYED] = {"relayed", "2.0.0",
		"passed on to a server that does not report deliveries"},
	[MAIL_DSN_EXPANDED] = {"expanded", "2.0.0", "passed on to several addresses"},
};

/* 5.4.7 (RFC 3463): nobody refused it, it was tried until its time was over. */
static const char *says(const struct mail_dsn_recipient *r)
{
	if (r->action == MAIL_DSN_FAILED && base_slice_equal_text(r->status, "5.4.7"))
		return "could not be delivered in the time that we try; the last time";
	return actions[r->action].says;
}

const char *mail_dsn_action_name(enum mail_dsn_action action)
{
	BASE_BUG_IF((unsigned)action >= MAIL_DSN_ACTION_COUNT);
	return actions[action].name;
}

/* What the notice as a whole is about: the gravest action in it. */
static enum mail_dsn_action gravest(const struct mail_dsn *dsn)
{
	enum mail_dsn_action action = dsn->recipients[0].action;

	for (size_t i = 1; i < dsn->recipient_count; i++)
		if (dsn->recipients[i].action < action)
			action = dsn->recipients[i].action;
	return action;
}

static struct base_slice original_header(const struct mail_dsn *dsn)
{
	return base_slice_first(dsn->original, mail_header_length(dsn->original));
}

/* Of the part that is returned. */
static bool original_has_8bit(const struct mail_dsn *dsn)
{
	return dsn->original_8bit ||
		mail_has_8bit(dsn->return_full ? dsn->original : original_header(dsn));
}

bool mail_dsn_needs_smtputf8(const struct mail_dsn *dsn)
{
	if (mail_has_8bit(dsn->sender) || (dsn->smtputf8 && mail_has_8bit(original_header(dsn))))
		return true;
	for (size_t i = 0; dsn->smtputf8 && i < dsn->recipient_count; i++)
		if (mail_has_8bit(dsn->recipients[i].address))
			return true;
	return false;
}

/* @s without controls; bytes above ASCII stay if @utf8 and they are UTF-8, else become '?'. */
static void write_clean(struct base_slice s, size_t max, bool utf8, struct base_buf *out)
{
	struct base_slice shown = base_slice_first(s, max);
	bool keep_8bit = utf8 && base_utf8_valid(shown);

	for (size_t i = 0; i < shown.len; i++) {
		uint8_t c = shown.ptr[i];

		base_buf_append_byte(
			out, c < 0x20 || c == 0x7f || (c >= 0x80 && !keep_8bit) ? '?' : c);
	}
}

/* The same, with line ends taken as blanks, and folded behind @column at blanks, so that a long
 * reply stays one field of short lines. */
static void write_folded(
	struct base_slice s, size_t column, bool utf8, const char *fold, struct base_buf *out)
{
	struct base_slice rest = base_slice_trim(base_slice_first(s, DIAGNOSTIC_MAX_BYTES)), word;

	for (size_t i = 0; rest.len; i++) {
		size_t len = 0;

		while (len < rest.len && rest.ptr[len] != ' ' && rest.ptr[len] != '\r' &&
			rest.ptr[len] != '\n' && rest.ptr[len] != '\t' && len < 500)
			len++;
		word = base_slice_first(rest, len);
		rest = base_slice_trim(base_slice_from(rest, len));
		if (i && column + 1 + len > FOLD_BYTES) {
			base_buf_append_text(out, fold);
			column = strlen(fold);
		} else if (i) {
			base_buf_append_byte(out, ' ');
			column++;
		}
		write_clean(word, word.len, utf8, out);
		column += len;
	}
}

/* A server's reply stands with its code (RFC 3461 section 9.2). */
static void write_diagnostic(const struct mail_dsn_recipient *r, size_t column, bool utf8,
	const char *fold, struct base_buf *out)
{
	if (r->remote_said && r->code) {
		base_buf_printf(out, "%u ", r->code);
		column += 4;
	}
	write_folded(r->diagnostic, column, utf8, fold, out);
}

static void write_date(const char *name, int64_t ms, struct base_buf *out)
{
	base_buf_append_text(out, name);
	base_time_rfc5322(ms, out);
	base_buf_append_text(out, "\r\n");
}

/* "rfc822; address", or RFC 6533's utf-8 type: as it stands where the notice is UTF-8, else with
 * \x{HEX} for all that is not ASCII. */
static void write_typed_address(struct base_slice address, bool utf8, struct base_buf *out)
{
	struct base_slice rest = base_slice_first(address, ADDRESS_MAX_BYTES);

	if (!mail_has_8bit(address) || !base_utf8_valid(rest)) {
		base_buf_append_text(out, "rfc822; ");
		write_clean(address, ADDRESS_MAX_BYTES, false, out);
		return;
	}
	base_buf_append_text(out, "utf-8; ");
	while (rest.len) {
		uint32_t code = 0;
		size_t len = base_utf8_next(rest, &code);

		if (code < 0x80 || utf8)
			write_clean(base_slice_first(rest, len), len, utf8, out);
		else
			base_buf_printf(out, "\\x{%X}", (unsigned)code);
		rest = base_slice_from(rest, len);
	}
}

/* "type;xtext" as sent becomes "type; address". Nothing is written for one that does not decode. */
static void write_original_recipient(struct base_slice orcpt, bool utf8, struct base_buf *out)
{
	size_t semicolon = base_slice_find(orcpt, ';');
	struct base_buf decoded;

	if (orcpt.len == 0 || orcpt.len > ORCPT_MAX_BYTES || semicolon == orcpt.len ||
		semicolon == 0)
		return;
	base_buf_init(&decoded, ORCPT_MAX_BYTES);
	if (base_xtext_decode(base_slice_from(orcpt, semicolon + 1), &decoded, NULL)) {
		base_buf_append_text(out, "Original-Recipient: ");
		base_escape_header(base_slice_first(orcpt, semicolon), false, 32, out);
		base_buf_append_text(out, "; ");
		write_clean(base_buf_slice(&decoded), ORCPT_MAX_BYTES, utf8, out);
		base_buf_append_text(out, "\r\n");
	}
	base_buf_release(&decoded);
}

/* Three numbers with dots, the first fitting the action; else the action's general status. */
static void write_status(const struct mail_dsn_recipient *r, struct base_buf *out)
{
	const char *general = actions[r->action].status;
	struct base_slice rest = r->status, part;
	size_t parts = 0;
	uint64_t value;
	bool good = r->status.len >= 5 && r->status.ptr[0] == (uint8_t)general[0] &&
		r->status.ptr[r->status.len - 1] != '.';

	while (good && base_slice_split(&rest, '.', &part)) {
		good = part.len <= 3 && base_slice_to_u64(part, &value);
		parts++;
	}
	if (good && parts == 3)
		base_buf_append_slice(out, r->status);
	else
		base_buf_append_text(out, general);
}

static void write_recipient_fields(const struct mail_dsn *dsn, const struct mail_dsn_recipient *r,
	bool utf8, struct base_buf *out)
{
	base_buf_append_text(out, "\r\n");
	write_original_recipient(r->orcpt, utf8, out);
	base_buf_append_text(out, "Final-Recipient: ");
	write_typed_address(r->address, utf8, out);
	base_buf_append_text(out, "\r\nAction: ");
	base_buf_append_text(out, actions[r->action].name);
	base_buf_append_text(out, "\r\nStatus: ");
	write_status(r, out);
	base_buf_append_text(out, "\r\n");
	if (r->remote_host.len) {
		base_buf_append_text(out, "Remote-MTA: dns; ");
		base_escape_header(r->remote_host, utf8, BASE_HOST_NAME_MAX_BYTES + 2, out);
		base_buf_append_text(out, "\r\n");
	}
	if (r->diagnostic.len) {
		const char *type = r->remote_said ? "Diagnostic-Code: smtp; "
						  : "Diagnostic-Code: x-postern; ";

		base_buf_append_text(out, type);
		write_diagnostic(r, strlen(type), utf8, "\r\n\t", out);
		base_buf_append_text(out, "\r\n");
	}
	if (r->last_attempt_ms)
		write_date("Last-Attempt-Date: ", r->last_attempt_ms, out);
	if (r->action == MAIL_DSN_DELAYED && dsn->retry_until_ms)
		write_date("Will-Retry-Until: ", dsn->retry_until_ms, out);
}

static void write_envid(const struct mail_dsn *dsn, bool utf8, struct base_buf *out)
{
	struct base_buf decoded;

	if (dsn->envid.len == 0 || dsn->envid.len > ENVID_MAX_BYTES)
		return;
	base_buf_init(&decoded, ENVID_MAX_BYTES);
	if (base_xtext_decode(dsn->envid, &decoded, NULL)) {
		base_buf_append_text(out, "Original-Envelope-Id: ");
		write_clean(base_buf_slice(&decoded), ENVID_MAX_BYTES, utf8, out);
		base_buf_append_text(out, "\r\n");
	}
	base_buf_release(&decoded);
}

static void write_boundary(
	const struct mail_dsn *dsn, const char *before, const char *after, struct base_buf *out)
{
	base_buf_append_text(out, before);
	base_buf_append_text(out, "postern_");
	base_buf_append_slice(out, base_id_slice(&dsn->dsn_id));
	base_buf_append_text(out, after);
}

static void write_address(const char *name, struct base_slice address, struct base_buf *out)
{
	base_buf_append_text(out, name);
	base_buf_append_byte(out, '<');
	write_clean(address, ADDRESS_MAX_BYTES, true, out);
	base_buf_append_text(out, ">\r\n");
}

/* The original's Message-ID, so that the notice is shown below what it speaks of. */
static void write_references(const struct mail_dsn *dsn, struct base_buf *out)
{
	struct mail_field field;
	struct base_slice id;

	if (!mail_header_find(original_header(dsn), "Message-ID", &field))
		return;
	id = base_slice_trim(field.body);
	if (id.len < 3 || id.len > REFERENCE_MAX_BYTES || field.has_8bit || id.ptr[0] != '<' ||
		id.ptr[id.len - 1] != '>' || base_slice_has(id, '\r') || base_slice_has(id, ' '))
		return;
	base_buf_append_text(out, "In-Reply-To: ");
	base_buf_append_slice(out, id);
	base_buf_append_text(out, "\r\nReferences: ");
	base_buf_append_slice(out, id);
	base_buf_append_text(out, "\r\n");
}

static void write_header(const struct mail_dsn *dsn, bool utf8, struct base_buf *out)
{
	static const char *const subjects[MAIL_DSN_ACTION_COUNT] = {
		[MAIL_DSN_FAILED] = "Undelivered: your message could not be delivered",
		[MAIL_DSN_DELAYED] = "Delayed: your message has not been delivered yet",
		[MAIL_DSN_DELIVERED] = "Delivered: your message",
		[MAIL_DSN_RELAYED] = "Relayed: your message",
		[MAIL_DSN_EXPANDED] = "Relayed: your message",
	};

	base_buf_append_text(out, "From: Mail Delivery System <MAILER-DAEMON@");
	base_buf_append_slice(out, dsn->host_name);
	base_buf_append_text(out, ">\r\n");
	write_address("To: ", dsn->sender, out);
	write_date("Date: ", dsn->now_ms, out);
	base_buf_append_text(out, "Message-ID: <");
	base_buf_append_slice(out, base_id_slice(&dsn->dsn_id));
	base_buf_append_byte(out, '@');
	base_buf_append_slice(out, dsn->host_name);
	base_buf_append_text(out, ">\r\nSubject: ");
	base_buf_append_text(out, subjects[gravest(dsn)]);
	base_buf_append_text(out, "\r\n");
	write_references(dsn, out);
	base_buf_append_text(out,
		"Auto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; report-type=delivery-status;\r\n");
	write_boundary(dsn, "\tboundary=\"", "\"\r\n", out);
	/* A multipart may not claim less than its parts. */
	if (utf8 || original_has_8bit(dsn))
		base_buf_append_text(out, "Content-Transfer-Encoding: 8bit\r\n");
}

static void write_text_part(const struct mail_dsn *dsn, bool utf8, struct base_buf *out)
{
	write_boundary(dsn, "\r\n--", "\r\nContent-Type: text/plain; charset=", out);
	base_buf_append_text(out,
		utf8 ? "utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" : "us-ascii\r\n\r\n");
	base_buf_append_text(out, "This is the mail system at ");
	base_buf_append_slice(out, dsn->host_name);
	base_buf_append_text(out, ".\r\nYour message of ");
	base_time_rfc5322(dsn->arrived_ms, out);
	base_buf_append_text(out, "\r\n(queue id ");
	base_buf_append_slice(out, base_id_slice(&dsn->original_id));
	base_buf_append_text(out, "), recipient by recipient:\r\n");
	for (size_t i = 0; i < dsn->recipient_count && i < TEXT_RECIPIENTS_MAX; i++) {
		const struct mail_dsn_recipient *r = &dsn->recipients[i];

		write_address("\r\n", r->address, out);
		base_buf_append_text(out, "    ");
		base_buf_append_text(out, says(r));
		if (r->diagnostic.len) {
			base_buf_append_text(out, ":\r\n    ");
			if (r->remote_said && r->remote_host.len) {
				base_escape_header(
					r->remote_host, utf8, BASE_HOST_NAME_MAX_BYTES, out);
				base_buf_append_text(out, " said:\r\n    ");
			}
			write_diagnostic(r, 4, utf8, "\r\n    ", out);
		}
		base_buf_append_text(out, "\r\n");
	}
	if (dsn->recipient_count > TEXT_RECIPIENTS_MAX)
		base_buf_printf(out, "\r\nand %zu more, listed in the report below.\r\n",
			dsn->recipient_count - TEXT_RECIPIENTS_MAX);
	if (gravest(dsn) == MAIL_DSN_DELAYED && dsn->retry_until_ms)
		write_date("\r\nYou need not send it again. We keep trying until\r\n",
			dsn->retry_until_ms, out);
}

static void write_status_part(const struct mail_dsn *dsn, bool utf8, struct base_buf *out)
{
	write_boundary(dsn, "\r\n--", "\r\nContent-Type: message/", out);
	base_buf_append_text(out,
		utf8 ? "global-delivery-status\r\nContent-Transfer-Encoding: 8bit"
		     : "delivery-status");
	base_buf_append_text(out, "\r\n\r\n");
	write_envid(dsn, utf8, out);
	base_buf_append_text(out, "Reporting-MTA: dns; ");
	base_buf_append_slice(out, dsn->host_name);
	base_buf_append_text(out, "\r\n");
	write_date("Arrival-Date: ", dsn->arrived_ms, out);
	for (size_t i = 0; i < dsn->recipient_count; i++)
		write_recipient_fields(dsn, &dsn->recipients[i], utf8, out);
}

bool mail_dsn_head(const struct mail_dsn *dsn, struct base_buf *out)
{
	static const char *const types[2][2] = {
		{"text/rfc822-headers", "message/rfc822"},
		{"message/global-headers", "message/global"},
	};
	bool utf8 = mail_dsn_needs_smtputf8(dsn);

	BASE_BUG_IF(dsn->recipient_count == 0);
	write_header(dsn, utf8, out);
	write_text_part(dsn, utf8, out);
	write_status_part(dsn, utf8, out);
	write_boundary(dsn, "\r\n--", "\r\nContent-Type: ", out);
	base_buf_append_text(out, types[utf8][dsn->return_full]);
	if (original_has_8bit(dsn))
		base_buf_append_text(out, "\r\nContent-Transfer-Encoding: 8bit");
	base_buf_append_text(out, "\r\n\r\n");
	return base_buf_ok(out);
}

bool mail_dsn_tail(const struct mail_dsn *dsn, struct base_buf *out)
{
	write_boundary(dsn, "\r\n--", "--\r\n", out);
	return base_buf_ok(out);
}

bool mail_dsn_build(const struct mail_dsn *dsn, struct base_buf *out)
{
	struct base_slice original = dsn->return_full ? dsn->original : original_header(dsn);

	mail_dsn_head(dsn, out);
	base_buf_append_slice(out, original);
	if (original.len && original.ptr[original.len - 1] != '\n')
		base_buf_append_text(out, "\r\n");
	return mail_dsn_tail(dsn, out);
}
