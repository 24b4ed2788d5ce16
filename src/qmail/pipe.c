#include "qmail/pipe.h"

#include <fcntl.h>
#include <unistd.h>

enum { FIRST_FREE = 10 };

int qmail_pipe_above(int out_fds[2])
{
	int low[2];

	if (pipe2(low, O_CLOEXEC) != 0)
		return -1;
	out_fds[0] = fcntl(low[0], F_DUPFD_CLOEXEC, FIRST_FREE);
	out_fds[1] = fcntl(low[1], F_DUPFD_CLOEXEC, FIRST_FREE);
	close(low[0]);
	close(low[1]);
	if (out_fds[0] >= 0 && out_fds[1] >= 0)
		return 0;
	if (out_fds[0] >= 0)
		close(out_fds[0]);
	if (out_fds[1] >= 0)
		close(out_fds[1]);
	return -1;
}
