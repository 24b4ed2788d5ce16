#include "relay/internal.h"

#include "base/escape.h"

#include <stdlib.h>
#include <string.h>

/* A connection as a thing: its buffer, its place at its destination and account, its end, and what is said
 * of it when it fails. What happens on it stands in session.c and delivery.c. */

enum { CERTIFICATE_MAX_BYTES = IPC_FRAME_MAX_BYTES };

/* buffers */

void relay_conn_lend_out(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;

	if (!conn->out.ptr && core->spare_count)
		conn->out = core->spare[--core->spare_count];
}

void relay_conn_return_out(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;

	if (!conn->out.ptr || conn->out.len)
		return;
	if (core->spare_count < BASE_COUNT(core->spare) && conn->out.cap <= 16384) {
		core->spare[core->spare_count++] = conn->out;
		base_buf_init_secret(&conn->out, RELAY_OUT_MAX_BYTES);
	} else {
		base_buf_release(&conn->out);
	}
}

/* opening and closing */

void relay_conn_set_deadline(struct relay_conn *conn, int64_t ms, const struct relay_now *now)
{
	conn->waits_ms = now->mono_ms;
	conn->deadline_ms = now->mono_ms + ms;
}

struct relay_conn *relay_conn_open(struct relay_dest *d, const struct base_addr *addr,
	const char *host, const struct relay_now *now)
{
	struct relay_core *core = d->core;
	struct relay_conn *conn = base_alloc_zero(1, sizeof(*conn));

	conn->core = core;
	conn->dest = d;
	conn->number = ++core->conn_numbers;
	conn->opened_ms = now->mono_ms;
	conn->in_clear = now->mono_ms < d->clear_until_ms;
	conn->generation = d->account ? d->account->generation : 0;
	conn->peer.connection = conn->number;
	base_buf_init_secret(&conn->out, RELAY_OUT_MAX_BYTES);
	base_buf_init_secret(&conn->certificate, CERTIFICATE_MAX_BYTES);
	if (addr) {
		conn->peer.addr = *addr;
		(void)snprintf(conn->peer.host, sizeof(conn->peer.host), "%s", host);
	} else {
		(void)snprintf(conn->peer.path, sizeof(conn->peer.path), "%s", d->path);
	}
	relay_conn_set_deadline(conn, RELAY_CONNECT_MS, now);
	conn->next = core->conns;
	core->conns = conn;
	core->conn_count++;
	d->conns++;
	d->connecting++;
	d->last_conn = conn->number;
	if (d->account)
		d->account->conns++;
	relay_effect_add(core, &(struct relay_effect){.kind = RELAY_CONNECT, .conn = conn});
	return conn;
}

void relay_conn_leave_idle(struct relay_conn *conn)
{
	struct relay_conn **at;

	if (!conn->ready)
		return;
	conn->ready = false;
	for (at = &conn->dest->idle; *at; at = &(*at)->next_idle)
		if (*at == conn) {
			*at = conn->next_idle;
			return;
		}
}

void relay_conn_close(struct relay_conn *conn)
{
	if (conn->phase == RELAY_CONN_CLOSED)
		return;
	relay_conn_leave_idle(conn);
	conn->phase = RELAY_CONN_CLOSED;
	if (!conn->reached)
		conn->dest->connecting--;
	conn->dest->conns--;
	if (conn->dest->account)
		conn->dest->account->conns--;
	relay_conn_certificate_taken(conn);
	relay_effect_add(conn->core, &(struct relay_effect){.kind = RELAY_CLOSE, .conn = conn});
}

void relay_conn_want_secret(struct relay_conn *conn)
{
	if (conn->asking && conn->phase != RELAY_CONN_CLOSED && !conn->dest->account->unsure)
		relay_effect_add(conn->core,
			&(struct relay_effect){.kind = RELAY_WANT_SECRET, .conn = conn});
}

/* It has come to its end; whoever waited for its place may have it. */
void relay_conn_end(struct relay_conn *conn, const struct relay_now *now)
{
	relay_conn_close(conn);
	if (conn->dest->account)
		relay_account_dispatch(conn->core, conn->dest->account, now);
}

void relay_conn_free(struct relay_conn *conn)
{
	struct relay_core *core = conn->core;
	struct relay_conn **at;

	for (at = &core->conns; *at != conn; at = &(*at)->next)
		BASE_BUG_IF(!*at);
	*at = conn->next;
	core->conn_count--;
	smtp_client_free(&conn->smtp);
	free(conn->no_login);
	base_buf_clear(&conn->out);
	relay_conn_return_out(conn);
	base_buf_release(&conn->certificate);
	free(conn->no_secret);
	free(conn);
}

void relay_conn_quit(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->quitting || conn->phase == RELAY_CONN_CLOSED)
		return;
	relay_conn_leave_idle(conn);
	conn->quitting = true;
	relay_conn_lend_out(conn);
	smtp_client_quit(conn->smtp, &conn->out);
	relay_conn_drive(conn, BASE_SLICE_EMPTY, now);
	relay_conn_set_deadline(conn, RELAY_QUIT_MS, now);
}

bool relay_conn_is_retired(const struct relay_conn *conn)
{
	return conn->dest->account && conn->generation != conn->dest->account->generation;
}

void relay_conn_retire(struct relay_conn *conn, const struct relay_now *now)
{
	if (conn->phase == RELAY_CONN_CLOSED || conn->quitting)
		return;
	if (conn->ready)
		relay_conn_quit(conn, now);
	else if (!conn->reached)
		relay_conn_close(conn); /* nothing was sent on it, and its jobs still wait */
}

/* failing */

void relay_conn_copy_reply(struct relay_failure *f, const struct smtp_client_reply *reply)
{
	size_t len = reply->text_len < sizeof(f->reply) - 1 ? reply->text_len
							    : sizeof(f->reply) - 1;
	size_t i;

	f->code = reply->code;
	memcpy(f->enhanced, reply->enhanced, sizeof(f->enhanced));
	for (i = 0; i < len; i++) /* a text with an end: no NUL inside */
		f->reply[i] = reply->text[i] ? reply->text[i] : '?';
	f->reply[len] = '\0';
}

/* A host that is an address is said once. */
static void append_peer(const struct relay_peer *peer, struct base_buf *text)
{
	struct base_slice name = base_slice_text(peer->path[0] ? peer->path : peer->host);
	struct base_addr addr;
	bool is_address = !peer->path[0] && base_addr_parse(name, &addr);

	(void)base_buf_append_text(text, " (");
	if (!is_address)
		(void)base_escape_text(name, 80, text);
	if (!is_address && !peer->path[0])
		(void)base_buf_append_byte(text, ' ');
	if (!peer->path[0])
		(void)base_addr_format_port(&peer->addr, text);
	(void)base_buf_append_byte(text, ')');
}

/* @more: added to @what; null: nothing. */
void relay_conn_describe(
	struct relay_failure *f, const struct relay_conn *conn, const char *what, const char *more)
{
	const struct relay_peer *peer = &conn->peer;
	struct base_buf text;

	base_buf_init(&text, sizeof(f->reason) - 1);
	(void)base_buf_append_text(&text, what);
	if (more)
		(void)base_buf_append_text(&text, more);
	if (peer->path[0] || peer->host[0])
		append_peer(peer, &text);
	relay_failure_set(f, JOB_DEFERRED, 0, "", base_buf_text(&text));
	f->peer = *peer;
	base_buf_release(&text);
}

void relay_conn_note_mechanism(struct relay_conn *conn)
{
	enum sasl_mechanism m = smtp_client_mechanism(conn->smtp);

	conn->peer.mechanism = m ? sasl_mechanism_info(m)->name : NULL;
}
