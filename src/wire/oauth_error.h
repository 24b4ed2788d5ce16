/* wire/oauth_error.h: what a server says when it refuses a token, in words
 * Job      the JSON of a 334 (RFC 7628 section 3.2.2: status, scope, openid-configuration; XOAUTH2: status,
 *          schemes, scope) made one line for logs and people
 * Trust    hostile: any bytes; the words are escaped and bounded */
#ifndef WIRE_OAUTH_ERROR_H
#define WIRE_OAUTH_ERROR_H

#include "base/buf.h"
#include "base/slice.h"

/* Room that is enough for whatever is appended. */
#define WIRE_OAUTH_ERROR_MAX_BYTES 8192

/* Append e.g. `the server refuses the token: 401 invalid or expired (scope "https://mail.google.com/")`.
 * What is no such JSON is shown escaped. */
void wire_oauth_error_words(struct base_slice json, struct base_buf *out);

#endif
