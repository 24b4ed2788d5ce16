/* cli/account_test.h: postern account test NAME
 * Job      log in as an account would, step by step, and say in plain words what the server answered
 * Not      mail: none is sent
 * Secrets  the secret comes from the vault's files, or a running server's auth, and is wiped here */
#ifndef CLI_ACCOUNT_TEST_H
#define CLI_ACCOUNT_TEST_H

#include "cli/cli.h"

/* The whole of the command behind the options; --json is looked at. An exit status. */
int cli_account_test(struct cli *cli, struct conf *conf, const char *name);

#endif
