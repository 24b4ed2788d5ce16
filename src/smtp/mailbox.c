/* A path, as read here, left to right; nothing is searched for from the right, because a quoted local
 * part may hold any of the separators:
 *
 *   path     = "<" [ route ":" ] mailbox ">"      route = "@" domain *( "," "@" domain )
 *   mailbox  = ( dot-string / quoted-string ) "@" ( domain / "[" address "]" )
 *
 * An empty quoted string is legal by the grammar, but no mailbox has that name: refused. */
#include "smtp/mailbox.h"
#include "smtp/server.h"
#include "base/host.h"
#include "base/utf8.h"

#include <string.h>

static bool is_atext(uint8_t c)
{
	return base_ascii_is_alnum(c) || c >= 0x80 || (c && strchr("!#$%&'*+-/=?^_`{|}~", c));
}

/* Bytes of the Dot-string at the front of @in, 0 if there is none. */
static size_t dot_string_len(struct base_slice in)
{
	size_t len = 0;
	bool after_dot = true;

	while (len < in.len && (is_atext(in.ptr[len]) || in.ptr[len] == '.')) {
		bool dot = in.ptr[len] == '.';

		if (dot && after_dot)
			return 0;
		after_dot = dot;
		len++;
	}
	return after_dot ? 0 : len;
}

/* Bytes of the Quoted-string at the front of @in, quotes included; 0 if it is none or empty. */
static size_t quoted_string_len(struct base_slice in)
{
	size_t at = 1;

	while (at < in.len && in.ptr[at] != '"') {
		if (in.ptr[at] == '\\') {
			at++;
			if (at == in.len || in.ptr[at] >= 0x80)
				return 0;
		}
		if (in.ptr[at] < 0x20 || in.ptr[at] == 0x7f)
			return 0;
		at++;
	}
	return at < in.len && at > 1 ? at + 1 : 0;
}

static bool is_domain_byte(uint8_t c)
{
	return base_ascii_is_alnum(c) || c == '-' || c == '.' || c >= 0x80;
}

/* Bytes that may be a domain or address literal at the front of @in; domain_valid() judges them. */
static size_t domain_len(struct base_slice in)
{
	size_t len = 0;

	if (in.len && in.ptr[0] == '[') {
		len = base_slice_find(in, ']');
		return len < in.len ? len + 1 : 0;
	}
	while (len < in.len && is_domain_byte(in.ptr[len]))
		len++;
	return len;
}

static bool domain_valid(struct base_slice domain)
{
	struct base_addr addr;

	if (domain.len && domain.ptr[0] == '[')
		return base_addr_parse_literal(domain, &addr);
	return domain.len <= SMTP_DOMAIN_MAX_BYTES && base_host_name_valid(domain, false, true);
}

/* Read a mailbox at the front of @in; out->whole.len says how much of it that was. */
static enum smtp_mailbox_result read_mailbox(struct base_slice in, struct smtp_mailbox *out)
{
	struct smtp_mailbox m = {0};
	size_t local = in.len && in.ptr[0] == '"' ? quoted_string_len(in) : dot_string_len(in);

	if (local == 0 || local > SMTP_LOCAL_MAX_BYTES || local == in.len || in.ptr[local] != '@')
		return SMTP_MAILBOX_BAD;
	m.local = base_slice_first(in, local);
	m.domain = base_slice_from(in, local + 1);
	m.domain.len = domain_len(m.domain);
	m.whole = base_slice_first(in, local + 1 + m.domain.len);
	m.eight_bit = !base_is_ascii(m.whole);
	m.qualified = m.domain.len && (m.domain.ptr[0] == '[' || base_slice_has(m.domain, '.'));
	if (m.eight_bit && !base_utf8_valid(m.whole))
		return SMTP_MAILBOX_BAD_UTF8;
	if (m.whole.len > SMTP_MAILBOX_MAX_BYTES || !domain_valid(m.domain))
		return SMTP_MAILBOX_BAD;
	*out = m;
	return SMTP_MAILBOX_OK;
}

enum smtp_mailbox_result smtp_mailbox_parse(struct base_slice in, struct smtp_mailbox *out)
{
	struct smtp_mailbox m;
	enum smtp_mailbox_result result = read_mailbox(in, &m);

	if (result != SMTP_MAILBOX_OK)
		return result;
	if (m.whole.len != in.len)
		return SMTP_MAILBOX_BAD;
	*out = m;
	return SMTP_MAILBOX_OK;
}

/* Drop "@one,@two:" from the front of @in; true where there is none. */
static bool skip_route(struct base_slice *in)
{
	if (in->len == 0 || in->ptr[0] != '@')
		return true;
	for (;;) {
		struct base_slice domain = base_slice_from(*in, 1);
		uint8_t after;

		domain.len = domain_len(domain);
		if (!domain_valid(domain) || 1 + domain.len >= in->len)
			return false;
		after = in->ptr[1 + domain.len];
		*in = base_slice_from(*in, domain.len + 2);
		if (after == ':')
			return true;
		if (after != ',' || in->len == 0 || in->ptr[0] != '@')
			return false;
	}
}

/* What stands before '>' without being a mailbox: "<>" and "<postmaster>". */
static bool read_special(struct base_slice in, enum smtp_path_kind kind, struct smtp_mailbox *out)
{
	static const struct base_slice name = {(const uint8_t *)"postmaster>", 11};
	bool null = kind == SMTP_PATH_REVERSE && in.len && in.ptr[0] == '>';
	bool postmaster = kind == SMTP_PATH_FORWARD && base_slice_starts_with_nocase(in, name);

	if (!null && !postmaster)
		return false;
	*out = (struct smtp_mailbox){.qualified = true};
	if (postmaster)
		out->whole = out->local = base_slice_first(in, name.len - 1);
	return true;
}

enum smtp_mailbox_result smtp_path_parse(struct base_slice in, enum smtp_path_kind kind,
	struct smtp_mailbox *out, struct base_slice *out_rest)
{
	struct smtp_mailbox m;
	enum smtp_mailbox_result result;

	if (in.len == 0 || in.ptr[0] != '<')
		return SMTP_MAILBOX_BAD;
	in = base_slice_from(in, 1);
	if (!read_special(in, kind, &m)) {
		if (!skip_route(&in))
			return SMTP_MAILBOX_BAD;
		result = read_mailbox(in, &m);
		if (result != SMTP_MAILBOX_OK)
			return result;
	}
	in = base_slice_from(in, m.whole.len);
	if (in.len == 0 || in.ptr[0] != '>')
		return SMTP_MAILBOX_BAD;
	in = base_slice_from(in, 1);
	if (in.len && in.ptr[0] != ' ' && in.ptr[0] != '\t')
		return SMTP_MAILBOX_BAD;
	*out = m;
	*out_rest = base_slice_trim(in);
	return SMTP_MAILBOX_OK;
}

/* Bytes of the loose path at the front of @in, brackets not included; the end of @in where a bracket is
 * not closed. */
static size_t loose_len(struct base_slice in, bool bracketed)
{
	bool quoted = false;
	size_t at = 0;

	for (; at < in.len; at++) {
		uint8_t c = in.ptr[at];

		if (c == '\\' && at + 1 < in.len)
			at++;
		else if (c == '"')
			quoted = !quoted;
		else if (!quoted && (bracketed ? c == '>' : c == ' ' || c == '\t'))
			break;
	}
	return at;
}

static bool loose_valid(struct base_slice path)
{
	if (path.len == 0 || path.len > SMTP_LOOSE_PATH_MAX_BYTES || !base_utf8_valid(path))
		return false;
	for (size_t i = 0; i < path.len; i++)
		if (path.ptr[i] < ' ' || path.ptr[i] == 0x7f || path.ptr[i] == '<' ||
			path.ptr[i] == '>')
			return false;
	return true;
}

enum smtp_mailbox_result smtp_path_parse_loose(struct base_slice in, enum smtp_path_kind kind,
	struct smtp_mailbox *out, struct base_slice *out_rest)
{
	enum smtp_mailbox_result result = smtp_path_parse(in, kind, out, out_rest);
	bool bracketed = in.len && in.ptr[0] == '<';
	struct smtp_mailbox m = {0};
	struct base_slice path, rest;
	size_t len, at;

	if (result == SMTP_MAILBOX_OK)
		return result;
	if (bracketed)
		in = base_slice_from(in, 1);
	len = loose_len(in, bracketed);
	if (bracketed && len == in.len)
		return SMTP_MAILBOX_BAD;
	path = base_slice_first(in, len);
	rest = base_slice_from(in, len + (bracketed ? 1 : 0));
	if (path.len && path.ptr[0] == '@' && base_slice_has(path, ':'))
		path = base_slice_from(path, base_slice_find(path, ':') + 1);
	if (!loose_valid(path))
		return SMTP_MAILBOX_BAD;
	at = base_slice_find_last(path, '@');
	m.whole = path;
	m.local = base_slice_first(path, at);
	m.domain = base_slice_from(path, at + 1);
	m.eight_bit = !base_is_ascii(path);
	m.qualified = base_slice_has(m.domain, '.');
	*out = m;
	*out_rest = base_slice_trim(rest);
	return SMTP_MAILBOX_OK;
}
