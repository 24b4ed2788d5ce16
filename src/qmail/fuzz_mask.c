/* What is shown does not depend on the cut, and a response to an AUTH that the engine has seen is
 * never in it, whatever came before and wherever it was cut. */
#include "qmail/mask.h"

#include "base/macros.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char secret[] = "s3cr3tQ=";

/* @data is a row of pieces: a byte of side and length, then the bytes. */
static void play(const uint8_t *data, size_t size, size_t cut, struct base_buf *out, bool *io_tls)
{
	struct mask m;

	mask_init(&m, false);
	while (size > 1) {
		enum mask_side side = data[0] & 1 ? MASK_SERVER : MASK_CLIENT;
		size_t len = data[0] >> 1;

		if (len > size - 1)
			len = size - 1;
		for (size_t at = 1; at <= len; at += cut) {
			size_t part = len + 1 - at < cut ? len + 1 - at : cut;

			mask_push(&m, side, base_slice_make(data + at, part), out);
		}
		data += len + 1;
		size -= len + 1;
	}
	if (!m.in_body && !m.chunk) {
		static const char *const lines[] = {"\r\nAUTH PLAIN s3cr3tQ=\r\n",
			"\r\nauth\tlogin\r\ns3cr3tQ=\r\ns3cr3tQ=\r\n", "\nPASS s3cr3tQ=\n"};
		const char *text = lines[size % 3];
		size_t before = out->len;

		for (size_t at = 0, len = strlen(text); at < len; at += cut) {
			size_t part = len - at < cut ? len - at : cut;

			mask_push(&m, MASK_CLIENT, base_slice_make(text + at, part), out);
		}
		BASE_BUG_IF(memmem(out->ptr + before, out->len - before, secret, strlen(secret)));
	}
	mask_end(&m, MASK_CLIENT, out);
	mask_end(&m, MASK_SERVER, out);
	*io_tls = m.tls;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct base_buf whole, cut;
	bool tls = false;

	base_buf_init(&whole, 1u << 20);
	base_buf_init(&cut, 1u << 20);
	play(data, size, 1000, &whole, &tls);
	play(data, size, 1, &cut, &tls);
	BASE_BUG_IF(!tls && !base_slice_equal(base_buf_slice(&whole), base_buf_slice(&cut)));
	base_buf_release(&whole);
	base_buf_release(&cut);
	return 0;
}
