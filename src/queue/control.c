/* The queue commands on a running server: spool/admin.h step by step, between turns of the loop. */
#include "queue/shell.h"

#include "base/clock.h"
#include "loop/log.h"
#include "route/sender_admin.h"
#include "spool/detail.h"

#include <jansson.h>
#include <stdlib.h>

enum { SENDERS_ANSWER_MAX_BYTES = 256 << 20 };

struct queue_command {
	struct queue_command *next;
	struct queue_shell *q;
	struct spool_admin *admin;
	struct control_reply *reply;
	uv_idle_t idle;
};

static void on_part(void *arg, struct base_slice part)
{
	control_json(arg, part);
}

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void finish(struct queue_command *cmd, const struct base_error *err)
{
	struct queue_command **at = &cmd->q->commands;

	while (*at != cmd)
		at = &(*at)->next;
	*at = cmd->next;
	control_end(cmd->reply, err);
	spool_admin_free(&cmd->admin);
	uv_close((uv_handle_t *)&cmd->idle, on_closed);
}

static void tell(const struct spool_admin *a)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, LOG_KIND_ADMIN);
	log_put_text(&r, LOG_KEY_ACTION, spool_admin_verb_name(spool_admin_verb(a)));
	if (spool_admin_id(a).len)
		log_put(&r, LOG_KEY_MESSAGE, spool_admin_id(a));
	log_commit(&r);
}

/* @account empty: all. */
static void lift_pauses(struct queue_shell *q, struct base_slice account)
{
	struct ipc_channel *ch;

	for (unsigned i = 0; i < role_peer_count(q->role, IPC_RELAY); i++) {
		ch = role_peer(q->role, IPC_RELAY, i);
		ipc_begin(&q->frame, IPC_ACCOUNT_RETRY, 0);
		ipc_put_bytes(&q->frame, account);
		if (ch)
			ipc_send(ch, &q->frame, NULL, 0);
	}
}

/* Whoever asks for an attempt wants one: relays that know of a pause would answer for the destination
 * without asking it. Of a message only its accounts are meant; one that has none may wait for a
 * destination, which has no name here. */
static void lift_pauses_of(struct queue_shell *q, struct base_slice id)
{
	struct spool_detail detail;
	struct spool_work w;
	struct base_error err;
	bool other = false, any = false;
	uint32_t from = 0;
	int64_t seq;

	if (spool_find(q->spool, id, &seq, &err) != 0)
		return;
	while (spool_work_next(q->spool, seq, from, &w, &err) == 0) {
		from = w.unit + 1;
		if (!spool_detail_get(w.detail, &detail))
			continue;
		if (detail.account.len)
			lift_pauses(q, detail.account);
		else
			other = true;
		any = true;
	}
	if (other || !any)
		lift_pauses(q, BASE_SLICE_EMPTY);
}

/* The spool has the change; memory and the relays follow. */
static void follow(struct queue_shell *q, const struct spool_admin *a)
{
	enum spool_admin_verb verb = spool_admin_verb(a);

	queue_core_admin_after(q->core, a);
	tell(a);
	if (verb != SPOOL_ADMIN_RETRY)
		return;
	if (spool_admin_id(a).len)
		lift_pauses_of(q, spool_admin_id(a));
	else
		lift_pauses(q, BASE_SLICE_EMPTY);
}

static int change(struct queue_command *cmd, struct base_error *err)
{
	struct queue_shell *q = cmd->q;
	int rc = queue_core_admin_before(q->core, cmd->admin, base_clock_wall_ms(), err);

	/* Whatever comes of it, the core looks around: a commit that fails makes the spool faulty. */
	q->events = true;
	if (rc == 0)
		rc = spool_admin_step(cmd->admin, on_part, cmd->reply, err);
	if (rc == 0)
		rc = spool_commit(q->spool, err);
	if (rc == 0)
		follow(q, cmd->admin);
	else
		spool_rollback(q->spool);
	return rc;
}

static bool is_change(enum spool_admin_verb verb)
{
	return verb == SPOOL_ADMIN_RETRY || verb == SPOOL_ADMIN_HOLD ||
		verb == SPOOL_ADMIN_RELEASE || verb == SPOOL_ADMIN_REMOVE;
}

static void on_idle(uv_idle_t *idle)
{
	struct queue_command *cmd = idle->data;
	struct base_error err = {0};
	int rc;

	if (is_change(spool_admin_verb(cmd->admin)))
		rc = change(cmd, &err);
	else
		rc = spool_admin_step(cmd->admin, on_part, cmd->reply, &err);
	if (rc <= 0)
		finish(cmd, rc == 0 ? NULL : &err);
}

static void give_status(struct queue_shell *q, struct control_reply *reply)
{
	struct queue_core_stats core;
	struct spool_stats spool;
	struct base_error err;
	json_t *o;

	queue_core_stats(q->core, &core);
	if (spool_stats(q->spool, &spool, &err) != 0) {
		control_end(reply, &err);
		return;
	}
	o = json_object();
	json_object_set_new(o, "messages", json_integer((json_int_t)spool.messages));
	json_object_set_new(o, "deferred", json_integer((json_int_t)spool.timed));
	json_object_set_new(o, "held", json_integer((json_int_t)spool.held));
	json_object_set_new(o, "active", json_integer(core.messages));
	json_object_set_new(o, "jobs", json_integer(core.jobs));
	json_object_set_new(o, "destinations", json_integer(core.destinations));
	json_object_set_new(o, "writable", json_boolean(!core.faulty));
	control_end_json(reply, o);
}

/* ---- the sender table ---- */

static void tell_senders(const struct control_request *req)
{
	struct log_record r;

	log_begin(&r, LOG_LEVEL_INFO, LOG_KIND_ADMIN);
	log_put_text(&r, LOG_KEY_ACTION,
		control_word_is(req, 1, "add") ? "sender add" : "sender remove");
	log_put(&r, LOG_KEY_SENDER_LINE, req->words[2]);
	log_commit(&r);
}

/* Told of only when it is durable; memory follows the spool. */
static int change_senders(struct queue_shell *q, const struct route_sender_request *req,
	struct base_buf *out, struct base_error *err)
{
	int rc = queue_core_senders_before(q->core, req->now_ms, err);

	q->events = true;
	if (rc == 0)
		rc = route_sender_admin_run(q->spool, req, out, err);
	if (rc == 0)
		rc = spool_commit(q->spool, err);
	if (rc == 0)
		queue_core_senders_after(q->core);
	else
		spool_rollback(q->spool);
	return rc;
}

static void answer_senders(
	struct queue_shell *q, const struct control_request *req, struct control_reply *reply)
{
	struct route_sender_request request = {
		.words = req->words,
		.word_count = req->word_count,
		.host_name = base_slice_text(role_conf(q->role)->hostname),
		.now_ms = base_clock_wall_ms(),
	};
	struct base_error err = {0};
	struct base_buf out;
	bool changes = route_sender_admin_changes(req->words, req->word_count);
	int rc;

	base_buf_init(&out, SENDERS_ANSWER_MAX_BYTES);
	if (changes)
		rc = change_senders(q, &request, &out, &err);
	else
		rc = route_sender_admin_run(q->spool, &request, &out, &err);
	if (rc == 0 && changes)
		tell_senders(req);
	if (rc == 0)
		control_json(reply, base_buf_slice(&out));
	control_end(reply, rc == 0 ? NULL : &err);
	base_buf_release(&out);
}

void queue_control(struct role *r, const struct control_request *req, struct control_reply *reply)
{
	struct queue_shell *q = role_state(r);
	struct queue_command *cmd;
	struct spool_admin *admin;
	struct base_error err;

	if (req->word_count == 1 && control_word_is(req, 0, "status")) {
		give_status(q, reply);
		return;
	}
	if (req->word_count == 1 && control_word_is(req, 0, "accounts")) {
		queue_accounts_answer(q, reply);
		return;
	}
	if (route_sender_admin_knows(req->words, req->word_count)) {
		answer_senders(q, req, reply);
		return;
	}
	if (spool_admin_begin(&admin, q->spool, envelope_visit, req->words, req->word_count,
		    base_clock_wall_ms(), &err) != 0) {
		control_end(reply, &err);
		return;
	}
	cmd = base_alloc_zero(1, sizeof(*cmd));
	cmd->q = q;
	cmd->admin = admin;
	cmd->reply = reply;
	cmd->next = q->commands;
	q->commands = cmd;
	uv_idle_init(role_loop(r), &cmd->idle);
	cmd->idle.data = cmd;
	uv_idle_start(&cmd->idle, on_idle);
}

void queue_control_close(struct queue_shell *q)
{
	struct base_error err = {0};

	base_error_set(&err, BASE_ERROR_TEMPORARY, 0, "the server stops");
	while (q->commands)
		finish(q->commands, &err);
}
