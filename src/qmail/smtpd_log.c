/* Lines for descriptor 2, where --log asks for them.
 *
 * spamcontrol   qmail-smtpd: pid <pid> <Action>::<Type>::<Condition> P:<protocol> S:<ip>:<host> …
 *               at AUTH: … ?= '<user>'; else … H:<helo> F:<sender> T:<recipient>[ ?~ '<user>']
 * postern       session=… client=… host=… key=value …
 *
 * A stranger's bytes cannot forge a field: in the first form what is not plain becomes '?', in the
 * second it is quoted. */
#include "qmail/smtpd_core.h"

#include "base/escape.h"

#include <assert.h>

enum { VALUE_MAX_BYTES = 256 };

static const struct row {
	const char *condition;      /* null: not in this form */
	const char *event, *result; /* of Postern's form; null: not in it */
} rows[] = {
	[SMTPD_EVENT_AUTH_OK] = {"Accept::AUTH::", "login", "accepted"},
	[SMTPD_EVENT_AUTH_FAILED] = {"Reject::AUTH::", "login", "refused"},
	[SMTPD_EVENT_AUTH_MISSING] = {"Reject::AUTH::missing", "mail", "not logged in"},
	[SMTPD_EVENT_RCPT_AUTH] = {"Accept::AUTH::", NULL, NULL},
	[SMTPD_EVENT_RCPT_RELAY] = {"Accept::SNDR::Relay_Client", NULL, NULL},
	[SMTPD_EVENT_RCPT_HOSTS] = {"Accept::RCPT::Rcpthosts_Rcptto", NULL, NULL},
	[SMTPD_EVENT_RCPT_CDB] = {"Accept::RCPT::Recipients_Cdb", NULL, NULL},
	[SMTPD_EVENT_RCPT_PROGRAM] = {"Accept::RCPT::Recipients_Pam", NULL, NULL},
	[SMTPD_EVENT_RCPT_WILD] = {"Accept::RCPT::Recipients_Wild", NULL, NULL},
	[SMTPD_EVENT_BAD_SENDER] = {"Reject::ORIG::Bad_Mailfrom", "rcpt", "bad sender"},
	[SMTPD_EVENT_NO_GATEWAY] = {"Reject::SNDR::Invalid_Relay", "rcpt", "relaying denied"},
	[SMTPD_EVENT_NO_MAILBOX] = {"Reject::RCPT::Failed_Rcptto", "rcpt", "no such mailbox"},
	[SMTPD_EVENT_TOO_LARGE] = {"Reject::DATA::Invalid_Size", "message", "too large"},
	[SMTPD_EVENT_MESSAGE] = {NULL, "message", "accepted"},
	[SMTPD_EVENT_NO_MESSAGE] = {NULL, "message", "not stored"},
	[SMTPD_EVENT_END] = {NULL, "session", NULL},
};
static_assert(BASE_COUNT(rows) == SMTPD_EVENT_COUNT, "a row for each event");

static bool is_login(enum smtpd_event event)
{
	return event == SMTPD_EVENT_AUTH_OK || event == SMTPD_EVENT_AUTH_FAILED;
}

static bool is_rcpt(enum smtpd_event event)
{
	return event >= SMTPD_EVENT_RCPT_AUTH && event <= SMTPD_EVENT_NO_MAILBOX;
}

static void put_safe(struct base_slice s, struct base_buf *out)
{
	base_escape_header(s, false, VALUE_MAX_BYTES, out);
}

static void put_lower(const char *name, struct base_buf *out)
{
	for (; *name; name++)
		base_buf_append_byte(out, base_ascii_lower((uint8_t)*name));
}

static void put_labelled(const char *label, struct base_slice value, struct base_buf *out)
{
	base_buf_append_text(out, label);
	put_safe(value, out);
}

/* The login is judged before the session counts as authenticated. */
static void put_protocol(const struct smtpd *s, enum smtpd_event event, struct base_buf *out)
{
	base_buf_append_text(out, " P:");
	if (is_login(event))
		base_buf_append_text(out, s->tls_version ? "ESMTPSA" : "ESMTPA");
	else
		base_buf_append_text(out, smtpd_protocol(s));
}

static void write_spamcontrol(struct smtpd *s, enum smtpd_event event)
{
	const struct smtpd_options *o = s->options;
	struct base_buf *out = &s->log;

	if (!rows[event].condition)
		return;
	base_buf_printf(out, "qmail-smtpd: pid %ld %s", o->pid, rows[event].condition);
	if (is_login(event) || event == SMTPD_EVENT_RCPT_AUTH)
		put_lower(s->mechanism, out);
	put_protocol(s, event, out);
	put_labelled(" S:", o->remote_ip, out);
	put_labelled(":", o->remote_host, out);
	if (is_login(event)) {
		put_labelled(" ?= '", base_buf_slice(&s->tried), out);
		base_buf_append_text(out, "'\n");
		return;
	}
	put_labelled(" H:", smtp_server_helo(&s->smtp), out);
	if (event != SMTPD_EVENT_AUTH_MISSING) {
		put_labelled(" F:", base_buf_slice(&s->sender), out);
		put_labelled(" T:", base_buf_slice(&s->rcpt), out);
	}
	if (event == SMTPD_EVENT_RCPT_AUTH) {
		put_labelled(" ?~ '", smtpd_user(s), out);
		base_buf_append_byte(out, '\'');
	}
	base_buf_append_byte(out, '\n');
}

static void put_field(const char *key, struct base_slice value, struct base_buf *out)
{
	base_buf_printf(out, " %s=", key);
	base_escape_log_value(value, VALUE_MAX_BYTES, out);
}

static void put_counts(const struct smtpd *s, struct base_buf *out)
{
	const struct smtp_server_counts *c = smtp_server_counts(&s->smtp);

	base_buf_printf(out, " mail=%u/%u rcpt=%u/%u commands=%u/%u", c->messages_ok, c->messages,
		c->rcpt_ok, c->rcpt, c->commands - c->bad_commands, c->commands);
	put_field("end", base_slice_text(s->end ? s->end : "unknown"), out);
}

static void write_postern(struct smtpd *s, enum smtpd_event event, const char *detail)
{
	const struct smtpd_options *o = s->options;
	struct base_slice user = is_login(event) ? base_buf_slice(&s->tried) : smtpd_user(s);
	struct base_buf *out = &s->log;

	if (!rows[event].event)
		return;
	base_buf_printf(out, "session=%s", o->session.text);
	put_field("client", o->remote_ip, out);
	put_field("host", o->remote_host, out);
	put_field("event", base_slice_text(rows[event].event), out);
	if (user.len)
		put_field("user", user, out);
	if ((user.len || is_login(event)) && s->mechanism[0])
		put_field("mech", base_slice_text(s->mechanism), out);
	if (s->tls_version)
		put_field("tls", base_slice_text(s->tls_version), out);
	if (event == SMTPD_EVENT_MESSAGE || event == SMTPD_EVENT_NO_MESSAGE || is_rcpt(event))
		put_field("sender", base_buf_slice(&s->sender), out);
	if (is_rcpt(event))
		put_field("recipient", base_buf_slice(&s->rcpt), out);
	if (event == SMTPD_EVENT_MESSAGE || event == SMTPD_EVENT_NO_MESSAGE)
		base_buf_printf(out, " rcpt=%u size=%llu", s->rcpt_count,
			(unsigned long long)s->message_bytes);
	if (event == SMTPD_EVENT_END)
		put_counts(s, out);
	if (rows[event].result)
		put_field("result", base_slice_text(rows[event].result), out);
	if (detail)
		put_field("reason", base_slice_text(detail), out);
	base_buf_append_byte(out, '\n');
}

void smtpd_log_event(struct smtpd *s, enum smtpd_event event, const char *detail)
{
	switch (s->options->log) {
	case SMTPD_LOG_NONE:
		break;
	case SMTPD_LOG_SPAMCONTROL:
		write_spamcontrol(s, event);
		break;
	case SMTPD_LOG_POSTERN:
		write_postern(s, event, detail);
		break;
	}
}
