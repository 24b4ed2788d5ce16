#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(2);
}

struct bench_address bench_address_parse(const char *text)
{
	struct bench_address a = {0};
	struct sockaddr_in *ip4 = (struct sockaddr_in *)&a.addr;
	struct sockaddr_in6 *ip6 = (struct sockaddr_in6 *)&a.addr;
	const char *colon = strrchr(text, ':');
	char host[64];
	size_t len = colon ? (size_t)(colon - text) : 0;
	long port = colon ? strtol(colon + 1, NULL, 10) : 0;

	if (port <= 0 || port > 65535 || len == 0 || len >= sizeof(host))
		bench_die("\"%s\" is not ADDRESS:PORT", text);
	memcpy(host, text, len);
	host[len] = '\0';
	if (host[0] == '[' && host[len - 1] == ']') {
		host[len - 1] = '\0';
		ip6->sin6_family = AF_INET6;
		ip6->sin6_port = htons((uint16_t)port);
		a.len = sizeof(*ip6);
		if (inet_pton(AF_INET6, host + 1, &ip6->sin6_addr) == 1)
			return a;
	} else {
		ip4->sin_family = AF_INET;
		ip4->sin_port = htons((uint16_t)port);
		a.len = sizeof(*ip4);
		if (inet_pton(AF_INET, host, &ip4->sin_addr) == 1)
			return a;
	}
	bench_die("\"%s\" is not ADDRESS:PORT", text);
}

enum bench_tls bench_tls_parse(const char *text)
{
	if (strcmp(text, "none") == 0)
		return BENCH_TLS_NONE;
	if (strcmp(text, "starttls") == 0)
		return BENCH_TLS_STARTTLS;
	if (strcmp(text, "implicit") == 0)
		return BENCH_TLS_IMPLICIT;
	bench_die("\"%s\" is not one of none, starttls, implicit", text);
}

uint64_t bench_number_parse(const char *text, const char *what, uint64_t max)
{
	char *end;
	unsigned long long value = strtoull(text, &end, 10);

	if (*text < '0' || *text > '9' || *end != '\0' || value > max)
		bench_die("%s: \"%s\" is not a number up to %llu", what, text,
			(unsigned long long)max);
	return value;
}

int bench_listen(const struct bench_address *address)
{
	int on = 1;
	int fd = socket(address->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		bench_die("cannot make a socket: %s", strerror(errno));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (const struct sockaddr *)&address->addr, address->len) != 0)
		bench_die("cannot bind: %s", strerror(errno));
	if (listen(fd, 4096) != 0)
		bench_die("cannot listen: %s", strerror(errno));
	return fd;
}

SSL_CTX *bench_tls_server(const char *certificate, const char *key, bool lean)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());

	if (!ctx || SSL_CTX_use_certificate_chain_file(ctx, certificate) != 1 ||
		SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1)
		bench_die("cannot use \"%s\" and \"%s\"", certificate, key);
	SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	if (lean)
		SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

SSL_CTX *bench_tls_client(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

	if (!ctx)
		bench_die("cannot set up TLS");
	SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Every new connection is a full handshake: that is what is measured. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	return ctx;
}

void bench_descriptors_raise(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int64_t bench_now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}
