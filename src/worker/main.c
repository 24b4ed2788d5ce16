/* postern-worker: does for auth what takes long. No network, no files. */
#include "base/clock.h"
#include "loop/role.h"
#include "worker/core.h"

struct worker {
	struct base_buf reply;
};

static int on_open(struct role *r, struct base_error *err)
{
	struct worker *w = role_state(r);

	base_buf_init_secret(&w->reply, IPC_FRAME_MAX_BYTES);
	return 0;
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	struct worker *w = role_state(r);
	uint8_t random[VAULT_CREDENTIALS_RANDOM_BYTES];

	base_random_fill(random, sizeof(random));
	if (worker_core_answer(frame, random, &w->reply))
		(void)ipc_send(ch, &w->reply, NULL, 0);
	base_buf_clear(&w->reply);
	base_wipe(random, sizeof(random));
}

static void on_close(struct role *r)
{
	struct worker *w = role_state(r);

	base_buf_release(&w->reply);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_WORKER,
		.open = on_open,
		.peer_frame = on_peer_frame,
		.close = on_close,
	};
	struct worker worker = {0};

	return role_main(argc, argv, &handlers, &worker);
}
