/* postern-journal: the only writer of the log and of the event store.
 *
 * Lines gather for WRITE_AFTER_MS and events for STORE_AFTER_MS (or a full batch), so that a busy server
 * makes few writes and few transactions. */
#include "journal/core.h"
#include "journal/output.h"

#include "base/clock.h"
#include "loop/control.h"
#include "loop/events.h"
#include "loop/log.h"
#include "loop/role.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	WRITE_AFTER_MS = 10,
	STORE_AFTER_MS = 200,
	PRUNE_EVERY_MS = 600 * 1000, /* or a tenth of what is kept, but not less than */
	PRUNE_LEAST_MS = 1000,
	PRUNE_MORE_MS = 50,
	LAST_FRAMES_MS = 40,
	ANSWER_MAX_BYTES = 64 << 20,
};

struct journal {
	struct role *role;
	struct journal_core core;
	struct events *events; /* null: could not be opened; lines are written all the same */
	char *path;
	uv_timer_t write, store, prune, repeat, last;
	bool pruning; /* prune comes soon */
	int64_t prune_every_ms;
	uint64_t stored;
};

static struct journal *journal_of(struct role *r)
{
	return role_state(r);
}

static char *path_of(const struct conf *conf, const char *suffix)
{
	size_t len = strlen(conf->data) + strlen(suffix) + 16;
	char *path = base_alloc(len);

	snprintf(path, len, "%s/events.db%s", conf->data, suffix);
	return path;
}

static void start_timer(struct journal *j, uv_timer_t *timer, uv_timer_cb cb, int64_t ms)
{
	if (!uv_is_active((uv_handle_t *)timer))
		uv_timer_start(timer, cb, (uint64_t)ms, 0);
}

static void on_repeat(uv_timer_t *timer);
static void on_store(uv_timer_t *timer);

static void on_write(uv_timer_t *timer)
{
	struct journal *j = timer->data;
	bool full;

	base_buf_consume(&j->core.out, output_write(base_buf_slice(&j->core.out), &full));
	if (full)
		start_timer(j, &j->write, on_write, 2 * WRITE_AFTER_MS);
}

static void lines_due(struct journal *j)
{
	int64_t wait = journal_core_wait_ms(&j->core, base_clock_monotonic_ms());

	if (j->core.out.len)
		start_timer(j, &j->write, on_write, WRITE_AFTER_MS);
	if (wait >= 0)
		start_timer(j, &j->repeat, on_repeat, wait + 1);
}

static void on_repeat(uv_timer_t *timer)
{
	struct journal *j = timer->data;

	journal_core_tick(&j->core, base_clock_monotonic_ms(), false);
	lines_due(j);
}

/* The journal's own line takes the same way as everybody's. */
static void store_failed(struct journal *j, const struct base_error *err)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_WARNING, LOG_KIND_SYSTEM);
	log_put_text(&r, LOG_KEY_TEXT, err->text);
	log_put_text(&r, LOG_KEY_REASON, "postern why will not know the latest events");
	journal_core_record(&j->core, base_buf_slice(&r.frame), base_clock_monotonic_ms());
	base_buf_release(&r.frame);
	lines_due(j);
}

static void on_prune(uv_timer_t *timer)
{
	struct journal *j = timer->data;

	j->pruning = j->events && events_prune(j->events, base_clock_wall_ms());
	uv_timer_start(
		timer, on_prune, j->pruning ? PRUNE_MORE_MS : (uint64_t)j->prune_every_ms, 0);
}

static void prune_soon(struct journal *j)
{
	if (!j->pruning)
		uv_timer_start(&j->prune, on_prune, PRUNE_MORE_MS, 0);
	j->pruning = true;
}

static void store(struct journal *j)
{
	struct base_error err;

	uv_timer_stop(&j->store);
	j->stored += events_pending(j->events);
	if (events_flush(j->events, &err) != 0)
		store_failed(j, &err);
	else if (!j->pruning && events_is_large(j->events))
		prune_soon(j);
}

static void on_store(uv_timer_t *timer)
{
	store(timer->data);
}

static void on_event(struct journal *j, struct ipc_frame *frame)
{
	struct base_slice rest = frame->body, record;
	int64_t now = (int64_t)uv_now(role_loop(j->role));

	while (log_frame_next(&rest, &record)) {
		journal_core_record(&j->core, record, now);
		if (j->events && !events_add(j->events, record)) {
			store(j);
			(void)events_add(j->events, record);
		}
	}
	j->core.broken += rest.len > 0;
	if (j->events && events_pending(j->events))
		start_timer(j, &j->store, on_store, STORE_AFTER_MS);
	lines_due(j);
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	if (frame->type == IPC_EVENT)
		on_event(journal_of(r), frame);
}

static void put_status(struct journal *j, struct base_buf *out)
{
	uint64_t rows = 0, bytes = 0, events = j->stored;

	if (j->events) {
		events += events_pending(j->events);
		events_size(j->events, &rows, &bytes);
	}
	base_buf_printf(out,
		"{\"pid\": %d, \"lines\": %llu, \"lines_lost\": %llu, "
		"\"events\": %llu, \"store_rows\": %llu, \"store_bytes\": %llu}",
		(int)getpid(), (unsigned long long)j->core.lines, (unsigned long long)j->core.lost,
		(unsigned long long)events, (unsigned long long)rows, (unsigned long long)bytes);
}

static void on_request(
	struct role *r, const struct control_request *req, struct control_reply *reply)
{
	struct journal *j = journal_of(r);
	struct base_error err = {0};
	struct base_buf out;
	int rc = 0;

	base_buf_init(&out, ANSWER_MAX_BYTES);
	if (control_word_is(req, 0, "status"))
		put_status(j, &out);
	else if (!control_word_is(req, 0, "why"))
		rc = base_error_set(&err, BASE_ERROR_PERMANENT, 0, "journal knows why and status");
	else if (!j->events)
		rc = base_error_set(&err, BASE_ERROR_TEMPORARY, 0, "the event store is not open");
	else
		rc = events_answer(j->events, req, &out, &err);
	if (rc == 0 && !base_buf_ok(&out))
		rc = base_error_set(
			&err, BASE_ERROR_PERMANENT, 0, "the answer is too long; ask for less");
	if (rc == 0)
		control_json(reply, base_buf_slice(&out));
	control_end(reply, rc == 0 ? NULL : &err);
	base_buf_release(&out);
}

static void on_listener(struct role *r, enum ipc_listener kind, const char *name, int fd)
{
	if (kind == IPC_LISTENER_CONTROL)
		control_serve(r, fd, on_request);
	else
		close(fd);
}

static void limit(struct journal *j, const struct conf *conf)
{
	int64_t keep_ms = conf->events.keep_s * 1000;

	if (j->events)
		events_limit(j->events, keep_ms, conf->events.size);
	j->prune_every_ms = keep_ms / 10 < PRUNE_EVERY_MS ? keep_ms / 10 : PRUNE_EVERY_MS;
	if (j->prune_every_ms < PRUNE_LEAST_MS)
		j->prune_every_ms = PRUNE_LEAST_MS;
}

static int on_open(struct role *r, struct base_error *err)
{
	struct journal *j = journal_of(r);

	j->role = r;
	journal_core_init(&j->core);
	j->core.json = role_conf(r)->log_format == CONF_LOG_JSON;
	j->path = path_of(role_conf(r), "");
	if (events_open(j->path, true, &j->events, err) != 0)
		log_write(LOG_LEVEL_ERROR,
			"%s; postern why knows nothing until it is repaired or moved "
			"away and the server restarted",
			err->text);
	limit(j, role_conf(r));
	return 0;
}

/* The store's three files, which are there while it is open, and nothing else of data/. */
static size_t paths(struct role *r, struct role_path *out, size_t max)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	for (size_t i = 0; i < BASE_COUNT(suffixes); i++)
		out[i] = (struct role_path){path_of(role_conf(r), suffixes[i]), true};
	return BASE_COUNT(suffixes);
}

static void on_start(struct role *r)
{
	struct journal *j = journal_of(r);
	uv_timer_t *timers[] = {&j->write, &j->store, &j->prune, &j->repeat, &j->last};

	for (size_t i = 0; i < BASE_COUNT(timers); i++) {
		uv_timer_init(role_loop(r), timers[i]);
		timers[i]->data = j;
	}
	uv_timer_start(&j->prune, on_prune, 5000, 0);
}

static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct journal *j = journal_of(r);

	j->core.json = conf->log_format == CONF_LOG_JSON;
	limit(j, conf);
	prune_soon(j);
	return 0;
}

static void on_last(uv_timer_t *timer)
{
	struct journal *j = timer->data;

	role_stop(j->role, 0);
}

/* The others are gone; their last frames may still stand in the sockets. */
static void on_drain(struct role *r, uint32_t limit_ms)
{
	uv_timer_start(&journal_of(r)->last, on_last, LAST_FRAMES_MS, 0);
}

static void on_close(struct role *r)
{
	struct journal *j = journal_of(r);
	bool full;

	journal_core_tick(&j->core, base_clock_monotonic_ms(), true);
	(void)output_write(base_buf_slice(&j->core.out), &full);
	events_close(&j->events);
	journal_core_release(&j->core);
	free(j->path);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_JOURNAL,
		.sandbox = ROLE_MAY_FILES,
		.paths = paths,
		.open = on_open,
		.start = on_start,
		.reload = on_reload,
		.peer_frame = on_peer_frame,
		.listener = on_listener,
		.drain = on_drain,
		.close = on_close,
	};
	static struct journal journal;

	return role_main(argc, argv, &handlers, &journal);
}
