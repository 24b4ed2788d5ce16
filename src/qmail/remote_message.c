#include "qmail/remote.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The message is read once, on its way out: a target is left for another only before its body was
 * asked for. A look ahead at a file does not move its descriptor. */

void remote_message_init(struct remote_message *m, int fd)
{
	*m = (struct remote_message){.fd = fd, .last_byte = '\n'};
	m->bytes = base_alloc(REMOTE_MESSAGE_BYTES);
}

void remote_message_release(struct remote_message *m)
{
	free(m->bytes);
	m->bytes = NULL;
}

/* Lines end with LF here and with CRLF on the wire; a CR of the message's own is none more. */
static void look(const uint8_t *bytes, size_t len, uint8_t *last, struct remote_message_facts *f)
{
	for (size_t i = 0; i < len; i++) {
		f->size_bytes += 1 + (bytes[i] == '\n' && *last != '\r');
		f->has_8bit |= bytes[i] >= 0x80;
		*last = bytes[i];
	}
}

struct remote_message_facts remote_message_scan(const struct remote_message *m)
{
	struct remote_message_facts facts = {.size_bytes = 0}, none = {.size_bytes = 0};
	off_t at = lseek(m->fd, 0, SEEK_CUR);
	uint8_t last = '\n';
	struct stat st;

	if (at < 0 || fstat(m->fd, &st) != 0 || !S_ISREG(st.st_mode))
		return none;
	for (;;) {
		ssize_t n = pread(m->fd, m->bytes, REMOTE_MESSAGE_BYTES, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return none;
		if (n == 0)
			return last == '\n' ? facts : none;
		look(m->bytes, (size_t)n, &last, &facts);
		at += n;
	}
}

/* Until the buffer is full, so that the end is known with the last bytes and not after them. */
void remote_message_fill(struct remote_message *m)
{
	if (m->at < m->len || m->ended || m->failed)
		return;
	m->at = m->len = 0;
	while (m->len < REMOTE_MESSAGE_BYTES && !m->ended && !m->failed) {
		ssize_t n = read(m->fd, m->bytes + m->len, REMOTE_MESSAGE_BYTES - m->len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			m->failed = true;
		else if (n == 0)
			m->ended = true;
		else
			m->len += (size_t)n;
	}
	if (m->len)
		m->last_byte = m->bytes[m->len - 1];
}
