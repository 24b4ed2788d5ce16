#include "smtp/client_internal.h"

#include "base/base64.h"

#include <stdio.h>
#include <string.h>

/* AUTH, client side (RFC 4954).
 *
 *	after_hello -> smtp_auth_start: no usable mechanism -> BROKEN, the account is at fault
 *	                                else CREDENTIALS is asked for: LOGIN_WAIT
 *	LOGIN_WAIT  -> smtp_client_credentials: the AUTH command is written: AUTH
 *	AUTH        -> 334: respond, or "*": CANCEL      235 with the server's proof: IDLE
 *	               504, 534, 538: the mechanism is marked as tried: smtp_auth_start again
 *	               535 and other 5xx: BROKEN; a weaker mechanism is never tried with a password
 *	               that was refused          4xx: BROKEN, later
 *	               (a token that is refused: 334 with the server's reasons first, which stay in
 *	               auth_error)
 *	CANCEL      -> any reply: BROKEN
 *
 * Credentials are with us only while sasl_client lives, which is one exchange. All that time a reply that
 * repeats them is not shown to anybody. */

enum { ROUNDS_MAX = 100, COMMAND_LINE_MAX = 512 };

void smtp_auth_forget(struct smtp_client *c)
{
	if (c->sasl) {
		base_buf_clear(&c->auth_error);
		(void)base_buf_append_slice(&c->auth_error, sasl_client_error(c->sasl));
	}
	sasl_client_free(&c->sasl);
	base_buf_release(&c->initial);
	base_buf_release(&c->said);
	c->initial_held = c->initial_sent = false;
}

static bool plaintext_ok(const struct smtp_client *c)
{
	return (c->tls_active && c->verified) || c->allow_plaintext;
}

/* Without verified TLS nobody has seen the certificate that is to do for a login. */
bool smtp_auth_is_waived(const struct smtp_client *c)
{
	return c->auth_if_offered && plaintext_ok(c) && !(c->offer.mechanisms & c->allowed);
}

static void account_fail(
	struct smtp_client *c, bool permanent, bool reply_counts, const char *reason)
{
	smtp_client_fail(c, permanent, reply_counts, reason);
	c->failure.account = true;
}

/* False: there is none (more); the session is over. */
static bool choose(struct smtp_client *c)
{
	const char *reason = "no mechanism that the account allows is offered";
	uint16_t code = c->reply.code;

	c->mechanism = sasl_client_choose(c->offer.mechanisms, c->allowed, c->tried,
		c->binding != SASL_BINDING_NONE, plaintext_ok(c));
	if (c->mechanism != SASL_MECHANISM_NONE)
		return true;
	if (!(c->offer.extensions & SMTP_EXT_AUTH))
		reason = "the server does not offer AUTH";
	else if (c->turned_down)
		reason = "the server took none of the mechanisms it offers";
	else if (!plaintext_ok(c))
		reason = "without verified TLS no mechanism that the account allows can be used";
	account_fail(c, true, c->turned_down, reason);
	/* Some providers say 534 where others say 535: this login is not wanted, by whatever name. */
	c->failure.refused = c->turned_down && code == 534;
	return false;
}

void smtp_auth_start(struct smtp_client *c)
{
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_LOGIN_WAIT);
	if (choose(c))
		c->due = SMTP_CLIENT_CREDENTIALS;
}

/* @bytes in clear, or in base64; the oldest are forgotten where there is no room. */
static void keep_said(struct smtp_client *c, struct base_slice bytes, bool clear)
{
	if (base_buf_room(&c->said) < base64_encoded_len(bytes.len) + 1)
		base_buf_clear(&c->said);
	if (clear)
		(void)base_buf_append_slice(&c->said, bytes);
	else
		(void)base64_encode(bytes, &c->said);
	(void)base_buf_append_byte(&c->said, 0);
}

bool smtp_auth_is_repeated(const struct smtp_client *c, struct base_slice line)
{
	enum { SHORTEST = 4 }; /* what is shorter stands in any text */
	struct base_slice rest = base_buf_slice(&c->said), one;

	while (base_slice_split(&rest, 0, &one))
		if (one.len >= SHORTEST && memmem(line.ptr, line.len, one.ptr, one.len))
			return true;
	return false;
}

/* "AUTH NAME INITIAL" where it fits a command line, else the initial response waits for a 334. */
static void write_command(struct smtp_client *c, bool has_initial, struct base_buf *out)
{
	const char *name = sasl_mechanism_info(c->mechanism)->name;
	struct base_slice initial = base_buf_slice(&c->initial);
	size_t start = out->len;
	char shown[64];

	(void)base_buf_printf(out, "AUTH %s", name);
	(void)snprintf(shown, sizeof(shown), "AUTH %s", name);
	c->initial_held = has_initial &&
		out->len - start + 1 + base64_encoded_len(initial.len) + 2 > COMMAND_LINE_MAX;
	if (has_initial && !c->initial_held) {
		(void)base_buf_append_byte(out, ' ');
		keep_said(c, initial, false);
		if (initial.len)
			(void)base64_encode(initial, out);
		else
			(void)base_buf_append_byte(out, '=');
		(void)snprintf(shown, sizeof(shown), "AUTH %s [initial response]", name);
	}
	(void)base_buf_append_text(out, "\r\n");
	smtp_client_trace_sent(c, out, start, shown);
	c->initial_sent = has_initial && !c->initial_held;
}

static bool offers_plus(const struct smtp_client *c)
{
	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++)
		if ((c->offer.mechanisms & SASL_MASK(m)) &&
			(sasl_mechanism_info((enum sasl_mechanism)m)->flags & SASL_CHANNEL_BINDING))
			return true;
	return false;
}

/* The exchange of a FOREIGN mechanism. One that cannot be made is passed over for the next, maybe one of
 * our own. False: there is no mechanism left. */
static bool make_foreign(struct smtp_client *c, struct base_slice user, struct base_slice password,
	struct sasl_client_foreign *out)
{
	while (sasl_mechanism_info(c->mechanism)->flags & SASL_FOREIGN) {
		if (c->foreign_new(c->foreign_arg, c->mechanism, base_slice_text(c->host), user,
			    password, out))
			return true;
		c->tried |= SASL_MASK(c->mechanism);
		if (!choose(c))
			return false;
	}
	return true;
}

static void begin(
	struct smtp_client *c, const struct sasl_client_options *options, struct base_buf *out)
{
	enum sasl_client_result result;

	c->rounds = 0;
	base_buf_clear(&c->auth_error);
	result = sasl_client_begin(&c->sasl, options, &c->initial);
	if (result != SASL_CLIENT_RESPONSE && result != SASL_CLIENT_WAIT) {
		account_fail(c, true, false, sasl_client_reason(c->sasl));
		return;
	}
	/* Some write the password in their log of failures, and the same words into the reply. */
	keep_said(c, options->password, true);
	keep_said(c, options->password, false);
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_AUTH);
	write_command(c, result == SASL_CLIENT_RESPONSE, out);
}

void smtp_client_credentials(struct smtp_client *c, struct base_slice user,
	struct base_slice password, struct base_slice random, struct base_buf *out)
{
	struct sasl_client_foreign foreign = {.step = NULL};
	struct sasl_client_options options = {
		.user = user,
		.password = password,
		.host = base_slice_text(c->host),
		.port = c->port,
		.random = random,
		.binding = c->binding,
		.binding_data = base_slice_make(c->binding_data, c->binding_len),
		.tls = c->binding != SASL_BINDING_NONE,
		.plus_offered = offers_plus(c),
	};

	BASE_BUG_IF(c->phase != SMTP_CLIENT_PHASE_LOGIN_WAIT);
	if (!user.ptr) {
		account_fail(c, false, false, "the credentials are not available now");
		return;
	}
	smtp_auth_forget(c);
	if (!make_foreign(c, user, password, &foreign))
		return;
	options.mechanism = c->mechanism;
	if (foreign.step)
		options.foreign = &foreign;
	begin(c, &options, out);
}

static void cancel(struct smtp_client *c, const char *reason, struct base_buf *out)
{
	smtp_client_write_line(c, out, "*\r\n");
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_CANCEL);
	c->failure.reason = reason;
}

static void respond(struct smtp_client *c, struct base_slice response, struct base_buf *out)
{
	size_t start = out->len;

	keep_said(c, response, false);
	(void)base64_encode(response, out);
	(void)base_buf_append_text(out, "\r\n");
	smtp_client_trace_sent(c, out, start, "[response]");
}

static void on_challenge(struct smtp_client *c, struct base_slice line, struct base_buf *out)
{
	struct base_slice text = base_slice_trim(base_slice_from(line, 4));
	struct base_buf challenge, response;

	if (++c->rounds > ROUNDS_MAX) {
		cancel(c, "the server asks on and on during AUTH", out);
		return;
	}
	base_buf_init_secret(&challenge, SASL_CHALLENGE_MAX_BYTES);
	base_buf_init_secret(&response, SASL_CLIENT_RESPONSE_MAX_BYTES);
	if (c->reader.cut || c->reader.several ||
		base64_decode(text, &challenge, NULL) != BASE64_OK) {
		cancel(c, "the server's challenge is not one line of base64", out);
	} else if (c->initial_held && challenge.len) {
		cancel(c, "the server's first challenge should be empty", out);
	} else if (c->initial_held || (c->initial_sent && !challenge.len)) {
		respond(c, base_buf_slice(&c->initial), out);
		c->initial_held = c->initial_sent = false;
		base_buf_release(&c->initial);
	} else if (sasl_client_push(c->sasl, base_buf_slice(&challenge), &response) !=
			SASL_CLIENT_RESPONSE ||
		!base_buf_ok(&response)) {
		cancel(c, sasl_client_reason(c->sasl), out);
	} else {
		respond(c, base_buf_slice(&response), out);
	}
	base_buf_release(&challenge);
	base_buf_release(&response);
}

static void on_success(struct smtp_client *c)
{
	if (c->initial_held) {
		account_fail(c, false, true, "the server says 235 and has not asked who we are");
		return;
	}
	if (sasl_client_finish(c->sasl) != SASL_CLIENT_DONE) {
		account_fail(c, false, true, sasl_client_reason(c->sasl));
		return;
	}
	smtp_auth_forget(c);
	c->authenticated = true;
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_IDLE);
	c->due = SMTP_CLIENT_READY;
}

/* The last word on this login. */
static void refused(struct smtp_client *c, bool permanent, const char *reason)
{
	account_fail(c, permanent, true, reason);
	c->failure.refused = true;
}

void smtp_auth_reply(struct smtp_client *c, struct base_slice line, struct base_buf *out)
{
	uint16_t code = c->reply.code;

	if (c->phase == SMTP_CLIENT_PHASE_CANCEL) {
		account_fail(c, false, false, c->failure.reason);
		return;
	}
	if (code == 334) {
		on_challenge(c, line, out);
	} else if (code == 235) {
		on_success(c);
	} else if (code == 504 || code == 534 || code == 538) {
		c->tried |= SASL_MASK(c->mechanism);
		c->turned_down = true;
		smtp_auth_forget(c);
		smtp_auth_start(c);
	} else if (code == 432) {
		refused(c, false, "the server wants the password to be changed");
	} else if (code >= 500) {
		refused(c, true, "the server refused the login");
	} else if (code >= 400) {
		smtp_client_fail(c, false, true, "the server cannot log us in now");
	} else {
		account_fail(c, false, true, "the server's answer to AUTH makes no sense");
	}
}
