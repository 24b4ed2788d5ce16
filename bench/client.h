/* bench/client.h: one SMTP session of the load generator
 * Job      connect, TLS, EHLO, AUTH, messages; tells its owner what happened and when
 * Not      how many and how fast (bench/load.c) */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include "base/buf.h"
#include "net.h"
#include "sasl/client.h"

struct bench_client_options {
	struct bench_address address;
	enum bench_tls tls;
	enum sasl_mechanism mechanism; /* NONE: no AUTH */
	const char *user, *password;
	const char *from, *to;
	bool pipelining; /* use it when offered */
};

enum bench_client_event {
	BENCH_CLIENT_LOGGED_IN, /* give work: bench_client_send(), _quit(), or let it idle */
	BENCH_CLIENT_SENT,      /* 250 for the message: the same choice */
	BENCH_CLIENT_CLOSED,    /* after QUIT */
	BENCH_CLIENT_FAILED,    /* bench_client_error() says why; only free is left */
};

struct bench_client;
typedef void (*bench_client_fn)(struct bench_client *c, enum bench_client_event event, void *arg);

/* @options and @tls are borrowed for the client's life. Events never come from within begin or
 * send. */
struct bench_client *bench_client_begin(const struct bench_client_options *options, SSL_CTX *tls,
	int epoll, bench_client_fn fn, void *arg);
/* Allowed inside the callback. Null is taken. */
void bench_client_free(struct bench_client **client);
/* The socket is ready: work until it is not. */
void bench_client_step(struct bench_client *c);
/* @message: header and body with the final dot, borrowed until SENT or FAILED. */
void bench_client_send(struct bench_client *c, struct base_slice message);
void bench_client_quit(struct bench_client *c);

int64_t bench_client_begun_ns(const struct bench_client *c);
int64_t bench_client_mail_ns(const struct bench_client *c); /* when MAIL was written */
const char *bench_client_error(const struct bench_client *c);

#endif
