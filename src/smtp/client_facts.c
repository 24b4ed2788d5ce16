#include "smtp/client_internal.h"

/* What a caller can ask a session about. */

enum smtp_client_stage smtp_client_stage(const struct smtp_client *c)
{
	static const enum smtp_client_stage stages[SMTP_CLIENT_PHASE_COUNT] = {
		[SMTP_CLIENT_PHASE_GREETING] = SMTP_STAGE_GREETING,
		[SMTP_CLIENT_PHASE_EHLO] = SMTP_STAGE_HELLO,
		[SMTP_CLIENT_PHASE_HELO] = SMTP_STAGE_HELLO,
		[SMTP_CLIENT_PHASE_STARTTLS_SENT] = SMTP_STAGE_STARTTLS,
		[SMTP_CLIENT_PHASE_TLS_WAIT] = SMTP_STAGE_TLS,
		[SMTP_CLIENT_PHASE_LOGIN_WAIT] = SMTP_STAGE_AUTH,
		[SMTP_CLIENT_PHASE_AUTH] = SMTP_STAGE_AUTH,
		[SMTP_CLIENT_PHASE_CANCEL] = SMTP_STAGE_AUTH,
		[SMTP_CLIENT_PHASE_IDLE] = SMTP_STAGE_MAIL,
		[SMTP_CLIENT_PHASE_RSET] = SMTP_STAGE_MAIL,
		[SMTP_CLIENT_PHASE_QUIT] = SMTP_STAGE_QUIT,
		[SMTP_CLIENT_PHASE_ENDED] = SMTP_STAGE_QUIT,
		[SMTP_CLIENT_PHASE_BROKEN] = SMTP_STAGE_QUIT,
	};

	if (c->phase == SMTP_CLIENT_PHASE_MAIL)
		return smtp_transaction_stage(&c->txn);
	return stages[c->phase];
}

const char *smtp_client_stage_name(enum smtp_client_stage stage)
{
	static const char *const names[SMTP_STAGE_COUNT] = {
		"greeting",
		"EHLO",
		"STARTTLS",
		"TLS handshake",
		"AUTH",
		"MAIL",
		"RCPT",
		"DATA",
		"message",
		"end of message",
		"QUIT",
	};

	return names[stage];
}

const struct smtp_client_reply *smtp_client_reply(const struct smtp_client *c)
{
	return &c->reply;
}

bool smtp_client_reply_is_local(const struct smtp_client *c)
{
	return c->reply_local;
}

size_t smtp_client_rcpt_index(const struct smtp_client *c)
{
	return c->rcpt_index;
}

const struct smtp_client_failure *smtp_client_failure(const struct smtp_client *c)
{
	return &c->failure;
}

unsigned smtp_client_extensions(const struct smtp_client *c)
{
	return c->offer.extensions;
}

uint64_t smtp_client_size_max(const struct smtp_client *c)
{
	return c->offer.size_max;
}

sasl_mechanism_mask smtp_client_mechanisms(const struct smtp_client *c)
{
	return c->offer.mechanisms;
}

enum sasl_mechanism smtp_client_mechanism(const struct smtp_client *c)
{
	return c->mechanism;
}

bool smtp_client_is_authenticated(const struct smtp_client *c)
{
	return c->authenticated;
}

struct base_slice smtp_client_auth_error(const struct smtp_client *c)
{
	return base_buf_slice(&c->auth_error);
}

struct base_slice smtp_client_hello(const struct smtp_client *c)
{
	return base_buf_slice(&c->hello);
}
