/* Any cut gives the same result and output; the output is a header and body again; whatever came,
 * no result that claims to be ours is left; a second pass changes nothing but the hops. */
#include "mail/authres.h"
#include "mail/header.h"
#include "mail/intake.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct mail_origin plain_origin = {
	.host_name = {(const uint8_t *)"m.o", 3},
	.helo = {(const uint8_t *)"c", 1},
	.esmtp = true,
	.message_id = {"0123456789abcdef"},
	.now_ms = INT64_C(1795531961000),
};

static enum mail_intake_result run(
	unsigned flags, bool utf8, struct base_slice in, size_t step, struct base_buf *out)
{
	enum mail_intake_result result = MAIL_INTAKE_OK;
	struct mail_origin origin = plain_origin;
	struct mail_intake m;
	struct base_buf hold;

	origin.smtputf8 = utf8;
	base_buf_init(out, 1u << 20);
	base_buf_init(&hold, MAIL_FIELD_MAX_BYTES + 1024);
	mail_intake_begin(&m, flags, &origin, out);
	base_buf_clear(out);
	while (in.len && result == MAIL_INTAKE_OK) {
		size_t len = step < in.len ? step : in.len;

		result = mail_intake_push(&m, base_slice_first(in, len), &hold, out);
		in = base_slice_from(in, len);
	}
	if (result == MAIL_INTAKE_OK)
		result = mail_intake_end(&m, &hold, out);
	base_buf_release(&hold);
	BASE_BUG_IF(!base_buf_ok(out));
	return result;
}

static void check_header(struct base_slice rest)
{
	size_t len = 0;
	struct mail_field field;

	while (rest.len) {
		switch (mail_header_cut(rest, SIZE_MAX, &len)) {
		case MAIL_HEADER_END:
			return;
		case MAIL_HEADER_MORE:
			len = rest.len;
			break;
		case MAIL_HEADER_FIELD:
			break;
		case MAIL_HEADER_LONG:
		case MAIL_HEADER_BARE_LF:
			abort();
		}
		BASE_BUG_IF(!mail_field_parse(base_slice_first(rest, len), &field));
		if (mail_field_is(&field, "Authentication-Results"))
			BASE_BUG_IF(mail_authres_claims(field.body, BASE_SLICE("m.o")));
		rest = base_slice_from(rest, len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum mail_intake_result whole, cut;
	struct base_buf a, b;
	struct base_slice in;
	unsigned flags;
	bool utf8;

	if (size < 2)
		return 0;
	flags = data[0] & 1 ? MAIL_INTAKE_FIXUP : 0;
	utf8 = data[0] & 2;
	in = base_slice_make(data + 2, size - 2);
	whole = run(flags, utf8, in, SIZE_MAX, &a);
	cut = run(flags, utf8, in, data[1] ? data[1] : 1, &b);
	BASE_BUG_IF(whole != cut);
	if (whole == MAIL_INTAKE_OK) {
		BASE_BUG_IF(!base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
		check_header(base_buf_slice(&a));
		base_buf_release(&b);
		BASE_BUG_IF(run(flags, utf8, base_buf_slice(&a), SIZE_MAX, &b) != MAIL_INTAKE_OK);
		BASE_BUG_IF(!base_slice_equal(base_buf_slice(&a), base_buf_slice(&b)));
	}
	base_buf_release(&a);
	base_buf_release(&b);
	return 0;
}
