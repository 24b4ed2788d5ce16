#include "vault/store.h"

sasl_mechanism_mask vault_user_missing(const struct vault_user *user, sasl_mechanism_mask mask)
{
	sasl_mechanism_mask missing = 0;

	for (unsigned m = SASL_MECHANISM_NONE + 1; m < SASL_MECHANISM_SERVER_COUNT; m++) {
		const struct sasl_mechanism_info *info = sasl_mechanism_info(
			(enum sasl_mechanism)m);
		bool there = info->flags & SASL_SCRAM     ? user->scram[info->hash].iterations != 0
			: info->flags & SASL_NEEDS_SECRET ? user->has_secret
							  : user->hash[0] != '\0';

		if (mask & SASL_MASK(m) && !there)
			missing |= SASL_MASK(m);
	}
	return missing;
}
