/* cli/input.h: standard input or a file, whole */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "cli/cli.h"

#define CLI_INPUT_MAX_BYTES ((size_t)256 << 20)

/* All of @fd into @out; more than its maximum is an error. Returns an exit status. */
int cli_read_all(const struct cli *cli, int fd, struct base_buf *out);

#endif
