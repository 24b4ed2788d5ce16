/* Whatever a transcript holds: what comes out is one line of printable UTF-8. */
#include "base/macros.h"
#include "base/utf8.h"
#include "cli/explain_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct base_slice s)
{
	uint32_t point;

	while (s.len) {
		size_t len = base_utf8_next(s, &point);

		BASE_BUG_IF(len == 0 || point < 0x20 || point == 0x7f);
		s = base_slice_from(s, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct explain_options options = {0};
	struct explain_line l;
	struct explain *e;
	struct base_slice rest = base_slice_make(data, size), line;
	enum explain_format format = explain_format_guess(rest);

	if (size && data[0] & 1) {
		options.user = BASE_SLICE("user");
		options.password = BASE_SLICE("pencil");
	}
	options.show_secrets = size && data[0] & 2;
	e = explain_new(&options);
	explain_line_init(&l);
	while (base_slice_split(&rest, '\n', &line)) {
		struct explain_read r = explain_read(format, line);

		if (r.tls)
			explain_tls(e);
		if (r.who == EXPLAIN_NOBODY && format == EXPLAIN_FORMAT_BARE)
			r.who = explain_guess(e, r.text);
		explain_push(e, r.who, r.text, &l);
		check(base_buf_slice(&l.text));
		check(base_buf_slice(&l.meaning));
		for (size_t i = 0; i < l.mistake_count; i++)
			check(base_slice_text(l.mistakes[i].detail));
	}
	explain_line_release(&l);
	explain_free(&e);
	return 0;
}
