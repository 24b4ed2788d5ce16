/* sasl/test_support.h: both sides of an exchange for tests and fuzz targets
 * Job      a store with one user, an auth program that answers the server's questions, and a wire
 * Not      for programs: every random byte and every key here is fixed */
#ifndef SASL_TEST_SUPPORT_H
#define SASL_TEST_SUPPORT_H

#include "sasl/client.h"
#include "sasl/prep.h"
#include "sasl/scram.h"
#include "sasl/server_internal.h"

#include <stdlib.h>
#include <string.h>

static const uint8_t support_random[64] =
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
static const uint8_t support_mock_key[32] = "a key for those who do not exist";

struct support_store {
	struct base_slice user, password; /* prepared */
	struct sasl_scram_keys keys;      /* of the mechanism's hash */
	bool down;
	bool binding_available;
	struct base_slice binding_data;
};

static inline struct base_slice support_random_slice(size_t len)
{
	return base_slice_make(support_random, len);
}

static inline struct sasl_server_options support_server_options(enum sasl_mechanism mechanism)
{
	return (struct sasl_server_options){
		.mechanism = mechanism,
		.host_name = BASE_SLICE("mail.example.org"),
		.random = support_random_slice(SASL_SERVER_RANDOM_BYTES),
		.now_ms = 1795532400000,
		.tls = true,
		.mock_key = base_slice_make(support_mock_key, sizeof(support_mock_key)),
	};
}

static inline enum sasl_server_result support_answer_one(struct sasl_server *s,
	enum sasl_server_result question, const struct support_store *store, struct base_buf *out)
{
	bool known = base_slice_equal(sasl_server_user(s), store->user);
	enum sasl_credentials_state state = store->down ? SASL_CREDENTIALS_UNAVAILABLE
		: known                                 ? SASL_CREDENTIALS_KNOWN
							: SASL_CREDENTIALS_UNKNOWN;

	switch (question) {
	case SASL_SERVER_CHECK_PASSWORD:
		return sasl_server_password_answer(
			s, state, base_slice_equal(sasl_server_password(s), store->password), out);
	case SASL_SERVER_NEED_SECRET:
		return sasl_server_secret_answer(s, state, store->password, out);
	case SASL_SERVER_NEED_SCRAM:
		return sasl_server_scram_answer(s, state, &store->keys, out);
	case SASL_SERVER_NEED_BINDING:
		return sasl_server_binding_answer(
			s, store->binding_available, store->binding_data, out);
	case SASL_SERVER_CHALLENGE:
	case SASL_SERVER_SUCCESS:
	case SASL_SERVER_REJECTED:
	case SASL_SERVER_MALFORMED:
	case SASL_SERVER_UNAVAILABLE:
		break;
	}
	abort();
}

static inline bool support_is_question(enum sasl_server_result result)
{
	return result == SASL_SERVER_CHECK_PASSWORD || result == SASL_SERVER_NEED_SECRET ||
		result == SASL_SERVER_NEED_SCRAM || result == SASL_SERVER_NEED_BINDING;
}

/* Answer questions until there is a challenge or an end. */
static inline enum sasl_server_result support_answer(struct sasl_server *s,
	enum sasl_server_result result, const struct support_store *store, struct base_buf *out)
{
	while (support_is_question(result))
		result = support_answer_one(s, result, store, out);
	return result;
}

/* Push a copy that ends where its memory ends. */
static inline enum sasl_server_result support_push(struct sasl_server *s,
	struct base_slice response, const struct support_store *store, struct base_buf *out)
{
	uint8_t *copy = malloc(response.len ? response.len : 1);
	enum sasl_server_result result;

	if (response.len)
		memcpy(copy, response.ptr, response.len);
	base_buf_clear(out);
	result = sasl_server_push(s, base_slice_make(copy, response.len), out);
	free(copy);
	return support_answer(s, result, store, out);
}

static inline enum sasl_server_result support_begin(struct sasl_server **s,
	const struct sasl_server_options *options, const struct base_slice *initial,
	const struct support_store *store, struct base_buf *out)
{
	struct base_slice exact = {0};
	uint8_t *copy = NULL;
	enum sasl_server_result result;

	if (initial) {
		copy = malloc(initial->len ? initial->len : 1);
		if (initial->len)
			memcpy(copy, initial->ptr, initial->len);
		exact = base_slice_make(copy, initial->len);
	}
	base_buf_clear(out);
	result = sasl_server_begin(s, options, initial ? &exact : NULL, out);
	free(copy);
	return support_answer(*s, result, store, out);
}

/* Called with each message on its way: @number counts from 0 over both directions. */
typedef void support_tamper_fn(void *arg, unsigned number, struct base_buf *message);

struct support_pair {
	struct sasl_client_options client;
	struct sasl_server_options server;
	const struct support_store *store;
	bool initial;              /* the client's initial response goes with the command */
	support_tamper_fn *tamper; /* may be null */
	void *tamper_arg;
};

struct support_outcome {
	enum sasl_server_result server;
	enum sasl_client_result client; /* ABORT, or what finish said after the server's end */
	unsigned messages;
	char user[SASL_NAME_MAX_BYTES + 1];
	char authzid[SASL_NAME_MAX_BYTES + 1];
};

static inline void support_copy_text(char *to, struct base_slice from)
{
	if (from.len)
		memcpy(to, from.ptr, from.len);
	to[from.len] = '\0';
}

static inline void support_deliver(
	const struct support_pair *pair, struct support_outcome *o, struct base_buf *message)
{
	if (pair->tamper)
		pair->tamper(pair->tamper_arg, o->messages, message);
	o->messages++;
}

static inline struct support_outcome support_run(const struct support_pair *pair)
{
	struct support_outcome o = {0};
	struct sasl_client *c = NULL;
	struct sasl_server *s = NULL;
	struct base_buf up, down;
	bool held = false;

	base_buf_init(&up, SASL_RESPONSE_MAX_BYTES);
	base_buf_init(&down, SASL_CHALLENGE_MAX_BYTES);
	o.client = sasl_client_begin(&c, &pair->client, &up);
	if (o.client == SASL_CLIENT_ABORT) {
		o.server = SASL_SERVER_UNAVAILABLE;
		goto out;
	}
	if (o.client == SASL_CLIENT_RESPONSE && pair->initial) {
		struct base_slice initial;

		support_deliver(pair, &o, &up);
		initial = base_buf_slice(&up);
		o.server = support_begin(&s, &pair->server, &initial, pair->store, &down);
	} else {
		held = o.client == SASL_CLIENT_RESPONSE;
		o.server = support_begin(&s, &pair->server, NULL, pair->store, &down);
	}
	while (o.server == SASL_SERVER_CHALLENGE) {
		support_deliver(pair, &o, &down);
		if (!held) {
			base_buf_clear(&up);
			o.client = sasl_client_push(c, base_buf_slice(&down), &up);
		}
		held = false;
		if (o.client == SASL_CLIENT_ABORT)
			goto out;
		support_deliver(pair, &o, &up);
		o.server = support_push(s, base_buf_slice(&up), pair->store, &down);
	}
	support_copy_text(o.user, sasl_server_user(s));
	support_copy_text(o.authzid, sasl_server_authzid(s));
	o.client = sasl_client_finish(c);
out:
	sasl_client_free(&c);
	sasl_server_free(&s);
	base_buf_release(&up);
	base_buf_release(&down);
	return o;
}

#endif
