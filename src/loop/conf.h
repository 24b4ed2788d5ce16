/* loop/conf.h: the configuration, parsed and judged
 * Job      the grammar of postern.conf, one table of sections and keys, every error as FILE:LINE: what
 *          is wrong, what would be right; all of them at once (after a syntax error the rest is not
 *          judged); the part of it that a role needs, as text in the same grammar
 * Not      acting on it
 * Memory   a struct conf owns all its strings (one arena); read-only after load
 * Spec     postern.conf(5)
 *
 * Grammar: sections `name { … }` and `name title { … }` (title bare or quoted), `key = value`, values
 * "strings" taken as they stand (\" and \\ are the only escapes), numbers, true, false, {lists, of,
 * strings}; `#` to the end of the line. Later keys of one section never override: twice is an error. */
#ifndef LOOP_CONF_H
#define LOOP_CONF_H

#include "base/buf.h"
#include "base/error.h"
#include "base/host.h"
#include "loop/ipc.h"

enum conf_tls_mode { CONF_TLS_NONE, CONF_TLS_STARTTLS, CONF_TLS_IMPLICIT };
enum conf_auth_mode { CONF_AUTH_REQUIRED, CONF_AUTH_OPTIONAL, CONF_AUTH_NONE };
enum conf_tls_policy {
	CONF_POLICY_UNSET,
	CONF_POLICY_NONE,
	CONF_POLICY_MAY,
	CONF_POLICY_REQUIRE,
	CONF_POLICY_VERIFY
};
enum conf_log_format { CONF_LOG_TEXT, CONF_LOG_JSON };

struct conf_strings {
	char **items;
	size_t count;
};

struct conf_networks {
	struct base_network *items;
	size_t count;
};

struct conf_listener {
	char *title;
	unsigned line;
	struct base_addr address;
	enum conf_tls_mode tls;
	enum conf_auth_mode auth;
	uint32_t mechanisms;        /* sasl mask by bit of conf_mechanism_name(); 0: as auth { } */
	bool plaintext_without_tls; /* this listener's, or auth { }'s */
	struct conf_networks from_networks; /* empty: everybody */
	struct conf_strings accept;         /* recipient domains for unauthenticated clients */
	char *relay_ctrl;                   /* directory of addresses that may relay; null: none */
	int64_t relay_ctrl_expiry_s;
	struct conf_strings dnsbl; /* zones that are asked about strangers */
};
#define CONF_DNSBL_MAX 8

/* `type` of a provider; a type that is known but not in this build is a configuration error. */
enum conf_provider_type {
	CONF_PROVIDER_STORE,
	CONF_PROVIDER_DOVECOT,
	CONF_PROVIDER_CHECKPASSWORD,
	CONF_PROVIDER_FILE,
	CONF_PROVIDER_PAM,
	CONF_PROVIDER_SASLAUTHD,
	CONF_PROVIDER_SASLDB,
};

enum conf_cram_order { CONF_CRAM_STANDARD, CONF_CRAM_LEGACY };
#define CONF_FORMAT_NONE (-1) /* not written: of cram_order and format where the type has none */

/* Of one kind: file and sasldb answer at once, the others may block. */
#define CONF_PROVIDER_PROCESSES 4
/* Named in auth { providers } at most. */
#define CONF_PROVIDERS_MAX 16

struct conf_provider {
	char *title;
	unsigned line;
	enum conf_provider_type type;
	struct conf_strings domains; /* empty: all */
	char *path; /* dovecot, file, saslauthd, sasldb; the default where there is one */
	struct conf_strings command; /* checkpassword: program, absolute, and arguments */
	int cram_order;              /* enum conf_cram_order */
	int format;                  /* file: enum vault_file_format, else CONF_FORMAT_NONE */
	char *service;               /* pam, saslauthd: "smtp" if none is written; else null */
	char *run_as;                /* null: the account of all roles */
};

struct conf_account {
	char *title;
	unsigned line;
	char *url; /* smtp://host:port or smtps://host:port */
	bool implicit_tls;
	char *host;
	uint16_t port; /* 587 or 465 if the URL has none */
	char *user;
	uint32_t mechanisms;     /* sasl mask; 0: all that the account's secret serves */
	char *ca;                /* PEM file of its authorities; null: none of its own */
	char *pin;               /* "sha256:…"; null: none */
	char *certificate, *key; /* client certificate: both or none */
	uint32_t connections;    /* at a time; 0: the default */
	char *rate;              /* as written; null: no limit */
	uint32_t rate_count, rate_s;
};

enum conf_via {
	CONF_VIA_MX,
	CONF_VIA_SMTP, /* host, port */
	CONF_VIA_SMTPS,
	CONF_VIA_ACCOUNT, /* text: name */
	CONF_VIA_SENDER,  /* the account of the sender's line (route/sender.h) */
	CONF_VIA_LMTP,    /* text: socket path, or host and port */
	CONF_VIA_MAILDIR, /* text: /path/{user} */
	CONF_VIA_DISCARD,
	CONF_VIA_ERROR, /* text: for the notice */
};

struct conf_route {
	char *title; /* "example.org", ".example.org" (subdomains), "user@example.org", "*" */
	unsigned line;
	enum conf_via via;
	char *via_text; /* as written */
	char *text;
	char *host; /* null: a socket path or none */
	uint16_t port;
	enum conf_tls_policy
		tls;   /* UNSET: may for mx, smtp and lmtp; verify where credentials are */
	char *account; /* `account = "NAME"` beside via = "smtp://…", or from via */
};

struct conf {
	char *file; /* for messages */
	char *hostname, *data, *run, *user;
	bool has_tls;      /* certificate and key are given */
	unsigned tls_line; /* of the section; 0: none */
	char *tls_certificate, *tls_key, *tls_ca, *tls_client_ca; /* null: none */
	struct conf_listener *listeners;
	size_t listener_count;
	struct {
		uint32_t mechanisms;
		struct conf_strings providers;
		char *default_domain; /* "" */
		bool plaintext_without_tls, legacy_announcement, upgrade;
		int64_t cache_ttl_s;
		char *service; /* "" */
	} auth;
	struct conf_provider *providers;
	size_t provider_count;
	bool has_auth_service;
	char *auth_service_path;
	unsigned auth_service_mode;
	struct conf_account *accounts;
	size_t account_count;
	struct conf_route *routes; /* in the order of the file */
	size_t route_count;
	struct {
		uint64_t message_size;
		uint32_t recipients, connections, per_ip, command_timeout_s, auth_failures;
	} limits;
	struct {
		int64_t lifetime_s, delay_warning_s; /* delay_warning 0: none */
		int64_t retry_s[32];
		size_t retry_count;
	} queue;
	struct {
		int64_t keep_s;
		uint64_t size; /* of events.db, bytes */
	} events;
	bool trace_client_address, trace_user;
	enum conf_log_format log_format;
	bool dialogue;            /* internal: postern try; key `dialogue` in log { } */
	struct conf_arena *arena; /* private */
};

/* One finding. */
struct conf_finding {
	bool warning;
	unsigned line;
	char *text; /* "what, what would be right" */
};
struct conf_findings {
	struct conf_finding *items;
	size_t count;
};

/* Read and judge @path. Null when there are errors; *out_findings has them all (and warnings). */
struct conf *conf_load(const char *path, struct conf_findings *out_findings);
/* The same from memory; @file is the name in messages; relative paths are taken from @base_dir. */
struct conf *conf_parse(struct base_slice text, const char *file, const char *base_dir,
	struct conf_findings *out_findings);
void conf_free(struct conf **conf);
void conf_findings_print(
	const char *file, const struct conf_findings *findings, struct base_buf *out);
void conf_findings_release(struct conf_findings *findings);
/* What @role needs, as text that conf_parse() takes; secrets-free, paths absolute, defaults left out
 * or written: the role's struct conf is the same in all that concerns it. */
void conf_render(const struct conf *conf, enum ipc_role role, struct base_buf *out);

/* Names and mask bits of mechanisms are those of sasl/mechanism.h; loop/ holds its own small copy of
 * the names so that front, which has no sasl/, can use it (a test compares the two tables). */
const char *conf_mechanism_name(unsigned bit);
uint32_t conf_mechanism_parse(struct base_slice name); /* mask of one bit, 0 if unknown */
bool conf_mechanism_is_served(unsigned bit);           /* false: a client's only */

/* The nearest of @names (null-ended) to @word, or null if none is near: for "did you mean". */
const char *conf_nearest(const char *word, const char *const *names);

/* Processes of role PROVIDER: master, auth and they themselves agree by these on who is what. The
 * providers of auth { providers } that have processes of their own, in the order of that list, each with
 * consecutive indexes: CONF_PROVIDER_PROCESSES, or one for a file or sasldb. */
unsigned conf_provider_processes(const struct conf *conf);
/* Null: there is none of this index. */
const struct conf_provider *conf_provider_of_process(const struct conf *conf, unsigned index);
/* Of one provider, 0 if it has none; *out_first: the index of the first. */
unsigned conf_provider_processes_of(
	const struct conf *conf, const struct conf_provider *p, unsigned *out_first);
/* What names without a domain get before @p is asked, "" for nothing: the one domain that it serves, else
 * auth { default_domain }; a file of one domain's users that serves several is not told which; for a
 * sasldb it is the realm, and the host name where there is nothing else. */
const char *conf_provider_default_domain(const struct conf *conf, const struct conf_provider *p);
/* Null: no section, and not the built-in store either. */
const struct conf_provider *conf_provider_find(const struct conf *conf, const char *title);

const struct conf_account *conf_account_find(const struct conf *conf, const char *title);
const struct conf_listener *conf_listener_find(const struct conf *conf, const char *title);

#endif
