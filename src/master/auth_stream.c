/* Streams for the fronts' logins: a pair with auth, or a connection to auth { service }.
 *
 * A front asks (WANT_AUTH) at its start and whenever its stream ended; it gets one stream for one
 * question. While nobody answers, the question stands and is tried again; a front whose streams end at
 * once is not served faster than every SERVE_EVERY_MS. */
#include "master/server.h"

#include "base/clock.h"
#include "loop/local.h"
#include "loop/log.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVE_EVERY_MS = 50, SERVICE_AGAIN_MS = 500 };

static bool send_stream(struct child *to, enum ipc_role role, unsigned index, int fd)
{
	struct base_buf frame;
	bool sent;

	base_buf_init(&frame, IPC_FRAME_MAX_BYTES);
	ipc_begin(&frame, IPC_PEER, 0);
	ipc_put_u8(&frame, (uint8_t)role);
	ipc_put_u32(&frame, index);
	ipc_put_u8(&frame, 1);
	sent = to->ch && ipc_send(to->ch, &frame, &fd, 1);
	base_buf_release(&frame);
	return sent;
}

/* False: auth is not there; its next start calls again. */
static bool by_auth(struct child *front)
{
	struct server *s = front->server;
	unsigned number = master_core_find(&s->core, IPC_AUTH, 0);
	unsigned index = s->core.children[front->number].index;
	int pair[2];
	bool done;

	if (number == s->core.count || !s->children[number].ch ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
		return false;
	done = send_stream(&s->children[number], IPC_FRONT, index, pair[1]) &&
		send_stream(front, IPC_AUTH, 0, pair[0]);
	close(pair[0]);
	close(pair[1]);
	return done;
}

static bool by_service(struct child *front)
{
	struct server *s = front->server;
	struct base_error err;
	bool done;
	int fd;

	if (local_connect(s->conf->auth.service, SOCK_STREAM, true, &fd, &err) != 0) {
		if (!s->auth_away_logged)
			log_write(LOG_LEVEL_WARNING,
				"auth service: %s; logins get 454 until it answers "
				"(see auth.service)",
				err.text);
		s->auth_away_logged = true;
		return false;
	}
	if (s->auth_away_logged)
		log_write(
			LOG_LEVEL_INFO, "auth service \"%s\" answers again", s->conf->auth.service);
	s->auth_away_logged = false;
	done = send_stream(front, IPC_AUTH, 0, fd);
	close(fd);
	return done;
}

static void on_retry(uv_timer_t *timer)
{
	auth_stream_serve(timer->data);
}

void auth_stream_serve(struct server *s)
{
	bool service = s->conf->auth.service && s->conf->auth.service[0];
	int64_t now = base_clock_monotonic_ms(), next = 0;

	for (unsigned i = 0; i < s->core.count; i++) {
		struct child *c = &s->children[i];

		if (!c->wants_auth || !c->ch)
			continue;
		if (now >= c->auth_again_ms) {
			c->auth_again_ms = now + (service ? SERVICE_AGAIN_MS : SERVE_EVERY_MS);
			c->wants_auth = service ? !by_service(c) : !by_auth(c);
		}
		if (c->wants_auth && (next == 0 || c->auth_again_ms < next))
			next = c->auth_again_ms;
	}
	if (next) {
		uv_update_time(&s->loop);
		uv_timer_start(
			&s->auth_retry, on_retry, (uint64_t)(next > now ? next - now : 1), 0);
	}
}

void auth_stream_wanted(struct child *front)
{
	front->wants_auth = true;
	auth_stream_serve(front->server);
}
