/* vault/file.h: files of users that other systems keep
 * Job      find one user, or step through all, in the bytes of such a file; what is stored comes out
 *          in a form that vault/verify.h checks
 * Not      reading the file (loop/file.h), noticing that it changed (provider/), checking passwords
 * Trust    the file is the administrator's, but any byte may stand in it; a broken line is skipped
 *          and told, never half used
 * Secrets  @out->stored is a secret buffer
 *
 * What a form becomes: a clear password "{PLAIN}…", "%md5hex" "{PLAIN-MD5}…", all else as it stands.
 *
 *   passwd    name:hash[:…]; Dovecot's {SCHEME} prefixes; bare text that is no hash is no password;
 *             of Dovecot's extra fields nologin and allow_nets refuse
 *   htpasswd  name:hash of Apache's htpasswd: $apr1$, $2y$, {SHA}, crypt; never clear text
 *   authuser  user:pass (clear, up to the end of the line); # comments; user:%hex of MD5, SHA-1 or
 *             SHA-256; @domain:pass, @:pass and *:pass; !user and !@domain disable, wherever they
 *             stand; the order is full name, @domain, @, *. Forms that start a program or ask the
 *             system's passwd (one of ? ! + & = alone) are told and refuse
 *   vpasswd   user:crypt:popflag:flags:gecos:dir:quota[:clear]; names fold to lower case, an '@', else
 *             a '%', else a '/' divides user and domain; NO_SMTP and NO_RELAY refuse
 *   vmailmgr  passwd.cdb: records of version 2, 1 and the old ":pass:dest"; expiry and the enabled
 *             flag; names fold to lower case, the first '@' or ':' divides user and domain
 *
 * Names: passwd and htpasswd ignore ASCII case; authuser does not but for the domain and behind '!'. A name with
 * @default_domain and the same name without a domain are one. The files of vpasswd and vmailmgr hold
 * users of one domain: where @default_domain is set it must be that one, and others are UNKNOWN; where
 * it is empty any domain is taken, so the caller limits them. The first line of a name counts. */
#ifndef VAULT_FILE_H
#define VAULT_FILE_H

#include "base/buf.h"
#include "vault/name.h"

enum vault_file_format {
	VAULT_FILE_PASSWD,
	VAULT_FILE_HTPASSWD,
	VAULT_FILE_AUTHUSER,
	VAULT_FILE_VPASSWD,
	VAULT_FILE_VMAILMGR,
	VAULT_FILE_FORMAT_COUNT,
};
/* "passwd", …; COUNT if unknown. */
enum vault_file_format vault_file_format_parse(struct base_slice name);
const char *vault_file_format_name(enum vault_file_format format);

struct vault_file {
	enum vault_file_format format;
	bool cdb;                         /* vpasswd.cdb; vmailmgr is always one */
	struct base_slice bytes;          /* the whole file, borrowed */
	struct base_slice default_domain; /* for names without one; empty: none */
	int64_t now_ms;                   /* wall clock, for expiry */
};

enum vault_file_result {
	VAULT_FILE_KNOWN,
	VAULT_FILE_UNKNOWN,
	VAULT_FILE_REFUSED, /* known and not to log in: disabled, expired, no password; reason says */
	VAULT_FILE_BROKEN, /* the file, or this user's entry, cannot be read; reason says */
};

struct vault_file_entry {
	/* vault_file_next(): as the source spells it. vault_file_find(): what vpasswd and vmailmgr made of
	 * the name ("user@domain", or "user" where there is no domain); else empty, as it was asked for. */
	struct base_buf name;
	struct base_buf stored; /* secret */
	const char *reason;     /* REFUSED and BROKEN: static text */
	unsigned line;          /* 1 and up; 0 in a cdb */
};
void vault_file_entry_init(struct vault_file_entry *e);
void vault_file_entry_release(struct vault_file_entry *e);

/* @name: as the client sent it. */
BASE_MUST_USE enum vault_file_result vault_file_find(
	const struct vault_file *f, struct base_slice name, struct vault_file_entry *out);

/* Where a walk stands; begin with {0}. */
struct vault_file_cursor {
	size_t at;
	unsigned line;
	bool disabling; /* authuser: there are lines that disable */
};
/* Step through the file for an import. UNKNOWN: the end. Entries for whole domains are REFUSED here,
 * for they are no users. After a BROKEN of a cdb itself (line 0, no name) the next is the end. */
BASE_MUST_USE enum vault_file_result vault_file_next(
	const struct vault_file *f, struct vault_file_cursor *cursor, struct vault_file_entry *out);

#endif
