/* fetch/shell.h: the doing half, the same for auth's requests and for a command's
 * shell.c effects, names, time, authorities; curl.c HTTPS; main.c the role; once.c a command's program */
#ifndef FETCH_SHELL_H
#define FETCH_SHELL_H

#include "fetch/core.h"
#include "fetch/curl.h"
#include "loop/resolver.h"

struct fetch_shell {
	uv_loop_t *loop;
	struct fetch_core *core;
	struct fetch_curl *curl;
	struct resolver *resolver;
	uv_timer_t tick;
	bool running;          /* effects are being carried out */
	struct base_buf frame; /* secret */
	X509_STORE *system;    /* the system's authorities */
	/* Where the answers to @asker go; null: nowhere. */
	struct ipc_channel *(*channel)(struct fetch_shell *s, unsigned asker);
	void (*idle)(struct fetch_shell *s); /* nothing is left to do; may be null */
	void *arg;
};

/* Before the sandbox. @ca_file: more authorities; null or "": none. On failure fetch_shell_close() as well. */
BASE_MUST_USE int fetch_shell_open(
	struct fetch_shell *s, uv_loop_t *loop, const char *ca_file, struct base_error *err);
/* Other authorities beside the system's. On failure the old ones stay. */
BASE_MUST_USE int fetch_shell_trust(
	struct fetch_shell *s, const char *ca_file, struct base_error *err);
/* A FETCH_WANT frame of @asker. False: it is broken. */
BASE_MUST_USE bool fetch_shell_want(
	struct fetch_shell *s, unsigned asker, const struct ipc_frame *frame);
void fetch_shell_asker_gone(struct fetch_shell *s, unsigned asker);
void fetch_shell_drain(struct fetch_shell *s);
/* Safe on a zeroed or half-open object. */
void fetch_shell_close(struct fetch_shell *s);

/* "postern-fetch once": frames of a command on descriptor 0, until it closes. Returns the exit status. */
int fetch_once(int argc, char **argv);

#endif
