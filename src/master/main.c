/* postern-master CONFIGURATION: the server's first process, in the foreground.
 *
 * Start: configuration, account, directories, sockets, certificate, counters; then privileges are
 * dropped, and then roles are started. From there on everything is events: a child's frame or end, a
 * signal, a timer; each ends in server_run_core(). */
#include "master/places.h"
#include "master/server.h"

#include "base/clock.h"
#include "base/id.h"
#include "loop/counters.h"
#include "loop/log.h"
#include "loop/sandbox.h"
#include "master/spawn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	LOOK_EVERY_MS = 2000,
	WORKERS_MIN = 2,
	WORKERS_MAX = 16,
	RELAYS_MAX = 2,
};

static int load_conf(struct server *s)
{
	struct conf_findings findings = {0};

	s->conf = conf_load(s->conf_path, &findings);
	if (s->conf)
		log_set_json(s->conf->log_format == CONF_LOG_JSON);
	server_log_findings(s->conf_path, &findings);
	conf_findings_release(&findings);
	return s->conf ? 0 : -1;
}

static int prepare(struct server *s, struct base_error *err)
{
	struct base_id id;
	uint8_t random[5];
	int rc;

	base_random_fill(random, sizeof(random));
	id = base_id_make(base_clock_wall_ms(), random);
	snprintf(s->instance, sizeof(s->instance), "%s", id.text);
	s->directory = spawn_directory();
	if (!s->directory)
		return base_error_errno(
			err, BASE_ERROR_CONFIG, errno, "cannot find the role programs");
	rc = account_find(s->conf->user, &s->account, err);
	if (rc == 0)
		rc = places_prepare(s->conf, &s->account, err);
	if (rc == 0)
		rc = doors_open(&s->doors, s->conf, &s->account, err);
	if (rc == 0)
		rc = certificate_open(
			&s->certificate, s->conf, &s->account, base_clock_wall_ms(), err);
	if (rc == 0)
		rc = counters_create(s->conf->limits.connections, &s->counters_fd, err);
	if (rc == 0)
		rc = account_drop(
			&s->account, s->conf->auth.service && s->conf->auth.service[0], err);
	return rc;
}

/* One line for what this kernel does not have. */
static void name_missing_layers(void)
{
	struct sandbox_kernel k = sandbox_kernel();

	if (k.landlock_abi > 0 && k.seccomp)
		return;
	log_write(LOG_LEVEL_WARNING, "sandbox: %s%s%s not to be had here; the roles run without",
		k.landlock_abi > 0 ? "" : "Landlock",
		k.landlock_abi > 0 || k.seccomp ? "" : " and ", k.seccomp ? "" : "seccomp");
}

static unsigned clamp(unsigned value, unsigned min, unsigned max)
{
	return value < min ? min : value > max ? max : value;
}

void server_plan_providers(struct server *s)
{
	unsigned before = s->core.count;

	master_core_want(&s->core, IPC_PROVIDER, conf_provider_processes(s->conf),
		base_clock_monotonic_ms());
	for (unsigned i = before; i < s->core.count; i++)
		s->children[i] = (struct child){.server = s, .number = i};
}

static void plan_children(struct server *s)
{
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	unsigned cpus = online > 0 ? (unsigned)online : 1;
	int64_t now = base_clock_monotonic_ms();

	master_core_init(&s->core);
	master_core_add(&s->core, IPC_JOURNAL, 1, now);
	master_core_add(&s->core, IPC_AUTH, 1, now);
	master_core_add(&s->core, IPC_WORKER, clamp(cpus, WORKERS_MIN, WORKERS_MAX), now);
	master_core_add(&s->core, IPC_FETCH, 1, now);
	master_core_add(&s->core, IPC_QUEUE, 1, now);
	master_core_add(&s->core, IPC_RELAY, clamp(cpus / 2, 1, RELAYS_MAX), now);
	master_core_add(&s->core, IPC_DELIVER, 1, now);
	master_core_add(&s->core, IPC_FRONT, clamp(cpus, 1, COUNTERS_FRONTS_MAX), now);
	for (unsigned i = 0; i < s->core.count; i++)
		s->children[i] = (struct child){.server = s, .number = i};
	server_plan_providers(s);
}

static void on_signal(uv_signal_t *handle, int number)
{
	struct server *s = handle->data;

	if (number == SIGCHLD) {
		server_reap(s);
	} else if (number == SIGHUP) {
		server_reload(s);
	} else {
		master_core_stop(&s->core, base_clock_monotonic_ms());
		doors_close(&s->doors, &s->account, true);
	}
	server_run_core(s);
}

static void on_watch(uv_timer_t *timer)
{
	server_look_at_certificate(timer->data);
}

static void on_before_wait(uv_prepare_t *prepare)
{
	log_flush();
}

static void make_handles(struct server *s)
{
	static const int numbers[] = {SIGCHLD, SIGHUP, SIGTERM, SIGINT};

	static_assert(BASE_COUNT(numbers) == BASE_COUNT(s->signals), "one handle for each signal");
	BASE_BUG_IF(uv_loop_init(&s->loop) != 0);
	uv_timer_init(&s->loop, &s->wake);
	uv_timer_init(&s->loop, &s->watch);
	uv_timer_init(&s->loop, &s->auth_retry);
	uv_prepare_init(&s->loop, &s->before_wait);
	uv_prepare_start(&s->before_wait, on_before_wait);
	s->wake.data = s->watch.data = s->auth_retry.data = s;
	for (size_t i = 0; i < BASE_COUNT(numbers); i++) {
		uv_signal_init(&s->loop, &s->signals[i]);
		s->signals[i].data = s;
		uv_signal_start(&s->signals[i], on_signal, numbers[i]);
	}
}

static void run(struct server *s)
{
	make_handles(s);
	plan_children(s);
	name_missing_layers();
	uv_timer_start(&s->watch, on_watch, LOOK_EVERY_MS, LOOK_EVERY_MS);
	server_run_core(s);
	while (!s->over)
		uv_run(&s->loop, UV_RUN_DEFAULT);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
	if (!uv_is_closing(handle))
		uv_close(handle, NULL);
}

static void release(struct server *s)
{
	doors_close(&s->doors, &s->account, true);
	certificate_release(&s->certificate);
	if (s->counters_fd >= 0)
		close(s->counters_fd);
	free(s->directory);
	conf_free(&s->conf);
}

static void close_loop(struct server *s)
{
	if (s->journal) {
		log_set_journal(NULL, NULL);
		ipc_channel_free(&s->journal);
	}
	for (unsigned i = 0; i < s->core.count; i++)
		ipc_channel_free(&s->children[i].ch);
	uv_walk(&s->loop, close_handle, NULL);
	for (int i = 0; i < 8 && uv_loop_alive(&s->loop); i++)
		uv_run(&s->loop, UV_RUN_NOWAIT);
	(void)uv_loop_close(&s->loop);
}

/* The standard three must be there, or sockets would take their numbers. */
static void ensure_standard_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

int main(int argc, char **argv)
{
	static struct server server;
	struct server *s = &server;
	struct rlimit no_core = {0, 0};
	struct base_error err;
	int status = 0;

	ensure_standard_descriptors();
	if (argc != 2) {
		fprintf(stderr,
			"error: postern-master is started by postern serve, as "
			"postern-master CONFIGURATION\n");
		return 2;
	}
	s->counters_fd = -1;
	s->conf_path = argv[1];
	signal(SIGPIPE, SIG_IGN);
	umask(077);
	/* It holds the private key. */
	setrlimit(RLIMIT_CORE, &no_core);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	if (load_conf(s) != 0)
		return 1;
	if (prepare(s, &err) != 0) {
		log_write(LOG_LEVEL_ERROR, "%s", err.text);
		status = 1;
	} else {
		run(s);
		close_loop(s);
	}
	log_end();
	release(s);
	return status;
}
