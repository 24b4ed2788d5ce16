#include "smtp/client_internal.h"

#include "base/base64.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The session.
 *
 *	GREETING -220-> EHLO -250-> [STARTTLS_SENT -220-> TLS_WAIT -> EHLO] -> LOGIN_WAIT or IDLE
 *	EHLO -5xx-> HELO (only where neither TLS nor a login is demanded)
 *	LOGIN_WAIT -credentials-> AUTH -235-> IDLE     (client_auth.c)
 *	IDLE -send_mail-> MAIL -DONE-> IDLE            (client_mail.c)
 *	IDLE -rset-> RSET -> IDLE     any -quit-> QUIT -> ENDED     any -> BROKEN
 *
 * What holds: an exchange object lives in AUTH and CANCEL only; transaction slices are held in MAIL
 * only; what was offered before TLS is forgotten when TLS_WAIT begins; IDLE and MAIL are reached
 * with credentials demanded only when authenticated. */

#define IN(p) (1u << SMTP_CLIENT_PHASE_##p)

/* From which phases may each be entered? */
static const unsigned enter[SMTP_CLIENT_PHASE_COUNT] = {
	[SMTP_CLIENT_PHASE_GREETING] = 0,
	[SMTP_CLIENT_PHASE_EHLO] = IN(GREETING) | IN(TLS_WAIT),
	[SMTP_CLIENT_PHASE_HELO] = IN(EHLO),
	[SMTP_CLIENT_PHASE_STARTTLS_SENT] = IN(EHLO),
	[SMTP_CLIENT_PHASE_TLS_WAIT] = IN(STARTTLS_SENT),
	[SMTP_CLIENT_PHASE_LOGIN_WAIT] = IN(EHLO) | IN(STARTTLS_SENT) | IN(AUTH),
	[SMTP_CLIENT_PHASE_AUTH] = IN(LOGIN_WAIT),
	[SMTP_CLIENT_PHASE_CANCEL] = IN(AUTH),
	[SMTP_CLIENT_PHASE_IDLE] = IN(EHLO) | IN(HELO) | IN(STARTTLS_SENT) | IN(AUTH) | IN(MAIL) |
		IN(RSET),
	[SMTP_CLIENT_PHASE_MAIL] = IN(IDLE),
	[SMTP_CLIENT_PHASE_RSET] = IN(IDLE),
	[SMTP_CLIENT_PHASE_QUIT] = (1u << SMTP_CLIENT_PHASE_COUNT) - 1,
	[SMTP_CLIENT_PHASE_ENDED] = IN(QUIT),
	[SMTP_CLIENT_PHASE_BROKEN] = (1u << SMTP_CLIENT_PHASE_COUNT) - 1,
};

void smtp_client_set_phase(struct smtp_client *c, enum smtp_client_phase to)
{
	BASE_BUG_IF(!(enter[to] & (1u << c->phase)));
	c->phase = to;
}

static void check(const struct smtp_client *c)
{
	bool exchange = c->phase == SMTP_CLIENT_PHASE_AUTH || c->phase == SMTP_CLIENT_PHASE_CANCEL;

	BASE_BUG_IF(c->sasl && !exchange);
	BASE_BUG_IF(c->initial.len && !exchange);
	BASE_BUG_IF(c->txn.rcpts && c->phase != SMTP_CLIENT_PHASE_MAIL);
	BASE_BUG_IF(c->auth && !c->authenticated &&
		(c->phase == SMTP_CLIENT_PHASE_IDLE || c->phase == SMTP_CLIENT_PHASE_MAIL));
	BASE_BUG_IF(c->phase == SMTP_CLIENT_PHASE_TLS_WAIT && c->offer.extensions);
	BASE_BUG_IF(c->txn.accepted > c->txn.rcpt_count || c->txn.answered > c->txn.rcpt_count);
}

static bool helo_name_valid(struct base_slice name)
{
	size_t i;

	for (i = 0; i < name.len; i++)
		if (!base_ascii_is_alnum(name.ptr[i]) && !strchr(".-:[]_", name.ptr[i]))
			return false;
	return name.len > 0 && name.len <= BASE_HOST_NAME_MAX_BYTES;
}

static bool copy_name(struct base_slice name, char to[BASE_HOST_NAME_MAX_BYTES + 1])
{
	if (name.len > BASE_HOST_NAME_MAX_BYTES)
		return false;
	if (name.len)
		memcpy(to, name.ptr, name.len);
	return true;
}

static void set_login(struct smtp_client *c, const struct smtp_client_options *options)
{
	sasl_mechanism_mask foreign = 0;

	c->auth = options->auth;
	c->auth_if_offered = options->auth_if_offered &&
		options->credential == SASL_CREDENTIAL_CERTIFICATE;
	c->allow_plaintext = options->allow_plaintext_without_tls;
	c->foreign_new = options->foreign_new;
	c->foreign_arg = options->foreign_arg;
	c->port = options->port;
	for (unsigned m = 0; m < SASL_MECHANISM_COUNT; m++)
		if (sasl_mechanism_info((enum sasl_mechanism)m)->flags & SASL_FOREIGN)
			foreign |= SASL_MASK(m);
	if (c->foreign_new)
		foreign &= ~options->foreign;
	c->allowed = sasl_mechanism_mask_of(options->credential) & ~foreign;
	if (options->mechanisms)
		c->allowed &= options->mechanisms;
}

struct smtp_client *smtp_client_new(const struct smtp_client_options *options)
{
	struct smtp_client *c = base_alloc_zero(1, sizeof(*c));

	c->phase = SMTP_CLIENT_PHASE_GREETING;
	c->tls = options->tls;
	c->tls_active = options->tls == SMTP_CLIENT_TLS_IMPLICIT;
	c->lmtp = options->lmtp;
	set_login(c, options);
	smtp_reply_reader_init(&c->reader);
	base_buf_init(&c->hello, SMTP_CLIENT_HELLO_MAX_BYTES);
	base_buf_init(&c->auth_error, SASL_CLIENT_ERROR_MAX_BYTES);
	base_buf_init_secret(&c->initial, SASL_CLIENT_RESPONSE_MAX_BYTES);
	base_buf_init_secret(&c->said, 4 * base64_encoded_len(SASL_CLIENT_RESPONSE_MAX_BYTES));
	base_buf_init(&c->txn.states, 1u << 20);
	base_buf_init(&c->scratch, 1u << 20);
	if (!helo_name_valid(options->helo_name))
		smtp_client_fail(c, true, false, "our own name cannot be said in EHLO");
	else if (!copy_name(options->helo_name, c->helo_name) || !copy_name(options->host, c->host))
		smtp_client_fail(c, true, false, "the server's name is too long");
	return c;
}

void smtp_client_free(struct smtp_client **client)
{
	struct smtp_client *c = *client;

	if (!c)
		return;
	smtp_auth_forget(c);
	smtp_reply_reader_release(&c->reader);
	base_buf_release(&c->hello);
	base_buf_release(&c->auth_error);
	base_buf_release(&c->txn.states);
	base_buf_release(&c->scratch);
	base_wipe(c, sizeof(*c));
	free(c);
	*client = NULL;
}

void smtp_client_fail(struct smtp_client *c, bool permanent, bool reply_counts, const char *reason)
{
	struct base_buf states = c->txn.states;

	c->failure = (struct smtp_client_failure){
		.stage = smtp_client_stage(c),
		.permanent = permanent,
		.reason = reason,
		.maybe_delivered = !reply_counts && c->phase == SMTP_CLIENT_PHASE_MAIL &&
			c->txn.body_sent,
	};
	if (!reply_counts)
		c->reply = (struct smtp_client_reply){.code = 0};
	c->reply_local = false;
	c->due = SMTP_CLIENT_MORE;
	c->txn = (struct smtp_transaction){.told = 0};
	c->txn.states = states;
	smtp_auth_forget(c);
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_BROKEN);
}

void smtp_client_local_reply(
	struct smtp_client *c, uint16_t code, const char *enhanced, const char *text)
{
	size_t len = strlen(text);

	c->reply = (struct smtp_client_reply){.code = code};
	(void)snprintf(c->reply.enhanced, sizeof(c->reply.enhanced), "%s", enhanced);
	memcpy(c->reply.text, text, len);
	c->reply.text_len = (uint16_t)len;
	c->reply_local = true;
}

/* trace */

void smtp_client_trace_sent(
	struct smtp_client *c, const struct base_buf *out, size_t start, const char *shown)
{
	struct base_slice line;

	if (!c->trace.line_fn)
		return;
	line = shown ? base_slice_text(shown)
		     : base_slice_trim(base_slice_from(base_buf_slice(out), start));
	c->trace.line_fn(c->trace.arg, true, line);
}

void smtp_client_write_line(struct smtp_client *c, struct base_buf *out, const char *line)
{
	size_t start = out->len;

	(void)base_buf_append_text(out, line);
	smtp_client_trace_sent(c, out, start, NULL);
}

void smtp_client_set_trace(struct smtp_client *c, struct smtp_client_trace trace)
{
	c->trace = trace;
}

/* greeting, EHLO, STARTTLS */

static void write_hello(struct smtp_client *c, const char *verb, struct base_buf *out)
{
	size_t start = out->len;

	c->offer = (struct smtp_offer){.extensions = 0};
	base_buf_clear(&c->hello);
	(void)base_buf_printf(out, "%s %s\r\n", verb, c->helo_name);
	smtp_client_trace_sent(c, out, start, NULL);
}

static void ehlo(struct smtp_client *c, struct base_buf *out)
{
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_EHLO);
	write_hello(c, c->lmtp ? "LHLO" : "EHLO", out);
}

static void unexpected(struct smtp_client *c, const char *reason)
{
	smtp_client_fail(c, c->reply.code >= 500, true, reason);
}

static void on_greeting(struct smtp_client *c, struct base_buf *out)
{
	if (c->reply.code == 220)
		ehlo(c, out);
	else
		unexpected(c, "the server does not greet us");
}

void smtp_client_after_hello(struct smtp_client *c)
{
	c->tried = 0;
	c->turned_down = false;
	if (smtp_auth_is_waived(c))
		c->auth = false;
	if (c->auth) {
		smtp_auth_start(c);
		return;
	}
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_IDLE);
	c->due = SMTP_CLIENT_READY;
}

static void on_ehlo(struct smtp_client *c, struct base_buf *out)
{
	bool wanted = c->tls == SMTP_CLIENT_TLS_MAY || c->tls == SMTP_CLIENT_TLS_REQUIRE;

	if (c->reply.code >= 500 && !c->lmtp && !c->auth && !c->tls_active &&
		c->tls != SMTP_CLIENT_TLS_REQUIRE) {
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_HELO);
		write_hello(c, "HELO", out);
	} else if (c->reply.code != 250) {
		unexpected(c, "the server refused EHLO");
	} else if (wanted && !c->tls_active && (c->offer.extensions & SMTP_EXT_STARTTLS)) {
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_STARTTLS_SENT);
		smtp_client_write_line(c, out, "STARTTLS\r\n");
	} else if (c->tls == SMTP_CLIENT_TLS_REQUIRE && !c->tls_active) {
		smtp_client_fail(
			c, false, false, "TLS is demanded, and the server does not offer STARTTLS");
		c->failure.stage = SMTP_STAGE_STARTTLS;
	} else {
		smtp_client_after_hello(c);
	}
}

static void on_helo(struct smtp_client *c)
{
	c->offer = (struct smtp_offer){.extensions = 0};
	if (c->reply.code != 250)
		unexpected(c, "the server refused HELO");
	else
		smtp_client_after_hello(c);
}

/* @rest: what came behind the reply. Bytes sent in clear before the handshake could pass for the
 * server's first words inside TLS, so they end the session. */
static void on_starttls(struct smtp_client *c, struct base_slice rest)
{
	if (c->reply.code == 220 && rest.len) {
		smtp_client_fail(c, false, false, "bytes in clear behind the answer to STARTTLS");
	} else if (c->reply.code == 220) {
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_TLS_WAIT);
		c->offer = (struct smtp_offer){.extensions = 0};
		c->due = SMTP_CLIENT_STARTTLS;
	} else if (c->tls == SMTP_CLIENT_TLS_REQUIRE) {
		smtp_client_fail(
			c, false, true, "TLS is demanded, and the server refused STARTTLS");
	} else if (c->reply.code < 400) {
		smtp_client_fail(c, false, true, "the server's answer to STARTTLS makes no sense");
	} else {
		smtp_client_after_hello(c);
	}
}

void smtp_client_tls_done(struct smtp_client *c, enum sasl_binding binding,
	struct base_slice binding_data, bool verified, struct base_buf *out)
{
	if (c->phase == SMTP_CLIENT_PHASE_BROKEN)
		return;
	BASE_BUG_IF(
		c->phase != SMTP_CLIENT_PHASE_TLS_WAIT && c->phase != SMTP_CLIENT_PHASE_GREETING);
	BASE_BUG_IF(binding_data.len > sizeof(c->binding_data));
	c->tls_active = true;
	c->verified = verified;
	c->binding = binding_data.len ? binding : SASL_BINDING_NONE;
	c->binding_len = binding_data.len;
	if (binding_data.len)
		memcpy(c->binding_data, binding_data.ptr, binding_data.len);
	if (c->phase == SMTP_CLIENT_PHASE_TLS_WAIT)
		ehlo(c, out);
}

/* the stream */

static void on_reply(
	struct smtp_client *c, struct base_slice line, struct base_slice rest, struct base_buf *out)
{
	c->reply_local = false;
	if (c->reply.code == 421 && c->phase != SMTP_CLIENT_PHASE_QUIT) {
		smtp_client_fail(c, false, true, "the server closes the session");
		return;
	}
	switch (c->phase) {
	case SMTP_CLIENT_PHASE_GREETING:
		on_greeting(c, out);
		break;
	case SMTP_CLIENT_PHASE_EHLO:
		on_ehlo(c, out);
		break;
	case SMTP_CLIENT_PHASE_HELO:
		on_helo(c);
		break;
	case SMTP_CLIENT_PHASE_STARTTLS_SENT:
		on_starttls(c, rest);
		break;
	case SMTP_CLIENT_PHASE_AUTH:
	case SMTP_CLIENT_PHASE_CANCEL:
		smtp_auth_reply(c, line, out);
		break;
	case SMTP_CLIENT_PHASE_MAIL:
		smtp_transaction_reply(c, out);
		break;
	case SMTP_CLIENT_PHASE_RSET:
		if (c->reply.code != 250) {
			unexpected(c, "the server refused RSET");
			break;
		}
		c->unclean = false;
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_IDLE);
		c->due = SMTP_CLIENT_READY;
		break;
	case SMTP_CLIENT_PHASE_QUIT:
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_ENDED);
		break;
	case SMTP_CLIENT_PHASE_IDLE:
		smtp_client_fail(c, false, true, "the server says something unasked");
		break;
	case SMTP_CLIENT_PHASE_TLS_WAIT:
	case SMTP_CLIENT_PHASE_LOGIN_WAIT:
	case SMTP_CLIENT_PHASE_ENDED:
	case SMTP_CLIENT_PHASE_BROKEN:
	case SMTP_CLIENT_PHASE_COUNT:
		BASE_BUG_IF("no reply is read in this phase");
	}
}

/* A server that repeats our password, as some do with what they do not understand, shall not bring it into
 * reports and logs. The code and what parts it from the text stay. */
static void on_repeated(struct smtp_client *c, struct base_slice line)
{
	char shown[64];

	c->repeated = true;
	(void)snprintf(shown, sizeof(shown), "%.*s%s", BASE_SLICE_ARGS(base_slice_first(line, 4)),
		SMTP_CLIENT_REPEATED);
	if (c->trace.line_fn)
		c->trace.line_fn(c->trace.arg, false, base_slice_text(shown));
}

/* A word of EHLO, and a copy of it for those who want to see the server's own words. */
static void on_offer(struct smtp_client *c, struct base_slice text)
{
	smtp_offer_line(&c->offer, text);
	if (c->hello.len && base_buf_room(&c->hello))
		(void)base_buf_append_byte(&c->hello, '\n');
	(void)base_buf_append_slice(&c->hello, base_slice_first(text, base_buf_room(&c->hello)));
}

static void on_line(struct smtp_client *c, struct base_slice line, bool first)
{
	if (first)
		c->repeated = false;
	if (smtp_auth_is_repeated(c, line))
		on_repeated(c, line);
	else if (c->trace.line_fn)
		c->trace.line_fn(c->trace.arg, false, line);
	if (c->phase == SMTP_CLIENT_PHASE_EHLO && !first)
		on_offer(c, base_slice_from(line, 4));
}

/* What is to be told before more input is looked at; MORE: nothing. */
static enum smtp_client_event next_event(struct smtp_client *c, struct base_buf *out)
{
	enum smtp_client_event due = c->due;

	if (c->phase == SMTP_CLIENT_PHASE_BROKEN)
		return SMTP_CLIENT_FAILED;
	if (c->phase == SMTP_CLIENT_PHASE_ENDED)
		return SMTP_CLIENT_CLOSED;
	if (due != SMTP_CLIENT_MORE) {
		c->due = SMTP_CLIENT_MORE;
		return due;
	}
	if (c->phase == SMTP_CLIENT_PHASE_MAIL)
		return smtp_transaction_next(c, out);
	return SMTP_CLIENT_MORE;
}

static bool reads(const struct smtp_client *c)
{
	return c->phase != SMTP_CLIENT_PHASE_TLS_WAIT && c->phase != SMTP_CLIENT_PHASE_LOGIN_WAIT;
}

static void read_line(
	struct smtp_client *c, struct base_slice in, size_t *used, struct base_buf *out)
{
	struct base_slice line, rest = base_slice_from(in, *used);
	bool first = !c->reader.in_reply;
	size_t taken;

	switch (smtp_reply_push(&c->reader, rest, &taken, &c->reply, &line)) {
	case SMTP_REPLY_MORE:
		break;
	case SMTP_REPLY_LINE:
		on_line(c, line, first);
		break;
	case SMTP_REPLY_END:
		on_line(c, line, first);
		if (c->repeated) {
			(void)snprintf(
				c->reply.text, sizeof(c->reply.text), "%s", SMTP_CLIENT_REPEATED);
			c->reply.text_len = sizeof(SMTP_CLIENT_REPEATED) - 1;
		}
		on_reply(c, line, base_slice_from(rest, taken), out);
		break;
	case SMTP_REPLY_BROKEN:
		smtp_client_fail(c, false, false, "the server's reply is no SMTP reply");
		break;
	case SMTP_REPLY_ENDLESS:
		smtp_client_fail(c, false, false, "the server's reply has no end");
		break;
	}
	*used += taken;
}

enum smtp_client_event smtp_client_push(
	struct smtp_client *c, struct base_slice in, size_t *out_used, struct base_buf *out)
{
	enum smtp_client_event event;
	bool asks_body;

	*out_used = 0;
	for (;;) {
		event = next_event(c, out);
		/* A body that is asked for lets input pass first: the server may refuse it. */
		asks_body = event == SMTP_CLIENT_BODY;
		if (event != SMTP_CLIENT_MORE && !(asks_body && *out_used < in.len))
			break;
		if (*out_used == in.len || !reads(c))
			break;
		read_line(c, in, out_used, out);
	}
	if (event == SMTP_CLIENT_FAILED || event == SMTP_CLIENT_CLOSED)
		*out_used = in.len;
	check(c);
	return event;
}

enum smtp_client_event smtp_client_eof(struct smtp_client *c, const char *reason)
{
	if (c->phase == SMTP_CLIENT_PHASE_QUIT)
		smtp_client_set_phase(c, SMTP_CLIENT_PHASE_ENDED);
	if (c->phase == SMTP_CLIENT_PHASE_ENDED)
		return SMTP_CLIENT_CLOSED;
	if (c->phase != SMTP_CLIENT_PHASE_BROKEN)
		smtp_client_fail(c, false, false, reason);
	return SMTP_CLIENT_FAILED;
}

void smtp_client_quit(struct smtp_client *c, struct base_buf *out)
{
	if (c->phase == SMTP_CLIENT_PHASE_BROKEN || c->phase == SMTP_CLIENT_PHASE_ENDED)
		return;
	BASE_BUG_IF(c->phase != SMTP_CLIENT_PHASE_IDLE);
	c->due = SMTP_CLIENT_MORE;
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_QUIT);
	smtp_client_write_line(c, out, "QUIT\r\n");
}

void smtp_client_rset(struct smtp_client *c, struct base_buf *out)
{
	BASE_BUG_IF(c->phase != SMTP_CLIENT_PHASE_IDLE);
	c->due = SMTP_CLIENT_MORE;
	smtp_client_set_phase(c, SMTP_CLIENT_PHASE_RSET);
	smtp_client_write_line(c, out, "RSET\r\n");
}
