/* fetch/url.h: is this an address that may be asked?
 * Job      https://HOST[:PORT][/PATH][?QUERY], and nothing else
 * Trust    the text is anybody's; what passes here is printable ASCII and means the same to every reader of
 *          URLs, so that the host that is looked up is the host that is connected to
 * Spec     RFC 3986 section 3, RFC 9110 section 4.2.2 */
#ifndef FETCH_URL_H
#define FETCH_URL_H

#include "base/host.h"

#define FETCH_URL_MAX_BYTES 2048

enum fetch_url_result {
	FETCH_URL_OK,
	FETCH_URL_LONG,
	FETCH_URL_BYTES,  /* blanks, controls, 8-bit, '\', '"', '<', '>', … */
	FETCH_URL_CLEAR,  /* http: */
	FETCH_URL_SCHEME, /* any other, or none */
	FETCH_URL_USER,   /* user@host: secrets do not belong into an address */
	FETCH_URL_HOST,
	FETCH_URL_PORT,
	FETCH_URL_FRAGMENT,
	FETCH_URL_RESULT_COUNT,
};

struct fetch_url {
	char host[BASE_HOST_NAME_MAX_BYTES + 1]; /* lower case, without brackets */
	struct base_addr addr;                   /* NONE: the host is a name */
	uint16_t port;
};

/* @out is written only with OK. */
enum fetch_url_result fetch_url_read(struct base_slice text, struct fetch_url *out);
/* What is wrong, for people: "is not …"; null with OK. */
const char *fetch_url_reason(enum fetch_url_result result);

#endif
