/* $argon2id$v=19$m=65536,t=3,p=4$SALT$SUM, salt and sum in base64 without padding; v= may be missing
 * (then it is 16). Read here and not by the library, because the library would start a thread for each
 * lane; the lanes are computed one after another and give the same sum. */
#include "vault/verify_internal.h"

#include <string.h>

#ifdef VAULT_HAVE_ARGON2

#include <argon2.h>
#include <stdlib.h>

static bool take_number(
	struct base_slice field, const char *name, uint32_t least, uint32_t most, uint32_t *out)
{
	uint64_t value;

	if (!base_slice_starts_with(field, base_slice_text(name)) ||
		!base_slice_to_u64(base_slice_from(field, strlen(name)), &value) || value < least ||
		value > most)
		return false;
	*out = (uint32_t)value;
	return true;
}

static bool take_costs(struct base_slice costs, struct vault_argon2 *out)
{
	struct base_slice kib, passes;

	return base_slice_split(&costs, ',', &kib) && base_slice_split(&costs, ',', &passes) &&
		take_number(kib, "m=", 8, VAULT_ARGON2_KIB_MAX, &out->kib) &&
		take_number(passes, "t=", 1, VAULT_ARGON2_PASSES_MAX, &out->passes) &&
		take_number(costs, "p=", 1, VAULT_ARGON2_LANES_MAX, &out->lanes);
}

static bool take_type(struct base_slice *text, int *out_type)
{
	static const struct {
		const char *prefix;
		int type;
	} types[] = {
		{"$argon2id$", Argon2_id},
		{"$argon2i$", Argon2_i},
		{"$argon2d$", Argon2_d},
	};

	for (size_t i = 0; i < BASE_COUNT(types); i++) {
		struct base_slice prefix = base_slice_text(types[i].prefix);

		if (base_slice_starts_with(*text, prefix)) {
			*text = base_slice_from(*text, prefix.len);
			*out_type = types[i].type;
			return true;
		}
	}
	return false;
}

enum vault_form_result vault_argon2_parse(struct base_slice text, struct vault_argon2 *out)
{
	struct base_slice field, salt;

	memset(out, 0, sizeof(*out));
	if (!take_type(&text, &out->type))
		return base_slice_starts_with(text, BASE_SLICE("$argon2")) ? VAULT_FORM_BROKEN
									   : VAULT_FORM_OTHER;
	out->version = ARGON2_VERSION_10;
	if (!base_slice_split(&text, '$', &field))
		return VAULT_FORM_BROKEN;
	if (take_number(field, "v=", ARGON2_VERSION_10, ARGON2_VERSION_13, &out->version) &&
		!base_slice_split(&text, '$', &field))
		return VAULT_FORM_BROKEN;
	if (!take_costs(field, out) || out->kib < 8 * out->lanes ||
		!base_slice_split(&text, '$', &salt) || base_slice_has(text, '$') ||
		!vault_stored_base64(salt, out->salt, sizeof(out->salt), &out->salt_len) ||
		!vault_stored_base64(text, out->sum, sizeof(out->sum), &out->sum_len))
		return VAULT_FORM_BROKEN;
	return out->salt_len >= ARGON2_MIN_SALT_LENGTH && out->sum_len >= 16 ? VAULT_FORM_GOOD
									     : VAULT_FORM_BROKEN;
}

enum vault_verify_result vault_argon2_verify(
	const struct vault_argon2 *a, struct base_slice password)
{
	uint8_t sum[sizeof(a->sum)], salt[sizeof(a->salt)];
	uint8_t *copy = base_alloc(password.len + 1);
	argon2_context context = {
		.out = sum,
		.outlen = (uint32_t)a->sum_len,
		.pwd = copy,
		.pwdlen = (uint32_t)password.len,
		.salt = salt,
		.saltlen = (uint32_t)a->salt_len,
		.t_cost = a->passes,
		.m_cost = a->kib,
		.lanes = a->lanes,
		.threads = 1,
		.version = a->version,
		.flags = ARGON2_FLAG_CLEAR_PASSWORD,
	};
	int rc;
	bool right;

	memcpy(copy, password.ptr, password.len);
	memcpy(salt, a->salt, sizeof(salt));
	rc = argon2_ctx(&context, (argon2_type)a->type);
	right = rc == ARGON2_OK &&
		base_equal_constant_time(
			base_slice_make(sum, a->sum_len), base_slice_make(a->sum, a->sum_len));
	base_wipe(sum, sizeof(sum));
	base_wipe(copy, password.len + 1);
	free(copy);
	if (rc == ARGON2_MEMORY_ALLOCATION_ERROR)
		return VAULT_VERIFY_CANNOT;
	return right ? VAULT_VERIFY_RIGHT : VAULT_VERIFY_WRONG;
}

#else

enum vault_form_result vault_argon2_parse(struct base_slice text, struct vault_argon2 *out)
{
	memset(out, 0, sizeof(*out));
	return base_slice_starts_with(text, BASE_SLICE("$argon2")) ? VAULT_FORM_GOOD
								   : VAULT_FORM_OTHER;
}

enum vault_verify_result vault_argon2_verify(
	const struct vault_argon2 *a, struct base_slice password)
{
	return VAULT_VERIFY_CANNOT;
}

#endif
