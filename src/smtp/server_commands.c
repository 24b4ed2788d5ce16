/* Handlers of all commands but AUTH, DATA and BDAT, and the answers to MAIL and RCPT. The table in
 * server.c has seen to it that a handler runs only where its command is allowed. */
#include "smtp/mailbox.h"
#include "smtp/params.h"
#include "smtp/server_machine.h"
#include "base/utf8.h"

#include <string.h>

/* Anything visible that can stand in a Received field once escaped: real clients send names that are
 * no host names, and the name decides nothing. */
static bool helo_valid(struct base_slice name)
{
	if (name.len == 0 || name.len > SMTP_HELO_MAX_BYTES || !base_utf8_valid(name))
		return false;
	for (size_t i = 0; i < name.len; i++)
		if (name.ptr[i] <= ' ' || name.ptr[i] == 0x7f)
			return false;
	return true;
}

/* A refused EHLO changes nothing (RFC 5321 section 4.1.4). */
static bool take_hello(struct smtp_server *s, struct smtp_step *step, bool esmtp)
{
	if (!helo_valid(step->argument)) {
		smtp_server_refuse(s, smtp_server_say(s, SMTP_SAY_HELO_NAME), step->out);
		return false;
	}
	s->helo_len = (uint8_t)step->argument.len;
	memcpy(s->helo, step->argument.ptr, step->argument.len);
	s->helo_implied = false;
	s->esmtp = esmtp || s->authenticated;
	smtp_server_end_transaction(s);
	s->due |= SMTP_DUE_HELLO;
	return true;
}

enum smtp_server_event smtp_server_on_helo(struct smtp_server *s, struct smtp_step *step)
{
	if (take_hello(s, step, false)) {
		base_buf_append_text(step->out, "250 ");
		base_buf_append_slice(step->out, s->host_name);
		base_buf_append_text(step->out, "\r\n");
	}
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_on_ehlo(struct smtp_server *s, struct smtp_step *step)
{
	if (take_hello(s, step, true))
		smtp_server_write_hello(s, step->out);
	return SMTP_SERVER_MORE;
}

static const struct smtp_reply tls_go = {220, "2.0.0", "ready for TLS"};
static const char tls_go_line[] = "220 2.0.0 ready for TLS\r\n";

enum smtp_server_event smtp_server_on_starttls(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_reply reply;

	if (s->flags & SMTP_SERVER_TLS_ACTIVE) {
		reply = smtp_server_say(s, SMTP_SAY_TLS_TWICE);
	} else if (!(s->flags & SMTP_SERVER_TLS_OFFER)) {
		reply = smtp_server_say(s, SMTP_SAY_TLS_NONE);
	} else if (step->argument.len) {
		reply = SMTP_REPLY(501, "5.5.4", "STARTTLS takes no argument");
	} else {
		smtp_server_reply(tls_go, step->out);
		smtp_server_set_phase(s, SMTP_PHASE_ASK_TLS);
		return SMTP_SERVER_STARTTLS;
	}
	smtp_server_refuse(s, reply, step->out);
	return SMTP_SERVER_MORE;
}

void smtp_server_tls_unavailable(struct smtp_server *s, struct base_buf *out)
{
	size_t len = sizeof(tls_go_line) - 1;

	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_TLS);
	BASE_BUG_IF(out->len < len || memcmp(out->ptr + out->len - len, tls_go_line, len) != 0);
	base_buf_truncate(out, out->len - len);
	s->line_held = false;
	smtp_server_set_phase(s, SMTP_PHASE_READY);
	smtp_server_reply(SMTP_REPLY(454, "4.7.0", "TLS is not available now"), out);
}

/* "FROM:" or "TO:", then a path; blanks between them are forgiven, since many clients send one. */
static bool take_keyword(struct base_slice *argument, struct base_slice keyword)
{
	if (!base_slice_starts_with_nocase(*argument, keyword))
		return false;
	*argument = base_slice_trim(base_slice_from(*argument, keyword.len));
	return true;
}

/* The parameters are decoded into the line buffer, behind the line, which must not move then. */
static bool make_room(struct smtp_step *step)
{
	const uint8_t *before = step->line->ptr;
	size_t offset = step->argument.len ? (size_t)(step->argument.ptr - before) : 0;

	if (!base_buf_reserve(step->line, SMTP_PARAMS_SCRATCH_BYTES))
		return false;
	if (step->argument.len)
		step->argument.ptr = step->line->ptr + offset;
	return true;
}

static enum smtp_mailbox_result read_path(const struct smtp_server *s, enum smtp_path_kind kind,
	struct smtp_mailbox *out, struct base_slice *rest)
{
	return smtp_server_is_lenient(s) ? smtp_path_parse_loose(*rest, kind, out, rest)
					 : smtp_path_parse(*rest, kind, out, rest);
}

static struct smtp_reply params_reply(const struct smtp_server *s, enum smtp_params_result result)
{
	if (result == SMTP_PARAMS_UNKNOWN)
		return smtp_server_say(s, SMTP_SAY_PARAM_UNKNOWN);
	return smtp_server_say(s, SMTP_SAY_PARAM_BAD);
}

/* What is wrong with this MAIL? Code 0: nothing. */
static struct smtp_reply read_mail(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_mailbox sender = {0};
	struct base_slice rest = step->argument;
	enum smtp_mailbox_result path;
	enum smtp_params_result params;

	if (!take_keyword(&rest, BASE_SLICE("FROM:")))
		return smtp_server_say(s, SMTP_SAY_MAIL_SYNTAX);
	path = read_path(s, SMTP_PATH_REVERSE, &sender, &rest);
	if (path != SMTP_MAILBOX_OK)
		return smtp_server_say(s, SMTP_SAY_SENDER_BAD);
	if (rest.len && !s->esmtp && !smtp_server_is_lenient(s))
		return smtp_server_say(s, SMTP_SAY_PARAM_EHLO);
	params = smtp_server_is_lenient(s) ? smtp_params_mail_loose(rest, step->line, &s->mail)
					   : smtp_params_mail(rest, step->line, &s->mail);
	if (params != SMTP_PARAMS_OK)
		return params_reply(s, params);
	if (sender.eight_bit && !s->mail.smtputf8)
		return SMTP_REPLY(553, "5.6.7", "address needs SMTPUTF8");
	if ((s->flags & SMTP_SERVER_REQUIRE_FQDN) && !sender.qualified)
		return SMTP_REPLY(554, "5.1.8", "sender domain is not fully qualified");
	if (s->size_max_bytes && s->mail.size_bytes > s->size_max_bytes)
		return smtp_server_say(s, SMTP_SAY_TOO_LARGE);
	s->mail.sender = sender.whole;
	return SMTP_REPLY(0, NULL, NULL);
}

enum smtp_server_event smtp_server_on_mail(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_reply reply;

	if (!make_room(step))
		base_bug(__FILE__, __LINE__, "the line buffer is too small");
	reply = read_mail(s, step);
	if (reply.code) {
		s->mail = (struct smtp_mail){0};
		smtp_server_refuse(s, reply, step->out);
		return SMTP_SERVER_MORE;
	}
	if (s->mail_open) {
		struct smtp_mail mail = s->mail;

		/* A lenient session begins anew; the caller forgets the old one at this event. */
		smtp_server_end_transaction(s);
		s->due &= (uint8_t)~SMTP_DUE_RESET;
		s->mail = mail;
	}
	/* RFC 4954 section 5: an untrusted client's value counts as "<>". */
	if (!s->authenticated || !(s->flags & SMTP_SERVER_TRUST_AUTH_PARAM))
		s->mail.auth = BASE_SLICE_EMPTY;
	s->smtputf8 = s->mail.smtputf8;
	smtp_server_set_phase(s, SMTP_PHASE_ASK_MAIL);
	return SMTP_SERVER_MAIL;
}

void smtp_server_mail_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_MAIL);
	if (smtp_server_take_answer(s, reply, out)) {
		s->mail_open = true;
		s->counts.mail++;
		smtp_server_set_phase(s, SMTP_PHASE_MAIL);
	} else if (s->phase != SMTP_PHASE_CLOSED) {
		smtp_server_end_transaction(s);
	}
}

static struct smtp_reply read_rcpt(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_mailbox mailbox = {0};
	struct base_slice rest = step->argument;
	enum smtp_mailbox_result path;
	enum smtp_params_result params;

	if (!take_keyword(&rest, BASE_SLICE("TO:")))
		return smtp_server_say(s, SMTP_SAY_RCPT_SYNTAX);
	path = read_path(s, SMTP_PATH_FORWARD, &mailbox, &rest);
	if (path != SMTP_MAILBOX_OK)
		return smtp_server_say(s, SMTP_SAY_RCPT_BAD);
	if (rest.len && !s->esmtp && !smtp_server_is_lenient(s))
		return smtp_server_say(s, SMTP_SAY_PARAM_EHLO);
	params = smtp_params_rcpt(rest, s->smtputf8, step->line, &s->rcpt);
	if (params == SMTP_PARAMS_UNKNOWN && smtp_server_is_lenient(s))
		s->rcpt = (struct smtp_rcpt){0};
	else if (params != SMTP_PARAMS_OK)
		return params_reply(s, params);
	if (mailbox.eight_bit && !s->smtputf8)
		return SMTP_REPLY(553, "5.6.7", "address needs SMTPUTF8");
	if ((s->flags & SMTP_SERVER_REQUIRE_FQDN) && !mailbox.qualified)
		return SMTP_REPLY(554, "5.1.2", "recipient domain is not fully qualified");
	s->rcpt.address = mailbox.domain.len || smtp_server_is_lenient(s)
		? mailbox.whole
		: BASE_SLICE("postmaster");
	return SMTP_REPLY(0, NULL, NULL);
}

enum smtp_server_event smtp_server_on_rcpt(struct smtp_server *s, struct smtp_step *step)
{
	struct smtp_reply reply;

	s->counts.rcpt++;
	if (!make_room(step))
		base_bug(__FILE__, __LINE__, "the line buffer is too small");
	reply = read_rcpt(s, step);
	if (reply.code) {
		s->rcpt = (struct smtp_rcpt){0};
		smtp_server_refuse(s, reply, step->out);
		return SMTP_SERVER_MORE;
	}
	if (s->recipients_max && s->rcpt_ok >= s->recipients_max) {
		s->rcpt = (struct smtp_rcpt){0};
		smtp_server_reply(smtp_server_say(s, SMTP_SAY_RCPT_MANY), step->out);
		return SMTP_SERVER_MORE;
	}
	smtp_server_set_phase(s, SMTP_PHASE_ASK_RCPT);
	return SMTP_SERVER_RCPT;
}

void smtp_server_rcpt_answer(struct smtp_server *s, struct smtp_reply reply, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SMTP_PHASE_ASK_RCPT);
	if (smtp_server_take_answer(s, reply, out)) {
		s->rcpt_ok++;
		s->counts.rcpt_ok++;
	}
	if (s->phase != SMTP_PHASE_CLOSED)
		smtp_server_set_phase(s, s->rcpt_ok ? SMTP_PHASE_RCPT : SMTP_PHASE_MAIL);
}

enum smtp_server_event smtp_server_on_rset(struct smtp_server *s, struct smtp_step *step)
{
	if (step->argument.len) {
		smtp_server_refuse(
			s, SMTP_REPLY(501, "5.5.4", "RSET takes no argument"), step->out);
		return SMTP_SERVER_MORE;
	}
	smtp_server_end_transaction(s);
	smtp_server_reply(smtp_server_say(s, SMTP_SAY_RESET), step->out);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_on_noop(struct smtp_server *s, struct smtp_step *step)
{
	smtp_server_reply(smtp_server_say(s, SMTP_SAY_OK), step->out);
	return SMTP_SERVER_MORE;
}

/* The same answer for everybody: no list of users can be made of it. */
enum smtp_server_event smtp_server_on_vrfy(struct smtp_server *s, struct smtp_step *step)
{
	if (step->argument.len)
		smtp_server_reply(smtp_server_say(s, SMTP_SAY_VRFY), step->out);
	else
		smtp_server_refuse(s, SMTP_REPLY(501, "5.5.4", "syntax: VRFY address"), step->out);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_on_help(struct smtp_server *s, struct smtp_step *step)
{
	smtp_server_reply(smtp_server_say(s, SMTP_SAY_HELP), step->out);
	return SMTP_SERVER_MORE;
}

enum smtp_server_event smtp_server_on_quit(struct smtp_server *s, struct smtp_step *step)
{
	struct base_buf *out = step->out;

	if (s->dialect && s->dialect->name_in_goodbye) {
		base_buf_append_text(out, "221 ");
		base_buf_append_slice(out, s->host_name);
		base_buf_append_text(out, "\r\n");
		smtp_server_close(s);
	} else {
		smtp_server_bye(s, smtp_server_say(s, SMTP_SAY_QUIT), out);
	}
	return SMTP_SERVER_MORE;
}
