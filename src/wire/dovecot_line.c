/* Lines, fields and escapes of the Dovecot authentication protocol.
 *
 *   line    = command *( TAB field ) LF          at most 16384 bytes with its LF
 *   field   = name [ "=" value ]
 *   escapes = 0x01 "0" NUL, 0x01 "1" 0x01, 0x01 "t" TAB, 0x01 "r" CR, 0x01 "n" LF;
 *             0x01 before any other byte stands for that byte; alone at the end it is dropped
 *
 * A line is split at its TABs first and unescaped after, so no value can add a field. */
#include "base/base64.h"
#include "wire/dovecot_internal.h"

#include <string.h>

enum { ESCAPE = 0x01 };

static uint8_t escaped(uint8_t byte)
{
	switch (byte) {
	case '\0':
		return '0';
	case ESCAPE:
		return '1';
	case '\t':
		return 't';
	case '\r':
		return 'r';
	case '\n':
		return 'n';
	default:
		return 0;
	}
}

bool wire_dovecot_escape(struct base_slice in, struct base_buf *out)
{
	size_t clean = 0;

	for (size_t i = 0; i < in.len; i++) {
		uint8_t pair[2] = {ESCAPE, escaped(in.ptr[i])};

		if (!pair[1])
			continue;
		base_buf_append(out, in.ptr + clean, i - clean);
		base_buf_append(out, pair, sizeof(pair));
		clean = i + 1;
	}
	if (clean < in.len)
		base_buf_append(out, in.ptr + clean, in.len - clean);
	return base_buf_ok(out);
}

static uint8_t unescaped(uint8_t byte)
{
	switch (byte) {
	case '0':
		return '\0';
	case '1':
		return ESCAPE;
	case 't':
		return '\t';
	case 'r':
		return '\r';
	case 'n':
		return '\n';
	default:
		return byte;
	}
}

bool wire_dovecot_unescape(struct base_slice in, struct base_buf *out)
{
	size_t clean = 0;

	for (size_t i = 0; i < in.len; i++) {
		if (in.ptr[i] != ESCAPE)
			continue;
		base_buf_append(out, in.ptr + clean, i - clean);
		if (++i < in.len)
			base_buf_append_byte(out, unescaped(in.ptr[i]));
		clean = i + 1;
	}
	if (clean < in.len)
		base_buf_append(out, in.ptr + clean, in.len - clean);
	return base_buf_ok(out);
}

enum wire_line_result wire_line_take(
	struct base_slice in, struct base_slice *out_line, size_t *out_used)
{
	struct base_slice window = base_slice_first(in, WIRE_DOVECOT_LINE_MAX_BYTES);
	size_t end = base_slice_find(window, '\n');

	*out_used = 0;
	if (end < window.len) {
		*out_line = base_slice_first(in, end);
		*out_used = end + 1;
		return WIRE_LINE_GOT;
	}
	return in.len < WIRE_DOVECOT_LINE_MAX_BYTES ? WIRE_LINE_MORE : WIRE_LINE_LONG;
}

bool wire_field_is(struct base_slice field, const char *name, struct base_slice *out_value)
{
	size_t len = strlen(name);

	if (field.len < len || memcmp(field.ptr, name, len) != 0)
		return false;
	if (field.len == len) {
		*out_value = BASE_SLICE_EMPTY;
		return true;
	}
	if (field.ptr[len] != '=')
		return false;
	*out_value = base_slice_from(field, len + 1);
	return true;
}

bool wire_field_id(struct base_slice *rest, uint32_t *out_id)
{
	struct base_slice field;
	uint64_t value;

	if (!base_slice_split(rest, '\t', &field) || !base_slice_to_u64(field, &value))
		return false;
	if (value == 0 || value > UINT32_MAX)
		return false;
	*out_id = (uint32_t)value;
	return true;
}

void wire_field_put(struct base_buf *out, const char *name, struct base_slice value)
{
	if (!value.len)
		return;
	base_buf_append_byte(out, '\t');
	base_buf_append_text(out, name);
	base_buf_append_byte(out, '=');
	wire_dovecot_escape(value, out);
}

bool wire_value_unescape(struct base_slice in, struct base_buf *scratch, struct base_slice *out)
{
	size_t start = scratch->len;

	if (!wire_dovecot_unescape(in, scratch))
		return false;
	*out = base_slice_from(base_buf_slice(scratch), start);
	return true;
}

bool wire_value_base64(struct base_slice in, struct base_buf *scratch, struct base_slice *out)
{
	size_t start = scratch->len;

	if (base64_decode(in, scratch, NULL) != BASE64_OK)
		return false;
	*out = base_slice_from(base_buf_slice(scratch), start);
	return true;
}

struct wire_mark wire_mark_set(const struct base_buf *out)
{
	return (struct wire_mark){out->len, out->overflow};
}

bool wire_mark_end(struct base_buf *out, struct wire_mark mark)
{
	base_buf_append_byte(out, '\n');
	if (base_buf_ok(out) && out->len - mark.len <= WIRE_DOVECOT_LINE_MAX_BYTES)
		return true;
	base_buf_truncate(out, mark.len);
	out->overflow = mark.overflow;
	return false;
}
