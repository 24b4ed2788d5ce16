/* Our client against our server with one message spoiled on its way. Input: mechanism, options,
 * number of the message, what to do with it, where, and bytes to put there; then user and password.
 * What must hold: untouched, the right password gets in and a wrong one does not; touched, SCRAM
 * and CRAM-MD5 do not succeed on both sides. */
#include "sasl/test_support.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct spoil {
	unsigned number;
	uint8_t how;
	size_t at;
	struct base_slice bytes;
	bool changed;
};

/* Replace, insert, cut, or put something else in its place. */
static void spoil(void *arg, unsigned number, struct base_buf *message)
{
	struct spoil *sp = arg;
	struct base_buf made;
	struct base_slice whole = base_buf_slice(message);
	size_t at = message->len ? sp->at % (message->len + 1) : 0;
	size_t skip = 0;

	if (number != sp->number)
		return;
	base_buf_init(&made, SASL_RESPONSE_MAX_BYTES);
	base_buf_append_slice(&made, base_slice_first(whole, at));
	if (sp->how % 4 != 2)
		base_buf_append_slice(&made, sp->bytes);
	if (sp->how % 4 == 0)
		skip = sp->bytes.len;
	else if (sp->how % 4 == 2)
		skip = 1 + sp->bytes.len;
	if (sp->how % 4 != 3)
		base_buf_append_slice(&made, base_slice_from(whole, at + skip));
	sp->changed = !base_slice_equal(base_buf_slice(&made), whole);
	base_buf_clear(message);
	base_buf_append_slice(message, base_buf_slice(&made));
	base_buf_release(&made);
}

static struct base_slice take(const uint8_t **data, size_t *size)
{
	struct base_slice taken;
	size_t len;

	if (*size == 0)
		return BASE_SLICE_EMPTY;
	len = **data > *size - 1 ? *size - 1 : **data;
	taken = base_slice_make(*data + 1, len);
	*data += 1 + len;
	*size -= 1 + len;
	return taken;
}

static void judge(const struct support_pair *pair, const struct support_outcome *o, bool right)
{
	bool scram = sasl_mechanism_info(pair->client.mechanism)->flags & SASL_SCRAM;
	const struct spoil *sp = pair->tamper_arg;
	/* The empty challenge that only asks for the initial response means nothing. */
	bool changed = sp->changed && !(scram && !pair->initial && sp->number == 0);
	bool both = o->server == SASL_SERVER_SUCCESS && o->client == SASL_CLIENT_DONE;

	if (!changed && both != right)
		abort();
	if (changed && both && (scram || pair->client.mechanism == SASL_MECHANISM_CRAM_MD5))
		abort();
	if (!right && scram && o->server == SASL_SERVER_SUCCESS)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct base_slice binding = {(const uint8_t *)"0123456789", 10};
	struct spoil spoiled = {0};
	struct support_store store = {.binding_available = true, .binding_data = binding};
	struct base_secret user, password;
	struct support_outcome o;
	struct support_pair pair = {.store = &store, .tamper = spoil, .tamper_arg = &spoiled};
	enum sasl_mechanism mechanism;
	struct base_slice name, word;
	bool right, plus;

	if (size < 6)
		return 0;
	mechanism = (enum sasl_mechanism)(1 + data[0] % (SASL_MECHANISM_SERVER_COUNT - 1));
	plus = sasl_mechanism_info(mechanism)->flags & SASL_CHANNEL_BINDING;
	pair.initial = data[1] & 1;
	right = !(data[1] & 2);
	spoiled.number = data[2] % 8;
	spoiled.how = data[3];
	spoiled.at = (size_t)data[4] << 8 | data[5];
	data += 6;
	size -= 6;
	spoiled.bytes = take(&data, &size);
	name = take(&data, &size);
	word = take(&data, &size);
	base_secret_init(&user, SASL_NAME_MAX_BYTES);
	base_secret_init(&password, BASE_SECRET_PASSWORD_MAX_BYTES);
	if (!sasl_prep(name, true, &user) || user.len == 0)
		name = BASE_SLICE("tim");
	if (!sasl_prep(word, true, &password) || password.len == 0)
		word = BASE_SLICE("secret");
	if (!sasl_prep(name, true, &user) || !sasl_prep(word, true, &password))
		abort();
	store.user = base_secret_slice(&user);
	store.password = base_secret_slice(&password);
	if ((sasl_mechanism_info(mechanism)->flags & SASL_SCRAM) &&
		!sasl_scram_derive(sasl_mechanism_info(mechanism)->hash, word, BASE_SLICE("salt"),
			SASL_CLIENT_ITERATIONS_MIN, &store.keys))
		abort();
	pair.server = support_server_options(mechanism);
	pair.client = (struct sasl_client_options){
		.mechanism = mechanism,
		.user = name,
		.password = right ? word : BASE_SLICE("surely another"),
		.random = support_random_slice(SASL_CLIENT_RANDOM_BYTES),
		.binding = plus ? SASL_BINDING_TLS_EXPORTER : SASL_BINDING_NONE,
		.binding_data = binding,
	};
	o = support_run(&pair);
	judge(&pair, &o, right);
	base_secret_release(&user);
	base_secret_release(&password);
	return 0;
}
