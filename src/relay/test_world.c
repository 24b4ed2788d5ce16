#include "relay/test_world.h"

#include "base/base64.h"

struct server {
	const char *mode;
	unsigned transactions, rcpts;
	bool in_data, in_auth, logged_in;
	bool silent;   /* it has kept an answer back, and so it does with all that would follow */
	bool refusing; /* a token, and has said why */
};

/* What a server of that mode says to a verb in place of what is usual: "": nothing, "!": it closes. */
static const struct {
	const char *mode, *verb, *reply;
} says[] = {
	{"421-greeting", "GREET", "421 4.3.2 busy"},
	{"554-greeting", "GREET", "554 5.7.1 go away"},
	{"drop-greeting", "GREET", "!"},
	{"no-auth", "EHLO", "250-s\r\n250 PIPELINING"},
	{"strip", "EHLO", "250-s\r\n250 AUTH PLAIN"},
	{"starttls-refused", "STARTTLS", "454 4.7.0 TLS is away"},
	{"inject", "STARTTLS", "220 go\r\n250 2.0.0 believe me"},
	{"535", "AUTH", "535 5.7.8 no"},
	{"535-other", "AUTH", "535 5.7.9 not so"},
	{"535-numbered", "AUTH", "535 5.7.8 no (this is a new text)"},
	{"454", "AUTH", "454 4.7.0 later"},
	{"421-auth", "AUTH", "421 4.7.0 bye"},
	{"535-token", "AUTH", "334 eyJzdGF0dXMiOiI0MDEifQ=="},
	{"421-mail", "MAIL", "421 4.3.2 going down"},
	{"452-mail", "MAIL", "452 4.3.1 full"},
	{"421-rcpt", "RCPT", "421 4.3.2 going down"},
	{"greylist", "RCPT", "451 4.7.1 later"},
	{"greylist", "DATA", "554 no valid recipients"},
	{"421-data", "DATA", "421 4.3.2 going down"},
	{"drop-body", "BODY", "!"},
	{"421-body", "BODY", "421 4.3.2 going down"},
	{"drop-dot", "DOT", "!"},
	{"421-dot", "DOT", "421 4.3.2 going down"},
	{"451-dot", "DOT", "451 4.3.0 not now"},
	{"554-dot", "DOT", "554 5.6.0 never"},
	{"530-mail", "MAIL", "530 5.7.0 login first"},
	{"530-mail-bye", "MAIL", "530 5.7.0 login first"},
	{"530-mail-bye", "RCPT", "!"},
	{"535-mail", "MAIL", "535 5.7.8 who?"},
	{"525-rcpt", "RCPT", "525 5.7.13 disabled"},
	{"550-rcpt", "RCPT", "550 5.7.1 not you"},
	{"534-data", "DATA", "534 5.7.9 too weak"},
	{"538-dot", "DOT", "538 5.7.11 not in clear"},
	{"slow", "DOT", ""},
	{"tarpit", "GREET", ""},
	{"tarpit-mail", "MAIL", ""},
	{"tarpit-rcpt", "RCPT", ""},
	{"tarpit-data", "DATA", ""},
};

static void say(struct world *w, struct relay_conn *conn, const char *text)
{
	relay_conn_input(conn, base_slice_text(text), &w->now);
	relay_conn_input(conn, BASE_SLICE("\r\n"), &w->now);
}

/* True: the mode has its own answer to @verb, and it was given. */
static bool says_otherwise(struct world *w, struct relay_conn *conn, const char *verb)
{
	struct server *s = conn->shell;
	size_t i;

	for (i = 0; i < BASE_COUNT(says); i++) {
		if (strcmp(says[i].mode, s->mode) != 0 || strcmp(says[i].verb, verb) != 0)
			continue;
		if (!strcmp(says[i].reply, "!"))
			relay_conn_ended(conn, "the server closed the connection", &w->now);
		else if (says[i].reply[0])
			say(w, conn, says[i].reply);
		else
			s->silent = true;
		return true;
	}
	return false;
}

/* A reply that does not end, or a line that does not. */
static void say_without_end(struct world *w, struct relay_conn *conn, bool lines)
{
	char piece[1024];
	size_t told = 0;

	memset(piece, 'a', sizeof(piece));
	for (size_t i = 0; lines && i < sizeof(piece); i += 64)
		memcpy(piece + i, "250-x", 5), memcpy(piece + i + 62, "\r\n", 2);
	if (!lines)
		relay_conn_input(conn, BASE_SLICE("250-"), &w->now);
	while (conn->phase == RELAY_CONN_OPEN && told < (16u << 20)) {
		relay_conn_input(conn, base_slice_make(piece, sizeof(piece)), &w->now);
		told += sizeof(piece);
	}
	assert_true(conn->phase == RELAY_CONN_CLOSED);
}

static void greet(struct world *w, struct relay_conn *conn)
{
	if (!says_otherwise(w, conn, "GREET"))
		say(w, conn, "220 hi");
}

static void hello(struct world *w, struct relay_conn *conn)
{
	const struct server *s = conn->shell;
	char long_line[65536];

	if (!strcmp(s->mode, "endless") || !strcmp(s->mode, "endless-line")) {
		say_without_end(w, conn, !strcmp(s->mode, "endless"));
		return;
	}
	if (!strcmp(s->mode, "64k")) {
		memset(long_line, 'x', sizeof(long_line));
		memcpy(long_line, "250-", 4);
		memcpy(long_line + sizeof(long_line) - 2, "\r\n", 2);
		relay_conn_input(conn, base_slice_make(long_line, sizeof(long_line)), &w->now);
	} else {
		say(w, conn, "250-s\r\n250-PIPELINING");
	}
	if (conn->phase == RELAY_CONN_OPEN && relay_conn_account(conn) && !conn->peer.tls_version)
		say(w, conn, "250-STARTTLS");
	if (conn->phase == RELAY_CONN_OPEN)
		say(w, conn, "250 AUTH PLAIN XOAUTH2 EXTERNAL");
}

/* @response: in base64. */
static void judge(struct world *w, struct relay_conn *conn, struct base_slice response)
{
	struct server *s = conn->shell;
	struct base_buf text;
	bool good;

	s->in_auth = false;
	if (says_otherwise(w, conn, "AUTH")) {
		s->refusing = s->in_auth = !strcmp(s->mode, "535-token");
		return;
	}
	base_buf_init(&text, 65536);
	(void)!base64_decode(response, &text, NULL);
	/* A token that has ended, "p"; "new" is the one after it. */
	good = strcmp(s->mode, "old-token") ||
		!base_slice_equal(
			base_slice_from(base_buf_slice(&text), text.len > 5 ? text.len - 5 : 0),
			BASE_SLICE("r p\1\1"));
	base_buf_release(&text);
	s->logged_in = good;
	s->refusing = s->in_auth = !good;
	say(w, conn, good ? "235 2.7.0 ok" : "334 eyJzdGF0dXMiOiI0MDEifQ==");
}

static void on_auth(struct world *w, struct relay_conn *conn, struct base_slice line)
{
	struct server *s = conn->shell;
	struct base_slice verb, mechanism;

	w->clear_logins += !conn->peer.tls_version;
	(void)base_slice_split(&line, ' ', &verb);
	(void)base_slice_split(&line, ' ', &mechanism);
	if (line.len) {
		judge(w, conn, line);
	} else {
		s->in_auth = true;
		say(w, conn, "334 ");
	}
}

static void on_rcpt(struct world *w, struct relay_conn *conn)
{
	struct server *s = conn->shell;

	s->rcpts++;
	if (says_otherwise(w, conn, "RCPT"))
		return;
	if (!strcmp(s->mode, "452-after-2") && s->rcpts > 2)
		say(w, conn, "452 4.5.3 too many");
	else if (!strcmp(s->mode, "mixed-rcpt") && s->rcpts % 3 == 2)
		say(w, conn, "450 4.2.1 later");
	else if (!strcmp(s->mode, "mixed-rcpt") && s->rcpts % 3 == 0)
		say(w, conn, "550 5.1.1 nobody");
	else
		say(w, conn, "250 ok");
}

static void on_data_line(struct world *w, struct relay_conn *conn, struct base_slice line)
{
	struct server *s = conn->shell;

	if (!base_slice_equal_text(line, ".")) {
		(void)says_otherwise(w, conn, "BODY");
		return;
	}
	s->in_data = false;
	s->transactions++;
	if (!says_otherwise(w, conn, "DOT"))
		say(w, conn, "250 2.0.0 taken");
}

static void on_mail(struct world *w, struct relay_conn *conn)
{
	struct server *s = conn->shell;

	w->mails++;
	w->nameless_mails += relay_conn_account(conn) && !s->logged_in;
	s->rcpts = 0;
	if (!strcmp(s->mode, "drop-idle") && s->transactions)
		relay_conn_ended(conn, "closed", &w->now);
	else if (!says_otherwise(w, conn, "MAIL"))
		say(w, conn, "250 ok");
}

/* One line of ours. */
static void serve_line(struct world *w, struct relay_conn *conn, struct base_slice line)
{
	struct server *s = conn->shell;

	if (s->silent)
		return;
	if (s->in_data) {
		on_data_line(w, conn, line);
	} else if (s->refusing) {
		s->refusing = s->in_auth = false;
		say(w, conn, "535 5.7.8 no");
	} else if (s->in_auth) {
		judge(w, conn, line);
	} else if (base_slice_starts_with(line, BASE_SLICE("EHLO"))) {
		if (!says_otherwise(w, conn, "EHLO"))
			hello(w, conn);
	} else if (base_slice_equal_text(line, "STARTTLS")) {
		if (!says_otherwise(w, conn, "STARTTLS"))
			say(w, conn, "220 go");
	} else if (base_slice_starts_with(line, BASE_SLICE("AUTH"))) {
		on_auth(w, conn, line);
	} else if (base_slice_starts_with(line, BASE_SLICE("MAIL"))) {
		on_mail(w, conn);
	} else if (base_slice_starts_with(line, BASE_SLICE("RCPT"))) {
		on_rcpt(w, conn);
	} else if (base_slice_equal_text(line, "DATA")) {
		if (says_otherwise(w, conn, "DATA"))
			return;
		s->in_data = true;
		say(w, conn, "354 go");
	} else if (base_slice_equal_text(line, "RSET")) {
		say(w, conn, "250 ok");
	} else if (base_slice_equal_text(line, "QUIT")) {
		say(w, conn, "221 bye");
	}
}

static void serve(struct world *w, struct relay_conn *conn)
{
	struct base_buf said;
	struct base_slice rest, line;

	base_buf_init(&said, 1 << 20);
	base_buf_append_slice(&said, base_buf_slice(&conn->out));
	base_buf_clear(&conn->out);
	relay_conn_written(conn, &w->now);
	rest = base_buf_slice(&said);
	while (conn->phase == RELAY_CONN_OPEN && base_slice_split(&rest, '\n', &line))
		serve_line(w, conn, base_slice_trim(line));
	base_buf_release(&said);
}

static void resolve(struct world *w, const struct relay_effect *e)
{
	static struct route_dns_answer answer;
	const char *name = e->question.name;

	route_dns_answer_set(&answer, ROUTE_DNS_EMPTY);
	answer.ttl_s = 300;
	if (!strcmp(name, "none.example"))
		answer.status = ROUTE_DNS_NO_NAME;
	else if (!strcmp(name, "fail.example"))
		answer.status = ROUTE_DNS_FAILED;
	else if (e->question.type == ROUTE_DNS_A) {
		answer.status = ROUTE_DNS_FOUND;
		answer.count = 1;
		answer.records[0] = (struct route_dns_record){.preference = 0};
		assert_true(base_addr_parse(BASE_SLICE("192.0.2.1"), &answer.records[0].addr));
		if (!strcmp(name, "two.example")) {
			answer.records[1] = answer.records[0];
			answer.records[1].addr.bytes[3] = 2;
			answer.count = 2;
		}
	}
	relay_core_answer(w->core, e->dest_id, e->question.id, &answer, &w->now);
}

static void connect_to(struct world *w, struct relay_conn *conn)
{
	struct server *s = base_alloc_zero(1, sizeof(*s));

	conn->shell = s;
	s->mode = w->mode;
	w->opened++;
	w->open_now++;
	if (w->open_now > w->open_most)
		w->open_most = w->open_now;
	if (!strcmp(w->mode, "refused") || (!strcmp(w->mode, "first-refused") && w->opened == 1)) {
		relay_conn_connected(conn, "cannot connect: connection refused", &w->now);
		return;
	}
	relay_conn_connected(conn, NULL, &w->now);
	if (conn->phase == RELAY_CONN_OPEN)
		greet(w, conn);
}

static void take_result(struct world *w, const struct relay_effect *e)
{
	struct job_rcpt_result one;
	struct job_result head;
	struct ipc_reader rest;
	struct base_buf body;
	uint32_t i;

	base_buf_init(&body, 1 << 20);
	relay_job_report(e->job, &w->now, &body);
	assert_true(job_result_get(base_buf_slice(&body), &head, &rest));
	w->last_not_before = head.has_not_before ? head.not_before_ms : 0;
	snprintf(w->last_peer, sizeof(w->last_peer), "%.*s %.*s %.*s%s %.*s%s",
		BASE_SLICE_ARGS(head.host), BASE_SLICE_ARGS(head.address),
		BASE_SLICE_ARGS(head.tls), head.verified ? " verified" : "",
		BASE_SLICE_ARGS(head.mechanism), head.reused ? " reused" : "");
	for (i = 0; i < head.rcpt_count; i++) {
		assert_true(job_result_get_rcpt(&rest, &one));
		w->delivered += one.outcome == JOB_DELIVERED;
		w->deferred += one.outcome == JOB_DEFERRED;
		w->failed += one.outcome == JOB_FAILED;
		w->held += one.outcome == JOB_HELD;
		snprintf(w->last_reason, sizeof(w->last_reason), "%u %.*s %.*s|%.*s", one.code,
			BASE_SLICE_ARGS(one.enhanced), BASE_SLICE_ARGS(one.reply),
			BASE_SLICE_ARGS(one.reason));
	}
	if (w->watched && e->job->id == w->watched)
		w->watched_at = w->delivered;
	base_buf_release(&body);
	relay_job_free(e->job);
}

static void start_tls(struct world *w, struct relay_conn *conn)
{
	const struct relay_account *a = relay_conn_account(conn);
	struct relay_tls_done done = {.version = "TLSv1.3", .cipher = "X", .verified = true};

	if (!strcmp(w->mode, "bad-certificate")) {
		relay_conn_tls(conn, NULL,
			"TLS handshake failed: certificate is for a.example, not h.example",
			&w->now);
		return;
	}
	assert_true(relay_conn_must_verify(conn));
	w->certificates += conn->chain.len > 0 && conn->key.len > 0;
	relay_conn_certificate_taken(conn);
	done.pinned = a && a->pinned;
	relay_conn_tls(conn, &done, NULL, &w->now);
	if (conn->phase == RELAY_CONN_OPEN && smtp_client_stage(conn->smtp) == SMTP_STAGE_GREETING)
		greet(w, conn);
}

static void tell_account(struct world *w, const struct relay_account *a)
{
	struct account_info info = w->info;
	struct base_buf body;

	w->asked++;
	if (w->auth_silent)
		return;
	if (!strcmp(a->name, "vault"))
		info = (struct account_info){.url = BASE_SLICE("smtps://h.example:1465")};
	else if (strcmp(a->name, "acc") != 0)
		info.class = BASE_ERROR_NOT_FOUND;
	base_buf_init(&body, 1 << 20);
	account_info_put(&body, &info);
	relay_core_account_told(w->core, a->id, base_buf_slice(&body), &w->now);
	base_buf_release(&body);
}

static void tell_secret(struct world *w, struct relay_conn *conn)
{
	uint8_t random[SASL_CLIENT_RANDOM_BYTES] = {0};
	struct base_buf body, pair;

	assert_non_null(relay_conn_account(conn));
	w->secrets++;
	w->refused_secrets += conn->asked_refused;
	if (w->auth_silent)
		return;
	base_buf_init(&body, 1 << 20);
	base_buf_init(&pair, 1 << 20);
	ipc_put_bytes(&pair, BASE_SLICE("chain"));
	ipc_put_bytes(&pair, BASE_SLICE("key"));
	ipc_put_u8(&body, w->no_secret ? (uint8_t)(w->no_secret[0] - '0') : 0);
	ipc_put_text(&body, w->no_secret ? "" : "u");
	if (conn->asked == IPC_SECRET_CERTIFICATE)
		ipc_put_bytes(&body, base_buf_slice(&pair));
	else if (w->token.len)
		ipc_put_bytes(&body, w->token);
	else
		ipc_put_text(&body, w->no_secret ? "" : conn->asked_refused ? "new" : "p");
	ipc_put_text(&body, w->no_secret ? w->no_secret + 1 : "");
	relay_core_secret(w->core, conn->number, base_buf_slice(&body),
		base_slice_make(random, sizeof(random)), &w->now);
	base_buf_release(&body);
	base_buf_release(&pair);
}

static void tell_queue(struct world *w, const struct relay_effect *e)
{
	w->states++;
	w->alerts += e->alert;
	(void)snprintf(w->paused, sizeof(w->paused), "%s", e->account->reason);
}

static void drop_conn(struct world *w, struct relay_conn *conn)
{
	w->open_now -= conn->shell != NULL;
	free(conn->shell);
	relay_conn_free(conn);
}

static void read_body(struct world *w, struct relay_conn *conn)
{
	static char piece[RELAY_BODY_PIECE_BYTES];
	size_t rest;

	if (conn->phase != RELAY_CONN_OPEN || !conn->job)
		return;
	rest = (size_t)(conn->job->size - conn->job->offset);
	for (size_t i = 0; i < sizeof(piece); i += 64)
		memset(piece + i, 'x', 62), memcpy(piece + i + 62, "\r\n", 2);
	relay_conn_body(conn, base_slice_make(piece, rest < sizeof(piece) ? rest : sizeof(piece)),
		false, &w->now);
}

void world_carry_out(struct world *w, const struct relay_effect *e)
{
	switch (e->kind) {
	case RELAY_ASK:
		resolve(w, e);
		break;
	case RELAY_CONNECT:
		if (e->conn->phase == RELAY_CONN_CONNECTING)
			connect_to(w, e->conn);
		break;
	case RELAY_START_TLS:
		if (e->conn->phase == RELAY_CONN_TLS)
			start_tls(w, e->conn);
		break;
	case RELAY_WANT_SECRET:
		if (e->conn->phase != RELAY_CONN_CLOSED)
			tell_secret(w, e->conn);
		break;
	case RELAY_WANT_ACCOUNT:
		tell_account(w, e->account);
		break;
	case RELAY_WRITE:
		if (e->conn->phase != RELAY_CONN_CLOSED)
			serve(w, e->conn);
		break;
	case RELAY_READ_BODY:
		read_body(w, e->conn);
		break;
	case RELAY_CLOSE:
		drop_conn(w, e->conn);
		break;
	case RELAY_RESULT:
		take_result(w, e);
		break;
	case RELAY_DROP:
		relay_job_free(e->job);
		break;
	case RELAY_ACCOUNT:
		tell_queue(w, e);
		break;
	}
}

void run(struct world *w)
{
	struct relay_effect e;

	while (relay_core_effect(w->core, &e))
		world_carry_out(w, &e);
}

void pass(struct world *w, int64_t ms)
{
	int64_t end = w->now.mono_ms + ms;

	while (w->now.mono_ms < end) {
		w->now.mono_ms += 500;
		w->now.wall_ms += 500;
		relay_core_tick(w->core, &w->now);
		run(w);
	}
}

void turn(struct world *w, const char *mode)
{
	struct relay_conn *conn;
	struct server *s;

	for (conn = relay_core_conns(w->core); conn; conn = conn->next) {
		s = conn->shell;
		s->mode = mode;
		s->silent = false;
	}
}

void setup(struct world *w, const char *mode)
{
	struct relay_options options = {
		.own_name = BASE_SLICE("me.example"), .allow_special = false};

	memset(w, 0, sizeof(*w));
	w->mode = mode;
	w->now = (struct relay_now){.mono_ms = 1000, .wall_ms = 1000000, .random = 7};
	w->core = relay_core_new(&options);
	w->info = (struct account_info){.url = BASE_SLICE("smtps://smart.example:465")};
}

void teardown(struct world *w)
{
	struct relay_effect e;

	while (relay_core_effect(w->core, &e))
		if (e.kind == RELAY_RESULT || e.kind == RELAY_DROP)
			relay_job_free(e.job);
	for (struct relay_conn *c = relay_core_conns(w->core); c; c = c->next)
		free(c->shell);
	relay_core_free(&w->core);
	/* Whatever happened: no login in clear, no mail of an account without its login. */
	assert_int_equal(w->clear_logins, 0);
	assert_int_equal(w->nameless_mails, 0);
}

bool give_job_rcpts(struct world *w, uint32_t id, enum conf_via via, const char *host,
	const char *account, unsigned rcpts)
{
	struct base_buf envelope, body;
	struct envelope e = {.session = BASE_SLICE("s"),
		.sender = BASE_SLICE("a@x.example"),
		.rcpt_count = rcpts};
	struct job job = {.message_id = BASE_SLICE("m"),
		.attempt = 1,
		.via = via,
		.host = base_slice_text(host),
		.port = via == CONF_VIA_SMTPS ? 465 : 25,
		.account = base_slice_text(account),
		.route = BASE_SLICE("*"),
		.size = 4,
		.message = BASE_SLICE("hi\r\n")};
	char address[32];
	unsigned i;
	bool ok;

	base_buf_init(&envelope, 1 << 20);
	base_buf_init(&body, 1 << 20);
	envelope_put(&envelope, &e);
	for (i = 0; i < rcpts; i++) {
		snprintf(address, sizeof(address), "r%u@y.example", i);
		envelope_put_rcpt(
			&envelope, &(struct envelope_rcpt){.address = base_slice_text(address)});
	}
	job.envelope = base_buf_slice(&envelope);
	if (w->file_size) {
		job.file = true;
		job.size = w->file_size;
		job.message = BASE_SLICE_EMPTY;
	}
	job_put(&body, &job);
	base_buf_append_slice(&body, job.message);
	ok = relay_core_job(w->core, id, 0, BASE_SLICE_EMPTY, base_buf_slice(&body),
		w->file_size ? 1000 : -1, &w->now);
	base_buf_release(&envelope);
	base_buf_release(&body);
	return ok;
}

void give_job(
	struct world *w, uint32_t id, enum conf_via via, const char *host, const char *account)
{
	assert_true(give_job_rcpts(w, id, via, host, account, 1));
}
