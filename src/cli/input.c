#include "cli/input.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

int cli_read_all(const struct cli *cli, int fd, struct base_buf *out)
{
	for (;;) {
		uint8_t *to = base_buf_reserve(out, 65536);
		ssize_t n;

		if (!to)
			return cli_fail(
				cli, CLI_FAILED, "the input is longer than %zu bytes", out->max);
		n = read(fd, to, 65536);
		if (n == 0)
			return CLI_OK;
		if (n < 0 && errno != EINTR)
			return cli_fail(
				cli, CLI_FAILED, "cannot read the input: %s", strerror(errno));
		if (n > 0)
			base_buf_grew(out, (size_t)n);
	}
}
