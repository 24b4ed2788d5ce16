/* Every section and key of postern.conf, one row each. What the row says is all that the parser,
 * the renderer and the test of the manual know about a key. */
#include "loop/conf_internal.h"
#include "vault/file.h"

#include <assert.h>
#include <string.h>

#define TOP(field) offsetof(struct conf, field)
#define AT(kind, field) offsetof(struct conf_##kind, field)
#define LIST(kind, items, count) TOP(count), TOP(items), sizeof(struct conf_##kind), CONF_NOWHERE
#define NO_LIST CONF_NOWHERE, CONF_NOWHERE, 0, CONF_NOWHERE

/* The first two fields of a titled section's struct are its title and its line. */
#define TITLE_FIRST(kind) \
	static_assert(AT(kind, title) == 0 && AT(kind, line) == sizeof(char *), \
		"title, then " \
		"line")
TITLE_FIRST(listener);
TITLE_FIRST(provider);
TITLE_FIRST(account);
TITLE_FIRST(route);

const struct conf_section_rule conf_sections[] = {
	{"", 0, NO_LIST},
	{"tls", 0, CONF_NOWHERE, CONF_NOWHERE, 0, TOP(tls_line)},
	{"listener", CONF_TITLED, LIST(listener, listeners, listener_count)},
	{"auth", 0, NO_LIST},
	{"provider", CONF_TITLED, LIST(provider, providers, provider_count)},
	{"auth_service", 0, NO_LIST},
	{"account", CONF_TITLED, LIST(account, accounts, account_count)},
	{"route", CONF_TITLED, LIST(route, routes, route_count)},
	{"limits", 0, NO_LIST},
	{"queue", 0, NO_LIST},
	{"trace", 0, NO_LIST},
	{"log", 0, NO_LIST},
	{"policy_service", CONF_LATER, NO_LIST},
	{"policy", CONF_LATER, NO_LIST},
	{"metrics", CONF_LATER, NO_LIST},
	{"saslauthd_service", CONF_LATER, NO_LIST},
	{"milter", CONF_LATER | CONF_TITLED, NO_LIST},
	{"dkim", CONF_LATER | CONF_TITLED, NO_LIST},
	{"brute_force", CONF_LATER, NO_LIST},
	{"events", 0, NO_LIST},
};
const size_t conf_section_count = BASE_COUNT(conf_sections);

static const struct conf_word listener_tls[] = {
	{"none", CONF_TLS_NONE, false},
	{"starttls", CONF_TLS_STARTTLS, false},
	{"implicit", CONF_TLS_IMPLICIT, false},
	{NULL, 0, false},
};
static const struct conf_word listener_auth[] = {
	{"required", CONF_AUTH_REQUIRED, false},
	{"optional", CONF_AUTH_OPTIONAL, false},
	{"none", CONF_AUTH_NONE, false},
	{NULL, 0, false},
};
static const struct conf_word provider_type[] = {
	{"store", CONF_PROVIDER_STORE, false},
	{"dovecot", CONF_PROVIDER_DOVECOT, false},
	{"checkpassword", CONF_PROVIDER_CHECKPASSWORD, false},
	{"file", CONF_PROVIDER_FILE, false},
	{"pam", CONF_PROVIDER_PAM, !LOOP_HAVE_PAM},
	{"saslauthd", CONF_PROVIDER_SASLAUTHD, false},
	{"sasldb", CONF_PROVIDER_SASLDB, !LOOP_HAVE_SASLDB},
	{"ldap", 0, true},
	{"sql", 0, true},
	{"oauth", 0, true},
	{NULL, 0, false},
};
static const struct conf_word cram_order[] = {
	{"standard", CONF_CRAM_STANDARD, false},
	{"legacy", CONF_CRAM_LEGACY, false},
	{NULL, 0, false},
};
static const struct conf_word file_format[] = {
	{"passwd", VAULT_FILE_PASSWD, false},
	{"htpasswd", VAULT_FILE_HTPASSWD, false},
	{"authuser", VAULT_FILE_AUTHUSER, false},
	{"vpasswd", VAULT_FILE_VPASSWD, false},
	{"vmailmgr", VAULT_FILE_VMAILMGR, false},
	{NULL, 0, false},
};
static const struct conf_word tls_of_route[] = {
	{"none", CONF_POLICY_NONE, false},
	{"may", CONF_POLICY_MAY, false},
	{"require", CONF_POLICY_REQUIRE, false},
	{"verify", CONF_POLICY_VERIFY, false},
	{NULL, 0, false},
};
static const struct conf_word log_format[] = {
	{"text", CONF_LOG_TEXT, false},
	{"json", CONF_LOG_JSON, false},
	{NULL, 0, false},
};
static const struct conf_word milter_failure[] = {
	{"tempfail", 0, false},
	{"accept", 0, false},
	{NULL, 0, false},
};

enum {
	ALL = IPC_ROLES,
	FRONT = IPC_FROM(FRONT),
	AUTH = IPC_FROM(AUTH),
	WORKER = IPC_FROM(WORKER),
	PROVIDER = IPC_FROM(PROVIDER),
	QUEUE = IPC_FROM(QUEUE),
	RELAY = IPC_FROM(RELAY),
	DELIVER = IPC_FROM(DELIVER),
	JOURNAL = IPC_FROM(JOURNAL),
	FETCH = IPC_FROM(FETCH),
	LOGINS = FRONT | AUTH | WORKER | PROVIDER,
	SOURCES = AUTH | PROVIDER,
	MAIL = QUEUE | RELAY | DELIVER,
};

/* A key of a part that is not built: its value is checked for its type only. */
#define LATER(section, key, type) \
	{ \
		section, key, CONF_TYPE_##type, CONF_LATER, CONF_NOWHERE, 0, 0, 0, NULL \
	}
#define LATER_WORD(section, key, words) \
	{ \
		section, key, CONF_TYPE_WORD, CONF_LATER, CONF_NOWHERE, 0, 0, 0, words \
	}

/* clang-format off */
const struct conf_rule conf_rules[] = {
	{"", "hostname", CONF_TYPE_HOST_NAME, CONF_REQUIRED, TOP(hostname), ALL, 0, 0, NULL},
	{"", "data", CONF_TYPE_PATH, 0, TOP(data), ALL, 0, 0, NULL},
	{"", "run", CONF_TYPE_PATH, 0, TOP(run), ALL, 0, 0, NULL},
	{"", "user", CONF_TYPE_TEXT, 0, TOP(user), ALL, 0, 0, NULL},
	{"", "store", CONF_TYPE_TEXT, 0, CONF_NOWHERE, 0, 0, 0, NULL},

	{"tls", "certificate", CONF_TYPE_FILE, 0, TOP(tls_certificate), 0, 0, 0, NULL},
	{"tls", "key", CONF_TYPE_FILE, 0, TOP(tls_key), 0, 0, 0, NULL},
	{"tls", "client_ca", CONF_TYPE_FILE, 0, TOP(tls_client_ca), 0, 0, 0, NULL},
	{"tls", "ca", CONF_TYPE_FILE, 0, TOP(tls_ca), RELAY | FETCH, 0, 0, NULL},

	{"listener", "address", CONF_TYPE_ADDRESS, CONF_REQUIRED, AT(listener, address), FRONT, 0, 0,
		NULL},
	{"listener", "tls", CONF_TYPE_WORD, 0, AT(listener, tls), FRONT, 0, 0,
		listener_tls},
	{"listener", "auth", CONF_TYPE_WORD, 0, AT(listener, auth), FRONT, 0, 0, listener_auth},
	{"listener", "mechanisms", CONF_TYPE_MECHANISMS, CONF_NONEMPTY, AT(listener, mechanisms),
		FRONT, 0, 0, NULL},
	{"listener", "plaintext_without_tls", CONF_TYPE_BOOL, 0, AT(listener, plaintext_without_tls),
		FRONT, 0, 0, NULL},
	{"listener", "from_networks", CONF_TYPE_NETWORKS, CONF_NONEMPTY, AT(listener, from_networks),
		FRONT, 0, 0, NULL},
	{"listener", "accept", CONF_TYPE_DOMAINS, 0, AT(listener, accept), FRONT, 0, 0, NULL},
	{"listener", "relay_ctrl", CONF_TYPE_PATH, 0, AT(listener, relay_ctrl), FRONT, 0, 0, NULL},
	{"listener", "relay_ctrl_expiry", CONF_TYPE_DURATION, 0, AT(listener, relay_ctrl_expiry_s),
		FRONT, 1, 30 * 86400, NULL},
	{"listener", "dnsbl", CONF_TYPE_STRINGS, CONF_NONEMPTY, AT(listener, dnsbl), FRONT, 0, 0,
		NULL},
	LATER("listener", "proxy_from", NETWORKS),
	LATER("listener", "milters", STRINGS),

	{"auth", "mechanisms", CONF_TYPE_MECHANISMS, CONF_NONEMPTY, TOP(auth.mechanisms), LOGINS, 0, 0,
		NULL},
	{"auth", "providers", CONF_TYPE_STRINGS, CONF_NONEMPTY, TOP(auth.providers), SOURCES, 0, 0,
		NULL},
	{"auth", "default_domain", CONF_TYPE_DOMAIN, 0, TOP(auth.default_domain), LOGINS, 0, 0, NULL},
	{"auth", "plaintext_without_tls", CONF_TYPE_BOOL, 0, TOP(auth.plaintext_without_tls), LOGINS,
		0, 0, NULL},
	{"auth", "legacy_announcement", CONF_TYPE_BOOL, 0, TOP(auth.legacy_announcement), LOGINS, 0, 0,
		NULL},
	{"auth", "upgrade", CONF_TYPE_BOOL, 0, TOP(auth.upgrade), LOGINS, 0, 0, NULL},
	{"auth", "cache_ttl", CONF_TYPE_DURATION, 0, TOP(auth.cache_ttl_s), LOGINS, 0, 86400, NULL},
	{"auth", "service", CONF_TYPE_SOCKET, 0, TOP(auth.service), LOGINS, 0, 0, NULL},

	{"provider", "type", CONF_TYPE_WORD, 0, AT(provider, type), SOURCES, 0, 0, provider_type},
	{"provider", "domains", CONF_TYPE_DOMAINS, 0, AT(provider, domains), SOURCES, 0, 0, NULL},
	{"provider", "path", CONF_TYPE_PATH, 0, AT(provider, path), SOURCES, 0, 0, NULL},
	{"provider", "command", CONF_TYPE_STRINGS, CONF_NONEMPTY | CONF_REPEATS,
		AT(provider, command), SOURCES, 0, 0, NULL},
	{"provider", "cram_order", CONF_TYPE_WORD, 0, AT(provider, cram_order), SOURCES, 0, 0,
		cram_order},
	{"provider", "format", CONF_TYPE_WORD, 0, AT(provider, format), SOURCES, 0, 0, file_format},
	{"provider", "service", CONF_TYPE_TEXT, 0, AT(provider, service), SOURCES, 0, 0, NULL},
	{"provider", "run_as", CONF_TYPE_TEXT, 0, AT(provider, run_as), SOURCES, 0, 0, NULL},
	LATER("provider", "uri", TEXT),
	LATER("provider", "base", EMPTY_TEXT),
	LATER("provider", "filter", TEXT),
	LATER("provider", "query", TEXT),
	LATER("provider", "jwks", TEXT),
	LATER("provider", "introspection", TEXT),
	LATER("provider", "audience", TEXT),
	LATER("provider", "user_claim", TEXT),

	{"auth_service", "path", CONF_TYPE_PATH, 0, TOP(auth_service_path), AUTH, 0, 0, NULL},
	{"auth_service", "mode", CONF_TYPE_MODE, 0, TOP(auth_service_mode), AUTH, 0, 0, NULL},

	{"account", "url", CONF_TYPE_TEXT, CONF_REQUIRED, AT(account, url), AUTH, 0, 0, NULL},
	{"account", "user", CONF_TYPE_TEXT, 0, AT(account, user), AUTH, 0, 0, NULL},
	{"account", "mechanisms", CONF_TYPE_CLIENT_MECHANISMS, CONF_NONEMPTY, AT(account, mechanisms),
		AUTH, 0, 0, NULL},
	{"account", "ca", CONF_TYPE_FILE, 0, AT(account, ca), AUTH, 0, 0, NULL},
	{"account", "pin", CONF_TYPE_TEXT, 0, AT(account, pin), AUTH, 0, 0, NULL},
	{"account", "certificate", CONF_TYPE_FILE, 0, AT(account, certificate), AUTH, 0, 0, NULL},
	{"account", "key", CONF_TYPE_FILE, 0, AT(account, key), AUTH, 0, 0, NULL},
	{"account", "connections", CONF_TYPE_U32, 0, AT(account, connections), AUTH, 1, 64, NULL},
	{"account", "rate", CONF_TYPE_TEXT, 0, AT(account, rate), AUTH, 0, 0, NULL},

	{"route", "via", CONF_TYPE_TEXT, CONF_REQUIRED, AT(route, via_text), MAIL, 0, 0, NULL},
	{"route", "tls", CONF_TYPE_WORD, 0, AT(route, tls), MAIL, 0, 0, tls_of_route},
	{"route", "account", CONF_TYPE_TEXT, 0, AT(route, account), MAIL, 0, 0, NULL},

	{"limits", "message_size", CONF_TYPE_SIZE, 0, TOP(limits.message_size), ALL, 1024,
		(uint64_t)1 << 40, NULL},
	{"limits", "recipients", CONF_TYPE_U32, 0, TOP(limits.recipients), ALL, 1, 100000, NULL},
	{"limits", "connections", CONF_TYPE_U32, 0, TOP(limits.connections), ALL, 1, 1000000, NULL},
	{"limits", "per_ip", CONF_TYPE_U32, 0, TOP(limits.per_ip), ALL, 1, 1000000, NULL},
	{"limits", "command_timeout", CONF_TYPE_SECONDS_U32, 0, TOP(limits.command_timeout_s), ALL, 1,
		86400, NULL},
	{"limits", "auth_failures", CONF_TYPE_U32, 0, TOP(limits.auth_failures), ALL, 1, 1000, NULL},

	{"queue", "lifetime", CONF_TYPE_DURATION, 0, TOP(queue.lifetime_s), MAIL, 1, 365 * 86400,
		NULL},
	{"queue", "delay_warning", CONF_TYPE_DURATION, 0, TOP(queue.delay_warning_s), MAIL, 0,
		365 * 86400, NULL},
	{"queue", "retry", CONF_TYPE_RETRY, CONF_NONEMPTY, TOP(queue.retry_s), MAIL, 1, 30 * 86400,
		NULL},

	{"trace", "client_address", CONF_TYPE_BOOL, 0, TOP(trace_client_address), FRONT, 0, 0, NULL},
	{"trace", "user", CONF_TYPE_BOOL, 0, TOP(trace_user), FRONT, 0, 0, NULL},

	{"events", "keep", CONF_TYPE_DURATION, 0, TOP(events.keep_s), JOURNAL, 1, 3650 * 86400, NULL},
	{"events", "size", CONF_TYPE_SIZE, 0, TOP(events.size), JOURNAL, 1 << 20, (uint64_t)1 << 44, NULL},

	{"log", "format", CONF_TYPE_WORD, 0, TOP(log_format), ALL, 0, 0, log_format},
	{"log", "dialogue", CONF_TYPE_BOOL, CONF_HIDDEN, TOP(dialogue), ALL, 0, 0, NULL},

	LATER("policy_service", "path", PATH),
	LATER("policy_service", "mode", MODE),
	LATER("policy", "service", EMPTY_TEXT),
	LATER("policy", "soft_limit_notify", TEXT),
	LATER("metrics", "address", ADDRESS),
	LATER("saslauthd_service", "path", PATH),
	LATER("saslauthd_service", "mode", MODE),
	LATER("milter", "socket", TEXT),
	LATER_WORD("milter", "on_failure", milter_failure),
	LATER("dkim", "selector", TEXT),
	LATER("dkim", "key", FILE),
	LATER("brute_force", "allow", NETWORKS),
	LATER("brute_force", "dry_run", BOOL),
};
/* clang-format on */
const size_t conf_rule_count = BASE_COUNT(conf_rules);

const struct conf_section_rule *conf_section_rule_find(const char *name)
{
	for (size_t i = 0; i < conf_section_count; i++)
		if (strcmp(conf_sections[i].name, name) == 0)
			return &conf_sections[i];
	return NULL;
}

const struct conf_rule *conf_rule_find(const char *section, const char *key)
{
	for (size_t i = 0; i < conf_rule_count; i++)
		if (strcmp(conf_rules[i].section, section) == 0 &&
			strcmp(conf_rules[i].key, key) == 0)
			return &conf_rules[i];
	return NULL;
}

const char *conf_type_example(enum conf_type type)
{
	static const char *const examples[] = {
		[CONF_TYPE_TEXT] = "\"text\"",
		[CONF_TYPE_EMPTY_TEXT] = "\"text\"",
		[CONF_TYPE_HOST_NAME] = "\"mail.example.org\"",
		[CONF_TYPE_DOMAIN] = "\"example.org\"",
		[CONF_TYPE_PATH] = "\"/path\"",
		[CONF_TYPE_FILE] = "\"/path/to/file\"",
		[CONF_TYPE_SOCKET] = "\"/path/to/socket\"",
		[CONF_TYPE_BOOL] = "true or false",
		[CONF_TYPE_U32] = "a number as in 100",
		[CONF_TYPE_SIZE] = "bytes as in 52428800, or a size as in \"50M\"",
		[CONF_TYPE_SECONDS_U32] = "seconds as in 300, or a duration as in \"5m\"",
		[CONF_TYPE_DURATION] = "a duration as in \"90s\", \"5m\", \"4h\" or \"5d\"",
		[CONF_TYPE_RETRY] = "durations as in {\"5m\", \"15m\", \"1h\"}",
		[CONF_TYPE_MODE] = "an octal file mode as in 0660",
		[CONF_TYPE_WORD] = "a word in quotes",
		[CONF_TYPE_ADDRESS] = "\"192.0.2.1:587\" or \"[2001:db8::1]:587\"",
		[CONF_TYPE_NETWORKS] = "{\"10.0.0.0/8\", \"2001:db8::/32\"}",
		[CONF_TYPE_STRINGS] = "{\"one\", \"two\"}",
		[CONF_TYPE_DOMAINS] = "{\"example.org\", \".example.net\"}",
		[CONF_TYPE_MECHANISMS] = "{\"SCRAM-SHA-256\", \"PLAIN\"}",
		[CONF_TYPE_CLIENT_MECHANISMS] = "{\"XOAUTH2\", \"SCRAM-SHA-256\"}",
	};
	static_assert(BASE_COUNT(examples) == CONF_TYPE_CLIENT_MECHANISMS + 1,
		"an example for each type");

	return examples[type];
}

void *conf_item(const struct conf *c, const struct conf_section_rule *s, size_t index)
{
	char *items;

	memcpy(&items, (const char *)c + s->items_at, sizeof(items));
	return items + index * s->item_size;
}

size_t conf_item_count(const struct conf *c, const struct conf_section_rule *s)
{
	size_t count;

	memcpy(&count, (const char *)c + s->count_at, sizeof(count));
	return count;
}
