/* Whatever the facts are, the notice's own header and its status part are well-formed fields, and
 * no field appears that we did not write. */
#include "mail/dsn.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct base_slice take(struct base_slice *in)
{
	struct base_slice part = BASE_SLICE_EMPTY;

	(void)base_slice_split(in, 0xfe, &part);
	return part;
}

static void check_fields(struct base_slice rest, size_t most)
{
	struct mail_field field;
	size_t len = 0, count = 0;

	while (mail_header_cut(rest, SIZE_MAX, &len) == MAIL_HEADER_FIELD) {
		BASE_BUG_IF(!mail_field_parse(base_slice_first(rest, len), &field));
		BASE_BUG_IF(++count > most);
		rest = base_slice_from(rest, len);
	}
	BASE_BUG_IF(mail_header_cut(rest, SIZE_MAX, &len) != MAIL_HEADER_END);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size), all;
	struct mail_dsn_recipient r = {0};
	struct mail_dsn dsn = {
		.host_name = BASE_SLICE("mail.example.org"),
		.original_id = {"0123456789abcdef"},
		.dsn_id = {"fedcba9876543210"},
		.recipients = &r,
		.recipient_count = 1,
	};
	struct base_buf out;

	if (size < 1)
		return 0;
	r.action = (enum mail_dsn_action)(data[0] % MAIL_DSN_ACTION_COUNT);
	r.remote_said = data[0] & 0x10;
	dsn.return_full = data[0] & 0x20;
	dsn.smtputf8 = data[0] & 0x40;
	in = base_slice_from(in, 1);
	dsn.sender = take(&in);
	dsn.envid = take(&in);
	r.address = take(&in);
	r.orcpt = take(&in);
	r.status = take(&in);
	r.remote_host = take(&in);
	r.diagnostic = take(&in);
	dsn.original = in;
	base_buf_init(&out, 1u << 22);
	BASE_BUG_IF(!mail_dsn_build(&dsn, &out));
	all = base_buf_slice(&out);
	check_fields(all, 11);
	for (size_t i = 0; i + 20 < all.len; i++) {
		if (base_slice_starts_with(
			    base_slice_from(all, i), BASE_SLICE("\r\n\r\nOriginal-Env")) ||
			base_slice_starts_with(
				base_slice_from(all, i), BASE_SLICE("\r\n\r\nReporting-MTA"))) {
			check_fields(base_slice_from(all, i + 4), 3);
			break;
		}
	}
	base_buf_release(&out);
	return 0;
}
