/* The transactions of postern send, as many as the server's limits demand, and what is told of them. */
#include "cli/send.h"

#include <stdio.h>
#include <string.h>

enum { BODY_CHUNK_BYTES = 65536 };

struct session {
	const struct cli *cli;
	const struct send_job *job;
	struct cli_client client;
	size_t first, count; /* recipients of this transaction */
	size_t accepted;
	size_t body_at;
	struct base_buf accepted_words; /* told at the end, below all that went wrong */
	int status;
};

/* The worse of two outcomes: refused, then later, then fine. */
static void outcome(struct session *s, int status)
{
	if (s->status != CLI_FAILED && status != CLI_OK)
		s->status = status;
}

/* trace */

static void on_line(void *arg, bool sent, struct base_slice line)
{
	struct base_buf text;

	(void)arg;
	base_buf_init(&text, 1 << 20);
	cli_text_safe(base_slice_trim(line), &text);
	fprintf(stderr, "%s: %.*s\n", sent ? "C" : "S", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
}

static void trace_tls(const struct cli_client *c, struct base_buf *text)
{
	uint8_t data[TLS_BINDING_MAX_BYTES];
	size_t len;
	enum sasl_binding binding = cli_connection_binding(&c->connection, data, &len);

	base_wipe(data, sizeof(data));
	base_buf_append_text(text, "TLS ");
	cli_client_tls_words(c, text);
	base_buf_printf(text, ", channel binding %s",
		binding == SASL_BINDING_NONE ? "none" : sasl_binding_name(binding));
	if (c->options->chain.len)
		base_buf_append_text(text, ", our certificate given if asked for");
}

static void trace_offer(const struct cli_client *c, struct base_buf *text)
{
	if (!c->options->auth)
		return;
	if (smtp_client_is_authenticated(c->engine) ||
		smtp_client_mechanism(c->engine) != SASL_MECHANISM_NONE) {
		base_buf_append_text(text, "logging in by ");
		cli_client_mechanism_words(c, text);
	} else {
		base_buf_append_text(text,
			"not logging in: the server does not offer EXTERNAL, and --cert alone is "
			"no password");
	}
}

static void on_step(void *arg, struct cli_client *c, enum cli_client_step step)
{
	const struct cli_client_options *o = c->options;
	struct base_buf text;

	(void)arg;
	base_buf_init(&text, 8192);
	switch (step) {
	case CLI_STEP_CONNECTED:
		base_buf_append_text(&text, "connected to ");
		base_addr_format_port(&c->connection.peer, &text);
		break;
	case CLI_STEP_TLS:
		trace_tls(c, &text);
		break;
	case CLI_STEP_OFFER:
		trace_offer(c, &text);
		break;
	case CLI_STEP_LOGGED_IN:
		if (o->auth && smtp_client_is_authenticated(c->engine))
			base_buf_printf(&text, "logged in by %s",
				sasl_mechanism_info(smtp_client_mechanism(c->engine))->name);
		break;
	case CLI_STEP_RESOLVED:
	case CLI_STEP_COUNT:
		break;
	}
	if (text.len)
		fprintf(stderr, "-- %.*s\n", BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
}

/* transactions */

static void begin_transaction(struct session *s)
{
	struct cli_client *c = &s->client;
	const struct smtp_client_rcpt *rest = s->job->rcpts + s->first;

	s->body_at = 0;
	s->accepted = 0;
	s->count = smtp_client_rcpt_fit(c->engine, rest, s->job->rcpt_count - s->first);
	smtp_client_send_mail(c->engine, &s->job->mail, rest, s->count, &c->out);
}

/* A reply to MAIL, RCPT or the message. */
static void on_reply(struct session *s, enum smtp_client_event event)
{
	struct smtp_client *engine = s->client.engine;
	const struct smtp_client_reply *r = smtp_client_reply(engine);
	const char *by = smtp_client_reply_is_local(engine) ? "cannot go to this server"
							    : "refused";
	struct base_buf text;

	if (r->code == 0)
		return;
	base_buf_init(&text, 8192);
	cli_client_reply(&s->client, &text);
	if (r->code >= 400)
		outcome(s, r->code >= 500 ? CLI_FAILED : CLI_TEMPORARY);
	if (event == SMTP_CLIENT_RCPT_REPLY && r->code < 400) {
		s->accepted++;
	} else if (event == SMTP_CLIENT_RCPT_REPLY) {
		const struct smtp_client_rcpt
			*rcpt = &s->job->rcpts[s->first + smtp_client_rcpt_index(engine)];

		cli_fail(s->cli, 0, "recipient %.*s %s: %.*s", BASE_SLICE_ARGS(rcpt->address), by,
			BASE_SLICE_ARGS(base_buf_slice(&text)));
	} else if (r->code >= 400) {
		cli_fail(s->cli, 0, "%s %s: %.*s",
			event == SMTP_CLIENT_MAIL_REPLY ? "sender" : "message", by,
			BASE_SLICE_ARGS(base_buf_slice(&text)));
	} else if (event == SMTP_CLIENT_MESSAGE_REPLY) {
		/* Its text names the id under which the server keeps the message. */
		base_buf_append_text(&s->accepted_words, "accepted");
		if (s->accepted < s->job->rcpt_count)
			base_buf_printf(&s->accepted_words, " for %zu of %zu recipients",
				s->accepted, s->job->rcpt_count);
		base_buf_printf(
			&s->accepted_words, ": %.*s\n", BASE_SLICE_ARGS(base_buf_slice(&text)));
	}
	base_buf_release(&text);
}

static void give_body(struct session *s)
{
	struct base_slice rest = base_slice_from(s->job->message, s->body_at);
	size_t used = 0;
	bool last = rest.len <= BODY_CHUNK_BYTES;

	smtp_client_body(s->client.engine, base_slice_first(rest, BODY_CHUNK_BYTES), last, &used,
		&s->client.out);
	s->body_at += used;
}

static void on_done(struct session *s)
{
	struct smtp_client *engine = s->client.engine;

	s->first += s->count;
	if (s->first < s->job->rcpt_count && !smtp_client_is_spent(engine)) {
		begin_transaction(s);
		return;
	}
	if (s->first < s->job->rcpt_count) {
		outcome(s, CLI_TEMPORARY);
		cli_fail(s->cli, 0,
			"the server takes no more transactions now; %zu recipients are left",
			s->job->rcpt_count - s->first);
	}
	cli_client_quit(&s->client);
}

static void on_event(void *arg, struct cli_client *c, enum smtp_client_event event)
{
	struct session *s = arg;

	(void)c;
	if (event == SMTP_CLIENT_READY)
		begin_transaction(s);
	else if (event == SMTP_CLIENT_DONE)
		on_done(s);
	else if (event == SMTP_CLIENT_BODY)
		give_body(s);
	else
		on_reply(s, event);
}

/* What can be done about it, where we know; else "". */
static const char *advice(const struct cli_client *c)
{
	if (c->end == CLI_END_CERTIFICATE && !c->options->pin)
		return "; name its authority with --ca FILE, or take any with --insecure";
	if (c->end == CLI_END_SMTP && smtp_client_failure(c->engine)->stage == SMTP_STAGE_STARTTLS)
		return "; --tls implicit if it speaks TLS from the first byte, --tls none to go "
		       "without";
	return "";
}

static void on_failed(struct session *s)
{
	const struct cli_client *c = &s->client;

	outcome(s, c->permanent ? CLI_FAILED : CLI_TEMPORARY);
	cli_fail(s->cli, 0, "%s%s", c->failure, advice(c));
	if (c->end == CLI_END_SMTP && smtp_client_failure(c->engine)->maybe_delivered)
		cli_fail(s->cli, 0, "the server may have taken the message all the same");
}

int send_run(const struct cli *cli, const struct send_job *job)
{
	struct session s = {.cli = cli, .job = job};
	struct cli_client_hooks hooks = {.arg = &s, .event = on_event};

	if (job->trace) {
		hooks.line = on_line;
		hooks.step = on_step;
	}
	base_buf_init(&s.accepted_words, 1 << 20);
	cli_client_init(&s.client, &job->server, &hooks);
	if (!cli_client_run(&s.client))
		on_failed(&s);
	printf("%.*s", BASE_SLICE_ARGS(base_buf_slice(&s.accepted_words)));
	cli_client_release(&s.client);
	base_buf_release(&s.accepted_words);
	return s.status;
}
