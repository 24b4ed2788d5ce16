/* Whatever is taken keeps its limits, holds no control, and is taken again as it stands. */
#include "smtp/mailbox.h"
#include "base/buf.h"
#include "base/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct smtp_mailbox *m)
{
	struct smtp_mailbox again;
	struct base_slice rest;
	struct base_buf path;

	BASE_BUG_IF(m->whole.len > SMTP_MAILBOX_MAX_BYTES || m->local.len > SMTP_LOCAL_MAX_BYTES);
	BASE_BUG_IF(m->domain.len > SMTP_DOMAIN_MAX_BYTES || !base_utf8_valid(m->whole));
	BASE_BUG_IF(m->eight_bit == base_is_ascii(m->whole));
	for (size_t i = 0; i < m->whole.len; i++)
		BASE_BUG_IF(m->whole.ptr[i] < ' ' || m->whole.ptr[i] == 0x7f);
	if (m->domain.len == 0)
		return;
	BASE_BUG_IF(m->whole.len != m->local.len + 1 + m->domain.len);
	if (smtp_mailbox_parse(m->whole, &again) != SMTP_MAILBOX_OK)
		base_bug(__FILE__, __LINE__, "not taken again");
	base_buf_init(&path, 1024);
	base_buf_append_byte(&path, '<');
	base_buf_append_slice(&path, m->whole);
	base_buf_append_byte(&path, '>');
	if (smtp_path_parse(base_buf_slice(&path), SMTP_PATH_FORWARD, &again, &rest) !=
		SMTP_MAILBOX_OK)
		base_bug(__FILE__, __LINE__, "not taken again as a path");
	BASE_BUG_IF(!base_slice_equal(again.whole, m->whole) || rest.len);
	base_buf_release(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in = base_slice_make(data, size);
	struct smtp_mailbox m;
	struct base_slice rest;

	if (smtp_mailbox_parse(in, &m) == SMTP_MAILBOX_OK)
		check(&m);
	if (smtp_path_parse(in, SMTP_PATH_FORWARD, &m, &rest) == SMTP_MAILBOX_OK)
		check(&m);
	if (smtp_path_parse(in, SMTP_PATH_REVERSE, &m, &rest) == SMTP_MAILBOX_OK)
		check(&m);
	return 0;
}
