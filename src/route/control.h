/* route/control.h: qmail's control files that say where mail goes
 * Job      lines and lists as qmail reads them; smtproutes and authsenders in all their dialects;
 *          tlspolicy, Postern's own
 * Not      reading the files (loop/file.h)
 * Trust    the administrator's files, but any byte may stand in them
 * Memory   slices point into the file's bytes
 *
 * smtproutes    domain:relay[:port|;port][|user|pass], or  domain:relay[:port] user pass
 * authsenders   key:relay[:port|;port]|user|pass; the password is all that follows the second '|'
 * tlspolicy     host:none|may|require|verify */
#ifndef ROUTE_CONTROL_H
#define ROUTE_CONTROL_H

#include "base/host.h"
#include "base/macros.h"

/* A file of one line: the first, without trailing blanks. */
struct base_slice route_control_line(struct base_slice file);
/* The next line of a list: without trailing blanks; empty ones and those with # in the first column
 * are left out. False: the end. *out_number (may be null) counts all lines from 1. */
bool route_control_next(struct base_slice *rest, unsigned *number, struct base_slice *out_line);
/* A file of one number, which may be followed by anything; @fallback where it begins with none or
 * is too large, as qmail does. */
uint64_t route_control_number(struct base_slice file, uint64_t fallback);

struct route_control_relay {
	struct base_slice key;  /* left of the first ':' */
	struct base_slice host; /* empty: by MX; without brackets */
	uint16_t port;          /* 0: not given */
	bool credentials;
	struct base_slice user, password;
};

enum route_control_result {
	ROUTE_CONTROL_FOUND,
	ROUTE_CONTROL_MISSING,
	ROUTE_CONTROL_BROKEN, /* *out_why says what is wrong with the line */
};

/* One line of smtproutes or authsenders. MISSING: no ':' in it, which qmail ignores. */
BASE_MUST_USE enum route_control_result route_control_relay_parse(
	struct base_slice line, struct route_control_relay *out, const char **out_why);
/* The host, then each ".suffix" of it, then the empty key; of lines with the same key the last. A
 * BROKEN line of that key is told. */
BASE_MUST_USE enum route_control_result route_control_smtproute(struct base_slice file,
	struct base_slice host, struct route_control_relay *out, const char **out_why);
/* The whole address, then the rest from every later '.' or '@' on, then the empty key (bounces
 * too); otherwise as above. */
BASE_MUST_USE enum route_control_result route_control_authsender(struct base_slice file,
	struct base_slice sender, struct route_control_relay *out, const char **out_why);

enum route_control_tls {
	ROUTE_CONTROL_TLS_UNSET,
	ROUTE_CONTROL_TLS_NONE,
	ROUTE_CONTROL_TLS_MAY,
	ROUTE_CONTROL_TLS_REQUIRE,
	ROUTE_CONTROL_TLS_VERIFY,
};
/* @host: the relay's name without its port; keys are compared without case, no suffixes. */
BASE_MUST_USE enum route_control_result route_control_tlspolicy(struct base_slice file,
	struct base_slice host, enum route_control_tls *out, const char **out_why);

#endif
