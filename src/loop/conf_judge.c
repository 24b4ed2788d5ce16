/* What one key alone cannot tell: combinations that can never work, names that nothing bears, and
 * what the machine at hand lacks. */
#include "loop/conf_internal.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Descriptors that are no connections: files, databases, pipes between the roles. */
enum { OTHER_DESCRIPTORS = 64 };

/* The section that an item of struct conf was filled from: the title's memory is shared. */
static const struct conf_section *section_of(const struct conf_tree *tree, const char *title)
{
	const struct conf_section *s = tree->first->next;

	while (s->title != title)
		s = s->next;
	return s;
}

static const struct conf_section *section_named(const struct conf_tree *tree, const char *name)
{
	for (const struct conf_section *s = tree->first->next; s; s = s->next)
		if (strcmp(s->name, name) == 0)
			return s;
	return NULL;
}

/* What @l would offer on a connection without TLS. */
static uint32_t usable_without_tls(const struct conf *c, const struct conf_listener *l)
{
	uint32_t mask = l->mechanisms ? l->mechanisms : c->auth.mechanisms;

	for (unsigned bit = 0; bit < 32; bit++) {
		const char *name = conf_mechanism_name(bit);
		struct base_slice text = base_slice_text(name);
		bool plain = name && (strcmp(name, "PLAIN") == 0 || strcmp(name, "LOGIN") == 0);

		if (name && base_slice_ends_with_nocase(text, BASE_SLICE("-PLUS")))
			mask &= ~(1u << bit);
		if (plain && !l->plaintext_without_tls)
			mask &= ~(1u << bit);
	}
	return mask;
}

static void judge_listener(struct conf_work *w, const struct conf *c, struct conf_listener *l,
	const struct conf_section *s)
{
	uint32_t foreign = l->mechanisms & ~c->auth.mechanisms;

	for (unsigned bit = 0; bit < 32; bit++)
		if (foreign & (1u << bit))
			conf_fail(w, conf_key_line(s, "mechanisms"),
				"listener \"%s\" lists %s, which "
				"auth { mechanisms } does not; a listener can only narrow it, so "
				"add it there",
				l->title, conf_mechanism_name(bit));
	if (!conf_key_find(s, "plaintext_without_tls"))
		l->plaintext_without_tls = c->auth.plaintext_without_tls;
	if (l->tls == CONF_TLS_NONE && l->auth == CONF_AUTH_REQUIRED && !foreign &&
		!base_addr_is_loopback(&l->address) && !usable_without_tls(c, l))
		conf_fail(w, conf_key_line(s, "tls"),
			"listener \"%s\" demands AUTH but tls = \"none\" "
			"leaves no mechanism to offer; write tls = \"starttls\", or add a SCRAM "
			"mechanism, "
			"or plaintext_without_tls = true",
			l->title);
	if (l->auth == CONF_AUTH_REQUIRED && l->accept.count)
		conf_fail(w, conf_key_line(s, "accept"),
			"listener \"%s\" accepts mail without AUTH "
			"for domains but auth = \"required\" forbids it; write auth = \"optional\"",
			l->title);
	if (l->auth == CONF_AUTH_NONE && !l->accept.count && !l->relay_ctrl)
		conf_fail(w, conf_key_line(s, "auth"),
			"listener \"%s\" has auth = \"none\" and accepts "
			"no domain, so it takes no mail; write accept = {\"example.org\"}",
			l->title);
	conf_listener_judge(w, l, s);
	if (l->tls != CONF_TLS_NONE && !c->has_tls && w->look_at_files)
		conf_warn(w, s->line,
			"listener \"%s\" serves TLS without tls { certificate … key … }; "
			"a self-signed certificate is made in \"%s\"",
			l->title, c->data);
}

static bool is_any(const struct base_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

static void judge_listeners(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++) {
		struct conf_listener *l = &c->listeners[i];
		const struct conf_section *s = section_of(tree, l->title);

		if (l->address.family == BASE_ADDR_NONE)
			continue;
		judge_listener(w, c, l, s);
		for (size_t k = 0; k < i; k++) {
			const struct conf_listener *b = &c->listeners[k];

			if (b->address.family != l->address.family ||
				b->address.port != l->address.port ||
				(!base_addr_equal(&b->address, &l->address) &&
					!is_any(&b->address) && !is_any(&l->address)))
				continue;
			conf_fail(w, conf_key_line(s, "address"),
				"listener \"%s\" has the address of "
				"listener \"%s\" on line %u; give it another address or port",
				l->title, b->title, b->line);
			break;
		}
	}
	if (c->listener_count == 0 && !c->has_auth_service && w->look_at_files)
		conf_warn(w, 1,
			"nothing listens; write listener submission { address = \"0.0.0.0:587\"  "
			"tls = \"starttls\" }");
}

static void judge_providers(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	const struct conf_section *auth = section_named(tree, "auth");
	unsigned line = auth ? conf_key_line(auth, "providers") : 1;

	for (size_t i = 0; i < c->provider_count; i++)
		conf_provider_judge(w, &c->providers[i], section_of(tree, c->providers[i].title));
	if (c->auth.providers.count > CONF_PROVIDERS_MAX)
		conf_fail(w, line, "auth { providers } names %zu providers; name at most %d",
			c->auth.providers.count, CONF_PROVIDERS_MAX);
	for (size_t i = 0; i < c->auth.providers.count; i++) {
		const char *name = c->auth.providers.items[i];

		if (conf_provider_find(c, name))
			continue;
		if (strcmp(name, "store") == 0) {
			struct conf_provider *p = &c->providers[c->provider_count++];

			p->title = conf_arena_text(w->arena, BASE_SLICE("store"));
			p->line = line;
			conf_provider_begin(p);
		} else {
			conf_fail(w, line,
				"provider \"%s\" is named in auth { providers } but there is no "
				"section provider %s { … }",
				name, name);
		}
	}
}

static bool route_title_valid(struct base_slice title)
{
	struct base_slice domain = title;
	size_t at = base_slice_find_last(title, '@');
	struct base_addr addr;

	if (base_slice_equal_text(title, "*"))
		return true;
	if (at < title.len) {
		if (at == 0)
			return false;
		domain = base_slice_from(title, at + 1);
	} else if (base_slice_starts_with(title, BASE_SLICE("."))) {
		domain = base_slice_from(title, 1);
	}
	return base_host_name_valid(domain, false, true) || base_addr_parse_literal(domain, &addr);
}

static bool speaks_smtp(enum conf_via via)
{
	switch (via) {
	case CONF_VIA_MX:
	case CONF_VIA_SMTP:
	case CONF_VIA_SMTPS:
	case CONF_VIA_ACCOUNT:
	case CONF_VIA_SENDER:
	case CONF_VIA_LMTP:
		return true;
	case CONF_VIA_MAILDIR:
	case CONF_VIA_DISCARD:
	case CONF_VIA_ERROR:
		break;
	}
	return false;
}

static bool is_weak(enum conf_tls_policy tls)
{
	return tls == CONF_POLICY_NONE || tls == CONF_POLICY_MAY;
}

static void judge_route_sender(
	struct conf_work *w, struct conf_route *r, const struct conf_section *s)
{
	if (is_weak(r->tls))
		conf_fail(w, conf_key_line(s, "tls"),
			"route \"%s\" logs in with the account of the sender, which needs verified "
			"TLS; write tls = \"verify\" or leave it out",
			r->title);
	r->tls = CONF_POLICY_VERIFY;
}

static void judge_route_account(struct conf_work *w, const struct conf *c, struct conf_route *r,
	const struct conf_section *s)
{
	const char *key = r->via == CONF_VIA_ACCOUNT ? "via" : "account";

	if (r->via != CONF_VIA_SMTP && r->via != CONF_VIA_SMTPS && r->via != CONF_VIA_ACCOUNT)
		conf_fail(w, conf_key_line(s, key),
			"route \"%s\" has an account, but via = \"%s\" logs in "
			"nowhere; write via = \"smtp://host:port\" or \"account:NAME\"",
			r->title, r->via_text);
	else if (is_weak(r->tls))
		conf_fail(w, conf_key_line(s, "tls"),
			"route \"%s\" logs in with account \"%s\", which "
			"needs verified TLS; write tls = \"verify\" or leave it out",
			r->title, r->account);
	else
		r->tls = CONF_POLICY_VERIFY;
	if (!conf_account_find(c, r->account))
		conf_warn(w, conf_key_line(s, key),
			"route \"%s\": no section account %s { … }; mail waits "
			"until the account exists (postern account add %s …)",
			r->title, r->account, r->account);
}

static void judge_routes(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	bool all = false;

	for (size_t i = 0; i < c->route_count; i++) {
		struct conf_route *r = &c->routes[i];
		const struct conf_section *s = section_of(tree, r->title);

		all = all || strcmp(r->title, "*") == 0;
		if (!route_title_valid(base_slice_text(r->title)))
			conf_fail(w, r->line,
				"route \"%s\" is for nobody; write \"example.org\", "
				"\".example.org\", \"user@example.org\" or \"*\"",
				r->title);
		conf_route_resolve(w, r, conf_key_line(s, "via"));
		if (r->account)
			judge_route_account(w, c, r, s);
		else if (r->via == CONF_VIA_SENDER)
			judge_route_sender(w, r, s);
		if (r->tls != CONF_POLICY_UNSET && r->via_text &&
			(!speaks_smtp(r->via) || (r->via == CONF_VIA_LMTP && !r->host)))
			conf_fail(w, conf_key_line(s, "tls"),
				"route \"%s\": tls has no meaning for via = "
				"\"%s\"; remove it",
				r->title, r->via_text);
		if (r->tls == CONF_POLICY_NONE && r->via == CONF_VIA_SMTPS)
			conf_fail(w, conf_key_line(s, "tls"),
				"route \"%s\": smtps:// is TLS from the first "
				"byte; write tls = \"verify\", or via = \"smtp://…\"",
				r->title);
	}
	if (!all && c->listener_count && w->look_at_files)
		conf_warn(w, 1,
			"there is no route \"*\"; mail for domains without a route comes back to "
			"its sender; write route \"*\" { via = \"mx\" }");
}

static const struct conf_route *route_titled(const struct conf *c, const char *title)
{
	for (size_t i = 0; i < c->route_count; i++)
		if (base_slice_equal_text_nocase(base_slice_text(title), c->routes[i].title))
			return &c->routes[i];
	return NULL;
}

/* Of "example.org" or, for all below it, ".example.org": as route/route.h finds it, which does not stand
 * below every program that reads a configuration. */
static const struct conf_route *route_of(const struct conf *c, const char *domain)
{
	const struct conf_route *r = route_titled(c, domain);

	while (!r && (domain = strchr(domain + (domain[0] == '.'), '.')) != NULL)
		r = route_titled(c, domain);
	return r ? r : route_titled(c, "*");
}

/* Strangers say themselves who they are: their mail must not choose an account by that. */
static void judge_strangers(struct conf_work *w, const struct conf_tree *tree, const struct conf *c)
{
	for (size_t i = 0; i < c->listener_count; i++)
		for (size_t k = 0; k < c->listeners[i].accept.count; k++) {
			const struct conf_listener *l = &c->listeners[i];
			const struct conf_route *r = route_of(c, l->accept.items[k]);

			if (r && r->via == CONF_VIA_SENDER)
				conf_warn(w, conf_key_line(section_of(tree, l->title), "accept"),
					"listener \"%s\" accepts mail of strangers for \"%s\", and "
					"route \"%s\" would send it with the account of whomever "
					"they "
					"claim to be; give that domain a route of its own",
					l->title, l->accept.items[k], r->title);
		}
}

static void judge_tls(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	const struct conf_section *s = section_named(tree, "tls");
	bool cert = s && conf_key_find(s, "certificate"), key = s && conf_key_find(s, "key");

	c->has_tls = c->tls_certificate && c->tls_key;
	if (!s)
		return;
	if (cert != key)
		conf_fail(w, s->line, "tls { } has a %s but no %s; write both or none",
			cert ? "certificate" : "key", cert ? "key" : "certificate");
	if (c->tls_client_ca)
		conf_fail(w, conf_key_line(s, "client_ca"),
			"client_ca = \"%s\": not available in this "
			"build",
			c->tls_client_ca);
}

static void judge_top(struct conf_work *w, const struct conf_tree *tree)
{
	const struct conf_key *store = conf_key_find(tree->first, "store");
	struct base_slice text;

	if (!store || store->value.kind != CONF_VALUE_STRING)
		return;
	text = base_slice_text(store->value.text);
	if (base_slice_starts_with(text, BASE_SLICE("postgresql:")) ||
		base_slice_starts_with(text, BASE_SLICE("postgres:")))
		conf_fail(w, store->line, "store = \"%s\": not available in this build",
			"postgresql:…");
	else if (!base_slice_equal_text(text, "sqlite"))
		conf_fail(w, store->line, "store = \"%s\" is not known; write \"sqlite\"",
			store->value.text);
}

static void judge_machine(struct conf_work *w, const struct conf_tree *tree, const struct conf *c)
{
	const struct conf_section *limits = section_named(tree, "limits");
	struct rlimit files;
	struct stat st;

	if (c->user && geteuid() == 0 && !getpwnam(c->user))
		conf_fail(w, conf_key_line(tree->first, "user"),
			"user = \"%s\": there is no such "
			"account; make it, or name another",
			c->user);
	if (stat(c->data, &st) != 0 && errno == ENOENT)
		conf_warn(w, conf_key_line(tree->first, "data"),
			"data = \"%s\" does not exist yet; it is "
			"made at the first start",
			c->data);
	if (stat(c->run, &st) != 0 && errno == ENOENT)
		conf_warn(w, conf_key_line(tree->first, "run"),
			"run = \"%s\" does not exist yet; it is "
			"made at the first start",
			c->run);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY &&
		(rlim_t)c->limits.connections + OTHER_DESCRIPTORS > files.rlim_max)
		conf_warn(w, limits ? conf_key_line(limits, "connections") : 1,
			"connections = %u is "
			"beyond the %llu descriptors that this system allows (RLIMIT_NOFILE); "
			"accepting "
			"pauses when they are used up",
			c->limits.connections, (unsigned long long)files.rlim_max);
}

void conf_judge(struct conf_work *w, const struct conf_tree *tree, struct conf *c)
{
	if (c->has_auth_service && !c->auth_service_path)
		c->auth_service_path = conf_arena_printf(w->arena, "%s/auth-client", c->run);
	if (w->broken)
		return;
	judge_top(w, tree);
	judge_tls(w, tree, c);
	judge_listeners(w, tree, c);
	judge_providers(w, tree, c);
	for (size_t i = 0; i < c->account_count; i++)
		conf_account_resolve(w, &c->accounts[i], section_of(tree, c->accounts[i].title));
	judge_routes(w, tree, c);
	if (!w->failed)
		judge_strangers(w, tree, c);
	if (w->look_at_files)
		judge_machine(w, tree, c);
}
