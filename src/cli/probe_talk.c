/* The sessions of a probe: one step, one deadline. */
#include "cli/probe.h"

#include "base/clock.h"
#include "smtp/reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { QUIT_MS = 2000 };

int probe_talk_open(struct probe_talk *t, const struct probe *p, struct base_error *err)
{
	int rc;

	cli_connection_init(&t->connection);
	t->reader = base_alloc_zero(1, sizeof(*t->reader));
	smtp_reply_reader_init(t->reader);
	rc = cli_connection_open(&t->connection, p->host, p->port, PROBE_STEP_MS, err);
	if (rc == 0)
		cli_helo_name(&t->connection, t->helo);
	else
		probe_talk_close(t);
	return rc;
}

void probe_talk_close(struct probe_talk *t)
{
	cli_connection_close(&t->connection);
	smtp_reply_reader_release(t->reader);
	free(t->reader);
	t->reader = NULL;
}

bool probe_talk_send(struct probe_talk *t, const char *line)
{
	return cli_connection_send(&t->connection, base_slice_text(line), PROBE_STEP_MS);
}

/* "250-TEXT": TEXT, as much as fits. */
static void take_line(struct base_slice line, struct base_buf *out)
{
	if (!out)
		return;
	if (out->len && base_buf_room(out))
		base_buf_append_byte(out, '\n');
	base_buf_append_slice(out, base_slice_first(base_slice_from(line, 4), base_buf_room(out)));
}

/* What is in the connection's buffer. True: *out_why and *out_code say what it was. */
static bool take_reply(
	struct probe_talk *t, unsigned *out_code, const char **out_why, struct base_buf *out)
{
	struct smtp_client_reply reply = {.code = 0};
	struct base_buf *in = &t->connection.in;

	while (in->len) {
		struct base_slice line;
		size_t used;
		enum smtp_reply_result result = smtp_reply_push(
			t->reader, base_buf_slice(in), &used, &reply, &line);

		*out_why = NULL;
		if (result == SMTP_REPLY_LINE || result == SMTP_REPLY_END)
			take_line(line, out);
		base_buf_consume(in, used);
		switch (result) {
		case SMTP_REPLY_MORE:
		case SMTP_REPLY_LINE:
			break;
		case SMTP_REPLY_END:
			*out_code = reply.code;
			return true;
		case SMTP_REPLY_BROKEN:
			*out_why = "its reply is no SMTP reply";
			return true;
		case SMTP_REPLY_ENDLESS:
			*out_why = "its reply has no end";
			return true;
		}
	}
	return false;
}

const char *probe_talk_reply(struct probe_talk *t, unsigned *out_code, struct base_buf *out)
{
	int64_t deadline_ms = base_clock_monotonic_ms() + PROBE_STEP_MS, left;
	const char *why = NULL;

	for (;;) {
		if (take_reply(t, out_code, &why, out))
			return why;
		left = deadline_ms - base_clock_monotonic_ms();
		if (left <= 0)
			return "it did not answer within 10 seconds";
		why = cli_connection_receive(&t->connection, (uint32_t)left);
		if (why)
			return why;
	}
}

void probe_talk_quit(struct probe_talk *t)
{
	base_buf_clear(&t->connection.in);
	if (cli_connection_send(&t->connection, BASE_SLICE("QUIT\r\n"), QUIT_MS))
		(void)cli_connection_receive(&t->connection, QUIT_MS);
}

/* the main session */

static void trouble(struct probe *p, const char *at, const char *why)
{
	snprintf(p->trouble, sizeof(p->trouble), "%s: %s", at, why);
}

/* EHLO, and HELO where that is not known. */
static bool hello(struct probe *p, struct probe_talk *t, struct probe_offer *offer)
{
	char line[CLI_HELO_MAX_BYTES + 8];
	const char *why;

	offer->asked = true;
	snprintf(line, sizeof(line), "EHLO %s\r\n", t->helo);
	probe_talk_send(t, line);
	why = probe_talk_reply(t, &offer->code, &offer->hello);
	if (!why && offer->code >= 500 && offer->code < 600) {
		base_buf_clear(&offer->hello);
		offer->helo = true;
		snprintf(line, sizeof(line), "HELO %s\r\n", t->helo);
		probe_talk_send(t, line);
		why = probe_talk_reply(t, &offer->code, &offer->hello);
	}
	if (why)
		trouble(p, "EHLO", why);
	else if (offer->code != 250)
		snprintf(p->trouble, sizeof(p->trouble), "the server refuses EHLO with %u",
			offer->code);
	else
		probe_offer_read(offer);
	return p->trouble[0] == '\0';
}

static bool handshake(struct probe *p, struct probe_talk *t)
{
	struct tls_demands demands = {.verify = false};
	struct tls_session *tls;
	struct base_error err;

	if (tls_connect_with(&tls, p->context, t->connection.fd, p->host, &demands, &err) != 0) {
		snprintf(p->tls_failure, sizeof(p->tls_failure), "%s", err.text);
		return false;
	}
	switch (cli_connection_tls(&t->connection, tls, PROBE_STEP_MS)) {
	case CLI_HANDSHAKE_DONE:
		p->tls = true;
		probe_facts_of_tls(p, tls);
		return true;
	case CLI_HANDSHAKE_TIMEOUT:
		snprintf(p->tls_failure, sizeof(p->tls_failure),
			"no TLS handshake within 10 seconds");
		return false;
	case CLI_HANDSHAKE_FAILED:
		break;
	}
	tls_error(tls, &err);
	snprintf(p->tls_failure, sizeof(p->tls_failure), "%s", err.text);
	return false;
}

static bool starttls(struct probe *p, struct probe_talk *t)
{
	unsigned code = 0;
	const char *why;

	if (!probe_offer_has(&p->before, "STARTTLS")) {
		p->starttls = PROBE_STARTTLS_NOT_OFFERED;
		return false;
	}
	probe_talk_send(t, "STARTTLS\r\n");
	why = probe_talk_reply(t, &code, &p->starttls_reply);
	if (why) {
		trouble(p, "STARTTLS", why);
		return false;
	}
	if (code != 220) {
		p->starttls = PROBE_STARTTLS_REFUSED;
		return false;
	}
	/* Bytes in clear that a client could take for the first words inside TLS. */
	p->starttls = t->connection.in.len ? PROBE_STARTTLS_BEHIND : PROBE_STARTTLS_DONE;
	return p->starttls == PROBE_STARTTLS_DONE && handshake(p, t);
}

static int greeting(struct probe *p, struct probe_talk *t, struct base_error *err)
{
	const char *why = probe_talk_reply(t, &p->greeting_code, &p->greeting);
	struct base_buf text;
	int rc;

	if (why)
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
			"connected, but there is no greeting: %s", why);
	if (p->greeting_code == 220)
		return 0;
	base_buf_init(&text, 300);
	cli_text_safe(base_slice_first(base_buf_slice(&p->greeting), 70), &text);
	rc = base_error_set(err, BASE_ERROR_TEMPORARY, 0, "the server refuses us: %u %.*s",
		p->greeting_code, BASE_SLICE_ARGS(base_buf_slice(&text)));
	base_buf_release(&text);
	return rc;
}

static int clear_first(struct probe *p, struct probe_talk *t, struct base_error *err)
{
	int rc = greeting(p, t, err);

	if (rc != 0 || !hello(p, t, &p->before))
		return rc;
	if (p->mode != PROBE_NONE && starttls(p, t))
		hello(p, t, &p->after);
	return 0;
}

static int tls_first(struct probe *p, struct probe_talk *t, struct base_error *err)
{
	int rc;

	if (!handshake(p, t))
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
			"connected, but %s; does it speak TLS from the first byte? else --tls "
			"starttls",
			p->tls_failure);
	rc = greeting(p, t, err);
	if (rc == 0)
		hello(p, t, &p->after);
	return rc;
}

int probe_session(struct probe *p, struct base_error *err)
{
	struct probe_talk t;
	int rc = probe_talk_open(&t, p, err);

	if (rc != 0)
		return rc;
	p->peer = t.connection.peer;
	rc = p->mode == PROBE_IMPLICIT ? tls_first(p, &t, err) : clear_first(p, &t, err);
	/* After a handshake that failed nobody can be told anything. */
	if (!p->tls_failure[0] && !p->trouble[0])
		probe_talk_quit(&t);
	probe_talk_close(&t);
	return rc;
}
