/* fetch/reason.h: why a request got no answer, for people
 * Job      libcurl's code and words as class and text
 * Trust    libcurl's words may hold bytes of a certificate: they are escaped
 * Secrets  neither the form nor the answer is given to this file */
#ifndef FETCH_REASON_H
#define FETCH_REASON_H

#include "base/error.h"
#include "fetch/url.h"

#include <curl/curl.h>

struct fetch_failure {
	CURLcode code;
	int os_errno;     /* of connecting; 0 none */
	const char *text; /* libcurl's; may be "" */
	bool connected;   /* TCP and TLS stood */
};

/* Fill @err: CONFIG: the certificate or the authorities are wrong; PEER: what answered is no proper
 * HTTP; TEMPORARY: all else. */
void fetch_reason(
	const struct fetch_failure *f, const struct fetch_url *at, struct base_error *err);

#endif
