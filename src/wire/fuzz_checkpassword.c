/* What a stranger writes on descriptor 3: no field holds a NUL, and what was read can be
 * written. */
#include "wire/checkpassword.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum wire_checkpassword_order order;
	struct wire_checkpassword m, again;
	struct base_buf out;

	if (!size)
		return 0;
	order = data[0] & 1 ? WIRE_CHECKPASSWORD_LEGACY : WIRE_CHECKPASSWORD_STANDARD;
	if (wire_checkpassword_get(base_slice_make(data + 1, size - 1), order, &m) !=
		WIRE_CHECKPASSWORD_OK)
		return 0;
	base_buf_init_secret(&out, WIRE_CHECKPASSWORD_MAX_BYTES);
	if (wire_checkpassword_put(&m, order, &out) == WIRE_CHECKPASSWORD_OK) {
		BASE_BUG_IF(wire_checkpassword_get(base_buf_slice(&out), order, &again) !=
			WIRE_CHECKPASSWORD_OK);
		BASE_BUG_IF(!base_slice_equal(m.login, again.login));
		BASE_BUG_IF(!base_slice_equal(m.secret, again.secret));
		BASE_BUG_IF(!base_slice_equal(m.challenge, again.challenge));
	} else {
		/* A third string that had no end needs one byte more than came. */
		BASE_BUG_IF(m.login.len + m.secret.len + m.challenge.len + 3 <=
			WIRE_CHECKPASSWORD_MAX_BYTES);
	}
	base_buf_release(&out);
	return 0;
}
