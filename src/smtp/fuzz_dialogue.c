#include "smtp/client.h"
#include "smtp/server.h"

#include <string.h>

/* Our client against our server. The first bytes choose options, answers and cuts; the rest is the
 * message. Whatever the message holds, the server must never see a bad command, and must receive the
 * message with canonical line ends, or refuse it for what may not be in it. */

enum { OUT_MAX = 4 << 20 };

struct world {
	struct smtp_client *client;
	struct smtp_server server;
	struct base_buf to_server, to_client, line, got, want;
	struct base_secret secret;
	struct base_slice body;
	size_t given;
	uint8_t choice, replies, cut;
	unsigned sent, done;
	bool client_over, server_over, accepted;
};

/* The canonical form, written another way: a byte at a time. */
static void canonical(struct world *w)
{
	uint8_t last = '\n';
	size_t i;

	for (i = 0; i < w->body.len; i++) {
		uint8_t b = w->body.ptr[i];

		if (last == '\r' && b != '\n')
			base_buf_append_byte(&w->want, '\n');
		if (b == '\n' && last != '\r')
			base_buf_append_byte(&w->want, '\r');
		base_buf_append_byte(&w->want, b);
		last = b;
	}
	if (last == '\r')
		base_buf_append_byte(&w->want, '\n');
	else if (last != '\n')
		base_buf_append_text(&w->want, "\r\n");
}

static struct smtp_reply reply(const struct world *w, unsigned bit)
{
	return w->replies & 1u << bit ? SMTP_REPLY(451, "4.3.0", "no")
				      : SMTP_REPLY(250, "2.0.0", "ok");
}

static void serve(struct world *w)
{
	enum smtp_server_event event;
	size_t used, cut = (size_t)w->cut + 1, offer;

	while (!w->server_over) {
		offer = w->to_server.len < cut ? w->to_server.len : cut;
		event = smtp_server_push(&w->server,
			base_slice_first(base_buf_slice(&w->to_server), offer), &used, &w->line,
			&w->to_client);
		switch (event) {
		case SMTP_SERVER_MORE:
			base_buf_consume(&w->to_server, used);
			if (!w->to_server.len)
				return;
			continue;
		case SMTP_SERVER_HELLO:
			break;
		case SMTP_SERVER_RESET:
			base_buf_clear(&w->got);
			break;
		case SMTP_SERVER_STARTTLS:
			base_buf_consume(&w->to_server, used);
			BASE_BUG_IF(w->to_server.len); /* the client waits for 220 */
			smtp_server_tls_done(&w->server);
			smtp_server_set_mechanisms(
				&w->server, BASE_SLICE("PLAIN"), BASE_SLICE_EMPTY);
			return;
		case SMTP_SERVER_AUTH:
			BASE_BUG_IF(!smtp_server_auth_response(&w->server, &w->line, &w->secret));
			BASE_BUG_IF(smtp_server_auth_done(&w->server, SMTP_AUTH_OK, &w->to_client));
			break;
		case SMTP_SERVER_AUTH_RESPONSE:
		case SMTP_SERVER_AUTH_CANCEL:
			BASE_BUG_IF("PLAIN takes one step");
			break;
		case SMTP_SERVER_MAIL:
			base_buf_clear(&w->got);
			smtp_server_mail_answer(&w->server, reply(w, 0), &w->to_client);
			break;
		case SMTP_SERVER_RCPT:
			smtp_server_rcpt_answer(&w->server,
				reply(w,
					smtp_server_rcpt(&w->server)->address.ptr[0] == 'b' ? 1
											    : 2),
				&w->to_client);
			break;
		case SMTP_SERVER_DATA:
			smtp_server_data_answer(&w->server,
				w->replies & 8 ? reply(w, 3) : SMTP_REPLY(354, "", "go"),
				&w->to_client);
			break;
		case SMTP_SERVER_BODY:
			base_buf_append_slice(&w->got, smtp_server_body(&w->server));
			break;
		case SMTP_SERVER_BODY_END:
			BASE_BUG_IF(!base_slice_equal(
				base_buf_slice(&w->got), base_buf_slice(&w->want)));
			w->accepted = true;
			smtp_server_message_answer(&w->server, reply(w, 4), &w->to_client);
			break;
		case SMTP_SERVER_FULL:
			base_buf_consume(&w->to_server, used);
			return;
		case SMTP_SERVER_CLOSE:
			w->server_over = true;
			break;
		}
		base_buf_consume(&w->to_server, used);
	}
}

static void send_mail(struct world *w)
{
	static const struct smtp_client_rcpt rcpts[] = {
		{.address = {(const uint8_t *)"b@y.example", 11}},
		{.address = {(const uint8_t *)"c@y.example", 11},
			.notify = SMTP_DSN_NOTIFY_NEVER,
			.orcpt = {(const uint8_t *)"rfc822;c+2B", 11}},
	};
	struct smtp_client_mail mail = {.sender = BASE_SLICE("a@x.example"),
		.size_bytes = w->choice & 1 ? w->body.len : 0,
		.ret = SMTP_DSN_RET_HDRS,
		.envid = BASE_SLICE("e"),
		.auth_identity = true,
		.auth = BASE_SLICE("u+=@x.example")};

	w->sent++;
	w->given = 0;
	smtp_client_send_mail(w->client, &mail, rcpts, 2, &w->to_server);
}

static bool answer(struct world *w, enum smtp_client_event event)
{
	static const uint8_t random[SASL_CLIENT_RANDOM_BYTES];
	struct base_slice piece;
	size_t used, step = (size_t)w->cut + 1;

	switch (event) {
	case SMTP_CLIENT_MORE:
		return false;
	case SMTP_CLIENT_STARTTLS:
		smtp_client_tls_done(
			w->client, SASL_BINDING_NONE, BASE_SLICE_EMPTY, true, &w->to_server);
		break;
	case SMTP_CLIENT_CREDENTIALS:
		smtp_client_credentials(w->client, BASE_SLICE("u"), BASE_SLICE("p"),
			base_slice_make(random, sizeof(random)), &w->to_server);
		break;
	case SMTP_CLIENT_BODY:
		piece = base_slice_from(w->body, w->given);
		if ((w->choice & 3) ==
			2) /* DATA; many chunks behind a refused MAIL are an attack */
			piece = base_slice_first(piece, step);
		smtp_client_body(w->client, piece, w->given + piece.len == w->body.len, &used,
			&w->to_server);
		w->given += used;
		break;
	case SMTP_CLIENT_READY:
		send_mail(w);
		break;
	case SMTP_CLIENT_DONE:
		w->done++;
		if (w->sent < 2)
			send_mail(w);
		else
			smtp_client_quit(w->client, &w->to_server);
		break;
	case SMTP_CLIENT_FAILED:
		BASE_BUG_IF("our server is understood");
		break;
	case SMTP_CLIENT_CLOSED:
		w->client_over = true;
		return false;
	case SMTP_CLIENT_MAIL_REPLY:
	case SMTP_CLIENT_RCPT_REPLY:
	case SMTP_CLIENT_MESSAGE_REPLY:
		break;
	}
	return true;
}

static void listen_to(struct world *w)
{
	bool more = true;
	size_t used;

	while (more) {
		enum smtp_client_event event = smtp_client_push(
			w->client, base_buf_slice(&w->to_client), &used, &w->to_server);

		base_buf_consume(&w->to_client, used);
		more = answer(w, event);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_server_options server = {.host_name = BASE_SLICE("mx.test"),
		.recipients_max = 10,
		.auth_failures_max = 3,
		.flags = SMTP_SERVER_TLS_OFFER | SMTP_SERVER_AUTH_REQUIRED};
	struct smtp_client_options client = {.helo_name = BASE_SLICE("me.example"),
		.auth = true,
		.tls = SMTP_CLIENT_TLS_REQUIRE};
	struct world w = {.sent = 0};
	unsigned turn;

	if (size < 3 || size > 70000)
		return 0;
	w.choice = data[0];
	w.replies = data[1];
	w.cut = data[2];
	w.body = base_slice_make(data + 3, size - 3);
	base_buf_init(&w.to_server, OUT_MAX);
	base_buf_init(&w.to_client, OUT_MAX);
	base_buf_init_secret(&w.line, SMTP_AUTH_LINE_MAX_BYTES + 2);
	base_buf_init(&w.got, OUT_MAX);
	base_buf_init(&w.want, OUT_MAX);
	base_secret_init(&w.secret, SMTP_AUTH_LINE_MAX_BYTES);
	canonical(&w);
	smtp_server_init(&w.server, &server);
	smtp_server_greet(&w.server, &w.to_client);
	w.client = smtp_client_new(&client);
	for (turn = 0; !w.client_over; turn++) {
		BASE_BUG_IF(turn > 1000);
		listen_to(&w);
		serve(&w);
	}
	BASE_BUG_IF(w.done != 2);
	if (!base_slice_has(w.body, 0)) /* a NUL is refused by the server, as a bad message */
		BASE_BUG_IF(w.accepted != !(w.replies & 0x09 || (w.replies & 6) == 6));
	if (!(w.replies & 0x0F)) /* what stands behind a refused MAIL counts as bad */
		BASE_BUG_IF(smtp_server_counts(&w.server)->bad_commands);
	smtp_client_free(&w.client);
	base_buf_release(&w.to_server);
	base_buf_release(&w.to_client);
	base_buf_release(&w.line);
	base_buf_release(&w.got);
	base_buf_release(&w.want);
	base_secret_release(&w.secret);
	return 0;
}
