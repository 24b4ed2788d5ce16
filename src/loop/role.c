/* How a role program lives, for those who write one.
 *
 * main() is three lines: a static const struct role_handlers, the role's own state, and
 *	return role_main(argc, argv, &handlers, &state);
 *
 * Start     descriptor 3 is the master. role_main() reads the first CONF frame (blocking), parses it
 *           and calls open(): databases, key files, resolvers, OpenSSL's algorithms are opened there,
 *           because after it the sandbox shuts the doors. Then start(), then READY to the master. The
 *           loop exists before open(), so handles may be made in either.
 * Peers     arrive by peer(), again after every restart of the other side: between peer_gone() and the
 *           next peer() there is none, and role_peer() is null. Never keep a channel beyond peer_gone();
 *           ask role_peer() when you send. A channel that broke while both live (somebody broke the
 *           table) is replaced by the master by itself. Who meets whom: front-auth (a stream, the Dovecot
 *           protocol), front-queue, auth-worker, queue-relay, queue-deliver, relay-auth; for all pairs
 *           of indices. The journal is everybody's peer and is never shown: loop/log.h uses it.
 * Stream    front gets @fd for the stream to auth (or to auth { service }), auth gets the other end. It
 *           is non-blocking and close-on-exec. front calls role_want_auth() at its start and when the
 *           stream ended; each question is answered once, as soon as there is an auth to talk to.
 * Listeners @fd listens, is non-blocking and shared with the role's other processes: accept4() until
 *           EAGAIN, and be ready for EAGAIN at the first call. Poll it with uv_poll. After EMFILE stop
 *           polling for a while. A CONTROL listener goes straight to control_serve().
 * Frames    of peers come by peer_frame(), already checked against the table: who, length, descriptors.
 *           The body is still a stranger's: read it with ipc_get_*() and look at ipc_reader_done(). To
 *           keep a descriptor set its slot to -1.
 * Reload    CONF again: reload() may refuse; until it returns 0 role_conf() is the old one, after that
 *           the old one is freed: keep no pointers into it.
 * Logging   log_begin() … log_commit() from the first line on; lines of some milliseconds go out
 *           together, warnings and errors at once.
 * End       drain(): take no new work, call role_stop(r, 0) when idle; after the limit the loop ends
 *           anyway. Without a drain() the role stops at once. close() releases all; handles left open
 *           are closed after it, their callbacks still run.
 * Death     of the master is noticed by descriptor 3, and by a signal, in case the loop hangs: two
 *           seconds later the process is gone. SIGINT, SIGTERM and SIGHUP are the master's business. */
#include "loop/role.h"

#include "base/clock.h"
#include "loop/control.h"
#include "loop/log.h"
#include "loop/role_internal.h"
#include "loop/sandbox.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MASTER_FD = 3,
	PATHS_MAX = 64,
	LAST_WORDS_MS = 500,
	HUNG_S = 2,
};

uv_loop_t *role_loop(struct role *r)
{
	return &r->loop;
}

enum ipc_role role_kind(const struct role *r)
{
	return r->h->role;
}

void *role_state(struct role *r)
{
	return r->state;
}

const struct conf *role_conf(const struct role *r)
{
	return r->conf;
}

unsigned role_index(const struct role *r)
{
	return r->index;
}

unsigned role_count(const struct role *r)
{
	return r->count;
}

const char *role_instance(const struct role *r)
{
	return r->instance;
}

struct ipc_channel *role_master(struct role *r)
{
	return r->master;
}

bool role_draining(const struct role *r)
{
	return r->draining;
}

void role_set_sandbox(struct role *r, unsigned flags)
{
	r->sandbox = flags;
}

void role_stop(struct role *r, int status)
{
	if (!r->stopping)
		r->status = status;
	r->stopping = true;
	uv_stop(&r->loop);
}

static bool tell_master(struct role *r, enum ipc_frame_type type, uint32_t id)
{
	struct ipc_header header = {.type = (uint16_t)type, .id = id};
	struct base_slice part = base_slice_make(&header, sizeof(header));

	return r->master && ipc_send_parts(r->master, &part, 1, NULL, 0);
}

void role_want_auth(struct role *r)
{
	(void)tell_master(r, IPC_WANT_AUTH, 0);
}

void role_refuse(struct role *r, const struct base_error *err)
{
	struct base_buf b;

	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	ipc_begin(&b, IPC_REFUSED, 0);
	ipc_put_text(&b, err->text);
	if (r->master)
		(void)ipc_send(r->master, &b, NULL, 0);
	base_buf_release(&b);
}

/* Configuration */

static int read_memory_file(int fd, struct base_buf *out, struct base_error *err)
{
	struct stat st;
	void *map;

	if (fstat(fd, &st) != 0 || st.st_size < 0 || st.st_size > 1 << 24)
		return base_error_set(err, BASE_ERROR_PEER, 0, "configuration has no proper size");
	if (st.st_size == 0)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return base_error_set(err, BASE_ERROR_TEMPORARY, 0, "cannot map the configuration");
	base_buf_append(out, map, (size_t)st.st_size);
	munmap(map, (size_t)st.st_size);
	return 0;
}

static struct conf *parse_conf(struct role *r, struct ipc_frame *frame, struct base_error *err)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct conf_findings findings = {0};
	struct base_slice instance;
	struct conf *conf = NULL;
	struct base_buf text;

	r->index = ipc_get_u32(&in);
	r->count = ipc_get_u32(&in);
	(void)ipc_get_u8(&in);
	instance = ipc_get_bytes(&in);
	if (!ipc_reader_done(&in) || instance.len >= sizeof(r->instance)) {
		base_error_set(err, BASE_ERROR_PEER, 0, "the master sent a broken CONF frame");
		return NULL;
	}
	memcpy(r->instance, instance.ptr, instance.len);
	r->instance[instance.len] = 0;
	base_buf_init(&text, 1 << 24);
	if (read_memory_file(frame->fds[0], &text, err) == 0) {
		conf = conf_parse(base_buf_slice(&text), "configuration", "/", &findings);
		if (!conf)
			base_error_set(err, BASE_ERROR_CONFIG, 0, "configuration line %u: %s",
				findings.count ? findings.items[0].line : 0,
				findings.count ? findings.items[0].text : "cannot be read");
	}
	conf_findings_release(&findings);
	base_buf_release(&text);
	if (conf)
		log_set_json(conf->log_format == CONF_LOG_JSON);
	return conf;
}

static void take_conf(struct role *r, struct ipc_frame *frame)
{
	struct base_error err = {0};
	struct conf *conf = parse_conf(r, frame, &err);

	if (conf && r->h->reload && r->h->reload(r, conf, &err) != 0)
		conf_free(&conf);
	if (!conf) {
		role_refuse(r, &err);
		return;
	}
	conf_free(&r->conf);
	r->conf = conf;
}

/* Frames of the master */

static void take_listener(struct role *r, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	unsigned kind = ipc_get_u8(&in);
	struct base_slice text = ipc_get_bytes(&in);
	char *name;

	if (!ipc_reader_done(&in) || kind > IPC_LISTENER_CONTROL || base_slice_has(text, 0))
		return;
	name = base_slice_dup(text);
	if (frame->type == IPC_LISTENER && r->h->listener) {
		r->h->listener(r, (enum ipc_listener)kind, name, frame->fds[0]);
		frame->fds[0] = -1;
	} else if (frame->type == IPC_LISTENER_GONE && r->h->listener_gone) {
		r->h->listener_gone(r, (enum ipc_listener)kind, name);
	}
	free(name);
}

static void on_drain_timer(uv_timer_t *timer)
{
	role_stop(timer->data, 0);
}

static void take_drain(struct role *r, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	uint32_t limit_ms = ipc_get_u32(&in);

	if (r->draining)
		return;
	r->draining = true;
	uv_timer_start(&r->drain_timer, on_drain_timer, limit_ms, 0);
	if (r->h->drain)
		r->h->drain(r, limit_ms);
	else
		role_stop(r, 0);
}

static void on_master_frame(struct ipc_channel *ch, struct ipc_frame *frame, void *arg)
{
	struct role *r = arg;

	if (r->stopping)
		return;
	if (frame->type == IPC_PEER)
		role_peers_take(r, frame);
	else if (frame->type == IPC_CONF)
		take_conf(r, frame);
	else if (frame->type == IPC_LISTENER || frame->type == IPC_LISTENER_GONE)
		take_listener(r, frame);
	else if (frame->type == IPC_DRAIN)
		take_drain(r, frame);
	else if (r->h->master_frame)
		r->h->master_frame(r, frame);
}

static void on_master_closed(struct ipc_channel *ch, const char *why, void *arg)
{
	struct role *r = arg;

	r->master = NULL;
	role_stop(r, 1);
}

/* Life */

static void on_orphaned(int signal_number)
{
	alarm(HUNG_S);
}

static void set_signals(void)
{
	struct sigaction orphaned = {.sa_handler = on_orphaned, .sa_flags = SA_RESTART};

	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGHUP, SIG_IGN);
	sigaction(SIGUSR2, &orphaned, NULL);
	prctl(PR_SET_PDEATHSIG, SIGUSR2);
}

static void on_log_timer(uv_timer_t *timer)
{
	log_flush();
}

static void on_before_wait(uv_prepare_t *prepare)
{
	struct role *r = prepare->data;

	if (log_waits() && !uv_is_active((uv_handle_t *)&r->log_timer))
		uv_timer_start(&r->log_timer, on_log_timer, LOG_GATHER_MS, 0);
}

static void make_handles(struct role *r)
{
	BASE_BUG_IF(uv_loop_init(&r->loop) != 0);
	uv_prepare_init(&r->loop, &r->before_wait);
	uv_timer_init(&r->loop, &r->drain_timer);
	role_peers_init(r);
	uv_timer_init(&r->loop, &r->log_timer);
	r->before_wait.data = r;
	r->drain_timer.data = r;
}

/* Read CONF and open what must be open before the doors close. */
static int begin(struct role *r, struct base_error *err)
{
	struct base_buf b;
	struct ipc_frame frame;
	const char *wrong = NULL;
	int rc;

	base_buf_init(&b, IPC_FRAME_MAX_BYTES);
	rc = ipc_read_blocking(MASTER_FD, &b, &frame, err);
	if (rc == 0) {
		wrong = ipc_frame_check(IPC_MASTER, r->h->role, base_buf_slice(&b), frame.fd_count);
		if (wrong || frame.type != IPC_CONF)
			rc = base_error_set(err, BASE_ERROR_PEER, 0, "the master's first word: %s",
				wrong ? wrong : "not CONF");
		else
			r->conf = parse_conf(r, &frame, err);
		for (unsigned i = 0; i < frame.fd_count; i++)
			close(frame.fds[i]);
	}
	base_buf_release(&b);
	if (rc == 0 && !r->conf)
		rc = err->class;
	if (rc == 0 && r->h->open)
		rc = r->h->open(r, err);
	return rc;
}

static int shut_doors(struct role *r, struct base_error *err)
{
	struct role_path paths[PATHS_MAX];
	struct sandbox_path doors[PATHS_MAX];
	size_t count = r->h->paths ? r->h->paths(r, paths, PATHS_MAX) : 0;
	int rc;

	for (size_t i = 0; i < count; i++)
		doors[i] = (struct sandbox_path){paths[i].path, paths[i].write};
	rc = sandbox_enter(r->sandbox, doors, count, err);
	for (size_t i = 0; i < count; i++)
		free(paths[i].path);
	return rc;
}

static void run(struct role *r)
{
	static const struct ipc_handlers handlers = {
		.frame = on_master_frame,
		.closed = on_master_closed,
	};

	r->master = ipc_channel_new(&r->loop, MASTER_FD, r->h->role, IPC_MASTER, &handlers, r);
	uv_prepare_start(&r->before_wait, on_before_wait);
	if (r->h->start)
		r->h->start(r);
	(void)tell_master(r, IPC_READY, 0);
	if (!r->stopping)
		uv_run(&r->loop, UV_RUN_DEFAULT);
}

/* What was sent but is still here gets a moment: the journal's lines above all. */
static void last_words(struct role *r)
{
	int64_t end = base_clock_monotonic_ms() + LAST_WORDS_MS;
	struct ipc_channel *journal;

	log_flush();
	while ((journal = role_peer(r, IPC_JOURNAL, 0)) && r->h->role != IPC_JOURNAL &&
		ipc_channel_pending(journal) > 0 && base_clock_monotonic_ms() < end) {
		uv_run(&r->loop, UV_RUN_NOWAIT);
		usleep(1000);
	}
	log_end();
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void end(struct role *r)
{
	r->stopping = true;
	if (r->h->close)
		r->h->close(r);
	control_close_all();
	last_words(r);
	role_peers_release(r);
	ipc_channel_free(&r->master);
	uv_walk(&r->loop, close_handle, NULL);
	for (int i = 0; i < 8 && uv_loop_alive(&r->loop); i++)
		uv_run(&r->loop, UV_RUN_NOWAIT);
	(void)uv_loop_close(&r->loop);
	conf_free(&r->conf);
}

int role_main(int argc, char **argv, const struct role_handlers *handlers, void *state)
{
	struct role r = {.h = handlers, .state = state, .sandbox = handlers->sandbox};
	struct base_error err = {0};

	if (fcntl(MASTER_FD, F_GETFD) < 0) {
		log_write(LOG_LEVEL_ERROR, "%s is started by postern serve, not by hand",
			argc > 0 ? argv[0] : "this program");
		return 1;
	}
	fcntl(MASTER_FD, F_SETFD, FD_CLOEXEC);
	/* Started through a descriptor, the kernel would call it by the descriptor's number. */
	prctl(PR_SET_NAME, argc > 0 ? argv[0] : ipc_role_name(handlers->role));
	umask(077);
	log_set_journal(NULL, ipc_role_name(handlers->role));
	set_signals();
	make_handles(&r);
	if (begin(&r, &err) != 0 || shut_doors(&r, &err) != 0) {
		r.status = 1;
		log_error(LOG_LEVEL_ERROR, ipc_role_name(handlers->role), &err);
	} else {
		run(&r);
	}
	end(&r);
	return r.status;
}
