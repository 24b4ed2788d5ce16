/* Logins: by a checkpassword program, with the exchange here, or by the running server's auth, which
 * keeps the exchange and only has it carried.
 *
 * A failed login waits before it is told: five seconds with --compat, as the original; else one second
 * more for each failure of the session, up to five. The server's auth slows guessers down by itself. */
#include "qmail/smtpd_session.h"

#include <string.h>
#include <strings.h>

enum { FAILURE_PAUSE_MS = 1000, FAILURE_PAUSES_MAX = 5, ORIGINAL_PAUSE_MS = 5000 };

#define ALL_PLAIN (SASL_MASK(SASL_MECHANISM_LOGIN) | SASL_MASK(SASL_MECHANISM_PLAIN))
#define CRAM SASL_MASK(SASL_MECHANISM_CRAM_MD5)

struct smtpd_smtpauth smtpd_smtpauth_parse(const char *value)
{
	struct smtpd_smtpauth a = {.set = value != NULL};

	if (!value)
		return a;
	if (strcmp(value, "-") == 0 || strcmp(value, "0") == 0)
		return a;
	a.required = value[0] == '!';
	value += a.required;
	if (strncasecmp(value, "cram", 4) == 0)
		a.mask = CRAM;
	else if (strncasecmp(value, "+cram", 5) == 0)
		a.mask = ALL_PLAIN | CRAM;
	else
		a.mask = ALL_PLAIN;
	return a;
}

/* The order of the original, then what it did not know, strongest first. */
static const enum sasl_mechanism order[] = {
	SASL_MECHANISM_LOGIN,
	SASL_MECHANISM_PLAIN,
	SASL_MECHANISM_CRAM_MD5,
	SASL_MECHANISM_SCRAM_SHA_512_PLUS,
	SASL_MECHANISM_SCRAM_SHA_512,
	SASL_MECHANISM_SCRAM_SHA_256_PLUS,
	SASL_MECHANISM_SCRAM_SHA_256,
	SASL_MECHANISM_SCRAM_SHA_1_PLUS,
	SASL_MECHANISM_SCRAM_SHA_1,
};

/* Those of @mask whose flags, cut to @which, are @wanted. */
static void put_words(char *out, size_t size, uint32_t mask, unsigned which, unsigned wanted)
{
	size_t len = 0;

	out[0] = '\0';
	for (size_t i = 0; i < BASE_COUNT(order); i++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(order[i]);
		size_t word = strlen(info->name);

		if (!(mask & SASL_MASK(order[i])) || (info->flags & which) != wanted)
			continue;
		BASE_BUG_IF(len + word + 2 > size);
		if (len)
			out[len++] = ' ';
		memcpy(out + len, info->name, word + 1);
		len += word;
	}
}

void smtpd_offer(struct smtpd_options *o, uint32_t mask, bool clear)
{
	unsigned never = SASL_CHANNEL_BINDING | (clear ? 0 : SASL_PLAINTEXT);

	put_words(o->announce_clear, sizeof(o->announce_clear), mask, never, 0);
	put_words(o->announce_tls, sizeof(o->announce_tls), mask, SASL_CHANNEL_BINDING, 0);
	put_words(o->announce_bound, sizeof(o->announce_bound), mask, 0, 0);
	o->withheld[0] = '\0';
	if (!clear)
		put_words(o->withheld, sizeof(o->withheld), mask, SASL_PLAINTEXT, SASL_PLAINTEXT);
}

void smtpd_apply_mechanisms(struct smtpd *s)
{
	const struct smtpd_options *o = s->options;
	const char *words = o->announce_clear;

	if (s->tls_version)
		words = s->tls_bindings ? o->announce_bound : o->announce_tls;
	smtp_server_set_mechanisms(&s->smtp, base_slice_text(words),
		base_slice_text(s->tls_version ? "" : o->withheld));
}

void smtpd_drop_exchange(struct smtpd *s)
{
	if (s->exchange)
		s->cancel_due = true;
	s->exchange = false;
	sasl_server_free(&s->sasl);
	base_secret_clear(&s->response);
	base_buf_clear(&s->question);
}

static enum smtp_auth_outcome outcome_of(enum smtpd_check result)
{
	switch (result) {
	case SMTPD_ACCEPTED:
		return SMTP_AUTH_OK;
	case SMTPD_UNAVAILABLE:
		return SMTP_AUTH_UNAVAILABLE;
	case SMTPD_MALFORMED:
		return SMTP_AUTH_MALFORMED;
	case SMTPD_REJECTED:
		break;
	}
	return SMTP_AUTH_REJECTED;
}

static void finish(struct smtpd *s, enum smtpd_check result)
{
	s->exchange = false;
	smtpd_drop_exchange(s);
	s->want = SMTPD_READ;
	if (result == SMTPD_ACCEPTED) {
		base_buf_clear(&s->user);
		base_buf_append_slice(&s->user, base_buf_slice(&s->tried));
		s->authenticated = s->identity_due = true;
	}
	smtpd_log_event(s, result == SMTPD_ACCEPTED ? SMTPD_EVENT_AUTH_OK : SMTPD_EVENT_AUTH_FAILED,
		result == SMTPD_UNAVAILABLE         ? "cannot be checked now"
			: result == SMTPD_MALFORMED ? "malformed"
						    : NULL);
	(void)smtp_server_auth_done(&s->smtp, outcome_of(result), &s->out);
}

/* A wrong password costs time. */
static void reject(struct smtpd *s)
{
	s->failures++;
	s->pause_ms = (s->failures < FAILURE_PAUSES_MAX ? s->failures : FAILURE_PAUSES_MAX) *
		FAILURE_PAUSE_MS;
	if (s->options->compat)
		s->pause_ms = ORIGINAL_PAUSE_MS;
	s->want = SMTPD_PAUSE;
}

void smtpd_paused(struct smtpd *s)
{
	BASE_BUG_IF(s->want != SMTPD_PAUSE);
	finish(s, SMTPD_REJECTED);
}

/* A name with a line end in it would stand in no envelope and no log. */
static bool is_user_name(struct base_slice user)
{
	for (size_t i = 0; i < user.len; i++)
		if (user.ptr[i] < 0x20 || user.ptr[i] == 0x7f)
			return false;
	return user.len > 0 && user.len <= SASL_NAME_MAX_BYTES;
}

/* What cannot be written on descriptor 3 without loss is no login. */
static void ask_checker(struct smtpd *s, struct base_slice secret, struct base_slice challenge)
{
	struct wire_checkpassword m = {
		.login = sasl_server_user(s->sasl), .secret = secret, .challenge = challenge};

	base_buf_clear(&s->question);
	if (sasl_server_authzid(s->sasl).len || !is_user_name(m.login) ||
		wire_checkpassword_put(&m, s->options->cram_order, &s->question) !=
			WIRE_CHECKPASSWORD_OK)
		reject(s);
	else
		s->want = SMTPD_CHECK;
}

static void step(struct smtpd *s, enum sasl_server_result result, struct base_slice challenge)
{
	base_secret_clear(&s->response);
	base_buf_clear(&s->tried);
	base_buf_append_slice(&s->tried, sasl_server_user(s->sasl));
	switch (result) {
	case SASL_SERVER_CHALLENGE:
		s->want = SMTPD_READ;
		smtp_server_auth_challenge(&s->smtp, challenge, &s->out);
		return;
	case SASL_SERVER_CHECK_PASSWORD:
		ask_checker(s, sasl_server_password(s->sasl), BASE_SLICE_EMPTY);
		return;
	case SASL_SERVER_NEED_SECRET:
		ask_checker(
			s, sasl_server_cram_digest(s->sasl), sasl_server_cram_challenge(s->sasl));
		return;
	case SASL_SERVER_SUCCESS:
		finish(s, SMTPD_ACCEPTED);
		return;
	case SASL_SERVER_REJECTED:
		reject(s);
		return;
	case SASL_SERVER_MALFORMED:
		finish(s, SMTPD_MALFORMED);
		return;
	case SASL_SERVER_NEED_SCRAM:
	case SASL_SERVER_NEED_BINDING:
	case SASL_SERVER_UNAVAILABLE:
		break;
	}
	finish(s, SMTPD_UNAVAILABLE);
}

static void begin_here(struct smtpd *s, struct base_slice mechanism, const struct smtpd_now *now)
{
	struct sasl_server_options options = {
		.mechanism = sasl_mechanism_parse(mechanism),
		.host_name = s->options->host_name,
		.random = base_slice_make(now->random, sizeof(now->random)),
		.now_ms = now->wall_ms,
		.mock_key = s->options->mock_key,
		.raw = true,
	};
	struct base_slice initial = base_secret_slice(&s->response);
	struct base_buf challenge;
	enum sasl_server_result result;

	base_buf_init_secret(&challenge, 2048);
	result = sasl_server_begin(
		&s->sasl, &options, s->has_response ? &initial : NULL, &challenge);
	step(s, result, base_buf_slice(&challenge));
	base_buf_release(&challenge);
}

void smtpd_on_auth(struct smtpd *s, const struct smtpd_now *now)
{
	struct base_slice name = smtp_server_auth_mechanism(&s->smtp, &s->line);

	smtpd_drop_exchange(s);
	base_buf_clear(&s->tried);
	s->has_response = smtp_server_auth_response(&s->smtp, &s->line, &s->response);
	BASE_BUG_IF(name.len >= sizeof(s->mechanism));
	memcpy(s->mechanism, name.ptr, name.len);
	s->mechanism[name.len] = '\0';
	if (s->options->auth == SMTPD_AUTH_CHECKER)
		begin_here(s, name, now);
	else
		s->want = SMTPD_AUTH_BEGIN;
}

void smtpd_on_auth_response(struct smtpd *s)
{
	struct base_buf challenge;
	enum sasl_server_result result;

	s->has_response = smtp_server_auth_response(&s->smtp, &s->line, &s->response);
	if (s->options->auth != SMTPD_AUTH_CHECKER) {
		s->want = SMTPD_AUTH_CONTINUE;
		return;
	}
	base_buf_init_secret(&challenge, 2048);
	result = sasl_server_push(s->sasl, base_secret_slice(&s->response), &challenge);
	step(s, result, base_buf_slice(&challenge));
	base_buf_release(&challenge);
}

void smtpd_checked(struct smtpd *s, enum smtpd_check check)
{
	enum sasl_credentials_state state = check == SMTPD_UNAVAILABLE
		? SASL_CREDENTIALS_UNAVAILABLE
		: SASL_CREDENTIALS_KNOWN;
	bool accepted = check == SMTPD_ACCEPTED;
	enum sasl_server_result result;
	struct base_buf nothing;

	BASE_BUG_IF(s->want != SMTPD_CHECK);
	base_buf_clear(&s->question);
	base_buf_init_secret(&nothing, 64);
	if (strcmp(s->mechanism, "CRAM-MD5") == 0)
		result = sasl_server_digest_answer(s->sasl, state, accepted);
	else
		result = sasl_server_password_answer(s->sasl, state, accepted, &nothing);
	base_buf_release(&nothing);
	step(s, result, BASE_SLICE_EMPTY);
}

void smtpd_auth_challenge(struct smtpd *s, struct base_slice challenge)
{
	BASE_BUG_IF(s->want != SMTPD_AUTH_BEGIN && s->want != SMTPD_AUTH_CONTINUE);
	base_secret_clear(&s->response);
	s->exchange = true;
	s->want = SMTPD_READ;
	smtp_server_auth_challenge(&s->smtp, challenge, &s->out);
}

void smtpd_auth_done(struct smtpd *s, enum smtpd_check result, struct base_slice user)
{
	BASE_BUG_IF(s->want != SMTPD_AUTH_BEGIN && s->want != SMTPD_AUTH_CONTINUE);
	base_buf_clear(&s->tried);
	if (result == SMTPD_ACCEPTED && !is_user_name(user))
		result = SMTPD_UNAVAILABLE;
	base_buf_append_slice(&s->tried, base_slice_first(user, SASL_NAME_MAX_BYTES));
	finish(s, result);
}
