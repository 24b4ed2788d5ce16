#include "smtp/client_internal.h"

#include "base/utf8.h"
#include "base/xtext.h"

/* Nothing that came from a queue, a file or a command line is trusted to be a command: an address
 * that could end its line or its path is refused here, whoever let it in. */

enum { ADDRESS_MAX_BYTES = 512, ENVID_MAX = 100, ORCPT_MAX = 500, AUTH_MAX = 320 };

bool smtp_check_address(struct base_slice address, bool utf8, bool empty_allowed)
{
	bool quoted = false;
	size_t i;

	if (!address.len)
		return empty_allowed;
	if (address.len > ADDRESS_MAX_BYTES || (!utf8 && !base_is_ascii(address)) ||
		!base_utf8_valid(address))
		return false;
	for (i = 0; i < address.len; i++) {
		uint8_t b = address.ptr[i];

		if (b < 0x20 || b == 0x7F)
			return false;
		if (quoted && b == '\\') {
			if (++i == address.len || address.ptr[i] < 0x20 || address.ptr[i] == 0x7F)
				return false;
		} else if (b == '"') {
			quoted = !quoted;
		} else if (!quoted && (b == ' ' || b == '<' || b == '>')) {
			return false;
		}
	}
	return !quoted;
}

/* As xtext nothing in it can end the command; what it says must still be text. A login name need not
 * be a mailbox. */
static bool identity_ok(struct base_slice identity)
{
	for (size_t i = 0; i < identity.len; i++)
		if (identity.ptr[i] < 0x20 || identity.ptr[i] == 0x7F)
			return false;
	return true;
}

bool smtp_check_parameter(struct base_slice value, size_t max)
{
	size_t i;

	if (value.len > max)
		return false;
	for (i = 0; i < value.len; i++)
		if (value.ptr[i] <= 0x20 || value.ptr[i] >= 0x7F)
			return false;
	return true;
}

static bool refuse(struct smtp_client *c, uint16_t code, const char *enhanced, const char *text)
{
	smtp_client_local_reply(c, code, enhanced, text);
	return true;
}

bool smtp_check_mail(struct smtp_client *c, const struct smtp_client_mail *mail)
{
	unsigned ext = c->offer.extensions;

	if (!smtp_check_address(mail->sender, true, true))
		return refuse(c, 553, "5.1.7", "the sender address cannot be sent");
	if (!smtp_check_parameter(mail->envid, ENVID_MAX))
		return refuse(c, 501, "5.5.4", "the envelope id cannot be sent");
	if (mail->auth_identity && !identity_ok(mail->auth))
		return refuse(c, 501, "5.5.4", "the AUTH= identity cannot be sent");
	if (mail->auth.len > AUTH_MAX)
		return refuse(c, 501, "5.5.4", "the AUTH= identity is too long");
	if ((mail->smtputf8 || !base_is_ascii(mail->sender)) && !(ext & SMTP_EXT_SMTPUTF8))
		return refuse(c, 553, "5.6.7",
			"the message needs SMTPUTF8, which the server does not offer");
	if (mail->body_8bit && !(ext & SMTP_EXT_8BITMIME))
		return refuse(c, 554, "5.6.3",
			"the message has 8-bit text, which the server does not take");
	if ((ext & SMTP_EXT_SIZE) && c->offer.size_max && mail->size_bytes > c->offer.size_max)
		return refuse(c, 552, "5.3.4", "the message is larger than the server takes");
	return false;
}

const char *smtp_check_rcpt(
	const struct smtp_client_rcpt *rcpt, bool utf8, const char **out_enhanced)
{
	*out_enhanced = "5.1.3";
	if (!smtp_check_address(rcpt->address, true, false))
		return "the recipient address cannot be sent";
	if (!utf8 && !base_is_ascii(rcpt->address)) {
		*out_enhanced = "5.6.7";
		return "the recipient address needs SMTPUTF8, which this message does not have";
	}
	*out_enhanced = "5.5.4";
	if (!smtp_check_parameter(rcpt->orcpt, ORCPT_MAX))
		return "the original recipient cannot be sent";
	return NULL;
}
