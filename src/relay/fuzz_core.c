/* Everybody that relay listens to, hostile: queue sends jobs and auth sends answers in any order and any
 * bytes, servers say what they like, time passes. Nothing crashes; no password or token goes out before
 * TLS was verified; no mail of an account before its login; each job comes back once. */
#include "relay/core.h"

#include "base/base64.h"

#include <string.h>

#define SECRET "secret-of-the-account-0123456789"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
	struct relay_core *core;
	struct relay_now now;
	struct base_slice rest;
	unsigned given, returned;
};

static uint8_t next(struct world *w)
{
	uint8_t byte = w->rest.len ? w->rest.ptr[0] : 0;

	if (w->rest.len)
		w->rest = base_slice_from(w->rest, 1);
	return byte;
}

static struct base_slice take(struct world *w, size_t len)
{
	struct base_slice out = base_slice_first(w->rest, len);

	w->rest = base_slice_from(w->rest, out.len);
	return out;
}

static void check_wire(const struct relay_conn *conn, struct base_slice out)
{
	bool in_clear = !conn->peer.tls_version || !conn->peer.verified;

	if (!in_clear || !relay_conn_account(conn) || !out.len)
		return;
	BASE_BUG_IF(memmem(out.ptr, out.len, "AUTH ", 5) != NULL);
	BASE_BUG_IF(memmem(out.ptr, out.len, "MAIL ", 5) != NULL);
	BASE_BUG_IF(memmem(out.ptr, out.len, SECRET, strlen(SECRET)) != NULL);
}

static void give_job(struct world *w)
{
	static const char *const accounts[] = {"", "a", "b", "acc"};
	struct base_buf envelope, body;
	struct envelope e = {.session = BASE_SLICE("s"),
		.sender = BASE_SLICE("a@x.example"),
		.rcpt_count = 1 + next(w) % 3};
	uint8_t kind = next(w);
	struct job job = {.message_id = BASE_SLICE("m"),
		.attempt = 1,
		.via = kind & 1    ? CONF_VIA_ACCOUNT
			: kind & 2 ? CONF_VIA_SMTPS
			: kind & 4 ? CONF_VIA_SMTP
				   : CONF_VIA_MX,
		.host = BASE_SLICE("h.example"),
		.port = 25,
		.account = base_slice_text(accounts[kind >> 6]),
		.route = BASE_SLICE("*"),
		.size = 4,
		.message = BASE_SLICE("hi\r\n")};
	uint32_t i;

	base_buf_init(&envelope, 1 << 16);
	base_buf_init(&body, 1 << 16);
	envelope_put(&envelope, &e);
	for (i = 0; i < e.rcpt_count; i++)
		envelope_put_rcpt(
			&envelope, &(struct envelope_rcpt){.address = BASE_SLICE("b@y.example")});
	job.envelope = base_buf_slice(&envelope);
	job_put(&body, &job);
	base_buf_append_slice(&body, job.message);
	if (relay_core_job(w->core, 1, 0, BASE_SLICE_EMPTY, base_buf_slice(&body), -1, &w->now))
		w->given++;
	base_buf_release(&envelope);
	base_buf_release(&body);
}

/* One that can be used, mostly, or bytes. */
static void tell_account(struct world *w, uint32_t id)
{
	static const char *const urls[] = {
		"smtps://h.example", "smtp://h.example", "smtps://192.0.2.1:99", "x"};
	uint8_t kind = next(w);
	struct account_info info = {.url = base_slice_text(urls[kind & 3]),
		.credential = next(w) % 6,
		.mechanisms = kind & 4 ? next(w) : 0,
		.certificate = kind & 8,
		.connections = kind & 16 ? 1 : 0,
		.rate_count = kind & 32 ? 2 : 0,
		.rate_s = kind & 32 ? next(w) : 0};
	struct base_buf body;

	if (kind & 64) {
		relay_core_account_told(w->core, id, take(w, next(w)), &w->now);
		return;
	}
	base_buf_init(&body, 4096);
	account_info_put(&body, &info);
	relay_core_account_told(w->core, id, base_buf_slice(&body), &w->now);
	base_buf_release(&body);
}

static void tell_secret(struct world *w, uint32_t id)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {1}, kind = next(w);
	struct base_buf body;

	base_buf_init(&body, 4096);
	if (kind & 1) {
		base_buf_append_slice(&body, take(w, next(w)));
	} else {
		ipc_put_u8(&body, kind & 2 ? kind >> 4 : 0);
		ipc_put_text(&body, "user");
		ipc_put_text(&body, SECRET);
		ipc_put_text(&body, kind & 4 ? "no\nreason" : "");
	}
	relay_core_secret(w->core, id, base_buf_slice(&body),
		base_slice_make(random, sizeof(random)), &w->now);
	base_buf_release(&body);
}

static void answer_dns(struct world *w, const struct relay_effect *e)
{
	struct route_dns_answer answer;

	route_dns_answer_set(&answer, ROUTE_DNS_EMPTY);
	if (e->question.type == ROUTE_DNS_A && next(w) & 3) {
		answer.status = ROUTE_DNS_FOUND;
		answer.count = 1;
		answer.records[0] = (struct route_dns_record){.preference = 0};
		BASE_BUG_IF(!base_addr_parse(BASE_SLICE("192.0.2.1"), &answer.records[0].addr));
	}
	relay_core_answer(w->core, e->dest_id, e->question.id, &answer, &w->now);
}

static void handshake(struct world *w, struct relay_conn *conn)
{
	struct relay_tls_done done = {
		.version = "TLSv1.3", .cipher = "X", .verified = relay_conn_must_verify(conn)};

	relay_conn_certificate_taken(conn);
	if (next(w) & 7)
		relay_conn_tls(conn, &done, NULL, &w->now);
	else
		relay_conn_tls(conn, NULL, "TLS handshake failed", &w->now);
}

static void take_result(struct world *w, struct relay_job *job)
{
	struct base_buf body;
	struct job_result head;
	struct ipc_reader rest;

	base_buf_init(&body, 1 << 20);
	relay_job_report(job, &w->now, &body);
	BASE_BUG_IF(!job_result_get(base_buf_slice(&body), &head, &rest));
	base_buf_release(&body);
	relay_job_free(job);
	w->returned++;
}

static void do_effect(struct world *w, const struct relay_effect *e)
{
	switch (e->kind) {
	case RELAY_ASK:
		answer_dns(w, e);
		break;
	case RELAY_CONNECT:
		if (e->conn->phase == RELAY_CONN_CONNECTING)
			relay_conn_connected(e->conn, next(w) & 7 ? NULL : "refused", &w->now);
		break;
	case RELAY_START_TLS:
		if (e->conn->phase == RELAY_CONN_TLS)
			handshake(w, e->conn);
		break;
	case RELAY_WANT_SECRET:
		if (e->conn->phase != RELAY_CONN_CLOSED)
			tell_secret(w, e->conn->number);
		break;
	case RELAY_WANT_ACCOUNT:
		tell_account(w, e->account->id);
		break;
	case RELAY_WRITE:
		if (e->conn->phase == RELAY_CONN_CLOSED)
			break;
		check_wire(e->conn, base_buf_slice(&e->conn->out));
		base_buf_clear(&e->conn->out);
		relay_conn_written(e->conn, &w->now);
		break;
	case RELAY_READ_BODY:
		BASE_BUG_IF(true);
		break;
	case RELAY_CLOSE:
		relay_conn_free(e->conn);
		break;
	case RELAY_RESULT:
		take_result(w, e->job);
		break;
	case RELAY_DROP:
		relay_job_free(e->job);
		w->returned++;
		break;
	case RELAY_ACCOUNT:
		BASE_BUG_IF(strlen(e->account->reason) >= sizeof(e->account->reason));
		break;
	}
}

/* What well-behaved servers say, to get far. */
static void say_usual(struct world *w, struct relay_conn *conn)
{
	static const char *const usual[] = {"220 hi\r\n", "250-s\r\n250 STARTTLS\r\n",
		"250-s\r\n250-PIPELINING\r\n250 AUTH PLAIN LOGIN XOAUTH2 OAUTHBEARER EXTERNAL\r\n",
		"235 ok\r\n", "250 ok\r\n", "354 go\r\n", "535 5.7.8 no\r\n", "334 e30=\r\n",
		"334 \r\n", "421 bye\r\n", "451 later\r\n", "550 no\r\n"};

	relay_conn_input(conn, base_slice_text(usual[next(w) % BASE_COUNT(usual)]), &w->now);
}

static void act_on_conn(struct world *w, uint8_t what)
{
	struct relay_conn *conn = relay_core_conns(w->core);
	uint8_t skip = next(w) & 3;

	while (conn && skip-- && conn->next)
		conn = conn->next;
	if (!conn)
		return;
	if (what == 0)
		relay_conn_ended(conn, "closed", &w->now);
	else if (what == 1)
		relay_conn_input(conn, take(w, next(w)), &w->now);
	else
		say_usual(w, conn);
}

static void act(struct world *w)
{
	struct base_slice name = base_slice_text(next(w) & 1 ? "a" : "");
	uint8_t what = next(w) % 16;

	if (what == 0)
		give_job(w);
	else if (what == 1)
		relay_core_account_retry(w->core, name, &w->now);
	else if (what == 2)
		relay_core_account_changed(w->core, name, &w->now);
	else if (what == 3)
		tell_account(w, next(w) & 3);
	else if (what == 4)
		tell_secret(w, next(w) & 7);
	else if (what == 5)
		relay_core_auth_back(w->core);
	else if (what == 6)
		relay_core_queue_gone(w->core, 0);
	else if (what == 7) {
		w->now.mono_ms += 1000 * (int64_t)next(w) * next(w);
		w->now.wall_ms = w->now.mono_ms;
		relay_core_tick(w->core, &w->now);
	} else
		act_on_conn(w, what - 8);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct relay_options options = {.own_name = BASE_SLICE("me.example")};
	struct world w = {.rest = base_slice_make(data, size), .now = {.mono_ms = 1, .wall_ms = 1}};
	struct relay_effect e;
	struct relay_conn *conn;

	w.core = relay_core_new(&options);
	give_job(&w);
	while (w.rest.len) {
		while (relay_core_effect(w.core, &e))
			do_effect(&w, &e);
		act(&w);
	}
	/* The end: whatever is left comes back. */
	relay_core_drain(w.core, &w.now);
	while (relay_core_effect(w.core, &e))
		do_effect(&w, &e);
	for (conn = relay_core_conns(w.core); conn; conn = conn->next)
		relay_conn_ended(conn, "the end", &w.now);
	while (relay_core_effect(w.core, &e))
		do_effect(&w, &e);
	relay_core_drain(w.core, &w.now);
	while (relay_core_effect(w.core, &e))
		do_effect(&w, &e);
	BASE_BUG_IF(w.given != w.returned || !relay_core_is_idle(w.core));
	relay_core_free(&w.core);
	return 0;
}
