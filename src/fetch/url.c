#include "fetch/url.h"

#include <string.h>

enum { HTTPS_PORT = 443 };

static const char *const reasons[FETCH_URL_RESULT_COUNT] = {
	[FETCH_URL_LONG] = "is too long",
	[FETCH_URL_BYTES] = "holds a character that must be written as %XX",
	[FETCH_URL_CLEAR] = "is not encrypted; only https: is used",
	[FETCH_URL_SCHEME] = "does not begin with https://",
	[FETCH_URL_USER] = "holds a user or password before the host; leave it out",
	[FETCH_URL_HOST] = "has no proper host name",
	[FETCH_URL_PORT] = "has no proper port",
	[FETCH_URL_FRAGMENT] = "has a fragment (#); leave it out",
};

const char *fetch_url_reason(enum fetch_url_result result)
{
	BASE_BUG_IF((unsigned)result >= FETCH_URL_RESULT_COUNT);
	return reasons[result];
}

/* What RFC 3986 allows unescaped anywhere, and '%'. The brackets belong to the host alone. */
static bool bytes_are_fine(struct base_slice text)
{
	static const char others[] = "-._~:/?#[]@!$&'()*+,;=%";

	for (size_t i = 0; i < text.len; i++)
		if (!base_ascii_is_alnum(text.ptr[i]) &&
			(!text.ptr[i] || !strchr(others, text.ptr[i])))
			return false;
	return true;
}

/* "1.2.3", "0x7f.1" and "127.1" are addresses to some readers and names to others. */
static bool looks_like_number(struct base_slice name)
{
	size_t dot = base_slice_find_last(name, '.');
	struct base_slice last = dot == name.len ? name : base_slice_from(name, dot + 1);

	return last.len && base_ascii_is_digit(last.ptr[0]);
}

static bool read_host(struct base_slice text, struct fetch_url *out)
{
	bool bracket = text.len && text.ptr[0] == '[';

	if (bracket) {
		if (text.len < 3 || text.ptr[text.len - 1] != ']')
			return false;
		text = base_slice_first(base_slice_from(text, 1), text.len - 2);
	}
	if (text.len == 0 || text.len >= sizeof(out->host))
		return false;
	if (base_addr_parse(text, &out->addr)) {
		if ((out->addr.family == BASE_ADDR_IP6) != bracket)
			return false;
	} else {
		out->addr = (struct base_addr){0};
		if (bracket || !base_host_name_valid(text, false, false) || looks_like_number(text))
			return false;
	}
	for (size_t i = 0; i < text.len; i++)
		out->host[i] = (char)base_ascii_lower(text.ptr[i]);
	out->host[text.len] = 0;
	return true;
}

static bool read_port(struct base_slice text, uint16_t *out)
{
	uint64_t port;

	if (!base_slice_to_u64(text, &port) || port == 0 || port > 65535)
		return false;
	*out = (uint16_t)port;
	return true;
}

/* Where the host ends and a port may begin: the first ':' that is not within brackets. */
static size_t host_end(struct base_slice authority)
{
	size_t at = 0;

	if (authority.len && authority.ptr[0] == '[')
		at = base_slice_find(authority, ']');
	return at + base_slice_find(base_slice_from(authority, at), ':');
}

static size_t authority_end(struct base_slice text)
{
	size_t at = 0;

	while (at < text.len && text.ptr[at] != '/' && text.ptr[at] != '?')
		at++;
	return at;
}

enum fetch_url_result fetch_url_read(struct base_slice text, struct fetch_url *out)
{
	struct base_slice authority, rest;
	struct fetch_url url = {.port = HTTPS_PORT};
	size_t end;

	if (text.len > FETCH_URL_MAX_BYTES)
		return FETCH_URL_LONG;
	if (!bytes_are_fine(text))
		return FETCH_URL_BYTES;
	if (base_slice_starts_with_nocase(text, BASE_SLICE("http://")))
		return FETCH_URL_CLEAR;
	if (!base_slice_starts_with_nocase(text, BASE_SLICE("https://")))
		return FETCH_URL_SCHEME;
	if (base_slice_has(text, '#'))
		return FETCH_URL_FRAGMENT;
	rest = base_slice_from(text, strlen("https://"));
	end = authority_end(rest);
	authority = base_slice_first(rest, end);
	rest = base_slice_from(rest, end);
	if (base_slice_has(authority, '@'))
		return FETCH_URL_USER;
	if (base_slice_has(rest, '[') || base_slice_has(rest, ']'))
		return FETCH_URL_BYTES;
	end = host_end(authority);
	if (!read_host(base_slice_first(authority, end), &url))
		return FETCH_URL_HOST;
	if (end < authority.len && !read_port(base_slice_from(authority, end + 1), &url.port))
		return FETCH_URL_PORT;
	*out = url;
	return FETCH_URL_OK;
}
