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

static bool parse_port(struct base_slice text, uint16_t *out)
{
	uint64_t number;

	if (!base_slice_to_u64(text, &number) || number < 1 || number > 65535)
		return false;
	*out = (uint16_t)number;
	return true;
}

bool relay_url_parse(struct base_slice url, bool *out_implicit_tls, struct base_slice *out_host,
	uint16_t *out_port)
{
	bool tls = base_slice_starts_with_nocase(url, BASE_SLICE("smtps://"));
	struct base_slice rest = base_slice_from(url, tls ? 8 : 7), host, port;
	struct base_addr addr;
	size_t end;

	if (!tls && !base_slice_starts_with_nocase(url, BASE_SLICE("smtp://")))
		return false;
	if (rest.len && rest.ptr[rest.len - 1] == '/')
		rest.len--;
	if (rest.len && rest.ptr[0] == '[') {
		end = base_slice_find(rest, ']');
		if (end == rest.len)
			return false;
		host = base_slice_from(base_slice_first(rest, end), 1);
		port = base_slice_from(rest, end + 1);
		if (!base_addr_parse(host, &addr))
			return false;
	} else {
		end = base_slice_find(rest, ':');
		host = base_slice_first(rest, end);
		port = base_slice_from(rest, end);
		if (host.len >= ROUTE_DNS_NAME_MAX_BYTES ||
			!base_host_name_valid(host, false, false))
			return false;
	}
	*out_port = tls ? 465 : 587;
	if (port.len && (port.ptr[0] != ':' || !parse_port(base_slice_from(port, 1), out_port)))
		return false;
	*out_implicit_tls = tls;
	*out_host = host;
	return true;
}
