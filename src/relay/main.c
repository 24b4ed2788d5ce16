/* postern-relay: SMTP and LMTP client sessions, the DNS, pools of connections
 *
 * The core decides (relay/core.h); here its effects are carried out, and frames, answers and bytes
 * brought to it. What must be read from files is read before the sandbox: the authorities that TLS
 * trusts, /etc/resolv.conf and /etc/hosts. Sockets in the file system can be connected to only where a
 * route says lmtp: and a path; the first such route of a reload makes the process start again. */
#include "relay/shell.h"

#include "base/clock.h"
#include "base/escape.h"
#include "loop/authorities.h"
#include "loop/file.h"
#include "loop/gsasl.h"
#include "loop/log.h"
#include "loop/reach.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	TICK_MS = 500,
	END_MS = 30 * 1000,
	CA_FILE_MAX_BYTES = 4 << 20,
	PARTS_MAX_BYTES = 16 << 20,
	PARTS_MAX = 64
};

#define DNSBL_QUESTION UINT_MAX /* number of a question that no destination put */

struct relay_now relay_shell_now(struct relay_shell *s)
{
	s->random += 0x9E3779B97F4A7C15u;
	return (struct relay_now){.mono_ms = (int64_t)uv_now(role_loop(s->role)),
		.wall_ms = base_clock_wall_ms(),
		.random = s->random};
}

/* effects */

static void drop_job(struct relay_job *job)
{
	if (job->fd >= 0)
		close(job->fd);
	relay_job_free(job);
}

static void send_result(struct relay_shell *s, struct relay_job *job)
{
	struct ipc_channel *queue = role_peer(s->role, IPC_QUEUE, job->queue);
	struct relay_now now = relay_shell_now(s);

	if (queue) {
		ipc_begin(&s->frame, IPC_JOB_RESULT, job->id);
		relay_job_report(job, &now, &s->frame);
		if (!base_buf_ok(&s->frame) || !ipc_send(queue, &s->frame, NULL, 0))
			log_write(
				LOG_LEVEL_ERROR, "a delivery's result could not be sent to queue");
	}
	drop_job(job);
}

/* While auth is away a question waits: relay_core_auth_back() puts it again. */
static void want_secret(struct relay_shell *s, const struct relay_conn *conn)
{
	struct ipc_channel *auth = role_peer(s->role, IPC_AUTH, 0);

	if (!auth || !conn->asking || conn->phase == RELAY_CONN_CLOSED)
		return;
	ipc_begin(&s->frame, IPC_SECRET_WANT, conn->number);
	ipc_put_text(&s->frame, relay_conn_account(conn)->name);
	ipc_put_u8(&s->frame, (uint8_t)conn->asked);
	ipc_put_u8(&s->frame, conn->asked_refused);
	(void)ipc_send(auth, &s->frame, NULL, 0);
}

static void want_account(struct relay_shell *s, const struct relay_account *a)
{
	struct ipc_channel *auth = role_peer(s->role, IPC_AUTH, 0);

	if (!auth)
		return;
	ipc_begin(&s->frame, IPC_ACCOUNT_WANT, a->id);
	ipc_put_text(&s->frame, a->name);
	(void)ipc_send(auth, &s->frame, NULL, 0);
}

static void read_body(struct relay_shell *s, struct relay_conn *conn)
{
	struct relay_now now = relay_shell_now(s);
	struct relay_job *job = conn->job;
	uint64_t rest;
	ssize_t n;

	if (!job)
		return;
	rest = job->size - job->offset;
	do {
		n = pread(job->fd, s->piece,
			rest < sizeof(s->piece) ? (size_t)rest : sizeof(s->piece),
			(off_t)job->offset);
	} while (n < 0 && errno == EINTR);
	relay_conn_body(conn, base_slice_make(s->piece, n > 0 ? (size_t)n : 0), n < 0, &now);
}

/* One line when an account stops working, another when it works again. */
static void alert(const struct relay_account *a)
{
	bool paused = a->until_ms != 0;
	struct log_record rec;

	log_begin(&rec, paused ? LOG_LEVEL_WARNING : LOG_LEVEL_INFO, LOG_KIND_SYSTEM);
	log_put_text(&rec, LOG_KEY_TEXT,
		paused ? "account is paused, its mail is held (see postern account test, queue "
			 "retry)"
		       : "account works again");
	log_put_text(&rec, LOG_KEY_ACCOUNT, a->name);
	if (paused) {
		log_put_i64(&rec, LOG_KEY_NEXT, a->until_ms);
		log_put_text(&rec, LOG_KEY_REASON, a->reason);
	}
	log_commit(&rec);
}

static void tell_account(struct relay_shell *s, const struct relay_account *a, bool news)
{
	unsigned count = role_peer_count(s->role, IPC_QUEUE), i;

	if (news)
		alert(a);
	for (i = 0; i < count; i++) {
		struct ipc_channel *queue = role_peer(s->role, IPC_QUEUE, i);

		if (!queue)
			continue;
		ipc_begin(&s->frame, IPC_ACCOUNT_STATE, 0);
		ipc_put_text(&s->frame, a->name);
		ipc_put_u8(&s->frame, a->until_ms != 0);
		ipc_put_i64(&s->frame, a->until_ms);
		ipc_put_text(&s->frame, a->reason);
		(void)ipc_send(queue, &s->frame, NULL, 0);
	}
}

/* The queue may hold mail for want of what has changed, of accounts too that are unknown here. */
static void pass_change_on(struct relay_shell *s, const struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice account = ipc_get_bytes(&in);
	struct ipc_channel *queue = role_peer(s->role, IPC_QUEUE, 0);

	if (!queue || !ipc_reader_done(&in))
		return;
	ipc_begin(&s->frame, IPC_ACCOUNT_STATE, 0);
	ipc_put_bytes(&s->frame, account);
	ipc_put_u8(&s->frame, 0);
	ipc_put_i64(&s->frame, 0);
	ipc_put_text(&s->frame, "");
	(void)ipc_send(queue, &s->frame, NULL, 0);
}

static void carry_out(struct relay_shell *s, const struct relay_effect *e)
{
	switch (e->kind) {
	case RELAY_ASK:
		resolver_ask(s->resolver, e->dest_id, e->question.id, e->question.name,
			e->question.type, e->hosts);
		break;
	case RELAY_CONNECT:
		if (e->conn->phase == RELAY_CONN_CONNECTING)
			relay_net_connect(s, e->conn);
		break;
	case RELAY_START_TLS:
		if (e->conn->phase == RELAY_CONN_TLS)
			relay_net_start_tls(s, e->conn);
		break;
	case RELAY_WANT_SECRET:
		want_secret(s, e->conn);
		break;
	case RELAY_WANT_ACCOUNT:
		want_account(s, e->account);
		break;
	case RELAY_WRITE:
		if (e->conn->phase != RELAY_CONN_CLOSED)
			relay_net_write(s, e->conn);
		break;
	case RELAY_READ_BODY:
		if (e->conn->phase == RELAY_CONN_OPEN)
			read_body(s, e->conn);
		break;
	case RELAY_CLOSE:
		relay_net_close(e->conn);
		relay_conn_free(e->conn);
		break;
	case RELAY_RESULT:
		send_result(s, e->job);
		break;
	case RELAY_DROP:
		drop_job(e->job);
		break;
	case RELAY_ACCOUNT:
		tell_account(s, e->account, e->alert);
		break;
	}
}

static void on_tick(uv_timer_t *timer)
{
	struct relay_shell *s = timer->data;
	struct relay_now now = relay_shell_now(s);

	relay_core_tick(s->core, &now);
	relay_shell_run(s);
}

static bool takes_nothing(const struct relay_shell *s)
{
	return s->ending || role_draining(s->role);
}

void relay_shell_run(struct relay_shell *s)
{
	struct relay_effect e;

	if (s->running)
		return;
	s->running = true;
	while (relay_core_effect(s->core, &e))
		carry_out(s, &e);
	s->running = false;
	if (relay_core_needs_tick(s->core)) {
		if (!uv_is_active((uv_handle_t *)&s->tick))
			uv_timer_start(&s->tick, on_tick, TICK_MS, TICK_MS);
	} else {
		uv_timer_stop(&s->tick);
	}
	if (takes_nothing(s) && relay_core_is_idle(s->core))
		role_stop(s->role, 0);
}

/* zones that list addresses */

static void on_dnsbl_tick(uv_timer_t *timer);

static void dnsbl_wait(struct relay_shell *s)
{
	int64_t due = relay_dnsbl_due_ms(s->dnsbl, (int64_t)uv_now(role_loop(s->role)));

	if (due >= 0 && !uv_is_active((uv_handle_t *)&s->dnsbl_tick))
		uv_timer_start(&s->dnsbl_tick, on_dnsbl_tick, (uint64_t)due + 1, 0);
}

static void dnsbl_do(struct relay_shell *s, const struct relay_dnsbl_step *step)
{
	struct ipc_channel *front;

	switch (step->kind) {
	case RELAY_DNSBL_WAIT:
		return;
	case RELAY_DNSBL_ASK:
		resolver_ask(s->resolver, step->key, DNSBL_QUESTION, step->name, step->type, false);
		return;
	case RELAY_DNSBL_TELL:
		front = role_peer(s->role, IPC_FRONT, step->front);
		if (!front)
			return;
		ipc_begin(&s->frame, IPC_DNSBL, step->id);
		ipc_put_u8(&s->frame, (uint8_t)step->state);
		ipc_put_text(&s->frame, step->text);
		(void)ipc_send(front, &s->frame, NULL, 0);
		return;
	}
}

static void on_dnsbl_tick(uv_timer_t *timer)
{
	struct relay_shell *s = timer->data;
	struct relay_dnsbl_step step;

	do {
		step = relay_dnsbl_tick(s->dnsbl, (int64_t)uv_now(role_loop(s->role)));
		dnsbl_do(s, &step);
	} while (step.kind != RELAY_DNSBL_WAIT);
	dnsbl_wait(s);
}

static void on_dnsbl_want(struct relay_shell *s, unsigned front, const struct ipc_frame *frame)
{
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice name = ipc_get_bytes(&in);
	struct relay_dnsbl_step step;

	if (!ipc_reader_done(&in))
		return;
	step = relay_dnsbl_want(
		s->dnsbl, front, frame->id, name, (int64_t)uv_now(role_loop(s->role)));
	dnsbl_do(s, &step);
	dnsbl_wait(s);
}

static void on_dns(void *arg, uint32_t id, unsigned question, const struct route_dns_answer *answer)
{
	struct relay_shell *s = arg;
	struct relay_now now = relay_shell_now(s);

	if (question == DNSBL_QUESTION) {
		struct relay_dnsbl_step step = relay_dnsbl_answer(s->dnsbl, id, answer);

		dnsbl_do(s, &step);
		return;
	}
	relay_core_answer(s->core, id, question, answer, &now);
	relay_shell_run(s);
}

/* frames */

static struct relay_parts **parts_find(struct relay_shell *s, unsigned queue, uint32_t id)
{
	struct relay_parts **at;

	for (at = &s->parts; *at; at = &(*at)->next)
		if ((*at)->queue == queue && (*at)->id == id)
			break;
	return at;
}

static void parts_drop(struct relay_shell *s, struct relay_parts **at)
{
	struct relay_parts *p = *at;

	*at = p->next;
	base_buf_release(&p->bytes);
	free(p);
	s->parts_count--;
}

static void on_job_part(struct relay_shell *s, unsigned queue, const struct ipc_frame *frame)
{
	struct relay_parts **at = parts_find(s, queue, frame->id);
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice bytes = ipc_get_bytes(&in);

	if (!ipc_reader_done(&in))
		return;
	if (!*at) {
		if (s->parts_count == PARTS_MAX) {
			log_write(LOG_LEVEL_ERROR, "queue sent too many jobs in parts");
			return;
		}
		*at = base_alloc_zero(1, sizeof(**at));
		(*at)->queue = queue;
		(*at)->id = frame->id;
		base_buf_init(&(*at)->bytes, PARTS_MAX_BYTES);
		s->parts_count++;
	}
	(void)base_buf_append_slice(&(*at)->bytes, bytes);
}

static void on_job(struct relay_shell *s, unsigned queue, struct ipc_frame *frame)
{
	struct relay_now now = relay_shell_now(s);
	struct relay_parts **at = s->parts ? parts_find(s, queue, frame->id) : NULL;
	struct base_slice parts = BASE_SLICE_EMPTY;
	int fd = frame->fd_count ? frame->fds[0] : -1;
	bool taken = true;

	if (at && *at)
		parts = base_buf_slice(&(*at)->bytes);
	if (takes_nothing(s))
		taken = false;
	else if (!relay_core_job(s->core, frame->id, queue, parts, frame->body, fd, &now)) {
		taken = false;
		log_write(LOG_LEVEL_ERROR, "queue sent a job that cannot be read");
	}
	if (taken && fd >= 0)
		frame->fds[0] = -1;
	if (at && *at)
		parts_drop(s, at);
}

static void on_secret(struct relay_shell *s, const struct ipc_frame *frame)
{
	struct relay_now now = relay_shell_now(s);
	uint8_t random[SASL_CLIENT_RANDOM_BYTES];

	base_random_fill(random, sizeof(random));
	relay_core_secret(
		s->core, frame->id, frame->body, base_slice_make(random, sizeof(random)), &now);
	base_wipe(random, sizeof(random));
}

/* A frame that names an account, or all of them. */
static void on_account_frame(struct relay_shell *s, const struct ipc_frame *frame,
	void (*act)(struct relay_core *, struct base_slice, const struct relay_now *))
{
	struct relay_now now = relay_shell_now(s);
	struct ipc_reader in = ipc_reader_make(frame->body);
	struct base_slice account = ipc_get_bytes(&in);

	if (ipc_reader_done(&in))
		act(s->core, account, &now);
}

static void on_account_changed(struct relay_shell *s, const struct ipc_frame *frame)
{
	on_account_frame(s, frame, relay_core_account_changed);
	pass_change_on(s, frame);
}

static void peer_frame(struct role *r, enum ipc_role peer, unsigned index, struct ipc_channel *ch,
	struct ipc_frame *frame)
{
	struct relay_shell *s = role_state(r);
	struct relay_now now = relay_shell_now(s);

	if (frame->type == IPC_JOB)
		on_job(s, index, frame);
	else if (frame->type == IPC_JOB_ENVELOPE)
		on_job_part(s, index, frame);
	else if (frame->type == IPC_ACCOUNT_RETRY)
		on_account_frame(s, frame, relay_core_account_retry);
	else if (frame->type == IPC_ACCOUNT_CHANGED)
		on_account_changed(s, frame);
	else if (frame->type == IPC_ACCOUNT)
		relay_core_account_told(s->core, frame->id, frame->body, &now);
	else if (frame->type == IPC_SECRET)
		on_secret(s, frame);
	else if (frame->type == IPC_DNSBL_WANT)
		on_dnsbl_want(s, index, frame);
	relay_shell_run(s);
}

static void peer(struct role *r, enum ipc_role kind, unsigned index, struct ipc_channel *ch, int fd)
{
	struct relay_shell *s = role_state(r);

	if (kind == IPC_AUTH) {
		relay_core_auth_back(s->core);
		relay_shell_run(s);
	}
	if (kind != IPC_QUEUE || !ch)
		return;
	ipc_begin(&s->frame, IPC_CAPACITY, 0);
	ipc_put_u32(&s->frame, RELAY_JOBS_MAX);
	(void)ipc_send(ch, &s->frame, NULL, 0);
}

static void peer_gone(struct role *r, enum ipc_role kind, unsigned index)
{
	struct relay_shell *s = role_state(r);
	struct relay_parts **at;

	if (kind == IPC_FRONT)
		relay_dnsbl_front_gone(s->dnsbl, index);
	if (kind == IPC_QUEUE) {
		relay_core_queue_gone(s->core, index);
		for (at = &s->parts; *at;)
			if ((*at)->queue == index)
				parts_drop(s, at);
			else
				at = &(*at)->next;
	}
	relay_shell_run(s);
}

/* start and end */

static int make_tls(const struct conf *conf, struct tls_context **out, struct base_error *err)
{
	struct base_buf ca;
	int rc = 0;

	base_buf_init(&ca, CA_FILE_MAX_BYTES);
	if (conf->tls_ca && *conf->tls_ca)
		rc = file_read(conf->tls_ca, &ca, NULL, err);
	if (rc == 0)
		rc = tls_client_context_new(out, base_buf_slice(&ca), err);
	base_buf_release(&ca);
	return rc;
}

static struct relay_options core_options(
	const struct relay_shell *s, const struct conf *conf, bool ip6)
{
	struct relay_options options = {.own_name = base_slice_text(conf->hostname),
		.ip6 = ip6,
		.foreign_new = gsasl_client_new,
		.foreign = GSASL_MECHANISMS_LOCAL};
	const char *port = getenv("POSTERN_MX_PORT");
	uint64_t number;

	/* A private resolver is a test: its targets are on this machine, at a port of their own. */
	if (resolver_is_private(s->resolver)) {
		options.allow_special = true;
		if (port && base_slice_to_u64(base_slice_text(port), &number) && number < 65536)
			options.mx_port = (uint16_t)number;
	}
	return options;
}

/* Is a route's server a socket in the file system? */
static bool has_path(const struct conf *conf)
{
	for (size_t i = 0; i < conf->route_count; i++)
		if (conf->routes[i].via == CONF_VIA_LMTP && !conf->routes[i].host)
			return true;
	return false;
}

static int open_all(struct role *r, struct base_error *err)
{
	struct relay_shell *s = role_state(r);
	struct relay_options options;
	int rc;

	s->role = r;
	s->may_connect_local = has_path(role_conf(r));
	role_set_sandbox(r,
		ROLE_MAY_FILES | (s->may_connect_local ? ROLE_MAY_CONNECT : ROLE_MAY_CONNECT_NET));
	base_random_fill(&s->random, sizeof(s->random));
	base_buf_init(&s->frame, IPC_FRAME_MAX_BYTES);
	s->dnsbl = relay_dnsbl_new();
	uv_timer_init(role_loop(r), &s->tick);
	uv_timer_init(role_loop(r), &s->dnsbl_tick);
	uv_timer_init(role_loop(r), &s->end_tick);
	s->tick.data = s->dnsbl_tick.data = s->end_tick.data = s;
	rc = make_tls(role_conf(r), &s->tls, err);
	if (rc == 0)
		rc = resolver_open(&s->resolver, role_loop(r), on_dns, s, err);
	if (rc != 0)
		return rc;
	options = core_options(s, role_conf(r), reach_ip6());
	s->core = relay_core_new(&options);
	return 0;
}

static size_t paths(struct role *r, struct role_path *out, size_t max)
{
	const char *files[] = {role_conf(r)->tls_ca, authorities_file()};
	size_t count = 0;

	for (size_t i = 0; i < BASE_COUNT(files); i++)
		if (files[i] && *files[i] && count < max)
			out[count++] = (struct role_path){
				.path = base_strdup(files[i]), .write = false};
	return count;
}

static void on_end_tick(uv_timer_t *timer)
{
	struct relay_shell *s = timer->data;

	role_stop(s->role, 0);
}

/* A door that was shut at the start stays shut: the process that the master starts in the place of this
 * one has it open. What runs gets a moment; queue gives the rest to the next one. */
static void end_soon(struct relay_shell *s)
{
	struct relay_now now = relay_shell_now(s);

	if (s->ending)
		return;
	s->ending = true;
	uv_timer_start(&s->end_tick, on_end_tick, END_MS, 0);
	relay_core_drain(s->core, &now);
	relay_shell_run(s);
}

static int reload(struct role *r, const struct conf *conf, struct base_error *err)
{
	struct relay_shell *s = role_state(r);
	struct tls_context *tls = NULL;
	struct relay_options options;
	int rc = make_tls(conf, &tls, err);

	if (rc != 0)
		return rc;
	tls_context_free(&s->tls);
	s->tls = tls;
	s->tls_number++;
	options = core_options(s, conf, relay_core_options(s->core)->ip6);
	relay_core_configure(s->core, &options);
	if (has_path(conf) && !s->may_connect_local) {
		log_write(LOG_LEVEL_INFO, "relay: starting again for the first route to a socket");
		end_soon(s);
	}
	return 0;
}

static void drain(struct role *r, uint32_t limit_ms)
{
	struct relay_shell *s = role_state(r);
	struct relay_now now = relay_shell_now(s);

	relay_core_drain(s->core, &now);
	relay_shell_run(s);
}

static void close_all(struct role *r)
{
	struct relay_shell *s = role_state(r);
	struct relay_account *account;
	struct relay_conn *conn;
	size_t i;

	if (s->core) {
		for (conn = relay_core_conns(s->core); conn; conn = conn->next)
			relay_net_close(conn);
		for (i = 0; (account = relay_core_account(s->core, i)); i++)
			relay_net_forget_account(account);
	}
	relay_core_free(&s->core);
	resolver_close(&s->resolver);
	relay_dnsbl_free(&s->dnsbl);
	tls_context_free(&s->tls);
	while (s->parts)
		parts_drop(s, &s->parts);
	base_buf_release(&s->frame);
}

int main(int argc, char **argv)
{
	static const struct role_handlers handlers = {
		.role = IPC_RELAY,
		.sandbox = ROLE_MAY_CONNECT_NET | ROLE_MAY_FILES, /* or more: open_all() */
		.paths = paths,
		.open = open_all,
		.reload = reload,
		.peer = peer,
		.peer_frame = peer_frame,
		.peer_gone = peer_gone,
		.drain = drain,
		.close = close_all,
	};
	static struct relay_shell shell;

	return role_main(argc, argv, &handlers, &shell);
}
