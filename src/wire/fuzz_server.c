/* A hostile client: the same events however its bytes are cut, and what was understood of a request can
 * be said again by our own client and is understood the same. */
#include "wire/fuzz_support.h"

static void digest(struct fuzz_sum *sum, const struct wire_dovecot_server *s, unsigned event)
{
	fuzz_add_number(sum, event);
	fuzz_add_number(sum, s->id);
	fuzz_add_number(sum, s->minor);
	fuzz_add_number(sum, s->request.has_initial);
	fuzz_add(sum, s->request.mechanism);
	fuzz_add(sum, s->request.session);
	fuzz_add(sum, s->request.initial);
	fuzz_add(sum, s->response);
	fuzz_add(sum, s->binding);
}

static void say_again(const struct wire_dovecot_server *s)
{
	struct wire_dovecot_auth auth = {
		.mechanism = s->request.mechanism,
		.session = s->request.session,
		.initial = s->request.has_initial ? &s->request.initial : NULL,
	};
	struct wire_dovecot_server again;
	struct base_buf line, scratch;
	size_t used;

	base_buf_init_secret(&line, WIRE_DOVECOT_LINE_MAX_BYTES);
	base_buf_init_secret(&scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	wire_dovecot_server_init(&again);
	if (wire_dovecot_client_auth(&line, s->id, &auth)) {
		BASE_BUG_IF(wire_dovecot_server_next(&again, base_buf_slice(&line), &used,
				    &scratch) != WIRE_SERVER_AUTH);
		BASE_BUG_IF(used != line.len || again.id != s->id);
		BASE_BUG_IF(!base_slice_equal(again.request.mechanism, s->request.mechanism));
		BASE_BUG_IF(!base_slice_equal(again.request.session, s->request.session));
		BASE_BUG_IF(again.request.has_initial != s->request.has_initial);
		BASE_BUG_IF(!base_slice_equal(again.request.initial, s->request.initial));
	}
	base_buf_release(&line);
	base_buf_release(&scratch);
}

static uint64_t run(const uint8_t *data, size_t size, size_t step)
{
	struct wire_dovecot_server s;
	struct fuzz_sum sum = {1};
	struct base_buf held, scratch;
	bool alive = true;

	wire_dovecot_server_init(&s);
	base_buf_init_secret(&held, 1 << 20);
	base_buf_init_secret(&scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	for (size_t at = 0; alive && at < size; at += step) {
		enum wire_dovecot_server_event e;

		base_buf_append_slice(
			&held, base_slice_first(base_slice_make(data + at, size - at), step));
		do {
			size_t used;

			e = wire_dovecot_server_next(&s, base_buf_slice(&held), &used, &scratch);
			if (e != WIRE_SERVER_MORE)
				digest(&sum, &s, e);
			if (e == WIRE_SERVER_AUTH && step == size)
				say_again(&s);
			base_buf_consume(&held, used);
		} while (e != WIRE_SERVER_MORE && e != WIRE_SERVER_BROKEN);
		alive = e != WIRE_SERVER_BROKEN;
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
