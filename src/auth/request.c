/* One request: what the exchange asks is put to the client, the store or a worker. */
#include "auth/core_internal.h"

#include <stdlib.h>
#include <string.h>

void auth_text_copy(char *out, size_t size, struct base_slice text)
{
	struct base_slice part = base_slice_first(text, size - 1);

	if (part.len)
		memcpy(out, part.ptr, part.len);
	out[part.len] = '\0';
}

struct auth_request *auth_request_find(struct auth_conn *conn, uint32_t id)
{
	for (struct auth_link *l = conn->requests.next; l != &conn->requests; l = l->next) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_conn);

		if (r->id == id)
			return r;
	}
	return NULL;
}

struct auth_request *auth_request_by_token(struct auth_core *core, uint32_t token)
{
	for (struct auth_link *l = core->by_time.prev; l != &core->by_time; l = l->prev) {
		struct auth_request *r = AUTH_OF(l, struct auth_request, by_time);

		if (r->token == token)
			return r;
	}
	return NULL;
}

void auth_request_forget_rows(struct auth_request *r)
{
	if (r->user)
		base_wipe(r->user, sizeof(*r->user));
	if (r->apps)
		base_wipe(r->apps, r->app_count * sizeof(*r->apps));
	free(r->user);
	free(r->apps);
	r->user = NULL;
	r->apps = NULL;
	r->app_count = 0;
}

void auth_request_free(struct auth_core *core, struct auth_request *r)
{
	if (r->wait == AUTH_WAIT_WORKER)
		auth_tasks_forget(core, r->token);
	else if (r->wait == AUTH_WAIT_SOURCE)
		auth_questions_forget(core, r->token);
	auth_list_remove(&r->by_conn);
	auth_list_remove(&r->by_time);
	auth_list_remove(&r->by_due);
	r->conn->open--;
	core->status.open--;
	sasl_server_free(&r->sasl);
	auth_request_forget_rows(r);
	base_buf_release(&r->final);
	base_wipe(r, sizeof(*r));
	free(r);
}

static void touch(struct auth_core *core, struct auth_request *r, int64_t now_ms)
{
	r->active_ms = now_ms;
	auth_list_remove(&r->by_time);
	auth_list_push(&core->by_time, &r->by_time);
}

/* Questions */

static enum sasl_server_result ask_binding(
	struct auth_core *core, struct auth_request *r, struct base_buf *out)
{
	const char *name = sasl_binding_name(sasl_server_binding(r->sasl));
	struct auth_conn *conn = r->conn;

	if (conn->wire.minor < WIRE_DOVECOT_MINOR_BINDING || !r->tls ||
		!wire_dovecot_server_cont(&conn->out, r->id, BASE_SLICE_EMPTY,
			base_slice_text(name), true, conn->wire.minor))
		return sasl_server_binding_answer(r->sasl, false, BASE_SLICE_EMPTY, out);
	r->wait = AUTH_WAIT_BINDING;
	auth_conn_told(core, conn);
	return SASL_SERVER_NEED_BINDING;
}

/* A challenge goes to the client, unless it is SCRAM's last word and may go with OK. */
static enum sasl_server_result send_challenge(
	struct auth_core *core, struct auth_request *r, struct base_buf *out)
{
	struct auth_conn *conn = r->conn;

	if (r->final_resp_ok && sasl_server_challenge_is_final(r->sasl)) {
		r->has_final = true;
		base_buf_init_secret(&r->final, AUTH_CHALLENGE_MAX_BYTES);
		base_buf_append_slice(&r->final, base_buf_slice(out));
		base_buf_clear(out);
		return sasl_server_push(r->sasl, BASE_SLICE_EMPTY, out);
	}
	r->wait = AUTH_WAIT_CLIENT;
	if (!wire_dovecot_server_cont(&conn->out, r->id, base_buf_slice(out), BASE_SLICE_EMPTY,
		    false, conn->wire.minor))
		return SASL_SERVER_MALFORMED;
	auth_conn_told(core, conn);
	return SASL_SERVER_CHALLENGE;
}

/* Follow the exchange until somebody else has to say something. Each round leaves the state that it
 * began in, so there are as many rounds as an exchange has steps. */
static void follow(struct auth_core *core, struct auth_request *r, enum sasl_server_result result,
	struct base_buf *out, int64_t now_ms, int64_t wall_ms)
{
	for (;;) {
		enum sasl_server_result was = result;

		switch (result) {
		case SASL_SERVER_CHALLENGE:
			result = send_challenge(core, r, out);
			break;
		case SASL_SERVER_CHECK_PASSWORD:
		case SASL_SERVER_NEED_SECRET:
		case SASL_SERVER_NEED_SCRAM:
			result = auth_ask(core, r, result, now_ms, out);
			break;
		case SASL_SERVER_NEED_BINDING:
			result = ask_binding(core, r, out);
			break;
		case SASL_SERVER_SUCCESS:
			auth_request_succeed(core, r, now_ms, wall_ms);
			return;
		case SASL_SERVER_REJECTED:
		case SASL_SERVER_MALFORMED:
			auth_request_fail(
				core, r, WIRE_FAIL_REJECTED, sasl_server_reason(r->sasl), now_ms);
			return;
		case SASL_SERVER_UNAVAILABLE:
			auth_request_fail(core, r, WIRE_FAIL_TEMPORARY,
				"the source of credentials does not answer", now_ms);
			return;
		}
		if (result == was)
			return;
	}
}

/* @result is what the exchange said to an answer; @out took its challenge and is released here. */
void auth_request_go_on(struct auth_core *core, struct auth_request *r,
	enum sasl_server_result result, struct base_buf *out, int64_t now_ms, int64_t wall_ms)
{
	follow(core, r, result, out, now_ms, wall_ms);
	base_buf_release(out);
}

/* Requests of the client */

static struct auth_request *request_new(
	struct auth_core *core, struct auth_conn *conn, int64_t now_ms)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	struct auth_request *r = auth_request_find(conn, conn->wire.id);

	if (r)
		auth_request_free(core, r);
	else if (conn->open >= AUTH_OPEN_MAX)
		auth_request_free(core, AUTH_OF(conn->requests.next, struct auth_request, by_conn));
	r = base_alloc_zero(1, sizeof(*r));
	r->conn = conn;
	r->id = conn->wire.id;
	r->token = ++core->next_token;
	r->final_resp_ok = said->final_resp_ok;
	r->tls = said->secured;
	r->active_ms = now_ms;
	auth_text_copy(r->session, sizeof(r->session), said->session);
	if (!base_addr_parse(said->remote_ip, &r->client))
		r->client = (struct base_addr){BASE_ADDR_NONE, 0, {0}};
	r->client.port = said->remote_port;
	base_addr_unmap(&r->client);
	auth_list_push(&conn->requests, &r->by_conn);
	auth_list_push(&core->by_time, &r->by_time);
	conn->open++;
	core->status.open++;
	return r;
}

static bool is_offered(
	const struct auth_core *core, const struct auth_conn *conn, enum sasl_mechanism m)
{
	bool plus = sasl_mechanism_info(m)->flags & SASL_CHANNEL_BINDING;

	return m != SASL_MECHANISM_NONE && core->options.mechanisms & SASL_MASK(m) &&
		(!plus || conn->wire.minor >= WIRE_DOVECOT_MINOR_BINDING);
}

/* Did the client of this request see the -PLUS form of the mechanism? Our front says so; of other
 * servers that can bind it is taken for granted once TLS is up. */
static bool plus_offered(
	const struct auth_core *core, const struct auth_conn *conn, enum sasl_mechanism m)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	enum sasl_mechanism plus = sasl_mechanism_info(m)->plus;

	if (conn->front)
		return said->plus_offered;
	return said->secured_tls && conn->wire.minor >= WIRE_DOVECOT_MINOR_BINDING &&
		plus != SASL_MECHANISM_NONE && core->options.mechanisms & SASL_MASK(plus);
}

void auth_request_begin(
	struct auth_core *core, struct auth_conn *conn, int64_t now_ms, int64_t wall_ms)
{
	const struct wire_dovecot_request *said = &conn->wire.request;
	struct auth_request *r = request_new(core, conn, now_ms);
	struct sasl_server_options options;
	uint8_t random[32];
	struct base_buf out;
	enum sasl_server_result result;

	r->mechanism = sasl_mechanism_parse(said->mechanism);
	if (!is_offered(core, conn, r->mechanism)) {
		auth_request_refuse(core, r, "the mechanism is not offered");
		return;
	}
	auth_core_draw(core, random);
	options = (struct sasl_server_options){
		.mechanism = r->mechanism,
		.host_name = core->options.host_name,
		.random = base_slice_make(random, SASL_SERVER_RANDOM_BYTES),
		.now_ms = wall_ms,
		.plus_offered = plus_offered(core, conn, r->mechanism),
		.tls = r->tls,
		.mock_key = base_slice_make(core->mock_key, sizeof(core->mock_key)),
		/* Other systems made their hashes from what the client types; SCRAM prepares it itself. */
		.raw = !auth_sources_have_store(core) &&
			!(sasl_mechanism_info(r->mechanism)->flags & SASL_SCRAM),
	};
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	result = sasl_server_begin(
		&r->sasl, &options, said->has_initial ? &said->initial : NULL, &out);
	auth_request_go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_request_cont(
	struct auth_core *core, struct auth_conn *conn, int64_t now_ms, int64_t wall_ms)
{
	struct wire_dovecot_server *w = &conn->wire;
	struct auth_request *r = auth_request_find(conn, w->id);
	enum sasl_server_result result;
	struct base_buf out;

	/* Of a request that idled too long, or was the oldest of too many: its client waits. */
	if (!r) {
		if (wire_dovecot_server_fail(
			    &conn->out, w->id, BASE_SLICE_EMPTY, WIRE_FAIL_TEMPORARY, w->minor))
			auth_conn_told(core, conn);
		return;
	}
	/* Of one that waits for somebody else: it says nothing new. */
	if (r->wait != AUTH_WAIT_CLIENT && r->wait != AUTH_WAIT_BINDING)
		return;
	touch(core, r, now_ms);
	base_buf_init_secret(&out, AUTH_CHALLENGE_MAX_BYTES);
	if (r->wait == AUTH_WAIT_BINDING)
		result = sasl_server_binding_answer(
			r->sasl, w->has_binding && w->binding.len > 0, w->binding, &out);
	else if (w->out_of_band)
		result = SASL_SERVER_MALFORMED;
	else
		result = sasl_server_push(r->sasl, w->response, &out);
	auth_request_go_on(core, r, result, &out, now_ms, wall_ms);
}

void auth_request_bad(struct auth_core *core, struct auth_conn *conn, int64_t now_ms)
{
	struct auth_request *r = auth_request_find(conn, conn->wire.id);

	if (!r)
		r = request_new(core, conn, now_ms);
	else if (r->wait == AUTH_WAIT_DELAY)
		return;
	auth_request_fail(core, r, WIRE_FAIL_BASE64, "not base64", now_ms);
}
