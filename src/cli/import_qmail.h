/* cli/import_qmail.h: what the files of `postern import qmail` share
 * Job      a control directory as values, the configuration under way, the accounts found
 * Secrets  passwords stand in the files' buffers, which are wiped; struct import_account points there.
 *          No line of a file is ever copied whole into the result: only what was understood, and is no
 *          password, goes there; the rest is named by file and line number */
#ifndef CLI_IMPORT_QMAIL_H
#define CLI_IMPORT_QMAIL_H

#include "cli/cli.h"
#include "route/control.h"

#define IMPORT_FILE_MAX_BYTES (8u << 20)
#define IMPORT_RESULT_MAX_BYTES (1u << 20) /* as much as a configuration may be */

struct import_file {
	char *name;
	struct base_buf bytes; /* secret */
	bool read;
	bool told;     /* the result says what became of it */
	char why[256]; /* not read: why */
};

struct import_account {
	char *name, *url, *user;
	struct base_slice host, password; /* point into a file */
	uint16_t port;
};

/* A line of the sender table. */
struct import_sender {
	char *line;
	size_t account; /* index in accounts */
};

struct import {
	struct cli *cli;
	char *dir;
	struct import_file *files; /* by name */
	size_t file_count;
	struct import_account *accounts;
	size_t account_count;
	struct import_sender *senders;
	size_t sender_count;
	bool by_sender;  /* a route goes by sender */
	unsigned unsent; /* lines of authsenders that have no counterpart */
	struct base_buf out;
	bool incomplete; /* a file could not be read */
};

/* import_qmail_read.c */
/* Read DIR/control, or @dir. CLI_OK, or a complaint was made. */
int import_open(struct import *i, const char *dir);
void import_release(struct import *i);
/* Its bytes, which are told of by the caller from now on. False: it is not there, or cannot be read. */
bool import_take(struct import *i, const char *name, struct base_slice *out);
/* The first line; false also where it is empty. */
bool import_take_line(struct import *i, const char *name, struct base_slice *out);

/* import_qmail_write.c: pieces of the result */
/* "# FILE: text", or "# FILE:LINE: text" where @line is not 0. No stranger's bytes in it. */
void import_say(struct import *i, const char *name, unsigned line, const char *format, ...)
	BASE_PRINTF(4, 5);
/* @s between quotes, as the grammar wants it; @s must be import_is_text(). */
void import_put_string(struct import *i, struct base_slice s);
/* @s for a comment: escaped, cut. */
void import_put_escaped(struct import *i, struct base_slice s);
/* May stand in a text of the configuration: UTF-8 without controls, not too long. */
bool import_is_text(struct base_slice s);
/* "example.org", or ".example.org" */
bool import_is_domain(struct base_slice s);
/* What is left: every file that nobody took, and what it was for. */
void import_say_rest(struct import *i);

/* import_qmail_server.c: host name, certificate, listeners, limits, queue */
void import_server(struct import *i);

/* import_qmail_routes.c: smtproutes, authsenders, tlspolicy, locals, virtualdomains; accounts */
void import_routes(struct import *i);

/* import_qmail_vault.c: the accounts' passwords into the vault of the configuration named by -c, and the
 * senders' lines into its queue's table */
int import_to_vault(struct import *i);

#endif
