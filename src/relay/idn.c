#include "relay/core.h"

#include "base/utf8.h"

#include <idn2.h>
#include <stdlib.h>
#include <string.h>

bool relay_domain_to_ascii(struct base_slice domain, char out[ROUTE_DNS_NAME_MAX_BYTES])
{
	char *text, *ascii = NULL;
	bool ok;

	if (domain.len > 4 * ROUTE_DNS_NAME_MAX_BYTES || base_slice_has(domain, 0) ||
		!base_utf8_valid(domain))
		return false;
	text = base_slice_dup(domain);
	ok = idn2_to_ascii_8z(text, &ascii, IDN2_NONTRANSITIONAL | IDN2_NFC_INPUT) == IDN2_OK &&
		strlen(ascii) < ROUTE_DNS_NAME_MAX_BYTES;
	if (ok)
		memcpy(out, ascii, strlen(ascii) + 1);
	idn2_free(ascii);
	free(text);
	return ok;
}
