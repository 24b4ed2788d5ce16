#include "vault/store.h"

static bool serves_only(sasl_mechanism_mask mechanisms, enum sasl_credential credential)
{
	return mechanisms && !(mechanisms & ~sasl_mechanism_mask_of(credential));
}

enum sasl_credential vault_account_credential(
	enum vault_account_kind kind, sasl_mechanism_mask mechanisms, bool certificate)
{
	if (serves_only(mechanisms, SASL_CREDENTIAL_TICKET))
		return SASL_CREDENTIAL_TICKET;
	if (certificate && serves_only(mechanisms, SASL_CREDENTIAL_CERTIFICATE))
		return SASL_CREDENTIAL_CERTIFICATE;
	switch (kind) {
	case VAULT_ACCOUNT_OAUTH:
		return SASL_CREDENTIAL_TOKEN;
	case VAULT_ACCOUNT_CERTIFICATE:
		return SASL_CREDENTIAL_CERTIFICATE;
	case VAULT_ACCOUNT_PASSWORD:
		break;
	}
	return SASL_CREDENTIAL_PASSWORD;
}
