/* front/relay_ctrl.c: may this address relay without a login?
 *
 * relay-ctrl-allow leaves a file for each address that logged in by POP or IMAP, named by the address;
 * its time says when. The directory comes from the master as a place only: nothing in it is opened. */
#include "front/front.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct front_door *door_find(struct front *f, struct base_slice name)
{
	struct front_door *d = f->doors;

	while (d && !base_slice_equal_text(name, d->name))
		d = d->next;
	return d;
}

void front_relay_ctrl_close(struct front_door *d)
{
	if (d->relay_ctrl_fd >= 0)
		close(d->relay_ctrl_fd);
	d->relay_ctrl_fd = -1;
	d->relay_ctrl_told = false;
}

void front_relay_ctrl_take(struct front *f, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice name = ipc_get_bytes(&in);
	struct front_door *d = ipc_reader_done(&in) ? door_find(f, name) : NULL;

	if (!d)
		return;
	front_relay_ctrl_close(d);
	if (frame->fd_count) {
		d->relay_ctrl_fd = frame->fds[0];
		frame->fds[0] = -1;
	}
}

/* One line until the next reload: the same is true of every client. */
static void tell(struct front_door *d, int code)
{
	if (!d->relay_ctrl_told)
		log_write(LOG_LEVEL_WARNING,
			"listener \"%s\": cannot look into its directory of addresses: %s; nobody "
			"may relay by it (see relay_ctrl)",
			d->name, strerror(code));
	d->relay_ctrl_told = true;
}

bool front_relay_ctrl_allows(struct front_door *d, const struct base_addr *client)
{
	struct base_addr addr = *client;
	struct base_buf name;
	struct stat st;
	bool allowed = false;

	if (!d->listener->relay_ctrl || d->relay_ctrl_fd < 0)
		return false;
	base_addr_unmap(&addr);
	base_buf_init(&name, 64);
	base_addr_format(&addr, &name);
	if (fstatat(d->relay_ctrl_fd, base_buf_text(&name), &st, AT_SYMLINK_NOFOLLOW) == 0)
		allowed = S_ISREG(st.st_mode) &&
			st.st_mtim.tv_sec + d->listener->relay_ctrl_expiry_s >=
				base_clock_wall_ms() / 1000;
	else if (errno != ENOENT)
		tell(d, errno);
	base_buf_release(&name);
	return allowed;
}
