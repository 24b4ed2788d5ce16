/* The client's object and its one machine: RUNNING until something is wrong, then FAILED for good.
 * A mechanism is a row of rounds, one per challenge; the server's success counts only when all
 * rounds are done, the last of which is, for SCRAM, the check of the server's signature. A token's
 * one round is the server's refusal (RFC 7628 section 3.2.3): there success counts only without it.
 * A FOREIGN exchange is somebody else's object, asked in place of the rounds.
 * settle() is the only writer of the phase. */
#include "sasl/client_internal.h"

#include "base/utf8.h"
#include "sasl/prep.h"

#include <assert.h>

enum { ROUNDS_MAX = 2 };

struct exchange {
	unsigned rounds;
	sasl_client_round_fn *round[ROUNDS_MAX];
	bool refusal; /* the round answers a refusal */
};

#define SCRAM_EXCHANGE \
	{ \
		2, \
		{ \
			sasl_scram_client_server_first, sasl_scram_client_server_final \
		} \
	}

static const struct exchange exchanges[] = {
	[SASL_MECHANISM_LOGIN] = {2, {sasl_login_client_user, sasl_login_client_password}},
	[SASL_MECHANISM_PLAIN] = {0, {NULL}},
	[SASL_MECHANISM_CRAM_MD5] = {1, {sasl_cram_md5_client_digest}},
	[SASL_MECHANISM_SCRAM_SHA_1] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_1_PLUS] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_256] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_256_PLUS] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_512] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_SCRAM_SHA_512_PLUS] = SCRAM_EXCHANGE,
	[SASL_MECHANISM_EXTERNAL] = {0, {NULL}},
	[SASL_MECHANISM_OAUTHBEARER] = {1, {sasl_oauth_client_refusal}, .refusal = true},
	[SASL_MECHANISM_XOAUTH2] = {1, {sasl_oauth_client_refusal}, .refusal = true},
	[SASL_MECHANISM_DIGEST_MD5] = {0, {NULL}}, /* FOREIGN */
	[SASL_MECHANISM_GSSAPI] = {0, {NULL}},     /* FOREIGN */
};
static_assert(BASE_COUNT(exchanges) == SASL_MECHANISM_COUNT, "a row for each mechanism");

static unsigned flags_of(const struct sasl_client *c)
{
	return sasl_mechanism_info(c->mechanism)->flags;
}

/* What a refusal said stays: it is for people. */
static void wipe(struct sasl_client *c)
{
	if (c->foreign.free)
		c->foreign.free(c->foreign.arg);
	c->foreign = (struct sasl_client_foreign){.step = NULL};
	base_secret_release(&c->password);
	base_buf_release(&c->text);
	base_wipe(&c->scram, sizeof(c->scram));
}

static enum sasl_client_result settle(struct sasl_client *c, enum sasl_client_result result)
{
	switch (result) {
	case SASL_CLIENT_RESPONSE:
	case SASL_CLIENT_WAIT:
	case SASL_CLIENT_DONE:
		break;
	case SASL_CLIENT_ABORT:
	case SASL_CLIENT_NOT_PROVEN:
		c->phase = SASL_CLIENT_PHASE_FAILED;
		wipe(c);
		break;
	}
	return result;
}

static enum sasl_client_result fits(
	struct sasl_client *c, enum sasl_client_result result, const struct base_buf *out)
{
	if (result == SASL_CLIENT_RESPONSE && !base_buf_ok(out))
		return sasl_client_fail(c, "response too long");
	return result;
}

static bool is_text(struct base_slice s)
{
	return !base_slice_has(s, '\0') && base_utf8_valid(s);
}

/* PLAIN and LOGIN leave the preparation to the server (RFC 4616 section 2), which may not do any; a
 * token's user and EXTERNAL's identity are the server's own words; in the others both sides compute
 * with the prepared form. */
static bool copy(struct base_slice in, bool raw, bool stored, struct base_secret *out)
{
	if (!raw)
		return sasl_prep(in, stored, out);
	return is_text(in) && base_secret_set(out, in);
}

static const char *take_password(struct sasl_client *c, struct base_slice password)
{
	unsigned flags = flags_of(c);

	if (flags & SASL_CERTIFICATE)
		return NULL;
	if (flags & SASL_TOKEN) {
		base_secret_init(&c->password, SASL_CLIENT_TOKEN_MAX_BYTES);
		return sasl_oauth_token_valid(password) && base_secret_set(&c->password, password)
			? NULL
			: "access token empty, too long or with characters that no token has";
	}
	base_secret_init(&c->password, BASE_SECRET_PASSWORD_MAX_BYTES);
	if (!copy(password, flags & SASL_PLAINTEXT, flags & SASL_SCRAM, &c->password) ||
		c->password.len == 0)
		return "password empty, too long or not fit for this mechanism";
	return NULL;
}

/* Null, or what is wrong with them. */
static const char *take_credentials(
	struct sasl_client *c, const struct sasl_client_options *options)
{
	unsigned flags = flags_of(c);
	bool raw = flags & (SASL_PLAINTEXT | SASL_TOKEN | SASL_CERTIFICATE);
	const char *problem;

	base_secret_init(&c->user, SASL_NAME_MAX_BYTES);
	base_secret_init(&c->authzid, SASL_NAME_MAX_BYTES);
	if (!copy(options->user, raw, false, &c->user) ||
		(c->user.len == 0 && !(flags & SASL_CERTIFICATE)))
		return "user name empty, too long or not fit for this mechanism";
	problem = take_password(c, options->password);
	if (problem)
		return problem;
	/* Without a place for it, a name other than the user's would be left out in silence. */
	if (!(flags & SASL_SCRAM) && c->mechanism != SASL_MECHANISM_PLAIN &&
		options->authzid.len > 0 && !base_slice_equal(options->authzid, options->user))
		return "mechanism has no authorization identity";
	if (!copy(options->authzid, true, false, &c->authzid))
		return "authorization identity too long or not text";
	return NULL;
}

static enum sasl_client_result foreign_step(
	struct sasl_client *c, struct base_slice in, struct base_buf *out)
{
	size_t start = out->len;

	if (c->foreign.step(c->foreign.arg, in, out) == SASL_CLIENT_RESPONSE)
		return SASL_CLIENT_RESPONSE;
	base_buf_truncate(out, start);
	return sasl_client_fail(c, c->foreign.reason(c->foreign.arg));
}

static enum sasl_client_result start_foreign(struct sasl_client *c, struct base_buf *out)
{
	if (!c->foreign.step)
		return sasl_client_fail(c, "mechanism cannot be spoken here");
	if (flags_of(c) & SASL_CLIENT_FIRST)
		return foreign_step(c, BASE_SLICE_EMPTY, out);
	return SASL_CLIENT_WAIT;
}

static enum sasl_client_result start(
	struct sasl_client *c, const struct sasl_client_options *options, struct base_buf *out)
{
	unsigned flags = flags_of(c);
	const char *problem;

	if (flags & SASL_FOREIGN)
		return start_foreign(c, out);
	problem = take_credentials(c, options);
	if (problem)
		return sasl_client_fail(c, problem);
	if (flags & SASL_SCRAM)
		return sasl_scram_client_begin(c, options, out);
	if (flags & SASL_TOKEN)
		return sasl_oauth_client_begin(c, options, out);
	if (flags & SASL_CERTIFICATE) {
		/* RFC 4422 appendix A.1: the identity alone; empty asks for the certificate's. */
		base_buf_append_slice(out, base_secret_slice(&c->user));
		return SASL_CLIENT_RESPONSE;
	}
	if (c->mechanism == SASL_MECHANISM_PLAIN)
		return sasl_plain_client_begin(c, out);
	return SASL_CLIENT_WAIT;
}

enum sasl_client_result sasl_client_begin(struct sasl_client **out_client,
	const struct sasl_client_options *options, struct base_buf *out)
{
	struct base_secret memory;
	struct sasl_client *c;

	BASE_BUG_IF(options->mechanism == SASL_MECHANISM_NONE);
	BASE_BUG_IF((unsigned)options->mechanism >= SASL_MECHANISM_COUNT);
	base_secret_init(&memory, sizeof(*c));
	c = (struct sasl_client *)(void *)memory.ptr;
	c->memory = memory;
	c->mechanism = options->mechanism;
	c->phase = SASL_CLIENT_PHASE_RUNNING;
	c->reason = "";
	if (options->foreign)
		c->foreign = *options->foreign;
	base_buf_init_secret(&c->text, SASL_CLIENT_TEXT_MAX_BYTES);
	base_buf_init_secret(&c->error, SASL_CLIENT_ERROR_MAX_BYTES);
	*out_client = c;
	return settle(c, fits(c, start(c, options, out), out));
}

void sasl_client_free(struct sasl_client **client)
{
	struct sasl_client *c = *client;
	struct base_secret memory;

	if (!c)
		return;
	wipe(c);
	base_secret_release(&c->user);
	base_secret_release(&c->authzid);
	base_buf_release(&c->error);
	memory = c->memory;
	base_secret_release(&memory);
	*client = NULL;
}

enum sasl_client_result sasl_client_push(
	struct sasl_client *c, struct base_slice challenge, struct base_buf *out)
{
	const struct exchange *x = &exchanges[c->mechanism];
	enum sasl_client_result result;

	if (c->phase == SASL_CLIENT_PHASE_FAILED)
		return SASL_CLIENT_ABORT;
	if (challenge.len > SASL_CHALLENGE_MAX_BYTES)
		return settle(c, sasl_client_fail(c, "challenge too long"));
	if (flags_of(c) & SASL_FOREIGN)
		return settle(c, fits(c, foreign_step(c, challenge, out), out));
	if (c->round == x->rounds)
		return settle(c, sasl_client_fail(c, "one challenge too many"));
	result = x->round[c->round](c, challenge, out);
	c->round++;
	return settle(c, fits(c, result, out));
}

static enum sasl_client_result finish_foreign(struct sasl_client *c)
{
	if (c->foreign.finish(c->foreign.arg) == SASL_CLIENT_DONE)
		return SASL_CLIENT_DONE;
	(void)sasl_client_fail(c, c->foreign.reason(c->foreign.arg));
	return SASL_CLIENT_NOT_PROVEN;
}

enum sasl_client_result sasl_client_finish(struct sasl_client *c)
{
	const struct exchange *x = &exchanges[c->mechanism];

	if (c->phase == SASL_CLIENT_PHASE_FAILED)
		return SASL_CLIENT_NOT_PROVEN;
	if (flags_of(c) & SASL_FOREIGN)
		return settle(c, finish_foreign(c));
	if (c->round == (x->refusal ? 0 : x->rounds))
		return settle(c, SASL_CLIENT_DONE);
	(void)sasl_client_fail(c,
		x->refusal ? "server reported success after it had refused the token"
			   : "server reported success before the exchange was complete");
	return settle(c, SASL_CLIENT_NOT_PROVEN);
}

const char *sasl_client_reason(const struct sasl_client *c)
{
	return c->reason;
}

struct base_slice sasl_client_error(const struct sasl_client *c)
{
	return base_buf_slice(&c->error);
}

enum sasl_client_result sasl_client_fail(struct sasl_client *c, const char *reason)
{
	c->reason = reason;
	return SASL_CLIENT_ABORT;
}

static enum sasl_mechanism strongest(sasl_mechanism_mask usable, unsigned without, unsigned with)
{
	enum sasl_mechanism found = SASL_MECHANISM_NONE;

	for (int i = SASL_MECHANISM_NONE + 1; i < SASL_MECHANISM_COUNT; i++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)i);

		if ((usable & SASL_MASK(i)) && !(info->flags & without) &&
			(info->flags & with) == with &&
			info->strength > sasl_mechanism_info(found)->strength)
			found = (enum sasl_mechanism)i;
	}
	return found;
}

enum sasl_mechanism sasl_client_choose(sasl_mechanism_mask offered, sasl_mechanism_mask allowed,
	sasl_mechanism_mask tried, bool binding, bool plaintext_ok)
{
	/* EXTERNAL sends no secret, but what it relies on is the TLS of this very connection. */
	unsigned tls_only = SASL_PLAINTEXT | SASL_TOKEN | SASL_CERTIFICATE;
	unsigned without = plaintext_ok ? 0 : tls_only;
	sasl_mechanism_mask usable = offered & allowed & ~tried;
	enum sasl_mechanism found = SASL_MECHANISM_NONE;

	/* Binding to the channel is worth more than a longer hash. */
	if (binding)
		found = strongest(usable, without, SASL_CHANNEL_BINDING);
	if (found == SASL_MECHANISM_NONE)
		found = strongest(usable, without | SASL_CHANNEL_BINDING, 0);
	return found;
}
