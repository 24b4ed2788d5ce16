/* $apr1$SALT$SUM: Apache's htpasswd -m. 1000 rounds of MD5 over password, salt and the last sum in an
 * order that the number of the round decides; the salt is up to 8 bytes, the sum 22 signs. It differs
 * from crypt(3)'s $1$ by the name, which goes into the first sum, and so has to be computed here. */
#include "vault/verify_internal.h"

#include "vault/credentials.h"

#include <string.h>

enum { SUM_BYTES = 16, SUM_SIGNS = 22, SALT_MAX_BYTES = 8, ROUNDS = 1000 };

static const char NAME[] = "$apr1$";

/* What goes into one sum. */
struct pieces {
	uint8_t bytes[2 * VAULT_PASSWORD_MAX_BYTES + 2 * SALT_MAX_BYTES + 2 * SUM_BYTES];
	size_t len;
};

static void add(struct pieces *p, struct base_slice s)
{
	BASE_BUG_IF(s.len > sizeof(p->bytes) - p->len);
	if (s.len)
		memcpy(p->bytes + p->len, s.ptr, s.len);
	p->len += s.len;
}

static void finish(struct pieces *p, uint8_t sum[SUM_BYTES])
{
	base_hash(BASE_HASH_MD5, base_slice_make(p->bytes, p->len), sum);
	p->len = 0;
}

static void first_sum(struct base_slice password, struct base_slice salt, struct pieces *p,
	uint8_t sum[SUM_BYTES])
{
	uint8_t inner[SUM_BYTES], zero = 0;

	add(p, password);
	add(p, salt);
	add(p, password);
	finish(p, inner);
	add(p, password);
	add(p, BASE_SLICE("$apr1$"));
	add(p, salt);
	for (size_t left = password.len; left; left -= left < SUM_BYTES ? left : SUM_BYTES)
		add(p, base_slice_make(inner, left < SUM_BYTES ? left : SUM_BYTES));
	for (size_t bits = password.len; bits; bits >>= 1)
		add(p, bits & 1 ? base_slice_make(&zero, 1) : base_slice_first(password, 1));
	finish(p, sum);
	base_wipe(inner, sizeof(inner));
}

static void next_sum(unsigned round, struct base_slice password, struct base_slice salt,
	struct pieces *p, uint8_t sum[SUM_BYTES])
{
	struct base_slice last = base_slice_make(sum, SUM_BYTES);

	add(p, round & 1 ? password : last);
	if (round % 3)
		add(p, salt);
	if (round % 7)
		add(p, password);
	add(p, round & 1 ? last : password);
	finish(p, sum);
}

/* Six bits a sign, the least significant first; the order of the bytes is part of the form. */
static void write_sum(const uint8_t sum[SUM_BYTES], char out[SUM_SIGNS])
{
	static const char signs[] =
		"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	static const uint8_t order[][3] = {
		{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}};
	size_t at = 0;

	for (size_t i = 0; i < BASE_COUNT(order); i++) {
		uint32_t value = (uint32_t)sum[order[i][0]] << 16 |
			(uint32_t)sum[order[i][1]] << 8 | sum[order[i][2]];

		for (unsigned n = 0; n < 4; n++, value >>= 6)
			out[at++] = signs[value & 63];
	}
	out[at++] = signs[sum[11] & 63];
	out[at] = signs[sum[11] >> 6];
}

enum vault_form_result vault_apr1_verify(
	struct base_slice text, struct base_slice password, bool *out_right)
{
	struct base_slice salt, stored = base_slice_from(text, sizeof(NAME) - 1);
	struct pieces pieces = {.len = 0};
	uint8_t sum[SUM_BYTES];
	char made[SUM_SIGNS];

	if (!base_slice_starts_with(text, base_slice_text(NAME)))
		return VAULT_FORM_OTHER;
	if (!base_slice_split(&stored, '$', &salt) || salt.len > SALT_MAX_BYTES ||
		stored.len != SUM_SIGNS || password.len > VAULT_PASSWORD_MAX_BYTES)
		return VAULT_FORM_BROKEN;
	first_sum(password, salt, &pieces, sum);
	for (unsigned round = 0; round < ROUNDS; round++)
		next_sum(round, password, salt, &pieces, sum);
	write_sum(sum, made);
	*out_right = base_equal_constant_time(base_slice_make(made, sizeof(made)), stored);
	base_wipe(&pieces, sizeof(pieces));
	base_wipe(sum, sizeof(sum));
	return VAULT_FORM_GOOD;
}
