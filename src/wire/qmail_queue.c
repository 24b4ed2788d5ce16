#include "wire/qmail_queue.h"

#include <assert.h>
#include <string.h>

static bool put(uint8_t mark, struct base_slice address, struct base_buf *out)
{
	size_t before = out->len;

	if (address.len > WIRE_QMAIL_ADDRESS_MAX_BYTES || base_slice_has(address, '\0'))
		return false;
	base_buf_append_byte(out, mark);
	base_buf_append_slice(out, address);
	if (base_buf_append_byte(out, '\0') && base_buf_ok(out))
		return true;
	base_buf_truncate(out, before);
	return false;
}

bool wire_qmail_queue_sender(struct base_slice sender, struct base_buf *out)
{
	return put('F', sender, out);
}

bool wire_qmail_queue_rcpt(struct base_slice rcpt, struct base_buf *out)
{
	return put('T', rcpt, out);
}

void wire_qmail_queue_end(struct base_buf *out)
{
	base_buf_append_byte(out, '\0');
}

/* The first row that has the status is the answer. */
static const struct row {
	uint8_t from, to;
	struct wire_qmail_queue_reply reply;
} rows[] = {
	{0, 0, {250, "2.0.0", "ok", "ok"}},
	{11, 11,
		{554, "5.1.3", "envelope address too long for the queue",
			"envelope address too long for qq (#5.1.3)"}},
	{115, 115,
		{554, "5.1.3", "envelope address too long for the queue",
			"envelope address too long for qq (#5.1.3)"}},
	{31, 31,
		{554, "5.3.0", "mail server permanently rejected message",
			"mail server permanently rejected message (#5.3.0)"}},
	{11, 40,
		{554, "5.3.0", "the queue refuses the message for good",
			"qq permanent problem (#5.3.0)"}},
	{51, 51, {451, "4.3.0", "the queue is out of memory", "qq out of memory (#4.3.0)"}},
	{52, 52, {451, "4.3.0", "the queue took too long", "qq timeout (#4.3.0)"}},
	{53, 53,
		{451, "4.3.0", "the queue cannot write, or its disk is full",
			"qq write error or disk full (#4.3.0)"}},
	{54, 54, {451, "4.3.0", "the queue could not read the message", "qq read error (#4.3.0)"}},
	{55, 55,
		{451, "4.3.0", "the queue cannot read its configuration",
			"qq unable to read configuration (#4.3.0)"}},
	{56, 56,
		{451, "4.3.0", "the queue cannot make a network connection",
			"qq trouble making network connection (#4.3.0)"}},
	{61, 61,
		{451, "4.3.0", "the queue cannot use its home directory",
			"qq trouble in home directory (#4.3.0)"}},
	{62, 66,
		{451, "4.3.0", "the queue cannot create its files",
			"qq trouble creating files in queue (#4.3.0)"}},
	{71, 71,
		{451, "4.3.0", "mail server temporarily rejected message",
			"mail server temporarily rejected message (#4.3.0)"}},
	{72, 72,
		{451, "4.4.1", "connection to mail server timed out",
			"connection to mail server timed out (#4.4.1)"}},
	{73, 73,
		{451, "4.4.1", "connection to mail server rejected",
			"connection to mail server rejected (#4.4.1)"}},
	{74, 74,
		{451, "4.4.2", "communication with mail server failed",
			"communication with mail server failed (#4.4.2)"}},
	{81, 81, {451, "4.3.0", "the queue met a bug of its own", "qq internal bug (#4.3.0)"}},
	{91, 91, {451, "4.3.0", "the queue met a bug of its own", "qq internal bug (#4.3.0)"}},
	{120, 120, {451, "4.3.0", "the queue cannot be started", "unable to exec qq (#4.3.0)"}},
	{0, 255,
		{451, "4.3.0", "the queue has a temporary problem",
			"qq temporary problem (#4.3.0)"}},
};

struct wire_qmail_queue_reply wire_qmail_queue_reply(int status, bool crashed)
{
	static const struct wire_qmail_queue_reply crash = {
		451, "4.3.0", "the queue crashed", "qq crashed (#4.3.0)"};
	size_t i = 0;

	if (crashed)
		return crash;
	while (i + 1 < BASE_COUNT(rows) && (status < rows[i].from || status > rows[i].to))
		i++;
	return rows[i].reply;
}
