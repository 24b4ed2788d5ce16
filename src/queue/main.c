/* queue/main.c: the queue as a process
 *
 * A turn of the loop: every frame that has come reaches the core; then, before the loop sleeps again,
 * queue_core_turn() commits and answers. What fronts send in several frames, and files that they
 * write, are kept by queue/front.c until the message is whole. */
#include "queue/shell.h"

#include "base/clock.h"
#include "loop/control.h"
#include "loop/log.h"

#include <string.h>

static void arm(struct queue_shell *q, int64_t wait_ms)
{
	uv_timer_start(&q->timer, queue_shell_on_timer, (uint64_t)(wait_ms > 0 ? wait_ms : 0), 0);
}

static bool fronts_are_gone(struct queue_shell *q)
{
	for (unsigned i = 0; i < role_peer_count(q->role, IPC_FRONT); i++)
		if (role_peer(q->role, IPC_FRONT, i))
			return false;
	return true;
}

void queue_shell_turn(struct queue_shell *q)
{
	int64_t wait_ms;

	q->events = false;
	wait_ms = queue_core_turn(q->core, base_clock_wall_ms());
	arm(q, wait_ms);
	if (role_draining(q->role) && queue_core_is_idle(q->core) && fronts_are_gone(q))
		role_stop(q->role, 0);
}

void queue_shell_on_timer(uv_timer_t *timer)
{
	/* Not by way of on_check(): between a timer and that the loop may sleep. */
	queue_shell_turn(timer->data);
}

/* After all sockets had their say. */
static void on_check(uv_check_t *check)
{
	struct queue_shell *q = check->data;

	if (q->events)
		queue_shell_turn(q);
}

static size_t paths(struct role *r, struct role_path *out, size_t max)
{
	out[0] = (struct role_path){.path = base_strdup(role_conf(r)->data), .write = true};
	return 1;
}

static int open_all(struct role *r, struct base_error *err)
{
	struct queue_shell *q = role_state(r);
	struct spool_options options = {.data_dir = role_conf(r)->data, .owner = role_instance(r)};
	int rc = spool_open(&q->spool, &options, err);

	if (rc != 0)
		return rc;
	q->role = r;
	base_buf_init(&q->frame, IPC_FRAME_MAX_BYTES);
	base_buf_init(&q->job, 64 * 1024 * 1024);
	q->core = queue_core_new(
		q->spool, &queue_shell_ports, q, role_conf(r), base_clock_wall_ms());
	return 0;
}

static void start(struct role *r)
{
	struct queue_shell *q = role_state(r);

	uv_timer_init(role_loop(r), &q->timer);
	uv_check_init(role_loop(r), &q->check);
	q->timer.data = q->check.data = q;
	uv_check_start(&q->check, on_check);
	arm(q, 0);
}

static int reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct queue_shell *q = role_state(r);

	if (strcmp(conf->data, role_conf(r)->data) != 0)
		return base_error_set(err, BASE_ERROR_CONFIG, 0,
			"\"data\" cannot be changed by a reload; restart the server");
	queue_core_set_conf(q->core, conf);
	return 0;
}

static void peer(struct role *r, enum ipc_role kind, unsigned index, struct ipc_channel *ch, int fd)
{
	struct queue_shell *q = role_state(r);

	if (kind == IPC_FRONT)
		queue_front_up(q, index);
	else if (kind == IPC_RELAY || kind == IPC_DELIVER)
		queue_core_peer_up(q->core, kind, index);
	q->events = true;
}

static void peer_gone(struct role *r, enum ipc_role kind, unsigned index)
{
	struct queue_shell *q = role_state(r);

	if (kind == IPC_FRONT)
		queue_front_down(q, index);
	else if (kind == IPC_RELAY || kind == IPC_DELIVER)
		queue_core_peer_down(q->core, kind, index);
	if (kind == IPC_RELAY)
		queue_accounts_relay_gone(q, index);
	q->events = true;
}

static void on_worker_frame(
	struct queue_shell *q, enum ipc_role kind, unsigned index, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);

	if (frame->type == IPC_CAPACITY)
		queue_core_capacity(q->core, kind, index, ipc_get_u32(&in));
	else if (frame->type == IPC_ACCOUNT_STATE)
		queue_accounts_state(q, index, frame->body);
	else if (frame->type == IPC_JOB_RESULT &&
		!queue_core_result(
			q->core, kind, index, frame->id, frame->body, base_clock_wall_ms()))
		log_write(LOG_LEVEL_WARNING,
			"a result of %s %u is broken or nobody's; "
			"its message is tried again",
			ipc_role_name(kind), index);
}

static void peer_frame(struct role *r, enum ipc_role kind, unsigned index, struct ipc_channel *ch,
	struct ipc_frame *frame)
{
	struct queue_shell *q = role_state(r);

	q->events = true;
	if (kind == IPC_FRONT)
		queue_front_frame(q, index, frame);
	else
		on_worker_frame(q, kind, index, frame);
	if (queue_core_wants_turn(q->core))
		queue_shell_turn(q);
}

static void listener(struct role *r, enum ipc_listener kind, const char *name, int fd)
{
	static const struct control_frames frames = {
		.frame = queue_submitter_frame, .gone = queue_submitter_gone};

	if (kind == IPC_LISTENER_CONTROL)
		control_serve_frames(r, fd, queue_control, &frames);
}

static void drain(struct role *r, uint32_t limit_ms)
{
	struct queue_shell *q = role_state(r);

	queue_core_drain(q->core);
	q->events = true;
	arm(q, 0);
}

static void close_all(struct role *r)
{
	struct queue_shell *q = role_state(r);

	queue_control_close(q);
	queue_front_close(q);
	queue_accounts_close(q);
	queue_core_free(&q->core);
	spool_close(&q->spool);
	base_buf_release(&q->frame);
	base_buf_release(&q->job);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_QUEUE,
		.sandbox = ROLE_MAY_FILES,
		.paths = paths,
		.open = open_all,
		.start = start,
		.reload = reload,
		.peer = peer,
		.peer_gone = peer_gone,
		.peer_frame = peer_frame,
		.listener = listener,
		.drain = drain,
		.close = close_all,
	};
	static struct queue_shell shell;

	return role_main(argc, argv, &handlers, &shell);
}
