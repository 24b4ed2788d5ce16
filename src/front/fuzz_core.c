/* A session between a hostile client, an auth and a queue that answer anything at any time.
 *
 * The input is a script: a byte that says what happens next, and what that needs. The shell of conn.c is
 * played as it is there: effects in order, unread bytes offered after an answer. What must hold:
 * nobody submits without a login where one is demanded, but who may relay by address; what is submitted is a whole envelope and
 * clean lines, as many as announced; no question to auth or queue outlives its session. */
#include "front/core.h"

#include "loop/envelope.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct shell {
	struct front_session s;
	struct front_work w;
	struct front_listener listener;
	struct front_now now;
	bool auth_open, transaction, file;
	bool closed;
	uint64_t file_bytes;
	struct base_buf body; /* of the message: what went to the file, and what is inline */
};

static const char *const lines[] = {
	"EHLO a\r\n",
	"HELO a\r\n",
	"STARTTLS\r\n",
	"AUTH PLAIN AGEAYg==\r\n",
	"AUTH PLAIN\r\n",
	"AUTH LOGIN\r\n",
	"AUTH SCRAM-SHA-256 biws\r\n",
	"*\r\n",
	"AGEAYg==\r\n",
	"=\r\n",
	"MAIL FROM:<a@b.c>\r\n",
	"MAIL FROM:<>\r\n",
	"MAIL FROM:<a@b.c> SIZE=9 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x AUTH=a@b.c\r\n",
	"RCPT TO:<d@e.f>\r\n",
	"RCPT TO:<d@e.f> NOTIFY=NEVER ORCPT=rfc822;x\r\n",
	"RCPT TO:<d@local.example>\r\n",
	"DATA\r\n",
	"Subject: x\r\n\r\nx\r\n.\r\n",
	".\r\n",
	"\r\n",
	"\n.\n",
	"BDAT 5\r\na: b\n",
	"BDAT 6\r\na: b\r\n",
	"BDAT 0 LAST\r\n",
	"BDAT 20000\r\n",
	"BDAT x\r\n",
	"RSET\r\n",
	"NOOP\r\n",
	"QUIT\r\n",
	"X\r\n",
	"VRFY a\r\n",
	"GET / HTTP\r\n",
};

static void check_lines(struct base_slice s)
{
	BASE_BUG_IF(base_slice_has(s, 0));
	for (size_t i = 0; i < s.len; i++) {
		BASE_BUG_IF(s.ptr[i] == '\n' && (i == 0 || s.ptr[i - 1] != '\r'));
		BASE_BUG_IF(s.ptr[i] == '\r' && (i + 1 == s.len || s.ptr[i + 1] != '\n'));
	}
	BASE_BUG_IF(s.len < 2 || s.ptr[s.len - 1] != '\n');
}

static void count_rcpt(void *arg, uint32_t index, struct base_slice address)
{
	uint32_t *count = arg;

	(void)index;
	BASE_BUG_IF(address.len == 0);
	(*count)++;
}

static void submit(struct shell *x)
{
	struct front_work *w = &x->w;
	struct base_slice sender;
	struct base_buf head;
	uint32_t count = 0;

	BASE_BUG_IF(x->s.wait != FRONT_WAIT_QUEUE);
	BASE_BUG_IF(x->listener.auth == CONF_AUTH_REQUIRED && !front_session_is_trusted(&x->s));
	BASE_BUG_IF(w->file != x->file);
	base_buf_init(&head, FRONT_RCPTS_MAX_BYTES + 8192);
	front_session_envelope(&x->s, w, x->now.wall_ms, &head);
	base_buf_append_slice(&head, base_buf_slice(&w->rcpts));
	BASE_BUG_IF(
		!envelope_visit(base_buf_slice(&head), &sender, count_rcpt, &count) || count == 0);
	base_buf_release(&head);
	if (!x->file)
		base_buf_append_slice(&x->body, base_buf_slice(&w->message));
	BASE_BUG_IF(x->body.len != w->message_size);
	BASE_BUG_IF(!x->file && x->body.len > IPC_INLINE_MESSAGE_MAX_BYTES);
	check_lines(base_buf_slice(&x->body));
	base_buf_clear(&x->body);
	x->transaction = true;
	x->s.queue_id = 1;
	x->file = false;
}

static void drop(struct shell *x)
{
	x->transaction = x->file = false;
	x->s.queue_id = 0;
	base_buf_clear(&x->body);
}

/* By its number: a session that has forgotten it cancels nothing. */
static void cancel(struct shell *x)
{
	if (x->s.auth_id)
		x->auth_open = false;
	x->s.auth_id = 0;
}

static void carry_out(struct shell *x, bool auth_is_up)
{
	const unsigned mine = FRONT_AUTH_BEGIN | FRONT_AUTH_CONTINUE | FRONT_AUTH_CANCEL |
		FRONT_WANT_FILE | FRONT_FILE_WRITE | FRONT_SUBMIT | FRONT_SUBMIT_ABORT;
	struct front_work *w = &x->w;
	unsigned todo;

	while ((todo = w->effects & mine) != 0) {
		w->effects &= ~todo;
		if (todo & FRONT_AUTH_CANCEL)
			cancel(x);
		if (todo & FRONT_AUTH_BEGIN) {
			BASE_BUG_IF(x->auth_open);
			x->auth_open = auth_is_up;
			x->s.auth_id = auth_is_up;
			if (!auth_is_up)
				front_session_auth_done(
					&x->s, w, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		}
		if (todo & FRONT_AUTH_CONTINUE && !x->auth_open)
			front_session_auth_done(&x->s, w, FRONT_AUTH_DOWN, BASE_SLICE_EMPTY);
		if (todo & FRONT_SUBMIT_ABORT)
			drop(x);
		if (todo & FRONT_WANT_FILE) {
			x->transaction = true;
			x->s.queue_id = 1;
		}
		if (todo & FRONT_FILE_WRITE && x->file) {
			base_buf_append_slice(&x->body, base_buf_slice(&w->message));
			base_buf_clear(&w->message);
		}
		if (todo & FRONT_SUBMIT && x->s.wait == FRONT_WAIT_QUEUE)
			submit(x);
	}
}

static void close_session(struct shell *x)
{
	x->closed = true;
	if (x->s.auth_id)
		cancel(x);
	if (x->s.wait != FRONT_WAIT_QUEUE && x->s.queue_id)
		drop(x);
	BASE_BUG_IF(x->auth_open);
	BASE_BUG_IF(x->transaction && x->s.wait != FRONT_WAIT_QUEUE);
}

static void run(struct shell *x, bool auth_is_up)
{
	struct front_work *w = &x->w;
	bool more = true;
	size_t used;

	while (more && !x->closed) {
		bool again;

		carry_out(x, auth_is_up);
		w->effects &= ~(unsigned)FRONT_WRITE;
		BASE_BUG_IF(!base_buf_ok(&w->out));
		base_buf_clear(&w->out);
		base_buf_clear(&w->dialogue);
		if (w->effects & FRONT_CLOSE) {
			close_session(x);
			return;
		}
		if (w->effects & FRONT_START_TLS) {
			w->effects &= ~(unsigned)FRONT_START_TLS;
			base_buf_clear(&w->unread);
			base_buf_clear(&w->line);
			base_buf_clear(&w->heard);
			return;
		}
		again = w->again;
		used = 0;
		if ((w->unread.len || again) && x->s.wait == FRONT_WAIT_NONE && !x->s.closing) {
			front_session_input(&x->s, w, base_buf_slice(&w->unread), &used, &x->now);
			base_buf_consume(&w->unread, used);
			more = used > 0 || again;
		} else {
			more = false;
		}
		more = more || w->effects || w->out.len;
	}
	if (!x->closed && front_session_is_idle(&x->s, w))
		front_work_clear(w);
}

static void give(struct shell *x, struct base_slice bytes, bool auth_is_up)
{
	size_t used = 0;

	if (!x->w.unread.len && x->s.wait == FRONT_WAIT_NONE)
		front_session_input(&x->s, &x->w, bytes, &used, &x->now);
	if (used < bytes.len &&
		!base_buf_append_slice(&x->w.unread, base_slice_from(bytes, used))) {
		front_session_lost(&x->s, &x->w, "too-far-ahead");
		carry_out(x, auth_is_up);
		close_session(x);
		return;
	}
	run(x, auth_is_up);
}

static void answer(struct shell *x, uint8_t how)
{
	static const struct base_slice users[] = {
		{(const uint8_t *)"a@b.c", 5}, {(const uint8_t *)"a\nb", 3}};
	unsigned class = how % 3 == 0 ? 0
		: how % 3 == 1        ? (unsigned)-BASE_ERROR_NO_SPACE
				      : (unsigned)-BASE_ERROR_TEMPORARY;

	switch ((enum front_wait)x->s.wait) {
	case FRONT_WAIT_NONE:
	case FRONT_WAIT_COUNT:
		break;
	case FRONT_WAIT_TLS:
		if (how % 4 == 0)
			front_session_lost(&x->s, &x->w, "tls-failed");
		else
			front_session_tls(&x->s, "TLSv1.3", "X", FRONT_BINDING_EXPORTER);
		break;
	case FRONT_WAIT_AUTH:
		if (how % 2) {
			front_session_auth_challenge(&x->s, &x->w,
				base_slice_first(BASE_SLICE("challenge"), how / 2 % 10));
			break;
		}
		x->auth_open = false;
		front_session_auth_done(
			&x->s, &x->w, (enum front_auth_result)(how / 2 % 4), users[how % 16 == 0]);
		break;
	case FRONT_WAIT_DNSBL:
		front_session_dnsbl(&x->s, &x->w, how % 3 ? NULL : "blocked");
		break;
	case FRONT_WAIT_FILE:
		if (class == 0)
			x->file = true;
		else
			drop(x);
		front_session_file(&x->s, &x->w, class);
		break;
	case FRONT_WAIT_QUEUE:
		x->transaction = false;
		front_session_submitted(&x->s, &x->w, class);
		break;
	}
}

static void happen(struct shell *x, uint8_t what)
{
	switch (what % 4) {
	case 0:
		if (x->s.wait == FRONT_WAIT_TLS)
			front_session_lost(&x->s, &x->w, "tls-timeout");
		else
			front_session_timeout(&x->s, &x->w);
		break;
	case 1:
		if (x->s.wait != FRONT_WAIT_TLS)
			front_session_drain(&x->s, &x->w);
		break;
	case 2:
		front_session_lost(&x->s, &x->w, "disconnect");
		break;
	case 3:
		/* The file could not be written, or queue is gone with it. */
		if (x->file && (x->s.wait == FRONT_WAIT_NONE) && x->w.in_body)
			front_session_file_failed(&x->s, &x->w, what / 4 % 2);
		break;
	}
}

static void begin(struct shell *x, uint8_t how)
{
	const uint32_t plain = conf_mechanism_parse(BASE_SLICE("PLAIN")) |
		conf_mechanism_parse(BASE_SLICE("LOGIN"));
	struct front_mechanisms m = {.known = true, .plaintext = plain};
	static char local[] = "local.example", *accept[] = {local};
	const uint8_t random[5] = {1};
	struct base_addr client = {.family = BASE_ADDR_IP4};

	m.mask = plain | conf_mechanism_parse(BASE_SLICE("SCRAM-SHA-256"));
	x->listener.references = 1;
	x->listener.title = (char *)"fuzz";
	x->listener.auth = how & 1 ? CONF_AUTH_REQUIRED : CONF_AUTH_OPTIONAL;
	x->listener.tls = CONF_TLS_STARTTLS;
	x->listener.mechanisms = m.mask;
	x->listener.plaintext_without_tls = how & 2;
	x->listener.trace_client = how & 4;
	x->listener.dialogue = how & 8;
	x->listener.accept = (struct conf_strings){accept, 1};
	x->listener.options = (struct smtp_server_options){
		.host_name = BASE_SLICE("mail.example.org"),
		.flags = SMTP_SERVER_TLS_OFFER | (how & 1 ? SMTP_SERVER_AUTH_REQUIRED : 0) |
			(how & 16 ? SMTP_SERVER_TRUST_AUTH_PARAM : 0),
		.size_max_bytes = how & 32 ? 100000 : 1000000,
		.recipients_max = 5,
		.auth_failures_max = 3,
	};
	front_listener_announce(&x->listener, &m);
	x->now.wall_ms = 1795531961000;
	x->now.pseudonym_key = BASE_SLICE("0123456789abcdef0123456789abcdef");
	front_work_init(&x->w);
	base_buf_init(&x->body, 4 * 1024 * 1024);
	x->s.admission.dnsbl_open = how & 64 ? 2 : 0;
	x->s.admission.may_relay = how & 128;
	front_session_begin(&x->s, &x->w, &x->listener, &client, base_id_make(1, random), NULL);
	run(x, true);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t filler[30000];
	struct shell *x;
	size_t at = 1;

	if (size == 0)
		return 0;
	memset(filler, 'x', sizeof(filler));
	for (size_t i = 70; i + 1 < sizeof(filler); i += 72)
		memcpy(filler + i, "\r\n", 2);
	x = base_alloc_zero(1, sizeof(*x));
	begin(x, data[0]);
	while (at < size && !x->closed) {
		uint8_t op = data[at++], arg = at < size ? data[at++] : 0;

		if (op < 128) {
			give(x, base_slice_text(lines[op % BASE_COUNT(lines)]), arg != 7);
		} else if (op < 160) {
			size_t len = arg < size - at ? arg : size - at;

			give(x, base_slice_make(data + at, len), true);
			at += len;
		} else if (op < 176) {
			give(x, base_slice_make(filler, sizeof(filler) >> (arg % 8)), true);
		} else if (op < 240) {
			answer(x, arg);
			run(x, true);
		} else {
			happen(x, arg);
			run(x, true);
		}
	}
	if (!x->closed) {
		front_session_lost(&x->s, &x->w, "end");
		carry_out(x, true);
		close_session(x);
	}
	front_session_release(&x->s);
	front_work_release(&x->w);
	base_buf_release(&x->body);
	free(x);
	return 0;
}
