/* Whatever is taken decodes to text without controls, and its slices lie where they may. */
#include "smtp/mailbox.h"
#include "smtp/params.h"
#include "base/xtext.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_harmless(struct base_slice coded)
{
	struct base_buf text;

	base_buf_init(&text, SMTP_COMMAND_LINE_MAX_BYTES);
	if (!base_xtext_decode(coded, &text, NULL))
		base_bug(__FILE__, __LINE__, "not xtext");
	for (size_t i = 0; i < text.len; i++)
		BASE_BUG_IF(text.ptr[i] < ' ' || text.ptr[i] == 0x7f);
	base_buf_release(&text);
}

static void check_mail(struct base_slice in, struct base_buf *scratch)
{
	struct smtp_mail mail = {0};
	struct smtp_mailbox mailbox;

	if (smtp_params_mail(in, scratch, &mail) != SMTP_PARAMS_OK)
		return;
	BASE_BUG_IF(mail.envid.len > SMTP_ENVID_MAX_BYTES || mail.sender.len);
	check_harmless(mail.envid);
	BASE_BUG_IF(mail.auth.len && !mail.auth_given);
	if (mail.auth.len && smtp_mailbox_parse(mail.auth, &mailbox) != SMTP_MAILBOX_OK)
		base_bug(__FILE__, __LINE__, "AUTH= is no mailbox");
}

static void check_rcpt(struct base_slice in, bool smtputf8, struct base_buf *scratch)
{
	struct smtp_rcpt rcpt = {0};

	if (smtp_params_rcpt(in, smtputf8, scratch, &rcpt) != SMTP_PARAMS_OK)
		return;
	BASE_BUG_IF(rcpt.orcpt.len > SMTP_ORCPT_MAX_BYTES || rcpt.address.len);
	BASE_BUG_IF((rcpt.notify & SMTP_DSN_NOTIFY_NEVER) && rcpt.notify != SMTP_DSN_NOTIFY_NEVER);
	if (!smtputf8)
		check_harmless(rcpt.orcpt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_slice in;
	struct base_buf scratch;

	if (size < 1 || size > SMTP_COMMAND_LINE_MAX_BYTES)
		return 0;
	in = base_slice_make(data + 1, size - 1);
	base_buf_init_secret(&scratch, 3 * SMTP_PARAMS_SCRATCH_BYTES);
	if (!base_buf_reserve(&scratch, 2 * SMTP_PARAMS_SCRATCH_BYTES))
		return 0;
	check_mail(in, &scratch);
	base_buf_clear(&scratch);
	check_rcpt(in, data[0] & 1, &scratch);
	base_buf_release(&scratch);
	return 0;
}
