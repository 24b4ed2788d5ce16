/* The steps of a login, each told when it was made; the first that fails ends the test. */
#include "cli/account_test.h"

#include "base/time.h"
#include "cli/account_material.h"
#include "cli/rows.h"
#include "wire/oauth_error.h"

#include <stdlib.h>
#include <string.h>

enum { CONNECT_MS = 10000, REPLY_MS = 30000, TEXT = 14 };

struct test {
	struct cli *cli;
	const struct conf *conf;
	bool json;
	struct account_material m;
	struct cli_client client;
	json_t *steps;
	bool failed, offered;
	bool again;         /* with a second token, because the server refused the first */
	const char *advice; /* null: none is needed, or known */
	json_t *reply;
};

/* "ok" or "failed"; for people at once. */
static void told(struct test *t, const char *name, bool ok, struct base_buf *text)
{
	json_t *step = json_object();

	t->failed = t->failed || !ok;
	json_object_set_new(step, "step", json_string(name));
	json_object_set_new(step, "result", json_string(ok ? "ok" : "failed"));
	json_object_set_new(step, "text", json_string(base_buf_text(text)));
	json_array_append_new(t->steps, step);
	if (t->json)
		return;
	if (!ok)
		printf("FAILED: %s\n", name);
	cli_print_row(ok ? name : "", 0, TEXT, base_buf_slice(text));
	fflush(stdout);
}

static void told_error(struct test *t, const char *name, const char *why)
{
	struct base_buf text;

	base_buf_init(&text, 4096);
	base_buf_append_text(&text, why);
	told(t, name, false, &text);
	base_buf_release(&text);
}

/* the account and its token */

static bool load(struct test *t, const char *name)
{
	struct base_error err;
	struct base_buf text;
	int rc = account_material_load(&t->m, t->conf, name, &err);

	if (rc != 0) {
		told_error(t, "account", err.text);
		return false;
	}
	base_buf_init(&text, 4096);
	base_buf_append_text(&text, t->m.url);
	if (t->m.user[0])
		base_buf_append_text(&text, " as ");
	cli_text_safe(base_slice_text(t->m.user), &text);
	base_buf_printf(&text, ", by a %s%s", account_credential_name(t->m.credential),
		t->m.chain.len && t->m.credential != SASL_CREDENTIAL_CERTIFICATE
			? " and a client certificate"
			: "");
	told(t, "account", true, &text);
	base_buf_release(&text);
	return true;
}

static bool get_token(struct test *t)
{
	static const char *const sources[] = {
		[ACCOUNT_TOKEN_NONE] = "none",
		[ACCOUNT_TOKEN_SERVER] = "from the running server",
		[ACCOUNT_TOKEN_KEPT] = "kept in the vault",
		[ACCOUNT_TOKEN_RENEWED] = "newly obtained, and kept in the vault",
	};
	struct base_error err;
	struct base_buf text;

	if (t->m.credential != SASL_CREDENTIAL_TOKEN)
		return true;
	if (account_material_token(&t->m, t->conf, &err) != 0) {
		told_error(t, "token", err.text);
		t->advice = "if the provider revoked it, log in again: postern account add NAME "
			    "--oauth … --replace; else look at the profile's endpoint, client and "
			    "scope";
		return false;
	}
	base_buf_init(&text, 400);
	if (t->again)
		base_buf_append_text(&text, "the server refused that one; ");
	base_buf_append_text(&text, sources[t->m.token_source]);
	if (t->m.token_until_ms) {
		base_buf_append_text(&text, ", good until ");
		base_time_rfc3339(t->m.token_until_ms, false, &text);
	}
	told(t, "token", true, &text);
	base_buf_release(&text);
	return true;
}

/* the session's steps */

static void tls_text(const struct test *t, const struct cli_client *c, struct base_buf *text)
{
	struct tls_certificate certificate;

	cli_client_tls_words(c, text);
	if (!tls_peer_certificate(c->connection.tls, 0, &certificate))
		return;
	if (!t->m.has_pin)
		base_buf_printf(text, " for %s", t->m.host);
	base_buf_append_text(text, " until ");
	base_time_rfc3339(certificate.not_after_ms, false, text);
	base_buf_printf(text, ", issued by %s; pin %s",
		certificate.self_signed ? "itself" : certificate.issuer, certificate.pin);
}

static void on_step(void *arg, struct cli_client *c, enum cli_client_step step)
{
	struct test *t = arg;
	const char *name = NULL;
	struct base_buf text;

	base_buf_init(&text, 8192);
	switch (step) {
	case CLI_STEP_RESOLVED:
		name = "name";
		base_buf_printf(&text, "%s has %zu address%s", t->m.host, c->address_count,
			c->address_count == 1 ? "" : "es");
		break;
	case CLI_STEP_CONNECTED:
		name = "connection";
		base_buf_append_text(&text, "to ");
		base_addr_format_port(&c->connection.peer, &text);
		break;
	case CLI_STEP_TLS:
		name = "TLS";
		tls_text(t, c, &text);
		break;
	case CLI_STEP_OFFER:
		t->offered = true;
		base_buf_append_text(&text, "mechanisms offered: ");
		cli_mechanism_names(smtp_client_mechanisms(c->engine), &text);
		if (!t->again)
			told(t, "EHLO", true, &text);
		base_buf_clear(&text);
		name = "mechanism";
		cli_client_mechanism_words(c, &text);
		break;
	case CLI_STEP_LOGGED_IN:
		name = "login";
		base_buf_append_text(&text, "accepted: ");
		cli_client_reply(c, &text);
		break;
	case CLI_STEP_COUNT:
		break;
	}
	if (name && (!t->again || step == CLI_STEP_LOGGED_IN))
		told(t, name, true, &text);
	base_buf_release(&text);
}

static void keep_reply(struct test *t)
{
	const struct smtp_client_reply *r = smtp_client_reply(t->client.engine);
	struct base_buf text;

	if (r->code == 0)
		return;
	base_buf_init(&text, 8192);
	cli_text_safe(base_slice_make(r->text, r->text_len), &text);
	json_decref(t->reply);
	t->reply = json_object();
	json_object_set_new(t->reply, "code", json_integer(r->code));
	json_object_set_new(
		t->reply, "enhanced", r->enhanced[0] ? json_string(r->enhanced) : json_null());
	json_object_set_new(t->reply, "text", json_string(base_buf_text(&text)));
	base_buf_release(&text);
}

static void on_event(void *arg, struct cli_client *c, enum smtp_client_event event)
{
	if (event != SMTP_CLIENT_READY)
		return;
	keep_reply(arg);
	cli_client_quit(c);
}

/* what to do then */

static const char *refused_advice(const struct test *t)
{
	switch (t->m.credential) {
	case SASL_CREDENTIAL_PASSWORD:
		return "user or password is wrong, or the provider wants an app password, or OAuth "
		       "in "
		       "place of passwords; a new one: postern account add NAME --replace";
	case SASL_CREDENTIAL_TOKEN:
		return "the token is good for the provider but not for this login: look at the "
		       "scope, "
		       "and whether it belongs to this user";
	case SASL_CREDENTIAL_CERTIFICATE:
		return "ask the server's administrator whether this certificate is known there, "
		       "and "
		       "as which user";
	case SASL_CREDENTIAL_TICKET:
		return "look at klist: is there a ticket, and of the right realm?";
	case SASL_CREDENTIAL_COUNT:
		break;
	}
	return NULL;
}

static const char *smtp_advice(const struct test *t)
{
	const struct smtp_client_failure *f = smtp_client_failure(t->client.engine);

	if (f->stage == SMTP_STAGE_STARTTLS)
		return "without TLS no secret is given away; if the server speaks TLS from the "
		       "first "
		       "byte write smtps://host:465";
	if (f->stage == SMTP_STAGE_GREETING || f->stage == SMTP_STAGE_HELLO)
		return "is it the right port? 587 is smtp://, 465 is smtps://; or does the server "
		       "want "
		       "a client certificate?";
	if (f->refused)
		return refused_advice(t);
	if (f->stage == SMTP_STAGE_AUTH && f->account)
		return "compare what the server offers with the account's secret and mechanisms; "
		       "postern probe shows all of the offer";
	return "try again later";
}

static const char *advice(const struct test *t)
{
	switch (t->client.end) {
	case CLI_END_NONE:
		return NULL;
	case CLI_END_RESOLVE:
		return "look at the host in url";
	case CLI_END_CONNECT:
		return "look at host and port in url, and at firewalls on the way";
	case CLI_END_SETUP:
		return "look at the files of certificate, key and ca";
	case CLI_END_TLS:
		return "smtps:// speaks TLS from the first byte, smtp:// by STARTTLS: is it the "
		       "right "
		       "port? Less than TLS 1.2 is refused here; postern probe shows what the "
		       "server "
		       "speaks";
	case CLI_END_CERTIFICATE:
		return t->m.has_pin ? "if the server has a new key, ask its administrator for the "
				      "digest and set "
				      "the new pin"
				    : "if the authority is your own, name it by ca; postern probe "
				      "shows the chain";
	case CLI_END_SMTP:
		return smtp_advice(t);
	}
	return NULL;
}

static const char *failed_step(const struct test *t)
{
	static const char *const steps[] = {
		[CLI_END_NONE] = "login",
		[CLI_END_RESOLVE] = "name",
		[CLI_END_CONNECT] = "connection",
		[CLI_END_SETUP] = "TLS",
		[CLI_END_TLS] = "TLS",
		[CLI_END_CERTIFICATE] = "TLS",
		[CLI_END_SMTP] = "EHLO",
	};

	if (t->client.end != CLI_END_SMTP)
		return steps[t->client.end];
	switch (smtp_client_failure(t->client.engine)->stage) {
	case SMTP_STAGE_STARTTLS:
	case SMTP_STAGE_TLS:
		return "TLS";
	case SMTP_STAGE_AUTH:
		return t->offered ? "login" : "mechanism";
	case SMTP_STAGE_GREETING:
	case SMTP_STAGE_HELLO:
	case SMTP_STAGE_MAIL:
	case SMTP_STAGE_RCPT:
	case SMTP_STAGE_DATA:
	case SMTP_STAGE_BODY:
	case SMTP_STAGE_FINAL:
	case SMTP_STAGE_QUIT:
	case SMTP_STAGE_COUNT:
		break;
	}
	return steps[CLI_END_SMTP];
}

static void on_failed(struct test *t)
{
	struct base_buf text;

	base_buf_init(&text, 8192);
	if (t->client.end == CLI_END_SMTP)
		keep_reply(t);
	if (t->client.end == CLI_END_SMTP && !t->offered &&
		smtp_client_failure(t->client.engine)->stage == SMTP_STAGE_AUTH) {
		base_buf_append_text(&text, "mechanisms offered: ");
		cli_mechanism_names(smtp_client_mechanisms(t->client.engine), &text);
		told(t, "EHLO", true, &text);
	}
	told_error(t, failed_step(t), t->client.failure);
	t->advice = advice(t);
	base_buf_release(&text);
}

/* A token that was revoked looks good here: a relay gets a new one then, once. */
static bool wants_new_token(const struct test *t)
{
	return t->m.credential == SASL_CREDENTIAL_TOKEN && !t->again &&
		t->m.token_source != ACCOUNT_TOKEN_RENEWED && t->client.end == CLI_END_SMTP &&
		smtp_client_failure(t->client.engine)->refused;
}

/* False: the session is to be made again. */
static bool log_in(struct test *t)
{
	struct cli_client_options options = {
		.host = t->m.host,
		.port = t->m.port,
		.tls = t->m.tls,
		.ca = base_buf_slice(&t->m.ca),
		.pin = t->m.has_pin ? t->m.pin : NULL,
		.chain = base_buf_slice(&t->m.chain),
		.key = base_buf_slice(&t->m.key),
		.auth = true,
		.credential = t->m.credential,
		.mechanisms = t->m.mechanisms,
		.user = base_slice_text(t->m.user),
		.secret = base_buf_slice(&t->m.secret),
		.connect_ms = CONNECT_MS,
		.reply_ms = REPLY_MS,
	};
	struct cli_client_hooks hooks = {.arg = t, .step = on_step, .event = on_event};
	bool ok, again;

	cli_client_init(&t->client, &options, &hooks);
	ok = cli_client_run(&t->client);
	again = !ok && wants_new_token(t);
	if (!ok && !again)
		on_failed(t);
	cli_client_release(&t->client);
	return !again;
}

static void print_json(struct test *t)
{
	json_t *json = json_object();
	char *text;

	json_object_set_new(json, "name", json_string(t->m.name));
	json_object_set_new(json, "url", t->m.url[0] ? json_string(t->m.url) : json_null());
	json_object_set_new(json, "user", t->m.user[0] ? json_string(t->m.user) : json_null());
	json_object_set_new(json, "result", json_string(t->failed ? "failed" : "ok"));
	json_object_set(json, "steps", t->steps);
	json_object_set(json, "reply", t->reply);
	json_object_set_new(json, "advice", t->advice ? json_string(t->advice) : json_null());
	text = json_dumps(json, JSON_COMPACT);
	puts(text ? text : "{}");
	free(text);
	json_decref(json);
}

int cli_account_test(struct cli *cli, struct conf *conf, const char *name)
{
	struct test t = {.cli = cli,
		.conf = conf,
		.json = cli_has(cli, "json"),
		.steps = json_array(),
		.reply = json_null()};

	account_material_init(&t.m);
	t.m.name = name;
	if (load(&t, name) && get_token(&t) && !log_in(&t)) {
		t.again = t.m.token_refused = true;
		base_buf_clear(&t.m.secret);
		if (get_token(&t))
			(void)log_in(&t);
	}
	if (t.json)
		print_json(&t);
	else if (t.failed && t.advice)
		cli_print_row("what to do", 0, TEXT, base_slice_text(t.advice));
	else if (!t.failed)
		printf("%s can log in\n", name);
	account_material_release(&t.m);
	json_decref(t.steps);
	json_decref(t.reply);
	return t.failed ? CLI_FAILED : CLI_OK;
}
