/* A hostile server: the same events however its bytes are cut. */
#include "wire/fuzz_support.h"

static void digest(struct fuzz_sum *sum, const struct wire_dovecot_client *c, unsigned event)
{
	fuzz_add_number(sum, event);
	fuzz_add_number(sum, c->id);
	fuzz_add_number(sum, c->minor);
	fuzz_add_number(sum, (unsigned)c->fail);
	fuzz_add(sum, c->user);
	fuzz_add(sum, c->resp);
	fuzz_add(sum, c->binding);
	if (event == WIRE_CLIENT_MECH)
		fuzz_add(sum, c->mech_name);
}

static uint64_t run(const uint8_t *data, size_t size, size_t step)
{
	struct wire_dovecot_client c;
	struct fuzz_sum sum = {1};
	struct base_buf held, scratch;
	bool alive = true;

	wire_dovecot_client_init(&c);
	base_buf_init_secret(&held, 1 << 20);
	base_buf_init_secret(&scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	for (size_t at = 0; alive && at < size; at += step) {
		enum wire_dovecot_client_event e;

		base_buf_append_slice(
			&held, base_slice_first(base_slice_make(data + at, size - at), step));
		do {
			size_t used;

			e = wire_dovecot_client_next(&c, base_buf_slice(&held), &used, &scratch);
			if (e != WIRE_CLIENT_MORE)
				digest(&sum, &c, e);
			base_buf_consume(&held, used);
		} while (e != WIRE_CLIENT_MORE && e != WIRE_CLIENT_BROKEN);
		alive = e != WIRE_CLIENT_BROKEN;
	}
	base_buf_release(&held);
	base_buf_release(&scratch);
	return sum.value;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t whole;

	if (!size || size > 1 << 17)
		return 0;
	whole = run(data, size, size);
	BASE_BUG_IF(run(data, size, 1 + data[0] % 64) != whole);
	return 0;
}
