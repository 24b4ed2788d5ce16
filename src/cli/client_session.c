/* The engine decides, this file moves its bytes and tells of each step. */
#include "cli/client_session.h"

#include "base/clock.h"
#include "cli/cli.h"
#include "loop/gsasl.h"
#include "wire/oauth_error.h"

#include <stdio.h>
#include <string.h>

/* After a refusal there is nothing to wait for but a word of good-bye. */
enum { GOODBYE_MS = 5000, OUT_MAX_BYTES = 1 << 20 };

void cli_client_init(struct cli_client *c, const struct cli_client_options *options,
	const struct cli_client_hooks *hooks)
{
	*c = (struct cli_client){.options = options, .hooks = hooks};
	cli_connection_init(&c->connection);
	base_buf_init_secret(&c->out, OUT_MAX_BYTES);
}

void cli_client_release(struct cli_client *c)
{
	smtp_client_free(&c->engine);
	cli_connection_close(&c->connection);
	tls_context_free(&c->context);
	base_buf_release(&c->out);
}

static void step(struct cli_client *c, enum cli_client_step what)
{
	if (c->hooks->step)
		c->hooks->step(c->hooks->arg, c, what);
}

/* words */

void cli_mechanism_names(sasl_mechanism_mask mask, struct base_buf *out)
{
	size_t before = out->len;

	for (unsigned strength = 1; strength <= SASL_MECHANISM_COUNT; strength++)
		for (enum sasl_mechanism m = 1; m < SASL_MECHANISM_COUNT; m++)
			if ((mask & SASL_MASK(m)) && sasl_mechanism_info(m)->strength == strength)
				base_buf_printf(out, "%s%s", out->len == before ? "" : ", ",
					sasl_mechanism_info(m)->name);
	if (out->len == before)
		base_buf_append_text(out, "none");
}

void cli_client_reply(const struct cli_client *c, struct base_buf *out)
{
	const struct smtp_client_reply *r = smtp_client_reply(c->engine);
	struct base_slice rest, line;
	const char *blank = "";

	if (r->code == 0)
		return;
	base_buf_printf(out, "%u ", r->code);
	rest = base_slice_make(r->text, r->text_len);
	while (base_slice_split(&rest, '\n', &line)) {
		base_buf_append_text(out, blank);
		cli_text_safe(line, out);
		blank = " ";
	}
}

void cli_client_tls_words(const struct cli_client *c, struct base_buf *out)
{
	const struct tls_session *tls = c->connection.tls;
	const char *why = tls_verify_failure(tls);

	base_buf_printf(out, "%s %s, certificate ", tls_version(tls), tls_cipher(tls));
	if (c->options->pin)
		base_buf_append_text(out, "as pinned");
	else if (!c->options->insecure)
		base_buf_append_text(out, "verified");
	else if (why)
		base_buf_printf(out, "not demanded to verify: %s", why);
	else
		base_buf_append_text(out, "not demanded to verify, but does");
}

static const char *credential_name(enum sasl_credential credential)
{
	static const char *const names[] = {
		[SASL_CREDENTIAL_PASSWORD] = "a password",
		[SASL_CREDENTIAL_TOKEN] = "a token",
		[SASL_CREDENTIAL_CERTIFICATE] = "a client certificate",
		[SASL_CREDENTIAL_TICKET] = "a Kerberos ticket",
	};

	return names[credential];
}

static bool is_single(sasl_mechanism_mask mask)
{
	return (mask & (mask - 1)) == 0;
}

/* Those of @mask that are better than @than. */
static sasl_mechanism_mask stronger(sasl_mechanism_mask mask, enum sasl_mechanism than)
{
	sasl_mechanism_mask found = 0;

	for (enum sasl_mechanism m = 1; m < SASL_MECHANISM_COUNT; m++)
		if ((mask & SASL_MASK(m)) &&
			sasl_mechanism_info(m)->strength > sasl_mechanism_info(than)->strength)
			found |= SASL_MASK(m);
	return found;
}

void cli_client_mechanism_words(const struct cli_client *c, struct base_buf *out)
{
	enum sasl_mechanism chosen = smtp_client_mechanism(c->engine);
	sasl_mechanism_mask serves = sasl_mechanism_mask_of(c->options->credential);
	sasl_mechanism_mask wanted = c->options->mechanisms ? c->options->mechanisms & serves
							    : serves;
	sasl_mechanism_mask offered = smtp_client_mechanisms(c->engine) & wanted;
	const char *credential = credential_name(c->options->credential);

	base_buf_printf(out, "%s: ", sasl_mechanism_info(chosen)->name);
	if (is_single(wanted) && c->options->mechanisms) {
		base_buf_append_text(out, "the only one that is allowed here");
	} else if (is_single(offered)) {
		base_buf_printf(out, "the only one offered that %s serves", credential);
	} else {
		base_buf_printf(out, "the strongest usable one offered that %s serves", credential);
		if (stronger(offered, chosen)) {
			base_buf_append_text(out, "; not usable here: ");
			cli_mechanism_names(stronger(offered, chosen), out);
		}
	}
}

/* the end */

static bool fail(struct cli_client *c, enum cli_client_end end, bool permanent, const char *what,
	const char *why)
{
	c->end = end;
	c->permanent = permanent;
	snprintf(c->failure, sizeof(c->failure), "%s%s%s", what, why ? ": " : "", why ? why : "");
	return false;
}

/* The server is told that we go, where it still listens: a session that just ends looks to its
 * administrator like a broken network. */
static void say_goodbye(struct cli_client *c)
{
	const struct smtp_client_failure *f = smtp_client_failure(c->engine);
	uint16_t code = smtp_client_reply(c->engine)->code;
	struct base_slice line, rest;

	if (c->lost || c->quitting || code == 421 || f->stage > SMTP_STAGE_AUTH ||
		(code == 0 && !f->account))
		return;
	c->quitting = true;
	if (c->hooks->line)
		c->hooks->line(c->hooks->arg, true, BASE_SLICE("QUIT"));
	base_buf_clear(&c->connection.in);
	if (!cli_connection_send(&c->connection, BASE_SLICE("QUIT\r\n"), GOODBYE_MS) ||
		cli_connection_receive(&c->connection, GOODBYE_MS) || !c->hooks->line)
		return;
	rest = base_buf_slice(&c->connection.in);
	if (base_slice_split(&rest, '\n', &line))
		c->hooks->line(c->hooks->arg, false, base_slice_first(base_slice_trim(line), 512));
}

/* The engine's failure in words, with the server's reply and the JSON of a refused token. */
static bool smtp_failed(struct cli_client *c)
{
	const struct smtp_client_failure *f = smtp_client_failure(c->engine);
	uint16_t code = smtp_client_reply(c->engine)->code;
	struct base_slice json = smtp_client_auth_error(c->engine);
	struct base_buf text;

	if (c->quitting)
		return true;
	base_buf_init(&text, 65536);
	base_buf_printf(&text, "%s: %s", smtp_client_stage_name(f->stage), f->reason);
	if (code) {
		base_buf_append_text(&text, ": ");
		cli_client_reply(c, &text);
	}
	if (json.len) {
		base_buf_append_text(&text, "; ");
		wire_oauth_error_words(json, &text);
	}
	fail(c, CLI_END_SMTP, f->permanent || (code >= 500 && code < 600), base_buf_text(&text),
		NULL);
	base_buf_release(&text);
	say_goodbye(c);
	return false;
}

/* TLS */

static bool setup_tls(struct cli_client *c)
{
	struct base_error err;

	if (tls_client_context_new(&c->context, c->options->ca, &err) != 0)
		return fail(c, CLI_END_SETUP, true, err.text, NULL);
	return true;
}

static bool handshake(struct cli_client *c)
{
	const struct cli_client_options *o = c->options;
	struct tls_demands demands = {
		.verify = !o->insecure, .pin = o->pin, .chain = o->chain, .key = o->key};
	struct tls_certificate certificate;
	struct tls_session *tls;
	struct base_error err;
	const char *what, *why;
	char words[64];

	if (tls_connect_with(&tls, c->context, c->connection.fd, o->host, &demands, &err) != 0)
		return fail(c, CLI_END_SETUP, true, err.text, NULL);
	switch (cli_connection_tls(&c->connection, tls, o->connect_ms)) {
	case CLI_HANDSHAKE_DONE:
		return true;
	case CLI_HANDSHAKE_TIMEOUT:
		snprintf(words, sizeof(words), "no TLS handshake within %u seconds",
			o->connect_ms / 1000);
		return fail(c, CLI_END_TLS, false, words, NULL);
	case CLI_HANDSHAKE_FAILED:
		break;
	}
	tls_error(tls, &err);
	what = base_slice_starts_with(base_slice_text(err.text), BASE_SLICE("TLS ")) ? err.text
										     : "TLS failed";
	why = what == err.text ? NULL : err.text;
	/* A certificate that does not verify will not verify later either. */
	if (tls_peer_certificate(tls, 0, &certificate) && tls_verify_failure(tls))
		return fail(c, CLI_END_CERTIFICATE, true, what, why);
	return fail(c, CLI_END_TLS, false, what, why);
}

/* Handshake, then tell the engine what may be bound. */
static bool start_tls(struct cli_client *c)
{
	uint8_t data[TLS_BINDING_MAX_BYTES];
	enum sasl_binding binding;
	size_t len;

	if (!setup_tls(c) || !handshake(c))
		return false;
	binding = cli_connection_binding(&c->connection, data, &len);
	step(c, CLI_STEP_TLS);
	smtp_client_tls_done(
		c->engine, binding, base_slice_make(data, len), !c->options->insecure, &c->out);
	base_wipe(data, sizeof(data));
	return true;
}

/* the session */

static bool flush(struct cli_client *c)
{
	bool sent = cli_connection_send(
		&c->connection, base_buf_slice(&c->out), c->options->reply_ms);

	base_buf_clear(&c->out);
	return sent;
}

static enum smtp_client_event lost(struct cli_client *c, const char *why)
{
	c->lost = true;
	return smtp_client_eof(c->engine, why);
}

static void give_credentials(struct cli_client *c)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES];
	struct base_slice user = c->options->user;

	step(c, CLI_STEP_OFFER);
	/* Null would say that there are none. */
	if (!user.ptr)
		user = BASE_SLICE("");
	base_random_fill(random, sizeof(random));
	smtp_client_credentials(c->engine, user, c->options->secret,
		base_slice_make(random, sizeof(random)), &c->out);
	base_wipe(random, sizeof(random));
}

void cli_client_quit(struct cli_client *c)
{
	c->quitting = true;
	smtp_client_quit(c->engine, &c->out);
}

static void on_ready(struct cli_client *c)
{
	if (!c->options->auth || !smtp_client_is_authenticated(c->engine))
		step(c, CLI_STEP_OFFER);
	step(c, CLI_STEP_LOGGED_IN);
	c->hooks->event(c->hooks->arg, c, SMTP_CLIENT_READY);
}

/* Act on one event; false: the session is over. */
static bool on_event(struct cli_client *c, enum smtp_client_event event)
{
	const char *why;

	switch (event) {
	case SMTP_CLIENT_MORE:
		why = flush(c) ? cli_connection_receive(&c->connection, c->options->reply_ms)
			       : "the connection broke while writing";
		if (why)
			return on_event(c, lost(c, why));
		return true;
	case SMTP_CLIENT_STARTTLS:
		return start_tls(c);
	case SMTP_CLIENT_CREDENTIALS:
		give_credentials(c);
		return true;
	case SMTP_CLIENT_READY:
		on_ready(c);
		return true;
	case SMTP_CLIENT_MAIL_REPLY:
	case SMTP_CLIENT_RCPT_REPLY:
	case SMTP_CLIENT_MESSAGE_REPLY:
	case SMTP_CLIENT_DONE:
		c->hooks->event(c->hooks->arg, c, event);
		return true;
	case SMTP_CLIENT_BODY:
		c->hooks->event(c->hooks->arg, c, event);
		return flush(c) || on_event(c, lost(c, "the connection broke while writing"));
	case SMTP_CLIENT_FAILED:
		if (!c->lost)
			flush(c);
		smtp_failed(c);
		return false;
	case SMTP_CLIENT_CLOSED:
		return false;
	}
	return false;
}

static void converse(struct cli_client *c)
{
	struct base_buf *in = &c->connection.in;
	bool go_on = c->options->tls != CLI_TLS_IMPLICIT || start_tls(c);

	while (go_on) {
		size_t used = 0;
		enum smtp_client_event event = smtp_client_push(
			c->engine, base_buf_slice(in), &used, &c->out);

		base_buf_consume(in, used);
		if (event == SMTP_CLIENT_MORE && used && in->len)
			continue;
		go_on = on_event(c, event);
	}
}

static bool open_connection(struct cli_client *c)
{
	const struct cli_client_options *o = c->options;
	struct addrinfo *list;
	struct base_error err;
	char what[400];
	int rc = cli_resolve(o->host, o->port, &list, &err);

	snprintf(what, sizeof(what), "cannot connect to %s port %u", o->host, o->port);
	if (rc != 0)
		return fail(c, CLI_END_RESOLVE, rc != BASE_ERROR_TEMPORARY, what, err.text);
	for (const struct addrinfo *a = list; a; a = a->ai_next)
		c->address_count++;
	step(c, CLI_STEP_RESOLVED);
	rc = cli_connect(&c->connection, list, o->connect_ms, &err);
	freeaddrinfo(list);
	if (rc != 0)
		return fail(c, CLI_END_CONNECT, false, what, err.text);
	step(c, CLI_STEP_CONNECTED);
	return true;
}

sasl_mechanism_mask cli_client_foreign(void)
{
	return GSASL_MECHANISMS_BLOCKING;
}

static void make_engine(struct cli_client *c)
{
	static const enum smtp_client_tls tls[] = {
		SMTP_CLIENT_TLS_NONE, SMTP_CLIENT_TLS_REQUIRE, SMTP_CLIENT_TLS_IMPLICIT};
	const struct cli_client_options *o = c->options;
	struct smtp_client_options options = {
		.tls = tls[o->tls],
		.auth = o->auth,
		.auth_if_offered = o->auth_if_offered,
		.credential = o->credential,
		.mechanisms = o->mechanisms,
		.host = base_slice_text(o->host),
		.port = o->port,
		.foreign_new = gsasl_client_new,
		.foreign = cli_client_foreign(),
		.allow_plaintext_without_tls = o->insecure ||
			(o->tls == CLI_TLS_NONE && base_addr_is_loopback(&c->connection.own)),
	};

	cli_helo_name(&c->connection, c->helo);
	options.helo_name = base_slice_text(c->helo);
	c->engine = smtp_client_new(&options);
	if (c->hooks->line)
		smtp_client_set_trace(
			c->engine, (struct smtp_client_trace){c->hooks->line, c->hooks->arg});
}

bool cli_client_run(struct cli_client *c)
{
	if (!open_connection(c))
		return false;
	make_engine(c);
	converse(c);
	return c->end == CLI_END_NONE;
}
