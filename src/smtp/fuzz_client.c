#include "smtp/client.h"

#include "base/base64.h"

#include <string.h>

/* A server of arbitrary bytes. The first bytes choose options, the cut, the message and the credential;
 * the rest is what the server says. The session must end in its own words, leak nothing, never put a bare
 * CR or LF on the wire, and never a password or token outside verified TLS. */

struct world {
	struct smtp_client *client;
	struct base_buf out;
	unsigned sent;
	uint8_t choice;
	enum sasl_credential credential;
	bool safe; /* verified TLS is on, or was waived */
	unsigned made, freed;
};

static void check_wire(struct world *w)
{
	struct base_buf plain;
	size_t i;

	/* Sent as they are by no mechanism but those that TLS must cover: PLAIN, LOGIN and tokens. */
	base_buf_init_secret(&plain, 1 << 20);
	for (i = 0; !w->safe && i < 3; i++) {
		static const char *const phases[] = {
			"secretsecretsecretsec", ".secretsecretsecret", "..secretsecretsecret"};

		base_buf_clear(&plain);
		base64_encode(base_slice_text(phases[i]), &plain);
		BASE_BUG_IF(w->out.len && memmem(w->out.ptr, w->out.len, plain.ptr + 4, 16));
	}
	base_buf_release(&plain);
	for (i = 0; i < w->out.len; i++) {
		if (w->out.ptr[i] == '\n')
			BASE_BUG_IF(!i || w->out.ptr[i - 1] != '\r');
		if (w->out.ptr[i] == '\r')
			BASE_BUG_IF(i + 1 >= w->out.len || w->out.ptr[i + 1] != '\n');
	}
	base_buf_clear(&w->out);
}

static void send_mail(struct world *w)
{
	static const struct smtp_client_rcpt rcpts[] = {
		{.address = {(const uint8_t *)"b@y.example", 11}},
		{.address = {(const uint8_t *)"c\n@y", 4}},
		{.address = {(const uint8_t *)"d@z.example", 11}, .notify = SMTP_DSN_NOTIFY_NEVER},
	};
	struct smtp_client_mail mail = {.sender = BASE_SLICE("a@x.example"),
		.size_bytes = w->choice & 1 ? 12 : 0,
		.body_8bit = w->choice & 2};

	w->sent++;
	smtp_client_send_mail(w->client, &mail, rcpts, 3, &w->out);
}

static enum sasl_client_result foreign_step(void *arg, struct base_slice in, struct base_buf *out)
{
	base_buf_append_text(out, "answer");
	return in.len && in.ptr[0] & 1 ? SASL_CLIENT_ABORT : SASL_CLIENT_RESPONSE;
}

static enum sasl_client_result foreign_finish(void *arg)
{
	return ((struct world *)arg)->choice & 8 ? SASL_CLIENT_DONE : SASL_CLIENT_NOT_PROVEN;
}

static const char *foreign_reason(void *arg)
{
	return "as it likes";
}

static void foreign_free(void *arg)
{
	((struct world *)arg)->freed++;
}

static bool foreign_new(void *arg, enum sasl_mechanism mechanism, struct base_slice host,
	struct base_slice user, struct base_slice password, struct sasl_client_foreign *out)
{
	struct world *w = arg;

	if (w->choice & 16)
		return false;
	w->made++;
	*out = (struct sasl_client_foreign){
		foreign_step, foreign_finish, foreign_reason, foreign_free, w};
	return true;
}

static void answer(struct world *w, enum smtp_client_event event)
{
	static const uint8_t random[SASL_CLIENT_RANDOM_BYTES];
	size_t used;

	switch (event) {
	case SMTP_CLIENT_STARTTLS:
		w->safe |= (w->choice & 4) != 0;
		smtp_client_tls_done(w->client, SASL_BINDING_TLS_EXPORTER, BASE_SLICE("01234567"),
			w->choice & 4, &w->out);
		break;
	case SMTP_CLIENT_CREDENTIALS:
		smtp_client_credentials(w->client, BASE_SLICE("tim"),
			BASE_SLICE("secretsecretsecretsec"),
			base_slice_make(random, sizeof(random)), &w->out);
		break;
	case SMTP_CLIENT_READY:
	case SMTP_CLIENT_DONE:
		if (w->sent < 3)
			send_mail(w);
		else
			smtp_client_quit(w->client, &w->out);
		break;
	case SMTP_CLIENT_BODY:
		smtp_client_body(
			w->client, BASE_SLICE("a\r\n.b\nc\rd\r\r\n."), true, &used, &w->out);
		break;
	case SMTP_CLIENT_MORE:
	case SMTP_CLIENT_MAIL_REPLY:
	case SMTP_CLIENT_RCPT_REPLY:
	case SMTP_CLIENT_MESSAGE_REPLY:
	case SMTP_CLIENT_FAILED:
	case SMTP_CLIENT_CLOSED:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct smtp_client_options options = {.helo_name = BASE_SLICE("me.example")};
	struct world w = {.sent = 0};
	enum smtp_client_event event = SMTP_CLIENT_MORE;
	size_t at = 4, used, offer, step;

	if (size < 4)
		return 0;
	w.choice = data[0];
	options.tls = (enum smtp_client_tls)(data[1] % 4);
	options.auth = data[1] & 4;
	options.lmtp = data[1] & 8;
	options.allow_plaintext_without_tls = data[1] & 16;
	step = (size_t)data[2] + 1;
	options.credential = (enum sasl_credential)(data[3] % SASL_CREDENTIAL_COUNT);
	options.auth_if_offered = data[3] & 16;
	options.host = BASE_SLICE("mx.example");
	options.port = 587;
	options.foreign_new = data[3] & 32 ? foreign_new : NULL;
	options.foreign_arg = &w;
	options.foreign = SASL_MASK(SASL_MECHANISM_DIGEST_MD5) | SASL_MASK(SASL_MECHANISM_GSSAPI);
	w.safe = options.allow_plaintext_without_tls;
	w.client = smtp_client_new(&options);
	base_buf_init_secret(&w.out, 1 << 20);
	while (event != SMTP_CLIENT_FAILED && event != SMTP_CLIENT_CLOSED) {
		offer = size - at < step ? size - at : step;
		event = smtp_client_push(
			w.client, base_slice_make(data + at, offer), &used, &w.out);
		at += used;
		if (event == SMTP_CLIENT_MORE && at == size)
			event = smtp_client_eof(w.client, "end");
		answer(&w, event);
		check_wire(&w);
	}
	BASE_BUG_IF(smtp_client_auth_error(w.client).len > SASL_CLIENT_ERROR_MAX_BYTES);
	BASE_BUG_IF(smtp_client_hello(w.client).len > SMTP_CLIENT_HELLO_MAX_BYTES);
	smtp_client_free(&w.client);
	BASE_BUG_IF(w.made != w.freed);
	base_buf_release(&w.out);
	return 0;
}
