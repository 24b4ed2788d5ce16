/* wire/test_support.h: events of the two codecs as text, for tests
 * Job      one line for each event, so that a row of a test is input and expected lines; every row runs
 *          whole, byte by byte, and from an exact-size heap copy */
#ifndef WIRE_TEST_SUPPORT_H
#define WIRE_TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/escape.h"
#include "wire/dovecot_server.h"

#include <stdlib.h>
#include <string.h>

/* Take events from @in and describe them in @out; false: BROKEN came. Returns what was used. */
typedef bool (*support_events_fn)(void *codec, struct base_slice in, size_t *out_used,
	struct base_buf *scratch, struct base_buf *out);

static inline void support_field(struct base_buf *out, const char *name, struct base_slice value)
{
	if (!value.len)
		return;
	base_buf_printf(out, " %s=", name);
	base_escape_log(value, 100, out);
}

static inline void support_run(support_events_fn events, void *codec, struct base_slice in,
	size_t step, struct base_buf *out)
{
	struct base_buf held, scratch;
	bool alive = true;

	base_buf_init_secret(&held, 1 << 20);
	base_buf_init_secret(&scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	for (size_t at = 0; alive && at < in.len; at += step) {
		struct base_slice part = base_slice_first(base_slice_from(in, at), step);
		uint8_t *exact;
		size_t used;

		base_buf_append_slice(&held, part);
		exact = base_alloc(held.len);
		memcpy(exact, held.ptr, held.len);
		alive = events(codec, base_slice_make(exact, held.len), &used, &scratch, out);
		base_buf_consume(&held, used);
		free(exact);
	}
	base_buf_release(&held);
	base_buf_release(&scratch);
}

#endif
