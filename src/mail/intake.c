#include "mail/intake.h"
#include "mail/authres.h"
#include "mail/header.h"
#include "mail/received.h"

#include "base/escape.h"
#include "base/time.h"
#include "base/utf8.h"

#include <string.h>

/* begin -> HEADER --empty line--> BODY --end--> DONE
 *            \--------end----------------------/
 *             \--any error--> DONE
 * HEADER  hold has the front of a field that is not whole yet, or nothing
 * BODY    hold is empty, bytes pass
 * DONE    only begin is allowed */
enum phase { PHASE_HEADER, PHASE_BODY, PHASE_DONE };

/* What a field is to intake. Those with a bit in .single may stand once (RFC 5322 section 3.6):
 * with two of them, two readers may disagree about who wrote the message, and to whom. */
enum field_use { USE_PASS, USE_HOP, USE_RESULTS, USE_DROP, USE_DATE, USE_MESSAGE_ID };

static const struct known_field {
	const char *name;
	enum field_use use;
	uint32_t single;
} known_fields[] = {
	{"Received", USE_HOP, 0},
	{"Authentication-Results", USE_RESULTS, 0},
	{"Bcc", USE_DROP, 0},
	{"Resent-Bcc", USE_DROP, 0},
	{"Return-Path", USE_DROP, 0},
	{"Content-Length", USE_DROP, 0},
	{"Date", USE_DATE, 1u << 0},
	{"Message-ID", USE_MESSAGE_ID, 1u << 1},
	{"From", USE_PASS, 1u << 2},
	{"Sender", USE_PASS, 1u << 3},
	{"Reply-To", USE_PASS, 1u << 4},
	{"To", USE_PASS, 1u << 5},
	{"Cc", USE_PASS, 1u << 6},
	{"Subject", USE_PASS, 1u << 7},
	{"In-Reply-To", USE_PASS, 1u << 8},
	{"References", USE_PASS, 1u << 9},
};

enum { HAS_DATE = 1u << 16, HAS_MESSAGE_ID = 1u << 17 }; /* kept ones; beside .single in seen */

void mail_intake_begin(struct mail_intake *m, unsigned flags, const struct mail_origin *origin,
	struct base_buf *out)
{
	struct base_slice host = base_slice_first(origin->host_name, sizeof(m->own_name) - 1);

	*m = (struct mail_intake){
		.flags = flags,
		.smtputf8 = origin->smtputf8,
		.phase = PHASE_HEADER,
		.now_ms = origin->now_ms,
	};
	if (host.len)
		memcpy(m->own_name, host.ptr, host.len);
	memcpy(m->message_id, origin->message_id.text, BASE_ID_CHARS);
	mail_received_write(origin, out);
	if (origin->authenticated)
		mail_authres_write(host, origin->user, origin->mail_auth, origin->smtputf8, out);
}

static const struct known_field *find_known(const struct mail_field *field)
{
	for (size_t i = 0; i < BASE_COUNT(known_fields); i++)
		if (mail_field_is(field, known_fields[i].name))
			return &known_fields[i];
	return NULL;
}

/* "<…>" without blanks. What else is there (an empty field, words) would not be found by a reply.
 */
static bool is_message_id(struct base_slice body)
{
	struct base_slice s = base_slice_trim(body);

	if (s.len && s.ptr[0] == '(')
		return true; /* comments: rare, legal, and not worth rewriting */
	if (s.len < 3 || s.ptr[0] != '<' || s.ptr[s.len - 1] != '>')
		return false;
	for (size_t i = 1; i + 1 < s.len; i++)
		if (s.ptr[i] <= ' ' || s.ptr[i] == '<' || s.ptr[i] == '>')
			return false;
	return true;
}

/* Does this field stay? Takes note of those that are added where missing. */
static bool keeps(
	struct mail_intake *m, const struct known_field *known, const struct mail_field *field)
{
	bool fixup = (m->flags & MAIL_INTAKE_FIXUP) != 0;

	switch (known->use) {
	case USE_PASS:
	case USE_HOP:
		return true;
	case USE_RESULTS:
		return !mail_authres_claims(field->body, base_slice_text(m->own_name));
	case USE_DROP:
		return !fixup;
	case USE_DATE:
		if (fixup && base_slice_trim(field->body).len == 0)
			return false;
		m->seen |= HAS_DATE;
		return true;
	case USE_MESSAGE_ID:
		if (fixup && !is_message_id(field->body))
			return false;
		m->seen |= HAS_MESSAGE_ID;
		return true;
	}
	return true;
}

static enum mail_intake_result judge(struct mail_intake *m, struct base_slice raw, bool *out_keep)
{
	const struct known_field *known;
	struct mail_field field;

	m->header_bytes += raw.len;
	*out_keep = true;
	if (!mail_field_parse(raw, &field))
		return MAIL_INTAKE_BAD_HEADER;
	if (field.has_8bit) {
		m->header_8bit = true;
		if (!m->smtputf8)
			return MAIL_INTAKE_8BIT_HEADER;
		if (!base_utf8_valid(field.body))
			return MAIL_INTAKE_BAD_HEADER;
	}
	known = find_known(&field);
	if (!known)
		return MAIL_INTAKE_OK;
	if ((m->flags & MAIL_INTAKE_FIXUP) && (m->seen & known->single))
		return MAIL_INTAKE_BAD_HEADER;
	m->seen |= known->single;
	if (known->use == USE_HOP && ++m->hops > MAIL_HOPS_MAX)
		return MAIL_INTAKE_LOOP;
	*out_keep = keeps(m, known, &field);
	return MAIL_INTAKE_OK;
}

/* One limit for the cutter: whichever of the two is nearer. The empty line always fits. */
static size_t field_limit(const struct mail_intake *m)
{
	uint64_t used = m->header_bytes + 2;
	uint64_t left = used < MAIL_HEADER_MAX_BYTES ? MAIL_HEADER_MAX_BYTES - used + 2 : 2;

	return left < MAIL_FIELD_MAX_BYTES ? (size_t)left : MAIL_FIELD_MAX_BYTES;
}

static enum mail_intake_result too_long(const struct mail_intake *m)
{
	return field_limit(m) < MAIL_FIELD_MAX_BYTES ? MAIL_INTAKE_HEADER_TOO_LONG
						     : MAIL_INTAKE_FIELD_TOO_LONG;
}

static void add_missing(struct mail_intake *m, struct base_buf *out)
{
	if (!(m->flags & MAIL_INTAKE_FIXUP))
		return;
	if (!(m->seen & HAS_DATE)) {
		base_buf_append_text(out, "Date: ");
		base_time_rfc5322(m->now_ms, out);
		base_buf_append_text(out, "\r\n");
	}
	if (!(m->seen & HAS_MESSAGE_ID)) {
		base_buf_append_text(out, "Message-ID: <");
		base_buf_append_text(out, m->message_id);
		base_buf_append_byte(out, '@');
		base_escape_header(
			base_slice_text(m->own_name), m->smtputf8, sizeof(m->own_name), out);
		base_buf_append_text(out, ">\r\n");
	}
}

static enum mail_intake_result fail(struct mail_intake *m, enum mail_intake_result result)
{
	m->phase = PHASE_DONE;
	return result;
}

/* Work through the fields that lie whole in @in; what passes goes to @out in runs. @out_used is set
 * when OK: up to the unfinished field, or all when the body began. */
static enum mail_intake_result run_fields(
	struct mail_intake *m, struct base_slice in, size_t *out_used, struct base_buf *out)
{
	size_t at = 0, run = 0, len = 0;

	for (;;) {
		struct base_slice rest = base_slice_from(in, at);
		enum mail_intake_result result;
		bool keep;

		switch (mail_header_cut(rest, field_limit(m), &len)) {
		case MAIL_HEADER_MORE:
			base_buf_append(out, in.ptr + run, at - run);
			*out_used = at;
			return MAIL_INTAKE_OK;
		case MAIL_HEADER_END:
			base_buf_append(out, in.ptr + run, at - run);
			add_missing(m, out);
			base_buf_append_slice(out, rest);
			m->phase = PHASE_BODY;
			*out_used = in.len;
			return MAIL_INTAKE_OK;
		case MAIL_HEADER_LONG:
			return too_long(m);
		case MAIL_HEADER_BARE_LF:
			return MAIL_INTAKE_BAD_HEADER;
		case MAIL_HEADER_FIELD:
			break;
		}
		result = judge(m, base_slice_first(rest, len), &keep);
		if (result != MAIL_INTAKE_OK)
			return result;
		if (!keep) {
			base_buf_append(out, in.ptr + run, at - run);
			run = at + len;
		}
		at += len;
	}
}

/* A field waits in @hold: add to it line by line, so that each byte is looked at once, until it
 * ends.
 * @out_used  bytes of @in that went into it (the byte that ended it is left in @in) */
static enum mail_intake_result run_held(struct mail_intake *m, struct base_slice in,
	size_t *out_used, struct base_buf *hold, struct base_buf *out)
{
	size_t at = 0, limit = field_limit(m);
	bool keep;

	while (at < in.len) {
		bool line_ended = hold->ptr[hold->len - 1] == '\n';
		struct base_slice line = base_slice_from(in, at);
		size_t lf;

		if (line_ended && line.ptr[0] != ' ' && line.ptr[0] != '\t') {
			enum mail_intake_result result = judge(m, base_buf_slice(hold), &keep);

			if (result == MAIL_INTAKE_OK && keep)
				base_buf_append_slice(out, base_buf_slice(hold));
			base_buf_clear(hold);
			*out_used = at;
			return result;
		}
		lf = base_slice_find(line, '\n');
		line = base_slice_first(line, lf + 1);
		if (line.len > limit - hold->len)
			return too_long(m);
		base_buf_append_slice(hold, line);
		at += line.len;
		if (hold->ptr[hold->len - 1] != '\n')
			break;
		if (hold->len < 2 || hold->ptr[hold->len - 2] != '\r')
			return MAIL_INTAKE_BAD_HEADER;
		if (hold->len == 2)
			break; /* the empty line, cut in two */
	}
	*out_used = at;
	return MAIL_INTAKE_OK;
}

enum mail_intake_result mail_intake_push(
	struct mail_intake *m, struct base_slice in, struct base_buf *hold, struct base_buf *out)
{
	enum mail_intake_result result;
	size_t used;

	BASE_BUG_IF(m->phase == PHASE_DONE);
	if (!m->has_8bit)
		m->has_8bit = mail_has_8bit(in);
	if (m->phase == PHASE_HEADER && hold->len && in.len) {
		result = run_held(m, in, &used, hold, out);
		if (result != MAIL_INTAKE_OK)
			return fail(m, result);
		in = base_slice_from(in, used);
		if (hold->len == 2 && hold->ptr[0] == '\r' && hold->ptr[1] == '\n') {
			base_buf_clear(hold);
			add_missing(m, out);
			base_buf_append_text(out, "\r\n");
			m->phase = PHASE_BODY;
		}
	}
	if (m->phase == PHASE_HEADER && hold->len == 0 && in.len) {
		result = run_fields(m, in, &used, out);
		if (result != MAIL_INTAKE_OK)
			return fail(m, result);
		base_buf_append_slice(hold, base_slice_from(in, used));
	} else if (m->phase == PHASE_BODY) {
		base_buf_append_slice(out, in);
	}
	return MAIL_INTAKE_OK;
}

enum mail_intake_result mail_intake_end(
	struct mail_intake *m, struct base_buf *hold, struct base_buf *out)
{
	enum mail_intake_result result = MAIL_INTAKE_OK;
	bool keep;

	BASE_BUG_IF(m->phase == PHASE_DONE);
	if (m->phase == PHASE_HEADER) {
		if (hold->len) {
			bool ended = hold->ptr[hold->len - 1] == '\n';

			result = judge(m, base_buf_slice(hold), &keep);
			if (result == MAIL_INTAKE_OK && keep) {
				base_buf_append_slice(out, base_buf_slice(hold));
				if (!ended)
					base_buf_append_text(out, "\r\n");
			}
			base_buf_clear(hold);
		}
		if (result == MAIL_INTAKE_OK)
			add_missing(m, out);
	}
	return fail(m, result);
}

struct mail_intake_reply mail_intake_reply(enum mail_intake_result result)
{
	static const struct mail_intake_reply replies[MAIL_INTAKE_RESULT_COUNT] = {
		[MAIL_INTAKE_OK] = {250, "2.0.0", "ok"},
		[MAIL_INTAKE_FIELD_TOO_LONG] = {552, "5.3.4", "a header field is too long"},
		[MAIL_INTAKE_HEADER_TOO_LONG] = {552, "5.3.4", "the header is too long"},
		[MAIL_INTAKE_LOOP] = {554, "5.4.6", "too many hops, this message is looping"},
		[MAIL_INTAKE_BAD_HEADER] = {554, "5.6.0", "the message header is malformed"},
		[MAIL_INTAKE_8BIT_HEADER] = {554, "5.6.7", "non-ASCII header without SMTPUTF8"},
	};

	BASE_BUG_IF((unsigned)result >= MAIL_INTAKE_RESULT_COUNT);
	return replies[result];
}
