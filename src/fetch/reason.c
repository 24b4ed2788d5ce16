#include "fetch/reason.h"

#include "base/escape.h"

#include <string.h>

enum { WORDS_MAX_BYTES = 160 };

/* "SSL certificate problem: certificate has expired" -> "certificate has expired";
 * "error:0A00010B:SSL routines::wrong version number" -> "wrong version number" */
static const char *last_words(const char *text)
{
	const char *at, *words = text;

	for (at = text; (at = strchr(at, ':')); at++)
		if (at[1] == ' ' || (at[1] == ':' && at[2] && at[2] != ' '))
			words = at + 2;
	return *words ? words : text;
}

static void verify_reason(
	const struct fetch_failure *f, const struct fetch_url *at, struct base_error *err)
{
	struct base_buf words;

	/* Two texts of libcurl's, of which one repeats what the certificate says. */
	if (strstr(f->text, "subject name")) {
		base_error_set(err, BASE_ERROR_CONFIG, (int)f->code,
			"cannot verify the certificate of \"%s\": it is for another name",
			at->host);
		return;
	}
	base_buf_init(&words, BASE_ERROR_TEXT_MAX_BYTES);
	(void)base_escape_log(base_slice_text(last_words(f->text)), WORDS_MAX_BYTES, &words);
	base_error_set(err, BASE_ERROR_CONFIG, (int)f->code,
		"cannot verify the certificate of \"%s\": %s", at->host,
		words.len ? base_buf_text(&words) : "it is not trusted");
	base_buf_release(&words);
}

static void tls_reason(
	const struct fetch_failure *f, const struct fetch_url *at, struct base_error *err)
{
	struct base_buf words;

	base_buf_init(&words, BASE_ERROR_TEXT_MAX_BYTES);
	(void)base_escape_log(base_slice_text(last_words(f->text)), WORDS_MAX_BYTES, &words);
	base_error_set(err, BASE_ERROR_TEMPORARY, (int)f->code,
		"TLS with \"%s\" port %u failed: %s", at->host, at->port,
		words.len ? base_buf_text(&words) : "no reason given");
	base_buf_release(&words);
}

static void connect_reason(
	const struct fetch_failure *f, const struct fetch_url *at, struct base_error *err)
{
	if (f->os_errno)
		base_error_errno(err, BASE_ERROR_TEMPORARY, f->os_errno,
			"cannot connect to \"%s\" port %u", at->host, at->port);
	else
		base_error_set(err, BASE_ERROR_TEMPORARY, (int)f->code,
			"cannot connect to \"%s\" port %u", at->host, at->port);
}

void fetch_reason(const struct fetch_failure *f, const struct fetch_url *at, struct base_error *err)
{
	enum base_error_class class = BASE_ERROR_TEMPORARY;
	const char *what;

	/* CURLcode has a hundred values, of which a request of this kind can meet these. */
	if (f->code == CURLE_PEER_FAILED_VERIFICATION) {
		verify_reason(f, at, err);
		return;
	}
	if (f->code == CURLE_SSL_CONNECT_ERROR) {
		tls_reason(f, at, err);
		return;
	}
	if (f->code == CURLE_COULDNT_CONNECT) {
		connect_reason(f, at, err);
		return;
	}
	if (f->code == CURLE_OPERATION_TIMEDOUT) {
		what = f->connected ? "did not answer in time" : "cannot be connected to in time";
	} else if (f->code == CURLE_COULDNT_RESOLVE_HOST) {
		what = "cannot be found";
	} else if (f->code == CURLE_GOT_NOTHING) {
		what = "closed the connection without an answer";
	} else if (f->code == CURLE_RECV_ERROR || f->code == CURLE_SEND_ERROR ||
		f->code == CURLE_PARTIAL_FILE) {
		what = "broke the connection";
	} else if (f->code == CURLE_WEIRD_SERVER_REPLY || f->code == CURLE_UNSUPPORTED_PROTOCOL ||
		f->code == CURLE_BAD_CONTENT_ENCODING || f->code == CURLE_HTTP2) {
		what = "does not speak proper HTTP";
		class = BASE_ERROR_PEER;
	} else {
		base_error_set(err, class, (int)f->code, "HTTPS with \"%s\" port %u failed: %s",
			at->host, at->port, curl_easy_strerror(f->code));
		return;
	}
	base_error_set(err, class, (int)f->code, "\"%s\" port %u %s", at->host, at->port, what);
}
