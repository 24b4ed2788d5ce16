/* Any challenges to DIGEST-MD5. Input: whether a good challenge comes first, then challenges, each behind a
 * length byte (255: all the rest). What must hold: responses are one line of text, every refusal has a
 * reason, and no proof is ever believed, because the fuzzer does not know the password. */
#include "loop/gsasl.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static enum sasl_client_result push(
	const struct sasl_client_foreign *f, struct base_slice challenge, struct base_buf *out)
{
	uint8_t *copy = malloc(challenge.len ? challenge.len : 1);
	enum sasl_client_result result;

	if (challenge.len)
		memcpy(copy, challenge.ptr, challenge.len);
	base_buf_clear(out);
	result = f->step(f->arg, base_slice_make(copy, challenge.len), out);
	free(copy);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum sasl_client_result result = SASL_CLIENT_WAIT;
	struct sasl_client_foreign f;
	struct base_buf out;

	if (size == 0)
		return 0;
	if (!gsasl_client_new(NULL, SASL_MECHANISM_DIGEST_MD5, BASE_SLICE("mx.example.org"),
		    BASE_SLICE("tim"), BASE_SLICE("tanstaaftanstaaf"), &f))
		return 0;
	base_buf_init_secret(&out, 16384);
	if (data[0] & 1)
		BASE_BUG_IF(push(&f,
				    BASE_SLICE("realm=\"r\",nonce=\"n\",algorithm=md5-sess,"
					       "charset=utf-8"),
				    &out) != SASL_CLIENT_RESPONSE);
	data++;
	size--;
	while (result != SASL_CLIENT_ABORT && size > 0) {
		size_t len = *data == 255 || *data > size - 1 ? size - 1 : *data;

		result = push(&f, base_slice_make(data + 1, len), &out);
		for (size_t i = 0; i < out.len; i++)
			BASE_BUG_IF(out.ptr[i] < 0x20 || out.ptr[i] == 0x7f);
		data += 1 + len;
		size -= 1 + len;
	}
	BASE_BUG_IF(result == SASL_CLIENT_ABORT && f.reason(f.arg)[0] == '\0');
	BASE_BUG_IF(f.finish(f.arg) == SASL_CLIENT_DONE);
	f.free(f.arg);
	base_buf_release(&out);
	return 0;
}
