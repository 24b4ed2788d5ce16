/* cli/make.h: what init and try make: files, a certificate, a user */
#ifndef CLI_MAKE_H
#define CLI_MAKE_H

#include "cli/cli.h"

/* Write @path anew; EXISTS when it is there and not @replace. Owned by @account if that is not
 * null. */
int make_file(const char *path, unsigned mode, bool replace, struct base_slice bytes,
	const struct cli_account *account, struct base_error *err);
/* A self-signed pair for @host_name; the key has mode 0600. */
int make_certificate(const char *host_name, const char *chain_path, const char *key_path,
	bool replace, const struct cli_account *account, struct base_error *err);
/* Open the vault of @conf (made if absent) and add @name, or replace one that is there. */
int make_user(const struct conf *conf, const char *name, struct base_slice password, bool replace,
	struct base_error *err);
/* The spool of @conf, made if absent. */
int make_spool(const struct conf *conf, struct base_error *err);

#endif
