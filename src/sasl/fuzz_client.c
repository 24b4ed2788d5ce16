/* Any challenges, in any mechanism. Input: mechanism, options, then challenges, each behind a
 * length byte (255: all the rest). What must hold: responses have no CR, LF or NUL but PLAIN's two;
 * SCRAM is never content, because the fuzzer cannot know the key of the password; a token neither once it
 * was refused. A FOREIGN mechanism answers here as it likes. */
#include "sasl/test_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Counts that are allowed but slow are the business of the unit tests. */
static bool is_slow(struct base_slice challenge)
{
	for (size_t i = 0; i + 7 <= challenge.len; i++) {
		struct base_slice number = base_slice_first(base_slice_from(challenge, i + 2), 5);
		uint64_t value;

		if (challenge.ptr[i] == 'i' && challenge.ptr[i + 1] == '=' &&
			base_slice_to_u64(number, &value))
			return true;
	}
	return false;
}

static void look_at(enum sasl_mechanism mechanism, const struct base_buf *out)
{
	unsigned nuls = 0;

	for (size_t i = 0; i < out->len; i++) {
		if (out->ptr[i] == '\r' || out->ptr[i] == '\n')
			abort();
		nuls += out->ptr[i] == '\0';
	}
	if (nuls != (mechanism == SASL_MECHANISM_PLAIN ? 2 : 0))
		abort();
}

/* An exchange from outside: what it says hangs on the challenge's first byte. */
struct foreign {
	unsigned freed;
	uint8_t last;
};

static enum sasl_client_result foreign_step(void *arg, struct base_slice in, struct base_buf *out)
{
	struct foreign *f = arg;

	if (f->freed)
		abort();
	f->last = in.len ? in.ptr[0] : 0;
	base_buf_append_text(out, "answer");
	return f->last & 1 ? SASL_CLIENT_ABORT : SASL_CLIENT_RESPONSE;
}

static enum sasl_client_result foreign_finish(void *arg)
{
	struct foreign *f = arg;

	if (f->freed)
		abort();
	return f->last & 2 ? SASL_CLIENT_NOT_PROVEN : SASL_CLIENT_DONE;
}

static const char *foreign_reason(void *arg)
{
	return "as it likes";
}

static void foreign_free(void *arg)
{
	((struct foreign *)arg)->freed++;
}

static void check_error(const struct sasl_client *c, enum sasl_mechanism mechanism)
{
	struct base_slice error = sasl_client_error(c);

	if (error.len > SASL_CLIENT_ERROR_MAX_BYTES)
		abort();
	if (error.len && !(sasl_mechanism_info(mechanism)->flags & SASL_TOKEN))
		abort();
	if (error.len && memmem(error.ptr, error.len, "tanstaaftanstaaf", 16))
		abort();
}

static enum sasl_client_result push(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	uint8_t *copy = malloc(challenge.len ? challenge.len : 1);
	enum sasl_client_result result;

	if (challenge.len)
		memcpy(copy, challenge.ptr, challenge.len);
	base_buf_clear(out);
	result = sasl_client_push(c, base_slice_make(copy, challenge.len), out);
	free(copy);
	return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_client_options o = {
		.user = BASE_SLICE("tim"),
		.password = BASE_SLICE("tanstaaftanstaaf"),
		.random = support_random_slice(SASL_CLIENT_RANDOM_BYTES),
		.binding_data = BASE_SLICE("xxx"),
		.host = BASE_SLICE("smtp.example.org"),
		.port = 587,
	};
	struct foreign f = {0};
	struct sasl_client_foreign foreign = {
		foreign_step, foreign_finish, foreign_reason, foreign_free, &f};
	unsigned flags, pushed = 0;
	enum sasl_client_result result;
	struct sasl_client *c;
	struct base_buf out;

	if (size < 2)
		return 0;
	o.mechanism = (enum sasl_mechanism)(1 + data[0] % (SASL_MECHANISM_COUNT - 1));
	flags = sasl_mechanism_info(o.mechanism)->flags;
	if (flags & SASL_FOREIGN && !(data[1] & 0x80))
		o.foreign = &foreign;
	o.tls = data[1] & 1;
	o.plus_offered = data[1] & 2;
	o.binding = (enum sasl_binding)(data[1] >> 2 & 3);
	data += 2;
	size -= 2;
	base_buf_init(&out, SASL_RESPONSE_MAX_BYTES);
	result = sasl_client_begin(&c, &o, &out);
	if (result == SASL_CLIENT_RESPONSE)
		look_at(o.mechanism, &out);
	while (result != SASL_CLIENT_ABORT && size > 0) {
		size_t len = *data == 255 || *data > size - 1 ? size - 1 : *data;
		struct base_slice challenge = base_slice_make(data + 1, len);

		if (is_slow(challenge))
			break;
		result = push(c, challenge, &out);
		pushed++;
		if (result == SASL_CLIENT_RESPONSE && o.mechanism != SASL_MECHANISM_PLAIN)
			look_at(o.mechanism, &out);
		data += 1 + len;
		size -= 1 + len;
	}
	if (result == SASL_CLIENT_ABORT && sasl_client_reason(c)[0] == '\0')
		abort();
	if (sasl_client_finish(c) == SASL_CLIENT_DONE &&
		(flags & SASL_SCRAM || (flags & (SASL_TOKEN | SASL_CERTIFICATE) && pushed)))
		abort();
	check_error(c, o.mechanism);
	sasl_client_free(&c);
	if (f.freed != (o.foreign ? 1 : 0))
		abort();
	base_buf_release(&out);
	return 0;
}
