/* postern-deliver: jobs from queue into maildirs
 * What comes in one turn of the loop is written, then settled together: few syncs for many
 * messages. The answer to a job says of each recipient what became of it. Nothing is kept between
 * turns but the parts of a long job, so a crash loses nothing that queue does not know. */
#include "deliver/core.h"
#include "deliver/maildir.h"

#include "base/clock.h"
#include "loop/log.h"
#include "loop/role.h"

#include <stdlib.h>
#include <string.h>

enum {
	JOBS_MAX = 64,                         /* told to queue as CAPACITY */
	FILES_MAX = 64,                        /* settled together: three descriptors each */
	LONG_JOB_MAX_BYTES = 16 * 1024 * 1024, /* an envelope with all its recipients */
	PREFIXES_MAX = 48,
};

struct long_job {
	uint32_t id;
	bool used;
	struct base_buf body;
};

/* A job of this turn: its results come together here. */
struct turn_job {
	uint32_t id;
	int64_t begun_ms;
	uint32_t rcpt_count;
	struct base_buf results;
};

struct deliver {
	struct long_job parts[JOBS_MAX];
	struct turn_job jobs[JOBS_MAX];
	size_t job_count;
	struct maildir_file files[FILES_MAX];
	struct {
		size_t job;
		uint32_t index;
	} owners[FILES_MAX]; /* of .files: whose they are */
	size_t file_count;
	uv_check_t after_poll;
	struct base_buf frame, path, name, head;
	char *prefixes[PREFIXES_MAX]; /* what the sandbox left open */
	size_t prefix_count;
};

/* The prefixes of all maildir routes, each once. */
static size_t collect(const struct conf *conf, char **out, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < conf->route_count; i++) {
		struct base_slice prefix;
		size_t k = 0;

		if (conf->routes[i].via != CONF_VIA_MAILDIR)
			continue;
		prefix = deliver_path_prefix(base_slice_text(conf->routes[i].text));
		while (k < count && !base_slice_equal_text(prefix, out[k]))
			k++;
		if (k == count && count < max && prefix.len)
			out[count++] = base_slice_dup(prefix);
	}
	return count;
}

static int on_open(struct role *r, struct base_error *err)
{
	struct deliver *d = role_state(r);

	base_buf_init(&d->frame, IPC_FRAME_MAX_BYTES);
	base_buf_init(&d->path, DELIVER_PATH_MAX_BYTES + 1024);
	base_buf_init(&d->name, DELIVER_NAME_MAX_BYTES + 56);
	base_buf_init(&d->head, 4096);
	for (size_t i = 0; i < JOBS_MAX; i++) {
		base_buf_init(&d->parts[i].body, LONG_JOB_MAX_BYTES);
		base_buf_init(&d->jobs[i].results, IPC_FRAME_MAX_BYTES);
	}
	d->prefix_count = collect(role_conf(r), d->prefixes, PREFIXES_MAX);
	for (size_t i = 0; i < d->prefix_count; i++) {
		struct base_error failed = {0};

		/* The others still work; each job to this one is put off and says why. */
		if (maildir_prepare(d->prefixes[i], &failed) != 0)
			log_error(LOG_LEVEL_ERROR, "deliver", &failed);
	}
	return 0;
}

static size_t on_paths(struct role *r, struct role_path *out, size_t max)
{
	struct deliver *d = role_state(r);
	size_t count = d->prefix_count < max ? d->prefix_count : max;

	for (size_t i = 0; i < count; i++)
		out[i] = (struct role_path){.path = base_strdup(d->prefixes[i]), .write = true};
	return count;
}

static bool has_prefix(const struct deliver *d, const char *prefix)
{
	for (size_t i = 0; i < d->prefix_count; i++)
		if (strcmp(d->prefixes[i], prefix) == 0)
			return true;
	return false;
}

/* A door that was shut at the start stays shut: with a new maildir route this process ends, and the
 * one that the master starts in its place has the new doors. */
static int on_reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct deliver *d = role_state(r);
	char *prefixes[PREFIXES_MAX];
	size_t count = collect(conf, prefixes, PREFIXES_MAX);
	bool fresh = false;

	for (size_t i = 0; i < count; i++) {
		fresh |= !has_prefix(d, prefixes[i]);
		free(prefixes[i]);
	}
	if (fresh) {
		log_write(LOG_LEVEL_INFO, "deliver: starting again for a new maildir route");
		role_stop(r, 0);
	}
	return 0;
}

static void put_result(struct turn_job *job, const struct job_rcpt_result *result)
{
	job_result_put_rcpt(&job->results, result);
	job->rcpt_count++;
}

/* All files begun so far: on stable storage, or known why not. */
static void settle_files(struct deliver *d)
{
	maildir_settle(d->files, d->file_count);
	for (size_t i = 0; i < d->file_count; i++) {
		const struct base_error *err = &d->files[i].err;
		struct job_rcpt_result result;

		if (err->class != BASE_ERROR_NONE)
			log_error(LOG_LEVEL_WARNING, "deliver", err);
		result = deliver_verdict(
			d->owners[i].index, err->class == BASE_ERROR_NONE ? NULL : err);
		put_result(&d->jobs[d->owners[i].job], &result);
	}
	d->file_count = 0;
}

static void answer(struct role *r, struct turn_job *job)
{
	struct deliver *d = role_state(r);
	struct ipc_channel *ch = role_peer(r, IPC_QUEUE, 0);
	struct job_result result = {
		.rcpt_count = job->rcpt_count,
		.duration_ms = base_clock_monotonic_ms() - job->begun_ms,
	};

	ipc_begin(&d->frame, IPC_JOB_RESULT, job->id);
	job_result_put(&d->frame, &result);
	base_buf_append_slice(&d->frame, base_buf_slice(&job->results));
	if (!base_buf_ok(&d->frame) || !base_buf_ok(&job->results))
		log_write(
			LOG_LEVEL_ERROR, "deliver: the results of a job are too many for a frame");
	else if (ch)
		(void)ipc_send(ch, &d->frame, NULL, 0);
	base_buf_clear(&job->results);
}

static void end_turn(struct role *r)
{
	struct deliver *d = role_state(r);

	settle_files(d);
	for (size_t i = 0; i < d->job_count; i++)
		answer(r, &d->jobs[i]);
	d->job_count = 0;
}

static void on_after_poll(uv_check_t *check)
{
	end_turn(check->data);
}

/* Begin one recipient's file; a refusal is a result at once. */
static void deliver_one(struct role *r, const struct job *job, const struct envelope *env,
	uint32_t index, struct base_slice address, const struct maildir_source *source)
{
	struct deliver *d = role_state(r);
	struct turn_job *own = &d->jobs[d->job_count - 1];
	struct base_slice host = base_slice_text(role_conf(r)->hostname);
	struct job_rcpt_result result;
	enum deliver_path_result path;
	struct base_error err = {0};

	base_buf_clear(&d->path);
	base_buf_clear(&d->name);
	base_buf_clear(&d->head);
	path = deliver_path(job->path, address, host, &d->path);
	if (path != DELIVER_PATH_OK) {
		result = deliver_path_verdict(index, path);
		put_result(own, &result);
		return;
	}
	if (!deliver_name(env->arrived_ms, job->message_id, address, host, &d->name) ||
		!deliver_head(env->sender, address, &d->head)) {
		base_error_set(&err, BASE_ERROR_PERMANENT, 0, "address too long for a maildir");
	} else {
		if (d->file_count == FILES_MAX)
			settle_files(d);
		if (maildir_begin(base_buf_text(&d->path), deliver_path_prefix(job->path).len,
			    base_buf_text(&d->name), base_buf_slice(&d->head), source,
			    &d->files[d->file_count], &err) == 0) {
			d->owners[d->file_count].job = d->job_count - 1;
			d->owners[d->file_count].index = index;
			d->file_count++;
			return;
		}
		log_error(LOG_LEVEL_WARNING, "deliver", &err);
	}
	result = deliver_verdict(index, &err);
	put_result(own, &result);
}

static void run_job(struct role *r, uint32_t id, const struct job *job, int fd)
{
	struct deliver *d = role_state(r);
	struct maildir_source source = {
		.bytes = job->message, .fd = job->file ? fd : -1, .size = job->size};
	struct envelope_rcpt rcpt;
	struct ipc_reader rest;
	struct envelope env;

	if (!envelope_get(job->envelope, &env, &rest)) {
		log_write(LOG_LEVEL_ERROR,
			"deliver: queue sent a broken envelope; the job is left out");
		return;
	}
	if (d->job_count == JOBS_MAX)
		end_turn(r);
	d->jobs[d->job_count].id = id;
	d->jobs[d->job_count].rcpt_count = 0;
	d->jobs[d->job_count].begun_ms = base_clock_monotonic_ms();
	d->job_count++;
	for (uint32_t i = 0; i < env.rcpt_count && envelope_get_rcpt(&rest, &rcpt); i++) {
		struct base_error err = {0};
		struct job_rcpt_result result;

		if (job->via == CONF_VIA_MAILDIR && (!job->file || fd >= 0)) {
			deliver_one(r, job, &env, i, rcpt.address, &source);
			continue;
		}
		base_error_set(&err, BASE_ERROR_TEMPORARY, 0,
			job->file ? "the message's file did not arrive" : "not a maildir route");
		result = deliver_verdict(i, &err);
		put_result(&d->jobs[d->job_count - 1], &result);
	}
}

static struct long_job *find_long(struct deliver *d, uint32_t id, bool make)
{
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (d->parts[i].used && d->parts[i].id == id)
			return &d->parts[i];
	for (size_t i = 0; make && i < JOBS_MAX; i++) {
		if (!d->parts[i].used) {
			d->parts[i].used = true;
			d->parts[i].id = id;
			return &d->parts[i];
		}
	}
	return NULL;
}

static void forget_long(struct long_job *part)
{
	base_buf_release(&part->body);
	part->used = false;
}

static void on_part(struct deliver *d, struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice bytes = ipc_get_bytes(&in);
	struct long_job *part = find_long(d, frame->id, true);

	if (!part || !ipc_reader_done(&in) || !base_buf_append_slice(&part->body, bytes))
		log_write(LOG_LEVEL_ERROR, "deliver: a part of a long job cannot be kept");
}

static void on_job(struct role *r, struct ipc_frame *frame)
{
	struct deliver *d = role_state(r);
	struct long_job *part = find_long(d, frame->id, false);
	struct base_slice body = frame->body;
	int fd = frame->fd_count ? frame->fds[0] : -1;
	struct job job;

	if (part) {
		base_buf_append_slice(&part->body, frame->body);
		body = base_buf_slice(&part->body);
	}
	/* A job that cannot be read gets no answer: queue's lease on it runs out. */
	if (job_get(body, &job))
		run_job(r, frame->id, &job, fd);
	else
		log_write(LOG_LEVEL_ERROR, "deliver: queue sent a job that cannot be read");
	if (part)
		forget_long(part);
}

static void on_peer(
	struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch, int fd)
{
	struct deliver *d = role_state(r);

	if (peer != IPC_QUEUE || !ch)
		return;
	ipc_begin(&d->frame, IPC_CAPACITY, 0);
	ipc_put_u32(&d->frame, JOBS_MAX);
	(void)ipc_send(ch, &d->frame, NULL, 0);
}

static void on_peer_frame(struct role *r, enum ipc_role peer, unsigned index,
	struct ipc_channel *ch, struct ipc_frame *frame)
{
	if (peer != IPC_QUEUE)
		return;
	if (frame->type == IPC_JOB_ENVELOPE)
		on_part(role_state(r), frame);
	else if (frame->type == IPC_JOB)
		on_job(r, frame);
}

/* What queue sent is void: it will send it again when it is back. */
static void on_peer_gone(struct role *r, enum ipc_role peer, unsigned index)
{
	struct deliver *d = role_state(r);

	if (peer != IPC_QUEUE)
		return;
	for (size_t i = 0; i < JOBS_MAX; i++)
		if (d->parts[i].used)
			forget_long(&d->parts[i]);
	maildir_abandon(d->files, d->file_count);
	d->file_count = 0;
	for (size_t i = 0; i < d->job_count; i++)
		base_buf_clear(&d->jobs[i].results);
	d->job_count = 0;
}

static void on_start(struct role *r)
{
	struct deliver *d = role_state(r);

	uv_check_init(role_loop(r), &d->after_poll);
	d->after_poll.data = r;
	uv_check_start(&d->after_poll, on_after_poll);
}

/* Jobs are done in the turn in which they come, so a drained deliver is an idle one. */
static void on_drain(struct role *r, uint32_t limit_ms)
{
	end_turn(r);
	role_stop(r, 0);
}

static void on_close(struct role *r)
{
	struct deliver *d = role_state(r);

	maildir_abandon(d->files, d->file_count);
	for (size_t i = 0; i < JOBS_MAX; i++) {
		base_buf_release(&d->parts[i].body);
		base_buf_release(&d->jobs[i].results);
	}
	for (size_t i = 0; i < d->prefix_count; i++)
		free(d->prefixes[i]);
	base_buf_release(&d->frame);
	base_buf_release(&d->path);
	base_buf_release(&d->name);
	base_buf_release(&d->head);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_DELIVER,
		.sandbox = ROLE_MAY_FILES,
		.paths = on_paths,
		.open = on_open,
		.start = on_start,
		.reload = on_reload,
		.peer = on_peer,
		.peer_frame = on_peer_frame,
		.peer_gone = on_peer_gone,
		.drain = on_drain,
		.close = on_close,
	};
	static struct deliver state;

	return role_main(argc, argv, &handlers, &state);
}
