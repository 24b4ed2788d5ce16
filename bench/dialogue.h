/* bench/dialogue.h: a server that speaks SMTP and keeps nothing
 * Job      the same dialogue for the null server (an upper bound for what a submission server could
 *          do) and for the sink that measured servers relay to; one process, epoll
 * Not      a server to use: any login is right, every message is thrown away */
#ifndef BENCH_DIALOGUE_H
#define BENCH_DIALOGUE_H

#include "net.h"

struct bench_dialogue_options {
	struct bench_address address;
	enum bench_tls tls;
	const char *certificate, *key;
	bool auth;              /* announce AUTH PLAIN */
	bool lean;              /* give OpenSSL's buffers back when idle */
	const char *count_file; /* null, or where struct bench_counts is kept for others to read */
};

/* Shared memory: read by whoever maps the file. */
struct bench_counts {
	uint64_t messages;
	uint64_t bytes;
	uint64_t connections;
	uint64_t open;
};

/* Parses --listen, --tls, --certificate, --key, --count, --lean; "ready" goes to standard error
 * when the port listens; ends with a line of JSON on SIGTERM. */
int bench_dialogue_main(int argc, char **argv, bool auth);

#endif
