/* The directories of relay_ctrl, opened as places only: front can ask what a name in them is, and do
 * nothing else with them. Every front gets them anew at its start and at each reload. */
#include "master/server.h"

#include "loop/log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static void send_one(struct child *c, const struct conf_listener *l)
{
	int fd = open(l->relay_ctrl, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct base_buf frame;

	if (fd < 0 && c->server->core.children[c->number].index == 0)
		log_write(LOG_LEVEL_WARNING,
			"listener \"%s\": cannot open \"%s\": %s; nobody may relay by it (see "
			"relay_ctrl)",
			l->title, l->relay_ctrl, strerror(errno));
	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_RELAY_CTRL, 0);
	ipc_put_text(&frame, l->title);
	if (c->ch)
		(void)ipc_send(c->ch, &frame, &fd, fd >= 0);
	base_buf_release(&frame);
	if (fd >= 0)
		close(fd);
}

void child_send_relay_ctrl(struct child *c)
{
	const struct conf *conf = c->server->conf;

	for (size_t i = 0; i < conf->listener_count; i++)
		if (conf->listeners[i].relay_ctrl)
			send_one(c, &conf->listeners[i]);
}
