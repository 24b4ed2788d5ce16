/* cli/redirect.h: the answer of a browser to an authorization request
 * Job      one HTTP/1.1 request for the loopback redirect (RFC 8252 section 7.3), or the same address
 *          pasted by a person: the query in it; whether its state is ours; the page that answers
 * Not      sockets (account_browser.c), what code and error mean (vault/oauth.h)
 * Trust    whoever reaches 127.0.0.1 may connect, pages of any web site through a browser too: any bytes,
 *          any length, cut anywhere. Nothing of it is ever shown or sent back
 * Memory   no heap but the buffer of the page
 * Spec     RFC 9112 sections 2, 3 and 5, RFC 3986 section 3.4, RFC 6749 section 4.1.2 */
#ifndef CLI_REDIRECT_H
#define CLI_REDIRECT_H

#include "base/buf.h"

/* Providers' codes have up to 2 KiB; what browsers add is about 1 KiB. */
#define REDIRECT_REQUEST_MAX_BYTES 16384
#define REDIRECT_QUERY_MAX_BYTES 8192

enum redirect_result {
	REDIRECT_MORE,      /* the request has not ended yet */
	REDIRECT_QUERY,     /* a GET of "/?…": the query was found; whose it is, is not known */
	REDIRECT_ELSEWHERE, /* a request without fault for something else: an icon, say */
	REDIRECT_METHOD,    /* not a GET */
	REDIRECT_BAD,       /* no HTTP/1.1, or for another host than @host */
	REDIRECT_LONG,
};

/* Judge the bytes of a connection so far. The outcome for a request is the same, however it was cut.
 * @host       what the Host field must say: "127.0.0.1:PORT"
 * @out_query  borrows @bytes; only with REDIRECT_QUERY */
enum redirect_result redirect_request(
	struct base_slice bytes, const char *host, struct base_slice *out_query);

/* The query of an address that a person pasted: what stands behind "?", or all if there is none.
 * False: it cannot be one. */
BASE_MUST_USE bool redirect_pasted(struct base_slice line, struct base_slice *out_query);

/* Is the state of @query that of the address @url, which was opened? Without one in either, no. */
BASE_MUST_USE bool redirect_state_matches(struct base_slice query, struct base_slice url);

/* The whole response: status line, fields, a page of one sentence. @text is ours, plain and without markup. */
void redirect_page(enum redirect_result result, const char *text, struct base_buf *out);

#endif
