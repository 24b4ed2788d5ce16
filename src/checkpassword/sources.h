/* checkpassword/sources.h: where users are looked for
 * Job      one question to one provider; the order in which the configuration wants them asked
 * Not      comparing (core.h)
 * Time     blocks: for as long as a hash, a lock on the vault or the running server takes
 * Secrets  read, compared and wiped in here
 *
 * The vault, users' files and sasldb are opened by this process, as the account that it runs as,
 * whether a server runs or not. Everything else blocks in processes of the server's, so the server
 * is asked, on run/auth; it asks all its providers, and its answer is the last word. */
#ifndef CHECKPASSWORD_SOURCES_H
#define CHECKPASSWORD_SOURCES_H

#include "base/error.h"
#include "checkpassword/core.h"
#include "loop/conf.h"

struct checkpassword_asker {
	const struct conf *conf;
	const struct checkpassword_login *login;
	const char *client;    /* address as text, or null */
	bool worked;           /* a password hash's work was done */
	struct base_error why; /* of the last CANNOT */
};

/* The providers of auth { } in order. RIGHT, WRONG or CANNOT (why is set): never UNKNOWN. */
BASE_MUST_USE enum checkpassword_verdict checkpassword_ask(struct checkpassword_asker *a);

BASE_MUST_USE enum checkpassword_verdict checkpassword_ask_store(struct checkpassword_asker *a);
BASE_MUST_USE enum checkpassword_verdict checkpassword_ask_file(
	struct checkpassword_asker *a, const struct conf_provider *p);
BASE_MUST_USE enum checkpassword_verdict checkpassword_ask_sasldb(
	struct checkpassword_asker *a, const struct conf_provider *p);
BASE_MUST_USE enum checkpassword_verdict checkpassword_ask_server(struct checkpassword_asker *a);
/* A file by itself, without a configuration. @format: enum vault_file_format. */
BASE_MUST_USE enum checkpassword_verdict checkpassword_ask_path(
	struct checkpassword_asker *a, const char *path, int format, const char *default_domain);

#endif
