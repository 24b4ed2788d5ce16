/* Providers of type "dovecot": another server of the authentication protocol is asked about passwords.
 *
 *   away  --connect-->  greeting  --DONE-->  ready        any failure: away, tried again after RETRY_MS
 *
 * Each provider has one connection. What is asked while it greets is asked when it is ready; what waits
 * when the connection ends, or longer than ANSWER_MS, has no answer. */
#include "auth/shell.h"
#include "base/clock.h"
#include "loop/local.h"
#include "loop/log.h"
#include "wire/dovecot.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RETRY_MS = 1000, ANSWER_MS = 8000, READ_BYTES = 16384, BACKLOG_MAX = 1024 };

struct question {
	struct question *next;
	uint32_t id, token;
	int64_t until_ms;
};

struct auth_provider {
	struct auth_provider *next;
	struct auth_shell *shell;
	char *name, *path;
	int fd; /* -1: away */
	bool complained;
	bool has_plain;
	struct wire_dovecot_client wire;
	struct base_buf in, out, later, scratch; /* later: questions before DONE */
	uint32_t next_id;
	struct question *questions; /* oldest first */
	size_t question_count;
	uv_poll_t *poll;
	uv_timer_t *timer;
};

static void on_ready(uv_poll_t *poll, int status, int events);
static void on_timer(uv_timer_t *timer);

static void on_handle_closed(uv_handle_t *handle)
{
	free(handle);
}

static void answer(struct auth_provider *p, uint32_t token, enum sasl_credentials_state state,
	struct base_slice user)
{
	auth_core_asked(p->shell->core, token, state, user, base_clock_monotonic_ms(),
		base_clock_wall_ms());
}

/* Its question is over; false: nobody asked that. */
static bool take_question(struct auth_provider *p, uint32_t id, uint32_t *out_token)
{
	for (struct question **at = &p->questions; *at; at = &(*at)->next) {
		struct question *q = *at;

		if (q->id != id)
			continue;
		*at = q->next;
		*out_token = q->token;
		p->question_count--;
		free(q);
		return true;
	}
	return false;
}

static void give_up_questions(struct auth_provider *p)
{
	uint32_t token;

	while (p->questions && take_question(p, p->questions->id, &token))
		answer(p, token, SASL_CREDENTIALS_UNAVAILABLE, BASE_SLICE_EMPTY);
}

static void set_timer(struct auth_provider *p)
{
	int64_t now = base_clock_monotonic_ms();
	int64_t wait = p->fd < 0 ? RETRY_MS
		: p->questions   ? p->questions->until_ms - now
		: !p->wire.done  ? ANSWER_MS
				 : -1;

	if (wait < 0 && !p->questions)
		uv_timer_stop(p->timer);
	else
		uv_timer_start(p->timer, on_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void go_away(struct auth_provider *p, const char *why)
{
	if (!p->complained)
		log_write(LOG_LEVEL_WARNING,
			"provider \"%s\" at \"%s\": %s; logins that only it "
			"could decide get 454 until it answers",
			p->name, p->path, why);
	p->complained = true;
	if (p->fd >= 0) {
		uv_close((uv_handle_t *)p->poll, on_handle_closed);
		close(p->fd);
	}
	p->poll = NULL;
	p->fd = -1;
	base_buf_release(&p->in);
	base_buf_release(&p->out);
	base_buf_release(&p->later);
	give_up_questions(p);
	set_timer(p);
}

static void watch(struct auth_provider *p)
{
	uv_poll_start(p->poll, p->out.len ? UV_READABLE | UV_WRITABLE : UV_READABLE, on_ready);
}

static void flush(struct auth_provider *p)
{
	while (p->out.len) {
		ssize_t n = send(p->fd, p->out.ptr, p->out.len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		base_buf_consume(&p->out, (size_t)n);
	}
	watch(p);
}

static void go_there(struct auth_provider *p)
{
	struct base_error err;

	if (local_connect(p->path, SOCK_STREAM, true, &p->fd, &err) != 0) {
		p->fd = -1;
		go_away(p, err.text);
		return;
	}
	p->has_plain = false;
	wire_dovecot_client_init(&p->wire);
	wire_dovecot_client_hello(&p->out, (uint32_t)getpid());
	p->poll = base_alloc_zero(1, sizeof(*p->poll));
	uv_poll_init(role_loop(p->shell->role), p->poll, p->fd);
	p->poll->data = p;
	flush(p);
	set_timer(p);
}

static void on_timer(uv_timer_t *timer)
{
	struct auth_provider *p = timer->data;

	if (p->fd < 0)
		go_there(p);
	else
		go_away(p, "it does not answer");
	auth_shell_pump(p->shell);
}

/* False: the connection is over. */
static bool on_event(struct auth_provider *p, enum wire_dovecot_client_event event)
{
	struct wire_dovecot_client *w = &p->wire;
	uint32_t token;

	switch (event) {
	case WIRE_CLIENT_MORE:
		break;
	case WIRE_CLIENT_MECH:
		p->has_plain |= base_slice_equal_text_nocase(w->mech_name, "PLAIN");
		break;
	case WIRE_CLIENT_DONE:
		if (!p->has_plain) {
			go_away(p, "it offers no PLAIN");
			return false;
		}
		if (p->complained)
			log_write(LOG_LEVEL_INFO, "provider \"%s\" answers again", p->name);
		p->complained = false;
		base_buf_append_slice(&p->out, base_buf_slice(&p->later));
		base_buf_release(&p->later);
		break;
	case WIRE_CLIENT_OK:
		if (take_question(p, w->id, &token))
			answer(p, token, SASL_CREDENTIALS_KNOWN, w->user);
		break;
	case WIRE_CLIENT_FAIL:
		if (take_question(p, w->id, &token))
			answer(p, token,
				w->fail == WIRE_FAIL_TEMPORARY ? SASL_CREDENTIALS_UNAVAILABLE
							       : SASL_CREDENTIALS_UNKNOWN,
				BASE_SLICE_EMPTY);
		break;
	case WIRE_CLIENT_CONT:
		/* PLAIN has one message; who asks for more gets no more. */
		wire_dovecot_client_cancel(&p->out, w->id);
		if (take_question(p, w->id, &token))
			answer(p, token, SASL_CREDENTIALS_UNKNOWN, BASE_SLICE_EMPTY);
		break;
	case WIRE_CLIENT_BROKEN:
		go_away(p, w->broken);
		return false;
	}
	return true;
}

static bool read_some(struct auth_provider *p)
{
	uint8_t bytes[READ_BYTES];
	ssize_t n = recv(p->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	enum wire_dovecot_client_event event;
	size_t used;

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0) {
		go_away(p, "it closed the connection");
		return false;
	}
	base_buf_append(&p->in, bytes, (size_t)n);
	base_wipe(bytes, sizeof(bytes));
	do {
		event = wire_dovecot_client_next(
			&p->wire, base_buf_slice(&p->in), &used, &p->scratch);
		if (!on_event(p, event))
			return false;
		base_buf_consume(&p->in, used);
	} while (event != WIRE_CLIENT_MORE);
	return true;
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
	struct auth_provider *p = poll->data;
	struct auth_shell *s = p->shell;

	if (status < 0)
		go_away(p, uv_strerror(status));
	else if (!(events & UV_READABLE) || read_some(p)) {
		flush(p);
		set_timer(p);
	}
	auth_shell_pump(s);
}

static struct auth_provider *find(const struct auth_shell *s, struct base_slice name)
{
	for (struct auth_provider *p = s->providers; p; p = p->next)
		if (base_slice_equal_text(name, p->name))
			return p;
	return NULL;
}

static bool put_question(struct auth_provider *p, const struct auth_effect *e, uint32_t id)
{
	struct base_buf message, ip;
	struct base_slice initial;
	struct wire_dovecot_auth auth = {
		.mechanism = BASE_SLICE("PLAIN"),
		.session = e->login.session,
		.secured = true, /* else a password is not taken; it stays on this machine */
		.nologin = true,
		.no_penalty = true,
		.initial = &initial,
	};
	bool fits;

	base_buf_init(&ip, 64);
	base_buf_init_secret(&message, WIRE_DOVECOT_LINE_MAX_BYTES);
	base_buf_append_byte(&message, '\0');
	base_buf_append_slice(&message, e->name);
	base_buf_append_byte(&message, '\0');
	base_buf_append_slice(&message, e->password);
	initial = base_buf_slice(&message);
	if (e->login.client.family != BASE_ADDR_NONE) {
		base_addr_format(&e->login.client, &ip);
		auth.remote_ip = base_buf_slice(&ip);
		auth.remote_port = e->login.client.port;
	}
	fits = wire_dovecot_client_auth(p->wire.done ? &p->out : &p->later, id, &auth);
	base_buf_release(&message);
	base_buf_release(&ip);
	return fits;
}

void auth_provider_ask(struct auth_shell *s, const struct auth_effect *e)
{
	struct auth_provider *p = find(s, e->source);
	struct question *q, **end;
	uint32_t id;

	if (p && p->fd < 0)
		go_there(p);
	id = p ? ++p->next_id : 0;
	if (!p || p->fd < 0 || p->question_count >= BACKLOG_MAX || !put_question(p, e, id)) {
		auth_core_asked(s->core, e->token, SASL_CREDENTIALS_UNAVAILABLE, BASE_SLICE_EMPTY,
			base_clock_monotonic_ms(), base_clock_wall_ms());
		return;
	}
	q = base_alloc_zero(1, sizeof(*q));
	*q = (struct question){
		.id = id, .token = e->token, .until_ms = base_clock_monotonic_ms() + ANSWER_MS};
	for (end = &p->questions; *end; end = &(*end)->next)
		;
	*end = q;
	p->question_count++;
	flush(p);
	set_timer(p);
}

static void provider_free(struct auth_provider *p)
{
	p->complained = true; /* said nothing about this end */
	go_away(p, "");
	uv_timer_stop(p->timer);
	uv_close((uv_handle_t *)p->timer, on_handle_closed);
	base_buf_release(&p->scratch);
	free(p->name);
	free(p->path);
	free(p);
}

static bool is_named(const struct conf *conf, const struct auth_provider *p)
{
	for (size_t i = 0; i < conf->auth.providers.count; i++) {
		const struct conf_provider *c = strcmp(conf->auth.providers.items[i], p->name) == 0
			? conf_provider_find(conf, p->name)
			: NULL;

		if (c && c->type == CONF_PROVIDER_DOVECOT && strcmp(c->path, p->path) == 0)
			return true;
	}
	return false;
}

static void provider_new(struct auth_shell *s, const struct conf_provider *from)
{
	struct auth_provider *p = base_alloc_zero(1, sizeof(*p));

	*p = (struct auth_provider){.next = s->providers,
		.shell = s,
		.fd = -1,
		.name = base_strdup(from->title),
		.path = base_strdup(from->path)};
	base_buf_init_secret(&p->in, 2 * WIRE_DOVECOT_LINE_MAX_BYTES);
	base_buf_init_secret(&p->out, 4 * 1024 * 1024);
	base_buf_init_secret(&p->later, 4 * 1024 * 1024);
	base_buf_init_secret(&p->scratch, WIRE_DOVECOT_LINE_MAX_BYTES);
	p->timer = base_alloc_zero(1, sizeof(*p->timer));
	uv_timer_init(role_loop(s->role), p->timer);
	p->timer->data = p;
	s->providers = p;
	go_there(p);
}

void auth_providers_close_all(struct auth_shell *s)
{
	while (s->providers) {
		struct auth_provider *p = s->providers;

		s->providers = p->next;
		provider_free(p);
	}
}

void auth_providers_take(struct auth_shell *s, const struct conf *conf)
{
	struct auth_provider **at = &s->providers;

	while (*at) {
		struct auth_provider *p = *at;

		if (is_named(conf, p)) {
			at = &p->next;
			continue;
		}
		*at = p->next;
		provider_free(p);
	}
	for (size_t i = 0; i < conf->auth.providers.count; i++) {
		const struct conf_provider *c = conf_provider_find(
			conf, conf->auth.providers.items[i]);

		if (c && c->type == CONF_PROVIDER_DOVECOT && !find(s, base_slice_text(c->title)))
			provider_new(s, c);
	}
	auth_shell_pump(s);
}
