/* The server's object and its one machine.
 *
 * A mechanism is a row of rounds; a round takes one response. Between two rounds the exchange may
 * stop at a question:
 *
 *      begin --> RESPONSE --push--> PASSWORD, SECRET, SCRAM or BINDING --answer--> RESPONSE
 *                and from each of them: --> DONE
 *
 * RESPONSE: the last challenge was given out and round[round] takes what comes back.
 * PASSWORD, SECRET, SCRAM: user holds the prepared name; PASSWORD: password is filled as well.
 * BINDING:  the client's final message is kept and its proof not looked at yet.
 * DONE:     password, keys and dialogue are wiped; user, authzid and reason can be read.
 * settle() is the only writer of the phase. */
#include "sasl/server_internal.h"

#include "sasl/prep.h"

#include <assert.h>
#include <string.h>

enum { ROUNDS_MAX = 3 };

struct exchange {
	const char *prompt; /* the first challenge where it is a constant; else text holds it */
	sasl_server_round_fn *round[ROUNDS_MAX];
};

#define SCRAM_EXCHANGE \
	{ \
		"", \
		{ \
			sasl_scram_server_client_first, sasl_scram_server_client_final, \
				sasl_scram_server_empty \
		} \
	}

static const struct exchange exchanges[] = {
	[SASL_MECHANISM_LOGIN] = {"Username:",
		{sasl_login_server_user, sasl_login_server_password}},
	[SASL_MECHANISM_PLAIN] = {"", {sasl_plain_server_message}},
	[SASL_MECHANISM_CRAM_MD5] = {NULL, {sasl_cram_md5_server_digest}},
	[SASL_MECHANISM_SCRAM_SHA_1] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_1_PLUS] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_256] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_256_PLUS] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_512] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_512_PLUS] = SCRAM_EXCHANGE,
};
static_assert(BASE_COUNT(exchanges) == SASL_MECHANISM_SERVER_COUNT, "a row for each mechanism");

static void check(const struct sasl_server *s)
{
#ifdef BASE_CHECKS
	bool asks = s->phase == SASL_SERVER_PHASE_PASSWORD ||
		s->phase == SASL_SERVER_PHASE_SECRET || s->phase == SASL_SERVER_PHASE_SCRAM ||
		s->phase == SASL_SERVER_PHASE_BINDING;

	BASE_BUG_IF(s->round > ROUNDS_MAX);
	BASE_BUG_IF(asks && s->user.len == 0);
	BASE_BUG_IF((s->phase == SASL_SERVER_PHASE_PASSWORD) != (s->password.len > 0));
	BASE_BUG_IF(s->phase == SASL_SERVER_PHASE_DONE && (s->text.len > 0 || !s->reason));
#else
	(void)s;
#endif
}

/* Forget all that only the exchange needed. */
static void wipe(struct sasl_server *s)
{
	base_secret_release(&s->password);
	base_buf_release(&s->text);
	base_wipe(s->mock_key, sizeof(s->mock_key));
	base_wipe(&s->scram, sizeof(s->scram));
}

static enum sasl_server_result settle(struct sasl_server *s, enum sasl_server_result result)
{
	switch (result) {
	case SASL_SERVER_CHALLENGE:
		s->phase = SASL_SERVER_PHASE_RESPONSE;
		break;
	case SASL_SERVER_CHECK_PASSWORD:
		s->phase = SASL_SERVER_PHASE_PASSWORD;
		break;
	case SASL_SERVER_NEED_SECRET:
		s->phase = SASL_SERVER_PHASE_SECRET;
		break;
	case SASL_SERVER_NEED_SCRAM:
		s->phase = SASL_SERVER_PHASE_SCRAM;
		break;
	case SASL_SERVER_NEED_BINDING:
		s->phase = SASL_SERVER_PHASE_BINDING;
		break;
	case SASL_SERVER_SUCCESS:
	case SASL_SERVER_REJECTED:
	case SASL_SERVER_MALFORMED:
	case SASL_SERVER_UNAVAILABLE:
		s->phase = SASL_SERVER_PHASE_DONE;
		wipe(s);
		break;
	}
	check(s);
	return result;
}

/* Run one round. A challenge that the caller's buffer has no room for must not go out in part. */
static enum sasl_server_result take(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	enum sasl_server_result result;

	if (response.len > SASL_RESPONSE_MAX_BYTES)
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "response too long");
	BASE_BUG_IF(s->round >= ROUNDS_MAX || !exchanges[s->mechanism].round[s->round]);
	result = exchanges[s->mechanism].round[s->round](s, response, out);
	s->round++;
	return result;
}

static enum sasl_server_result fits(
	struct sasl_server *s, enum sasl_server_result result, const struct base_buf *out)
{
	if (result == SASL_SERVER_CHALLENGE && !base_buf_ok(out))
		return sasl_server_fail(s, SASL_SERVER_MALFORMED, "challenge too long");
	return result;
}

static struct sasl_server *make(const struct sasl_server_options *options)
{
	struct base_secret memory;
	struct sasl_server *s;

	BASE_BUG_IF(options->mechanism == SASL_MECHANISM_NONE);
	BASE_BUG_IF((unsigned)options->mechanism >= SASL_MECHANISM_SERVER_COUNT);
	BASE_BUG_IF(options->raw && sasl_mechanism_info(options->mechanism)->flags & SASL_SCRAM);
	BASE_BUG_IF(options->random.len != SASL_SERVER_RANDOM_BYTES);
	BASE_BUG_IF(options->mock_key.len != SASL_SERVER_MOCK_KEY_BYTES);
	base_secret_init(&memory, sizeof(*s));
	s = (struct sasl_server *)(void *)memory.ptr;
	s->memory = memory;
	s->mechanism = options->mechanism;
	s->plus_offered = options->plus_offered;
	s->tls = options->tls;
	s->raw = options->raw;
	s->reason = "";
	memcpy(s->mock_key, options->mock_key.ptr, sizeof(s->mock_key));
	base_buf_init_secret(&s->text, SASL_SERVER_TEXT_MAX_BYTES);
	if (options->mechanism == SASL_MECHANISM_CRAM_MD5)
		sasl_cram_md5_server_init(s, options);
	else if (sasl_mechanism_info(options->mechanism)->flags & SASL_SCRAM)
		sasl_scram_server_init(s, options);
	return s;
}

enum sasl_server_result sasl_server_begin(struct sasl_server **out_server,
	const struct sasl_server_options *options, const struct base_slice *initial,
	struct base_buf *out)
{
	struct sasl_server *s = make(options);
	unsigned flags = sasl_mechanism_info(options->mechanism)->flags;
	const char *prompt = exchanges[options->mechanism].prompt;
	enum sasl_server_result result = SASL_SERVER_CHALLENGE;

	*out_server = s;
	if (initial && !(flags & SASL_CLIENT_FIRST))
		result = sasl_server_fail(
			s, SASL_SERVER_MALFORMED, "initial response where the server speaks first");
	else if (initial)
		result = take(s, *initial, out);
	else if (prompt)
		base_buf_append_text(out, prompt);
	else
		base_buf_append_slice(out, base_buf_slice(&s->text));
	return settle(s, fits(s, result, out));
}

void sasl_server_free(struct sasl_server **server)
{
	struct sasl_server *s = *server;
	struct base_secret memory;

	if (!s)
		return;
	wipe(s);
	base_secret_release(&s->user);
	base_secret_release(&s->authzid);
	memory = s->memory;
	base_secret_release(&memory);
	*server = NULL;
}

enum sasl_server_result sasl_server_push(
	struct sasl_server *s, struct base_slice response, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_RESPONSE);
	return settle(s, fits(s, take(s, response, out), out));
}

/* Somebody else compared what the client sent. */
static enum sasl_server_result judged(
	struct sasl_server *s, enum sasl_credentials_state state, bool accepted)
{
	enum sasl_server_result result = SASL_SERVER_SUCCESS;

	if (state == SASL_CREDENTIALS_UNAVAILABLE)
		result = sasl_server_fail(s, SASL_SERVER_UNAVAILABLE, "credentials unavailable");
	else if (state != SASL_CREDENTIALS_KNOWN)
		result = sasl_server_fail(s, SASL_SERVER_REJECTED, "unknown user");
	else if (!accepted)
		result = sasl_server_fail(s, SASL_SERVER_REJECTED, "wrong password");
	return settle(s, result);
}

enum sasl_server_result sasl_server_password_answer(struct sasl_server *s,
	enum sasl_credentials_state state, bool accepted, struct base_buf *out)
{
	(void)out;
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_PASSWORD);
	return judged(s, state, accepted);
}

enum sasl_server_result sasl_server_secret_answer(struct sasl_server *s,
	enum sasl_credentials_state state, struct base_slice secret, struct base_buf *out)
{
	enum sasl_server_result result;

	(void)out;
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_SECRET);
	if (state == SASL_CREDENTIALS_UNAVAILABLE)
		result = sasl_server_fail(s, SASL_SERVER_UNAVAILABLE, "credentials unavailable");
	else
		result = sasl_cram_md5_server_secret(s, state == SASL_CREDENTIALS_KNOWN, secret);
	return settle(s, result);
}

enum sasl_server_result sasl_server_digest_answer(
	struct sasl_server *s, enum sasl_credentials_state state, bool accepted)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_SECRET);
	return judged(s, state, accepted);
}

enum sasl_server_result sasl_server_scram_answer(struct sasl_server *s,
	enum sasl_credentials_state state, const struct sasl_scram_keys *keys, struct base_buf *out)
{
	enum sasl_server_result result;

	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_SCRAM);
	if (state == SASL_CREDENTIALS_UNAVAILABLE)
		result = sasl_server_fail(s, SASL_SERVER_UNAVAILABLE, "credentials unavailable");
	else
		result = sasl_scram_server_keys(s, state == SASL_CREDENTIALS_KNOWN, keys, out);
	return settle(s, fits(s, result, out));
}

enum sasl_server_result sasl_server_binding_answer(
	struct sasl_server *s, bool available, struct base_slice data, struct base_buf *out)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_BINDING);
	return settle(s, fits(s, sasl_scram_server_binding(s, available, data, out), out));
}

enum sasl_server_result sasl_server_fail(
	struct sasl_server *s, enum sasl_server_result result, const char *reason)
{
	s->reason = reason;
	return result;
}

static bool prepare(
	const struct sasl_server *s, struct base_secret *out, size_t max, struct base_slice raw)
{
	if (!out->ptr)
		base_secret_init(out, max);
	if (s->raw)
		return !base_slice_has(raw, '\0') && base_secret_set(out, raw) && out->len > 0;
	return sasl_prep(raw, false, out) && out->len > 0;
}

const char *sasl_server_take_user(struct sasl_server *s, struct base_slice raw)
{
	return prepare(s, &s->user, SASL_NAME_MAX_BYTES, raw)
		? NULL
		: "user name empty, too long or impossible to prepare";
}

const char *sasl_server_take_password(struct sasl_server *s, struct base_slice raw)
{
	return prepare(s, &s->password, BASE_SECRET_PASSWORD_MAX_BYTES, raw)
		? NULL
		: "password empty, too long or impossible to prepare";
}

static void drop_authzid_of_user(struct sasl_server *s)
{
	struct base_secret prepared = {0};

	if (s->authzid.len == 0)
		return;
	if (prepare(s, &prepared, SASL_NAME_MAX_BYTES, base_secret_slice(&s->authzid)) &&
		base_slice_equal(base_secret_slice(&prepared), base_secret_slice(&s->user)))
		base_secret_clear(&s->authzid);
	base_secret_release(&prepared);
}

const char *sasl_server_take_authzid(struct sasl_server *s, struct base_slice raw)
{
	if (raw.len == 0)
		return NULL;
	if (!prepare(s, &s->authzid, SASL_NAME_MAX_BYTES, raw) ||
		!base_secret_set(&s->authzid, raw)) {
		base_secret_clear(&s->authzid);
		return "authorization identity too long or impossible to prepare";
	}
	drop_authzid_of_user(s);
	return NULL;
}

bool sasl_server_user_replace(struct sasl_server *s, struct base_slice canonical)
{
	struct base_secret user;

	BASE_BUG_IF(s->phase == SASL_SERVER_PHASE_RESPONSE || s->phase == SASL_SERVER_PHASE_DONE);
	if (canonical.len == 0)
		return false;
	/* A new block: @canonical may well lie in the old one. */
	base_secret_init(&user, SASL_NAME_MAX_BYTES);
	if (!base_secret_set(&user, canonical)) {
		base_secret_release(&user);
		return false;
	}
	base_secret_release(&s->user);
	s->user = user;
	drop_authzid_of_user(s);
	return true;
}

struct base_slice sasl_server_user(const struct sasl_server *s)
{
	return base_secret_slice(&s->user);
}

struct base_slice sasl_server_authzid(const struct sasl_server *s)
{
	return base_secret_slice(&s->authzid);
}

struct base_slice sasl_server_password(const struct sasl_server *s)
{
	BASE_BUG_IF(s->phase != SASL_SERVER_PHASE_PASSWORD);
	return base_secret_slice(&s->password);
}

enum sasl_binding sasl_server_binding(const struct sasl_server *s)
{
	return s->binding;
}

bool sasl_server_challenge_is_final(const struct sasl_server *s)
{
	return s->phase == SASL_SERVER_PHASE_RESPONSE && s->round == 2 &&
		exchanges[s->mechanism].round[2];
}

const char *sasl_server_reason(const struct sasl_server *s)
{
	return s->reason;
}

const char *sasl_server_result_name(enum sasl_server_result result)
{
	static const char *const names[] = {
#define X(name) [SASL_SERVER_##name] = #name,
		SASL_SERVER_RESULTS(X)
#undef X
	};

	BASE_BUG_IF((unsigned)result >= BASE_COUNT(names));
	return names[result];
}
