#include "qmail/smtpd_wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum {
	READ_BYTES = 16384,
	WRITE_BYTES = 4096
}; /* so much a pipe takes at once when poll says so */

static enum smtpd_wire_result wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = {.fd = fd, .events = events};
	int n;

	do
		n = poll(&p, 1, timeout_ms);
	while (n < 0 && errno == EINTR);
	if (n == 0)
		return SMTPD_WIRE_TIMEOUT;
	return n > 0 ? SMTPD_WIRE_OK : SMTPD_WIRE_FAILED;
}

static enum smtpd_wire_result wait_for_tls(struct smtpd_wire *w, enum tls_io io)
{
	switch (io) {
	case TLS_OK:
		return SMTPD_WIRE_OK;
	case TLS_WANT_READ:
		return wait_for(w->in, POLLIN, w->timeout_ms);
	case TLS_WANT_WRITE:
		return wait_for(w->out, POLLOUT, w->timeout_ms);
	case TLS_EOF:
		return SMTPD_WIRE_EOF;
	case TLS_FAILED:
		break;
	}
	return SMTPD_WIRE_FAILED;
}

static enum smtpd_wire_result read_tls(struct smtpd_wire *w, uint8_t *to, size_t *out_len)
{
	for (;;) {
		enum tls_io io = tls_read(w->tls, to, READ_BYTES, out_len);
		enum smtpd_wire_result result = wait_for_tls(w, io);

		if (io == TLS_OK || result != SMTPD_WIRE_OK)
			return result;
	}
}

static enum smtpd_wire_result read_clear(struct smtpd_wire *w, uint8_t *to, size_t *out_len)
{
	for (;;) {
		enum smtpd_wire_result result = wait_for(w->in, POLLIN, w->timeout_ms);
		ssize_t n;

		if (result != SMTPD_WIRE_OK)
			return result;
		n = read(w->in, to, READ_BYTES);
		if (n == 0)
			return SMTPD_WIRE_EOF;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return SMTPD_WIRE_FAILED;
		if (n > 0) {
			*out_len = (size_t)n;
			return SMTPD_WIRE_OK;
		}
	}
}

enum smtpd_wire_result smtpd_wire_read(struct smtpd_wire *w, struct base_buf *to)
{
	uint8_t *place = base_buf_reserve(to, READ_BYTES);
	enum smtpd_wire_result result;
	size_t len = 0;

	if (!place)
		return SMTPD_WIRE_FAILED;
	result = w->tls ? read_tls(w, place, &len) : read_clear(w, place, &len);
	if (result == SMTPD_WIRE_OK)
		base_buf_grew(to, len);
	return result;
}

static enum smtpd_wire_result write_some(
	struct smtpd_wire *w, struct base_slice from, size_t *out_len)
{
	enum smtpd_wire_result result;
	ssize_t n;

	if (w->tls) {
		enum tls_io io = tls_write(w->tls, from.ptr, from.len, out_len);

		if (io != TLS_OK)
			*out_len = 0;
		return wait_for_tls(w, io);
	}
	*out_len = 0;
	result = wait_for(w->out, POLLOUT, w->timeout_ms);
	if (result != SMTPD_WIRE_OK)
		return result;
	n = write(w->out, from.ptr, from.len < WRITE_BYTES ? from.len : WRITE_BYTES);
	if (n < 0 && errno != EINTR && errno != EAGAIN)
		return SMTPD_WIRE_FAILED;
	*out_len = n > 0 ? (size_t)n : 0;
	return SMTPD_WIRE_OK;
}

enum smtpd_wire_result smtpd_wire_write(struct smtpd_wire *w, struct base_buf *from)
{
	size_t done = 0;

	while (done < from->len) {
		size_t len;
		enum smtpd_wire_result result = write_some(
			w, base_slice_from(base_buf_slice(from), done), &len);

		if (result != SMTPD_WIRE_OK)
			return result;
		done += len;
	}
	base_buf_clear(from);
	return SMTPD_WIRE_OK;
}

static bool unblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0;
}

enum smtpd_wire_result smtpd_wire_start_tls(struct smtpd_wire *w, struct tls_context *context)
{
	if (!unblock(w->in) || !unblock(w->out))
		return SMTPD_WIRE_FAILED;
	w->tls = tls_accept_pair_new(context, w->in, w->out);
	if (!w->tls)
		return SMTPD_WIRE_FAILED;
	for (;;) {
		enum tls_io io = tls_handshake(w->tls);
		enum smtpd_wire_result result = wait_for_tls(w, io);

		if (io == TLS_OK || result != SMTPD_WIRE_OK)
			return result;
	}
}
