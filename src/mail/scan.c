#include "mail/scan.h"
#include "mail/header.h"

void mail_scan_init(struct mail_scan *s)
{
	*s = (struct mail_scan){0};
}

/* Bytes of @in that belong to the header; in_body is set when the empty line was met. */
static size_t header_part(struct mail_scan *s, struct base_slice in)
{
	for (size_t i = 0; i < in.len; i++) {
		uint8_t c = in.ptr[i];

		if (c == '\n' && s->after_cr) {
			s->in_body = !s->line_has_bytes;
			s->line_has_bytes = false;
			s->after_cr = false;
			if (s->in_body)
				return i + 1;
			continue;
		}
		if (s->after_cr)
			s->line_has_bytes = true;
		s->after_cr = c == '\r';
		if (!s->after_cr)
			s->line_has_bytes = true;
	}
	return in.len;
}

void mail_scan_push(struct mail_scan *s, struct base_slice in)
{
	if (!s->in_body) {
		size_t len = header_part(s, in);

		if (mail_has_8bit(base_slice_first(in, len)))
			s->header_8bit = true;
		in = base_slice_from(in, len);
	}
	if (!s->body_8bit && mail_has_8bit(in))
		s->body_8bit = true;
}
