/* Received, byte for byte as the original writes it:
 *
 *   Received: from <remote host>[ (HELO <helo>)] ([<remote info>@]<remote ip>)
 *     by <local host> with <protocol>; 3 Feb 2005 04:05:06 -0000
 *
 * What could end the field or a comment becomes '?'. */
#include "qmail/smtpd_core.h"

#include "base/time.h"

#include <string.h>

static bool is_safe(uint8_t c)
{
	return base_ascii_is_alnum(c) || (c && strchr(".@%+/=:-", c));
}

static void put_safe(struct base_slice s, struct base_buf *out)
{
	for (size_t i = 0; i < s.len; i++)
		base_buf_append_byte(out, is_safe(s.ptr[i]) ? s.ptr[i] : '?');
}

const char *smtpd_protocol(const struct smtpd *s)
{
	static const char *const names[] = {"ESMTP", "ESMTPS", "ESMTPA", "ESMTPSA"};
	bool tls = s->tls_version != NULL;
	unsigned which = (s->authenticated ? 2 : 0) + (tls ? 1 : 0);

	/* Only TLS and AUTH are signs of ESMTP to the original. */
	if (which == 0 && (s->options->compat || !smtp_server_is_esmtp(&s->smtp)))
		return "SMTP";
	return names[which];
}

/* "Thu, 03 Feb 2005 04:05:06 +0000" without the day's name, its zero and the plus. */
static void put_date(int64_t wall_ms, struct base_buf *out)
{
	struct base_buf text;
	struct base_slice date;

	base_buf_init(&text, 64);
	base_time_rfc5322(wall_ms, &text);
	date = base_slice_from(base_buf_slice(&text), 5);
	if (date.len && date.ptr[0] == '0')
		date = base_slice_from(date, 1);
	base_buf_append_slice(out, base_slice_first(date, date.len - 5));
	base_buf_append_text(out, "-0000");
	base_buf_release(&text);
}

void smtpd_received_write(
	const struct smtpd *s, int64_t wall_ms, const char *line_end, struct base_buf *out)
{
	const struct smtpd_options *o = s->options;
	struct base_slice helo = smtp_server_helo(&s->smtp);
	struct base_slice info = s->authenticated ? smtpd_user(s) : o->remote_info;

	base_buf_append_text(out, "Received: from ");
	put_safe(o->remote_host, out);
	if (helo.len && !base_slice_equal_nocase(helo, o->remote_host)) {
		base_buf_append_text(out, " (HELO ");
		put_safe(helo, out);
		base_buf_append_byte(out, ')');
	}
	base_buf_append_text(out, " (");
	if (info.len) {
		put_safe(info, out);
		base_buf_append_byte(out, '@');
	}
	put_safe(o->remote_ip, out);
	base_buf_printf(out, ")%s  by ", line_end);
	put_safe(o->host_name, out);
	base_buf_printf(out, " with %s; ", smtpd_protocol(s));
	put_date(wall_ms, out);
	base_buf_append_text(out, line_end);
}
