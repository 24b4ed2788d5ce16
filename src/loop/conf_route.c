/* via = "…" of a route and url = "…" of an account, taken apart. */
#include "loop/account.h"
#include "loop/conf_internal.h"

#include <string.h>

enum { PORT_SMTP = 25, PORT_LMTP = 24, PORT_SUBMISSION = 587, PORT_SUBMISSIONS = 465 };

static bool port_number(struct base_slice text, uint16_t *out)
{
	uint64_t number;

	if (text.len > 5 || !base_slice_to_u64(text, &number) || number == 0 || number > 65535)
		return false;
	*out = (uint16_t)number;
	return true;
}

/* "host", "host:port", "192.0.2.1:25", "[2001:db8::1]:25"; @out_port is left alone without one. */
static bool host_and_port(
	struct conf_work *w, struct base_slice text, char **out_host, uint16_t *out_port)
{
	struct base_slice host, rest;
	struct base_addr addr;
	bool bracket = base_slice_starts_with(text, BASE_SLICE("["));
	size_t end = base_slice_find(text, bracket ? ']' : ':');

	if (bracket) {
		if (end == text.len)
			return false;
		host = base_slice_from(base_slice_first(text, end), 1);
		rest = base_slice_from(text, end + 1);
		if (!base_addr_parse(host, &addr) || addr.family != BASE_ADDR_IP6)
			return false;
	} else {
		host = base_slice_first(text, end);
		rest = base_slice_from(text, end);
		if (!base_host_name_valid(host, false, true))
			return false;
	}
	if (rest.len && (rest.ptr[0] != ':' || !port_number(base_slice_from(rest, 1), out_port)))
		return false;
	*out_host = conf_arena_text(w->arena, host);
	return true;
}

/* Behind "smtp://": host and port, nothing else but one slash. */
static bool url_rest(
	struct conf_work *w, struct base_slice rest, char **out_host, uint16_t *out_port)
{
	if (base_slice_find(rest, '/') + 1 == rest.len)
		rest = base_slice_first(rest, rest.len - 1);
	return host_and_port(w, rest, out_host, out_port);
}

static bool take_prefix(struct base_slice *s, const char *prefix)
{
	if (!base_slice_starts_with(*s, base_slice_text(prefix)))
		return false;
	*s = base_slice_from(*s, strlen(prefix));
	return true;
}

static void via_url(
	struct conf_work *w, struct conf_route *r, struct base_slice rest, unsigned line)
{
	bool tls = r->via == CONF_VIA_SMTPS;

	r->port = tls ? PORT_SUBMISSIONS : r->account ? PORT_SUBMISSION : PORT_SMTP;
	if (base_slice_has(rest, '@'))
		conf_fail(w, line,
			"via = \"%s\" holds a user; write account = \"NAME\" beside it and "
			"keep the password in the vault",
			r->via_text);
	else if (!url_rest(w, rest, &r->host, &r->port))
		conf_fail(w, line, "via = \"%s\" is no address; write \"%s://host:port\"",
			r->via_text, tls ? "smtps" : "smtp");
}

static void via_lmtp(
	struct conf_work *w, struct conf_route *r, struct base_slice rest, unsigned line)
{
	if (rest.len > 1 && rest.ptr[0] == '/' && rest.ptr[1] != '/') {
		r->text = conf_arena_text(w->arena, rest);
		return;
	}
	take_prefix(&rest, "//");
	r->port = PORT_LMTP;
	r->text = conf_arena_text(w->arena, rest);
	if (!host_and_port(w, rest, &r->host, &r->port))
		conf_fail(w, line,
			"via = \"%s\" is no LMTP server; write \"lmtp:/path/to/socket\" or "
			"\"lmtp:host:port\"",
			r->via_text);
}

/* A brace that belongs to none of the words that are replaced is a mistake of writing. */
static bool braces_good(struct base_slice s)
{
	while (s.len) {
		if (take_prefix(&s, "{user}") || take_prefix(&s, "{domain}") ||
			take_prefix(&s, "{address}"))
			continue;
		if (s.ptr[0] == '{' || s.ptr[0] == '}')
			return false;
		s = base_slice_from(s, 1);
	}
	return true;
}

static void via_maildir(
	struct conf_work *w, struct conf_route *r, struct base_slice rest, unsigned line)
{
	r->text = conf_arena_text(w->arena, rest);
	if (rest.len < 2 || rest.ptr[0] != '/')
		conf_fail(w, line,
			"via = \"%s\" is no absolute path; write \"maildir:/path/{user}\"",
			r->via_text);
	else if (!braces_good(rest))
		conf_fail(w, line,
			"via = \"%s\" holds a brace that means nothing; {user}, {domain} "
			"and {address} are replaced",
			r->via_text);
}

static void via_unknown(struct conf_work *w, const struct conf_route *r, unsigned line)
{
	static const char *const names[] = {"mx", "smtp", "smtps", "account", "sender", "lmtp",
		"maildir", "pipe", "discard", "error", NULL};
	static const char *const right[] = {"mx", "smtp://host:port", "smtps://host:port",
		"account:NAME", "sender", "lmtp:/path/to/socket", "maildir:/path/{user}",
		"pipe:command", "discard:", "error:text"};
	struct base_slice scheme = base_slice_text(r->via_text);
	char *word = conf_arena_text(
		w->arena, base_slice_first(scheme, base_slice_find(scheme, ':')));
	const char *near = conf_nearest(word, names);

	for (size_t i = 0; near && names[i]; i++)
		if (names[i] == near) {
			conf_fail(w, line, "via = \"%s\" is not known; did you mean \"%s\"?",
				r->via_text, right[i]);
			return;
		}
	conf_fail(w, line,
		"via = \"%s\" is not known; write \"mx\", \"smtp://host:port\", "
		"\"smtps://host:port\", \"account:NAME\", \"sender\", \"lmtp:…\", "
		"\"maildir:/path/{user}\", "
		"\"discard:\" or \"error:text\"",
		r->via_text);
}

static void via_account(
	struct conf_work *w, struct conf_route *r, struct base_slice rest, unsigned line)
{
	r->via = CONF_VIA_ACCOUNT;
	if (rest.len == 0)
		conf_fail(w, line, "via = \"account:\" names no account; write \"account:NAME\"");
	else if (r->account)
		conf_fail(w, line,
			"via = \"%s\" and account = \"%s\" stand together; keep one of them",
			r->via_text, r->account);
	else
		r->text = r->account = conf_arena_text(w->arena, rest);
}

void conf_route_resolve(struct conf_work *w, struct conf_route *r, unsigned line)
{
	struct base_slice rest = base_slice_text(r->via_text);

	if (!r->via_text)
		return;
	if (base_slice_equal_text(rest, "mx")) {
		r->via = CONF_VIA_MX;
	} else if (take_prefix(&rest, "smtp://")) {
		r->via = CONF_VIA_SMTP;
		via_url(w, r, rest, line);
	} else if (take_prefix(&rest, "smtps://")) {
		r->via = CONF_VIA_SMTPS;
		via_url(w, r, rest, line);
	} else if (take_prefix(&rest, "account:")) {
		via_account(w, r, rest, line);
	} else if (take_prefix(&rest, "lmtp:")) {
		r->via = CONF_VIA_LMTP;
		via_lmtp(w, r, rest, line);
	} else if (take_prefix(&rest, "maildir:")) {
		r->via = CONF_VIA_MAILDIR;
		via_maildir(w, r, rest, line);
	} else if (base_slice_equal_text(rest, "discard:")) {
		r->via = CONF_VIA_DISCARD;
	} else if (take_prefix(&rest, "error:")) {
		r->via = CONF_VIA_ERROR;
		r->text = conf_arena_text(w->arena, rest);
		if (rest.len == 0)
			conf_fail(w, line,
				"via = \"error:\" has no text; write what the sender is told");
	} else if (base_slice_equal_text(rest, "sender")) {
		r->via = CONF_VIA_SENDER;
		if (r->account)
			conf_fail(w, line,
				"via = \"sender\" and account = \"%s\" stand together; write via = "
				"\"account:%s\" for one account, or leave account out",
				r->account, r->account);
		r->account = NULL;
	} else if (base_slice_starts_with(rest, BASE_SLICE("pipe:"))) {
		conf_fail(w, line, "via = \"%s\": not available in this build", r->via_text);
	} else {
		via_unknown(w, r, line);
	}
}

static void account_url(struct conf_work *w, struct conf_account *a, unsigned line)
{
	struct base_slice rest = base_slice_text(a->url);

	if (!a->url)
		return;
	if (take_prefix(&rest, "smtps://")) {
		a->implicit_tls = true;
		a->port = PORT_SUBMISSIONS;
	} else if (take_prefix(&rest, "smtp://")) {
		a->port = PORT_SUBMISSION;
	} else {
		conf_fail(w, line,
			"url = \"%s\" is not known; write \"smtps://host:465\" or "
			"\"smtp://host:587\"",
			a->url);
		return;
	}
	if (base_slice_has(rest, '@'))
		conf_fail(w, line,
			"url = \"%s\" holds a user; write user = \"NAME\" and keep the "
			"password in the vault",
			a->url);
	else if (!url_rest(w, rest, &a->host, &a->port))
		conf_fail(w, line, "url = \"%s\" is no address; write \"%s://host:port\"", a->url,
			a->implicit_tls ? "smtps" : "smtp");
}

static void account_limits(
	struct conf_work *w, struct conf_account *a, const struct conf_section *s)
{
	uint8_t pin[ACCOUNT_PIN_BYTES];

	if (a->pin && !account_pin_parse(base_slice_text(a->pin), pin))
		conf_fail(w, conf_key_line(s, "pin"),
			"pin = \"%s\" is none; write \"sha256:\" and the 64 hexadecimal digits of "
			"the "
			"SHA-256 of the certificate's public key (postern probe shows it)",
			a->pin);
	if (a->rate && !account_rate_parse(base_slice_text(a->rate), &a->rate_count, &a->rate_s))
		conf_fail(w, conf_key_line(s, "rate"),
			"rate = \"%s\" is none; write messages in a time as in \"100/hour\" "
			"(second, "
			"minute, hour or day)",
			a->rate);
}

void conf_account_resolve(struct conf_work *w, struct conf_account *a, const struct conf_section *s)
{
	bool certificate = conf_key_find(s, "certificate"), key = conf_key_find(s, "key");

	account_url(w, a, conf_key_line(s, "url"));
	account_limits(w, a, s);
	if (certificate != key)
		conf_fail(w, s->line, "account \"%s\" has a %s but no %s; write both or none",
			a->title, certificate ? "certificate" : "key",
			certificate ? "key" : "certificate");
	if (!a->user && !certificate && !conf_key_find(s, "user"))
		conf_fail(w, s->line,
			"account \"%s\" has no user; write user = \"NAME\", the login name there "
			"(only an account that logs in by its certificate needs none)",
			a->title);
}
