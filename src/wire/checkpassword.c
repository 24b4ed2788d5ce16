/* The bytes on descriptor 3:
 *
 *	standard  login \0 password \0 \0          login \0 digest \0 challenge \0
 *	legacy    login \0 password \0 \0          login \0 challenge \0 digest \0
 *
 * The third string is written even when it is empty, because some checkers read it without looking
 * whether it came. */
#include "wire/checkpassword.h"

enum wire_checkpassword_result wire_checkpassword_put(const struct wire_checkpassword *m,
	enum wire_checkpassword_order order, struct base_buf *out)
{
	bool swap = order == WIRE_CHECKPASSWORD_LEGACY && m->challenge.len;
	struct base_slice fields[] = {
		m->login,
		swap ? m->challenge : m->secret,
		swap ? m->secret : m->challenge,
	};
	size_t total = BASE_COUNT(fields);

	for (size_t i = 0; i < BASE_COUNT(fields); i++) {
		if (base_slice_has(fields[i], 0))
			return WIRE_CHECKPASSWORD_NUL;
		/* Each is small before they are added, so the sum cannot wrap. */
		if (fields[i].len > WIRE_CHECKPASSWORD_MAX_BYTES)
			return WIRE_CHECKPASSWORD_LONG;
		total += fields[i].len;
	}
	if (total > WIRE_CHECKPASSWORD_MAX_BYTES || total > base_buf_room(out))
		return WIRE_CHECKPASSWORD_LONG;
	for (size_t i = 0; i < BASE_COUNT(fields); i++) {
		base_buf_append_slice(out, fields[i]);
		base_buf_append_byte(out, 0);
	}
	return WIRE_CHECKPASSWORD_OK;
}

/* The bytes before the next NUL; @in begins behind it then. False: there is none. */
static bool take(struct base_slice *in, struct base_slice *out)
{
	size_t end = base_slice_find(*in, 0);

	if (end == in->len)
		return false;
	*out = base_slice_first(*in, end);
	*in = base_slice_from(*in, end + 1);
	return true;
}

enum wire_checkpassword_result wire_checkpassword_get(
	struct base_slice in, enum wire_checkpassword_order order, struct wire_checkpassword *out)
{
	struct wire_checkpassword m;

	if (in.len > WIRE_CHECKPASSWORD_MAX_BYTES)
		return WIRE_CHECKPASSWORD_LONG;
	if (!take(&in, &m.login) || !take(&in, &m.secret))
		return WIRE_CHECKPASSWORD_BROKEN;
	m.challenge = base_slice_first(in, base_slice_find(in, 0));
	if (order == WIRE_CHECKPASSWORD_LEGACY && m.challenge.len) {
		struct base_slice digest = m.challenge;

		m.challenge = m.secret;
		m.secret = digest;
	}
	*out = m;
	return WIRE_CHECKPASSWORD_OK;
}
