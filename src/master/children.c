/* The core's effects on real processes: start, introduce, drain, kill; and their frames. */
#include "master/server.h"

#include "base/clock.h"
#include "loop/log.h"
#include "master/memory_file.h"
#include "master/spawn.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

bool child_has_role(const struct child *c, enum ipc_role role)
{
	return c->server->core.children[c->number].role == role;
}

static enum ipc_role role_of(const struct child *c)
{
	return c->server->core.children[c->number].role;
}

static unsigned index_of(const struct child *c)
{
	return c->server->core.children[c->number].index;
}

static void send_frame(struct child *c, const struct base_buf *b, const int *fds, unsigned fd_count)
{
	if (c->ch)
		(void)ipc_send(c->ch, b, fds, fd_count);
}

static void could_not(struct child *c, const char *what, const struct base_error *err)
{
	log_write(LOG_LEVEL_ERROR, "%s %u: %s: %s", ipc_role_name(role_of(c)), index_of(c), what,
		err->text);
}

void child_send_conf(struct child *c, bool first)
{
	struct server *s = c->server;
	struct base_buf text, frame;
	struct base_error err;
	unsigned count = 0;
	int fd;

	for (unsigned i = 0; i < s->core.count; i++)
		count += s->core.children[i].role == role_of(c) && !s->core.children[i].surplus;
	base_buf_init(&text, 1 << 24);
	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	conf_render(s->conf, role_of(c), &text);
	ipc_begin(&frame, IPC_CONF, 0);
	ipc_put_u32(&frame, index_of(c));
	ipc_put_u32(&frame, count);
	ipc_put_u8(&frame, first);
	ipc_put_text(&frame, s->instance);
	if (memory_file_make("conf", base_buf_slice(&text), &fd, &err) == 0) {
		send_frame(c, &frame, &fd, 1);
		close(fd);
	} else {
		could_not(c, "configuration", &err);
	}
	base_buf_release(&frame);
	base_buf_release(&text);
}

void child_send_tls(struct child *c)
{
	struct base_buf frame;
	struct base_error err;
	int fd;

	if (c->server->certificate.chain.len == 0)
		return;
	if (certificate_export(&c->server->certificate, &fd, &err) != 0) {
		could_not(c, "certificate", &err);
		return;
	}
	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_TLS, 0);
	send_frame(c, &frame, &fd, 1);
	base_buf_release(&frame);
	close(fd);
}

void child_send_listener(struct child *c, const struct door *door, bool gone)
{
	struct base_buf frame;

	if (!gone && door->fd < 0)
		return;
	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, gone ? IPC_LISTENER_GONE : IPC_LISTENER, 0);
	ipc_put_u8(&frame, (uint8_t)door->kind);
	ipc_put_text(&frame, door->name);
	send_frame(c, &frame, &door->fd, gone ? 0 : 1);
	base_buf_release(&frame);
}

static void send_counters(struct child *c)
{
	struct base_buf frame;

	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_COUNTERS, 0);
	send_frame(c, &frame, &c->server->counters_fd, 1);
	base_buf_release(&frame);
}

static void send_peer(
	struct child *c, enum ipc_role role, unsigned index, uint32_t generation, int fd)
{
	struct base_buf frame;

	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_PEER, generation);
	ipc_put_u8(&frame, (uint8_t)role);
	ipc_put_u32(&frame, index);
	ipc_put_u8(&frame, 0);
	send_frame(c, &frame, &fd, 1);
	base_buf_release(&frame);
}

static void introduce(struct server *s, const struct master_effect *e)
{
	struct child *a = &s->children[e->a], *b = &s->children[e->b];
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		log_write(LOG_LEVEL_ERROR, "cannot connect %s to %s: %s", ipc_role_name(role_of(a)),
			ipc_role_name(role_of(b)), strerror(errno));
		return;
	}
	send_peer(a, role_of(b), index_of(b), e->generation, pair[0]);
	send_peer(b, role_of(a), index_of(a), e->generation, pair[1]);
	close(pair[0]);
	close(pair[1]);
}

/* The journal listens to the master as well. */
static void on_journal_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
}

static void on_journal_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct server *s = arg;

	s->journal = NULL;
	log_set_journal(NULL, NULL);
}

static void meet_journal(struct child *journal)
{
	static const struct ipc_handlers handlers = {
		.frame = on_journal_frame,
		.closed = on_journal_closed,
	};
	struct server *s = journal->server;
	int pair[2];

	if (s->journal) {
		log_set_journal(NULL, NULL);
		ipc_channel_free(&s->journal);
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return;
	send_peer(journal, IPC_MASTER, 0, 0, pair[1]);
	close(pair[1]);
	s->journal = ipc_channel_new(&s->loop, pair[0], IPC_MASTER, IPC_JOURNAL, &handlers, s);
	log_set_journal(s->journal, NULL);
}

static void on_refused(struct child *c, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice why = ipc_get_bytes(&in);
	struct log_record r;

	log_begin(&r, LOG_LEVEL_ERROR, LOG_KIND_SYSTEM);
	log_put_text(&r, LOG_KEY_TEXT, "a role refused what it was given; the old one stays");
	log_put_text(&r, LOG_KEY_ROLE, ipc_role_name(role_of(c)));
	log_put(&r, LOG_KEY_REASON, why);
	log_commit(&r);
}

static void on_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct child *c = arg;
	struct server *s = c->server;
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned role, index;

	if (frame->type == IPC_READY) {
		master_core_said_ready(&s->core, c->number);
	} else if (frame->type == IPC_WANT_AUTH) {
		auth_stream_wanted(c);
	} else if (frame->type == IPC_REFUSED) {
		on_refused(c, frame);
	} else if (frame->type == IPC_WANT_PEER) {
		role = ipc_get_u8(&in);
		index = ipc_get_u32(&in);
		if (role < IPC_ROLE_COUNT)
			master_core_want_peer(
				&s->core, c->number, (enum ipc_role)role, index, frame->id);
	}
	server_run_core(s);
}

static void on_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct child *c = arg;

	c->ch = NULL;
	/* A role that breaks the table is not to be reasoned with. One that ended is reaped soon. */
	if (strcmp(why, "the other side closed") != 0) {
		log_write(LOG_LEVEL_ERROR, "%s %u is killed: %s", ipc_role_name(role_of(c)),
			index_of(c), why);
		if (c->pid > 0)
			kill(c->pid, SIGKILL);
	}
}

static void greet(struct child *c)
{
	struct server *s = c->server;

	child_send_conf(c, true);
	if (child_has_role(c, IPC_FRONT)) {
		send_counters(c);
		child_send_tls(c);
	}
	if (child_has_role(c, IPC_JOURNAL))
		meet_journal(c);
	if (child_has_role(c, IPC_AUTH))
		child_send_account_files(c);
	for (size_t i = 0; i < s->doors.count; i++) {
		if (door_is_for(&s->doors.items[i], role_of(c)))
			child_send_listener(c, &s->doors.items[i], false);
	}
	if (child_has_role(c, IPC_FRONT))
		child_send_relay_ctrl(c);
}

/* The account of a process: that of all roles, or its provider's own. */
static int account_of(const struct child *c, struct account *out, struct base_error *err)
{
	const struct server *s = c->server;
	const struct conf_provider *p = child_has_role(c, IPC_PROVIDER)
		? conf_provider_of_process(s->conf, index_of(c))
		: NULL;
	int rc;

	*out = s->account;
	if (!p || !p->run_as)
		return 0;
	rc = account_find(p->run_as, out, err);
	out->gain = true;
	return rc;
}

static int spawn(struct child *c, int channel, struct base_error *err)
{
	struct account account;
	int rc = account_of(c, &account, err);

	if (rc == 0)
		rc = spawn_role(c->server->directory, role_of(c), index_of(c), channel, &account,
			&c->pid, err);
	return rc;
}

static void start(struct child *c)
{
	static const struct ipc_handlers handlers = {.frame = on_frame, .closed = on_closed};
	struct server *s = c->server;
	int64_t now = base_clock_monotonic_ms();
	struct base_error err;
	int pair[2], rc;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
		rc = base_error_errno(&err, BASE_ERROR_TEMPORARY, errno, "socketpair");
	} else {
		rc = spawn(c, pair[1], &err);
		close(pair[1]);
		if (rc != 0)
			close(pair[0]);
	}
	if (rc != 0) {
		could_not(c, "cannot be started", &err);
		master_core_exited(&s->core, c->number, now);
		return;
	}
	if (c->ch)
		ipc_channel_free(&c->ch);
	c->ch = ipc_channel_new(&s->loop, pair[0], IPC_MASTER, role_of(c), &handlers, c);
	c->wants_auth = false;
	greet(c);
	master_core_spawned(&s->core, c->number, now);
	auth_stream_serve(s);
}

static void drain(struct child *c, uint32_t limit_ms)
{
	struct base_buf frame;

	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_DRAIN, 0);
	ipc_put_u32(&frame, limit_ms);
	/* The journal ends last; what the master says from now on goes to standard error. */
	if (child_has_role(c, IPC_JOURNAL))
		log_flush();
	send_frame(c, &frame, NULL, 0);
	base_buf_release(&frame);
}

static void apply(struct server *s, const struct master_effect *e)
{
	struct child *a = &s->children[e->a];

	switch (e->kind) {
	case MASTER_SPAWN:
		start(a);
		break;
	case MASTER_PEER:
		introduce(s, e);
		break;
	case MASTER_READY:
		log_flush();
		(void)!write(STDERR_FILENO, "postern: ready\n", 15);
		break;
	case MASTER_DRAIN:
		drain(a, e->limit_ms);
		break;
	case MASTER_KILL:
		log_write(LOG_LEVEL_WARNING, "%s %u did not end in time and is killed",
			ipc_role_name(role_of(a)), index_of(a));
		if (a->pid > 0)
			kill(a->pid, SIGKILL);
		break;
	case MASTER_END:
		s->over = true;
		uv_stop(&s->loop);
		break;
	}
}

static void on_wake(uv_timer_t *timer)
{
	server_run_core(timer->data);
}

void server_run_core(struct server *s)
{
	struct master_effect e;
	int64_t wait;

	while (!s->over && master_core_next(&s->core, base_clock_monotonic_ms(), &e))
		apply(s, &e);
	if (s->over)
		return;
	wait = master_core_wait_ms(&s->core, base_clock_monotonic_ms());
	if (wait < 0) {
		uv_timer_stop(&s->wake);
	} else {
		uv_update_time(&s->loop);
		uv_timer_start(&s->wake, on_wake, (uint64_t)wait, 0);
	}
}

static void describe_end(int status, char *out, size_t size)
{
	if (WIFSIGNALED(status))
		snprintf(out, size, "ended by signal %d", WTERMSIG(status));
	else if (WEXITSTATUS(status) == 127)
		snprintf(out, size, "could not be started");
	else
		snprintf(out, size, "ended with status %d", WEXITSTATUS(status));
}

static void reaped(struct child *c, int status)
{
	struct server *s = c->server;
	struct master_child *core_child = &s->core.children[c->number];
	bool expected = core_child->state == MASTER_CHILD_LEAVING;
	char how[64];

	c->pid = 0;
	ipc_channel_free(&c->ch);
	c->wants_auth = false;
	if (child_has_role(c, IPC_JOURNAL) && s->journal) {
		log_set_journal(NULL, NULL);
		ipc_channel_free(&s->journal);
	}
	master_core_exited(&s->core, c->number, base_clock_monotonic_ms());
	describe_end(status, how, sizeof(how));
	/* A provider whose section changed ends by itself. */
	if (!expected && !(status == 0 && child_has_role(c, IPC_PROVIDER)))
		log_write(LOG_LEVEL_WARNING, "%s %u %s%s", ipc_role_name(role_of(c)), index_of(c),
			how, core_child->state == MASTER_CHILD_DOWN ? "; it is started again" : "");
}

void server_reap(struct server *s)
{
	int status;

	for (unsigned i = 0; i < s->core.count; i++) {
		struct child *c = &s->children[i];

		if (c->pid > 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
			reaped(c, status);
	}
	server_run_core(s);
}
