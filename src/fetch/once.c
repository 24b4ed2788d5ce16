/* "postern-fetch once [--ca FILE]": a command's requests, frames of loop/ipc.h on descriptor 0 until the
 * command closes it. FILE holds authorities beside the system's. The same fences as the role's, under
 * whatever account the command gave. */
#include "fetch/shell.h"
#include "loop/log.h"
#include "loop/sandbox.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMMAND_FD = 0, COMMAND = 1 };

struct once {
	uv_loop_t loop;
	struct fetch_shell shell;
	struct ipc_channel *channel;
	int status;
};

static struct ipc_channel *channel(struct fetch_shell *s, unsigned asker)
{
	struct once *o = s->arg;

	return o->channel;
}

static void end(struct once *o, const char *why)
{
	o->channel = NULL;
	if (why) {
		fprintf(stderr, "postern-fetch: %s\n", why);
		o->status = 1;
	}
	fetch_shell_asker_gone(&o->shell, COMMAND);
	uv_stop(&o->loop);
}

static void on_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct once *o = arg;

	if (frame->type == IPC_FETCH_WANT && fetch_shell_want(&o->shell, COMMAND, frame))
		return;
	ipc_channel_free(&ch);
	end(o, "the command sent a request that cannot be read");
}

static void on_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct once *o = arg;

	end(o, strcmp(why, "the other side closed") == 0 ? NULL : why);
}

static bool is_command_socket(int fd)
{
	socklen_t len = sizeof(int);
	int type;

	return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET;
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void run(struct once *o)
{
	static const struct ipc_handlers handlers = {.frame = on_frame, .closed = on_closed};

	o->channel = ipc_channel_new(&o->loop, COMMAND_FD, IPC_FETCH, IPC_CLI, &handlers, o);
	uv_run(&o->loop, UV_RUN_DEFAULT);
}

static int open_all(struct once *o, const char *ca_file, struct base_error *err)
{
	int rc;

	o->shell.arg = o;
	o->shell.channel = channel;
	rc = fetch_shell_open(&o->shell, &o->loop, ca_file, err);
	if (rc == 0)
		rc = sandbox_enter(SANDBOX_CONNECT_NET, NULL, 0, err);
	return rc;
}

int fetch_once(int argc, char **argv)
{
	static struct once o;
	struct base_error err = {0};
	const char *ca_file = argc == 4 && strcmp(argv[2], "--ca") == 0 ? argv[3] : NULL;

	if ((argc != 2 && !ca_file) || !is_command_socket(COMMAND_FD)) {
		fprintf(stderr, "postern-fetch is started by postern, not by hand\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	BASE_BUG_IF(uv_loop_init(&o.loop) != 0);
	if (open_all(&o, ca_file, &err) == 0)
		run(&o);
	else
		o.status = 1;
	if (err.class)
		fprintf(stderr, "postern-fetch: %s\n", err.text);
	fetch_shell_close(&o.shell);
	ipc_channel_free(&o.channel);
	uv_walk(&o.loop, close_handle, NULL);
	for (int i = 0; i < 8 && uv_loop_alive(&o.loop); i++)
		uv_run(&o.loop, UV_RUN_NOWAIT);
	(void)uv_loop_close(&o.loop);
	return o.status;
}
