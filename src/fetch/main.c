/* postern-fetch: HTTPS requests for auth, and ("once") for one command
 *
 * The core decides (fetch/core.h); here its effects are carried out, and frames and answers brought to it.
 * What must be read from files is read before the sandbox: the authorities, /etc/resolv.conf and
 * /etc/hosts. An auth that was started again is another asker: it gets no answers to what the one before
 * it wanted. */
#include "fetch/shell.h"

#include "loop/log.h"
#include "loop/role.h"

#include <string.h>

struct fetch {
	struct role *role;
	struct fetch_shell shell;
	unsigned asker; /* the auth that is there now */
};

static struct ipc_channel *channel(struct fetch_shell *s, unsigned asker)
{
	struct fetch *f = s->arg;

	return asker == f->asker ? role_peer(f->role, IPC_AUTH, 0) : NULL;
}

static void on_idle(struct fetch_shell *s)
{
	struct fetch *f = s->arg;

	if (role_draining(f->role))
		role_stop(f->role, 0);
}

static int on_open(struct role *r, struct base_error *err)
{
	struct fetch *f = role_state(r);

	f->role = r;
	f->shell.arg = f;
	f->shell.channel = channel;
	f->shell.idle = on_idle;
	return fetch_shell_open(&f->shell, role_loop(r), role_conf(r)->tls_ca, err);
}

static size_t on_paths(struct role *r, struct role_path *out, size_t max)
{
	const char *ca = role_conf(r)->tls_ca;

	if (!ca || !*ca || max < 1)
		return 0;
	out[0] = (struct role_path){.path = base_strdup(ca), .write = false};
	return 1;
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct fetch *f = role_state(r);

	return fetch_shell_trust(&f->shell, conf->tls_ca, err);
}

static void on_peer(
	struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd)
{
	struct fetch *f = role_state(r);

	if (peer == IPC_AUTH)
		f->asker++;
}

static void on_peer_gone(struct role *r, enum ipc_role peer, unsigned index)
{
	struct fetch *f = role_state(r);

	if (peer == IPC_AUTH)
		fetch_shell_asker_gone(&f->shell, f->asker);
}

/* A frame of the right length whose fields do not fit: auth is answered, so that it does not wait. */
static void answer_broken(struct fetch *f, struct ipc_channel *ch, uint32_t id)
{
	const struct fetch_request none = {
		.id = id, .class = BASE_ERROR_PEER, .error = "the request could not be read"};

	log_write(LOG_LEVEL_ERROR, "auth sent an HTTPS request that cannot be read");
	fetch_core_reply(&none, &f->shell.frame);
	(void)ipc_send(ch, &f->shell.frame, NULL, 0);
	base_buf_clear(&f->shell.frame);
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct fetch *f = role_state(r);

	if (frame->type == IPC_FETCH_WANT && !fetch_shell_want(&f->shell, f->asker, frame))
		answer_broken(f, ch, frame->id);
}

static void on_drain(struct role *r, uint32_t limit_ms)
{
	struct fetch *f = role_state(r);

	fetch_shell_drain(&f->shell);
}

static void on_close(struct role *r)
{
	struct fetch *f = role_state(r);

	fetch_shell_close(&f->shell);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_FETCH,
		.sandbox = ROLE_MAY_CONNECT_NET | ROLE_MAY_FILES,
		.paths = on_paths,
		.open = on_open,
		.reload = on_reload,
		.peer = on_peer,
		.peer_frame = on_peer_frame,
		.peer_gone = on_peer_gone,
		.drain = on_drain,
		.close = on_close,
	};
	static struct fetch fetch;

	if (argc > 1 && strcmp(argv[1], "once") == 0)
		return fetch_once(argc, argv);
	return role_main(argc, argv, &handlers, &fetch);
}
