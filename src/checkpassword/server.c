/* The running server, by the Dovecot protocol on run/auth: one PLAIN, then the end. It takes
 * passwords only, so digests are decided by the sources that this process opens itself. */
#include "checkpassword/sources.h"

#include "base/clock.h"
#include "base/host.h"
#include "loop/local.h"
#include "wire/dovecot.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ANSWER_MS = 20000, REQUEST_ID = 1 };

struct talk {
	int fd;
	int64_t end_ms;
	struct wire_dovecot_client wire;
	struct base_buf in, scratch;
};

static bool send_all(struct talk *t, struct base_slice bytes)
{
	while (bytes.len) {
		ssize_t n = send(t->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		bytes = base_slice_from(bytes, (size_t)n);
	}
	return true;
}

/* False: it ended, or the time is over. */
static bool read_more(struct talk *t)
{
	for (;;) {
		struct pollfd p = {t->fd, POLLIN, 0};
		int64_t left = t->end_ms - base_clock_monotonic_ms();
		uint8_t bytes[4096];
		ssize_t n;

		if (left <= 0)
			return false;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return false;
		n = recv(t->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n > 0)
			return base_buf_append(&t->in, bytes, (size_t)n);
		if (n == 0 || (errno != EAGAIN && errno != EINTR))
			return false;
	}
}

static enum wire_dovecot_client_event next_event(struct talk *t)
{
	for (;;) {
		size_t used;
		enum wire_dovecot_client_event e = wire_dovecot_client_next(
			&t->wire, base_buf_slice(&t->in), &used, &t->scratch);

		base_buf_consume(&t->in, used);
		if (e != WIRE_CLIENT_MORE)
			return e;
		if (!read_more(t))
			return WIRE_CLIENT_BROKEN;
	}
}

static bool put_request(const struct checkpassword_asker *a, struct base_buf *out)
{
	struct base_buf message;
	struct base_slice initial;
	struct wire_dovecot_auth auth = {
		.mechanism = BASE_SLICE("PLAIN"),
		.remote_ip = base_slice_text(a->client),
		.session = BASE_SLICE("checkpassword"),
		.secured = true, /* it stays on this machine */
		.nologin = true,
		.initial = &initial,
	};
	bool fits;

	base_buf_init_secret(&message, 2 * WIRE_CHECKPASSWORD_MAX_BYTES);
	base_buf_append_byte(&message, '\0');
	base_buf_append_slice(&message, a->login->name);
	base_buf_append_byte(&message, '\0');
	base_buf_append_slice(&message, a->login->password);
	initial = base_buf_slice(&message);
	fits = base_buf_ok(&message) && wire_dovecot_client_auth(out, REQUEST_ID, &auth);
	base_buf_release(&message);
	return fits;
}

/* From hello to the verdict. */
static enum checkpassword_verdict talk_plain(struct checkpassword_asker *a, struct talk *t)
{
	enum checkpassword_verdict verdict = CHECKPASSWORD_CANNOT;
	enum wire_dovecot_client_event e;
	struct base_buf out;
	bool sent;

	base_buf_init_secret(&out, WIRE_DOVECOT_LINE_MAX_BYTES);
	wire_dovecot_client_hello(&out, (uint32_t)getpid());
	sent = send_all(t, base_buf_slice(&out));
	base_buf_clear(&out);
	do {
		e = sent ? next_event(t) : WIRE_CLIENT_BROKEN;
	} while (e == WIRE_CLIENT_MECH);
	if (e == WIRE_CLIENT_DONE && put_request(a, &out) && send_all(t, base_buf_slice(&out)))
		e = next_event(t);
	if (e == WIRE_CLIENT_OK && t->wire.id == REQUEST_ID)
		verdict = CHECKPASSWORD_RIGHT;
	else if (e == WIRE_CLIENT_FAIL && t->wire.id == REQUEST_ID &&
		t->wire.fail != WIRE_FAIL_TEMPORARY)
		verdict = CHECKPASSWORD_WRONG;
	else
		base_error_set(&a->why, BASE_ERROR_TEMPORARY, 0,
			"the server behind \"%s/auth\" has no answer", a->conf->run);
	base_buf_release(&out);
	return verdict;
}

enum checkpassword_verdict checkpassword_ask_server(struct checkpassword_asker *a)
{
	struct talk t = {.end_ms = base_clock_monotonic_ms() + ANSWER_MS};
	enum checkpassword_verdict verdict = CHECKPASSWORD_CANNOT;
	struct base_addr addr;
	struct base_buf path;

	/* What stands in the environment is no address until it reads like one. */
	if (a->client && !base_addr_parse(base_slice_text(a->client), &addr))
		a->client = NULL;
	base_buf_init(&path, 4096);
	base_buf_printf(&path, "%s/auth", a->conf->run);
	if (local_connect(base_buf_text(&path), SOCK_STREAM, false, &t.fd, &a->why) == 0) {
		wire_dovecot_client_init(&t.wire);
		base_buf_init_secret(&t.in, 2 * WIRE_DOVECOT_LINE_MAX_BYTES);
		base_buf_init_secret(&t.scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
		verdict = talk_plain(a, &t);
		base_buf_release(&t.in);
		base_buf_release(&t.scratch);
		close(t.fd);
	}
	base_buf_release(&path);
	/* It did the work that an unknown user costs. */
	a->worked = true;
	return verdict;
}
