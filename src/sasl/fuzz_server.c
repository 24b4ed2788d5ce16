/* Any responses, in any mechanism. Input: mechanism, options, then responses, each behind a length
 * byte (255: all the rest). What must hold: nobody gets in but the user of the store, every refusal
 * has a reason, and every challenge is text without NUL, CR or LF. */
#include "sasl/test_support.h"

#include "base/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct support_store store;

static const struct sasl_scram_keys *keys_of(enum sasl_mechanism mechanism)
{
	static struct sasl_scram_keys keys[BASE_HASH_COUNT];
	enum base_hash hash = sasl_mechanism_info(mechanism)->hash;

	if (keys[hash].iterations == 0 &&
		!sasl_scram_derive(
			hash, store.password, BASE_SLICE("0123456789abcdef"), 1, &keys[hash]))
		abort();
	return &keys[hash];
}

static bool take(const uint8_t **data, size_t *size, struct base_slice *out)
{
	size_t len;

	if (*size == 0)
		return false;
	len = **data == 255 || **data > *size - 1 ? *size - 1 : **data;
	*out = base_slice_make(*data + 1, len);
	*data += 1 + len;
	*size -= 1 + len;
	return true;
}

static void look_at(const struct base_buf *out)
{
	for (size_t i = 0; i < out->len; i++)
		if (out->ptr[i] == '\0' || out->ptr[i] == '\r' || out->ptr[i] == '\n')
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sasl_server_options o;
	enum sasl_server_result result;
	struct base_slice response;
	struct sasl_server *s;
	struct base_buf out;
	uint8_t flags;

	if (size < 2)
		return 0;
	store.user = BASE_SLICE("tim");
	store.password = BASE_SLICE("tanstaaftanstaaf");
	o = support_server_options(
		(enum sasl_mechanism)(1 + data[0] % (SASL_MECHANISM_SERVER_COUNT - 1)));
	flags = data[1];
	data += 2;
	size -= 2;
	if (sasl_mechanism_info(o.mechanism)->flags & SASL_SCRAM)
		store.keys = *keys_of(o.mechanism);
	o.tls = flags & 1;
	o.plus_offered = flags & 2;
	store.binding_available = flags & 4;
	store.binding_data = BASE_SLICE("xxx");
	store.down = (flags & 0x70) == 0x70;
	base_buf_init(&out, SASL_CHALLENGE_MAX_BYTES);
	if ((flags & 8) && take(&data, &size, &response))
		result = support_begin(&s, &o, &response, &store, &out);
	else
		result = support_begin(&s, &o, NULL, &store, &out);
	while (result == SASL_SERVER_CHALLENGE && take(&data, &size, &response)) {
		look_at(&out);
		result = support_push(s, response, &store, &out);
	}
	if (result == SASL_SERVER_SUCCESS && !base_slice_equal(sasl_server_user(s), store.user))
		abort();
	if ((result == SASL_SERVER_REJECTED || result == SASL_SERVER_MALFORMED) &&
		sasl_server_reason(s)[0] == '\0')
		abort();
	sasl_server_free(&s);
	base_buf_release(&out);
	return 0;
}
