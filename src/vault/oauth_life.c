/* What was obtained, as bytes and in time.
 *
 * VAULT_ACCOUNT_TOKEN: u8 1 (the format), i64 until, i64 obtained (unix ms), u32 length and the access
 * token, u32 length and the refresh token; numbers with the high byte first. */
#include "vault/oauth_internal.h"

#include <assert.h>
#include <string.h>

enum { FORMAT = 1, SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

static_assert(VAULT_OAUTH_STATE_MAX_BYTES >= 1 + 8 + 8 + 2 * (4 + VAULT_OAUTH_TOKEN_MAX_BYTES),
	"all of it fits");

void vault_oauth_tokens_init(struct vault_oauth_tokens *t)
{
	memset(t, 0, sizeof(*t));
	base_secret_init(&t->access, VAULT_OAUTH_TOKEN_MAX_BYTES);
	base_secret_init(&t->refresh, VAULT_OAUTH_TOKEN_MAX_BYTES);
}

void vault_oauth_tokens_release(struct vault_oauth_tokens *t)
{
	base_secret_release(&t->access);
	base_secret_release(&t->refresh);
	t->until_ms = t->obtained_ms = 0;
}

static void put(struct base_buf *out, uint64_t value, unsigned bytes)
{
	while (bytes--)
		base_buf_append_byte(out, (uint8_t)(value >> (8 * bytes)));
}

static bool get(struct base_slice *in, unsigned bytes, uint64_t *out)
{
	if (in->len < bytes)
		return false;
	*out = 0;
	for (unsigned i = 0; i < bytes; i++)
		*out = *out << 8 | in->ptr[i];
	*in = base_slice_from(*in, bytes);
	return true;
}

static void put_secret(struct base_buf *out, const struct base_secret *s)
{
	put(out, s->len, 4);
	base_buf_append_slice(out, base_secret_slice(s));
}

/* Empty or what may be sent. */
static bool get_secret(struct base_slice *in, struct base_slice *out)
{
	uint64_t len;

	if (!get(in, 4, &len) || len > in->len)
		return false;
	*out = base_slice_first(*in, len);
	*in = base_slice_from(*in, len);
	return !len || vault_oauth_is_visible(*out, VAULT_OAUTH_TOKEN_MAX_BYTES);
}

void vault_oauth_tokens_write(const struct vault_oauth_tokens *t, struct base_buf *out)
{
	put(out, FORMAT, 1);
	put(out, (uint64_t)t->until_ms, 8);
	put(out, (uint64_t)t->obtained_ms, 8);
	put_secret(out, &t->access);
	put_secret(out, &t->refresh);
}

bool vault_oauth_tokens_read(struct base_slice bytes, struct vault_oauth_tokens *out)
{
	uint64_t format, until, obtained;
	struct base_slice access, refresh;

	if (!get(&bytes, 1, &format) || format != FORMAT || !get(&bytes, 8, &until) ||
		!get(&bytes, 8, &obtained) || !get_secret(&bytes, &access) ||
		!get_secret(&bytes, &refresh) || bytes.len)
		return false;
	out->until_ms = (int64_t)until;
	out->obtained_ms = (int64_t)obtained;
	return base_secret_set(&out->access, access) && base_secret_set(&out->refresh, refresh);
}

/* How long it was good when it came; 0 for numbers that make no sense. */
static int64_t life_of(const struct vault_oauth_tokens *t)
{
	int64_t life;

	if (!t->access.len || __builtin_sub_overflow(t->until_ms, t->obtained_ms, &life) ||
		life < 0)
		return 0;
	return life;
}

int64_t vault_oauth_renew_at(const struct vault_oauth_tokens *t, uint64_t random)
{
	enum { EARLIEST = 10 * SECOND };
	int64_t life = life_of(t), ahead = life / 5;

	if (ahead > 10 * MINUTE)
		ahead = 10 * MINUTE;
	if (ahead < 30 * SECOND)
		ahead = 30 * SECOND;
	/* A token that hardly lives: half of its life, and never so often that the provider is flooded. */
	if (ahead > life / 2)
		ahead = life / 2;
	ahead -= (int64_t)(random % (uint64_t)(ahead / 2 + 1));
	if (life == 0)
		return t->obtained_ms;
	if (life - ahead >= EARLIEST)
		return t->until_ms - ahead;
	return t->obtained_ms > INT64_MAX - EARLIEST ? INT64_MAX : t->obtained_ms + EARLIEST;
}

bool vault_oauth_is_usable(const struct vault_oauth_tokens *t, int64_t now_ms)
{
	int64_t life = life_of(t), need = life / 2 < MINUTE ? life / 2 : MINUTE, back;

	/* A clock that was set back says nothing about how long it is still good; a minute is what clocks
	 * are corrected by. */
	if (life == 0 || now_ms >= t->until_ms)
		return false;
	if (now_ms < t->obtained_ms &&
		(__builtin_sub_overflow(t->obtained_ms, now_ms, &back) || back > MINUTE))
		return false;
	return t->until_ms - need > now_ms;
}

int64_t vault_oauth_retry_ms(enum vault_oauth_result result, uint32_t failures, uint64_t random)
{
	bool refused = result == VAULT_OAUTH_REFUSED;
	int64_t wait = refused ? MINUTE : 5 * SECOND, most = refused ? HOUR : 5 * MINUTE;

	for (uint32_t i = 1; i < failures && wait < most; i++)
		wait *= 2;
	if (wait > most)
		wait = most;
	return wait - (int64_t)(random % (uint64_t)(wait / 4 + 1));
}
