/* bench/net.h: what the measuring programs share
 * Job      addresses, sockets, TLS contexts, the clock
 * Not      the programs measured: nothing here is linked into them */
#ifndef BENCH_NET_H
#define BENCH_NET_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum bench_tls { BENCH_TLS_NONE, BENCH_TLS_STARTTLS, BENCH_TLS_IMPLICIT };

struct bench_address {
	struct sockaddr_storage addr;
	socklen_t len;
};

/* All of these end the program with a message when they fail. */
struct bench_address bench_address_parse(const char *text); /* "127.0.0.1:25", "[::1]:25" */
enum bench_tls bench_tls_parse(const char *text);           /* "none", "starttls", "implicit" */
uint64_t bench_number_parse(const char *text, const char *what, uint64_t max);
int bench_listen(const struct bench_address *address);
/* @lean: idle sessions keep no buffers; else as OpenSSL does by itself. */
SSL_CTX *bench_tls_server(const char *certificate, const char *key, bool lean);
SSL_CTX *bench_tls_client(void); /* verifies nothing: loopback */
_Noreturn void bench_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

void bench_descriptors_raise(void);
int64_t bench_now_ns(void);

#endif
