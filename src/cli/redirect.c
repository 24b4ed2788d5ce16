/* One request, read as strictly as RFC 9112 allows: the only clients are browsers, which write it well.
 *
 *   GET SP / [? query] SP HTTP/1.1 CRLF
 *   name ":" OWS value OWS CRLF …       exactly one Host, which is ours; no body
 *   CRLF
 *
 * A wrong Host is what a web site gives away that had its name point to 127.0.0.1. */
#include "cli/redirect.h"

#include "base/secret.h"

#include <string.h>

static bool is_visible(uint8_t byte)
{
	return byte > ' ' && byte < 0x7f;
}

static bool all_visible(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!is_visible(s.ptr[i]))
			return false;
	return true;
}

/* RFC 9110 section 5.6.2 */
static bool is_token(struct base_slice s)
{
	for (size_t i = 0; i < s.len; i++)
		if (!base_ascii_is_alnum(s.ptr[i]) &&
			!base_slice_has(BASE_SLICE("!#$%&'*+-.^_`|~"), s.ptr[i]))
			return false;
	return s.len > 0;
}

/* Take a line off the front of @s, without its CRLF. False: no CRLF, or a bare CR, LF or NUL before it. */
static bool take_line(struct base_slice *s, struct base_slice *out)
{
	size_t end = 0;

	while (end < s->len && s->ptr[end] != '\r') {
		if (s->ptr[end] == '\n' || s->ptr[end] == '\0')
			return false;
		end++;
	}
	if (end + 1 >= s->len || s->ptr[end + 1] != '\n')
		return false;
	*out = base_slice_first(*s, end);
	*s = base_slice_from(*s, end + 2);
	return true;
}

/* All fields up to the empty line. */
static bool fields_ok(struct base_slice rest, const char *host)
{
	struct base_slice line, name, value;
	unsigned hosts = 0;

	while (take_line(&rest, &line) && line.len) {
		size_t colon = base_slice_find(line, ':');

		name = base_slice_first(line, colon);
		value = base_slice_trim(base_slice_from(line, colon + 1));
		if (colon == line.len || !is_token(name))
			return false;
		if (base_slice_equal_text_nocase(name, "host")) {
			if (hosts++ || !base_slice_equal_text_nocase(value, host))
				return false;
		} else if (base_slice_equal_text_nocase(name, "transfer-encoding") ||
			(base_slice_equal_text_nocase(name, "content-length") &&
				!base_slice_equal_text(value, "0"))) {
			return false;
		}
	}
	return hosts == 1 && rest.len == 0 && line.len == 0;
}

static enum redirect_result judge_target(struct base_slice target, struct base_slice *out_query)
{
	if (target.len == 0 || target.ptr[0] != '/' || !all_visible(target) ||
		base_slice_has(target, '#'))
		return REDIRECT_BAD;
	if (target.len < 3 || target.ptr[1] != '?')
		return REDIRECT_ELSEWHERE;
	if (target.len - 2 > REDIRECT_QUERY_MAX_BYTES)
		return REDIRECT_LONG;
	*out_query = base_slice_from(target, 2);
	return REDIRECT_QUERY;
}

/* @head: the request without a body, its empty line included. */
static enum redirect_result judge(
	struct base_slice head, const char *host, struct base_slice *out_query)
{
	struct base_slice line, method, target;

	if (!take_line(&head, &line) || !base_slice_split(&line, ' ', &method) ||
		!base_slice_split(&line, ' ', &target) || !is_token(method) ||
		!base_slice_equal_text(line, "HTTP/1.1") || !fields_ok(head, host))
		return REDIRECT_BAD;
	return base_slice_equal_text(method, "GET") ? judge_target(target, out_query)
						    : REDIRECT_METHOD;
}

enum redirect_result redirect_request(
	struct base_slice bytes, const char *host, struct base_slice *out_query)
{
	size_t len = bytes.len < REDIRECT_REQUEST_MAX_BYTES ? bytes.len
							    : REDIRECT_REQUEST_MAX_BYTES;
	const uint8_t *end = len ? memmem(bytes.ptr, len, "\r\n\r\n", 4) : NULL;

	if (end)
		return judge(
			base_slice_first(bytes, (size_t)(end - bytes.ptr) + 4), host, out_query);
	return bytes.len < REDIRECT_REQUEST_MAX_BYTES ? REDIRECT_MORE : REDIRECT_LONG;
}

bool redirect_pasted(struct base_slice line, struct base_slice *out_query)
{
	struct base_slice query = base_slice_trim(line);
	size_t mark = base_slice_find(query, '?');

	if (mark < query.len)
		query = base_slice_from(query, mark + 1);
	query = base_slice_first(query, base_slice_find(query, '#'));
	if (query.len == 0 || query.len > REDIRECT_QUERY_MAX_BYTES || !all_visible(query) ||
		!base_slice_has(query, '='))
		return false;
	*out_query = query;
	return true;
}

/* As written, without decoding: a state of ours holds nothing that would have to be encoded. False: there is
 * none, or more than one, of which somebody else might read the other. */
static bool find_state(struct base_slice query, struct base_slice *out)
{
	struct base_slice field;
	unsigned found = 0;

	while (base_slice_split(&query, '&', &field))
		if (base_slice_starts_with(field, BASE_SLICE("state="))) {
			*out = base_slice_from(field, 6);
			found++;
		}
	return found == 1 && out->len > 0;
}

bool redirect_state_matches(struct base_slice query, struct base_slice url)
{
	struct base_slice theirs, ours;

	return find_state(query, &theirs) &&
		find_state(base_slice_from(url, base_slice_find(url, '?') + 1), &ours) &&
		base_equal_constant_time(theirs, ours);
}

static const char *status_of(enum redirect_result result)
{
	switch (result) {
	case REDIRECT_MORE:
		return "408 Request Timeout";
	case REDIRECT_QUERY:
		return "200 OK";
	case REDIRECT_ELSEWHERE:
		return "404 Not Found";
	case REDIRECT_METHOD:
		return "405 Method Not Allowed\r\nAllow: GET";
	case REDIRECT_BAD:
		return "400 Bad Request";
	case REDIRECT_LONG:
		return "431 Request Header Fields Too Large";
	}
	BASE_BUG_IF(true);
}

void redirect_page(enum redirect_result result, const char *text, struct base_buf *out)
{
	static const char before[] = "<!DOCTYPE html>\n<title>Postern</title>\n<p>",
			  after[] = "</p>\n";
	size_t len = sizeof(before) - 1 + base_slice_text(text).len + sizeof(after) - 1;

	/* The address has the code in it: it is to be kept by nobody and sent on to nobody. */
	base_buf_printf(out,
		"HTTP/1.1 %s\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: %zu\r\n"
		"Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\n"
		"Content-Security-Policy: default-src 'none'\r\nX-Content-Type-Options: nosniff\r\n"
		"Connection: close\r\n\r\n%s%s%s",
		status_of(result), len, before, text, after);
}
