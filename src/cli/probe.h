/* cli/probe.h: what a server offers before and after TLS, and what is wrong with it
 * Job      facts (probe_talk.c, probe_tls.c: connections; probe_offer.c: the reading of EHLO), findings
 *          (probe_judge.c), both shown (probe_print.c, probe_json.c)
 * Not      mail or logins: MAIL, RCPT, DATA and AUTH are never sent, no credentials are needed
 * Trust    the server is hostile: every step has a deadline, every reply a limit, every byte is escaped
 *          before it is shown
 * Spec     RFC 5321, 3207, 4954, 8314; what is called right is RFC 6409's and RFC 8996's word */
#ifndef CLI_PROBE_H
#define CLI_PROBE_H

#include "cli/cli.h"
#include "cli/connection.h"

#define PROBE_STEP_MS 10000
#define PROBE_HELLO_MAX_BYTES 8192
#define PROBE_CHAIN_MAX 8
#define PROBE_MECHANISMS_MAX 32
#define PROBE_FINDINGS_MAX 64
#define PROBE_EXPIRY_WARNING_DAYS 21

enum probe_mode { PROBE_AUTO, PROBE_NONE, PROBE_STARTTLS, PROBE_IMPLICIT };

/* One reply to EHLO. */
struct probe_offer {
	bool asked;
	bool helo;             /* EHLO was refused, HELO was not */
	unsigned code;         /* 0: no reply came */
	struct base_buf hello; /* its lines without the code, joined by LF, raw */
	/* Read from it by probe_offer_read(): */
	uint64_t known; /* bits by the order of probe_extensions */
	char mechanisms[PROBE_MECHANISMS_MAX][21];
	size_t mechanism_count;
	bool old_auth; /* "AUTH=…" */
	bool has_size;
	uint64_t size;                                    /* 0: no limit named */
	uint32_t limit_mails, limit_rcpts, limit_domains; /* of LIMITS; 0: none */
	bool odd; /* a line that the grammar does not know */
};

enum probe_starttls {
	PROBE_STARTTLS_NOT_TRIED,
	PROBE_STARTTLS_NOT_OFFERED,
	PROBE_STARTTLS_REFUSED,
	PROBE_STARTTLS_BEHIND, /* bytes in clear behind the 220 */
	PROBE_STARTTLS_DONE,
};

enum probe_version {
	PROBE_VERSION_UNKNOWN,
	PROBE_VERSION_ACCEPTED,
	PROBE_VERSION_REFUSED,
	PROBE_VERSION_UNTRIED
};
#define PROBE_VERSIONS 4 /* 1.0 to 1.3 */

/* What became of a command that came behind STARTTLS in one segment. */
enum probe_injection {
	PROBE_INJECTION_UNKNOWN,
	PROBE_INJECTION_IGNORED,
	PROBE_INJECTION_REFUSED,  /* the server ends the session, or refuses STARTTLS then */
	PROBE_INJECTION_IN_CLEAR, /* answered before the handshake */
	PROBE_INJECTION_ANSWERED, /* answered inside TLS */
};

enum probe_level { PROBE_BAD, PROBE_WARNING, PROBE_NOTE };

struct probe_finding {
	enum probe_level level;
	const char *code;
	char text[400];    /* one line, safe to print */
	const char *right; /* what would be right */
};

struct probe {
	const struct cli *cli;
	char host[BASE_HOST_NAME_MAX_BYTES + 1];
	uint16_t port;
	enum probe_mode asked, mode; /* mode: what was done, never AUTO */
	struct base_buf ca;          /* PEM; may be empty */
	struct tls_context *context;
	int64_t now_ms;

	struct base_addr peer;
	unsigned greeting_code;
	struct base_buf greeting;
	struct probe_offer before, after; /* implicit: only after */
	enum probe_starttls starttls;
	struct base_buf starttls_reply;
	bool tls; /* a handshake was made */
	char version[16], cipher[64];
	char tls_failure[BASE_ERROR_TEXT_MAX_BYTES]; /* why none was */
	bool verified;
	char verify_failure[TLS_REASON_MAX_BYTES];
	struct tls_certificate chain[PROBE_CHAIN_MAX];
	size_t chain_count;
	enum probe_version versions[PROBE_VERSIONS];
	enum probe_injection injection;
	char trouble[400]; /* the session ended early; safe to print; "": it did not */

	struct probe_finding findings[PROBE_FINDINGS_MAX];
	size_t finding_count;
};

void probe_init(struct probe *p);
void probe_release(struct probe *p);

/* probe_offer.c */

struct probe_extension {
	const char *keyword, *words;
};
extern const struct probe_extension probe_extensions[]; /* ended by a null keyword */
/* Null: not known. */
const struct probe_extension *probe_extension_find(struct base_slice keyword);
bool probe_offer_has(const struct probe_offer *offer, const char *keyword);
/* Read the lines of .hello behind the first. */
void probe_offer_read(struct probe_offer *offer);
bool probe_offer_has_mechanism(const struct probe_offer *offer, const char *name);
/* What the mechanism is worth, in words; never null. */
const char *probe_mechanism_words(const char *name);
/* The password or token itself crosses the line. */
bool probe_mechanism_is_plaintext(const char *name);

/* probe_talk.c */

/* One connection, up to the point where TLS is or could be. */
struct probe_talk {
	struct cli_connection connection;
	struct smtp_reply_reader *reader;
	char helo[CLI_HELO_MAX_BYTES];
};
/* Connect, nothing else. 0 or the connection's error. */
int probe_talk_open(struct probe_talk *t, const struct probe *p, struct base_error *err);
void probe_talk_close(struct probe_talk *t);
bool probe_talk_send(struct probe_talk *t, const char *line);
/* A whole reply within PROBE_STEP_MS: its lines without codes, joined by LF, appended to @out up to its
 * maximum (null: not wanted). Null, or words why there is none. */
const char *probe_talk_reply(struct probe_talk *t, unsigned *out_code, struct base_buf *out);
/* QUIT; its answer is waited for, briefly, and not looked at. */
void probe_talk_quit(struct probe_talk *t);
/* The main session: greeting, EHLO, TLS, EHLO. 0: something was learnt; TEMPORARY: nothing: no connection,
 * no greeting, or a refusal in its place. */
int probe_session(struct probe *p, struct base_error *err);

/* probe_tls.c: further connections */
void probe_facts_of_tls(struct probe *p, const struct tls_session *tls);
void probe_versions(struct probe *p);
void probe_injection(struct probe *p);

/* probe_judge.c */
void probe_judge(struct probe *p);
bool probe_name_fits(const char *host, const struct tls_certificate *certificate);

/* How both outputs call things. */
const char *probe_level_name(enum probe_level level);
const char *probe_mode_name(enum probe_mode mode);
const char *probe_version_name(enum probe_version version); /* "accepted" */
const char *probe_injection_name(enum probe_injection injection);
int64_t probe_days_left(const struct probe *p, const struct tls_certificate *certificate);

void probe_print(const struct probe *p);
/* @error: why nothing could be learnt, or null. */
json_t *probe_json(const struct probe *p, const char *error);

#endif
