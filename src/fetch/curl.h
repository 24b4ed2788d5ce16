/* fetch/curl.h: requests by libcurl's multi interface on a libuv loop
 * Job      connect to addresses that are known already, TLS with verification, one request, one answer
 * Not      names (loop/resolver.h), deadlines (core.h)
 * Limits   https alone, TLS 1.2 at least, HTTP/1.1; no redirects, proxies, .netrc, cookies, caches,
 *          compression or second use of a connection; the body as long as the request's buffer
 * Order    open before the sandbox: libcurl and OpenSSL read what they want to read
 * Secrets  the form is sent from the request's own buffer; whatever libcurl frees is wiped */
#ifndef FETCH_CURL_H
#define FETCH_CURL_H

#include "fetch/core.h"
#include "fetch/trust.h"

#include <uv.h>

struct fetch_curl;

struct fetch_answer {
	uint16_t status;
	uint32_t retry_after_s;
	const struct base_error *err; /* null: a server answered */
};

/* @r ended by itself, its transfer is null again. Never called by fetch_curl_start() or _stop(). */
typedef void (*fetch_curl_fn)(
	void *arg, struct fetch_request *r, const struct fetch_answer *answer);

BASE_MUST_USE int fetch_curl_open(struct fetch_curl **out, uv_loop_t *loop, fetch_curl_fn fn,
	void *arg, struct base_error *err);
/* All that runs must have been stopped. */
void fetch_curl_close(struct fetch_curl **c);
/* The authorities of every request from now on; a reference is kept. */
void fetch_curl_trust(struct fetch_curl *c, X509_STORE *trust);
/* Begin @r. Negative: it cannot be; @err says why, the core is to be told. */
BASE_MUST_USE int fetch_curl_start(
	struct fetch_curl *c, struct fetch_request *r, struct base_error *err);
/* Break it off. */
void fetch_curl_stop(struct fetch_curl *c, struct fetch_request *r);

#endif
