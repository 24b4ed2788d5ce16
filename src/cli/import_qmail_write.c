/* postern import qmail: pieces of the result, and words for files that have no counterpart. */
#include "cli/import_qmail.h"

#include "base/escape.h"
#include "base/utf8.h"

#include <string.h>

enum { TEXT_MAX_BYTES = 1000, COMMENT_MAX_BYTES = 200 };

void import_put_escaped(struct import *i, struct base_slice s)
{
	base_escape_log(s, COMMENT_MAX_BYTES, &i->out);
}

void import_say(struct import *i, const char *name, unsigned line, const char *format, ...)
{
	va_list args;

	base_buf_append_text(&i->out, "# ");
	import_put_escaped(i, base_slice_text(name));
	if (line)
		base_buf_printf(&i->out, ":%u", line);
	base_buf_append_text(&i->out, ": ");
	va_start(args, format);
	base_buf_vprintf(&i->out, format, args);
	va_end(args);
	base_buf_append_byte(&i->out, '\n');
}

void import_put_string(struct import *i, struct base_slice s)
{
	base_buf_append_byte(&i->out, '"');
	for (size_t k = 0; k < s.len; k++) {
		if (s.ptr[k] == '"' || s.ptr[k] == '\\')
			base_buf_append_byte(&i->out, '\\');
		base_buf_append_byte(&i->out, s.ptr[k]);
	}
	base_buf_append_byte(&i->out, '"');
}

bool import_is_text(struct base_slice s)
{
	for (size_t k = 0; k < s.len; k++)
		if (s.ptr[k] < 0x20 || s.ptr[k] == 0x7f)
			return false;
	return s.len > 0 && s.len <= TEXT_MAX_BYTES && base_utf8_valid(s);
}

bool import_is_domain(struct base_slice s)
{
	if (base_slice_starts_with(s, BASE_SLICE(".")))
		s = base_slice_from(s, 1);
	return base_host_name_valid(s, false, true);
}

/* What the file is for, and why it is not here. */
static const struct {
	const char *name, *note;
} notes[] = {
	{"badhelo", "no counterpart: HELO names are not judged"},
	{"badmailfrom", "no counterpart: senders are not judged by a list"},
	{"badmailto", "no counterpart: recipients are not judged by a list"},
	{"badrcptto", "no counterpart: recipients are not judged by a list"},
	{"bouncefrom", "no counterpart: notices come from MAILER-DAEMON"},
	{"bouncehost", "no counterpart: notices come from MAILER-DAEMON at hostname"},
	{"clientca.pem", "client certificates are not available in this build"},
	{"clientcert.pem", "no counterpart: Postern shows no certificate when it relays"},
	{"concurrencylocal", "no counterpart: deliveries into maildirs follow one another"},
	{"concurrencyremote", "no counterpart: connections to a destination grow with success"},
	{"defaultdelivery", "no counterpart: a route says where mail is delivered"},
	{"defaultdomain",
		"no counterpart: addresses without a full domain are refused, not completed"},
	{"defaulthost", "no counterpart: addresses without a domain are refused, not completed"},
	{"domainips", "no counterpart: the system chooses the address to send from"},
	{"doublebouncehost",
		"no counterpart: a notice that cannot be delivered is logged and dropped"},
	{"doublebounceto",
		"no counterpart: a notice that cannot be delivered is logged and dropped"},
	{"envnoathost", "no counterpart: addresses without a domain are refused, not completed"},
	{"idhost", "no counterpart: Message-ID is made of hostname"},
	{"localiphost", "no counterpart: [address] is an ordinary domain; write a route for it"},
	{"mailfromaddr", "no counterpart in Postern"},
	{"outgoingip", "no counterpart: the system chooses the address to send from"},
	{"percenthack", "no counterpart: % in an address has no meaning"},
	{"plusdomain",
		"no counterpart: addresses without a full domain are refused, not completed"},
	{"qmqpservers", "no counterpart: QMQP is not spoken; a route via smtp:// takes its place"},
	{"qmtproutes", "no counterpart: QMTP is not spoken"},
	{"recipients",
		"no counterpart: which recipients exist is decided where they are delivered"},
	{"remoteauth", "another patch's list of credentials, not read: postern account add NAME"},
	{"remotesecrets",
		"another patch's list of credentials, not read: postern account add NAME"},
	{"tarpitcount", "no counterpart: limits { } and the throttle of logins take its place"},
	{"tarpitdelay", "no counterpart: limits { } and the throttle of logins take its place"},
	{"timeoutconnect", "no counterpart: connecting has a limit of its own"},
	{"timeoutremote", "no counterpart: relaying has time-outs of its own"},
	{"tlsclientciphers", "no counterpart: OpenSSL's defaults, TLS 1.2 at least"},
	{"tlsserverciphers", "no counterpart: OpenSSL's defaults, TLS 1.2 at least"},
	{"tlshosts", "no counterpart; write tls = \"verify\" in the route of a domain"},
	{"tlsdestinations", "no counterpart; write tls = \"verify\" in the route of a domain"},
};

void import_say_rest(struct import *i)
{
	base_buf_append_text(&i->out, "\n# What has no counterpart.\n");
	for (size_t k = 0; k < i->file_count; k++) {
		struct import_file *f = &i->files[k];
		const char *note = "not one of qmail's control files that Postern knows; not used";

		if (f->told)
			continue;
		for (size_t n = 0; n < BASE_COUNT(notes); n++)
			if (strcmp(notes[n].name, f->name) == 0)
				note = notes[n].note;
		if (!f->read)
			import_say(i, f->name, 0, "could not be read: %s", f->why);
		else
			import_say(i, f->name, 0, "%s", note);
		f->told = true;
	}
}
