#include "checkpassword/sources.h"

#include "vault/name.h"

/* Does @p answer for users of this domain? */
static bool serves(const struct checkpassword_asker *a, const struct conf_provider *p)
{
	struct vault_key key;
	struct base_slice all, domain;

	if (!p->domains.count)
		return true;
	if (!vault_key_make(a->login->name, base_slice_text(a->conf->auth.default_domain), &key))
		return false;
	all = vault_key_slice(&key);
	domain = base_slice_from(all, base_slice_find_last(all, '@') + 1);
	for (size_t i = 0; i < p->domains.count; i++)
		if (base_slice_equal_text_nocase(domain, p->domains.items[i]))
			return true;
	return false;
}

static bool is_local(const struct conf_provider *p)
{
	return p->type == CONF_PROVIDER_STORE || p->type == CONF_PROVIDER_FILE ||
		p->type == CONF_PROVIDER_SASLDB;
}

/* A vault that this account may not open: the server may. It cannot tell about digests. */
static enum checkpassword_verdict ask_store(struct checkpassword_asker *a)
{
	enum checkpassword_verdict verdict = checkpassword_ask_store(a), said;
	struct base_error why = a->why;

	if (verdict != CHECKPASSWORD_CANNOT)
		return verdict;
	said = checkpassword_ask_server(a);
	if (said == CHECKPASSWORD_RIGHT ||
		(said == CHECKPASSWORD_WRONG && !a->login->challenge.len))
		return said;
	a->why = why;
	return CHECKPASSWORD_CANNOT;
}

static enum checkpassword_verdict ask_one(
	struct checkpassword_asker *a, const struct conf_provider *p)
{
	switch (p->type) {
	case CONF_PROVIDER_STORE:
		return ask_store(a);
	case CONF_PROVIDER_FILE:
		return checkpassword_ask_file(a, p);
	case CONF_PROVIDER_SASLDB:
		return checkpassword_ask_sasldb(a, p);
	case CONF_PROVIDER_DOVECOT:
	case CONF_PROVIDER_CHECKPASSWORD:
	case CONF_PROVIDER_PAM:
	case CONF_PROVIDER_SASLAUTHD:
		return checkpassword_ask_server(a);
	}
	return CHECKPASSWORD_CANNOT;
}

/* In the order of auth { providers }. @server: also those that only the server can ask, up to the
 * first of them, for its answer is that of all. UNKNOWN: nobody knows this user; *out_down: one
 * could not tell, and *out_why is the first one's reason. */
static enum checkpassword_verdict ask_in_order(struct checkpassword_asker *a, bool local,
	bool server, bool *out_down, struct base_error *out_why)
{
	static const struct conf_provider store = {.type = CONF_PROVIDER_STORE};
	const struct conf_strings *names = &a->conf->auth.providers;

	for (size_t i = 0; i < names->count; i++) {
		const struct conf_provider *p = conf_provider_find(a->conf, names->items[i]);
		enum checkpassword_verdict verdict;

		if (!p)
			p = &store; /* the built-in one needs no section */
		if (!(is_local(p) ? local : server) || !serves(a, p))
			continue;
		verdict = ask_one(a, p);
		if (verdict == CHECKPASSWORD_RIGHT || verdict == CHECKPASSWORD_WRONG)
			return verdict;
		if (verdict == CHECKPASSWORD_CANNOT && !*out_down)
			*out_why = a->why;
		*out_down |= verdict == CHECKPASSWORD_CANNOT;
		if (!is_local(p))
			break;
	}
	return CHECKPASSWORD_UNKNOWN;
}

enum checkpassword_verdict checkpassword_ask(struct checkpassword_asker *a)
{
	bool digest = a->login->challenge.len > 0, down = false;
	struct base_error why = {0};
	/* The server would count a digest that it takes for a password as a wrong one, so it comes
	 * last. */
	enum checkpassword_verdict verdict = ask_in_order(a, true, !digest, &down, &why);

	if (verdict == CHECKPASSWORD_UNKNOWN && digest && !down)
		verdict = ask_in_order(a, false, true, &down, &why);
	if (verdict != CHECKPASSWORD_UNKNOWN)
		return verdict;
	if (down) {
		a->why = why;
		return CHECKPASSWORD_CANNOT;
	}
	if (!a->worked)
		checkpassword_judge(
			a->login, a->login->password, BASE_SLICE_EMPTY, BASE_SLICE_EMPTY);
	return CHECKPASSWORD_WRONG;
}
