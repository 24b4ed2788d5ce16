/* postern import qmail: where mail goes, and as whom.
 *
 * qmail-remote looks a sender up in authsenders first; a hit takes the place of smtproutes. So a line of
 * authsenders with an empty key carries all mail, and the lines of smtproutes behind it were never
 * looked at. Of lines with the same key the last one counts.
 *
 * Lines with a key become lines of the sender table. The route of all mail goes by sender only where
 * authsenders decided about all mail, too; else who has no line would wait where he took smtproutes. */
#include "cli/import_qmail.h"

#include "route/sender.h"

#include <stdlib.h>
#include <string.h>

/* A configuration may have 4096 sections. */
enum { USER_MAX_BYTES = 255, NAME_MAX_BYTES = 60, SECTIONS_MAX = 4000, ACCOUNTS_MAX = 3000 };
enum { PORT_SMTP = 25, PORT_SUBMISSIONS = 465 };

#define NO_ACCOUNT ((size_t)-1)

struct line {
	unsigned number;
	struct route_control_relay relay;
	size_t account; /* index in import.accounts */
	bool dead;      /* left out, and that was said */
};

struct lines {
	const char *file;
	struct line *items;
	size_t count;
};

struct routes {
	struct import *i;
	struct lines senders, domains;
	struct base_slice tlspolicy;
	const struct line *all; /* of authsenders: the one with the empty key; null: none */
};

static void leave_out(struct import *i, const struct lines *l, struct line *line, const char *why)
{
	import_say(i, l->file, line->number, "left out: %s", why);
	line->dead = true;
}

static void parse_lines(struct import *i, const char *file, struct lines *out)
{
	struct base_slice rest, text;
	unsigned number = 0;
	size_t room = 0;

	*out = (struct lines){.file = file};
	if (!import_take(i, file, &rest))
		return;
	import_say(i, file, 0, "routes and accounts, below");
	while (route_control_next(&rest, &number, &text)) {
		struct line line = {.number = number, .account = NO_ACCOUNT};
		const char *why = NULL;

		switch (route_control_relay_parse(text, &line.relay, &why)) {
		case ROUTE_CONTROL_MISSING:
			leave_out(i, out, &line, "it has no ':', so qmail ignores it too");
			continue;
		case ROUTE_CONTROL_BROKEN:
			leave_out(i, out, &line, why);
			continue;
		case ROUTE_CONTROL_FOUND:
			break;
		}
		if (out->count == room) {
			room = room ? 2 * room : 64;
			out->items = base_realloc(out->items, room * sizeof(*out->items));
		}
		out->items[out->count++] = line;
	}
}

/* By key, then by number. */
static int by_key(const void *a, const void *b)
{
	const struct line *x = *(struct line *const *)a, *y = *(struct line *const *)b;
	struct base_slice s = x->relay.key, t = y->relay.key;

	for (size_t k = 0; k < s.len && k < t.len; k++) {
		int order = base_ascii_lower(s.ptr[k]) - base_ascii_lower(t.ptr[k]);

		if (order)
			return order;
	}
	if (s.len != t.len)
		return s.len < t.len ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

static void drop_doubles(struct import *i, struct lines *l)
{
	struct line **order = base_alloc_zero(l->count + 1, sizeof(struct line *));

	for (size_t k = 0; k < l->count; k++)
		order[k] = &l->items[k];
	qsort(order, l->count, sizeof(struct line *), by_key);
	for (size_t k = 1; k < l->count; k++)
		if (base_slice_equal_nocase(order[k]->relay.key, order[k - 1]->relay.key))
			order[k - 1]->dead = true;
	free(order);
	for (size_t k = 0; k < l->count; k++)
		if (l->items[k].dead)
			leave_out(i, l, &l->items[k], "a later line has the same key");
}

/* ---- keys ---- */

static bool is_route_title(struct base_slice key)
{
	struct base_addr addr;

	return key.len == 0 || import_is_domain(key) || base_addr_parse_literal(key, &addr);
}

/* "user@example.org", "@example.org", ".example.org", "example.org" or nothing; never anything else,
 * which may be a password in the wrong place. */
static bool is_sender(struct base_slice key)
{
	size_t at = base_slice_find_last(key, '@');

	for (size_t k = 0; k < at && k < key.len; k++)
		if (!base_ascii_is_alnum(key.ptr[k]) && !strchr("!#$%&'*+-/=?^_`{|}~.", key.ptr[k]))
			return false;
	return key.len == 0 || import_is_domain(at < key.len ? base_slice_from(key, at + 1) : key);
}

static void drop_bad_keys(struct import *i, struct lines *l, bool (*good)(struct base_slice key))
{
	for (size_t k = 0; k < l->count; k++)
		if (!l->items[k].dead && !good(l->items[k].relay.key))
			leave_out(i, l, &l->items[k], "its key is nothing that mail can have");
}

/* ---- servers ---- */

static bool host_good(struct base_slice host)
{
	struct base_addr addr;

	return base_addr_parse(host, &addr) || base_host_name_valid(host, false, true);
}

/* "smtp://host:port"; TLS from the first byte on its own port. */
static void put_url(const struct route_control_relay *r, struct base_buf *out)
{
	bool colon = base_slice_has(r->host, ':');
	unsigned port = r->port ? r->port : PORT_SMTP;

	base_buf_append_text(out, port == PORT_SUBMISSIONS ? "smtps://" : "smtp://");
	base_buf_append_text(out, colon ? "[" : "");
	base_buf_append_slice(out, r->host);
	base_buf_printf(out, "%s:%u", colon ? "]" : "", port);
}

static enum route_control_tls tls_of(const struct routes *r, struct base_slice host)
{
	enum route_control_tls tls = ROUTE_CONTROL_TLS_UNSET;
	const char *why;

	if (route_control_tlspolicy(r->tlspolicy, host, &tls, &why) != ROUTE_CONTROL_FOUND)
		return ROUTE_CONTROL_TLS_UNSET;
	return tls;
}

static const char *tls_word(enum route_control_tls tls)
{
	switch (tls) {
	case ROUTE_CONTROL_TLS_UNSET:
		return NULL;
	case ROUTE_CONTROL_TLS_NONE:
		return "none";
	case ROUTE_CONTROL_TLS_MAY:
		return "may";
	case ROUTE_CONTROL_TLS_REQUIRE:
		return "require";
	case ROUTE_CONTROL_TLS_VERIFY:
		return "verify";
	}
	return NULL;
}

/* ---- accounts ---- */

static unsigned count_accounts(const struct import *i, struct base_slice host)
{
	unsigned count = 0;

	for (size_t k = 0; k < i->account_count; k++)
		count += base_slice_equal_nocase(i->accounts[k].host, host);
	return count;
}

static bool name_taken(const struct import *i, const char *name)
{
	for (size_t k = 0; k < i->account_count; k++)
		if (strcmp(i->accounts[k].name, name) == 0)
			return true;
	return false;
}

/* The relay's name in the letters that an account's may have; a number behind it where it is taken. */
static char *account_name(const struct import *i, struct base_slice host)
{
	char name[NAME_MAX_BYTES + 1], full[NAME_MAX_BYTES + 16];
	size_t len = host.len < NAME_MAX_BYTES - 8 ? host.len : NAME_MAX_BYTES - 8;

	for (size_t k = 0; k < len; k++) {
		uint8_t byte = base_ascii_lower(host.ptr[k]);

		name[k] = base_ascii_is_alnum(byte) || byte == '.' ? (char)byte : '-';
	}
	name[len] = '\0';
	snprintf(full, sizeof(full), "%s", name);
	for (unsigned n = count_accounts(i, host) + 1; name_taken(i, full); n++)
		snprintf(full, sizeof(full), "%s-%u", name, n);
	return base_strdup(full);
}

static size_t find_account(const struct import *i, const struct route_control_relay *r)
{
	for (size_t k = 0; k < i->account_count; k++) {
		const struct import_account *a = &i->accounts[k];

		if (base_slice_equal_nocase(a->host, r->host) && a->port == r->port &&
			base_slice_equal_text(r->user, a->user) &&
			base_slice_equal(a->password, r->password))
			return k;
	}
	return NO_ACCOUNT;
}

static size_t add_account(struct import *i, const struct route_control_relay *r)
{
	size_t at = find_account(i, r);
	struct base_buf url;

	if (at != NO_ACCOUNT)
		return at;
	base_buf_init(&url, 1024);
	put_url(r, &url);
	if ((i->account_count & (i->account_count + 1)) == 0)
		i->accounts = base_realloc(
			i->accounts, (2 * i->account_count + 2) * sizeof(*i->accounts));
	i->accounts[i->account_count] = (struct import_account){
		.name = account_name(i, r->host),
		.url = base_slice_dup(base_buf_slice(&url)),
		.user = base_slice_dup(r->user),
		.host = r->host,
		.port = r->port,
		.password = r->password,
	};
	base_buf_release(&url);
	return i->account_count++;
}

static void take_accounts(struct import *i, struct lines *l)
{
	for (size_t k = 0; k < l->count; k++) {
		struct line *line = &l->items[k];
		const struct route_control_relay *r = &line->relay;

		if (line->dead)
			continue;
		if (r->host.len && !host_good(r->host))
			leave_out(i, l, line, "its relay is no host name that Postern takes");
		else if (r->credentials && !r->host.len)
			leave_out(i, l, line, "it logs in nowhere: it names no relay");
		else if (r->credentials &&
			(!import_is_text(r->user) || r->user.len > USER_MAX_BYTES))
			leave_out(i, l, line, "its user name is no text that Postern can write");
		else if (r->credentials && r->password.len > BASE_SECRET_PASSWORD_MAX_BYTES)
			leave_out(i, l, line, "its password is longer than Postern keeps");
		else if (r->credentials && i->account_count == ACCOUNTS_MAX)
			leave_out(i, l, line, "more accounts than a configuration holds");
		else if (r->credentials)
			line->account = add_account(i, r);
		i->incomplete |= i->account_count == ACCOUNTS_MAX && line->dead;
	}
}

static void put_accounts(struct routes *r)
{
	struct import *i = r->i;

	if (i->account_count)
		base_buf_append_text(&i->out,
			"\n# Servers that want a login. Their passwords go into the vault by\n"
			"# postern import qmail DIR --vault -c FILE, or postern account add NAME.\n"
			"# They are sent over verified TLS only.\n");
	for (size_t k = 0; k < i->account_count; k++) {
		const struct import_account *a = &i->accounts[k];
		enum route_control_tls tls = tls_of(r, a->host);

		if (tls != ROUTE_CONTROL_TLS_UNSET && tls != ROUTE_CONTROL_TLS_VERIFY)
			base_buf_printf(&i->out,
				"# tlspolicy says \"%s\" of this one: not available where there is "
				"a "
				"login.\n",
				tls_word(tls));
		base_buf_printf(&i->out, "account \"%s\" { url = ", a->name);
		import_put_string(i, base_slice_text(a->url));
		base_buf_append_text(&i->out, "  user = ");
		import_put_string(i, base_slice_text(a->user));
		base_buf_append_text(&i->out, " }\n");
	}
}

/* ---- routes ---- */

static void put_via(struct routes *r, const struct line *line)
{
	const struct route_control_relay *relay = &line->relay;
	struct import *i = r->i;
	enum route_control_tls tls;
	struct base_buf url;

	if (line->account != NO_ACCOUNT) {
		base_buf_printf(&i->out, "via = \"account:%s\"", i->accounts[line->account].name);
		return;
	}
	if (!relay->host.len) {
		base_buf_append_text(&i->out, "via = \"mx\"");
		return;
	}
	base_buf_init(&url, 1024);
	put_url(relay, &url);
	base_buf_append_text(&i->out, "via = ");
	import_put_string(i, base_buf_slice(&url));
	base_buf_release(&url);
	tls = tls_of(r, relay->host);
	/* The port of smtps:// has TLS from the first byte, whatever the policy says. */
	if (tls_word(tls) && (relay->port != PORT_SUBMISSIONS || tls != ROUTE_CONTROL_TLS_NONE))
		base_buf_printf(&i->out, "  tls = \"%s\"", tls_word(tls));
}

static void put_route(struct routes *r, struct base_slice title, const struct line *line)
{
	base_buf_append_text(&r->i->out, "route ");
	import_put_string(r->i, title.len ? title : BASE_SLICE("*"));
	base_buf_append_text(&r->i->out, " { ");
	put_via(r, line);
	base_buf_append_text(&r->i->out, " }\n");
}

/* ---- senders ---- */

/* qmail's key as a line of the sender table: "user@domain" and "@domain" are, ".suffix" is "@.suffix". False:
 * it is none, or one that no sender has. */
static bool sender_line(struct base_slice key, char out[ROUTE_SENDER_LINE_MAX_BYTES + 1])
{
	enum route_sender_kind kind;
	struct base_buf text;
	const char *why;
	bool good;

	base_buf_init(&text, 2 * ROUTE_SENDER_LINE_MAX_BYTES);
	if (base_slice_starts_with(key, BASE_SLICE(".")))
		base_buf_append_byte(&text, '@');
	base_buf_append_slice(&text, key);
	good = base_buf_ok(&text) && route_sender_parse(base_buf_slice(&text), out, &kind, &why) &&
		(kind == ROUTE_SENDER_ADDRESS || kind == ROUTE_SENDER_DOMAIN ||
			kind == ROUTE_SENDER_SUBDOMAINS);
	base_buf_release(&text);
	return good;
}

/* For a shell to read. */
static void put_word(struct import *i, const char *word)
{
	if (word[strspn(word, "abcdefghijklmnopqrstuvwxyz0123456789@._+-")] == '\0') {
		base_buf_append_text(&i->out, word);
		return;
	}
	base_buf_append_byte(&i->out, '\'');
	for (; *word; word++)
		if (*word == '\'')
			base_buf_append_text(&i->out, "'\\''");
		else
			base_buf_append_byte(&i->out, (uint8_t)*word);
	base_buf_append_byte(&i->out, '\'');
}

static void put_sender(struct import *i, unsigned number, const char *line, size_t account)
{
	if (i->sender_count == 0)
		base_buf_append_text(&i->out,
			"# Which account a sender relays through: postern import qmail DIR --vault "
			"-c "
			"FILE puts these lines\n# into the sender table, or these commands.\n");
	if ((i->sender_count & (i->sender_count + 1)) == 0)
		i->senders = base_realloc(
			i->senders, (2 * i->sender_count + 2) * sizeof(*i->senders));
	i->senders[i->sender_count++] = (struct import_sender){base_strdup(line), account};
	base_buf_printf(&i->out, "# authsenders:%u: postern sender add ", number);
	put_word(i, line);
	base_buf_append_text(&i->out, " --account ");
	put_word(i, i->accounts[account].name);
	base_buf_append_byte(&i->out, '\n');
}

static void put_senders(struct routes *r)
{
	struct import *i = r->i;
	char text[ROUTE_SENDER_LINE_MAX_BYTES + 1];

	for (size_t k = 0; k < r->senders.count; k++) {
		const struct line *line = &r->senders.items[k];

		if (line->dead || line == r->all)
			continue;
		if (line->account != NO_ACCOUNT && sender_line(line->relay.key, text)) {
			put_sender(i, line->number, text, line->account);
			continue;
		}
		i->unsent++;
		import_say(i, "authsenders", line->number,
			line->account == NO_ACCOUNT
				? "no counterpart: a sender's relay that wants no login"
				: "no counterpart: the sender table has addresses and domains");
	}
	i->by_sender = i->sender_count && r->all && r->all->account != NO_ACCOUNT;
	if (!i->by_sender)
		return;
	put_sender(i, r->all->number, "*", r->all->account);
	put_sender(i, r->all->number, "<>", r->all->account);
}

static void put_route_of_all(struct routes *r)
{
	import_say(r->i, "authsenders", r->all->number, "its key is empty: all mail");
	if (r->i->by_sender)
		base_buf_append_text(&r->i->out, "route \"*\" { via = \"sender\" }\n");
	else
		put_route(r, BASE_SLICE("*"), r->all);
}

static void put_routes(struct routes *r)
{
	struct import *i = r->i;
	size_t sections = i->account_count;
	bool all = r->all;

	if (r->all)
		put_route_of_all(r);
	for (size_t k = 0; k < r->domains.count; k++) {
		struct line *line = &r->domains.items[k];

		if (line->dead)
			continue;
		if (r->all) {
			import_say(i, "smtproutes", line->number,
				"not used: authsenders:%u takes all mail before it",
				r->all->number);
			continue;
		}
		if (++sections > SECTIONS_MAX) {
			leave_out(i, &r->domains, line, "more routes than a configuration holds");
			i->incomplete = true;
			continue;
		}
		all = all || !line->relay.key.len;
		put_route(r, line->relay.key, line);
	}
	if (!all)
		base_buf_append_text(&i->out, "route \"*\" { via = \"mx\" }\n");
}

/* ---- tlspolicy: what no relay asked for ---- */

static bool is_relay(const struct lines *l, struct base_slice host)
{
	for (size_t k = 0; k < l->count; k++)
		if (!l->items[k].dead && base_slice_equal_nocase(l->items[k].relay.host, host))
			return true;
	return false;
}

static void say_policies(struct routes *r)
{
	struct base_slice rest = r->tlspolicy, line;
	unsigned number = 0;

	while (route_control_next(&rest, &number, &line)) {
		struct base_slice host = base_slice_first(line, base_slice_find_last(line, ':'));
		enum route_control_tls tls;
		const char *why = "it is no policy";

		if (route_control_tlspolicy(line, host, &tls, &why) != ROUTE_CONTROL_FOUND)
			import_say(r->i, "tlspolicy", number, "left out: %s", why);
		else if (is_relay(&r->senders, host) || is_relay(&r->domains, host))
			import_say(
				r->i, "tlspolicy", number, "tls of the routes through that relay");
		else
			import_say(r->i, "tlspolicy", number,
				"no route names that relay; write tls = \"%s\" in a route of its "
				"domain",
				tls_word(tls));
	}
}

/* ---- what is delivered on this machine ---- */

static void suggest(struct import *i, struct base_slice title)
{
	base_buf_append_text(&i->out, "#   route ");
	import_put_string(i, title);
	base_buf_append_text(&i->out,
		" { via = \"lmtp:/run/dovecot/lmtp\" }"
		"     # or \"maildir:/var/mail/{domain}/{user}\"\n");
}

static void locals(struct import *i)
{
	struct base_slice file, line;
	unsigned number = 0;

	if (!import_take(i, "locals", &file))
		return;
	import_say(i, "locals", 0,
		"delivered on this machine: say by whom, or it goes where the routes below say");
	while (route_control_next(&file, &number, &line)) {
		if (is_route_title(line))
			suggest(i, line);
		else
			import_say(i, "locals", number, "left out: it is no domain");
	}
}

static void virtual_domains(struct import *i)
{
	struct base_slice file, line;
	unsigned number = 0;

	if (!import_take(i, "virtualdomains", &file))
		return;
	import_say(i, "virtualdomains", 0,
		"delivered on this machine, too; the user in front has no counterpart");
	while (route_control_next(&file, &number, &line)) {
		size_t colon = base_slice_find(line, ':');
		struct base_slice key = base_slice_first(line, colon);
		size_t at = base_slice_find_last(key, '@');

		if (colon == line.len)
			import_say(i, "virtualdomains", number,
				"left out: it has no ':', so qmail ignores it too");
		else if (colon + 1 == line.len)
			import_say(i, "virtualdomains", number, "an exception: not delivered here");
		else if (!key.len)
			suggest(i, BASE_SLICE("*"));
		else if (is_sender(key) && at > 0)
			suggest(i, key);
		else
			import_say(i, "virtualdomains", number, "left out: it is no domain");
	}
}

void import_routes(struct import *i)
{
	struct routes r = {.i = i};

	base_buf_append_text(&i->out, "# Where mail goes.\n");
	locals(i);
	virtual_domains(i);
	if (import_take(i, "tlspolicy", &r.tlspolicy))
		import_say(i, "tlspolicy", 0, "tls of routes");
	parse_lines(i, "authsenders", &r.senders);
	parse_lines(i, "smtproutes", &r.domains);
	drop_doubles(i, &r.senders);
	drop_doubles(i, &r.domains);
	drop_bad_keys(i, &r.senders, is_sender);
	drop_bad_keys(i, &r.domains, is_route_title);
	take_accounts(i, &r.senders);
	take_accounts(i, &r.domains);
	for (size_t k = 0; k < r.senders.count; k++)
		if (!r.senders.items[k].dead && !r.senders.items[k].relay.key.len &&
			r.senders.items[k].relay.host.len)
			r.all = &r.senders.items[k];
	say_policies(&r);
	put_accounts(&r);
	base_buf_append_byte(&i->out, '\n');
	put_senders(&r);
	put_routes(&r);
	free(r.senders.items);
	free(r.domains.items);
}
