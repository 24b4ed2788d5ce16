/* A stand-in for any role program, for tests of the master: installed as postern-auth, postern-front …
 * beside postern-master it lives the life of that role without doing its work. What it is asked at the
 * start and what happens to it goes to the log, where the test looks.
 *
 * In the directory of the configuration a file "<role>-fails" makes open() fail, "<role>-hangs" makes
 * drain() do nothing. */
#include "loop/control.h"
#include "loop/log.h"
#include "loop/role.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct stub {
	struct role *role;
	bool hangs;
};

static bool told_to(struct role *r, const char *what)
{
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s-%s", role_conf(r)->data, ipc_role_name(role_kind(r)),
		what);
	return access(path, F_OK) == 0;
}

static int on_open(struct role *r, struct base_error *err)
{
	struct stub *s = role_state(r);

	s->hangs = told_to(r, "hangs");
	if (told_to(r, "fails"))
		return base_error_set(err, BASE_ERROR_CONFIG, 0, "told to fail");
	return 0;
}

static void on_start(struct role *r)
{
	log_write(LOG_LEVEL_INFO, "stub starts %u/%u uid %d", role_index(r), role_count(r),
		(int)getuid());
	if (role_kind(r) == IPC_FRONT)
		role_want_auth(r);
}

static void on_peer(
	struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd)
{
	log_write(LOG_LEVEL_INFO, "stub meets %s %u%s", ipc_role_name(peer), index,
		ch ? "" : " by stream");
	if (fd >= 0)
		close(fd);
}

static void on_peer_gone(struct role *r, enum ipc_role peer, unsigned index)
{
	log_write(LOG_LEVEL_INFO, "stub loses %s %u", ipc_role_name(peer), index);
}

static void on_request(
	struct role *r, const struct control_request *req, struct control_reply *reply)
{
	control_json(reply, BASE_SLICE("{\"stub\": true}"));
	control_end(reply, NULL);
}

static void on_listener(struct role *r, enum ipc_listener kind, const char *name, int fd)
{
	log_write(LOG_LEVEL_INFO, "stub gets listener %s", name);
	if (kind == IPC_LISTENER_CONTROL)
		control_serve(r, fd, on_request);
}

static void on_listener_gone(struct role *r, enum ipc_listener kind, const char *name)
{
	log_write(LOG_LEVEL_INFO, "stub gives listener %s up", name);
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	log_write(LOG_LEVEL_INFO, "stub reloads");
	return 0;
}

/* The lengths of what came, or why nothing did. */
static void tell_account_files(struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body), parts;
	struct base_slice name = ipc_get_bytes(&in), error = ipc_get_bytes(&in), chain, key, ca;
	static uint8_t bytes[65536];
	ssize_t got;

	if (frame->fd_count == 0) {
		log_write(LOG_LEVEL_INFO, "stub gets ACCOUNT_CERTIFICATE of %.*s: %.*s",
			BASE_SLICE_ARGS(name), BASE_SLICE_ARGS(error));
		return;
	}
	got = pread(frame->fds[0], bytes, sizeof(bytes), 0);
	parts = ipc_reader_make(base_slice_make(bytes, got > 0 ? (size_t)got : 0));
	chain = ipc_get_bytes(&parts);
	key = ipc_get_bytes(&parts);
	ca = ipc_get_bytes(&parts);
	log_write(LOG_LEVEL_INFO, "stub gets ACCOUNT_CERTIFICATE of %.*s: %zu %zu %zu%s",
		BASE_SLICE_ARGS(name), chain.len, key.len, ca.len,
		ipc_reader_done(&parts) ? "" : " broken");
}

static void on_master_frame(struct role *r, struct ipc_frame *frame)
{
	if (frame->type == IPC_ACCOUNT_CERTIFICATE) {
		tell_account_files(frame);
		return;
	}
	log_write(LOG_LEVEL_INFO, "stub gets %s", ipc_frame_name(frame->type));
}

static void on_drain(struct role *r, uint32_t limit_ms)
{
	struct stub *s = role_state(r);

	log_write(LOG_LEVEL_INFO, "stub drains");
	if (!s->hangs)
		role_stop(r, 0);
}

int main(int argc, char **argv)
{
	static struct role_handlers handlers = {
		.open = on_open,
		.start = on_start,
		.reload = on_reload,
		.peer = on_peer,
		.peer_gone = on_peer_gone,
		.listener = on_listener,
		.listener_gone = on_listener_gone,
		.master_frame = on_master_frame,
		.drain = on_drain,
	};
	static struct stub stub;
	const char *name = argc > 0 ? strrchr(argv[0], '-') : NULL;

	for (unsigned k = IPC_FRONT; name && k < IPC_CLI; k++) {
		if (strcmp(name + 1, ipc_role_name((enum ipc_role)k)) == 0)
			handlers.role = (enum ipc_role)k;
	}
	return role_main(argc, argv, &handlers, &stub);
}
