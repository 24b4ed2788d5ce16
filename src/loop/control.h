/* loop/control.h: commands to a running server, and the same commands on a stopped one
 * Job      both ends of a control socket: requests are words, answers are JSON
 * Sockets  run/control-auth, run/control-queue, run/control-journal; SOCK_SEQPACKET, mode 0600
 *
 * Words (all but "secret" bytes are text; options as in the command line, normalised to NAME=VALUE):
 *  auth:    user add|passwd|remove|list|show|test NAME [option=value …]; account add|list|show|remove …;
 *           account token NAME, account retry [NAME] (auth/control_account.c); unban ADDR; status
 *  queue:   queue list|show|cat|retry|hold|release|remove|stats [ID|--all]; sender add|list|remove|test …
 *           (route/sender_admin.h); accounts: those that relays have paused; status
 *  journal: why ID | user=U | sender=ADDR | last=N; status
 * The code that answers them stands in a floor (vault/admin.h, spool/admin.h, loop/events.h), so that
 * the command can run it on the files itself when no server runs. */
#ifndef LOOP_CONTROL_H
#define LOOP_CONTROL_H

#include "base/secret.h"
#include "loop/ipc.h"
#include "loop/role.h"

#include <jansson.h>

#define CONTROL_WORDS_MAX 64

struct control_request {
	struct base_slice words[CONTROL_WORDS_MAX];
	size_t word_count;
	struct base_slice secret; /* a password or token; wiped by the sender of the request */
	unsigned limit_s;         /* client side: the longest silence; 0: CONTROL_LIMIT_S */
};
#define CONTROL_LIMIT_S 60

/* The value of the word "NAME=value" at or after index @from; false if absent. */
bool control_option(const struct control_request *req, size_t from, const char *name,
	struct base_slice *out_value);
bool control_word_is(const struct control_request *req, size_t index, const char *text);

/* A CTL_REQUEST body as words, borrowed from it; false: broken, too many words, or a NUL in one. */
BASE_MUST_USE bool control_request_parse(struct base_slice body, struct control_request *out);

/* Server side. */
struct control_reply; /* a request being answered; answer exactly once with control_end() */
typedef void (*control_request_fn)(
	struct role *r, const struct control_request *req, struct control_reply *reply);
/* Serve a CONTROL listener (takes @fd); one request per connection. */
void control_serve(struct role *r, int fd, control_request_fn fn);
/* The role ends: close all listeners and connections (loop/role.c). */
void control_close_all(void);
/* The same, and frames other than CTL_REQUEST go to @frames: a connection of that kind ends when it is
 * closed, and has as many frames as it likes. */
struct control_frames {
	void (*frame)(struct role *r, struct ipc_channel *ch, struct ipc_frame *frame);
	/* @ch is freed after this. Also for connections that never sent such a frame. */
	void (*gone)(struct role *r, struct ipc_channel *ch);
};
void control_serve_frames(
	struct role *r, int fd, control_request_fn fn, const struct control_frames *frames);
void control_json(struct control_reply *reply, struct base_slice json_part);
/* Frees the reply. @err null: fine. */
void control_end(struct control_reply *reply, const struct base_error *err);
/* The whole answer and its end. Takes @json. */
void control_end_json(struct control_reply *reply, json_t *json);

/* Client side, blocking. @out gets the JSON. Returns 0; NOT_FOUND when no server listens at
 * run/control-@part; else the server's error or a transport error. */
int control_call(const char *run_dir, const char *part, const struct control_request *req,
	struct base_buf *out, struct base_error *err);

#endif
