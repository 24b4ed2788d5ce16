/* cli/user_import.h: postern user import
 * Job      a file of another system's users into the vault, in batches of one transaction each
 * Secrets  what is stored stays in secret buffers; no line that is printed holds any of it */
#ifndef CLI_USER_IMPORT_H
#define CLI_USER_IMPORT_H

#include "cli/cli.h"

/* The options format, domain, replace, dry-run and json, and the second argument. Exit 0: nothing was
 * refused. */
int cli_user_import(struct cli *cli, const struct conf *conf);
/* What is wrong with the command line: CLI_USAGE after it was said, or CLI_OK. */
int cli_user_import_check(const struct cli *cli);

#endif
