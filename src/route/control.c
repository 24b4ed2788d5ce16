#include "route/control.h"

/* A line of a map has a key, which ends at its first ':', and a value. The value of smtproutes and
 * authsenders begins with the relay, which ends at the first '|' or blank:
 *
 *     relay      = [ host ] [ ( ":" | ";" ) [ port ] ]
 *     host       = name | IPv4 | IPv6 | "[" ( IPv4 | IPv6 ) "]"
 *     value      = relay | relay *blank "|" user "|" password | relay 1*blank user 1*blank password
 *
 * Only ';' parts a port from a bare IPv6 address. A '-' before a user after blanks belongs to a
 * dialect that sends the secret over TLS alone unless it is there: tlspolicy says that now. */

enum { CONTROL_NAME_MAX_BYTES = 253 };

static bool is_blank(uint8_t byte)
{
	return byte == ' ' || byte == '\t';
}

static struct base_slice strip_end(struct base_slice s)
{
	while (s.len && (is_blank(s.ptr[s.len - 1]) || s.ptr[s.len - 1] == '\r'))
		s.len--;
	return s;
}

static struct base_slice strip_start(struct base_slice s)
{
	while (s.len && is_blank(s.ptr[0]))
		s = base_slice_from(s, 1);
	return s;
}

struct base_slice route_control_line(struct base_slice file)
{
	return strip_end(base_slice_first(file, base_slice_find(file, '\n')));
}

bool route_control_next(struct base_slice *rest, unsigned *number, struct base_slice *out_line)
{
	struct base_slice line;

	while (base_slice_split(rest, '\n', &line)) {
		if (number)
			(*number)++;
		line = strip_end(line);
		if (line.len == 0 || line.ptr[0] == '#')
			continue;
		*out_line = line;
		return true;
	}
	return false;
}

uint64_t route_control_number(struct base_slice file, uint64_t fallback)
{
	struct base_slice line = route_control_line(file);
	size_t digits = 0;
	uint64_t value;

	while (digits < line.len && base_ascii_is_digit(line.ptr[digits]))
		digits++;
	return base_slice_to_u64(base_slice_first(line, digits), &value) ? value : fallback;
}

static enum route_control_result broken(const char **out_why, const char *why)
{
	*out_why = why;
	return ROUTE_CONTROL_BROKEN;
}

static bool parse_port(struct base_slice text, uint16_t *out)
{
	uint64_t port = 0;

	if (text.len && (!base_slice_to_u64(text, &port) || port == 0 || port > 65535))
		return false;
	*out = (uint16_t)port;
	return true;
}

static bool host_can_be(struct base_slice host)
{
	if (host.len > CONTROL_NAME_MAX_BYTES)
		return false;
	for (size_t i = 0; i < host.len; i++)
		if (host.ptr[i] <= ' ' || host.ptr[i] >= 0x7f || host.ptr[i] == '[' ||
			host.ptr[i] == ']' || host.ptr[i] == '@' || host.ptr[i] == '/')
			return false;
	return true;
}

/* Where the host ends and the port begins: at ';', else at a lone ':'. */
static size_t host_end(struct base_slice relay)
{
	size_t at = base_slice_find(relay, ';'), colon = base_slice_find(relay, ':');
	struct base_addr addr;

	if (at < relay.len || base_addr_parse(relay, &addr))
		return at;
	return colon;
}

static enum route_control_result parse_relay(
	struct base_slice relay, struct route_control_relay *out, const char **out_why)
{
	struct base_slice tail;
	struct base_addr addr;
	size_t end;

	if (relay.len && relay.ptr[0] == '[') {
		end = base_slice_find(relay, ']');
		if (end == relay.len)
			return broken(out_why, "'[' without ']'");
		out->host = base_slice_make(relay.ptr + 1, end - 1);
		tail = base_slice_from(relay, end + 1);
		if (base_slice_starts_with_nocase(out->host, BASE_SLICE("IPv6:")))
			out->host = base_slice_from(out->host, 5);
		if (!base_addr_parse(out->host, &addr))
			return broken(out_why, "no address between the brackets");
		if (tail.len && tail.ptr[0] != ':' && tail.ptr[0] != ';')
			return broken(out_why, "neither ':' nor ';' behind ']'");
	} else {
		end = host_end(relay);
		out->host = base_slice_first(relay, end);
		tail = base_slice_from(relay, end);
		if (!host_can_be(out->host))
			return broken(out_why, "the relay is no host name");
		if (base_slice_has(out->host, ':') && !base_addr_parse(out->host, &addr))
			return broken(out_why, "the relay is no host name");
	}
	if (!parse_port(base_slice_from(tail, 1), &out->port))
		return broken(out_why, "the port is no number from 1 to 65535");
	return ROUTE_CONTROL_FOUND;
}

static enum route_control_result parse_credentials(
	struct base_slice text, struct route_control_relay *out, const char **out_why)
{
	size_t end;

	if (text.len == 0)
		return ROUTE_CONTROL_FOUND;
	if (text.ptr[0] == '|') {
		text = base_slice_from(text, 1);
		end = base_slice_find(text, '|');
		out->password = base_slice_from(text, end + 1);
	} else {
		for (end = 0; end < text.len && !is_blank(text.ptr[end]); end++)
			;
		out->password = strip_start(base_slice_from(text, end));
	}
	out->user = base_slice_first(text, end);
	if (end == text.len && text.len)
		return broken(out_why, "a user without a password");
	if (text.len && text.ptr[end] != '|' && text.ptr[0] == '-')
		out->user = base_slice_from(out->user, 1);
	if (out->user.len == 0)
		return broken(out_why, "the user is empty");
	if (out->password.len == 0)
		return broken(out_why, "the password is empty");
	if (base_slice_has(out->user, 0) || base_slice_has(out->password, 0))
		return broken(out_why, "a NUL in user or password");
	out->credentials = true;
	return ROUTE_CONTROL_FOUND;
}

enum route_control_result route_control_relay_parse(
	struct base_slice line, struct route_control_relay *out, const char **out_why)
{
	struct route_control_relay relay = {0};
	size_t colon = base_slice_find(line, ':'), end;
	struct base_slice value;

	if (colon == line.len)
		return ROUTE_CONTROL_MISSING;
	relay.key = base_slice_first(line, colon);
	value = strip_start(base_slice_from(strip_end(line), colon + 1));
	for (end = 0; end < value.len && value.ptr[end] != '|' && !is_blank(value.ptr[end]); end++)
		;
	if (parse_relay(base_slice_first(value, end), &relay, out_why) != ROUTE_CONTROL_FOUND)
		return ROUTE_CONTROL_BROKEN;
	value = strip_start(base_slice_from(value, end));
	if (parse_credentials(value, &relay, out_why) != ROUTE_CONTROL_FOUND)
		return ROUTE_CONTROL_BROKEN;
	*out = relay;
	return ROUTE_CONTROL_FOUND;
}

/* Is the key all of the subject, nothing, or a rest of it that begins with '.' (or '@')? */
static bool key_fits(struct base_slice key, struct base_slice subject, bool at)
{
	if (key.len == 0 || key.len == subject.len)
		return key.len == 0 || base_slice_equal_nocase(key, subject);
	return (key.ptr[0] == '.' || (at && key.ptr[0] == '@')) &&
		base_slice_ends_with_nocase(subject, key);
}

/* The longest key that fits; of equal ones the last, which is what qmail's map finds. */
static enum route_control_result find(struct base_slice file, struct base_slice subject, bool at,
	struct route_control_relay *out, const char **out_why)
{
	struct base_slice line, best = BASE_SLICE_EMPTY;
	size_t best_key = 0;
	bool found = false;

	while (route_control_next(&file, NULL, &line)) {
		size_t colon = base_slice_find(line, ':');

		if (colon == line.len || (found && colon < best_key) ||
			!key_fits(base_slice_first(line, colon), subject, at))
			continue;
		found = true;
		best = line;
		best_key = colon;
	}
	return found ? route_control_relay_parse(best, out, out_why) : ROUTE_CONTROL_MISSING;
}

enum route_control_result route_control_smtproute(struct base_slice file, struct base_slice host,
	struct route_control_relay *out, const char **out_why)
{
	return find(file, host, false, out, out_why);
}

enum route_control_result route_control_authsender(struct base_slice file, struct base_slice sender,
	struct route_control_relay *out, const char **out_why)
{
	return find(file, sender, true, out, out_why);
}

/* A name in a policy and a relay's name are the same with and without brackets and the last dot. */
static struct base_slice bare_name(struct base_slice name)
{
	if (name.len > 1 && name.ptr[0] == '[' && name.ptr[name.len - 1] == ']')
		name = base_slice_make(name.ptr + 1, name.len - 2);
	if (base_slice_starts_with_nocase(name, BASE_SLICE("IPv6:")))
		name = base_slice_from(name, 5);
	if (name.len && name.ptr[name.len - 1] == '.')
		name.len--;
	return name;
}

static bool same_host(struct base_slice a, struct base_slice b)
{
	struct base_addr x, y;

	a = bare_name(a);
	b = bare_name(b);
	if (base_addr_parse(a, &x) && base_addr_parse(b, &y))
		return base_addr_equal(&x, &y);
	return base_slice_equal_nocase(a, b);
}

static enum route_control_tls tls_word(struct base_slice word)
{
	static const struct {
		const char *word;
		enum route_control_tls tls;
	} words[] = {
		{"none", ROUTE_CONTROL_TLS_NONE},
		{"may", ROUTE_CONTROL_TLS_MAY},
		{"require", ROUTE_CONTROL_TLS_REQUIRE},
		{"verify", ROUTE_CONTROL_TLS_VERIFY},
	};

	for (size_t i = 0; i < BASE_COUNT(words); i++)
		if (base_slice_equal_text_nocase(word, words[i].word))
			return words[i].tls;
	return ROUTE_CONTROL_TLS_UNSET;
}

enum route_control_result route_control_tlspolicy(struct base_slice file, struct base_slice host,
	enum route_control_tls *out, const char **out_why)
{
	enum route_control_result result = ROUTE_CONTROL_MISSING;
	enum route_control_tls tls = ROUTE_CONTROL_TLS_UNSET;
	struct base_slice line;

	while (route_control_next(&file, NULL, &line)) {
		/* The last ':', because an address of IPv6 has its own. */
		size_t colon = base_slice_find_last(line, ':');

		if (!same_host(base_slice_trim(base_slice_first(line, colon)), host) ||
			host.len == 0)
			continue;
		result = ROUTE_CONTROL_FOUND;
		tls = tls_word(base_slice_trim(base_slice_from(line, colon + 1)));
	}
	if (result == ROUTE_CONTROL_MISSING)
		return result;
	if (tls == ROUTE_CONTROL_TLS_UNSET)
		return broken(out_why, "the policy is none of none, may, require and verify");
	*out = tls;
	return ROUTE_CONTROL_FOUND;
}
