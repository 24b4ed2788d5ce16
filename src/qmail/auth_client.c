#include "qmail/auth_client.h"

#include "base/clock.h"
#include "loop/local.h"
#include "sasl/mechanism.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void auth_client_init(struct auth_client *c, const char *path)
{
	*c = (struct auth_client){.path = base_strdup(path), .fd = -1};
	base_buf_init_secret(&c->in, WIRE_DOVECOT_LINE_MAX_BYTES * 4);
	base_buf_init_secret(&c->scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	base_buf_init_secret(&c->out, WIRE_DOVECOT_LINE_MAX_BYTES * 2);
}

static void hang_up(struct auth_client *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
	base_buf_clear(&c->in);
	base_buf_clear(&c->out);
	c->used = 0;
}

void auth_client_release(struct auth_client *c)
{
	if (!c->path)
		return;
	hang_up(c);
	base_buf_release(&c->in);
	base_buf_release(&c->scratch);
	base_buf_release(&c->out);
	free(c->path);
	c->path = NULL;
}

static bool flush(struct auth_client *c)
{
	bool ok = true;

	while (ok && c->out.len) {
		ssize_t n = send(c->fd, c->out.ptr, c->out.len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		ok = n > 0;
		if (ok)
			base_buf_consume(&c->out, (size_t)n);
	}
	base_buf_clear(&c->out);
	return ok;
}

/* False: nothing came in time, or the other end is gone. */
static bool read_more(struct auth_client *c, int64_t until_ms)
{
	uint8_t *to = base_buf_reserve(&c->in, WIRE_DOVECOT_LINE_MAX_BYTES);
	struct pollfd p = {.fd = c->fd, .events = POLLIN};
	ssize_t n = -1;

	while (to && n < 0) {
		int64_t left = until_ms - base_clock_monotonic_ms();
		int ready = left > 0 ? poll(&p, 1, (int)left) : 0;

		if (ready == 0 || (ready < 0 && errno != EINTR))
			return false;
		if (ready < 0)
			continue;
		n = recv(c->fd, to, WIRE_DOVECOT_LINE_MAX_BYTES, 0);
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return false;
	}
	if (n <= 0)
		return false;
	base_buf_grew(&c->in, (size_t)n);
	return true;
}

/* The next event. BROKEN also when nothing comes: the connection is closed then. */
static enum wire_dovecot_client_event next(struct auth_client *c, int64_t until_ms)
{
	for (;;) {
		enum wire_dovecot_client_event event;

		base_buf_consume(&c->in, c->used);
		event = wire_dovecot_client_next(
			&c->codec, base_buf_slice(&c->in), &c->used, &c->scratch);
		if (event == WIRE_CLIENT_MORE && read_more(c, until_ms))
			continue;
		if (event == WIRE_CLIENT_MORE || event == WIRE_CLIENT_BROKEN) {
			hang_up(c);
			return WIRE_CLIENT_BROKEN;
		}
		return event;
	}
}

static int shake_hands(struct auth_client *c, struct base_error *err)
{
	int64_t until = base_clock_monotonic_ms() + AUTH_CLIENT_HELLO_MS;
	enum wire_dovecot_client_event event = WIRE_CLIENT_MORE;

	c->mask = 0;
	wire_dovecot_client_init(&c->codec);
	wire_dovecot_client_hello(&c->out, (uint32_t)getpid());
	if (!flush(c))
		hang_up(c);
	while (c->fd >= 0 && event != WIRE_CLIENT_DONE) {
		enum sasl_mechanism mechanism;

		event = next(c, until);
		if (event != WIRE_CLIENT_MECH || c->codec.mech_flags & WIRE_MECH_PRIVATE)
			continue;
		mechanism = sasl_mechanism_parse(c->codec.mech_name);
		if (mechanism != SASL_MECHANISM_NONE)
			c->mask |= SASL_MASK(mechanism);
	}
	if (event == WIRE_CLIENT_DONE)
		return 0;
	return base_error_set(err, BASE_ERROR_TEMPORARY, 0,
		"the server's auth behind \"%s\" does not answer", c->path);
}

int auth_client_open(struct auth_client *c, struct base_error *err)
{
	if (c->fd >= 0)
		return 0;
	if (local_connect(c->path, SOCK_STREAM, false, &c->fd, err) != 0) {
		c->fd = -1;
		return BASE_ERROR_TEMPORARY;
	}
	return shake_hands(c, err);
}

/* The data of the binding that the last CONT asked for. */
static bool binding_data(struct auth_client *c, struct tls_session *tls,
	uint8_t data[TLS_BINDING_MAX_BYTES], struct base_slice *out)
{
	size_t len;

	if (!tls || !tls_binding(tls, c->binding, data, &len))
		return false;
	*out = base_slice_make(data, len);
	return true;
}

static bool send_cont(struct auth_client *c, struct base_slice response, bool out_of_band,
	struct tls_session *tls)
{
	uint8_t data[TLS_BINDING_MAX_BYTES] = {0};
	struct base_slice binding = BASE_SLICE_EMPTY;
	bool bound = c->waits_for_binding;
	bool ok = !bound || binding_data(c, tls, data, &binding);

	c->waits_for_binding = false;
	ok = ok &&
		wire_dovecot_client_cont(
			&c->out, c->id, response, bound ? &binding : NULL, out_of_band);
	base_wipe(data, sizeof(data));
	return ok && flush(c);
}

static enum auth_client_result on_fail(enum wire_dovecot_fail fail)
{
	switch (fail) {
	case WIRE_FAIL_TEMPORARY:
		return AUTH_CLIENT_UNAVAILABLE;
	case WIRE_FAIL_BASE64:
		return AUTH_CLIENT_MALFORMED;
	case WIRE_FAIL_REJECTED:
	case WIRE_FAIL_AUTHZ:
	case WIRE_FAIL_DISABLED:
	case WIRE_FAIL_EXPIRED:
		break;
	}
	return AUTH_CLIENT_REJECTED;
}

/* True: that is the answer; false: there is more to hear. */
static bool on_cont(struct auth_client *c, struct tls_session *tls, enum auth_client_result *out,
	struct base_slice *out_text)
{
	struct base_slice name = c->codec.binding;

	c->waits_for_binding = name.len > 0;
	if (name.len >= sizeof(c->binding)) {
		*out = AUTH_CLIENT_REJECTED;
		return true;
	}
	if (name.len)
		memcpy(c->binding, name.ptr, name.len);
	c->binding[name.len] = '\0';
	if (c->codec.out_of_band) {
		*out = AUTH_CLIENT_REJECTED;
		return !send_cont(c, BASE_SLICE_EMPTY, true, tls);
	}
	*out = AUTH_CLIENT_CHALLENGE;
	*out_text = c->codec.resp;
	return true;
}

static enum auth_client_result hear(
	struct auth_client *c, struct tls_session *tls, struct base_slice *out_text)
{
	int64_t until = base_clock_monotonic_ms() + AUTH_CLIENT_ANSWER_MS;
	enum auth_client_result result;

	*out_text = BASE_SLICE_EMPTY;
	for (;;) {
		enum wire_dovecot_client_event event = next(c, until);

		if (event == WIRE_CLIENT_BROKEN)
			return AUTH_CLIENT_UNAVAILABLE;
		if (c->codec.id != c->id)
			continue;
		if (event == WIRE_CLIENT_OK) {
			*out_text = c->codec.user;
			return AUTH_CLIENT_OK;
		}
		if (event == WIRE_CLIENT_FAIL) {
			*out_text = c->codec.user;
			return on_fail(c->codec.fail);
		}
		if (event == WIRE_CLIENT_CONT && on_cont(c, tls, &result, out_text))
			return result;
	}
}

enum auth_client_result auth_client_begin(struct auth_client *c, struct wire_dovecot_auth *request,
	struct tls_session *tls, struct base_slice *out_text)
{
	c->waits_for_binding = false;
	*out_text = BASE_SLICE_EMPTY;
	/* A server that was restarted meanwhile is found again. */
	for (int tries = 0; tries < 2; tries++) {
		enum auth_client_result result;

		if (auth_client_open(c, NULL) != 0)
			return AUTH_CLIENT_UNAVAILABLE;
		c->id++;
		if (!wire_dovecot_client_auth(&c->out, c->id, request))
			return AUTH_CLIENT_UNAVAILABLE;
		if (!flush(c)) {
			hang_up(c);
			continue;
		}
		result = hear(c, tls, out_text);
		if (result != AUTH_CLIENT_UNAVAILABLE || c->fd >= 0)
			return result;
	}
	return AUTH_CLIENT_UNAVAILABLE;
}

enum auth_client_result auth_client_continue(struct auth_client *c, struct base_slice response,
	struct tls_session *tls, struct base_slice *out_text)
{
	*out_text = BASE_SLICE_EMPTY;
	if (c->fd < 0)
		return AUTH_CLIENT_UNAVAILABLE;
	if (!send_cont(c, response, false, tls)) {
		auth_client_cancel(c);
		return AUTH_CLIENT_REJECTED;
	}
	return hear(c, tls, out_text);
}

void auth_client_cancel(struct auth_client *c)
{
	if (c->fd >= 0 && wire_dovecot_client_cancel(&c->out, c->id) && !flush(c))
		hang_up(c);
}
