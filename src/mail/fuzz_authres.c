/* Reading never fails badly, and what we write for any user claims to be ours and is one field. */
#include "mail/authres.h"
#include "mail/header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size), rest;
	struct mail_field field;
	struct base_buf out;
	size_t len = 0;

	(void)mail_authres_claims(in, BASE_SLICE("mail.example.org"));
	base_buf_init(&out, 8192);
	BASE_BUG_IF(!mail_authres_write(BASE_SLICE("mail.example.org"), in,
		base_slice_first(in, size / 2), size & 1, &out));
	BASE_BUG_IF(!mail_field_parse(base_buf_slice(&out), &field));
	BASE_BUG_IF(!mail_authres_claims(field.body, BASE_SLICE("mail.example.org")));
	base_buf_append_byte(&out, 'x');
	rest = base_buf_slice(&out);
	BASE_BUG_IF(
		mail_header_cut(rest, SIZE_MAX, &len) != MAIL_HEADER_FIELD || len + 1 != rest.len);
	base_buf_release(&out);
	return 0;
}
